"""Gaps of the bulk where no real variable parametrises them: several columns, or clusters of several variance profiles.

A point is outside the bulk by a dimensionless test, and its gap ends at folds of z(S). Points are looked for on a scan, then at every
local minimum of the density down to Im z = `_DEEP`, and the mass on both sides of a gap is counted: what a scan steps over shows as mass
between two points outside. A gap inside a band, narrower than the scan and without a minimum of its own there, would show in the mass
that the density gives (`Spectrum.mass_error`). Source: theory.md 7, "Counting bands"; verified/effective.md 4.
"""

from typing import NamedTuple

import numpy as np

from gmsym.engine.counting import masses_below, torn
from gmsym.engine.nodes import Law
from gmsym.engine.outliers import SMALLEST, transform
from gmsym.engine.packed import unit
from gmsym.engine.stieltjes import Stieltjes

_DECADES, _PER_DECADE = (-6, 4), 7  # of the first scan, in the unit of the matrix
_SCAN = 200
_SECTIONS, _PROBES = 7, 8  # points and rounds between two neighbours of a minimum: down to 1e-5 of their distance
_DEEP = 1e-12
_SMALLER = 0.5  # a minimum of the density is probed while that much below the larger neighbour,
_FALLING = 0.9  # and falling by that in each round: beside a gap it does so by 0.5, at a minimum of the nodes' noise it comes to rest
_LOST = 1e-7  # mass that a gap may not hold
_HALVINGS = 100  # points for all bands that a scan steps over: thin bands of the nodes alone are many, and of no interest


class Edge(NamedTuple):
    """An end of a band of the bulk."""

    z: float
    right: bool  # whether the band is below it
    s: np.ndarray  # S there, packed (B R,)
    error: float  # change under other nodes
    stable: bool  # whether other nodes see it


def trace(packed: np.ndarray, nodes: Law, entries: np.ndarray) -> np.ndarray:
    """sum_b rho_b of a linear form of the entries of each block, (P,): for a trace, that over the d coordinates, divided by d."""
    return np.einsum("b,brp,r->p", nodes.fractions, packed.reshape(len(nodes.fractions), -1, packed.shape[1]), entries)


def outside(s: np.ndarray, nodes: Law, size: int, smallest: float = SMALLEST) -> np.ndarray:
    """Whether x + i smallest is above a gap, (P,): eta tr(S S*)/tr Im S is O(1) there and tends to 0 inside the bulk."""
    square = trace(np.abs(s) ** 2, nodes, 2 - unit(size))
    return smallest * square / trace(s.imag, nodes, unit(size)) > np.sqrt(smallest * np.sqrt(square / size))


def beside(functions: Stieltjes, nodes: Law, size: int, x: np.ndarray, smallest: float = SMALLEST) -> np.ndarray:
    """Whether each point is in a gap, and not in one of the nodes alone, (P,)."""
    return _real_gap(nodes, size, transform(functions, nodes, x, smallest), smallest)


def _real_gap(nodes: Law, size: int, s: np.ndarray, smallest: float = SMALLEST) -> np.ndarray:
    free = outside(s, nodes, size, smallest)
    free[free] = ~torn(nodes, s[:, free].real, size)  # a sign that is the same in all of a gap
    return free


def find_edges(functions: Stieltjes, nodes: Law, other: Law, size: int) -> list[Edge]:
    """Edges of all bands in increasing order, in the units of `nodes`; none at an end that is open or at 0, nor of the nodes' own gaps."""
    x, free = _scan(functions, nodes, size)
    x, free = _probed(functions, nodes, size, x, free)
    x, free = _counted(functions, nodes, size, x, free)
    changes = np.flatnonzero(free[1:] != free[:-1])
    if not len(changes):
        return []
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
    free = beside(functions, nodes, size, x)
    inside = np.flatnonzero(~free)
    if not len(inside):
        return x, free
    ends = x[max(inside[0] - 1, 0)], x[min(inside[-1] + 1, len(x) - 1)]
    more = np.linspace(*ends, _SCAN + 2)[1:-1]
    return _with(functions, nodes, size, x, free, more[np.abs(more) > 1e-6])


