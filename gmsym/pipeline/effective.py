"""Effective dynamics of online SGD, and the two simulations beside it. Source: theory.md 6."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from gmsym import derive, schema
from gmsym.codegen import signature
from gmsym.errors import InputError, check_integers, check_positive
from gmsym.pipeline import _cost
from gmsym.pipeline._stages import DEVIATION, deviation_labels, load, progress_bar, say
from gmsym.pipeline._work import working
from gmsym.problem import Problem
from gmsym.problem.design import realised, shares
from gmsym.problem.online import OnlineInstance, online
from gmsym.system import AbstractSystem, Ode, Sde

if TYPE_CHECKING:
    from pathlib import Path

    import xarray as xr

POINTS = 101  # recorded times where only the last one is given


def effective(
    system: Ode | Problem,
    *,
    time: float | Sequence[float],
    step: float,
    d: int | None = None,
    blocks_at: int | None = None,
    tolerance: float = 1e-9,
    solver: str = "tsit5",
    progress: bool | None = None,
    **parameters: float,
) -> "xr.Dataset":
    """Order parameters of online SGD in the limit d -> infinity, or at dimension d to order 1/d, in the time t = steps * c/d.

    Args:
        system: effective dynamics from `derive.effective`, or a problem, which is derived first.
        time: the final time, or increasing times from 0 at which to record (`runs["time"].values` of a simulation, say).
        step: c; each step of online SGD is c/d.
        d: a dimension: values are then means over runs that start from the same Gram matrix, and X_deviation is the standard deviation of
            one run, to order 1/sqrt(d): too small for a test loss or error near a plateau, where its derivatives nearly vanish. The
            next order of the mean, 1/d^2, is not known. Default: the limit.
        blocks_at: a dimension whose whole numbers d_b, over it, stand for rho_b, as in a simulation at that dimension. Default: d.
        tolerance: of each order parameter, relative to max(1, |value|).
        solver: "tsit5", or "kvaerno5" for stiff problems.
        progress: show a progress bar on stderr; by default only on a terminal.
        parameters: a number for each parameter of the problem but `eta`, which is c.

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
    system, problem = _system(system)
    ts = times_from(time)
    if d is not None:
        check_integers(d=(d, 1))
    given = online(problem, step, parameters)
    rounded = d if blocks_at is None else blocks_at
    if rounded is not None:
        check_integers(blocks_at=(rounded, 1))
        given = replace(given, instance=realised(given.instance, rounded))

    from gmsym.engine.ode import solve_ode
    from gmsym.engine.sde import check_smooth
    from gmsym.runtime.interrupt import reporting

    module, (numbers, start) = load(system), arrays(given)
    if d is not None:
        check_smooth(module)
    cost = _cost.trajectory(len(ts), sum(x.size for x in start))
    with working("solving the effective dynamics", cost, "fewer times", progress) as report:
        solution = reporting(lambda heard: solve_ode(module, numbers, start, ts, tolerance=tolerance, solver=solver, report=heard), report)
    accuracy = solution.quadrature_error + solution.solver_error
    if accuracy > tolerance:
        say(f"the order parameters of {problem.loss.name} are known to {accuracy:.1g}, not to the tolerance {tolerance:.1g} asked for")
    attributes = {
        "problem": f"{problem.loss.name} / online",
        "problem_signature": problem.signature,
        "step": given.step,
        "parameters": given.instance.values,
        **shares(given.instance),
        "signature": signature(system),
        "tolerance": tolerance,
        "solver": solver,
        "accuracy_reached": int(accuracy <= tolerance),
        "quadrature_error": solution.quadrature_error,
        "solver_error": solution.solver_error,
        "nodes": solution.nodes,
        "solver_steps": solution.steps,
    }
    values, errors, deviations = labelled(solution.values), labelled(solution.errors), {}
    if d is not None:
        law = _cost.fluctuation_law(len(ts), sum(x.size for x in start), 0)
        fluctuations = load(derive.fluctuations(system))
        with working("the law of fluctuations", law, "fewer times", progress):
            found = reporting(lambda heard: _finite(fluctuations, numbers, start, ts, d))
            shift, change, deviations = map(labelled, found)
        values = {name: value + shift[name] for name, value in values.items()}
        errors = {name: error + change[name] for name, error in errors.items()}
        attributes["d"] = d
    names = [x.name for x in problem.trained_parameters]
    result = schema.to_dataset("theory", values, errors, attributes, times=ts, parameters=names)
    added = {f"{x}{DEVIATION}": (result[x].dims, deviations[x], deviation_labels(result[x].attrs)) for x in deviations if x in result}
    return result.assign(added)


