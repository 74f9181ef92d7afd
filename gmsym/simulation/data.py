"""Training data of a design. Source: theory.md 0."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gmsym.problem.design import Design
from gmsym.runtime.frames import oriented


class Data(NamedTuple):
    """One replicate's training set and initial state; samples are ordered by cluster, coordinates by block."""

    samples: jax.Array  # x_i, (n, d)
    labels: jax.Array  # (n, L)
    theta: jax.Array  # Theta_0, (d, C)
    means: jax.Array  # mu_k, (d, K)


def generate(plan: Design, key: jax.Array) -> Data:
    """One replicate; a function of `key` alone, which can be traced.

    In each block the vectors (Theta_0, means) have the share d_b/d of their Gram matrix and a uniformly random orientation.
    """
    n, d, columns = sum(plan.counts), sum(plan.sizes), plan.instance.initial_gram.shape[0]
    normal = jax.random.normal(key, (n + len(plan.root), d), dtype=jnp.float64)
    noise, vectors = normal[:n], oriented(normal[n:].T, plan.sizes, plan.root)
    theta, means = vectors[:, :columns], vectors[:, columns:]
    deviations = np.repeat(np.sqrt(plan.instance.variance), plan.sizes, axis=1)
    starts = np.cumsum((0, *plan.counts))
    clusters = [means[:, k] + deviations[k] * noise[starts[k] : starts[k + 1]] for k in range(len(plan.counts))]
    labels = np.repeat(plan.instance.labels, plan.counts, axis=0)
    return Data(jnp.concatenate(clusters), jnp.asarray(labels), theta, means)
