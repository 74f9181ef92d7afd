"""An explicit scheme for a flow as the update rule of a linear optimizer. Source: theory.md 4.

Every explicit scheme forms the next iterate from iterates and velocities that it has: one evaluation of the gradient is one step of the
optimizer, with coefficients that are numbers of that step. The rule below holds Adams-Bashforth methods of order 1 to 3 with any step sizes
and the Runge-Kutta-Chebyshev recursion: the next theta is a combination of theta, of the step's start, of the iterate before, and of the
velocities at theta, one step back (or at the start) and two steps back.
"""

import sympy as sp

from gmsym import symbols
from gmsym.problem import Optimizer
from gmsym.symbols import theta

_next, _start, _before = map(symbols.symbol, ("theta_n", "theta_0", "theta_1"))
_velocity, _earlier = map(symbols.symbol, ("f_1", "f_2"))
ITERATES = tuple(map(symbols.symbol, ("chi_0", "chi_1", "chi_2")))  # coefficients of theta, of the start, of the iterate before
VELOCITIES = tuple(
    map(symbols.symbol, ("gamma_0", "gamma_1", "gamma_2"))
)  # of the velocity at theta, of the kept one, of the one before that
KEEP = symbols.symbol("kappa_0")  # 1 while start and velocity are kept, 0 where they are set to those of theta
COEFFICIENTS = (*ITERATES, *VELOCITIES, KEEP)


def scheme(flow: Optimizer) -> Optimizer:
    """The rule of one evaluation; its `COEFFICIENTS` are parameters whose numbers change from step to step."""
    ((_, velocity),) = flow.update
    known = (theta, _start, _before)
    slopes = (velocity, _velocity, _earlier)
    combined = sum(c * x for c, x in zip((*ITERATES, *VELOCITIES), (*known, *slopes), strict=True))
    rules = {
        theta: _next,
        _next: combined,  # a rule of theta reads the new state, and this is made of the old one
        _start: KEEP * _start + (1 - KEEP) * theta,
        _before: theta,
        _velocity: KEEP * _velocity + (1 - KEEP) * velocity,
        _earlier: _velocity,
    }
    return Optimizer(flow.name, {variable.name: sp.expand(rule) for variable, rule in rules.items()})
