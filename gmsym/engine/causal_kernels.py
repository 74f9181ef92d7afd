"""Causal solver for two-time kernels (DMF), in innovations on both sides. Source: theory.md (2.5)-(2.7), verified/dmf.md 5.

One pass over time: row t of every kernel follows from the rows before it. The iterates and the gradients are kept as
coefficients of r and r_a orthonormal innovations, found by twice-orthogonalised Gram-Schmidt, and the population of
fields as N whitened, scrambled Sobol points. Kernels are float64. One step is engine/causal_step.py.

Cost of one point set: time O(K C N T (r + r_a)) with Stein's lemma, O(K C N T r r_a) with tangents; memory O(K N (r + r_a)) or
O(K N r r_a), independent of T. Both ranks saturate (about 13 and 17 for logistic regression at tolerance 1e-6). What is compiled belongs to
the system, to the room for innovations and to the largest number of tiles of points, each one of few numbers: no other steps, numbers,
seeds, or number of points up to 8192 compile anything.
"""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from numbers import Real
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from gmsym.engine import devices
from gmsym.engine.accuracy import FEW, MOST, RTOL, Sizes, largest, to_accuracy
from gmsym.engine.bars import EXPONENT, error_bar
from gmsym.engine.causal_step import LAWS, Carry, Population, Room, enlarged, has_room, lacking, start, step, two_time_overlaps
from gmsym.engine.coordinates import Coordinates, Start, dimensions, population
from gmsym.engine.tails import shortfall, widening
from gmsym.errors import ComputationError, InputError, check_integers
from gmsym.runtime.causal_kernels import (
    CausalKernelsModule,
    Numbers,
    by_observable,
    given,
    in_coordinates,
    observables,
    opens_always,
    own_noises,
    sampled_coordinates,
    teachers,
    tests,
)
from gmsym.runtime.compiling import compiled
from gmsym.runtime.nodes import Nodes, settled
from gmsym.runtime.points import sobol, whiten

TOLERANCE = 1e-6  # an innovation is kept when it adds this share of a vector's squared norm
_LOOSE = 3e-6  # the most of it, where an accuracy is asked for: what is left out then is less than what points miss
_OF_RTOL = 0.03  # a finer accuracy needs a finer tolerance
EXACT_TOLERANCE = 1e-15  # where nothing is sampled
_COARSER = 100  # the error of an unsampled solution is its change at a tolerance so many times larger
CHUNK = 32  # most steps of one compiled loop; the host looks at the results and reports progress in between
_TILE = 512  # points that are taken together
_TILES = (16, 64, 256, 1024, 4096)  # room for so many tiles
_ROOMS = (16, 24, 32, 48, 64, 96, 128, 192, 256)  # for innovations; beyond, multiples of the last
_SOBOL_DIMENSIONS = (64, 256, 1024, 4096, 16384)  # scrambled Sobol sets are not nested in dimension: few fixed sizes
_SAMPLES = 8192  # of a population, if nothing else is asked for
_SLOWLY = 0.5  # exponent of the error where points are drawn at every step, or coordinates are sampled
_FEWER = 4  # the cheaper solutions behind the error bars have so many times fewer points
_SHORT = 0.02  # share of the gradient that points may miss without a word
_CONVERGED = 1e-8  # change of a mean under other nodes, below which no third set is asked
_VARIANTS = (1, 2, 3)  # of nodes: two scrambles, or two rules across a jump, often agree by accident
EXACT_ROOM = 64  # for innovations where nothing is sampled
_DIVERGED = 1e12
_WORDS = {"La": "gradient", "theta": "coefficients of Theta"}
_PLENTY = 95  # innovations for which there is room at first where coordinates are sampled: each growth compiles
_TINY = 1e-30
_OTHER = 0x5EED  # sets the seed of the coordinates' points apart from that of the samples'
# Not for results: coefficients of Theta, covariance of the noise innovations, coefficients of the gradients; the law of training fields.
ROWS = ("theta", "noise", "La", *LAWS)


class Schedule(NamedTuple):
    """Parameters of every step in place of those of `Numbers`, and the times that are wanted. T steps."""

    parameters: np.ndarray  # (T, P)
    trained_parameters: np.ndarray  # (T, P), likewise
    times: np.ndarray  # those that are returned, increasing


