"""Equations of the stationary limit in numbers: what a generated module says of one state. Source: verified/sgd.md 1.2.

Letters: K clusters, F fields, S teachers, W own noises, P trained parameters, N nodes, C fields of the loss before the reduction to F. The
unknown x holds the means m (K, F), the overlaps M_k with the teachers (S, K, F), the logarithms of Cholesky factors of Q_k and V_k,
(K, F (F + 1)/2) each, and the trained parameters v (P,). With teachers Q stands for what their fields leave of Q_k.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gmsym.runtime.nodes import Nodes, between
from gmsym.runtime.roots import square_root
from gmsym.runtime.stationary import Numbers, StationaryModule, beside, has_panels


class State(NamedTuple):
    """The unknowns."""

    m: jax.Array  # (K, F)
    M: jax.Array  # (S, K, F)
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


class Placed(NamedTuple):
    """Samples of all clusters before their training."""

    omega: jax.Array  # noise of the fields, (K, F, N)
    zeta: jax.Array  # that of the teachers' fields, (S, K, N)
    beside: tuple[jax.Array, ...]  # teachers' fields and own noises (K, S + W, N), the argument of a sample's functions; () without these
    weight: jax.Array  # (K, N)


@dataclass(frozen=True)
class Equations:
    """Those of a module, with the shape (K, F, P, S) of its unknown; pure functions of arrays."""

    module: StationaryModule
    shape: tuple[int, int, int, int]

    def residual(self, numbers: Numbers, nodes: Nodes, x: jax.Array) -> jax.Array:
        """What a round changes of x; of the trained parameters the gradient of the risk."""
        P = self.shape[2]
        state = unpacked(x, self.shape)
        found = self.sampled(numbers, state, nodes)
        side = self.coordinates(numbers, found)
        new = self.overlaps(numbers, found, side)
        m = self.mean_overlap(numbers, side, found)
        M = self.teacher_overlap(numbers, side, found)
        gv = found["gv"] if P else jnp.zeros(0)
        return packed(State(m, M, self.left(numbers, M, new["Qk"]), new["V"], gv)) - x.at[x.size - P :].set(0.0)

    def implicit(self, numbers: Numbers, nodes: Nodes, x: jax.Array) -> jax.Array:
        """The residual with that of the means, the teachers' overlaps and the trained parameters replaced by one Newton step of theirs, at
        fixed Q, V and gain: an explicit round in the mean oscillates and explodes."""
        K, F, P, S = self.shape
        state, first = unpacked(x, self.shape), K * F * (1 + S)

        def of_means(y: jax.Array) -> tuple[jax.Array, Any]:
            moved = state._replace(m=y[: K * F].reshape(K, F), M=y[K * F : first].reshape(S, K, F), v=y[first:])
            found = self.sampled(numbers, moved, nodes)
            still = jax.lax.stop_gradient(found)
            side = self.coordinates(numbers, still)
            gap = self.mean_overlap(numbers, side, found) - moved.m
            M = self.teacher_overlap(numbers, side, found)
            gaps = jnp.concatenate([gap.ravel(), (M - moved.M).ravel(), *([found["gv"]] if P else [])])
            return gaps, (gaps, self.overlaps(numbers, still, side) | {"M": M})

        y = jnp.concatenate([state.m.ravel(), state.M.ravel(), state.v])
        slope, (gaps, new) = jax.jacfwd(of_means, has_aux=True)(y)
        step = -jnp.linalg.lstsq(slope, gaps, rcond=1e-12)[0]
        logs = packed(State(state.m, state.M, self.left(numbers, new["M"], new["Qk"]), new["V"], state.v)) - x
        return logs.at[:first].set(step[:first]).at[x.size - P :].set(step[first:])

    def linearised(self, numbers: Numbers, nodes: Nodes, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The residual and its Jacobian."""

        def twice(y: jax.Array) -> tuple[jax.Array, jax.Array]:
            value = self.residual(numbers, nodes, y)
            return value, value

        slope, value = jax.jacfwd(twice, has_aux=True)(x)
        return value, slope

    def report(self, numbers: Numbers, nodes: Nodes, rough: Nodes, fresh: tuple[Nodes, ...], x: jax.Array) -> dict[str, jax.Array]:
        """Variables of the result, in the fields of the loss; where there are no panels the decision is seen at the `rough` nodes; `fresh`
        ones are of the module's TEST_NODES."""
        module = self.module
        state = unpacked(x, self.shape)
        own = self.model(numbers, state.v)
        found = self.sampled(numbers, state, nodes)
        side = self.coordinates(numbers, found)
        said = self.order(numbers, state, self.overlaps(numbers, found, side))
        if self.shape[3]:
            said["M"] = self.teacher_overlap(numbers, side, found, of_cluster=False) @ jnp.asarray(module.COLUMNS).T
        ell = self.of_samples(module.loss, numbers, found, own)
        p = numbers.probabilities
        said["train_loss"] = module.train_loss(ell=jnp.broadcast_to(ell, found["weight"].shape), p=p, weight=found["weight"])
        if module.DECIDES:
            seen = found if has_panels(module) else self.sampled(numbers, state, rough)
            wrong = self.of_samples(module.wrong, numbers, seen, own)
            said["train_error"] = module.train_error(p=p, weight=seen["weight"], wrong=wrong)
        law = self.fresh(numbers, state, said)
        said["test_loss"] = p @ module.test_loss(*law, *own, fresh)
        if module.test_error is not None:
            said["test_error"] = p @ module.test_error(*law, *own, fresh)
        if module.SPARSE:
            said["nonzero"] = module.nonzero(on=side["on"], rho=numbers.fractions, u=numbers.shares)
        return said

    def derivatives(
        self, numbers: Numbers, nodes: Nodes, rough: Nodes, fresh: tuple[Nodes, ...], moved: Moved, x: jax.Array
    ) -> tuple[Any, Any]:
        """(derivatives of the residual in the numbers; of what is reported, by name, in the unknown and the numbers)."""

        def at(moved: Moved) -> Numbers:
            return numbers._replace(**moved._asdict())

        of_residual = jax.jacfwd(lambda moved: self.residual(at(moved), nodes, x))(moved)
        of_report = jax.jacfwd(lambda x, moved: self.report(at(moved), nodes, rough, fresh, x), argnums=(0, 1))(x, moved)
        return tuple(of_residual), {name: (of_x, *of_moved) for name, (of_x, of_moved) in of_report.items()}

    def order(self, numbers: Numbers, state: State, found: dict[str, Any]) -> dict[str, jax.Array]:
        """Order parameters in the C fields of the loss."""
        K, F, _, S = self.shape
        U = jnp.asarray(self.module.COLUMNS)
        Qk = found["Qk"] if S else state.Q
        said = {"m": state.m @ U.T, "Q": U @ found["Q"] @ U.T, "Q_k": U @ Qk @ U.T, "V": U @ state.V @ U.T, "trained": state.v}
        if len(U) > F:  # directions in which the loss does not change have the ridge alone; without one they are left out
            bare = jnp.where(numbers.ridge > 0, numbers.ridge, 1.0)
            c = constants(numbers)
            W = self.module.gain(ridge=bare, Ah=jnp.zeros((K, 1, 1)), p=c["p"], sigma2=c["sigma2"], unit=jnp.eye(1))
            idle = jnp.where(numbers.ridge > 0, self.module.width(alpha=c["alpha"], W=W, rho=c["rho"], sigma2=c["sigma2"]), 0.0)
            said["V"] = said["V"] + idle * (jnp.eye(len(U)) - U @ U.T)
        return said

    def fresh(self, numbers: Numbers, state: State, said: dict[str, jax.Array]) -> tuple[jax.Array, jax.Array]:
        """Moments of the C fields of a fresh sample of each cluster, and of the teachers' after them."""
        if not self.shape[3]:
            return said["m"], said["Q_k"]
        across = jnp.swapaxes(state.M @ jnp.asarray(self.module.COLUMNS).T, 0, 1)  # (K, S, C)
        teachers = jnp.moveaxis(self.teachers(numbers)[0], 2, 0)
        mean = jnp.concatenate([said["m"], jnp.asarray(numbers.teacher_means).T], axis=1)
        return mean, jnp.block([[said["Q_k"], jnp.swapaxes(across, 1, 2)], [across, teachers]])

    def model(self, numbers: Numbers, v: jax.Array) -> tuple[Any, ...]:
        """What a sample's functions take beside fields and label."""
        return (tuple(v), numbers.parameters) if self.shape[2] else (numbers.parameters,)

    def of_samples(self, function: Any, numbers: Numbers, found: dict[str, Any], own: tuple[Any, ...]) -> jax.Array:
        """A function of all clusters' samples, (K, ..., N)."""
        given = (found["h"], *found["beside"], jnp.asarray(numbers.labels))
        return jax.vmap(lambda *sample: function(*sample, *own))(*given)

    def placed(self, numbers: Numbers, state: State, nodes: Nodes) -> Placed:
        """Samples of all clusters before their training."""
        K, F, _, S = self.shape
        covariance = state.Q if S else self.module.noise_of_fields(Qk=state.Q)
        if not has_panels(self.module):
            points = jnp.broadcast_to(jnp.asarray(nodes.points), (K, *nodes.points.shape))
            rest = jax.vmap(square_root)(covariance) @ points[:, :F]
            return self.beside(numbers, state, rest, points[:, F:], jnp.broadcast_to(jnp.asarray(nodes.weights), (K, len(nodes.weights))))
        if beside(self.module):
            return self.between_bends(numbers, state, covariance[:, 0, 0], nodes)
        deviation = jnp.sqrt(covariance[:, 0, 0])
        edges = jnp.stack([self.edges(numbers, state, k) for k in range(K)]) if self.module.EDGES else jnp.zeros((K, 0))
        standard, weights = jax.vmap(lambda at: between(at, nodes))((edges - state.m) / deviation[:, None])
        return self.beside(numbers, state, (deviation[:, None] * standard)[:, None], jnp.zeros((K, 0, standard.shape[1])), weights)

    def between_bends(self, numbers: Numbers, state: State, variance: jax.Array, nodes: Nodes) -> Placed:
        """The same of one field and one thing beside it: the field given that, in panels of both."""
        K, _, _, S = self.shape
        module, own = self.module, self.model(numbers, state.v)
        size, location = (
            (jnp.sqrt(self.teachers(numbers)[0][0, 0]), jnp.asarray(numbers.teacher_means)[0]) if S else (jnp.ones(K), jnp.zeros(K))
        )
        labels, deviation = jnp.asarray(numbers.labels), jnp.sqrt(variance)
        numbers_at = [jnp.asarray(module.bends(label, *own), float).ravel() if module.BENDS else jnp.zeros(0) for label in labels]
        outer, first = jax.vmap(lambda at: between(at, nodes))((jnp.stack(numbers_at) - location[:, None]) / size[:, None])  # (K, O)
        omega = self.beside(numbers, state, jnp.zeros((K, 1, outer.shape[1])), outer[:, None], first).omega[:, 0]

        def given(V, label, m, deviation, tau, centre):  # of one cluster and one value of what is beside
            found = module.edges(V, tau[None], label, *own) if module.EDGES else ()
            edges = jnp.stack([jnp.asarray(e, float).reshape(()) for e in found]) if found else jnp.zeros(0)
            return between((edges - m - centre) / deviation, nodes)

        each = jax.vmap(jax.vmap(given, in_axes=(None, None, None, None, 0, 0)))
        tau = location[:, None] + size[:, None] * outer
        inner, second = each(state.V[:, 0], labels, state.m[:, 0], deviation, tau, omega)  # (K, O, N)
        count = inner.shape[2]
        rest = (deviation[:, None, None] * inner).reshape(K, 1, -1)
        repeated = jnp.repeat(outer, count, axis=1)[:, None]
        return self.beside(numbers, state, rest, repeated, (first[:, :, None] * second).reshape(K, -1))

    def beside(self, numbers: Numbers, state: State, rest: jax.Array, standard: jax.Array, weight: jax.Array) -> Placed:
        """Noise of the fields and what is beside them, from the part that is independent of the teachers (K, F, N) and from standard
        Gaussians (K, S + W, N)."""
        S = self.shape[3]
        if not S:
            return Placed(rest, jnp.zeros((0, len(rest), rest.shape[2])), (standard,) if standard.shape[1] else (), weight)
        gram, precision = self.teachers(numbers)
        roots = jax.vmap(square_root)(jnp.moveaxis(self.module.noise_of_teachers(star_gram_k=gram), 2, 0))
        zeta = jnp.swapaxes(roots @ standard[:, :S], 0, 1)
        tau = self.module.teacher_field(star_mean=jnp.asarray(numbers.teacher_means), zeta=zeta)
        omega = self.module.noise_given_teachers(Mk=state.M, precision=precision, rest=rest, zeta=zeta)
        return Placed(omega, zeta, (jnp.concatenate([jnp.swapaxes(tau, 0, 1), standard[:, S:]], axis=1),), weight)

    def teachers(self, numbers: Numbers) -> tuple[jax.Array, jax.Array]:
        """Gram matrices of the teachers in each cluster's metric, and their inverses, (S, S, K)."""
        c = constants(numbers)
        gram = self.module.teachers_in_cluster(rho=c["rho"], sigma2=c["sigma2"], star_gram=jnp.asarray(numbers.teacher_gram))
        return gram, jnp.moveaxis(jnp.linalg.pinv(jnp.moveaxis(gram, 2, 0), hermitian=True), 0, 2)

    def left(self, numbers: Numbers, M: jax.Array, Qk: jax.Array) -> jax.Array:
        """What the teachers' fields leave of the covariances Q_k."""
        return self.module.noise_of_fields(Mk=M, Qk=Qk, precision=self.teachers(numbers)[1]) if self.shape[3] else Qk

    def edges(self, numbers: Numbers, state: State, k: int) -> jax.Array:
        """Kinks of one cluster in z, (E,)."""
        found = self.module.edges(state.V[k][0], numbers.labels[k], *self.model(numbers, state.v))
        return jnp.stack([jnp.asarray(e).reshape(()) for e in found])

    def sampled(self, numbers: Numbers, state: State, nodes: Nodes) -> dict[str, Any]:
        """Samples of all clusters in training, and their means."""
        module = self.module
        omega, zeta, beside, weight = self.placed(numbers, state, nodes)
        z = module.field(m=state.m, omega=omega)
        own = self.model(numbers, state.v)
        h, a, D = module.samples(z, state.V, *beside, jnp.asarray(numbers.labels), *own, jnp.eye(self.shape[1]))
        found = {"h": h, "beside": beside, "weight": weight, "abar": module.mean_gradient(a=a, weight=weight)}
        found |= {"C": module.correlation(a=a, weight=weight), "Ah": module.integrated_response(D=D, weight=weight)}
        if self.shape[3]:
            precision = self.teachers(numbers)[1]
            found["Rz"] = module.teacher_response(Ah=found["Ah"], Mk=state.M, a=a, precision=precision, weight=weight, zeta=zeta)
        if self.shape[2]:
            dv = self.of_samples(module.trained_gradient, numbers, found, own)
            p = numbers.probabilities
            found["gv"] = module.trained_risk_gradient(trained_ridge=numbers.trained_ridge, dv=dv, p=p, v=state.v, weight=weight)
        return found

    def coordinates(self, numbers: Numbers, found: dict[str, Any]) -> dict[str, Any]:
        """Gain, and of thresholded coordinates their share and square."""
        module, c = self.module, constants(numbers)
        W = module.gain(ridge=numbers.ridge, Ah=found["Ah"], p=c["p"], sigma2=c["sigma2"], unit=jnp.eye(self.shape[1]))
        if not module.SPARSE:
            return {"W": W}
        place, spread = ({}, {}) if not self.shape[3] else self.laws_of_teachers(numbers, found)
        N = module.source_mean(abar=found["abar"], nu=numbers.locations, p=c["p"], **place)
        N = N[:, 0] if self.shape[3] else N
        S2 = module.source_variance(
            Gamma=numbers.spreads, alpha=c["alpha"], C=found["C"], abar=found["abar"], p=c["p"], sigma2=c["sigma2"], **spread
        )[:, 0, 0]
        at = {"N": N, "S2": S2, "W": W[:, 0], "l1": numbers.l1}
        thinned = {"on": module.share(**at), "q": module.square(**at)}
        return {"W": W, "e": jnp.broadcast_to(module.mean_point(**at), S2.shape)[:, None], **thinned}

    def laws_of_teachers(self, numbers: Numbers, found: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """What teachers add to the mean and the variance of a scaled coordinate's source."""
        own = {"Rz": found["Rz"], "sigma2": numbers.variance, "nu_star": numbers.teacher_locations}
        return own, {"Rz": found["Rz"], "Gamma_mean": numbers.teacher_mean_spreads, "Gamma_star": numbers.teacher_spreads}

    def mean_overlap(self, numbers: Numbers, side: dict[str, Any], found: dict[str, Any]) -> jax.Array:
        """m (K, F)."""
        module, c = self.module, constants(numbers)
        taught = {"Rz": found["Rz"], "sigma2": c["sigma2"]} if self.shape[3] else {}
        given = {"W": side["W"], "abar": found["abar"], "p": c["p"], "rho": c["rho"], **taught}
        if not module.SPARSE:
            taught = {"star_mean": jnp.asarray(numbers.teacher_means)} if self.shape[3] else {}
            return module.mean_overlap(gram=c["gram"], **given, **taught)
        law = {"Gamma": numbers.spreads, "nu": numbers.locations, "u": numbers.shares}
        law |= {"Gamma_mean": numbers.teacher_mean_spreads} if self.shape[3] else {}
        return module.mean_overlap(e=side["e"], on=side["on"], **given, **law)

    def teacher_overlap(self, numbers: Numbers, side: dict[str, Any], found: dict[str, Any], of_cluster: bool = True) -> jax.Array:
        """M_k (S, K, F), or M (S, F)."""
        K, F, _, S = self.shape
        if not S:
            return jnp.zeros((0, K, F))
        module, c = self.module, constants(numbers)
        function = module.cluster_teacher_overlap if of_cluster else module.teacher_overlap
        given = {"Rz": found["Rz"], "W": side["W"], "abar": found["abar"], "p": c["p"], "rho": c["rho"], "sigma2": c["sigma2"]}
        if not module.SPARSE:
            return function(star_gram=jnp.asarray(numbers.teacher_gram), star_mean=jnp.asarray(numbers.teacher_means), **given)
        law = {"Gamma_mean": numbers.teacher_mean_spreads, "Gamma_star": numbers.teacher_spreads, "nu_star": numbers.teacher_locations}
        return function(e=side["e"], on=side["on"], u=numbers.shares, **law, **given)

    def overlaps(self, numbers: Numbers, found: dict[str, Any], side: dict[str, Any]) -> dict[str, Any]:
        """V and Qk (K, F, F), Q (F, F)."""
        module, c = self.module, constants(numbers)
        if module.SPARSE:
            u = numbers.shares
            width = module.width(alpha=c["alpha"], W=side["W"], on=side["on"], rho=c["rho"], sigma2=c["sigma2"], u=u)
            Qk = jnp.reshape(module.cluster_overlap(q=side["q"], rho=c["rho"], sigma2=c["sigma2"], u=u), (-1, 1, 1))
            Q = jnp.reshape(module.overlap(q=side["q"], rho=c["rho"], u=u), (1, 1))
            return {"V": width, "Qk": Qk, "Q": Q}
        width = module.width(alpha=c["alpha"], W=side["W"], rho=c["rho"], sigma2=c["sigma2"])
        given = {"C": found["C"], "W": side["W"], "abar": found["abar"], **c}
        if self.shape[3]:
            given |= {"Rz": found["Rz"], "star_gram": jnp.asarray(numbers.teacher_gram), "star_mean": jnp.asarray(numbers.teacher_means)}
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
    return jnp.concatenate([state.m.ravel(), state.M.ravel(), _logarithm(state.Q), _logarithm(state.V), state.v])


def unpacked(x: jax.Array, shape: tuple[int, int, int, int]) -> State:
    """The state of an unknown; shape is (K, F, P, S)."""
    K, F, _, S = shape
    triangle = K * F * (F + 1) // 2
    ends = np.cumsum([K * F, S * K * F, triangle, triangle])
    m, M, Q, V, v = jnp.split(x, ends)
    return State(m.reshape(K, F), M.reshape(S, K, F), _matrix(Q, K, F), _matrix(V, K, F), v)


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
