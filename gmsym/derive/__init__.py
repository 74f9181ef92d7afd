"""Theories: each turns a problem into a symbolic system."""

from gmsym.derive.dmf import dmf as dmf
from gmsym.derive.effective import effective as effective
from gmsym.derive.effective import fluctuations as fluctuations
from gmsym.derive.finite_size import finite_size as finite_size
from gmsym.derive.finite_size import refinement as refinement
from gmsym.derive.flow import gradient_flow as gradient_flow
from gmsym.derive.gordon import gordon as gordon
from gmsym.derive.influence import influence as influence
from gmsym.derive.one_step import one_step as one_step
from gmsym.derive.size_expansion import size_expansion as size_expansion
from gmsym.derive.spectrum import spectrum as spectrum
from gmsym.derive.stationary import stationary as stationary
from gmsym.derive.surrogate import surrogate as surrogate

_THEORIES = (
    *("dmf", "effective", "finite_size", "fluctuations", "gordon", "gradient_flow", "influence", "one_step", "refinement"),
    *("spectrum", "stationary", "surrogate"),
)


def __dir__() -> list[str]:
    return list(_THEORIES)
