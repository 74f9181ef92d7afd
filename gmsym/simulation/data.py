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
    root: np.ndarray | jax.Array  # R with R^T R = Gram matrix of (Theta_0, means), (rank, C + K)
    ridge: float | jax.Array
    parameters: tuple[float | jax.Array, ...]


def numbers_of(plan: Design) -> Numbers:
    """The numbers of a design."""
    instance = plan.instance
    parameters = tuple(instance.parameters.values())
    return Numbers(instance.probabilities, instance.labels, instance.variance, plan.root, instance.ridge, parameters)


class Data(NamedTuple):
    """One replicate's training set and initial state; samples are ordered by cluster, coordinates by block."""

    samples: jax.Array  # x_i, (n, d)
    labels: jax.Array  # (n, L)
    theta: jax.Array  # Theta_0, (d, C)
    means: jax.Array  # mu_k, (d, K)


def generate(counts: Sequence[int], sizes: Sequence[int], numbers: Numbers, key: jax.Array) -> Data:
    """One replicate of n_k samples and d_b coordinates; a function of `numbers` and `key`, which can be traced.

    In each block the vectors (Theta_0, means) have the share d_b/d of their Gram matrix and a uniformly random orientation.
    """
    n, d, columns = sum(counts), sum(sizes), numbers.root.shape[1] - len(counts)
    normal = jax.random.normal(key, (n + len(numbers.root), d), dtype=jnp.float64)
    noise, vectors = normal[:n], oriented(normal[n:].T, sizes, numbers.root)
    theta, means = vectors[:, :columns], vectors[:, columns:]
    deviations = jnp.repeat(jnp.sqrt(numbers.variance), np.array(sizes), axis=1, total_repeat_length=d)
    starts = np.cumsum((0, *counts))
    clusters = [means[:, k] + deviations[k] * noise[starts[k] : starts[k + 1]] for k in range(len(counts))]
    labels = jnp.repeat(jnp.asarray(numbers.labels), np.array(counts), axis=0, total_repeat_length=n)
    return Data(jnp.concatenate(clusters), labels, theta, means)
