"""One step of the causal solver: orthogonalisation on both sides around the generated equations. Source: theory.md (2.5)-(2.7).

Vectors of the parameters' space are held as coefficients x of Theta(0) (C), the means (K), the teacher directions (S), directions of the
optimizer's noise (as many as there is room for innovations, where it has noise) and the noise innovations (j), block by block; or, where
coordinates are sampled, as values at the points x of their population. Populations of samples are held as their values at points, in tiles
of n that fit a cache, of which the first so many count; where gradients are affine in the fields (response "exact"), as their mean and
their derivatives in the fields' innovations, n = 1 + r. Of a module in coordinates a vector is a dictionary of its parts, D and Y. Each
side, i and j, has room for so many innovations. All mathematics of the theory is in the module's functions; here vectors are cut, joined,
projected and normalised.

A step passes once over the population. Two more passes orthogonalise what is new, only where a direction may open.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gmsym.engine import coordinates as sampled
from gmsym.engine.causal_common import common_innovations, responses
from gmsym.engine.coordinates import Coordinates, Factor
from gmsym.engine.visits import strata
from gmsym.runtime.causal_kernels import (
    CausalKernelsModule,
    Numbers,
    by_batches,
    by_observable,
    cluster_moments,
    given,
    head,
    in_coordinates,
    noisy,
    observables,
    own_noises,
    sampled_coordinates,
    teachers,
    trained,
)

Arrays = dict[str, Any]
LAWS = ("mean_field", "field_covariance")  # rows of the training fields' law where nothing is sampled and there are observables
# Where the blocks are in the arrays that the metric is made of.
_BLOCK_AXIS = {"rho": 0, "Phi": 0, "Q_0": 0, "sigma2": -1, "m_0": 1, "gram": -1, "M_0": 1, "star_mean_b": -1, "star_gram": -1}


class Room(NamedTuple):
    """For innovations. Other modules than those in coordinates have as much on either side."""

    fields: int  # i: of the fields, of Theta in coordinates
    gradients: int  # j


class Population(NamedTuple):
    """Points that stand for the fields' innovations."""

    g: Float[Array, "tiles j n"]
    tiles: Float[Array, ""]  # that count
    seed: Float[Array, ""]  # of what else is drawn
    coordinates: Coordinates | None = None  # where they are sampled


class Carry(NamedTuple):
    """State of the pass between two steps. The population's arrays are (k, j, n) without tiles where nothing is sampled."""

    theta: Any  # (b c x); in coordinates D (b c) and Y (b c j), by name, and with coordinates that respond together Z (q q c j)
    state: tuple[Any, ...]  # likewise
    noise: Float[Array, "b i j"]  # covariance of the noise innovations times n
    e: Any  # field innovations (k b i x), orthonormal in the cluster's metric; in coordinates D (b i) and Y (b i j), common to all clusters
    f: Float[Array, "tiles k j n"]  # gradient innovations, orthonormal over the mixture
    Df: Float[Array, "tiles k i j n"] | None  # their derivatives in the field innovations; for tangents
    a: Float[Array, "tiles k c n"] | None  # room for the step's gradients; where these are sampled
    Da: Float[Array, "tiles k c j n"] | None  # and for their derivatives
    v: tuple[Float[Array, " p"], ...]  # trained parameters of the loss, and their state of the optimizer
    rank: Float[Array, " k"]
    rank_a: Float[Array, ""]
    visit: Float[Array, "tiles k n"] | None  # state of each sample; of mini-batches
    factor: Factor | None = None  # of the noise innovations' covariance; of sampled coordinates
    Lw: Float[Array, "k i j"] | None = None  # in coordinates: factors of the Gram matrices of e
    e_S: Float[Array, "b i k"] | None = None  # and covariances times these
    Gamma: Float[Array, "k i j"] | None = None  # correlation of the gradients' innovations; with coordinates that respond together