def _finite(module: Any, numbers: Any, start: Any, ts: np.ndarray, d: int) -> tuple[dict[str, np.ndarray], ...]:
    """(shift of the mean at dimension d, its change under other nodes, deviation of a run) of each of the engine's arrays."""
    from gmsym.engine.finite_dimension import at_dimension
    from gmsym.engine.ode import both_sets
    from gmsym.engine.sde import solve_fluctuations

    found = solve_fluctuations(module, numbers, start, ts, bias=True)
    other = found._replace(bias=found.bias + found.bias_error, covariance=found.covariance + found.covariance_error)
    one, two = (at_dimension(module, numbers, start, x, d, both_sets(module, 1, i)[1]) for i, x in enumerate((found, other)))
    return one.shift, {name: np.abs(value - two.shift[name]) for name, value in one.shift.items()}, one.deviation


def simulate_online(
    problem: Problem | AbstractSystem,
    *,
    d: int,
    time: float,
    step: float,
    replicates: int = 8,
    points: int = 21,
    seed: int = 0,
    sampler: str = "online",
    checkpoint: "Path | str | None" = None,
    progress: bool | None = None,
    **parameters: float,
) -> "xr.Dataset":
    """Online SGD at dimension d: the same variables as `effective`, averaged over replicates.

    Args:
        problem: the problem (or a system derived from it).
        d: dimension.
        time: final time t = steps * c/d.
        step: c.
        replicates: independent samples and initial orientations; the standard errors come from their spread.
        points: number of recorded times.
        seed: of everything random.
        checkpoint: a file that keeps what is done, as for `simulate`.
        sampler: "online", d-dimensional vectors; or "chain", the exact Markov chain of the Gram matrix, whose cost does not grow with d.
        progress: show a progress bar on stderr; by default only on a terminal.
        parameters: a number for each parameter of the problem but `eta`, which is c.

    Raises:
        InputError, ComputationError: as `effective`.
    """
    problem = problem.problem if isinstance(problem, AbstractSystem) else problem
    if not isinstance(problem, Problem):
        raise InputError(f"problem = {problem!r}: a Problem is needed")
    if sampler not in ("online", "chain"):
        raise InputError(f"sampler = {sampler!r}; allowed are online, chain")
    check_integers(d=(d, 1), points=(points, 2), replicates=(replicates, 2), seed=(seed, 0))
    given = online(problem, step, parameters)
    sizes = problem.fields, problem.data.clusters, problem.data.blocks, len(given.instance.teacher_gram) + len(given.instance.trained)
    cost = _cost.online_sgd(
        d,
        check_positive("time", time, "a positive number is needed, t = steps * c/d") * d / given.step,
        points,
        replicates,
        *sizes,
        chain=sampler == "chain",
    )
    with working("online SGD", cost, "a shorter time, a larger step, fewer replicates or points", progress) as report:
        from gmsym.simulation import run_chain, run_online

        run = run_online if sampler == "online" else run_chain
        options = {"replicates": replicates, "points": points, "seed": seed, "checkpoint": checkpoint, "report": report}
        return run(problem, d=d, time=time, step=step, **options, **parameters)


def fluctuations(
    system: Sde | Ode | Problem,
    *,
    time: float | Sequence[float],
    step: float,
    initial: Any = None,
    paths: int = 0,
    seed: int = 0,
    progress: bool | None = None,
    **parameters: float,
) -> "xr.Dataset":
    """Law of sqrt(d) (u - ubar) for the statistics u = (Q, m, M, trained) of online SGD, Gaussian as d -> infinity.

    With several blocks of coordinates the statistics are those of each block, Q_b, m_b and M_b.

    Args:
        system: fluctuations from `derive.fluctuations`, effective dynamics, or a problem, which is derived first.
        time, step, progress, parameters: as `effective`.
        initial: covariance at time 0, (n, n) in the order of the coordinate `statistic`; default 0, an exact initial Gram matrix.
        paths: how many paths of the stochastic differential equation to draw, by its own solver.
        seed: of the paths.

    Returns:
        Dataset with mean (time, statistic), covariance (time, statistic, statistic_b), covariance_error (its change under other
        quadrature nodes), two_time (time, time_b, statistic, statistic_b) and perhaps paths (path, time, statistic).

    Raises:
        InputError, ComputationError: as `effective`.
    """
    if not isinstance(system, Sde):
        system = derive.fluctuations(_system(system)[0])
    problem = system.problem
    ts = times_from(time)
    check_integers(paths=(paths, 0), seed=(seed, 0))
    given = online(problem, step, parameters)
    import xarray as xr

    from gmsym.engine.sde import labels, sample_paths, solve_fluctuations

    module = load(system)
    numbers, start = arrays(given)
    cost = _cost.fluctuation_law(len(ts), sum(x.size for x in start), paths)
    with working("the law of fluctuations", cost, "fewer times or paths", progress) as report:
        found = solve_fluctuations(module, numbers, start, ts, initial=initial)
        report(0.8)
        drawn = sample_paths(module, found, ts, paths=paths, seed=seed, initial=initial) if paths else None
    square = ("time", "statistic", "statistic_b")
    variables = {
        "mean": (square[:2], found.mean),
        "covariance": (square, found.covariance),
        "covariance_error": (square, found.covariance_error),
        "two_time": (("time", "time_b", *square[1:]), found.two_time),
    }
    if drawn is not None:
        variables["paths"] = (("path", *square[:2]), drawn)
    names = labels(module, len(numbers.rho))
    coordinates = {"time": ts, "time_b": ts, "statistic": names, "statistic_b": names}
    about = {"kind": "fluctuations", "problem": f"{problem.loss.name} / online", "step": given.step, "signature": signature(system)}
    return xr.Dataset(variables, coordinates, about)


