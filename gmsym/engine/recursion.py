"""Exact sampler of the finite-size surrogate: trajectories equal in law to training, without the n x d matrix. Source: theory.md 1.

Cost of a replicate: time O((n + d) T^2 C^2 K), memory O((n + d) T C), against O(n d T C) and O(n d) for training. A direction
whose residual is below 1e-10 of its vector opens nothing.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gmsym.errors import ComputationError, InputError
from gmsym.runtime.frames import oriented
from gmsym.runtime.recursion import Design, RecursionModule

_RANK_TOLERANCE = 1e-20  # of squared norms: a residual below 1e-10 of the vector
_MEMORY = 2**30  # bytes of directions held at a time
_DIVERGED = 1e12
PARAMETERS = ("L", "M", "qz", "ug", "phi", "psi")


class _Sides(NamedTuple):
    """Directions opened so far, in the slots of their step and field; slots to come are zero."""

    q: Float[Array, "k j x"]
    z: Float[Array, "k j x"]
    Zu: Float[Array, "k j x"]
    u: Float[Array, "k j n"]
    g: Float[Array, "k j n"]
    Zq: Float[Array, "k j n"]


def sample_recursion(
    module: RecursionModule,
    design: Design,
    *,
    steps: int,
    replicates: int,
    seed: int = 0,
    fluctuations: bool = True,
    report: Callable[[float], None] | None = None,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Draw whole trajectories.

    Args:
        module: a loaded generated module of kind Recursion.
        design: the problem's numbers at finite size.
        steps: T, times 0..T-1.
        replicates: independent trajectories, at least 2.
        seed: of all Gaussians.
        fluctuations: False drops the fluctuation parameters phi and psi, which is no longer exact (to see what they do).
        report: called with the completed fraction.

    Returns:
        Order parameters of each replicate: m (R, T, K, C), Q (R, T, C, C), Q_k (R, T, K, C, C), train_loss, test_loss and
        perhaps test_error (R, T); and the program's scalars: Cholesky factors L and M (R, T, K, C, TC), responses qz and ug and
        fluctuations phi and psi (R, T, C, K, TC), rows by time and field of the direction that is opened.

    Raises:
        InputError: an argument out of range; more steps than a cluster's samples or the dimension can open directions for.
        ComputationError: a trajectory diverged; names the step and the quantity.
    """
    for name, value, least in (("steps", steps, 1), ("replicates", replicates, 2), ("seed", seed, 0)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
            raise InputError(f"{name} = {value!r}: an integer of at least {least} is needed")
    n, d = sum(design.counts), sum(design.sizes)
    if steps > min(n, d):
        raise InputError(f"steps = {steps} exceeds min(n, d) = {min(n, d)}: the surrogate would run out of directions; train instead")
    directions = steps * module.FIELDS * module.CLUSTERS
    batch = int(np.clip(_MEMORY // (8 * 3 * directions * (d + max(design.counts))), 1, replicates))
    run = _sampler(module, design, steps, fluctuations)
    keys = jax.vmap(lambda r: jax.random.fold_in(jax.random.key(seed), r))(jnp.arange(replicates))
    parts = []
    for start in range(0, replicates, batch):
        chosen = jnp.minimum(jnp.arange(start, start + batch), replicates - 1)  # one shape for all batches
        part = jax.tree.map(lambda x, last=replicates - start: np.asarray(x)[:last], run(keys[chosen]))
        _check_finite(part[0])
        parts.append(part)
        if report is not None:
            report(min(start + batch, replicates) / replicates)
    observed, scalars = ({name: np.concatenate([part[i][name] for part in parts]) for name in parts[0][i]} for i in (0, 1))
    return observed, scalars


def _sampler(module: RecursionModule, design: Design, steps: int, fluctuations: bool) -> Callable[[Array], tuple[dict, dict]]:
    """Compiled function keys (R,) -> (order parameters, scalars)."""
    return eqx.filter_jit(jax.vmap(partial(_trajectory, module, design, steps, fluctuations)))


def _trajectory(module: RecursionModule, design: Design, steps: int, fluctuations: bool, key: Array) -> tuple[dict, dict]:
    n, d, fields, clusters = sum(design.counts), sum(design.sizes), module.FIELDS, module.CLUSTERS
    widest, slots = max(design.counts), steps * fields
    counts = jnp.asarray(design.counts)
    exists = (jnp.arange(widest) < counts[:, None]).astype(float)
    deviation = jnp.sqrt(jnp.repeat(jnp.asarray(design.variance), np.asarray(design.sizes), axis=1, total_repeat_length=d))
    start, key = jax.random.split(key)
    vectors = oriented(jax.random.normal(start, (d, len(design.root))), design.sizes, design.root).T
    theta, means = vectors[:fields], vectors[fields:]
    parameters, labels = design.parameters, jnp.asarray(design.labels)

    def local(function, h):
        return jnp.stack([function(h[k], labels[k], parameters) for k in range(clusters)])

    def step(carry, t):
        theta, state, sides = carry
        draws = jax.random.normal(jax.random.fold_in(key, t), (fields, clusters, widest + d))
        scalars: dict[str, list[Array]] = {name: [] for name in PARAMETERS}
        for c in range(fields):
            sides, L, chi, phi = _open_parameters(
                module, sides, deviation * theta[c], draws[c, :, :widest] * exists, t * fields + c, fluctuations
            )
            for name, value in (("L", L), ("qz", chi), ("phi", phi)):
                scalars[name].append(value)
        L = jnp.stack(scalars["L"], axis=1)
        m = means @ theta.T
        h = module.field(L=L, Zq=sides.Zq, m=m)
        a = local(module.gradient, h) * exists[:, None]
        for c in range(fields):
            sides, M, upsilon, psi = _open_gradients(module, sides, a[:, c], draws[c, :, widest:], t * fields + c, fluctuations)
            for name, value in (("M", M), ("ug", upsilon), ("psi", psi)):
                scalars[name].append(value)
        M = jnp.stack(scalars["M"], axis=1)
        gradient = module.risk_gradient(
            n=n,
            ridge=design.ridge,
            Za=module.noise_gradient(M=M, Zu=sides.Zu),
            asum=a.sum(-1) / counts[:, None],
            deviation=deviation,
            means=means,
            p=counts / n,
            theta=theta,
        )
        order = {
            "m": m,
            "Q": theta @ theta.T,
            "Q_k": jnp.einsum("cx,kx,dx->kcd", theta, deviation**2, theta),
            "train_loss": jnp.sum(local(module.loss, h) * exists) / n,
        }
        new, new_state = module.optimizer(t, theta, state, gradient, parameters)
        rows = {"L": L, "M": M} | {name: jnp.stack(scalars[name]) for name in ("qz", "ug", "phi", "psi")}
        return (new, new_state, sides), (order, rows)

    empty = jnp.zeros((clusters, slots, d)), jnp.zeros((clusters, slots, widest))
    sides = _Sides(empty[0], empty[0], empty[0], empty[1], empty[1], empty[1])
    state = tuple(jnp.zeros_like(theta) for _ in module.STATE)
    _, (order, rows) = jax.lax.scan(step, (theta, state, sides), jnp.arange(steps))
    share = counts / n
    tiny = 1e-30 * jnp.eye(fields)  # as in the limit's engine: Theta = 0 has no h/sqrt(Q)
    for name, function in (("test_loss", module.test_loss), ("test_error", module.test_error)):
        if function is not None:
            order[name] = jax.lax.map(lambda x, f=function: share @ f(x[0], x[1] + tiny, parameters), (order["m"], order["Q_k"]))
    return order, rows


def _open_parameters(
    module, sides: _Sides, vectors: Array, fresh: Array, slot: Array, fluctuations: bool
) -> tuple[_Sides, Array, Array, Array]:
    """Z_k Sigma_k^{1/2} Theta_c: the direction that one column adds in each cluster, and its coefficients L."""
    L, new, size, direction = _residual(sides.q, vectors)
    fresh = fresh * new[:, None]
    chi = jnp.einsum("kjx,kx->kj", sides.z, direction)
    phi = jnp.einsum("kjn,kn->kj", sides.u, fresh)
    product = module.noise_product(chi=chi, g_new=fresh, phi_new=phi if fluctuations else jnp.zeros_like(phi), u=sides.u)
    sides = sides._replace(q=sides.q.at[:, slot].set(direction), g=sides.g.at[:, slot].set(fresh), Zq=sides.Zq.at[:, slot].set(product))
    return sides, L.at[:, slot].set(size), chi, phi


def _open_gradients(
    module, sides: _Sides, vectors: Array, fresh: Array, slot: Array, fluctuations: bool
) -> tuple[_Sides, Array, Array, Array]:
    """Z_k^T a_c: the direction that one gradient adds in each cluster, and its coefficients M."""
    M, new, size, direction = _residual(sides.u, vectors)
    fresh = fresh * new[:, None]
    upsilon = jnp.einsum("kjn,kn->kj", sides.g, direction)
    psi = jnp.einsum("kjx,kx->kj", sides.q, fresh)
    product = module.transposed_product(psi_new=psi if fluctuations else jnp.zeros_like(psi), q=sides.q, upsilon=upsilon, z_new=fresh)
    sides = sides._replace(u=sides.u.at[:, slot].set(direction), z=sides.z.at[:, slot].set(fresh), Zu=sides.Zu.at[:, slot].set(product))
    return sides, M.at[:, slot].set(size), upsilon, psi


def _residual(directions: Array, vectors: Array) -> tuple[Array, Array, Array, Array]:
    """(coefficients, whether a direction opens, its size, the direction) of one vector a cluster; projected twice."""
    coefficients = jnp.zeros(directions.shape[:2])
    rest = vectors
    for _ in range(2):
        projection = jnp.einsum("kjx,kx->kj", directions, rest)
        rest = rest - jnp.einsum("kj,kjx->kx", projection, directions)
        coefficients = coefficients + projection
    left = jnp.sum(rest**2, axis=1)
    new = left > _RANK_TOLERANCE * jnp.sum(vectors**2, axis=1)
    size = jnp.where(new, jnp.sqrt(jnp.where(new, left, 1.0)), 0.0)
    return coefficients, new, size, jnp.where(new[:, None], rest / jnp.where(new, size, 1.0)[:, None], 0.0)


def _check_finite(observed: dict[str, np.ndarray]) -> None:
    for name, array in observed.items():
        size = np.abs(array).reshape(*array.shape[:2], -1).max(axis=(0, 2))
        bad = np.flatnonzero(~(size < _DIVERGED))
        if bad.size:
            raise ComputationError(f"the surrogate diverged: |{name}| = {size[bad[0]]:.3g} at step {bad[0]} of {array.shape[1]}")
