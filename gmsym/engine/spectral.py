"""Density, edges, atom and outliers of a Hessian or information matrix. Source: theory.md 7, verified/effective.md 3-4 and 7.

What of edges, gaps and masses is exact, and what is decided by comparison, is said in `engine.bands`. The density is solved on the real
axis itself, without an imaginary part of z; its error is what other nodes change. Between the edges of a band it is a square root, or
its inverse, times a smooth function, so that on Chebyshev nodes its integral converges geometrically to the mass that is counted: the
difference is part of the result.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from gmsym.engine.bands import Bulk, branches, find_bulk
from gmsym.engine.closed_form import deviation
from gmsym.engine.counting import masses_upto
from gmsym.engine.nodes import Law, Nodes
from gmsym.engine.outliers import SMALLEST, Outliers, find, solved, transform
from gmsym.engine.packed import matrices
from gmsym.engine.stieltjes import stieltjes
from gmsym.errors import ComputationError
from gmsym.runtime.spectral import Numbers, SpectralModule

_ACCURACY = 1e-4  # of the density, in mass: the nodes are refined until others agree to that
_REFINEMENTS = 4
_MANY = 2**14  # nodes that are not made more: the error says what they leave
_GAINED = 0.3  # what more nodes leave of the error where they are worth their cost: in a thin bulk they do not
_ATOM = 1e-6
_THIN = 0.05  # the part of the bulk next to an atom that it reaches, in units of its width, holds too little mass for any nodes
_LOST_MASS = 0.05
_COMPARED, _HEIGHT = 32, 0.01  # points at which the closed form is asked, and their distance from the axis in units of the width
_CLOSED = 1e-6  # of the mass of a band
_SPREAD = 1e-3  # mass that Chebyshev nodes of a band may miss; more, and its points follow the mass
_DECADES, _PER_DECADE, _ROUNDS = 9, 8, 2  # distances from the ends of such a band, and from 0, at which its mass is counted first
_RESOLVED = 0.002  # relative difference of the density at a point and its mean over the point's cell


@final
@dataclass(frozen=True)
class Spectrum:
    """Result in the units of the matrix. B bands, P points of the density, O outliers."""

    z: np.ndarray  # (P,)
    density: np.ndarray  # of the m d eigenvalues, (P,); its integral and the atom make 1
    density_error: np.ndarray
    weights: np.ndarray  # quadrature weights of z within the bands, (P,); zero on a grid that was given
    bands: np.ndarray  # (B, 2), increasing; the outermost ends may be infinite
    masses: np.ndarray  # of the bands, counted, (B,); they and the atom make 1
    mass_errors: np.ndarray  # by how much the integral of the density over each band misses that, (B,)
    undecided: np.ndarray  # intervals that may be gaps, narrower than the nodes can tell, (U, 2)
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
    resolution, former = 1.0, np.inf
    for _ in range(_REFINEMENTS):
        bulk = find_bulk(module, numbers, resolution, least)
        x, weights, ends = _points(bulk, points)
        density, error, residual = _density(module, bulk, x)
        counted = np.abs(x) > (_THIN * np.ptp(x) if bulk.thin else 0)
        missed = weights[counted] @ error[counted]
        if missed < _ACCURACY or missed > _GAINED * former or not bulk.nodes.refinable or sum(bulk.nodes.sizes) > _MANY:
            break
        resolution, former = 1.5 * resolution, missed
    scale = bulk.nodes.scale
    within = [(x > low) & (x < high) for low, high in bulk.bands]

    def missed_masses() -> np.ndarray:
        return np.array([abs(weights[own] @ density[own] - mass) for own, mass in zip(within, bulk.masses, strict=True)])

    sparse = missed_masses() > _SPREAD
    if sparse.any():
        x, weights, ends = _following(module, bulk, x, weights, within, ends, sparse)
        density, error, residual = _density(module, bulk, x)
    between = missed_masses()
    density, error = _averaged(module, bulk, weights, within, ends, density, error)
    mass_errors = missed_masses()
    if mass_errors.sum() > _LOST_MASS:
        raise ComputationError(f"the density misses mass {mass_errors.sum():.4f} of the bands: more points or a smaller state are needed")
    mass_errors = np.where(between > _LOST_MASS, between, mass_errors)  # means over cells close whatever the points miss between them
    closed = _against_closed_form(module, numbers, bulk.nodes, x)
    if grid is not None:
        x, weights = np.asarray(grid, dtype=float) / scale, np.zeros(len(grid))
        density, error, residual = _density(module, bulk, x)
    outliers = find(module, bulk.nodes, bulk.other, _gaps(bulk), bulk.width)
    return Spectrum(
        z=x * scale,
        density=density / scale,
        density_error=error / scale,
        weights=weights * scale,
        bands=np.array(bulk.bands) * scale,
        masses=bulk.masses,
        mass_errors=mass_errors,
        undecided=np.array(bulk.undecided).reshape(-1, 2) * scale,
        band_errors=np.stack([bulk.errors[:-1, 1], bulk.errors[1:, 0]], axis=1) * scale,
        edge_eigenvalues=branches(module, bulk),
        atom=bulk.atom,
        outliers=outliers._replace(z=outliers.z * scale, error=outliers.error * scale),
        gap=np.array([sum(z > high for _, high in bulk.bands) for z in outliers.z], dtype=int),
        residual=residual,
        nodes=sum(bulk.nodes.sizes),
        closed_form=closed,
    )


def _against_closed_form(module: SpectralModule, numbers: Numbers, nodes: Law, x: np.ndarray) -> float | None:
    """At some of the points, at a distance from the axis that an edge or an atom at one of them does not matter at."""
    if module.NAMED is None:
        return None
    some = x[:: max(1, len(x) // _COMPARED)]
    height = min(1.0, _HEIGHT * max(np.ptp(x), np.abs(x).max()))
    (s,) = transform(stieltjes(module), nodes, some, height)
    return deviation(module, numbers, (some + 1j * height) * nodes.scale, s / nodes.scale)


def _gaps(bulk: Bulk) -> list[tuple[float, float]]:
    """Intervals without bulk; at an atom S has a pole, and the equation of outliers a root that is none."""
    split = []
    for gap in bulk.gaps:
        if gap.high > gap.low:
            parts = [(gap.low, -_ATOM), (_ATOM, gap.high)] if bulk.atom > 0 and gap.low < 0 < gap.high else [(gap.low, gap.high)]
            split += [(a, b) for a, b in parts if b > a]
    return split


# --- density ----------------------------------------------------------------------------------------------------------


def _closed(bulk: Bulk) -> list[tuple[float, float]]:
    """Bands whose ends are finite."""
    lowest, highest = bulk.reach
    return [(lowest if np.isinf(a) else a, highest if np.isinf(b) else b) for a, b in bulk.bands]


def _points(bulk: Bulk, points: int) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Chebyshev nodes of every band, their weights, and the ends of their cells; bands have points in proportion to the roots of their
    widths."""
    closed = _closed(bulk)
    share = np.sqrt([b - a for a, b in closed])
    counts = np.maximum(1, np.floor(points * share / share.sum())).astype(int)
    counts[int(np.argmax(counts))] += points - counts.sum()
    xs, weights, ends = [], [], []
    for (a, b), count in zip(closed, counts, strict=True):
        angle = np.pi * (np.arange(count) + 0.5) / count
        xs.append((a + b) / 2 - (b - a) / 2 * np.cos(angle))
        weights.append((b - a) / 2 * np.sin(angle) * np.pi / count)
        ends.append((a + b) / 2 - (b - a) / 2 * np.cos(np.pi * np.arange(count + 1) / count))
    return np.concatenate(xs), np.concatenate(weights), ends


