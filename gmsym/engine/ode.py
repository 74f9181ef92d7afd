"""Effective dynamics by adaptive Runge-Kutta methods (engine/integrator.py). Source: theory.md 6.

Cost of a call of the drift: O(nodes) a distinct mean, nodes by dimension of the mean and requested accuracy (runtime/nodes.py);
nothing if all means are closed. Tsit5 takes tens of steps for smooth losses at tolerance 1e-9, hundreds with kinks on fixed nodes.
"""

from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from gmsym.engine import integrator
from gmsym.errors import ComputationError, InputError
from gmsym.runtime import nodes as quadrature
from gmsym.runtime.nodes import Nodes
from gmsym.runtime.ode import Numbers, OdeModule, Spread, State, in_clusters, in_coordinates, law

_ROUGH_TOLERANCE = 1e-5  # kinks on fixed nodes make the drift piecewise smooth: a finer tolerance follows the pieces
_ROUGH_LEVEL = 2
_LEVELS = 6  # refinements of the nodes that are tried
_SCRAMBLES = (2, 3)  # further variants of rough nodes: two scrambles often agree by chance far within their error
_SAFETY = 0.1  # tolerance of one step, relative to the tolerance asked for
_LOOSER = {10.0: 4.0, 100.0: 40.0}  # tolerance of a step: what share of the change then is the solution's own error
_LARGE = 1e6  # a state beyond this is on its way to infinity
_FINEST = 1e-14  # tolerance of a step
_TIGHTENED = 4  # how often that is lowered, tenfold each, until the error is as asked for


class Solution(NamedTuple):
    """Order parameters at the recorded times, and what is known of their errors."""

    values: dict[str, np.ndarray]  # what `observables` returns, each (N, ...)
    errors: dict[str, np.ndarray]  # bounds: change of nodes plus a share of the changes of tolerance
    quadrature_error: float  # largest change of a state variable, relative to max(1, |value|), when the nodes change
    solver_error: float  # the same, of the solver's part of the errors
    nodes: int  # in all sets
    steps: int  # of the solver


def solve_ode(
    module: OdeModule,
    numbers: Numbers,
    start: State | Spread,
    times: Sequence[float] | np.ndarray,
    *,
    tolerance: Any = 1e-9,  # a number, which is checked here
    solver: str = "tsit5",
    of: int = 0,
    report: Callable[[float], None] | None = None,
) -> Solution:
    """Integrate the effective dynamics.

    The nodes are refined until a change of nodes moves no value by more than the tolerance, or the largest rule is reached; then the
    tolerance of a step is lowered until the solver's error is as asked for. What was reached is in the result. The solver's error is a
    share of the change of all values, those of a fresh sample included, when that tolerance grows 10 and 100 times: two such
    changes, since one may vanish by accident where two solutions cross.

    Args:
        module: a loaded generated module of kind Ode.
        numbers: the problem's numbers.
        start: the state at times[0] = 0.
        times: (N,) increasing.
        tolerance: relative to max(1, |value|).
        solver: "tsit5", or "kvaerno5" for stiff problems.
        of: whose order parameters: those of Theta, or of the state of the update rule that lasts at that place after it.
        report: called with the completed fraction.

    Raises:
        InputError: an argument out of range.
        ComputationError: the solution diverged or the solver did not arrive; names the time reached.
    """
    integrator.check_solver(solver)
    if isinstance(tolerance, bool) or not isinstance(tolerance, Real) or not 1e-13 <= tolerance <= 1e-1:
        raise InputError(f"tolerance = {tolerance!r}: a number from 1e-13 to 0.1 is needed")
    ts = jnp.asarray(times, float)
    rough = any(nature == "rough" for _, nature in module.NODES)
    step_tolerance = jnp.asarray(max(_SAFETY * tolerance, _ROUGH_TOLERANCE if rough else 0.0))  # an array: one compilation for all
    mean, V = law(module, start.of(module.FIELDS), numbers)
    level = quadrature.level_of(float(jnp.sqrt(jnp.max(jnp.diagonal(V, axis1=1, axis2=2)))))
    last = _ROUGH_LEVEL if rough else max([quadrature.largest_level(*kind) for kind in module.NODES], default=0)
    level = min(level, last)
    for attempt in range(_LEVELS):
        sets = [both_sets(module, level, variant) for variant in (0, 1, *_SCRAMBLES)]
        found, reached = _run(module, solver, numbers, start, ts, sets[0], step_tolerance, of)
        check_arrival(found, reached, ts)
        exact = not module.NODES and not module.TEST_NODES
        other = found if exact else _run(module, solver, numbers, start, ts, sets[1], step_tolerance, of)[0]
        gap = _gap(found, other)
        if report is not None:
            report((attempt + 1) / _LEVELS)
        if gap <= tolerance or level >= last:
            break
        level += 1
    base, others = found, [other]  # the changes of nodes are those at one tolerance
    if any(nature == "rough" for _, nature in (*module.NODES, *module.TEST_NODES)):
        others += [_run(module, solver, numbers, start, ts, scrambled, step_tolerance, of)[0] for scrambled in sets[2:]]
    solver_errors = _solver_errors(module, solver, numbers, start, ts, sets[0], step_tolerance, found, reached.states, of)
    for _ in range(0 if rough else _TIGHTENED):
        solver_error = _largest(found, solver_errors)
        if solver_error <= tolerance or step_tolerance <= _FINEST:
            break
        finer = jnp.maximum(0.1 * step_tolerance, _FINEST)
        tighter, arrived = _run(module, solver, numbers, start, ts, sets[0], finer, of)
        if not _is_complete(tighter, arrived):
            break  # out of steps: what there is stays, with its error
        smaller = _solver_errors(module, solver, numbers, start, ts, sets[0], finer, tighter, arrived.states, of)
        if _largest(tighter, smaller) >= solver_error:
            break  # rounding
        found, reached, step_tolerance, solver_errors = tighter, arrived, finer, smaller

    quadrature_errors = {name: np.max([np.abs(np.asarray(base[name] - x[name])) for x in others], axis=0) for name in found}
    errors = {name: quadrature_errors[name] + solver_errors[name] for name in found}
    values = {name: np.asarray(value) for name, value in found.items()}
    count = sum(len(x.weights) for x in sets[0][0])
    return Solution(values, errors, _largest(found, quadrature_errors), _largest(found, solver_errors), count, int(reached.steps))


