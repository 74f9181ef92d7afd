"""The stationary limit of convex problems solved, and the finite-size problem minimised. Source: theory.md 11."""

from collections.abc import Hashable, Mapping
from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from gmsym import schema
from gmsym.engine.stationary import Solution, solve_stationary
from gmsym.errors import InputError, check_integers, check_positive
from gmsym.pipeline import _cost
from gmsym.pipeline._joining import folded
from gmsym.pipeline._stages import load, say_unobserved
from gmsym.pipeline._verbs import simulating, solving, sweeping
from gmsym.pipeline._work import working
from gmsym.pipeline.training import counted
from gmsym.problem import Instance, Problem
from gmsym.problem.design import shares
from gmsym.problem.design import start as start_of
from gmsym.progress import progress_bar
from gmsym.runtime.stationary import Numbers
from gmsym.simulation.minimum import minimise
from gmsym.system import Stationary

if TYPE_CHECKING:
    import xarray as xr


@solving(Stationary)
def solve_rest(system: Stationary, values: Mapping[str, float], *, progress: bool | None = None) -> "xr.Dataset":
    """Where training of a convex problem ends, in the limit n, d -> infinity.

    Args:
        system: from `derive.stationary`.
        values: alpha, samples per dimension, and a number for each parameter of the problem; those of the update rule other than `l1` and a
            weight decay may be left out. Arrays give a curve, each point started from the one before it.
        progress: show a progress bar along a curve; by default on a terminal, and in a notebook after two seconds.

    Returns:
        Dataset with m (cluster, field), Q (field, field_b), Q_k and V (cluster, field, field_b), train_loss, test_loss, train_error and
        test_error where there is a decision, M (teacher, field) with teachers, trained (parameter) with trained parameters, nonzero with
        an l1, and the error X_error of each X: what other nodes of the quadrature change.

    Raises:
        InputError: a loss that is not convex; a number that is unknown, missing or out of range.
        ComputationError: no minimum (no penalty, and the data can be separated or interpolated); no convergence.
    """
    return _labelled(system, *_solved(system, values, None))


@sweeping(Stationary, grids=True)
def solve_curve(system: Stationary, values: Mapping[str, Any], over: str, *, progress: bool | None = None) -> "xr.Dataset":
    """The stationary limit over one parameter, by continuation: each value starts from the one before it."""
    points, start = [], None
    with progress_bar("the stationary limit", progress) as report:
        for i, value in enumerate(values[over]):
            instance, found = _solved(system, {**values, over: float(value)}, start)
            start = found.unknown
            points.append(_labelled(system, instance, found))
            report((i + 1) / len(values[over]))
    return folded(points, {over: np.asarray(values[over], float)})


def _solved(system: Stationary, values: Mapping[str, Any], start: np.ndarray | None) -> tuple[Instance, Solution]:
    say_unobserved(system.problem, "derive.stationary")
    instance = instance_at_rest(system.problem, values)
    return instance, solve_stationary(load(system), numbers(system, instance), start=start)


def instance_at_rest(problem: Problem, values: Mapping[str, Any]) -> Instance:
    """The problem in numbers; parameters of the update rule alone play no role, but for l1 and a decay, and any number does."""
    if "alpha" not in values:
        raise InputError("alpha is missing in the values: samples per dimension, n/d, a positive number")
    check_positive("alpha", values["alpha"], "samples per dimension, a positive number, are needed")
    elsewhere = {*problem.data.parameters, *problem.loss.parameters, *problem.norm2.free_symbols, *problem.overlap.free_symbols}
    elsewhere |= {*problem.ridge.free_symbols, *(x for x in problem.optimizer.parameters if x.name in ("l1", "l2", "weight_decay"))}
    if problem.trained is not None:
        elsewhere |= set().union(*(x.free_symbols for x in problem.trained.expressions))
    unused = {s.name: 0.5 for s in problem.optimizer.parameters - elsewhere}
    given = {**unused, **values}
    if all(isinstance(value, Hashable) for value in given.values()):
        return _at(problem, tuple(given.items()))
    return problem.at(given)


@lru_cache(maxsize=32, typed=True)
def _at(problem: Problem, items: tuple[tuple[str, float], ...]) -> Instance:
    return problem.at(dict(items))


