"""Error bars of a sampled solution, from independent repetitions and a cheaper solution of each. Source: own.

Few repetitions can agree by accident, and all of them can be wrong alike: a population too small for the tails of a loss, an
innovation left out. So each repetition is solved twice, the second time with `ratio` times fewer points and a tolerance ratio^2
times larger. Errors fall like points^-0.9 (theory.md 2), more slowly where a loss has two scales or a kink, and at least like the root of
the tolerance, so what both solutions share is of the order of their difference over ratio^0.75 or less, and the cheaper ones' spread
over the same is a second witness of the spread. One repetition has no spread: its bar is the distance of several cheaper ones from it,
over the same.

A cheaper solution can be beyond that law, as one that a rare steep gradient throws about at every step: it scatters by its own size, and so
does its distance, which then says nothing of what is shared. So what its scatter explains widens the bar of repetitions to 2.5 times what
their own spread makes it and no further; what its scatter does not explain counts in full.
"""

from collections.abc import Sequence

import numpy as np
from scipy.special import ndtr, stdtrit

EXPONENT = 0.75  # with which errors are trusted to fall as points are added
_WITNESSED = 2.5  # times the bar of the repetitions' own spread: as far as scattered cheaper solutions widen it
_EXPLAINED = 2.0  # bars of the cheaper solutions' mean that their scatter explains


def student(repetitions: int, deviations: float = 1.0) -> float:
    """What a standard error from so few repetitions is multiplied by to hold the truth as often as that of a Gaussian.

    Args:
        repetitions: behind the standard error, at least two.
        deviations: how many bars hold it as often as so many standard deviations: 68% for one, 95% for two. Where a bar rests on the
            spread alone, two: equal at one, three bars of 4 repetitions miss 4%, of 4 populations as of 4 of anything else.
    """
    return float(stdtrit(repetitions - 1, ndtr(deviations))) / deviations


def standard_error(runs: np.ndarray) -> np.ndarray:
    """Standard error of the mean over the first axis."""
    return np.std(runs, axis=0, ddof=1) / np.sqrt(len(runs))


def error_bar(runs: Sequence[np.ndarray], cheaper: Sequence[np.ndarray], ratio: float, exponent: float = EXPONENT) -> np.ndarray:
    """Bar of the mean of `runs`, of the shape of one.

    Args:
        runs: one array a repetition.
        cheaper: as many repetitions with `ratio` times fewer points; or several, where there is one run, independent of it.
        ratio: see there.
        exponent: with which errors are trusted to fall as points are added.
    """
    fall = ratio**exponent
    fine, coarse = np.asarray(runs), np.asarray(cheaper)
    if len(fine) == 1:
        return student(len(coarse) + 1, 2.0) * np.sqrt(np.mean((coarse - fine) ** 2, axis=0)) / fall
    own, witness = (student(len(fine)) * standard_error(x) for x in (fine, coarse))
    gap, most = np.abs(coarse.mean(axis=0) - fine.mean(axis=0)), _WITNESSED * own
    spread = np.maximum(own, np.minimum(witness / fall, most))
    shared = np.maximum(np.maximum(gap - _EXPLAINED * witness, 0) / fall, np.minimum(gap / fall, most))
    return np.hypot(spread, shared)
