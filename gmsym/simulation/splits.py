"""Training on given samples: random splits, each tested on what it does not train on. Source: theory.md 0; verified/real_data.md."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from gmsym import runtime, schema
from gmsym.errors import check_integers
from gmsym.problem import Problem
from gmsym.problem.design import instance_of_size, stated
from gmsym.runtime.batches import together
from gmsym.runtime.checkpoint import Checkpoint
from gmsym.simulation._replicates import Program, run_replicates
from gmsym.simulation.data import Data, Numbers
from gmsym.simulation.given import given, split, testing
from gmsym.simulation.training import check_finite, descent, observing, source

_SECONDS = 5e-10  # of a multiplication and an addition


def train_on(
    problem: Problem,
    values: Mapping[str, float],
    X: Any,
    labels: Any,
    *,
    n: int,
    test: int | None = None,
    steps: int,
    replicates: int = 20,
    seed: int = 0,
    checkpoint: Path | str | None = None,
    report: Callable[[float], None] | None = None,
) -> xr.Dataset:
    """Trains on `replicates` random parts of n of the samples, from the same initial state.

    Train and test losses and the test error are means over samples; m, Q and Q_k are those of Theta with the means and covariances of
    the problem's mixture, in which the clusters are. A fitted mixture trains on its features, centred and in its unit.

    Cost: O(n d C) time a step, O(N d) memory a replicate. Arguments and errors as `gmsym.train`.
    """
    problem.check_full_batch("train (full batches)", batches=True, trained=True, noise=True, own=False)
    check_integers(steps=(steps, 1), replicates=(replicates, 2), seed=(seed, 0))
    data = given(problem, X, labels, n, test)
    instance, test, wide = instance_of_size(problem, values, n, data.d), data.test, data.wide
    if problem.batches is not None:
        problem.batches.check_size(n, instance.values)
    runtime.check_double()
    size = (n + test) * wide
    batch = together(replicates, size)
    kept = {"n": n, "test": test, "steps": steps, "replicates": replicates, "seed": seed}
    runs = run_replicates(
        _program(
            source(problem),
            len(problem.loss.labels),
            problem.decision,
            problem.observable_names,
            len(problem.optimizer.state),
            problem.optimizer.is_noisy,
            n,
            test,
            wide,
            problem.data.clusters,
            None if problem.batches is None else problem.batches.together,
            not problem.optimizer.is_linear,
        ),
        data.numbers(instance),
        seed=seed,
        replicates=replicates,
        spans=np.arange(steps)[:, None] + [0, 1],
        seconds=_SECONDS * batch * 2 * size * problem.fields,
        batch=batch,
        check=check_finite,
        checkpoint=Checkpoint(checkpoint, problem=problem.signature, values=instance.values, **kept),
        report=report,
    )
    about = {"n": n, "d": data.d, "test": test, "replicates": replicates, "seed": seed, "sampler": "splits"}
    return schema.of_runs(
        runs,
        stated(problem, instance, n / data.d) | about,
        parameters=[y.name for y in problem.trained_parameters],
        observables=problem.observable_names,
    )


@lru_cache(maxsize=64)
def _program(
    text: str,
    loss_labels: int,
    decision: str | None,
    names: tuple[str, ...],
    states: int,
    noisy: bool,
    n: int,
    test: int,
    d: int,
    clusters: int,
    together: bool | None,
    scaled: bool,
) -> Program:
    """One split: training on its first part, tested on its second."""
    code = runtime.load(text, "gmsym_training")

    tested = testing(code, loss_labels, decision, names)

    def drawn(numbers: Numbers, key: jax.Array) -> tuple[Data, tuple[jax.Array, jax.Array]]:
        mine, held = split(numbers, key, n, test)
        vectors = jnp.asarray(numbers.vectors)
        columns = vectors.shape[1] - clusters
        return Data(*mine, vectors[:, :columns], vectors[:, columns:], jnp.zeros((d, 0))), held

    def performance(numbers, points, theta, mean, covariance, v):
        return tested(points, theta, v, numbers.parameters)

    observed = observing(code, loss_labels, decision, (), (1,) * d, names, tested=performance)
    return descent(code, drawn, observed, loss_labels, states, noisy, 0, (1,) * d, together, scaled)
