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
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from gmsym.engine.bars import error_bar
from gmsym.engine.causal_step import Carry, Population, enlarged, has_room, start, step, two_time_overlaps
from gmsym.engine.tails import shortfall, widened
from gmsym.errors import ComputationError, InputError, check_integers
from gmsym.runtime import quadrature
from gmsym.runtime.causal_kernels import CausalKernelsModule, Numbers, by_batches, given, teachers
from gmsym.runtime.points import sobol, whiten

TOLERANCE = 1e-6  # an innovation is kept when it adds this share of a vector's squared norm
EXACT_TOLERANCE = 1e-15  # where nothing is sampled
_COARSER = 100  # the error of an unsampled solution is its change at a tolerance so many times larger
_CHUNK = 32  # most steps of one compiled loop; the host looks at the results and reports progress in between
_TILE = 512  # points that are taken together
_TILES = (16, 64, 256, 1024, 4096)  # room for so many tiles
_ROOMS = (16, 24, 32, 48, 64, 96, 128, 192, 256)  # for innovations; beyond, multiples of the last
_SOBOL_DIMENSIONS = (64, 256, 1024, 4096, 16384)  # scrambled Sobol sets are not nested in dimension: few fixed sizes
_FEWER = 4  # the cheaper solutions behind the error bars have so many times fewer points
_SHORT = 0.02  # share of the gradient that points may miss without a word
_CONVERGED = 1e-8  # change of a mean under another quadrature, below which no third is asked
_EXACT_ROOM = 64  # for innovations where nothing is sampled
_DIVERGED = 1e12
_WORDS = {"La": "gradient", "theta": "coefficients of Theta"}
_TINY = 1e-30
_ROWS = ("theta", "noise", "La")  # coefficients of Theta, covariance of the noise innovations, coefficients of the gradients


class Solution(NamedTuple):
    """Order parameters along the trajectory and their standard errors, NumPy float64. T times, K clusters, C fields."""

    values: dict[
        str, np.ndarray
    ]  # m (T, K, C), Q (T, C, C), Q_k (T, K, C, C), train_loss, test_loss (T,), perhaps test_error (T,), M (T, S, C)
    errors: dict[str, np.ndarray]  # of scrambles, points and tolerance (engine.bars), and of the quadrature, in quadrature
    ranks: tuple[int, int]  # innovations used by the fields (the most of any cluster) and by the gradients
    two_time: dict[str, np.ndarray]  # Q (T, T, C, C) and C (T, T, C, C), the mean of a(t) a(s)^T over the mixture; empty unless asked for


