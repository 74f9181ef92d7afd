"""Nodes of the law of kappa, the projections of a sample that a network after one gradient step sees; and moments on them.

Shapes: C clusters; q dimensions of kappa, the gradient's own direction the last one where there is a step; N nodes; P moments.
Few nodes where a direction says little: what a direction of variance s^2 does to a preactivation is of order s^2/T.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.polynomial import chebyshev

from gmsym.errors import InputError
from gmsym.runtime.fixed_point import FixedPointModule, Numbers
from gmsym.runtime.nodes import gauss_between, rule

_COUNTS = ((0.006, 4), (0.03, 7), (0.1, 11), (0.3, 14), (np.inf, 20))  # variance in a preactivation up to which so many nodes are enough
_FEWER = 2  # nodes that a coarse law has less, a direction
_LARGEST = 24_000  # nodes of all clusters
_ALONG = (8, 11, 14, 18, 24, 32, 48)  # nodes of an interval between kinks of the target
_RESOLVED = 1e-7  # change of the target's moments by more nodes
_NORM = 2  # nodes of the fluctuation of |x_perp|
_LIGHT = 1e-11  # of the largest weight of a node
_VARIANCES = 16  # Chebyshev points in the variance of a preactivation
_LEVEL = 2  # of the nodes behind the moments
_ROOM = 1024  # nodes, padded at least to so many
_SQUARE = 1e-6  # change of E s^2 by fewer of them


class Law(NamedTuple):
    """Nodes of kappa, with the fluctuation of the norm of the other dimensions."""

    kappa: np.ndarray  # (q, N)
    chi: np.ndarray  # (N,)
    weights: np.ndarray  # (N,)
    targets: np.ndarray  # (N,), without noise


class Gradient(NamedTuple):
    """What one gradient step does to a neuron."""

    pull: np.ndarray  # u, (q,); zeros without a step
    covariance: np.ndarray  # of a neuron's weights on kappa, (q, q)
    strength: float  # eta^2 u^T Sigma u/k^2
    remainder: float  # epsilon


def count_for(strength: float) -> int:
    """Nodes for a direction of that variance in a preactivation."""
    return next(count for limit, count in _COUNTS if strength <= limit)


def roomy(count: int, least: int) -> int:
    """A size of arrays for that many entries: `least` times 1, 3/2, 2, 3, 4, 6, ..., so that few sizes of a problem are ever compiled."""
    size = least
    while size < count:
        size = size * 3 // 2 if size & (size - 1) == 0 else size * 4 // 3
    return size


def capped(counts: Sequence[int], largest: float) -> list[int]:
    """Fewer nodes where directions are many, so that their product stays in bounds; what that costs shows in the coarse law."""
    found = list(counts)
    while np.prod(found, dtype=float) > largest and max(found) > 3:
        found[int(np.argmax(found))] -= 1
    return found


def law_of(module: FixedPointModule, numbers: Numbers, own: float | None, coarse: bool = False) -> Law:
    """Gauss's rule between kinks along the target, Gauss-Hermite in the other directions, cluster by cluster.

    Args:
        module, numbers: generated, and of the network.
        own: variance in a preactivation of the gradient's own direction, which becomes the last one; None: there is none.
        coarse: with fewer nodes, to see what they miss.
    """
    parts = [_cluster(module, numbers, c, own, coarse) for c in range(len(numbers.labels))]
    kappa, chi, weights, labels = (np.concatenate(arrays, axis=-1) for arrays in zip(*parts, strict=True))
    room = ((0, roomy(len(weights), _ROOM) - len(weights)),)
    kappa, chi, labels = np.pad(kappa, ((0, 0), *room), mode="edge"), np.pad(chi, room, mode="edge"), np.pad(labels, room, mode="edge")
    targets = np.asarray(_target(module)(numbers.direction @ kappa[: len(numbers.direction)], labels, numbers.parameters))
    return Law(kappa, chi, np.pad(weights, room), np.where(np.arange(len(targets)) < len(weights), targets, 0.0))


def _cluster(module: FixedPointModule, numbers: Numbers, c: int, own: float | None, coarse: bool) -> Law:
    xi, mean, covariance = numbers.direction, numbers.means[c], numbers.covariances[c]
    spread = float(np.sqrt(xi @ covariance @ xi))
    along, rest = np.zeros((len(xi), 1)), covariance
    z, weights = np.zeros(1), np.ones(1)
    if spread > 0:
        along = (covariance @ xi / spread)[:, None]
        rest = covariance - along @ along.T
        z, weights = _target_nodes(module, numbers, c, spread, float((along**2).sum()) / numbers.trace, coarse)
    values, vectors = np.linalg.eigh(rest)
    kept = values > 1e-9
    root = np.hstack([along, vectors[:, kept] * np.sqrt(values[kept])])
    counts = [count_for(value / numbers.trace) for value in values[kept]] + ([] if own is None else [count_for(own)])
    room = _LARGEST / len(numbers.labels) / _NORM / len(z)
    counts = [max(count - _FEWER * coarse, 2) for count in capped(counts, room)]
    grid, mass = tensor([(z, weights / weights.sum()), *(hermite_nodes(count) for count in [*counts, _NORM])])
    heavy = mass > _LIGHT * mass.max()
    grid, mass = grid[:, heavy], mass[heavy] / mass[heavy].sum()
    kappa = mean[:, None] + root @ grid[: root.shape[1]]
    if own is not None:
        kappa = np.vstack([kappa, grid[-2]])
    chi = grid[-1] * np.sqrt(2 / (numbers.n - len(kappa)))
    return Law(kappa, chi, numbers.probabilities[c] * mass, np.full(kappa.shape[1], numbers.labels[c]))  # labels, for the time being


@lru_cache(maxsize=64)
def hermite_nodes(count: int) -> tuple[np.ndarray, np.ndarray]:
    """(nodes, weights that add up to 1) of Gauss-Hermite for N(0, 1)."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(count)
    return nodes, weights / weights.sum()


