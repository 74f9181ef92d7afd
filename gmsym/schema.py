"""The labelled result: one schema for theory and simulation, so that comparing them is subtracting them.

Dimensions: `time` (0 is the initial state), `cluster`, `field`, `field_b` (the second field of a matrix), `replicate`. T times, K clusters,
C fields, R replicates. For each variable X there is `X_error`, its standard error, and optionally `X_runs`, one value a replicate.
Everything is dimensionless and O(1) as d -> infinity; the unit of time is one update. In online SGD time is a real number,
steps * c/d; there are no training samples, hence no training loss, but perhaps teacher directions (`teacher`, T) and trained
parameters of the loss (`parameter`, P, by name). With several blocks of coordinates (`block`, B) there are the shares of each in the
overlaps, m_b, Q_b and M_b, whose sums are m, Q and M.
"""

import json
import math
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from gmsym.errors import InputError

if TYPE_CHECKING:  # xarray takes half a second to import, and `import gmsym` promises to be fast
    import xarray as xr


class Variable(NamedTuple):
    """What a variable of the schema is: its dimensions, its name in words and its symbol in LaTeX (without dollars)."""

    dims: tuple[str, ...]
    long_name: str
    latex: str


VARIABLES = {
    "m": Variable(("time", "cluster", "field"), "overlap with cluster mean", r"m_k"),  # Theta_t^T mu_k
    "Q": Variable(("time", "field", "field_b"), "self-overlap of the weights", r"Q"),  # Theta_t^T Theta_t
    "Q_k": Variable(("time", "cluster", "field", "field_b"), "variance of the local field", r"Q_k"),  # Theta_t^T Sigma_k Theta_t
    "M": Variable(("time", "teacher", "field"), "overlap with teacher", r"M"),  # theta*_s^T Theta_t
    "m_b": Variable(("time", "block", "cluster", "field"), "overlap with cluster mean in a block", r"m"),
    "Q_b": Variable(("time", "block", "field", "field_b"), "self-overlap of the weights in a block", r"Q"),
    "M_b": Variable(("time", "block", "teacher", "field"), "overlap with teacher in a block", r"M"),
    "trained": Variable(("time", "parameter"), "trained parameter", r"v"),
    "V": Variable(("time", "cluster", "field", "field_b"), "width of the proximal operator", r"V_k"),  # at rest
    "nonzero": Variable(("time",), "share of the weights that are not 0", r"P(\theta \ne 0)"),  # with an l1
    "train_loss": Variable(("time",), "training loss", r"\ell_{\mathrm{train}}"),  # mean over the training samples, without the ridge term
    "train_error": Variable(("time",), "training error", r"\varepsilon_{\mathrm{train}}"),  # at rest; misclassified training samples
    "test_loss": Variable(("time",), "test loss", r"\ell_{\mathrm{test}}"),  # mean over a fresh sample
    "test_error": Variable(("time",), "test error", r"\varepsilon_{\mathrm{test}}"),  # misclassified fraction; absent without a readout
}
OBSERVABLE = "observable"  # attribute of the means of a problem's own observables: its name
OPTIONAL = frozenset({"test_error", "M", "trained", "nonzero"})
BY_BLOCK = ("m_b", "Q_b", "M_b")
OF_REST = ("V", "train_error")  # only where training ends
_DURING = tuple(name for name in VARIABLES if name not in (*BY_BLOCK, *OF_REST, "nonzero"))
FULL_BATCH = tuple(name for name in _DURING if name not in ("M", "trained"))  # variables that full-batch training always has
ONLINE = tuple(name for name in _DURING if name != "train_loss")  # and of online SGD, where several blocks add BY_BLOCK
ATTRIBUTES = {"theory": ("problem", "alpha", "parameters"), "simulation": ("problem", "alpha", "parameters", "n", "d", "replicates")}
ONLINE_ATTRIBUTES = {"theory": ("problem", "step", "parameters"), "simulation": ("problem", "step", "parameters", "d", "replicates")}
RECORD = ("m", "Q", "Q_k", "train_loss", "test_loss", "test_error")  # what `last` reports


