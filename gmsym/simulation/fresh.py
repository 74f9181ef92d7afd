"""Points that stand for the fields of fresh samples. Source: theory.md 2 (randomised quasi-Monte Carlo)."""

from collections.abc import Callable
from functools import cache

import jax
import jax.numpy as jnp
from scipy import special

from gmsym.runtime import points

SHIFTS = 16  # enough for errors that are nearly normal: those of a single shift come from the tails and are skewed
_LEAST, _MOST = 128, 512  # points of a shift
_KEY = 512  # of the shifts, away from the keys of the data


def per_shift(size: int) -> int:
    """Points of a shift, a power of two, where a replicate is trained on `size` samples or in so many dimensions.

    Replicates differ by about size^-1/2; the points' error, about 6 / points of all shifts in a test error, stays below a seventh of that.
    """
    return min(max(1 << (size - 1).bit_length(), _LEAST), _MOST)


def held(fields: int, clusters: int, count: int) -> int:
    """Numbers that a replicate's test holds: fields of the points of each cluster, and copies; `count` points of a shift."""
    return 4 * clusters * fields * count * SHIFTS


@cache
def fresh_fields(fields: int, count: int = _MOST) -> Callable[[jax.Array], jax.Array]:
    """The function key -> points (C, N) of N(0, I): `count` Sobol points, several times shifted at random, whitened together."""
    uniform = special.ndtr(points.sobol(count, fields, seed=0))

    def shifted(key: jax.Array) -> jax.Array:
        shift = jax.random.uniform(jax.random.fold_in(key, _KEY), (fields, SHIFTS, 1))
        normal = jax.scipy.special.ndtri(jnp.clip((uniform[:, None] + shift) % 1.0, 1e-15, 1 - 1e-15)).reshape(fields, -1)
        centred = normal - normal.mean(axis=1, keepdims=True)
        root = jnp.linalg.cholesky(centred @ centred.T / centred.shape[1])
        return jax.scipy.linalg.solve_triangular(root, centred, lower=True)

    return shifted
