"""How order parameters depend on the number of samples at a fixed ratio, to leading order. Source: theory.md 1.3."""

from dataclasses import dataclass
from typing import final

from gmsym.system.base import AbstractSystem
from gmsym.system.equations import Equations
from gmsym.system.indexed import array

asymptote, shift = array("asymptote", "y"), array("bias", r"\Delta")  # of n -> oo, and n times what is added to it
single, double = array("single", r"\mathrm{E}y_{n}"), array("double", r"\mathrm{E}y_{2n}")
variance, scaled = array("variance", r"n\,\mathrm{Var}"), array("scaled", r"\sqrt{n}\,\mathrm{sd}")
mean, deviation = array("mean", r"\mathrm{E}y_{n}"), array("deviation", r"\mathrm{sd}\,y_{n}")


@final
@dataclass(frozen=True, repr=False)
class SizeExpansion(AbstractSystem):
    """Mean and standard deviation of an order parameter y at n samples, and what they are found from; the same for every problem."""

    system: Equations
    name: str = "size_expansion"
    limit: str = "n -> oo at fixed n/d, next to leading order of the mean, leading order of the variance"

    def equations(self) -> Equations:
        """The bias from two sizes, the mean and the deviation at one."""
        return self.system

    def __repr__(self) -> str:
        return "SizeExpansion()"
