"""The weighted surrogate, its adjoint, and the variance that influences add up to. Source: own, theory.md 1.3."""

from dataclasses import dataclass
from typing import NamedTuple, final

import sympy as sp

from gmsym.calculus.kernels import Kernel
from gmsym.problem.base import AbstractProblem
from gmsym.system.base import AbstractSystem
from gmsym.system.equations import Equation, Equations
from gmsym.system.recursion import Recursion

size = sp.Symbol("d_b", positive=True)  # coordinates of a block
fixed = sp.Symbol("f_b", positive=True)  # moments of a block that the start fixes
ridge = sp.Symbol("lambda", nonnegative=True)


class Stage(NamedTuple):
    """A part of one step of the weighted program, and its adjoint, each in the order of computation."""

    name: str
    program: Equations
    adjoint: Equations
    outputs: tuple[Kernel, ...]  # whose adjoints come from later
    inputs: tuple[Kernel, ...]  # whose adjoints come out


@final
@dataclass(frozen=True, repr=False)
class Influence(AbstractSystem):
    """Derivative of order parameters in the weight of each sample and coordinate, by reverse recursion over the surrogate's steps.

    A stage's adjoint is derived from its program equation by equation; beside the stages stands what is not linear, the gradient of the
    loss at a sample and the optimizer at a coordinate.
    """

    recursion: Recursion
    stages: tuple[Stage, ...]  # in the order of computation; between the fields and the direction of the gradients stands the loss
    curvature: Equation  # derivative of gradient c in field d
    sample: Equation  # adjoint of the fields of a sample
    optimizer: Equations  # adjoints of theta, the state and the gradient of a coordinate, from those after the step
    variance: Equations
    limit: str = "leading order of n -> oo: influences of order 1/n"

    @property
    def name(self) -> str:
        return f"{self.recursion.name}_influence"

    @property
    def problem(self) -> AbstractProblem:
        """The problem it was derived from."""
        return self.recursion.problem

    def equations(self) -> Equations:
        """The weighted program, its adjoint in reverse, and the variance."""
        forward = [e for stage in self.stages for e in stage.program]
        back = [e for stage in reversed(self.stages) for e in stage.adjoint]
        return Equations([*forward, self.curvature, *self.optimizer, *back, self.sample, *self.variance])

    def __repr__(self) -> str:
        return f"Influence({self.name!r})"
