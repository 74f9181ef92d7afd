"""One step of the causal solver: orthogonalisation on both sides around the generated equations. Source: theory.md (2.5)-(2.7).

Vectors of the parameters' space are held as coefficients x of Theta(0) (C), the means (K), the teacher directions (S) and the noise
innovations (j), block by block. Populations of samples are held as their values at points, in tiles of n that fit a cache, of which the
first so many count; where gradients are affine in the fields (response "exact"), as their mean and their derivatives in the fields'
innovations, n = 1 + r. There is room for as many innovations on either side, i and j. All mathematics of the theory is in the module's
functions; here vectors are cut, joined, projected and normalised.

A step passes once over the population. Two more passes orthogonalise what is new, only where a direction may open.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gmsym.engine.visits import strata
from gmsym.runtime.causal_kernels import CausalKernelsModule, Numbers, by_batches, given, teachers, trained

Arrays = dict[str, Any]


class Population(NamedTuple):
    """Points that stand for the fields' innovations."""

    g: Float[Array, "tiles j n"]
    tiles: Float[Array, ""]  # that count
    seed: Float[Array, ""]  # of what else is drawn


class Carry(NamedTuple):
    """State of the pass between two steps. The population's arrays are (k, j, n) without tiles where nothing is sampled."""

    theta: Float[Array, "b c x"]
    state: tuple[Float[Array, "b c x"], ...]
    noise: Float[Array, "b i j"]  # covariance of the noise innovations times n
    e: Float[Array, "k b j x"]  # field innovations, orthonormal in the cluster's metric
    f: Float[Array, "tiles k j n"]  # gradient innovations, orthonormal over the mixture
    Df: Float[Array, "tiles k i j n"] | None  # their derivatives in the field innovations; for tangents
    a: Float[Array, "tiles k c n"] | None  # room for the step's gradients; where these are sampled
    Da: Float[Array, "tiles k c j n"] | None  # and for their derivatives
    v: tuple[Float[Array, " p"], ...]  # trained parameters of the loss, and their state of the optimizer
    rank: Float[Array, " k"]
    rank_a: Float[Array, ""]
    visit: Float[Array, "tiles k n"] | None  # state of each sample; of mini-batches


def start(module: CausalKernelsModule, numbers: Numbers, room: int, tiles: int, points: int) -> Carry:
    """Before the first step, with room for so many innovations of the fields and of the gradients, and tiles of so many points."""
    fields, clusters, blocks = module.FIELDS, module.CLUSTERS, module.BLOCKS
    known = _known_vectors(module)
    sampled, tangents = module.RESPONSE != "exact", module.RESPONSE == "tangent"

    def first(suffix: str) -> np.ndarray:
        vectors = np.zeros((blocks, fields, known + room))
        vectors[..., :fields] = module.START[f"P{suffix}"] * np.eye(fields)
        vectors[..., fields : fields + clusters] = module.START[f"U{suffix}"]
        return vectors

    return Carry(
        theta=first(""),
        state=tuple(first(f"_{variable}") for variable in module.STATE),
        noise=np.zeros((blocks, room, room)),
        e=np.zeros((clusters, blocks, room, known + room)),
        f=np.zeros((tiles, clusters, room, points) if sampled else (clusters, room, 1 + room)),
        Df=np.zeros((tiles, clusters, room, room, points)) if tangents else None,
        a=np.zeros((tiles, clusters, fields, points)) if sampled else None,
        Da=np.zeros((tiles, clusters, fields, room, points)) if tangents else None,
        v=(numbers.trained, *(np.zeros_like(numbers.trained) for _ in module.STATE)),
        rank=np.zeros(clusters, dtype=np.int64),
        rank_a=np.zeros((), dtype=np.int64),
        visit=np.zeros((tiles, clusters, points)) if by_batches(module) else None,
    )


def enlarged(carry: Carry, more: int) -> Carry:
    """The same state with room for `more` innovations."""

    def padded(x: Any, *axes: int) -> Any:
        return None if x is None else np.pad(x, [(0, more if axis in axes else 0) for axis in range(x.ndim)])

    return carry._replace(
        theta=padded(carry.theta, 2),
        state=tuple(padded(x, 2) for x in carry.state),
        noise=padded(carry.noise, 1, 2),
        e=padded(carry.e, 2, 3),
        f=padded(carry.f, 1, 2) if carry.a is None else padded(carry.f, 2),
        Df=padded(carry.Df, 2, 3),
        Da=padded(carry.Da, 3),
    )


