"""One step of the causal solver: orthogonalisation on both sides around the generated equations. Source: theory.md (2.5)-(2.7).

Vectors of the parameters' space are held as coefficients x of Theta(0) (C), the means (K) and the noise innovations (r_a),
block by block. Populations of samples are held as their values at the N points; where gradients are affine in the fields
(response "exact"), as their mean and their r derivatives in the fields' innovations, N = 1 + r. All mathematics of the
theory is in the module's functions; here vectors are cut, joined, projected and normalised.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gmsym.runtime.causal_kernels import CausalKernelsModule, Numbers, given

Arrays = dict[str, Any]


class Carry(NamedTuple):
    """State of the pass between two steps."""

    theta: Float[Array, "b c x"]
    state: tuple[Float[Array, "b c x"], ...]
    noise: Float[Array, "b i j"]  # covariance of the noise innovations times n
    e: Float[Array, "k b j x"]  # field innovations, orthonormal in the cluster's metric
    f: Float[Array, "k j n"]  # gradient innovations, orthonormal over the mixture
    Df: Float[Array, "k i j n"] | None  # their derivatives in the field innovations, where these are sampled
    rank: Float[Array, " k"]
    rank_a: Float[Array, ""]
    overflow: Float[Array, ""]  # whether an innovation found no place


def start(module: CausalKernelsModule, numbers: Numbers, rank: int, rank_a: int, points: int) -> Carry:
    """Before the first step, with room for so many innovations of the fields and of the gradients."""
    fields, clusters, blocks = module.FIELDS, module.CLUSTERS, module.BLOCKS

    def first(suffix: str) -> Array:
        P = module.START[f"P{suffix}"] * jnp.eye(fields)
        U = jnp.full((clusters, blocks, fields), float(module.START[f"U{suffix}"]))
        return _joined(jnp.broadcast_to(P, (blocks, fields, fields)), U, jnp.zeros((blocks, fields, rank_a)))

    population = 1 + rank if module.RESPONSE == "exact" else points
    return Carry(
        theta=first(""),
        state=tuple(first(f"_{variable}") for variable in module.STATE),
        noise=jnp.zeros((blocks, rank_a, rank_a)),
        e=jnp.zeros((clusters, blocks, rank, fields + clusters + rank_a)),
        f=jnp.zeros((clusters, rank_a, population)),
        Df=jnp.zeros((clusters, rank_a, rank, points)) if module.RESPONSE == "tangent" else None,
        rank=jnp.zeros(clusters, dtype=jnp.int32),
        rank_a=jnp.zeros((), dtype=jnp.int32),
        overflow=jnp.zeros((), dtype=bool),
    )


def step(
    module: CausalKernelsModule, numbers: Numbers, g: Array | None, tolerance: Any, carry: Carry, t: Array
) -> tuple[Carry, dict[str, Array]]:
    """Row t: overlaps of Theta, fields and gradients, their kernels, update. `g` are the points, None if nothing is sampled."""
    x = _known(numbers)
    x |= _cut(module, carry.theta) | {"Phi": carry.noise}
    twice = x | _cut(module, carry.theta, "_s")
    x["m"] = given(module.mean_overlap, x)
    order = {"m": x["m"], "Q": given(module.overlap, twice), "Q_k": given(module.cluster_overlap, twice)}

    orthogonalise = jax.vmap(partial(_field_innovations, carry.theta, tolerance))
    x["L"], e, rank, full = orthogonalise(_metric(module, x, carry.theta.shape[-1]), carry.e, carry.rank)
    x |= {"e_P": jnp.swapaxes(e[..., : module.FIELDS], 2, 3)}
    x |= {"e_U": jnp.moveaxis(e[..., module.FIELDS : module.FIELDS + module.CLUSTERS], -1, 0)}
    x |= {"e_Y": e[..., module.FIELDS + module.CLUSTERS :]}

    x["Rt"] = given(module.memory, x)
    x |= _population(module, carry.f) | ({} if carry.Df is None else {"Df": carry.Df})
    a, Da, order["train_loss"] = (_exact if g is None else _sampled)(module, numbers, g, x)
    x["La"], f, Df, noise, count, full_a = _gradient_innovations(module, x, tolerance, carry, a, Da)

    def moved(old: Array, suffix: str) -> Array:
        return _joined(*(jnp.broadcast_to(given(getattr(module, f"next_{part}{suffix}"), new), new[part].shape) for part in "PUY"))

    new = x | {"t": t, "parameters": numbers.parameters}
    for variable, value in zip(module.STATE, carry.state, strict=True):
        new |= _cut(module, value, f"_{variable}")
    theta = moved(carry.theta, "")
    state = tuple(moved(value, f"_{variable}") for variable, value in zip(module.STATE, carry.state, strict=True))
    order |= {"theta": carry.theta, "La": x["La"]}
    return Carry(theta, state, noise, e, f, Df, rank, count, carry.overflow | full.any() | full_a), order


def two_time_overlaps(module: CausalKernelsModule, numbers: Numbers, theta: Array, noise: Array) -> Array:
    """Q(t, s) of all pairs of times (T, T, C, C), from the coefficients of Theta (T, b, c, x)."""
    x = _known(numbers) | {"Phi": noise}
    row = lambda one: jax.vmap(lambda other: given(module.overlap, x | _cut(module, one) | _cut(module, other, "_s")))(theta)  # noqa: E731
    return jax.lax.map(row, theta)


def _known(numbers: Numbers) -> Arrays:
    """The problem's numbers by their names in generated text."""
    return {
        "alpha": numbers.alpha,
        "ridge": numbers.ridge,
        "p": numbers.probabilities,
        "rho": numbers.fractions,
        "sigma2": numbers.variance,
        "gram": numbers.means_gram,
        "Q_0": numbers.initial_gram,
        "m_0": numbers.initial_overlap.T,
    }


