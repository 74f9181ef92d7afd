"""Exact counts and exact Gram matrices at finite n and d, common to simulations and finite-size theory. Source: theory.md 0.

The law of large numbers is not left to act where a design can be exact: p_k is n_k/n, rho_b is d_b/d, and the Gram matrix
of (Theta_0, means) is the given one. What fluctuates from replicate to replicate is the noise and the orientation.
"""

from dataclasses import dataclass
from typing import final

import numpy as np

from gmsym.errors import InputError
from gmsym.problem.problem import Instance


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