def has_room(module: CausalKernelsModule, carry: Carry) -> Array:
    """Whether all that the next step can open finds a place."""
    return jnp.maximum(carry.rank.max(), carry.rank_a) + module.FIELDS + teachers(module) <= carry.noise.shape[-1]


def step(
    module: CausalKernelsModule, numbers: Numbers, population: Population | None, tolerance: Any, carry: Carry, t: Array
) -> tuple[Carry, dict[str, Array]]:
    """Row t: overlaps of Theta, fields and gradients, their kernels, update. No population if nothing is sampled."""
    x = _known(numbers)
    x |= _cut(module, carry.theta) | {"Phi": carry.noise, "v": carry.v[0]}
    twice = x | _cut(module, carry.theta, "_s")
    x["m"] = given(module.mean_overlap, x)
    order = {"m": x["m"], "Q": given(module.overlap, twice), "Q_k": given(module.cluster_overlap, twice)}

    metric, e, rank = _metric(module, x, carry.theta.shape[-1]), carry.e, carry.rank
    if teachers(module):  # their fields take the first innovations, at time 0, and stay in them
        order |= {"M": given(module.teacher_overlap, x), "M_k": given(module.cluster_teacher_overlap, x)}
        stars = jnp.eye(carry.theta.shape[-1])[module.FIELDS + module.CLUSTERS : _known_vectors(module)]
        stars = jnp.broadcast_to(stars, (module.BLOCKS, *stars.shape))
        Lz, e, rank = jax.vmap(partial(_field_innovations, stars, tolerance))(metric, e, rank)
        x["Lz"] = jnp.swapaxes(Lz, 0, 1)
    x["L"], e, rank = jax.vmap(partial(_field_innovations, carry.theta, tolerance))(metric, e, rank)
    P, U, V, Y = _split(module, e)
    x |= {"e_P": jnp.swapaxes(P, 2, 3), "e_U": jnp.moveaxis(U, -1, 0), "e_V": jnp.moveaxis(V, -1, 0), "e_Y": Y}

    x["Rt"] = given(module.memory, x)
    carry = carry._replace(e=e, rank=rank)
    if population is None:
        carry, x["La"], order["train_loss"] = _exact(module, numbers, tolerance, x, carry)
    else:
        carry, x["La"], order["train_loss"] = _sampled(module, numbers, population, tolerance, x, carry, t)

    def moved(old: Array, suffix: str) -> Array:
        parts = {part: new[part] for part in ("PUVY" if teachers(module) else "PUY")}
        parts = {part: jnp.broadcast_to(given(getattr(module, f"next_{part}{suffix}"), new), old.shape) for part, old in parts.items()}
        return _joined(**parts)

    new = x | {"t": t, "parameters": numbers.parameters}
    for variable, value in zip(module.STATE, carry.state, strict=True):
        new |= _cut(module, value, f"_{variable}")
    order |= {"theta": carry.theta, "La": x["La"]}
    if trained(module):
        order["trained"] = carry.v[0]
        carry = carry._replace(v=_trained(module, numbers, x | {"t": t}, carry.v))
    theta = moved(carry.theta, "")
    state = tuple(moved(value, f"_{variable}") for variable, value in zip(module.STATE, carry.state, strict=True))
    return carry._replace(theta=theta, state=state), order


def _trained(module: CausalKernelsModule, numbers: Numbers, x: Arrays, old: tuple[Array, ...]) -> tuple[Array, ...]:
    """The trained parameters and their state after the step."""
    names = ["v", *(f"v_{variable}" for variable in module.STATE)]
    x = x | dict(zip(names, old, strict=True)) | {"parameters": numbers.trained_parameters}
    return tuple(jnp.broadcast_to(given(getattr(module, f"next_{name}"), x), y.shape) for name, y in zip(names, old, strict=True))


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
        "star_gram": numbers.teacher_gram,
        "star_mean": numbers.teacher_means,
        "M_0": numbers.teacher_overlap.T,
        "trained_ridge": numbers.trained_ridge,
    }


