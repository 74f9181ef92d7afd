"""The one place where the effective dynamics meets its solver (diffrax); `engine/explicit.py` stands in where diffrax is not installed."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import diffrax
import jax.numpy as jnp
import optimistix
from jaxtyping import Array

from gmsym.errors import InputError
from gmsym.runtime.nodes import Nodes
from gmsym.runtime.ode import Numbers, OdeModule, Spread, State, drift

Solver = Literal["tsit5", "kvaerno5"]
SOLVERS: dict[str, Callable[[], Any]] = {"tsit5": diffrax.Tsit5, "kvaerno5": diffrax.Kvaerno5}  # explicit; implicit, for stiff problems
MAX_STEPS = 2**14


class Integrated(NamedTuple):
    """States at the recorded times, and how the solver came there."""

    states: State  # (N, ...), infinite where it did not come
    steps: Array  # accepted ones
    done: Array
    exhausted: Array  # whether it ended for lack of steps


def check_solver(solver: str) -> None:
    if solver not in SOLVERS:
        raise InputError(f"solver = {solver!r}; allowed are {', '.join(SOLVERS)}")


def integrate(
    module: OdeModule, solver: str, numbers: Numbers, start: State | Spread, ts: Array, nodes: Sequence[Nodes], tolerance: Array | float
) -> Integrated:
    """The solution at `ts`; traceable and differentiable in `numbers`, `start` and `ts`."""
    solution = _solve(module, solver, numbers, start, ts, nodes, tolerance, saveat=diffrax.SaveAt(ts=ts))
    exhausted = solution.result == diffrax.RESULTS.max_steps_reached
    return Integrated(solution.ys, solution.stats["num_accepted_steps"], diffrax.is_successful(solution.result), exhausted)


def first_zero(
    module: OdeModule,
    solver: str,
    numbers: Numbers,
    start: State | Spread,
    ts: Array,
    nodes: Sequence[Nodes],
    tolerance: Array | float,
    function: Callable[[State], Array],
) -> tuple[Array, Array, Array]:
    """(time of the first zero of a function of the state, whether there is one, whether the solver came there or to the end)."""
    root = optimistix.Newton(rtol=tolerance, atol=tolerance)
    event = diffrax.Event(lambda t, y, args, **kwargs: function(y), root)
    solution = _solve(module, solver, numbers, start, ts, nodes, tolerance, event=event)
    assert solution.ts is not None  # the last time is what diffrax keeps where it is told nothing
    return solution.ts[-1], jnp.asarray(diffrax.is_event(solution.result)), jnp.asarray(diffrax.is_successful(solution.result))


def _solve(module, solver: str, numbers: Numbers, start: State | Spread, ts: Array, nodes, tolerance, **options: Any) -> diffrax.Solution:
    return diffrax.diffeqsolve(
        diffrax.ODETerm(lambda t, y, args: drift(module, t, y, *args)),
        SOLVERS[solver](),
        ts[0],
        ts[-1],
        None,
        start,
        args=(numbers, nodes),
        stepsize_controller=diffrax.PIDController(rtol=tolerance, atol=tolerance),
        max_steps=MAX_STEPS,
        throw=False,
        **options,
    )
