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
    tests: tuple[int, ...]
    eigenvalues: int


def simulate_networks(
    problem: OneStep,
    given: OneStepNumbers,
    *,
    replicates: int,
    tests: int,
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
        tests: fresh samples behind the test error.
        model: the Hermite model whose errors are wanted too, on the same draws.
        eigenvalues: r largest of features^T features/m.
        seed: replicate i is the same for every R.
        seconds: of one replicate, roughly.
        checkpoint, report: as `run_replicates`.

    Raises:
        ComputationError: a run is not finite.
    """
    sizes = Sizes(given.n, given.width, apportion(given.probabilities, given.samples), apportion(given.probabilities, tests), eigenvalues)
    arrays = (given.labels, given.means, given.spikes, given.direction)
    own = tuple(given.parameters[s.name] for s in problem.own_parameters)
    numbers = Numbers(given.spread, given.step, given.noise, given.ridge / given.n, given.trace, *arrays, own, model)
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


def source(problem: OneStep) -> str:
    """The text of activation and target."""
    own = problem.own_parameters
    return printer.module(
        "activation and target of a network.",
        printer.function("activation", {"z": z, "parameters": own}, "Of a preactivation.", problem.activation),
        printer.function("target", {"t": t, "y": symbols.y, "parameters": own}, "Of a sample.", problem.target),
    )


def _check(piece: dict[str, np.ndarray], start: int, first: int) -> None:
    for name, values in piece.items():
        if not np.isfinite(values).all():
            raise ComputationError(f"{name} is not finite in replicate {start + int(np.argwhere(~np.isfinite(values))[0][0])}")


@lru_cache(maxsize=32)
def _program(text: str, sizes: Sizes, hermite: bool) -> Program:
    """One network: `begin` draws it and its data, `advance` trains it."""
    code = runtime.load(text, "gmsym_network")

    def begin(numbers: Numbers, key: jax.Array) -> tuple[Any, jax.Array]:
        return key, jnp.zeros(())

    def data(numbers: Numbers, key: jax.Array, counts: tuple[int, ...]) -> tuple[jax.Array, jax.Array]:
        """(samples (m, n), targets (m,)), in the order of the clusters."""
        first, second = jax.random.split(key)
        x = jax.random.normal(first, (sum(counts), sizes.n), dtype=float)
        q = numbers.spikes.shape[1]

        def repeated(rows):
            return jnp.repeat(jnp.asarray(rows), np.array(counts), axis=0, total_repeat_length=sum(counts))

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

    def errors(numbers: Numbers, train: jax.Array, y: jax.Array, test: jax.Array, fresh: jax.Array) -> dict[str, jax.Array]:
        w = _ridge(train, y, numbers.ridge)
        training = jnp.mean((y - w @ train) ** 2)
        output = w @ test
        return {
            "train_mse": training,
            "objective": training + numbers.ridge * jnp.sum(w**2),
            "test_mse": jnp.mean((fresh - output) ** 2),
            "test_error": jnp.mean(fresh * output <= 0),
        }

    def advance(numbers: Numbers, key: jax.Array, state: jax.Array, span: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
        keys = list(jax.random.split(key, 7))
        F = stepped(numbers, keys)
        (x, y), (x_test, fresh) = data(numbers, keys[3], sizes.counts), data(numbers, keys[4], sizes.tests)
        fields, test_fields = F @ x.T, F @ x_test.T
        scale = np.sqrt(sizes.width)
        train, test = (code.activation(h, numbers.parameters) / scale for h in (fields, test_fields))
        found = errors(numbers, train, y, test, fresh) | {"target_square": jnp.mean(fresh**2)}
        if sizes.eigenvalues:
            gram = train @ train.T if sizes.width <= len(y) else train.T @ train
            values = jnp.linalg.eigvalsh(gram / len(y))[::-1][: sizes.eigenvalues]
            found["eigenvalue"] = jnp.pad(values, (0, sizes.eigenvalues - len(values)))
        if hermite:
            modelled = (_modelled(numbers.hermite, h, k) / scale for h, k in ((fields, keys[5]), (test_fields, keys[6])))
            train, test = modelled
            found |= {f"hermite_{name}": value for name, value in errors(numbers, train, y, test, fresh).items()}
        return state, found

    return Program(begin, advance)


def _ridge(features: jax.Array, y: jax.Array, ridge: jax.Array) -> jax.Array:
    """The second layer, (k,), by the smaller of both Gram matrices; features (k, m)."""
    k, m = features.shape
    if k <= m:
        return jax.scipy.linalg.solve(features @ features.T + ridge * m * jnp.eye(k), features @ y, assume_a="pos")
    return features @ jax.scipy.linalg.solve(features.T @ features + ridge * m * jnp.eye(m), y, assume_a="pos")


def _modelled(model: Hermite, fields: jax.Array, key: jax.Array) -> jax.Array:
    """Features of the Hermite model, by the recursion of the polynomials."""
    x = fields / model.b
    total = model.rest * jax.random.normal(key, x.shape, dtype=float) + model.coefficients[0]
    before, now = jnp.ones_like(x), x
    for j, h in enumerate(model.coefficients[1:], start=1):
        total = total + h * now
        before, now = now, x * now - j * before
    return total
