"""Two-layer networks after one gradient step, trained on generated data; and their Hermite model. Source: theory.md 8.

The witness: activation and target are printed, the gradient is jax.grad of the squared loss, the second layer is a ridge regression.

Shapes: n input dimension, m samples, k width, C clusters, q coordinates of the frame of spikes, means and target direction, which are the
first q coordinates of the input: a rotation of the data changes nothing, since first layers are isotropic.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gmsym import printer, runtime, symbols
from gmsym.errors import ComputationError
from gmsym.problem import OneStep, OneStepNumbers
from gmsym.problem.design import apportion
from gmsym.problem.one_step import t, z
from gmsym.runtime.checkpoint import Checkpoint
from gmsym.simulation import population
from gmsym.simulation._replicates import Program, run_replicates

_SPANS = np.array([[0, 1]])  # one gradient step


class Hermite(NamedTuple):
    """Features sum_j h_j He_j(x/b) + rest * noise in place of s(x)."""

    b: float
    coefficients: np.ndarray  # h_j, (degree + 1,)
    rest: float


class Numbers(NamedTuple):
    """What is traced: arrays of a problem, and of its Hermite model."""

    spread: float
    step: float
    noise: float
    ridge: float  # lambda
    trace: float
    probabilities: np.ndarray  # (C,)
    labels: np.ndarray  # (C,)
    means: np.ndarray  # (C, q)
    spikes: np.ndarray  # (C, q)
    direction: np.ndarray  # (q,)
    parameters: tuple[float, ...]
    hermite: Hermite | None


class Sizes(NamedTuple):
    """What shapes depend on."""

    n: int
    width: int
    counts: tuple[int, ...]  # samples of each cluster
    tests: tuple[int, ...]  # none where the test error is that of the population
    eigenvalues: int
    population: bool = True


def simulate_networks(
    problem: OneStep,
    given: OneStepNumbers,
    *,
    replicates: int,
    tests: int | None,
    errors: int,
    model: Hermite | None,
    eigenvalues: int,
    seed: int,
    seconds: float,
    checkpoint: Checkpoint,
    report: Callable[[float], None] | None,
) -> dict[str, np.ndarray]:
    """Errors of each replicate, (R,), without the factor 1/2, and eigenvalues (R, r).

    Args:
        problem, given: the problem and its numbers.
        replicates: R; data, first and second layer are drawn anew for each.
        tests: fresh samples behind the test error; None: the mean over the population by Mehler's series, given the layers.
        errors: fresh samples behind the 0-1 error, where there is one.
        model: the Hermite model whose errors are wanted too, on the same draws.
        eigenvalues: r largest of features^T features/m.
        seed: replicate i is the same for every R.
        seconds: of one replicate, roughly.
        checkpoint, report: as `run_replicates`.

    Raises:
        ComputationError: a run is not finite.
    """
    fresh = apportion(given.probabilities, errors if tests is None else tests)
    sizes = Sizes(given.n, given.width, apportion(given.probabilities, given.samples), fresh, eigenvalues, tests is None)
    numbers = _numbers(problem, given, model)
    found = run_replicates(
        _program(source(problem), sizes, model is not None),
        numbers,
        seed=seed,
        replicates=replicates,
        spans=_SPANS,
        seconds=max(seconds, 1e-3),
        batch=1,  # several factorisations at a time can wait for each other's threads for ever
        check=_check,
        checkpoint=checkpoint,
        report=report,
    )
    return {name: values[:, 0] for name, values in found.items()}


def first_layer(problem: OneStep, given: OneStepNumbers, seed: int) -> np.ndarray:
    """The first layer after its step of replicate 0 of that seed, (width, n), the coordinates of the frame first."""
    sizes = Sizes(given.n, given.width, apportion(given.probabilities, given.samples), (1,), 0)
    _, stepped = _parts(source(problem), sizes)
    key = jax.random.fold_in(jax.random.key(seed), 0)
    return np.asarray(jax.jit(stepped)(_numbers(problem, given, None), jax.random.split(key, 7)))


def source(problem: OneStep) -> str:
    """The text of activation and target."""
    own = problem.own_parameters
    return printer.module(
        "activation and target of a network.",
        printer.function("activation", {"z": z, "parameters": own}, "Of a preactivation.", problem.activation),
        printer.function("target", {"t": t, "y": symbols.y, "parameters": own}, "Of a sample.", problem.target),
    )


def _numbers(problem: OneStep, given: OneStepNumbers, model: Hermite | None) -> Numbers:
    arrays = (given.probabilities, given.labels, given.means, given.spikes, given.direction)
    own = tuple(given.parameters[s.name] for s in problem.own_parameters)
    return Numbers(given.spread, given.step, given.noise, given.ridge / given.n, given.trace, *arrays, own, model)


def _check(piece: dict[str, np.ndarray], start: int, first: int) -> None:
    for name, values in piece.items():
        if not np.isfinite(values).all():
            raise ComputationError(f"{name} is not finite in replicate {start + int(np.argwhere(~np.isfinite(values))[0][0])}")


@lru_cache(maxsize=32)
def _parts(text: str, sizes: Sizes) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """What draws samples, and what trains the first layer on them."""
    code = runtime.load(text, "gmsym_network")

    def data(numbers: Numbers, key: jax.Array, counts: tuple[int, ...]) -> tuple[jax.Array, jax.Array]:
        """(samples (m, n), targets (m,)), in the order of the clusters."""
        first, second = jax.random.split(key)
        x = jax.random.normal(first, (sum(counts), sizes.n), dtype=float)
        q = numbers.spikes.shape[1]

        def repeated(rows):
            return jnp.asarray(rows)[np.repeat(np.arange(len(counts)), counts)]

        spikes = repeated(numbers.spikes)
        stretch = (jnp.sqrt(1 + numbers.spread) - 1) * jnp.sum(x[:, :q] * spikes, axis=1)
        x = x.at[:, :q].add(stretch[:, None] * spikes + repeated(numbers.means))
        targets = code.target(x[:, :q] @ numbers.direction, repeated(numbers.labels), numbers.parameters)
        targets = jnp.broadcast_to(jnp.asarray(targets, float), (sum(counts),))
        return x, targets + numbers.noise * jax.random.normal(second, (sum(counts),), dtype=float)

    def stepped(numbers: Numbers, keys: list[jax.Array]) -> jax.Array:
        """The first layer after its gradient step."""
        F = jax.random.normal(keys[0], (sizes.width, sizes.n), dtype=float) / jnp.sqrt(numbers.trace)
        w = jax.random.normal(keys[1], (sizes.width,), dtype=float) / np.sqrt(sizes.width)
        x, y = data(numbers, keys[2], sizes.counts)

        def risk(F):
            return jnp.mean((y - code.activation(F @ x.T, numbers.parameters).T @ w / np.sqrt(sizes.width)) ** 2) / 2

        return F - numbers.step * jax.grad(risk)(F)

    return data, stepped


@lru_cache(maxsize=32)
def _program(text: str, sizes: Sizes, hermite: bool) -> Program:
    """One network: `begin` draws it and its data, `advance` trains it."""
    code = runtime.load(text, "gmsym_network")
    data, stepped = _parts(text, sizes)

    def begin(numbers: Numbers, key: jax.Array) -> tuple[Any, jax.Array]:
        return key, jnp.zeros(())

    def errors(numbers: Numbers, features: Callable, F: jax.Array, keys: jax.Array, samples: tuple, fresh: tuple) -> dict[str, jax.Array]:
        """Of a network whose features, (k, m) given preactivations, are random in a model."""
        (x, y), (x_test, y_test) = samples, fresh
        train, test = features(F @ x.T, keys[0]), features(F @ x_test.T, keys[1])
        w = _ridge(train, y, numbers.ridge)
        training = jnp.mean((y - w @ train) ** 2)
        found = {"train_mse": training, "objective": training + numbers.ridge * jnp.sum(w**2)}
        if sum(sizes.tests):
            output = w @ test
            found |= {"test_mse": jnp.mean((y_test - output) ** 2), "test_error": jnp.mean(y_test * output <= 0)}
        return found | {"layer": w, "features": train}

    def advance(numbers: Numbers, key: jax.Array, state: jax.Array, span: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
        keys = list(jax.random.split(key, 7))
        F = stepped(numbers, keys)
        samples, fresh = data(numbers, keys[3], sizes.counts), data(numbers, keys[4], sizes.tests)
        scale = np.sqrt(sizes.width)
        found = errors(numbers, lambda h, _: code.activation(h, numbers.parameters) / scale, F, jnp.stack(keys[5:7]), samples, fresh)
        layer, train = found.pop("layer"), found.pop("features")
        target = population.target_moments(code, numbers)
        square = jnp.asarray(numbers.probabilities) @ target.square
        found |= {"target_square": square if sizes.population else jnp.mean(fresh[1] ** 2), "sample_square": jnp.mean(samples[1] ** 2)}
        if sizes.population:
            found["test_mse"] = population.error(lambda h: code.activation(h, numbers.parameters) / scale, 0.0, F, layer, numbers, target)
        if sizes.eigenvalues:
            gram = train @ train.T if sizes.width <= train.shape[1] else train.T @ train
            values = jnp.linalg.eigvalsh(gram / train.shape[1])[::-1][: sizes.eigenvalues]
            found["eigenvalue"] = jnp.pad(values, (0, sizes.eigenvalues - len(values)))
        if hermite:
            model = numbers.hermite
            modelled = errors(numbers, lambda h, key: _modelled(model, h, key) / scale, F, jnp.stack(keys[5:7]), samples, fresh)
            layer, _ = modelled.pop("layer"), modelled.pop("features")
            if sizes.population:
                series = (lambda h: _series(model, h) / scale, model.rest**2 / sizes.width)
                modelled["test_mse"] = population.error(*series, F, layer, numbers, target)
            found |= {f"hermite_{name}": value for name, value in modelled.items()}
        return state, found

    return Program(begin, advance)


def _ridge(features: jax.Array, y: jax.Array, ridge: jax.Array) -> jax.Array:
    """The second layer, (k,), by the smaller of both Gram matrices; features (k, m)."""
    k, m = features.shape
    if k <= m:
        return jax.scipy.linalg.solve(features @ features.T + ridge * m * jnp.eye(k), features @ y, assume_a="pos")
    return features @ jax.scipy.linalg.solve(features.T @ features + ridge * m * jnp.eye(m), y, assume_a="pos")


def _modelled(model: Hermite, fields: jax.Array, key: jax.Array) -> jax.Array:
    """Features of the Hermite model."""
    return _series(model, fields) + model.rest * jax.random.normal(key, fields.shape, dtype=float)


def _series(model: Hermite, fields: jax.Array) -> jax.Array:
    """Without their noise, by the recursion of the polynomials."""
    x = fields / model.b
    total = jnp.full_like(x, model.coefficients[0])
    before, now = jnp.ones_like(x), x
    for j, h in enumerate(model.coefficients[1:], start=1):
        total = total + h * now
        before, now = now, x * now - j * before
    return total
