"""The operator-valued Stieltjes transform by Newton's method in its inverse. Source: theory.md 7, verified/effective.md 3.

With W = S^{-1} the equation is W = -z + E X. Newton in S itself fails near atoms; here the imaginary part of z falls from 2 to its
final value by factors of 10, and a step that would leave Im S >= 0 is replaced by half a fixed-point step. X is a rational function
of S' whose nodes enter through fixed matrices (`derive.spectrum.rational_form`), so one step at P points is two matrix products.

Cost: O(N P f^2) a step for N nodes and f minors, about 28 steps. Packed symmetric matrices have the entries first: (R, P).
"""

from collections.abc import Callable
from functools import lru_cache
from itertools import product
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float, Inexact

from gmsym.engine.nodes import Law
from gmsym.runtime.spectral import SpectralModule

FIRST, FACTOR = 2.0, 10.0
_STEPS = 2  # of Newton's method at each imaginary part
_POLISH, _TOLERANCE = 60, 1e-13


class Averages(NamedTuple):
    """Means over the nodes at one S: sigma^2 X, and (sigma^4/alpha) X kron X."""

    X: Inexact[Array, "r p"]
    XX: Inexact[Array, "r r p"]


class Stieltjes(NamedTuple):
    """Compiled functions for one generated module."""

    transform: Callable[..., tuple[Complex[Array, "r p"], Float[Array, " p"]]]  # (law, x, etas) -> S, residual
    correction: Callable[..., Complex[Array, "r p"]]  # (law, x + i eta, S) -> the step of Newton's method in S
    share: Callable[..., Float[Array, "r N p"]]  # (law, real S) -> X at each node
    slope: Callable[..., Float[Array, "r p"]]  # (law, real S) -> dS/dz
    # (law, S, z) -> S and z where dz/dS is singular, residual
    fold: Callable[..., tuple[Float[Array, "edges r"], Float[Array, " edges"], Float[Array, " edges"]]]


@lru_cache
def levels(smallest: float) -> np.ndarray:
    """Imaginary parts from 2 down to `smallest`, by factors of at most 10."""
    return np.geomspace(FIRST, smallest, int(np.ceil(np.log(FIRST / smallest) / np.log(FACTOR))) + 1)


@lru_cache(maxsize=32)
def stieltjes(module: SpectralModule) -> Stieltjes:
    """The functions, compiled at their first call for each number of nodes and points."""
    size = module.SIZE
    rows, columns = np.triu_indices(size)
    count = len(rows)
    unit = jnp.asarray((rows == columns).astype(float))[:, None]
    index = _index(size)
    minors = len(module.DEGREES)
    pairs = np.zeros((minors, minors), dtype=int)
    upper = np.triu_indices(minors)
    pairs[upper] = np.arange(len(upper[0]))
    pairs.T[upper] = pairs[upper]

    def share(law: Law, s: Array) -> Array:
        form = s / law.alpha
        weighted = jnp.einsum("rfp,fN->rNp", module.numerator(form).reshape(count, minors, -1), law.numerator)
        return weighted / (1 + jnp.einsum("fN,fp->Np", law.denominator, module.denominator(form)))

    def averages(law: Law, s: Array) -> Averages:
        form = s / law.alpha
        inverse = 1 / (1 + _times(law.denominator.T, module.denominator(form)))
        numerator = module.numerator(form).reshape(count, minors, -1)
        single = jnp.einsum("rfp,fp->rp", numerator, _times(law.first, inverse))
        double = jnp.einsum("rfp,tgp,fgp->rtp", numerator, numerator, _times(law.second, inverse**2)[pairs])
        return Averages(single, double)

    def sandwich(XX: Array) -> Array:
        """Matrix (R, R, P) of D -> E X D X on packed D."""
        return _product_map(lambda a, b: XX[a, b], index, rows, columns)

    def conjugation(s: Array) -> Array:
        """Matrix (R, R, P) of D -> S D S."""
        return _product_map(lambda a, b: s[a] * s[b], index, rows, columns)

    def newton(law: Law, z: Array, s: Array) -> tuple[Array, Array]:
        """(S after a step of Newton's method in W, S after a step of the fixed-point iteration)."""
        mean = averages(law, s)
        target = mean.X - z * unit
        W = _inverse(s, size)
        response = jnp.einsum("rtp,tup->rup", sandwich(mean.XX), conjugation(s))
        step = _solved(jnp.eye(count)[:, :, None] - response, target - W)
        return _inverse(W + step, size), _inverse(target, size)

    def guarded(law: Law, z: Array, s: Array) -> tuple[Array, Array]:
        new, plain = newton(law, z, s)
        residual = jnp.abs(plain - s).max(0) / jnp.abs(s).max(0)
        allowed = _is_positive(new.imag, size) & jnp.isfinite(new).all(0)
        return jnp.where(allowed, new, (s + plain) / 2), residual

    @jax.jit
    def transform(law: Law, x: Array, etas: Array) -> tuple[Array, Array]:
        def level(s, eta):
            return jax.lax.fori_loop(0, _STEPS, lambda _, s: guarded(law, x + 1j * eta, s)[0], s), None

        def unfinished(carry):
            return (carry[1] < _POLISH) & (carry[2].max() > _TOLERANCE)

        def polish(carry):
            s, i, best = carry
            new, residual = guarded(law, x + 1j * etas[-1], s)
            return jnp.where(residual < _TOLERANCE, s, new), i + 1, residual

        s, _ = jax.lax.scan(level, -unit / (x + 1j * etas[0]), etas)
        s, _, _ = jax.lax.while_loop(unfinished, polish, (s, 0, jnp.full(x.shape, jnp.inf)))
        return s, guarded(law, x + 1j * etas[-1], s)[1]

    @jax.jit
    def correction(law: Law, z: Array, s: Array) -> Array:
        return newton(law, z, s)[0] - s

    @jax.jit
    def slope(law: Law, s: Array) -> Array:
        around = conjugation(s)
        response = jnp.einsum("rtp,tup->rup", around, sandwich(averages(law, s).XX))
        return _solved(jnp.eye(count)[:, :, None] - response, jnp.einsum("rtp,t->rp", around, unit[:, 0]))

    def equation(law: Law, s: Array) -> Array:
        """E X - S^{-1}, which is z I at a solution; s (R,)."""
        return (averages(law, s[:, None]).X - _inverse(s[:, None], size))[:, 0]

    @jax.jit
    def fold(law: Law, s: Array, z: Array) -> tuple[Array, Array, Array]:
        """Newton's method for (S, v, z): S solves the equation at z, and its linearisation has the null vector v."""

        def system(unknown):
            s, v, z = unknown[:count], unknown[count:-1], unknown[-1]
            value, derivative = jax.jvp(lambda s: equation(law, s), (s,), (v,))
            return jnp.concatenate([value - z * unit[:, 0], derivative, (v @ v - 1)[None]])

        def one(s, z):
            jacobian = jax.jacfwd(lambda s: equation(law, s))(s)
            v = jnp.linalg.svd(jacobian)[2][-1]
            start = jnp.concatenate([s, v, z[None]])
            body = lambda _, u: u - jnp.linalg.solve(jax.jacfwd(system)(u), system(u))  # noqa: E731
            end = jax.lax.fori_loop(0, 12, body, start)
            return end[:count], end[-1], jnp.abs(system(end)).max() / (1 + jnp.abs(end).max())

        return jax.lax.map(lambda pair: one(*pair), (s.T, z))

    return Stieltjes(transform, correction, jax.jit(share), slope, fold)


