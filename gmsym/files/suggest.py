"""The end of every "unknown ..." message: the closest allowed name and the list of what is allowed."""

from collections.abc import Iterable
from difflib import get_close_matches


def unknown(kind: str, name: str, allowed: Iterable[str], listed: str | None = None) -> str:
    """`unknown key 'etaa'; did you mean 'eta'? Allowed: eta, momentum`.

    Args:
        kind: what `name` should have been, such as "key in [loss]".
        name: what was given.
        allowed: every allowed name.
        listed: how to list them when there are too many to spell out.
    """
    names = list(allowed)
    close = get_close_matches(name, names, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else "."
    return f"unknown {kind} {name!r}{hint} Allowed: {listed or ', '.join(names) or 'none'}"