def start(
    module: CausalKernelsModule, numbers: Numbers, room: Room, tiles: int, points: int, coordinates: Coordinates | None = None
) -> Carry:
    """Before the first step, with room for so many innovations, and tiles of so many points."""
    fields, clusters, blocks = module.FIELDS, module.CLUSTERS, module.BLOCKS
    (i, j), first_ones = room, head(module)
    known = _known_vectors(module) + j * noisy(module)
    common = in_coordinates(module)
    on_points, tangents = module.RESPONSE != "exact", module.RESPONSE == "tangent"
    size = known + j if coordinates is None else coordinates.theta.shape[-1]

    def first(suffix: str) -> Any:
        if common:
            parts = {"D": module.START[f"D{suffix}"] * numbers.start, "Y": np.zeros((blocks, fields, j))}
            return parts | ({"Z": np.zeros((first_ones, first_ones, fields, j))} if first_ones else {})
        vectors = np.zeros((blocks, fields, size))
        if coordinates is not None:
            return vectors if suffix else vectors + coordinates.theta
        vectors[..., :fields] = module.START[f"P{suffix}"] * np.eye(fields)
        vectors[..., fields : fields + clusters] = module.START[f"U{suffix}"]
        return vectors

    e = np.zeros((clusters, blocks, i, size))
    if common:
        e = {"D": np.zeros((blocks, i)), "Y": np.zeros((blocks, i, j))}
        e |= {"Z": np.zeros((first_ones, first_ones, i, j))} if first_ones else {}
    return Carry(
        theta=first(""),
        state=tuple(first(f"_{variable}") for variable in module.STATE),
        noise=np.zeros((blocks, j, j)),
        e=e,
        f=np.zeros((tiles, clusters, j, points) if on_points else (clusters, j, 1 + i)),
        Df=np.zeros((tiles, clusters, j, i, points)) if tangents else None,
        a=np.zeros((tiles, clusters, fields, points)) if on_points else None,
        Da=np.zeros((tiles, clusters, fields, i, points)) if tangents else None,
        v=(numbers.trained, *(np.zeros_like(numbers.trained) for _ in module.STATE)),
        rank=np.full(1 if common else clusters, own_noises(module)),  # the first are samples' own noises, whose e is zero: no vector
        # moves with them
        rank_a=np.zeros((), dtype=np.int64),
        visit=np.zeros((tiles, clusters, points)) if by_batches(module) else None,
        factor=None if coordinates is None else Factor(np.zeros((blocks, j, j)), np.zeros((blocks, j, j))),
        Lw=np.zeros((clusters, i, i)) if common else None,
        e_S=np.zeros((blocks, i, clusters)) if module.KNOWN == "full" else None,
        Gamma=np.zeros((clusters, j, j)) if first_ones else None,
    )


def enlarged(carry: Carry, more: Room) -> Carry:
    """The same state with room for `more` innovations; where every step opens some, there is room for all from the start."""
    i, j = more

    def padded(x: Any, by_axis: dict[int, int]) -> Any:
        return None if x is None else np.pad(x, [(0, by_axis.get(axis, 0)) for axis in range(x.ndim)])

    def vector(x: Any) -> Any:
        if isinstance(x, dict):
            return x | {part: padded(x[part], {x[part].ndim - 1: j}) for part in x if part != "D"}
        return padded(x, {2: j}) if carry.factor is None else x

    if isinstance(carry.e, dict):
        e = {part: padded(x, {1: i} if part == "D" else {x.ndim - 2: i, x.ndim - 1: j}) for part, x in carry.e.items()}
    else:
        e = padded(carry.e, {2: i, 3: j} if carry.factor is None else {2: i})
    return carry._replace(
        theta=vector(carry.theta),
        state=tuple(vector(x) for x in carry.state),
        noise=padded(carry.noise, {1: j, 2: j}),
        factor=None if carry.factor is None else Factor(*(padded(x, {1: j, 2: j}) for x in carry.factor)),
        e=e,
        f=padded(carry.f, {1: j, 2: i} if carry.a is None else {2: j}),
        Df=padded(carry.Df, {2: j, 3: i}),
        Da=padded(carry.Da, {3: i}),
        Lw=padded(carry.Lw, {1: i, 2: i}),
        e_S=padded(carry.e_S, {1: i}),
        Gamma=padded(carry.Gamma, {1: j, 2: j}),
    )


def has_room(module: CausalKernelsModule, carry: Carry) -> Array:
    """Whether all that the next step can open finds a place."""
    return (lacking(module, carry.rank, carry.rank_a, room_of(carry)) <= 0).all()


def lacking(module: CausalKernelsModule, rank: Any, rank_a: Any, room: Room) -> Array:
    """How much room is missing for what the next step can open, of either side."""
    return jnp.stack([jnp.max(rank), rank_a]) + module.FIELDS + teachers(module) - jnp.array(room)


def room_of(carry: Carry) -> Room:
    """That of a state."""
    return Room(carry.e["D"].shape[-1] if isinstance(carry.e, dict) else carry.e.shape[2], carry.noise.shape[-1])