def _cut(module: CausalKernelsModule, vectors: Float[Array, "b c x"], suffix: str = "") -> Arrays:
    """Coefficients of Theta(0), the means, and the noise innovations."""
    known = module.FIELDS + module.CLUSTERS
    P, U, Y = vectors[..., : module.FIELDS], vectors[..., module.FIELDS : known], vectors[..., known:]
    return {f"P{suffix}": P, f"U{suffix}": jnp.moveaxis(U, -1, 0), f"Y{suffix}": Y}


def _joined(P: Array, U: Array, Y: Array) -> Float[Array, "b c x"]:
    return jnp.concatenate([P, jnp.moveaxis(U, 0, -1), Y], axis=-1)


def _metric(module: CausalKernelsModule, x: Arrays, size: int) -> Float[Array, "k b x y"]:
    """Matrix, in the basis, of the bilinear form that is the covariance of the fields' noise."""

    def of_block(rho: Array, sigma2: Array, noise: Array) -> Array:
        units = jnp.eye(size)[None]
        block = {"rho": rho[None], "sigma2": sigma2[:, None], "Phi": noise[None]}
        both = x | block | _cut(module, units) | _cut(module, units, "_s")
        return given(module.noise_of_fields, {"Qk": given(module.cluster_overlap, both)})

    return jax.vmap(of_block, in_axes=(0, 1, 0), out_axes=1)(x["rho"], x["sigma2"], x["Phi"])


def _population(module: CausalKernelsModule, f: Float[Array, "k j n"], suffix: str = "") -> Arrays:
    """Functions of the samples under the names of generated text."""
    if module.RESPONSE != "exact":
        return {f"f{suffix}": f}
    return {f"fbar{suffix}": f[..., 0], f"Df{suffix}": f[..., 1:]}


def _sampled(module: CausalKernelsModule, numbers: Numbers, g: Array, x: Arrays) -> tuple[Array, Array | None, Array]:
    """(gradients, their derivatives in the fields' innovations, train loss) of the population; adds its means to x."""

    def local(function: Callable[..., Array], h: Array) -> Array:
        return jnp.stack([function(h[k], numbers.labels[k], numbers.parameters) for k in range(module.CLUSTERS)])

    x["g"] = g
    h = given(module.field, x)
    x["a"] = local(module.gradient, h)
    if module.RESPONSE == "tangent":
        x["Da"] = given(module.tangent, x | {"A": local(module.hessian, h)})
    x["abar"], x["B"] = given(module.mean_gradient, x), given(module.response, x)
    return x["a"], x.get("Da"), given(module.train_loss, x | {"ell": local(module.loss, h)})


