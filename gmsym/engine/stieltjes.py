"""The operator-valued Stieltjes transform by Newton's method in its inverse. Source: theory.md 7, verified/effective.md 3.

A block b of coordinates has S_b, with W_b = S_b^{-1} = -z + sum_k p_k sigma2_kb E X_k, and a sample of cluster k sees all of them through
S'_k = (1/alpha) sum_b rho_b sigma2_kb S_b; all W_b are unknown at once. Own derivation for several blocks: leave one sample out, as for
one. Newton in S itself fails near atoms; here the imaginary part of each z falls from 2 to its final value by factors of 10, or 1000
where S hardly depends on it, whenever what is left of the residual is small beside Im S. A step that would leave Im S_b >= 0 is replaced
by half a fixed-point step, or keeps a quarter of Im S.

Cost: about 20 steps, each with the means of `engine.shares`. Points are last: S is (B R, P), block after block.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, final

import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float, Inexact

from gmsym.engine import packed
from gmsym.engine.nodes import Group, Nodes
from gmsym.engine.shares import Shares, shares
from gmsym.runtime.spectral import SpectralModule

_FIRST = 2.0  # imaginary part of z
_FACTORS = (10.0, 1000.0)
_SMALL = 0.01  # residuals, squared and plain/100, that count as small beside Im S/|S|
_CLOSE = 0.1  # residual below which a step that leaves Im S >= 0 still has the right real part
_STEPS, _NEARLY = 80, 1e-11  # the step from a residual that small is the last
_FOLD, _FOLD_STEPS = 1e-13, 12  # relative change


class Stieltjes(NamedTuple):
    """Compiled functions for one generated module."""

    transform: Callable[..., tuple[Complex[Array, "br p"], Float[Array, " p"]]]  # (nodes, x, eta) -> S at x + i eta, residual
    correction: Callable[..., Complex[Array, "br p"]]  # (nodes, x + i eta, S) -> the step of Newton's method in S
    share: Callable[..., Float[Array, "r N p"]]  # (nodes, group, real S) -> X at each node of the group
    slope: Callable[..., Float[Array, "br p"]]  # (nodes, real S) -> dS/dz
    # (nodes, S, z) -> S and z where dz/dS is singular, residual
    fold: Callable[..., tuple[Float[Array, "edges br"], Float[Array, " edges"], Float[Array, " edges"]]]


@lru_cache(maxsize=32)
def stieltjes(module: SpectralModule) -> Stieltjes:
    """The functions, compiled at their first call for each number of nodes and points."""
    equation = _Equation(module.SIZE, shares(module))
    return Stieltjes(
        transform=jax.jit(equation.solved_from_above),
        correction=jax.jit(lambda nodes, z, s: equation.newton(nodes, z, s)[0] - s),
        share=jax.jit(lambda nodes, group, s: equation.shares.each(group, form(nodes, group, blocks(nodes, s)))),
        slope=jax.jit(equation.slope),
        fold=jax.jit(lambda nodes, s, z: jax.lax.map(lambda pair: equation.fold(nodes, *pair), (s.T, z))),
    )


def blocks(nodes: Nodes, s: Array) -> Array:
    """(B R, ...) to (B, R, ...)."""
    return s.reshape(len(nodes.fractions), -1, *s.shape[1:])


def form(nodes: Nodes, group: Group, s: Inexact[Array, "b r p"]) -> Inexact[Array, "r p"]:
    """S'_k of the clusters of a group, without their variance c_k: a quadratic form of a sample in the resolvent."""
    return jnp.einsum("b,brp->rp", nodes.fractions * group.ratios / nodes.alpha, s)


