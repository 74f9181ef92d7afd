"""Fixed point of two scalars: nodes of the law, kernels diagonalised on them, one bracketed root. Source: theory.md 8.

Shapes: C clusters; q dimensions of kappa, the gradient's own direction included where there is a step; N nodes; P orders; a, j eigenvalues.
All equations are those of the generated module; the names of its arguments are the letters displayed.
"""

from collections.abc import Callable
from functools import lru_cache
from itertools import combinations_with_replacement
from math import factorial, prod
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx
from numpy.polynomial import chebyshev

from gmsym.errors import ComputationError, InputError
from gmsym.runtime.fixed_point import FixedPointModule, Numbers
from gmsym.runtime.nodes import rule

_REACH = 9.0  # standard deviations of the direction along the target
_STRONG = 3.0  # variance of a direction that gets all nodes
_NORM = 2  # nodes of the fluctuation of |x_perp|
_VARIANCES = 24  # Chebyshev points in the variance of a preactivation
_SMALLEST = 1e-14  # of the largest eigenvalue of a kernel
_LIGHT = 1e-14  # of the largest weight of a node
_ROOM = 4096  # numbers of nodes are multiples of it, so that other numbers of a problem need no other compilation
_LOG_NU = (-90.0, 30.0)
_SOLVED = 1e-6  # relative residual of the equation for nu
_LEVEL = 2  # of the nodes behind the moments
_SQUARE = 1e-6  # change of E s^2 by fewer of them


class Nodes(NamedTuple):
    """The law of kappa, with the fluctuation of the norm of the other dimensions."""

    kappa: np.ndarray  # (q, N)
    chi: np.ndarray  # (N,)
    weights: np.ndarray  # (N,)
    targets: np.ndarray  # (N,), without noise


class Spectrum(NamedTuple):
    """Eigenvalues of both kernels, and the target in the first one's eigenfunctions."""

    t: np.ndarray  # of K0, (a,)
    tau: np.ndarray  # of K1, (j,)
    tail: float
    target: np.ndarray  # <y, eigenfunction a>, (a,)
    square: float  # E y^2, noise included
    functions: np.ndarray  # eigenfunctions on the nodes, (a, N)


class Solution(NamedTuple):
    """Errors without the factor 1/2; a spike is an eigenvalue of features^T features over samples."""

    objective: float
    train_mse: float
    test_mse: float
    test_error: float  # NaN unless the targets are +1 and -1
    square: float  # E y^2
    spikes: np.ndarray  # visible ones, decreasing
    edge: float  # of the bulk
    nu: float
    effective_ridge: float
    pull: float  # eta^2 u^T Sigma u/k^2, strength of the gradient's spike


def solve(module: FixedPointModule, numbers: Numbers, nodes: int, classified: bool) -> Solution:
    """Errors and spikes at one set of numbers.

    Args:
        module: generated.
        numbers: of the network and its data.
        nodes: of a panel along the target, and of each other direction.
        classified: whether targets are +1 and -1.

    Raises:
        ComputationError: no root: features fit the samples without a ridge to speak of.
    """
    law = _law(module, numbers, nodes)
    q = len(law.kappa)
    _check_moments(module, numbers, q)
    neuron, pull = _neuron(module, numbers, law)
    found = _spectrum(module, numbers, law, neuron)
    sizes = {"n": float(numbers.n), "q": float(q), "T": numbers.trace, "k": float(numbers.width), "m": float(numbers.samples)}
    kernels = {"tau_j": found.tau, "K_tail": found.tail}
    scalars = _scalars(module)({**kernels, "t_a": found.t, **sizes}, found.target, found.square, numbers.ridge)
    nu, objective, training, test, star, critical, edge, ridge = (float(x) for x in scalars[:-1])
    if not (np.isfinite(nu) and 0 < training <= test and abs(ridge - numbers.ridge) <= _SOLVED * numbers.ridge):
        raise ComputationError(f"no solution at ridge = {numbers.ridge * numbers.n:g}, n = {numbers.n}: take a larger ridge")
    error = _error(module, numbers, law, found, nu, test) if classified else np.nan
    spikes = np.sort(np.asarray(scalars[-1])[found.t > critical])[::-1]
    return Solution(objective, training, test, error, found.square, spikes, edge, nu, star, pull)


