"""Symbolic systems, one frozen class a kind."""

from gmsym.system.base import AbstractSystem as AbstractSystem
from gmsym.system.causal_kernels import CausalKernels as CausalKernels
from gmsym.system.equations import Equation as Equation
from gmsym.system.equations import Equations as Equations
from gmsym.system.finite_size import FiniteSize as FiniteSize
from gmsym.system.finite_size import Refinement as Refinement
from gmsym.system.fixed_point import FixedPoint as FixedPoint
from gmsym.system.flow import Flow as Flow
from gmsym.system.influence import Influence as Influence
from gmsym.system.integro_differential import IntegroDifferential as IntegroDifferential
from gmsym.system.ode import Ode as Ode
from gmsym.system.passes import Passes as Passes
from gmsym.system.recursion import Recursion as Recursion
from gmsym.system.sde import Sde as Sde
from gmsym.system.size_expansion import SizeExpansion as SizeExpansion
from gmsym.system.spectral import Spectral as Spectral
from gmsym.system.stationary import Stationary as Stationary