class Effort(NamedTuple):
    """What a sampled solution took, and what it reached."""

    samples: int  # points of a population
    populations: int
    repetitions: int  # behind the error bars
    rtol: float | None  # asked for
    reached: float  # largest error bar, relative to max(1, largest value of its curve)


class Solution(NamedTuple):
    """Order parameters along the trajectory and their standard errors, NumPy float64. T times, K clusters, C fields."""

    values: dict[
        str, np.ndarray
    ]  # m (T, K, C), Q (T, C, C), Q_k (T, K, C, C), train_loss, test_loss (T,), perhaps test_error (T,), M (T, S, C)
    errors: dict[str, np.ndarray]  # of scrambles, points and tolerance (engine.bars), and of the quadrature, in quadrature
    ranks: tuple[int, int]  # innovations used by the fields (the most of any cluster) and by the gradients
    two_time: dict[str, np.ndarray]  # Q (T, T, C, C) and C (T, T, C, C), the mean of a(t) a(s)^T over the mixture; empty unless asked for
    effort: Effort | None = None  # where something is sampled


def solve_causal_kernels(
    module: CausalKernelsModule,
    numbers: Numbers,
    *,
    steps: int,
    coordinates: Start | None = None,
    samples: int | None = None,
    scrambles: int | None = None,
    rtol: float | None = None,
    seed: int = 0,
    tolerance: float | None = None,
    two_time: bool = False,
    schedule: Schedule | None = None,
    of: str | None = None,
    report: Callable[[float], None] | None = None,
) -> Solution:
    """Solve the system of a generated module.

    Args:
        module: a loaded generated module of kind CausalKernels.
        numbers: the problem's numbers.
        steps: T, times 0..T-1 are returned; Theta(0) is time 0.
        coordinates: what coordinates start from, of a module that samples them.
        samples: N, points of each population, a power of two. Default: what `rtol` takes. Not used when the module's response is "exact".
        scrambles: independent point sets, whose spread gives the standard errors; at least 2.
        rtol: largest error bar, relative to max(1, largest value of a curve), where neither samples nor scrambles are given; default 1e-4.
            At most 4 populations of 8192 points are taken for it (of more where every step opens directions).
        seed: of the scrambles.
        tolerance: of the innovations, relative to a vector's squared norm.
        two_time: whether to return two-time kernels too, of O(T^2) memory.
        schedule: parameters that change from step to step, and the times that are returned. Default: those of `numbers`, all times.
        of: a state variable of the optimizer whose overlaps, losses and error are wanted in place of those of Theta.
        report: called with the completed fraction.

    Raises:
        InputError: an argument out of range.
        ComputationError: the trajectory diverged; names the step and the quantity.
    """
    check_integers(steps=(steps, 1), seed=(seed, 0))
    samples, scrambles, rtol = effort(samples, scrambles, rtol)
    exact = module.RESPONSE == "exact"
    sampled = TOLERANCE if rtol is None else min(_LOOSE, _OF_RTOL * rtol)
    tolerance = tolerance or (EXACT_TOLERANCE if exact else sampled)
    numbers = Numbers(*(np.asarray(x, dtype=float) for x in numbers))
    numbers = numbers._replace(covariance=jnp.asarray(numbers.covariance))  # large: copied once
    report = report or (lambda fraction: None)
    if exact:
        ranks, output = _exact(module, numbers, steps, tolerance, report, schedule, of)
        _, coarse = _exact(module, numbers, steps, _COARSER * tolerance, report, schedule, of)
        runs, kernels, sampled = [output], _two_time(module, numbers, output) if two_time else {}, None
        errors = _change(output, coarse)
        values = {name: output[name] for name in errors}
    else:
        first = coordinates if sampled_coordinates(module) else None
        task = Task(module, numbers, steps, tolerance, seed, first, schedule, of, two_time)
        if rtol is None:
            ranks, sampled = _equal(task, samples, scrambles, report)
        else:
            ranks, sampled = _to_accuracy(task, rtol, report)
        runs, names = sampled.runs, _curves(sampled.runs[0])
        values = {name: np.mean([run[name] for run in runs], axis=0) for name in names}
        errors = _errors(task, sampled, values)
        every = [_two_time(module, numbers, run) for run in runs] if two_time else []
        kernels = {name: np.mean([kernel[name] for kernel in every], axis=0) for name in ("Q", "C")} if two_time else {}
    for name, change in _quadrature_error(module, numbers, runs[0] | values).items():
        errors[name] = np.hypot(errors[name], change)
    values, errors = ({name: x for name, x in found.items() if name != "M_k"} for found in (values, errors))
    taken = None if sampled is None else Effort(sampled.samples, len(runs), len(sampled.smaller), rtol, largest(values, errors))
    return Solution(values, errors, ranks, kernels, taken)


