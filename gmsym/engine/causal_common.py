"""Innovations of Theta that all clusters share, of modules in coordinates (theory.md 2; verified/real_data.md 1).

Letters: k clusters (K), b coordinates (d), c fields (C), i innovations of Theta, j innovations of the fields or of the noise, x what a
vector is held as: its known part D in a coordinate, then its coefficients Y of the noise innovations.

Theta(t) = sum_i Lt(i) e_i with e_i orthonormal in the pooled metric. In cluster k their Gram matrix has the Cholesky factors Lw, so that
the fields' noise is sum_ij Lt(i) Lw(i, j) g_j. A cluster in which an innovation adds nothing has a zero on the diagonal of its factors.

Cost of a step: O(d r r_a) beside the samples, two passes over the innovations where none opens. Of a new innovation: O(G d^2) with G full
covariances that differ, the only place where these are read.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gmsym.runtime.causal_kernels import CausalKernelsModule, given

Arrays = dict[str, Any]
_SHARPER = 1.25  # power of the tolerance: what is left over is not orthogonal in a cluster's own metric, and enters at first order
_NOTHING = 1e-12  # share of an innovation's square that is rounding


def common_innovations(module: CausalKernelsModule, x: Arrays, tolerance: Any, carry: Any) -> tuple[Arrays, Any]:
    """(Theta in innovations, and factors of the fields' noise; state with innovations that were opened)."""
    tolerance, (e,), (rank,), Lw, e_S = tolerance**_SHARPER, carry.e, carry.rank, carry.Lw, carry.e_S
    fields, room = carry.theta.shape[1], e.shape[1]
    Lt = jnp.zeros((fields, room))

    def inner(u: Float[Array, "b i x"], v: Float[Array, "b j x"]) -> Float[Array, "i j"]:
        return given(module.pooled_overlap, x | {"D": u[..., 0], "Y": u[..., 1:], "D_s": v[..., 0], "Y_s": v[..., 1:]})

    def opened(rank: Array, new: Float[Array, "b x"], e: Array, Lw: Array, e_S: Array | None) -> tuple[Array, Array, Array | None]:
        e = e.at[:, rank].set(new, mode="drop")
        arrays = x | {"e_D": e[..., 0], "e_Y": e[..., 1:], "e_D_new": new[:, None, 0], "e_Y_new": new[:, None, 1:]}
        if e_S is not None:
            arrays["e_S_new"] = jnp.einsum("kg,gbi->kbi", x["members"], given(module.turned, x | {"e_D": new[:, None, 0]}))
            e_S = e_S.at[:, :, rank].set(arrays["e_S_new"][..., 0], mode="drop")
        row = given(module.gram_of_factors, {"Ge": given(module.innovation_gram, arrays)})[..., 0]
        return e, Lw.at[:, rank].set(_factor(Lw, row, rank), mode="drop"), e_S

    def looked_at(vector: Float[Array, "b x"], total: Array, along: Float[Array, " i"], *now: Any) -> tuple[Array, Any]:
        """(components, what there is now) of a vector of which more than rounding may be left."""
        e, rank, Lw, e_S = now
        vector = vector - jnp.einsum("i,bix->bx", along, e)
        again = inner(e, vector[:, None])[:, 0]
        vector = vector - jnp.einsum("i,bix->bx", again, e)
        left = inner(vector[:, None], vector[:, None])[0, 0]
        new = left > tolerance * total
        size = jnp.sqrt(jnp.where(new, left, 1.0))
        e, Lw, e_S = jax.lax.cond(new, opened, lambda rank, _, *same: same, rank, vector / size, e, Lw, e_S)
        return (along + again).at[jnp.where(new, rank, room)].add(size, mode="drop"), (e, rank + new, Lw, e_S)

    now = e, rank, Lw, e_S
    for c in range(fields):
        vector = carry.theta[:, c]
        total, along = inner(vector[:, None], vector[:, None])[0, 0], inner(now[0], vector[:, None])[:, 0]
        # What is left by the difference of squares is right to rounding of the whole, so that it decides whether to look.
        look = total - along @ along > tolerance / 2 * total
        row, now = jax.lax.cond(look, looked_at, lambda _, __, along, *same: (along, same), vector, total, along, *now)
        Lt = Lt.at[c].set(row)
    e, rank, Lw, e_S = now
    found = {"Lt": Lt, "Lw": Lw, "e_D": e[..., 0], "e_Y": e[..., 1:], "e_S": e_S}
    found["L"] = given(module.noise_factors, found)
    return found, carry._replace(e=e[None], rank=rank[None], Lw=Lw, e_S=e_S)


def responses(Lw: Float[Array, "k i j"], B: Float[Array, "k c j"]) -> Float[Array, "k c i"]:
    """Bt, responses of the gradients to innovations of Theta: sum_i Bt(i) Lw(i, j) = B(j), 0 where an innovation adds nothing."""
    present = jnp.diagonal(Lw, axis1=1, axis2=2) > 0
    known = jnp.where(present[:, None], B, 0.0)
    return jnp.swapaxes(_solve(Lw, present, jnp.swapaxes(known, 1, 2), trans=1), 1, 2)


def _factor(Lw: Float[Array, "k i j"], row: Float[Array, "k i"], place: Array) -> Float[Array, "k j"]:
    """The row of the factors at `place`, where the Gram matrix has this one."""
    present = jnp.diagonal(Lw, axis1=1, axis2=2) > 0
    found = _solve(Lw, present, jnp.where(present, row, 0.0)[..., None], trans=0)[..., 0]
    own = row[:, place]
    left = own - jnp.sum(found**2, axis=1)
    return found.at[:, place].set(jnp.where(left > _NOTHING * own, jnp.sqrt(jnp.maximum(left, 0.0)), 0.0), mode="drop")


def _solve(Lw: Array, present: Array, right: Array, trans: int) -> Array:
    """Lw z = right, or with its transposed, among what is present."""
    whole = jnp.where(present[..., None], Lw, jnp.eye(Lw.shape[-1]))
    return jax.vmap(lambda matrix, y: jax.scipy.linalg.solve_triangular(matrix, y, lower=True, trans=trans))(whole, right)
