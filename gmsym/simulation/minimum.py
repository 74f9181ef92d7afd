"""The minimum of the risk on generated data, the witness beside the stationary limit. Source: theory.md 0.

Smooth losses without an l1 are minimised by L-BFGS (SciPy), with jax.grad of the printed loss. Losses with kinks, and an l1, go
through the alternating direction method of multipliers (Boyd et al. 2011): the loss of each sample and the penalty of each coordinate by
their own proximal points, found by bisection of the printed gradient, which knows nothing of closed forms.

Letters: n samples, d dimensions, C fields, T teachers, W own noises of a sample, L label components, P trained parameters, K clusters.
"""

from collections.abc import Callable
from functools import lru_cache
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
import scipy.optimize
import xarray as xr

from gmsym import printer, runtime, schema, symbols
from gmsym.errors import ComputationError, InputError
from gmsym.problem import Instance, Problem
from gmsym.problem.design import design, stated
from gmsym.runtime.roots import square_root
from gmsym.simulation.data import beside, generate, numbers_of
from gmsym.simulation.fresh import fresh_fields

_GRADIENT = 1e-7  # largest entry of the gradient at the minimum, times sqrt(d), beside that of the start
_STEPS = 20000
_ROUNDS = 20000  # of ADMM
_APART = 1e-6  # relative residuals of ADMM at the end
_HALVINGS = 70
_WEIGHT = 0.3  # of ADMM's constraints of coordinates, times n: fields are sums over n samples' gradients, a coordinate's is one
_ZERO = 1e-9  # coordinates below it, relative to the largest, are zero


def minimise(
    problem: Problem,
    instance: Instance,
    *,
    ridge: float,
    l1: float,
    n: int,
    d: int,
    replicates: int,
    seed: int,
    report: Callable[[float], None],
) -> xr.Dataset:
    """The minimum of (1/n) sum_i l + (ridge/2) |Theta|^2 + (l1/sqrt d) |Theta|_1 for each of `replicates` data sets.

    Test loss and error are means over the exact law of a fresh sample's fields, as in `training.train`; the training error counts the
    samples, ties by halves.

    Raises:
        InputError: a loss with kinks of several fields.
        ComputationError: no convergence.

    Cost: O(n d C) an evaluation of L-BFGS, some hundred of them; ADMM O(n d) a round and O(d^3) once, some hundred rounds.
    """
    kinked = any(bool(x) for x in (problem.loss.kinks, l1 > 0))
    if kinked and (problem.fields > 1 or problem.trained is not None):
        raise InputError(f"simulate: loss {problem.loss.name} with kinks or an l1: one field and no trained parameters are treated")
    runtime.check_double()
    plan = design(instance, n, d)
    given = numbers_of(plan)
    code = runtime.load(_source(problem), "gmsym_minimum")
    measured = _measured(code, len(problem.loss.labels), problem.decision, plan.sizes)
    runs: dict[str, list[np.ndarray]] = {}
    for replicate in range(replicates):
        key = jax.random.fold_in(jax.random.key(seed), replicate)
        data = generate(plan.counts, plan.sizes, given, key)
        label = data.labels[:, : len(problem.loss.labels)].T
        teacher = beside(data, len(problem.loss.own_noises), key)
        if kinked:
            theta, v = _admm(code, data.samples, (teacher, label), given.parameters, ridge, l1), np.zeros(0)
        else:
            theta, v = _smooth(code, data.samples, (teacher, label), given, ridge, problem.fields)
        standard = fresh_fields(problem.fields + len(problem.loss.beside))(key)
        found = measured(given, data, teacher, jnp.asarray(theta), jnp.asarray(v), standard)
        found = {name: np.asarray(value) for name, value in found.items()}
        if l1 > 0:
            found["nonzero"] = np.asarray(float(np.mean(np.abs(theta) > _ZERO * np.abs(theta).max(initial=1e-300))))
        for name, value in found.items():
            runs.setdefault(name, []).append(value)
        report((replicate + 1) / replicates)
    stacked = {name: np.stack(values) for name, values in runs.items()}
    attributes = {
        **stated(problem, plan.instance, n / d),
        "n": n,
        "d": d,
        "replicates": replicates,
        "seed": seed,
    }
    errors = {name: run.std(axis=0, ddof=1) / np.sqrt(replicates) for name, run in stacked.items()}
    # A mean over all samples of all replicates does not resolve what is rarer than one of them.
    errors |= {name: np.hypot(errors[name], 1 / (n * replicates)) for name in ("train_loss", "train_error") if name in errors}
    return schema.at_rest(
        "stationary simulation",
        {name: run.mean(axis=0) for name, run in stacked.items()},
        errors,
        attributes,
        stacked,
        [x.name for x in problem.trained_parameters],
    )


