"""What a computation needs, estimated before it starts: memory at its peak and seconds of one core.

Memory is meant to a factor of 2, time to a factor of 5 (measured on one core of a current processor; constants below). The numbers only
keep out what cannot end well: `_work` compares them with what is here.

Letters: n samples, d dimensions, T times, R replicates, C fields, K clusters, B blocks, S teachers and trained parameters, N points of a
cluster, P values of an array.
"""

from typing import NamedTuple

_NUMBER = 8  # bytes
_COPIES = 4  # of the training data that are alive while they are drawn
_RESULT = 4  # copies of a result: parts, joined, statistics, labelled
_NORMAL = 2.5e-8  # seconds of a normal number, and of a few operations on it
_PRODUCT = 5e-10  # seconds of a multiplication and an addition on data that do not fit the cache
_STEP = 1e-5  # seconds of one pass of a compiled loop, however small
_RANK = 24  # innovations of an ordinary DMF problem, for each field; of Theta in coordinates twice as many
_TESTED = 16 * 512  # points behind a simulation's test loss
_HELD = 2**30  # bytes of data, or of directions, that replicates share


class Cost(NamedTuple):
    """Estimate of a computation."""

    memory: float  # bytes
    seconds: float


def _order_parameters(T: float, C: float, K: float, B: float = 1, S: float = 0) -> float:
    """Numbers in the record of T times."""
    return T * (B + 1) * ((K + S) * C + (1 + K) * C**2 + 3)


def training(n: int, d: int, T: int, R: int, C: int, K: int) -> Cost:
    """Full-batch training of R replicates, as many at a time as share 1 GiB of data."""
    n, d, T, R = map(float, (n, d, T, R))
    one = n * (d + C + 4) + d * (C + K) + 4 * K * C * _TESTED
    together = min(R, max(1.0, _HELD / (_NUMBER * one)))
    record = _order_parameters(T, C, K)
    memory = _COPIES * together * one + _RESULT * R * record
    step = _STEP + _PRODUCT * (2 * n * d * C + 20 * K * C * _TESTED)
    return Cost(_NUMBER * memory, R * (_NORMAL * n * d + T * step))


def online_sgd(d: int, steps: float, times: int, R: int, C: int, K: int, B: int, S: int, chain: bool) -> Cost:
    """Online SGD of R replicates; of the chain a step does not grow with d."""
    d, steps, times, R = map(float, (d, steps, times, R))
    size = B * (C + K + S) ** 2 if chain else d * (C + K + S + 4)
    record = _order_parameters(times, C, K, B, S)
    held = min(R, max(1.0, _HELD / (4 * _NUMBER * size))) * size
    step = 3e-6 + (_NORMAL * B * (C + K + S) if chain else d * (_NORMAL + _PRODUCT * (C + K + S)))
    tested = times * 20 * _PRODUCT * K * (C + S) * _TESTED
    return Cost(_NUMBER * (held + _RESULT * R * record), R * (steps * step + tested) + steps * _STEP)


def one_at_a_time(n: int, d: int, passes: int, points: int, R: int, C: int, K: int) -> Cost:
    """Passes over n samples one by one, and records of the whole set."""
    whole = training(n, d, passes * points, R, C, K)
    return Cost(whole.memory, whole.seconds + float(R) * passes * n * (3e-6 + 4 * _PRODUCT * d * C))


def surrogate(n: int, d: int, T: int, R: int, C: int, K: int) -> Cost:
    """R trajectories of the finite-size surrogate; each returns O(T^2) scalars."""
    n, d, T, R = map(float, (n, d, T, R))
    one = 3 * T * C * K * (n + d) + 2 * K * (T * C) ** 2
    together = min(R, max(1.0, _HELD / (_NUMBER * one)))
    scalars = 8 * T * K * C * T * C
    memory = 2 * together * one + 2 * R * scalars + _RESULT * R * _order_parameters(T, C, K)
    return Cost(_NUMBER * memory, R * (T * _STEP + 8 * _PRODUCT * (n + d) * T**2 * C**2 * K))