def _exact(module: CausalKernelsModule, numbers: Numbers, g: None, x: Arrays) -> tuple[Array, None, Array]:
    """The same for affine gradients, (mean, derivatives) along the last axis."""
    parameters, origin = numbers.parameters, jnp.zeros((module.FIELDS, 1))
    x["slope"] = jnp.stack([module.hessian(origin, y, parameters)[..., 0] for y in numbers.labels])
    x["offset"] = jnp.stack([jnp.stack(jnp.broadcast_arrays(*map(jnp.asarray, module.offset(y, parameters)))) for y in numbers.labels])
    x["abar"], x["B"] = given(module.mean_gradient, x), given(module.response, x)
    x["Dh"] = given(module.field_slope, x)
    # The loss is quadratic: its mean follows from the first two moments of the field, as that of a fresh sample does.
    loss = module.test_loss(given(module.mean_field, x), given(module.field_covariance, x), parameters)
    return jnp.concatenate([x["abar"][..., None], x["B"]], axis=-1), None, given(module.train_loss, x | {"mean_loss": loss})


def _field_innovations(
    theta: Array, tolerance: Any, metric: Float[Array, "b x y"], e: Array, rank: Array
) -> tuple[Array, Array, Array, Array]:
    """Expand the columns of Theta in one cluster's innovations, opening new ones where needed.

    Projecting twice keeps the innovations orthonormal although successive iterates are nearly collinear; a Cholesky
    factor of their Gram matrix would not survive it.
    """
    L = jnp.zeros((theta.shape[1], e.shape[1]))
    full = jnp.zeros((), dtype=bool)
    for c in range(theta.shape[1]):
        vector = theta[:, c]
        inner = lambda u, v: jnp.einsum("b...x,bxy,by->...", u, metric, v)  # noqa: E731
        total = inner(vector, vector)
        for _ in range(2):
            projection = inner(e, vector)
            vector = vector - jnp.einsum("j,bjx->bx", projection, e)
            L = L.at[c].add(projection)
        residual = inner(vector, vector)
        new = residual > tolerance * total
        full |= new & (rank == e.shape[1])
        place = jnp.minimum(rank, e.shape[1] - 1)
        size = jnp.sqrt(jnp.where(new, residual, 1.0))
        L = L.at[c, place].add(jnp.where(new, size, 0.0))
        e = e.at[:, place].set(jnp.where(new, vector / size, e[:, place]))
        rank = rank + new
    return L, e, rank, full


def _gradient_innovations(
    module: CausalKernelsModule, x: Arrays, tolerance: Any, carry: Carry, a: Array, Da: Array | None
) -> tuple[Any, ...]:
    """Expand the gradients in innovations common to all clusters, opening new ones where needed."""
    f, Df, noise, count = carry.f, carry.Df, carry.noise, carry.rank_a
    rank_a = f.shape[1]
    La = jnp.zeros((module.FIELDS, rank_a))
    full = jnp.zeros((), dtype=bool)

    def product(of: Callable[..., Array], u: Array, v: Array) -> Array:
        """One of the module's mean products of functions of the samples with another one, v."""
        return given(of, x | _population(module, u) | _population(module, v[:, None], "_new"))[..., 0]

    inner = partial(product, module.mixture_correlation)

    for c in range(module.FIELDS):
        vector = a[:, c]
        total = inner(vector[:, None], vector)[0]
        for _ in range(2):
            projection = inner(f, vector)
            vector = vector - jnp.einsum("j,kjn->kn", projection, f)
            La = La.at[c].add(projection)
        residual = inner(vector[:, None], vector)[0]
        new = residual > tolerance * total
        full |= new & (count == rank_a)
        new &= count < rank_a
        place = jnp.minimum(count, rank_a - 1)
        size = jnp.sqrt(jnp.where(new, residual, 1.0))
        past = La[c]

        def opened(f, Df, noise, place=place, size=size, past=past, vector=vector, c=c):
            f = f.at[:, place].set(vector / size)
            if Df is not None and Da is not None:
                # The batched form of the contraction is the one that reads Df in order.
                mixed = jnp.einsum("ki,kijn->kjn", jnp.broadcast_to(past, (f.shape[0], rank_a)), Df)
                Df = Df.at[:, place].set((Da[:, c] - mixed) / size)
            row = given(module.noise_covariance, x | {"Gamma": product(module.correlation, f, f[:, place])[..., None]})[..., 0]
            return f, Df, noise.at[:, place].set(row).at[:, :, place].set(row)

        # The large arrays pass through one conditional, so that they are updated in place and copied at no step.
        f, Df, noise = jax.lax.cond(new, opened, lambda *unchanged: unchanged, f, Df, noise)
        La = La.at[c, place].add(jnp.where(new, size, 0.0))
        count = count + new
    return La, f, Df, noise, count, full
