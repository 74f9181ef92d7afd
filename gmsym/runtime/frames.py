"""Vectors with an exact Gram matrix and a uniformly random orientation."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def oriented(normal: Float[Array, "d rank"], sizes: Sequence[int], root: np.ndarray | Array) -> Float[Array, "d vectors"]:
    """Columns whose Gram matrix within each block is its share d_b/d of root^T root.

    Args:
        normal: independent standard normal numbers, which decide the orientation.
        sizes: d_b, coordinates of each block, none fewer than the rank.
        root: (rank, vectors).
    """
    return placed(normal, sizes, [np.sqrt(size / len(normal)) * root for size in sizes])


def placed(normal: Float[Array, "d rank"], sizes: Sequence[int], roots: Sequence[np.ndarray | Array]) -> Float[Array, "d vectors"]:
    """Columns whose Gram matrix within each block is root^T root.

    Args:
        normal: as `oriented`; a block whose root has fewer rows uses the first columns.
        sizes: d_b, coordinates of each block, none fewer than the rows of its root.
        roots: (rank_b, vectors), one a block.
    """
    ends = np.cumsum(sizes)
    blocks = [normal[end - size : end, : len(root)] for end, size, root in zip(ends, sizes, roots, strict=True)]
    return jnp.concatenate([_frame(block) @ root for block, root in zip(blocks, roots, strict=True)])


def _frame(directions: jax.Array) -> jax.Array:
    """Uniformly random orthonormal columns from independent normal ones, (size, rank)."""
    # Gram-Schmidt, twice; the batched QR of several blocks was seen to block XLA's CPU threads.
    columns: list[jax.Array] = []
    for column in directions.T:
        for _ in range(2):
            for other in columns:
                column = column - other * (other @ column)
        columns.append(column / jnp.linalg.norm(column))
    return jnp.stack(columns, axis=1) if columns else directions