def _solver_errors(
    module,
    solver: str,
    numbers: Numbers,
    start: State | Spread,
    ts,
    sets,
    step_tolerance,
    found: dict[str, Array],
    states: State | Spread,
    of: int = 0,
) -> dict[str, np.ndarray]:
    """Error of each value of a solution: a share of its changes at larger tolerances, or what the state's errors make of it.

    Changes of an observable may cancel where those of the state do not, and near a correlation of 1 of two fields, where the test error
    goes like arccos, small errors of the state are large ones of the observable.
    """
    changes, moved = [], []
    for looser, share in _LOOSER.items():
        other, reached = _run(module, solver, numbers, start, ts, sets, looser * step_tolerance, of)
        changes.append({name: np.abs(np.asarray(found[name] - other[name])) / share for name in found})
        moved.append(jax.tree.map(lambda one, two, share=share: jnp.abs(one - two) / share, states, reached.states))
    errors = {name: np.max([change[name] for change in changes], axis=0) for name in found}
    if not any(nature == "rough" for _, nature in module.TEST_NODES):  # jumps on fixed nodes have no derivative
        state = jax.tree.map(lambda *x: jnp.max(jnp.stack(x), axis=0), *moved)
        propagated = np.asarray(_propagated(module, states, state, numbers, sets[1], of))
        for i, name in enumerate(module.TESTS):
            errors[name] = np.maximum(errors[name], propagated[:, i])
    return errors


@eqx.filter_jit
def _propagated(module, states: State | Spread, errors: State | Spread, numbers: Numbers, nodes, of: int = 0) -> Array:
    """Independent errors of the state (N, ...) as errors of the module's TESTS (N, tests), to first order."""

    def of_time(given):
        state, error = given
        slopes = jax.jacrev(lambda state: _tested(module, state, numbers, nodes, of))(state)
        terms = jax.tree.map(lambda slope, e: ((slope * e) ** 2).reshape(len(slope), -1).sum(axis=1), slopes, error)
        return jnp.nan_to_num(jnp.sqrt(sum(jax.tree.leaves(terms))), nan=0.0, posinf=0.0)

    return jax.lax.map(of_time, (states, errors))


def both_sets(module: OdeModule, level: int, variant: int) -> tuple[tuple[Nodes, ...], tuple[Nodes, ...]]:
    """Nodes of the drift, and of the test loss and error; jumps gain little from levels, and only the tests have them as a rule."""
    of_drift = tuple(quadrature.rule(*kind, level, variant) for kind in module.NODES)
    of_test = tuple(quadrature.rule(*kind, _ROUGH_LEVEL if kind[1] == "rough" else level, variant) for kind in module.TEST_NODES)
    return of_drift, of_test


