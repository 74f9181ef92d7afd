"""Outliers of a Hessian or information matrix: counted exactly, then located. Source: theory.md 7 (7.2), verified/effective.md 4.

Between bands of the bulk every eigenvalue of D(z) = z I - Q(z) increases with slope at least 1, so the number of outliers in (z1, z2)
is the number of eigenvalues that turn from negative to positive; none can be missed, and each has one root. All in the units of the law.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Inexact

from gmsym.engine import packed
from gmsym.engine.nodes import Group, Law, Nodes
from gmsym.engine.stieltjes import FALL, SLOWLY, Stieltjes, stieltjes
from gmsym.errors import ComputationError
from gmsym.runtime.spectral import SpectralModule

SMALLEST = 1e-10  # imaginary part of z where real z outside the bulk is meant
_BATCH, _MANY = 8, 100
_MARGIN = 1e-7  # from the edges, in units of the bulk's width
_TOLERANCE, _ROUNDS = 1e-10, 100


class Outliers(NamedTuple):
    """Outliers in increasing order, (O,)."""

    z: np.ndarray
    error: np.ndarray  # change under other nodes
    overlap: np.ndarray  # squared projection of the eigenvector on R^m kron the given vectors' span, trained parameters included
    overlap_error: np.ndarray
    trained: np.ndarray  # the part of it in the trained parameters


def transform(functions: Stieltjes, law: Law, x: np.ndarray, smallest: float = SMALLEST) -> np.ndarray:
    """S at x + i smallest, (B R, P); see `solved`."""
    return solved(functions, law, x, smallest)[0]


def solved(functions: Stieltjes, law: Law, x: np.ndarray, smallest: float = SMALLEST) -> tuple[np.ndarray, np.ndarray]:
    """S at x + i smallest, (B R, P), and its residuals (P,): where one fall of Im z fails, by a slower one.

    Raises:
        ComputationError: Newton's method did not converge at some point.
    """
    x = np.atleast_1d(np.asarray(x, dtype=float))
    s, residual, left = np.empty((0, 0)), np.full(len(x), np.inf), np.arange(len(x))
    for fall in (FALL, SLOWLY):
        some, own = _in_batches(lambda part, fall=fall: functions.transform(law.nodes, part, smallest, fall), x[left])
        s = some if len(left) == len(x) else s
        s[:, left], residual[left] = some, own
        left = np.flatnonzero(~(residual < 1e-10 * np.maximum(1.0, 1e-6 * np.abs(s).max(0))))  # at an atom S grows like 1/z: rounding
        if not len(left):
            return s, residual
    worst = left[np.argmax(residual[left])]
    raise ComputationError(f"the Stieltjes transform did not converge at z = {x[worst] * law.scale:.6g}: residual {residual[worst]:.2g}")


def _in_batches(function: Callable[[np.ndarray], tuple[Array, Array]], x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both values of the function at all points, the last axis; points go in batches of two shapes, so that little is compiled."""
    batch = _BATCH if len(x) <= 4 * _BATCH else _MANY
    padded = np.concatenate([x, np.full(-len(x) % batch, x[-1])])
    parts = [function(padded[i : i + batch]) for i in range(0, len(padded), batch)]
    first, second = (np.concatenate([np.asarray(part[i]) for part in parts], axis=-1)[..., : len(x)] for i in (0, 1))
    return first, second


