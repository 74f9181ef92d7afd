"""Fixed nodes for the law of a Hessian or information matrix: its samples' A, and their coordinates in the span of the given vectors.

The vectors are Theta, the means and the teacher directions; with several blocks of coordinates, each one's part in each block. Given the
fields that A depends on, the remaining coordinates of a sample are Gaussian with a known mean, so nodes in those fields are enough for
the bulk and for the outliers alike. Source: theory.md 6 (trapezoid rule) and 7; verified/effective.md 3.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

import jax
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from gmsym.engine.packed import unpacked
from gmsym.errors import ComputationError
from gmsym.runtime import points
from gmsym.runtime.spectral import Numbers, SpectralModule

_STEPS = {1: 0.36, 2: 0.5, 3: 0.72}  # of the trapezoid rule, in standard deviations, for fields of deviation up to 1
_REACH = {1: 7.5, 2: 7.0, 3: 6.0}
_PRUNED = 1e-11  # nodes whose weight is that much below the largest are left out
_PRUNED_OTHER = 1e-13  # of other nodes, which reach further
_SOBOL, _SOBOL_MANY, _SOBOL_ROUGH = 2**14, 2**13, 2**15  # of all clusters: in four dimensions, in more, with kinks in several directions
_FEWEST = 2**9  # of a cluster
# Gauss-Legendre nodes of a panel between kinks, and its longest extent, in that many dimensions, or in both of the plane
_PANEL = {1: (20, 1.5), 2: (16, 2.5), 3: (12, 3.0), "plane": (12, 2.5)}
_BROAD = 3  # deviation of a field up to which a plane's panels have that extent
_RANK = 1e-10  # of Gram matrices, relative to their trace
_AFFINE = 1e-9  # relative distance of a locus from an affine function
_ANGLES = 180
_MOST = 2**18
_PADDING = 32  # node counts are rounded up to multiples of at least that, so that compiled functions are reused


class Group(NamedTuple):
    """Nodes (N, padded with weight 0) of clusters whose variances are proportional: sigma2_kb = c_k r_b, with sum_b rho_b r_b = 1."""

    denominator: Float[Array, "f N"]  # c_k^degree minor
    numerator: Float[Array, "f N"]  # c_k^(degree - 1) minor
    first: Float[Array, "f N"]  # weight c_k numerator: E X
    second: Float[Array, "ff N"]  # weight c_k^2 numerator_f numerator_g, f <= g: E X kron X
    matrix: Float[Array, "r N"]  # A
    weights: Float[Array, " N"]
    outer: Float[Array, "N qq"]  # weight E[Yhat Yhat^T | node], flattened
    mean: Float[Array, "N q"]  # weight E[Yhat | node]
    variance: Float[Array, " N"]  # c_k
    mixed: Float[Array, "mp N"]
    corner: Float[Array, "pp N"]
    ratios: Float[Array, " b"]  # r_b


class Nodes(NamedTuple):
    """What compiled functions take."""

    groups: tuple[Group, ...]
    fractions: Float[Array, " b"]  # rho_b
    alpha: Float[Array, ""]


class Law(NamedTuple):
    """All nodes, in units in which A is of order one: z of the original matrix is `scale` times z here."""

    nodes: Nodes
    fractions: np.ndarray  # rho_b, (B,)
    centres: np.ndarray  # eigenvalues of sum_k p_k sigma2_kb E A, around which the bulk is for large alpha, (B m,)
    scale: float
    definite: bool  # whether A is positive semidefinite at all nodes
    floor: float  # smallest modulus of an eigenvalue of A that does not vanish identically
    refinable: bool  # whether a higher resolution has more nodes
    # Intervals of c A, (I, 2), in which it takes all values: what a continuous A does between its kinks; None where that is not known.
    covered: np.ndarray | None
    # Number of the cluster and region between kinks of each node of each group, -1 for padding; None where it is not known.
    pieces: tuple[np.ndarray, ...] | None

    @property
    def sizes(self) -> tuple[int, ...]:
        """Nodes of each group."""
        return tuple(len(group.weights) for group in self.nodes.groups)


class _Cluster(NamedTuple):
    """Embedded of a cluster's samples in an orthonormal basis of the vectors' parts, and its nodes."""

    mean: np.ndarray  # E[Yhat | node], (q, N)
    rest: np.ndarray  # Cov[Yhat | node], (q, q)
    fields: np.ndarray  # u, (F, N)
    weights: np.ndarray  # (N,), summing to p_k
    labels: np.ndarray  # (L, N)
    variance: np.ndarray  # sigma2_kb, (B,)
    refinable: bool
    piece: np.ndarray | None  # number of the region between kinks in which each node is, (N,)


def law(module: SpectralModule, numbers: Numbers, resolution: float = 1.0, other: bool = False, least: Sequence[int] = ()) -> Law:
    """The nodes of all clusters, in each group as many as needed or as `least` says; `other` ones (fewer, reaching further) tell how
    much depends on the choice.

    Raises:
        ComputationError: A is not finite at a node; or the fields are so large that the nodes would be too many.
    """
    roots = [_root(gram) for gram in numbers.grams]
    clusters = [_cluster(module, numbers, roots, k, resolution, other) for k in range(len(numbers.probabilities))]
    members = _grouped(numbers)
    groups = [
        _group(module, numbers, [clusters[k] for k in group], ratios, least[g] if least else 0) for g, (group, ratios) in enumerate(members)
    ]
    size = module.SIZE
    full = [unpacked(group.matrix, size) for group in groups]
    square = sum(np.sum(group.weights * group.variance**2 * (A**2).sum((0, 1))) for group, A in zip(groups, full, strict=True))
    scale = float(np.sqrt(square / size))
    if not scale > 0:
        raise ComputationError("the matrix vanishes at all nodes: at this state every sample is beyond the loss's kinks")
    A = np.concatenate(full, axis=-1)
    eigenvalues = A[0] if size == 1 else np.linalg.eigvalsh(np.moveaxis(A, -1, 0)).T  # (m, N)
    sizes = np.sort(np.abs(eigenvalues), axis=0)[size - module.RANK]
    drifts = [(group.weights * group.variance * A).sum(-1) for group, A in zip(groups, full, strict=True)]
    centres = [sum(group.ratios[b] * drift for group, drift in zip(groups, drifts, strict=True)) for b in range(len(numbers.fractions))]
    return Law(
        nodes=jax.device_put(Nodes(tuple(_scaled(module, g, scale) for g in groups), numbers.fractions, np.float64(numbers.alpha))),
        fractions=numbers.fractions,
        centres=np.linalg.eigvalsh(np.stack(centres)).ravel() / scale,
        scale=scale,
        definite=bool((eigenvalues[0] >= -1e-12 * scale).all()),
        floor=float(sizes[sizes > 1e-12 * scale].min(initial=scale)) / scale,
        refinable=any(cluster.refinable for cluster in clusters),
        covered=_covered([clusters[k] for k in members[0][0]], groups[0], scale) if size == 1 and len(groups) == 1 else None,
        pieces=_pieces(clusters, [group for group, _ in members], [len(group.weights) for group in groups]),
    )


def _pieces(clusters: Sequence[_Cluster], members: Sequence[list[int]], sizes: Sequence[int]) -> tuple[np.ndarray, ...] | None:
    found = []
    for group, size in zip(members, sizes, strict=True):
        own = [clusters[k].piece for k in group]
        if any(piece is None for piece in own):
            return None
        starts = np.cumsum([0, *(piece.max() + 1 for piece in own)])
        joined = np.concatenate([piece + start for piece, start in zip(own, starts, strict=False)])
        found.append(np.concatenate([joined, np.full(size - len(joined), -1)]))
    return tuple(found)


def _covered(clusters: Sequence[_Cluster], group: Group, scale: float) -> np.ndarray | None:
    """Intervals between the smallest and the largest c A of each cluster in each region, joined where they overlap."""
    values, ranges, start = group.variance * group.matrix[0] / scale, [], 0
    for cluster in clusters:
        own, start = values[start : start + len(cluster.weights)], start + len(cluster.weights)
        if cluster.piece is None:
            return None
        parts = [own[cluster.piece == piece] for piece in np.unique(cluster.piece)]
        ranges += [(part.min(), part.max()) for part in parts]
    joined: list[list[float]] = []
    for low, high in sorted(ranges):
        if joined and low <= joined[-1][1]:
            joined[-1][1] = max(joined[-1][1], high)
        else:
            joined.append([low, high])
    return np.array(joined)


def _root(gram: np.ndarray) -> np.ndarray:
    """Embedded (rank, vectors) of vectors with that Gram matrix in an orthonormal basis of their span."""
    values, vectors = np.linalg.eigh(gram)
    kept = values > _RANK * max(np.trace(gram), np.finfo(float).tiny)
    return np.sqrt(values[kept])[:, None] * vectors[:, kept].T


def _grouped(numbers: Numbers) -> list[tuple[list[int], np.ndarray]]:
    """(clusters, r_b) of each group of clusters with proportional variances; one block makes one group."""
    found: list[tuple[list[int], np.ndarray]] = []
    for k, variance in enumerate(numbers.variance):
        mean = variance @ numbers.fractions
        ratios = variance / mean if mean > 0 and len(variance) > 1 else np.ones(len(variance))
        for group, own in found:
            if np.allclose(ratios, own, rtol=1e-12, atol=0):
                group.append(k)
                break
        else:
            found.append(([k], ratios))
    return found


def _cluster(module: SpectralModule, numbers: Numbers, roots: Sequence[np.ndarray], k: int, resolution: float, other: bool) -> _Cluster:
    columns, clusters = len(module.COLUMNS), len(numbers.probabilities)
    vectors = np.concatenate(roots)  # (q, C + K + T)
    seen = np.concatenate([vectors[:, :columns], vectors[:, columns + clusters :]], axis=1)  # of Theta and the teacher
    seen = seen @ np.asarray(module.DIRECTIONS, dtype=float).reshape(seen.shape[1], -1)  # of the fields u
    mean, label = vectors[:, columns + k], numbers.labels[k]
    deviations = np.sqrt(np.repeat(numbers.variance[k], [len(root) for root in roots]))  # of the noise's coordinates
    noise = deviations[:, None] * seen
    values, axes = np.linalg.eigh(noise.T @ noise)
    kept = values > _RANK * max(((deviations[:, None] * vectors) ** 2).sum(), np.finfo(float).tiny)
    root = axes[:, kept] * np.sqrt(values[kept])  # u = mean + root xi
    along = deviations[:, None] * (noise @ (axes[:, kept] / np.sqrt(values[kept])))  # E[noise | xi] = along xi
    centre = seen.T @ mean

    def kinks(xi: np.ndarray) -> np.ndarray:
        return np.asarray(module.kinks(centre[:, None] + root @ xi, label, numbers.parameters))

    probability = numbers.probabilities[k]
    xi, weights, refinable, piece = _rule(root, kinks if module.KINKS else None, module.KINK_FORM, probability, resolution, other)
    return _Cluster(
        mean=mean[:, None] + along @ xi,
        rest=np.diag(deviations**2) - along @ along.T,
        fields=centre[:, None] + root @ xi,
        weights=probability * weights,
        labels=np.repeat(label[:, None], len(weights), axis=1),
        variance=numbers.variance[k],
        refinable=refinable,
        piece=piece,
    )


def _group(module: SpectralModule, numbers: Numbers, clusters: Sequence[_Cluster], ratios: np.ndarray, least: int) -> Group:
    """The nodes of a group in the original units, its minors still to be multiplied by powers of the variance."""
    count = sum(len(cluster.weights) for cluster in clusters)
    padding = max(-count % max(_PADDING, 2 ** (count.bit_length() - 3)), least - count)

    def joined(arrays: list[np.ndarray]) -> np.ndarray:
        whole = np.concatenate(arrays, axis=-1)
        return np.concatenate([whole, np.repeat(whole[..., -1:], padding, axis=-1)], axis=-1)

    fields, labels, mean, weights = (joined([getattr(c, name) for c in clusters]) for name in ("fields", "labels", "mean", "weights"))
    variance = joined([np.full(len(c.weights), c.variance @ numbers.fractions) for c in clusters])
    rest = joined([np.broadcast_to(c.rest[..., None], (*c.rest.shape, len(c.weights))) for c in clusters])
    weights[count:] = 0
    a, mixed, corner, minors = (np.asarray(x) for x in _evaluated(module)(fields, labels, numbers.parameters))
    for array in (a, mixed, corner):
        if not np.isfinite(array).all():
            raise ComputationError(f"the matrix is not finite at the fields {fields[:, ~np.isfinite(array).all(0)][:, 0]}")
    outer = weights * (mean[:, None] * mean[None, :] + rest)
    return Group(
        denominator=minors,
        numerator=minors,
        first=minors,
        second=minors,
        matrix=a,
        weights=weights,
        outer=outer.reshape(len(mean) ** 2, -1).T,
        mean=(weights * mean).T,
        variance=variance,
        mixed=mixed,
        corner=corner,
        ratios=ratios,
    )


def _scaled(module: SpectralModule, group: Group, scale: float) -> Group:
    """With A in units of `scale`, and the minors multiplied by powers of the variance and by the weights."""
    degrees = np.asarray(module.DEGREES, dtype=int)[:, None]
    minors = group.denominator / scale**degrees
    numerator = group.variance ** (degrees - 1) * minors
    first, second = np.triu_indices(len(degrees))
    return group._replace(
        denominator=group.variance * numerator,
        numerator=numerator,
        first=group.weights * group.variance * numerator,
        second=group.weights * group.variance**2 * numerator[first] * numerator[second],
        matrix=group.matrix / scale,
        mixed=group.mixed / scale,
        corner=group.corner / scale,
    )


@lru_cache(maxsize=32)
def _evaluated(module: SpectralModule) -> Callable[..., tuple[Array, Array, Array, Array]]:
    """Compiled function (fields (F, N), labels (L, N), parameters) -> A, its extension, and its minors."""

    @jax.jit
    def evaluated(fields: Array, labels: Array, parameters: tuple[ArrayLike, ...]) -> tuple[Array, Array, Array, Array]:
        a = module.matrix(fields, labels, parameters)
        return a, module.mixed(fields, labels, parameters), module.corner(fields, labels, parameters), module.minors(a)

    return evaluated


# --- rules ------------------------------------------------------------------------------------------------------------

Kinks = Callable[[np.ndarray], np.ndarray]  # (r, N) -> (loci, N)


def _rule(
    root: np.ndarray, kinks: Kinks | None, kink_form: tuple[float, ...], probability: float, resolution: float, other: bool
) -> tuple[np.ndarray, np.ndarray, bool, np.ndarray | None]:
    """Nodes (r, N) and weights (N,) of N(0, I) for fields `root` xi, (F, r), whether a higher resolution has more of them, and the
    region between kinks in which each of them is, None where that is not known.

    Kinks that are seen in one direction of the fields only, `kink_form`, are the ends of panels along it; kinks on lines in the plane
    are the ends of panels in one coordinate, given the other.
    """
    dimensions = root.shape[1]
    if dimensions == 0:
        return np.zeros((0, 1)), np.ones(1), False, np.zeros(1, dtype=int)
    direction = root.T @ np.asarray(kink_form) if kink_form else np.ones(dimensions)
    along = kinks is not None and bool(kink_form or dimensions == 1) and np.linalg.norm(direction) > _RANK * np.linalg.norm(root)
    rough = kinks is not None and not kink_form and dimensions > 1
    lines = _lines(kinks) if kinks is not None and rough and dimensions == 2 else None
    if lines is not None:
        xi, weights, region = _between_lines(lines, root, resolution, other)
        kept = weights > (_PRUNED_OTHER if other else _PRUNED) * weights.max()
        return xi[:, kept], weights[kept] / weights[kept].sum(), True, region[kept]
    if rough or dimensions > max(_STEPS):
        wanted = (_SOBOL_ROUGH if rough else _SOBOL if dimensions == 4 else _SOBOL_MANY) * probability
        count = max(_FEWEST, 2 ** round(np.log2(wanted)))
        piece = None if rough else np.zeros(count, dtype=int)
        return points.whitened_sobol(count, dimensions, seed=int(other)), np.full(count, 1 / count), False, piece
    basis = _split(direction, root) if along and dimensions > 1 else np.eye(dimensions)
    deviations = np.linalg.norm(root @ basis, axis=0)
    axes = [_trapezoid(deviation, dimensions, resolution, other) for deviation in deviations]
    region = np.zeros(len(axes[0][0]), dtype=int)
    if along and kinks is not None:
        *axis, region = _panels(deviations[0], dimensions, lambda xi: kinks(basis[:, :1] * xi), resolution, other)
        axes[0] = axis[0], axis[1]
    if np.prod([float(len(nodes)) for nodes, _ in axes]) > _MOST:
        raise ComputationError(
            f"fields of standard deviations {np.round(deviations, 2).tolist()} need more than {_MOST} nodes; take a smaller state"
        )
    grid, parts = (np.stack([g.ravel() for g in np.meshgrid(*(axis[i] for axis in axes), indexing="ij")]) for i in (0, 1))
    weights = parts.prod(0)
    least = (_PRUNED_OTHER if other else _PRUNED) * weights.max()
    kept = weights > (least if dimensions > 1 or not along else 0)
    piece = np.repeat(region, len(weights) // len(region))
    return basis @ grid[:, kept], weights[kept] / weights[kept].sum(), True, piece[kept]


def _split(direction: np.ndarray, root: np.ndarray) -> np.ndarray:
    """Orthonormal columns: the direction, then the principal axes of the fields orthogonal to it."""
    first = direction / np.linalg.norm(direction)
    others = np.linalg.svd(first[None])[2][1:].T
    return np.column_stack([first, others @ np.linalg.svd(root @ others)[2].T])


def _trapezoid(deviation: float, dimensions: int, resolution: float, other: bool) -> tuple[np.ndarray, np.ndarray]:
    reach = _REACH[dimensions] + (0.6 if other else 0)
    step = _STEPS[dimensions] * (1.17 if other else 1) / max(1.0, deviation) / resolution
    half = reach - step / 2 if other else reach
    count = 2 * int(np.ceil(half / step)) + (0 if other else 1)
    xi = np.linspace(-half, half, max(count, 2))
    return xi, np.exp(-(xi**2) / 2)


def _panels(deviation: float, dimensions: int, kinks: Kinks, resolution: float, other: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gauss-Legendre panels that end at the kinks of a function of one variable, and between which kinks each node is."""
    reach, panel = _panel(deviation, dimensions, resolution, other)
    kinked = _zeros(kinks, reach)
    xi, weights = _paneled(kinked, reach, panel)
    return xi, weights, np.searchsorted(np.sort(kinked), xi)


