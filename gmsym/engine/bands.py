"""Bands, gaps and the atom of the bulk, and what of them is exact.

For the nodes, which are a law of A themselves, edges and the masses of all bands are exact: with one column and one variance profile
`engine.folds` finds every gap, else `engine.brackets` does as far as a scan, the minima of the density and counted masses reach. The
nodes stand for a continuous law, and make gaps of their own where the mass is thin. Those belong to values of A between two nodes that A
takes, too, and are left out exactly (`Law.covered`, `counting.torn`), unless A has kinks in several directions; a gap counts if other nodes
see it, too. Errors of edges are what
other nodes change. Gaps on which the two sets of nodes disagree are `undecided`: the bands beside them are reported as one.

Source: theory.md 7, "Counting bands".
"""

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import numpy as np

from gmsym.engine import brackets, folds
from gmsym.engine.counting import masses_below
from gmsym.engine.folds import Gap
from gmsym.engine.nodes import Group, Law, law
from gmsym.engine.outliers import SMALLEST, edge_eigenvalues, transform
from gmsym.engine.packed import matrices, unit, unpacked
from gmsym.engine.stieltjes import Stieltjes, stieltjes
from gmsym.errors import ComputationError
from gmsym.runtime.spectral import Numbers, SpectralModule

_TINY = 1e-10  # values of A up to that are 0, in units in which A is of order one
_FLOOR = 0.02  # a smallest modulus of A that moves more than that with the nodes is not bounded away from 0
_OPEN = 0.05  # an outermost edge that moves more than that, in units of its band, is not bounded
_SAME = 0.25  # of a gap's width: further apart, two sets of nodes do not see the same gap
_FOLDED = 1e-8  # relative distance of an edge from the fold of the generated equations
_LOST = 1e-7  # mass that an accepted gap may not hold


class Bulk(NamedTuple):
    """Accepted gaps in increasing order, one more than there are bands, in the units of the nodes; an open end is a gap of no width."""

    nodes: Law
    other: Law
    gaps: list[Gap]
    errors: np.ndarray  # of the ends of the gaps, (gaps, 2)
    undecided: list[tuple[float, float]]
    atom: float
    thin: bool  # whether the bulk reaches the atom at 0 with rapidly thinning mass
    reach: tuple[float, float]  # outermost edges of the nodes, where the bulk's are open

    @property
    def width(self) -> float:
        return self.reach[1] - self.reach[0]

    @property
    def bands(self) -> list[tuple[float, float]]:
        return [(a.high, b.low) for a, b in zip(self.gaps, self.gaps[1:], strict=False)]

    @property
    def masses(self) -> np.ndarray:
        """Of the bands, counted, the atom left out; (bands,)."""
        masses = np.array([b.below - a.upto for a, b in zip(self.gaps, self.gaps[1:], strict=False)])
        if not any(gap.low < 0 < gap.high for gap in self.gaps):
            masses[[low <= 0 <= high for low, high in self.bands]] -= self.atom
        return masses


def find_bulk(module: SpectralModule, numbers: Numbers, resolution: float = 1.0, least: Sequence[int] = ()) -> Bulk:
    """Bands and atom at one state.

    Raises:
        ComputationError: no bulk was found, or a part of it was missed.
    """
    nodes = law(module, numbers, resolution, least=least)
    other = law(module, numbers, resolution, other=True, least=nodes.sizes)
    functions, size = stieltjes(module), module.SIZE
    vanishing = not abs(other.floor * other.scale / (nodes.floor * nodes.scale) - 1) < _FLOOR
    if nodes.covered is not None and other.covered is not None:
        counted, found = _exact(module, nodes, vanishing)
        atom = _atom(module, nodes) if numbers.variance.all() else counted  # a block without noise is an atom of its own
        if nodes.definite and counted > atom + _LOST:  # values up to `_TINY` are none: their mass thins out above the atom
            vanishing = True
            found = [gap._replace(upto=atom) if gap.low < 0 < gap.high else gap for gap in found]
        found = _solved(functions, nodes, found)
        ratio = other.scale / nodes.scale
        seen = [gap._replace(low=gap.low * ratio, high=gap.high * ratio) for gap in _exact(module, other, vanishing)[1]]
        bulk = _matched(nodes, other, found, seen, atom)
        thin = atom > 0 and vanishing or any(low < 0 < high for low, high in bulk.bands)
        return bulk._replace(thin=bool(atom > 0 and thin))
    return _bracketed(functions, nodes, other, size, _atom(module, nodes), vanishing)


