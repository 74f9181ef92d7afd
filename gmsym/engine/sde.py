"""Fluctuations of online SGD: covariance by the Lyapunov equation, paths by a linear SDE (diffrax). Source: theory.md 6.

n statistics: cost of a step O(n^3) and n tangents of the drift, n second ones for the bias, and the quadrature of the volatility over
(h, tau); a path afterwards costs O(n^2) a step.
"""

from collections.abc import Sequence
from functools import partial
from itertools import product
from typing import NamedTuple

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gmsym.engine.integrator import MAX_STEPS, SOLVERS, Solver, check_solver
from gmsym.errors import ComputationError, InputError
from gmsym.runtime import nodes as quadrature
from gmsym.runtime.arguments import named
from gmsym.runtime.nodes import Nodes
from gmsym.runtime.ode import Numbers, OdeModule, State, call, drift, law
from gmsym.runtime.roots import square_root
from gmsym.runtime.sde import SdeModule

_GRID = 16  # steps of the Euler-Maruyama method between two recorded times, at least
_DIFFERENCE = 0.02  # of a statistic, for derivatives where integrands jump between the nodes
_LONGEST = 0.02  # and its longest step
_LEAST = 0.1  # of the tolerance, of the largest entry at a time: over a short time both tolerances make the same steps
_COARSER = 4.0  # times the tolerance, of the solution behind the errors: it differs by some three errors of the solver


class Fluctuations(NamedTuple):
    """The Gaussian law of xi = sqrt(d) (u - ubar) at the recorded times; n statistics."""

    mean: np.ndarray  # ubar, (N, n)
    covariance: np.ndarray  # P, (N, n, n)
    two_time: np.ndarray  # E xi(t) xi(s)^T for t >= s, (N, N, n, n); the transposed for t < s
    jacobian: np.ndarray  # DF, (N, n, n)
    volatility: np.ndarray  # c Sigma, (N, n, n)
    covariance_error: np.ndarray  # change of P under a change of nodes and of the solver's tolerance, (N, n, n)
    bias: np.ndarray | None  # d times the mean of u - ubar, (N, n), where it was asked for
    bias_error: np.ndarray | None  # its change, likewise


def labels(module: OdeModule, blocks: int = 1) -> list[str]:
    """Names of the n statistics, in the order of the vectors here: Q[0,0], Q[0,1], ..., m[k;c], M[s;c], trained[name]; with several blocks
    Q_b[b;0,0], ..., m_b[b;k;c], M_b[b;s;c], trained[name]."""
    fields = range(module.FIELDS)
    pairs = [f"{i},{j}" for i in fields for j in fields if i <= j]

    def named(letter: str, rows: int | None, columns: Sequence[str]) -> list[str]:
        places = product(range(blocks) if blocks > 1 else [None], range(rows) if rows is not None else [None], columns)
        found = []
        for block, row, column in places:
            inside = ";".join(str(x) for x in (block, row, column if len(fields) > 1 else None) if x is not None)
            name = letter if block is None else f"{letter}_b"
            found.append(f"{name}[{inside}]" if inside else name)
        return found

    single = [str(c) for c in fields]
    overlaps = [*named("Q", None, pairs), *named("m", module.CLUSTERS, single), *named("M", module.TEACHERS, single)]
    return [*overlaps, *(f"trained[{name}]" for name in module.TRAINED)]


def flat(state: State) -> Float[Array, " n"]:
    """The independent entries of a state."""
    rows, columns = np.triu_indices(state.Q.shape[-1])
    return jnp.concatenate([state.Q[..., rows, columns].ravel(), state.m.ravel(), state.M.ravel(), state.v])


