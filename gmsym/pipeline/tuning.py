"""Hyperparameters by gradients through any theory that is solved by a differentiable engine.

A kind of system registers its objective by `@differentiating(kind)`: a function (system, chosen, *, options) that returns what evaluates
one number of its results with its derivatives in the chosen parameters. `gradient` evaluates it once, `tune` minimises it.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import sympy as sp

from gmsym import derive, symbols
from gmsym.engine.descent import Range, minimised
from gmsym.errors import InputError, check_flag, check_integers
from gmsym.pipeline._verbs import check_options, checked, found_for
from gmsym.problem import AbstractProblem, Instance, Problem
from gmsym.problem.optimizers import knots_of
from gmsym.progress import announced, progress_bar
from gmsym.system import AbstractSystem

_NEEDED = "DMF, effective dynamics or a stationary limit, or a Problem,"
At = int | Literal["best"] | None


class Point(NamedTuple):
    """One number of a theory's results at some values."""

    value: float
    slopes: np.ndarray  # in the chosen parameters
    time: float | None  # at which it is


class Tuned(NamedTuple):
    """What `tune` finds."""

    values: dict[str, float]  # the best, by name
    history: list[float]  # the objective at the start and at each improvement
    time: float | None  # at which the objective is, the best one where that was asked for; None at rest


class Chosen(NamedTuple):
    """Parameters of a problem in which a number of its theory is differentiated, and that number."""

    problem: Problem
    values: dict[str, float]
    names: tuple[str, ...]
    objective: str
    index: tuple[int, ...]

    def at(self, numbers: Sequence[float]) -> dict[str, float]:
        """The values with these of the chosen parameters."""
        return {**self.values, **dict(zip(self.names, map(float, numbers), strict=True))}

    def slopes_of(self, expr: Any, values: Mapping[str, float]) -> np.ndarray:
        """Derivatives of an expression of the problem's parameters in the chosen ones."""
        expr = sp.sympify(expr)
        bound = {s: sp.Float(values.get(s.name, 0.0), 17) for s in expr.free_symbols}
        return np.array([float(sp.diff(expr, symbols.symbol(name)).subs(bound)) for name in self.names])


Evaluation = Callable[[np.ndarray], Point]
_OBJECTIVES: dict[type, Callable[..., Evaluation]] = {}


def differentiating(kind: type[AbstractSystem]) -> Callable[[Callable[..., Evaluation]], Callable[..., Evaluation]]:
    """Register what evaluates objectives of a kind of system."""

    def register(verb: Callable[..., Evaluation]) -> Callable[..., Evaluation]:
        _OBJECTIVES[kind] = verb
        return verb

    return register


@announced("differentiating")
def gradient(
    system: Any,
    values: Mapping[str, float],
    names: Sequence[str],
    *,
    objective: str = "test_loss",
    index: Sequence[int] = (),
    **options: Any,
) -> tuple[float, dict[str, float]]:
    """One number of a theory, and its derivatives in parameters of the problem, by differentiation through the solve.

    Args:
        system: DMF (`derive.dmf`, of a flow, too), effective dynamics or the stationary limit of a problem; or a problem, which takes
            its natural theory.
        values: a number for each parameter, as for `gmsym.solve`.
        names: of the loss's and the update rule's parameters, `eta`, `ridge` and, but online, `alpha`; the name of a schedule
            (`gmsym.optimizers.schedule`) stands for all its knots.
        objective: a variable of the results of that theory, such as "test_error", "train_loss", "Q".
        index: which entry of it, such as (0, 0) of Q (field, field).
        options: of the theory:

    ====================  ===========================================================================================================
    `derive.dmf`          steps; at (a time, or "best"; default the last), samples and seed of the points
    of a flow             time; at ("best"; default the last), tolerance of the grid, samples and seed of the points
    `derive.effective`    time, or samples for each dimension, steps/d; at ("best"; default the last), tolerance, solver
    `derive.stationary`   none
    ====================  ===========================================================================================================

    Returns:
        (value, {name: derivative}). Of DMF on these points, one scramble: the value is as accurate as theirs, the derivative is that of
        the value to rounding.

    Raises:
        InputError: a system that has no gradient, an unknown name, objective, index or option; a loss or rule that jumps.
        ComputationError: as `gmsym.solve`.

    Example:
        >>> import gmsym as gm
        >>> problem = gm.Problem(gm.GaussianMixture.symmetric(), gm.losses.squared(), gm.optimizers.gd())
        >>> values = {"alpha": 2.0, "sigma": 1.0, "mu_norm": 1.0, "eta": 0.2}
        >>> value, slopes = gm.gradient(problem, values, ["eta"], objective="m", index=(0, 0), steps=2)
        >>> round(value, 6), round(slopes["eta"], 6)
        (0.2, 1.0)
    """
    evaluate, chosen = _evaluation(system, values, names, objective, index, options)
    point = evaluate(np.array([chosen.values[name] for name in chosen.names]))
    return point.value, dict(zip(chosen.names, point.slopes.tolist(), strict=True))


