"""What a result says about how it was made, enough to make it again."""

import json
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import numpy as np

from gmsym.codegen import signature
from gmsym.errors import InputError
from gmsym.files import ProblemFile, dumps, loads
from gmsym.problem import AbstractProblem, Problem
from gmsym.system import AbstractSystem

if TYPE_CHECKING:
    import xarray as xr

_PACKAGES = ("gmsym", "jax", "sympy", "numpy")


def with_provenance(
    result: "xr.Dataset", origin: Any, values: Mapping[str, Any], options: Mapping[str, Any], seconds: float
) -> "xr.Dataset":
    """The result with attributes problem_signature, signature, problem_text, values, options, versions, device and wall_time.

    Args:
        result: what was computed.
        origin: the system, or the problem that was simulated.
        values, options: as given.
        seconds: how long it took.
    """
    problem = origin if isinstance(origin, AbstractProblem) else origin.problem
    about: dict[str, Any] = {"problem_signature": problem.signature}
    try:
        about["problem_text"] = dumps(problem)
    except InputError:
        pass  # no text states it: the result stands without
    if not isinstance(origin, AbstractProblem):
        about["signature"] = signature_of(origin)
    about |= {
        "values": json.dumps(dict(values), sort_keys=True, default=_plain),
        "options": json.dumps({k: v for k, v in options.items() if k not in ("progress", "checkpoint")}, sort_keys=True, default=_plain),
        "versions": json.dumps({name: package_version(name) for name in _PACKAGES}),
        "device": _device(),
        "wall_time": round(seconds, 3),
    }
    return result.assign_attrs(about)


def problem_of(result: "xr.Dataset") -> Problem:
    """The problem that a result of `gmsym.solve` or `gmsym.simulate` is about.

    Raises:
        InputError: the result does not say.

    Example:
        >>> import gmsym as gm
        >>> problem = gm.Problem(gm.GaussianMixture.symmetric(), gm.losses.squared(), gm.optimizers.gd())
        >>> result = gm.solve(problem, {"alpha": 2.0, "sigma": 1.0, "mu_norm": 1.0, "eta": 0.2}, steps=2)
        >>> gm.problem_of(result).signature == problem.signature
        True
    """
    return _file_of(result).problem


def _file_of(result: "xr.Dataset") -> "ProblemFile":
    text = getattr(result, "attrs", {}).get("problem_text")
    if not isinstance(text, str):
        raise InputError("result has no attribute problem_text; a result of gmsym.solve or gmsym.simulate is needed")
    return loads(text, origin="the result's problem_text")


def signature_of(system: AbstractSystem) -> str:
    """That of a system's module, or of each of its parts."""
    parts = getattr(system, "parts", {"": system})
    return " ".join(signature(part) for part in parts.values())


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    return f"a {type(value).__name__}"  # a trajectory is data of its own, with its own provenance


@cache
def package_version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:  # run from a source tree
        return "unknown"


def _device() -> str:
    import jax

    device = jax.devices()[0]
    return f"{device.platform}: {device.device_kind}"