def unflat(vector: Float[Array, " n"], like: State) -> State:
    """The state of a vector of independent entries."""
    *blocks, fields, _ = like.Q.shape
    rows, columns = np.triu_indices(fields)
    ends = np.cumsum([np.prod(blocks, dtype=int) * len(rows), like.m.size, like.M.size])
    upper, m, M, v = jnp.split(vector, ends)
    upper = upper.reshape(*blocks, len(rows))
    Q = jnp.zeros(like.Q.shape).at[..., rows, columns].set(upper).at[..., columns, rows].set(upper)
    return State(Q, m.reshape(like.m.shape), M.reshape(like.M.shape), v)


class Moments(NamedTuple):
    """What one sample's increment adds beyond the drift."""

    volatility: Float[Array, "n n"]  # Sigma, the covariance of its first order over the mixture
    second: Float[Array, "k n"]  # the mean of its second order in each cluster


def moments(module: SdeModule, t: Array, state: State, numbers: Numbers, nodes: Nodes) -> Moments:
    """Of the increment of one sample at a state.

    Its first order is linear in the fields w = (h, tau, u) of each block's students, teachers and means, with coefficients linear in the
    gradient, which depends on (h, tau), their sums over blocks. Given these, w is Gaussian: its conditional mean stands in the
    increment, and its conditional covariance adds to that of the increment. No derivative of the gradient is taken. The second order
    has nu = |Y|^2 - sigma^2 d, to which only the span of all these vectors contributes.
    """
    mean, V = law(module, state, numbers)
    fields, seen = module.FIELDS, module.FIELDS + module.TEACHERS
    shared = {
        "c": numbers.step,
        "c_v": numbers.trained_step,
        "beta": numbers.ridge,
        "beta_v": numbers.trained_ridge,
        "rho": numbers.rho,
        "rate": module.rate(t, numbers.step, numbers.parameters),
        **state._asdict(),
    }
    Q, m, M = state.by_block()
    gram, tau_gram, tau_mean = (numbers.within(x) for x in (numbers.gram, numbers.tau_gram, numbers.tau_mean))
    gram = jnp.block(
        [
            [Q, M.swapaxes(1, 2), m.swapaxes(1, 2)],
            [M, tau_gram, tau_mean],
            [m, tau_mean.swapaxes(1, 2), gram],
        ]
    )  # of the vectors behind w, (B, w, w)
    leading = state.Q.shape[:-2]
    dual = jnp.linalg.pinv(gram, hermitian=True)
    rank = jnp.einsum("bij,bji->b", dual, gram)

    def of_cluster(mean, V, label, sigma2, centre):
        z = jnp.asarray(nodes.points)
        f = mean[:, None] + square_root(V) @ z
        a = module.gradient(f[:fields], f[fields:], label, state.v, numbers.parameters)
        b = module.trained_gradient(f[:fields], f[fields:], label, state.v, numbers.parameters)
        covariance = sigma2.reshape(-1)[:, None, None] * gram
        beside = covariance[:, :, :seen].reshape(-1, seen)  # covariance of all w with (h, tau)
        gain = beside @ jnp.linalg.pinv(V, hermitian=True)
        rest = jax.scipy.linalg.block_diag(*covariance) - gain @ beside.T
        w = centre.ravel()[:, None] + gain @ (f - mean[:, None])

        def order(kind, w, a, b, nu):
            h, tau, u = jnp.split(w.reshape(*leading, -1), (fields, seen), axis=-1)
            arrays = {**shared, "sigma2": numbers.corrector * sigma2[None], "h": h, "tau": tau, "u": u, "a": a, "b": b, "nu": nu}
            return flat(State(*(call(module, kind, name, arrays, getattr(state, name)) for name in State._fields)))

        def increment(w, a, b):
            return order("increment", w, a, b, None)

        phi = jax.vmap(increment, in_axes=1)(w, a, b)
        slope = jax.jacfwd(jax.jacfwd(increment), argnums=1)(w[:, 0], a[:, 0], b[:, 0])  # d^2 phi / dw da, the same at all nodes
        unseen = jnp.einsum("n,cn,dn,ixc,xy,jyd->ij", nodes.weights, a, a, slope, rest, slope)
        split, own = w.reshape(*gram.shape[:2], -1), jnp.einsum("bibj->bij", rest.reshape(*gram.shape[:2], *gram.shape[:2]))

        def excess(w):
            """The mean of nu given (h, tau), where w is the mean of the fields (B, w)."""
            arrays = {"Dual": dual, "W": w[:, :, None] * w[:, None] + own, "rank": rank}
            arrays = arrays if leading else {name: x[0] for name, x in arrays.items()}
            return named(module.excess, arrays | {"sigma2": sigma2[None]})

        nu = jax.vmap(excess, in_axes=2)(split)
        chi = jax.vmap(partial(order, "second"), in_axes=(1, 1, 1, 0))(w, a, b, nu)
        first = jnp.einsum("n,ni->i", nodes.weights, phi), jnp.einsum("n,ni,nj->ij", nodes.weights, phi, phi) + unseen
        return *first, jnp.einsum("n,ni->i", nodes.weights, chi)

    centres = jnp.moveaxis(gram[:, :, seen:], 2, 0)  # means of w, (K, B, w)
    average, square, second = jax.vmap(of_cluster)(mean, V, numbers.labels, numbers.sigma2, centres)
    means = {"p": numbers.probabilities, "mean_phi": average, "mean_phi_phi": square}
    means["F"] = named(module.mean_increment, means)
    return Moments(named(module.volatility, means), second)