def effort(samples: Any, scrambles: Any, rtol: Any) -> tuple[int, int, float | None]:
    """(points of each of equal populations, how many, None), of which the default is taken for one that is missing; or with neither, (the
    most points of a population, the most populations, the accuracy that is asked for).

    Raises:
        InputError: one of them out of range, or both ways at once.
    """
    counted = samples is not None or scrambles is not None
    if counted and rtol is not None:
        raise InputError(f"rtol = {rtol!r} chooses samples and scrambles; give it alone, or these")
    samples, scrambles = _SAMPLES if samples is None else samples, MOST if scrambles is None else scrambles
    check_integers(samples=(samples, 64), scrambles=(scrambles, 2))
    if samples & (samples - 1):
        raise InputError(f"samples = {samples}: a power of two is needed (Sobol points), such as {1 << (samples.bit_length() - 1)}")
    rtol = RTOL if rtol is None else rtol
    if isinstance(rtol, bool) or not isinstance(rtol, Real) or not 0 < rtol < 1:
        raise InputError(f"rtol = {rtol!r}: a number between 0 and 1 is needed, such as 1e-4")
    return samples, scrambles, None if counted else float(rtol)


def moments(module: CausalKernelsModule, numbers: Numbers, values: dict[str, Any]) -> tuple[Any, Any]:
    """Means (T, K, C + S) and covariances of the fields of students and teachers in each cluster; traceable."""
    m, Q = values["m"], values["Q_k"]
    if not teachers(module):
        return m, Q
    times = len(m)
    known = {"rho": numbers.fractions, "sigma2": numbers.variance, "star_gram": jnp.moveaxis(numbers.teacher_gram, 0, -1)}
    gram = jnp.moveaxis(given(module.teacher_covariance, known), -1, 0)  # (K, S, S)
    M = jnp.moveaxis(values["M_k"], 1, 2)  # (T, K, S, C)
    mean = jnp.einsum("b,bek->ke", numbers.fractions, numbers.teacher_means)
    mean = jnp.broadcast_to(mean, (times, *mean.shape))
    below = jnp.concatenate([M, jnp.broadcast_to(gram, (times, *gram.shape))], axis=-1)
    return jnp.concatenate([m, mean], axis=-1), jnp.concatenate([jnp.concatenate([Q, jnp.swapaxes(M, -1, -2)], axis=-1), below], axis=-2)


def _with_own(module: CausalKernelsModule, m: np.ndarray | Array, Q: np.ndarray | Array) -> tuple[np.ndarray, np.ndarray]:
    """Moments of the fields, and of samples' own noises after them."""
    own = own_noises(module)
    larger = np.zeros((*Q.shape[:-2], Q.shape[-1] + own, Q.shape[-1] + own))
    larger[..., : Q.shape[-1], : Q.shape[-1]] = Q
    larger[..., Q.shape[-1] :, Q.shape[-1] :] = np.eye(own)
    return np.pad(m, [(0, 0)] * (m.ndim - 1) + [(0, own)]), larger


