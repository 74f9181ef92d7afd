"""The exact Markov chain of the Gram matrix of online SGD at any finite d. Source: theory.md 6.

A sample enters an update of the Gram matrix through its coordinates in the span of means and teacher directions, its fields with
the part of Theta orthogonal to that span, and its norm: r + C normal numbers and one chi-square for each block, instead of d.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from gmsym.errors import InputError
from gmsym.problem import Problem
from gmsym.problem.design import apportion, gram_root
from gmsym.runtime.quadrature import square_root
from gmsym.simulation._recording import load, observables, recorded_steps, replicated
from gmsym.simulation._replicates import Program
from gmsym.simulation.fresh import fresh_fields


def run_chain(
    problem: Problem,
    values: Mapping[str, float],
    *,
    d: int,
    time: float,
    replicates: int = 100,
    points: int = 21,
    seed: int = 0,
    checkpoint: Path | str | None = None,
    report: Callable[[float], None] | None = None,
) -> xr.Dataset:
    """Trajectories of the summary statistics, equal in law to those of `run_online`. Arguments, returns and errors as there.

    Cost: O(B ((C + K + T)^2 + C^3)) time a step and replicate, whatever d is.
    """
    instance, code = problem.at(values), load(problem)
    steps = recorded_steps(time, instance.online_step, d, points)
    C, K = instance.initial_overlap.shape
    T = len(instance.teacher_gram)
    fixed = gram_root(instance.gram[C:, C:])  # coordinates of means and teachers in an orthonormal basis of their span
    rank = len(fixed)
    sizes = np.array(apportion(instance.fractions, d))
    if min(sizes) <= rank + C:
        raise InputError(
            f"d = {d}: more than {rank + C} dimensions are needed{' in each block' if len(sizes) > 1 else ''}, those of Theta and of the "
            "span of means and teachers"
        )
    # In each block the coordinates are those of its share d_b/d of the whole Gram matrix.
    shares = jnp.asarray(sizes / d)[:, None, None]
    vectors = jnp.sqrt(shares) * fixed
    means, teachers = vectors[..., :K], vectors[..., K:]  # (B, rank, K), (B, rank, T)
    theta = np.linalg.pinv(fixed).T @ instance.gram[C:, :C]  # coordinates of Theta_0 in that span, (rank, C)
    along = jnp.sqrt(shares) * theta
    across = shares * (instance.initial_gram - theta.T @ theta)  # Gram matrix of the rest, (B, C, C)
    numbers = tuple(instance.parameters.values())
    points_of = fresh_fields(C + T)
    variances, probabilities = jnp.asarray(instance.variance), jnp.asarray(instance.probabilities)
    labels = jnp.asarray(instance.labels[:, : len(problem.loss.labels)])

    def begin(key):
        samples, fresh = jax.random.split(key)
        return (samples, points_of(fresh)), (along, across, jnp.asarray(instance.trained))

    def advance(fixed, state, span):
        samples, fresh = fixed
        observed = observables(problem, code, instance, sizes, fresh)

        def update(i, state):
            along, across, v = state
            keys = jax.random.split(jax.random.fold_in(samples, i), 4)
            k = jax.random.choice(keys[0], K, p=probabilities)
            deviation = jnp.sqrt(variances[k])[:, None]
            inside = means[..., k] + deviation * jax.random.normal(keys[1], (len(sizes), rank), dtype=float)
            xi = jax.random.normal(keys[2], (len(sizes), C), dtype=float)
            outside = deviation * jnp.einsum("bij,bj->bi", jax.vmap(square_root)(across), xi)  # fields of the orthogonal part
            norm2 = variances[k] * (jnp.sum(xi**2, axis=1) + jax.random.chisquare(keys[3], sizes - rank - C, dtype=float))

            def loss(h, v):
                return code.loss(h, jnp.einsum("brt,br->t", teachers, inside), labels[k], v, numbers)

            a, b = jax.grad(loss, argnums=(0, 1))(jnp.einsum("brc,br->c", along, inside) + outside.sum(axis=0), v)
            c = code.step(i * (instance.online_step / d), numbers)
            delta, delta_v = c / d, c * (instance.online_trained_step / instance.online_step) / d
            keep = 1 - delta * instance.ridge
            cross = outside[:, :, None] * a
            new = keep**2 * across - delta * keep * (cross + cross.swapaxes(1, 2)) + delta**2 * norm2[:, None, None] * jnp.outer(a, a)
            return keep * along - delta * inside[:, :, None] * a, new, v - delta_v * (b + instance.trained_ridge * v)

        along, across, v = state = jax.lax.fori_loop(span[0], span[1], update, state)
        of_block, m, M = (x.swapaxes(1, 2) @ along for x in (along, means, teachers))
        return state, observed(across + of_block, m, M, v)

    vectors = 512 * 16 * (C + T) * 4  # fields of the test points, and copies
    return replicated(Program(begin, advance), problem, instance, steps, d, replicates, seed, vectors, "chain", checkpoint, report)
