"""The table [sweep] of a problem file: a grid of values, and what is done at each of its points."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any, final

from gmsym.errors import InputError, check_flag, check_integers
from gmsym.files.suggest import unknown

VERBS = ("solve", "simulate", "compare")
_MOST = 1_000_000  # points of a study


@final
@dataclass(frozen=True)
class Sweep:
    """What a study goes over.

    Raises:
        InputError: a wrong type or a value that is not allowed.
    """

    over: Mapping[str, Sequence[Any]]  # values by name, as --set names them; `loss` and `optimizer` as their options
    verb: str = "solve"  # or simulate, compare
    store: str = "study"  # a folder
    workers: int | None = None  # processes; default one a core; 0: the calling one
    theory: str | None = None  # default: the natural one
    retry: bool = False  # whether points that failed before are tried again

    def __post_init__(self):
        check_grid(self.over)
        if self.verb not in VERBS:
            raise InputError(f"verb: {unknown('verb of a sweep', str(self.verb), VERBS)}")
        for name, value in (("store", self.store), ("theory", self.theory)):
            if not (isinstance(value, str) and value or name == "theory" and value is None):
                raise InputError(f"{name} = {value!r}: a text is needed")
        if self.workers is not None:
            check_integers(workers=(self.workers, 0))
        check_flag("retry", self.retry)


def check_grid(over: Any) -> None:
    """Refuse what is no grid: lists of different values by name, of at most a million points.

    Raises:
        InputError: names the list.
    """
    if not isinstance(over, Mapping) or not over:
        raise InputError(f"over = {repr(over)[:60]}: lists of values by name are needed, such as {{ alpha = [0.5, 1.0] }}")
    for name, values in over.items():
        if not isinstance(name, str) or not isinstance(values, (list, tuple)) or not values:
            raise InputError(f"over {str(name)[:40]} = {repr(values)[:60]}: a list of at least one value is needed")
        if any(x == y for i, x in enumerate(values) for y in values[:i]):
            raise InputError(f"over {name} = {repr(values)[:60]}: the values must differ")
    if (count := prod(map(len, over.values()))) > _MOST:
        raise InputError(f"over asks for {count} points; at most {_MOST} are allowed")


def places(over: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
    """All points of a grid, the last name running fastest."""
    for chosen in product(*over.values()):
        yield dict(zip(over, chosen, strict=True))
