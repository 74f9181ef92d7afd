"""The exact Markov chain of the Gram matrix of online SGD at any finite d. Source: theory.md 6.

A sample enters an update of the Gram matrix through its coordinates in the span of means and teacher directions, its fields with
the part of Theta orthogonal to that span, and its norm: r + C normal numbers and one chi-square, instead of d.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from gmsym.errors import InputError
from gmsym.problem import Problem
from gmsym.problem.online import online as in_numbers
from gmsym.runtime.quadrature import square_root
from gmsym.simulation._recording import load, performance, recorded_steps, replicated
from gmsym.simulation.fresh import fresh_fields
from gmsym.simulation.online import gram_root


def run_chain(
    problem: Problem,
    *,
    d: int,
    time: float,
    step: float,
    replicates: int = 100,
    points: int = 21,
    seed: int = 0,
    report: Callable[[float], None] | None = None,
    **parameters: float,
) -> xr.Dataset:
    """Trajectories of the summary statistics, equal in law to those of `run_online`. Arguments, returns and errors as there.

    Cost: O((C + K + T)^2 + C^3) time a step and replicate, whatever d is.
    """
    online = in_numbers(problem, step, parameters)
    instance, code = online.instance, load(problem)
    steps = recorded_steps(time, online.step, d, points)
    C, K = instance.initial_overlap.shape
    T = len(instance.teacher_gram)
    fixed = gram_root(instance.gram[C:, C:])  # coordinates of means and teachers in an orthonormal basis of their span
    rank = len(fixed)
    if d <= rank + C:
        raise InputError(f"d = {d}: more than {rank + C} dimensions are needed, those of Theta and of the span of means and teachers")
    means, teachers = jnp.asarray(fixed[:, :K]), jnp.asarray(fixed[:, K:])
    along = jnp.asarray(np.linalg.pinv(fixed).T @ instance.gram[C:, :C])  # coordinates of Theta_0 in that span, (rank, C)
    across = jnp.asarray(instance.initial_gram) - along.T @ along  # Gram matrix of the rest
    numbers = tuple(instance.parameters.values())
    points_of = fresh_fields(C + T)
    variances, probabilities = jnp.asarray(online.sigma2), jnp.asarray(instance.probabilities)
    labels = jnp.asarray(instance.labels[:, : len(problem.loss.labels)])

    def trajectory(key: jax.Array) -> dict[str, jax.Array]:
        samples, fresh = jax.random.split(key)
        tested = performance(problem, code, online, points_of(fresh))

        def update(i, state):
            along, across, v = state
            keys = jax.random.split(jax.random.fold_in(samples, i), 4)
            k = jax.random.choice(keys[0], K, p=probabilities)
            deviation = jnp.sqrt(variances[k])
            inside = means[:, k] + deviation * jax.random.normal(keys[1], (rank,), dtype=float)
            xi = jax.random.normal(keys[2], (C,), dtype=float)
            outside = deviation * (square_root(across) @ xi)  # fields of the orthogonal part
            norm2 = variances[k] * (jnp.sum(xi**2) + jax.random.chisquare(keys[3], d - rank - C, dtype=float))

            def loss(h, v):
                return code.loss(h, teachers.T @ inside, labels[k], v, numbers)

            a, b = jax.grad(loss, argnums=(0, 1))(along.T @ inside + outside, v)
            c = code.step(i * (online.step / d), numbers)
            delta, delta_v = c / d, c * (online.trained_step / online.step) / d
            keep = 1 - delta * instance.ridge
            cross = jnp.outer(outside, a)
            new = keep**2 * across - delta * keep * (cross + cross.T) + delta**2 * norm2 * jnp.outer(a, a)
            return keep * along - delta * jnp.outer(inside, a), new, v - delta_v * (b + instance.trained_ridge * v)

        def record(state, ends):
            along, across, v = state = jax.lax.fori_loop(ends[0], ends[1], update, state)
            Q, m, M = across + along.T @ along, means.T @ along, teachers.T @ along
            return state, {"Q": Q, "m": m, "M": M, "trained": v, "Q_k": variances[:, None, None] * Q, **tested(Q, m, M, v)}

        ends = np.stack([np.concatenate([[0], steps[:-1]]), steps], axis=1)
        return jax.lax.scan(record, (along, across, jnp.asarray(instance.trained)), jnp.asarray(ends))[1]

    return replicated(trajectory, problem, online, steps, d, replicates, seed, 512 * 16 * (C + T) * 4, "chain", report)
