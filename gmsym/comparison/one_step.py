"""Errors of a network after one gradient step, beside those of trained networks."""

import json
import math
from dataclasses import dataclass
from typing import NamedTuple, final

import numpy as np
import xarray as xr

from gmsym.comparison._tables import as_html, as_text
from gmsym.comparison.compare import score
from gmsym.errors import InputError

_SCORE = 3.5  # standard errors of the runs on top


class NetworkRow(NamedTuple):
    """One quantity; gap = simulation - theory, allowed: what the order of the theory leaves, and the largest score."""

    quantity: str
    theory: float
    simulation: float
    gap: float
    standard_error: float
    allowed: float
    z: float


@final
@dataclass(frozen=True, eq=False, repr=False)
class NetworkComparison:
    """What `compare` returns of a fixed point and networks: each error, its gap, and what is allowed."""

    rows: list[NetworkRow]
    title: str

    def table(self) -> list[NetworkRow]:
        """Every quantity."""
        return self.rows

    @property
    def max_abs_z(self) -> float:
        """The largest score."""
        return max(abs(row.z) for row in self.rows)

    def agrees(self) -> bool:
        """Whether every gap is within the theory's own accuracy and 3.5 standard errors of the runs."""
        return all(abs(row.gap) <= row.allowed for row in self.rows)

    def cells(self) -> list[list[str]]:
        """The table as text, its head first."""
        head = [["", "theory", "simulation", "error", "gap %", "z"]]
        return head + [
            [
                row.quantity,
                f"{row.theory:.6f}",
                f"{row.simulation:.6f}",
                f"{row.standard_error:.6f}",
                f"{100 * row.gap / row.theory:.2f}" if row.theory else "",
                f"{row.z:.1f}",
            ]
            for row in self.rows
        ]

    def summary(self) -> str:
        """The verdict in words."""
        worst = max(self.rows, key=lambda row: abs(row.gap) / row.allowed)
        verdict = "agree" if self.agrees() else "DISAGREE"
        share = abs(worst.gap) / worst.allowed
        return f"largest gap {share:.2f} of what is allowed ({worst.quantity}); max |z| = {self.max_abs_z:.2f}: they {verdict}"

    def __repr__(self) -> str:
        return as_text(self.title, self.cells(), self.summary())

    def _repr_html_(self) -> str:
        return as_html(self.title, self.cells(), self.summary())


def compare_networks(theory: xr.Dataset, runs: xr.Dataset) -> NetworkComparison:
    """The errors of a fixed point against those of networks of the same problem.

    The theory's own error, X_error, is allowed beside 3.5 standard errors of the runs.

    Raises:
        InputError: the two are not about the same problem in the same numbers.
    """
    if theory.attrs.get("swept"):
        raise InputError(f"theory is over values of {theory.attrs['swept']}; solve it at those that the runs have")
    for name in ("problem", "problem_signature", "parameters"):
        ours, theirs = (json.loads(x.attrs[name]) if name == "parameters" else x.attrs.get(name) for x in (theory, runs))
        if ours != theirs:
            raise InputError(f"theory and runs differ in {name}: {ours!r} and {theirs!r}; compare results of the same problem")
    rows = []
    for name in ("train_mse", "objective", "test_mse", "test_error"):
        if name not in theory or name not in runs:
            continue
        ours, theirs, error = float(theory[name]), float(runs[name]), float(runs[f"{name}_error"])
        gap = theirs - ours
        z = float(
            score(
                np.array(gap),
                np.array(0.0),
                np.array(error),
                freedom=(math.inf, runs.attrs["replicates"] - 1.0),
                rounding=1e-12,
                allowed=1e-12,
            )
        )
        rows.append(NetworkRow(name, ours, theirs, gap, error, float(theory[f"{name}_error"]) + _SCORE * error, z))
    about = runs.attrs
    title = (
        f"{about['problem']}, n = {about['n']}, samples = {about['samples']}, width = {about['width']}, {about['replicates']} replicates"
    )
    return NetworkComparison(rows, title)
