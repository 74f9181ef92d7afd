"""Systems that are made of others: curves at finite size around the limit, and the refinement that leads from one to the other."""

from dataclasses import dataclass
from typing import final

from gmsym.problem.base import AbstractProblem
from gmsym.system.base import AbstractSystem
from gmsym.system.causal_kernels import CausalKernels
from gmsym.system.equations import Equations
from gmsym.system.influence import Influence
from gmsym.system.recursion import Recursion
from gmsym.system.size_expansion import SizeExpansion


@final
@dataclass(frozen=True, repr=False)
class FiniteSize(AbstractSystem):
    """Learning curves y + bias/n + O(1/n^2) with standard deviation deviation/sqrt(n): the limit, the surrogate, its influence functions.

    y comes from the limit, the deviation from the influence functions of the surrogate, the bias from the surrogate at two sizes.
    """

    dmf: CausalKernels
    influence: Influence
    sizes: SizeExpansion

    @property
    def name(self) -> str:
        return f"{self.dmf.name}_finite_size"

    @property
    def problem(self) -> AbstractProblem:
        """The problem it was derived from."""
        return self.dmf.problem

    @property
    def surrogate(self) -> Recursion:
        """The exact program at finite n and d."""
        return self.influence.recursion

    @property
    def parts(self) -> dict[str, AbstractSystem]:
        """The systems from which code is generated, by name."""
        return {"dmf": self.dmf, "surrogate": self.surrogate, "influence": self.influence, "sizes": self.sizes}

    def equations(self) -> Equations:
        """Those of the limit, then those of the influence functions, then how curves depend on the size."""
        return Equations([*self.dmf.equations(), *self.influence.equations(), *self.sizes.equations()])

    def __repr__(self) -> str:
        return f"FiniteSize({self.name!r}, of {self.dmf!r})"


@final
@dataclass(frozen=True, repr=False)
class Refinement(AbstractSystem):
    """Picard's and Newton's rounds from the limit's scalars to the exact ones of the surrogate, whose recursion is the map."""

    recursion: Recursion

    @property
    def name(self) -> str:
        return f"{self.recursion.name}_refinement"

    @property
    def problem(self) -> AbstractProblem:
        """The problem it was derived from."""
        return self.recursion.problem

    @property
    def parts(self) -> dict[str, AbstractSystem]:
        """The systems from which code is generated, by name."""
        return {"surrogate": self.recursion}

    def equations(self) -> Equations:
        """Those of the surrogate, whose right sides are iterated."""
        return self.recursion.equations()

    def __repr__(self) -> str:
        return f"Refinement({self.name!r}, of {self.recursion!r})"
