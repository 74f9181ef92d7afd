"""Level C: shares of samples and of neurons as functions on nodes, by a fixed point; errors by its derivative. Source: theory.md 8.

Shapes: N nodes kappa of the law of samples, (q, N); M nodes A of the law of neurons, (q, M); r functions psi on samples and beta on neurons
whose products make the linear part C_1 of a feature, r0 of psi_0 and beta_0 that make its mean M. Features' moments are tables in the mean
of a preactivation. Time O((N + M) r0^2 + N M) a round, ten rounds and as many for the derivative. All equations are those of the
generated module.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx
from numpy.polynomial import chebyshev

from gmsym.engine.fixed_point import Prepared, Solution
from gmsym.engine.law import Law, capped, conditional_at, count_for, hermite_nodes, roomy, sizes_of, tensor
from gmsym.engine.mixing import Anderson
from gmsym.errors import ComputationError
from gmsym.runtime.fixed_point import FixedPointModule, Numbers

_NEGLIGIBLE = 2e-3  # epsilon below which the gradient's remainder is left out: it changes errors by half as much
_LARGEST = 3e6  # pairs of nodes
_SHARP, _DENSER = 0.1, 1.5  # variance in a preactivation from which neurons get so many times the nodes: errors change by 1e-4 and less
_LIGHT = 1e-10  # of the largest weight of a neuron's node
_FEWEST, _SCALES, _GRID = 80, 5, 8192  # Chebyshev points in mean and deviation of a preactivation; points of the table in the mean
_RESOLVED = 7.0  # Chebyshev points per deviation in half the range of means: moments are smooth on that scale, so e^(-7^2/2) is left
_FAINT = 1e-4  # singular value of M and C_1 that is left out, of the largest
_ROOM, _RANK = 64, 16  # neurons' nodes and functions, padded at least to so many
_SPARE = 6  # random vectors beyond what is kept, for the accuracy of the last ones
_SHARES, _STEPS = 1e-10, 3000  # relative accuracy of the shares, and most rounds


class Neurons(NamedTuple):
    """Nodes of the law of a neuron's weights on kappa."""

    weights: np.ndarray  # (M,)
    A: np.ndarray  # (q, M)
    stretch: np.ndarray  # s_A, (M,)


class Shares(NamedTuple):
    """What the fixed point takes, arrays only."""

    samples: jax.Array  # weights, (N,)
    neurons: jax.Array  # weights, (M,)
    rest: jax.Array  # C_s, (M, N)
    psi: jax.Array  # (r, N)
    beta: jax.Array  # (r, M)
    psi_0: jax.Array  # (r0, N)
    beta_0: jax.Array  # (r0, M)
    targets: jax.Array  # (N,)


def solve_two_sided(
    module: FixedPointModule, numbers: Numbers, prepared: Sequence[Prepared], start: Sequence[Solution], classified: bool
) -> list[Solution]:
    """Errors at level C; spikes and degrees stay those of level B+.

    Args:
        module: generated.
        numbers: of the network and its data.
        prepared: nodes of samples, fine ones first and then coarse ones, which get fewer nodes of neurons too.
        start: the solutions at level B+ on these nodes.
        classified: whether targets are +1 and -1.

    Raises:
        ComputationError: the shares do not converge.
    """
    several = [_shares(module, numbers, nodes, coarse=index > 0) for index, nodes in enumerate(prepared)]
    shapes = [tuple(max(sizes) for sizes in zip(*(np.shape(x[i]) for x in several), strict=True)) for i in range(len(Shares._fields))]
    return [
        _solution(module, numbers, Shares(*map(_padded, shares, shapes)), first, classified)  # of one shape: compiled once
        for shares, first in zip(several, start, strict=True)
    ]