def step(
    module: CausalKernelsModule,
    numbers: Numbers,
    population: Population | None,
    tolerance: Any,
    carry: Carry,
    t: Array,
    of: str | None = None,
) -> tuple[Carry, dict[str, Array]]:
    """Row t: overlaps of Theta, fields and gradients, their kernels, update. No population if nothing is sampled.

    Where a state variable `of` the optimizer is named, a linear combination of the iterates, overlaps and the train loss are its own.
    """
    coordinates = None if population is None else population.coordinates
    x = _known(numbers) | _of_head(module, numbers) | {"Phi": carry.noise, "Gamma": carry.Gamma, "v": carry.v[0]}
    x |= _cut(module, carry.theta) if coordinates is None else sampled.seen(module, coordinates, carry.theta)
    twice = x | _cut(module, carry.theta, "_s") if coordinates is None else x
    x["m"] = given(module.mean_overlap, x)
    vector = carry.theta if of is None else carry.state[module.STATE.index(of)]
    shown = x if of is None else x | _cut(module, vector)
    twice = twice if of is None else shown | _cut(module, vector, "_s")
    order, opened, field = {"m": given(module.mean_overlap, shown), "Q": given(module.overlap, twice)}, carry.rank_a, None
    if in_coordinates(module):
        found, carry = common_innovations(module, x, tolerance, carry)
        x |= found
        order["Q_k"] = jnp.einsum("kcj,kdj->kcd", x["L"], x["L"])  # as the fields have it; a quadratic form of covariances costs d^2
    else:
        order["Q_k"] = given(module.cluster_overlap, twice)
        inner = _coefficients(_metric(module, x, carry.theta.shape[-1])) if coordinates is None else _points(module, x)
        found, carry = _own_innovations(module, x, shown, inner, tolerance, carry, coordinates)
        order |= {name: found.pop(name) for name in ("M", "M_k") if name in found}
        x |= found
        if carry.factor is not None:
            x["Y"] = sampled.response(module, x, carry.factor)
            order |= sampled.share_of_nonzero(module, x)
    x["Rt"] = given(module.memory, x)
    if observables(module):
        x["moments"] = cluster_moments(order["m"], order["Q_k"])
    if of is not None and not in_coordinates(module):  # it is in the span of the iterates, so that it opens nothing
        along = lambda weight, e: jnp.stack([inner.product(weight, e, vector[:, c]) for c in range(module.FIELDS)])  # noqa: E731
        field = {"m": order["m"], "L": jax.vmap(along)(inner.weight, carry.e), "Rt": given(module.memory, shown)}
    if population is None:
        carry, x["La"], order["train_loss"] = _exact(module, numbers, tolerance, x, carry, field)
    else:
        carry, x["La"], order["train_loss"] = _sampled(module, numbers, population, tolerance, x, carry, t, field)
    order |= {name: x[name] for name in LAWS if name in x}
    order |= by_observable(module, x["train_seen"]) if "train_seen" in x else {}

    if in_coordinates(module):
        x["Bt"] = responses(x["Lw"], given(module.response_to_fields, x))

    def moved(old: Any, suffix: str) -> Any:
        names = ("P", "U", *(["V"] if teachers(module) else []), *(["Ye"] if noisy(module) else []), "Y")
        parts = old if in_coordinates(module) else {part: new[part] for part in names}
        parts = {part: jnp.broadcast_to(given(getattr(module, f"next_{part}{suffix}"), new), x.shape) for part, x in parts.items()}
        return parts if in_coordinates(module) else _joined(**parts)

    new = x | {"t": t, "parameters": numbers.parameters}
    if noisy(module):  # each step has directions of its own, one a column
        columns = jnp.arange(module.FIELDS)
        new["Le"] = jnp.zeros(x["La"].shape).at[columns, t * module.FIELDS + columns].set(1.0)
    for variable, value in zip(module.STATE, carry.state, strict=True):
        new |= _cut(module, value, f"_{variable}")
    order |= {"theta": joined(carry.theta), "La": x["La"]}
    if trained(module):
        order["trained"] = carry.v[0]
        carry = carry._replace(v=_trained(module, numbers, x | {"t": t}, carry.v))
    if population is not None and carry.factor is not None:
        factor = sampled.grown(module, carry.factor, carry.noise, opened, carry.rank_a, module.FIELDS)
        theta, state = sampled.updated(module, x, factor, carry.state, t, numbers.parameters, population.seed)
        return carry._replace(theta=theta, state=state, factor=factor), order
    theta = moved(carry.theta, "")
    state = tuple(moved(value, f"_{variable}") for variable, value in zip(module.STATE, carry.state, strict=True))
    return carry._replace(theta=theta, state=state), order


