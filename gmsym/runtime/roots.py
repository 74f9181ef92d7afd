"""Roots of small Gram matrices, which may be singular."""

import jax
import jax.numpy as jnp


def square_root(cov: jax.Array) -> jax.Array:
    """Lower triangular L with L L^T = cov, (d, d), for small d and cov possibly singular.

    Cholesky's method without a failure: a direction with no variance left over, to rounding, gets a zero column.
    Unlike a root by eigenvectors, it has derivatives where eigenvalues coincide.
    """
    size = cov.shape[0]
    tolerance = 100 * jnp.finfo(cov.dtype).eps
    columns: list[jax.Array] = []
    rest = cov
    for j in range(size):
        positive = rest[j, j] > tolerance * jnp.maximum(cov[j, j], 0)
        pivot = jnp.where(positive, rest[j, j], 1)
        column = jnp.where(positive & (jnp.arange(size) >= j), rest[:, j] / jnp.sqrt(pivot), 0)
        columns.append(column)
        rest = rest - jnp.outer(column, column)
    return jnp.stack(columns, axis=1)