def variables(dataset: "xr.Dataset") -> list[str]:
    """Names of a result's variables, in order: those of the schema, then the means of the problem's observables."""
    return [*(name for name in VARIABLES if name in dataset), *(str(name) for name in dataset if OBSERVABLE in dataset[name].attrs)]


def variable(name: str) -> Variable:
    """What a variable is; outside of the schema, the mean of an observable."""
    if name in VARIABLES:
        return VARIABLES[name]
    sample, _, own = name.partition("_")
    words = "the training samples" if sample == "train" else "a fresh sample"
    text = own.replace("_", r"\_")
    return Variable(("time",), f"mean of {own} over {words}", rf"\mathrm{{{text}}}_{{\mathrm{{{sample}}}}}")


def to_dataset(
    kind: Literal["theory", "simulation"],
    values: Mapping[str, np.ndarray],
    errors: Mapping[str, np.ndarray],
    attributes: Mapping[str, Any],
    runs: Mapping[str, np.ndarray] | None = None,
    *,
    times: np.ndarray | None = None,
    parameters: Sequence[str] = (),
    observables: Sequence[str] = (),
) -> "xr.Dataset":
    """Label a result.

    Args:
        kind: where it comes from.
        values: m (T, K, C), Q (T, C, C), Q_k (T, K, C, C), train_loss (T,), test_loss (T,) and, if there is a readout,
            test_error (T,); M (T, S, C) and trained (T, P) where there are teachers and trained parameters. Online: no train_loss; m_b
            (T, B, K, C), Q_b (T, B, C, C) and M_b (T, B, S, C) where there are several blocks.
        errors: the standard error of each of `values`, of its shape; NaN where it is not known (a single replicate).
        attributes: `problem` (its name), `alpha`, `parameters` (by name), for a simulation `n`, `d`, `replicates`, and whatever else
            says how the result was made. Text and numbers are kept, the rest becomes JSON text, so that netCDF can hold it.
        runs: the same variables for each replicate, with a leading axis (R, ...).
        times: real times of online SGD, of one sample at a time or of a flow, (T,); default, the steps 0..T-1 of full-batch training.
        parameters: names of the trained parameters, (P,).
        observables: names of the problem's observables, whose means train_NAME and test_NAME (T,) may be among the values.

    Raises:
        InputError: a variable or attribute is missing, a variable is unknown, has the wrong shape or is not finite; a negative error.
    """
    import xarray as xr

    if kind not in ("theory", "simulation"):
        raise InputError(f"kind = {kind!r}: 'theory' or 'simulation' is needed")
    again = times is None or "train_loss" in values  # whether training sees its samples again
    needed = (ATTRIBUTES if again else ONLINE_ATTRIBUTES)[kind]
    for name in needed:
        if name not in attributes:
            raise InputError(f"attributes lacks {name!r}; a {kind} has {', '.join(needed)}")
    values = {name: np.asarray(value, dtype=float) for name, value in values.items()}
    absent = {name for name in (*OPTIONAL, *BY_BLOCK) if name in values and not values[name].size}  # no teachers, no trained parameters
    values, errors, runs = ({name: x for name, x in given.items() if name not in absent} for given in (values, errors, runs or {}))
    allowed = (*(FULL_BATCH if again else ONLINE), "M", "trained", *(("nonzero",) if times is None else BY_BLOCK))
    of_observables = [f"{sample}_{name}" for name in observables for sample in ("train", "test") if f"{sample}_{name}" in values]
    allowed = (*allowed, *of_observables)
    _check_names("values", values, set(allowed) - OPTIONAL - set(BY_BLOCK), allowed)
    _check_names("errors", errors, values.keys(), values.keys())
    _check_names("runs", runs or {}, (), values.keys())
    if values["m"].ndim != 3 or not values["m"].size:
        raise InputError(f"values['m'] has shape {values['m'].shape}; (times, clusters, fields) is needed, none of them 0")
    count, clusters, fields = values["m"].shape
    sizes = {"time": count, "cluster": clusters, "field": fields, "field_b": fields}
    for name, dimension in (("M", "teacher"), ("trained", "parameter"), ("Q_b", "block")):
        if name in values:
            sizes[dimension] = values[name].shape[1] if values[name].ndim > 1 else 0
    if times is not None and np.shape(times) != (count,):
        raise InputError(f"times has shape {np.shape(times)}; ({count},) is needed")
    if len(parameters) != sizes.get("parameter", 0):
        raise InputError(
            f"parameters = {list(parameters)}: a name for each of the {sizes.get('parameter', 0)} trained parameters is needed"
        )
    replicates = len(next(iter(runs.values()))) if runs else 0

    found = {}
    for name in (*(x for x in VARIABLES if x in values), *of_observables):
        dims, long_name, latex = variable(name)
        about = {OBSERVABLE: name.partition("_")[2]} if name in of_observables else {}
        shape = tuple(sizes.get(d, 0) for d in dims)
        value = _checked(f"values[{name!r}]", values[name], shape)
        error = _checked(f"errors[{name!r}]", errors[name], shape, nan_allowed=True)
        if np.any(error < 0):
            raise InputError(f"errors[{name!r}] has a negative entry, {error[error < 0][0]}")
        found[name] = (dims, value, {"long_name": long_name, "latex": latex, **about})
        found[f"{name}_error"] = (dims, error, {"long_name": f"standard error of the {long_name}", "latex": rf"\mathrm{{se}}({latex})"})
        if runs and name in runs:
            run = _checked(f"runs[{name!r}]", runs[name], (replicates, *shape))
            found[f"{name}_runs"] = (("replicate", *dims), run, {"long_name": f"{long_name}, each replicate", "latex": latex})

    coordinates = {d: np.arange(size) for d, size in sizes.items()} | ({"replicate": np.arange(replicates)} if runs else {})
    if times is not None:
        coordinates["time"] = np.asarray(times, dtype=float)
    if parameters:
        coordinates["parameter"] = list(parameters)
    dataset = xr.Dataset(found, coordinates, {"kind": kind, **{name: _attribute(value) for name, value in attributes.items()}})
    dataset["time"].attrs = {"long_name": "time", "latex": "t", "units": _unit(times, attributes)}
    return dataset


