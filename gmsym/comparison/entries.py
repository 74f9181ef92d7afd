"""The scalar curves of a result, each with its name in text and in LaTeX: m[0], Q, Q_k[1], Q_b[0], train_loss, ..."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from typing import final

import xarray as xr

from gmsym import schema
from gmsym.errors import InputError


@final
@dataclass(frozen=True)
class Entry:
    """One scalar curve. Block and cluster are always named, fields only if there are several; all count from 0."""

    variable: str
    cluster: int | None
    fields: tuple[int, ...]
    several_fields: bool
    part: tuple[str, int, str] | None = None  # dimension, position and name of a teacher or of a trained parameter
    block: int | None = None

    @property
    def index(self) -> dict[str, int]:
        """Position along the dimensions other than time, for `isel`."""
        cluster = {} if self.cluster is None else {"cluster": self.cluster}
        if self.part is not None:
            cluster = {self.part[0]: self.part[1]}
        if self.block is not None:
            cluster |= {"block": self.block}
        return cluster | dict(zip(("field", "field_b"), self.fields, strict=False))

    @property
    def label(self) -> str:
        """As typed: `Q_k[1]`, `Q_k[1;0,2]` for cluster 1 and fields 0 and 2, or `m_b[3;1;0]` for block 3, cluster 1 and field 0."""
        cluster = "" if self.cluster is None else str(self.cluster)
        if self.part is not None:
            cluster = self.part[2]
        fields = ",".join(map(str, self.fields)) if self.several_fields else ""
        block = "" if self.block is None else str(self.block)
        inside = ";".join(filter(None, (block, cluster, fields)))
        return f"{self.variable}[{inside}]" if inside else self.variable

    @property
    def latex(self) -> str:
        """As printed, without dollars: `Q_{1}`, or `(Q_{1})_{0,2}`."""
        base = schema.variable(self.variable).latex.removesuffix("_k")
        if self.part is not None and self.part[0] == "parameter":
            return rf"\mathrm{{{self.part[2]}}}".replace("_", r"\_")
        place = self.block, self.cluster if self.part is None else self.part[1]
        index = ",".join(str(i) for i in place if i is not None)
        if index:
            base = f"{base}_{{{index}}}"
        if self.several_fields and self.fields:
            base = f"{f'({base})' if index else base}_{{{','.join(map(str, self.fields))}}}"
        return base

    def of(self, dataset: xr.Dataset, suffix: str = "") -> xr.DataArray:
        """The curve itself, (time,), or its companion `_error` (time,) or `_runs` (replicate, time)."""
        return dataset[self.variable + suffix].isel(self.index)


def entries(dataset: xr.Dataset, variables: Iterable[str] | None = None) -> tuple[Entry, ...]:
    """The curves of `variables` (default: all there are); of the symmetric Q, Q_k and Q_b the upper triangle.

    Raises:
        InputError: a variable that the result does not have.
    """
    there = schema.variables(dataset)
    chosen = there if variables is None else list(variables)
    for name in chosen:
        if name not in there:
            raise InputError(f"quantity = {name!r}: this result has {', '.join(there)}")
    several = dataset.sizes["field"] > 1
    found = []
    for name in chosen:
        dims = schema.variable(name).dims
        blocks, clusters = (range(dataset.sizes[d]) if d in dims else (None,) for d in ("block", "cluster"))
        dimension = next((d for d in dims if d in ("teacher", "parameter")), None)
        labels = [] if dimension is None else dataset[dimension].values.tolist()
        parts = [(dimension, i, str(label)) for i, label in enumerate(labels)] or [None]
        axes = [range(dataset.sizes["field"]) for d in dims if d.startswith("field")]
        for block, cluster, part, fields in product(blocks, clusters, parts, product(*axes)):
            if list(fields) == sorted(fields):
                found.append(Entry(name, cluster, fields, several, part, block))
    return tuple(found)
