"""Full-batch training on generated data, by jax.grad of the printed loss. Source: theory.md 0."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import sympy as sp
import xarray as xr

from gmsym import printer, runtime, schema, symbols
from gmsym.errors import ComputationError, check_integers
from gmsym.problem import Problem
from gmsym.problem.design import design, instance_of_size, rows_of, stated
from gmsym.runtime.batches import together
from gmsym.runtime.checkpoint import Checkpoint
from gmsym.runtime.roots import square_root
from gmsym.simulation import observed as own
from gmsym.simulation._replicates import Program, run_replicates
from gmsym.simulation.data import Data, Numbers, beside, generate, numbers_of
from gmsym.simulation.fresh import fresh_fields, held, per_shift

_SECONDS = 5e-10  # of a multiplication and an addition
_MASKS, _NOISE = 1 << 30, 1 << 29  # of the keys of the masks and of the optimizer's noise, away from those of the steps
_LARGEST_NORM2 = 1e12  # |Theta|^2 beyond this counts as divergence


def train(
    problem: Problem,
    values: Mapping[str, float],
    *,
    n: int,
    d: int,
    steps: int,
    replicates: int = 8,
    of: str | None = None,
    seed: int = 0,
    checkpoint: Path | str | None = None,
    report: Callable[[float], None] | None = None,
) -> xr.Dataset:
    """Trains `replicates` times on fresh data and a freshly oriented initial state.

    Observables are taken before each update, so time 0 is the initial state and there are steps - 1 updates. The test
    loss and test error of a replicate are means over the exact Gaussian law h ~ N(m_k, Q_k) of a fresh sample's fields,
    taken on 16 random shifts of 512 Sobol points (fewer for n <= 256, see `fresh.per_shift`), each replicate its own, so that the
    standard errors include theirs (about 1e-4). A tied prediction, such as that of Theta = 0, counts as a uniformly random guess.

    Cost: O(n d C steps) time a replicate, O(n d) memory; replicates of small problems run in batches. The result does not depend on the
    batches (to rounding). Compiled once for a problem, n and d.

    Args:
        problem: what is trained.
        values: a number for each of `problem.parameters`; alpha is n/d.
        n, d: samples and dimensions; n_k = p_k n and d_b = rho_b d by largest remainders, and then p_k is n_k/n.
        steps: times 0..steps-1.
        replicates: independent repetitions, at least 2, for the standard errors.
        of: a state variable of the optimizer, whose overlaps, losses and error are recorded in place of those of Theta.
        seed: of data and orientations; replicate r is the same for every number of replicates.
        checkpoint: a file that keeps records and states, so that the same call continues after an interruption; it stays.
        report: called with the completed fraction, about every second.

    Returns:
        Means over replicates m, Q, Q_k, perhaps M and trained, train_loss, test_loss and, if the loss has a prediction, test_error; their
        standard errors `*_error`; and the replicates `*_runs`.

    Raises:
        InputError: a number out of range; a cluster without samples; a block too small.
        ComputationError: training diverged: a quantity is not finite, or |Theta|^2 > 1e12.
    """
    problem.check_full_batch("simulate (full-batch training)", batches=True, teachers=True, trained=True, noise=True, own=True)
    check_integers(n=(n, 1), d=(d, 1), steps=(steps, 1), replicates=(replicates, 2), seed=(seed, 0))
    instance = instance_of_size(problem, values, n, d)
    plan = design(instance, n, d)
    if problem.batches is not None:
        problem.batches.check_size(n, instance.values)
    runtime.check_double()
    problem.optimizer.check_of(of)
    tested = held(problem.fields + len(problem.loss.teachers), len(problem.data.probabilities), per_shift(n))
    batch = together(replicates, n * d + tested)
    runs = run_replicates(
        _program(
            source(problem),
            len(problem.loss.labels),
            problem.decision,
            len(problem.optimizer.state),
            problem.optimizer.is_noisy,
            len(problem.loss.own_noises),
            plan.counts,
            plan.sizes,
            _together(problem),
            problem.observable_names,
            not problem.optimizer.is_linear,
            problem.counts_zeros,
            None if of is None else [x.name for x in problem.optimizer.state].index(of),
        ),
        numbers_of(plan),
        seed=seed,
        replicates=replicates,
        spans=np.arange(steps)[:, None] + [0, 1],
        seconds=_SECONDS * batch * (2 * n * d * problem.fields + 5 * tested),
        batch=batch,
        check=check_finite,
        checkpoint=Checkpoint(
            checkpoint, problem=problem.signature, values=instance.values, n=n, d=d, steps=steps, replicates=replicates, seed=seed, of=of
        ),
        report=report,
    )
    about = {"n": n, "d": d, "replicates": replicates, "seed": seed, **({} if of is None else {"of": of})}
    return schema.of_runs(
        runs,
        stated(problem, plan.instance, n / d) | about,
        parameters=[x.name for x in problem.trained_parameters],
        observables=problem.observable_names,
    )


def _together(problem: Problem) -> bool | None:
    return None if problem.batches is None else problem.batches.together


def source(problem: Problem) -> str:
    """The text that training runs: the loss of a sample, the update rule of a coordinate, the classifier's score if any."""
    loss, optimizer, parameters = problem.loss, problem.optimizer, problem.local_parameters
    model = {"trained": problem.trained_parameters, "parameters": parameters}
    sample = {"fields": loss.fields, "teacher": loss.beside, "label": loss.labels, **model}
    definitions = [
        printer.function("loss", sample, "Loss of a sample.", loss.value),
        printer.function(
            "update",
            {"theta": symbols.theta, "g": symbols.g, "t": symbols.t, "noise": symbols.noise, "state": optimizer.state}
            | {"norm": sp.Dummy("norm"), "parameters": parameters},
            "New (theta, *state) of a coordinate with gradient g.",
            optimizer.composed,
        ),
    ]
    if problem.batches is not None:
        given = {"visit": symbols.visit, "t": symbols.t, "parameters": parameters}
        rule = {"uniform": symbols.uniform, **given}
        definitions.append(printer.function("next_visit", rule, "State of a sample at step t.", problem.batches.rule))
        definitions.append(printer.function("weight", given, "Factor of a sample's gradient.", problem.batches.weight))
    if problem.decision == "sign":
        definitions.append(printer.function("readout", {"fields": loss.fields, **model}, "Score whose sign is predicted.", loss.readout))
        given = {"teacher": loss.beside, "label": symbols.labels(problem.data.label_size), "parameters": parameters}
        definitions.append(printer.function("target", given, "Its sign is the true class.", problem.target))
    definitions += own.printed(problem)
    return printer.module(f"loss and update rule of {loss.name} / {optimizer.name}.", *definitions)


