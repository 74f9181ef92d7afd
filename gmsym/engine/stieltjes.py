"""The operator-valued Stieltjes transform by Newton's method in its inverse. Source: theory.md 7, verified/effective.md 3.

The equations are those of the generated module: W_b = S_b^{-1} is `inverse_transform` of the means of the shares X, a sample's S' is `form`
of all S_b, and `inverse_slope` is the derivative of W_b, whose linear part is the map that Newton's method inverts. All W_b are unknown at
once. Clusters of a group, whose variances are c_k r_b, count as one of probability 1 and variances r_b: c_k goes into A.

Newton in S itself fails near atoms; here the imaginary part of each z falls from 2 to its final value by factors of 10, or 1000
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
import numpy as np
from jaxtyping import Array, Complex, Float, Inexact

from gmsym.engine import packed
from gmsym.engine.nodes import Group, Nodes
from gmsym.engine.shares import Shares, shares
from gmsym.runtime.spectral import SpectralModule

_FIRST = 2.0  # imaginary part of z
FALL = (10.0, 1000.0)
SLOWLY = (2.0, 10.0)  # for points at which that does not converge
_SMALL = 0.01  # residuals, squared and plain/100, that count as small beside Im S/|S|
_CLOSE = 0.1  # residual below which a step that leaves Im S >= 0 still has the right real part
_STEPS, _NEARLY = 80.0, 1e-11  # the step from a residual that small is the last
_FOLD, _FOLD_STEPS = 1e-13, 12  # relative change


class Stieltjes(NamedTuple):
    """Compiled functions for one generated module."""

    transform: Callable[..., tuple[Complex[Array, "br p"], Float[Array, " p"]]]  # (nodes, x, eta, fall) -> S at x + i eta, residual
    correction: Callable[..., Complex[Array, "br p"]]  # (nodes, x + i eta, S) -> the step of Newton's method in S
    form: Callable[..., Array]  # (nodes, group, S) -> S' of a group's clusters without their variances c, packed (R, P)
    form_slope: Callable[..., Array]  # (nodes, group, dS/dz) -> its derivative in z
    slope: Callable[..., Float[Array, "br p"]]  # (nodes, real S) -> dS/dz
    # (nodes, S, z) -> S and z where dz/dS is singular, residual
    fold: Callable[..., tuple[Float[Array, "edges br"], Float[Array, " edges"], Float[Array, " edges"]]]


@lru_cache(maxsize=32)
def stieltjes(module: SpectralModule) -> Stieltjes:
    """The functions, compiled at their first call for each number of nodes and points."""
    equation = _Equation(module, shares(module))
    return Stieltjes(
        transform=jax.jit(equation.solved_from_above),
        correction=jax.jit(lambda nodes, z, s: equation.newton(nodes, z, s)[0] - s),
        form=equation.form,
        form_slope=lambda nodes, group, slope: equation.form(nodes, group, slope, "form_slope"),
        slope=jax.jit(equation.slope),
        fold=jax.jit(lambda nodes, s, z: jax.lax.map(lambda pair: equation.fold(nodes, *pair), (s.T, z))),
    )


def blocks(nodes: Nodes, s: Array) -> Array:
    """(B R, ...) to (B, R, ...)."""
    return s.reshape(len(nodes.fractions), -1, *s.shape[1:])


@final
@dataclass(frozen=True)
class _Equation:
    """The fixed point as an equation for S, and its linearisation."""

    module: SpectralModule
    shares: Shares

    @property
    def size(self) -> int:
        return self.module.SIZE

    def form(self, nodes: Nodes, group: Group, s: Inexact[Array, "br p"], of: str = "form") -> Inexact[Array, "r p"]:
        """S'_k of the clusters of a group, or its derivative, without their variance c_k."""
        full = packed.matrices(blocks(nodes, s), self.size, 1)
        function = getattr(self.module, of)
        return packed.of_matrices(function(nodes.alpha, nodes.fractions, group.ratios[None], full)[0], self.size)

    def means(self, nodes: Nodes, s: Inexact[Array, "br p"]) -> tuple[Array, Array]:
        """Means of X and of X kron X over each group, (G, [m, m,] P) and (G, [m, m, m, m,] P)."""
        size, found = self.size, [self.shares(group, self.form(nodes, group, s)) for group in nodes.groups]
        pairs = (packed.matrices(packed.matrices(means.XX, size), size, 0 if size == 1 else 2) for means in found)
        return jnp.stack([packed.matrices(means.X, size) for means in found]), jnp.stack(list(pairs))

    def inverse_slope(self, nodes: Nodes, pairs: Array, slope: Inexact[Array, "b r p"]) -> Array:
        """V = -dW/dz, (B, R, P), for dS/dz = `slope`."""
        each = tuple(self.form(nodes, group, slope.reshape(-1, slope.shape[-1]), "form_slope") for group in nodes.groups)
        forms = packed.matrices(jnp.stack(each), self.size, 1)
        full, ratios = packed.matrices(slope, self.size, 1), _ratios(nodes)
        value = self.module.inverse_slope(nodes.alpha, jnp.ones(len(ratios)), ratios, full, forms, pairs)
        return packed.of_matrices(jnp.broadcast_to(jnp.asarray(value, full.dtype), full.shape), self.size, 1)

    def linearised(self, nodes: Nodes, s: Inexact[Array, "br p"]) -> tuple[Array, Array, Array, Array]:
        """(means of X; V's linear part on S V S, (B R, B R, P); means of X kron X; S by blocks)."""
        mean, pairs = self.means(nodes, s)
        split = blocks(nodes, s)
        around = jax.vmap(lambda part: packed.conjugation(part, self.size))(split)  # D -> S_b D S_b
        moved = jnp.einsum("brup,bc->cubrp", around, jnp.eye(len(split))).reshape(len(s), *split.shape)

        def change(slope: Array) -> Array:
            at = jnp.zeros_like(split)
            return jax.jvp(lambda x: self.inverse_slope(nodes, pairs, x), (at,), (slope,))[1].reshape(s.shape)

        return mean, jnp.swapaxes(jax.vmap(change)(moved), 0, 1), pairs, split

    def target(self, nodes: Nodes, z: Array, mean: Array) -> Array:
        """W that the equation asks for, (B, R, P)."""
        ratios = _ratios(nodes)
        value = self.module.inverse_transform(z, jnp.ones(len(ratios)), ratios, mean)
        return packed.of_matrices(jnp.broadcast_to(value, (ratios.shape[1], *mean.shape[1:])), self.size, 1)

    def newton(self, nodes: Nodes, z: Array, s: Array) -> tuple[Array, Array]:
        """(S after a step of Newton's method in W, S after a step of the fixed-point iteration)."""
        mean, response, _, split = self.linearised(nodes, s)
        target = self.target(nodes, z, mean)
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

    def solved_from_above(self, nodes: Nodes, x: Array, smallest: Array, fall: tuple[Array, Array]) -> tuple[Array, Array]:
        """S at x + i smallest and its residual; the imaginary part of each point falls on its own, by one of two factors."""
        most = _STEPS * np.log(FALL[0]) / jnp.log(fall[0])
        diagonal = jnp.tile(packed.unit(self.size), len(nodes.fractions))[:, None]

        def step(carry: tuple[Array, ...]) -> tuple[Array, ...]:
            s, eta, _, steps = carry
            new, residual, allowed = self.guarded(nodes, x + 1j * eta, s)
            small = _SMALL * (new.imag * diagonal).sum(0) / (diagonal.sum() * jnp.abs(new).max(0))
            factor = jnp.where(residual < _SMALL * small, fall[1], jnp.where(residual**2 < small, fall[0], 1.0))
            lower = jnp.where(allowed, jnp.maximum(eta / factor, smallest), eta)
            return new, lower, jnp.where(eta <= smallest, residual, jnp.inf), steps + 1

        def unfinished(carry: tuple[Array, ...]) -> Array:
            s, _, residual, steps = carry
            rounding = jnp.maximum(1.0, 1e-6 * jnp.abs(s).max(0))  # at an atom S grows like 1/z
            return (steps < most) & (residual > _NEARLY * rounding).any()

        start = -diagonal / (x + 1j * _FIRST), jnp.full(x.shape, _FIRST), jnp.full(x.shape, jnp.inf), 0
        s = jax.lax.while_loop(unfinished, step, start)[0]
        return s, self.guarded(nodes, x + 1j * smallest, s)[1]

    def slope(self, nodes: Nodes, s: Array) -> Array:
        """dS/dz = S V S, where V depends on it: Newton's system again."""
        _, response, pairs, split = self.linearised(nodes, s)
        at_rest = self.inverse_slope(nodes, pairs, jnp.zeros_like(split)).reshape(s.shape)
        inner = blocks(nodes, packed.solved(jnp.eye(len(s))[:, :, None] - response, at_rest))
        around = jax.vmap(lambda part: packed.conjugation(part, self.size))(split)
        return jnp.einsum("brtp,btp->brp", around, inner).reshape(s.shape)

    def at_real(self, nodes: Nodes, s: Float[Array, " br"], z: Array) -> tuple[Array, Array]:
        """What W lacks of the equation at z, and its derivative in S."""
        mean, response, _, split = self.linearised(nodes, s[:, None])
        W = self._inverse(split)
        around = jax.vmap(lambda part: packed.conjugation(part, self.size))(W)[..., 0]  # D -> W_b D W_b
        each = jnp.einsum("brt,bc->brct", around, jnp.eye(len(W))).reshape(len(s), len(s))
        return (self.target(nodes, z[None], mean) - W).ravel(), (jnp.eye(len(s)) - response[..., 0]) @ each

    def fold(self, nodes: Nodes, s: Float[Array, " br"], z: Array) -> tuple[Array, Array, Array]:
        """Newton's method for (S, v, z): S solves the equation at z, and its linearisation has the null vector v."""
        count = len(s)

        def system(unknown: Array) -> Array:
            s, v, z = unknown[:count], unknown[count:-1], unknown[-1]
            value, jacobian = self.at_real(nodes, s, z)
            return jnp.concatenate([value, jacobian @ v, (v @ v - 1)[None]])

        def step(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            change = jnp.linalg.solve(jax.jacfwd(system)(carry[0]), system(carry[0]))
            return carry[0] - change, jnp.abs(change).max() / (1 + jnp.abs(carry[0]).max()), carry[2] + 1

        v = jnp.linalg.svd(self.at_real(nodes, s, z)[1])[2][-1]
        start = jnp.concatenate([s, v, z[None]]), jnp.array(jnp.inf), 0
        end = jax.lax.while_loop(lambda carry: (carry[1] > _FOLD) & (carry[2] < _FOLD_STEPS), step, start)[0]
        return end[:count], end[-1], jnp.abs(system(end)).max() / (1 + jnp.abs(end).max())

    def _inverse(self, s: Inexact[Array, "b r p"]) -> Array:
        return jnp.stack([packed.inverse(part, self.size) for part in s])


def _ratios(nodes: Nodes) -> Array:
    """r_b of each group, (G, B)."""
    return jnp.stack([group.ratios for group in nodes.groups])