def solve_fluctuations(
    module: SdeModule,
    numbers: Numbers,
    start: State,
    times: Sequence[float] | np.ndarray,
    *,
    initial: np.ndarray | None = None,
    bias: bool = False,
    tolerance: float = 1e-6,
    level: int = 1,
    solver: Solver = "tsit5",
) -> Fluctuations:
    """Mean and covariance of the fluctuations at the recorded times.

    Args:
        initial: covariance of xi at time 0, (n, n); default 0, an exact initial Gram matrix.
        bias: whether d times the mean of u - ubar is wanted, too.
        tolerance: of the solver, relative and absolute.
        level: of the quadrature nodes (runtime/nodes.py).

    Raises:
        InputError: a wrong shape; a bias where the drift has kinks on fixed nodes, and so no second derivative.
        ComputationError: the solver did not arrive.
    """
    check_solver(solver)
    if bias:
        check_smooth(module)
    ts = jnp.asarray(times, float)
    count = len(flat(start))
    P = jnp.zeros((count, count)) if initial is None else jnp.asarray(initial, float)
    if P.shape != (count, count):
        raise InputError(f"initial has shape {P.shape}; ({count}, {count}) is needed: {', '.join(labels(module, len(numbers.rho)))}")
    found = []
    for variant in (0, 1):
        sets = (
            tuple(quadrature.rule(*kind, level, variant) for kind in module.NODES),
            quadrature.rule(*module.SAMPLE_NODES, level, variant),
        )
        # Other nodes and another tolerance at once: where the nodes are exact, the solver's error is all there is.
        allowed = np.asarray(tolerance * (1.0, _COARSER)[variant])  # an array: another number compiles nothing
        found.append([np.asarray(x) for x in _covariances(module, solver, numbers, start, P, ts, sets, allowed, bias)])
        if not all(np.isfinite(x).all() for x in found[-1]):
            raise ComputationError(f"the covariance of the fluctuations could not be followed to time {float(ts[-1]):.6g}")
    mean, covariance, shift, propagators, jacobian, noise = found[0]
    least = (_LEAST * tolerance * np.abs(x).max(axis=tuple(range(1, x.ndim)), keepdims=True) for x in (covariance, shift))
    error, shift_error = (np.maximum(np.abs(found[0][i] - found[1][i]), floor) for i, floor in zip((1, 2), least, strict=True))
    of_bias = (shift, shift_error) if bias else (None, None)
    return Fluctuations(mean, covariance, _two_time(covariance, propagators), jacobian, noise, error, *of_bias)