def crossing_time(
    system: Ode | Problem, variable: str, index: Sequence[int], value: float, *, time: float, step: float, **parameters: float
) -> float | None:
    """First time at which an order parameter crosses a value, by the solver's event location; None if not up to `time`.

    Args:
        system, step, parameters: as `effective`.
        variable, index: "Q" (field, field), "m" (cluster, field), "M" (teacher, field), "Q_k" (cluster, field, field) or "trained"
            (parameter,); with several blocks also "Q_b", "m_b" and "M_b", with the block first.
        value: what it crosses.
        time: the last time looked at.

    Raises:
        InputError, ComputationError: as `effective`.
    """
    system, problem = _system(system)
    final = float(times_from(time)[-1])
    given = online(problem, step, parameters)
    from gmsym.engine.ode import crossing

    numbers, start = arrays(given)
    name = "v" if variable == "trained" else variable
    return crossing(load(system), numbers, start, final, name, tuple(index), float(value))


def tune(
    system: Ode | Problem,
    names: Sequence[str],
    *,
    samples: float,
    step: float,
    objective: str = "test_loss",
    progress: bool | None = None,
    **parameters: float,
) -> tuple[dict[str, float], list[float]]:
    """Hyperparameters that minimise the test loss or error after a given number of samples, by gradients through the solve.

    Args:
        system, step, progress, parameters: as `effective`; the numbers are where the search starts.
        names: which of the loss's and the schedule's parameters, `step` and `ridge` to change; positive numbers.
        samples: number of samples for each dimension, that is steps/d; the final time is samples * c.
        objective: "test_loss" or "test_error".

    Returns:
        The best values by name, and the objective at the start and at each improvement.

    Raises:
        InputError, ComputationError: as `effective`.
    """
    system, problem = _system(system)
    check_positive("samples", samples, "a positive number, samples for each dimension, is needed")
    given = online(problem, step, parameters)
    from gmsym.engine.ode import tune as search

    numbers, start = arrays(given)
    with progress_bar("tuning", progress) as report:
        return search(load(system), numbers, start, float(samples), list(names), objective=objective, report=report)


def _system(system: Any) -> tuple[Ode, Problem]:
    if isinstance(system, Problem):
        system = derive.effective(system)
    if not isinstance(system, Ode):
        raise InputError(f"system = {system!r}: effective dynamics (derive.effective) or a Problem are needed")
    return system, system.problem


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


def arrays(given: OnlineInstance) -> Any:
    """(numbers, initial state) of an online problem as the engine takes them."""
    import jax.numpy as jnp

    from gmsym.runtime.ode import Numbers, State

    instance = given.instance
    several = len(instance.fractions) > 1
    numbers = Numbers(
        probabilities=instance.probabilities,
        labels=instance.labels,
        sigma2=instance.variance if several else instance.variance[:, 0],
        rho=instance.fractions,
        gram=instance.means_gram,
        tau_gram=instance.teacher_gram,
        tau_mean=instance.teacher_means,
        step=given.step,
        ridge=instance.ridge,
        trained_step=given.trained_step,
        trained_ridge=instance.trained_ridge,
        parameters=list(instance.parameters.values()),
        corrector=1.0,
    )
    whole = instance.initial_gram, instance.initial_overlap.T, instance.teacher_overlap.T
    shares = [instance.fractions[:, None, None] * x for x in whole] if several else whole
    start = State(*shares, instance.trained)
    return Numbers(*(jnp.asarray(x, float) for x in numbers)), State(*(jnp.asarray(x, float) for x in start))


def labelled(found: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The engine's arrays under the names of the schema."""
    return {("trained" if name == "v" else name): value for name, value in found.items()}
