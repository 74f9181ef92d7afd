"""Results at several values as one, with the values as dimensions."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gmsym.errors import ComputationError

if TYPE_CHECKING:
    import xarray as xr


def joined(parts: "Sequence[xr.Dataset]", name: str, values: np.ndarray) -> "xr.Dataset":
    """Results at values of one parameter as one; what differs between their attributes is left out, parameters apart from their values."""
    import xarray as xr

    dimension = xr.DataArray(values, dims=name, name=name)
    result = xr.concat(parts, dimension, combine_attrs="drop_conflicts", join="outer", data_vars="all", coords="minimal", compat="override")
    known = [json.loads(part.attrs.get("parameters", "{}")) for part in parts]
    same = {k: v for k, v in known[0].items() if all(others.get(k) == v for others in known)}
    inner = parts[0].attrs.get("swept", "")
    return result.assign_attrs(swept=f"{name} {inner}".strip(), parameters=json.dumps(same, sort_keys=True))


def folded(parts: "Sequence[xr.Dataset]", over: "Mapping[str, np.ndarray]") -> "xr.Dataset":
    """Results at the points of a grid, in its order, as one."""
    for name, values in reversed(over.items()):
        parts = [joined(parts[i : i + len(values)], name, values) for i in range(0, len(parts), len(values))]
    return parts[0]


def on_grid(found: "Sequence[xr.Dataset | None]", over: Mapping[str, Sequence[Any]]) -> "xr.Dataset":
    """Results in the order of the grid as one dataset; NaN where there is none.

    Raises:
        ComputationError: there is none at all.
    """
    import xarray as xr

    first = next((x for x in found if x is not None), None)
    if first is None:
        raise ComputationError("no point has a result")
    numbers = first.assign({name: x.astype(float) for name, x in first.data_vars.items() if x.dtype.kind in "biu"})
    parts = [xr.full_like(numbers, np.nan) if x is None else x for x in found]
    taken = {*first.variables, *first.dims}
    return folded(parts, {f"swept_{name}" if name in taken else name: np.array(values) for name, values in over.items()})
