"""One sample at a time over the same samples, as the limit of small batches. Source: theory.md (5.2)."""

from dataclasses import dataclass
from typing import final

from gmsym.problem.base import AbstractProblem
from gmsym.system.base import AbstractSystem
from gmsym.system.causal_kernels import CausalKernels
from gmsym.system.equations import Equations


@final
@dataclass(frozen=True, repr=False)
class Passes(AbstractSystem):
    """Kernels of training in `batches` batches a pass, each with the step of all its samples; the limit of infinitely many is asked for."""

    kernels: CausalKernels
    of: AbstractProblem  # whose samples come one at a time

    @property
    def name(self) -> str:
        return f"{self.kernels.name}_single"

    @property
    def problem(self) -> AbstractProblem:
        """The problem it was derived from."""
        return self.of

    @property
    def parts(self) -> dict[str, AbstractSystem]:
        """The systems from which code is generated, by name."""
        return {"batches": self.kernels}

    def equations(self) -> Equations:
        """Those of the batches."""
        return self.kernels.equations()

    def __repr__(self) -> str:
        return f"Passes({self.name!r}, of {self.kernels!r})"