def branches(module: SpectralModule, bulk: Bulk) -> np.ndarray:
    """Eigenvalues of D at the ends of the bands, (B, 2, m q + p), in the units of the matrix; NaN at an end without a gap beside it."""
    pairs = zip(bulk.gaps, bulk.gaps[1:], strict=False)
    ends = [end for a, b in pairs for end in ((a.high, a.s_high), (b.low, b.s_low))]
    seen = [not np.isnan(s).any() for _, s in ends]
    if not any(seen):
        return np.full((len(ends) // 2, 2, 1), np.nan)
    z, s = (np.array([end[i] for end, ok in zip(ends, seen, strict=True) if ok]) for i in (0, 1))
    values = edge_eigenvalues(module, bulk.nodes, z, s.T) * bulk.nodes.scale
    result = np.full((len(ends), values.shape[1]), np.nan)
    result[np.array(seen)] = values
    return result.reshape(-1, 2, values.shape[1])


# --- one real variable ------------------------------------------------------------------------------------------------


def _exact(module: SpectralModule, nodes: Law, vanishing: bool) -> tuple[float, list[Gap]]:
    """(atom, gaps) of the nodes, without the gaps that only they have."""
    (group,) = nodes.nodes.groups
    values, weights = np.asarray(group.variance * group.matrix[0]), np.asarray(group.weights)
    law_of_a = folds.scalar(module, values, weights, nodes.fractions, np.asarray(group.ratios), float(nodes.nodes.alpha), _TINY)
    if not len(law_of_a.values):
        raise ComputationError("the matrix vanishes at all nodes: at this state every sample is beyond the loss's kinks")
    covered = nodes.covered.copy()
    if vanishing and not ((covered[:, 0] < 0) & (covered[:, 1] > 0)).any():  # A comes close to 0
        nearest = np.unravel_index(np.abs(covered).argmin(), covered.shape)
        covered[nearest] = 0.0
    still = law_of_a.fractions[law_of_a.ratios == 0].sum()
    atom = float(still + max(0.0, 1 - still - law_of_a.alpha * law_of_a.weights.sum()))
    return (atom if atom > 1e-12 else 0.0), folds.gaps(law_of_a, covered[covered[:, 1] > covered[:, 0]])


def _solved(functions: Stieltjes, nodes: Law, gaps: list[Gap]) -> list[Gap]:
    """Gaps with their edges as folds of the generated equations.

    Raises:
        ComputationError: those are not where the gaps end.
    """
    ends = [(i, side) for i, gap in enumerate(gaps) for side, s in ((0, gap.s_low), (1, gap.s_high)) if np.isfinite(s).all()]
    if not ends:
        return gaps
    z, s = (np.array([(gaps[i].low, gaps[i].high)[side] for i, side in ends]), np.array([gaps[i][4 + side] for i, side in ends]))
    padding = -len(ends) % 4
    starts = np.concatenate([s, np.repeat(s[-1:], padding, axis=0)]).T, np.append(z, np.full(padding, z[-1]))
    folded, found, residual = (np.asarray(a)[: len(ends)] for a in functions.fold(nodes.nodes, *starts))
    result = list(gaps)
    for (i, side), s_at, at, start, rest in zip(ends, folded, found, z, residual, strict=True):
        if rest < _FOLDED and not abs(at - start) < _FOLDED * (1 + abs(start)):
            raise ComputationError(
                f"the edge at z = {start * nodes.scale:.6g} is no fold of the equations: they have one at {at * nodes.scale:.6g}"
            )
        if rest < _FOLDED:
            result[i] = result[i]._replace(**({"low": float(at), "s_low": s_at} if side == 0 else {"high": float(at), "s_high": s_at}))
    return result


def _matched(nodes: Law, other: Law, found: list[Gap], seen: list[Gap], atom: float) -> Bulk:
    """Gaps that other nodes see, too, and outermost ends that they leave in place."""
    gaps, errors, undecided = [], [], []
    for i, gap in enumerate(found):
        if i == 0:
            shift = abs(gap.high - seen[0].high)
            bounded = shift <= _OPEN * max(found[1].low - gap.high, abs(gap.high)) or nodes.definite
            gaps.append(gap if bounded else _nothing(-np.inf, 0.0, gap))
            errors.append((0.0, shift if bounded else 0.0))
        elif i == len(found) - 1:
            shift = abs(gap.low - seen[-1].low)
            bounded = shift <= _OPEN * max(gap.low - found[-2].high, abs(gap.low))
            gaps.append(gap if bounded else _nothing(np.inf, 1.0, gap))
            errors.append((shift if bounded else 0.0, 0.0))
        else:
            shifts = min(((abs(gap.low - g.low), abs(gap.high - g.high)) for g in seen[1:-1]), key=max, default=(np.inf, np.inf))
            if max(shifts) <= _SAME * (gap.high - gap.low):
                gaps.append(gap)
                errors.append(shifts)
            else:
                undecided.append((gap.low, gap.high))
    return Bulk(nodes, other, gaps, np.array(errors), undecided, atom, False, (found[0].high, found[-1].low))


def _nothing(z: float, mass: float, like: Gap) -> Gap:
    none = np.full_like(like.s_low, np.nan)
    return Gap(z, z, mass, mass, none, none)


# --- several ----------------------------------------------------------------------------------------------------------


def _bracketed(functions: Stieltjes, nodes: Law, other: Law, size: int, atom: float, vanishing: bool) -> Bulk:
    """From edges of both kinds: gaps that other nodes see at both ends; an end that they do not see is open."""
    edges = brackets.find_edges(functions, nodes, other, size)
    thin = atom > 0 and (vanishing or not nodes.definite)
    none = np.full(len(unit(size)) * len(nodes.fractions), np.nan)
    lowest = Gap(0.0, 0.0, 0.0, 0.0, none, none) if nodes.definite else Gap(-np.inf, -np.inf, 0.0, 0.0, none, none)
    highest = Gap(np.inf, np.inf, 1.0, 1.0, none, none)
    gaps, errors, undecided = [], [], []
    if not edges:
        raise ComputationError(
            f"no bulk was found on the real axis: half of the samples' A lie {_decades(nodes, size):.0f} decades and more below its root "
            "mean square, by which the axis is scanned; a smaller state is needed"
        )
    reach = (0.0 if edges[0].right else edges[0].z), edges[-1].z
    if edges and not edges[0].right:
        first = edges.pop(0)
        kept = first.stable and not (thin and nodes.definite)
        lowest = Gap(-np.inf, first.z, 0.0, 0.0, none, first.s) if kept else lowest
        errors.append((0.0, first.error if kept else 0.0))
    else:
        errors.append((0.0, 0.0))
    last = edges.pop() if edges and edges[-1].right else None
    if last is not None and last.stable:
        highest = Gap(last.z, np.inf, 1.0, 1.0, last.s, none)
    inner = [Gap(upper.z, lower.z, np.nan, np.nan, upper.s, lower.s) for upper, lower in zip(edges[::2], edges[1::2], strict=True)]
    for gap, upper, lower in zip(inner, edges[::2], edges[1::2], strict=True):
        if thin and gap.low < 0 < gap.high:
            continue
        if upper.stable and lower.stable:
            gaps.append(gap)
            errors.append((upper.error, lower.error))
        else:
            undecided.append((gap.low, gap.high))
    errors.append((last.error if last is not None and last.stable else 0.0, 0.0))
    gaps = _weighed(functions, nodes, size, atom, [lowest, *gaps, highest])
    return Bulk(nodes, other, gaps, np.array(errors), undecided, atom, bool(thin), reach)


def _decades(nodes: Law, size: int) -> float:
    """By how many the weighted median of |c A| is below its root mean square, the unit."""
    sizes = np.concatenate([np.linalg.norm(unpacked(np.asarray(g.variance * g.matrix), size), axis=(0, 1)) for g in nodes.nodes.groups])
    weights = np.concatenate([np.asarray(group.weights) for group in nodes.nodes.groups])
    order = np.argsort(sizes)
    median = sizes[order][np.searchsorted(np.cumsum(weights[order]), weights.sum() / 2)]
    return float(-np.log10(max(median, np.finfo(float).tiny)))


def _weighed(functions: Stieltjes, nodes: Law, size: int, atom: float, gaps: list[Gap]) -> list[Gap]:
    """Gaps with the masses below their ends; one that holds a band is an error."""
    places = [(i, z) for i, gap in enumerate(gaps[1:-1], 1) for z in _within(gap)]
    if atom > 0 and gaps[0].low < 0 < gaps[0].high:
        gaps[0] = gaps[0]._replace(upto=atom)
    if gaps[-1].low < 0 < gaps[-1].high:
        gaps[-1] = gaps[-1]._replace(below=1 - atom)
    if not places:
        return gaps
    masses = masses_below(nodes, transform(functions, nodes, np.array([z for _, z in places])).real, size)
    for (i, _), (below, upto) in zip(places[::2], masses.reshape(-1, 2), strict=True):
        gap = gaps[i]
        if abs(upto - below - (atom if gap.low < 0 < gap.high else 0)) > _LOST:
            raise ComputationError(
                f"between z = {gap.low * nodes.scale:.6g} and {gap.high * nodes.scale:.6g} lies mass {upto - below:.3g} that was not found"
            )
        gaps[i] = gap._replace(below=float(below), upto=float(upto))
    return gaps


def _within(gap: Gap) -> tuple[float, float]:
    """A point near each end, on that end's side of 0."""
    low, high = (0.98 * gap.low + 0.02 * gap.high, 0.02 * gap.low + 0.98 * gap.high)
    return (min(low, gap.low / 2), max(high, gap.high / 2)) if gap.low < 0 < gap.high else (low, high)


def _atom(module: SpectralModule, nodes: Law) -> float:
    """Mass at 0: by the rank of A where the module says so, else by the rank that the limit of -z tr S/m tells."""
    size, count = module.SIZE, len(nodes.fractions) * len(unit(module.SIZE))
    s = np.zeros((count, 1)) if module.ATOM_BY_RANK else transform(stieltjes(module), nodes, np.zeros(1))
    full = matrices(s.reshape(len(nodes.fractions), -1, 1), size, 1)
    ranks = np.array([_mean_rank(group, size, range(size)) for group in nodes.nodes.groups])
    one, z = np.ones(len(ranks)), np.full(1, 1j * SMALLEST)
    mass = float(np.ravel(module.atom(nodes.nodes.alpha, one, ranks, nodes.fractions, z, full))[0])
    if not module.ATOM_BY_RANK:
        mass = min(_by_rank(nodes, size), key=lambda candidate: abs(candidate - mass), default=mass)
    return mass if mass > 1e-12 else 0.0


def _by_rank(nodes: Law, size: int) -> list[float]:
    """Masses that samples may leave empty: where they fill the coordinates U of R^m, their rank beside U is what they add."""
    alpha, found = float(nodes.nodes.alpha), [0.0]
    for full in product((False, True), repeat=size) if size <= 4 else [(False,) * size]:
        beside = np.flatnonzero(~np.array(full))
        total = size - len(beside) + alpha * sum(_mean_rank(group, size, beside) for group in nodes.nodes.groups)
        found += [1 - total / size] if total < size else []
    return found


def _mean_rank(group: Group, size: int, rows: Sequence[int]) -> float:
    """Of some rows of A over the nodes of a group; samples without noise add nothing."""
    if not len(rows):
        return 0.0
    A = np.moveaxis(unpacked(np.asarray(group.matrix), size), -1, 0)[:, np.asarray(rows)]
    ranks = np.linalg.matrix_rank(A, tol=_TINY)
    return float(np.sum(np.asarray(group.weights) * (np.asarray(group.variance) > 0) * ranks))