def check_smooth(module: OdeModule) -> None:
    """Raises InputError where the drift has no second derivative, and so no known bias."""
    if any(nature == "rough" for _, nature in module.NODES):
        raise InputError(
            "the drift holds means with kinks in several dimensions: on fixed nodes it has no derivatives, and no bias is known"
        )


def _two_time(covariance: np.ndarray, propagators: np.ndarray) -> np.ndarray:
    """E xi(t) xi(s)^T from P(s) and the propagators between neighbouring times, (N - 1, n, n)."""
    count, size = covariance.shape[:2]
    found = np.zeros((count, count, size, size))
    for s in range(count):
        found[s, s] = covariance[s]
        for t in range(s + 1, count):
            found[t, s] = propagators[t - 1] @ found[t - 1, s]
            found[s, t] = found[t, s].T
    return found


class Drift(NamedTuple):
    """The drift as a function of the vector of statistics, and its derivatives."""

    module: SdeModule
    numbers: Numbers
    like: State
    nodes: Sequence[Nodes]

    def __call__(self, t: Array, vector: Array) -> Array:
        return flat(drift(self.module, t, unflat(vector, self.like), self.numbers, self.nodes))

    def jacobian(self, t: Array, vector: Array) -> Array:
        """DF."""
        if all(nature != "rough" for _, nature in self.module.NODES):
            return jax.jacfwd(lambda x: self(t, x))(vector)
        # A jump between fixed nodes has no derivative: differences wide enough for many nodes to cross it.
        shifts = _DIFFERENCE * jnp.eye(len(vector))
        return jax.vmap(lambda e: (self(t, vector + e) - self(t, vector - e)) / (2 * _DIFFERENCE))(shifts).T

    def contracted(self, t: Array, vector: Array, P: Array) -> Array:
        """D^2 F : P."""
        values, vectors = jnp.linalg.eigh(P)
        axes = vectors * jnp.sqrt(jnp.clip(values, 0))

        def second(axis):
            return jax.jvp(lambda x: jax.jvp(lambda u: self(t, u), (x,), (axis,))[1], (vector,), (axis,))[1]

        return jax.vmap(second)(axes.T).sum(axis=0)

    def along(self, t: Array, vector: Array) -> Array:
        """dF/dt along the trajectory."""
        return jax.jvp(self, (t, vector), (jnp.ones_like(t), self(t, vector)))[1]


def slopes(field: Drift, nodes: Nodes, bias: bool, t: Array, y: tuple[Array, ...]) -> tuple[Array, ...]:
    """d/dt of (statistics, covariance P, bias zeta, propagator); `nodes` are those of one sample, without `bias` zeta stays."""
    vector, P, shift, propagator = y
    sample = moments(field.module, t, unflat(vector, field.like), field.numbers, nodes)
    arrays = {
        "c": field.numbers.step,
        "p": field.numbers.probabilities,
        "DF": field.jacobian(t, vector),
        "P": P,
        "C": propagator,
        "zeta": shift,
        "Sigma": sample.volatility,
        "mean_chi": sample.second,
    }
    of_covariance, of_propagator = (named(f, arrays) for f in (field.module.covariance_rate, field.module.correlation_rate))
    of_shift = jnp.zeros_like(shift)
    if bias:
        arrays |= {"D2F_P": field.contracted(t, vector, P), "dF": field.along(t, vector)}
        of_shift = named(field.module.bias_rate, arrays)
    return field(t, vector), of_covariance, of_shift, of_propagator


