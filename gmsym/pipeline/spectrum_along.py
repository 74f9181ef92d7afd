"""Spectra along a trajectory, and the times at which outliers leave or join the bulk. Source: theory.md 7, verified/effective.md 5."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.optimize import brentq

from gmsym.errors import InputError
from gmsym.pipeline._stages import load, progress_bar
from gmsym.pipeline.spectrum import _system, labelled, numbers, state_instance
from gmsym.problem import Problem
from gmsym.system import Spectral
from gmsym.system.spectral import MatrixKind

if TYPE_CHECKING:
    import xarray as xr

_TIME_TOLERANCE = 1e-6  # of a transition, relative to the spacing of saved times
_PADDED = ("density", "density_error", "weight", "outlier_z", "outlier_error", "overlap", "overlap_error", "overlap_trained", "gap")
_KEPT = (*_PADDED, "edge", "edge_error", "atom")


def spectrum_along(
    trajectory: "xr.Dataset",
    system: Spectral | Problem,
    matrix: MatrixKind = "hessian",
    *,
    alpha: float,
    times: Sequence[float] | None = None,
    block: int | None = None,
    trained: Sequence[str] = (),
    points: int = 200,
    progress: bool | None = None,
    **parameters: float,
) -> "xr.Dataset":
    """Spectrum of the matrix of n = alpha d fresh samples at each time of a trajectory, and its dynamical transitions.

    A transition is the zero in time of an eigenvalue of D(z) at an edge. It is located on cubic splines through the trajectory, so
    that its accuracy is that of the saved times; close to it the overlap shows it, linear in time, while the eigenvalue hardly moves.

    Args:
        trajectory: m (time, cluster, field), Q (time, field, field_b) and, with a teacher, M (time, teacher, field) over a coordinate
            `time`, such as a result of `gm.effective` or `gm.solve`; with several blocks of coordinates m_b, Q_b and M_b, which have an
            axis of blocks behind time. Parameters of the loss that are trained are in `trained` (time, parameter), or variables over
            time of their names. At least 4 times.
        system, matrix, alpha, block, trained, points, parameters: as `gmsym.spectrum`.
        times: which of its times; default: all.
        progress: show a progress bar on stderr; by default only on a terminal.

    Returns:
        Dataset of the variables of `gmsym.spectrum` with a leading dimension `time`, padded by NaN, z (time, z_index) included; and
        transition_time, transition_z, transition_side ("left" or "right" edge of a band) and transition_kind ("detaches" or
        "absorbed") over `transition`, in the order of time.

    Raises:
        InputError: a trajectory that lacks a variable or does not fit the problem, or times that it does not have.
        ComputationError: as `gmsym.spectrum`; the time is named.
    """
    system = _system(system, matrix, block, trained)
    at = _states(trajectory, system.problem, alpha, parameters)
    chosen = _chosen(trajectory["time"].values.astype(float), times)

    from gmsym.engine.nodes import law
    from gmsym.engine.spectral import branches, find_bulk, solve_spectrum

    module = load(system)
    states = [numbers(system, at(time), alpha) for time in chosen]
    least = np.max([law(module, state).sizes for state in states], axis=0).tolist()  # one compilation serves all times
    results, crossings = [], []
    with progress_bar("spectra along the trajectory", progress) as report:
        for i, (time, state) in enumerate(zip(chosen, states, strict=True)):
            found = solve_spectrum(module, state, points=points, least=least)
            results.append(labelled(system, found, alpha, at(time)))
            crossings.append(found.edge_eigenvalues)
            report((i + 1) / len(chosen))

    def at_edges(time: float) -> tuple[np.ndarray, np.ndarray]:
        bulk = find_bulk(module, numbers(system, at(time), alpha), least=least)
        return branches(module, bulk), np.array(bulk.bands) * bulk.nodes.scale

    found_transitions = []
    for i in range(len(chosen) - 1):
        found_transitions += _transitions(at_edges, chosen[i], chosen[i + 1], crossings[i], crossings[i + 1])
    return _joined(results, chosen, sorted(found_transitions))


def _states(trajectory: Any, problem: Problem, alpha: float, parameters: dict[str, float]) -> Callable[[float], Any]:
    """The function time -> problem in numbers at the state there."""
    if not hasattr(trajectory, "data_vars"):
        raise InputError(f"trajectory = {trajectory!r}: a Dataset with m, Q and a coordinate time is needed")
    blocks = problem.data.blocks
    shapes = {"m": (problem.data.clusters, problem.fields), "Q": (problem.fields, problem.fields)}
    if problem.teacher is not None:
        shapes["M"] = (problem.teacher.count, problem.fields)
    kept = {name: name if blocks == 1 else f"{name}_b" for name in shapes}
    shapes = {name: shape if blocks == 1 else (blocks, *shape) for name, shape in shapes.items()}
    if "time" not in trajectory.coords:
        raise InputError("trajectory has no coordinate 'time'")
    time = trajectory["time"].values.astype(float)
    if len(time) < 4 or (np.diff(time) <= 0).any():
        raise InputError(f"trajectory has {len(time)} times; at least 4 in increasing order are needed")
    splines = {}
    for name, shape in shapes.items():
        if kept[name] not in trajectory:
            by_block = f", {name} within each of {blocks} blocks of coordinates" if blocks > 1 else ""
            held = ", ".join(map(str, trajectory.data_vars))
            raise InputError(f"trajectory lacks the variable {kept[name]!r}{by_block}; it holds {held}")
        values = trajectory[kept[name]].transpose("time", ...).values
        if values.shape[1:] != shape:
            raise InputError(f"trajectory: {kept[name]} has shape {values.shape}; (time, {', '.join(map(str, shape))}) is needed")
        splines[name] = CubicSpline(time, values)
    own = {s.name: trajectory[s.name] for s in problem.loss.parameters if s.name in trajectory and trajectory[s.name].dims == ("time",)}
    if "trained" in trajectory:
        own |= {str(name): trajectory["trained"].sel(parameter=name) for name in trajectory["parameter"].values}
    names = list(own)
    splines |= {name: CubicSpline(time, values.values) for name, values in own.items()}

    def at(t: float) -> Any:
        state = {name: spline(t) for name, spline in splines.items()}
        own = {name: float(state[name]) for name in names}
        return state_instance(problem, alpha, {**parameters, **own}, state["m"], state["Q"], state.get("M"))

    at(time[0])  # refuses before anything long
    return at


def _chosen(saved: np.ndarray, times: Sequence[float] | None) -> np.ndarray:
    if times is None:
        return saved
    wanted = np.asarray(times, dtype=float)
    if wanted.ndim != 1 or not len(wanted) or (np.diff(wanted) <= 0).any() or wanted[0] < saved[0] or wanted[-1] > saved[-1]:
        raise InputError(f"times = {times!r}: increasing times between {saved[0]:g} and {saved[-1]:g} are needed")
    return wanted


def _transitions(
    at_edges: Callable[[float], tuple[np.ndarray, np.ndarray]], early: float, late: float, before: np.ndarray, after: np.ndarray
) -> list[tuple[float, float, str, str]]:
    """(time, z, side, kind) of the changes of sign between two times that have the same bands."""
    if before.shape != after.shape:
        return []
    found = []
    for band, side, k in np.argwhere((before * after < 0) & np.isfinite(before * after)):

        def eigenvalue(t: float, place: tuple[int, int, int] = (band, side, k), size: int = len(before)) -> float:
            values = at_edges(t)[0]
            return float(values[place]) if len(values) == size else np.nan

        time = float(brentq(eigenvalue, early, late, xtol=_TIME_TOLERANCE * (late - early)))
        z = float(at_edges(time)[1][band, side])
        # Above a right edge an outlier needs a negative eigenvalue at the edge; below a left one, a positive one.
        gained = after[band, side, k] < 0 if side == 1 else after[band, side, k] > 0
        found.append((time, z, ("left", "right")[side], "detaches" if gained else "absorbed"))
    return found


def _joined(results: list["xr.Dataset"], times: np.ndarray, transitions: list[tuple[float, float, str, str]]) -> "xr.Dataset":
    import xarray as xr

    first = results[0]
    bands, outliers = (max(r.sizes[name] for r in results) for name in ("band", "outlier"))
    sizes = {"z": first.sizes["z"], "outlier": outliers, "band": bands, "side": 2}
    variables = {}
    for name in (*_KEPT, "z"):
        dims = first[name].dims
        stacked = np.full((len(results), *(sizes[d] for d in dims)), np.nan)
        for i, result in enumerate(results):
            values = result[name].values
            stacked[(i, *(slice(0, n) for n in values.shape))] = values
        variables[name] = (("time", *("z_index" if d == "z" else d for d in dims)), stacked, first[name].attrs)
    columns = list(zip(*transitions, strict=True)) or [(), (), (), ()]
    for name, column, kind in zip(("time", "z", "side", "kind"), columns, (float, float, str, str), strict=True):
        variables[f"transition_{name}"] = ("transition", np.array(column, dtype=kind))
    about = {k: v for k, v in first.attrs.items() if k not in ("state", "residual", "nodes", "parameters")}
    about |= {"kind": "spectrum along", "residual": max(r.attrs["residual"] for r in results)}
    z = variables.pop("z")
    return xr.Dataset(variables, {"time": times, "z": z, "side": ["left", "right"]}, about)
