"""Level B+: two scalars; kernels diagonalised on the nodes of the law, one bracketed root. Source: theory.md 8.

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

from gmsym.engine.law import Gradient, Law, check_moments, gradient_step, kinks_of, law_of, moments, roomy, sizes_of
from gmsym.errors import ComputationError
from gmsym.runtime.fixed_point import FixedPointModule, Numbers

_SMALLEST = 1e-14  # of the largest eigenvalue of a kernel
_FAINT = 1e-7  # of E s^2 over samples or width, the scale of nu: terms of a kernel that are left to its tail, an error of that order
_ROOM = 64  # eigenvalues, padded at least to so many
_LARGEST = 1e12  # mean square of a feature beyond which the search for nu does not reach
_LOG_NU = (-90.0, 30.0)
_SOLVED = 1e-6  # relative residual of the equation for nu


class Spectrum(NamedTuple):
    """Eigenvalues of both kernels, and the target in the first one's eigenfunctions."""

    t: np.ndarray  # of K0, (a,)
    tau: np.ndarray  # of K1, (j,)
    tail: float
    target: np.ndarray  # <y, eigenfunction a>, (a,)
    square: float  # E y^2, noise included
    features: np.ndarray  # whose products make the first one, on the nodes, (r, N)
    basis: np.ndarray  # the eigenfunctions in them, (r, a)


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
    remainder: float  # epsilon, relative variance that the gradient's remainder adds


class Prepared(NamedTuple):
    """The law of the projections and the gradient's step on it, from which every level starts."""

    law: Law
    gradient: Gradient


def prepare(module: FixedPointModule, numbers: Numbers, coarse: bool = False) -> Prepared:
    """Nodes, and what the gradient step does.

    Args:
        module: generated.
        numbers: of the network and its data.
        coarse: with fewer nodes.

    Raises:
        InputError: an activation without a mean square.
    """
    check_moments(module, numbers)
    plain = law_of(module, numbers, None, coarse)
    gradient = gradient_step(module, numbers, plain)
    if not numbers.step > 0:
        return Prepared(plain, gradient)
    return Prepared(law_of(module, numbers, float(gradient.covariance[-1, -1]), coarse), gradient)


def solve(module: FixedPointModule, numbers: Numbers, prepared: Prepared, classified: bool) -> Solution:
    """Errors and spikes at one set of numbers.

    Args:
        module: generated.
        numbers: of the network and its data.
        prepared: nodes.
        classified: whether targets are +1 and -1.

    Raises:
        ComputationError: no root: features fit the samples without a ridge to speak of.
    """
    law, gradient = prepared
    q = len(law.kappa)
    found = _spectrum(module, numbers, law, gradient.covariance)
    if not found.t.sum() + found.tail < _LARGEST:
        raise ComputationError(f"features have a mean square of {found.t.sum() + found.tail:.3g}: take a smaller step or spread")
    sizes = {name: value for name, value in sizes_of(numbers, q).items() if name != "eta"}
    kernels = {"tau_j": _padded(found.tau), "K_tail": found.tail}
    scalars = _scalars(module)({**kernels, "t_a": _padded(found.t), **sizes}, _padded(found.target), found.square, numbers.ridge)
    nu, objective, training, test, star, critical, edge, ridge = (float(x) for x in scalars[:-1])
    if not (np.isfinite(nu) and 0 < training <= test and abs(ridge - numbers.ridge) <= _SOLVED * numbers.ridge):
        raise ComputationError(f"no solution at ridge = {numbers.ridge * numbers.n:g}, n = {numbers.n}: take a larger ridge")
    error = _error(module, law, found, nu, test) if classified else np.nan
    spikes = np.sort(np.asarray(scalars[-1])[: len(found.t)][found.t > critical])[::-1]
    return Solution(objective, training, test, error, found.square, spikes, edge, nu, star, gradient.strength, gradient.remainder)


def _padded(values: np.ndarray) -> np.ndarray:
    return np.pad(values, (0, roomy(len(values), _ROOM) - len(values)))


