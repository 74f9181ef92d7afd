"""Innovations of Theta that all clusters share, of modules in coordinates (theory.md 2; verified/real_data.md 1).

Letters: k clusters (K), b coordinates (d), c fields (C), i innovations of Theta, j innovations of the fields or of the noise. A vector has
parts: what is known of it in each coordinate, D, its coefficients Y of the noise innovations, and perhaps Z (A, B, c, j) of the first
coordinates, which respond to each other's noise.

Theta(t) = sum_i Lt(i) e_i with e_i orthonormal in the pooled metric. In cluster k their Gram matrix has the Cholesky factors Lw, so that
the fields' noise is sum_ij Lt(i) Lw(i, j) g_j. A cluster in which an innovation adds nothing has a zero on the diagonal of its factors.

Cost of a step: O(d r r_a) beside the samples, one pass over the innovations where none opens. Of a new innovation: O(G d^2) with G full
covariances that differ, the only place where these are read. Sums over coordinates are taken last: contracting each by itself turns no
array round, which would cost more than all the arithmetic.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gmsym.runtime.causal_kernels import CausalKernelsModule, given

Arrays = dict[str, Any]
_SHARPER = 1.25  # power of the tolerance: what is left over is not orthogonal in a cluster's own metric, and enters at first order
_LEAD = {"D": 1, "Y": 1, "Z": 2}  # axes of coordinates of a part
_NOTHING = 1e-12  # share of an innovation's square that is rounding


def common_innovations(module: CausalKernelsModule, x: Arrays, tolerance: Any, carry: Any) -> tuple[Arrays, Any]:
    """(Theta in innovations, and factors of the fields' noise; state with innovations that were opened)."""
    tolerance, (rank,) = tolerance**_SHARPER, carry.rank
    room = carry.e["D"].shape[1]

    def inner(u: Arrays, v: Arrays) -> Float[Array, "i j"]:
        def named(u: Arrays, v: Arrays, cut: Any) -> Arrays:
            return {part: y[cut] for part, y in u.items()} | {f"{part}_s": y[cut] for part, y in v.items()}

        one, none = [{part: y for part, y in z.items() if part != "Z"} for z in (u, v)], slice(0)
        # Parts of a coordinate, then those of a row of pairs, each with nothing of the other.
        pairs = named({"Z": u["Z"]}, {"Z": v["Z"]}, none) | {"pair": x["pair"][none]} if "Z" in u else {}

        def of_coordinate(rho: Array, sigma2: Array, u: Arrays, v: Arrays) -> Array:
            return given(module.pooled_overlap, x | pairs | {"rho": rho[None], "sigma2": sigma2[:, None]} | named(u, v, None))

        found = jax.vmap(of_coordinate, in_axes=(0, 1, 0, 0))(x["rho"], x["sigma2"], *one).sum(axis=0)
        if "Z" not in u:
            return found
        single = named(*one, none) | {"rho": x["rho"][none], "sigma2": x["sigma2"][:, none]}

        def of_row(pair: Array, u: Array, v: Array) -> Array:
            return given(module.pooled_overlap, x | single | {"pair": pair[None], "Z": u[None], "Z_s": v[None]})

        return found + jax.vmap(of_row)(x["pair"], u["Z"], v["Z"]).sum(axis=0)

    def without(vector: Arrays, along: Float[Array, " i"], e: Arrays) -> Arrays:
        def part_of(part: str) -> Array:
            lead = e[part].shape[: _LEAD[part]]
            each = jnp.broadcast_to(along, (*lead, room))  # a number a coordinate: see above
            total = lambda along, e: jnp.tensordot(along, e, 1)[None]  # noqa: E731
            for _ in lead:
                total = jax.vmap(total)
            return vector[part] - total(each, e[part])

        return {part: part_of(part) for part in vector}

    def opened(rank: Array, new: Arrays, e: Arrays, Lw: Array, e_S: Array | None) -> tuple[Arrays, Array, Array | None]:
        e = {part: y.at[_at(part, rank)].set(new[part][_at(part, 0)], mode="drop") for part, y in e.items()}
        arrays = x | {f"e_{part}": y for part, y in e.items()} | {f"e_{part}_new": y for part, y in new.items()}
        if e_S is not None:
            turned = given(module.turned, x | {"e_D": new["D"]})
            arrays["e_S_new"] = jnp.einsum("kg,gbi->kbi", x["members"], turned)
            e_S = e_S.at[:, rank].set(arrays["e_S_new"][..., 0].T, mode="drop")
        row = given(module.gram_of_factors, {"Ge": given(module.innovation_gram, arrays)})[..., 0]
        return e, Lw.at[:, rank].set(_factor(Lw, row, rank), mode="drop"), e_S

    def looked_at(vector: Arrays, total: Array, along: Float[Array, " i"], *now: Any) -> tuple[Array, Any]:
        """(components, what there is now) of a vector of which more than rounding may be left."""
        e, rank, Lw, e_S = now
        vector = without(vector, along, e)
        again = inner(e, vector)[:, 0]
        vector = without(vector, again, e)
        left = inner(vector, vector)[0, 0]
        new = left > tolerance * total
        size = jnp.sqrt(jnp.where(new, left, 1.0))
        unit = {part: y / size for part, y in vector.items()}
        e, Lw, e_S = jax.lax.cond(new, opened, lambda rank, _, *same: same, rank, unit, e, Lw, e_S)
        return (along + again).at[jnp.where(new, rank, room)].add(size, mode="drop"), (e, rank + new, Lw, e_S)

    Lt, now = [], (carry.e, rank, carry.Lw, carry.e_S)
    for c in range(module.FIELDS):
        vector = {part: y[_at(part, slice(c, c + 1))] for part, y in carry.theta.items()}
        total, along = inner(vector, vector)[0, 0], inner(now[0], vector)[:, 0]
        # What is left by the difference of squares is right to rounding of the whole, so that it decides whether to look.
        look = total - along @ along > tolerance / 2 * total
        row, now = jax.lax.cond(look, looked_at, lambda _, __, along, *same: (along, same), vector, total, along, *now)
        Lt.append(row)
    e, rank, Lw, e_S = now
    found = {"Lt": jnp.stack(Lt), "Lw": Lw, "e_S": None if e_S is None else jnp.moveaxis(e_S, -1, 0)}
    found |= {f"e_{part}": y for part, y in e.items()}
    found["L"] = given(module.noise_factors, found)
    return found, carry._replace(e=e, rank=rank[None], Lw=Lw, e_S=e_S)


def _at(part: str, index: Any) -> tuple[Any, ...]:
    """Place of an index in the axis of innovations, or of fields, of a part."""
    return (slice(None),) * _LEAD[part] + (index,)


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