def tensor(grids: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """All combinations of the rules' nodes, a row a rule, and the products of their weights."""
    points = np.stack([g.ravel() for g in np.meshgrid(*(g for g, _ in grids), indexing="ij")])
    mass = np.ones(1)
    for _, weights in grids:
        mass = np.multiply.outer(mass, weights).ravel()
    return points, mass


@lru_cache(maxsize=32)
def _target(module: FixedPointModule) -> Callable[..., jax.Array]:
    """The target of samples at projections, before noise."""
    return jax.jit(lambda t, y, parameters: jnp.broadcast_to(module.target(t, y, parameters)[0], t.shape))


def _target_nodes(
    module: FixedPointModule, numbers: Numbers, c: int, spread: float, strength: float, coarse: bool
) -> tuple[np.ndarray, np.ndarray]:
    mean = float(numbers.direction @ numbers.means[c])
    kinks = tuple((x - mean) / spread for x in numbers.target_kinks[c])
    count = _resolving(module, numbers.parameters, float(numbers.labels[c]), mean, spread, kinks, count_for(strength))
    found = gauss_between(kinks, count - _FEWER * coarse)
    return found.points[0], found.weights


@lru_cache(maxsize=1024)
def _resolving(
    module: FixedPointModule, parameters: tuple[float, ...], label: float, mean: float, spread: float, kinks: tuple[float, ...], least: int
) -> int:
    """As many nodes of an interval as the target's moments ask for."""
    before, room = np.full(5, np.inf), (len(kinks) + 1) * _ALONG[-1]
    least = 8 if kinks else least
    for count in (x for x in _ALONG if x >= least):
        z, weights = (np.pad(x, (0, room - x.size)) for x in (gauss_between(kinks, count).points[0], gauss_between(kinks, count).weights))
        y = np.where(weights > 0, np.asarray(_target(module)(mean + spread * z, np.full(room, label), parameters)), 0.0)
        now = np.array([weights @ y**2, *(weights @ (y * z**p) for p in range(4))])
        if np.abs(now - before).max() <= _RESOLVED * max(now[0], np.sqrt(now[0])):
            return count
        before = now
    return _ALONG[-1]


def gradient_step(module: FixedPointModule, numbers: Numbers, law: Law) -> Gradient:
    """The gradient's spike and its remainder, from the law of the projections without the spike's own direction."""
    q = len(law.kappa) + int(numbers.step > 0)
    pull, epsilon = np.zeros(q), 0.0
    if numbers.step > 0:
        found = _pulled(module)(law, sizes_of(numbers, q), numbers.noise, numbers.parameters, kinks_of(numbers))
        pull[:-1], pull[-1], epsilon = (np.asarray(x) for x in found)
    covariance = np.asarray(module.neuron(np.eye(q), pull[:, None], pull[None, :], numbers.trace, numbers.step, numbers.width))
    across = (law.weights * (pull[: len(law.kappa)] @ law.kappa) ** 2).sum() + (pull[-1] ** 2 if numbers.step > 0 else 0.0)
    return Gradient(pull, covariance, float((numbers.step / numbers.width) ** 2 * across), float(epsilon))


@lru_cache(maxsize=32)
def _pulled(module: FixedPointModule) -> Callable[..., tuple]:
    """(u within V, across, epsilon), compiled once."""

    @jax.jit
    def pulled(law: Law, sizes: dict, noise: float, parameters: tuple, kinks: jax.Array) -> tuple:
        n, q, T, k, m, eta = (sizes[name] for name in ("n", "q", "T", "k", "m", "eta"))
        v = module.variance(jnp.sum(law.kappa**2, axis=0) / T, law.chi, n, q - 1, T)
        table = moments(module, v, parameters, kinks)
        slope = module.mean_slope(table[1], v)
        within = jnp.stack([module.pull(law.weights, law.targets, slope, row) for row in law.kappa]) if len(law.kappa) else jnp.zeros(0)
        beyond = module.pull_beyond(law.weights, jnp.sqrt(law.targets**2 + noise**2), slope, n, q, m)
        return within, beyond, module.remainder(law.weights, law.targets, noise, table[-1], slope, T, eta, k, m)

    return pulled


def sizes_of(numbers: Numbers, q: int) -> dict[str, float]:
    """Numbers by the letters of the equations."""
    given = {"n": numbers.n, "q": q, "T": numbers.trace, "k": numbers.width, "m": numbers.samples, "eta": numbers.step}
    return {name: float(value) for name, value in given.items()}


def moments(module: FixedPointModule, v: jax.Array, parameters: tuple, kinks: jax.Array) -> jax.Array:
    """Hermite coefficients, E s^2 and E s'^2 at the variances of the nodes, (P, N), interpolated in the variance."""
    low, high = jnp.min(v) * (1 - 1e-6), jnp.max(v) * (1 + 1e-6)
    x = chebyshev.chebpts1(_VARIANCES)
    nodes = rule(1, "kinked", _LEVEL)
    at = jnp.sqrt((high + low) / 2 + (high - low) / 2 * x)
    table = jax.vmap(lambda b: module.moments(b, parameters, kinks, nodes))(at)
    coefficients = jnp.asarray(np.linalg.inv(chebyshev.chebvander(x, _VARIANCES - 1))) @ table
    scaled = jnp.clip((v - (high + low) / 2) / ((high - low) / 2), -1, 1)
    return coefficients.T @ jnp.cos(jnp.arange(_VARIANCES)[:, None] * jnp.arccos(scaled))


def kinks_of(numbers: Numbers) -> jax.Array:
    """Kinks of the activation, at least one number."""
    return jnp.asarray(numbers.kinks or (0.0,))


def conditional_at(module: FixedPointModule, numbers: Numbers, centres: np.ndarray, deviations: np.ndarray) -> np.ndarray:
    """H_0, H_1, ... and E_2 of preactivations of these means and deviations, (P, count)."""
    return np.asarray(_conditional(module)(centres, deviations, numbers.parameters, kinks_of(numbers))).T


@lru_cache(maxsize=32)
def _conditional(module: FixedPointModule) -> Callable[..., jax.Array]:
    nodes = rule(1, "kinked", _LEVEL - 1)
    return jax.jit(jax.vmap(lambda c, b, parameters, kinks: module.conditional(c, b, parameters, kinks, nodes), in_axes=(0, 0, None, None)))


def check_moments(module: FixedPointModule, numbers: Numbers) -> None:
    """InputError unless the activation has a mean square at the width of a preactivation, which more nodes do not change."""
    b = float(np.sqrt(numbers.n / numbers.trace))
    square, other = (float(_square(module, level)(b, numbers.parameters, kinks_of(numbers))) for level in (_LEVEL, 1))
    if not (np.isfinite(square) and abs(square - other) <= _SQUARE * abs(square)):
        raise InputError(f"activation: its mean square at a Gaussian of deviation {b:.3g} is not finite, or not found by quadrature")


@lru_cache(maxsize=32)
def _square(module: FixedPointModule, level: int) -> Callable[..., jax.Array]:
    """E s^2 by a rule, compiled once."""
    nodes = rule(1, "kinked", level)
    return jax.jit(lambda b, parameters, kinks: module.moments(b, parameters, kinks, nodes)[-2])
