"""A causal system in continuous time: integro-differential equations of two-time kernels. Source: theory.md 4."""

from dataclasses import dataclass
from typing import final

from gmsym.calculus.kernels import kernel
from gmsym.problem.base import AbstractProblem
from gmsym.system.base import AbstractSystem
from gmsym.system.equations import Equations

# Kernels that exist in continuous time only; the others keep their names, R and W per unit of time.
Mk = kernel("Mk", "M", subscripts=1, value="cd")  # regular part of the gradients' response: cluster; t, s
Abar = kernel("Abar", r"\bar A", subscripts=1, value="cd")  # instantaneous part: cluster; t
mb = kernel("mb", "m", subscripts=2, value="c")  # share of block b in the overlap with mean j: mean, block; t
Qb = kernel("Qb", "Q", subscripts=1, value="cd")  # share of block b in the overlap of two iterates: block; t, s


@final
@dataclass(frozen=True, repr=False)
class IntegroDifferential(AbstractSystem):
    """Two-time equations of a gradient flow. It has no engine of its own: a linear multistep optimizer integrates it."""

    name: str
    problem: AbstractProblem  # what it was derived from
    flow: Equations
    limit: str = "step size -> 0 at fixed time t = steps * step size, after n, d -> oo"

    def equations(self) -> Equations:
        """Field, responses, and the evolution of W, m and Q."""
        return self.flow

    def __repr__(self) -> str:
        return f"IntegroDifferential({self.name!r})"
