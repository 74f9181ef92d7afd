"""Density, edges, atom and outliers of a Hessian or information matrix. Source: theory.md 7, verified/effective.md 3-4 and 7.

Edges are found by a dimensionless test on a scan of the real axis and then located as folds of z(S), to rounding. A gap counts only
if other nodes see it, too: nodes that end somewhere, or are sparse somewhere, make gaps of their own where the mass is thin.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, final

import numpy as np

from gmsym.engine.closed_form import deviation
from gmsym.engine.nodes import Group, Law, law
from gmsym.engine.outliers import SMALLEST, Outliers, edge_eigenvalues, find, solved, transform
from gmsym.engine.packed import matrices, unit, unpacked
from gmsym.engine.stieltjes import Stieltjes, stieltjes
from gmsym.errors import ComputationError
from gmsym.runtime.spectral import Numbers, SpectralModule

_DECADES, _PER_DECADE = (-6, 4), 7  # of the first scan, in the unit of the matrix
_SCAN = 200
_SECTIONS = 7
_ACCURACY = 1e-4  # of the density, in mass: the nodes are refined until others agree to that
_REFINEMENTS = 4
_ATOM = 1e-6
_FLOOR = 0.02  # a smallest eigenvalue of A that moves more than that with the nodes is not bounded away from 0
_THIN = 0.05  # then the part of the bulk next to 0, in units of its width, holds too little mass for any nodes
_LOST_MASS = 0.02
_COMPARED = 32  # points at which the closed form is asked


@final
@dataclass(frozen=True)
class Edge:
    """An end of a band of the bulk."""

    z: float
    right: bool  # whether the band is below it
    s: np.ndarray  # S there, packed (B R,)
    error: float  # change under other nodes
    stable: bool  # whether other nodes see it


@final
@dataclass(frozen=True)
class Spectrum:
    """Result in the units of the matrix. B bands, P points of the density, O outliers."""

    z: np.ndarray  # (P,)
    density: np.ndarray  # of the m d eigenvalues, (P,); its integral and the atom make 1
    density_error: np.ndarray
    weights: np.ndarray  # quadrature weights of z within the bands, (P,); zero on a grid that was given
    bands: np.ndarray  # (B, 2), increasing; the outermost ends may be infinite
    band_errors: np.ndarray  # (B, 2)
    edge_eigenvalues: np.ndarray  # of D at the edges, (B, 2, m q + p): NaN at ends without a gap beside them
    atom: float  # mass at 0
    outliers: Outliers
    gap: np.ndarray  # number of bands below each outlier, (O,)
    residual: float  # largest |Phi(S) - S|/|S| over z
    nodes: int
    closed_form: float | None  # relative deviation of S from the closed form of the derivation, where there is one


def solve_spectrum(
    module: SpectralModule, numbers: Numbers, *, points: int = 400, grid: np.ndarray | None = None, least: Sequence[int] = ()
) -> Spectrum:
    """Spectrum of the matrix that a generated module describes, at one state.

    Cost: about 20 steps of Newton's method at `points` + 350 points; see `engine.stieltjes`.

    Args:
        module: a loaded generated module of kind Spectral.
        numbers: the problem and the state in numbers.
        points: points of the density, on Chebyshev nodes of each band.
        grid: other points instead.
        least: numbers of nodes to pad to, one a group of clusters, so that what was compiled for one state serves others.

    Raises:
        ComputationError: Newton's method did not converge; a part of the bulk was not found; too many nodes are needed.
    """
    resolution = 1.0
    for _ in range(_REFINEMENTS):
        bulk = find_bulk(module, numbers, resolution, least)
        x, weights = _points(bulk, points)
        density, error, residual = _density(module, bulk, x)
        counted = np.abs(x) > (_THIN * np.ptp(x) if bulk.thin else 0)
        if weights[counted] @ error[counted] < _ACCURACY or not bulk.nodes.refinable:
            break
        resolution *= 1.5
    mass, scale = weights @ density, bulk.nodes.scale
    if abs(mass + bulk.atom - 1) > _LOST_MASS:
        raise ComputationError(f"the bulk has mass {mass:.4f} and the atom {bulk.atom:.4f}, which do not make 1: a band was missed")
    closed = _against_closed_form(module, numbers, bulk.nodes, x)
    if grid is not None:
        x, weights = np.asarray(grid, dtype=float) / scale, np.zeros(len(grid))
        density, error, residual = _density(module, bulk, x)
    outliers = find(module, bulk.nodes, bulk.other, _gaps(bulk), bulk.edges[-1].z - bulk.edges[0].z)
    return Spectrum(
        z=x * scale,
        density=density / scale,
        density_error=error / scale,
        weights=weights * scale,
        bands=np.array(bulk.bands) * scale,
        band_errors=np.array([[e.error * scale if e else 0.0 for e in pair] for pair in _ends(bulk)]),
        edge_eigenvalues=branches(module, bulk),
        atom=bulk.atom,
        outliers=outliers._replace(z=outliers.z * scale, error=outliers.error * scale),
        gap=np.array([sum(z > high for _, high in bulk.bands) for z in outliers.z], dtype=int),
        residual=residual,
        nodes=sum(bulk.nodes.sizes),
        closed_form=closed,
    )


class Bulk(NamedTuple):
    """Bands of the bulk in the units of the nodes."""

    nodes: Law
    other: Law
    edges: list[Edge]  # of the nodes, stable or not
    bands: list[tuple[float, float]]  # accepted
    atom: float
    thin: bool  # whether the bulk reaches 0 with rapidly thinning mass


def find_bulk(module: SpectralModule, numbers: Numbers, resolution: float = 1.0, least: Sequence[int] = ()) -> Bulk:
    """Bands and atom at one state.

    Raises:
        ComputationError: no bulk was found, or it reaches beyond the scanned range.
    """
    nodes = law(module, numbers, resolution, least=least)
    other = law(module, numbers, resolution, other=True, least=nodes.sizes)
    edges = find_edges(module, nodes, other)
    atom = mass_at_zero(module, nodes)
    thin = atom > 0 and not abs(other.floor * other.scale / (nodes.floor * nodes.scale) - 1) < _FLOOR
    return Bulk(nodes, other, edges, _bands(edges, nodes, thin), atom, thin)


def branches(module: SpectralModule, bulk: Bulk) -> np.ndarray:
    """Eigenvalues of D at the ends of the bands, (B, 2, m q + p), in the units of the matrix; NaN at an end without a gap beside it."""
    kept = _ends(bulk)
    seen = [e for pair in kept for e in pair if e is not None]
    if not seen:
        return np.full((len(kept), 2, 1), np.nan)
    values = edge_eigenvalues(module, bulk.nodes, np.array([e.z for e in seen]), np.stack([e.s for e in seen], axis=1))
    rows = iter(values * bulk.nodes.scale)
    return np.array([[next(rows) if e is not None else np.full(values.shape[1], np.nan) for e in pair] for pair in kept])


def _ends(bulk: Bulk) -> list[list[Edge | None]]:
    """The edge at each end of each band, None where it was put by hand."""
    by_place = {(e.z, e.right): e for e in bulk.edges}
    return [[by_place.get((end, side == 1)) for side, end in enumerate(band)] for band in bulk.bands]


# --- edges ------------------------------------------------------------------------------------------------------------


def outside(s: np.ndarray, nodes: Law, size: int, smallest: float = SMALLEST) -> np.ndarray:
    """Whether x + i smallest is above a gap, (P,): eta tr(S S*)/tr Im S is O(1) there and tends to 0 inside the bulk."""
    square = _trace(np.abs(s) ** 2, nodes, 2 - unit(size))
    return smallest * square / _trace(s.imag, nodes, unit(size)) > np.sqrt(smallest * np.sqrt(square / size))


def _trace(packed: np.ndarray, nodes: Law, entries: np.ndarray) -> np.ndarray:
    """sum_b rho_b of a linear form of the entries of each block, (P,): for a trace, that over the d coordinates, divided by d."""
    return np.einsum("b,brp,r->p", nodes.fractions, packed.reshape(len(nodes.fractions), -1, packed.shape[1]), entries)


def find_edges(module: SpectralModule, nodes: Law, other: Law) -> list[Edge]:
    """Edges of all bands in increasing order, in the units of `nodes`."""
    functions, size = stieltjes(module), module.SIZE
    x, free = _scan(functions, nodes, size)
    changes = np.flatnonzero(free[1:] != free[:-1])
    if not len(changes):
        raise ComputationError("no bulk was found on the real axis")
    right = free[changes + 1]
    low, high = x[changes], x[changes + 1]
    low, high = _narrowed(functions, nodes, size, low, high, right, rounds=2)
    z, s, found = _folds(functions, nodes, low, high, right)
    if not found.all():
        rest = ~found
        low[rest], high[rest] = _narrowed(functions, nodes, size, low[rest], high[rest], right[rest], rounds=10)
        z[rest] = np.where(right[rest], high[rest], low[rest])
        s[:, rest] = transform(functions, nodes, z[rest]).real
    return _compared(functions, nodes, other, size, z, s, right)


def _scan(functions: Stieltjes, nodes: Law, size: int) -> tuple[np.ndarray, np.ndarray]:
    """(points, whether each is outside), over all scales and then evenly over the range of the bulk."""
    positive = 10.0 ** np.linspace(*_DECADES, _PER_DECADE * (_DECADES[1] - _DECADES[0]) + 1)
    around = (nodes.centres[:, None] + np.linspace(-4, 4, 24) / np.sqrt(float(nodes.nodes.alpha))).ravel()
    x = np.unique(np.concatenate([positive, around] if nodes.definite else [-positive, positive, around]))
    x = x[x > 1e-6] if nodes.definite else x[np.abs(x) > 1e-6]
    free = outside(transform(functions, nodes, x), nodes, size)
    inside = np.flatnonzero(~free)
    if not len(inside):
        return x, free
    ends = x[max(inside[0] - 1, 0)], x[min(inside[-1] + 1, len(x) - 1)]
    more = np.linspace(*ends, _SCAN + 2)[1:-1]
    both = np.concatenate([x, more])
    flags = np.concatenate([free, outside(transform(functions, nodes, more), nodes, size)])
    order = np.argsort(both)
    return both[order], flags[order]


def _narrowed(functions, nodes: Law, size: int, low, high, right, rounds: int) -> tuple[np.ndarray, np.ndarray]:
    """Brackets of the edges, `rounds` times 8 times narrower."""
    fractions = np.arange(1, _SECTIONS + 1) / (_SECTIONS + 1)
    for _ in range(rounds):
        x = low[:, None] + (high - low)[:, None] * fractions
        free = outside(transform(functions, nodes, x.ravel()), nodes, size).reshape(x.shape)
        beyond = np.where(right[:, None], free, ~free)  # whether the point is above the edge
        first = np.where(beyond.any(1), beyond.argmax(1), _SECTIONS)
        ends = np.concatenate([low[:, None], x, high[:, None]], axis=1)
        low, high = ends[np.arange(len(low)), first], ends[np.arange(len(low)), first + 1]
    return low, high


def _folds(functions, nodes: Law, low, high, right) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(z, S, whether the fold of z(S) is in the bracket); S starts from the end of the bracket that is in the gap."""
    start = np.where(right, high, low)
    s = transform(functions, nodes, start).real
    count = len(start)
    padding = -count % 4
    s_padded = np.concatenate([s, np.repeat(s[:, -1:], padding, axis=1)], axis=1)
    z_padded = np.concatenate([start, np.full(padding, start[-1])])
    folded, z, residual = (np.asarray(a) for a in functions.fold(nodes.nodes, s_padded, z_padded))
    z, folded, residual = z[:count], folded[:count].T, residual[:count]
    room = high - low + 1e-9
    found = (residual < 1e-10) & (z > low - room) & (z < high + room)
    return np.where(found, z, start), np.where(found, folded, s), found


