"""Fixed nodes for the law of a Hessian or information matrix: its samples' A, and their coordinates in span(Theta, mu).

Given the fields that A depends on, the remaining coordinates of a sample are Gaussian with a known mean, so nodes in those fields
are enough for the bulk and for the outliers alike. Source: theory.md 6 (trapezoid rule) and 7; verified/effective.md 3.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float

from gmsym.errors import ComputationError
from gmsym.runtime import points
from gmsym.runtime.spectral import Numbers, SpectralModule

_STEPS = {1: 0.36, 2: 0.5, 3: 0.72}  # of the trapezoid rule, in standard deviations, for fields of deviation up to 1
_REACH = {1: 7.5, 2: 7.0, 3: 6.0}
_PRUNED = 1e-11  # nodes whose weight is that much below the largest are left out
_SOBOL, _SOBOL_ROUGH = 2**13, 2**14  # beyond three dimensions, and with kinks in two or more
_PANEL = 20  # Gauss-Legendre nodes of a panel between kinks
_RANK = 1e-10  # of Gram matrices, relative to their trace
_MOST = 2**18
_PADDING = 32  # node counts are rounded up to multiples of at least that, so that compiled functions are reused


class Law(NamedTuple):
    """Nodes (N, padded with weight 0) in units in which A is of order one: z of the original matrix is `scale` times z here."""

    denominator: Float[Array, "f N"]  # sigma_k^{2 degree} minor
    numerator: Float[Array, "f N"]  # sigma_k^{2 (degree - 1)} minor
    first: Float[Array, "f N"]  # weight sigma_k^2 numerator: E X
    second: Float[Array, "ff N"]  # weight sigma_k^4/alpha numerator_f numerator_g, f <= g: E X kron X
    weights: Float[Array, " N"]
    outer: Float[Array, "N qq"]  # weight E[Yhat Yhat^T | node], flattened
    mean: Float[Array, "N q"]  # weight E[Yhat | node]
    variance: Float[Array, " N"]  # sigma_k^2
    mixed: Float[Array, "mp N"]
    corner: Float[Array, "pp N"]
    alpha: Float[Array, ""]
    centres: Float[Array, " m"]  # eigenvalues of E sigma^2 A, around which the bulk is for large alpha
    scale: float
    definite: bool  # whether A is positive semidefinite at all nodes
    floor: float  # smallest modulus of an eigenvalue of A that does not vanish identically


class _Basis(NamedTuple):
    """Orthonormal coordinates: first those of the fields that A depends on, then the rest of span(Theta, mu)."""

    root: np.ndarray  # (F, r) with u = root (fields' coordinates)
    deviations: np.ndarray  # (r,) of the fields along their principal axes, for unit noise
    seen: np.ndarray  # coordinates of the means along them, (K, r)
    rest: np.ndarray  # the other coordinates of the means, (K, q - r)


def law(module: SpectralModule, numbers: Numbers, resolution: float = 1.0, other: bool = False, least: int = 0) -> Law:
    """The nodes of all clusters, N of them or `least`; `other` ones (fewer, reaching further) tell how much depends on the choice.

    Raises:
        ComputationError: A is not finite at a node; or the fields are so large that the nodes would be too many.
    """
    basis = _basis(module, numbers)
    parts = []
    for k, probability in enumerate(numbers.probabilities):
        deviation, label = float(np.sqrt(numbers.variance[k])), numbers.labels[k]

        def kinks(xi: np.ndarray, k: int = k, deviation: float = deviation, label: np.ndarray = label) -> np.ndarray:
            fields = basis.root @ (basis.seen[k][:, None] + deviation * xi)
            return np.asarray(module.kinks(fields, label, numbers.parameters))

        xi, weights = _rule(deviation * basis.deviations, kinks if module.KINKS else None, resolution, other)
        count = len(weights)
        rest = np.broadcast_to(basis.rest[k][:, None], (basis.rest.shape[1], count))
        mean = np.concatenate([basis.seen[k][:, None] + deviation * xi, rest])
        parts.append((mean, np.repeat(label[:, None], count, axis=1), probability * weights, np.full(count, deviation**2)))
    mean, labels, weights, variance = (np.concatenate([part[i] for part in parts], axis=-1) for i in range(4))
    count = len(weights)
    padding = max(-count % max(_PADDING, 2 ** (count.bit_length() - 3)), least - count)
    mean, labels, weights, variance = (
        np.concatenate([x, np.repeat(x[..., -1:], padding, axis=-1)], axis=-1) for x in (mean, labels, weights, variance)
    )
    weights[count:] = 0
    fields = basis.root @ mean[: basis.root.shape[1]]
    a, mixed, corner, minors = (np.asarray(x) for x in _evaluated(module)(fields, labels, numbers.parameters))
    for array in (a, mixed, corner):
        if not np.isfinite(array).all():
            raise ComputationError(f"the matrix is not finite at the fields {fields[:, ~np.isfinite(array).all(0)][:, 0]}")
    return _assembled(module, numbers.alpha, a, mixed, corner, minors, weights, mean, variance, basis.seen.shape[1])


@lru_cache(maxsize=32)
def _evaluated(module: SpectralModule) -> Callable[..., tuple[Array, Array, Array, Array]]:
    """Compiled function (fields (F, N), labels (L, N), parameters) -> A, its extension, and its minors."""

    @jax.jit
    def evaluated(fields: Array, labels: Array, parameters: tuple[float, ...]) -> tuple[Array, Array, Array, Array]:
        a = module.matrix(fields, labels, parameters)
        return a, module.mixed(fields, labels, parameters), module.corner(fields, labels, parameters), module.minors(a)

    return evaluated


def _assembled(module, alpha, a, mixed, corner, minors, weights, mean, variance, seen: int) -> Law:
    size, count = module.SIZE, len(mean)
    full = unpacked(a, size)
    scale = float(np.sqrt(np.sum(weights * variance**2 * (full**2).sum((0, 1))) / size))
    if not scale > 0:
        raise ComputationError("the matrix vanishes at all nodes: at this state every sample is beyond the loss's kinks")
    eigenvalues = full[0] if size == 1 else np.linalg.eigvalsh(np.moveaxis(full, -1, 0)).T  # (m, N)
    sizes = np.sort(np.abs(eigenvalues), axis=0)[size - max(module.DEGREES)]
    degrees = np.asarray(module.DEGREES)[:, None]
    minors = minors / scale**degrees
    numerator = variance ** (degrees - 1) * minors
    first, second = np.triu_indices(len(degrees))
    unseen = np.zeros((count, count, 1))
    unseen[range(seen, count), range(seen, count)] = 1
    outer = weights * (mean[:, None] * mean[None, :] + variance * unseen)
    arrays = jax.device_put(
        (
            variance * numerator,
            numerator,
            weights * variance * numerator,
            weights * variance**2 / alpha * numerator[first] * numerator[second],
            weights,
            outer.reshape(count * count, -1).T,
            (weights * mean).T,
            variance,
            mixed / scale,
            corner / scale,
            np.float64(alpha),
        )
    )
    return Law(
        *arrays,
        centres=np.linalg.eigvalsh((weights * variance * full).sum(-1)) / scale,
        scale=scale,
        definite=bool((eigenvalues[0] >= -1e-12 * scale).all()),
        floor=float(sizes[sizes > 1e-12 * scale].min(initial=scale)) / scale,
    )


def unpacked(packed: np.ndarray, size: int) -> np.ndarray:
    """(R, ...) to (m, m, ...)."""
    index = np.zeros((size, size), dtype=int)
    rows, columns = np.triu_indices(size)
    index[rows, columns] = index[columns, rows] = np.arange(len(rows))
    return packed[index]


def _basis(module: SpectralModule, numbers: Numbers) -> _Basis:
    V = np.asarray(module.DIRECTIONS, dtype=float).reshape(len(numbers.gram), -1)
    gram, overlap = numbers.gram, numbers.overlap.T  # (C, C), (C, K)
    whole = np.block([[gram, overlap], [overlap.T, numbers.means_gram]])
    size = max(np.trace(whole), np.finfo(float).tiny)
    values, vectors = np.linalg.eigh(V.T @ gram @ V)
    kept = values > _RANK * size
    root = vectors[:, kept] * np.sqrt(values[kept])
    dual = vectors[:, kept] / np.sqrt(values[kept])  # its pseudo-inverse, transposed
    seen = np.concatenate([dual.T @ V.T @ gram, dual.T @ V.T @ overlap], axis=1)  # coordinates of (Theta, mu)
    values_rest, vectors_rest = np.linalg.eigh(whole - seen.T @ seen)
    kept_rest = values_rest > _RANK * size
    rest = vectors_rest[:, kept_rest] * np.sqrt(values_rest[kept_rest])
    columns = len(gram)
    return _Basis(root, np.sqrt(values[kept]), seen[:, columns:].T, rest[columns:])


def _rule(deviations: np.ndarray, kinks, resolution: float, other: bool) -> tuple[np.ndarray, np.ndarray]:
    """Nodes (r, N) and weights (N,) of N(0, I) for fields with these deviations along the axes."""
    dimensions = len(deviations)
    if dimensions == 0:
        return np.zeros((0, 1)), np.ones(1)
    rough = kinks is not None
    if rough and dimensions == 1:
        return _panels(float(deviations[0]), kinks, resolution, other)
    if rough or dimensions > max(_STEPS):
        count = _SOBOL_ROUGH if rough else _SOBOL
        return points.whitened_sobol(count, dimensions, seed=int(other)), np.full(count, 1 / count)
    reach = _REACH[dimensions] + (0.6 if other else 0)
    axes = []
    for deviation in deviations:
        step = _STEPS[dimensions] * (1.17 if other else 1) / max(1.0, deviation) / resolution
        half = reach - step / 2 if other else reach
        count = 2 * int(np.ceil(half / step)) + (0 if other else 1)
        axes.append(np.linspace(-half, half, max(count, 2)))
    if np.prod([float(len(axis)) for axis in axes]) > _MOST:
        raise ComputationError(
            f"fields of standard deviations {np.round(deviations, 2).tolist()} need more than {_MOST} nodes; take a smaller state"
        )
    grid = np.stack([g.ravel() for g in np.meshgrid(*axes, indexing="ij")])
    weights = np.exp(-(grid**2).sum(0) / 2)
    kept = weights > _PRUNED * weights.max()
    return grid[:, kept], weights[kept] / weights[kept].sum()


def _panels(deviation: float, kinks, resolution: float, other: bool) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Legendre panels that end at the kinks of a function of one variable."""
    reach = _REACH[1] + (0.6 if other else 0)
    ends = np.concatenate([[-reach, reach], _zeros(kinks, reach)])
    longest = 1.5 / max(1.0, deviation) / resolution * (1.25 if other else 1)
    breaks = np.unique(ends)
    breaks = np.concatenate([np.linspace(a, b, int(np.ceil((b - a) / longest)) + 1)[:-1] for a, b in zip(breaks, breaks[1:], strict=False)])
    breaks = np.append(breaks, reach)
    nodes, weights = np.polynomial.legendre.leggauss(_PANEL)
    half = np.diff(breaks) / 2
    xi = ((breaks[:-1] + breaks[1:]) / 2 + half * nodes[:, None]).ravel()
    weights = (half * weights[:, None]).ravel() * np.exp(-(xi**2) / 2)
    return xi[None], weights / weights.sum()


def _zeros(kinks, reach: float) -> np.ndarray:
    """Sign changes of each locus on (-reach, reach), by bisection."""
    grid = np.linspace(-reach, reach, 4001) + 1e-7  # off the symmetric points, where a locus may vanish exactly
    values = kinks(grid[None])
    locus, at = np.nonzero(values[:, 1:] * values[:, :-1] < 0)
    low, high = grid[at], grid[at + 1]
    sign = np.sign(values[locus, at])
    for _ in range(50 if len(at) else 0):
        middle = (low + high) / 2
        same = np.sign(kinks(middle[None])[locus, np.arange(len(at))]) == sign
        low, high = np.where(same, middle, low), np.where(same, high, middle)
    return (low + high) / 2
