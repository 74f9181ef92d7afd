"""Gaussian means within generated expressions, at nodes of their own."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from gmsym.errors import InputError
from gmsym.runtime.nodes import gaussian_means, settled


def gaussian_mean(
    f: Callable[..., jax.Array],
    mean: Sequence[jax.Array] | jax.Array,
    cov: Sequence[Sequence[jax.Array]] | jax.Array,
    smooth: bool = True,
) -> jax.Array:
    """E f(h_1, ..., h_d) for h ~ N(mean, cov), a scalar: for means within other means, whose nodes nobody passes.

    The `settled` rules of `runtime/nodes.py`. Works under jit, vmap and grad, as `gaussian_means` does.

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
    (nodes,) = settled([(len(mean), "smooth" if smooth else "rough")])
    (found,) = gaussian_means(lambda *h: (jnp.asarray(f(*h), float),), [*mean], [[*row] for row in cov], nodes, rough=not smooth)
    return found
