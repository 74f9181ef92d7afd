"""How many replicates run in one compiled call: one of few numbers, so that other counts need no other compilation."""

_SIZES = (128, 32, 8, 4, 2, 1)
_USUAL = 8  # fewer replicates are filled up to so many where these are small
_HELD = 2**22  # most numbers that a batch of several holds, about the size of a cache


def together(replicates: int, size: int) -> int:
    """Replicates of one batch, if each holds `size` numbers."""
    return next((b for b in _SIZES if b <= max(replicates, _USUAL) and b * size <= _HELD), 1)