def _own_innovations(
    module: CausalKernelsModule, x: Arrays, shown: Arrays, inner: Any, tolerance: Any, carry: Carry, coordinates: Coordinates | None
) -> tuple[Arrays, Carry]:
    """(Theta, and teachers, in innovations of each cluster, state): these are orthonormal in the cluster's metric."""
    e, rank, found = carry.e, carry.rank, {}
    if teachers(module):  # their fields take the first innovations, at time 0, and stay in them
        found |= {"M": given(module.teacher_overlap, shown), "M_k": given(module.cluster_teacher_overlap, shown)}
        if coordinates is None:
            stars = jnp.eye(carry.theta.shape[-1])[module.FIELDS + module.CLUSTERS : _known_vectors(module)]
            stars = jnp.broadcast_to(stars, (module.BLOCKS, *stars.shape))
        else:
            stars = jnp.swapaxes(coordinates.star, 0, 1)
        Lz, e, rank = jax.vmap(partial(_field_innovations, inner.product, stars, tolerance))(inner.weight, e, rank)
        found["Lz"] = jnp.swapaxes(Lz, 0, 1)
    found["L"], e, rank = jax.vmap(partial(_field_innovations, inner.product, carry.theta, tolerance))(inner.weight, e, rank)
    if carry.factor is None:
        P, U, V, Ye, Y = _split(module, e)
        found |= {"e_P": jnp.swapaxes(P, 2, 3), "e_U": jnp.moveaxis(U, -1, 0), "e_V": jnp.moveaxis(V, -1, 0), "e_Ye": Ye, "e_Y": Y}
    else:
        found["e"] = e
    return found, carry._replace(e=e, rank=rank)


def _trained(module: CausalKernelsModule, numbers: Numbers, x: Arrays, old: tuple[Array, ...]) -> tuple[Array, ...]:
    """The trained parameters and their state after the step."""
    if sampled_coordinates(module):
        return sampled.trained_after(module, x["gv"], old, x["t"], numbers.trained_parameters)
    names = ["v", *(f"v_{variable}" for variable in module.STATE)]
    x = x | dict(zip(names, old, strict=True)) | {"parameters": numbers.trained_parameters}
    return tuple(jnp.broadcast_to(given(getattr(module, f"next_{name}"), x), y.shape) for name, y in zip(names, old, strict=True))


def two_time_overlaps(module: CausalKernelsModule, numbers: Numbers, theta: Array, noise: Array) -> Array:
    """Q(t, s) of all pairs of times (T, T, C, C), from the coefficients of Theta, or its points (T, b, c, x)."""
    x = _known(numbers) | {"Phi": noise}
    if in_coordinates(module):
        theta = {"D": theta[..., 0], "Y": theta[..., 1:]}

    def pair(one: Array, other: Array) -> Array:
        if sampled_coordinates(module):
            return given(module.overlap, x | {"theta": one, "theta_s": other})
        return given(module.overlap, x | _cut(module, one) | _cut(module, other, "_s"))

    return jax.lax.map(lambda one: jax.vmap(lambda other: pair(one, other))(theta), theta)


def _known(numbers: Numbers) -> Arrays:
    """The problem's numbers by their names in generated text."""
    known = {
        "alpha": numbers.alpha,
        "ridge": numbers.ridge,
        "p": numbers.probabilities,
        "rho": numbers.fractions,
        "sigma2": numbers.variance,
        "trained_ridge": numbers.trained_ridge,
    }
    if numbers.means.size:
        return known | {"mean": numbers.means, "start": numbers.start, "Sigma": numbers.covariance, "members": numbers.members}
    return known | {
        "gram": jnp.moveaxis(numbers.means_gram, 0, -1),
        "Q_0": numbers.initial_gram,
        "m_0": jnp.moveaxis(numbers.initial_overlap, -1, 0),
        "star_gram": jnp.moveaxis(numbers.teacher_gram, 0, -1),
        "star_mean": jnp.einsum("b,bek->ek", numbers.fractions, numbers.teacher_means),
        "star_mean_b": jnp.moveaxis(numbers.teacher_means, 0, -1),
        "M_0": jnp.moveaxis(numbers.teacher_overlap, -1, 0),
    }


def joined(vector: Any) -> Float[Array, "b c x"]:
    """A vector in one array, without what coordinates that respond together have beside it."""
    return _joined(**{part: x for part, x in vector.items() if part != "Z"}) if isinstance(vector, dict) else vector


def _of_head(module: CausalKernelsModule, numbers: Numbers) -> Arrays:
    """Numbers of the coordinates that respond together, by their names in generated text."""
    size = head(module)
    if not size:
        return {}
    pooled = numbers.probabilities @ numbers.variance[:, :size]
    return {
        "n": numbers.alpha * module.BLOCKS,
        "Sh": jnp.einsum("kg,gab->kab", numbers.members, numbers.covariance[:, :size, :size]),
        "pair": pooled[:, None] * pooled,
        "unit": jnp.eye(size),
        "tail": (jnp.arange(module.BLOCKS) >= size).astype(float),
    }