def _panel(deviation: float, kind: int | str, resolution: float, other: bool) -> tuple[float, tuple[int, float]]:
    """(reach, (Gauss-Legendre nodes of a panel, its longest extent))."""
    count, extent = _PANEL[kind]
    longest = extent / max(1.0, deviation) / resolution * (1.25 if other else 1)
    return _REACH[1] + (0.6 if other else 0), (count, longest)


def _paneled(kinked: np.ndarray, reach: float, panel: tuple[int, float]) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights (N,) for exp(-xi^2/2) in panels of at most the given extent between the kinks within reach."""
    count, longest = panel
    ends = np.unique(np.concatenate([[-reach, reach], kinked[np.abs(kinked) < reach]]))
    ends = np.concatenate([np.linspace(a, b, int(np.ceil((b - a) / longest)) + 1)[:-1] for a, b in zip(ends, ends[1:], strict=False)])
    ends = np.append(ends, reach)
    nodes, weights = np.polynomial.legendre.leggauss(count)
    half = np.diff(ends) / 2
    xi = ((ends[:-1] + ends[1:]) / 2 + half * nodes[:, None]).ravel()
    return xi, (half * weights[:, None]).ravel() * np.exp(-(xi**2) / 2)


def _lines(kinks: Kinks) -> np.ndarray | None:
    """(normal, constant) of the lines n . xi + c = 0 in the plane on which the loci vanish, (loci, 3); None where one is no line."""
    corners = np.array([[0.0, 1, 0, 2, -3, 1.5], [0, 0, 1, -1, 0.5, 2.5]])
    values = kinks(corners)
    lines = np.column_stack([values[:, 1] - values[:, 0], values[:, 2] - values[:, 0], values[:, 0]])
    size = np.abs(values).max(1, keepdims=True)
    affine = np.abs(lines[:, :2] @ corners + lines[:, 2:] - values) <= _AFFINE * size
    lines = lines[np.linalg.norm(lines[:, :2], axis=1) > _AFFINE * size[:, 0]]
    return lines / np.linalg.norm(lines[:, :2], axis=1, keepdims=True) if affine.all() else None


def _between_lines(lines: np.ndarray, root: np.ndarray, resolution: float, other: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Nodes (2, N) and weights (N,) of the plane in panels between lines, and the number of the region in which each node is.

    Panels lie along the direction that is farthest from all lines, given the other coordinate, whose own panels end where lines meet.
    """
    angles = np.linspace(0, np.pi, _ANGLES, endpoint=False)
    turns = np.stack([-np.sin(angles), np.cos(angles)])
    along = turns[:, np.abs(lines[:, :2] @ turns).min(0).argmax()] if len(lines) else np.array([0.0, 1.0])
    basis = np.array([[along[1], along[0]], [-along[0], along[1]]])  # columns: what is given, and along
    first, second = np.linalg.norm(root @ basis, axis=0)
    normals = lines[:, :2] @ basis
    slope, start = -normals[:, 0] / normals[:, 1], -lines[:, 2] / normals[:, 1]  # of a line in the second coordinate
    i, j = np.triu_indices(len(lines), 1)
    apart = np.abs(slope[i] - slope[j]) > _AFFINE
    meetings = (start[j] - start[i])[apart] / (slope[i] - slope[j])[apart]
    panels = [_panel(deviation / _BROAD, "plane", resolution, other) for deviation in (first, second)]
    x, weights = _paneled(meetings, *panels[0])
    inner = [_paneled(start + slope * at, *panels[1]) for at in x]
    counts = [len(y) for y, _ in inner]
    xi = basis @ np.stack([np.repeat(x, counts), np.concatenate([y for y, _ in inner])])
    weights = np.repeat(weights, counts) * np.concatenate([own for _, own in inner])
    sides = lines[:, :2] @ xi + lines[:, 2:] > 0
    return xi, weights, np.unique(sides, axis=1, return_inverse=True)[1].ravel()


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
