"""Training data and initial states with exact counts and exact Gram matrices. Source: theory.md 0.

The law of large numbers is not left to act where a design can be exact: p_k is n_k/n, rho_b is d_b/d, and the Gram matrix
of (Theta_0, means) is the given one. What fluctuates from replicate to replicate is the noise and the orientation.
"""

from dataclasses import dataclass
from typing import NamedTuple, final

import jax
import jax.numpy as jnp
import numpy as np

from gmsym.errors import InputError
from gmsym.problem import Instance


class Data(NamedTuple):
    """One replicate's training set and initial state; samples are ordered by cluster, coordinates by block."""

    samples: jax.Array  # x_i, (n, d)
    labels: jax.Array  # (n, L)
    theta: jax.Array  # Theta_0, (d, C)
    means: jax.Array  # mu_k, (d, K)


@final
@dataclass(frozen=True)
class Design:
    """How many samples are in each cluster, how many coordinates in each block, and the vectors' common Gram matrix."""

    instance: Instance
    counts: tuple[int, ...]  # n_k, (K,)
    sizes: tuple[int, ...]  # d_b, (B,)
    root: np.ndarray  # R with R^T R = Gram matrix of (Theta_0, means), (rank, C + K)

    def block_rows(self) -> list[slice]:
        """Coordinates of each block."""
        ends = np.cumsum(self.sizes)
        return [slice(int(end - size), int(end)) for end, size in zip(ends, self.sizes, strict=True)]


def design(instance: Instance, n: int, d: int) -> Design:
    """The design of n samples in d dimensions.

    Raises:
        InputError: a cluster without a sample, or a block with fewer coordinates than the rank of the Gram matrix of
            (Theta_0, means), which cannot be realised there.
    """
    counts, sizes = apportion(instance.probabilities, n), apportion(instance.fractions, d)
    if min(counts) < 1:
        k = counts.index(min(counts))
        raise InputError(f"n = {n} samples leave cluster {k} of probability {instance.probabilities[k]:.3g} empty; take n larger")
    gram = np.block([[instance.initial_gram, instance.initial_overlap], [instance.initial_overlap.T, instance.means_gram]])
    eigenvalues, vectors = np.linalg.eigh(gram)
    kept = eigenvalues > 1e-12 * max(eigenvalues[-1], 0)
    root = np.sqrt(eigenvalues[kept])[:, None] * vectors[:, kept].T
    if min(sizes) < len(root):
        raise InputError(
            f"d = {d} gives block {sizes.index(min(sizes))} only {min(sizes)} coordinates, fewer than the rank {len(root)} "
            "of the Gram matrix of (Theta_0, means); take d larger"
        )
    return Design(instance, counts, sizes, root)


def apportion(fractions: np.ndarray, total: int) -> tuple[int, ...]:
    """`total` split in proportion to `fractions` by the method of largest remainders."""
    exact = fractions * total
    counts = np.floor(exact + 1e-9).astype(int)
    most = np.argsort(counts - exact, kind="stable")[: total - counts.sum()]
    counts[most] += 1
    return tuple(map(int, counts))


def generate(plan: Design, key: jax.Array) -> Data:
    """One replicate; a function of `key` alone, which can be traced.

    In each block the vectors (Theta_0, means) have the share d_b/d of their Gram matrix and a uniformly random orientation.
    """
    n, d, columns = sum(plan.counts), sum(plan.sizes), plan.instance.initial_gram.shape[0]
    normal = jax.random.normal(key, (n + len(plan.root), d), dtype=jnp.float64)
    noise, directions = normal[:n], normal[n:].T
    frames = [np.sqrt(size / d) * _frame(directions[rows]) for size, rows in zip(plan.sizes, plan.block_rows(), strict=True)]
    vectors = jnp.concatenate(frames) @ plan.root
    theta, means = vectors[:, :columns], vectors[:, columns:]
    deviations = np.repeat(np.sqrt(plan.instance.variance), plan.sizes, axis=1)
    starts = np.cumsum((0, *plan.counts))
    clusters = [means[:, k] + deviations[k] * noise[starts[k] : starts[k + 1]] for k in range(len(plan.counts))]
    labels = np.repeat(plan.instance.labels, plan.counts, axis=0)
    return Data(jnp.concatenate(clusters), jnp.asarray(labels), theta, means)


def _frame(directions: jax.Array) -> jax.Array:
    """Uniformly random orthonormal columns from independent normal ones, (size, rank)."""
    q, r = jnp.linalg.qr(directions)
    return q * jnp.sign(jnp.diagonal(r))  # without the signs q is not uniform