def _source(problem: Problem) -> str:
    loss = problem.loss
    model = {"trained": problem.trained_parameters, "parameters": problem.local_parameters}
    sample = {"fields": loss.fields, "teacher": loss.beside, "label": loss.labels, **model}
    definitions = [printer.function("loss", sample, "Loss of a sample.", loss.value)]
    if problem.fields == 1:
        definitions.append(printer.function("slope", sample, "Its gradient in the field.", loss.gradient[0]))
    if problem.decision == "sign":
        definitions.append(printer.function("readout", {"fields": loss.fields, **model}, "Score whose sign is predicted.", loss.readout))
        given = {"teacher": loss.beside, "label": symbols.labels(problem.data.label_size), "parameters": problem.local_parameters}
        definitions.append(printer.function("target", given, "Its sign is the true class.", problem.target))
    return printer.module(f"loss of {loss.name}.", *definitions)


@lru_cache(maxsize=16)
def _risk(code: ModuleType, fields: int) -> Callable[..., Any]:
    """Risk and its gradient in (Theta, v), flattened."""

    @jax.jit
    def risk(x, samples, known, parameters, ridge, trained_ridge):
        def value(x):
            size = samples.shape[1] * fields
            theta, v = x[:size].reshape(samples.shape[1], fields), x[size:]
            losses = code.loss((samples @ theta).T, *known, v, parameters)
            return jnp.mean(losses) + ridge / 2 * jnp.sum(theta**2) + trained_ridge / 2 * jnp.sum(v**2)

        return jax.value_and_grad(value)(x)

    return risk


def _smooth(
    code: ModuleType, samples: jax.Array, known: tuple[jax.Array, ...], given: Any, ridge: float, fields: int
) -> tuple[np.ndarray, np.ndarray]:
    """(Theta (d, C), v (P,)) by L-BFGS from zero; `known` are what is beside the samples' fields (T + W, n), and labels (L, n)."""
    d = samples.shape[1]
    risk = _risk(code, fields)
    start = np.concatenate([np.zeros(d * fields), np.asarray(given.trained, float)])

    def both(x):
        value, slope = risk(x, samples, known, given.parameters, ridge, given.trained_ridge)
        return float(value), np.asarray(slope, float)

    first = np.abs(both(start)[1]).max()
    options = {"maxiter": _STEPS, "maxfun": 2 * _STEPS, "ftol": 0.0, "gtol": 1e-3 * _GRADIENT * first, "maxcor": 30}
    found = scipy.optimize.minimize(both, start, jac=True, method="L-BFGS-B", options=options)
    last = np.abs(both(found.x)[1]).max()
    if not last < _GRADIENT * first:
        raise ComputationError(
            f"the minimisation stopped with the gradient {last:.2g}, {last / first:.2g} of the start: there may be no minimum"
        )
    return found.x[: d * fields].reshape(d, fields), found.x[d * fields :]


@lru_cache(maxsize=16)
def _rounds(code: ModuleType) -> Callable[..., Any]:
    """ADMM rounds for min sum_i l(h_i)/n + sum_j (ridge/2) w_j^2 + l1/sqrt d |w_j| with h = X theta and w = theta, the second weighed
    by `weight`; `root` is that of X^T X + weight I."""

    def minimal(z, width, known, parameters):
        """Proximal points of the loss by bisection: h - z + width l'(h) increases."""
        slope = code.slope(z[None], *known, (), parameters) * jnp.ones_like(z)
        low, high = jnp.minimum(z, z - width * slope), jnp.maximum(z, z - width * slope)

        def halve(_, ends):
            low, high = ends
            middle = (low + high) / 2
            rising = middle - z + width * code.slope(middle[None], *known, (), parameters) > 0
            return jnp.where(rising, low, middle), jnp.where(rising, middle, high)

        low, high = jax.lax.fori_loop(0, _HALVINGS, halve, (low, high))
        return (low + high) / 2

    @jax.jit
    def rounds(samples, known, parameters, ridge, l1, root, weight, size, carry):
        n, d = samples.shape

        def one(_, carry):
            h, w, u, s, _, _ = carry
            theta = jax.scipy.linalg.cho_solve((root, True), samples.T @ (h - u) + weight * (w - s))
            field = samples @ theta
            new_h = minimal(field + u, 1 / (n * size), known, parameters)
            shifted = theta + s
            new_w = jnp.sign(shifted) * jnp.maximum(jnp.abs(shifted) - l1 / jnp.sqrt(d) / (size * weight), 0)
            new_w = new_w / (1 + ridge / (size * weight))
            u, s = u + field - new_h, s + theta - new_w
            apart = jnp.sqrt(jnp.sum((field - new_h) ** 2) + weight * jnp.sum((theta - new_w) ** 2))
            moved = jnp.linalg.norm(samples.T @ (new_h - h) + weight * (new_w - w))
            scale = jnp.sqrt(jnp.sum(new_h**2) + weight * jnp.sum(new_w**2)) + 1e-300
            forces = jnp.linalg.norm(samples.T @ u) + weight * jnp.linalg.norm(s) + 1e-300
            return new_h, new_w, u, s, apart / scale, moved / forces

        return jax.lax.fori_loop(0, 100, one, carry)

    return rounds


