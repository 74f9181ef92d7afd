"""Empirical Hessian and information matrices of fresh data, their eigenvalues and eigenvectors. Source: theory.md 7.

The witness of the effective spectra: A of a sample comes from jax.hessian or jax.grad of the printed loss, the matrix is formed (or,
above 4000 rows, only applied), and its eigenvectors are projected on the span of the parameters, the means and the teacher.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from numbers import Integral
from pathlib import Path
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

from gmsym import printer, runtime
from gmsym.errors import ComputationError, InputError, check_integers
from gmsym.problem import Instance, Problem
from gmsym.problem.design import apportion, design, gram_root
from gmsym.runtime.checkpoint import Checkpoint
from gmsym.runtime.frames import placed
from gmsym.runtime.interrupt import in_pieces

DENSE = 4000  # rows; larger matrices are not formed
_NULL = 1e-12  # of the mean of A^2: a direction of the fields in which A vanishes on all samples


class Eigen(NamedTuple):
    """One replicate. Directions in which A vanishes on every sample add their zeros without being diagonalised."""

    values: np.ndarray  # in increasing order
    overlaps: np.ndarray  # squared projection of each eigenvector on R^C kron the span, by blocks, and the trained parameters
    zeros: int  # eigenvalues that are 0 because A vanishes in a direction, not among `values`


def matrix_eigen(
    problem: Problem,
    instance: Instance,
    *,
    n: int,
    d: int,
    matrix: Literal["hessian", "information"] = "hessian",
    block: int | None = None,
    trained: Sequence[str] = (),
    extreme: int | None = None,
    overlaps: bool = True,
    seed: int = 0,
    replicates: int = 1,
    checkpoint: Path | str | None = None,
    report: Callable[[float], None] | None = None,
) -> list[Eigen]:
    """Eigenvalues of (1/n) sum_l A_l kron Y_l Y_l^T over n fresh samples in d dimensions, at a state of exact Gram matrix.

    Cost of a replicate, for C d = r rows: O(n r^2) to form the matrix and O(r^3) for its eigenvalues; with `extreme` or r > 4000,
    O(n d C) for each of about a hundred products.

    Args:
        problem: the loss and the mixture.
        instance: their numbers; `block_grams` are the state.
        n, d: samples and dimensions.
        matrix, block, trained: as `derive.spectrum`.
        extreme: that many eigenvalues at each end only, by Lanczos' method; default: all, which needs at most 4000 rows.
        overlaps: whether they are wanted; without them they are NaN.
        seed: of samples and orientations; replicate r is the same for every number of replicates.
        replicates: independent repetitions.
        checkpoint: a file that keeps finished replicates, so that the same call continues after an interruption; it stays.
        report: called with the completed fraction.

    Raises:
        InputError: a number out of range; all eigenvalues of a matrix with more than 4000 rows; a block with too few coordinates.
        ComputationError: a matrix that is not finite; Lanczos' method did not converge.
    """
    check_integers(n=(n, 1), d=(d, 1), replicates=(replicates, 1), seed=(seed, 0))
    counts, sizes, roots = _design(instance, n, d)
    second = _second(source(problem), tuple(s.name for s in _names(problem)), matrix, tuple(trained))
    parameters = {name: np.float64(value) for name, value in instance.parameters.items()}
    labels = np.repeat(instance.labels, counts, axis=0)[:, : len(problem.loss.labels)]
    C, K = problem.fields, len(counts)

    def compute(r: int) -> dict[str, np.ndarray]:
        key = jax.random.fold_in(jax.random.key(seed), r)
        samples, vectors = (np.asarray(x) for x in _generate(counts, sizes, C, instance.variance, roots, key))
        A = np.asarray(second(samples @ vectors[:, :C], samples @ vectors[:, C + K :], labels, parameters))
        if not np.isfinite(A).all():
            raise ComputationError(f"the {matrix} of a sample is not finite in replicate {r}")
        if block is not None:
            A = A[:, block : block + 1, block : block + 1]
        fields = A.shape[1] - len(trained)
        basis = scipy.linalg.block_diag(*(_span(part) for part in np.split(vectors, np.cumsum(sizes)[:-1])))
        found = _diagonalised(samples, A, fields, basis, extreme, overlaps)
        return {name: np.asarray(value) for name, value in found._asdict().items()}

    asked = {"n": n, "d": d, "matrix": matrix, "block": block, "trained": list(trained), "extreme": extreme, "overlaps": overlaps}
    state = [instance.values, [np.asarray(gram) for gram in instance.block_grams]]
    kept = Checkpoint(checkpoint, problem=problem.signature, state=state, **asked, seed=seed, replicates=replicates)
    found = in_pieces(compute, [1] * replicates, "replicates", checkpoint=kept, report=report)
    return [Eigen(run["values"], run["overlaps"], int(run["zeros"])) for run in found]


def _design(instance: Instance, n: int, d: int) -> tuple[tuple[int, ...], tuple[int, ...], list[np.ndarray]]:
    """(samples of each cluster, coordinates of each block, R_b with R_b^T R_b the Gram matrix of all vectors within the block)."""
    counts, sizes = design(instance, n, d).counts, apportion(instance.fractions, d)
    roots = []
    for b, (gram, size) in enumerate(zip(instance.block_grams, sizes, strict=True)):
        roots.append(gram_root(gram))
        if size < len(roots[-1]):
            raise InputError(f"d = {d} gives block {b} only {size} coordinates, fewer than the rank {len(roots[-1])} of its vectors")
    return counts, sizes, roots


@partial(jax.jit, static_argnums=(0, 1, 2))
def _generate(counts: tuple[int, ...], sizes: tuple[int, ...], C: int, variance: jax.Array, roots: Sequence[jax.Array], key: jax.Array):
    """(samples (n, d), vectors (d, C + K + T)); samples are ordered by cluster, coordinates by block."""
    n, d = sum(counts), sum(sizes)
    normal = jax.random.normal(key, (n + max(map(len, roots)), d), dtype=float)
    vectors = placed(normal[n:].T, sizes, roots)
    means = jnp.repeat(vectors[:, C : C + len(counts)].T, np.array(counts), axis=0, total_repeat_length=n)
    deviations = jnp.repeat(jnp.sqrt(variance), np.array(sizes), axis=1, total_repeat_length=d)
    return means + jnp.repeat(deviations, np.array(counts), axis=0, total_repeat_length=n) * normal[:n], vectors


def _span(vectors: np.ndarray) -> np.ndarray:
    """Orthonormal columns that span the given ones."""
    basis, values, _ = np.linalg.svd(vectors, full_matrices=False)
    return basis[:, values > 1e-8 * values.max(initial=1e-300)]


def source(problem: Problem) -> str:
    """The text that is differentiated: the loss of a sample."""
    loss = problem.loss
    given = {"fields": loss.fields, "teachers": loss.teachers, "label": loss.labels, "parameters": _names(problem)}
    return printer.module(f"loss {loss.name}.", printer.function("loss", given, "Loss of a sample.", loss.value))


def _names(problem: Problem):
    return tuple(sorted(problem.loss.parameters, key=lambda s: s.name))


@lru_cache(maxsize=64)
def _second(text: str, names: tuple[str, ...], matrix: str, trained: tuple[str, ...]) -> Callable[..., jax.Array]:
    """Function (fields (n, C), teacher fields (n, T), labels (n, L), parameters) -> (n, C + p, C + p) by automatic differentiation."""
    code = runtime.load(text, "gmsym_matrix")

    def loss(both, teachers, label, parameters):
        C = len(both) - len(trained)
        values = [both[C + trained.index(name)] if name in trained else parameters[name] for name in names]
        return code.loss(tuple(both[c] for c in range(C)), teachers, label, tuple(values))

    def of_sample(h, t, label, parameters):
        both = jnp.concatenate([h, jnp.asarray([parameters[name] for name in trained], dtype=h.dtype)])
        if matrix == "hessian":
            return jax.hessian(loss)(both, t, label, parameters)
        a = jax.grad(loss)(both, t, label, parameters)
        return jnp.outer(a, a)

    return jax.jit(jax.vmap(of_sample, in_axes=(0, 0, 0, None)))


def _diagonalised(samples: np.ndarray, A: np.ndarray, fields: int, basis: np.ndarray, extreme: int | None, vectors: bool) -> Eigen:
    n, d = samples.shape
    size = A.shape[1]
    square = np.einsum("nij,nkj->ik", A, A) / n
    values, directions = np.linalg.eigh(square[:fields, :fields])
    kept = directions[:, values > _NULL * max(values[-1], 1e-300)]
    U = scipy.linalg.block_diag(kept, np.eye(size - fields))
    A, columns = np.einsum("ai,nab,bj->nij", U, A, U), kept.shape[1]
    rows = columns * d + size - fields
    zeros = (fields - columns) * d
    if extreme is None and rows > DENSE:
        raise InputError(f"C d = {rows} rows: all eigenvalues are computed up to {DENSE}; ask for extreme ones only, or take d smaller")
    if extreme is None:
        M = _dense(samples, A, columns)
        if not vectors:
            found = np.linalg.eigvalsh(M)  # SciPy's holds the interpreter's lock: no signal would be answered
            return Eigen(found, np.full(rows, np.nan), zeros)
        found, v = np.linalg.eigh(M)
    else:
        found, v = _lanczos(samples, A, columns, extreme)
    heads = v[: columns * d].reshape(columns, d, -1)
    overlaps = (np.einsum("dq,cdk->cqk", basis, heads) ** 2).sum((0, 1)) + (v[columns * d :] ** 2).sum(0)
    return Eigen(found, overlaps, zeros)


def _dense(samples: np.ndarray, A: np.ndarray, columns: int) -> np.ndarray:
    n, d = samples.shape
    extra = A.shape[1] - columns
    M = np.empty((columns * d + extra, columns * d + extra))
    for i in range(columns):
        for j in range(i, columns):
            part = samples.T @ (A[:, i, j, None] * samples) / n
            M[i * d : (i + 1) * d, j * d : (j + 1) * d] = part
            M[j * d : (j + 1) * d, i * d : (i + 1) * d] = part
        for j in range(extra):
            M[i * d : (i + 1) * d, columns * d + j] = M[columns * d + j, i * d : (i + 1) * d] = samples.T @ A[:, i, columns + j] / n
    M[columns * d :, columns * d :] = A[:, columns:, columns:].mean(0)
    return M


def _lanczos(samples: np.ndarray, A: np.ndarray, columns: int, extreme: int) -> tuple[np.ndarray, np.ndarray]:
    """That many eigenvalues at each end, and their vectors."""
    n, d = samples.shape
    rows = columns * d + A.shape[1] - columns
    if isinstance(extreme, bool) or not isinstance(extreme, Integral) or not 1 <= extreme < rows / 4:
        raise InputError(f"extreme = {extreme!r}: an integer from 1 to {int(rows / 4)} is needed, a number of eigenvalues at each end")

    def apply(v: np.ndarray) -> np.ndarray:
        v = v.ravel()
        seen = np.concatenate(
            [samples @ v[: columns * d].reshape(columns, d).T, np.broadcast_to(v[columns * d :], (n, len(A[0]) - columns))], 1
        )
        out = np.einsum("nij,nj->ni", A, seen) / n
        return np.concatenate([(samples.T @ out[:, :columns]).T.ravel(), out[:, columns:].sum(0)])

    operator = LinearOperator((rows, rows), matvec=apply, dtype=float)
    try:
        found, vectors = eigsh(operator, k=2 * extreme, which="BE", v0=np.ones(rows), maxiter=200 * extreme)
    except ArpackNoConvergence as error:
        raise ComputationError(f"Lanczos' method found only {len(error.eigenvalues)} of {2 * extreme} eigenvalues") from error
    return found, vectors