def _cut(module: CausalKernelsModule, vectors: Float[Array, "b c x"], suffix: str = "") -> Arrays:
    """Coefficients of Theta(0), the means, the teachers, and the noise innovations."""
    P, U, V, Y = _split(module, vectors)
    return {f"P{suffix}": P, f"U{suffix}": jnp.moveaxis(U, -1, 0), f"V{suffix}": jnp.moveaxis(V, -1, 0), f"Y{suffix}": Y}


def _joined(P: Array, U: Array, Y: Array, V: Array | None = None) -> Float[Array, "b c x"]:
    return jnp.concatenate([P, jnp.moveaxis(U, 0, -1), *([] if V is None else [jnp.moveaxis(V, 0, -1)]), Y], axis=-1)


def _split(module: CausalKernelsModule, vectors: Float[Array, "... x"]) -> list[Array]:
    """The same along the last axis."""
    return jnp.split(vectors, [module.FIELDS, module.FIELDS + module.CLUSTERS, _known_vectors(module)], axis=-1)


def _known_vectors(module: CausalKernelsModule) -> int:
    """Vectors that are there at the start: Theta(0), the means, the teachers."""
    return module.FIELDS + module.CLUSTERS + teachers(module)


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


def _correlation(module: CausalKernelsModule, u: Float[Array, "k i n"], v: Float[Array, "k j n"]) -> Float[Array, "k i j"]:
    return given(module.correlation, _population(module, u) | _population(module, v, "_new"))


def _mixture_correlation(module: CausalKernelsModule, x: Arrays, u: Float[Array, "k i n"], v: Float[Array, "k j n"]) -> Float[Array, "i j"]:
    return given(module.mixture_correlation, x | _population(module, u) | _population(module, v, "_new"))


def _over_tiles(count: Any, number: Any, carry: Any, function: Callable[..., tuple[Arrays, Any]]) -> tuple[Arrays, Any]:
    """function(tile, carry) -> (means over the tile, carry) on the first `count` tiles; the sums of the means over `number`."""
    shapes = jax.eval_shape(function, 0, carry)[0]

    def on_tile(i: Array, now: tuple[Arrays, Any]) -> tuple[Arrays, Any]:
        found, carry = function(i, now[1])
        return jax.tree.map(jnp.add, now[0], found), carry

    zero = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    sums, carry = jax.lax.fori_loop(0, count, on_tile, (zero, carry))
    return jax.tree.map(lambda x: x / number, sums), carry


