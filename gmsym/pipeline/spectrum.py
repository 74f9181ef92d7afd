"""Spectra of Hessian and information matrices of fresh data, in the limit and at finite size. Source: theory.md 7."""

from collections.abc import Hashable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from gmsym import derive, symbols
from gmsym.codegen import signature
from gmsym.errors import InputError, check_integers
from gmsym.pipeline import _cost
from gmsym.pipeline._stages import check_alpha, load, problem_name
from gmsym.pipeline._work import working
from gmsym.problem import Instance, Problem
from gmsym.problem.mixture import check_positive_semidefinite
from gmsym.system import Spectral
from gmsym.system.spectral import MatrixKind

if TYPE_CHECKING:
    from pathlib import Path

    import xarray as xr


def spectrum(
    system: Spectral | Problem,
    matrix: MatrixKind = "hessian",
    *,
    alpha: float,
    block: int | None = None,
    trained: Sequence[str] = (),
    m: Any = None,
    Q: Any = None,
    M: Any = None,
    points: int = 400,
    grid: Any = None,
    **parameters: float,
) -> "xr.Dataset":
    """Spectrum of the matrix (1/n) sum_l A_l kron Y_l Y_l^T of n = alpha d fresh samples, as d -> infinity, at one state.

    Args:
        system: a problem, or what `derive.spectrum` made of it, which fixes matrix, block and trained.
        matrix: "hessian", or "information" for products of gradients. The ridge is left out.
        alpha: samples per dimension, n/d.
        block: the column of Theta whose diagonal block is wanted; default: all.
        trained: parameters of the loss that count as weights.
        m, Q, M: the state, Theta^T mu_k (K, C), Theta^T Theta (C, C) and, with a teacher, Theta^T theta* (T, C); for one field also
            (K,), a number and (T,). With several blocks of coordinates all of them may have a leading axis of blocks; totals are spread
            in proportion to the blocks. Default: the initial state.
        points: points of the density, spread over the bands.
        grid: other points instead, increasing.
        parameters: a number for each parameter of the problem; those of the optimizer may be left out, and trained parameters of the
            loss then have their initial values.

    Returns:
        Dataset with density (z), edge (band, side), atom, outlier_z and overlap (outlier), and X_error, the change under other
        quadrature nodes; `weight` (z) integrates over the bands. `band_mass` (band) is counted, not integrated, and makes 1 with the
        atom; `band_mass_error` is by how much the integral of the density misses it. `undecided` (interval, side) are intervals that one
        set of nodes takes for a gap and another one does not: the bands beside are given as one. Where nodes do not resolve a thin
        density of one column, it is the mean over the cell of its point. Density and atom count all eigenvalues of the matrix, zeros in
        directions that the loss does not see included. `gap` numbers the gap of an outlier from below;
        `edge_eigenvalue` (band, side, branch) changes sign where an outlier detaches. Outermost edges may be infinite. An overlap is with
        the span of parameters, means and teacher directions, with several blocks of coordinates that of each one's part in each block.
        Attributes: `residual` of the fixed point, number of `nodes`; with a closed form, `closed_form`, how far S is from it, relatively.

    Raises:
        InputError: an argument outside what is allowed; before anything is computed.
        ComputationError: the fixed point did not converge, or a part of the spectrum was not found.
    """
    system = derived(system, matrix, block, trained)
    instance = state_instance(system.problem, alpha, parameters, m, Q, M)
    x = _grid(grid)
    check_integers(points=(points, 8))
    cost = _cost.densities(points if x is None else len(x), 1, system.A.rows)
    with working("the spectrum", cost, "fewer points", False):
        from gmsym.engine.spectral import solve_spectrum

        found = solve_spectrum(load(system), numbers(system, instance, alpha), points=points, grid=x)
    return labelled(system, found, alpha, instance)


