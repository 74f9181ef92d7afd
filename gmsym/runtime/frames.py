"""Vectors with an exact Gram matrix and a uniformly random orientation."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def oriented(normal: Float[Array, "d rank"], sizes: Sequence[int], root: np.ndarray) -> Float[Array, "d vectors"]:
    """Columns whose Gram matrix within each block is its share d_b/d of root^T root.

    Args:
        normal: independent standard normal numbers, which decide the orientation.
        sizes: d_b, coordinates of each block, none fewer than the rank.
        root: (rank, vectors).
    """
    ends = np.cumsum(sizes)
    blocks = [normal[end - size : end] for end, size in zip(ends, sizes, strict=True)]
    return jnp.concatenate([np.sqrt(len(block) / len(normal)) * _frame(block) for block in blocks]) @ root


def _frame(directions: jax.Array) -> jax.Array:
    """Uniformly random orthonormal columns from independent normal ones, (size, rank)."""
    q, r = jnp.linalg.qr(directions)
    return q * jnp.sign(jnp.diagonal(r))  # without the signs q is not uniform
