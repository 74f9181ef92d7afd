"""What a long simulation keeps of its way, in a file beside its result, so that the same call continues after an interruption."""

import hashlib
import json
import time
import zipfile
from collections.abc import Mapping
from copy import copy
from pathlib import Path
from typing import Any

import jax
import numpy as np

from gmsym import writing

_EVERY = 10.0  # seconds between two saves; an interruption saves, too


class Checkpoint:
    """A file of arrays that belong to one computation.

    Args:
        path: the file; None keeps nothing.
        computation: everything that the result depends on, as plain numbers and texts; a file of another computation is started anew.

    Raises:
        InputError: the path cannot be written, or is a file that gmsym did not write.
    """

    def __init__(self, path: Path | str | None, **computation: Any):
        self.path = None if path is None else Path(path)
        if self.path is not None:
            writing.check("checkpoint", self.path)
        text = json.dumps(computation | {"jax": jax.__version__}, sort_keys=True, default=lambda x: np.asarray(x).tolist())
        self.key = hashlib.sha256(text.encode()).hexdigest()
        self._saved = time.monotonic()
        self._stage = ""  # how the names of a stage's arrays begin in the file

    def stage(self, name: str) -> "Checkpoint":
        """The same file as one of several stages of the computation sees it, whose arrays stand beside those of the others."""
        seen = copy(self)
        seen._stage = f"{name}: "
        return seen

    def load(self) -> dict[str, np.ndarray]:
        """The arrays that were kept; empty if there are none of this computation."""
        return {name.removeprefix(self._stage): x for name, x in self._file().items() if name.startswith(self._stage)}

    def _file(self) -> dict[str, np.ndarray]:
        """The arrays of all stages."""
        if self.path is None or not self.path.is_file():
            return {}
        try:
            with open(self.path, "rb") as content, np.load(content, allow_pickle=False) as file:
                if str(file["key"]) != self.key:
                    return {}
                return {name: file[name] for name in file.files if name not in ("key", writing.MARK)}
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return {}

    def due(self) -> bool:
        """Whether the last save is ten seconds ago."""
        return self.path is not None and time.monotonic() > self._saved + _EVERY

    def save(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep the arrays in place of those before."""
        if self.path is None:
            return
        named = {f"{self._stage}{name}": x for name, x in arrays.items()}
        with writing.replacing(self.path) as temporary, open(temporary, "xb") as file:
            np.savez(file, **{writing.MARK: np.zeros(0), "key": np.array(self.key), **self._others(), **named})
        self._saved = time.monotonic()

    def _others(self) -> dict[str, np.ndarray]:
        """The arrays of other stages."""
        return {name: x for name, x in self._file().items() if not name.startswith(self._stage)}

    def note(self, done: float, of: str) -> str:
        """What is kept, in words, when so much is done of a number of something."""
        kept = (
            "nothing is kept" if self.path is None or not (done or self._others()) else f"{self.path} keeps them: the same call continues"
        )
        return f"{done:.3g} of {of} were done; {kept}"
