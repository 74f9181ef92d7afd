"""Proximal points by Newton's method, for generated code: min over h of l(h) + (h - z)^T V^{-1} (h - z)/2. Source: verified/sgd.md 1.2.

Shapes: F fields, N points. V need not be invertible: with h = z + U w, U U^T = V, the minimum over w is of l(z + U w) + |w|^2/2.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from gmsym.runtime.functions import inverse
from gmsym.runtime.roots import square_root

_ROUNDS = 200
_HALVINGS = 40
_CLOSE = 1e-14  # relative
_FAR = 1e8  # from z, in units of 1 + |z|, for one field


def proximal_point(
    loss: Callable[[jax.Array], jax.Array],
    gradient: Callable[[jax.Array], jax.Array],
    hessian: Callable[[jax.Array], jax.Array],
    z: jax.Array,
    V: jax.Array,
) -> jax.Array:
    """The proximal points of a convex loss, (F, N), with their first derivative in everything that the arguments depend on.

    Args:
        loss: (F, N) -> (N,).
        gradient: (F, N) -> (F, N).
        hessian: (F, N) -> (F, F, N).
        z: (F, N).
        V: (F, F), symmetric positive semidefinite.

    Cost: about ten evaluations of gradient and Hessian; two more for the derivative.
    """
    find = _of_one_field if len(z) == 1 else _of_several
    h = jax.lax.stop_gradient(find(loss, gradient, hessian, z, V))
    # One more step of Newton's method, in which only the residual is differentiated: the implicit function theorem.
    slope = jax.lax.stop_gradient(jnp.eye(len(z))[:, :, None] + jnp.einsum("cd,den->cen", V, hessian(h)))
    residual = h - z + jnp.einsum("cd,dn->cn", V, gradient(h))
    return h - jnp.einsum("cdn,dn->cn", inverse(slope), residual)


def _of_one_field(loss, gradient, hessian, z, V):
    """Newton's method within a bracket, which a bisection halves where it does not: h - z + V a(h) increases, and changes sign between z
    and z - V a(z)."""
    z, V = z[0], V[0, 0]

    def f(h):
        return h - z + V * gradient(h[None])[0]

    shift = jnp.clip(jnp.nan_to_num(V * gradient(z[None])[0], posinf=jnp.inf, neginf=-jnp.inf), -_FAR * (1 + abs(z)), _FAR * (1 + abs(z)))
    low, high = jnp.minimum(z, z - shift), jnp.maximum(z, z - shift)

    def step(carry):
        h, low, high, last, _, i = carry
        value = f(h)
        low, high = jnp.where(value < 0, h, low), jnp.where(value > 0, h, high)
        slope = 1 + V * hessian(h[None])[0, 0]
        new = h - value / slope
        # Newton's step is taken inside the bracket if it is at most half of the last one.
        newton = (new > low) & (new < high) & (2 * abs(new - h) <= last)
        new = jnp.where(newton, new, (low + high) / 2)
        move = abs(new - h)
        done = (move <= _CLOSE * (1 + abs(new))) | (value == 0) | (high - low <= _CLOSE * (1 + abs(new)))
        return jnp.where(value == 0, h, new), low, high, move, jnp.all(done), i + 1

    start = (low + high) / 2
    carry = start, low, high, high - low, jnp.array(False), 0
    return jax.lax.while_loop(lambda c: ~c[4] & (c[5] < _ROUNDS), step, carry)[0][None]


def _of_several(loss, gradient, hessian, z, V):
    """Damped Newton's method in w."""
    U = square_root(V)
    unit = jnp.eye(len(z))[:, :, None]

    def at(w):
        return z + U @ w

    def value(w):
        return loss(at(w)) + jnp.sum(w**2, axis=0) / 2

    def step(carry):
        w, here, _, i = carry
        h = at(w)
        slope = U.T @ gradient(h) + w
        curvature = jnp.einsum("ac,abn,bd->cdn", U, hessian(h), U) + unit
        move = -jnp.einsum("cdn,dn->cn", inverse(curvature), slope)
        falls = jnp.sum(move * slope, axis=0)

        def bad(size):
            return value(w + size * move) > here + 1e-4 * size * falls + 1e-13 * (1 + abs(here))

        def halve(carry):
            size, j = carry
            return jnp.where(bad(size), size / 2, size), j + 1

        size, _ = jax.lax.while_loop(lambda c: jnp.any(bad(c[0])) & (c[1] < _HALVINGS), halve, (jnp.ones_like(here), 0))
        new = w + size * move
        done = jnp.all(jnp.abs(size * move) <= _CLOSE * (1 + jnp.abs(new)))
        return new, value(new), done, i + 1

    w = jnp.zeros_like(z)
    w = jax.lax.while_loop(lambda c: ~c[2] & (c[3] < _ROUNDS), step, (w, value(w), jnp.array(False), 0))[0]
    return at(w)
