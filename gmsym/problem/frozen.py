"""Arrays of numbers in a frozen problem: read-only, equal when their numbers are."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import numpy as np

from gmsym.errors import InputError


@final
@dataclass(frozen=True, eq=False)
class Frozen:
    """A read-only float64 array that can be compared, hashed and pickled; far cheaper than one symbolic entry a number."""

    array: np.ndarray

    @classmethod
    def of(cls, value: Any, name: str) -> "Frozen":
        """A copy of numbers.

        Raises:
            InputError: something else than finite real numbers.
        """
        return cls(finite(value, name).copy())

    def __post_init__(self):
        self.array.flags.writeable = False

    @cached_property
    def digest(self) -> str:
        """Of its shape and numbers, hexadecimal."""
        return hashlib.sha256(repr(self.array.shape).encode() + np.ascontiguousarray(self.array).tobytes()).hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Frozen) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"Frozen{self.array.shape}"


def finite(value: Any, name: str) -> np.ndarray:
    """`value` as a float64 array.

    Raises:
        InputError: something else than finite real numbers.
    """
    try:
        array = np.asarray(value)
    except ValueError:
        raise InputError(f"{name}: a rectangular array of numbers is needed") from None
    if array.dtype.kind not in "fiu":
        raise InputError(f"{name} has the type {array.dtype}: an array of real numbers is needed")
    array = array.astype(float)
    if not np.isfinite(array).all():
        place = tuple(map(int, np.argwhere(~np.isfinite(array))[0]))
        raise InputError(f"{name} is {array[place]} at index {place}: finite numbers are needed")
    return array


def by_block(value: Any, shape: tuple[int, int], name: str) -> Frozen | None:
    """Numbers given block by block, (B, *shape); None for what has no axis of blocks.

    Raises:
        InputError: another shape, or something else than finite numbers.
    """
    if not isinstance(value, (list, tuple, np.ndarray)) or _depth(value) < 3:
        return None
    found = Frozen.of(value, name)
    if found.array.shape[1:] != shape:
        raise InputError(f"{name} has shape {found.array.shape}; (blocks, {shape[0]}, {shape[1]}) is needed")
    return found


def _depth(value: Any) -> int:
    """Axes of nested lists."""
    if isinstance(value, np.ndarray):
        return value.ndim
    return 1 + _depth(value[0]) if isinstance(value, (list, tuple)) and len(value) else int(isinstance(value, (list, tuple)))