def _following(
    module: SpectralModule,
    bulk: Bulk,
    x: np.ndarray,
    weights: np.ndarray,
    within: list[np.ndarray],
    ends: list[np.ndarray],
    sparse: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Points, weights and cells, in `sparse` bands others: cells at quantiles of the mean of the counted mass and of the Chebyshev angle.

    A law of A that spans decades has its mass in a part of the band that Chebyshev nodes hardly see.
    """
    x, weights, ends = x.copy(), weights.copy(), list(ends)
    starts = np.cumsum(bulk.masses) - bulk.masses
    distances = 10.0 ** -np.arange(0, _DECADES, 1 / _PER_DECADE)
    for i in np.flatnonzero(sparse):
        a, b = _closed(bulk)[i]
        near = [center + sense * (b - a) * distances for center in (a, b, 0.0) for sense in (1, -1)]
        tried = np.unique(np.concatenate([*near, ends[i]]))
        for _ in range(_ROUNDS):
            inner = tried[(tried > a) & (tried < b)]
            tried = np.concatenate([[a], inner, [b]])
            share = np.clip((_upto(module, bulk, inner) - starts[i]) / bulk.masses[i], 0, 1)
            share = np.maximum.accumulate(np.concatenate([[0.0], share, [1.0]]))
            angle = np.arccos(np.clip((a + b - 2 * tried) / (b - a), -1, 1)) / np.pi
            cells = np.interp(np.linspace(0, 1, len(ends[i])), (share + angle) / 2, tried)
            tried = np.unique(np.concatenate([tried, cells]))
        own = within[i]
        x[own], weights[own], ends[i] = (cells[1:] + cells[:-1]) / 2, np.diff(cells), cells
    return x, weights, ends


def _upto(module: SpectralModule, bulk: Bulk, x: np.ndarray) -> np.ndarray:
    """Mass below points within bands, without the atom, (P,)."""
    s = solved(stieltjes(module), bulk.nodes, x)[0]
    atom = bulk.atom * (1 - np.arctan2(SMALLEST, x) / np.pi)  # of which the little distance from the axis leaves a tail
    return masses_upto(bulk.nodes, x + 1j * SMALLEST, s, module.SIZE) - atom


def _averaged(
    module: SpectralModule,
    bulk: Bulk,
    weights: np.ndarray,
    within: list[np.ndarray],
    ends: list[np.ndarray],
    density: np.ndarray,
    error: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """(density, error) with the mean over the cell of its point where nodes do not resolve it, in bands whose mass does not close.

    The mass of a cell is that of the law of the nodes; where they are sparse its place is known to a cell only.
    """
    density, error = density.copy(), error.copy()
    starts = np.cumsum(bulk.masses) - bulk.masses
    for own, edges, start, mass in zip(within, ends, starts, bulk.masses, strict=True):
        if len(edges) < 3 or abs(weights[own] @ density[own] - mass) < _CLOSED:
            continue
        cells = np.diff(np.concatenate([[start], _upto(module, bulk, edges[1:-1]), [start + mass]]))
        mean = np.maximum(cells, 0) / weights[own]
        coarse = np.abs(mean - density[own]) > _RESOLVED * np.maximum(mean, density[own])
        error[own] = np.where(coarse, np.maximum(error[own], np.abs(mean - density[own])), error[own])
        density[own] = np.where(coarse, mean, density[own])
    return density, error


def _density(module: SpectralModule, bulk: Bulk, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """(density, error, residual): on the real axis, from the solution a little above it by two more steps of Newton's method.

    The error is the change under other nodes, by two steps, and the last of the steps to the axis.
    """
    functions, size, nodes, other = stieltjes(module), module.SIZE, bulk.nodes, bulk.other
    above, residual = solved(functions, nodes, x)
    ratio = nodes.scale / other.scale

    def density(s: np.ndarray) -> np.ndarray:
        return np.asarray(module.density(nodes.fractions, matrices(s.reshape(len(nodes.fractions), -1, len(x)), size, 1)))

    def steps(at: Nodes, z: np.ndarray, s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """S after two steps, and the last of them; without a step that would leave Im S >= 0, or that grows."""
        first = np.asarray(functions.correction(at, z, s))
        once = s + first
        second = np.asarray(functions.correction(at, z, once))
        small = np.abs(second).max(0) <= 0.5 * np.abs(first).max(0)
        return np.where(small, once + second, once), np.where(small, second, first)

    s, last = steps(nodes.nodes, x + 0j, above)
    at_axis = (density(s) >= 0) & np.isfinite(s).all(0) & (np.abs(s - above).max(0) < 0.1 * np.abs(above).max(0))
    value = np.where(at_axis, density(s), density(above))
    remaining = np.where(at_axis, np.abs(density(last)), np.abs(density(s - above)))
    changed = steps(other.nodes, (x + 1j * SMALLEST) * ratio, above / ratio)[0] * ratio
    moved = np.abs(density(changed - above))
    error = np.minimum(np.nan_to_num(moved, nan=np.inf) + np.nan_to_num(remaining, nan=np.inf), value)  # a step overshoots at an edge
    free = np.any([(x > gap.low) & (x < gap.high) for gap in bulk.gaps], axis=0)
    return np.where(free, 0.0, value), np.where(free, 0.0, error), float(residual.max())
