"""Anderson's mixing: a fixed point from the last few rounds together, in a fifth of the plain iteration's where that contracts slowly."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optimistix as optx
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree, Scalar

_SINGULAR = 1e-13  # what makes the least squares of unit differences definite


class _Rounds(eqx.Module):
    states: Float[Array, "memory size"]  # differences of the last states, zeros before there are as many
    gaps: Float[Array, "memory size"]  # and of f(y) - y
    last: Float[Array, "2 size"]  # the state before, and its gap
    error: Scalar
    round: Scalar


class Anderson(optx.AbstractFixedPointSolver):
    """y + r - (dY + dR) g where g makes |r - dR g| least, r = f(y) - y, over `memory` differences of earlier rounds.

    Args:
        rtol, atol: of y, where the largest |f(y) - y| over atol + rtol |y| falls below 1.
        memory: differences that are taken together, one at least.

    Source: Walker and Ni 2011, Anderson acceleration for fixed-point iterations.
    """

    rtol: float
    atol: float
    memory: int = 6
    norm: Callable[[PyTree], Scalar] = optx.max_norm

    def init(self, fn: Callable, y: PyTree, args: PyTree, options: dict, f_struct: PyTree, aux_struct: PyTree, tags: Any) -> _Rounds:
        flat, _ = ravel_pytree(y)
        none = jnp.zeros((self.memory, flat.size), flat.dtype)
        return _Rounds(none, none, jnp.zeros((2, flat.size), flat.dtype), jnp.asarray(jnp.inf, flat.dtype), jnp.asarray(0))

    def step(self, fn: Callable, y: PyTree, args: PyTree, options: dict, state: _Rounds, tags: Any) -> tuple[PyTree, _Rounds, PyTree]:
        after, aux = fn(y, args)
        flat, back = ravel_pytree(y)
        gap = ravel_pytree(after)[0] - flat
        error = self.norm(gap / (self.atol + self.rtol * jnp.abs(flat)))
        slot, known = (state.round - 1) % self.memory, state.round > 0

        def noted(rows: Array, difference: Array) -> Array:
            return jnp.where(known, rows.at[slot].set(difference), rows)

        states, gaps = noted(state.states, flat - state.last[0]), noted(state.gaps, gap - state.last[1])
        size = jnp.linalg.norm(gaps, axis=1)
        unit = gaps / jnp.where(size > 0, size, 1.0)[:, None]  # late differences are orders smaller than early ones
        least = jnp.linalg.solve(unit @ unit.T + _SINGULAR * jnp.eye(self.memory), unit @ gap)
        shares = jnp.where(size > 0, least / jnp.where(size > 0, size, 1.0), 0.0)
        new = flat + gap - shares @ (states + gaps)
        return back(new), _Rounds(states, gaps, jnp.stack([flat, gap]), error, state.round + 1), aux

    def terminate(self, fn: Callable, y: PyTree, args: PyTree, options: dict, state: _Rounds, tags: Any) -> tuple[jax.Array, optx.RESULTS]:
        return state.error < 1, optx.RESULTS.successful

    def postprocess(
        self, fn: Callable, y: PyTree, aux: PyTree, args: PyTree, options: dict, state: _Rounds, tags: Any, result: optx.RESULTS
    ) -> tuple[PyTree, PyTree, dict[str, Any]]:
        return y, aux, {}
