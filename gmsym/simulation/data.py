"""Training data of a design. Source: theory.md 0."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gmsym.problem.design import Design
from gmsym.runtime.frames import oriented


class Numbers(NamedTuple):
    """What may change without a new compilation; the counts of samples and coordinates are shapes."""

    probabilities: np.ndarray | jax.Array  # (K,)
    labels: np.ndarray | jax.Array  # (K, L)
    variance: np.ndarray | jax.Array  # (K, B)
    root: np.ndarray | jax.Array  # R with R^T R = Gram matrix of (Theta_0, means, teacher directions), (rank, C + K + T)
    ridge: float | jax.Array
    parameters: tuple[float | jax.Array, ...]
    teacher_gram: np.ndarray | jax.Array  # (T, T)
    teacher_means: np.ndarray | jax.Array  # (T, K)
    trained: np.ndarray | jax.Array  # parameters of the loss that are trained, at the start, (P,)
    trained_parameters: tuple[float | jax.Array, ...]  # as `parameters`, for their update rule: with their own step
    trained_ridge: float | jax.Array


def numbers_of(plan: Design) -> Numbers:
    """The numbers of a design."""
    instance = plan.instance
    parameters = tuple(instance.parameters.values())
    return Numbers(
        probabilities=instance.probabilities,
        labels=instance.labels,
        variance=instance.variance,
        root=plan.root,
        ridge=instance.ridge,
        parameters=parameters,
        teacher_gram=instance.teacher_gram,
        teacher_means=instance.teacher_means,
        trained=instance.trained,
        trained_parameters=tuple(instance.trained_parameters.values()),
        trained_ridge=instance.trained_ridge,
    )


class Data(NamedTuple):
    """One replicate's training set and initial state; samples are ordered by cluster, coordinates by block."""

    samples: jax.Array  # x_i, (n, d)
    labels: jax.Array  # (n, L)
    theta: jax.Array  # Theta_0, (d, C)
    means: jax.Array  # mu_k, (d, K)
    teachers: jax.Array  # theta*_s, (d, T)


def generate(counts: Sequence[int], sizes: Sequence[int], numbers: Numbers, key: jax.Array) -> Data:
    """One replicate of n_k samples and d_b coordinates; a function of `numbers` and `key`, which can be traced.

    In each block the vectors (Theta_0, means, teacher directions) have the share d_b/d of their Gram matrix and a uniformly random
    orientation.
    """
    n, d, teachers = sum(counts), sum(sizes), len(numbers.teacher_gram)
    columns = numbers.root.shape[1] - len(counts) - teachers
    normal = jax.random.normal(key, (n + len(numbers.root), d), dtype=jnp.float64)
    noise, vectors = normal[:n], oriented(normal[n:].T, sizes, numbers.root)
    theta, means, directions = jnp.split(vectors, [columns, columns + len(counts)], axis=1)
    deviations = jnp.repeat(jnp.sqrt(numbers.variance), np.array(sizes), axis=1, total_repeat_length=d)
    starts = np.cumsum((0, *counts))
    clusters = [means[:, k] + deviations[k] * noise[starts[k] : starts[k + 1]] for k in range(len(counts))]
    labels = jnp.repeat(jnp.asarray(numbers.labels), np.array(counts), axis=0, total_repeat_length=n)
    return Data(jnp.concatenate(clusters), labels, theta, means, directions)
