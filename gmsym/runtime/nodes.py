"""Quadrature nodes as data: a rule is chosen by dimension, smoothness and level, and can be exchanged without recompiling.

Source: theory.md 6: the trapezoid rule in one dimension, with about 16 sd(h) nodes; panels between the kinks in one and two dimensions;
tensor grids up to four dimensions for smooth integrands; scrambled Sobol points for kinks in more dimensions and beyond.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import ndtri
from scipy.stats import ortho_group

from gmsym.runtime import points
from gmsym.runtime.roots import square_root

_REACH = 8.5  # standard deviations; the Gaussian weight is 2e-16 there
_TRAPEZOID = {1: (64, 2.0), 2: (32, 1.5)}  # nodes a dimension at level 0, and their growth with the level
_HERMITE = {3: (12, 1.4), 4: (8, 1.3)}
_SOBOL = 12  # log2 of the points at level 0
_NEGLIGIBLE = 1e-17  # of the largest weight
_PANELS = {1: (64, 5), 2: (32, 1)}  # nodes of a panel in each dimension at level 0, and the last level: they double with each
_SETTLED: dict[str, dict[int, int]] = {"smooth": {1: 3, 2: 3, 3: 3}, "kinked": {1: 1, 2: 1}, "rough": {}}  # levels by dimension
LARGEST = 2**17  # nodes of one rule


Nature = Literal["smooth", "kinked", "rough"]  # kinked: in one or two dimensions, where the kinks are known


class Nodes(NamedTuple):
    """Points (dimension, N) and weights (N,) for N(0, I), or for a panel (0, 1) between kinks."""

    points: np.ndarray
    weights: np.ndarray


def gaussian_means(
    integrand: Callable[..., Sequence[jax.Array]],
    mean: Sequence[jax.Array],
    cov: Sequence[Sequence[jax.Array]],
    nodes: Nodes,
    rough: bool = False,
) -> tuple[jax.Array, ...]:
    """Means of several functions of one Gaussian vector.

    Derivatives in `cov` are right where it is not singular. Those of an integrand with jumps are taken of the Gaussian density, at nodes
    that stay where they are, since it has deltas to differentiate; along directions without variance they are lost.

    Args:
        integrand: takes d scalars, returns scalars.
        mean: d scalars.
        cov: d x d scalars, positive semidefinite, possibly singular.
        nodes: for N(0, I_d).
        rough: whether the integrand has kinks or jumps.
    """
    root, weights = square_root(jnp.asarray(cov, float)), jnp.asarray(nodes.weights)
    fields = [m + sum(row[j] * nodes.points[j] for j in range(i + 1)) for i, (m, row) in enumerate(zip(mean, root, strict=True))]
    if rough:
        fields = [jax.lax.stop_gradient(field) for field in fields]
        weights = weights * _density_ratio(fields, mean, root)
    values = jax.vmap(integrand)(*fields)
    return tuple(jnp.sum(weights * value) for value in values)


def _density_ratio(fields: Sequence[jax.Array], mean: Sequence[jax.Array], root: jax.Array) -> jax.Array:
    """Density of N(mean, root root^T) at fixed fields over its own value: 1, with the density's derivatives; 1 along null directions."""
    diagonal = jnp.diag(root)
    kept = diagonal > 0
    pivots = jnp.where(kept, diagonal, 1.0)
    standard: list[jax.Array] = []
    for i, field in enumerate(fields):  # root^{-1} (field - mean), by forward substitution
        rest = field - mean[i] - sum(root[i, j] * standard[j] for j in range(i))
        standard.append(jnp.where(kept[i], rest / pivots[i], 0.0))
    logarithm = -sum(x**2 for x in standard) / 2 - jnp.sum(jnp.log(pivots))
    return jnp.exp(logarithm - jax.lax.stop_gradient(logarithm))


