"""Samples that are given, not drawn: what they are checked for, and how weights are tested on them. Source: verified/real_data.md."""

from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gmsym.errors import InputError, check_integers
from gmsym.problem import Instance, Problem
from gmsym.problem.design import Design
from gmsym.problem.fitting import classes_of, features
from gmsym.problem.observables import order_parameters
from gmsym.simulation import observed as own
from gmsym.simulation.data import Numbers, numbers_of


class Given(NamedTuple):
    """Samples in the unit in which they are trained on."""

    samples: np.ndarray  # (N, features)
    labels: np.ndarray  # (N, L)
    basis: np.ndarray | None  # turns the mixture's coordinates to features; None: they are the same
    d: int  # of the mixture
    test: int  # samples to test on

    @property
    def wide(self) -> int:
        """Features."""
        return self.samples.shape[1]

    def numbers(self, instance: Instance) -> Numbers:
        """The problem's vectors and matrices in features, and the samples."""
        return numbers_of(Design(instance, (), (), (), np.zeros((0, 3, 0))), self.basis, (self.samples, self.labels))


def given(problem: Problem, X: Any, labels: Any, n: int, test: int | None) -> Given:
    """Checked samples, of which n are to train on and `test`, by default the others, to test on.

    Raises:
        InputError: they do not fit the problem's mixture; too few of them; observables that read moments of a sample's cluster.
    """
    moments = order_parameters(problem.fields)
    for name, expr in problem.observables:
        if expr.has(*moments):
            raise InputError(f"observable {name} = {expr} reads moments of a sample's cluster, and a given sample is in none; leave it out")
    place = problem.data.embedded
    if place is None:
        raise InputError("train needs a mixture in the coordinates of X: GaussianMixture.fit(X, labels), or one with means and covariance")
    x = features(X)
    found, vectors = classes_of(labels, len(x))
    known = {tuple(map(float, label)) for label in problem.data.labels}
    for label in vectors.tolist():
        if tuple(label) not in known:
            raise InputError(f"labels: no cluster of the mixture has the label {label if len(label) > 1 else label[0]}")
    frame = None if problem.data.fitted is None else problem.data.fitted.frame
    wide = place.d if frame is None else len(frame.centre.array)
    if x.shape[1] != wide:
        raise InputError(f"X has {x.shape[1]} features; {wide} are needed, those of the mixture")
    check_integers(n=(n, 1))
    test = len(x) - n if test is None else test
    check_integers(test=(test, 1))
    if n + test > len(x):
        raise InputError(f"n = {n} samples to train and {test} to test on are more than the {len(x)} in X")
    seen = x if frame is None else (x - frame.centre.array) / frame.unit
    return Given(seen, vectors[found], None if frame is None else frame.basis.array, place.d, test)


def split(numbers: Numbers, key: jax.Array, n: int, test: int) -> tuple[tuple[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]:
    """(samples, labels) to train on, and to test on, at random."""
    samples, labels = (jnp.asarray(x) for x in numbers.given)
    order = jax.random.permutation(key, len(samples))
    mine, held = order[:n], order[n : n + test]
    return (samples[mine], labels[mine]), (samples[held], labels[held])


def testing(code: ModuleType, loss_labels: int, decision: str | None, names: tuple[str, ...]) -> Callable[..., dict[str, jax.Array]]:
    """The function ((samples, labels), Theta, trained parameters, parameters) -> test_loss, perhaps test_error, means of observables."""

    def tested(points, theta, v, parameters):
        x, labels = points
        h, nothing, label = (x @ theta).T, jnp.zeros((0, len(x))), labels.T
        found = {"test_loss": jnp.mean(code.loss(h, nothing, label[:loss_labels], v, parameters))}
        if decision == "sign":
            right = jnp.sign(code.readout(h, v, parameters)) * jnp.sign(code.target(nothing, label, parameters))
            found["test_error"] = jnp.mean((1 - right) / 2)
        if decision == "argmax":
            best = h == h.max(axis=0)
            mine = jnp.take_along_axis(best, jnp.argmax(label, axis=0)[None], axis=0)[0]
            found["test_error"] = 1 - jnp.mean(mine / best.sum(axis=0))
        if names:
            size = len(h) + len(h) * (len(h) + 1) // 2
            moments = own.unknown_moments(size, len(x))
            found |= own.means(code.observables(h, nothing, label, moments, v, parameters), names, "test")
        return found

    return tested