def _spectrum(module: FixedPointModule, numbers: Numbers, law: Law, neuron: np.ndarray) -> Spectrum:
    """Both kernels as sums over monomials of the whitened kappa, diagonalised under the law."""
    q = len(law.kappa)
    reduced = np.linalg.cholesky(neuron).T @ law.kappa
    found = _factors(module)(reduced, law.chi, sizes_of(numbers, q), numbers.parameters, kinks_of(numbers))
    factors, slopes, energy = (np.asarray(x) for x in found)
    energies, heavy = (law.weights, energy), law.weights > 0
    factors, slopes, energy, reduced, law = (
        factors[:, heavy],
        slopes[:, heavy],
        energy[heavy],
        reduced[:, heavy],
        Law(*(x[..., heavy] for x in law)),
    )
    weighted = np.sqrt(law.weights)
    faint = _FAINT / max(numbers.samples, numbers.width) * float(law.weights @ energy)
    powers, even = [np.ones(len(reduced))], np.ones_like(reduced)  # means of even powers, (P, q); faster than **
    for _ in range(len(factors) - 1):
        even = even * reduced**2
        powers.append(even @ law.weights)
    features, lowered = (_features(rows * weighted, reduced, powers, faint) for rows in (factors, slopes))
    t, left = np.linalg.eigh(features @ features.T)  # by the Gram matrix: nodes outnumber monomials a hundredfold
    kept = t > _SMALLEST * t[-1]
    t, basis = t[kept], left[:, kept] / np.sqrt(t[kept])
    tau = np.maximum(np.linalg.eigvalsh(lowered @ lowered.T), 0.0)
    tail = max(0.0, float(_beyond(module)(*energies, _padded(t), _padded(tau), numbers.n, q, numbers.trace)))
    square = float(law.weights @ law.targets**2) + numbers.noise**2
    return Spectrum(t, tau, tail, basis.T @ (features @ (weighted * law.targets)), square, features / weighted, basis)


@lru_cache(maxsize=32)
def _beyond(module: FixedPointModule) -> Callable[..., jax.Array]:
    """Energy beyond both kernels, compiled once."""
    return jax.jit(module.beyond)


@lru_cache(maxsize=32)
def _factors(module: FixedPointModule) -> Callable[..., tuple]:
    """Factors of both kernels order by order, and E s^2, on the nodes; compiled once."""

    @jax.jit
    def factors(reduced: jax.Array, chi: jax.Array, sizes: dict, parameters: tuple, kinks: jax.Array) -> tuple:
        v = module.variance(jnp.sum(reduced**2, axis=0), chi, sizes["n"], sizes["q"], sizes["T"])
        *h, energy, _ = moments(module, v, parameters, kinks)
        return module.kernel(v, *h), module.kernel_slope(v, *h), energy

    return factors


def _features(rows: np.ndarray, reduced: np.ndarray, powers: list[np.ndarray], faint: float) -> np.ndarray:
    """Of sum_p rows_p rows_p' (kappa . kappa')^p: one row a monomial that is not faint, (monomials, N)."""
    squares = np.array([(row**2).sum() for row in rows])
    monomials, features = {(): np.ones(reduced.shape[1])}, [rows[0]]
    for p in range(1, len(rows)):
        for choice, ways, exponents in _choices(len(reduced), p):
            if choice[:-1] not in monomials:
                continue
            size = prod(powers[count][i] for i, count in exponents)
            if size * ways * squares[1:].max(initial=0.0) <= faint and size * ways <= faint:
                continue
            monomials[choice] = monomials[choice[:-1]] * reduced[choice[-1]]
            if squares[p] * ways * size > faint:
                features.append(rows[p] * np.sqrt(ways) * monomials[choice])
    return np.array(features)


@lru_cache(maxsize=64)
def _choices(q: int, p: int) -> list[tuple[tuple[int, ...], int, list[tuple[int, int]]]]:
    """Monomials of degree p in q letters: the letters, in how many orders, and (letter, exponent)."""
    found = []
    for choice in combinations_with_replacement(range(q), p):
        exponents = [(i, choice.count(i)) for i in sorted(set(choice))]
        found.append((choice, factorial(p) // prod(factorial(count) for _, count in exponents), exponents))
    return found


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


def _error(module: FixedPointModule, law: Law, found: Spectrum, nu: float, test: float) -> float:
    """0-1 error of the sign of the output."""
    heavy = law.weights > 0
    fit = np.zeros(len(heavy))
    shrunk, wrong = _classifying(module)
    fit[heavy] = (found.basis @ np.asarray(shrunk(_padded(found.target), _padded(found.t), nu))[: len(found.t)]) @ found.features
    return float(wrong(law.weights, law.targets, fit, test))


@lru_cache(maxsize=32)
def _classifying(module: FixedPointModule) -> tuple[Callable[..., jax.Array], Callable[..., jax.Array]]:
    """(Coefficients of the output, its 0-1 error), compiled once."""

    def wrong(weights: jax.Array, targets: jax.Array, fit: jax.Array, test: float) -> jax.Array:
        return module.misclassified(weights, targets * fit, module.output_variance(weights, test, targets, fit))

    return jax.jit(module.shrunk), jax.jit(wrong)
