"""The adjoint of a surrogate run: influence of each sample and coordinate on an output, in one reverse sweep. Source: theory.md 1.3.

The equations come generated (runtime/influence.py); what is here keeps the slots of directions, of which those to come are not there.

Cost of a sweep: time O((n + d) T^2 C^2 K), memory O((n + d) T C K), like the run itself.
"""

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
    fields, clusters = module.FIELDS, module.CLUSTERS
    slots = np.arange(trace.q.shape[1])
    n, d = sum(design.counts), sum(design.sizes)
    weights, parameters, labels = unit_weights(design), design.parameters, jnp.asarray(design.labels)
    deviation = jnp.sqrt(jnp.repeat(jnp.asarray(design.variance), np.asarray(design.sizes), axis=1, total_repeat_length=d))
    constants = {
        "of_sample": weights.samples,
        "of_coordinate": weights.coordinates,
        "deviation": deviation,
        "means": means,
        "counts": jnp.asarray(design.counts, float),
        "p": jnp.asarray(design.counts) / n,
        "ridge": design.ridge,
        "total": n,
    }

    def local(function, h):
        return jnp.stack([_stacked(function(h[k], labels[k], parameters), h[k, 0]) for k in range(clusters)])

    def upto(count: Array, directions: Array) -> Array:
        """The directions in the first slots, the others zero."""
        return jnp.where((slots < count)[:, None], directions, 0.0)

    def of_row(row: Array, row_bar: Array, slot: Array, new: Array) -> dict[str, Array]:
        """A row of a Cholesky factor with its adjoint, and the direction `new` that it adds; the rest's square is 1 where none is."""
        diagonal, earlier = row[:, slot], slots < slot
        opened = diagonal > 0
        return {
            "held": jnp.where(earlier, row, 0.0),
            "row_bar": jnp.where(earlier, row_bar, 0.0),
            "diagonal_bar": row_bar[:, slot],
            "opened": opened * 1.0,
            "square": jnp.where(opened, diagonal**2, 1.0),
            "rest": diagonal[:, None] * new,
        }

    def step(carry, now):
        theta_bar, state_bar, q_bar, Zu_bar, u_bar, Zq_bar, by_sample, by_coordinate = carry
        t, at, bars = now
        theta, a, L, M = at["theta"], at["a"], at["L"], at["M"]
        before = t * fields
        updated = adjoint.optimizer(t, theta, at["state"], at["gradient"], theta_bar, state_bar, parameters)
        theta_bar, state_bar, gradient_bar = jax.tree.map(lambda x: jnp.broadcast_to(jnp.asarray(x, float), theta.shape), updated)

        arrays = constants | {"theta": theta, "a": a, "M": M, "Zu": trace.Zu, "loss": local(module.loss, at["h"])}
        found = named(adjoint.update, arrays | {"gradient_bar": gradient_bar, "train_loss_bar": bars["train_loss"]})
        theta_bar, Zu_bar, by_sample = theta_bar + found[0], Zu_bar + found[3], by_sample + found[5]
        a_bar, M_bar, loss_bar = found[1], found[2], found[4]
        for c in reversed(range(fields)):
            slot = before + c
            arrays = constants | {
                "slope": a[:, c],
                "u": upto(slot, trace.u),
                "g": upto(before + fields, trace.g),
                "q": upto(before + fields, trace.q),
                "z_new": trace.z[:, slot],
                "u_new": trace.u[:, slot],
                "upsilon": at["scalars"].ug[:, c],
                "psi_new": at["scalars"].psi[:, c],
                "Zu_new_bar": Zu_bar[:, slot],
                "u_new_bar": u_bar[:, slot],
            }
            found = named(adjoint.gradient_direction, arrays | of_row(M[:, c], M_bar[:, c], slot, trace.u[:, slot]))
            a_bar = a_bar.at[:, c].add(found[0])
            q_bar, u_bar = q_bar + found[1], u_bar + found[2]
            by_sample, by_coordinate = by_sample + found[3], by_coordinate + found[4]

        exists = weights.samples[:, None]
        arrays = {"A": local(adjoint.curvature, at["h"]), "a": a, "a_bar": a_bar * exists, "loss_bar": loss_bar}
        h_bar = named(adjoint.sample, arrays)
        arrays = constants | {"theta": theta, "L": L, "Zq": trace.Zq, "h_bar": h_bar}
        found = named(adjoint.fields, arrays | {f"{name}_bar": bars[name] for name in ("m", "Q", "Q_k")})
        theta_bar, L_bar, Zq_bar, by_coordinate = theta_bar + found[0], found[1], Zq_bar + found[2], by_coordinate + found[3]
        for c in reversed(range(fields)):
            slot = before + c
            arrays = constants | {
                "column": theta[c],
                "q": upto(slot, trace.q),
                "z": upto(before, trace.z),
                "u": upto(before, trace.u),
                "g_new": trace.g[:, slot],
                "q_new": trace.q[:, slot],
                "chi": at["scalars"].qz[:, c],
                "phi_new": at["scalars"].phi[:, c],
                "Zq_new_bar": Zq_bar[:, slot],
                "q_new_bar": q_bar[:, slot],
            }
            found = named(adjoint.parameter_direction, arrays | of_row(L[:, c], L_bar[:, c], slot, trace.q[:, slot]))
            theta_bar = theta_bar.at[c].add(found[0])
            q_bar, u_bar = q_bar + found[1], u_bar + found[2]
            by_sample, by_coordinate = by_sample + found[3], by_coordinate + found[4]
        return (theta_bar, state_bar, q_bar, Zu_bar, u_bar, Zq_bar, by_sample, by_coordinate), None

    zeros = jnp.zeros_like
    start = (
        zeros(trace.theta[0]),
        jax.tree.map(lambda x: zeros(x[0]), trace.state),
        *map(zeros, (trace.q, trace.Zu, trace.u, trace.Zq, weights.samples, weights.coordinates)),
    )
    by_time = {name: getattr(trace, name) for name in ("theta", "state", "h", "a", "gradient", "L", "M", "scalars")}
    last, _ = jax.lax.scan(step, start, (jnp.arange(len(trace.theta)), by_time, order_bar), reverse=True)
    return Weights(*last[-2:])


def _stacked(rows: object, like: Array) -> Array:
    """Nested tuples of arrays as one array, each entry of the shape of `like`."""
    if isinstance(rows, tuple):
        return jnp.stack([_stacked(entry, like) for entry in rows])
    return jnp.broadcast_to(jnp.asarray(rows, like.dtype), like.shape)