def _cut(module: CausalKernelsModule, vectors: Any, suffix: str = "") -> Arrays:
    """Coefficients of Theta(0), the means, the teachers, the optimizer's noise, and the noise innovations; or the known part and these."""
    if in_coordinates(module):
        return {f"{part}{suffix}": x for part, x in vectors.items()}
    P, U, V, Ye, Y = _split(module, vectors)
    turned = {f"U{suffix}": jnp.moveaxis(U, -1, 0), f"V{suffix}": jnp.moveaxis(V, -1, 0)}
    return {f"P{suffix}": P, **turned, f"Ye{suffix}": Ye, f"Y{suffix}": Y}


def _joined(**parts: Array) -> Float[Array, "b c x"]:
    """The vectors with these coefficients, as `_cut` names them."""
    turned = {name: jnp.moveaxis(x, 0, -1) if name in "UV" else x[..., None] if name == "D" else x for name, x in parts.items()}
    return jnp.concatenate([turned[name] for name in ("D", "P", "U", "V", "Ye", "Y") if name in turned], axis=-1)


def _split(module: CausalKernelsModule, vectors: Float[Array, "... x"]) -> list[Array]:
    """The same along the last axis."""
    known = _known_vectors(module)
    directions = (vectors.shape[-1] - known) // 2 if noisy(module) else 0
    return jnp.split(vectors, [module.FIELDS, module.FIELDS + module.CLUSTERS, known, known + directions], axis=-1)


def _known_vectors(module: CausalKernelsModule) -> int:
    """Vectors that are there at the start: Theta(0), the means, the teachers; in coordinates the one that is known."""
    return 1 if in_coordinates(module) else module.FIELDS + module.CLUSTERS + teachers(module)


def _metric(module: CausalKernelsModule, x: Arrays, size: int) -> Float[Array, "k b x y"]:
    """Matrix, in the basis, of the bilinear form that is the covariance of the fields' noise."""

    def of_block(block: Arrays) -> Array:
        units = jnp.eye(size)[None]
        both = x | block | _cut(module, units) | _cut(module, units, "_s")
        return given(module.noise_of_fields, {"Qk": given(module.cluster_overlap, both)})

    parts = {name: jnp.expand_dims(jnp.moveaxis(x[name], at, 0), at + 1 if at >= 0 else at) for name, at in _BLOCK_AXIS.items()}
    return jax.vmap(of_block, out_axes=1)(parts)


class _Inner(NamedTuple):
    """Inner products in each cluster's metric: product(weight of the cluster, u (b ... x), v (b x))."""

    weight: Float[Array, "k ..."]
    product: Callable[[Array, Array, Array], Array]


def _coefficients(metric: Float[Array, "k b x y"]) -> _Inner:
    """Of vectors that are coefficients in a basis."""
    return _Inner(metric, lambda weight, u, v: jnp.einsum("b...x,bxy,by->...", u, weight, v))


def _points(module: CausalKernelsModule, x: Arrays) -> _Inner:
    """Of vectors that are values at the points of a population of coordinates."""

    def product(sigma2: Array, u: Array, v: Array) -> Array:
        several = u if u.ndim == 3 else u[:, None]
        found = given(module.cluster_overlap, {"rho": x["rho"], "sigma2": sigma2[None], "theta": several, "theta_s": v[:, None]})
        found = given(module.noise_of_fields, {"Qk": found})[0, :, 0]
        return found if u.ndim == 3 else found[0]

    return _Inner(x["sigma2"], product)


def _population(module: CausalKernelsModule, f: Float[Array, "k j n"], suffix: str = "") -> Arrays:
    """Functions of the samples under the names of generated text."""
    if module.RESPONSE != "exact":
        return {f"f{suffix}": f}
    return {f"fbar{suffix}": f[..., 0], f"Df{suffix}": f[..., 1:]}


def _correlation(module: CausalKernelsModule, u: Float[Array, "k i n"], v: Float[Array, "k j n"]) -> Float[Array, "k i j"]:
    return given(module.correlation, _population(module, u) | _population(module, v, "_new"))


def _mixture_correlation(module: CausalKernelsModule, x: Arrays, u: Float[Array, "k i n"], v: Float[Array, "k j n"]) -> Float[Array, "i j"]:
    """Cluster by cluster, which contracts neighbouring axes: no array is turned round."""

    def of_cluster(p: Array, u: Array, v: Array) -> Array:
        return given(module.mixture_correlation, x | {"p": p[None]} | _population(module, u[None]) | _population(module, v[None], "_new"))

    return jax.vmap(of_cluster)(x["p"], u, v).sum(axis=0)