def gaussian_means_between(
    integrand: Callable[..., Sequence[jax.Array]],
    mean: Sequence[jax.Array],
    cov: Sequence[Sequence[jax.Array]],
    kinks: Sequence[jax.Array],
    nodes: Nodes,
) -> tuple[jax.Array, ...]:
    """Means of several functions of one Gaussian variable that are smooth but at the kinks; smooth in mean, variance and kinks.

    Args:
        integrand, mean, cov: as `gaussian_means`, with d = 1.
        kinks: where the integrand or a derivative jumps; those out of reach do nothing.
        nodes: of a "kinked" rule.
    """
    deviation = jnp.sqrt(jnp.asarray(cov, float)[0, 0])
    z, weights = between((jnp.asarray(kinks, float) - mean[0]) / deviation, nodes)
    values = jax.vmap(integrand)(mean[0] + deviation * z)
    return tuple(jnp.sum(weights * value) for value in values)


def gaussian_means_across(
    integrand: Callable[..., Sequence[jax.Array]],
    mean: Sequence[jax.Array],
    cov: Sequence[Sequence[jax.Array]],
    outer: Sequence[jax.Array],
    inner: Callable[[jax.Array], Sequence[jax.Array]],
    nodes: Nodes,
) -> tuple[jax.Array, ...]:
    """Means of several functions of two Gaussian variables that are smooth but on lines: the second is integrated given the first.

    Args:
        integrand, mean, cov: as `gaussian_means`, with d = 2.
        outer: values of the first variable where the kinks in the second meet each other, or where the lines hold it fixed.
        inner: takes the first variable, returns the values of the second where the integrand or a derivative jumps.
        nodes: of a "kinked" rule.
    """
    root = square_root(jnp.asarray(cov, float))
    width = jnp.where(root[1, 1] > 0, root[1, 1], 1.0)
    x, weights = between((jnp.asarray(outer, float) - mean[0]) / root[0, 0], nodes)
    first = mean[0] + root[0, 0] * x
    centre = mean[1] + root[1, 0] * x

    def given(first, centre):
        y, weights = between((jnp.asarray(inner(first), float) - centre) / width, nodes)
        values = jax.vmap(lambda z: integrand(first, z))(centre + root[1, 1] * y)
        return tuple(jnp.sum(weights * value) for value in values)

    return tuple(jnp.sum(weights * value) for value in jax.vmap(given)(first, centre))


def between(kinks: jax.Array, nodes: Nodes) -> tuple[jax.Array, jax.Array]:
    """Points (N,) and weights (N,) for N(0, 1), in panels between the kinks; kinks that are no numbers do nothing."""
    inside = jnp.clip(jnp.where(jnp.isnan(kinks), _REACH, kinks), -_REACH, _REACH)
    edges = jnp.concatenate([jnp.array([-_REACH]), jnp.sort(inside), jnp.array([_REACH])])
    widths = edges[1:] - edges[:-1]
    z = (edges[:-1, None] + widths[:, None] * nodes.points[0]).ravel()
    return z, (widths[:, None] * nodes.weights).ravel() * jnp.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)


