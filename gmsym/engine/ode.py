"""Effective dynamics by adaptive Runge-Kutta methods (diffrax). Source: theory.md 6.

Cost of a call of the drift: O(nodes) a distinct mean, nodes by dimension of the mean and requested accuracy (runtime/nodes.py);
nothing if all means are closed. Tsit5 takes tens of steps for smooth losses at tolerance 1e-9, hundreds with kinks on fixed nodes.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optimistix
from jaxtyping import Array

from gmsym.errors import ComputationError, InputError
from gmsym.runtime import nodes as quadrature
from gmsym.runtime.nodes import Nodes
from gmsym.runtime.ode import Numbers, OdeModule, State, drift, law

Solver = Literal["tsit5", "kvaerno5"]
SOLVERS: dict[str, Callable[[], Any]] = {"tsit5": diffrax.Tsit5, "kvaerno5": diffrax.Kvaerno5}  # explicit; implicit, for stiff problems
MAX_STEPS = 2**14
_ROUGH_TOLERANCE = 1e-5  # kinks on fixed nodes make the drift piecewise smooth: a finer tolerance follows the pieces
_ROUGH_LEVEL = 2
_LEVELS = 6  # refinements of the nodes that are tried
_SAFETY = 0.1  # tolerance of one step, relative to the tolerance asked for


class Solution(NamedTuple):
    """Order parameters at the recorded times, and what is known of their errors."""

    values: dict[str, np.ndarray]  # Q (N, C, C), m (N, K, C), M (N, T, C), v (N, P), test_loss and perhaps test_error (N,)
    errors: dict[str, np.ndarray]  # bounds: change of nodes plus change of tolerance
    quadrature_error: float  # largest change of a state variable, relative to max(1, |value|), when the nodes change
    solver_error: float  # the same, when the tolerance grows tenfold
    nodes: int  # in all sets
    steps: int  # of the solver


def solve_ode(
    module: OdeModule,
    numbers: Numbers,
    start: State,
    times: Sequence[float],
    *,
    tolerance: float = 1e-9,
    solver: Solver = "tsit5",
    report: Callable[[float], None] | None = None,
) -> Solution:
    """Integrate the effective dynamics.

    The nodes are refined until a change of nodes moves no value by more than the tolerance, or the largest rule is reached; what
    was reached is in the result.

    Args:
        module: a loaded generated module of kind Ode.
        numbers: the problem's numbers.
        start: the state at times[0] = 0.
        times: (N,) increasing.
        tolerance: relative to max(1, |value|).
        solver: "tsit5", or "kvaerno5" for stiff problems.
        report: called with the completed fraction.

    Raises:
        InputError: an argument out of range.
        ComputationError: the solution diverged or the solver did not arrive; names the time reached.
    """
    check_solver(solver)
    if not 1e-13 <= tolerance <= 1e-1:
        raise InputError(f"tolerance = {tolerance!r}: a number from 1e-13 to 0.1 is needed")
    ts = jnp.asarray(times, float)
    step_tolerance = max(_SAFETY * tolerance, _ROUGH_TOLERANCE if any(rough for _, rough in module.NODES) else 0.0)
    mean, V = law(start, numbers)
    level = quadrature.level_of(float(jnp.sqrt(jnp.max(jnp.diagonal(V, axis1=1, axis2=2)))))
    last = max([quadrature.largest_level(*kind) for kind in module.NODES], default=0)
    level = min(level, last)
    for attempt in range(_LEVELS):
        sets = [_both_sets(module, level, variant) for variant in (0, 1)]
        found, reached = _run(module, solver, numbers, start, ts, sets[0], step_tolerance)
        check_arrival(found, reached, ts)
        exact = not module.NODES and not module.TEST_NODES
        other = found if exact else _run(module, solver, numbers, start, ts, sets[1], step_tolerance)[0]
        gap = _gap(found, other)
        if report is not None:
            report((attempt + 1) / _LEVELS)
        if gap <= tolerance or level >= last:
            break
        level += 1
    loose, _ = _run(module, solver, numbers, start, ts, sets[0], 10 * step_tolerance)
    values = {name: np.asarray(value) for name, value in found.items()}
    errors = {name: np.abs(value - np.asarray(other[name])) + np.abs(value - np.asarray(loose[name])) for name, value in values.items()}
    return Solution(values, errors, gap, _gap(found, loose), sum(len(x.weights) for x in sets[0][0]), int(reached.steps))


def _both_sets(module: OdeModule, level: int, variant: int) -> tuple[tuple[Nodes, ...], tuple[Nodes, ...]]:
    """Nodes of the drift, and of the test loss and error; jumps gain little from levels, and only the tests have them as a rule."""
    of_drift = tuple(quadrature.rule(*kind, level, variant) for kind in module.NODES)
    of_test = tuple(quadrature.rule(*kind, _ROUGH_LEVEL if kind[1] else level, variant) for kind in module.TEST_NODES)
    return of_drift, of_test


class Reached(NamedTuple):
    """How far a solve came."""

    time: Array
    steps: Array
    done: Array


@eqx.filter_jit
def _run(
    module, solver: str, numbers: Numbers, start: State, ts, sets: tuple[Sequence[Nodes], Sequence[Nodes]], tolerance
) -> tuple[dict[str, Array], Reached]:
    solution = integrate(module, solver, numbers, start, ts, sets[0], tolerance)
    arrived = solution.stats["num_accepted_steps"]
    return observables(module, solution.ys, numbers, sets[1]), Reached(
        jnp.max(jnp.where(jnp.isfinite(solution.ys.Q[:, 0, 0]), ts, ts[0])), arrived, diffrax.is_successful(solution.result)
    )


def integrate(module: OdeModule, solver: str, numbers: Numbers, start: State, ts: Array, nodes: Sequence[Nodes], tolerance, **options):
    """The diffrax solution at `ts`; traceable and differentiable in `numbers`, `start` and `ts`."""
    term = diffrax.ODETerm(lambda t, y, args: drift(module, t, y, *args))
    return diffrax.diffeqsolve(
        term,
        SOLVERS[solver](),
        ts[0],
        ts[-1],
        None,
        start,
        args=(numbers, nodes),
        saveat=diffrax.SaveAt(ts=ts),
        stepsize_controller=diffrax.PIDController(rtol=tolerance, atol=tolerance),
        max_steps=MAX_STEPS,
        throw=False,
        **options,
    )


def observables(module: OdeModule, states: State, numbers: Numbers, nodes: Sequence[Nodes]) -> dict[str, Array]:
    """The states and the mean loss and error of a fresh sample, at each time."""

    def tested(state: State) -> Array:
        mean, V = law(state, numbers)
        return numbers.probabilities @ module.test(mean, V, numbers.labels, state.v, numbers.parameters, nodes)

    performance = jax.lax.map(tested, states)
    names = ("test_loss", "test_error")[: performance.shape[1]]
    return {**states._asdict(), **{name: performance[:, i] for i, name in enumerate(names)}}


def check_solver(solver: str) -> None:
    if solver not in SOLVERS:
        raise InputError(f"solver = {solver!r}; allowed are {', '.join(SOLVERS)}")


def check_arrival(found: dict[str, Array], reached: Reached, ts: Array) -> None:
    """Raises ComputationError unless everything is finite up to the last time."""
    if not bool(reached.done) or not all(bool(jnp.all(jnp.isfinite(x))) for x in found.values()):
        raise ComputationError(
            f"the effective dynamics diverged or could not be followed: time {float(reached.time):.6g} of {float(ts[-1]):.6g} was reached "
            f"in {int(reached.steps)} steps; a smaller step c, or solver = 'kvaerno5', may help"
        )


def _gap(one: dict[str, Array], other: dict[str, Array]) -> float:
    """Largest difference of the state, relative to max(1, |value|)."""
    changes = [jnp.abs(one[x] - other[x]) / jnp.maximum(1, jnp.abs(one[x])) for x in State._fields if one[x].size]
    return max(float(jnp.max(change)) for change in changes)


def crossing(
    module: OdeModule,
    numbers: Numbers,
    start: State,
    time: float,
    variable: str,
    index: tuple[int, ...],
    value: float,
    *,
    tolerance: float = 1e-9,
    solver: Solver = "tsit5",
) -> float | None:
    """The first time at which one order parameter crosses a value, to the tolerance; None if it does not up to `time`.

    Args:
        variable, index: an entry of the state: "Q", "m", "M" or "v" and its position.
        value: what it crosses.

    Raises:
        InputError: no such entry.
        ComputationError: as `solve_ode`.
    """
    check_solver(solver)
    shape = getattr(start, variable).shape if variable in State._fields else None
    if shape is None or len(index) != len(shape) or not all(0 <= i < n for i, n in zip(index, shape, strict=True)):
        raise InputError(
            f"{variable}{list(index)} is no order parameter here; {', '.join(f'{x} {getattr(start, x).shape}' for x in State._fields)}"
        )
    mean, V = law(start, numbers)
    level = quadrature.level_of(float(jnp.sqrt(jnp.max(jnp.diagonal(V, axis1=1, axis2=2))))) + 1
    nodes = tuple(quadrature.rule(*kind, level) for kind in module.NODES)
    solution = _cross(module, solver, numbers, start, jnp.array([0.0, time]), nodes, _SAFETY * tolerance, variable, index, value)
    if diffrax.is_event(solution.result):
        return float(solution.ts[-1])
    if not diffrax.is_successful(solution.result):
        raise ComputationError(f"the effective dynamics could not be followed to time {time:.6g} while looking for {variable} = {value}")
    return None


@eqx.filter_jit
def _cross(module, solver, numbers, start, ts, nodes, tolerance, variable, index, value):
    def condition(t, y, args, **kwargs):
        return getattr(y, variable)[index] - value

    term = diffrax.ODETerm(lambda t, y, args: drift(module, t, y, *args))
    return diffrax.diffeqsolve(
        term,
        SOLVERS[solver](),
        ts[0],
        ts[1],
        None,
        start,
        args=(numbers, nodes),
        stepsize_controller=diffrax.PIDController(rtol=tolerance, atol=tolerance),
        max_steps=MAX_STEPS,
        throw=False,
        event=diffrax.Event(condition, optimistix.Newton(rtol=tolerance, atol=tolerance)),
    )
