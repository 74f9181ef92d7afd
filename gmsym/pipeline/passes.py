"""One sample at a time: DMF of ever smaller batches, extrapolated; and its simulation. Source: theory.md (5.2)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from gmsym import schema
from gmsym.engine.causal_kernels import Solution, solve_causal_kernels
from gmsym.errors import InputError, check_integers
from gmsym.pipeline._cost import limit, one_at_a_time
from gmsym.pipeline._stages import load
from gmsym.pipeline._verbs import simulating, solving
from gmsym.pipeline._work import working
from gmsym.pipeline.dmf import numbers, sized
from gmsym.pipeline.training import counted
from gmsym.problem import Problem
from gmsym.problem.design import stated
from gmsym.problem.sampling import BATCHES, Single
from gmsym.runtime.interrupt import reporting
from gmsym.simulation import run_single
from gmsym.simulation.single import pass_times
from gmsym.system import Passes

if TYPE_CHECKING:
    from pathlib import Path

    import xarray as xr

_LEVELS = 3  # numbers of batches, each twice the one before
_FEWEST = 8  # batches at the first level


@solving(Passes)
def solve_passes(
    system: Passes,
    values: Mapping[str, float],
    *,
    n: int | None = None,
    d: int | None = None,
    parts: int = 64,
    samples: int = 4096,
    scrambles: int = 4,
    seed: int = 0,
    progress: bool | None = None,
) -> "xr.Dataset":
    """Order parameters of one sample at a time in the limit n, d -> infinity, in the time t = c/d for each sample that is seen.

    A pass in so many batches errs by the order of 1/parts; solutions with `parts` batches, half and a quarter of them are extrapolated.

    Args:
        system: from `derive.dmf` of a problem with `gmsym.sampling.single`.
        values: a number for each parameter of the problem, and alpha, samples per dimension; that of eta is c, and each sample's step c/d.
        n, d: in place of alpha, the size of a simulation that the limit is to be held against.
        parts: the most batches of a pass, a multiple of 4, at least 32.
        samples: population size of each cluster, a power of two, at least 2 C passes parts.
        scrambles: independent repetitions, whose spread gives the standard errors.
        seed: of the scrambles.
        progress: show a progress bar; by default on a terminal, and in a notebook after two seconds.

    Returns:
        As for DMF, parts/4 times a pass, from 0 to the end of the last one. The standard error X_error holds that of the extrapolation,
        the change by its last order.

    Raises:
        InputError: a number is unknown, missing or out of range; before anything is computed.
        ComputationError: the trajectory diverged; names the step and the quantity.
    """
    problem: Problem = system.problem
    check_integers(parts=(parts, _FEWEST << (_LEVELS - 1)), samples=(samples, 64), scrambles=(scrambles, 2), seed=(seed, 0))
    if parts % (1 << (_LEVELS - 1)):
        raise InputError(f"parts = {parts}: a multiple of {1 << (_LEVELS - 1)} is needed, for the extrapolation")
    instance, passes = sized(problem, values, n, d), problem.sampling.passes
    alpha = instance.ratio

    counts = [parts >> level for level in reversed(range(_LEVELS))]
    inner = [sized(problem.in_batches, {**values, "alpha": alpha, BATCHES.name: float(x)}, n, d) for x in counts]
    blocks, module, total = problem.data.blocks, load(system), sum(counts)
    cost = limit(samples, passes * parts, scrambles, problem.fields, problem.data.clusters, False, True, B=blocks, every_step=True)
    with working("solving DMF", cost, "fewer samples, parts or scrambles", progress) as report:

        def level(count: int, given: object) -> Solution:
            done = sum(x for x in counts if x < count) / total
            options = {"steps": passes * count + 1, "samples": samples, "scrambles": scrambles, "seed": seed}
            part = lambda heard: solve_causal_kernels(  # noqa: E731
                module, numbers(given), report=lambda x: heard(done + x * count / total), **options
            )
            return reporting(part, report)

        levels = [level(count, given) for count, given in zip(counts, inner, strict=True)]
    found, errors = extrapolated(levels)
    attributes = {
        **stated(problem, instance, alpha),
        "step": instance.online_step,
        "parts": parts,
        "rank": list(levels[-1].ranks),
        **{"samples": samples, "scrambles": scrambles, "seed": seed},
    }
    times = pass_times(np.arange(passes * counts[0] + 1) / counts[0], alpha, instance.online_step)
    names = {"parameters": [x.name for x in problem.trained_parameters], "observables": problem.observable_names}
    return schema.to_dataset("theory", found, errors, attributes, times=times, **names)


def extrapolated(levels: list[Solution]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """(values, standard errors) in the limit of three solutions, each with twice the batches of the one before; at times of the first."""
    found, errors = {}, {}
    for name in levels[0].values:
        (a, b, c), bars = ([getattr(x, kind)[name][:: 1 << i] for i, x in enumerate(levels)] for kind in ("values", "errors"))
        found[name] = 2 * c - b  # without the first order
        second = (2 * c - 3 * b + a) / 3  # what taking out the second order would change
        errors[name] = np.sqrt((2 * bars[2]) ** 2 + bars[1] ** 2 + second**2)
    return found, errors


@simulating(Single)
def simulate_single(
    problem: Problem,
    values: Mapping[str, float],
    *,
    d: int,
    n: int | None = None,
    replicates: int = 8,
    points: int = 16,
    seed: int = 0,
    checkpoint: "Path | str | None" = None,
    progress: bool | None = None,
) -> "xr.Dataset":
    """Training by one sample at a time on generated data of n samples in d dimensions, averaged over replicates.

    Args:
        problem: the problem.
        values: a number for each parameter of the problem; alpha, where it is given, is n/d; that of eta is c, and each sample's step c/d.
        d: dimension.
        n: samples. Default: alpha d to the nearest integer.
        replicates: independent data sets, orders and initial states; the standard errors come from their spread.
        points: records of a pass, evenly spaced as far as whole steps allow; where they are not, no theory has their time.
        seed: of everything random.
        checkpoint: a file that keeps what is done every ten seconds and on Ctrl-C: the same call continues from it, to the same result to
            the last bit. It stays when all is done.
        progress: show a progress bar; by default on a terminal, and in a notebook after two seconds.

    Raises:
        InputError: a number is unknown, missing or out of range; before anything is computed.
        ComputationError: a run diverged; names the time.
    """
    check_integers(d=(d, 1), points=(points, 1), replicates=(replicates, 2), seed=(seed, 0))
    if n is None:
        n = counted(problem.at(values).ratio, d)
    check_integers(n=(n, 1))
    cost = one_at_a_time(n, d, problem.sampling.passes, points, replicates, problem.fields, problem.data.clusters)
    with working("one sample at a time", cost, "fewer passes, replicates or points, or smaller n and d", progress) as report:
        options = {"replicates": replicates, "points": points, "seed": seed, "checkpoint": checkpoint, "report": report}
        return run_single(problem, values, n=n, d=d, **options)