def _law(module: FixedPointModule, numbers: Numbers, nodes: int) -> Nodes:
    """Panels between kinks along the target, Gauss-Hermite in the other directions, cluster by cluster."""
    parts = [_cluster(module, numbers, c, nodes) for c in range(len(numbers.labels))]
    kappa, chi, weights, targets = (np.concatenate(arrays, axis=-1) for arrays in zip(*parts, strict=True))
    room = -len(weights) % _ROOM
    weights, targets = np.pad(weights, (0, room)), np.pad(targets, (0, room))
    return Nodes(np.pad(kappa, ((0, 0), (0, room)), mode="edge"), np.pad(chi, (0, room), mode="edge"), weights, targets)


def _cluster(module: FixedPointModule, numbers: Numbers, c: int, nodes: int) -> Nodes:
    xi, mean, covariance = numbers.direction, numbers.means[c], numbers.covariances[c]
    spread = float(np.sqrt(xi @ covariance @ xi))
    along, rest = np.zeros((len(xi), 1)), covariance
    z, weights = np.zeros(1), np.ones(1)
    if spread > 0:
        along = (covariance @ xi / spread)[:, None]
        rest = covariance - along @ along.T
        z, weights = _between((np.array(numbers.target_kinks[c]) - xi @ mean) / spread, nodes)
    values, vectors = np.linalg.eigh(rest)
    kept = values > 1e-9
    own = int(numbers.step > 0)
    root = np.hstack([along, vectors[:, kept] * np.sqrt(values[kept])])
    plain = max(3, nodes // 2 - 1)  # kernels are nearly linear along a direction of variance 1
    counts = [nodes if value > _STRONG else plain for value in [*values[kept], *[0.0] * own]]
    grids = [(z, weights), *(np.polynomial.hermite_e.hermegauss(count) for count in [*counts, _NORM])]
    grid = np.stack([g.ravel() for g in np.meshgrid(*(g for g, _ in grids), indexing="ij")])
    mass = np.prod(np.stack([g.ravel() for g in np.meshgrid(*(w / w.sum() for _, w in grids), indexing="ij")]), axis=0)
    heavy = mass > _LIGHT * mass.max()
    grid, mass = grid[:, heavy], mass[heavy] / mass[heavy].sum()
    kappa = mean[:, None] + root @ grid[: root.shape[1]]
    q = len(xi) + own
    if own:
        kappa = np.vstack([kappa, grid[-2]])
    chi = grid[-1] * np.sqrt(2 / (numbers.n - q))
    labels = np.full(kappa.shape[1], numbers.labels[c])
    targets = np.asarray(module.target(jnp.asarray(xi @ kappa[: len(xi)]), jnp.asarray(labels), numbers.parameters))[0]
    return Nodes(kappa, chi, numbers.probabilities[c] * mass, targets)


def _between(kinks: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Points and weights for N(0, 1) in panels that end at the kinks."""
    edges = np.unique(np.clip(np.concatenate([[-_REACH, -4, -2, 2, 4, _REACH], kinks if kinks.size else [0.0]]), -_REACH, _REACH))
    x, weights = np.polynomial.legendre.leggauss(count // 2 + 1)
    half, middle = np.diff(edges) / 2, (edges[1:] + edges[:-1]) / 2
    z = (middle[:, None] + half[:, None] * x).ravel()
    return z, (half[:, None] * weights).ravel() * np.exp(-(z**2) / 2)


def _neuron(module: FixedPointModule, numbers: Numbers, law: Nodes) -> tuple[np.ndarray, float]:
    """Covariance of a neuron's weights on kappa, (q, q), and the strength of the gradient's spike."""
    q = len(law.kappa)
    pull = np.zeros(q)
    if numbers.step > 0:
        v = np.asarray(module.variance((law.kappa**2).sum(axis=0) / numbers.trace, law.chi, numbers.n, q, numbers.trace))
        h, _ = _moments(module, numbers, v)
        slope = np.asarray(module.mean_slope(h[1], v))
        pull[:-1] = [float(module.pull(law.weights, law.targets, slope, row)) for row in law.kappa[:-1]]
        noisy = np.sqrt(law.targets**2 + numbers.noise**2)
        pull[-1] = float(module.pull_beyond(law.weights, noisy, slope, numbers.n, q, numbers.samples))
    covariance = np.asarray(module.neuron(np.eye(q), pull[:, None], pull[None, :], numbers.trace, numbers.step, numbers.width))
    across = (law.weights * (pull @ law.kappa) ** 2).sum()
    return covariance, float((numbers.step / numbers.width) ** 2 * across)


def _moments(module: FixedPointModule, numbers: Numbers, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Hermite coefficients (P, N) and E s^2 (N,) at the variances of the nodes, interpolated in the variance."""
    low, high = v.min() * (1 - 1e-6), v.max() * (1 + 1e-6)
    x = chebyshev.chebpts1(_VARIANCES)
    at = np.sqrt((high + low) / 2 + (high - low) / 2 * x)
    table = np.asarray(_tabled(module, _LEVEL)(jnp.asarray(at), numbers.parameters, jnp.asarray(numbers.kinks or (0.0,))))
    scaled = (v - (high + low) / 2) / ((high - low) / 2)
    values = chebyshev.chebval(scaled, chebyshev.chebfit(x, table, _VARIANCES - 1))
    return values[:-1], values[-1]


def _check_moments(module: FixedPointModule, numbers: Numbers, q: int) -> None:
    """InputError unless the activation has a mean square at the width of a preactivation, which more nodes do not change."""
    b = np.asarray([np.sqrt((numbers.n - q) / numbers.trace)])
    kinks = jnp.asarray(numbers.kinks or (0.0,))
    square, other = (float(_tabled(module, level)(jnp.asarray(b), numbers.parameters, kinks)[0, -1]) for level in (_LEVEL, _LEVEL - 1))
    if not (np.isfinite(square) and abs(square - other) <= _SQUARE * abs(square)):
        raise InputError(f"activation: its mean square at a Gaussian of deviation {b[0]:.3g} is not finite, or not found by quadrature")


@lru_cache(maxsize=32)
def _tabled(module: FixedPointModule, level: int) -> Callable[..., jax.Array]:
    """Moments at several b, (count, P), compiled once."""
    nodes = rule(1, "kinked", level)
    return jax.jit(jax.vmap(lambda b, parameters, kinks: module.moments(b, parameters, kinks, nodes), in_axes=(0, None, None)))


def _spectrum(module: FixedPointModule, numbers: Numbers, law: Nodes, neuron: np.ndarray) -> Spectrum:
    """Both kernels as sums over monomials of the whitened kappa, diagonalised under the law."""
    q = len(law.kappa)
    reduced = np.linalg.cholesky(neuron).T @ law.kappa
    v = np.asarray(module.variance((reduced**2).sum(axis=0), law.chi, numbers.n, q, numbers.trace))
    h, energy = _moments(module, numbers, v)
    factors, slopes = np.asarray(module.kernel(v, *h)), np.asarray(module.kernel_slope(v, *h))
    weighted = np.sqrt(law.weights)
    features, lowered = (_features(rows, reduced) * weighted for rows in (factors, slopes))
    t, left = np.linalg.eigh(features @ features.T)  # by the Gram matrix: nodes outnumber monomials a thousandfold
    kept = t > _SMALLEST * t[-1]  # the others stay, as zeros: shapes are those of the problem, not of its numbers
    functions = np.where(kept[:, None], (left.T @ features) / np.sqrt(np.where(kept, t, 1.0))[:, None], 0.0)
    t, tau = np.where(kept, t, 0.0), np.maximum(np.linalg.eigvalsh(lowered @ lowered.T), 0.0)
    tail = max(0.0, float(module.beyond(law.weights, energy, t, tau, numbers.n, q, numbers.trace)))
    square = float(law.weights @ law.targets**2) + numbers.noise**2
    return Spectrum(t, tau, tail, functions @ (weighted * law.targets), square, functions / np.where(weighted > 0, weighted, 1.0))


def _features(rows: np.ndarray, reduced: np.ndarray) -> np.ndarray:
    """Of sum_p rows_p rows_p' (kappa . kappa')^p: one row a monomial, (monomials, N)."""
    monomials, features = {(): np.ones(reduced.shape[1])}, []
    for p, row in enumerate(rows):
        for choice in combinations_with_replacement(range(len(reduced)), p):
            if choice:
                monomials[choice] = monomials[choice[:-1]] * reduced[choice[-1]]
            ways = factorial(p) // prod(factorial(choice.count(i)) for i in set(choice))
            if row.any():
                features.append(row * np.sqrt(ways) * monomials[choice])
    return np.array(features)


@lru_cache(maxsize=32)
def _scalars(module: FixedPointModule) -> Callable[..., tuple]:
    """(nu, objective, training and test error, lambda*, critical eigenvalue, edge, lambda at nu, position of each), compiled once."""

    @jax.jit
    def solved(given: dict, target: jax.Array, square: float, ridge: float) -> tuple:
        nu = _root(module, given, ridge)
        objective, training, test = module.errors(nu=nu, y_a=target, y2=square, **given)
        others = {name: value for name, value in given.items() if name != "t_a"}
        critical = _critical(module, others)
        positions = jax.vmap(lambda x: module.spike(x, **others))(jnp.maximum(given["t_a"], critical))
        reached = module.effective_ridge(nu, **given), critical, module.spike(critical, **others), module.ridge(nu, **given)
        return nu, objective, training, test, *reached, positions

    return solved


def _root(module: FixedPointModule, given: dict, ridge: float) -> jax.Array:
    """nu at which the generated equation gives the ridge, on the branch D < min(k, m) where it increases."""

    def gap(s, _):
        nu = jnp.exp(s)
        inside = module.freedom(nu, **given) < jnp.minimum(given["k"], given["m"])
        found = jnp.where(inside, module.ridge(nu, **given), 1.0)
        return jnp.where(inside & (found > 0), jnp.log(jnp.abs(found)) - jnp.log(ridge), -1.0)

    low, high = _LOG_NU
    solver = optx.Bisection(rtol=1e-14, atol=1e-13)
    return jnp.exp(optx.root_find(gap, solver, 0.0, options={"lower": low, "upper": high}, max_steps=200, throw=False).value)


def _critical(module: FixedPointModule, given: dict) -> jax.Array:
    """Where the slope of the generated map vanishes, right of its last pole: eigenvalues beyond give visible spikes, it gives the edge."""
    # Where K1 vanishes to rounding, as for a fast sine, the energy beyond the kernels alone sets the scale.
    flat = 1e-12 * given["K_tail"] / jnp.sqrt(given["k"] * given["m"])
    pole = jnp.log(jnp.maximum(jnp.max(given["tau_j"]) / given["T"], flat))

    def slope(s, _):
        x = jnp.exp(s)
        right = x > jnp.max(given["tau_j"]) / given["T"]
        return jnp.where(right, jnp.tanh(module.spike_slope(x, **given)), -1.0)

    low, high = pole + 1e-9, pole + 40.0
    solver = optx.Bisection(rtol=1e-12, atol=1e-12)
    return jnp.exp(optx.root_find(slope, solver, low, options={"lower": low, "upper": high}, max_steps=200, throw=False).value)


def _error(module: FixedPointModule, numbers: Numbers, law: Nodes, found: Spectrum, nu: float, test: float) -> float:
    """0-1 error of the sign of the output."""
    fit = np.asarray(module.shrunk(found.target, found.t, nu)) @ found.functions
    variance = module.output_variance(law.weights, test, law.targets, fit)
    return float(module.misclassified(law.weights, law.targets * fit, variance))