@eqx.filter_jit
def _covariances(module, solver, numbers: Numbers, start: State, P, ts, sets: tuple[Sequence[Nodes], Nodes], tolerance, bias: bool):
    size = len(P)
    field = Drift(module, numbers, start, sets[0])

    def interval(y, ends):
        vector, P, shift = y
        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(lambda t, y, args: slopes(field, sets[1], bias, t, y)),
            SOLVERS[solver](),
            ends[0],
            ends[1],
            None,
            (vector, P, shift, jnp.eye(size)),
            stepsize_controller=diffrax.PIDController(rtol=tolerance, atol=tolerance),
            max_steps=MAX_STEPS,
            throw=False,
        )
        vector, P, shift, propagator = (x[-1] for x in jax.tree.leaves(solution.ys))
        return (vector, P, shift), (vector, P, shift, propagator)

    first = flat(start), P, jnp.zeros(size)
    _, (*later, propagators) = jax.lax.scan(interval, first, jnp.stack([ts[:-1], ts[1:]], axis=1))
    mean, covariance, shift = (jnp.concatenate([one[None], rest]) for one, rest in zip(first, later, strict=True))

    def at(pair):
        t, vector = pair
        volatility = moments(module, t, unflat(vector, start), numbers, sets[1]).volatility
        return field.jacobian(t, vector), named(module.noise, {"Sigma": volatility, "c": numbers.step})

    return mean, covariance, shift, propagators, *jax.lax.map(at, (ts, mean))


def sample_paths(
    module: SdeModule,
    fluctuations: Fluctuations,
    times: Sequence[float] | np.ndarray,
    *,
    paths: int,
    seed: int = 0,
    initial: np.ndarray | None = None,
) -> Float[np.ndarray, "paths times n"]:
    """Paths of the module's SDE of xi at the recorded times, by Euler-Maruyama with DF and the root of c Sigma interpolated.

    The error is of order one step (at most 0.02) and of the interpolation between recorded times.

    Args:
        initial: covariance of xi at time 0; default 0.

    Raises:
        InputError: an argument out of range.
    """
    if isinstance(paths, bool) or not isinstance(paths, int) or paths < 1:
        raise InputError(f"paths = {paths!r}: an integer of at least 1 is needed")
    ts = jnp.asarray(times, float)
    gaps = float(jnp.min(jnp.diff(ts)))
    step = min(gaps / _GRID, _LONGEST)
    roots = np.stack([_symmetric_root(x) for x in fluctuations.volatility])
    size = roots.shape[-1]
    spread = jnp.zeros((size, size)) if initial is None else jnp.asarray(_symmetric_root(np.asarray(initial)))
    keys = jax.random.split(jax.random.key(seed), paths)
    return np.asarray(_paths(module, jnp.asarray(fluctuations.jacobian), jnp.asarray(roots), spread, ts, keys, step))


@eqx.filter_jit
def _paths(module, jacobian: Array, roots: Array, spread: Array, ts: Array, keys: Array, step: float) -> Array:
    slopes, noises = diffrax.LinearInterpolation(ts, jacobian), diffrax.LinearInterpolation(ts, roots)
    size = roots.shape[-1]

    def path(key):
        first, second = jax.random.split(key)
        brownian = diffrax.VirtualBrownianTree(ts[0], ts[-1] + 1e-6, tol=step / 2, shape=(size,), key=second)
        terms = diffrax.MultiTerm(
            diffrax.ODETerm(lambda t, y, args: named(module.path_drift, {"DF": slopes.evaluate(t), "xi": y})),
            diffrax.ControlTerm(lambda t, y, args: named(module.path_noise, {"Root": noises.evaluate(t)}), brownian),
        )
        solution = diffrax.diffeqsolve(
            terms,
            diffrax.Euler(),
            ts[0],
            ts[-1],
            step,
            spread @ jax.random.normal(first, (size,)),
            saveat=diffrax.SaveAt(ts=ts),
            max_steps=None,
        )
        return solution.ys

    return jax.vmap(path)(keys)


def _symmetric_root(matrix: np.ndarray) -> np.ndarray:
    """Square root of a positive semidefinite matrix; negative eigenvalues are rounding."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    return (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
