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
from jaxtyping import Array, Float

from gmsym.engine import packed
from gmsym.engine.nodes import Group, Law, Nodes
from gmsym.engine.stieltjes import Stieltjes, blocks, form, stieltjes
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
    """S at x + i smallest, (B R, P), and its residuals (P,); points go in batches of two shapes, so that little is compiled.

    Raises:
        ComputationError: Newton's method did not converge at some point.
    """
    x = np.atleast_1d(np.asarray(x, dtype=float))
    batch = _BATCH if len(x) <= 4 * _BATCH else _MANY
    padded = np.concatenate([x, np.full(-len(x) % batch, x[-1])])
    parts = [functions.transform(law.nodes, padded[i : i + batch], smallest) for i in range(0, len(padded), batch)]
    s, residual = (np.concatenate([np.asarray(part[i]) for part in parts], axis=-1) for i in (0, 1))
    worst = int(np.argmax(residual))
    # At an atom S grows like 1/z, and with it rounding.
    if not residual[worst] < 1e-10 * max(1.0, 1e-6 * np.abs(s[:, worst]).max()):
        raise ComputationError(
            f"the Stieltjes transform did not converge at z = {padded[worst] * law.scale:.6g}: residual {residual[worst]:.2g}"
        )
    return s[:, : len(x)], residual[: len(x)]


def compressed(module: SpectralModule, law: Law, s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Q(z) and Q'(z) at points where S is real, each (P, m q + p, m q + p); s (B R, P)."""
    padded = np.concatenate([s, np.repeat(s[:, -1:], -s.shape[1] % _BATCH, axis=1)], axis=1)
    q, slope = _compress(module)(law.nodes, padded)
    return np.asarray(q)[: s.shape[1]], np.asarray(slope)[: s.shape[1]]


@lru_cache(maxsize=32)
def _compress(module: SpectralModule) -> Callable[[Nodes, Array], tuple[Array, Array]]:
    functions, size, extra = stieltjes(module), module.SIZE, module.TRAINED
    full, corner = packed.positions(size), packed.positions(extra)

    def assemble(group: Group, hh: Array, ht: Array, tt: Array) -> Array:
        """E[K^T X K] for X given by blocks at each node; (P, size, size, N), (P, size, extra, N), (P, extra, extra, N)."""
        points, count = hh.shape[0], group.mean.shape[1]
        top = (hh.reshape(-1, hh.shape[-1]) @ group.outer).reshape(points, size, size, count, count)
        top = jnp.moveaxis(top, 2, 3).reshape(points, size * count, size * count)
        side = jnp.einsum("pajN,Nc->pacj", ht, group.mean).reshape(points, size * count, extra)
        low = jnp.einsum("pijN,N->pij", tt, group.weights)
        return jnp.concatenate([jnp.concatenate([top, side], axis=2), jnp.concatenate([jnp.swapaxes(side, 1, 2), low], axis=2)], axis=1)

    def of_group(nodes: Nodes, group: Group, s: Array, slope: Array) -> tuple[Array, Array]:
        X = jnp.moveaxis(functions.share(nodes, group, s)[full], -1, 0)  # (P, m, m, N)
        S, S_slope = (jnp.moveaxis(form(nodes, group, blocks(nodes, v))[full], -1, 0)[..., None] * group.variance for v in (s, slope))
        B = group.mixed.reshape(size, extra, X.shape[-1])
        H = group.corner[corner.ravel()].reshape(extra, extra, X.shape[-1])
        SB = jnp.einsum("pabN,bjN->pajN", S, B)
        R = B - jnp.einsum("pabN,pbjN->pajN", X, SB)  # (I + A S')^{-1} B
        value = assemble(group, X, R, H - jnp.einsum("pajN,pakN->pjkN", SB, R))
        XT = jnp.einsum("pabN,pbcN->pacN", X, S_slope)
        TR = jnp.einsum("pabN,pbjN->pajN", S_slope, R)
        derivative = assemble(
            group,
            -jnp.einsum("pabN,pbcN->pacN", XT, X),
            -jnp.einsum("pabN,pbjN->pajN", XT, R),
            -jnp.einsum("pajN,pakN->pjkN", R, TR),
        )
        return value, derivative

    @jax.jit
    def compress(nodes: Nodes, s: Float[Array, "br p"]) -> tuple[Array, Array]:
        slope = functions.slope(nodes, s)
        parts = [of_group(nodes, group, s, slope) for group in nodes.groups]
        return sum(value for value, _ in parts), sum(derivative for _, derivative in parts)

    return compress


def edge_eigenvalues(module: SpectralModule, law: Law, z: np.ndarray, s: np.ndarray) -> np.ndarray:
    """Eigenvalues of D at edges z with S there, s (B R, edges): (edges, m q + p), in increasing order.

    An outlier leaves or joins the bulk at an edge where one of them changes its sign.
    """
    q, _ = compressed(module, law, s)
    return np.linalg.eigvalsh(z[:, None, None] * np.eye(q.shape[1]) - q)


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
    branches = dict(zip(ends, np.linalg.eigvalsh(np.array(ends)[:, None, None] * np.eye(q.shape[1]) - q), strict=True))
    low, high, index = [], [], []
    for a, b in gaps:
        first = int((branches[b] < 0).sum()) if b in branches else 0
        last = int((branches[a] < 0).sum()) if a in branches else q.shape[1]
        for k in range(first, last):  # the slope of at least 1 bounds the way from either end to the root
            low.append(max(a, b - branches[b][k]) if b in branches else a)
            high.append(min(b, a - branches[a][k]) if a in branches else b)
            index.append(k)
    if not index:
        return none
    low, high, index = np.array(low), np.array(high), np.array(index, dtype=int)
    roots, every = (low + high) / 2, np.arange(len(index))
    for _ in range(_ROUNDS):
        q, slope = at(law, roots)
        values, vectors = np.linalg.eigh(roots[:, None, None] * np.eye(q.shape[1]) - q)
        v = vectors[every, :, index]
        value, rate = values[every, index], 1 - np.einsum("oi,oij,oj->o", v, slope, v)
        low, high = np.where(value > 0, low, roots), np.where(value > 0, roots, high)
        new = roots - value / rate
        new = np.where((new > low) & (new < high), new, (low + high) / 2)
        done = np.abs(new - roots) <= _TOLERANCE * (width + np.abs(roots))
        if done.all():
            break
        roots = new
    else:
        raise ComputationError(f"an outlier near z = {roots[~done][0] * law.scale:.6g} was not located to {_TOLERANCE:g}")
    ratio = other.scale / law.scale
    q_other, slope_other = at(other, roots / ratio)
    shift = np.einsum("oi,oij,oj->o", v, q_other * ratio - q, v) / rate
    rate_other = 1 - np.einsum("oi,oij,oj->o", v, slope_other, v)
    trained = (v[:, v.shape[1] - module.TRAINED :] ** 2).sum(1) / rate
    order = np.argsort(roots)
    columns = roots, np.abs(shift), 1 / rate, np.abs(1 / rate - 1 / rate_other), trained
    return Outliers(*(column[order] for column in columns))
