"""The exact Markov chain of the Gram matrix of online SGD at any finite d. Source: theory.md 6.

A sample enters an update of the Gram matrix through its coordinates in the span of means and teacher directions, its fields with
the part of Theta orthogonal to that span, and its norm: r + C normal numbers and one chi-square for each block, instead of d.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from gmsym.errors import InputError
from gmsym.problem import Problem
from gmsym.problem.design import apportion, gram_root
from gmsym.runtime.roots import square_root
from gmsym.simulation._recording import Kind, kind_of, load, numbers_of, observables, recorded_steps, replicated
from gmsym.simulation._replicates import Program
from gmsym.simulation.fresh import fresh_fields, held, per_shift


class Geometry(NamedTuple):
    """Embedded in an orthonormal basis of the span of means and teacher directions, by block."""

    means: Any  # (B, rank, K)
    teachers: Any  # (B, rank, T)
    along: Any  # of Theta_0 in that span, (B, rank, C)
    across: Any  # Gram matrix of the rest, (B, C, C)
    rest: Any  # dimensions of the rest beside those of Theta, (B,)


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
    problem.check_descent("the chain (sampler='chain')")
    kind, instance = kind_of(problem), problem.at(values)
    steps = recorded_steps(time, instance.online_step, d, points)
    C, K = instance.initial_overlap.shape
    T = len(instance.teacher_gram)
    if instance.placed is not None or instance.vectors is not None:
        raise InputError("the chain does not treat Gram matrices block by block; sampler='online' does")
    fixed = gram_root(instance.gram[C:, C:])  # coordinates of means and teachers in an orthonormal basis of their span
    rank = len(fixed)
    sizes = np.array(apportion(instance.fractions, d))
    if min(sizes) <= rank + C:
        raise InputError(
            f"d = {d}: more than {rank + C} dimensions are needed{' in each block' if len(sizes) > 1 else ''}, those of Theta and of the "
            "span of means and teachers"
        )
    # In each block the coordinates are those of its share d_b/d of the whole Gram matrix.
    shares = (sizes / d)[:, None, None]
    vectors = np.sqrt(shares) * fixed
    theta = np.linalg.pinv(fixed).T @ instance.gram[C:, :C]  # coordinates of Theta_0 in that span, (rank, C)
    geometry = Geometry(
        means=vectors[..., :K],
        teachers=vectors[..., K:],
        along=np.sqrt(shares) * theta,
        across=shares * (instance.initial_gram - theta.T @ theta),
        rest=sizes - rank - C,
    )
    tested = held(C + T, 1, per_shift(d))
    numbers = numbers_of(instance, sizes.tolist()), geometry
    return replicated(
        _program(kind, per_shift(d)), numbers, problem, instance, steps, d, replicates, seed, tested, "chain", checkpoint, report
    )


@lru_cache(maxsize=64)
def _program(kind: Kind, tests: int) -> Program:
    """One chain, tested on so many points of a shift; its numbers are those of the problem, and its geometry."""
    code = load(kind)

    def begin(numbers, key):
        numbers, geometry = numbers
        samples, fresh = jax.random.split(key)
        points = fresh_fields(geometry.along.shape[-1] + len(numbers.teacher_gram), tests)(fresh)
        return (samples, points), (geometry.along, geometry.across, numbers.trained)

    def advance(numbers, fixed, state, span):
        numbers, (means, teachers, *_, rest) = numbers
        samples, fresh = fixed
        observed = observables(kind, code, numbers, fresh)
        deviations, (blocks, rank, K), C = jnp.sqrt(numbers.variance), means.shape, state[1].shape[-1]

        def update(i, state):
            along, across, v = state
            keys = jax.random.split(jax.random.fold_in(samples, i), 4)
            k = jax.random.choice(keys[0], K, p=numbers.probabilities)
            deviation = deviations[k][:, None]
            inside = means[..., k] + deviation * jax.random.normal(keys[1], (blocks, rank), dtype=float)
            xi = jax.random.normal(keys[2], (blocks, C), dtype=float)
            outside = deviation * jnp.einsum("bij,bj->bi", jax.vmap(square_root)(across), xi)  # fields of the orthogonal part
            norm2 = numbers.variance[k] * (jnp.sum(xi**2, axis=1) + jax.random.chisquare(keys[3], rest, dtype=float))

            def loss(h, v):
                return code.loss(h, jnp.einsum("brt,br->t", teachers, inside), numbers.labels[k, : kind.loss_labels], v, numbers.parameters)

            a, b = jax.grad(loss, argnums=(0, 1))(jnp.einsum("brc,br->c", along, inside) + outside.sum(axis=0), v)
            c = code.step(i * (numbers.step / numbers.d), numbers.parameters)
            delta, delta_v = c / numbers.d, c * (numbers.trained_step / numbers.step) / numbers.d
            keep = 1 - delta * numbers.ridge
            cross = outside[:, :, None] * a
            new = keep**2 * across - delta * keep * (cross + cross.swapaxes(1, 2)) + delta**2 * norm2[:, None, None] * jnp.outer(a, a)
            return keep * along - delta * inside[:, :, None] * a, new, v - delta_v * (b + numbers.trained_ridge * v)

        along, across, v = state = jax.lax.fori_loop(span[0], span[1], update, state)
        of_block, m, M = (x.swapaxes(1, 2) @ along for x in (along, means, teachers))
        return state, observed(across + of_block, m, M, v)

    return Program(begin, advance)
