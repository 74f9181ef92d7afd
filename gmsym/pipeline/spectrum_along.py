"""Spectra at a state and along a trajectory, and the times at which outliers leave or join the bulk. Source: theory.md 7."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.interpolate import CubicSpline

from gmsym.errors import InputError
from gmsym.pipeline._verbs import solving
from gmsym.pipeline.spectrum import spectrum, state_instance
from gmsym.pipeline.spectrum_path import Path, spectra_on
from gmsym.problem import Problem
from gmsym.system import Spectral

if TYPE_CHECKING:
    from pathlib import Path as FilePath

    import xarray as xr


@solving(Spectral)
def solve_spectrum(
    system: Spectral,
    values: Mapping[str, float],
    *,
    m: Any = None,
    Q: Any = None,
    M: Any = None,
    along: "xr.Dataset | None" = None,
    times: Sequence[float] | None = None,
    points: int | None = None,
    grid: Any = None,
    checkpoint: "FilePath | str | None" = None,
    progress: bool | None = None,
) -> "xr.Dataset":
    """Spectrum of the matrix (1/n) sum_l A_l kron Y_l Y_l^T of n = alpha d fresh samples, as d -> infinity, at one state or along a path.

    A transition is the zero in time, or in a parameter, of an eigenvalue of D(z) at an edge. Along a trajectory it is located on cubic
    splines, so that its accuracy is that of the saved times; close to it the overlap shows it, linear in time, while the eigenvalue hardly
    moves.

    Args:
        system: from `derive.spectrum`, which fixes matrix, block and trained.
        values: a number for each parameter of the problem, and alpha, samples of the matrix per dimension; those of the optimizer may be
            left out, and trained parameters of the loss then have their initial values. An increasing array in the place of one number
            gives the spectra the dimension of its name, and static transitions.
        m, Q, M: the state, Theta^T mu_k (K, C), Theta^T Theta (C, C) and, with a teacher, Theta^T theta* (T, C); for one field also
            (K,), a number and (T,). With several blocks of coordinates all of them may have a leading axis of blocks; totals are spread
            in proportion to the blocks. Default: the initial state.
        along: in place of a state, a trajectory: m (time, cluster, field), Q (time, field, field_b) and, with a teacher, M (time, teacher,
            field) over a coordinate `time`, such as a result of `gmsym.solve`; with several blocks of coordinates m_b, Q_b and M_b, which
            have an axis of blocks behind time. Parameters of the loss that are trained are in `trained` (time, parameter), or variables
            over time of their names. At least 4 times.
        times: which of its times; default: all.
        points: points of the density, spread over the bands. Default: 400, on a path 200.
        grid: other points instead, increasing; at one state only.
        checkpoint: as `simulate`, on a path; whole spectra are kept.
        progress: show a progress bar; by default on a terminal, and in a notebook after two seconds.

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
        On a path: the same with a leading dimension `time` (or that of the parameter), padded by NaN, z (time, z_index) included; and
        transition_time, transition_z, transition_side ("left" or "right" edge of a band) and transition_kind ("detaches" or
        "absorbed") over `transition`, in order; `unlocated` (interval, end) are pairs of places between which the number of
        bands changes, so that transitions there are not located.

    Raises:
        InputError: an argument outside what is allowed, before anything is computed; a trajectory that lacks a variable or does not fit
            the problem, or times that it does not have.
        ComputationError: the fixed point did not converge, or a part of the spectrum was not found.
    """
    if along is None:
        if times is not None:
            raise InputError("times belong to a trajectory; give along, a result of gmsym.solve")
        return spectrum(system, values, m=m, Q=Q, M=M, points=400 if points is None else points, grid=grid)
    for name, value in (("m", m), ("Q", Q), ("M", M), ("grid", grid)):
        if value is not None:
            raise InputError(f"{name} = {repr(value)[:40]}: along a trajectory the states are its own; leave {name} out")
    at = _states(along, system.problem, values)
    chosen = _chosen(along["time"].values.astype(float), times)
    return spectra_on(Path("time", "t", chosen, at), system, 200 if points is None else points, checkpoint, progress)


def _states(trajectory: Any, problem: Problem, values: Mapping[str, float]) -> Callable[[float], Any]:
    """The function time -> problem in numbers at the state there."""
    if not hasattr(trajectory, "data_vars"):
        raise InputError(f"along = {repr(trajectory)[:60]}: a Dataset with m, Q and a coordinate time is needed")
    blocks = problem.data.blocks
    shapes = {"m": (problem.data.clusters, problem.fields), "Q": (problem.fields, problem.fields)}
    if problem.teacher is not None:
        shapes["M"] = (problem.teacher.count, problem.fields)
    kept = {name: name if blocks == 1 else f"{name}_b" for name in shapes}
    shapes = {name: shape if blocks == 1 else (blocks, *shape) for name, shape in shapes.items()}
    if "time" not in trajectory.coords:
        raise InputError("along has no coordinate 'time'")
    time = trajectory["time"].values.astype(float)
    if len(time) < 4 or (np.diff(time) <= 0).any():
        raise InputError(f"along has {len(time)} times; at least 4 in increasing order are needed")
    splines = {}
    for name, shape in shapes.items():
        if kept[name] not in trajectory:
            by_block = f", {name} within each of {blocks} blocks of coordinates" if blocks > 1 else ""
            held = ", ".join(map(str, trajectory.data_vars))
            raise InputError(f"along lacks the variable {kept[name]!r}{by_block}; it holds {held}")
        held = trajectory[kept[name]].transpose("time", ...).values
        if held.shape[1:] != shape:
            raise InputError(f"along: {kept[name]} has shape {held.shape}; (time, {', '.join(map(str, shape))}) is needed")
        splines[name] = CubicSpline(time, held)
    own = {s.name: trajectory[s.name] for s in problem.loss.parameters if s.name in trajectory and trajectory[s.name].dims == ("time",)}
    if "trained" in trajectory:
        own |= {str(name): trajectory["trained"].sel(parameter=name) for name in trajectory["parameter"].values}
    names, given = list(own), dict(values)
    splines |= {name: CubicSpline(time, curve.values) for name, curve in own.items()}

    def at(t: float) -> Any:
        state = {name: spline(t) for name, spline in splines.items()}
        own = {name: float(state[name]) for name in names}
        return state_instance(problem, {**given, **own}, state["m"], state["Q"], state.get("M"))

    at(time[0])  # refuses before anything long
    return at


def _chosen(saved: np.ndarray, times: Sequence[float] | None) -> np.ndarray:
    if times is None:
        return saved
    wanted = np.asarray(times, dtype=float)
    if wanted.ndim != 1 or not len(wanted) or (np.diff(wanted) <= 0).any() or wanted[0] < saved[0] or wanted[-1] > saved[-1]:
        raise InputError(f"times = {times!r}: increasing times between {saved[0]:g} and {saved[-1]:g} are needed")
    return wanted