def _admm(code: ModuleType, samples: jax.Array, known: tuple[jax.Array, ...], parameters: Any, ridge: float, l1: float) -> np.ndarray:
    """Theta, (d, 1); its exact zeros are those of the soft threshold."""
    n, d = samples.shape
    rounds = _rounds(code)
    weight = _WEIGHT * n
    root = jnp.asarray(scipy.linalg.cholesky(np.asarray(samples.T @ samples) + weight * np.eye(d), lower=True))
    size = 1.0 / n
    carry = (jnp.zeros(n), jnp.zeros(d), jnp.zeros(n), jnp.zeros(d), jnp.inf, jnp.inf)
    for _ in range(_ROUNDS // 100):
        carry = rounds(samples, known, parameters, ridge, l1, root, weight, size, carry)
        h, w, u, s, apart, moved = carry
        if float(apart) < _APART and float(moved) < _APART:
            return np.asarray(w)[:, None]
        ratio = float(apart) / max(float(moved), 1e-300)
        factor = 2.0 if ratio > 10 else 0.5 if ratio < 0.1 else 1.0  # residual balancing; scaled multipliers follow
        size, carry = size * factor, (h, w, u / factor, s / factor, apart, moved)
    raise ComputationError(
        f"the minimisation did not converge in {_ROUNDS} rounds: relative residuals {float(apart):.2g}, {float(moved):.2g}"
    )


@lru_cache(maxsize=16)
def _measured(code: ModuleType, loss_labels: int, decision: str | None, sizes: tuple[int, ...]) -> Callable[..., dict[str, jax.Array]]:
    """The variables of the schema at one Theta (d, C)."""
    ends = np.cumsum((0, *sizes))

    @jax.jit
    def measured(given, data, teacher, theta, v, standard):
        parameters, labels, size = given.parameters, data.labels, theta.shape[1]
        vectors = jnp.concatenate([theta, data.teachers], axis=1)
        gram = given.covariances(vectors, [slice(a, b) for a, b in zip(ends[:-1], ends[1:], strict=True)])  # in each cluster's metric
        fields = (data.samples @ theta).T
        found = {"m": data.means.T @ theta, "M": data.teachers.T @ theta, "Q": theta.T @ theta, "Q_k": gram[:, :size, :size], "trained": v}
        found["train_loss"] = jnp.mean(code.loss(fields, teacher, labels[:, :loss_labels].T, v, parameters))

        def missed(h, teacher, label):
            if decision == "sign":
                return (1 - jnp.sign(code.readout(h, v, parameters)) * jnp.sign(code.target(teacher, label, parameters))) / 2
            best = h == h.max(axis=0)
            return 1 - jnp.sum(best * label, axis=0) / best.sum(axis=0)

        if decision is not None:
            found["train_error"] = jnp.mean(missed(fields, teacher, labels.T))

        def of_cluster(mean, covariance, label):
            seen = mean[:, None] + square_root(covariance) @ standard[: len(mean)]
            h, teacher = seen[:size], jnp.concatenate([seen[size:], standard[len(mean) :]])  # a sample's own noises last
            tested = {"test_loss": jnp.mean(code.loss(h, teacher, label[:loss_labels], v, parameters))}
            if decision is not None:
                tested["test_error"] = jnp.mean(missed(h, teacher, label[:, None] if decision == "argmax" else label))
            return tested

        mean = jnp.concatenate([found["m"], jnp.asarray(given.teacher_means).T], axis=1)
        tested = jax.vmap(of_cluster)(mean, gram, jnp.asarray(given.labels))
        return found | {name: jnp.asarray(given.probabilities) @ value for name, value in tested.items()}

    return measured