def _padded(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return np.pad(values, [(0, wanted - size) for size, wanted in zip(np.shape(values), shape, strict=True)])


def _shares(module: FixedPointModule, numbers: Numbers, prepared: Prepared, coarse: bool) -> Shares:
    law = prepared.law
    neurons = _neurons(module, numbers, prepared, coarse)
    M, C1, rest = _features(module, numbers, law, neurons)
    (psi, beta), (psi_0, beta_0) = (_separated(x, law.weights, neurons.weights) for x in (C1, M))
    return Shares(law.weights, neurons.weights, rest, psi, beta, psi_0, beta_0, law.targets)


def _solution(module: FixedPointModule, numbers: Numbers, shares: Shares, start: Solution, classified: bool) -> Solution:
    sizes = {**sizes_of(numbers, len(numbers.direction) + int(numbers.step > 0)), "lambda_": numbers.ridge, "sigma": numbers.noise}
    found = _solved(module)(shares, sizes, (start.effective_ridge, start.nu))
    residual, objective, training, test = (float(x) for x in found[:4])
    if not (residual <= 1e2 * _SHARES and 0 < training <= test):
        raise ComputationError(f"level C: shares do not converge at ridge = {numbers.ridge * numbers.n:g}; take a larger ridge")
    error = np.nan
    if classified:
        fit, variance = found[4:]
        error = float(_wrong(module)(shares.samples, shares.targets * fit, jnp.maximum(variance, 1e-12)))
    return start._replace(objective=objective, train_mse=training, test_mse=test, test_error=error)


@lru_cache(maxsize=32)
def _wrong(module: FixedPointModule) -> Callable[..., jax.Array]:
    """The 0-1 error, compiled once."""
    return jax.jit(module.misclassified)


def _neurons(module: FixedPointModule, numbers: Numbers, prepared: Prepared, coarse: bool) -> Neurons:
    """Gauss-Hermite nodes along the principal axes of what neurons see; the gradient's w apart where its remainder matters."""
    law, gradient = prepared
    q = len(law.kappa)
    second = (law.kappa * law.weights) @ law.kappa.T
    if gradient.remainder > _NEGLIGIBLE:
        values, axes = np.linalg.eigh(second)
        strengths = [*(values / numbers.trace), gradient.strength]
        z, weights = _with_room(*_grid(strengths, len(law.weights), coarse))
        z, w = axes @ z[:-1], z[-1]
        stretch = np.asarray(module.stretch(gradient.remainder, w))
    else:  # A is N(0, covariance), whose own axes under the law are independent
        root = np.linalg.cholesky(gradient.covariance)
        values, axes = np.linalg.eigh(root.T @ second @ root)
        z, weights = _with_room(*_grid(list(values), len(law.weights), coarse))
        return Neurons(weights, root @ axes @ z, np.ones(len(weights)))
    A = np.stack(
        [np.asarray(module.neuron_weight(z[i], stretch, gradient.pull[i], w, numbers.trace, numbers.step, numbers.width)) for i in range(q)]
    )
    return Neurons(weights, A, stretch)


def _grid(strengths: list[float], samples: int, coarse: bool) -> tuple[np.ndarray, np.ndarray]:
    counts = capped([_count_for(s) for s in strengths], _LARGEST / samples)
    z, mass = tensor([hermite_nodes(max(count - 2 * coarse, 3 - coarse)) for count in counts])
    heavy = mass > _LIGHT * mass.max()
    return z[:, heavy], mass[heavy] / mass[heavy].sum()


def _count_for(strength: float) -> int:
    """Nodes for a direction of that variance in a preactivation.

    Where it is large a feature turns as sharply in a neuron's weight as the activation does: more nodes than along a sample's are needed.
    """
    plain = max(3, count_for(strength) - 1)
    return plain if strength <= _SHARP else round(_DENSER * plain)


def _with_room(z: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    room = (0, roomy(len(weights), _ROOM) - len(weights))
    return np.pad(z, ((0, 0), room), mode="edge"), np.pad(weights, room)


def _features(module: FixedPointModule, numbers: Numbers, law: Law, neurons: Neurons) -> list[np.ndarray]:
    """M, C_1 and C_s of a feature given A and kappa, (M, N) each, by tables: one for each value of s_A and chi."""
    norms, norm_of = np.unique(law.chi, return_inverse=True)
    stretches, stretch_of = np.unique(neurons.stretch, return_inverse=True)
    q = len(law.kappa)
    given = np.asarray(module.given_variance(stretches[:, None], norms[None, :], numbers.n, q, numbers.trace))
    reach = float(np.abs(neurons.A.T @ law.kappa).max()) * 1.001 + 1e-9
    tables = _tables(module, numbers, reach, np.sqrt(given).ravel())
    rows = (stretch_of * (len(norms) * _GRID)).astype(np.int32), (norm_of * _GRID).astype(np.int32)
    return [np.asarray(x) for x in _interpolated(neurons.A, law.kappa, reach, *rows, [table.ravel() for table in tables])]


@jax.jit
def _interpolated(
    A: jax.Array, kappa: jax.Array, reach: float, row: jax.Array, column: jax.Array, tables: list[jax.Array]
) -> list[jax.Array]:
    """Values of the tables at the means A . kappa, (M, N) each; `row` and `column` say where a table begins. One pass over the pairs."""
    place = (A.T @ kappa + reach) * ((_GRID - 1) / (2 * reach))
    low = jnp.clip(place.astype(jnp.int32), 0, _GRID - 2)
    part, at = place - low, low + row[:, None] + column[None, :]
    return [table[at] + part * (table[at + 1] - table[at]) for table in tables]


def _tables(module: FixedPointModule, numbers: Numbers, reach: float, deviations: np.ndarray) -> list[np.ndarray]:
    """M, C_1 and C_s at means from -reach to reach, (deviations, grid) each, interpolated from Chebyshev points in both."""
    low, high = deviations.min() * (1 - 1e-9) - 1e-12, deviations.max() * (1 + 1e-9) + 1e-12
    count = _FEWEST
    while count * low < _RESOLVED * reach:
        count *= 2
    middle, half = (high + low) / 2, (high - low) / 2
    at = np.meshgrid(reach * chebyshev.chebpts1(count), middle + half * chebyshev.chebpts1(_SCALES), indexing="ij")
    values = conditional_at(module, numbers, at[0].ravel(), at[1].ravel())
    scales = chebyshev.chebvander((deviations - middle) / half, _SCALES - 1) @ _to_coefficients(_SCALES)
    nodes, places = _to_coefficients(count), _at_grid(count)
    M, C1, E2 = (scales @ values[i].reshape(count, _SCALES).T @ nodes.T @ places for i in (0, 1, -1))
    return [M, C1, np.asarray(module.feature_rest(M, C1, E2))]


def _to_coefficients(count: int) -> np.ndarray:
    """Values at the Chebyshev points to coefficients: the polynomials are orthogonal there, (coefficients, points)."""
    found = chebyshev.chebvander(chebyshev.chebpts1(count), count - 1).T * (2 / count)
    found[0] /= 2
    return found


@lru_cache(maxsize=4)
def _at_grid(count: int) -> np.ndarray:
    """Chebyshev polynomials on the grid of a table, (coefficients, grid)."""
    return chebyshev.chebvander(np.linspace(-1, 1, _GRID), count - 1).T


def _separated(values: np.ndarray, samples: np.ndarray, neurons: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(functions of samples, functions of neurons) whose products add up to (M, N) values, by the singular value decomposition."""
    left, size, right = _leading(np.sqrt(neurons)[:, None] * values * np.sqrt(samples))
    rank = (0, roomy(len(size), _RANK) - len(size))
    psi = right / np.where(samples > 0, np.sqrt(samples), 1.0) * (samples > 0)
    beta = (left * size).T / np.where(neurons > 0, np.sqrt(neurons), 1.0) * (neurons > 0)
    return np.pad(psi, (rank, (0, 0))), np.pad(beta, (rank, (0, 0)))


def _leading(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Singular vectors and values of an (M, N) matrix that are not faint, left (M, r), (r,), right (r, N).

    By its range on random vectors (Halko, Martinsson and Tropp 2011, with one power): singular values of smooth features fall fast, and the
    decomposition of all of it takes ten times as long. Vectors are doubled until the last value is faint.
    """
    count, most = 2 * _RANK, min(matrix.shape)
    while True:
        count = min(count, most)
        start = np.random.default_rng(0).normal(size=(len(matrix), count))
        basis = np.linalg.qr(matrix @ np.linalg.qr(matrix.T @ start)[0])[0]
        inside, size, right = np.linalg.svd(basis.T @ matrix, full_matrices=False)
        kept = size > _FAINT * size[0]
        if count == most or not kept[-_SPARE:].any():
            return (basis @ inside)[:, kept], size[kept], right[kept]
        count *= 2


@lru_cache(maxsize=32)
def _solved(module: FixedPointModule) -> Callable[..., tuple]:
    """(residual, objective, training and test error, mean output and its variance on the nodes), compiled once."""

    def shares_of(state: tuple, x: Shares) -> dict[str, jax.Array]:
        q, p = (jnp.exp(s) for s in state)
        grams = {"K_F": module.gram(x.neurons, p, x.beta), "K_X": module.gram(x.samples, q, x.psi)}
        grams |= {"T_F": module.gram(x.neurons, p, x.beta_0), "G_X": module.gram(x.samples, q, x.psi_0)}
        return {"q": q, "p": p, **grams}

    def round_of(state: tuple, inverse_omega: jax.Array, x: Shares, sizes: dict) -> tuple:
        found = shares_of(state, x)
        q, p, K_F, K_X, T_F, G_X = (found[name] for name in ("q", "p", "K_F", "K_X", "T_F", "G_X"))
        lam, m, k, others = (sizes[name] for name in ("lambda_", "m", "k", "others"))
        linear, mean = (others, others * lam), (1.0, lam)  # copies of a kernel, and its ridge
        sample = module.sample_leverage(
            x.neurons, p, x.rest, x.psi, x.psi_0, module.response(*linear, K_F, K_X, m), module.response(*mean, T_F, G_X, m), lam, m
        )
        neuron = module.neuron_leverage(
            x.samples, q, x.rest, x.beta, x.beta_0, module.response(*linear, K_X, K_F, k), module.response(*mean, G_X, T_F, k), lam, k
        )
        new = jnp.log(module.kept(inverse_omega, sample)), jnp.log(module.kept_neuron(neuron))
        return jax.tree.map(lambda old, now: (old + now) / 2, state, new)  # its geometric mean with the old one: the plain map oscillates

    def objective_of(state: tuple, x: Shares, sizes: dict) -> jax.Array:
        found = shares_of(state, x)
        start = module.target_mean(x.samples, found["q"], x.targets, x.psi_0)
        return module.free_energy(x.samples, found["q"], x.targets, sizes["sigma"], start, found["T_F"], found["G_X"], sizes["lambda_"])

    def repeated(step: Callable, first: tuple) -> tuple:
        solver = Anderson(rtol=_SHARES, atol=_SHARES)
        return optx.fixed_point(
            lambda state, _: step(state), solver, first, max_steps=_STEPS, throw=False, adjoint=optx.RecursiveCheckpointAdjoint()
        ).value

    @jax.jit
    def solved(x: Shares, sizes: dict, first: tuple) -> tuple:
        sizes = {**sizes, "others": sizes["n"] - sizes["q"]}
        star, nu = first
        state = (jnp.full(len(x.samples), jnp.log(sizes["lambda_"] / star)), jnp.full(len(x.neurons), jnp.log(star / nu)))
        inverse_omega = jnp.ones(len(x.samples))
        state = repeated(lambda state: round_of(state, inverse_omega, x, sizes), state)
        after, pull_back = jax.vjp(lambda state, omega: round_of(state, omega, x, sizes), state, inverse_omega)
        residual = jnp.max(jnp.stack([jnp.max(jnp.abs(a - b)) for a, b in zip(after, state, strict=True)]))
        objective, slope = jax.value_and_grad(objective_of)(state, x, sizes)
        adjoint = repeated(lambda y: jax.tree.map(jnp.add, pull_back(y)[0], slope), slope)  # of the fixed point: its transposed slope
        total = pull_back(adjoint)[1]
        g = jnp.where(x.samples > 0, -total / jnp.where(x.samples > 0, x.samples, 1.0), 0.0)
        found = shares_of(state, x)
        training, test = module.two_sided_errors(x.samples, g, found["q"])
        start = module.target_mean(x.samples, found["q"], x.targets, x.psi_0)
        fit = module.mean_output(x.psi_0, start, found["T_F"], found["G_X"], sizes["lambda_"])
        return residual, objective, training, test, fit, module.local_variance(g, found["q"], x.targets, fit)

    return solved
