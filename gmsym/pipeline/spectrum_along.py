"""Spectra along a trajectory, and the times at which outliers leave or join the bulk. Source: theory.md 7, verified/effective.md 5."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.interpolate import CubicSpline

from gmsym.errors import InputError
from gmsym.pipeline.spectrum import derived, state_instance
from gmsym.pipeline.spectrum_path import Path, spectra_on
from gmsym.problem import Problem
from gmsym.system import Spectral
from gmsym.system.spectral import MatrixKind

if TYPE_CHECKING:
    import xarray as xr


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
        "absorbed") over `transition`, in the order of time; `unlocated` (interval, end) are pairs of times between which the number of
        bands changes, so that transitions there are not located.

    Raises:
        InputError: a trajectory that lacks a variable or does not fit the problem, or times that it does not have.
        ComputationError: as `gmsym.spectrum`; the time is named.
    """
    system = derived(system, matrix, block, trained)
    at = _states(trajectory, system.problem, alpha, parameters)
    chosen = _chosen(trajectory["time"].values.astype(float), times)
    path = Path("time", "t", chosen, lambda time: (at(time), alpha))
    return spectra_on(path, system, points, progress)


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
