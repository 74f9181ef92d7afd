"""Results as plain numbers and lists, ready for JSON, by their kind."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from gmsym import schema
from gmsym.comparison import Comparison, SpectrumComparison
from gmsym.pipeline.one_step import one_step_record
from gmsym.pipeline.spectrum import spectrum_record
from gmsym.pipeline.spectrum_path import path_record

if TYPE_CHECKING:
    import xarray as xr


def record(result: "xr.Dataset") -> dict[str, Any]:
    """What `--json` writes of a result: order parameters at the last time, a spectrum, covariances, distances.

    Results over values of a parameter are a list of such, under `results`, with the values under `values`.
    """
    if result.attrs["kind"] == "one-step":  # its keys are fixed; what it was made from is in the result itself
        return _record(result)
    about = {name: result.attrs[name] for name in ("problem_signature", "signature") if name in result.attrs}
    return _record(result) | about


def _record(result: "xr.Dataset") -> dict[str, Any]:
    kind, over = result.attrs["kind"], schema.swept(result)
    if kind == "spectrum along":
        return path_record(result)
    if over:
        parts = [_record(result.isel({over[0]: i})) for i in range(result.sizes[over[0]])]
        return {"over": over[0], "values": result[over[0]].values.tolist(), "results": parts}
    if kind == "spectrum":
        return spectrum_record(result)
    if kind.startswith("one-step"):
        return one_step_record(result)
    if kind == "spectrum simulation":
        values = result["eigenvalue"].values
        return {"matrix": result.attrs["matrix"], "n": result.attrs["n"], "d": result.attrs["d"], "eigenvalues": values.tolist()}
    if kind == "fluctuations":
        last = result.isel(time=-1)
        names = ("mean", "covariance", "covariance_error")
        return {
            "time": last["time"].item(),
            "statistics": last["statistic"].values.tolist(),
            **{name: last[name].values.tolist() for name in names},
        }
    if kind == "refinement":
        coordinates = {name: result[name].values.tolist() for name in ("scheme", "n", "round")}
        return {**coordinates, "error": np.asarray(result["error"].mean("replicate")).tolist()}
    predicted = any(str(name).endswith("_deviation") for name in result) or result.attrs.get("sampler") == "surrogate"
    return schema.last(result) | ({"deviation": schema.last_deviation(result)} if predicted else {})


def comparison_record(comparison: Any) -> dict[str, Any]:
    """Rows and verdict; the score of two exact values that differ is infinite, which JSON writes as null."""

    def finite(value: float) -> float | None:
        return value if math.isfinite(value) else None

    verdict = {"max_abs_z": finite(comparison.max_abs_z), "agrees": bool(comparison.agrees())}
    rows = [row._asdict() for row in comparison.table()]
    if isinstance(comparison, Comparison):
        rows = [{"quantity": row.pop("entry"), **row} for row in rows]
        verdict = {"rms_z": comparison.rms_z, **verdict}
    if isinstance(comparison, SpectrumComparison) and comparison.distances is not None:
        verdict = {"distances": comparison.distances.tolist(), **verdict}
    plain = [{k: finite(v) if isinstance(v, float) else v for k, v in row.items()} for row in rows]
    return {"rows": plain, **verdict}