@lru_cache(maxsize=64)
def _program(
    text: str,
    loss_labels: int,
    decision: str | None,
    states: int,
    noisy: bool,
    noises: int,
    counts: tuple[int, ...],
    sizes: tuple[int, ...],
    together: bool | None,
    names: tuple[str, ...] = (),
    scaled: bool = False,
    counted: bool = False,
    of: int | None = None,
) -> Program:
    """One training run of a `source`: what is recorded of the state before each update. The first labels are those of the loss, and
    `names` those of the problem's own observables; `scaled`, the rule reads coordinates of order 1, sqrt(d) times those of Theta and its
    gradient; `counted`, coordinates that are not zero. What is recorded is of Theta, or of a state variable by number."""
    code = runtime.load(text, "gmsym_training")
    observed = observing(code, loss_labels, decision, counts, sizes, names, counted)

    def drawn(numbers, key):
        data = generate(counts, sizes, numbers, key)
        return data, fresh_fields(data.theta.shape[1] + data.teachers.shape[1] + noises, per_shift(sum(counts)))(key)

    return descent(code, drawn, observed, loss_labels, states, noisy, noises, sizes, together, scaled, of)


def descent(
    code: ModuleType,
    drawn: Callable[..., tuple[Data, Any]],
    observed: Callable[..., dict[str, jax.Array]],
    loss_labels: int,
    states: int,
    noisy: bool,
    noises: int,
    sizes: tuple[int, ...],
    together: bool | None,
    scaled: bool,
    of: int | None = None,
) -> Program:
    """Training by a loaded `source`.

    Args:
        code: what `source` printed.
        drawn: (numbers, key) -> (data of a replicate, what it is tested on).
        observed: what `observing` gives.
        loss_labels, states, noisy, noises, sizes, together, scaled, of: as `_program`.
    """
    unit = float(np.sqrt(sum(sizes))) if scaled else 1.0

    def begin(numbers, key):
        data, points = drawn(numbers, key)
        still = [tuple(jnp.zeros_like(x) for _ in range(states)) for x in (data.theta, numbers.trained)]
        visit = None if together is None else jnp.zeros(len(data.samples))
        keys = jax.random.fold_in(key, _MASKS), jax.random.fold_in(key, _NOISE)
        fixed = data, beside(data, noises, key), points, keys
        return fixed, (data.theta, still[0], jnp.asarray(numbers.trained), still[1], visit)

    def visits(key, visit, step, parameters):
        """(state, weight) of each sample at a step."""
        if visit is None:
            return None, 1.0
        own = jax.random.fold_in(key, step)
        if together:
            uniform = (jax.random.permutation(own, len(visit)) + 0.5) / len(visit)
        else:
            uniform = jax.random.uniform(own, visit.shape, dtype=visit.dtype)
        visit = jnp.broadcast_to(code.next_visit(uniform, visit, step, parameters), visit.shape)
        return visit, jnp.broadcast_to(code.weight(visit, step, parameters), visit.shape)

    def advance(numbers, fixed, carry, span):
        (data, teacher, standard, (key, of_rule)), (theta, state, v, state_v, visit) = fixed, carry
        label, parameters = data.labels[:, :loss_labels].T, numbers.parameters
        visit, weight = visits(key, visit, span[0], parameters)

        def risk(theta, v):
            fields = (data.samples @ theta).T
            losses = code.loss(fields, teacher, label, v, parameters)
            penalty = numbers.ridge / 2 * jnp.sum(theta**2) + numbers.trained_ridge / 2 * jnp.sum(v**2)
            return jnp.sum(weight * losses) / len(data.samples) + penalty, (jnp.sum(losses) / len(data.samples), fields)

        def norm(x):
            return jnp.sqrt(jnp.sum(x**2) / sum(sizes))

        def updated(x, slope, state, parameters, unit=1.0):
            # Trained parameters are few, and each is a coordinate like those of Theta: N(0, 1/d).
            own = jax.random.fold_in(jax.random.fold_in(of_rule, span[0]), x.ndim)
            noise = jax.random.normal(own, x.shape, x.dtype) * unit / np.sqrt(sum(sizes)) if noisy else jnp.zeros((), x.dtype)
            new = code.update(x, slope, span[0].astype(x.dtype), noise, state, norm, parameters)
            x, *state = (jnp.broadcast_to(jnp.asarray(y, x.dtype), x.shape) for y in new)
            return x, tuple(state)

        (_, (train_loss, fields)), slopes = jax.value_and_grad(risk, argnums=(0, 1), has_aux=True)(theta, v)
        theta_new, state_new = updated(unit * theta, unit * slopes[0], state, parameters, unit)
        new = theta_new / unit, state_new, *updated(v, slopes[1], state_v, numbers.trained_parameters), visit
        if of is not None:
            theta = state[of] / unit
            _, (train_loss, fields) = risk(theta, v)
        return new, observed(numbers, data, teacher, standard, theta, v, fields, train_loss)

    return Program(begin, advance)


