"""The adjoint of a surrogate run: influence of each sample and coordinate on an output, in one reverse sweep. Source: theory.md 1.3.

The equations come generated (runtime/influence.py); what is here keeps the slots of directions, of which those to come are not there.

Cost of a sweep: time O((n + d) T^2 C^2 K), memory O((n + d) T C K), like the run itself.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gmsym.engine.recursion import Trace, Weights, unit_weights
from gmsym.runtime.arguments import named
from gmsym.runtime.influence import InfluenceModule
from gmsym.runtime.recursion import Design, RecursionModule


def influences(
    module: RecursionModule,
    adjoint: InfluenceModule,
    design: Design,
    means: Float[Array, "k x"],
    trace: Trace,
    order_bar: dict[str, Float[Array, "t ..."]],
) -> Weights:
    """Derivative of an output in every weight, from its derivatives `order_bar` in the order parameters m, Q, Q_k and train_loss."""
    weights, zeros = unit_weights(design), jnp.zeros_like
    start = _Bars(
        zeros(trace.theta[0]),
        jax.tree.map(lambda x: zeros(x[0]), trace.state),
        *map(zeros, (trace.q, trace.Zu, trace.u, trace.Zq, weights.samples, weights.coordinates)),
    )
    by_time = {name: getattr(trace, name) for name in ("theta", "state", "h", "a", "gradient", "L", "M", "scalars")}
    step = _Sweep(module, adjoint, design, means, trace).step
    last, _ = jax.lax.scan(step, start, (jnp.arange(len(trace.theta)), by_time, order_bar), reverse=True)
    return Weights(last.by_sample, last.by_coordinate)


class _Bars(NamedTuple):
    """What goes back through the times: derivatives of the output in what the run carries, and in the weights so far."""

    theta: Float[Array, "c x"]
    state: tuple[Float[Array, "c x"], ...]
    q: Float[Array, "k j x"]
    Zu: Float[Array, "k j x"]
    u: Float[Array, "k j n"]
    Zq: Float[Array, "k j n"]
    by_sample: Float[Array, "k n"]
    by_coordinate: Float[Array, " x"]


class _Sweep:
    """One step of the reverse sweep: the run's stages in reverse order."""

    def __init__(self, module: RecursionModule, adjoint: InfluenceModule, design: Design, means: Array, trace: Trace):
        n, d = sum(design.counts), sum(design.sizes)
        self.module, self.adjoint, self.design, self.trace = module, adjoint, design, trace
        self.weights, self.labels = unit_weights(design), jnp.asarray(design.labels)
        self.slots = np.arange(trace.q.shape[1])
        self.constants = {
            "of_sample": self.weights.samples,
            "of_coordinate": self.weights.coordinates,
            "deviation": jnp.sqrt(jnp.repeat(jnp.asarray(design.variance), np.asarray(design.sizes), axis=1, total_repeat_length=d)),
            "means": means,
            "counts": jnp.asarray(design.counts, float),
            "p": jnp.asarray(design.counts) / n,
            "ridge": design.ridge,
            "total": n,
        }

    def step(self, after: _Bars, now: tuple) -> tuple[_Bars, None]:
        """Back through one time."""
        t, at, bars = now
        before = t * self.module.FIELDS
        now_bars, a_bar, M_bar, loss_bar = self.update(after, t, at, bars)
        for c in reversed(range(self.module.FIELDS)):
            now_bars, moved = self.gradient_direction(now_bars, at, M_bar, before, c)
            a_bar = a_bar.at[:, c].add(moved)
        now_bars, L_bar = self.fields(now_bars, at, bars, a_bar, loss_bar)
        for c in reversed(range(self.module.FIELDS)):
            now_bars = self.parameter_direction(now_bars, at, L_bar, before, c)
        return now_bars, None

    def update(self, after: _Bars, t: Array, at: dict, bars: dict) -> tuple[_Bars, Array, Array, Array]:
        """The optimizer, the gradient of the risk and the train loss: (bars, of the gradients, of their factors, of the losses)."""
        theta = at["theta"]
        updated = self.adjoint.optimizer(t, theta, at["state"], at["gradient"], after.theta, after.state, self.design.parameters)
        theta_bar, state_bar, gradient_bar = jax.tree.map(lambda x: jnp.broadcast_to(jnp.asarray(x, float), theta.shape), updated)
        arrays = self.constants | {"theta": theta, "a": at["a"], "M": at["M"], "Zu": self.trace.Zu}
        arrays |= {"loss": self.local(self.module.loss, at["h"]), "gradient_bar": gradient_bar, "train_loss_bar": bars["train_loss"]}
        found = named(self.adjoint.update, arrays)
        moved = after._replace(theta=theta_bar + found[0], state=state_bar, Zu=after.Zu + found[3], by_sample=after.by_sample + found[5])
        return moved, found[1], found[2], found[4]

    def gradient_direction(self, after: _Bars, at: dict, M_bar: Array, before: Array, c: int) -> tuple[_Bars, Array]:
        """The direction that gradient c opens, and its product with the noise: (bars, of the gradient)."""
        slot, trace, end = before + c, self.trace, before + self.module.FIELDS
        arrays = self.constants | {
            "slope": at["a"][:, c],
            "u": self.upto(slot, trace.u),
            "g": self.upto(end, trace.g),
            "q": self.upto(end, trace.q),
            "z_new": trace.z[:, slot],
            "u_new": trace.u[:, slot],
            "upsilon": at["scalars"].ug[:, c],
            "psi_new": at["scalars"].psi[:, c],
            "Zu_new_bar": after.Zu[:, slot],
            "u_new_bar": after.u[:, slot],
        }
        found = named(self.adjoint.gradient_direction, arrays | self.of_row(at["M"][:, c], M_bar[:, c], slot, trace.u[:, slot]))
        return self.added(after, *found[1:]), found[0]

    def fields(self, after: _Bars, at: dict, bars: dict, a_bar: Array, loss_bar: Array) -> tuple[_Bars, Array]:
        """The samples' gradients and losses, and their fields: (bars, of the parameters' factors)."""
        exists = self.weights.samples[:, None]
        curvature = self.local(self.adjoint.curvature, at["h"])
        h_bar = named(self.adjoint.sample, {"A": curvature, "a": at["a"], "a_bar": a_bar * exists, "loss_bar": loss_bar})
        arrays = self.constants | {"theta": at["theta"], "L": at["L"], "Zq": self.trace.Zq, "h_bar": h_bar}
        found = named(self.adjoint.fields, arrays | {f"{name}_bar": bars[name] for name in ("m", "Q", "Q_k")})
        by_coordinate = after.by_coordinate + found[3]
        return after._replace(theta=after.theta + found[0], Zq=after.Zq + found[2], by_coordinate=by_coordinate), found[1]

    def parameter_direction(self, after: _Bars, at: dict, L_bar: Array, before: Array, c: int) -> _Bars:
        """The direction that column c opens, and its product with the noise."""
        slot, trace = before + c, self.trace
        arrays = self.constants | {
            "column": at["theta"][c],
            "q": self.upto(slot, trace.q),
            "z": self.upto(before, trace.z),
            "u": self.upto(before, trace.u),
            "g_new": trace.g[:, slot],
            "q_new": trace.q[:, slot],
            "chi": at["scalars"].qz[:, c],
            "phi_new": at["scalars"].phi[:, c],
            "Zq_new_bar": after.Zq[:, slot],
            "q_new_bar": after.q[:, slot],
        }
        found = named(self.adjoint.parameter_direction, arrays | self.of_row(at["L"][:, c], L_bar[:, c], slot, trace.q[:, slot]))
        return self.added(after._replace(theta=after.theta.at[c].add(found[0])), *found[1:])

    @staticmethod
    def added(after: _Bars, q: Array, u: Array, by_sample: Array, by_coordinate: Array) -> _Bars:
        """Of directions and weights, what a new direction adds."""
        weights = {"by_sample": after.by_sample + by_sample, "by_coordinate": after.by_coordinate + by_coordinate}
        return after._replace(q=after.q + q, u=after.u + u, **weights)

    def local(self, function: Callable[..., object], h: Array) -> Array:
        """A function of the samples, cluster by cluster."""
        clusters = range(self.module.CLUSTERS)
        return jnp.stack([_stacked(function(h[k], self.labels[k], self.design.parameters), h[k, 0]) for k in clusters])

    def upto(self, count: Array, directions: Array) -> Array:
        """The directions in the first slots, the others zero."""
        return jnp.where((self.slots < count)[:, None], directions, 0.0)

    def of_row(self, row: Array, row_bar: Array, slot: Array, new: Array) -> dict[str, Array]:
        """A row of a Cholesky factor with its adjoint, and the direction `new` that it adds; the rest's square is 1 where none is."""
        diagonal, earlier = row[:, slot], self.slots < slot
        opened = diagonal > 0
        return {
            "held": jnp.where(earlier, row, 0.0),
            "row_bar": jnp.where(earlier, row_bar, 0.0),
            "diagonal_bar": row_bar[:, slot],
            "opened": opened * 1.0,
            "square": jnp.where(opened, diagonal**2, 1.0),
            "rest": diagonal[:, None] * new,
        }


def _stacked(rows: object, like: Array) -> Array:
    """Nested tuples of arrays as one array, each entry of the shape of `like`."""
    if isinstance(rows, tuple):
        return jnp.stack([_stacked(entry, like) for entry in rows])
    return jnp.broadcast_to(jnp.asarray(rows, like.dtype), like.shape)
