"""Means over a Gaussian of a few dimensions, for generated code. Source: theory.md 6 (trapezoid) and 2 (whitened Sobol)."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import ndtri

from gmsym.errors import InputError
from gmsym.runtime import points

_REACH, _TRAPEZOID = 10.0, 320  # steep functions decide the count: a sigmoid errs by exp(-2 pi^2/(step sd)), 1e-12 at sd = 10
_HERMITE = {2: 60, 3: 30}  # nodes a dimension
_SOBOL = 2**13
_ROUGH = 2**14
_FEWER = (1.0, 0.8, 0.9, 0.7)  # nodes of the alternative rules, relative to the rule itself
ALTERNATIVES = tuple(range(1, len(_FEWER)))
_alternative = ContextVar("alternative", default=0)


@contextmanager
def alternative(wanted: int = 1) -> Iterator[None]:
    """Within it, Gaussian means use other nodes of about the same accuracy: the change they make estimates the quadrature's error.

    There are several alternatives, since two scrambles, or two rules across a jump, often agree by accident; 0 is the rule itself.

    Under `jit` the choice is made when a function is traced.
    """
    token = _alternative.set(wanted)
    try:
        yield
    finally:
        _alternative.reset(token)


def gaussian_mean(
    f: Callable[..., jax.Array],
    mean: Sequence[jax.Array] | jax.Array,
    cov: Sequence[Sequence[jax.Array]] | jax.Array,
    smooth: bool = True,
) -> jax.Array:
    """E f(h_1, ..., h_d) for h ~ N(mean, cov), a scalar.

    In one dimension the trapezoid rule with 320 nodes on +-10 standard deviations, in two and three tensor Gauss-Hermite
    rules (60^2, 30^3), beyond that 2^13 whitened scrambled Sobol points, the same ones at each call (relative error 1e-4 to
    1e-3). For an f with kinks or jumps 2^14 points: equally probable ones in one dimension (error 1e-4 of a jump), Sobol
    points beyond (1e-3). Works under jit, vmap and grad; derivatives with respect to `cov` are right where it is not singular. Those of
    an f that is not smooth are taken of the Gaussian density, at nodes that stay where they are, since f has deltas to differentiate;
    along directions without variance they are lost.

    Args:
        f: takes d scalars; it may itself contain Gaussian means.
        mean: (d,).
        cov: (d, d), positive semidefinite, possibly singular.
        smooth: whether f has no kinks and jumps.

    Raises:
        InputError: other shapes; batches go through vmap.
    """
    mean, cov = jnp.asarray(mean), jnp.asarray(cov)
    if mean.ndim != 1 or cov.shape != 2 * mean.shape:
        raise InputError(f"mean has shape {mean.shape}, cov {cov.shape}; (d,) and (d, d) are needed (use jax.vmap for batches)")
    dtype = jnp.result_type(mean, cov)
    dtype = dtype if jnp.issubdtype(dtype, jnp.floating) else jnp.result_type(float)
    nodes, weights = (jnp.asarray(a, dtype) for a in _rule(mean.shape[0], smooth, _alternative.get()))
    root = square_root(cov.astype(dtype))
    fields = [m + sum(row[j] * nodes[j] for j in range(i + 1)) for i, (m, row) in enumerate(zip(mean, root, strict=True))]
    if not smooth:
        fields = [jax.lax.stop_gradient(field) for field in fields]
        weights = weights * _density_ratio(fields, mean, root)
    return jnp.sum(weights * jax.vmap(f)(*fields))


def _density_ratio(fields: Sequence[jax.Array], mean: jax.Array, root: jax.Array) -> jax.Array:
    """Density of N(mean, root root^T) at fixed fields over its own value: 1, with the density's derivatives; 1 along null directions."""
    diagonal = jnp.diag(root)
    kept = diagonal > 0
    pivots = jnp.where(kept, diagonal, 1.0)
    standard: list[jax.Array] = []
    for i, field in enumerate(fields):  # root^{-1} (field - mean), by forward substitution
        rest = field - mean[i] - sum(root[i, j] * standard[j] for j in range(i))
        standard.append(jnp.where(kept[i], rest / pivots[i], 0.0))
    logarithm = -sum(x**2 for x in standard) / 2 - jnp.sum(jnp.log(pivots))
    return jnp.exp(logarithm - jax.lax.stop_gradient(logarithm))


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


@cache
def _rule(dimensions: int, smooth: bool, other: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes (dimensions, count) and weights (count,) for N(0, I); `other` ones are fewer, or of another scramble."""
    share = _FEWER[other]
    if not smooth:
        if dimensions == 1:
            count = round(_ROUGH * share)
            return ndtri((np.arange(count) + 0.5) / count)[None], np.full(count, 1 / count)
        return points.whitened_sobol(_ROUGH, dimensions, seed=other), np.full(_ROUGH, 1 / _ROUGH)
    if dimensions == 1:
        nodes = np.linspace(-_REACH, _REACH, round(_TRAPEZOID * share))
        weights = np.exp(-(nodes**2) / 2)
        return nodes[None], weights / weights.sum()
    if dimensions in _HERMITE:
        nodes, weights = np.polynomial.hermite_e.hermegauss(round(_HERMITE[dimensions] * share))
        grid = np.meshgrid(*[nodes] * dimensions, indexing="ij")
        product = np.meshgrid(*[weights / weights.sum()] * dimensions, indexing="ij")
        return np.stack([g.ravel() for g in grid]), np.prod(product, axis=0).ravel()
    return points.whitened_sobol(_SOBOL, dimensions, seed=other), np.full(_SOBOL, 1 / _SOBOL)
