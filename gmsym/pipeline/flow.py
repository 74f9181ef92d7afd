"""Gradient flow: its DMF solved to a stated accuracy in continuous time, and training integrated beside it. Source: theory.md 4."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from gmsym import schema
from gmsym.engine.flow import solve_flow as engine_flow
from gmsym.errors import InputError, check_integers
from gmsym.pipeline._cost import limit, training
from gmsym.pipeline._stages import load, say
from gmsym.pipeline._verbs import simulating, solving
from gmsym.pipeline._work import working
from gmsym.pipeline.dmf import numbers
from gmsym.pipeline.training import counted
from gmsym.problem import Instance, Optimizer, Problem
from gmsym.problem.clock import flow_times
from gmsym.problem.design import design, instance_of_size, stated
from gmsym.runtime.causal_kernels import Numbers
from gmsym.runtime.interrupt import reporting
from gmsym.simulation import integrate
from gmsym.system import Flow

if TYPE_CHECKING:
    from pathlib import Path

    import xarray as xr

_EVALUATIONS = 400  # of an ordinary flow, for the estimate of its cost


@solving(Flow)
def solve_flow(
    system: Flow,
    values: Mapping[str, float],
    *,
    time: float | Sequence[float],
    points: int = 21,
    n: int | None = None,
    d: int | None = None,
    tolerance: float = 1e-4,
    samples: int = 8192,
    scrambles: int = 4,
    seed: int = 0,
    progress: bool | None = None,
) -> "xr.Dataset":
    """Order parameters of the gradient flow in the limit n, d -> infinity, in continuous time t: d theta/dt = -gradient.

    The flow is integrated by Adams-Bashforth steps of order 3 that grow, then by Runge-Kutta-Chebyshev steps whose stages grow, on a grid
    that is chosen here: by the largest curvature of the loss along the flow, measured, and by the error, from grids of half the steps.

    Args:
        system: from `derive.dmf` of a problem with `gmsym.optimizers.flow()`.
        values: a number for each parameter of the problem, and alpha, samples per dimension, n/d.
        time: the final time, or increasing times from 0 at which to record.
        points: number of recorded times where only the last one is given, evenly spaced in log(1 + t).
        n, d: in place of alpha, the size of a simulation that the limit is to be held against.
        tolerance: of the discretisation of time, relative to max(1, |value|). The error of the points is beside it: the more there are,
            the smaller it is.
        samples, scrambles, seed: of the points, as for `derive.dmf`.
        progress: show a progress bar; by default on a terminal, and in a notebook after two seconds.

    Returns:
        As for DMF, at real times; X_error holds the error of the points and that of the discretisation, which X is corrected by
        (Richardson). Attributes: evaluations of the gradient by each population, cheap_evaluations by one of few points to choose the grid,
        curvature, time_error (the largest error of the discretisation), accuracy_reached (0 where that is above the tolerance, which the
        logger `gmsym` also says).

    Raises:
        InputError: a number is unknown, missing or out of range; before anything is computed.
        ComputationError: the flow diverged.

    Example:
        >>> import gmsym as gm
        >>> problem = gm.Problem(gm.GaussianMixture.symmetric(), gm.losses.squared(), gm.optimizers.flow())
        >>> result = gm.solve(problem, {"alpha": 2.0, "sigma": 1.0, "mu_norm": 1.0}, time=5.0, points=6)
        >>> round(float(result["m"][-1, 0, 0]), 4)
        0.4819
    """
    problem: Problem = system.problem
    times = flow_times(time, points)
    if (n is None) != (d is None):
        raise InputError(f"n = {n!r}, d = {d!r}: alpha among the values, or both n and d, are needed")
    if isinstance(tolerance, bool) or not isinstance(tolerance, (int, float)) or not 1e-8 <= tolerance <= 0.1:
        raise InputError(f"tolerance = {tolerance!r}: a number from 1e-8 to 0.1 is needed")
    check_integers(samples=(samples, 64), scrambles=(scrambles, 2), seed=(seed, 0))
    if n is not None and d is not None:
        check_integers(n=(n, 1), d=(d, 1))
        instance = design(instance_of_size(problem, values, n, d), n, d).instance
    else:
        instance = problem.at(values)

    given, places = numbers_of(system, instance)
    sampled = system.kernels.response != "exact"
    cost = limit(
        samples,
        _EVALUATIONS,
        scrambles,
        problem.fields,
        problem.data.clusters,
        system.kernels.response == "tangent",
        sampled,
        B=problem.data.blocks,
    )
    with working("solving the flow", cost, "fewer samples or scrambles, or a shorter time", progress) as report:
        module, options = load(system), {"tolerance": tolerance, "samples": samples, "scrambles": scrambles, "seed": seed}
        found = reporting(lambda heard: engine_flow(module, given, places, times, report=heard, **options), report)
    worst = max(float(x.max()) for x in found.discretisation.values())
    if not found.reached:
        say(f"the discretisation of the flow is known to {worst:.1g}, not to the tolerance {tolerance:.1g} asked for")
    attributes = {
        **stated(problem, instance, instance.ratio),
        "response": system.kernels.response,
        "rank": list(found.solution.ranks),
        "evaluations": found.evaluations,
        "cheap_evaluations": found.cheap_evaluations,
        "curvature": found.curvature,
        "time_error": worst,
        "accuracy_reached": int(found.reached),
        "tolerance": tolerance,
        **({"samples": samples, "scrambles": scrambles, "seed": seed} if sampled else {}),
    }
    names = {"parameters": [x.name for x in problem.trained_parameters], "observables": problem.observable_names}
    return schema.to_dataset("theory", found.solution.values, found.solution.errors, attributes, times=times, **names)


def numbers_of(system: Flow, instance: Instance) -> tuple[Numbers, tuple[int, ...]]:
    """(an instance's numbers as the engine takes them, places of the scheme's coefficients among the parameters)."""
    names = [x.name for x in system.kernels.parameters]
    given = numbers(instance)._replace(
        parameters=[instance.parameters.get(name, 0.0) for name in names],
        trained_parameters=[instance.trained_parameters.get(name, 0.0) for name in names],
    )
    return given, tuple(names.index(x.name) for x in system.scheme)


@simulating(Optimizer)
def simulate_flow(
    problem: Problem,
    values: Mapping[str, float],
    *,
    d: int,
    time: float | Sequence[float],
    points: int = 21,
    n: int | None = None,
    replicates: int = 8,
    seed: int = 0,
    checkpoint: "Path | str | None" = None,
    progress: bool | None = None,
) -> "xr.Dataset":
    """Gradient flow on generated data of n samples in d dimensions, integrated adaptively (diffrax, 1e-7 a step).

    Args:
        problem: a problem whose optimizer is a flow.
        values: a number for each parameter of the problem; alpha, where it is given, is n/d.
        d: dimension.
        time, points: as `solve`: the same times.
        n: samples. Default: alpha d to the nearest integer.
        replicates, seed, checkpoint, progress: as for full batches.

    Raises:
        InputError: a number is unknown, missing or out of range; before anything is computed.
        ComputationError: the flow diverged; names the time.
    """
    problem.check_full_batch("simulate (gradient flow)", teachers=True, trained=True, own=True, flow=True)
    times = flow_times(time, points)
    check_integers(d=(d, 1), replicates=(replicates, 2), seed=(seed, 0))
    if n is None:
        n = counted(problem.at(values).ratio, d)
    check_integers(n=(n, 1))
    cost = training(n, d, 20 * len(times), replicates, problem.fields, problem.data.clusters)
    with working("integrating the flow", cost, "a shorter time, fewer replicates, or smaller n and d", progress) as report:
        return integrate(problem, values, n=n, d=d, times=times, replicates=replicates, seed=seed, checkpoint=checkpoint, report=report)
