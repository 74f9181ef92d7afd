"""Online SGD on given samples: one pass in random order, tested on what is left. Source: theory.md 6; verified/real_data.md."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from gmsym.errors import check_integers
from gmsym.problem import Problem
from gmsym.runtime.batches import together
from gmsym.simulation._recording import Kind, kind_of, load, numbers_of, replicated
from gmsym.simulation._replicates import Program
from gmsym.simulation.given import given, split, testing


def pass_over(
    problem: Problem,
    values: Mapping[str, float],
    X: Any,
    labels: Any,
    *,
    n: int,
    test: int | None = None,
    points: int = 21,
    replicates: int = 20,
    seed: int = 0,
    checkpoint: Path | str | None = None,
    report: Callable[[float], None] | None = None,
) -> xr.Dataset:
    """Theta' = Theta - (c/d) (dl + ridge Theta) on each of n of the samples, once, in random order.

    Cost: O(d C) time a step and O(test d C) a record, O(N d) memory a replicate. Arguments and errors as `gmsym.train`.
    """
    problem.check_online("train (online SGD)")
    check_integers(points=(points, 2), replicates=(replicates, 2), seed=(seed, 0))
    data = given(problem, X, labels, n, test)
    kind, instance = kind_of(problem), problem.at(values)
    recorded = np.unique(np.linspace(0, n, points).round().astype(int))
    found = replicated(
        _program(kind, n, data.test, data.d, problem.fields),
        (numbers_of(instance, (1,) * data.d), data.numbers(instance)),
        problem,
        instance,
        recorded,
        data.d,
        replicates,
        seed,
        data.wide * (problem.fields + 4),
        f"one pass over {n} samples, tested on {data.test}",
        checkpoint,
        report,
        batch=together(replicates, (n + data.test) * data.wide),
    )
    return found.assign_attrs(seen=n, test=data.test)  # n is of training that sees its samples again


@lru_cache(maxsize=64)
def _program(kind: Kind, n: int, test: int, d: int, C: int) -> Program:
    """One order of the samples."""
    code = load(kind)
    tested = testing(code, kind.loss_labels, kind.decision, kind.names)

    def begin(numbers, key):
        _, of_data = numbers
        return split(of_data, key, n, test), (jnp.asarray(of_data.vectors)[:, :C], jnp.asarray(of_data.trained))

    def advance(numbers, fixed, state, span):
        numbers, of_data = numbers
        (samples, labels), held = fixed
        means = of_data.vectors[:, C:]

        def update(i, state):
            theta, v = state

            def loss(theta, v):
                return code.loss(theta.T @ samples[i], jnp.zeros(0), labels[i, : kind.loss_labels], v, numbers.parameters)

            slope, slope_v = jax.grad(loss, argnums=(0, 1))(theta, v)
            c = code.step(i * (numbers.step / d), numbers.parameters)
            c_v = c * (numbers.trained_step / numbers.step)
            return theta - c / d * (slope + numbers.ridge * theta), v - c_v / d * (slope_v + numbers.trained_ridge * v)

        theta, v = state = jax.lax.fori_loop(span[0], span[1], update, state)
        overlaps = {"Q": theta.T @ theta, "m": means.T @ theta, "Q_k": of_data.covariances(theta, ()), "trained": v}
        return state, overlaps | tested(held, theta, v, numbers.parameters)

    return Program(begin, advance)