def _panels(count: int, variant: int) -> Nodes:
    """Points and weights on (0, 1): Gauss-Legendre, or Fejer's first rule with as many nodes."""
    if variant == 0:
        x, weights = np.polynomial.legendre.leggauss(count)
    else:
        angles = (np.arange(count) + 0.5) * np.pi / count
        orders = np.arange(1, count // 2 + 1)
        x = np.cos(angles)
        weights = 2 / count * (1 - 2 * (np.cos(2 * np.outer(angles, orders)) / (4 * orders**2 - 1)).sum(axis=1))
    return Nodes(((1 + x) / 2)[None], weights / 2)


def gauss_between(kinks: Sequence[float], count: int, reach: float = 9.0) -> Nodes:
    """Gauss's rule for N(0, 1) on each interval between kinks: few nodes, exact for polynomials of degree 2 count - 1 between them.

    Args:
        kinks: finite or not; those out of reach do nothing.
        count: nodes of an interval.
        reach: where the normal law ends.
    """
    inside = sorted({float(x) for x in kinks if abs(x) < reach})
    parts = [_gauss(low, high, count) for low, high in zip([-reach, *inside], [*inside, reach], strict=True)]
    points, weights = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return Nodes(points[None], weights / weights.sum())


@cache
def _gauss(low: float, high: float, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Stieltjes' procedure on a fine rule, and the eigenvalues of Jacobi's matrix."""
    panels = np.linspace(low, high, 9)
    x, weights = np.polynomial.legendre.leggauss(32)
    half, middle = np.diff(panels) / 2, (panels[1:] + panels[:-1]) / 2
    z = (middle[:, None] + half[:, None] * x).ravel()
    mass = (half[:, None] * weights).ravel() * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    total = mass.sum()
    before, now = np.zeros_like(z), np.full_like(z, 1 / np.sqrt(total))
    diagonal, beside = np.zeros(count), np.zeros(count)
    for i in range(count):
        diagonal[i] = mass @ (z * now**2)
        following = (z - diagonal[i]) * now - (beside[i - 1] * before if i else 0.0)
        beside[i] = np.sqrt(mass @ following**2)
        before, now = now, following / beside[i]
    points, vectors = np.linalg.eigh(np.diag(diagonal) + np.diag(beside[:-1], 1) + np.diag(beside[:-1], -1))
    return points, total * vectors[0] ** 2


def level_of(deviation: float) -> int:
    """The level at which the trapezoid rule has 16 nodes for each unit of the field's standard deviation."""
    count, growth = _TRAPEZOID[1]
    return max(0, int(np.ceil(np.log(16 * deviation / count) / np.log(growth))))


def largest_level(dimension: int, nature: Nature) -> int:
    """The last level whose rule has at most `LARGEST` nodes."""
    if nature == "kinked":
        return _PANELS[dimension][1]
    level = 0
    while _size(dimension, nature, level + 1) <= LARGEST:
        level += 1
    return level


def settled(kinds: Sequence[tuple[int, Nature]], variant: int = 0, deviation: float = 1.0) -> tuple[Nodes, ...]:
    """Rules of one level a kind, for what is not refined: 512 nodes in one variable, more for deviations of a field beyond 32, 10^4 in two
    and four, 1.5 10^4 in three, 2^13 points in more and 2^14 across unknown kinks. `variant` as in `rule`."""
    levels = (_SETTLED[nature].get(dimension, 1 if nature == "smooth" else 2) for dimension, nature in kinds)
    least = level_of(deviation)
    return tuple(
        rule(*kind, max(level, least) if kind == (1, "smooth") else level, variant) for kind, level in zip(kinds, levels, strict=True)
    )


@cache
def rule(dimension: int, nature: Nature, level: int, variant: int = 0) -> Nodes:
    """Nodes of a rule for integrands of a nature; `variant` 1 has as many, other ones: half a step on, rotated, or of another scramble."""
    level = min(level, largest_level(dimension, nature))
    if nature == "kinked":
        return _panels(_PANELS[dimension][0] * 2**level, variant)
    if nature == "rough" or dimension not in (*_TRAPEZOID, *_HERMITE):
        count = 2 ** (_SOBOL + level)
        if dimension == 1:  # equally probable points, in other cells for the variant
            z = ndtri((np.arange(count) + 0.5) / count) if variant == 0 else points.whitened_sobol(count, 1, seed=0)[0]
            return Nodes(z[None], np.full(count, 1 / count))
        return Nodes(points.whitened_sobol(count, dimension, seed=variant), np.full(count, 1 / count))
    count = _count(dimension, level)
    if dimension in _TRAPEZOID:
        step = 2 * _REACH / count
        z = (np.arange(count) + (0.5 if dimension > 1 or variant == 0 else 1.0)) * step - _REACH
        weights = np.exp(-(z**2) / 2)
    else:
        z, weights = np.polynomial.hermite_e.hermegauss(count)
    weights = weights / weights.sum()
    grid = np.stack([g.ravel() for g in np.meshgrid(*[z] * dimension, indexing="ij")])
    product = np.prod(np.meshgrid(*[weights] * dimension, indexing="ij"), axis=0).ravel()
    kept = product > _NEGLIGIBLE * product.max()
    grid, product = grid[:, kept], product[kept] / product[kept].sum()
    if variant and dimension > 1:
        grid = ortho_group.rvs(dimension, random_state=np.random.default_rng(variant)) @ grid
    return Nodes(grid, product)


def _count(dimension: int, level: int) -> int:
    count, growth = (_TRAPEZOID | _HERMITE)[dimension]
    return round(count * growth**level)


def _size(dimension: int, nature: Nature, level: int) -> int:
    if nature == "rough" or dimension not in (*_TRAPEZOID, *_HERMITE):
        return 2 ** (_SOBOL + level + 2)  # a kink gains little from more points: two levels less
    return _count(dimension, level) ** dimension