def simulate_spectrum(
    system: Spectral | Problem,
    matrix: MatrixKind = "hessian",
    *,
    alpha: float,
    d: int,
    block: int | None = None,
    trained: Sequence[str] = (),
    m: Any = None,
    Q: Any = None,
    M: Any = None,
    replicates: int = 4,
    extreme: int | None = None,
    vectors: bool = True,
    seed: int = 0,
    checkpoint: "Path | str | None" = None,
    progress: bool | None = None,
    **parameters: float,
) -> "xr.Dataset":
    """Eigenvalues of the matrix of alpha*d generated samples in d dimensions, at a state of exactly the same Gram matrix.

    Args:
        system, matrix, alpha, block, trained, m, Q, M, parameters: as `spectrum`.
        d: dimension.
        replicates: independent repetitions.
        extreme: that many eigenvalues at each end, by Lanczos' method; default: all, for up to 4000 rows.
        vectors: whether overlaps are wanted; without them they are NaN.
        seed: of samples and orientations.
        checkpoint: as `simulate`; whole replicates are kept.
        progress: show a progress bar on stderr; by default only on a terminal.

    Returns:
        Dataset with eigenvalue and overlap (replicate, index) in increasing order; attributes n, d, replicates, and `zeros`, the number
        of further eigenvalues that are 0 because the loss does not see a direction.

    Raises:
        InputError, ComputationError: as `simulation.matrices.matrix_eigen`.
    """
    system = derived(system, matrix, block, trained)
    problem: Problem = system.problem
    instance = state_instance(problem, alpha, parameters, m, Q, M)
    check_integers(d=(d, 1), replicates=(replicates, 1), seed=(seed, 0), **({} if extreme is None else {"extreme": (extreme, 1)}))
    if not alpha * d < 2**63:
        raise InputError(f"alpha = {alpha!r} with d = {d} asks for {alpha * d:.3g} samples: less than 2^63 are needed")
    names = [s.name for s in system.trained]
    columns = problem.fields if system.block is None else 1
    cost = _cost.eigenvalues(alpha * d, d, replicates, columns, len(names), extreme, vectors)
    with working("diagonalising", cost, "smaller d or alpha, or fewer replicates", progress) as report:
        from gmsym.simulation.matrices import matrix_eigen

        runs = matrix_eigen(
            problem,
            instance,
            n=max(1, round(alpha * d)),
            d=d,
            matrix=system.matrix,
            block=system.block,
            trained=names,
            extreme=extreme,
            overlaps=vectors,
            seed=seed,
            replicates=replicates,
            checkpoint=checkpoint,
            report=report,
        )
    import xarray as xr

    variables = {
        "eigenvalue": (("replicate", "index"), np.stack([run.values for run in runs]), {"long_name": "eigenvalue", "latex": r"\lambda"}),
        "overlap": (("replicate", "index"), np.stack([run.overlaps for run in runs]), {"long_name": "overlap of the eigenvector"}),
    }
    size = {"n": max(1, round(alpha * d)), "d": d, "replicates": replicates, "seed": seed, "zeros": runs[0].zeros}
    extremes = {} if extreme is None else {"extreme": extreme}
    return xr.Dataset(variables, attrs={"kind": "spectrum simulation", **_about(system, alpha, instance), **size, **extremes})


def numbers(system: Spectral, instance: Instance, alpha: float) -> Any:
    """The arrays of a state as the engine takes them."""
    from gmsym.runtime.spectral import Numbers

    return Numbers(
        probabilities=instance.probabilities,
        labels=instance.labels,
        fractions=instance.fractions,
        variance=instance.variance,
        grams=instance.block_grams,
        alpha=float(alpha),
        parameters=tuple(instance.parameters[s.name] for s in system.parameters),
        named=tuple(instance.values[s.name] for s in system.named),
    )


