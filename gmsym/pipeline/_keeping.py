"""Results at the points of a grid, each kept in a checkpoint when it is there."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gmsym.runtime.checkpoint import Checkpoint
from gmsym.runtime.interrupt import in_pieces

if TYPE_CHECKING:
    import xarray as xr

_ABOUT = "about"  # what a dataset has beside its arrays, as JSON


def points_kept(
    compute: "Callable[[int], xr.Dataset]",
    count: int,
    path: Path | str | None,
    *,
    unit: str = "points",
    report: Callable[[float], None] | None = None,
    beside: bool = False,
    **computation: Any,
) -> "list[xr.Dataset]":
    """[compute(0), compute(1), ...]; those that the file has of this computation are taken from there.

    Args:
        compute: of a point's number.
        count: of points.
        path: the file, or None.
        unit, report, beside: as `in_pieces`; by default compute answers an interruption at once itself.
        computation: everything that the results depend on.

    Raises:
        KeyboardInterrupt: with a note of how many points are kept.
    """
    checkpoint = Checkpoint(path, **computation)
    pieces = {"checkpoint": checkpoint, "report": report, "beside": beside}
    made: dict[int, xr.Dataset] = {}  # by this call; those of the file are read

    def arrays_of(index: int) -> dict[str, np.ndarray]:
        made[index] = compute(index)
        return {} if checkpoint.path is None else _arrays(made[index])

    found = in_pieces(arrays_of, [1] * count, unit, **pieces)
    return [made[index] if index in made else _dataset(piece) for index, piece in enumerate(found)]


def _arrays(dataset: "xr.Dataset") -> dict[str, np.ndarray]:
    variables = {name: [list(x.dims), x.attrs] for name, x in dataset.variables.items()}
    about = {"variables": variables, "coordinates": list(dataset.coords), "attrs": dataset.attrs}
    text = json.dumps(about, default=lambda x: np.asarray(x).tolist())
    return {_ABOUT: np.array(text), **{f"={name}": x.values for name, x in dataset.variables.items()}}


def _dataset(arrays: dict[str, np.ndarray]) -> "xr.Dataset":
    import xarray as xr

    about = json.loads(str(arrays[_ABOUT]))
    variables = {name: (dims, arrays[f"={name}"], attrs) for name, (dims, attrs) in about["variables"].items()}
    coordinates = {name: variables.pop(name) for name in about["coordinates"]}
    return xr.Dataset(variables, coordinates, about["attrs"])
