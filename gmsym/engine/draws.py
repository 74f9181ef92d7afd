"""The Gaussians of a surrogate run, from one key, or from the keys of several runs put together into a larger one."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gmsym.runtime.recursion import Design

_VISITS, _NOISE = 1 << 30, 1 << 29  # of the keys of the masks of mini-batches and of the optimizer's noise, away from those of the steps


class Draws(eqx.Module):
    """Independent standard normal numbers for each part, placed side by side: n_k samples and d_b coordinates add up over parts.

    A run is a function of the empirical measures of its samples and coordinates, so a run on the draws of two parts is the
    run on the union of their samples and coordinates.
    """

    keys: tuple[Array, ...]
    counts: tuple[int, ...] = eqx.field(static=True)  # n_k of one part
    sizes: tuple[int, ...] = eqx.field(static=True)  # d_b of one part

    def start(self, rank: int) -> Float[Array, "d rank"]:
        """Numbers that orient Theta_0 and the means."""
        parts = [jax.random.normal(jax.random.split(key)[0], (sum(self.sizes), rank)) for key in self.keys]
        return jnp.concatenate(parts)[self._coordinates()]

    def at(self, t: Array, fields: int) -> tuple[Float[Array, "c k n"], Float[Array, "c k x"]]:
        """Fresh samples (padded with zeros to the largest cluster) and fresh coordinates of step t."""
        widest, d, shape = max(self.counts), sum(self.sizes), (fields, len(self.counts))
        parts = [jax.random.normal(jax.random.fold_in(jax.random.split(key)[1], t), (*shape, widest + d)) for key in self.keys]
        samples = jnp.concatenate([part[..., :widest] for part in parts], axis=-1)
        order, exists = self._samples()
        samples = jnp.take_along_axis(samples, jnp.asarray(order)[None], axis=-1) * exists
        return samples, jnp.concatenate([part[..., widest:] for part in parts], axis=-1)[..., self._coordinates()]

    def uniform(self, t: Array, together: bool) -> Float[Array, "k n"]:
        """A number in (0, 1) for each sample at step t: independent, or `together` the strata of (0, 1) in random order."""
        key = jax.random.fold_in(jax.random.fold_in(self.keys[0], _VISITS), t)
        exists = self._samples()[1] > 0
        count = int(exists.sum())
        if together:
            numbers = (jax.random.permutation(key, count) + 0.5) / count
        else:
            numbers = jax.random.uniform(key, (count,), dtype=jnp.float64)
        return jnp.full(exists.shape, 0.5).at[np.nonzero(exists)].set(numbers)

    def noise(self, t: Array, fields: int) -> Float[Array, "c x"]:
        """The optimizer's own at step t, N(0, 1/d) in every coordinate."""
        keys = [jax.random.fold_in(jax.random.fold_in(key, _NOISE), t) for key in self.keys]
        parts = [jax.random.normal(key, (fields, sum(self.sizes))) for key in keys]
        return jnp.concatenate(parts, axis=-1)[..., self._coordinates()] / np.sqrt(len(self.keys) * sum(self.sizes))

    def _samples(self) -> tuple[np.ndarray, np.ndarray]:
        """(where each sample of the union comes from, whether it exists), (K, parts * widest)."""
        exists = np.tile(np.arange(max(self.counts)) < np.asarray(self.counts)[:, None], len(self.keys))
        order = np.argsort(~exists, axis=1, kind="stable")
        return order, np.take_along_axis(exists, order, axis=1).astype(float)

    def _coordinates(self) -> np.ndarray:
        """Where each coordinate of the union comes from, ordered by block."""
        block = np.tile(np.repeat(np.arange(len(self.sizes)), self.sizes), len(self.keys))
        return np.argsort(block, kind="stable")


def draws(design: Design, key: Array) -> Draws:
    """The Gaussians of one run."""
    return Draws((key,), design.counts, design.sizes)


def union(design: Design, keys: Sequence[Array] | Array) -> tuple[Design, Draws]:
    """The run on the samples and coordinates of several runs of `design` together, and its own design."""
    count = len(keys)
    larger = design._replace(counts=tuple(count * n for n in design.counts), sizes=tuple(count * d for d in design.sizes))
    return larger, Draws(tuple(keys), design.counts, design.sizes)