def compressed(module: SpectralModule, law: Law, s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Q(z) and Q'(z) at points where S is real, each (P, m q + p, m q + p); s (B R, P)."""
    q, slope = _compress(module)(law.nodes, _padded(s))
    return _points_first(q, s.shape[1]), _points_first(slope, s.shape[1])


def branches(module: SpectralModule, z: np.ndarray, q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues of D(z), (P, m q + p), in increasing order, and their vectors."""
    secular, _ = _outlier_equations(module)
    return np.linalg.eigh(_points_first(secular(_padded(z), _padded(np.moveaxis(q, 0, -1))), len(z)))


def overlaps(module: SpectralModule, v: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """1/(v^T D'(z) v) of vectors (P, m q + p): the overlap of an outlier at its place, the inverse rate of its branch elsewhere."""
    _, overlap = _outlier_equations(module)
    return np.asarray(overlap(_padded(np.moveaxis(slope, 0, -1)), _padded(v.T)))[: len(v)]


def _padded(points: np.ndarray) -> np.ndarray:
    """With the last point repeated up to a multiple of the batch, so that little is compiled."""
    return np.concatenate([points, np.repeat(points[..., -1:], -points.shape[-1] % _BATCH, axis=-1)], axis=-1)


def _points_first(array: Array, count: int) -> np.ndarray:
    return np.moveaxis(np.asarray(array), -1, 0)[:count]


@lru_cache(maxsize=32)
def _outlier_equations(module: SpectralModule) -> tuple[Callable[..., Array], Callable[..., Array]]:
    return jax.jit(module.secular), jax.jit(lambda slope, w: jnp.broadcast_to(module.overlap(slope, w), w.shape[1:]))


@lru_cache(maxsize=32)
def _compress(module: SpectralModule) -> Callable[[Nodes, Array], tuple[Array, Array]]:
    functions, size, extra = stieltjes(module), module.SIZE, module.TRAINED

    def of_group(nodes: Nodes, group: Group, s: Array, slope: Array) -> tuple[Array, Array]:
        """E[K^T X K] and its derivative, K = diag(I kron Yhat, I), over the nodes of a group."""
        form, form_slope = (
            packed.matrices(getattr(functions, of)(nodes, group, v), size)[..., None, :] * group.variance[:, None]
            for of, v in (("form", s), ("form_slope", slope))
        )  # ([m, m,] N, P)
        A = packed.matrices(group.matrix, size)[..., None]
        X = jnp.broadcast_to(module.share(form, A), form.shape)
        if not extra:
            return _assembled(group, X, size), _assembled(group, module.share_slope(form_slope, X), size)
        whole = _extended(group, size, extra)[..., None]
        given = whole, whole[:, :size], whole[:size]
        value, derivative = module.extended(form, A, *given), module.extended_slope(form, form_slope, A, *given, X)
        return _assembled(group, value, size), _assembled(group, derivative, size)

    @jax.jit
    def compress(nodes: Nodes, s: Float[Array, "br p"]) -> tuple[Array, Array]:
        slope = functions.slope(nodes, s)
        values, derivatives = zip(*(of_group(nodes, group, s, slope) for group in nodes.groups), strict=True)
        one = jnp.ones(len(nodes.groups))
        return module.compressed(one, jnp.stack(values)), module.compressed_slope(one, jnp.stack(derivatives))

    return compress


def _extended(group: Group, size: int, extra: int) -> Array:
    """The matrix of each node with the trained parameters, (m + p, m + p, N)."""
    A = group.matrix[packed.positions(size)]
    mixed = group.mixed.reshape(size, extra, -1)
    corner = group.corner[packed.positions(extra)]
    return jnp.concatenate([jnp.concatenate([A, mixed], axis=1), jnp.concatenate([jnp.swapaxes(mixed, 0, 1), corner], axis=1)], axis=0)


def _assembled(group: Group, X: Inexact[Array, "*e N p"], size: int) -> Array:
    """E[K^T X K] for X at each node, (m q + p, m q + p, P)."""
    X = X.reshape(*(X.shape[:2] if X.ndim > 2 else (1, 1)), *X.shape[-2:])
    count, points, nodes = group.mean.shape[1], X.shape[-1], X.shape[-2]
    inner = jnp.moveaxis(X[:size, :size], 2, -1).reshape(-1, nodes)  # over the rows of Theta
    top = (inner @ group.outer).reshape(size, size, points, count, count)
    top = top.transpose(0, 3, 1, 4, 2).reshape(size * count, size * count, points)
    side = jnp.einsum("ajNp,Nc->acjp", X[:size, size:], group.mean).reshape(size * count, -1, points)
    low = jnp.einsum("ijNp,N->ijp", X[size:, size:], group.weights)
    return jnp.concatenate([jnp.concatenate([top, side], axis=1), jnp.concatenate([jnp.swapaxes(side, 0, 1), low], axis=1)], axis=0)


def edge_eigenvalues(module: SpectralModule, law: Law, z: np.ndarray, s: np.ndarray) -> np.ndarray:
    """Eigenvalues of D at edges z with S there, s (B R, edges): (edges, m q + p), in increasing order.

    An outlier leaves or joins the bulk at an edge where one of them changes its sign.
    """
    q, _ = compressed(module, law, s)
    return branches(module, z, q)[0]


def find(module: SpectralModule, law: Law, other: Law, gaps: list[tuple[float, float]], width: float) -> Outliers:
    """Outliers in the given gaps; an outermost gap ends at -inf or inf.

    Cost: about 10 evaluations of S and Q at as many points as there are outliers.

    Raises:
        ComputationError: a root was not located.
    """
    functions = stieltjes(module)

    def at(nodes: Law, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return compressed(module, nodes, transform(functions, nodes, z).real)

    none = Outliers(*(np.zeros(0) for _ in range(5)))
    gaps = [(a + margin, b - margin) for a, b in gaps for margin in [min(_MARGIN * width, 0.01 * (b - a))]]
    ends = [end for gap in gaps for end in gap if np.isfinite(end)]
    if not ends:
        return none
    q, _ = at(law, np.array(ends))
    at_end = dict(zip(ends, branches(module, np.array(ends), q)[0], strict=True))
    low, high, index = [], [], []
    for a, b in gaps:
        first = int((at_end[b] < 0).sum()) if b in at_end else 0
        last = int((at_end[a] < 0).sum()) if a in at_end else q.shape[1]
        for k in range(first, last):  # the slope of at least 1 bounds the way from either end to the root
            low.append(max(a, b - at_end[b][k]) if b in at_end else a)
            high.append(min(b, a - at_end[a][k]) if a in at_end else b)
            index.append(k)
    if not index:
        return none
    low, high, index = np.array(low), np.array(high), np.array(index, dtype=int)
    roots, every = (low + high) / 2, np.arange(len(index))
    for _ in range(_ROUNDS):
        q, slope = at(law, roots)
        values, vectors = branches(module, roots, q)
        v = vectors[every, :, index]
        value, overlap = values[every, index], overlaps(module, v, slope)
        low, high = np.where(value > 0, low, roots), np.where(value > 0, roots, high)
        new = roots - value * overlap
        new = np.where((new > low) & (new < high), new, (low + high) / 2)
        done = np.abs(new - roots) <= _TOLERANCE * (width + np.abs(roots))
        if done.all():
            break
        roots = new
    else:
        raise ComputationError(f"an outlier near z = {roots[~done][0] * law.scale:.6g} was not located to {_TOLERANCE:g}")
    ratio = other.scale / law.scale
    q_other, slope_other = at(other, roots / ratio)
    shift = np.einsum("oi,oij,oj->o", v, q_other * ratio - q, v) * overlap
    trained = (v[:, v.shape[1] - module.TRAINED :] ** 2).sum(1) * overlap
    order = np.argsort(roots)
    columns = roots, np.abs(shift), overlap, np.abs(overlap - overlaps(module, v, slope_other)), trained
    return Outliers(*(column[order] for column in columns))
