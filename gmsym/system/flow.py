"""A flow in continuous time: the two-time kernels of an explicit scheme that integrates it. Source: theory.md 4."""

from dataclasses import dataclass
from typing import final

import sympy as sp

from gmsym.problem.base import AbstractProblem
from gmsym.system.base import AbstractSystem
from gmsym.system.causal_kernels import CausalKernels
from gmsym.system.equations import Equations


@final
@dataclass(frozen=True, repr=False)
class Flow(AbstractSystem):
    """DMF of d theta/dt = F(theta, g), as that of the explicit schemes which integrate it to any accuracy.

    A scheme is a linear optimizer of which a step is one evaluation of the gradient; its coefficients are parameters of `kernels` whose
    numbers change from step to step.
    """

    problem: AbstractProblem  # in continuous time
    kernels: CausalKernels  # of the scheme
    scheme: tuple[sp.Symbol, ...]  # its coefficients, in the order of their tables

    @property
    def name(self) -> str:
        return self.kernels.name

    @property
    def blocks(self) -> int:
        """B, blocks of coordinates."""
        return self.kernels.blocks

    def equations(self) -> Equations:
        """Those of the scheme; `derive.gradient_flow` gives their limit in continuous time."""
        return self.kernels.equations()

    def __repr__(self) -> str:
        return f"Flow({self.name!r}, of {self.kernels!r})"