def _over_tiles(count: Any, number: Any, carry: Any, function: Callable[..., tuple[Arrays, Any]]) -> tuple[Arrays, Any]:
    """function(tile, carry) -> (means over the tile, carry) on the first `count` tiles; the sums of the means over `number`."""
    if isinstance(count, int) and count == 1:  # no loop, which a reverse mode would have to turn round
        return function(0, carry)
    shapes = jax.eval_shape(function, 0, carry)[0]

    def on_tile(i: Array, now: tuple[Arrays, Any]) -> tuple[Arrays, Any]:
        found, carry = function(i, now[1])
        return jax.tree.map(jnp.add, now[0], found), carry

    zero = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    sums, carry = jax.lax.fori_loop(0, count, on_tile, (zero, carry))
    return jax.tree.map(lambda x: x / number, sums), carry


def _sampled(
    module: CausalKernelsModule,
    numbers: Numbers,
    population: Population,
    tolerance: Any,
    x: Arrays,
    carry: Carry,
    t: Array,
    shown: Arrays | None = None,
) -> tuple[Carry, Array, Array]:
    """(state with the gradients' innovations, La, train loss) of a population; adds its means to x. The loss is that of the `shown`
    fields, given by their m, L and Rt, in place of the iterate's."""
    g, tiles, seed = population.g, population.tiles, population.seed

    def local(function: Callable[..., Array], h: Array, tau: Array | None, visit: Array | None = None) -> Array:
        def of_cluster(h: Array, tau: Array | None, label: Array, visit: Array | None) -> Array:
            known = {"fields": h, "teacher": tau, "label": label, "visit": visit, "t": t, "parameters": numbers.parameters}
            return given(function, known | {"trained": x["v"]})

        return jax.vmap(of_cluster, in_axes=(0, 1, 0, 0))(h, tau, numbers.labels, visit)

    def observed(h: Array, tau: Array | None) -> Float[Array, "k r n"]:
        def of_cluster(h: Array, tau: Array | None, label: Array, moments: Array) -> Array:
            known = {"fields": h, "teacher": tau, "label": label, "moments": moments, "trained": x["v"]}
            return given(module.observed, known | {"parameters": numbers.parameters})

        return jax.vmap(of_cluster, in_axes=(0, 1, 0, 0))(h, tau, numbers.labels, x["moments"])

    def seen(i: Array, h: Array, tau: Array | None, visit: Array) -> tuple[Array, Array]:
        """(state of the samples of a tile, their gradients)."""
        of_sample = jax.vmap(lambda *own: module.next_visit(*own, t, numbers.parameters))
        visit = of_sample(strata(h[:, 0], visit, seed, t, i), visit)
        return visit, local(module.gradient_seen, h, tau, visit)

    def measured(i: Array, kept: tuple[Array, Array | None, Array | None]) -> tuple[Arrays, Any]:
        here = x | {"g": g[i], "f": carry.f[i]} | ({} if carry.Df is None else {"Df": carry.Df[i]})
        h = given(module.field, here)
        tau = _beside(module, here)
        seen_fields = h if shown is None else given(module.field, here | shown)
        if kept[2] is None:
            own, visit, a = None, None, local(module.gradient, h, tau)
        else:
            own, a = seen(i, h, tau, kept[2][i])
            visit = kept[2].at[i].set(own)
        here["a"], Da = a, None
        if module.RESPONSE == "tangent":
            Da = here["Da"] = given(module.tangent, here | {"A": local(module.hessian, h, tau)})
        means = {
            "abar": given(module.mean_gradient, here),
            "B": given(module.response, here),
            "train_loss": given(module.train_loss, x | {"ell": local(module.loss, seen_fields, tau)}),
            "along": _mixture_correlation(module, x, carry.f[i], a),
            "gram": _mixture_correlation(module, x, a, a),
        }
        if observables(module):
            means["train_seen"] = given(module.train_observed, x | {"seen": observed(seen_fields, tau)})
        if trained(module):
            slopes = local(module.trained_gradient, h, tau, own)
            means["gv"] = given(module.trained_risk_gradient, x | {"dv": slopes})
        return means, (kept[0].at[i].set(a), None if Da is None else kept[1].at[i].set(Da), visit)

    means, (a, Da, visit) = _over_tiles(tiles, tiles, (carry.a, carry.Da, carry.visit), measured)
    x |= {name: means[name] for name in ("abar", "B", "gv", "train_seen") if name in means}
    carry, La = _gradient_innovations(module, x, tiles, tolerance, carry._replace(a=a, Da=Da, visit=visit), means["along"].T, means["gram"])
    return carry, La, means["train_loss"]


