"""Laws of coordinates: how the entries of a vector are distributed, for update rules that see them one by one. Source: theory.md 5.

A mean of norm |mu| in d dimensions has coordinates |mu| w/sqrt(d) with w of mean square 1. Where every step is linear only Gram matrices
matter; a threshold or a sign sees the law of w. A law is a mixture of Gaussians, of which those without a deviation are atoms.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import sympy as sp

from gmsym.errors import InputError
from gmsym.problem import _numbers as numbers


@final
@dataclass(frozen=True, init=False)
class Coordinates:
    """The law of w: N(value_c, deviation_c^2) with probability weight_c, divided by the root of its mean square.

    Args:
        weights: (A,), positive, summing to 1; numbers or expressions of parameters, as all entries.
        values: (A,).
        deviations: (A,), not negative; default, none: atoms.

    Raises:
        InputError: lists of different lengths, or numbers outside what is stated above.
    """

    weights: tuple[sp.Expr, ...]
    values: tuple[sp.Expr, ...]
    deviations: tuple[sp.Expr, ...]

    def __init__(self, weights: Any, values: Any, deviations: Any = None):
        w, v = numbers.vector(weights, "weights"), numbers.vector(values, "values")
        s = numbers.vector([0] * len(v) if deviations is None else deviations, "deviations")
        if not len(w) == len(v) == len(s):
            raise InputError(f"coordinates: {len(w)} weights, {len(v)} values and {len(s)} deviations; as many of each are needed")
        for name, value in (("weights", w), ("values", v), ("deviations", s)):
            object.__setattr__(self, name, value)
        if not self.parameters:
            self.at({})

    @property
    def parameters(self) -> frozenset[sp.Symbol]:
        """Symbols that need a number."""
        return numbers.parameters(*self.weights, *self.values, *self.deviations)

    @property
    def is_gaussian(self) -> bool:
        """Whether it is the law of a uniformly oriented vector."""
        return len(self.weights) == 1 and self.values[0] == 0 and self.deviations[0] != 0

    def at(self, bound: dict[sp.Symbol, sp.Float]) -> np.ndarray:
        """Weights, values and deviations in numbers, scaled to mean square 1, (3, A).

        Raises:
            InputError: numbers out of range; a law of mean square 0.
        """
        law = np.stack([numbers.numeric(x, bound, (len(x),)) for x in (self.weights, self.values, self.deviations)])
        weights, values, deviations = law
        if (weights < 0).any() or abs(weights.sum() - 1) > 1e-9:
            raise InputError(f"coordinates: weights = {weights.tolist()}; numbers from 0 that sum to 1 are needed")
        if (deviations < 0).any():
            raise InputError(f"coordinates: deviations = {deviations.tolist()} must not be negative")
        square = weights @ (values**2 + deviations**2)
        if not square > 0:
            raise InputError("coordinates: the law is zero everywhere; a mean square above 0 is needed")
        return np.stack([weights, values / np.sqrt(square), deviations / np.sqrt(square)])


def gaussian() -> Coordinates:
    """A uniformly random orientation: w ~ N(0, 1)."""
    return Coordinates([1], [0], [1])


def rademacher() -> Coordinates:
    """All coordinates of one size: w = 1 or -1."""
    return Coordinates([sp.Rational(1, 2)] * 2, [1, -1])


def sparse(share: Any) -> Coordinates:
    """A share of the coordinates is 1/sqrt(share) or its negative, the rest is 0.

    Raises:
        InputError: a share that is a number outside (0, 1].
    """
    share = numbers.scalar(share, "share")
    if share.is_number and not 0 < share <= 1:
        raise InputError(f"share = {share}: a number in (0, 1] is needed")
    return Coordinates([share / 2, share / 2, 1 - share], [1, -1, 0])


def mixture(weights: Sequence[Any], values: Sequence[Any], deviations: Sequence[Any] | None = None) -> Coordinates:
    """Any mixture of atoms and Gaussians; see `Coordinates`."""
    return Coordinates(weights, values, deviations)


def law(given: Any, what: str) -> Coordinates:
    """A law, or the one of that name.

    Raises:
        InputError: neither.
    """
    if isinstance(given, Coordinates):
        return given
    if isinstance(given, str) and given in ("gaussian", "rademacher"):
        return CATALOG[given]()
    raise InputError(f"{what} = {given!r}: one of gmsym.coordinates is needed, such as gmsym.coordinates.sparse(0.1)")


CATALOG: dict[str, Callable[..., Coordinates]] = {f.__name__: f for f in (gaussian, rademacher, sparse, mixture)}