def state_instance(problem: Problem, alpha: float, parameters: dict[str, float], m: Any, Q: Any, M: Any = None) -> Instance:
    """The problem in numbers at a state; parameters of the optimizer alone play no role, and any number does.

    Trained parameters of the loss have the values in `parameters`, or else their initial ones.
    """
    alpha = check_alpha(alpha)
    elsewhere = {*problem.data.parameters, *problem.loss.parameters, *problem.norm2.free_symbols, *problem.overlap.free_symbols}
    if problem.teacher is not None:
        overlaps = problem.teacher.overlap_with(problem.fields), problem.teacher.overlap_with_means(problem.data.clusters)
        elsewhere |= set().union(*(array.free_symbols for array in (problem.teacher.gram, *overlaps)))
    unused = {s.name: 1.0 for s in problem.optimizer.parameters - elsewhere}
    given = {"alpha": alpha} if symbols.alpha in problem.parameters else {}
    names = [v.name for v in problem.trained_parameters]
    values = {**unused, **{k: v for k, v in parameters.items() if k not in names}, **given}
    instance = (_at if all(isinstance(value, Hashable) for value in values.values()) else Problem.at)(problem, **values)
    trained = dict(zip(names, map(float, instance.trained), strict=True)) | {k: float(parameters[k]) for k in names if k in parameters}
    instance = replace(instance, parameters={**instance.parameters, **trained}, values={**instance.values, **trained})
    state = {"m": m, "Q": Q} | ({} if problem.teacher is None else {"M": M})
    if problem.teacher is None and M is not None:
        raise InputError(f"M = {M!r}: the problem has no teacher; allowed are m and Q")
    if all(value is None for value in state.values()):
        return instance
    for name, value in state.items():
        if value is None:
            teacher = "" if problem.teacher is None else ", and M, Theta^T theta*"
            raise InputError(f"{name} is missing: a state is both m, Theta^T mu_k, and Q, Theta^T Theta{teacher}")
    return _at_state(problem, instance, state)


_at = lru_cache(maxsize=32, typed=True)(Problem.at)  # SymPy's substitutions take as long as a spectrum's bulk


def _at_state(problem: Problem, instance: Instance, state: dict[str, Any]) -> Instance:
    """The instance with Theta where `state` says, in total or within each block."""
    C, K, B, T = problem.fields, problem.data.clusters, problem.data.blocks, len(instance.teacher_gram)
    shapes = {"m": (K, C), "Q": (C, C), "M": (T, C)}
    by_block = B > 1 and np.size(state["Q"]) == B * C * C
    arrays = {name: _array(name, value, (B, *shapes[name]) if by_block else shapes[name]) for name, value in state.items()}
    arrays = {name: array if by_block else array[None] for name, array in arrays.items()}
    m, Q = arrays["m"], arrays["Q"]
    M = arrays.get("M", np.zeros((len(Q), 0, C)))
    shares = instance.fractions if by_block else np.ones(1)
    fixed = instance.gram[C:, C:]
    across = np.concatenate([m, M], axis=1)  # (B, K + T, C)
    placed = np.concatenate(
        [np.concatenate([Q, np.swapaxes(across, 1, 2)], axis=2), np.concatenate([across, shares[:, None, None] * fixed], axis=2)], axis=1
    )
    vectors = "(Theta, means, teacher)" if T else "(Theta, means)"
    for b, gram in enumerate(placed):
        within = f" within block {b}" if by_block else ""
        check_positive_semidefinite(Q[b], f"Q{within}")
        check_positive_semidefinite(gram, f"the Gram matrix of {vectors}{within}")
    return replace(
        instance,
        initial_gram=Q.sum(0),
        initial_overlap=m.sum(0).T,
        teacher_overlap=M.sum(0).T,
        placed=placed if by_block else None,
    )


def labelled(system: Spectral, found: Any, alpha: float, instance: Instance) -> "xr.Dataset":
    """The engine's result as a Dataset, counting all eigenvalues of the matrix."""
    import xarray as xr

    share = system.A.rows / (system.A.rows + system.null)
    out = found.outliers
    variables = {
        "density": ("z", share * found.density, {"long_name": "density of eigenvalues", "latex": r"\rho"}),
        "density_error": ("z", share * found.density_error),
        "weight": ("z", found.weights),
        "edge": (("band", "side"), found.bands),
        "edge_error": (("band", "side"), found.band_errors),
        "band_mass": ("band", share * found.masses, {"long_name": "mass of each band"}),
        "band_mass_error": ("band", share * found.mass_errors),
        "undecided": (("interval", "side"), found.undecided),
        "edge_eigenvalue": (("band", "side", "branch"), found.edge_eigenvalues),
        "atom": ((), share * found.atom + 1 - share),
        "outlier_z": ("outlier", out.z),
        "outlier_error": ("outlier", out.error),
        "overlap": ("outlier", out.overlap),
        "overlap_error": ("outlier", out.overlap_error),
        "overlap_trained": ("outlier", out.trained),
        "gap": ("outlier", found.gap),
    }
    coordinates = {"z": ("z", found.z, {"long_name": "eigenvalue", "latex": "z"}), "side": ["left", "right"]}
    closed = {} if found.closed_form is None else {"closed_form": found.closed_form}
    attributes = {**closed, "residual": found.residual, "nodes": found.nodes, "signature": signature(system)}
    return xr.Dataset(variables, coordinates, {"kind": "spectrum", **_about(system, alpha, instance), **attributes})


