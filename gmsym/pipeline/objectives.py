"""Objectives of the theories that have a gradient: DMF, flows, the effective dynamics, the stationary limit."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from gmsym.engine import causal_gradient, flow, ode, stationary
from gmsym.engine.coordinates import Start
from gmsym.engine.descent import check_entry
from gmsym.engine.integrator import check_solver
from gmsym.errors import ComputationError, InputError, check_integers, check_positive
from gmsym.pipeline import _cost
from gmsym.pipeline._stages import load
from gmsym.pipeline._work import check, memory_named
from gmsym.pipeline.dmf import numbers as dmf_numbers
from gmsym.pipeline.dmf import shape_of
from gmsym.pipeline.effective import arrays, times_from
from gmsym.pipeline.flow import numbers_of as flow_numbers
from gmsym.pipeline.stationary import instance_at_rest
from gmsym.pipeline.stationary import numbers as rest_numbers
from gmsym.pipeline.tuning import At, Chosen, Evaluation, Point, differentiating, in_numbers, pulled
from gmsym.problem.design import start
from gmsym.problem.loss import jumps
from gmsym.symbols import g
from gmsym.system import CausalKernels, Flow, Ode, Stationary

_GROWTHS = 8  # of the room for innovations, at most


@differentiating(CausalKernels)
def of_dmf(system: CausalKernels, chosen: Chosen, *, steps: int, at: At = None, samples: int = 2048, seed: int = 0) -> Evaluation:
    """A number of DMF at a time, or at its best time, on one scramble of the points."""
    problem = system.problem
    check_integers(steps=(steps, 1), samples=(samples, 64), seed=(seed, 0))
    if samples & (samples - 1):
        raise InputError(f"samples = {samples}: a power of two is needed (Sobol points)")
    if at not in (None, "best"):
        check_integers(at=(at, 0))
        if not at < steps:
            raise InputError(f"at = {at}: a time from 0 to {steps - 1}, or 'best', is needed")
    _check_smooth(problem)
    module, instance = load(system), problem.at(chosen.values)
    tangents, points = system.response == "tangent", system.response != "exact"
    forwards = _cost.limit(
        samples, steps, 1, problem.fields, problem.data.clusters, tangents, points, **shape_of(module, problem, instance)
    )
    check("differentiating DMF", _cost.reverse(forwards, steps), "fewer samples or steps")
    instance.ratio  # noqa: B018  that it is there
    coordinates = Start(*start(instance)) if system.update is not None else None
    course = causal_gradient.Course(module, dmf_numbers(instance), steps=steps, samples=samples, seed=seed, coordinates=coordinates)
    time = jnp.asarray(-1 if at == "best" else steps - 1 if at is None else at)
    return _along(problem, module, course, chosen, time, dmf_numbers, float, f"within {steps} steps; a smaller step size may help")


@differentiating(Flow)
def of_flow(
    system: Flow, chosen: Chosen, *, time: float, at: At = None, tolerance: float = 1e-4, samples: int = 2048, seed: int = 0
) -> Evaluation:
    """A number of a flow at the final time, or at its best time up to there, on one scramble of the points and on the grid of time that
    is good to `tolerance` at the first values."""
    problem = system.problem
    check_positive("time", time, "a positive number is needed")
    check_positive("tolerance", tolerance, "a positive number is needed")
    check_integers(samples=(samples, 64), seed=(seed, 0))
    if samples & (samples - 1):
        raise InputError(f"samples = {samples}: a power of two is needed (Sobol points)")
    if at not in (None, "best"):
        raise InputError(f"at = {at!r}: the final time (None), or 'best', is needed")
    _check_smooth(problem)
    module, instance = load(system), problem.at(chosen.values)
    instance.ratio  # noqa: B018  that it is there
    given, places = flow_numbers(system, instance)
    grid = flow.grid_of(module, given, places, float(time), tolerance=tolerance, samples=samples, seed=seed)
    steps = len(grid.rows)
    tangents, points = system.kernels.response == "tangent", system.kernels.response != "exact"
    forwards = _cost.limit(samples, steps, 1, problem.fields, problem.data.clusters, tangents, points, B=problem.data.blocks)
    check("differentiating the flow", _cost.reverse(forwards, steps), "fewer samples, or a shorter time")
    scheme = causal_gradient.Scheme(places, grid.rows, grid.ends)
    course = causal_gradient.Course(module, given, steps=steps, samples=samples, seed=seed, scheme=scheme)
    index = jnp.asarray(-1 if at == "best" else grid.ends[-1])

    def when(place: Any) -> float:
        return float(grid.times[np.searchsorted(grid.ends, int(place))])

    return _along(
        problem, module, course, chosen, index, lambda x: flow_numbers(system, x)[0], when, f"before time {time:g}; a shorter one may help"
    )


def _along(
    problem: Any,
    module: Any,
    course: causal_gradient.Course,
    chosen: Chosen,
    time: Any,
    numbers: Callable[[Any], Any],
    when: Callable[[Any], float],
    where: str,
) -> Evaluation:
    """A number along a course of steps; `numbers` are those of an instance, `when` the time of a step."""

    def evaluate(x: np.ndarray) -> Point:
        values = chosen.at(x)
        instance = problem.at(values)
        given = numbers(instance)
        moved = causal_gradient.Moved(*(jnp.asarray(getattr(given, name), float) for name in causal_gradient.Moved._fields))
        for _ in range(_GROWTHS):
            column = causal_gradient.column_of(course.setting, moved, chosen.objective, chosen.index)
            with memory_named("differentiating DMF", "fewer samples or steps"):
                value, slopes, place, ranks = causal_gradient.value_and_slopes(course.setting, moved, jnp.asarray(column), time)
            if not np.isfinite(float(value)):
                raise ComputationError(f"the trajectory diverged {where}")
            if not course.enlarge(ranks):
                break
        return Point(float(value), pulled(slopes, in_numbers(chosen, instance, values, module.PARAMETERS)), when(place))

    return evaluate


def _check_smooth(problem: Any) -> None:
    """Raises InputError where points have no gradient: the loss's gradient, or the update rule, jumps."""
    if problem.loss.kinks:
        where = ", ".join(f"{kink.locus} = 0" for kink in problem.loss.kinks)
        raise InputError(f"loss {problem.loss.name}: its gradient jumps where {where}, and points have no gradient through a jump")
    optimizer = problem.optimizer
    if not optimizer.is_linear:
        for rule in optimizer.composed:
            found = jumps(rule, (g, *optimizer.state))
            if found:
                raise InputError(f"optimizer {optimizer.name}: it jumps where {found[0]} = 0, and points have no gradient through a jump")