def of_runs(runs: Mapping[str, np.ndarray], attributes: Mapping[str, Any], **labels: Any) -> "xr.Dataset":
    """A simulation from the variables of its replicates (R, T, ...): their means, standard errors, and themselves; as `to_dataset`."""
    means = {name: run.mean(axis=0) for name, run in runs.items()}
    errors = {name: run.std(axis=0, ddof=1) / np.sqrt(len(run)) for name, run in runs.items()}
    return to_dataset("simulation", means, errors, attributes, runs, **labels)


def _unit(times: Any, attributes: Mapping[str, Any]) -> str:
    """Of time: one update, d/c of them, or, of a flow, which has none, the inverse of a curvature."""
    return "steps" if times is None else r"$d/c$ steps" if "step" in attributes else "flow"


def at_rest(
    kind: Literal["stationary", "stationary simulation"],
    values: Mapping[str, np.ndarray],
    errors: Mapping[str, np.ndarray],
    attributes: Mapping[str, Any],
    runs: Mapping[str, np.ndarray] | None = None,
    parameters: Sequence[str] = (),
) -> "xr.Dataset":
    """Label the end of training: the variables of the schema without a time.

    Args:
        kind: from the theory, or from the minimisation of a risk on generated data.
        values: m (K, C), Q (C, C), Q_k (K, C, C), train_loss, test_loss, and where there are such V (K, C, C), nonzero, train_error,
            test_error and trained (P,).
        errors: of the same shapes.
        attributes: as for `to_dataset`.
        runs: the same for each replicate, (R, ...).
        parameters: names of the trained parameters, (P,).
    """
    import xarray as xr

    found: dict[str, Any] = {}
    for name, (dims, long_name, latex) in VARIABLES.items():
        if name not in values or not np.size(values[name]):
            continue
        own = dims[1:]
        found[name] = (own, np.asarray(values[name], float), {"long_name": long_name, "latex": latex})
        about = {"long_name": f"standard error of the {long_name}", "latex": rf"\mathrm{{se}}({latex})"}
        found[f"{name}_error"] = (own, np.asarray(errors[name], float), about)
        if runs and name in runs:
            found[f"{name}_runs"] = (("replicate", *own), np.asarray(runs[name], float), {"long_name": f"{long_name}, each replicate"})
    sizes = dict(zip(("cluster", "field"), np.shape(values["m"]), strict=True))
    coordinates: dict[str, Any] = {d: np.arange(size) for d, size in (sizes | {"field_b": sizes["field"]}).items()}
    coordinates |= {"parameter": list(parameters)} if parameters else {}
    coordinates |= {"replicate": np.arange(len(next(iter(runs.values()))))} if runs else {}
    return xr.Dataset(found, coordinates, {"kind": kind, **{name: _attribute(value) for name, value in attributes.items()}})


