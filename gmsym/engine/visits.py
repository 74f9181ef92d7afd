"""Uniform numbers for the masks of mini-batches, spread evenly along the sorted fields (array-RQMC). Source: theory.md 5.

k clusters, n points of a tile. Sorted by state and then by field, the samples take the points of a randomly shifted lattice in turn: every
run of neighbours in one state is hit at the rate that the rule gives, which leaves far less noise than independent numbers.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

_GOLDEN = 0.6180339887498949


def strata(h: Float[Array, "k n"], visit: Float[Array, "k n"], seed: Array, t: Array, tile: Array) -> Float[Array, "k n"]:
    """A number in (0, 1) for each sample at step t."""
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), t), tile)
    shift = jax.random.uniform(key, (len(h), 1), dtype=h.dtype)
    place = jnp.argsort(jnp.lexsort((h, visit), axis=-1), axis=-1)
    return jnp.mod(shift + _GOLDEN * place, 1.0)
