"""Effective dynamics of online SGD, its fluctuations, and what is asked of its trajectories. Source: theory.md 6."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gmsym import derive, schema
from gmsym.engine import ode, sde
from gmsym.engine.finite_dimension import at_dimension
from gmsym.errors import InputError, check_integers
from gmsym.pipeline import _cost
from gmsym.pipeline._stages import DEVIATION, deviation_labels, load, say
from gmsym.pipeline._verbs import solving
from gmsym.pipeline._work import working
from gmsym.problem import Instance, Problem
from gmsym.problem.design import realised, shares
from gmsym.problem.instance import Vectors
from gmsym.runtime.interrupt import reporting
from gmsym.runtime.ode import Numbers, Spread, State
from gmsym.system import Ode, Sde

if TYPE_CHECKING:
    import xarray as xr

_AVERAGE = "; there t is a time, and an average lasts whose weight is of order eta, such as averaged(optimizer, weight=eta/(t + 1))"
POINTS = 101  # recorded times where only the last one is given


@solving(Ode)
def solve_effective(
    system: Ode,
    values: Mapping[str, float],
    *,
    time: float | Sequence[float],
    d: int | None = None,
    blocks_at: int | None = None,
    tolerance: float = 1e-9,
    solver: str = "tsit5",
    of: str | None = None,
    progress: bool | None = None,
) -> "xr.Dataset":
    """Order parameters of online SGD in the limit d -> infinity, or at dimension d to order 1/d, in the time t = steps * c/d.

    Args:
        system: effective dynamics from `derive.effective`.
        values: a number for each parameter of the problem; that of eta is c, and each step of online SGD is c/d.
        time: the final time, or increasing times from 0 at which to record (`runs["time"].values` of a simulation, say).
        d: a dimension: values are then means over runs that start from the same Gram matrix, and X_deviation is the standard deviation of
            one run, to order 1/sqrt(d): too small for a test loss or error near a plateau, where its derivatives nearly vanish. The
            next order of the mean, 1/d^2, is not known. Default: the limit.
        blocks_at: a dimension whose whole numbers d_b, over it, stand for rho_b, as in a simulation at that dimension. Default: d.
        tolerance: of each order parameter, relative to max(1, |value|).
        solver: "tsit5", or "kvaerno5" for stiff problems.
        of: a state variable of the update rule that lasts (a slow velocity, a running mean of iterates), whose overlaps, loss and error are
            reported in place of Theta's.
        progress: show a progress bar; by default on a terminal, and in a notebook after two seconds.

    Returns:
        Dataset with m (time, cluster, field), Q (time, field, field_b), Q_k, M (time, teacher, field), trained (time, parameter),
        test_loss, test_error (time), as far as the problem has them; the shares of each of several blocks, m_b (time, block, cluster,
        field), Q_b and M_b; and X_error for each X: how far it moves when the quadrature nodes are exchanged, plus the solver's
        error, from solutions at larger tolerances and what they make of test loss and error. Attributes quadrature_error and solver_error
        are the largest of each; accuracy_reached is 0 where they exceed the tolerance, which is also said through the logger `gmsym`.

    Raises:
        InputError: an argument is unknown, missing or out of range, before anything is computed; d with a loss that has kinks in several
            fields.
        ComputationError: the dynamics diverged; names the time. d is too small for an expansion in 1/d.
    """
    problem: Problem = system.problem
    ts = times_from(time)
    if d is not None or blocks_at is not None:
        problem.check_blocks("solve at a dimension d (its own is that of the coordinates)")
    place = place_of(system, of)
    if d is not None:
        check_integers(d=(d, 1))
        problem.check_descent(f"solve at d = {d}")
    instance = problem.at(values)
    rounded = d if blocks_at is None else blocks_at
    if rounded is not None:
        check_integers(blocks_at=(rounded, 1))
        instance = realised(instance, rounded)

    module, (numbers, start) = load(system), arrays(instance, system.states, system.of_mixture)
    if d is not None:
        sde.check_smooth(module)
    cost = _cost.trajectory(len(ts), sum(x.size for x in start))
    with working("solving the effective dynamics", cost, "fewer times", progress) as report:
        solution = reporting(
            lambda heard: ode.solve_ode(module, numbers, start, ts, tolerance=tolerance, solver=solver, of=place, report=heard), report
        )
    accuracy = solution.quadrature_error + solution.solver_error
    if accuracy > tolerance:
        say(f"the order parameters of {problem.loss.name} are known to {accuracy:.1g}, not to the tolerance {tolerance:.1g} asked for")
    attributes = {
        "problem": problem.name,
        "problem_signature": problem.signature,
        "step": instance.online_step,
        "parameters": instance.values,
        **shares(instance),
        "tolerance": tolerance,
        "solver": solver,
        "accuracy_reached": int(accuracy <= tolerance),
        "quadrature_error": solution.quadrature_error,
        "solver_error": solution.solver_error,
        "nodes": solution.nodes,
        "solver_steps": solution.steps,
    }
    means, errors, deviations = labelled(solution.values), labelled(solution.errors), {}
    if d is not None:
        law = _cost.fluctuation_law(len(ts), sum(x.size for x in start), 0)
        fluctuations = load(derive.fluctuations(system))
        with working("the law of fluctuations", law, "fewer times", progress):
            found = reporting(lambda heard: _finite(fluctuations, numbers, start, ts, d))
            shift, change, deviations = map(labelled, found)
        means = {name: value + shift[name] for name, value in means.items()}
        errors = {name: error + change[name] for name, error in errors.items()}
        attributes["d"] = d
    names = [x.name for x in problem.trained_parameters]
    own = problem.observable_names
    result = schema.to_dataset("theory", means, errors, attributes, times=ts, parameters=names, observables=own)
    added = {f"{x}{DEVIATION}": (result[x].dims, deviations[x], deviation_labels(result[x].attrs)) for x in deviations if x in result}
    return result.assign(added)


def _finite(module: Any, numbers: Any, start: Any, ts: np.ndarray, d: int) -> tuple[dict[str, np.ndarray], ...]:
    """(shift of the mean at dimension d, its change under other nodes, deviation of a run) of each of the engine's arrays."""

    found = sde.solve_fluctuations(module, numbers, start, ts, bias=True)
    assert found.bias is not None and found.bias_error is not None  # as asked for
    other = found._replace(bias=found.bias + found.bias_error, covariance=found.covariance + found.covariance_error)
    one, two = (at_dimension(module, numbers, start, x, d, ode.both_sets(module, 1, i)[1]) for i, x in enumerate((found, other)))
    return one.shift, {name: np.abs(value - two.shift[name]) for name, value in one.shift.items()}, one.deviation


