"""The method of Dormand and Prince on JAX alone: what `engine/integrator.py` offers, in files that run without diffrax.

Steps end at the recorded times, where a method with an interpolant would pass over them: some more evaluations, and no second error.
Source: Dormand and Prince 1980 (J. Comput. Appl. Math. 6, 19); step sizes as in Hairer, Norsett and Wanner 1993, II.4.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array

from gmsym.errors import InputError
from gmsym.runtime.nodes import Nodes
from gmsym.runtime.ode import Numbers, OdeModule, State, drift

Solver = str
MAX_STEPS = 2**14
_TIMES = (0.0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0)
_STAGES = (
    (),
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
)
_FIFTH = (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84)
_FOURTH = (5179 / 57600, 0.0, 7571 / 16695, 393 / 640, -92097 / 339200, 187 / 2100, 1 / 40)
_SAFETY, _LEAST, _MOST = 0.9, 0.2, 5.0  # of the change of a step
_FIRST = 1e-3  # of the whole time: the first step that is tried
_SMALLEST = 1e-13  # of the whole time: a step below has failed


class Integrated(NamedTuple):
    """States at the recorded times, and how the solver came there."""

    states: State
    steps: Array
    done: Array
    exhausted: Array


class _Place(NamedTuple):
    time: Array
    state: Array
    slope: Array
    step: Array  # the next one that is tried
    steps: Array  # accepted ones
    trials: Array


def check_solver(solver: str) -> None:
    if solver != "tsit5":
        raise InputError(f"solver = {solver!r}: a file of its own has an explicit method; solver = 'tsit5' is allowed")


def integrate(
    module: OdeModule, solver: str, numbers: Numbers, start: State, ts: Array, nodes: Sequence[Nodes], tolerance: Array | float
) -> Integrated:
    """The solution at `ts`, infinite where the solver did not come."""
    flat, shaped = ravel_pytree(start)
    span = ts[-1] - ts[0]

    def slope(t: Array, y: Array) -> Array:
        return ravel_pytree(drift(module, t, shaped(y), numbers, nodes))[0]

    def trial(place: _Place, end: Array) -> _Place:
        """One step, taken if its error is small, and the next step either way; cut to end at `end`, which the next one forgets."""
        whole = end - place.time
        step = jnp.minimum(place.step, whole)
        slopes = [place.slope]
        for at, row in zip(_TIMES[1:], _STAGES[1:], strict=True):
            slopes.append(slope(place.time + at * step, place.state + step * _sum(row, slopes)))
        state = place.state + step * _sum(_FIFTH, slopes)
        last = slope(place.time + step, state)
        gap = step * _sum([*(a - b for a, b in zip(_FIFTH, _FOURTH[:-1], strict=True)), -_FOURTH[-1]], [*slopes, last])
        size = tolerance * (1 + jnp.maximum(jnp.abs(place.state), jnp.abs(state)))
        error = jnp.sqrt(jnp.mean((gap / size) ** 2))
        error = jnp.where(jnp.isfinite(error), error, jnp.inf)
        taken = error <= 1
        factor = jnp.clip(_SAFETY * jnp.maximum(error, 1e-30) ** -0.2, _LEAST, jnp.where(taken, _MOST, 1.0))
        cut = step < place.step
        return _Place(
            jnp.where(taken, jnp.where(step >= whole, end, place.time + step), place.time),
            jnp.where(taken, state, place.state),
            jnp.where(taken, last, place.slope),
            jnp.where(taken & cut, jnp.maximum(place.step, factor * step), factor * step),
            place.steps + taken,
            place.trials + 1,
        )

    def goes_on(place: _Place) -> Array:
        return (place.trials < MAX_STEPS) & (place.step > _SMALLEST * span)

    def arrive(place: _Place, end: Array) -> tuple[_Place, Array]:
        found = jax.lax.while_loop(lambda at: (at.time < end) & goes_on(at), lambda at: trial(at, end), place)
        return found, jnp.where(found.time < end, jnp.inf, found.state)

    none = jnp.zeros((), int)
    place = _Place(ts[0], flat, slope(ts[0], flat), _FIRST * span, none, none)
    place, states = jax.lax.scan(arrive, place, ts)
    return Integrated(jax.vmap(shaped)(states), place.steps, place.time >= ts[-1], place.trials >= MAX_STEPS)


def _sum(weights: Sequence[float], terms: Sequence[Any]) -> Any:
    return sum(weight * term for weight, term in zip(weights, terms, strict=True) if weight)