def timed(dataset: "xr.Dataset") -> "xr.Dataset":
    """The end of training as what it is, a trajectory's last time, at infinity; other results as they are."""
    kinds = {"stationary": "theory", "stationary simulation": "simulation"}
    kind = dataset.attrs.get("kind")
    if kind not in kinds:
        return dataset
    runs = [str(name) for name in dataset if str(name).endswith("_runs")]
    own = dataset.drop_vars(runs).expand_dims(time=[math.inf])
    own = own.transpose(*(d for d in dataset.dims if d in own.dims and d in dataset.attrs.get("swept", "").split()), "time", ...)
    own["time"].attrs = {"long_name": "time", "latex": "t", "units": "steps"}
    return own.assign({name: dataset[name].expand_dims({"time": [math.inf]}, axis=1) for name in runs}).assign_attrs(kind=kinds[kind])


ONE_STEP = {  # quantities of a network after one gradient step: what they are, LaTeX; no factor 1/2
    "train_mse": ("training error", r"E_{\mathrm{train}}"),
    "objective": ("objective with its ridge", "F"),
    "test_mse": ("test error", r"E_{\mathrm{test}}"),
    "test_error": ("0-1 error", r"P_{\mathrm{error}}"),
    "target_square": ("mean square of the target", r"\mathbb{E} y^2"),
    "sample_square": ("mean square of the targets of the ridge regression", r"\overline{y^2}"),
    "eigenvalue": ("largest eigenvalues of features^T features/samples", r"x_a"),
}


def swept(result: "xr.Dataset") -> list[str]:
    """Parameters over which a result was solved and that are dimensions still, the outermost first."""
    return [name for name in result.attrs.get("swept", "").split() if name in result.dims]


def said(result: "xr.Dataset", name: str) -> Any:
    """An attribute, such as alpha; of one value of a sweep that value."""
    return result.attrs[name] if name in result.attrs else result.coords[name].item()


def parameters_of(result: "xr.Dataset") -> dict[str, float]:
    """Numbers of the problem's parameters, those at which one value of a sweep was taken included."""
    taken = {name: result.coords[name].item() for name in result.attrs.get("swept", "").split() if name not in result.dims}
    return json.loads(result.attrs["parameters"]) | {name: value for name, value in taken.items() if name != "alpha"}


