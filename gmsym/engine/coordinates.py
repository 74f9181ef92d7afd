"""Sampled coordinates of the causal solver: their population, their noise, their update. Source: theory.md (5.6), (5.7).

b blocks, c fields, k clusters, e teacher directions, x points; i, j innovations, q iid normal numbers of a coordinate. All in units of
d^(-1/2). All blocks have the same points. The factor F of the noise innovations' covariance Phi grows by a row where an innovation opens,
and its inverse with it; products with vectors only, since a factorisation that LAPACK makes was seen to block XLA's CPU threads.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy import linalg, special

from gmsym.runtime.causal_kernels import CausalKernelsModule, given, teachers
from gmsym.runtime.points import sobol

_SINGULAR = 1e-12  # a noise innovation has no direction of its own when it adds less than this share of its variance

_NOISE = 1 << 28  # of the key of the optimizer's noise

Arrays = dict[str, Any]


class Start(NamedTuple):
    """What coordinates start from."""

    root: np.ndarray  # (rank, C + K + S): Theta_0, means and teacher directions are root^T w
    laws: np.ndarray  # weights, values, deviations of each w, (rank, 3, A); without rows, all are N(0, 1)


class Coordinates(NamedTuple):
    """Points that stand for coordinates."""

    normal: Float[Array, "q x"]  # iid N(0, 1)
    theta: Float[Array, "c x"]  # at time 0
    mu: Float[Array, "k b x"]
    star: Float[Array, "e b x"]


class Factor(NamedTuple):
    """F with F F^T = Phi of the innovations that are open, and its inverse; zero elsewhere."""

    F: Float[Array, "b j q"]
    inverse: Float[Array, "b q j"]


def dimensions(start: Start) -> int:
    """Of the points, for the start."""
    return len(start.root) + len(start.laws)


def population(start: Start, blocks: int, columns: int, clusters: int, samples: int, seed: int, dimensions_: int, used: int) -> Coordinates:
    """Coordinates from the first of scrambled Sobol points in so many dimensions: those of the start, and `used` iid normal ones.

    The vectors that the start combines are orthonormal over the points, and the iid numbers orthonormal to these.
    """
    rank, own = len(start.root), len(start.laws)
    normal = sobol(samples, dimensions_, seed, rank + own + used)
    first, eps = normal[:rank], normal[rank + own :]
    drawn = [_drawn(law, u, z) for law, u, z in zip(start.laws, normal[rank : rank + own], first[:own], strict=True)]
    is_normal = np.array([True] * rank if not own else [law[0, 0] == 1 and law[1, 0] == 0 for law in start.laws], dtype=bool)
    rows = np.concatenate([np.array(drawn) if own else first, eps])
    centred = np.concatenate([is_normal, np.ones(len(eps), dtype=bool)])
    rows[centred] -= rows[centred].mean(axis=1, keepdims=True)
    root = np.linalg.cholesky(np.einsum("in,jn->ij", rows, rows) / samples)
    rows = linalg.solve_triangular(root, rows, lower=True)
    vectors = start.root.T @ rows[:rank]
    spread = lambda x: np.broadcast_to(x[:, None], (len(x), blocks, samples))  # noqa: E731
    return Coordinates(
        normal=rows[rank:],
        theta=vectors[:columns],
        mu=spread(vectors[columns : columns + clusters]),
        star=spread(vectors[columns + clusters :]),
    )


def _drawn(law: np.ndarray, u: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Points of a mixture of atoms and Gaussians: component by the normal number u, within it by z."""
    weights, values, deviations = law
    component = np.searchsorted(np.cumsum(weights)[:-1], special.ndtr(u), side="right")
    return values[component] + deviations[component] * z


def seen(module: CausalKernelsModule, coordinates: Coordinates, theta: Array) -> Arrays:
    """Coordinates under the names of generated text."""
    found = {"theta": theta, "theta_s": theta, "mu": coordinates.mu, "normal": coordinates.normal}
    return found | ({"star": coordinates.star} if teachers(module) else {})