def _with(functions, nodes: Law, size: int, x, free, more, smallest: float = SMALLEST) -> tuple[np.ndarray, np.ndarray]:
    both = np.concatenate([x, more])
    flags = np.concatenate([free, beside(functions, nodes, size, more, smallest)])
    both, order = np.unique(both, return_index=True)
    return both, flags[order]


def _probed(functions, nodes: Law, size: int, x, free) -> tuple[np.ndarray, np.ndarray]:
    """The scan with a point in each gap that a local minimum of the density leads to."""

    def density(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        s = transform(functions, nodes, points.ravel(), _DEEP)
        value, flag = trace(s.imag, nodes, unit(size)), _real_gap(nodes, size, s, _DEEP)
        return value.reshape(points.shape), flag.reshape(points.shape)

    inside = np.flatnonzero(~free)
    value = np.zeros(len(x))
    value[inside] = density(x[inside])[0]
    lowest = [i for i in range(1, len(x) - 1) if not free[i - 1 : i + 2].any() and value[i] < min(value[i - 1], value[i + 1])]
    low, high = x[np.array(lowest, dtype=int) - 1], x[np.array(lowest, dtype=int) + 1]
    around = np.maximum(value[np.array(lowest, dtype=int) - 1], value[np.array(lowest, dtype=int) + 1])
    fractions, found = np.arange(1, _SECTIONS + 1) / (_SECTIONS + 1), []
    former = np.full(len(low), np.inf)
    for _ in range(_PROBES):
        if not len(low):
            break
        points = low[:, None] + (high - low)[:, None] * fractions
        values, flags = density(points)
        found += points[flags].tolist()
        at, least = values.argmin(1), values.min(1)
        kept = ~flags.any(1) & (least < _SMALLER * around) & (least < _FALLING * former)
        ends = np.concatenate([low[:, None], points, high[:, None]], axis=1)[kept]
        rows, at, around, former = np.arange(kept.sum()), at[kept], around[kept], least[kept]
        low, high = ends[rows, at], ends[rows, at + 2]
    return _with(functions, nodes, size, x, free, np.array(found), _DEEP) if found else (x, free)


def _counted(functions, nodes: Law, size: int, x, free) -> tuple[np.ndarray, np.ndarray]:
    """The scan with a point in each band that it steps over: where the masses below the ends of a run of free points differ."""
    runs = np.split(np.flatnonzero(free), np.flatnonzero((np.diff(np.flatnonzero(free)) > 1) | (np.diff(np.sign(x[free])) != 0)) + 1)
    ends = np.array([x[run[[0, -1]]] for run in runs if len(run) > 1]).ravel()
    if not len(ends):
        return x, free
    masses = masses_below(nodes, transform(functions, nodes, ends).real, size)
    open_pairs = list(zip(ends[::2], ends[1::2], masses[::2], masses[1::2], strict=True))
    more: list[float] = []
    for _ in range(_HALVINGS):
        open_pairs = [pair for pair in open_pairs if pair[3] - pair[2] > _LOST and pair[1] - pair[0] > 1e-9 * (1 + abs(pair[0]))]
        if not open_pairs:
            break
        low, high, below, above = open_pairs.pop()
        middle = (low + high) / 2
        s = transform(functions, nodes, np.array([middle]))
        more.append(middle)
        if _real_gap(nodes, size, s)[0]:
            mass = float(masses_below(nodes, s.real, size)[0])
            open_pairs += [(low, middle, below, mass), (middle, high, mass, above)]
    return _with(functions, nodes, size, x, free, np.array(more)) if more else (x, free)


def _narrowed(functions, nodes: Law, size: int, low, high, right, rounds: int) -> tuple[np.ndarray, np.ndarray]:
    """Brackets of the edges, `rounds` times 8 times narrower."""
    fractions = np.arange(1, _SECTIONS + 1) / (_SECTIONS + 1)
    for _ in range(rounds):
        x = low[:, None] + (high - low)[:, None] * fractions
        free = beside(functions, nodes, size, x.ravel()).reshape(x.shape)
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
