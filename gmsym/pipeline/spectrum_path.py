"""Spectra at each point of a path of states or of problems, and where on it outliers leave or join the bulk.

Source: theory.md 7, verified/effective.md 5.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.optimize import brentq

from gmsym.engine.bands import branches, find_bulk
from gmsym.engine.nodes import law
from gmsym.engine.spectral import solve_spectrum
from gmsym.errors import check_integers
from gmsym.pipeline import _cost
from gmsym.pipeline._keeping import points_kept
from gmsym.pipeline._provenance import signature_of
from gmsym.pipeline._stages import load
from gmsym.pipeline._work import working
from gmsym.pipeline.spectrum import labelled, numbers
from gmsym.problem import Instance
from gmsym.runtime.interrupt import interruptibly
from gmsym.system import Spectral

if TYPE_CHECKING:
    from pathlib import Path as FilePath

    import xarray as xr

_TOLERANCE = 1e-6  # of a transition, relative to the spacing of the path's values
_PADDED = (
    "band_mass",
    "band_mass_error",
    "density",
    "density_error",
    "weight",
    "outlier_z",
    "outlier_error",
    "overlap",
    "overlap_error",
    "overlap_trained",
    "gap",
)
_KEPT = (*_PADDED, "edge", "edge_error", "atom")


class Path(NamedTuple):
    """Where spectra are taken."""

    name: str  # of the coordinate
    latex: str
    values: np.ndarray  # increasing
    at: Callable[[float], Instance]  # coordinate -> problem in numbers at a state


def spectra_on(path: Path, system: Spectral, points: int, checkpoint: "FilePath | str | None", progress: bool | None) -> "xr.Dataset":
    """The spectrum at each value of the path, and its transitions: zeros of an eigenvalue of D(z) at an edge, located by root finding.

    Finished spectra are kept in the checkpoint; transitions, which take less time, are not.

    Raises:
        ComputationError: as `gmsym.solve` for a spectrum.
    """
    check_integers(points=(points, 8))
    cost = _cost.densities(points, len(path.values), system.A.rows)

    module = load(system)

    def in_numbers(x: float):
        return numbers(system, path.at(x))

    states = [in_numbers(x) for x in path.values]
    least = np.max([law(module, state).sizes for state in states], axis=0).tolist()  # one compilation serves the whole path

    def compute(i: int) -> "xr.Dataset":
        return labelled(system, solve_spectrum(module, states[i], points=points, least=least), path.at(path.values[i]))

    computation = {"system": signature_of(system), "problem": system.problem.signature, "over": path.name, "at": path.values}
    with working(f"spectra along {path.name}", cost, "fewer points or values", progress) as report:
        pieces = {"unit": "spectra", "report": report, "beside": True}
        results = points_kept(compute, len(states), checkpoint, **pieces, **computation, states=states, points=points)
    crossings = [result["edge_eigenvalue"].values for result in results]

    def at_edges(x: float) -> tuple[np.ndarray, np.ndarray]:
        bulk = interruptibly(lambda: find_bulk(module, in_numbers(x), least=least))
        return branches(module, bulk), np.array(bulk.bands) * bulk.nodes.scale

    transitions, unlocated = [], []
    for i in range(len(states) - 1):
        early, late = path.values[i], path.values[i + 1]
        found = _transitions(at_edges, early, late, crossings[i], crossings[i + 1])
        if found is None:
            unlocated.append((early, late))
        transitions += found or []
    return _joined(results, path, sorted(transitions), unlocated)


def path_record(result: "xr.Dataset") -> dict[str, Any]:
    """Edges, outliers and transitions as plain numbers and lists, ready for JSON; an infinite edge is None."""
    over = result.attrs["over"]
    spectra = []
    for i, x in enumerate(result[over].values.tolist()):
        at = result.isel({over: i})
        bands = [[z if np.isfinite(z) else None for z in band] for band in at["edge"].values.tolist() if not np.isnan(band).any()]
        outliers = [
            {"z": z, "overlap": w} for z, w in zip(*(at[n].values.tolist() for n in ("outlier_z", "overlap")), strict=True) if z == z
        ]
        spectra.append({over: x, "edges": bands, "atom": float(at["atom"]), "outliers": outliers})
    names = (over, "z", "side", "kind")
    columns = zip(*(result[f"transition_{name}"].values.tolist() for name in names), strict=True)
    transitions = [dict(zip(names, row, strict=True)) for row in columns]
    unlocated = result["unlocated"].values.tolist()
    return {"matrix": result.attrs["matrix"], "over": over, "spectra": spectra, "transitions": transitions, "unlocated": unlocated}


class _Changed(Exception):
    """The number of bands is another one in between."""


def _transitions(
    at_edges: Callable[[float], tuple[np.ndarray, np.ndarray]], early: float, late: float, before: np.ndarray, after: np.ndarray
) -> list[tuple[float, float, str, str]] | None:
    """(place, z, side, kind) of the changes of sign between two places on the path; None if the bands are not the same throughout."""
    if before.shape != after.shape:
        return None
    found = []
    for band, side, k in np.argwhere((before * after < 0) & np.isfinite(before * after)):

        def eigenvalue(x: float, place: tuple[int, int, int] = (band, side, k), shape: tuple[int, ...] = before.shape) -> float:
            values = at_edges(x)[0]
            if values.shape != shape or not np.isfinite(values[place]):
                raise _Changed
            return float(values[place])

        try:
            if eigenvalue(early) * eigenvalue(late) > 0:  # a transition at an end, to the accuracy of the nodes
                return None
            where = float(brentq(eigenvalue, early, late, xtol=_TOLERANCE * (late - early)))
        except _Changed:
            return None
        z = float(at_edges(where)[1][band, side])
        # Above a right edge an outlier needs a negative eigenvalue at the edge; below a left one, a positive one.
        gained = after[band, side, k] < 0 if side == 1 else after[band, side, k] > 0
        found.append((where, z, ("left", "right")[side], "detaches" if gained else "absorbed"))
    return found


def _joined(
    results: Sequence["xr.Dataset"],
    path: Path,
    transitions: list[tuple[float, float, str, str]],
    unlocated: list[tuple[float, float]],
) -> "xr.Dataset":
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
        variables[name] = ((path.name, *("z_index" if d == "z" else d for d in dims)), stacked, first[name].attrs)
    columns = list(zip(*transitions, strict=True)) or [(), (), (), ()]
    for name, column, kind in zip((path.name, "z", "side", "kind"), columns, (float, float, str, str), strict=True):
        variables[f"transition_{name}"] = ("transition", np.array(column, dtype=kind))
    variables["unlocated"] = (("interval", "end"), np.array(unlocated, dtype=float).reshape(-1, 2))
    about = {k: v for k, v in first.attrs.items() if k not in ("state", "residual", "nodes", "parameters", path.name)}
    about |= {"kind": "spectrum along", "over": path.name, "residual": max(r.attrs["residual"] for r in results)}
    z = variables.pop("z")
    place = (path.name, path.values, {"latex": path.latex})
    return xr.Dataset(variables, {path.name: place, "z": z, "side": ["left", "right"]}, about)