@differentiating(Ode)
def of_effective(
    system: Ode,
    chosen: Chosen,
    *,
    time: float | None = None,
    samples: float | None = None,
    at: At = None,
    tolerance: float = 1e-6,
    solver: str = "tsit5",
) -> Evaluation:
    """A number of the effective dynamics at the final time, or at its best time up to there."""
    if (time is None) == (samples is None):
        raise InputError(f"time = {time!r}, samples = {samples!r}: one of them is needed, the final time or samples for each dimension")
    if at not in (None, "best"):
        raise InputError(f"at = {at!r}: the final time (None), or 'best', is needed")
    if samples is not None:
        check_positive("samples", samples, "a positive number, samples for each dimension, is needed")
    check_solver(solver)
    check_positive("tolerance", tolerance, "a positive number is needed")
    fixed = None if time is None else times_from(time)
    if fixed is not None and np.ndim(time):
        raise InputError(f"time = {time!r}: one final time is needed")
    problem, module = system.problem, load(system)
    numbers, begin = arrays(problem.at(chosen.values), system.states, system.of_mixture)
    name = "v" if chosen.objective == "trained" else chosen.objective
    shapes = ode.shapes(module, begin, numbers)
    if name not in shapes:
        raise InputError(f"objective = {chosen.objective!r}: there are {', '.join(sorted(shapes))}")
    check_entry(chosen.objective, shapes[name], chosen.index)
    ode.check_differentiable(module, name)
    sets = ode.both_sets(module, ode.first_level(module, begin, numbers), 0)

    def evaluate(x: np.ndarray) -> Point:
        values = chosen.at(x)
        instance = problem.at(values)
        given, begin = arrays(instance, system.states, system.of_mixture)
        ts = fixed if fixed is not None else times_from(float(samples) * instance.online_step)
        ts = jnp.asarray(ts if at == "best" else ts[[0, -1]])
        moved = ode.Moved(*(getattr(given, field) for field in ode.Moved._fields))
        value, (slopes, stretch), reached = ode.value_and_slopes(
            module, solver, given, begin, moved, ts, sets, tolerance, name, chosen.index, at == "best"
        )
        if not np.isfinite(float(value)):
            raise ComputationError("the effective dynamics diverged; a smaller step c, or solver = 'kvaerno5', may help")
        moves = in_numbers(chosen, instance, values, module.PARAMETERS)
        moves["step"] = chosen.slopes_of(problem.online_step, values)
        own = problem.trained is not None and problem.trained.step is not None
        moves["trained_step"] = chosen.slopes_of(problem.trained.step, values) if own else moves["step"]
        found = pulled(slopes, moves)
        if samples is not None:  # the final time is samples * c
            found = found + float(stretch) * moves["step"] / instance.online_step
        return Point(float(value), found, float(reached))

    return evaluate


@differentiating(Stationary)
def of_rest(system: Stationary, chosen: Chosen) -> Evaluation:
    """A number of the stationary limit."""
    module = load(system)
    unknown = None  # of the last solution, where the next one starts

    def evaluate(x: np.ndarray) -> Point:
        nonlocal unknown
        values = chosen.at(x)
        instance = instance_at_rest(system.problem, values)
        given = rest_numbers(system, instance)
        found = stationary.solve_stationary(module, given, start=unknown)
        unknown = found.unknown
        slopes = stationary.slopes(module, given, found, chosen.objective, chosen.index)
        moves = in_numbers(chosen, instance, values, module.PARAMETERS)
        moves["ridge"] = moves["ridge"] + chosen.slopes_of(system.decay, values)
        moves["l1"] = np.array([float(system.sparse and name == "l1") for name in chosen.names])
        return Point(float(found.values[chosen.objective][chosen.index]), pulled(slopes, moves), None)

    return evaluate
