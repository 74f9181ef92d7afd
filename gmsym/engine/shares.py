"""A sample's share X = A (I + S'A)^{-1} in the matrix, and its means over the nodes of a group of clusters. Source: theory.md 7.

Where A has few minors, X is a rational function of S' in which the nodes enter through fixed matrices (`calculus.minors`): means at P
points are matrix products, O(N P f^2) for N nodes and f minors. Otherwise, from five columns on, a matrix is inverted at each node and
point, O(N P (m^3 + R^2)) with R = m (m + 1)/2.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Inexact

from gmsym.engine import packed
from gmsym.engine.nodes import Group
from gmsym.runtime.spectral import SpectralModule

_CHUNK = 2048  # nodes at once where matrices are inverted at each


class Means(NamedTuple):
    """Sums over the nodes of a group, whose variances are c: of c X, and of c^2 X kron X."""

    X: Inexact[Array, "r p"]
    XX: Inexact[Array, "r r p"]


Shares = Callable[[Group, Array], Means]  # of (group, S' packed (R, P)), S' without its factor c


def shares(module: SpectralModule) -> Shares:
    """The means for a generated module."""
    return _by_minors(module) if module.DEGREES else _by_inverses(module)


def _by_minors(module: SpectralModule) -> Shares:
    count, minors = len(packed.unit(module.SIZE)), len(module.DEGREES)
    pairs = packed.positions(minors)

    def means(group: Group, form: Array) -> Means:
        inverse = 1 / (1 + _times(group.denominator.T, module.denominator(form)))
        numerator = module.numerator(form).reshape(count, minors, -1)
        single = jnp.einsum("rfp,fp->rp", numerator, _times(group.first, inverse))
        double = jnp.einsum("rfp,tgp,fgp->rtp", numerator, numerator, _times(group.second, inverse**2)[pairs])
        return Means(single, double)

    return means


def _by_inverses(module: SpectralModule) -> Shares:
    size = module.SIZE

    def means(group: Group, form: Array) -> Means:
        padding = -len(group.weights) % min(_CHUNK, len(group.weights))
        weights = jnp.pad(group.weights, (0, padding))
        matrix = jnp.pad(group.variance * group.matrix, ((0, 0), (0, padding)), mode="edge")
        chunks = max(1, len(weights) // _CHUNK)
        parts = weights.reshape(chunks, -1), jnp.moveaxis(matrix.reshape(len(matrix), chunks, -1), 1, 0)

        def at_point(s: Array) -> tuple[Array, Array]:
            S = packed.matrices(s, size)[..., None]

            def add(total: tuple[Array, Array], part: tuple[Array, Array]) -> tuple[tuple[Array, Array], None]:
                A = packed.matrices(part[1], size)
                X = packed.of_matrices(jnp.broadcast_to(module.share(S, A), A.shape), size)
                weighted = part[0] * X
                return (total[0] + weighted.sum(1), total[1] + _gram(weighted, X)), None

            start = jnp.zeros(len(s), s.dtype), jnp.zeros((len(s), len(s)), s.dtype)
            return jax.lax.scan(add, start, parts)[0]

        return Means(*(jnp.moveaxis(x, 0, -1) for x in jax.lax.map(at_point, form.T)))

    return means


def _times(real: Array, other: Array) -> Array:
    """A real matrix times a matrix that may be complex, without complex products."""
    if not jnp.iscomplexobj(other):
        return real @ other
    both = real @ jnp.concatenate([other.real, other.imag], axis=1)
    return both[:, : other.shape[1]] + 1j * both[:, other.shape[1] :]


def _gram(left: Array, right: Array) -> Array:
    """left right^T of matrices that may both be complex, without complex products."""
    if not jnp.iscomplexobj(left):
        return left @ right.T
    both = jnp.concatenate([left.real, left.imag]) @ jnp.concatenate([right.real, right.imag]).T
    count = len(left)
    return both[:count, :count] - both[count:, count:] + 1j * (both[:count, count:] + both[count:, :count])
