"""Explicit schemes for y' = f(y) as tables of coefficients, one row an evaluation. Source: theory.md 4, verified/sgd.md 6.

A row is (a0, a1, a2, b0, b1, b2, keep) of derive.schemes: y_next = a0 y + a1 y_start + a2 y_before + b0 f + b1 f_kept + b2 f_earlier.
Adams-Bashforth methods with variable steps are as in Hairer, Norsett and Wanner, Solving ordinary differential equations I, III.5; the
Runge-Kutta-Chebyshev method of order 2 is that of Sommeijer and Verwer (1980; Verwer, Appl. Numer. Math. 22, 1996).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.polynomial.chebyshev import Chebyshev

COEFFICIENTS = 7
ADAMS_LIMIT = 0.5  # stable steps of order 3, times the largest curvature: 6/11 on the real axis
_DAMPING = 2 / 13  # of the Chebyshev polynomials, which makes the stability domain a strip
_PER_STAGES = 1.54  # a step h is stable with S stages if 1 + 1.54 h L <= S^2


class Table(NamedTuple):
    """A scheme on one grid."""

    rows: np.ndarray  # (evaluations, 7); the last evaluation, at the final time, moves nothing
    ends: np.ndarray  # (steps + 1,), which iterate is the end of a step, 0 first
    times: np.ndarray  # (steps + 1,) of these


def table(times: Sequence[float] | np.ndarray, curvature: float) -> Table:
    """Adams-Bashforth steps of order 3 while they are stable, Runge-Kutta-Chebyshev steps of order 2 from there on.

    Args:
        times: increasing, from 0; the first steps should be short, since the first ones have order 1 and 2.
        curvature: upper bound of the largest eigenvalue of -f'.
    """
    steps = np.diff(times)
    adams = int(np.argmax(np.append(steps * curvature > ADAMS_LIMIT * (1 + 1e-9), True)))
    rows, ends = [], [0]
    for n, h in enumerate(steps):
        if n < adams:
            rows.append(_adams(times, n))
        else:
            rows += _chebyshev(h, stages(h, curvature))
        ends.append(len(rows))
    rows.append(np.array([1.0, *[0.0] * 6]))
    return Table(np.array(rows), np.array(ends), np.asarray(times, dtype=float))


def stages(step: float, curvature: float) -> int:
    """Stages of a stable Runge-Kutta-Chebyshev step."""
    return max(2, int(np.ceil(np.sqrt(1 + _PER_STAGES * step * curvature))))


def _adams(times: Sequence[float] | np.ndarray, n: int) -> np.ndarray:
    """The step from time n with the last (at most 3) velocities: the integral of the polynomial through them."""
    order, h = min(3, n + 1), times[n + 1] - times[n]
    nodes = (np.asarray(times)[n - np.arange(order)] - times[n]) / h
    weights = h * np.linalg.solve(np.vander(nodes, order, increasing=True).T, 1 / np.arange(1, order + 1))
    return np.array([1.0, 0.0, 0.0, *weights, *[0.0] * (3 - order), 0.0])


def _chebyshev(h: float, count: int) -> list[np.ndarray]:
    """The stages Y_1, ..., Y_S of one step, each from Y_{j-1} and its velocity."""
    w0 = 1 + _DAMPING / count**2

    def T(j: int, order: int = 0) -> float:
        polynomial = Chebyshev.basis(j)
        return float((polynomial.deriv(order) if order else polynomial)(w0)) if order <= j else 0.0

    w1 = T(count, 1) / T(count, 2)
    b = np.array([0.0, 0.0, *(T(j, 2) / T(j, 1) ** 2 for j in range(2, count + 1))])
    b[:2] = b[2]
    rows = [np.array([1.0, 0, 0, b[1] * w1 * h, 0, 0, 0])]
    for j in range(2, count + 1):
        mu, nu, slope = 2 * b[j] * w0 / b[j - 1], -b[j] / b[j - 2], 2 * b[j] * w1 / b[j - 1] * h
        at_start = -(1 - b[j - 1] * T(j - 1)) * slope
        rows.append(np.array([mu, 1 - mu - nu, nu, slope, at_start, 0, 1]))
    return rows
