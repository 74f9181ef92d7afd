"""Symmetric m x m matrices packed by rows of their upper triangle: R = m (m + 1)/2 entries first, (R, ...)."""

from functools import lru_cache
from itertools import product

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

_UNROLLED = 3  # matrices beyond are treated by gathers and LAPACK, for shorter compilations


@lru_cache
def triangle(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the entries, (R,) each."""
    return np.triu_indices(size)


@lru_cache
def positions(size: int) -> np.ndarray:
    """Position of the entry (i, j), (m, m)."""
    index = np.zeros((size, size), dtype=int)
    rows, columns = triangle(size)
    index[rows, columns] = index[columns, rows] = np.arange(len(rows))
    return index


def unit(size: int) -> np.ndarray:
    """The identity, packed."""
    rows, columns = triangle(size)
    return (rows == columns).astype(float)


def unpacked(packed: np.ndarray, size: int) -> np.ndarray:
    """(R, ...) to (m, m, ...)."""
    return packed[positions(size)]


def matrices(packed: Array, size: int, axis: int = 0) -> Array:
    """The packed axis as the two axes of rows and columns; a number has none."""
    return jnp.take(packed, 0, axis=axis) if size == 1 else jnp.take(packed, positions(size), axis=axis)


def of_matrices(full: Array, size: int, axis: int = 0) -> Array:
    """The packed form of symmetric matrices whose rows and columns are the axes `axis` and `axis` + 1; numbers have neither."""
    if size == 1:
        return jnp.expand_dims(full, axis)
    rows, columns = triangle(size)
    return full[(*[slice(None)] * axis, rows, columns)]


def sandwich(products: Array, size: int) -> Array:
    """Matrix (R, R, P) of D -> sum_cd X_ac D_cd X_db on packed symmetric D, from products X_ac X_db (R, R, P)."""
    rows, columns = triangle(size)
    index, table = positions(size), []
    if size > _UNROLLED:
        a, b, c, d = rows[:, None], columns[:, None], rows[None], columns[None]
        return products[index[a, c], index[d, b]] + jnp.where((c != d)[..., None], products[index[a, d], index[c, b]], 0)
    for (a, b), (c, d) in product(zip(rows, columns, strict=True), repeat=2):
        term = products[index[a, c], index[d, b]]
        table.append(term if c == d else term + products[index[a, d], index[c, b]])
    return jnp.stack(table).reshape(len(rows), len(rows), -1)


def conjugation(s: Array, size: int) -> Array:
    """Matrix (R, R, P) of D -> S D S."""
    return sandwich(s[:, None] * s[None], size)


def inverse(packed: Array, size: int) -> Array:
    """Inverses, (R, P)."""
    if size == 1:
        return 1 / packed
    if size == 2:
        a, b, c = packed
        return jnp.stack([c, -b, a]) / (a * c - b * b)
    rows, columns = triangle(size)
    return jnp.moveaxis(jnp.linalg.inv(jnp.moveaxis(packed[positions(size)], -1, 0)), 0, -1)[rows, columns]


def swept(packed: Array, size: int) -> Array:
    """Inverses by elimination without pivots, entry by entry, for many matrices whose imaginary part is definite."""
    index, entries = positions(size), list(packed)
    for k in range(size):
        pivot = 1 / entries[index[k, k]]
        scaled = [entries[index[i, k]] * pivot for i in range(size)]
        for i, j in zip(*triangle(size), strict=True):
            if k not in (i, j):
                entries[index[i, j]] = entries[index[i, j]] - scaled[i] * entries[index[j, k]]
        for i in range(size):
            entries[index[i, k]] = scaled[i]
        entries[index[k, k]] = -pivot
    return -jnp.stack(entries)


def solved(matrix: Array, right: Array) -> Array:
    """matrix^{-1} right for each point, by elimination; the matrix is the identity less a contraction, so that pivots stay away from 0."""
    count = len(right)
    if count > len(unit(_UNROLLED)):
        return jnp.linalg.solve(jnp.moveaxis(matrix, -1, 0), right.T[..., None])[..., 0].T
    rows = jnp.concatenate([matrix, right[:, None]], axis=1)
    for i in range(count):
        pivot = rows[i] / rows[i, i]
        rows = (rows - rows[:, i, None] * pivot).at[i].set(pivot)
    return rows[:, count]


def is_positive(packed: Array, size: int) -> Array:
    """Whether each symmetric matrix is positive definite, to rounding: its pivots are."""
    matrix = packed[positions(size)]
    tolerance = -1e-12 * jnp.abs(packed).max(0)
    positive = matrix[0, 0] > 0
    for i in range(size):
        pivot = matrix[i, i]
        positive &= pivot > tolerance
        matrix = matrix - matrix[:, i, None] * matrix[None, i, :] / jnp.where(pivot == 0, 1, pivot)
    return positive