def limit(
    N: int,
    T: int,
    scrambles: int,
    C: int,
    K: int,
    tangents: bool,
    sampled: bool,
    two_time: bool = False,
    *,
    B: int = 1,
    every_step: bool = False,
    coordinates: bool = False,
    head: int = 0,
    covariances: int | None = None,
) -> Cost:
    """DMF equations; two scrambles run at a time.

    Args:
        two_time: whether two-time kernels are wanted, for which the vectors of all times are kept.
        B: blocks; d of a mixture in coordinates.
        every_step: whether each step opens directions, of batches, of noise or of sampled coordinates; otherwise ranks saturate.
        coordinates: whether these are sampled, N in each block.
        head: coordinates that respond together.
        covariances: of a mixture in coordinates, how many there are with d^2 entries; None where vectors are known by Gram matrices.
    """
    N, T, scrambles, B = map(float, (N, T, scrambles, B))
    rank = T * C if every_step else min(_RANK * C, T * C)
    pair = rank**2 if tangents else 2 * rank
    points = K * N * (pair + 8 * C) if sampled else 0.0
    if coordinates:
        held, step = N * B * (K * rank + 8 * C) + N * rank, 0.0
        points += held
        size = N
    else:
        own, size = (K, C + K + rank) if covariances is None else (2, 1 + rank)
        held, step = B * rank * own * size, 8 * B * size * own * (size if covariances is None else rank)
    if head:
        held += 2 * rank**2 * float(head) ** 2
        step += 8 * rank * float(head) ** 2 * (rank + 2 * K * head)
    full = 0.0 if covariances is None else covariances * B**2
    rank = rank if covariances is None else 2 * rank
    vectors = B * C * size * (T if two_time else min(T, 64.0))
    rows = vectors + T * C * rank + _order_parameters(T, C, K)
    kernels = (scrambles + 2) * 2 * (T * C) ** 2 if two_time else 0.0
    memory = 2 * min(2.0, scrambles) * (points + held * (not coordinates)) + (scrambles + 2) * rows + kernels + 2 * full
    opened = full * rank  # all covariances times an innovation
    return Cost(_NUMBER * memory, scrambles * (T * (10 * _STEP + _PRODUCT * (4 * points * C + step) + 1e-5 * K) + _PRODUCT * opened))


def reverse(forwards: Cost, T: int) -> Cost:
    """A gradient through T steps of a solution: states between segments of steps and of one of these are kept, each step is computed five
    times over."""
    return Cost(forwards.memory * min(float(T), 2.5 * float(T) ** 0.5), 5 * forwards.seconds)


def influences(population: int, dimensions: int, T: int, outputs: int, populations: int, C: int, K: int) -> Cost:
    """Reverse sweeps through the surrogate of a population, eight outputs at a time."""
    size = float(population) + float(dimensions)
    T, outputs, populations = map(float, (T, outputs, populations))
    run = 6 * T * C * K * size  # its directions, products and vectors
    return Cost(_NUMBER * (run + 8 * 2 * run), populations * (outputs + 1) * (T * _STEP + 12 * _PRODUCT * size * T**2 * C**2 * K))


def rounds(largest: int, d: int, sizes: int, T: int, R: int, number: int, C: int, K: int) -> Cost:
    """Rounds of refinement at `sizes` sizes, the largest of n samples in d dimensions, from a limit at four times that size."""
    one = surrogate(4 * largest, 4 * d, T, 1, C, K)
    return Cost(4 * one.memory, float(R) * one.seconds * (1 + float(sizes) * number))


def trajectory(times: int, values: int) -> Cost:
    """An ordinary differential equation of `values` variables at recorded times."""
    return Cost(_NUMBER * 8 * float(times) * values, 0.0)


def fluctuation_law(times: int, values: int, paths: int) -> Cost:
    """Two-time covariance of n = `values` statistics, and paths of their stochastic differential equation."""
    times, values, paths = map(float, (times, values, paths))
    grid = 16 * times
    memory = 3 * (times * values) ** 2 + paths * (times + 1) * values + 4 * grid * values**2
    return Cost(_NUMBER * memory, times * values**3 * 1e-8 + paths * grid * (1e-7 + _PRODUCT * values**2))


def networks(n: int, m: int, k: int, tests: int, R: int, hermite: bool, eigenvalues: int) -> Cost:
    """R networks of k neurons after one gradient step on m samples in n dimensions, their second layers by ridge regression."""
    n, m, k, tests, R = map(float, (n, m, k, tests, R))
    held = n * (2 * m + tests + 3 * k) + k * (3 * m + 2 * tests) * (2 if hermite else 1) + 2 * min(k, m) ** 2
    work = n * k * (6 * m + tests) + (2 if hermite else 1) * (m * k * min(k, m) + min(k, m) ** 3)
    spectrum = 10 * min(k, m) ** 3 if eigenvalues else 0.0
    return Cost(_NUMBER * 2 * held, R * (_NORMAL * (n * (2 * m + tests + k) + k * (m + tests)) + 0.2 * _PRODUCT * (work + spectrum)))


def densities(points: int, spectra: int, C: int) -> Cost:
    """Densities of spectra on points each; the quadrature of the fixed point is the same for all."""
    points, spectra = float(points), float(spectra)
    return Cost(_NUMBER * 64 * points * C**2 * max(1.0, min(spectra, 8.0)), spectra * (0.02 + 5e-5 * points * C**4))


def eigenvalues(n: float, d: int, R: int, columns: int, trained: int, extreme: int | None, vectors: bool) -> Cost:
    """Empirical matrices, formed and diagonalised, or applied a few hundred times for `extreme` eigenvalues at each end."""
    n, d, R = map(float, (n, d, R))
    rows = columns * d + trained
    matrix = 4 * rows**2 if extreme is None else 4.0 * extreme * rows
    memory = _COPIES * n * (d + columns**2 + trained) + matrix + 4 * R * rows
    work = n * rows**2 + (20 if vectors else 4) * rows**3 if extreme is None else 200.0 * extreme * n * d * columns
    return Cost(_NUMBER * memory, R * (_NORMAL * n * d + 0.2 * _PRODUCT * work))