def response(module: CausalKernelsModule, x: Arrays, factor: Factor) -> Float[Array, "b c j"]:
    """Y: response of Theta to the noise innovations."""
    return jnp.einsum("bcq,bqj->bcj", given(module.response_to_noise, x), factor.inverse)


def grown(module: CausalKernelsModule, factor: Factor, noise: Float[Array, "b i j"], old: Array, new: Array, columns: int) -> Factor:
    """The factor with the rows of the innovations from `old` to before `new`, at most `columns`."""
    covariance = given(module.noise_of_coordinates, {"Phi": noise})
    F, inverse, room = factor.F, factor.inverse, noise.shape[-1]
    for c in range(columns):
        place = jnp.minimum(old + c, room - 1)
        row = covariance[:, place] * (jnp.arange(room) < place)
        l = jnp.einsum("bqj,bj->bq", inverse, row)  # noqa: E741
        l = l + jnp.einsum("bqj,bj->bq", inverse, row - jnp.einsum("bjq,bq->bj", F, l))  # noqa: E741
        left = covariance[:, place, place] - jnp.sum(l**2, axis=-1)
        own = left > _SINGULAR * covariance[:, place, place]
        root = jnp.sqrt(jnp.where(own, left, 1.0))
        turned = jnp.where(own[:, None], -jnp.einsum("bq,bqj->bj", l, inverse) / root[:, None], 0.0)
        l = l.at[:, place].set(jnp.where(own, root, 0.0))  # noqa: E741
        turned = turned.at[:, place].set(jnp.where(own, 1 / root, 0.0))
        at = jnp.where(old + c < new, old + c, room)  # beyond the room: dropped
        F, inverse = F.at[:, at].set(l, mode="drop"), inverse.at[:, at].set(turned, mode="drop")
    return Factor(F, inverse)


def updated(
    module: CausalKernelsModule, x: Arrays, factor: Factor, state: tuple[Array, ...], t: Array, parameters: Sequence[Array], seed: Array
) -> tuple[Array, tuple[Array, ...]]:
    """Theta and the optimizer's state after the step."""
    x = x | {"F": factor.F}
    x["Lxi"] = given(module.noise_loading, x)
    gradient = jnp.broadcast_to(given(module.risk_gradient, x), x["theta"].shape)
    own = {"t": t, "theta": x["theta"], "state": state, "gradient": gradient, "parameters": parameters}
    own["norm"] = lambda y: jnp.sqrt(jnp.einsum("b,bcx,bcx->", x["rho"], y, y) / y.shape[-1])
    return _broadcast(given(module.optimizer, own | {"noise": _fresh(seed, t, gradient.shape)}), gradient.shape)


def _fresh(seed: Array, t: Array, shape: tuple[int, ...]) -> Float[Array, "b c x"]:
    """Noise of the optimizer: N(0, 1), in strata of equal probability in random order."""
    keys = jax.random.split(jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), _NOISE), t), shape[:-1])
    strata = (jnp.arange(shape[-1]) + 0.5) / shape[-1]
    place = jax.vmap(jax.vmap(lambda key: jax.random.permutation(key, strata)))(keys)
    return jax.scipy.special.ndtri(place)


def trained_after(
    module: CausalKernelsModule, gradient: Array, old: tuple[Array, ...], t: Array, parameters: Sequence[Array]
) -> tuple[Array, ...]:
    """Trained parameters of the loss and their state after the step."""
    v, *state = old
    new, rest = _broadcast(module.trained_optimizer(t, v, tuple(state), gradient, parameters), v.shape)
    return new, *rest


def _broadcast(found: tuple[Any, tuple[Any, ...]], shape: tuple[int, ...]) -> tuple[Array, tuple[Array, ...]]:
    new, state = found
    return jnp.broadcast_to(jnp.asarray(new, float), shape), tuple(jnp.broadcast_to(jnp.asarray(y, float), shape) for y in state)


def share_of_nonzero(module: CausalKernelsModule, x: Arrays) -> Arrays:
    """The share of the coordinates, of all columns, that are not zero, where these are counted."""
    if not hasattr(module, "present"):
        return {}
    return {"nonzero": given(module.share_of_nonzero, x | {"present": module.present(x["theta"])}).mean()}