def tune(
    system: Any,
    values: Mapping[str, float],
    names: Sequence[str],
    *,
    objective: str = "test_loss",
    index: Sequence[int] = (),
    maximise: bool = False,
    bounds: Mapping[str, Sequence[float | None]] | None = None,
    rounds: int = 100,
    progress: bool | None = None,
    **options: Any,
) -> Tuned:
    """Hyperparameters, and whole schedules, that make one number of a theory least, by gradients through the solve.

    A minimum nearby: BFGS starts from the values. With `at="best"` the number is the least along the trajectory, so that the result also
    has the best time to stop.

    Args:
        system, values, names, objective, index, options: as for `gmsym.gradient`; the search starts at the values.
        maximise: look for the largest number instead; not with at = "best".
        bounds: (low, high) of parameters by name, None for no bound on a side, which the search stays strictly between. Default:
            (0, None), so that a start is positive.
        rounds: of the search at most.
        progress: show a progress bar; by default on a terminal, and in a notebook after two seconds.

    Returns:
        Tuned(values, history, time): the best values by name, the objective at the start and at each improvement, and its time.

    Raises:
        InputError: as `gmsym.gradient`; a start out of bounds.
        ComputationError: as `gmsym.solve`, at the start; later the search steps back.
    """
    check_flag("maximise", maximise)
    check_integers(rounds=(rounds, 1))
    if maximise and options.get("at") == "best":
        raise InputError("at = 'best' is the least along the trajectory; it does not go with maximise")
    evaluate, chosen = _evaluation(system, values, names, objective, index, options)
    ranges = _ranges(chosen, bounds)
    sign = -1.0 if maximise else 1.0

    def signed(x: np.ndarray) -> tuple[float, np.ndarray]:
        point = evaluate(x)
        return sign * point.value, sign * point.slopes

    start = [chosen.values[name] for name in chosen.names]
    with progress_bar("tuning", progress) as report:
        best, history = minimised(signed, start, ranges, tolerance=1e-6, rounds=rounds, report=report)
    return Tuned(dict(zip(chosen.names, best.tolist(), strict=True)), [sign * value for value in history], evaluate(best).time)


def _evaluation(system: Any, values: Any, names: Any, objective: Any, index: Any, options: Mapping[str, Any]) -> tuple[Evaluation, Chosen]:
    """(the objective, what it is of), checked before anything is computed."""
    if isinstance(system, AbstractProblem):
        system = getattr(derive, system.natural.replace("-", "_"))(system)
    verb = found_for(_OBJECTIVES, system, "differentiate", _NEEDED)
    check_options(verb, options, f"differentiating {type(system).__name__}")
    if not isinstance(objective, str):
        raise InputError(f"objective = {objective!r}: the name of a variable is needed, such as 'test_error'")
    try:
        place = tuple(int(i) if i == int(i) else None for i in index)
    except (TypeError, ValueError):
        place = (None,)
    if None in place:
        raise InputError(f"index = {index!r}: whole numbers are needed, such as (0, 0)")
    values = dict(checked(values))
    for name, value in values.items():
        if np.ndim(value):
            raise InputError(f"{name} = {repr(value)[:60]}: one number is needed; a schedule is gmsym.optimizers.schedule")
    chosen = Chosen(system.problem, values, _names(system.problem, values, names), objective, place)
    return verb(system, chosen, **options), chosen


def _names(problem: Problem, values: dict[str, float], names: Any) -> tuple[str, ...]:
    """The chosen parameters, knots of schedules in the place of these; each is to enter the theory as a number that may move."""
    if isinstance(names, str) or not isinstance(names, Sequence) or not names or not all(isinstance(x, str) for x in names):
        raise InputError(f"names = {names!r}: a list of names is needed, such as ['eta', 'ridge']")
    schedules = knots_of(problem.optimizer)
    found = [knot for name in names for knot in schedules.get(name, (name,))]
    fixed = {s.name for expr in _elsewhere(problem) for s in sp.sympify(expr).free_symbols}
    fixed |= set() if problem.batches is None else {s.name for s in problem.batches.parameters}
    own = {s.name for s in (*problem.local_parameters, *problem.ridge.free_symbols)}
    own |= set() if problem.trained is None else {s.name for s in problem.trained.ridge.free_symbols}
    own |= set() if problem.is_online else {"alpha"}
    of_sampling = set() if problem.batches is None else {s.name for s in problem.batches.parameters}
    for name in found:
        if name in of_sampling:
            raise InputError(
                f"names holds {name!r}, on which it depends which samples a step sees: they enter and leave it one by one as {name} "
                f"moves, so that the points have no gradient in it; gm.solve with {name} = [...] gives the curve, and other parameters are "
                "tuned at each"
            )
        if name in fixed:
            raise InputError(f"names holds {name!r}, which the data, the start or the sampling depend on: no gradient is taken in these")
        if name not in own:
            raise InputError(f"names holds {name!r}; parameters here are {', '.join(sorted(own - fixed))}")
    if len(set(found)) < len(found):
        raise InputError(f"names = {list(names)}: each parameter once is needed")
    for name in found:
        if name not in values:
            raise InputError(f"no value for the parameter {name!r}, where the search starts")
    return tuple(found)