@solving(Sde)
def solve_fluctuations(
    system: Sde,
    values: Mapping[str, float],
    *,
    time: float | Sequence[float],
    initial: Any = None,
    paths: int = 0,
    seed: int = 0,
    progress: bool | None = None,
) -> "xr.Dataset":
    """Law of sqrt(d) (u - ubar) for the statistics u = (Q, m, M, trained) of online SGD, Gaussian as d -> infinity.

    With several blocks of coordinates the statistics are those of each block, Q_b, m_b and M_b.

    Args:
        system: fluctuations from `derive.fluctuations`.
        values: a number for each parameter of the problem; that of eta is c.
        time: the final time, or increasing times from 0 at which to record.
        initial: covariance at time 0, (n, n) in the order of the coordinate `statistic`; default 0, an exact initial Gram matrix.
        paths: how many paths of the stochastic differential equation to draw, by its own solver.
        seed: of the paths.
        progress: show a progress bar; by default on a terminal, and in a notebook after two seconds.

    Returns:
        Dataset with mean (time, statistic), covariance (time, statistic, statistic_b), covariance_error (its change under other
        quadrature nodes and another tolerance of the solver), two_time (time, time_b, statistic, statistic_b) and perhaps paths (path,
        time, statistic).

    Raises:
        InputError, ComputationError: as `effective`.
    """
    problem: Problem = system.problem
    ts = times_from(time)
    check_integers(paths=(paths, 0), seed=(seed, 0))
    instance = problem.at(values)
    import xarray as xr

    module = load(system)
    numbers, start = arrays(instance)
    cost = _cost.fluctuation_law(len(ts), sum(x.size for x in start), paths)
    with working("the law of fluctuations", cost, "fewer times or paths", progress) as report:
        found = sde.solve_fluctuations(module, numbers, start, ts, initial=initial)
        report(0.8)
        drawn = sde.sample_paths(module, found, ts, paths=paths, seed=seed, initial=initial) if paths else None
    square = ("time", "statistic", "statistic_b")
    variables = {
        "mean": (square[:2], found.mean),
        "covariance": (square, found.covariance),
        "covariance_error": (square, found.covariance_error),
        "two_time": (("time", "time_b", *square[1:]), found.two_time),
    }
    if drawn is not None:
        variables["paths"] = (("path", *square[:2]), drawn)
    names = sde.labels(module, len(numbers.rho))
    coordinates = {"time": ts, "time_b": ts, "statistic": names, "statistic_b": names}
    parameters = json.dumps(instance.values, sort_keys=True)
    about = {"kind": "fluctuations", "problem": problem.name, "step": instance.online_step, "parameters": parameters}
    return xr.Dataset(variables, coordinates, about)


def crossing_time(
    system: Ode | Problem, values: Mapping[str, float], variable: str, index: Sequence[int], level: float, *, time: float
) -> float | None:
    """First time at which an order parameter of online SGD crosses a level, by the solver's event location; None if not up to `time`.

    Args:
        system: effective dynamics from `derive.effective`, or a problem.
        values: a number for each parameter of the problem; that of eta is c.
        variable, index: "Q" (field, field), "m" (cluster, field), "M" (teacher, field), "Q_k" (cluster, field, field) or "trained"
            (parameter,); with several blocks also "Q_b", "m_b" and "M_b", with the block first.
        level: what it crosses.
        time: the last time looked at.

    Raises:
        InputError, ComputationError: as `gmsym.solve`.
    """
    system = _system(system)
    final = float(times_from(time)[-1])
    instance = system.problem.at(values)

    numbers, start = arrays(instance, system.states, system.of_mixture)
    name = "v" if variable == "trained" else variable
    return ode.crossing(load(system), numbers, start, final, name, tuple(index), float(level))