def solve_causal_kernels(
    module: CausalKernelsModule,
    numbers: Numbers,
    *,
    steps: int,
    samples: int = 8192,
    scrambles: int = 4,
    seed: int = 0,
    tolerance: float | None = None,
    two_time: bool = False,
    report: Callable[[float], None] | None = None,
) -> Solution:
    """Solve the system of a generated module.

    Args:
        module: a loaded generated module of kind CausalKernels.
        numbers: the problem's numbers.
        steps: T, times 0..T-1 are returned; Theta(0) is time 0.
        samples: N, points of each population, a power of two. Not used when the module's response is "exact".
        scrambles: independent point sets, whose spread gives the standard errors; at least 2.
        seed: of the scrambles.
        tolerance: of the innovations, relative to a vector's squared norm.
        two_time: whether to return two-time kernels too, of O(T^2) memory.
        report: called with the completed fraction.

    Raises:
        InputError: an argument out of range.
        ComputationError: the trajectory diverged; names the step and the quantity.
    """
    check_integers(steps=(steps, 1), samples=(samples, 64), scrambles=(scrambles, 2), seed=(seed, 0))
    if samples & (samples - 1):
        raise InputError(f"samples = {samples}: a power of two is needed (Sobol points), such as {1 << (samples.bit_length() - 1)}")
    exact = module.RESPONSE == "exact"
    tolerance = tolerance or (EXACT_TOLERANCE if exact else TOLERANCE)
    numbers = Numbers(*(np.asarray(x, dtype=float) for x in numbers))
    report = report or (lambda fraction: None)
    if exact:
        ranks, output = _exact(module, numbers, steps, tolerance, report)
        _, coarse = _exact(module, numbers, steps, _COARSER * tolerance, report)
        runs, kernels = [output], _two_time(module, numbers, output) if two_time else {}
        errors = _change(output, coarse)
        values = {name: output[name] for name in errors}
    else:
        ranks, runs, cheaper, ratio = _sampled(module, numbers, steps, samples, scrambles, seed, tolerance, report)
        names = [name for name in runs[0] if name not in _ROWS]
        values = {name: np.mean([run[name] for run in runs], axis=0) for name in names}
        seeds, room = _seeds(seed, scrambles), _first_room(module)
        sets = ([_point_set(module, N, x, fewer).points(room) for x in seeds] for N, fewer in ((samples, False), (samples // ratio, True)))
        share = shortfall(module, numbers, *moments(module, numbers, values), *sets, ratio, values.get("trained"))
        if share.max() > _SHORT:
            logging.getLogger("gmsym").warning(
                "samples = %d points miss tails of the loss: its gradient's mean or mean square is off by %.2g of it; take more samples",
                samples,
                share.max(),
            )
        errors = {}
        for name in names:
            bar = error_bar([run[name] for run in runs], [run[name] for run in cheaper], ratio)
            errors[name] = np.hypot(bar, widened(values[name], share, name == "train_loss"))
        every = [_two_time(module, numbers, run) for run in runs] if two_time else []
        kernels = {name: np.mean([kernel[name] for kernel in every], axis=0) for name in ("Q", "C")} if two_time else {}
    for name, change in _quadrature_error(module, numbers, *moments(module, numbers, values), _of_loss(values)).items():
        errors[name] = np.hypot(errors[name], change)
    values, errors = ({name: x for name, x in found.items() if name != "M_k"} for found in (values, errors))
    return Solution(values, errors, ranks, kernels)


def moments(module: CausalKernelsModule, numbers: Numbers, values: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Means (T, K, C + S) and covariances of the fields of students and teachers in each cluster."""
    m, Q = values["m"], values["Q_k"]
    if not teachers(module):
        return m, Q
    times = len(m)
    known = {"rho": numbers.fractions, "sigma2": numbers.variance, "star_gram": numbers.teacher_gram}
    gram = np.moveaxis(np.asarray(given(module.teacher_covariance, known)), -1, 0)  # (K, S, S)
    M = np.moveaxis(values["M_k"], 1, 2)  # (T, K, S, C)
    mean = np.broadcast_to(numbers.teacher_means.T, (times, *numbers.teacher_means.T.shape))
    below = np.concatenate([M, np.broadcast_to(gram, (times, *gram.shape))], axis=-1)
    return np.concatenate([m, mean], axis=-1), np.concatenate([np.concatenate([Q, np.swapaxes(M, -1, -2)], axis=-1), below], axis=-2)


def _quadrature_error(module: CausalKernelsModule, numbers: Numbers, m: np.ndarray, Q: np.ndarray, v: np.ndarray) -> dict[str, np.ndarray]:
    """Change of the means over a fresh sample under another quadrature; where there is one, the largest under several."""
    rule, changes = _fresh_sample(module, numbers, m, Q, v, 0), []
    for other in quadrature.ALTERNATIVES:
        changes.append({name: np.abs(np.asarray(rule[name] - x)) for name, x in _fresh_sample(module, numbers, m, Q, v, other).items()})
        if all((change < _CONVERGED).all() for change in changes[0].values()):
            break
    return {name: np.max([change[name] for change in changes], axis=0) for name in rule}


def _change(output: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Absolute difference of the order parameters of two runs."""
    return {name: np.abs(array - other[name]) for name, array in output.items() if name not in _ROWS}


def _two_time(module: CausalKernelsModule, numbers: Numbers, output: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Two-time kernels from the rows of both sides."""
    theta, noise, La = (output[name] for name in _ROWS)
    return {
        "Q": np.asarray(two_time_overlaps(module, numbers, jnp.asarray(theta), jnp.asarray(noise))),
        "C": np.einsum("tcj,sdj->tscd", La, La),
    }


def _exact(module: CausalKernelsModule, numbers: Numbers, steps: int, tolerance: float, report: Callable[[float], None]) -> tuple[Any, Any]:
    """Quadratic loss: means are closed, so there is one run and no points."""
    return _run(module, numbers, None, _EXACT_ROOM, steps, tolerance, report)


def _sampled(
    module, numbers, steps, samples, scrambles, seed, tolerance, report
) -> tuple[tuple[int, int], list[dict[str, np.ndarray]], list[dict[str, np.ndarray]], float]:
    """Independent scrambles and a cheaper solution of each: (ranks, runs, cheaper runs, how many times fewer points those have)."""
    seeds = _seeds(seed, scrambles)
    ranks, runs = _scrambled(module, numbers, steps, samples, seeds, tolerance, lambda part: report(0.8 * part))
    ratio = _FEWER if samples // _FEWER > ranks[0] + 1 else 2
    try:
        _, cheaper = _scrambled(
            module, numbers, steps, samples // ratio, seeds, ratio**2 * tolerance, lambda part: report(0.8 + 0.2 * part), True
        )
    except ComputationError as error:
        raise ComputationError(f"with samples = {samples // ratio} points {error}; samples = {samples} are too few to trust") from None
    return ranks, runs, cheaper, ratio


def _seeds(seed: int, scrambles: int) -> list[int]:
    return [int(x) for x in np.random.SeedSequence(seed).generate_state(scrambles)]


def _scrambled(
    module, numbers, steps, samples, seeds, tolerance, report, cheaper=False
) -> tuple[tuple[int, int], list[dict[str, np.ndarray]]]:
    """One run a seed: (ranks, runs)."""
    done = np.zeros(len(seeds))

    def one(index: int) -> Any:
        def progress(fraction: float) -> None:
            done[index] = fraction
            report(float(done.mean()))

        points = _point_set(module, samples, seeds[index], cheaper)
        room = _first_room(module)
        if by_batches(module):  # every step opens new directions
            room = _room(steps * module.FIELDS)
            if steps * module.FIELDS > points.most:
                least = 1 << (2 * steps * module.FIELDS - 1).bit_length()
                raise InputError(f"samples = {samples}: mini-batches open a direction at every step; at least {least} are needed")
        return _run(module, numbers, points, room, steps, tolerance, progress)

    # XLA leaves the interpreter's lock while it computes, so two scrambles share two cores.
    with ThreadPoolExecutor(max_workers=2) as pool:
        results = list(pool.map(one, range(len(seeds))))
    ranks = tuple(max(found[side] for found, _ in results) for side in (0, 1))
    return ranks, [output for _, output in results]


def _first_room(module: CausalKernelsModule) -> int:
    return _room(8 * module.FIELDS + 8 + teachers(module))


def _room(least: int) -> int:
    """The next room for more innovations than that."""
    return next((room for room in _ROOMS if room > least), _ROOMS[-1] * (1 + least // _ROOMS[-1]))


class Points(NamedTuple):
    """A scrambled point set."""

    samples: int
    seed: int
    most: int  # dimensions that it may have
    tiled: bool  # one tile of its own size otherwise, which is not copied

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
        return Population(g, np.asarray(tiles), np.asarray(self.seed))


def _point_set(module: CausalKernelsModule, samples: int, seed: int, cheaper: bool) -> Points:
    """So many points stand for half as many innovations, and where they only serve an error bar, for nearly as many."""
    return Points(samples, seed, samples - 2 if cheaper else samples // 2, module.RESPONSE == "stein")


@lru_cache(maxsize=16)
def _points(samples: int, rank: int, seed: int) -> np.ndarray:
    """(rank, samples) whitened Sobol points, the first innovation on the first dimension; kept for sweeps, not to be changed."""
    return whiten(sobol(samples, _dimensions(rank), seed, rank))


def _dimensions(rank: int) -> int:
    """Of the Sobol set of which the first `rank` are used."""
    return next((d for d in _SOBOL_DIMENSIONS if d >= rank), rank)


def _run(module, numbers, points, room, steps, tolerance, report) -> tuple[tuple[int, int], dict[str, np.ndarray]]:
    """One population through all times: ((r, r_a), order parameters). The room for innovations grows when the next step may need more."""
    population = None if points is None else points.population(room)
    tiles, size = (0, 0) if population is None else (population.g.shape[0], population.g.shape[2])
    carry, pieces, now, tolerance = start(module, numbers, room, tiles, size), [], 0, np.asarray(tolerance)
    while now < steps:
        first, last = now, min(now + _CHUNK, steps)
        (carry, reached), piece = _advance((module, numbers, population, tolerance, np.asarray(first), np.asarray(last)), carry)
        now = int(reached)
        piece = {name: np.asarray(array)[: now - first] for name, array in piece.items()}
        _check_finite(piece, first, steps)
        pieces.append(piece)
        report(now / steps)
        if now < last:
            larger = _room(room)
            if points is not None:
                if room > points.most:
                    least = 1 << (2 * room).bit_length()
                    raise InputError(f"samples = {points.samples}: at least {least} are needed for the innovations of this problem")
                if _dimensions(larger) > _dimensions(room):
                    return _run(module, numbers, points, larger, steps, tolerance, report)
                population = points.population(larger)
            carry, room = enlarged(carry, larger - room), larger
    output = {name: _concatenated([piece[name] for piece in pieces]) for name in pieces[0]}
    output["noise"] = np.asarray(carry.noise)
    output |= _fresh_sample(module, numbers, *moments(module, numbers, output), _of_loss(output), 0)
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


@eqx.filter_jit(donate="all-except-first")
def _advance(
    fixed: tuple[CausalKernelsModule, Numbers, Population | None, Array, Array, Array], carry: Carry
) -> tuple[tuple[Carry, Array], dict[str, Array]]:
    """The compiled loop from a first time to before a last one, or to where there may be no room: ((state, time), rows). The carry's
    memory is used again."""
    module, numbers, population, tolerance, first, last = fixed
    one = partial(step, module, numbers, population, tolerance)
    rows = jax.tree.map(lambda x: jnp.zeros((_CHUNK, *x.shape), x.dtype), jax.eval_shape(one, carry, first)[1])

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


def _fresh_sample(
    module: CausalKernelsModule, numbers: Numbers, m: np.ndarray, Q: np.ndarray, v: np.ndarray, alternative: int
) -> dict[str, np.ndarray]:
    """Mean loss and misclassification probability of a fresh sample at each time, by one of the quadratures."""
    parts = []
    for first in range(0, len(m), _CHUNK):
        chosen = np.minimum(np.arange(first, first + _CHUNK), len(m) - 1)
        part = _fresh_samples(module, numbers, m[chosen], Q[chosen], v[chosen], alternative)
        parts.append({name: np.asarray(value)[: len(m) - first] for name, value in part.items()})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


@eqx.filter_jit
def _fresh_samples(module: CausalKernelsModule, numbers: Numbers, m: Array, Q: Array, v: Array, alternative: int) -> dict[str, Array]:
    # An initial state at the origin has Q = 0, where h/sqrt(Q) has no value; the limit Q -> 0 has one.
    Q = Q + _TINY * jnp.eye(m.shape[-1])
    means = {"test_loss": module.test_loss, "test_error": module.test_error}

    def mixture(function: Callable[..., Array]) -> Array:
        def at(m: Array, Q: Array, v: Array) -> Array:
            return numbers.probabilities @ given(function, {"m": m, "Q": Q, "trained": v, "parameters": numbers.parameters})

        return jax.vmap(at)(m, Q, v)

    with quadrature.alternative(alternative):
        return {name: mixture(function) for name, function in means.items() if function is not None}
