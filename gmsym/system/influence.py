"""The weighted surrogate, its adjoint, and the variance that influences add up to. Source: own, theory.md 1.3."""

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple, final

import sympy as sp

from gmsym.calculus.kernels import Kernel, kernel
from gmsym.system.base import AbstractSystem, Equation, Equations
from gmsym.system.recursion import Recursion

# Indices, all of them written out: k clusters, b blocks, c and d fields, i directions, x coordinates, n samples of a cluster, j moments of
# a block that the start fixes.
k, b, c, d, i, x, n, j = sp.symbols("k b c d i x n j", integer=True)
_LAST = {k: "K", b: "B", c: "C", d: "C", i: "S", x: "D", n: "n_k", j: "J"}
total = sp.Symbol("n_tot", positive=True)  # number of samples
size = sp.Symbol("d_b", positive=True)  # coordinates of a block
fixed = sp.Symbol("f_b", positive=True)  # moments of a block that the start fixes
ridge = sp.Symbol("lambda", nonnegative=True)


@cache
def array(name: str, symbol: str, *indices: sp.Symbol) -> Kernel:
    """An array with its own indices; its class is `type(array(...))`."""
    return kernel(name, symbol, subscripts=len(indices))(*indices)


def over(summand: sp.Expr, *indices: sp.Symbol) -> sp.Expr:
    """The sum over all values of indices."""
    return sp.Sum(summand, *((index, 1, sp.Symbol(_LAST[index], integer=True, positive=True)) for index in indices))


def bar(value: Kernel) -> Kernel:
    """The adjoint of an array: the derivative of an output in it."""
    return array(f"{type(value).__name__}_bar", rf"\hat{{{type(value).symbol}}}", *value.args)


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
    def problem(self) -> object:
        """The problem it was derived from."""
        return self.recursion.problem

    def equations(self) -> Equations:
        """The weighted program, its adjoint in reverse, and the variance."""
        forward = [e for stage in self.stages for e in stage.program]
        back = [e for stage in reversed(self.stages) for e in stage.adjoint]
        return Equations([*forward, self.curvature, *self.optimizer, *back, self.sample, *self.variance])

    def __repr__(self) -> str:
        return f"Influence({self.name!r})"
