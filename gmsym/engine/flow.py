"""A flow by the causal solver: an explicit scheme on a grid of time that error and stability choose. Source: theory.md 4.

Stability asks for the largest curvature along the way, which is measured: a small displacement of Theta is sent through the theory's own
gradient again and again (power iteration of the Hessian, from states of a run). Steps grow in proportion to time, h = share (t + start), so
that a flow that slows down costs a number of evaluations logarithmic in time for the steps and like its root for the stages. A share that
is accurate enough is found by cheap runs at shares that halve; those also give the error that is left, which the result is corrected by,
and the error of that correction.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from scipy.interpolate import CubicSpline

from gmsym.engine import schemes
from gmsym.engine.causal_kernels import (
    CHUNK,
    EXACT_TOLERANCE,
    ROWS,
    TOLERANCE,
    Schedule,
    Solution,
    advance,
    point_set,
    solve_causal_kernels,
    trajectory,
)
from gmsym.engine.causal_step import Carry, has_room, joined, two_time_overlaps
from gmsym.errors import ComputationError
from gmsym.runtime.causal_kernels import CausalKernelsModule, Numbers

_CHEAP = 2048  # points of the runs that choose the grid
_SHARE = 0.1  # of the first of them
_SHARES = 8  # how many halvings are tried
_SAFETY = 1.2  # power iteration comes from below
_ITERATIONS = 8
_DISPLACEMENT = 0.1  # of Theta, relative: responses to much smaller ones drown in the error of the points
_RESOLVED = 1e-8  # tolerance of innovations that sees it
_FLAT = 0.1  # the least bend of the curves that steps are made for, relative to the largest
_LONGEST = 0.4  # share of the longest steps
_CUT = 4
_TRIALS = 6  # grids that are tried until none meets a larger curvature
_DOUBLINGS = 6  # of the first steps
_SLOW_START = 2.0  # times the inverse curvature: the time before which steps do not grow
_ORDERS = (2, 3)  # of the schemes, between which the error of a grid falls
_OF_CORRECTION = 0.1  # the least error that a correction is given


class FlowSolution(NamedTuple):
    """What `solve_flow` returns."""

    solution: Solution
    evaluations: int  # of the gradient, by each population
    cheap_evaluations: int  # by one population of few points, to choose the grid and to know the error
    curvature: float
    discretisation: dict[str, np.ndarray]  # its part of the errors
    reached: bool  # whether it is within the tolerance


@dataclass(frozen=True)
class _Scheme:
    """Where the coefficients of a scheme stand among the parameters."""

    numbers: Numbers
    places: tuple[int, ...]

    def schedule(self, rows: np.ndarray, times: np.ndarray) -> Schedule:
        """Parameters of every step."""

        def filled(parameters: Any) -> np.ndarray:
            every = np.repeat(np.asarray(parameters, dtype=float)[None], len(rows), axis=0)
            every[:, list(self.places)] = rows
            return every

        return Schedule(filled(self.numbers.parameters), filled(self.numbers.trained_parameters), times)


def solve_flow(
    module: CausalKernelsModule,
    numbers: Numbers,
    places: tuple[int, ...],
    times: np.ndarray,
    *,
    tolerance: float = 1e-4,
    samples: int = 8192,
    scrambles: int = 4,
    seed: int = 0,
    report: Callable[[float], None] | None = None,
) -> FlowSolution:
    """Integrate a flow.

    Args:
        module: a loaded generated module of a scheme.
        numbers: the problem's numbers; those of the scheme's coefficients are not read.
        places: where the coefficients (chi_0, ..., kappa_0) stand among the module's parameters.
        times: (N,) increasing, from 0, at which values are returned.
        tolerance: of the discretisation of time, relative to max(1, |value|).
        samples, scrambles, seed: as `solve_causal_kernels`.
        report: called with the completed fraction.

    Raises:
        InputError: an argument out of range.
        ComputationError: the flow diverges, or its curvature does.
    """
    report = report or (lambda fraction: None)
    scheme = _Scheme(numbers, places)
    cheap, grid, (coarse, finer, left, reached) = _chosen(module, scheme, times, tolerance, samples, seed)
    report(0.2)
    schedule = scheme.schedule(grid.rows, grid.ends)
    options = {"samples": samples, "scrambles": scrambles, "seed": seed}
    found = solve_causal_kernels(
        module, scheme.numbers, steps=len(grid.rows), schedule=schedule, report=lambda part: report(0.2 + 0.8 * part), **options
    )
    values = {name: _at(grid.times, x, times, cheap.slow) for name, x in found.values.items()}
    errors = {name: np.abs(_at(grid.times, x, times, cheap.slow, smooth=False)) for name, x in found.errors.items()}
    values = {name: x + finer[name] - coarse[name] if name in finer else x for name, x in values.items()}
    errors = {name: np.hypot(x, left[name]) if name in left else x for name, x in errors.items()}
    solution = found._replace(values=values, errors=errors, two_time={})
    return FlowSolution(solution, len(grid.rows) - 1, cheap.evaluations, cheap.curvature, left, reached)


def grid_of(
    module: CausalKernelsModule, numbers: Numbers, places: tuple[int, ...], time: float, *, tolerance: float, samples: int, seed: int
) -> schemes.Table:
    """The grid on which `solve_flow` integrates to a time. Errors as there."""
    return _chosen(module, _Scheme(numbers, places), np.array([0.0, time]), tolerance, samples, seed)[1]


def _chosen(
    module: CausalKernelsModule, scheme: _Scheme, times: np.ndarray, tolerance: float, samples: int, seed: int
) -> tuple["_Cheap", schemes.Table, tuple[Any, Any, Any, bool]]:
    """(cheap runs, the grid, (what they give on it, extrapolated, with which error, whether that is within the tolerance))."""
    exact = module.RESPONSE == "exact"
    points = None if exact else point_set(module, min(samples, _CHEAP), seed, True)
    cheap = _Cheap(module, scheme, points, EXACT_TOLERANCE if exact else TOLERANCE, times)
    runs, finer, left, reached = [], {}, {}, False
    for trial in range(_SHARES):
        runs.append(cheap.run(_SHARE / 2**trial))
        if len(runs) < 3:
            continue
        finer, left = _extrapolated(*runs[-3:])
        reached = all((x <= tolerance * np.maximum(1, np.abs(finer[name]))).all() for name, x in left.items())
        if reached:
            break
    return cheap, cheap.table(_SHARE / 2 ** (len(runs) - 2)), (runs[-2], finer, left, reached)


def _extrapolated(*runs: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """(Richardson's value from grids that halve twice, its error): the change from what the two coarser ones give."""
    coarse, middle, fine = runs
    changes = [{name: y[name] - x for name, x in z.items()} for z, y in ((coarse, middle), (middle, fine))]
    largest = (max(np.abs(x / np.maximum(1, np.abs(fine[name]))).max() for name, x in change.items()) for change in changes)
    first, second = largest
    factor = np.clip(first / max(second, 1e-15), *(2.0**order for order in _ORDERS)) - 1
    value = {name: x + changes[1][name] / factor for name, x in fine.items()}
    before = {name: x + changes[0][name] / factor for name, x in middle.items()}
    left = {name: np.maximum(np.abs(x - before[name]), _OF_CORRECTION * np.abs(changes[1][name])) for name, x in value.items()}
    return value, left


class _Cheap:
    """Runs of few points, on grids that are stable for the largest curvature met so far."""

    def __init__(self, module: CausalKernelsModule, scheme: _Scheme, points: Any, tolerance: float, times: np.ndarray):
        self.module, self.scheme, self.points, self.tolerance, self.times = module, scheme, points, tolerance, times
        self.curvature, self.evaluations = 0.0, 0
        first = self._schedule(np.array([[1.0, *[0.0] * 6]]), np.array([0]))
        trajectory(module, scheme.numbers, points, 1, tolerance, lambda part: None, first, self._measured)
        self.curvature = max(_SAFETY * self.curvature, 1 / times[-1])
        self.density = np.array([0.0, 1.0]), np.array([1.0, 1.0])
        self.run(_SHARE, bends=True)

    @property
    def slow(self) -> float:
        """Time before which steps do not grow."""
        return _SLOW_START / self.curvature

    def table(self, share: float) -> schemes.Table:
        """The scheme whose steps are about `share` (t + slow) over the density."""
        x = np.linspace(0, np.log1p(self.times[-1] / self.slow), 4097)
        density = np.maximum(np.interp(x / x[-1], *self.density), share / _LONGEST)
        passed = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2 * np.diff(x))])
        count = max(4, int(np.ceil(passed[-1] / share)))
        grid = self.slow * np.expm1(np.interp(np.linspace(0, passed[-1], count + 1), passed, x))
        grid = self._stable(grid)
        starting = grid[1] * np.cumsum(np.append(1.0, 2.0 ** np.arange(_DOUBLINGS))) / 2**_DOUBLINGS
        return schemes.table(np.concatenate([[0.0], starting, grid[2:-1], self.times[-1:]]), self.curvature)

    def _stable(self, grid: np.ndarray) -> np.ndarray:
        """Steps a few times longer than is stable for Adams-Bashforth are cut: its third order is worth the evaluations."""
        limit = schemes.ADAMS_LIMIT / self.curvature
        steps = np.diff(grid)
        parts = np.where(steps <= _CUT * limit, np.maximum(1, np.ceil(steps / limit)), 1).astype(int)
        last = np.argmax(np.append(steps > _CUT * limit, True))
        parts[last:] = 1
        return np.concatenate([[0.0], *(a + (b - a) * np.arange(1, n + 1) / n for a, b, n in zip(grid, grid[1:], parts, strict=False))])

    def run(self, share: float, bends: bool = False) -> dict[str, np.ndarray]:
        """Order parameters at the times that are wanted; and the density of steps from how the curves bend, if asked for."""
        for _ in range(_TRIALS):
            grid, assumed = self.table(share), self.curvature
            schedule = self._schedule(grid.rows, grid.ends)
            try:
                _, output = trajectory(
                    self.module,
                    self.scheme.numbers,
                    self.points,
                    len(grid.rows),
                    self.tolerance,
                    lambda part: None,
                    schedule,
                    self._measured,
                )
            except ComputationError:
                if self.curvature <= assumed:
                    raise
            if self.curvature <= assumed:
                self.evaluations += len(grid.rows) - 1
                names = [name for name in output if name not in (*ROWS, "M_k")]
                if bends:
                    self._follow(grid.times, [output[name].reshape(len(grid.times), -1) for name in names])
                return {name: _at(grid.times, output[name], self.times, self.slow) for name in names}
            self.curvature *= _SAFETY
        raise ComputationError(
            f"the curvature of the loss along the flow grows without end: {self.curvature:.3g} was met; a shorter time may help"
        )

    def _follow(self, times: np.ndarray, curves: list[np.ndarray]) -> None:
        """Steps so that each adds about as much to the error, of the third order in the step."""
        x = np.log1p(times / self.slow)
        bend = np.zeros(len(x))
        for curve in curves:
            second = np.gradient(np.gradient(curve / np.maximum(1, np.abs(curve)), x, axis=0), x, axis=0)
            bend = np.maximum(bend, np.abs(second).max(axis=1))
        first = _DOUBLINGS + 1  # differences of the short steps at the start are rounding
        bend[:first] = bend[first : first + 3].max()
        bend = np.max([np.roll(np.pad(bend, 2, mode="edge"), shift)[2:-2] for shift in (-2, -1, 0, 1, 2)], axis=0)
        self.density = x / x[-1], np.maximum(bend / bend.max(), _FLAT) ** (1 / 3)

    def _schedule(self, rows: np.ndarray, times: np.ndarray) -> Schedule:
        return self.scheme.schedule(rows, times)

    def _measured(self, module: CausalKernelsModule, numbers: Numbers, population: Any, carry: Carry) -> None:
        """Power iteration of the Hessian at a state; the largest curvature of all is kept."""

        def evaluated(carry: Carry, row: list[float]) -> Carry:
            by_step = self.scheme.schedule(np.array([row] * CHUNK), np.array([0]))[:2]
            fixed = module, numbers, population, np.asarray(_RESOLVED), by_step, np.asarray(0), np.asarray(1), None
            return advance(fixed, jax.tree.map(jnp.copy, carry))[0][0]

        start, kept = carry.theta, module.STATE.index("f_1")
        length = _DISPLACEMENT * (_norm(module, numbers, start, carry.noise) or 1.0)
        standing = evaluated(carry, [1.0, 0, 0, 0, 0, 0, 0])
        velocity = _norm(module, numbers, standing.state[kept], standing.noise)
        if velocity == 0:
            return
        carry = evaluated(carry, [1.0, 0, 0, length / velocity, 0, 0, 0])
        found, distance = 1.0, length
        for _ in range(_ITERATIONS):
            if not bool(has_room(module, carry)):
                return
            push = length / (found * distance)
            carry = evaluated(carry, [0.0, 1, 0, push, -push, 0, 1])
            moved = _norm(module, numbers, jax.tree.map(jnp.subtract, carry.theta, start), carry.noise)
            found, distance = max(moved / (push * distance), 1e-12), moved
            self.curvature = max(self.curvature, found)


@eqx.filter_jit
def _square(module: CausalKernelsModule, numbers: Numbers, vector: Any, noise: Array) -> Array:
    return jnp.trace(two_time_overlaps(module, numbers, joined(vector)[None], noise)[0, 0])


def _norm(module: CausalKernelsModule, numbers: Numbers, vector: Any, noise: Array) -> float:
    """Norm of a vector of the parameters' space."""
    return float(np.sqrt(max(float(_square(module, numbers, vector, noise)), 0.0)))


def _at(grid: np.ndarray, values: np.ndarray, times: np.ndarray, slow: float, smooth: bool = True) -> np.ndarray:
    """Values on a grid at other times: a cubic spline in log(t + slow), or straight lines."""
    x, y = np.log1p(grid / slow), np.log1p(times / slow)
    if smooth:
        return CubicSpline(x, values, axis=0)(y)
    flat = values.reshape(len(x), -1)
    return np.stack([np.interp(y, x, column) for column in flat.T], axis=-1).reshape(len(y), *values.shape[1:])