def _beside(module: CausalKernelsModule, x: Arrays) -> Float[Array, "e k n"] | None:
    """What samples have beside their fields: those of the teachers, and noises of their own, which take the first innovations."""
    fields = [given(module.teacher_field, x)] if teachers(module) else []
    if own_noises(module):
        noise = x["g"][: own_noises(module), None]
        fields.append(jnp.broadcast_to(noise, (len(noise), module.CLUSTERS, noise.shape[-1])))
    return jnp.concatenate(fields) if fields else None


def _gradient_innovations(
    module: CausalKernelsModule,
    x: Arrays,
    tiles: Array,
    tolerance: Any,
    carry: Carry,
    along: Float[Array, "c j"],
    gram: Float[Array, "c d"],
) -> tuple[Carry, Float[Array, "c j"]]:
    """Expand sampled gradients in innovations common to all clusters, opening new ones where needed.

    `along` are their components on those open, and `gram` are their products. What is left by the difference of squares is right to
    rounding of the whole, so that it decides whether to look at what is left itself; that is projected once more.
    """
    total = jnp.diagonal(gram)
    looked = (total - jnp.sum(along**2, axis=1) > tolerance / 2 * total).any()
    count = tiles if isinstance(tiles, int) else jnp.where(looked, tiles, 0)  # of a fixed number all: a reverse mode has no count

    def rest(i: Array, again: Array | None = None) -> Array:
        return carry.a[i] - _combined(along if again is None else along + again, carry.f[i])

    def products(i: Array, nothing: None) -> tuple[Arrays, None]:
        left = rest(i)
        return {"along": _mixture_correlation(module, x, carry.f[i], left), "gram": _mixture_correlation(module, x, left, left)}, None

    means, _ = _over_tiles(count, tiles, None, products)
    again = means["along"].T
    new, La, to_new = _triangular(means["gram"] - again @ again.T, tolerance * total)
    places = carry.rank_a + jnp.cumsum(new) - new
    open_places = jnp.where(new, places, carry.f.shape[2])  # beyond the room: dropped

    def opened(i: Array, kept: tuple[Array, Array | None]) -> tuple[Arrays, Any]:
        f, Df = kept
        components = along + again
        created = jnp.einsum("cd,kdn->kcn", to_new, carry.a[i] - _combined(components, f[i]))
        f = f.at[i, :, open_places].set(jnp.swapaxes(created, 0, 1), mode="drop")
        if Df is not None and carry.Da is not None:
            moved = carry.Da[i] - jnp.einsum("ci,kijn->kcjn", components, Df[i])
            Df = Df.at[i, :, open_places].set(jnp.swapaxes(jnp.einsum("cd,kdjn->kcjn", to_new, moved), 0, 1), mode="drop")
        return {"Gamma": _correlation(module, f[i], created)}, (f, Df)

    means, (f, Df) = _over_tiles(count, tiles, (carry.f, carry.Df), opened)
    rows = given(module.noise_covariance, x | means)
    noise = carry.noise.at[:, :, open_places].set(rows, mode="drop").at[:, open_places].set(jnp.swapaxes(rows, 1, 2), mode="drop")
    Gamma = _grown(carry.Gamma, means["Gamma"], open_places)
    components = along + again
    # Column d of La's new part belongs to the place of direction d.
    components = components.at[:, open_places].add(La, mode="drop")
    return carry._replace(f=f, Df=Df, noise=noise, Gamma=Gamma, rank_a=carry.rank_a + new.sum()), components


def _grown(Gamma: Array | None, rows: Float[Array, "k i c"], places: Array) -> Array | None:
    """Correlations with those of the innovations at new places."""
    if Gamma is None:
        return None
    return Gamma.at[:, :, places].set(rows, mode="drop").at[:, places].set(jnp.swapaxes(rows, 1, 2), mode="drop")


def _combined(components: Float[Array, "c j"], f: Float[Array, "k j n"]) -> Float[Array, "k c n"]:
    """sum_j components_cj f_kj, cluster by cluster, as `_mixture_correlation` is."""
    return jnp.einsum("kcj,kjn->kcn", jnp.broadcast_to(components, (len(f), *components.shape)), f)


