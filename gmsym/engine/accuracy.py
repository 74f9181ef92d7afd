"""How many points an accuracy takes: one population as large as it must be, and a few small ones for its error bar. Source: own.

Several equal populations say how far they scatter, but their mean gains only the root of their number, where one population of as many
points gains the number itself (theory.md 2). So a few small populations are solved first. Their spread says how many points one
large one needs, and their distance from it, as errors fall (engine.bars), is its error bar. Where the largest that is compiled anyway
does not do, more of that size join it.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from gmsym.engine.bars import error_bar, student

RTOL = 1e-4  # relative to max(1, largest value of a curve)
MOST = 4  # large populations
FEW = 4  # small ones

Run = dict[str, np.ndarray]
Solve = Callable[[int, Sequence[int], bool], list[Run]]  # (points, which of the seeds, whether they only serve error bars) -> runs


class Sizes(NamedTuple):
    """Points of the populations that may be taken."""

    small: int
    large: tuple[int, ...]  # increasing
    exponent: float  # with which errors are trusted to fall


class Found(NamedTuple):
    """What was solved to an accuracy."""

    runs: list[Run]
    smaller: list[Run]
    samples: int


def to_accuracy(solve: Solve, sizes: Sizes, rtol: float, names: Callable[[Run], Sequence[str]]) -> Found:
    """The cheapest runs whose error bars are within `rtol`, or the largest.

    Args:
        solve: what gives the runs of so many points.
        sizes: to choose from.
        rtol: of max(1, largest value of a curve).
        names: of the curves of a run that count.
    """
    smaller = solve(sizes.small, range(MOST, MOST + FEW), True)
    curves = names(smaller[0])
    spread = {name: student(FEW + 1, 2.0) * np.std([run[name] for run in smaller], axis=0, ddof=1) for name in curves}
    needed = sizes.small * (largest({name: smaller[0][name] for name in curves}, spread) / rtol) ** (1 / sizes.exponent)
    for samples in [N for N in sizes.large if N >= needed] or sizes.large[-1:]:
        runs = solve(samples, [0], False)
        if _left(runs, smaller, samples / sizes.small, sizes.exponent, curves) <= rtol:
            return Found(runs, smaller, samples)
    return Found(runs + solve(samples, range(1, MOST), False), smaller, samples)


def _left(runs: list[Run], smaller: list[Run], ratio: float, exponent: float, names: Sequence[str]) -> float:
    bars = {name: error_bar([run[name] for run in runs], [run[name] for run in smaller], ratio, exponent) for name in names}
    return largest({name: runs[0][name] for name in names}, bars)


def largest(values: Run, errors: Run) -> float:
    """The largest error of all curves, relative to max(1, largest value of the curve)."""
    return max(float(np.max(errors[name]) / max(1.0, np.max(np.abs(values[name])))) for name in errors if np.size(values[name]))
