"""Training data of a design. Source: theory.md 0."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gmsym.problem.design import Design
from gmsym.runtime.frames import placed

_OWN = 1 << 28  # of the key of samples' own noises, away from that of the data


class Numbers(NamedTuple):
    """What may change without a new compilation; the counts of samples and coordinates are shapes."""

    probabilities: np.ndarray | jax.Array  # (K,)
    labels: np.ndarray | jax.Array  # (K, L)
    variance: np.ndarray | jax.Array  # (K, B)
    roots: tuple[np.ndarray | jax.Array, ...]  # R_b^T R_b = Gram matrix of (Theta_0, means, teachers) in block b, (rank_b, C + K + T)
    laws: np.ndarray | jax.Array  # of the coordinates that R combines, (rank, 3, A): weights, values, deviations; no rows: Gaussian
    ridge: float | jax.Array
    parameters: tuple[float | jax.Array, ...]
    teacher_gram: np.ndarray | jax.Array  # (T, T)
    teacher_means: np.ndarray | jax.Array  # (T, K)
    trained: np.ndarray | jax.Array  # parameters of the loss that are trained, at the start, (P,)
    trained_parameters: tuple[float | jax.Array, ...]  # as `parameters`, for their update rule: with their own step
    trained_ridge: float | jax.Array
    vectors: np.ndarray | jax.Array  # (Theta_0, means) of a problem in coordinates, (d, C + K); empty otherwise
    factors: np.ndarray | jax.Array  # of its different covariances, F F^T = Sigma, (G, d, d); empty if they are diagonal
    groups: np.ndarray | jax.Array  # which of them is that of each cluster, (K,)
    given: tuple[np.ndarray | jax.Array, ...]  # samples (N, d) and labels (N, L) to train on; empty where they are drawn

    def covariances(self, vectors: jax.Array, rows: Sequence[slice]) -> jax.Array:
        """vectors^T Sigma_k vectors, (K, V, V)."""
        if len(self.vectors):
            return covariances(vectors, self.factors, self.groups, self.variance)
        return jnp.einsum("kb,bvw->kvw", self.variance, jnp.stack([vectors[block].T @ vectors[block] for block in rows]))


def numbers_of(plan: Design, basis: np.ndarray | None = None, given: tuple[np.ndarray, ...] = ()) -> Numbers:
    """The numbers of a design.

    Args:
        plan: the design.
        basis: columns that turn a problem's coordinates to those in which it trains; None: the same.
        given: samples and labels to train on.
    """
    instance = plan.instance
    parameters, known = tuple(instance.parameters.values()), instance.vectors
    full = known is not None and known.covariance is not None
    turned = (lambda x: x) if basis is None else (lambda x: basis @ x)
    return Numbers(
        probabilities=instance.probabilities,
        labels=instance.labels,
        variance=instance.variance,
        roots=plan.roots,
        laws=plan.laws,
        ridge=instance.ridge,
        parameters=parameters,
        teacher_gram=instance.teacher_gram,
        teacher_means=instance.teacher_means,
        trained=instance.trained,
        trained_parameters=tuple(instance.trained_parameters.values()),
        trained_ridge=instance.trained_ridge,
        vectors=np.zeros((0, 0)) if known is None else turned(np.concatenate([known.start, known.means.T], axis=1)),
        factors=turned(square_roots(known.covariance)) if full else np.zeros((0, 0, 0)),
        groups=np.zeros(0, int) if known is None else np.asarray(known.groups),
        given=given,
    )


def covariances(vectors: jax.Array, factors: Any, groups: Any, variance: Any) -> jax.Array:
    """vectors^T Sigma_k vectors (K, V, V) in coordinates, of factors F F^T = Sigma (G, d, d), or of variances (K, d) if there are none."""
    if not len(factors):
        return jnp.einsum("kd,dv,dw->kvw", variance, vectors, vectors)
    turned = jnp.einsum("kde,dv->kev", factors, vectors)
    return jnp.einsum("kev,kew->kvw", turned, turned)[groups]


def square_roots(covariance: np.ndarray) -> np.ndarray:
    """F with F F^T = Sigma for each of (G, d, d), which may be singular."""
    values, vectors = np.linalg.eigh(covariance)
    return vectors * np.sqrt(np.maximum(values, 0.0))[:, None]


_COMPONENTS = 1 << 28  # of the key of the atoms that coordinates take


def _of_laws(normal: jax.Array, laws: jax.Array, sizes: Sequence[int], key: jax.Array) -> jax.Array:
    """Rows of coordinates (rank, d) of the laws from normal numbers; in each block the components of a law have their exact shares."""

    def of_vector(z: jax.Array, law: jax.Array, key: jax.Array) -> jax.Array:
        weights, values, deviations = law
        strata = [(jax.random.permutation(jax.random.fold_in(key, block), size) + 0.5) / size for block, size in enumerate(sizes)]
        component = jnp.searchsorted(jnp.cumsum(weights)[:-1], jnp.concatenate(strata), side="right")
        return values[component] + deviations[component] * z

    keys = [jax.random.fold_in(key, i) for i in range(len(normal))]
    return jnp.stack([of_vector(z, law, own) for z, law, own in zip(normal, laws, keys, strict=True)])


class Data(NamedTuple):
    """One replicate's training set and initial state; samples are ordered by cluster, coordinates by block."""

    samples: jax.Array  # x_i, (n, d)
    labels: jax.Array  # (n, L)
    theta: jax.Array  # Theta_0, (d, C)
    means: jax.Array  # mu_k, (d, K)
    teachers: jax.Array  # theta*_s, (d, T)


