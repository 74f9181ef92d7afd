"""One of the n samples at a time, again and again, by jax.grad of the printed loss. Source: theory.md (5.2)."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from gmsym.problem import Problem
from gmsym.problem.design import design, instance_of_size, rows_of
from gmsym.problem.sampling import Single
from gmsym.runtime.batches import together
from gmsym.simulation import observed as own
from gmsym.simulation._recording import Kind, kind_of, load, numbers_of, observables, replicated
from gmsym.simulation._replicates import Program
from gmsym.simulation.data import beside, generate
from gmsym.simulation.data import numbers_of as data_numbers
from gmsym.simulation.fresh import fresh_fields

_ORDERS = 1 << 30  # of the key of the samples' orders, away from those of the data


def pass_times(passes: np.ndarray, alpha: float, step: float) -> np.ndarray:
    """The time c/d for each sample that is seen, after so many passes over n = alpha d of them."""
    return passes * (alpha * step)


def run_single(
    problem: Problem,
    values: Mapping[str, float],
    *,
    n: int,
    d: int,
    replicates: int = 8,
    points: int = 16,
    seed: int = 0,
    checkpoint: Path | str | None = None,
    report: Callable[[float], None] | None = None,
) -> xr.Dataset:
    """Theta' = Theta - (c/d) (x_i a_i + ridge Theta), summed over the samples i of a step, and likewise v with its step c_v.

    Cost: O(d C) time a step and O(n d C) a record; O(n d) memory.

    Args:
        problem: what is trained; its optimizer is gradient descent, with a schedule in the time if it has one.
        values: a number for each of `problem.parameters`; that of eta is c.
        n, d: samples and dimensions, as in `train`.
        replicates: independent repetitions, at least 2, for the standard errors.
        points: records of a pass.
        seed: of data, orders and orientations.
        checkpoint: a file that keeps records and states; it stays.
        report: called with the completed fraction, about every second.

    Returns:
        As `train`, at float times.

    Raises:
        InputError: a number out of range.
        ComputationError: a run diverged.
    """
    rule: Single = problem.sampling
    kind, instance = kind_of(problem), instance_of_size(problem, values, n, d)
    rule.check_size(n)
    plan, steps = design(instance, n, d), n // rule.size
    recorded = np.unique(np.round(np.arange(rule.passes * points + 1) * (steps / points)).astype(int))
    problem.check_blocks("simulate (one sample at a time)")
    program = _program(kind, rule, problem.fields, len(problem.loss.own_noises), plan.counts, plan.sizes)
    numbers = numbers_of(plan.instance, plan.sizes), data_numbers(plan)
    return replicated(
        program,
        numbers,
        problem,
        plan.instance,
        recorded,
        d,
        replicates,
        seed,
        d * (problem.fields + 4),
        "single",
        checkpoint,
        report,
        n=n,
        times=pass_times(recorded / steps, n / d, instance.online_step),
        batch=together(replicates, n * d),
    )


@lru_cache(maxsize=64)
def _program(kind: Kind, rule: Single, C: int, noises: int, counts: tuple[int, ...], sizes: tuple[int, ...]) -> Program:
    """One run; spans end where passes do."""
    code, rows, n, d = load(kind), rows_of(sizes), sum(counts), sum(sizes)
    steps = n // rule.size

    def begin(numbers, key):
        numbers, data_numbers = numbers
        data = generate(counts, sizes, data_numbers, key)
        fresh = fresh_fields(C + data.teachers.shape[1] + noises)(key)
        return (data, beside(data, noises, key).T, fresh, jax.random.fold_in(key, _ORDERS)), (data.theta, numbers.trained)

    def chosen(key, order, i):
        """The samples of a step."""
        if rule.replacement:
            return jax.random.randint(jax.random.fold_in(key, i), (rule.size,), 0, n)
        return jax.lax.dynamic_slice(order, (i % steps * rule.size,), (rule.size,))

    def advance(numbers, fixed, state, span):
        numbers, _ = numbers
        data, taught, fresh, key = fixed
        order = jax.random.permutation(jax.random.fold_in(key, span[0] // steps if rule.reshuffle else 0), n)

        def losses(samples, theta, v):
            labels = data.labels[samples, : kind.loss_labels].T
            return code.loss((data.samples[samples] @ theta).T, taught[samples].T, labels, v, numbers.parameters)

        def update(i, state):
            theta, v = state
            seen = chosen(key, order, i)
            slope, slope_v = jax.grad(lambda theta, v: jnp.sum(losses(seen, theta, v)), argnums=(0, 1))(theta, v)
            c = code.step(i * (rule.size * numbers.step / d), numbers.parameters)
            c_v = c * (numbers.trained_step / numbers.step)
            new = theta - c / d * (slope + rule.size * numbers.ridge * theta)
            return new, v - c_v / d * (slope_v + rule.size * numbers.trained_ridge * v)

        theta, v = state = jax.lax.fori_loop(span[0], span[1], update, state)
        Q, m, M = (jnp.stack([x[block].T @ theta[block] for block in rows]) for x in (theta, data.means, data.teachers))
        found = observables(kind, code, numbers, fresh)(Q, m, M, v)
        found["train_loss"] = jnp.mean(losses(jnp.arange(n), theta, v))
        if kind.names:
            of_sample = jnp.repeat(own.moments(found["m"], found["Q_k"]), np.array(counts), axis=0, total_repeat_length=n).T
            fields = (data.samples @ theta).T
            observed = code.observables(fields, taught.T, data.labels.T, of_sample, v, numbers.parameters)
            found |= own.means(observed, kind.names, "train")
        return state, found

    return Program(begin, advance)
