"""Exact counts and exact Gram matrices at finite n and d, common to simulations and finite-size theory. Source: theory.md 0.

The law of large numbers is not left to act where a design can be exact: p_k is n_k/n, rho_b is d_b/d, and the Gram matrix
of the fixed vectors is the given one. What fluctuates from replicate to replicate is the noise and the orientation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import final

import numpy as np

from gmsym.errors import InputError
from gmsym.problem.instance import Instance
from gmsym.problem.problem import Problem


@final
@dataclass(frozen=True)
class Design:
    """How many samples are in each cluster, how many coordinates in each block, and the vectors' common Gram matrix."""

    instance: Instance  # with p_k = n_k/n and rho_b = d_b/d
    counts: tuple[int, ...]  # n_k, (K,)
    sizes: tuple[int, ...]  # d_b, (B,)
    root: np.ndarray  # R with R^T R = Gram matrix of (Theta_0, means, teacher directions), (rank, C + K + T)

    def block_rows(self) -> list[slice]:
        """Coordinates of each block."""
        return rows_of(self.sizes)


def instance_of_size(problem: Problem, values: Mapping[str, float], n: int, d: int) -> Instance:
    """The problem in numbers where alpha is n/d.

    Raises:
        InputError: as `Problem.at`; an alpha among the values that is another ratio than whole numbers n and d near it give.
    """
    if not isinstance(values, Mapping):
        return problem.at(values)  # which says what is needed
    alpha, stated = n / d, values.get("alpha")
    if isinstance(stated, Real) and not abs(stated - alpha) <= 1 / d:
        raise InputError(f"alpha = {stated!r}, but n = {n} and d = {d} make n/d = {alpha:.6g}; leave alpha out, or change n or d")
    return problem.at({**values, "alpha": alpha})


def realised(instance: Instance, d: int, n: int | None = None) -> Instance:
    """The instance with the shares that whole numbers allow: d_b/d for rho_b, and n_k/n for p_k if samples are counted."""
    counted = {} if n is None else {"probabilities": np.array(apportion(instance.probabilities, n)) / n}
    return replace(instance, fractions=np.array(apportion(instance.fractions, d)) / d, **counted)


def design(instance: Instance, n: int, d: int) -> Design:
    """The design of n samples in d dimensions; its instance is the realised one.

    Raises:
        InputError: a cluster without a sample, or a block with fewer coordinates than the rank of the Gram matrix of
            (Theta_0, means, teacher directions), which cannot be realised there.
    """
    counts = apportion(instance.probabilities, n)
    if min(counts) < 1:
        k = counts.index(min(counts))
        raise InputError(f"n = {n} samples leave cluster {k} of probability {instance.probabilities[k]:.3g} empty; take n larger")
    root = gram_root(instance.gram)
    vectors = "(Theta_0, means, teacher)" if len(instance.teacher_gram) else "(Theta_0, means)"
    sizes = block_sizes(instance.fractions, d, len(root), vectors)
    return Design(realised(instance, d, n), counts, sizes, root)


def block_sizes(fractions: np.ndarray, d: int, rank: int, vectors: str) -> tuple[int, ...]:
    """d_b, coordinates of each block, (B,).

    Raises:
        InputError: they are fewer than the rank of the Gram matrix of the `vectors`, which cannot be realised there.
    """
    sizes = apportion(fractions, d)
    if min(sizes) < rank:
        place = f"gives block {sizes.index(min(sizes))} only {min(sizes)} coordinates, fewer" if len(sizes) > 1 else "is less"
        raise InputError(f"d = {d} {place} than the rank {rank} of the Gram matrix of {vectors}; take d larger")
    return sizes


def rows_of(sizes: Sequence[int]) -> list[slice]:
    """Coordinates of each block, given how many there are."""
    ends = np.cumsum(sizes)
    return [slice(int(end - size), int(end)) for end, size in zip(ends, sizes, strict=True)]


def gram_root(gram: np.ndarray) -> np.ndarray:
    """R with R^T R = gram, (rank, vectors)."""
    values, vectors = np.linalg.eigh(gram)
    kept = values > 1e-12 * max(values[-1], 0)
    return np.sqrt(values[kept])[:, None] * vectors[:, kept].T


def shares(instance: Instance) -> dict[str, list[float]]:
    """Attributes of a result: the shares of clusters and blocks that it was made with."""
    return {"probabilities": instance.probabilities.tolist(), "fractions": instance.fractions.tolist()}


def apportion(fractions: np.ndarray, total: int) -> tuple[int, ...]:
    """`total` split in proportion to `fractions` by the method of largest remainders."""
    exact = fractions * total
    counts = np.floor(exact + 1e-9).astype(int)
    most = np.argsort(counts - exact, kind="stable")[: total - counts.sum()]
    counts[most] += 1
    return tuple(map(int, counts))