def observing(
    code: ModuleType,
    loss_labels: int,
    decision: str | None,
    counts: tuple[int, ...],
    sizes: tuple[int, ...],
    names: tuple[str, ...],
    counted: bool = False,
    tested: Callable[..., dict[str, jax.Array]] | None = None,
) -> Callable[..., dict[str, jax.Array]]:
    """The function (numbers, data, teacher fields, points of a fresh sample, Theta, trained parameters, fields of the samples, train loss)
    -> a record. No `counts`: samples belong to no known cluster. `tested`, if a fresh sample is not drawn from the problem's law: (numbers,
    what it is tested on, Theta, mean and covariance of the fields, trained parameters) -> test_loss and perhaps test_error."""
    tested = _test_performance(code, loss_labels, decision, names) if tested is None else tested

    def observed(
        numbers: Numbers,
        data: Any,
        teacher: jax.Array,
        standard: jax.Array,
        theta: jax.Array,
        v: jax.Array,
        fields: jax.Array,
        train_loss: jax.Array,
    ) -> dict[str, jax.Array]:
        vectors = jnp.concatenate([theta, data.teachers], axis=1)
        covariance, C = numbers.covariances(vectors, rows_of(sizes)), theta.shape[1]
        overlaps = {"m": data.means.T @ theta, "Q": theta.T @ theta, "Q_k": covariance[:, :C, :C]}
        overlaps |= {"M": data.teachers.T @ theta, "trained": v}
        mean = jnp.concatenate([overlaps["m"], numbers.teacher_means.T], axis=1)
        found = {"train_loss": train_loss} | ({"nonzero": jnp.mean(theta != 0)} if counted else {})
        if names:
            of_cluster = own.moments(overlaps["m"], overlaps["Q_k"])
            if counts:
                of_sample = jnp.repeat(of_cluster, np.array(counts), axis=0, total_repeat_length=len(data.samples)).T
            else:
                of_sample = own.unknown_moments(of_cluster.shape[1], len(data.samples))
            found |= own.means(code.observables(fields, teacher, data.labels.T, of_sample, v, numbers.parameters), names, "train")
        return overlaps | found | tested(numbers, standard, theta, mean, covariance, v)

    return observed