def _sampled(
    module: CausalKernelsModule, numbers: Numbers, population: Population, tolerance: Any, x: Arrays, carry: Carry, t: Array
) -> tuple[Carry, Array, Array]:
    """(state with the gradients' innovations, La, train loss) of a population; adds its means to x."""
    g, tiles, seed = population

    def local(function: Callable[..., Array], h: Array, tau: Array | None, visit: Array | None = None) -> Array:
        def of_cluster(h: Array, tau: Array | None, label: Array, visit: Array | None) -> Array:
            known = {"fields": h, "teacher": tau, "label": label, "visit": visit, "t": t, "parameters": numbers.parameters}
            return given(function, known | {"trained": x["v"]})

        return jax.vmap(of_cluster, in_axes=(0, 1, 0, 0))(h, tau, numbers.labels, visit)

    def seen(i: Array, h: Array, tau: Array | None, visit: Array) -> tuple[Array, Array]:
        """(state of the samples of a tile, their gradients)."""
        of_sample = jax.vmap(lambda *own: module.next_visit(*own, t, numbers.parameters))
        visit = of_sample(strata(h[:, 0], visit, seed, t, i), visit)
        return visit, local(module.gradient_seen, h, tau, visit)

    def measured(i: Array, kept: tuple[Array, Array | None, Array | None]) -> tuple[Arrays, Any]:
        here = x | {"g": g[i], "f": carry.f[i]} | ({} if carry.Df is None else {"Df": carry.Df[i]})
        h = given(module.field, here)
        tau = given(module.teacher_field, here) if teachers(module) else None
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
            "train_loss": given(module.train_loss, x | {"ell": local(module.loss, h, tau)}),
            "along": _mixture_correlation(module, x, carry.f[i], a),
            "gram": _mixture_correlation(module, x, a, a),
        }
        if trained(module):
            slopes = local(module.trained_gradient, h, tau, own)
            means["gv"] = given(module.trained_risk_gradient, x | {"dv": slopes})
        return means, (kept[0].at[i].set(a), None if Da is None else kept[1].at[i].set(Da), visit)

    means, (a, Da, visit) = _over_tiles(tiles, tiles, (carry.a, carry.Da, carry.visit), measured)
    x |= {name: means[name] for name in ("abar", "B", "gv") if name in means}
    carry, La = _gradient_innovations(module, x, tiles, tolerance, carry._replace(a=a, Da=Da, visit=visit), means["along"].T, means["gram"])
    return carry, La, means["train_loss"]


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
    count = jnp.where(looked, tiles, 0)

    def rest(i: Array, again: Array | None = None) -> Array:
        components = along if again is None else along + again
        return carry.a[i] - jnp.einsum("cj,kjn->kcn", components, carry.f[i])

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
        created = jnp.einsum("cd,kdn->kcn", to_new, carry.a[i] - jnp.einsum("cj,kjn->kcn", components, f[i]))
        f = f.at[i, :, open_places].set(jnp.swapaxes(created, 0, 1), mode="drop")
        if Df is not None and carry.Da is not None:
            moved = carry.Da[i] - jnp.einsum("ci,kijn->kcjn", components, Df[i])
            Df = Df.at[i, :, open_places].set(jnp.swapaxes(jnp.einsum("cd,kdjn->kcjn", to_new, moved), 0, 1), mode="drop")
        return {"Gamma": _correlation(module, f[i], created)}, (f, Df)

    means, (f, Df) = _over_tiles(count, tiles, (carry.f, carry.Df), opened)
    rows = given(module.noise_covariance, x | means)
    noise = carry.noise.at[:, :, open_places].set(rows, mode="drop").at[:, open_places].set(jnp.swapaxes(rows, 1, 2), mode="drop")
    components = along + again
    # Column d of La's new part belongs to the place of direction d.
    components = components.at[:, open_places].add(La, mode="drop")
    return carry._replace(f=f, Df=Df, noise=noise, rank_a=carry.rank_a + new.sum()), components


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


def _exact(module: CausalKernelsModule, numbers: Numbers, tolerance: Any, x: Arrays, carry: Carry) -> tuple[Carry, Array, Array]:
    """The same for affine gradients, (mean, derivatives) along the last axis; at a tolerance that needs every vector projected twice."""
    parameters, origin = numbers.parameters, jnp.zeros((module.FIELDS, 1))
    x |= _population(module, carry.f)
    x["slope"] = jnp.stack([module.hessian(origin, y, parameters)[..., 0] for y in numbers.labels])
    x["offset"] = jnp.stack([jnp.stack(jnp.broadcast_arrays(*map(jnp.asarray, module.offset(y, parameters)))) for y in numbers.labels])
    x["abar"], x["B"] = given(module.mean_gradient, x), given(module.response, x)
    x["Dh"] = given(module.field_slope, x)
    # The loss is quadratic: its mean follows from the first two moments of the field, as that of a fresh sample does.
    loss = module.test_loss(given(module.mean_field, x), given(module.field_covariance, x), parameters)
    a = jnp.concatenate([x["abar"][..., None], x["B"]], axis=-1)

    f, noise, count = carry.f, carry.noise, carry.rank_a
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
        row = given(module.noise_covariance, x | {"Gamma": _correlation(module, f, vector / size)})[..., 0]
        noise = noise.at[:, place].set(row, mode="drop").at[:, :, place].set(row, mode="drop")
        La = La.at[c, place].add(size, mode="drop")
        count = count + new
    return carry._replace(f=f, noise=noise, rank_a=count), La, given(module.train_loss, x | {"mean_loss": loss})


def _field_innovations(theta: Array, tolerance: Any, metric: Float[Array, "b x y"], e: Array, rank: Array) -> tuple[Array, Array, Array]:
    """Expand the columns of Theta in one cluster's innovations, opening new ones where needed.

    Projecting twice keeps the innovations orthonormal although successive iterates are nearly collinear; a Cholesky
    factor of their Gram matrix would not survive it.
    """
    L = jnp.zeros((theta.shape[1], e.shape[1]))
    for c in range(theta.shape[1]):
        vector = theta[:, c]
        inner = lambda u, v: jnp.einsum("b...x,bxy,by->...", u, metric, v)  # noqa: E731
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
