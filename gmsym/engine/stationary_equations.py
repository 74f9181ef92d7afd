"""Equations of the stationary limit in numbers: what a generated module says of one state. Source: verified/sgd.md 1.2.

Letters: K clusters, F fields, P trained parameters, N nodes, C fields of the loss before the reduction to F. The unknown x holds the means
m (K, F), the logarithms of Cholesky factors of Q_k and V_k, (K, F (F + 1)/2) each, and the trained parameters v (P,).
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gmsym.runtime.nodes import Nodes, between
from gmsym.runtime.quadrature import square_root
from gmsym.runtime.stationary import Numbers, StationaryModule


class State(NamedTuple):
    """The unknowns."""

    m: jax.Array  # (K, F)
    Q: jax.Array  # (K, F, F)
    V: jax.Array  # (K, F, F)
    v: jax.Array  # (P,)


class Moved(NamedTuple):
    """The numbers in which a solution is differentiated."""

    parameters: jax.Array  # (P,), of the loss
    ridge: jax.Array
    l1: jax.Array
    trained_ridge: jax.Array
    alpha: jax.Array


@dataclass(frozen=True)
class Equations:
    """Those of a module, with the shape (K, F, P) of its unknown; pure functions of arrays."""

    module: StationaryModule
    shape: tuple[int, int, int]

    def residual(self, numbers: Numbers, nodes: Nodes, x: jax.Array) -> jax.Array:
        """What a round changes of x; of the trained parameters the gradient of the risk."""
        P = self.shape[2]
        state = unpacked(x, self.shape)
        found = self.sampled(numbers, state, nodes)
        side = self.coordinates(numbers, found)
        new = self.overlaps(numbers, found, side)
        m = self.mean_overlap(numbers, side, found["abar"])
        gv = found["gv"] if P else jnp.zeros(0)
        return packed(State(m, new["Qk"], new["V"], gv)) - x.at[x.size - P :].set(0.0)

    def implicit(self, numbers: Numbers, nodes: Nodes, x: jax.Array) -> jax.Array:
        """The residual with that of the means and the trained parameters replaced by one Newton step of theirs, at fixed Q, V and gain:
        an explicit round in the mean oscillates and explodes."""
        K, F, P = self.shape
        state = unpacked(x, self.shape)

        def of_means(y: jax.Array) -> tuple[jax.Array, Any]:
            moved = state._replace(m=y[: K * F].reshape(K, F), v=y[K * F :])
            found = self.sampled(numbers, moved, nodes)
            still = jax.lax.stop_gradient(found)
            side = self.coordinates(numbers, still)
            gap = self.mean_overlap(numbers, side, found["abar"]) - moved.m
            gaps = jnp.concatenate([gap.ravel(), found["gv"]]) if P else gap.ravel()
            return gaps, (gaps, self.overlaps(numbers, still, side))

        y = jnp.concatenate([state.m.ravel(), state.v])
        slope, (gaps, new) = jax.jacfwd(of_means, has_aux=True)(y)
        step = -jnp.linalg.lstsq(slope, gaps, rcond=1e-12)[0]
        logs = packed(State(state.m, new["Qk"], new["V"], state.v)) - x
        return logs.at[: K * F].set(step[: K * F]).at[x.size - P :].set(step[K * F :])

    def linearised(self, numbers: Numbers, nodes: Nodes, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The residual and its Jacobian."""

        def twice(y: jax.Array) -> tuple[jax.Array, jax.Array]:
            value = self.residual(numbers, nodes, y)
            return value, value

        slope, value = jax.jacfwd(twice, has_aux=True)(x)
        return value, slope

    def report(self, numbers: Numbers, nodes: Nodes, rough: Nodes, x: jax.Array) -> dict[str, jax.Array]:
        """Variables of the result, in the fields of the loss; of several fields the decision is seen at the `rough` nodes."""
        module = self.module
        state = unpacked(x, self.shape)
        own = self.model(numbers, state.v)
        found = self.sampled(numbers, state, nodes)
        side = self.coordinates(numbers, found)
        said = self.order(numbers, state, self.overlaps(numbers, found, side)["Q"])
        ell = self.of_samples(module.loss, numbers, found["h"], own)
        p = numbers.probabilities
        said["train_loss"] = module.train_loss(ell=jnp.broadcast_to(ell, found["weight"].shape), p=p, weight=found["weight"])
        if module.DECIDES:
            seen = found if self.shape[1] == 1 else self.sampled(numbers, state, rough)
            wrong = self.of_samples(module.wrong, numbers, seen["h"], own)
            said["train_error"] = module.train_error(p=p, weight=seen["weight"], wrong=wrong)
        said["test_loss"] = p @ module.test_loss(said["m"], said["Q_k"], *own)
        if module.test_error is not None:
            said["test_error"] = p @ module.test_error(said["m"], said["Q_k"], *own)
        if module.SPARSE:
            said["nonzero"] = module.nonzero(on=side["on"], rho=numbers.fractions, u=numbers.shares)
        return said

    def derivatives(self, numbers: Numbers, nodes: Nodes, rough: Nodes, moved: Moved, x: jax.Array) -> tuple[Any, Any]:
        """(derivatives of the residual in the numbers; of what is reported, by name, in the unknown and the numbers)."""

        def at(moved: Moved) -> Numbers:
            return numbers._replace(**moved._asdict())

        of_residual = jax.jacfwd(lambda moved: self.residual(at(moved), nodes, x))(moved)
        of_report = jax.jacfwd(lambda x, moved: self.report(at(moved), nodes, rough, x), argnums=(0, 1))(x, moved)
        return tuple(of_residual), {name: (of_x, *of_moved) for name, (of_x, of_moved) in of_report.items()}

    def order(self, numbers: Numbers, state: State, Q: jax.Array) -> dict[str, jax.Array]:
        """Order parameters in the C fields of the loss."""
        K, F, _ = self.shape
        U = jnp.asarray(self.module.COLUMNS)
        said = {"m": state.m @ U.T, "Q": U @ Q @ U.T, "Q_k": U @ state.Q @ U.T, "V": U @ state.V @ U.T, "trained": state.v}
        if len(U) > F:  # directions in which the loss does not change have the ridge alone; without one they are left out
            bare = jnp.where(numbers.ridge > 0, numbers.ridge, 1.0)
            c = constants(numbers)
            W = self.module.gain(ridge=bare, Ah=jnp.zeros((K, 1, 1)), p=c["p"], sigma2=c["sigma2"], unit=jnp.eye(1))
            idle = jnp.where(numbers.ridge > 0, self.module.width(alpha=c["alpha"], W=W, rho=c["rho"], sigma2=c["sigma2"]), 0.0)
            said["V"] = said["V"] + idle * (jnp.eye(len(U)) - U @ U.T)
        return said

    def model(self, numbers: Numbers, v: jax.Array) -> tuple[Any, ...]:
        """What a sample's functions take beside fields and label."""
        return (tuple(v), numbers.parameters) if self.shape[2] else (numbers.parameters,)

    def of_samples(self, function: Any, numbers: Numbers, h: jax.Array, own: tuple[Any, ...]) -> jax.Array:
        """A function of all clusters' samples, (K, ..., N)."""
        return jax.vmap(lambda h, label: function(h, label, *own))(h, jnp.asarray(numbers.labels))

    def placed(self, numbers: Numbers, state: State, nodes: Nodes) -> tuple[jax.Array, jax.Array]:
        """Noise of the fields (K, F, N) and weights (K, N)."""
        K, F, _ = self.shape
        covariance = self.module.noise_of_fields(Qk=state.Q)
        if F > 1:
            omega = jax.vmap(square_root)(covariance) @ jnp.asarray(nodes.points)
            return omega, jnp.broadcast_to(jnp.asarray(nodes.weights), (K, len(nodes.weights)))
        deviation = jnp.sqrt(covariance[:, 0, 0])
        edges = jnp.stack([self.edges(numbers, state, k) for k in range(K)]) if self.module.EDGES else jnp.zeros((K, 0))
        standard, weights = jax.vmap(lambda at: between(at, nodes))((edges - state.m) / deviation[:, None])
        return (deviation[:, None] * standard)[:, None], weights

    def edges(self, numbers: Numbers, state: State, k: int) -> jax.Array:
        """Kinks of one cluster in z, (E,)."""
        found = self.module.edges(state.V[k][0], numbers.labels[k], *self.model(numbers, state.v))
        return jnp.stack([jnp.asarray(e).reshape(()) for e in found])

    def sampled(self, numbers: Numbers, state: State, nodes: Nodes) -> dict[str, Any]:
        """Samples of all clusters in training, and their means."""
        module = self.module
        omega, weight = self.placed(numbers, state, nodes)
        z = module.field(m=state.m, omega=omega)
        own = self.model(numbers, state.v)
        h, a, D = module.samples(z, state.V, jnp.asarray(numbers.labels), *own, jnp.eye(self.shape[1]))
        found = {"h": h, "weight": weight, "abar": module.mean_gradient(a=a, weight=weight)}
        found |= {"C": module.correlation(a=a, weight=weight), "Ah": module.integrated_response(D=D, weight=weight)}
        if self.shape[2]:
            dv = self.of_samples(module.trained_gradient, numbers, h, own)
            p = numbers.probabilities
            found["gv"] = module.trained_risk_gradient(trained_ridge=numbers.trained_ridge, dv=dv, p=p, v=state.v, weight=weight)
        return found

    def coordinates(self, numbers: Numbers, found: dict[str, Any]) -> dict[str, Any]:
        """Gain, and of thresholded coordinates their share and square."""
        module, c = self.module, constants(numbers)
        W = module.gain(ridge=numbers.ridge, Ah=found["Ah"], p=c["p"], sigma2=c["sigma2"], unit=jnp.eye(self.shape[1]))
        if not module.SPARSE:
            return {"W": W}
        N = module.source_mean(abar=found["abar"], nu=numbers.locations, p=c["p"])
        S2 = module.source_variance(
            Gamma=numbers.spreads, alpha=c["alpha"], C=found["C"], abar=found["abar"], p=c["p"], sigma2=c["sigma2"]
        )[:, 0, 0]
        at = {"N": N, "S2": S2, "W": W[:, 0], "l1": numbers.l1}
        thinned = {"on": module.share(**at), "q": module.square(**at)}
        return {"W": W, "e": jnp.broadcast_to(module.mean_point(**at), S2.shape)[:, None], **thinned}

    def mean_overlap(self, numbers: Numbers, side: dict[str, Any], abar: jax.Array) -> jax.Array:
        """m (K, F)."""
        module, c = self.module, constants(numbers)
        if not module.SPARSE:
            return module.mean_overlap(W=side["W"], abar=abar, gram=c["gram"], p=c["p"], rho=c["rho"])
        law = {"Gamma": numbers.spreads, "nu": numbers.locations, "u": numbers.shares}
        return module.mean_overlap(W=side["W"], abar=abar, e=side["e"], on=side["on"], p=c["p"], rho=c["rho"], **law)

    def overlaps(self, numbers: Numbers, found: dict[str, Any], side: dict[str, Any]) -> dict[str, Any]:
        """V and Qk (K, F, F), Q (F, F)."""
        module, c = self.module, constants(numbers)
        if module.SPARSE:
            u = numbers.shares
            width = module.width(alpha=c["alpha"], W=side["W"], on=side["on"], rho=c["rho"], sigma2=c["sigma2"], u=u)
            Qk = module.cluster_overlap(q=side["q"], rho=c["rho"], sigma2=c["sigma2"], u=u)[:, None, None]
            Q = jnp.reshape(module.overlap(q=side["q"], rho=c["rho"], u=u), (1, 1))
            return {"V": width, "Qk": Qk, "Q": Q}
        width = module.width(alpha=c["alpha"], W=side["W"], rho=c["rho"], sigma2=c["sigma2"])
        given = {"C": found["C"], "W": side["W"], "abar": found["abar"], **c}
        return {"V": width, "Qk": module.cluster_overlap(**given), "Q": module.overlap(**given)}


