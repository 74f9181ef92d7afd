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
from gmsym.errors import InputError, check_integers
from gmsym.problem import Problem
from gmsym.problem.design import Design, instance_of_size, stated
from gmsym.problem.fitting import classes_of, features
from gmsym.runtime.batches import together
from gmsym.runtime.checkpoint import Checkpoint
from gmsym.simulation._replicates import Program, run_replicates
from gmsym.simulation.data import Data, Numbers, numbers_of
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
    if problem.observables:
        raise InputError("train does not treat observables: a given sample has no cluster, whose moments they may read; leave them out")
    place = problem.data.embedded
    if place is None:
        raise InputError("train needs a mixture in the coordinates of X: GaussianMixture.fit(X, labels), or one with means and covariance")
    x = features(X)
    found, vectors = classes_of(labels, len(x))
    _check_labels(problem, vectors)
    wide = place.d if problem.data.fitted is None else len(problem.data.fitted.frame.centre.array)
    if x.shape[1] != wide:
        raise InputError(f"X has {x.shape[1]} features; {wide} are needed, those of the mixture")
    check_integers(n=(n, 1), steps=(steps, 1), replicates=(replicates, 2), seed=(seed, 0))
    test = len(x) - n if test is None else test
    check_integers(test=(test, 1))
    if n + test > len(x):
        raise InputError(f"n = {n} samples to train and {test} to test on are more than the {len(x)} in X")
    instance = instance_of_size(problem, values, n, place.d)
    if problem.batches is not None:
        problem.batches.check_size(n, instance.values)
    runtime.check_double()
    frame = None if problem.data.fitted is None else problem.data.fitted.frame
    seen = x if frame is None else (x - frame.centre.array) / frame.unit
    numbers = numbers_of(
        Design(instance, (), (), (), np.zeros((0, 3, 0))), None if frame is None else frame.basis.array, (seen, vectors[found])
    )
    size = (n + test) * wide
    batch = together(replicates, size)
    kept = {"n": n, "test": test, "steps": steps, "replicates": replicates, "seed": seed}
    runs = run_replicates(
        _program(
            source(problem),
            len(problem.loss.labels),
            problem.decision,
            len(problem.optimizer.state),
            problem.optimizer.is_noisy,
            n,
            test,
            wide,
            problem.data.clusters,
            None if problem.batches is None else problem.batches.together,
            not problem.optimizer.is_linear,
        ),
        numbers,
        seed=seed,
        replicates=replicates,
        spans=np.arange(steps)[:, None] + [0, 1],
        seconds=_SECONDS * batch * 2 * size * problem.fields,
        batch=batch,
        check=check_finite,
        checkpoint=Checkpoint(checkpoint, problem=problem.signature, values=instance.values, **kept),
        report=report,
    )
    about = {"n": n, "d": place.d, "test": test, "replicates": replicates, "seed": seed, "sampler": "splits"}
    return schema.of_runs(
        runs,
        stated(problem, instance, n / place.d) | about,
        parameters=[y.name for y in problem.trained_parameters],
    )


def _check_labels(problem: Problem, vectors: np.ndarray) -> None:
    known = {tuple(map(float, label)) for label in problem.data.labels}
    for label in vectors.tolist():
        if tuple(label) not in known:
            raise InputError(f"labels: no cluster of the mixture has the label {label if len(label) > 1 else label[0]}")


@lru_cache(maxsize=64)
def _program(
    text: str,
    loss_labels: int,
    decision: str | None,
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

    def drawn(numbers: Numbers, key: jax.Array) -> tuple[Data, tuple[jax.Array, jax.Array]]:
        samples, labels = (jnp.asarray(x) for x in numbers.given)
        order = jax.random.permutation(key, len(samples))
        mine, held = order[:n], order[n : n + test]
        vectors = jnp.asarray(numbers.vectors)
        columns = vectors.shape[1] - clusters
        data = Data(samples[mine], labels[mine], vectors[:, :columns], vectors[:, columns:], jnp.zeros((d, 0)))
        return data, (samples[held], labels[held])

    def tested(numbers, points, theta, mean, covariance, v):
        x, labels = points
        h, nothing = (x @ theta).T, jnp.zeros((0, test))
        label = labels.T
        found = {"test_loss": jnp.mean(code.loss(h, nothing, label[:loss_labels], v, numbers.parameters))}
        if decision == "sign":
            right = jnp.sign(code.readout(h, v, numbers.parameters)) * jnp.sign(code.target(nothing, label, numbers.parameters))
            found["test_error"] = jnp.mean((1 - right) / 2)
        if decision == "argmax":
            best = h == h.max(axis=0)
            own = jnp.take_along_axis(best, jnp.argmax(label, axis=0)[None], axis=0)[0]
            found["test_error"] = 1 - jnp.mean(own / best.sum(axis=0))
        return found

    observed = observing(code, loss_labels, decision, (n,), (1,) * d, (), tested=tested)
    return descent(code, drawn, observed, loss_labels, states, noisy, 0, (1,) * d, together, scaled)