def numbers(system: Stationary, instance: Instance) -> Numbers:
    """The arrays of an instance as the engine takes them."""
    if instance.placed is not None:
        raise InputError("Gram matrices block by block are not treated by derive.stationary; derive.dmf and simulate do")
    decay = float(system.decay.subs({x: instance.parameters[x.name] for x in system.decay.free_symbols}))
    l1 = instance.parameters["l1"] if system.sparse else 0.0
    for name, value in (("ridge", instance.ridge + decay), ("l1", l1)):
        if value < 0:
            raise InputError(f"{name} = {value:.6g}: the stationary limit needs a number that is not negative")
    return Numbers(
        probabilities=instance.probabilities,
        labels=instance.labels,
        means_gram=instance.means_gram,
        fractions=instance.fractions,
        variance=instance.variance,
        alpha=instance.ratio,
        ridge=instance.ridge + decay,
        l1=l1,
        **_components(instance, system.sparse),
        teacher_gram=instance.teacher_gram,
        teacher_means=instance.teacher_means,
        parameters=tuple(instance.parameters[s.name] for s in system.parameters),
        trained=instance.trained,
        trained_ridge=instance.trained_ridge,
    )


def _components(instance: Instance, sparse: bool) -> dict[str, np.ndarray]:
    """Shares, means and covariances of the scaled coordinates of the means, and of the teachers, by the components of the means' law."""
    clusters, columns = len(instance.means_gram), len(instance.initial_gram)
    if not sparse or instance.means_law is None:
        gram = instance.gram[columns:, columns:, None]
        return _of_vectors(np.ones(1), np.zeros((len(gram), 1)), gram, clusters)
    root, laws = start_of(instance)
    of_means = root[:, columns:]
    kept = [(row, law) for row, law in zip(of_means, laws, strict=True) if row.any()]
    shares, locations, spreads = [], [], []
    for chosen in product(*(np.flatnonzero(law[0] > 0) for _, law in kept)):
        parts = [(row, *law[:, component]) for (row, law), component in zip(kept, chosen, strict=True)]
        shares.append(np.prod([weight for _, weight, _, _ in parts]))
        locations.append(sum(value * row for row, _, value, _ in parts))
        spreads.append(sum(deviation**2 * np.outer(row, row) for row, _, _, deviation in parts))
    return _of_vectors(np.array(shares), np.stack(locations, axis=-1), np.stack(spreads, axis=-1), clusters)


def _of_vectors(shares: np.ndarray, locations: np.ndarray, spreads: np.ndarray, clusters: int) -> dict[str, np.ndarray]:
    """The same of the means and of the teachers apart."""
    return {
        "shares": shares,
        "locations": locations[:clusters],
        "spreads": spreads[:clusters, :clusters],
        "teacher_locations": locations[clusters:],
        "teacher_mean_spreads": spreads[clusters:, :clusters],
        "teacher_spreads": spreads[clusters:, clusters:],
    }


def _labelled(system: Stationary, instance: Instance, found: Solution) -> "xr.Dataset":
    attributes = {
        "problem": system.problem.name,
        "alpha": instance.ratio,
        "parameters": instance.values,
        **shares(instance),
        "residual": found.residual,
        "nodes": found.nodes,
    }
    names = [x.name for x in system.trained]
    return schema.at_rest("stationary", found.values, found.errors, attributes, parameters=names)


@simulating(Stationary)
def simulate_rest(
    system: Stationary,
    values: Mapping[str, float],
    *,
    d: int,
    n: int | None = None,
    replicates: int = 8,
    seed: int = 0,
    progress: bool | None = None,
) -> "xr.Dataset":
    """The minimum of the risk on generated data of n samples in d dimensions, averaged over replicates.

    Args:
        system: from `derive.stationary`.
        values: as for `gmsym.solve`; alpha, where it is given, is n/d.
        d: dimension.
        n: samples. Default: alpha d to the nearest integer.
        replicates: independent data sets; the standard errors come from their spread.
        seed: of the data.
        progress: show a progress bar; by default on a terminal, and in a notebook after two seconds.

    Returns:
        As `gmsym.solve` but V, with X_runs for each X, one value a replicate.

    Raises:
        InputError: a number is unknown, missing or out of range.
        ComputationError: a minimisation did not converge.
    """
    check_integers(d=(d, 1), replicates=(replicates, 2), seed=(seed, 0))
    if n is None:
        n = counted(instance_at_rest(system.problem, values).ratio, d)
    check_integers(n=(n, 1))
    instance = instance_at_rest(system.problem, {**values, "alpha": n / d})
    given = numbers(system, instance)
    cost = _cost.training(n, d, 500, replicates, system.problem.fields, system.problem.data.clusters)
    with working("minimising", cost, "fewer replicates, or smaller n and d", progress) as report:
        return minimise(system.problem, instance, ridge=given.ridge, l1=given.l1, n=n, d=d, replicates=replicates, seed=seed, report=report)