def last(dataset: "xr.Dataset") -> dict[str, Any]:
    """The last time of a result as plain numbers and lists, ready for JSON.

    `{"time", "m", "Q", "Q_k", "train_loss", "test_loss", "test_error", "error": {the same variables}}`, and alpha, parameters and seed as
    far as the result says them. With one field the field axes are dropped: m and
    Q_k are lists over clusters, Q is a number. What is not known is None: test_error without a readout, errors of a single replicate.
    A result of online SGD also has "M", a list over teachers, and "trained", by name, where there are such; and with several blocks "m_b",
    "Q_b" and "M_b", lists over blocks of the same. Teachers and trained parameters are in results of full batches too, and the means
    "train_NAME" and "test_NAME" of the problem's observables. The end of training has no time, but "V", "train_error" and, with an l1,
    "nonzero".
    """
    final = _final(dataset)
    record, errors = ({name: _plain(final, name, suffix) for name in _reported(final)} for suffix in ("", "_error"))
    about = dataset.attrs
    names = ("alpha", "step", "n", "d", "seed")
    found: dict[str, Any] = {name: said(dataset, name) for name in names if name in about or name in dataset.coords}
    if "parameters" in about:
        found["parameters"] = parameters_of(dataset)
    time = {"time": final["time"].item()} if "time" in final.coords else {}
    return {**time, **record, "error": errors, **found}


def last_deviation(dataset: "xr.Dataset") -> dict[str, Any]:
    """Standard deviation of a single run at the last time, of the variables and in the shapes of `last`: predicted, or over replicates."""
    final = _final(dataset)
    spread = {f"{name}_deviation": final[f"{name}_runs"].std("replicate", ddof=1) for name in variables(final) if f"{name}_runs" in final}
    final = final.assign({name: value for name, value in spread.items() if name not in final})
    return {name: _plain(final, name, "_deviation") for name in _reported(final)}


def _final(dataset: "xr.Dataset") -> "xr.Dataset":
    """The last time, without field axes if there is one field."""
    final = dataset.isel(time=-1) if "time" in dataset.dims else dataset
    return final.isel(field=0, field_b=0) if final.sizes["field"] == 1 else final


def _reported(final: "xr.Dataset") -> list[str]:
    """Names in order: online SGD has no training loss; a test error is reported as None where the loss has no readout."""
    own = [name for name in RECORD if name in final or name != "train_loss"]
    named = [name for name in ("M", "trained", "V", "nonzero", "train_error", *BY_BLOCK) if name in final]
    return [*own, *named, *(name for name in variables(final) if name not in VARIABLES)]


def _plain(final: "xr.Dataset", name: str, suffix: str) -> Any:
    """Numbers and lists, for trained parameters by name; None where there is no such variable."""
    if f"{name}{suffix}" not in final:
        return None
    value = _json(final[f"{name}{suffix}"].values.tolist())
    return dict(zip(final["parameter"].values.tolist(), value, strict=True)) if name == "trained" else value


def _check_names(argument: str, given: Mapping[str, Any], needed: Collection[str], allowed: Collection[str]) -> None:
    for name in sorted(set(given) - set(allowed)):
        raise InputError(f"{argument} has an unknown variable {name!r}; allowed are {', '.join(allowed)}")
    for name in sorted(set(needed) - set(given)):
        raise InputError(f"{argument} lacks the variable {name!r}; needed are {', '.join(v for v in VARIABLES if v in needed)}")


def _checked(name: str, value: Any, shape: tuple[int, ...], nan_allowed: bool = False) -> np.ndarray:
    array = np.asarray(value, dtype=float)
    if array.shape != shape:
        raise InputError(f"{name} has shape {array.shape}; {shape} is needed")
    bad = np.isinf(array) if nan_allowed else ~np.isfinite(array)
    if bad.any():
        raise InputError(f"{name} is {array[bad][0]} at index {tuple(map(int, np.argwhere(bad)[0]))}; finite numbers are needed")
    return array


def _attribute(value: Any) -> str | int | float:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, (str, int, float)) and not isinstance(value, bool):
        return value
    return json.dumps(value, sort_keys=True, default=lambda v: v.tolist())


def _json(value: Any) -> Any:
    if isinstance(value, list):
        return [_json(v) for v in value]
    return None if math.isnan(value) else value
