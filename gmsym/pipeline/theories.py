"""A row a theory: what derives it, and what its problem must sample."""

from collections.abc import Callable
from typing import Any, NamedTuple

from gmsym import derive
from gmsym.system import (
    AbstractSystem,
    CausalKernels,
    Equations,
    FiniteSize,
    Influence,
    IntegroDifferential,
    Ode,
    Recursion,
    Refinement,
    Sde,
    Spectral,
)


class Theory(NamedTuple):
    """A theory by name."""

    derive: Callable[..., AbstractSystem | Any]
    kind: type  # of its system
    meaning: str
    solved: bool = True  # whether numbers come of it; otherwise it is for reading


THEORIES = {
    "dmf": Theory(derive.dmf, CausalKernels, "dynamical mean-field theory of full-batch training, n, d -> infinity"),
    "surrogate": Theory(derive.surrogate, Recursion, "exact Gordon-comparison surrogate of training at finite n and d"),
    "finite-size": Theory(derive.finite_size, FiniteSize, "mean and deviation of training at finite n, d around the limit"),
    "refinement": Theory(derive.refinement, Refinement, "Picard's and Newton's rounds from the limit to the surrogate"),
    "effective": Theory(derive.effective, Ode, "effective dynamics of online SGD, d -> infinity"),
    "fluctuations": Theory(derive.fluctuations, Sde, "fluctuations of online SGD around the effective dynamics"),
    "spectrum": Theory(derive.spectrum, Spectral, "spectrum of the Hessian or information matrix"),
    "gradient-flow": Theory(
        lambda problem: derive.gradient_flow(derive.dmf(problem)),
        IntegroDifferential,
        "gradient flow, the limit of small steps",
        solved=False,
    ),
    "gordon": Theory(lambda problem: derive.gordon(), Equations, "Gordon's comparison of training, two steps verified", solved=False),
    "influence": Theory(lambda problem: derive.influence(derive.surrogate(problem)), Influence, "influence functions", solved=False),
}