def _index(size: int) -> np.ndarray:
    """Position of the entry (i, j) in a packed symmetric matrix."""
    index = np.zeros((size, size), dtype=int)
    rows, columns = np.triu_indices(size)
    index[rows, columns] = index[columns, rows] = np.arange(len(rows))
    return index


def _product_map(entry: Callable[[int, int], Array], index: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> Array:
    """Matrix of D -> sum_cd P_ac D_cd P_db on packed symmetric D, from entry(ac, db)."""
    table = []
    for (a, b), (c, d) in product(zip(rows, columns, strict=True), repeat=2):
        term = entry(index[a, c], index[d, b])
        table.append(term if c == d else term + entry(index[a, d], index[c, b]))
    return jnp.stack(table).reshape(len(rows), len(rows), -1)


def _times(real: Array, other: Array) -> Array:
    """A real matrix times a matrix that may be complex, without complex products."""
    if not jnp.iscomplexobj(other):
        return real @ other
    both = real @ jnp.concatenate([other.real, other.imag], axis=1)
    return both[:, : other.shape[1]] + 1j * both[:, other.shape[1] :]


def _inverse(packed: Array, size: int) -> Array:
    if size == 1:
        return 1 / packed
    if size == 2:
        a, b, c = packed
        return jnp.stack([c, -b, a]) / (a * c - b * b)
    rows, columns = np.triu_indices(size)
    return jnp.moveaxis(jnp.linalg.inv(jnp.moveaxis(packed[_index(size)], -1, 0)), 0, -1)[rows, columns]


def _solved(matrix: Array, right: Array) -> Array:
    """matrix^{-1} right for each point, by elimination; the matrix is the identity less a contraction, so that pivots stay away from 0."""
    count = len(right)
    rows = jnp.concatenate([matrix, right[:, None]], axis=1)
    for i in range(count):
        pivot = rows[i] / rows[i, i]
        rows = (rows - rows[:, i, None] * pivot).at[i].set(pivot)
    return rows[:, count]


def _is_positive(packed: Array, size: int) -> Array:
    """Whether each symmetric matrix is positive definite, to rounding: its pivots are."""
    matrix = packed[_index(size)]
    tolerance = -1e-12 * jnp.abs(packed).max(0)
    positive = matrix[0, 0] > 0
    for i in range(size):
        pivot = matrix[i, i]
        positive &= pivot > tolerance
        matrix = matrix - matrix[:, i, None] * matrix[None, i, :] / jnp.where(pivot == 0, 1, pivot)
    return positive