def generate(counts: Sequence[int], sizes: Sequence[int], numbers: Numbers, key: jax.Array) -> Data:
    """One replicate of n_k samples and d_b coordinates; a function of `numbers` and `key`, which can be traced.

    In each block the vectors (Theta_0, means, teacher directions) have their Gram matrix there and a uniformly random orientation, or
    coordinates of the stated laws in random order.
    """
    n, d, teachers = sum(counts), sum(sizes), len(numbers.teacher_gram)
    normal = jax.random.normal(key, (n + max(map(len, numbers.roots), default=0), d), dtype=jnp.float64)
    noise, first = normal[:n], normal[n:]
    if len(numbers.laws):
        first = _of_laws(first, numbers.laws, sizes, jax.random.fold_in(key, _COMPONENTS))
    vectors = numbers.vectors if len(numbers.vectors) else placed(first.T, sizes, numbers.roots)
    columns = vectors.shape[1] - len(counts) - teachers
    theta, means, directions = jnp.split(vectors, [columns, columns + len(counts)], axis=1)
    starts = np.cumsum((0, *counts))
    parts = [noise[starts[k] : starts[k + 1]] for k in range(len(counts))]
    if len(numbers.factors):
        clusters = [means[:, k] + part @ numbers.factors[numbers.groups[k]].T for k, part in enumerate(parts)]
    else:
        deviations = jnp.repeat(jnp.sqrt(numbers.variance), np.array(sizes), axis=1, total_repeat_length=d)
        clusters = [means[:, k] + deviations[k] * part for k, part in enumerate(parts)]
    labels = jnp.repeat(jnp.asarray(numbers.labels), np.array(counts), axis=0, total_repeat_length=n)
    return Data(jnp.concatenate(clusters), labels, theta, means, directions)


def beside(data: Data, noises: int, key: jax.Array) -> jax.Array:
    """What samples have beside their fields: those of the teachers, and so many noises of their own, N(0, 1), (T + W, n)."""
    fields = data.teachers.T @ data.samples.T
    own = jax.random.normal(jax.random.fold_in(key, _OWN), (noises, len(data.samples)), dtype=fields.dtype)
    return jnp.concatenate([fields, own])
