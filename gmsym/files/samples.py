"""Samples and fitted mixtures in files: npz and csv in, netCDF in and out; never a pickle. Source: verified/real_data.md."""

import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gmsym import writing
from gmsym.errors import InputError
from gmsym.problem import GaussianMixture
from gmsym.problem.embedded import Embedded
from gmsym.problem.fitting import Fitted, Frame
from gmsym.problem.frozen import Frozen

if TYPE_CHECKING:
    import xarray as xr

LARGEST = 4 * 2**30  # bytes of samples, and of a fitted mixture
_LABELS = ("labels", "y")


def read_samples(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """(features X (n, d), labels) of a file.

    Args:
        path: npz with the arrays X and labels (or y); or csv, a row a sample, the label last, with or without a line of names.

    Raises:
        InputError: no such file, another kind of file, one of more than 4 GiB, pickled objects, a missing array, other things than
            numbers.
    """
    path = Path(path)
    readers = {".npz": _npz, ".csv": _csv}
    if path.suffix not in readers:
        raise InputError(f"{path}: a file of kind {' or '.join(readers)} is needed; others, pickles above all, are not read")
    try:
        if path.stat().st_size > LARGEST:
            raise InputError(f"{path} has {path.stat().st_size / 2**30:.1f} GiB; at most {LARGEST / 2**30:g} are read")
        return readers[path.suffix](path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; samples in npz or csv are needed") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None


def _npz(path: Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > LARGEST:
            raise InputError(f"{path} unpacks to {size / 2**30:.1f} GiB; at most {LARGEST / 2**30:g} are read")
        with np.load(path, allow_pickle=False) as arrays:
            named = next((name for name in _LABELS if name in arrays.files), None)
            if "X" not in arrays.files or named is None:
                raise InputError(f"{path} holds {', '.join(arrays.files) or 'nothing'}; the arrays X and labels (or y) are needed")
            return arrays["X"], arrays[named]
    except zipfile.BadZipFile:
        raise InputError(f"{path} is not an npz file (numpy.savez writes one); pickles are not read") from None
    except ValueError as error:
        kind = "pickled objects, which are not read" if "pickle" in str(error) else f"no arrays: {error}"
        raise InputError(f"{path} holds {kind}; arrays of numbers are needed") from None


def _csv(path: Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        with open(path, encoding="utf-8") as file:
            first = file.readline()
        table = np.loadtxt(path, delimiter=",", ndmin=2, skiprows=int(not _is_row(first)), encoding="utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{path} is not a text in UTF-8; rows of numbers are needed") from None
    except ValueError as error:
        raise InputError(f"{path}: {str(error)[:120]}; rows of numbers of one length are needed, the label last") from None
    if not table.size or table.shape[1] < 2:
        raise InputError(f"{path} has rows of {table.shape[1] if table.size else 0} numbers; features and, last, a label are needed")
    return table[:, :-1], table[:, -1]


def _is_row(line: str) -> bool:
    try:
        return bool([float(x) for x in line.split(",")])
    except ValueError:
        return False


def write_fitted(data: GaussianMixture, path: str | Path) -> None:
    """A fitted mixture as netCDF, which `read_fitted` and `[mixture] fitted` of a problem file read.

    Raises:
        InputError: a mixture that was not fitted.
        ComputationError: the file could not be written.
    """
    import xarray as xr

    fitted, place = data.fitted, data.embedded
    if fitted is None or place is None:
        raise InputError("only a mixture of GaussianMixture.fit(X, labels) is written; others are texts of a problem file")
    labels = np.array([[float(x) for x in label] for label in data.labels])
    found = {
        "probabilities": (("cluster",), np.array([float(p) for p in data.probabilities])),
        "labels": (("cluster", "label"), labels),
        "centre": (("feature",), fitted.frame.centre.array),
        "basis": (("feature", "coordinate"), fitted.frame.basis.array),
        **_of_place("", place),
    }
    for index, (p, half) in enumerate(fitted.halves):
        found |= {f"half{index}_probabilities": (("cluster",), p.array), **_of_place(f"half{index}_", half)}
    about = {
        "kind": "fitted mixture",
        "unit": fitted.frame.unit,
        "about": json.dumps(
            {
                "samples": fitted.samples,
                "counts": fitted.counts,
                "classes": fitted.classes,
                "clusters": fitted.clusters,
                "quantiles": fitted.quantiles,
                "covariance": fitted.covariance,
                "shape": fitted.shape,
                "effective_dimension": fitted.effective_dimension,
                "groups": place.groups,
            }
        ),
    }
    writing.write_datasets({None: xr.Dataset(found, attrs=about)}, path)


def _of_place(prefix: str, place: Embedded) -> dict[str, Any]:
    covariance = (f"{prefix}group", "coordinate", "coordinate_b"), place.covariance.array
    return {f"{prefix}means": (("cluster", "coordinate"), place.means.array), f"{prefix}covariance": covariance}


def read_fitted(path: str | Path) -> GaussianMixture:
    """The mixture that `write_fitted` wrote.

    Raises:
        InputError: no such file, or another kind of file.
    """
    import xarray as xr

    try:
        size = Path(path).stat().st_size
        if size > LARGEST:
            raise InputError(f"fitted = {str(path)!r} has {size / 2**30:.1f} GiB; at most {LARGEST / 2**30:g} are read")
        found = xr.load_dataset(path)
        about = json.loads(found.attrs["about"]) if found.attrs.get("kind") == "fitted mixture" else None
    except FileNotFoundError:
        raise InputError(f"fitted = {str(path)!r}: no such file; gmsym fit writes one") from None
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"fitted = {str(path)!r} is not a file of gmsym fit: {str(error)[:100]}") from None
    if about is None:
        raise InputError(f"fitted = {str(path)!r} holds no fitted mixture; gmsym fit writes one")
    try:
        return _fitted(found, about)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise InputError(f"fitted = {str(path)!r} is damaged: {str(error)[:100]}") from None


def _fitted(found: "xr.Dataset", about: dict[str, Any]) -> GaussianMixture:
    array = lambda name: np.asarray(found[name].values, float)  # noqa: E731
    groups = tuple(about.pop("groups"))

    def place(prefix: str) -> Embedded:
        return Embedded.grouped(array(f"{prefix}means"), array(f"{prefix}covariance"), groups)

    halves = [f"half{index}_" for index in (0, 1) if f"half{index}_means" in found]
    listed = {name: tuple(map(tuple, x)) if name == "shape" else tuple(x) if isinstance(x, list) else x for name, x in about.items()}
    fitted = Fitted(
        frame=Frame(Frozen(array("centre").copy()), float(found.attrs["unit"]), Frozen(array("basis").copy())),
        halves=tuple((Frozen(array(f"{prefix}probabilities").copy()), place(prefix)) for prefix in halves),
        **listed,
    )
    return GaussianMixture.of_fit(array("probabilities"), array("labels"), place(""), fitted)