class Reached(NamedTuple):
    """How far a solve came."""

    time: Array
    steps: Array
    done: Array
    exhausted: Array  # whether it ended for lack of steps
    states: State  # at the recorded times


@eqx.filter_jit
def _run(
    module, solver: str, numbers: Numbers, start: State | Spread, ts, sets: tuple[Sequence[Nodes], Sequence[Nodes]], tolerance, of: int = 0
) -> tuple[dict[str, Array], Reached]:
    states, steps, done, exhausted = integrator.integrate(module, solver, numbers, start, ts, sets[0], tolerance)
    time = jnp.max(jnp.where(jnp.isfinite(jax.tree.leaves(states)[0].reshape(len(ts), -1)[:, 0]), ts, ts[0]))
    return observables(module, states, numbers, sets[1], of), Reached(time, steps, done, exhausted, states)


def observables(module: OdeModule, states: State | Spread, numbers: Numbers, nodes: Sequence[Nodes], of: int = 0) -> dict[str, Array]:
    """At each time: Q (C, C), m (K, C), M (T, C), v (P,), Q_k (K, C, C), with several blocks Q_b, m_b and M_b with a leading axis (B,);
    and of a fresh sample the module's TESTS: test_loss, test_error if there is a prediction, and the problem's observables."""

    performance = jax.lax.map(lambda state: _tested(module, state, numbers, nodes, of), states)
    found = jax.vmap(lambda state: overlaps(module, state.of(module.FIELDS, of), numbers))(states)
    return {**found, **{name: performance[:, i] for i, name in enumerate(module.TESTS)}}


def _tested(module: OdeModule, state: State | Spread, numbers: Numbers, nodes: Sequence[Nodes], of: int = 0) -> Array:
    """The module's TESTS of a state."""
    mean, V = law(module, state.of(module.FIELDS, of), numbers)
    return numbers.probabilities @ module.test(mean, V, numbers.labels, state.v, numbers.parameters, nodes)


def overlaps(module: OdeModule, state: State | Spread, numbers: Numbers) -> dict[str, Array]:
    """A state's overlaps by name, sums over blocks and, with several, those of each."""
    if isinstance(state, Spread):
        found = in_coordinates(module, state, numbers)
        return {name: found[name] for name in ("Q", "m", "Q_k")} | {"v": state.v}
    Q, m, M = state.by_block()
    found = {"Q": Q.sum(axis=0), "m": m.sum(axis=0), "M": M.sum(axis=0), "v": state.v}
    found["Q_k"] = in_clusters(numbers, Q)
    return found | ({"Q_b": Q, "m_b": m, "M_b": M} if len(Q) > 1 else {})


def check_arrival(found: dict[str, Array], reached: Reached, ts: Array) -> None:
    """Raises ComputationError unless everything is finite up to the last time."""
    if _is_complete(found, reached):
        return
    where = f"time {float(reached.time):.6g} of {float(ts[-1]):.6g}"
    largest = max(float(np.max(np.abs(x), initial=0.0, where=np.isfinite(x))) for x in map(np.asarray, jax.tree.leaves(reached.states)))
    if bool(reached.exhausted) and largest < _LARGE:
        raise ComputationError(
            f"the solver used up its {integrator.MAX_STEPS} steps after {where}: a shorter time, a larger tolerance, "
            "or solver = 'kvaerno5', which takes long steps where the dynamics has settled"
        )
    raise ComputationError(
        f"the effective dynamics diverged or could not be followed: {where} was reached "
        f"in {int(reached.steps)} steps; a smaller step c, or solver = 'kvaerno5', may help"
    )


def _is_complete(found: dict[str, Array], reached: Reached) -> bool:
    return bool(reached.done) and all(bool(jnp.all(jnp.isfinite(x))) for x in found.values())


def _gap(one: dict[str, Array], other: dict[str, Array]) -> float:
    """Largest difference of the state, relative to max(1, |value|)."""
    return _largest(one, {name: np.abs(np.asarray(one[name] - other[name])) for name in one})


def _largest(values: dict[str, Array], errors: dict[str, np.ndarray]) -> float:
    """Largest error of a state variable, relative to max(1, |value|)."""
    names = [x for x in (*State._fields, "Q_b", "m_b", "M_b") if x in values and values[x].size]
    return max(float(np.max(errors[x] / np.maximum(1, np.abs(values[x])))) for x in names)


