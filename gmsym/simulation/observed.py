"""The problem's own observables as printed functions of samples. Source: theory.md 0.

Letters: C fields, T teachers, L label components, P trained parameters, n samples; S = C + C (C + 1)/2 order parameters of a cluster.
"""

import jax
import jax.numpy as jnp

from gmsym import printer, symbols
from gmsym.problem import Problem
from gmsym.problem.observables import order_parameters


def printed(problem: Problem) -> list[str]:
    """Definition of `observables`, their values at a sample; nothing if there are none."""
    if not problem.observables:
        return []
    given = {
        "fields": problem.loss.fields,
        "teacher": problem.loss.beside,
        "label": symbols.labels(problem.data.label_size),
        "moments": order_parameters(problem.fields),
        "trained": problem.trained_parameters,
        "parameters": problem.local_parameters,
    }
    return [printer.function("observables", given, "Observables of a sample.", tuple(expr for _, expr in problem.observables))]


def moments(mean: jax.Array, covariance: jax.Array) -> jax.Array:
    """Order parameters of each cluster as the printed function takes them, (K, S), from (K, C) and (K, C, C)."""
    rows, columns = jnp.triu_indices(mean.shape[1])
    return jnp.concatenate([mean, covariance[:, rows, columns]], axis=1)


def unknown_moments(size: int, samples: int) -> jax.Array:
    """In the place of the moments of samples that belong to no known cluster, (S, n): not a number, which nothing is to read."""
    return jnp.full((size, samples), jnp.nan)


def means(values: tuple[jax.Array, ...], names: tuple[str, ...], sample: str) -> dict[str, jax.Array]:
    """Mean of each observable over samples along the last axis, by the result's name."""
    return {f"{sample}_{name}": jnp.mean(jnp.asarray(value, float)) for name, value in zip(names, values, strict=True)}