def spectrum_record(result: "xr.Dataset") -> dict[str, Any]:
    """A spectrum as plain numbers and lists, ready for JSON; an infinite edge is None."""

    def plain(value: Any) -> Any:
        return [plain(v) for v in value] if isinstance(value, list) else (value if np.isfinite(value) else None)

    gaps, last = result["gap"].values, result.sizes["band"]
    sides = ["left" if g == 0 else "right" if g == last else "gap" for g in gaps]
    columns = (result[name].values.tolist() for name in ("outlier_z", "overlap", "outlier_error", "overlap_error", "overlap_trained"))
    names = ("z", "overlap", "z_error", "overlap_error", "overlap_trained")
    outliers = [dict(zip(names, row, strict=True)) | {"side": side} for side, *row in zip(sides, *columns, strict=True)]
    atom = float(result["atom"])
    return {
        "matrix": result.attrs["matrix"],
        "alpha": result.attrs["alpha"],
        "edges": plain(result["edge"].values.tolist()),
        "atoms": [{"z": 0.0, "mass": atom}] if atom > 0 else [],
        "outliers": outliers,
        "density": {"z": result["z"].values.tolist(), "value": result["density"].values.tolist()},
        "residual": result.attrs["residual"],
        "masses": result["band_mass"].values.tolist(),
        "undecided": result["undecided"].values.tolist(),
        "error": {
            "edges": result["edge_error"].values.tolist(),
            "density": result["density_error"].values.tolist(),
            "masses": result["band_mass_error"].values.tolist(),
        },
    }


def derived(system: Spectral | Problem, matrix: str, block: int | None, trained: Sequence[str]) -> Spectral:
    if isinstance(system, Problem):
        return derive.spectrum(system, matrix, block, tuple(trained))
    if not isinstance(system, Spectral):
        raise InputError(f"system = {system!r}: a Problem or its spectrum (derive.spectrum) is needed")
    return system


def _about(system: Spectral, alpha: float, instance: Instance) -> dict[str, Any]:
    import json

    about = {"problem": problem_name(system.problem), "matrix": system.matrix, "alpha": float(alpha)}
    block = {} if system.block is None else {"block": system.block}
    state = {"m": instance.initial_overlap.T.tolist(), "Q": instance.initial_gram.tolist()}
    if len(instance.teacher_gram):
        state["M"] = instance.teacher_overlap.T.tolist()
    if instance.placed is not None:
        state["grams"] = instance.placed.tolist()
    return {**about, **block, "state": json.dumps(state), "parameters": json.dumps(instance.values, sort_keys=True)}


def _array(name: str, value: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers of that shape; axes of one entry may be left out."""
    try:
        array = np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        raise InputError(f"{name} = {value!r}: numbers of shape {shape} are needed") from None
    if array.shape != shape and (array.ndim >= len(shape) or tuple(n for n in array.shape if n > 1) != tuple(n for n in shape if n > 1)):
        raise InputError(f"{name} has shape {array.shape}; {shape} is needed")
    if not np.isfinite(array).all():
        raise InputError(f"{name} = {array.tolist()}: finite numbers are needed")
    return array.reshape(shape)


def _grid(grid: Any) -> np.ndarray | None:
    if grid is None:
        return None
    try:
        x = np.asarray(grid, dtype=float)
    except (TypeError, ValueError):
        raise InputError(f"grid = {grid!r}: an increasing sequence of numbers is needed") from None
    if x.ndim != 1 or not len(x) or not np.isfinite(x).all() or (np.diff(x) <= 0).any():
        raise InputError("grid: an increasing sequence of finite numbers is needed")
    return x