def _compared(functions, nodes: Law, other: Law, size: int, z, s, right) -> list[Edge]:
    """Edges with what other nodes say of them: beyond the edge they must see a gap, within it the bulk."""
    ratio = nodes.scale / other.scale
    ends = np.concatenate([[-np.inf], z, [np.inf]])
    below, above = z - ends[:-2], ends[2:] - z
    gap, band = np.where(right, above, below), np.where(right, below, above)
    band = np.where(np.isfinite(band), band, np.abs(z))
    gap = np.minimum(gap, np.maximum(band, np.abs(z)))  # an outermost gap has no width of its own
    gap = np.where(nodes.definite & ~right & (below == np.inf), np.minimum(gap, z), gap)  # a gap above 0
    towards = np.where(right, 1, -1)
    outer, inner = z + 0.05 * towards * gap, z - 0.05 * towards * band
    free = outside(transform(functions, other, np.concatenate([outer, inner]) * ratio), other, size)
    stable = free[: len(z)] & ~free[len(z) :]
    padding = -len(z) % 4
    start = np.concatenate([s, np.repeat(s[:, -1:], padding, axis=1)], axis=1) / ratio
    z_padded = np.append(z, np.full(padding, z[-1])) * ratio
    _, moved, residual = (np.asarray(a)[: len(z)] for a in functions.fold(other.nodes, start, z_padded))
    shift = np.abs(moved / ratio - z)
    error = np.where((residual < 1e-8) & (shift < 0.05 * gap), shift, 0.05 * gap)
    return [
        Edge(float(a), bool(r), s[:, i], float(e), bool(ok)) for i, (a, r, e, ok) in enumerate(zip(z, right, error, stable, strict=True))
    ]


