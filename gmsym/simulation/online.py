"""Online SGD in d dimensions, one fresh sample a step, by jax.grad of the printed loss. Source: theory.md 6."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from gmsym.errors import InputError
from gmsym.problem import Problem
from gmsym.problem.online import online as in_numbers
from gmsym.runtime.frames import oriented
from gmsym.simulation._recording import load, performance, recorded_steps, replicated
from gmsym.simulation.fresh import fresh_fields


def run_online(
    problem: Problem,
    *,
    d: int,
    time: float,
    step: float,
    replicates: int = 8,
    points: int = 21,
    seed: int = 0,
    report: Callable[[float], None] | None = None,
    **parameters: float,
) -> xr.Dataset:
    """Online SGD from a freshly oriented initial state: Theta' = Theta - (c/d) (dl + ridge Theta), v' = v - (c_v/d) (dl + ridge_v v).

    Cost: O(d (C + K + T)) time a step and replicate, time * d/c steps; O(d) memory.

    Args:
        problem: what is trained; its optimizer is gradient descent, with a schedule in the time t = steps * c/d if it has one.
        d: dimension.
        time: final time.
        step: c.
        replicates: independent repetitions, at least 2, for the standard errors.
        points: number of recorded times, evenly spaced.
        seed: of samples and orientations.
        report: called with the completed fraction after each batch of replicates.
        parameters: a number for each of `problem.parameters` but `eta`, which is c.

    Returns:
        Means over replicates m, Q, Q_k, M, trained, test_loss and perhaps test_error at float times; `*_error` and `*_runs`.

    Raises:
        InputError: a number out of range; fewer dimensions than vectors.
        ComputationError: a run diverged.
    """
    online = in_numbers(problem, step, parameters)
    instance, code = online.instance, load(problem)
    steps = recorded_steps(time, online.step, d, points)
    root = gram_root(instance.gram)
    if d < len(root):
        raise InputError(f"d = {d} is less than the rank {len(root)} of the Gram matrix of (Theta_0, means, teacher); take d larger")
    C, K = instance.initial_overlap.shape
    numbers = tuple(instance.parameters.values())
    points_of = fresh_fields(C + len(instance.teacher_gram))
    deviations, probabilities = jnp.sqrt(online.sigma2), jnp.asarray(instance.probabilities)
    labels = jnp.asarray(instance.labels[:, : len(problem.loss.labels)])

    def trajectory(key: jax.Array) -> dict[str, jax.Array]:
        start, samples, fresh = jax.random.split(key, 3)
        vectors = oriented(jax.random.normal(start, (d, len(root)), dtype=float), (d,), root)
        means, teachers = vectors[:, C : C + K], vectors[:, C + K :]
        tested = performance(problem, code, online, points_of(fresh))

        def update(i, state):
            theta, v = state
            which, noise = jax.random.split(jax.random.fold_in(samples, i))
            k = jax.random.choice(which, K, p=probabilities)
            sample = means[:, k] + deviations[k] * jax.random.normal(noise, (d,), dtype=float)

            def loss(theta, v):
                return code.loss(theta.T @ sample, teachers.T @ sample, labels[k], v, numbers)

            slope, slope_v = jax.grad(loss, argnums=(0, 1))(theta, v)
            c = code.step(i * (online.step / d), numbers)
            c_v = c * (online.trained_step / online.step)
            new = theta - c / d * (slope + instance.ridge * theta)
            return new, v - c_v / d * (slope_v + instance.trained_ridge * v)

        def record(state, ends):
            theta, v = state = jax.lax.fori_loop(ends[0], ends[1], update, state)
            Q, m, M = theta.T @ theta, means.T @ theta, teachers.T @ theta
            Q_k = jnp.asarray(online.sigma2)[:, None, None] * Q
            return state, {"Q": Q, "m": m, "M": M, "trained": v, "Q_k": Q_k, **tested(Q, m, M, v)}

        ends = np.stack([np.concatenate([[0], steps[:-1]]), steps], axis=1)
        return jax.lax.scan(record, (vectors[:, :C], jnp.asarray(instance.trained)), jnp.asarray(ends))[1]

    return replicated(trajectory, problem, online, steps, d, replicates, seed, d * (C + K + 4), "online", report)


def gram_root(gram: np.ndarray) -> np.ndarray:
    """R with R^T R = gram, (rank, vectors)."""
    values, vectors = np.linalg.eigh(gram)
    kept = values > 1e-12 * max(values[-1], 0)
    return np.sqrt(values[kept])[:, None] * vectors[:, kept].T
