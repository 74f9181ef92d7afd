"""The scalar curves of a result, each with its name in text and in LaTeX: m[0], Q, Q_k[1], train_loss, ..."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from typing import final

import xarray as xr

from gmsym.errors import InputError
from gmsym.schema import VARIABLES


@final
@dataclass(frozen=True)
class Entry:
    """One scalar curve. The cluster is always named, fields only if there are several; both count from 0."""

    variable: str
    cluster: int | None
    fields: tuple[int, ...]
    several_fields: bool
    part: tuple[str, int, str] | None = None  # dimension, position and name of a teacher or of a trained parameter

    @property
    def index(self) -> dict[str, int]:
        """Position along the dimensions other than time, for `isel`."""
        cluster = {} if self.cluster is None else {"cluster": self.cluster}
        if self.part is not None:
            cluster = {self.part[0]: self.part[1]}
        return cluster | dict(zip(("field", "field_b"), self.fields, strict=False))

    @property
    def label(self) -> str:
        """As typed: `Q_k[1]`, or `Q_k[1;0,2]` for cluster 1 and fields 0 and 2."""
        cluster = "" if self.cluster is None else str(self.cluster)
        if self.part is not None:
            cluster = self.part[2]
        fields = ",".join(map(str, self.fields)) if self.several_fields else ""
        inside = ";".join(filter(None, (cluster, fields)))
        return f"{self.variable}[{inside}]" if inside else self.variable

    @property
    def latex(self) -> str:
        """As printed, without dollars: `Q_{1}`, or `(Q_{1})_{0,2}`."""
        base = VARIABLES[self.variable].latex.removesuffix("_k")
        if self.part is not None and self.part[0] == "parameter":
            return rf"\mathrm{{{self.part[2]}}}".replace("_", r"\_")
        index = self.cluster if self.part is None else self.part[1]
        if index is not None:
            base = f"{base}_{{{index}}}"
        if self.several_fields and self.fields:
            base = f"{base if index is None else f'({base})'}_{{{','.join(map(str, self.fields))}}}"
        return base

    def of(self, dataset: xr.Dataset, suffix: str = "") -> xr.DataArray:
        """The curve itself, (time,), or its companion `_error` (time,) or `_runs` (replicate, time)."""
        return dataset[self.variable + suffix].isel(self.index)


def entries(dataset: xr.Dataset, variables: Iterable[str] | None = None) -> tuple[Entry, ...]:
    """The curves of `variables` (default: all there are); of the symmetric Q and Q_k the upper triangle.

    Raises:
        InputError: a variable that the result does not have.
    """
    there = [name for name in VARIABLES if name in dataset]
    chosen = there if variables is None else list(variables)
    for name in chosen:
        if name not in there:
            raise InputError(f"quantity = {name!r}: this result has {', '.join(there)}")
    several = dataset.sizes["field"] > 1
    found = []
    for name in chosen:
        dims = VARIABLES[name].dims
        clusters = range(dataset.sizes["cluster"]) if "cluster" in dims else (None,)
        dimension = next((d for d in dims if d in ("teacher", "parameter")), None)
        labels = [] if dimension is None else dataset[dimension].values.tolist()
        parts = [(dimension, i, str(label)) for i, label in enumerate(labels)] or [None]
        axes = [range(dataset.sizes["field"]) for d in dims if d.startswith("field")]
        for cluster, part, fields in product(clusters, parts, product(*axes)):
            if list(fields) == sorted(fields):
                found.append(Entry(name, cluster, fields, several, part))
    return tuple(found)
