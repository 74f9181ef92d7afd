"""Minimisation by gradients over parameters with ranges, by SciPy's BFGS on variables that take all real values."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logit

from gmsym.errors import ComputationError, InputError

_REFUSED = 1e10  # what a search takes for a value that is not finite: it steps back
_EXPECTED = 50  # improvements of an ordinary search, for its progress


class Range(NamedTuple):
    """Open interval of a parameter; None: no bound."""

    low: float | None = None
    high: float | None = None

    def holds(self, x: float) -> bool:
        """Whether x is inside."""
        return (self.low is None or x > self.low) and (self.high is None or x < self.high)

    def to_line(self, x: float) -> float:
        """The real variable of a parameter inside."""
        if self.low is not None and self.high is not None:
            return float(logit((x - self.low) / (self.high - self.low)))
        if self.low is not None:
            return float(np.log(x - self.low))
        return x if self.high is None else float(-np.log(self.high - x))

    def from_line(self, u: float) -> tuple[float, float]:
        """(the parameter of a real variable, its derivative)."""
        if self.low is not None and self.high is not None:
            share, width = float(expit(u)), self.high - self.low
            return self.low + width * share, width * share * (1 - share)
        if self.low is not None:
            size = float(np.exp(u))
            return self.low + size, size
        return (u, 1.0) if self.high is None else (self.high - float(np.exp(-u)), float(np.exp(-u)))


def minimised(
    value_and_slope: Callable[[np.ndarray], tuple[float, np.ndarray]],
    start: Sequence[float],
    ranges: Sequence[Range],
    *,
    tolerance: float,
    rounds: int,
    report: Callable[[float], None],
) -> tuple[np.ndarray, list[float]]:
    """(the best parameters that were seen, the value at the start and at each improvement).

    Args:
        value_and_slope: of parameters inside their ranges; a ComputationError, or numbers that are not finite, make the search step back.
        start: inside the ranges.
        tolerance: of the gradient in the real variables.
        rounds: of BFGS at most.
        report: called with a completed fraction.

    Raises:
        ComputationError: there is no value at the start.
    """
    history: list[float] = []
    best = np.asarray(start, float)

    def recorded(u: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal best
        with np.errstate(over="ignore"):
            placed = [own.from_line(float(x)) for own, x in zip(ranges, u, strict=True)]
        x, stretch = (np.array(part) for part in zip(*placed, strict=True))
        try:
            if not np.isfinite(x).all():
                raise ComputationError("a parameter has no bound")
            value, slope = value_and_slope(x)
        except ComputationError:
            if not history:
                raise
            return _REFUSED, np.zeros_like(u)
        if not (np.isfinite(value) and np.isfinite(slope).all()):
            if not history:
                raise ComputationError(f"the objective is {value} at the start, or its gradient is not finite: take a smaller step")
            return _REFUSED, np.zeros_like(u)
        if not history or value < history[-1]:
            history.append(value)
            best = x
        report(min(0.99, len(history) / _EXPECTED))
        return value, slope * stretch

    line = np.array([own.to_line(float(x)) for own, x in zip(ranges, start, strict=True)])
    minimize(recorded, line, jac=True, method="BFGS", options={"gtol": tolerance, "maxiter": rounds})
    return best, history


def check_entry(name: str, shape: tuple[int, ...], index: tuple[int, ...]) -> None:
    """Raises InputError unless there is such an entry."""
    if len(index) != len(shape) or not all(0 <= i < n for i, n in zip(index, shape, strict=True)):
        needed = "no index, it is a number" if not shape else f"an entry of its shape {shape} is needed"
        raise InputError(f"index = {list(index)}: of {name} {needed}")
