"""Exact counts and exact Gram matrices at finite n and d, common to simulations and finite-size theory. Source: theory.md 0.

The law of large numbers is not left to act where a design can be exact: p_k is n_k/n, rho_b is d_b/d, and the Gram matrix
of the fixed vectors is the given one. What fluctuates from replicate to replicate is the noise and the orientation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any, final

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
    roots: tuple[np.ndarray, ...]  # R_b^T R_b = Gram matrix of (Theta_0, means, teacher directions) in block b, (rank_b, C + K + T)
    laws: np.ndarray  # of the coordinates of the vectors that R combines, (rank, 3, A), see `start`; (0, 3, 0) if all are Gaussian

    def block_rows(self) -> list[slice]:
        """Embedded of each block."""
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
    sizes, roots, laws = frame(instance, d)
    return Design(realised(instance, d, n), counts, sizes, roots, laws)


def frame(instance: Instance, d: int) -> tuple[tuple[int, ...], tuple[np.ndarray, ...], np.ndarray]:
    """(d_b, coordinates of each block; R_b with R_b^T R_b = Gram matrix of (Theta_0, means, teacher directions) there; laws of what they
    combine, see `start`): d_b/d of the whole, or as it is given block by block; of an embedded problem, whose vectors are known, there are
    no roots.

    Raises:
        InputError: fewer coordinates in a block than the rank of its Gram matrix; other ones than the problem is embedded in.
    """
    if instance.vectors is not None:
        own = len(instance.vectors.start)
        if d != own:
            raise InputError(f"d = {d}: the mixture is in {own} coordinates, and so are its samples")
        return (1,) * d, (), np.zeros((0, 3, 0))
    vectors = "(Theta_0, means, teacher)" if len(instance.teacher_gram) else "(Theta_0, means)"
    if instance.placed is None:
        root, laws = start(instance)
        sizes = block_sizes(instance.fractions, d, [len(root)] * len(instance.fractions), vectors)
        return sizes, tuple(np.sqrt(size / d) * root for size in sizes), laws
    if instance.means_law is not None or instance.initial_law is not None:
        raise InputError("coordinates: vectors given block by block have a uniformly random orientation; leave the laws out")
    roots = tuple(gram_root(gram) for gram in instance.placed)
    return block_sizes(instance.fractions, d, [len(root) for root in roots], vectors), roots, np.zeros((0, 3, 0))


def block_sizes(fractions: np.ndarray, d: int, ranks: Sequence[int], vectors: str) -> tuple[int, ...]:
    """d_b, coordinates of each block, (B,).

    Raises:
        InputError: they are fewer than the rank of the Gram matrix of the `vectors`, which cannot be realised there.
    """
    sizes = apportion(fractions, d)
    short = [b for b, rank in enumerate(ranks) if sizes[b] < rank]
    if short:
        b = min(short, key=lambda b: sizes[b])
        place = f"gives block {b} only {sizes[b]} coordinates, fewer" if len(sizes) > 1 else "is less"
        raise InputError(f"d = {d} {place} than the rank {ranks[b]} of the Gram matrix of {vectors}; take d larger")
    return sizes


def rows_of(sizes: Sequence[int]) -> list[slice]:
    """Embedded of each block, given how many there are."""
    ends = np.cumsum(sizes)
    return [slice(int(end - size), int(end)) for end, size in zip(ends, sizes, strict=True)]


def gram_root(gram: np.ndarray) -> np.ndarray:
    """R with R^T R = gram, (rank, vectors)."""
    values, vectors = np.linalg.eigh(gram)
    kept = values > 1e-12 * max(values[-1], 0)
    return np.sqrt(values[kept])[:, None] * vectors[:, kept].T


def start(instance: Instance) -> tuple[np.ndarray, np.ndarray]:
    """What the start consists of: R with R^T R = Gram matrix of (Theta_0, means, teacher directions), and the laws of the coordinates of
    the orthogonal vectors that R combines.

    Returns:
        R, (rank, C + K + T); weights, values and deviations of each vector's coordinates, (rank, 3, A), or (0, 3, 0) if all are
        Gaussian. Otherwise R is a Cholesky factor in the order of means, teachers, Theta_0: each adds one vector, if any.

    Raises:
        InputError: two vectors whose coordinates have a mean, which would not be orthogonal.
    """
    if instance.means_law is None and instance.initial_law is None:
        return gram_root(instance.gram), np.zeros((0, 3, 0))
    gram, columns, clusters = instance.gram, len(instance.initial_gram), len(instance.means_gram)
    normal = np.array([[1.0], [0.0], [1.0]])
    own = [
        *[(columns + k, normal if instance.means_law is None else instance.means_law) for k in range(clusters)],
        *[(s, normal) for s in range(columns + clusters, len(gram))],
        *[(c, normal if instance.initial_law is None else instance.initial_law) for c in range(columns)],
    ]
    rows: list[np.ndarray] = []
    laws: list[np.ndarray] = []
    for vector, law in own:
        known = np.array(rows).reshape(-1, len(gram))
        rest = gram[vector] - known[:, vector] @ known
        if rest[vector] > 1e-12 * np.max(np.diag(gram)):
            rows.append(rest / np.sqrt(rest[vector]))
            laws.append(law)
    means = [float(weights @ values) for weights, values, _ in laws]
    if sum(abs(x) > 1e-9 for x in means) > 1:
        raise InputError(
            "coordinates: two independent vectors whose coordinates have a mean are not orthogonal; take a law of mean zero, such as one "
            "that is symmetric"
        )
    most = max(law.shape[1] for law in laws)
    return np.array(rows), np.stack([np.pad(law, [(0, 0), (0, most - law.shape[1])]) for law in laws])


def shares(instance: Instance) -> dict[str, list[float]]:
    """Attributes of a result: the shares of clusters and blocks that it was made with."""
    return {"probabilities": instance.probabilities.tolist(), "fractions": instance.fractions.tolist()}


def stated(problem: Problem, instance: Instance, alpha: float) -> dict[str, Any]:
    """Attributes of a result: its problem, and the numbers that it was made with."""
    return {
        "problem": problem.name,
        "problem_signature": problem.signature,
        "alpha": alpha,
        "parameters": instance.values,
        **shares(instance),
    }


def apportion(fractions: np.ndarray, total: int) -> tuple[int, ...]:
    """`total` split in proportion to `fractions` by the method of largest remainders."""
    exact = fractions * total
    counts = np.floor(exact + 1e-9).astype(int)
    most = np.argsort(counts - exact, kind="stable")[: total - counts.sum()]
    counts[most] += 1
    return tuple(map(int, counts))