@final
@dataclass(frozen=True)
class _Equation:
    """The fixed point as an equation for S, and its linearisation."""

    size: int
    shares: Shares

    def linearised(self, nodes: Nodes, s: Inexact[Array, "br p"]) -> tuple[Array, Array, Array]:
        """(sum_k p_k sigma2_kb E X_k, (B, R, P); its derivative in W, (B R, B R, P); S by blocks)."""
        s = blocks(nodes, s)
        mean, response = 0.0, 0.0
        around = jax.vmap(lambda part: packed.conjugation(part, self.size))(s)  # D -> S_b D S_b
        for group in nodes.groups:
            means = self.shares.means(group, form(nodes, group, s))
            mean = mean + group.ratios[:, None, None] * means.X
            inner = packed.sandwich(means.XX, self.size)
            coupling = group.ratios[:, None] * (nodes.fractions * group.ratios / nodes.alpha)
            response = response + jnp.einsum("bc,rtp,ctup->brcup", coupling, inner, around)
        count, points = s.shape[0] * s.shape[1], s.shape[2]
        return mean, response.reshape(count, count, points), s

    def newton(self, nodes: Nodes, z: Array, s: Array) -> tuple[Array, Array]:
        """(S after a step of Newton's method in W, S after a step of the fixed-point iteration)."""
        mean, response, split = self.linearised(nodes, s)
        target = mean - z * packed.unit(self.size)[:, None]
        W = self._inverse(split)
        step = packed.solved(jnp.eye(len(s))[:, :, None] - response, (target - W).reshape(s.shape))
        return self._inverse(W + step.reshape(W.shape)).reshape(s.shape), self._inverse(target).reshape(s.shape)

    def guarded(self, nodes: Nodes, z: Array, s: Array) -> tuple[Array, Array, Array]:
        """(S after a step that keeps Im S >= 0, residual before it, whether the step is Newton's)."""
        new, plain = self.newton(nodes, z, s)
        residual = jnp.abs(plain - s).max(0) / jnp.abs(s).max(0)
        positive = jax.vmap(lambda part: packed.is_positive(part, self.size))(blocks(nodes, new.imag)).all(0)
        allowed = positive & jnp.isfinite(new).all(0)
        instead = jnp.where(residual < _CLOSE, new.real + 0.25j * s.imag, (s + plain) / 2)
        return jnp.where(allowed, new, instead), residual, allowed

    def solved_from_above(self, nodes: Nodes, x: Array, smallest: Array) -> tuple[Array, Array]:
        """S at x + i smallest and its residual; the imaginary part of each point falls on its own."""
        diagonal = jnp.tile(packed.unit(self.size), len(nodes.fractions))[:, None]

        def step(carry: tuple[Array, ...]) -> tuple[Array, ...]:
            s, eta, _, steps = carry
            new, residual, allowed = self.guarded(nodes, x + 1j * eta, s)
            small = _SMALL * (new.imag * diagonal).sum(0) / (diagonal.sum() * jnp.abs(new).max(0))
            fall = jnp.where(residual < _SMALL * small, _FACTORS[1], jnp.where(residual**2 < small, _FACTORS[0], 1.0))
            lower = jnp.where(allowed, jnp.maximum(eta / fall, smallest), eta)
            return new, lower, jnp.where(eta <= smallest, residual, jnp.inf), steps + 1

        def unfinished(carry: tuple[Array, ...]) -> Array:
            s, _, residual, steps = carry
            rounding = jnp.maximum(1.0, 1e-6 * jnp.abs(s).max(0))  # at an atom S grows like 1/z
            return (steps < _STEPS) & (residual > _NEARLY * rounding).any()

        start = -diagonal / (x + 1j * _FIRST), jnp.full(x.shape, _FIRST), jnp.full(x.shape, jnp.inf), 0
        s = jax.lax.while_loop(unfinished, step, start)[0]
        return s, self.guarded(nodes, x + 1j * smallest, s)[1]

    def slope(self, nodes: Nodes, s: Array) -> Array:
        """dS/dz, from S_z = S (1 + sum_k p_k sigma2_kb E X_k S'_z X_k) S: -dW/dz solves Newton's system."""
        _, response, split = self.linearised(nodes, s)
        one = jnp.broadcast_to(packed.unit(self.size)[:, None], split.shape).reshape(s.shape)
        inner = blocks(nodes, packed.solved(jnp.eye(len(s))[:, :, None] - response, one))
        around = jax.vmap(lambda part: packed.conjugation(part, self.size))(split)
        return jnp.einsum("brtp,btp->brp", around, inner).reshape(s.shape)

    def at_real(self, nodes: Nodes, s: Float[Array, " br"]) -> tuple[Array, Array]:
        """sum_k p_k sigma2_kb E X_k - S_b^{-1}, which is z I at a solution, and its derivative in S."""
        mean, response, split = self.linearised(nodes, s[:, None])
        W = self._inverse(split)
        around = jax.vmap(lambda part: packed.conjugation(part, self.size))(W)[..., 0]  # D -> W_b D W_b
        each = jnp.einsum("brt,bc->brct", around, jnp.eye(len(W))).reshape(len(s), len(s))
        return (mean - W).ravel(), (jnp.eye(len(s)) - response[..., 0]) @ each

    def fold(self, nodes: Nodes, s: Float[Array, " br"], z: Array) -> tuple[Array, Array, Array]:
        """Newton's method for (S, v, z): S solves the equation at z, and its linearisation has the null vector v."""
        count, one = len(s), jnp.tile(packed.unit(self.size), len(nodes.fractions))

        def system(unknown: Array) -> Array:
            s, v, z = unknown[:count], unknown[count:-1], unknown[-1]
            value, jacobian = self.at_real(nodes, s)
            return jnp.concatenate([value - z * one, jacobian @ v, (v @ v - 1)[None]])

        def step(carry: tuple[Array, Array, int]) -> tuple[Array, Array, int]:
            change = jnp.linalg.solve(jax.jacfwd(system)(carry[0]), system(carry[0]))
            return carry[0] - change, jnp.abs(change).max() / (1 + jnp.abs(carry[0]).max()), carry[2] + 1

        v = jnp.linalg.svd(self.at_real(nodes, s)[1])[2][-1]
        start = jnp.concatenate([s, v, z[None]]), jnp.array(jnp.inf), 0
        end = jax.lax.while_loop(lambda carry: (carry[1] > _FOLD) & (carry[2] < _FOLD_STEPS), step, start)[0]
        return end[:count], end[-1], jnp.abs(system(end)).max() / (1 + jnp.abs(end).max())

    def _inverse(self, s: Inexact[Array, "b r p"]) -> Array:
        return jnp.stack([packed.inverse(part, self.size) for part in s])
