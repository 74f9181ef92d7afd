"""The folder of a study: one file a point, a manifest, and all points together as one dataset.

    study/manifest.json      the grid, and the file and the state of each of its points
    study/points/KEY.nc      a result; of a comparison the groups `theory`, `simulation` and, at the root, the scores
    study/points/KEY.json    why a point failed
    study/result.zarr        the grid of the last call, NaN where there is no result

KEY is a hash of everything that the result depends on. Files appear whole, by renaming: whatever kills a study, the points that are there
stay, and a larger grid finds those of a smaller one.
"""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gmsym import writing
from gmsym.errors import ComputationError, InputError

if TYPE_CHECKING:
    import xarray as xr

GROUPS = ("theory", "simulation")  # of a comparison; its root has the scores
_SCORES = {
    "max_abs_z": "largest score in size",
    "rms_z": "root mean square of the scores",
    "agrees": "whether theory and simulation agree (1) or not (0)",
}


class Folder(NamedTuple):
    """Where a study is kept."""

    path: Path

    @property
    def points(self) -> Path:
        return self.path / "points"

    @property
    def consolidated(self) -> Path:
        return self.path / "result.zarr"

    def result(self, key: str) -> Path:
        return self.points / f"{key}.nc"

    def failure(self, key: str) -> Path:
        return self.points / f"{key}.json"

    def reason(self, key: str) -> str | None:
        """Why the point failed, if it did."""
        try:
            return str(json.loads(self.failure(key).read_text(encoding="utf-8"))["reason"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError):
            return "unknown: its record cannot be read"

    def start(self, retry: Sequence[str]) -> None:
        """Make the folders, try to write, and forget the failures of points that are to be computed again.

        Raises:
            InputError: something else is there, or nothing can be written.
        """
        manifest = self.path / "manifest.json"
        if self.path.exists() and not manifest.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise InputError(f"store = {self.path}: there is something that is no study of gmsym; give a new or an empty folder")
        writing.make_folder("store", self.points)
        writing.check("store", manifest)
        for key in retry:
            self.failure(key).unlink(missing_ok=True)

    def fail(self, key: str, reason: str) -> None:
        writing.write_text(json.dumps({"written_by": writing.MARK, "reason": reason}) + "\n", self.failure(key))

    def describe(self, about: Mapping[str, Any], points: Mapping[str, Mapping[str, Any]]) -> None:
        """Write the manifest: what was asked for, and each point by its key."""
        rows = {key: {"at": at, **self._state(key)} for key, at in points.items()}
        text = json.dumps({"written_by": writing.MARK, **about, "points": rows})
        writing.write_text(text + "\n", self.path / "manifest.json")

    def _state(self, key: str) -> dict[str, str]:
        if self.result(key).exists():
            return {"state": "done"}
        reason = self.reason(key)
        return {"state": "missing"} if reason is None else {"state": "failed", "reason": reason}

    def keep(self, key: str, found: Any) -> None:
        """Write the result of a point, a Dataset or a comparison with both of its sides."""
        import xarray as xr

        if isinstance(found, xr.Dataset):
            writing.write_datasets({None: found}, self.result(key))
            return
        verdict = found.comparison
        scores = {"max_abs_z": verdict.max_abs_z, "rms_z": getattr(verdict, "rms_z", np.nan), "agrees": float(verdict.agrees())}
        root = xr.Dataset({name: ((), float(scores[name]), {"long_name": said}) for name, said in _SCORES.items()})
        root.attrs = {"kind": "scores", "problem": found.theory.attrs["problem"]}
        writing.write_datasets({None: root, "theory": found.theory, "simulation": found.runs}, self.result(key))

    def load(self, key: str, group: str | None = None) -> "xr.Dataset | None":
        """The result of a point, if there is one."""
        import xarray as xr

        path = self.result(key)
        return xr.load_dataset(path, group=group) if path.exists() else None

    def replace(self, groups: "Mapping[str | None, xr.Dataset]") -> None:
        """Put these datasets in the place of the consolidated ones, as the groups of one zarr store."""
        new, old = (self.path / f".{os.getpid()}-{name}.zarr" for name in ("new", "old"))
        try:
            for index, (group, dataset) in enumerate(groups.items()):
                dataset.to_zarr(new, group=group, mode="a" if index else "w", zarr_format=2)
            if self.consolidated.exists():
                self.consolidated.rename(old)
            new.rename(self.consolidated)
        except OSError as error:
            raise ComputationError(f"{self.consolidated} was not written: {error.strerror or error}; the points are kept") from error
        finally:
            for left in (new, old):
                shutil.rmtree(left, ignore_errors=True)
