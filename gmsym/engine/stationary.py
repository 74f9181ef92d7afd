"""The stationary limit solved: damped Picard rounds with an implicit mean, then Newton's method. Source: verified/sgd.md 1.2.

Letters: K clusters, F fields, P trained parameters, N nodes. The unknown x and the equations are those of engine/stationary_equations.py,
which come from the generated module.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gmsym.engine.descent import check_entry
from gmsym.engine.stationary_equations import Equations, Moved, State, unpacked
from gmsym.errors import ComputationError, InputError
from gmsym.runtime.compiling import jitted
from gmsym.runtime.nodes import Nature, Nodes, largest_level, rule, settled
from gmsym.runtime.stationary import Numbers, StationaryModule, beside, has_panels, teachers

_DAMPING = 0.3  # of Picard rounds: 0.5 cycles at very small n/d with an l1
_LARGEST = 4.0  # step of a logarithm, before damping
_NEAR = 2e-2  # residual at which Newton's method takes over
_ROUNDS = 600
_NEWTON = 60
_LONGEST = 2.0  # step of Newton's method, in units of 1 + |x|
_HALVINGS = 30
_ROUNDING = 1e-14  # of a residual's norm, an unknown
_SOLVED = 1e-9  # largest residual of a solution
_LEVELS = {True: 0, False: 2}  # of the nodes of a panel where proximal points are closed, and where they are not
_LAST = {1: 5, 2: 3, 3: 2, 4: 1, 5: 0}  # level of the most nodes, in that many fields; from 5 on they are scrambled points
_ROUGHEST = 2  # the same where there are kinks at unknown places
_WANTED = 1e-8  # change by other nodes above which more nodes are taken, where they help
_CHECKS = 4096  # pairs of fields at which a loss is tested for convexity
_LADDER = 10.0  # ratio of the ridges on the way to a small one
_SMALLEST = 1e-7  # ridge from which the problem without one is tried
_GROWING = 1.5  # growth of V over the last of these ratios that tells that there is no minimum


class Solution(NamedTuple):
    """What the end of training is like, and by how much other nodes change it."""

    values: dict[str, np.ndarray]
    errors: dict[str, np.ndarray]
    unknown: np.ndarray  # x, from which other numbers of the problem may start
    residual: float
    rounds: int  # of Picard
    nodes: int  # a cluster
    level: int  # of the nodes


def solve_stationary(module: StationaryModule, numbers: Numbers, *, start: np.ndarray | None = None) -> Solution:
    """The stationary limit in numbers.

    Args:
        module: generated.
        numbers: of the problem.
        start: the `unknown` of a problem nearby.

    Raises:
        InputError: a loss that is not convex; a cluster without noise.
        ComputationError: no minimum without a penalty; no convergence.

    Cost: about 10 to 60 evaluations of the equations and 5 Jacobians; of one field some 20 ms with two clusters, warm.
    """
    if not (numbers.variance.max(axis=1) > 0).all():
        raise InputError(f"variance = {numbers.variance.tolist()}: the stationary limit needs noise in every cluster")
    check_convex(module, numbers)
    solver = _Solver(module, numbers)
    dimension, nature = _kind(module)
    level = _LEVELS[module.CLOSED] if (dimension, nature) == (1, "kinked") else 0
    last = min(largest_level(dimension, nature), _ROUGHEST if nature == "rough" else _LAST[min(dimension, 5)])
    nodes = rule(dimension, nature, level)
    x, residual, rounds = _found(solver, numbers, nodes, start)
    while True:
        other, _ = solver.newton(numbers, rule(dimension, nature, level, 1), x)
        change = float(np.abs(other - x).max())
        if not (change > _WANTED) or level >= last:
            break
        level += 1
        nodes = rule(dimension, nature, level)
        x, residual = solver.newton(numbers, nodes, x)
    if not np.isfinite(change):
        raise ComputationError(f"the stationary limit is not resolved by {nodes.weights.size} nodes: other nodes have no solution nearby")
    first = solver.report(numbers, nodes, _rough(module, 0), settled(module.TEST_NODES), x)
    second = solver.report(numbers, rule(dimension, nature, level, 1), _rough(module, 1), settled(module.TEST_NODES, 1), other)
    rounding = 1e-12 + residual
    errors = {name: np.abs(second[name] - value) + rounding * (1 + np.abs(value)) for name, value in first.items()}
    bad = [name for name, value in first.items() if not np.isfinite(value).all()]
    if bad:
        raise ComputationError(f"stationary limit: {bad[0]} is {first[bad[0]].ravel()[0]} at the solution: it is not finite")
    return Solution(first, errors, x, residual, rounds, nodes.weights.size, level)


def slopes(module: StationaryModule, numbers: Numbers, found: Solution, name: str, index: tuple[int, ...]) -> Moved:
    """Derivatives of an entry of what is reported of a solution, by the implicit function theorem at its nodes.

    Raises:
        InputError: there is no such entry, or it jumps with the samples.
        ComputationError: the solution does not move smoothly with the numbers.
    """
    if name not in found.values:
        raise InputError(f"objective = {name!r}: there are {', '.join(sorted(found.values))}")
    check_entry(name, found.values[name].shape, index)
    if name == "train_error" and not has_panels(module):
        raise InputError("objective = 'train_error': in several fields it jumps at the nodes and has no gradient; test_error has one")
    solver = _Solver(module, numbers)
    nodes, rough = rule(*_kind(module), found.level), _rough(module, 0)
    moved = Moved(*(jnp.asarray(getattr(numbers, x), float) for x in Moved._fields))
    residual, along = solver.derivatives(numbers, nodes, rough, settled(module.TEST_NODES), moved, found.unknown)
    of_unknown, *of_numbers = along[name]
    _, slope = solver.linearised(numbers, nodes, found.unknown)
    answer = np.linalg.solve(slope.T, of_unknown[index])  # how the residual moves the entry
    if not np.isfinite(answer).all():
        raise ComputationError(f"the stationary limit at alpha = {numbers.alpha:.6g} does not move smoothly with the numbers")
    return Moved(*(direct[index] - np.tensordot(answer, shift, 1) for direct, shift in zip(of_numbers, residual, strict=True)))


def _kind(module: StationaryModule) -> tuple[int, Nature]:
    """Dimension and nature of the nodes."""
    size = module.FIELDS + beside(module)
    if has_panels(module):
        return size, "kinked"
    return size, "rough" if getattr(module, "ROUGH", False) else "smooth"


def _rough(module: StationaryModule, variant: int) -> Nodes:
    """Nodes for the decision, which jumps; where there are panels they end there."""
    dimension, nature = _kind(module)
    return rule(dimension, nature, 0) if nature == "kinked" else rule(dimension, "rough", 3, variant)


def _found(solver: "_Solver", numbers: Numbers, nodes: Nodes, start: np.ndarray | None) -> tuple[np.ndarray, float, int]:
    """(x, residual, rounds) of a solution, from `start`, or from nothing, or down a ladder of ridges."""
    penalised = numbers.ridge > 0 or numbers.l1 > 0
    if penalised and start is not None:
        x, residual = solver.newton(numbers, nodes, start)
        if residual < _SOLVED:
            return x, residual, 0
    if penalised:
        x, residual, rounds = solver.cold(numbers, nodes)
        if residual < _SOLVED:
            return x, residual, rounds
    return _down(solver, numbers, nodes)


def _down(solver: "_Solver", numbers: Numbers, nodes: Nodes) -> tuple[np.ndarray, float, int]:
    """From a large ridge to the one that is asked for; without one, to the end of the ladder and then to 0."""
    lowest = max(numbers.ridge, _SMALLEST)
    count = max(2, int(np.ceil(np.log(1.0 / lowest) / np.log(_LADDER)))) if lowest < 1 else 1
    ridges = np.geomspace(max(1.0, lowest), lowest, count + 1)
    x, residual, rounds = solver.cold(numbers._replace(ridge=ridges[0]), nodes)
    widths = []
    for ridge in ridges:
        x, residual = solver.carried(numbers._replace(ridge=float(ridge)), nodes, x)
        if not residual < _SOLVED:
            raise ComputationError(
                f"the stationary limit at alpha = {numbers.alpha:.6g} did not converge: residual {residual:.2g} with the ridge {ridge:.3g}"
            )
        widths.append(float(np.max(np.abs(solver.state(x).V))))
    if numbers.ridge > 0 or numbers.l1 > 0:
        return x, residual, rounds
    if widths[-1] < _GROWING * widths[-2]:
        x, residual = solver.newton(numbers, nodes, x)
        if residual < _SOLVED and np.max(np.abs(solver.state(x).V)) < 2 * widths[-1]:
            return x, residual, rounds
    raise ComputationError(
        f"no minimum without a penalty at alpha = {numbers.alpha:.6g}: V grows to {widths[-1]:.3g} at a ridge of {ridges[-1]:.1g}, "
        f"from {widths[-2]:.3g} at {ridges[-2]:.1g}: the data can be separated or interpolated; a ridge > 0 is needed"
    )


def check_convex(module: StationaryModule, numbers: Numbers) -> None:
    """Raises InputError unless the gradient is monotone between random pairs of fields (and trained parameters), at all labels.

    Pairs are at all scales from 0.01 to 100, near each other and far apart: what is not convex somewhere in between is seen.
    """
    rng = np.random.default_rng(0)
    F, P = module.FIELDS, len(module.TRAINED)
    scale = 10.0 ** rng.uniform(-2, 2, _CHECKS)
    x = rng.standard_normal((F + P, _CHECKS)) * scale
    y = x + rng.standard_normal((F + P, _CHECKS)) * scale * 10.0 ** rng.uniform(-3, 0, _CHECKS)
    slope = _slopes(module)
    given = (jnp.asarray(rng.standard_normal((beside(module), _CHECKS)) * 10.0 ** rng.uniform(-1, 1, _CHECKS)),) if beside(module) else ()
    for label in np.unique(numbers.labels, axis=0):
        first, second = (np.asarray(slope(jnp.asarray(at), given, jnp.asarray(label), numbers.parameters)) for at in (x, y))
        with np.errstate(invalid="ignore", over="ignore"):
            rise = ((first - second) * (x - y)).sum(axis=0)
            size = (np.abs(first) + np.abs(second)).max(axis=0) * np.abs(x - y).max(axis=0)
            noise = 1e-12 * np.nanmedian(np.abs(first).max(axis=0)) * np.abs(x - y).max(axis=0)  # of gradients that vanish
            bad = rise < -1e-9 * size - noise
        if bad.any():
            at = int(np.argmax(bad))
            where = " and ".join(np.array2string(point[:F, at], precision=3) for point in (x, y))
            raise InputError(
                f"the loss is not convex{' in its fields and trained parameters' if P else ''}: at label {label.tolist()} its gradient "
                f"falls between the fields {where}; the stationary limit is that of convex problems, gmsym.derive.dmf follows any"
            )


@lru_cache(maxsize=64)
def _slopes(module: StationaryModule) -> Callable[..., jax.Array]:
    F = module.FIELDS

    @jax.jit
    def slope(x, given, label, parameters):
        if not module.TRAINED:
            return module.gradient(x, *given, label, parameters)

        def one(point, *given):
            at = *(y[:, None] for y in given), label, tuple(point[F:]), parameters
            fields = point[:F, None]
            return jnp.concatenate([module.gradient(fields, *at)[:, 0], module.trained_gradient(fields, *at)[:, 0]])

        return jax.vmap(one, in_axes=1, out_axes=1)(x, *given)

    return slope


class _Solver:
    """Compiled functions of a module, and the shapes of its unknowns."""

    def __init__(self, module: StationaryModule, numbers: Numbers):
        self.module, self.shape = module, (len(numbers.probabilities), module.FIELDS, len(module.TRAINED), teachers(module))
        self._implicit, self._linearised, self._report, self._derivatives = _compiled(module, self.shape)

    def state(self, x: np.ndarray) -> State:
        return unpacked(jnp.asarray(x), self.shape)

    def cold(self, numbers: Numbers, nodes: Nodes) -> tuple[np.ndarray, float, int]:
        """(x, residual, rounds) from m = 0, M = 0 and Q_k = alpha V_k = mean variance."""
        K, F, _, S = self.shape
        spread = np.log(numbers.variance @ numbers.fractions) / 2  # of the roots of Q_k
        rows, columns = np.tril_indices(F)
        roots = (np.where(rows == columns, size[:, None], 0.0).ravel() for size in (spread, spread - np.log(numbers.alpha) / 2))
        x = np.concatenate([np.zeros(K * F * (1 + S)), *roots, np.asarray(numbers.trained, float)])
        x, rounds = self.picard(numbers, nodes, x, _NEAR)
        found, residual = self.newton(numbers, nodes, x)
        if residual < _SOLVED:
            return found, residual, rounds
        x, more = self.picard(numbers, nodes, x, _NEAR / 100)
        return *self.newton(numbers, nodes, x), rounds + more

    def carried(self, numbers: Numbers, nodes: Nodes, x: np.ndarray) -> tuple[np.ndarray, float]:
        """(x, residual) from a solution nearby, by Newton's method, after Picard rounds where that fails."""
        found, residual = self.newton(numbers, nodes, x)
        if residual < _SOLVED:
            return found, residual
        return self.newton(numbers, nodes, self.picard(numbers, nodes, x, _NEAR)[0])

    def picard(self, numbers: Numbers, nodes: Nodes, x: np.ndarray, near: float) -> tuple[np.ndarray, int]:
        """(x, rounds): damped rounds until a round would change nothing by more than `near`."""
        rounds = 0
        while rounds < _ROUNDS:
            r = np.asarray(self._implicit(numbers, nodes, x))
            size = np.max(np.abs(r) / (1 + np.abs(x)))
            if not size > near:  # near, or no number
                break
            x = x + _DAMPING * np.clip(r, -_LARGEST * (1 + np.abs(x)), _LARGEST * (1 + np.abs(x)))
            rounds += 1
        return x, rounds

    def newton(self, numbers: Numbers, nodes: Nodes, x: np.ndarray) -> tuple[np.ndarray, float]:
        """(x, residual): Newton's method, each step halved until the residual falls."""
        r, slope = map(np.asarray, self._linearised(numbers, nodes, x))
        for _ in range(_NEWTON):
            size = np.linalg.norm(r)
            if not np.isfinite(slope).all() or not size > _ROUNDING * len(x):
                break
            move = -np.linalg.lstsq(slope, r, rcond=1e-13)[0]
            move *= min(1.0, _LONGEST / np.max(np.abs(move) / (1 + np.abs(x))))
            for halving in range(_HALVINGS):
                share = 0.5**halving
                new_r, new_slope = map(np.asarray, self._linearised(numbers, nodes, x + share * move))
                if np.linalg.norm(new_r) < (1 - 1e-4 * share) * size:
                    break
            else:
                break
            x, r, slope = x + share * move, new_r, new_slope
        residual = float(np.abs(r).max())
        return x, residual if np.isfinite(residual) else np.inf

    def linearised(self, numbers: Numbers, nodes: Nodes, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The residual, and its derivatives in the unknown."""
        r, slope = self._linearised(numbers, nodes, x)
        return np.asarray(r), np.asarray(slope)

    def derivatives(
        self, numbers: Numbers, nodes: Nodes, rough: Nodes, fresh: tuple[Nodes, ...], moved: Moved, x: np.ndarray
    ) -> tuple[Any, Any]:
        """(derivatives of the residual in the numbers; of what is reported, by name, in the unknown and the numbers)."""
        return jax.tree.map(np.asarray, self._derivatives(numbers, nodes, rough, fresh, moved, jnp.asarray(x)))

    def report(self, numbers: Numbers, nodes: Nodes, rough: Nodes, fresh: tuple[Nodes, ...], x: np.ndarray) -> dict[str, np.ndarray]:
        return {name: np.asarray(value) for name, value in self._report(numbers, nodes, rough, fresh, jnp.asarray(x)).items()}


@lru_cache(maxsize=64)
def _compiled(module: StationaryModule, shape: tuple[int, int, int, int]) -> tuple[Callable[..., Any], ...]:
    equations = Equations(module, shape)
    return tuple(jitted(f) for f in (equations.implicit, equations.linearised, equations.report, equations.derivatives))