def _bands(edges: list[Edge], nodes: Law, thin: bool) -> list[tuple[float, float]]:
    """Bands between the edges; gaps that other nodes do not see are closed, and an outer end they do not see is open.

    With fewer samples than dimensions and an A that comes close to 0 (`thin`), the bulk reaches 0, with rapidly thinning mass.
    """
    ends = list(edges)
    if ends[0].right or not ends[-1].right:
        raise ComputationError("the bulk reaches beyond the scanned range of the real axis")
    first = ends[0].z if ends[0].stable and not (thin and nodes.definite) else (0.0 if nodes.definite else -np.inf)
    last = ends[-1].z if ends[-1].stable else np.inf
    inner = [first]
    for upper, lower in zip(ends[1:-1:2], ends[2:-1:2], strict=True):
        if upper.stable and lower.stable and not (thin and upper.z < 0 < lower.z):
            inner += [upper.z, lower.z]
    inner.append(last)
    return list(zip(inner[::2], inner[1::2], strict=True))


def _gaps(bulk: Bulk) -> list[tuple[float, float]]:
    """Intervals without bulk; at an atom S has a pole, and the equation of outliers a root that is none."""
    ends = [-np.inf, *(end for band in bulk.bands for end in band), np.inf]
    gaps = [(a, b) for a, b in zip(ends[::2], ends[1::2], strict=True) if np.isfinite(a) or np.isfinite(b)]
    gaps = [(a, b) for a, b in gaps if b != -np.inf and a != np.inf]
    split = []
    for a, b in gaps:
        split += [(a, -_ATOM), (_ATOM, b)] if bulk.atom > _ATOM and a < 0 < b else [(a, b)]
    return split