def crossing(
    module: OdeModule,
    numbers: Numbers,
    start: State | Spread,
    time: float,
    variable: str,
    index: tuple[int, ...],
    value: float,
    *,
    tolerance: float = 1e-9,
    solver: str = "tsit5",
) -> float | None:
    """The first time at which one order parameter crosses a value, to the tolerance; None if it does not up to `time`.

    Args:
        variable, index: an entry of `overlaps`, such as "m", and its position.
        value: what it crosses.

    Raises:
        InputError: no such entry.
        ComputationError: as `solve_ode`.
    """
    integrator.check_solver(solver)
    known = overlaps(module, start.of(module.FIELDS), numbers)
    shape = known[variable].shape if variable in known else ()
    if not shape or len(index) != len(shape) or not all(0 <= i < n for i, n in zip(index, shape, strict=True)):
        raise InputError(
            f"{variable}{list(index)} is no order parameter here; {', '.join(f'{x} {value.shape}' for x, value in known.items())}"
        )
    mean, V = law(module, start.of(module.FIELDS), numbers)
    level = quadrature.level_of(float(jnp.sqrt(jnp.max(jnp.diagonal(V, axis1=1, axis2=2))))) + 1
    nodes = tuple(quadrature.rule(*kind, level) for kind in module.NODES)
    ts = jnp.array([0.0, time])
    at, crossed, arrived = _cross(module, solver, numbers, start, ts, nodes, _SAFETY * tolerance, variable, index, value)
    if crossed:
        return float(at)
    if not arrived:
        raise ComputationError(f"the effective dynamics could not be followed to time {time:.6g} while looking for {variable} = {value}")
    return None


@eqx.filter_jit
def _cross(module, solver, numbers, start, ts, nodes, tolerance, variable, index, value):
    entry = lambda state: overlaps(module, state.of(module.FIELDS), numbers)[variable][index]  # noqa: E731
    return integrator.first_zero(module, solver, numbers, start, ts, nodes, tolerance, lambda state: entry(state) - value)


class Moved(NamedTuple):
    """The numbers in which a solution is differentiated."""

    step: Array
    ridge: Array
    trained_step: Array
    trained_ridge: Array
    parameters: Array  # (P,)


def check_differentiable(module: OdeModule, name: str) -> None:
    """Raises InputError if an observable has no gradient through a solve on fixed nodes."""
    if any(nature == "rough" for _, nature in module.NODES):
        raise InputError(
            "the drift holds means with kinks in several dimensions, which have no gradient on fixed nodes; tune a smoother loss"
        )
    if name in module.TESTS and any(nature == "rough" for _, nature in module.TEST_NODES):
        raise InputError(f"{name} holds jumps in several dimensions, which have no gradient on fixed nodes; tune test_loss")


def first_level(module: OdeModule, start: State | Spread, numbers: Numbers) -> int:
    """Of nodes that resolve fields twice as wide as those at the start."""
    _, V = law(module, start.of(module.FIELDS), numbers)
    return quadrature.level_of(float(jnp.sqrt(jnp.max(jnp.diagonal(V, axis1=1, axis2=2))))) + 1


@eqx.filter_jit
def value_and_slopes(
    module: OdeModule,
    solver: str,
    numbers: Numbers,
    start: State | Spread,
    moved: Moved,
    ts: Array,
    sets: tuple[Sequence[Nodes], Sequence[Nodes]],
    tolerance: float,
    name: str,
    index: tuple[int, ...],
    best: bool,
) -> tuple[Array, tuple[Moved, Array], Array]:
    """(an entry of an observable at the last time, or at its least over all times; its derivatives in the numbers and in the factor by
    which all times are stretched; its time), through the solve."""

    def chosen(given: tuple[Moved, Array]) -> tuple[Array, Array]:
        moved, stretch = given
        changed = numbers._replace(**moved._asdict())
        states = integrator.integrate(module, solver, changed, start, stretch * ts, sets[0], tolerance).states
        values = observables(module, states, changed, sets[1])[name][(slice(None), *index)]
        place = jnp.argmin(values) if best else len(ts) - 1
        return values[place], ts[place]

    (value, time), slopes = jax.value_and_grad(chosen, has_aux=True)((moved, jnp.asarray(1.0)))
    return value, slopes, time


def shapes(module: OdeModule, start: State | Spread, numbers: Numbers) -> dict[str, tuple[int, ...]]:
    """Of the observables of a time."""
    return {name: x.shape for name, x in overlaps(module, start.of(module.FIELDS), numbers).items()} | dict.fromkeys(module.TESTS, ())
