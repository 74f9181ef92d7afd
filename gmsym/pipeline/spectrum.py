"""Spectra of Hessian and information matrices of fresh data, in the limit and at finite size. Source: theory.md 7."""

from collections.abc import Hashable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from gmsym.engine.spectral import solve_spectrum
from gmsym.errors import InputError, check_flag, check_integers, check_positive
from gmsym.pipeline import _cost
from gmsym.pipeline._stages import load
from gmsym.pipeline._verbs import simulating
from gmsym.pipeline._work import working
from gmsym.pipeline.training import counted
from gmsym.problem import Instance, Problem
from gmsym.problem.mixture import check_positive_semidefinite
from gmsym.progress import waiting
from gmsym.runtime.spectral import Numbers
from gmsym.simulation.matrices import matrix_eigen
from gmsym.system import Spectral

if TYPE_CHECKING:
    from pathlib import Path

    import xarray as xr


def spectrum(
    system: Spectral,
    values: Mapping[str, float],
    *,
    m: Any = None,
    Q: Any = None,
    M: Any = None,
    points: int = 400,
    grid: Any = None,
) -> "xr.Dataset":
    """Spectrum of the matrix (1/n) sum_l A_l kron Y_l Y_l^T of n = alpha d fresh samples, as d -> infinity, at one state."""
    instance = state_instance(system.problem, values, m, Q, M)
    x = _grid(grid)
    check_integers(points=(points, 8))
    cost = _cost.densities(points if x is None else len(x), 1, system.A.rows)
    with working("the spectrum", cost, "fewer points", False), waiting("the spectrum"):
        found = solve_spectrum(load(system), numbers(system, instance), points=points, grid=x)
    return labelled(system, found, instance)