def _elsewhere(problem: Problem) -> list[sp.Basic]:
    """Expressions of a problem in whose parameters no gradient is taken."""
    found: list[Any] = [sp.Tuple(*problem.data.parameters), problem.norm2, problem.overlap, sp.Tuple(*problem.coordinates.parameters)]
    if problem.teacher is not None:
        found.append(problem.teacher.gram)
        found += [problem.teacher.overlap_with(problem.fields), problem.teacher.overlap_with_means(problem.data.clusters)]
    return found + ([] if problem.trained is None else list(problem.trained.initial))


def _ranges(chosen: Chosen, bounds: Any) -> list[Range]:
    schedules = knots_of(chosen.problem.optimizer)
    given: dict[str, Range] = {}
    if bounds is not None and not isinstance(bounds, Mapping):
        raise InputError(f"bounds = {bounds!r}: (low, high) by name is needed, such as {{'momentum': (0, 1)}}")
    for name, pair in (bounds or {}).items():
        knots = schedules.get(name, (name,))
        if not set(knots) <= set(chosen.names):
            raise InputError(f"bounds holds {name!r}, which is not among the names {list(chosen.names)}")
        try:
            low, high = (None if x is None else float(x) for x in pair)
        except (TypeError, ValueError):
            low = high = float("nan")
        if any(x is not None and not np.isfinite(x) for x in (low, high)) or (low is not None and high is not None and not low < high):
            raise InputError(f"bounds of {name} = {pair!r}: (low, high) with low < high, None for no bound, are needed")
        given |= dict.fromkeys(knots, Range(low, high))
    ranges = [given.get(name, Range(0.0, None)) for name in chosen.names]
    for name, own in zip(chosen.names, ranges, strict=True):
        if not own.holds(chosen.values[name]):
            sides = [f"above {own.low}"] * (own.low is not None) + [f"below {own.high}"] * (own.high is not None)
            hint = "" if name in given else "; bounds = {name: (low, high)} allow others"
            raise InputError(f"{name} = {chosen.values[name]}: a start {' and '.join(sides)} is needed{hint}")
    return ranges


def in_numbers(chosen: Chosen, instance: Instance, values: Mapping[str, float], parameters: Sequence[str]) -> dict[str, np.ndarray]:
    """How the numbers of an instance move with the chosen parameters, each (..., names): parameters, trained_parameters, ridge,
    trained_ridge, alpha."""
    problem, names = chosen.problem, chosen.names
    same = np.array([[float(own == name) for name in names] for own in parameters]).reshape(len(parameters), len(names))
    trained = same.copy()
    if instance.trained_step is not None and problem.trained is not None and symbols.eta.name in parameters:
        trained[list(parameters).index(symbols.eta.name)] = chosen.slopes_of(problem.trained.step, values)
    return {
        "parameters": same,
        "trained_parameters": trained,
        "ridge": chosen.slopes_of(problem.ridge, values),
        "trained_ridge": chosen.slopes_of(0 if problem.trained is None else problem.trained.ridge, values),
        "alpha": np.array([float(name == "alpha") for name in names]),
    }


def pulled(slopes: Any, moves: Mapping[str, np.ndarray]) -> np.ndarray:
    """Derivatives in the chosen parameters from those in the numbers, a named tuple, by the chain rule."""
    parts = ((np.asarray(x), moves[name]) for name, x in slopes._asdict().items() if name in moves)
    return sum(np.tensordot(x, move, x.ndim) for x, move in parts)


def options_of(system: AbstractSystem) -> list[str]:
    """Options of the objective of a system.

    Raises:
        InputError: it has no gradient.
    """
    verb = found_for(_OBJECTIVES, system, "differentiate", _NEEDED)
    return [x.name for x in inspect.signature(verb).parameters.values() if x.kind is inspect.Parameter.KEYWORD_ONLY]