def _quadrature_error(module: CausalKernelsModule, numbers: Numbers, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Change of the means over Gaussian laws at other nodes; where there is one, the largest at several sets of them."""
    rule, changes = _means_of_laws(module, numbers, values, 0), []
    for other in _VARIANTS:
        changes.append({name: np.abs(np.asarray(rule[name] - x)) for name, x in _means_of_laws(module, numbers, values, other).items()})
        if all((change < _CONVERGED).all() for change in changes[0].values()):
            break
    return {name: np.max([change[name] for change in changes], axis=0) for name in rule}


def _change(output: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Absolute difference of the order parameters of two runs."""
    return {name: np.abs(array - other[name]) for name, array in output.items() if name not in ROWS}


def _two_time(module: CausalKernelsModule, numbers: Numbers, output: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Two-time kernels from the rows of both sides."""
    theta, noise, La = (output[name] for name in ROWS[:3])
    return {
        "Q": np.asarray(two_time_overlaps(module, numbers, jnp.asarray(theta), jnp.asarray(noise))),
        "C": np.einsum("tcj,sdj->tscd", La, La),
    }


def _exact(module, numbers, steps, tolerance, report, schedule, of) -> tuple[Any, Any]:
    """Quadratic loss: means are closed, so there is one run and no points."""
    return trajectory(module, numbers, None, steps, tolerance, report, schedule, of=of)


class Task(NamedTuple):
    """What is solved with several populations."""

    module: CausalKernelsModule
    numbers: Numbers
    steps: int
    tolerance: float
    seed: int
    first: Start | None = None  # of sampled coordinates
    schedule: Schedule | None = None
    of: str | None = None
    kept: bool = False  # whether vectors are kept at all times


class Sampled(NamedTuple):
    """Runs, and cheaper ones behind their error bars."""

    runs: list[dict[str, np.ndarray]]
    smaller: list[dict[str, np.ndarray]]
    samples: int
    ratio: float  # how many times fewer points the cheaper ones have
    seeds: tuple[list[int], list[int]]  # of both
    exponent: float  # with which errors are trusted to fall


def _equal(task: Task, samples: int, scrambles: int, report: Callable[[float], None]) -> tuple[tuple[int, int], Sampled]:
    """(ranks, independent scrambles and a cheaper solution of each)."""
    seeds = _seeds(task.seed, scrambles)
    ranks, runs = _scrambled(task, samples, seeds, lambda part: report(0.8 * part))
    ratio = _FEWER if samples // _FEWER > ranks[0] + 1 else 2
    _, cheaper = _fewer(task, samples // ratio, ratio**2, seeds, lambda part: report(0.8 + 0.2 * part), samples)
    return ranks, Sampled(runs, cheaper, samples, ratio, (seeds, seeds), EXPONENT)


def _to_accuracy(task: Task, rtol: float, report: Callable[[float], None]) -> tuple[tuple[int, int], Sampled]:
    """(ranks, the populations that an accuracy takes)."""
    sizes, seeds, ranks = _sizes(task), _seeds(task.seed, MOST + FEW), [(0, 0)]

    looser = (sizes.large[-1] / sizes.small) ** (2 * EXPONENT)  # errors fall with its root, and are to fall with the points

    def solve(samples: int, chosen: Sequence[int], cheaper: bool) -> list[dict[str, np.ndarray]]:
        of, silent = [seeds[i] for i in chosen], lambda part: report(0.1 if cheaper else 0.1 + 0.8 * part)
        if cheaper:
            return _fewer(task, samples, looser, of, silent, sizes.large[-1])[1]
        found, runs = _scrambled(task, samples, of, silent)
        ranks.append(found)
        return runs

    found = to_accuracy(solve, sizes, rtol, _curves)
    chosen = seeds[: len(found.runs)], seeds[MOST:]
    sampled = Sampled(found.runs, found.smaller, found.samples, found.samples / sizes.small, chosen, sizes.exponent)
    return tuple(max(x) for x in zip(*ranks, strict=True)), sampled


def _sizes(task: Task) -> Sizes:
    """Points to choose from: those that compile nothing of their own, and twice as many as there are innovations at least."""
    module, beside = task.module, teachers(task.module) + own_noises(task.module)
    each = opens_always(module) or task.first is not None
    opened = task.steps * module.FIELDS + beside if each else 0
    taken = 2 + (0 if task.first is None else dimensions(task.first))
    most = max(_SAMPLES, _power(2 * opened + 2 * taken))
    if module.RESPONSE == "stein" and task.first is None:
        small = min(max(_TILE, _power(opened + taken)), most // 2)
    else:  # each number is compiled by itself
        small = most // _FEWER if most // _FEWER > opened + taken else most // 2
        return Sizes(small, (most,), EXPONENT if task.first is None else _SLOWLY)
    large = [N for N in (_FEWER * small << i for i in range(32)) if N < most]
    return Sizes(small, (*large, most), _SLOWLY if opens_always(module) else EXPONENT)


def _power(least: int) -> int:
    """The next power of two from there."""
    return 1 << (least - 1).bit_length()


def _fewer(task: Task, samples: int, looser: float, seeds: Sequence[int], report: Callable[[float], None], asked: int) -> Any:
    """(ranks, runs) that serve error bars: of fewer points than asked for, and a tolerance `looser` times larger."""
    try:
        return _scrambled(task._replace(tolerance=looser * task.tolerance, kept=False), samples, seeds, report, True)
    except ComputationError as error:
        raise ComputationError(f"with samples = {samples} points {error}; samples = {asked} are too few to trust") from None


def _errors(task: Task, found: Sampled, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Bars of the mean of the runs, wider where all points miss tails of the loss; which is said where they miss a lot."""
    module, numbers, room = task.module, task.numbers, first_room(task.module, task.tolerance)
    sizes = found.samples, int(found.samples // found.ratio)
    sets = ([point_set(module, N, x, i > 0).points(room) for x in found.seeds[i]] for i, N in enumerate(sizes))
    mean = _with_own(module, *moments(module, numbers, values))
    shares = shortfall(module, numbers, *mean, *sets, found.ratio, values.get("trained"), found.exponent)
    if shares.max() > _SHORT:
        logging.getLogger("gmsym").warning(
            "samples = %d points miss tails of the loss: its gradient's mean or mean square is off by %.2g of it; take more samples",
            found.samples,
            shares.max(),
        )
    missed, errors = widening(values, shares, lambda changed: _means_of_laws(module, numbers, changed, 0)), {}
    for name in values:
        bar = error_bar([run[name] for run in found.runs], [run[name] for run in found.smaller], found.ratio, found.exponent)
        errors[name] = np.hypot(bar, missed[name])
    return errors


def _curves(run: dict[str, np.ndarray]) -> list[str]:
    """Names of what a run has along the trajectory, beside the coefficients."""
    return [name for name in run if name not in ROWS]


def _seeds(seed: int, scrambles: int) -> list[int]:
    return [int(x) for x in np.random.SeedSequence(seed).generate_state(scrambles)]


def _scrambled(
    task: Task, samples: int, seeds: Sequence[int], report: Callable[[float], None], cheaper: bool = False
) -> tuple[tuple[int, int], list[dict[str, np.ndarray]]]:
    """One run a seed: (ranks, runs)."""
    done, module, steps = np.zeros(len(seeds)), task.module, task.steps

    def one(index: int) -> Any:
        def progress(fraction: float) -> None:
            done[index] = fraction
            report(float(done.mean()))

        points = point_set(module, samples, seeds[index], cheaper, task.first, task.kept)
        beside = teachers(module) + own_noises(module)
        if opens_always(module) and steps * module.FIELDS + beside > points.most:
            least = 1 << (2 * (steps * module.FIELDS + beside) - 1).bit_length()
            raise InputError(
                f"samples = {samples}: mini-batches and noise of the optimizer open a direction at every step; at least {least} are needed"
            )
        return trajectory(module, task.numbers, points, steps, task.tolerance, progress, task.schedule, of=task.of)

    # XLA leaves the interpreter's lock while it computes, so two scrambles share two cores.
    with ThreadPoolExecutor(max_workers=2) as pool:
        results = list(pool.map(one, range(len(seeds))))
    ranks = tuple(max(found[side] for found, _ in results) for side in (0, 1))
    return ranks, [output for _, output in results]


def trajectory(
    module: CausalKernelsModule,
    numbers: Numbers,
    points: "Points | None",
    steps: int,
    tolerance: float,
    report: Callable[[float], None],
    schedule: Schedule | None = None,
    seen: Callable[..., None] | None = None,
    of: str | None = None,
) -> tuple[tuple[int, int], dict[str, np.ndarray]]:
    """One run, of one set of points, or of none where nothing is sampled: ((r, r_a), order parameters). `seen`: see `_run`."""
    if points is not None and points.start is not None and not opens_always(module):  # under most rules every step opens new directions
        plenty = next_room(min(steps * module.FIELDS + teachers(module) + own_noises(module), _PLENTY))
        room = Room(plenty, plenty)
    else:
        room = room_at_first(module, tolerance, steps, points is not None)
    return _run(module, numbers, points, room, steps, tolerance, report, schedule, seen, of)


def room_at_first(module: CausalKernelsModule, tolerance: float, steps: int, sampled: bool) -> Room:
    """For the innovations of an ordinary problem, or of all steps where each opens some."""
    if opens_always(module):
        room = max(0 if sampled else EXACT_ROOM, room_for_all(module, steps))
        return Room(room, room)
    room = first_room(module, tolerance) if sampled else EXACT_ROOM
    # Innovations of Theta that are common to all clusters are kept at a sharper tolerance.
    return Room(next_room(2 * room - 1) if in_coordinates(module) and sampled else room, room)


def first_room(module: CausalKernelsModule, tolerance: float) -> int:
    """What an ordinary problem needs: a loose tolerance leaves out a few."""
    return next_room(8 * module.FIELDS + 8 + teachers(module) + own_noises(module) - (tolerance >= _LOOSE))


def room_for_all(module: CausalKernelsModule, steps: int) -> int:
    """Room for all innovations where every step opens some."""
    return next_room(steps * module.FIELDS + 2 * teachers(module) + own_noises(module))


def more_room(module: CausalKernelsModule, rank: int, rank_a: int, room: Room) -> Room:
    """More of it on the side that lacks some; on both where they have as much."""
    lacks = [int(x) > 0 for x in lacking(module, rank, rank_a, room)]
    if not in_coordinates(module):
        lacks = [True, True]
    return Room(*(next_room(size) if lack else size for size, lack in zip(room, lacks, strict=True)))


def next_room(least: int) -> int:
    """The next room for more innovations than that."""
    return next((room for room in _ROOMS if room > least), _ROOMS[-1] * (1 + least // _ROOMS[-1]))


class Points(NamedTuple):
    """A scrambled point set."""

    samples: int
    seed: int
    most: int  # dimensions that it may have
    tiled: bool  # one tile of its own size otherwise, which is not copied
    start: Start | None = None  # of sampled coordinates
    kept: bool = False  # whether vectors are kept at all times
    shape: tuple[int, int, int] = (1, 1, 1)  # blocks, fields, clusters

    def points(self, room: int) -> np.ndarray:
        """(at most `room`, N)."""
        return _points(self.samples, min(room, self.most), self.seed)

    def population(self, room: int) -> Population:
        """Its points by tiles, in dimensions up to `room`; those beyond `most` are not to be used."""
        points = np.zeros((room, self.samples))
        found = self.points(room)
        points[: len(found)] = found
        size = min(_TILE if self.tiled else self.samples, self.samples)
        tiles = self.samples // size
        most = next((count for count in _TILES if count >= tiles), tiles) if size == _TILE else 1
        g = np.zeros((most, room, size))
        g[:tiles] = np.moveaxis(points.reshape(room, tiles, size), 1, 0)
        return Population(g, np.asarray(tiles), np.asarray(self.seed), self.coordinates(room))

    def coordinates(self, room: int) -> Coordinates | None:
        """Those that are sampled, from points of their own; iid numbers beyond `most` are not to be used."""
        if self.start is None:
            return None
        used = min(room, self.most)
        total = dimensions(self.start) + _dimensions(room)
        found = population(self.start, *self.shape, self.samples, self.seed ^ _OTHER, total, used)
        return found._replace(normal=np.pad(found.normal, [(0, room - used), (0, 0)]))


def point_set(
    module: CausalKernelsModule, samples: int, seed: int, cheaper: bool, start: Start | None = None, kept: bool = False
) -> Points:
    """So many points stand for half as many innovations, and where they only serve an error bar, for nearly as many."""
    shape = module.BLOCKS, module.FIELDS, module.CLUSTERS
    taken = 2 if start is None else 2 + dimensions(start)
    tiled = module.RESPONSE == "stein" and devices.count() == 1
    return Points(samples, seed, samples - taken if cheaper else samples // 2, tiled, start, kept, shape)


@lru_cache(maxsize=16)
def _points(samples: int, rank: int, seed: int) -> np.ndarray:
    """(rank, samples) whitened Sobol points, the first innovation on the first dimension; kept for sweeps, not to be changed."""
    return whiten(sobol(samples, _dimensions(rank), seed, rank))


def _dimensions(rank: int) -> int:
    """Of the Sobol set of which the first `rank` are used."""
    return next((d for d in _SOBOL_DIMENSIONS if d >= rank), rank)


def _run(module, numbers, points, room, steps, tolerance, report, schedule, seen, of) -> tuple[tuple[int, int], dict[str, np.ndarray]]:
    """One population through all times: ((r, r_a), order parameters). The room for innovations grows when the next step may need more.

    `seen` is called after every loop with what `advance` takes, and with the state, which it must not keep.
    """
    drawn = None if points is None else points.population(room.fields)
    tiles, size = (0, 0) if drawn is None else (drawn.g.shape[0], drawn.g.shape[2])
    of_coordinates = None if drawn is None else drawn.coordinates
    carry, pieces, now, tolerance = start(module, numbers, room, tiles, size, of_coordinates), [], 0, np.asarray(tolerance)
    if drawn is not None:
        drawn, carry = devices.shared(drawn, carry)
    while now < steps:
        first, last = now, min(now + CHUNK, steps)
        by_step = _by_step(numbers, schedule, first)
        (carry, reached), piece = advance((module, numbers, drawn, tolerance, by_step, np.asarray(first), np.asarray(last), of), carry)
        now = int(reached)
        if seen is not None:
            seen(module, numbers, drawn, carry)
        piece = {name: np.asarray(array)[: now - first] for name, array in piece.items()}
        _check_finite(piece, first, steps)
        if points is not None and not points.kept:
            piece.pop("theta")
        pieces.append(piece)
        report(now / steps)
        if now < last:
            larger = more_room(module, int(np.max(carry.rank)), int(carry.rank_a), room)
            if points is not None:
                if larger.fields > room.fields > points.most:
                    least = 1 << (2 * room.fields).bit_length()
                    raise InputError(f"samples = {points.samples}: at least {least} are needed for the innovations of this problem")
                if _dimensions(larger.fields) > _dimensions(room.fields):
                    return _run(module, numbers, points, larger, steps, tolerance, report, schedule, seen, of)
                drawn = points.population(larger.fields)
            carry, room = enlarged(carry, Room(*(x - y for x, y in zip(larger, room, strict=True)))), larger
            if drawn is not None:
                drawn, carry = devices.shared(drawn, carry)
    output = {name: _concatenated([piece[name] for piece in pieces]) for name in pieces[0]}
    if schedule is not None:
        output = {name: x[schedule.times] for name, x in output.items()}
    output["noise"] = np.asarray(carry.noise)
    output |= _means_of_laws(module, numbers, output, 0)
    return (int(np.max(carry.rank)), int(carry.rank_a)), output


def _concatenated(pieces: list[np.ndarray]) -> np.ndarray:
    """Along time; coefficients in innovations have as many columns as the last piece has."""
    last = pieces[-1].shape[-1]
    return np.concatenate([np.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, last - x.shape[-1])]) if x.ndim > 1 else x for x in pieces])


def _check_finite(piece: dict[str, np.ndarray], start: int, steps: int) -> None:
    for offset in range(min(len(next(iter(piece.values()))), steps - start)):
        for name, array in piece.items():
            size = np.abs(array[offset]).max()
            if not size < _DIVERGED:
                raise ComputationError(
                    f"the trajectory diverged: |{_WORDS.get(name, name)}| = {size:.3g} at step {start + offset} of {steps}; "
                    "a smaller step size may help"
                )


def _by_step(numbers: Numbers, schedule: Schedule | None, first: int) -> tuple[np.ndarray, np.ndarray]:
    """Parameters, and those of trained parameters, of the steps of one loop, (CHUNK, P)."""
    if schedule is None:
        given = np.asarray(numbers.parameters)[None], np.asarray(numbers.trained_parameters)[None]
        return tuple(np.repeat(x, CHUNK, axis=0) for x in given)
    chosen = np.minimum(np.arange(first, first + CHUNK), len(schedule.parameters) - 1)
    return schedule.parameters[chosen], schedule.trained_parameters[chosen]


@partial(compiled, donate="all-except-first")
def advance(
    fixed: tuple[CausalKernelsModule, Numbers, Population | None, Array, tuple[Array, Array], Array, Array, str | None], carry: Carry
) -> tuple[tuple[Carry, Array], dict[str, Array]]:
    """The compiled loop from a first time to before a last one, or to where there may be no room: ((state, time), rows). The carry's
    memory is used again."""
    module, numbers, population, tolerance, by_step, first, last, of = fixed

    def one(carry: Carry, t: Array) -> tuple[Carry, dict[str, Array]]:
        parameters, trained_parameters = (x[t - first] for x in by_step)
        now = numbers._replace(parameters=parameters, trained_parameters=trained_parameters)
        return step(module, now, population, tolerance, carry, t, of)

    rows = jax.tree.map(lambda x: jnp.zeros((CHUNK, *x.shape), x.dtype), jax.eval_shape(one, carry, first)[1])

    def goes_on(now: tuple[Array, Carry, dict[str, Array]]) -> Array:
        return (now[0] < last) & has_room(module, now[1])

    def advanced(now: tuple[Array, Carry, dict[str, Array]]) -> tuple[Array, Carry, dict[str, Array]]:
        t, carry, rows = now
        carry, row = one(carry, t)
        return t + 1, carry, {name: rows[name].at[t - first].set(row[name]) for name in rows}

    t, carry, rows = jax.lax.while_loop(goes_on, advanced, (first, carry, rows))
    return (carry, t), rows


def _of_loss(values: dict[str, np.ndarray]) -> np.ndarray:
    """Trained parameters of the loss at each time, (T, P)."""
    return values.get("trained", np.zeros((len(values["m"]), 0)))


def _means_of_laws(module: CausalKernelsModule, numbers: Numbers, values: dict[str, np.ndarray], variant: int) -> dict[str, np.ndarray]:
    """Means over Gaussian laws at each time, by one of the sets of nodes: test loss, test error and observables of a fresh sample; where
    nothing is sampled, observables over the training samples, too."""
    v, laws = _of_loss(values), {"": moments(module, numbers, values)}
    if LAWS[0] in values:
        laws["train"] = tuple(values[name] for name in LAWS)
    found = {}
    for sample, (m, Q) in laws.items():
        parts, nodes = [], settled(module.TEST_NODES, variant, _deviation(Q))
        for first in range(0, len(m), CHUNK):
            chosen = np.minimum(np.arange(first, first + CHUNK), len(m) - 1)
            part = means_of_law(module, numbers, m[chosen], Q[chosen], v[chosen], nodes, sample == "train")
            parts.append({name: np.asarray(value)[: len(m) - first] for name, value in part.items()})
        found |= {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return found


def _deviation(Q: Any) -> float:
    """The largest of a field, at any time; 1 where it is not finite, which is said elsewhere."""
    largest = float(np.sqrt(np.max(np.diagonal(np.asarray(Q), axis1=-2, axis2=-1))))
    return largest if np.isfinite(largest) else 1.0


@eqx.filter_jit
def means_of_law(
    module: CausalKernelsModule, numbers: Numbers, m: Array, Q: Array, v: Array, nodes: tuple[Nodes, ...], of_training: bool
) -> dict[str, Array]:
    """Means over Gaussian laws of the fields, one at each of T times; traceable and differentiable. Source: theory.md 2.

    Args:
        module, numbers: of the problem.
        m, Q: moments of the fields of students and teachers, all O(1), (T, K, C + S) and (T, K, C + S, C + S).
        v: trained parameters of the loss, (T, P).
        nodes: one set for each of the module's TEST_NODES.
        of_training: the observables of training samples, in the place of what a fresh sample gives.
    """
    # An initial state at the origin has Q = 0, where h/sqrt(Q) has no value; the limit Q -> 0 has one.
    Q = Q + _TINY * jnp.eye(m.shape[-1])

    means = tests(module)

    def mixture(law: tuple[Array, Array, Array]) -> dict[str, Array]:
        m, Q, v = law

        def by_cluster(name: str) -> Array:
            return given(means[name], {"m": m, "Q": Q, "trained": v, "parameters": numbers.parameters, "nodes": nodes})

        if not of_training:
            return {name: numbers.probabilities @ by_cluster(name) for name in means}
        seen = jnp.stack([by_cluster(f"test_{name}") for name in observables(module)], axis=-1)
        return by_observable(module, given(module.train_observed, {"mean_seen": seen, "p": numbers.probabilities}))

    return jax.vmap(mixture)((m, Q, v))