@simulating(Spectral)
def simulate_spectrum(
    system: Spectral,
    values: Mapping[str, float],
    *,
    d: int,
    m: Any = None,
    Q: Any = None,
    M: Any = None,
    replicates: int = 4,
    extreme: int | None = None,
    vectors: bool = True,
    seed: int = 0,
    checkpoint: "Path | str | None" = None,
    progress: bool | None = None,
) -> "xr.Dataset":
    """Eigenvalues of the matrix of alpha*d generated samples in d dimensions, at a state of exactly the same Gram matrix.

    Args:
        system: from `derive.spectrum`, which fixes matrix, block and trained.
        values: a number for each parameter of the problem, and alpha, samples per dimension.
        d: dimension.
        m, Q, M: the state, as for `gmsym.solve`.
        replicates: independent repetitions.
        extreme: that many eigenvalues at each end, by Lanczos' method; default: all, for up to 4000 rows.
        vectors: whether overlaps are wanted; without them they are NaN.
        seed: of samples and orientations.
        checkpoint: as `simulate`; whole replicates are kept.
        progress: show a progress bar; by default on a terminal, and in a notebook after two seconds.

    Returns:
        Dataset with eigenvalue and overlap (replicate, index) in increasing order; attributes n, d, replicates, and `zeros`, the number
        of further eigenvalues that are 0 because the loss does not see a direction.

    Raises:
        InputError, ComputationError: as `simulation.matrices.matrix_eigen`.
    """
    problem: Problem = system.problem
    instance = state_instance(problem, values, m, Q, M)
    check_integers(d=(d, 1), replicates=(replicates, 1), seed=(seed, 0), **({} if extreme is None else {"extreme": (extreme, 1)}))
    check_flag("vectors", vectors)
    n = counted(instance.ratio, d)
    names = [s.name for s in system.trained]
    columns = problem.fields if system.block is None else 1
    cost = _cost.eigenvalues(n, d, replicates, columns, len(names), extreme, vectors)
    with working("diagonalising", cost, "smaller d or alpha, or fewer replicates", progress) as report:
        runs = matrix_eigen(
            problem,
            instance,
            n=n,
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
    size = {"n": n, "d": d, "replicates": replicates, "seed": seed, "zeros": runs[0].zeros}
    extremes = {} if extreme is None else {"extreme": extreme}
    return xr.Dataset(variables, attrs={"kind": "spectrum simulation", **_about(system, instance), **size, **extremes})


def numbers(system: Spectral, instance: Instance) -> Any:
    """The arrays of a state as the engine takes them."""

    return Numbers(
        probabilities=instance.probabilities,
        labels=instance.labels,
        fractions=instance.fractions,
        variance=instance.variance,
        grams=instance.block_grams,
        alpha=instance.ratio,
        parameters=tuple(instance.parameters[s.name] for s in system.parameters),
        named=tuple(instance.values[s.name] for s in system.named),
    )


def state_instance(problem: Problem, values: Mapping[str, float], m: Any = None, Q: Any = None, M: Any = None) -> Instance:
    """The problem in numbers at a state; parameters of the optimizer alone play no role, and any number does.

    Trained parameters of the loss have the numbers in `values`, or else their initial ones.
    """
    if "alpha" not in values:
        raise InputError("alpha is missing in the values: the matrix has n = alpha d samples, a positive number")
    alpha = check_positive("alpha", values["alpha"], "samples per dimension, a positive number, are needed")
    elsewhere = {*problem.data.parameters, *problem.loss.parameters, *problem.norm2.free_symbols, *problem.overlap.free_symbols}
    if problem.teacher is not None:
        overlaps = problem.teacher.overlap_with(problem.fields), problem.teacher.overlap_with_means(problem.data.clusters)
        elsewhere |= set().union(*(array.free_symbols for array in (problem.teacher.gram, *overlaps)))
    unused = {s.name: 1.0 for s in problem.optimizer.parameters - elsewhere}
    names = [v.name for v in problem.trained_parameters]
    given = {**unused, **{k: v for k, v in values.items() if k not in names}}
    hashable = all(isinstance(value, Hashable) for value in given.values())
    instance = _at(problem, tuple(given.items())) if hashable else problem.at(given)
    trained = dict(zip(names, map(float, instance.trained), strict=True)) | {k: float(values[k]) for k in names if k in values}
    own = {"parameters": {**instance.parameters, **trained}, "values": {**instance.values, **trained}}
    instance = replace(instance, **own, alpha=alpha)
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


@lru_cache(maxsize=32, typed=True)  # SymPy's substitutions take as long as a spectrum's bulk
def _at(problem: Problem, items: tuple[tuple[str, float], ...]) -> Instance:
    return problem.at(dict(items))


def _at_state(problem: Problem, instance: Instance, state: dict[str, Any]) -> Instance:
    """The instance with Theta where `state` says, in total or within each block."""
    C, K, B, T = problem.fields, problem.data.clusters, problem.data.blocks, len(instance.teacher_gram)
    shapes = {"m": (K, C), "Q": (C, C), "M": (T, C)}
    by_block = B > 1 and np.size(state["Q"]) == B * C * C
    arrays = {name: _array(name, value, (B, *shapes[name]) if by_block else shapes[name]) for name, value in state.items()}
    arrays = {name: array if by_block else array[None] for name, array in arrays.items()}
    m, Q = arrays["m"], arrays["Q"]
    M = arrays.get("M", np.zeros((len(Q), 0, C)))
    if instance.placed is not None and not by_block:
        raise InputError(f"Q has shape {np.shape(state['Q'])}; ({B}, {C}, {C}) is needed, block by block, as the mixture gives its means")
    fixed = instance.block_grams[:, C:, C:] if by_block else instance.gram[None, C:, C:]
    across = np.concatenate([m, M], axis=1)  # (B, K + T, C)
    placed = np.concatenate([np.concatenate([Q, np.swapaxes(across, 1, 2)], axis=2), np.concatenate([across, fixed], axis=2)], axis=1)
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


def labelled(system: Spectral, found: Any, instance: Instance) -> "xr.Dataset":
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
    attributes = {**closed, "residual": found.residual, "nodes": found.nodes}
    return xr.Dataset(variables, coordinates, {"kind": "spectrum", **_about(system, instance), **attributes})


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


def _about(system: Spectral, instance: Instance) -> dict[str, Any]:
    import json

    about = {"problem": system.problem.name, "matrix": system.matrix, "alpha": instance.ratio}
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