def _triangular(gram: Float[Array, "c c"], least: Float[Array, " c"]) -> tuple[Array, Array, Array]:
    """(which vectors of this Gram matrix open a direction, their components (c, d) on those, the directions' components on the vectors)."""
    size = gram.shape[0]
    new, La, to_new = [], jnp.zeros((size, size)), jnp.zeros((size, size))
    for c in range(size):
        on_earlier = to_new @ gram[:, c]
        left = gram[c, c] - on_earlier @ on_earlier
        new.append(left > least[c])
        root = jnp.sqrt(jnp.where(new[-1], left, 1.0))
        La = La.at[c].set(on_earlier.at[c].set(jnp.where(new[-1], root, 0.0)))
        direction = (jnp.zeros(size).at[c].set(1.0) - on_earlier @ to_new) / root
        to_new = to_new.at[c].set(jnp.where(new[-1], direction, 0.0))
    return jnp.stack(new), La, to_new


def _exact(
    module: CausalKernelsModule, numbers: Numbers, tolerance: Any, x: Arrays, carry: Carry, shown: Arrays | None = None
) -> tuple[Carry, Array, Array]:
    """The same for affine gradients, (mean, derivatives) along the last axis; at a tolerance that needs every vector projected twice."""
    parameters, origin = numbers.parameters, jnp.zeros((module.FIELDS, 1))
    x |= _population(module, carry.f)
    x["slope"] = jnp.stack([module.hessian(origin, y, parameters)[..., 0] for y in numbers.labels])
    x["offset"] = jnp.stack([jnp.stack(jnp.broadcast_arrays(*map(jnp.asarray, module.offset(y, parameters)))) for y in numbers.labels])
    x["abar"], x["B"] = given(module.mean_gradient, x), given(module.response, x)
    x["Dh"] = given(module.field_slope, x)
    fields = x if shown is None else x | shown
    fields = fields | {"Dh": given(module.field_slope, fields)}
    # The loss is quadratic: its mean follows from the first two moments of the field, as that of a fresh sample does.
    mean, covariance = given(module.mean_field, fields), given(module.field_covariance, fields)
    loss = module.test_loss(mean, covariance, parameters, ())
    x |= dict(zip(LAWS, (mean, covariance), strict=True)) if observables(module) else {}
    a = jnp.concatenate([x["abar"][..., None], x["B"]], axis=-1)

    f, noise, count, Gamma = carry.f, carry.noise, carry.rank_a, carry.Gamma
    La = jnp.zeros((module.FIELDS, f.shape[1]))
    for c in range(module.FIELDS):
        vector = a[:, c, None]
        total = _mixture_correlation(module, x, vector, vector)[0, 0]
        for _ in range(2):
            projection = _mixture_correlation(module, x, f, vector)[:, 0]
            vector = vector - jnp.einsum("j,kjn->kn", projection, f)[:, None]
            La = La.at[c].add(projection)
        left = _mixture_correlation(module, x, vector, vector)[0, 0]
        new = left > tolerance * total
        place, size = jnp.where(new, count, f.shape[1]), jnp.sqrt(jnp.where(new, left, 1.0))
        f = f.at[:, place].set(vector[:, 0] / size, mode="drop")
        correlation = _correlation(module, f, vector / size)
        row = given(module.noise_covariance, x | {"Gamma": correlation})[..., 0]
        Gamma = _grown(Gamma, correlation, place[None])
        noise = noise.at[:, place].set(row, mode="drop").at[:, :, place].set(row, mode="drop")
        La = La.at[c, place].add(size, mode="drop")
        count = count + new
    return carry._replace(f=f, noise=noise, Gamma=Gamma, rank_a=count), La, given(module.train_loss, x | {"mean_loss": loss})


def _field_innovations(
    product: Callable[[Array, Array, Array], Array], theta: Array, tolerance: Any, weight: Array, e: Array, rank: Array
) -> tuple[Array, Array, Array]:
    """Expand the columns of Theta in one cluster's innovations, opening new ones where needed.

    Projecting twice keeps the innovations orthonormal although successive iterates are nearly collinear; a Cholesky
    factor of their Gram matrix would not survive it.
    """
    L = jnp.zeros((theta.shape[1], e.shape[1]))
    for c in range(theta.shape[1]):
        vector = theta[:, c]
        inner = partial(product, weight)
        total = inner(vector, vector)
        for _ in range(2):
            projection = inner(e, vector)
            vector = vector - jnp.einsum("j,bjx->bx", projection, e)
            L = L.at[c].add(projection)
        left = inner(vector, vector)
        new = left > tolerance * total
        place, size = jnp.where(new, rank, e.shape[1]), jnp.sqrt(jnp.where(new, left, 1.0))  # beyond the room: dropped
        L = L.at[c, place].add(size, mode="drop")
        e = e.at[:, place].set(vector / size, mode="drop")
        rank = rank + new
    return L, e, rank