def _system(system: Any) -> Ode:
    if isinstance(system, Problem):
        system = derive.effective(system)
    if not isinstance(system, Ode):
        raise InputError(f"system = {system!r}: effective dynamics (derive.effective) or a Problem that samples online are needed")
    return system


def place_of(system: Ode, of: str | None) -> int:
    """Of a state that lasts among theta and these.

    Raises:
        InputError: there is no such state, it dies out, or it is itself of the order of a step.
    """
    if of is None:
        return 0
    optimizer = system.problem.optimizer
    optimizer.check_of(of)
    steps = system.problem.small_steps
    measured = dict(zip((x.name for x in steps.lasting), steps.powers, strict=True))
    if measured.get(of) != 0:
        lasting = [x for x, power in measured.items() if power == 0 and x != "theta"]
        raise InputError(
            f"of = {of!r}: online SGD reports a state that keeps a value of order 1 over a time of order 1; of the optimizer "
            f"{optimizer.name!r} these are {', '.join(lasting) or 'none'}{_AVERAGE if of == 'average' else ''}"
        )
    return list(measured).index(of)


def times_from(time: Any) -> np.ndarray:
    """The recorded times: evenly spaced to a final one, or as given.

    Raises:
        InputError: not a positive number, nor increasing times from 0.
    """
    try:
        numbers = np.asarray(time)
        ts = numbers.astype(float) if numbers.dtype.kind in "iuf" else np.array([])
    except (TypeError, ValueError, OverflowError):
        ts = np.array([])
    if ts.ndim == 0 and np.isfinite(ts) and ts > 0:
        return np.linspace(0.0, float(ts), POINTS)
    if ts.ndim != 1 or len(ts) < 2 or ts[0] != 0 or not (np.isfinite(ts).all() and (np.diff(ts) > 0).all()):
        raise InputError(f"time = {repr(time)[:60]}: a positive final time, or at least two increasing times that start at 0, are needed")
    return ts


def arrays(instance: Instance, states: int = 1, more: Sequence[str] = ()) -> Any:
    """(numbers, initial state) of an online problem as the engine takes them; Theta is the first of its rule's states, others start at 0;
    `more` are parameters of the mixture that the means hold."""
    import jax.numpy as jnp

    vectors = instance.vectors
    if vectors is not None:
        return _in_coordinates(instance, vectors)
    several, C, K = len(instance.fractions) > 1, *instance.initial_overlap.shape
    grams = instance.block_grams
    fixed = np.moveaxis(grams[:, C:, C:] / instance.fractions[:, None, None], 0, -1) if several else instance.gram[C:, C:]
    numbers = Numbers(
        probabilities=instance.probabilities,
        labels=instance.labels,
        sigma2=instance.variance if several else instance.variance[:, 0],
        rho=instance.fractions,
        gram=fixed[:K, :K],
        tau_gram=fixed[K:, K:],
        tau_mean=fixed[K:, :K],
        step=instance.online_step,
        ridge=instance.ridge,
        trained_step=instance.online_trained_step,
        trained_ridge=instance.trained_ridge,
        parameters=[*instance.parameters.values(), *(instance.values[name] for name in more)],
        corrector=1.0,
    )
    parts = grams if several else instance.gram
    start = State(parts[..., :C, :C], parts[..., C : C + K, :C], parts[..., C + K :, :C], instance.trained)
    as_arrays = Numbers(*(jnp.asarray(x, float) if not isinstance(x, tuple) else x for x in numbers))
    return as_arrays, State(*(jnp.asarray(x, float) for x in start)).with_columns(states * C)


def _in_coordinates(instance: Instance, vectors: Vectors) -> Any:
    """The same of a problem whose means and start are vectors."""
    import jax.numpy as jnp

    d, C = vectors.start.shape
    full = vectors.covariance is not None
    numbers = Numbers(
        probabilities=instance.probabilities,
        labels=instance.labels,
        sigma2=instance.variance,
        rho=instance.fractions,
        gram=np.zeros(0),
        tau_gram=np.zeros(0),
        tau_mean=np.zeros(0),
        step=instance.online_step,
        ridge=instance.ridge,
        trained_step=instance.online_trained_step,
        trained_ridge=instance.trained_ridge,
        parameters=list(instance.parameters.values()),
        corrector=1.0,
        means=vectors.means,
        covariance=vectors.covariance if full else (),
        groups=jnp.asarray(vectors.groups, int) if full else (),
    )
    kept = {"groups"} if full else {"covariance", "groups"}
    as_arrays = Numbers(*(x if name in kept else jnp.asarray(x, float) for name, x in numbers._asdict().items()))
    return as_arrays, Spread(*(jnp.asarray(x, float) for x in (vectors.start, np.zeros((d, C, C)), instance.trained)))


def labelled(found: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The engine's arrays under the names of the schema."""
    return {("trained" if name == "v" else name): value for name, value in found.items()}