# --- density ----------------------------------------------------------------------------------------------------------


def _points(bulk: Bulk, points: int) -> tuple[np.ndarray, np.ndarray]:
    """Chebyshev nodes of every band and their weights; bands have points in proportion to the roots of their widths."""
    lowest, highest = bulk.edges[0].z, bulk.edges[-1].z  # for bands with an open end
    closed = [(lowest if np.isinf(a) else a, highest if np.isinf(b) else b) for a, b in bulk.bands]
    share = np.sqrt([b - a for a, b in closed])
    counts = np.maximum(1, np.floor(points * share / share.sum())).astype(int)
    counts[int(np.argmax(counts))] += points - counts.sum()
    xs, weights = [], []
    for (a, b), count in zip(closed, counts, strict=True):
        angle = np.pi * (np.arange(count) + 0.5) / count
        xs.append((a + b) / 2 - (b - a) / 2 * np.cos(angle))
        weights.append((b - a) / 2 * np.sin(angle) * np.pi / count)
    return np.concatenate(xs), np.concatenate(weights)


def _density(module: SpectralModule, bulk: Bulk, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """(density, its change under other nodes to first order, residual)."""
    functions, size, nodes, other = stieltjes(module), module.SIZE, bulk.nodes, bulk.other
    s, residual = solved(functions, nodes, x)
    ratio = nodes.scale / other.scale
    z = (x + 1j * SMALLEST) * ratio
    change = np.asarray(functions.correction(other.nodes, z, s / ratio)) * ratio
    each = (matrices(v.reshape(len(nodes.fractions), -1, len(x)), size, 1) for v in (s, change))
    trace, moved = (np.asarray(module.density(nodes.fractions, v)) for v in each)
    error = np.minimum(np.abs(moved), trace)  # first order overshoots at an edge
    return trace, error, float(residual.max())


def _against_closed_form(module: SpectralModule, numbers: Numbers, nodes: Law, x: np.ndarray) -> float | None:
    """At some of the points."""
    if module.NAMED is None:
        return None
    some = x[:: max(1, len(x) // _COMPARED)]
    (s,) = transform(stieltjes(module), nodes, some)
    return deviation(module, numbers, (some + 1j * SMALLEST) * nodes.scale, s / nodes.scale)


def mass_at_zero(module: SpectralModule, nodes: Law) -> float:
    """Mass at 0: by the rank of A where the module says so, else from S beside 0."""
    size, count = module.SIZE, len(nodes.fractions) * len(unit(module.SIZE))
    s = np.zeros((count, 1)) if module.ATOM_BY_RANK else transform(stieltjes(module), nodes, np.zeros(1))
    full = np.asarray(matrices(s.reshape(len(nodes.fractions), -1, 1), size, 1))
    ranks = np.array([_mean_rank(group, size) for group in nodes.nodes.groups])
    one, z = np.ones(len(ranks)), np.full(1, 1j * SMALLEST)
    weight = float(np.ravel(module.atom(nodes.nodes.alpha, one, ranks, nodes.fractions, z, full))[0])
    return weight if weight > 1e-4 else 0.0


def _mean_rank(group: Group, size: int) -> float:
    """Of A over the nodes of a group; samples without noise add nothing."""
    A = np.asarray(unpacked(np.asarray(group.matrix), size))
    sizes = np.abs(A[0] if size == 1 else np.linalg.eigvalsh(np.moveaxis(A, -1, 0)).T)
    return float(np.sum(np.asarray(group.weights) * (np.asarray(group.variance) > 0) * (sizes > 1e-12).sum(0)))
