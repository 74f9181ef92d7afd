"""Error bars of a sampled solution, from independent repetitions and a cheaper solution of each. Source: own.

Few repetitions can agree by accident, and all of them can be wrong alike: a population too small for the tails of a loss, an
innovation left out. So each repetition is solved twice, the second time with `ratio` times fewer points and a tolerance ratio^2
times larger. Errors fall like points^-0.9 (theory.md 2), more slowly where a loss has two scales or a kink, and at least like the root of
the tolerance, so what both solutions share is of the order of their difference over ratio^0.75 or less, and the cheaper ones' spread
over the same is a second witness of the spread.
"""

from collections.abc import Sequence

import numpy as np
from scipy.special import stdtrit

_EXPONENT = 0.75  # with which errors are trusted to fall as points are added
_ONE_SIGMA = 0.8413447460685429  # probability below one standard deviation of a Gaussian


def student(repetitions: int) -> float:
    """What a standard error from so few repetitions is multiplied by to hold the truth as often as that of a Gaussian, 68%."""
    return float(stdtrit(repetitions - 1, _ONE_SIGMA))


def standard_error(runs: np.ndarray) -> np.ndarray:
    """Standard error of the mean over the first axis."""
    return np.std(runs, axis=0, ddof=1) / np.sqrt(len(runs))


def error_bar(runs: Sequence[np.ndarray], cheaper: Sequence[np.ndarray], ratio: float) -> np.ndarray:
    """Bar of the mean of `runs`, of the shape of one.

    Args:
        runs: one array a repetition, at least two.
        cheaper: the same repetitions with `ratio` times fewer points.
    """
    fall = ratio**_EXPONENT
    fine, coarse = np.asarray(runs), np.asarray(cheaper)
    spread = np.maximum(standard_error(fine), standard_error(coarse) / fall)
    shared = np.abs(coarse.mean(axis=0) - fine.mean(axis=0)) / fall
    return np.hypot(student(len(fine)) * spread, shared)