def _test_performance(
    code: ModuleType, loss_labels: int, decision: str | None, names: tuple[str, ...]
) -> Callable[..., dict[str, jax.Array]]:
    """The function (numbers, points, Theta, mean (K, C + T) and covariance of the fields of students and teachers, trained parameters) ->
    test_loss, test_error if there is a prediction, and the means of the observables."""

    def performance(
        numbers: Numbers, standard: jax.Array, _: jax.Array, mean: jax.Array, covariance: jax.Array, v: jax.Array
    ) -> dict[str, jax.Array]:
        parameters, labels = numbers.parameters, jnp.asarray(numbers.labels)
        columns = mean.shape[1] - len(numbers.teacher_gram)

        def of_cluster(mean, covariance, label, moments):
            fields = mean[:, None] + square_root(covariance) @ standard[: len(mean)]
            h, teacher = fields[:columns], jnp.concatenate([fields[columns:], standard[len(mean) :]])  # a sample's own noises last
            observed = {"test_loss": jnp.mean(code.loss(h, teacher, label[:loss_labels], v, parameters))}
            if decision == "sign":
                right = jnp.sign(code.readout(h, v, parameters)) * jnp.sign(code.target(teacher, label, parameters))
                observed["test_error"] = jnp.mean((1 - right) / 2)
            if decision == "argmax":
                best = h == h.max(axis=0)
                observed["test_error"] = 1 - jnp.mean(best[jnp.argmax(label)] / best.sum(axis=0))
            if names:
                observed |= own.means(code.observables(h, teacher, label, moments, v, parameters), names, "test")
            return observed

        of_clusters = own.moments(mean[:, :columns], covariance[:, :columns, :columns])
        by_cluster = jax.vmap(of_cluster)(mean, covariance, labels, of_clusters)
        return {name: jnp.asarray(numbers.probabilities) @ value for name, value in by_cluster.items()}

    return performance


def check_finite(observed: dict[str, np.ndarray], first: int, start: int) -> None:
    """Raises ComputationError at the first time, counted from `start`, at which a replicate, numbered from `first`, has diverged."""
    norm2 = np.trace(observed["Q"], axis1=-2, axis2=-1)
    found = [("|Theta|^2", norm2, ~(norm2 <= _LARGEST_NORM2))]
    for name, values in observed.items():
        bad = ~np.isfinite(values)
        found.append((name, values, bad.any(axis=tuple(range(2, values.ndim)))))
    diverged = [(np.argwhere(bad.T)[0], name, values) for name, values, bad in found if bad.any()]
    if diverged:
        (time, replicate), name, values = min(diverged, key=lambda item: item[0][0])
        raise ComputationError(
            f"training diverged at step {start + time}: {name} = {values[replicate, time]} in replicate {first + replicate}; "
            "a smaller step size may help"
        )
