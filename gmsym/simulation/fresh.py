"""Points that stand for the fields of fresh samples. Source: theory.md 2 (randomised quasi-Monte Carlo)."""

from collections.abc import Callable
from functools import cache

import jax
import jax.numpy as jnp
from scipy import special

from gmsym.runtime import points

TEST_POINTS = 512
TEST_SHIFTS = 16  # enough for errors that are nearly normal: those of a single shift come from the tails and are skewed


@cache
def fresh_fields(fields: int) -> Callable[[jax.Array], jax.Array]:
    """The function key -> points (C, N) of N(0, I): Sobol points, several times shifted at random, whitened together."""
    uniform = special.ndtr(points.sobol(TEST_POINTS, fields, seed=0))

    def shifted(key: jax.Array) -> jax.Array:
        shift = jax.random.uniform(jax.random.fold_in(key, TEST_POINTS), (fields, TEST_SHIFTS, 1))
        normal = jax.scipy.special.ndtri(jnp.clip((uniform[:, None] + shift) % 1.0, 1e-15, 1 - 1e-15)).reshape(fields, -1)
        centred = normal - normal.mean(axis=1, keepdims=True)
        root = jnp.linalg.cholesky(centred @ centred.T / centred.shape[1])
        return jax.scipy.linalg.solve_triangular(root, centred, lower=True)

    return shifted