def constants(numbers: Numbers) -> dict[str, Any]:
    """The problem's numbers by their names in generated text."""
    return {
        "p": numbers.probabilities,
        "gram": numbers.means_gram,
        "rho": numbers.fractions,
        "sigma2": numbers.variance,
        "alpha": numbers.alpha,
    }


def packed(state: State) -> jax.Array:
    """The unknown of a state."""
    return jnp.concatenate([state.m.ravel(), _logarithm(state.Q), _logarithm(state.V), state.v])


def unpacked(x: jax.Array, shape: tuple[int, int, int]) -> State:
    """The state of an unknown; shape is (K, F, P)."""
    K, F, P = shape
    triangle = K * F * (F + 1) // 2
    ends = np.cumsum([K * F, triangle, triangle])
    m, Q, V, v = jnp.split(x, ends)
    return State(m.reshape(K, F), _matrix(Q, K, F), _matrix(V, K, F), v)


def _logarithm(matrices: jax.Array) -> jax.Array:
    """Cholesky factors by rows, the logarithm of their diagonals."""
    F = matrices.shape[-1]
    root = jnp.linalg.cholesky(matrices) if F > 1 else jnp.sqrt(matrices)
    rows, columns = np.tril_indices(F)
    entries = root[:, rows, columns]
    diagonal = rows == columns
    return jnp.where(diagonal, jnp.log(jnp.where(diagonal, entries, 1.0)), entries).ravel()


def _matrix(entries: jax.Array, K: int, F: int) -> jax.Array:
    rows, columns = np.tril_indices(F)
    entries = entries.reshape(K, -1)
    diagonal = rows == columns
    values = jnp.where(diagonal, jnp.exp(jnp.where(diagonal, entries, 0.0)), entries)
    root = jnp.zeros((K, F, F)).at[:, rows, columns].set(values)
    return root @ jnp.swapaxes(root, 1, 2)
