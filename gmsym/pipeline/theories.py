"""A row a theory: what derives it from a problem, and whether numbers come of it."""

from collections.abc import Callable
from typing import Any, NamedTuple

from gmsym import derive
from gmsym.problem import AbstractProblem, OneStep, Problem


class Theory(NamedTuple):
    """A theory by name."""

    derive: Callable[..., Any]  # Problem -> system, or Equations
    solved: bool = True  # False: it is for reading
    of: type[AbstractProblem] = Problem  # the kind of problems it is about


THEORIES = {
    "dmf": Theory(derive.dmf),  # full-batch training, n, d -> infinity
    "surrogate": Theory(derive.surrogate),  # its exact law at finite n and d
    "finite-size": Theory(derive.finite_size),  # its mean and deviation at finite size around the limit
    "refinement": Theory(derive.refinement),  # Picard's and Newton's rounds from the limit to the surrogate
    "effective": Theory(derive.effective),  # online SGD, d -> infinity
    "fluctuations": Theory(derive.fluctuations),  # around it
    "spectrum": Theory(derive.spectrum),  # of the Hessian or information matrix
    "stationary": Theory(derive.stationary),  # where training of a convex problem ends
    "one-step": Theory(derive.one_step, of=OneStep),  # two-layer networks after one gradient step
    "gradient-flow": Theory(lambda problem: derive.gradient_flow(derive.dmf(problem)), solved=False),  # the limit of small steps
    "gordon": Theory(lambda problem: derive.gordon(), solved=False),  # the comparison behind the surrogate, two steps verified
    "influence": Theory(lambda problem: derive.influence(derive.surrogate(problem)), solved=False),  # derivatives in a sample's weight
}
