"""Equations and signatures."""

import sympy as sp

import gmsym as gm
from gmsym import derive
from gmsym.problem import losses, optimizers
from gmsym.system import Equation


def test_an_equation_prints_with_its_domain():
    x, t = sp.symbols("x t")
    assert Equation(x, t**2, "square", "own", "own", "s < t").latex() == r"x &= t^{2}, \qquad s < t"
    assert Equation(x, t**2, "square", "own", "own").latex() == "x &= t^{2}"


def test_a_signature_is_a_property_of_the_equations():
    first, second = (derive.dmf(gm.Problem(gm.GaussianMixture.symmetric(), losses.logistic(), optimizers.gd())) for _ in range(2))
    assert first is not second and first.signature == second.signature and len(first.signature) == 12
    assert first.equations() == second.equations()


def test_a_system_is_frozen():
    system = derive.dmf(gm.Problem(gm.GaussianMixture.symmetric(), losses.logistic(), optimizers.gd()))
    try:
        system.name = "other"
    except AttributeError:
        return
    raise AssertionError("a system could be changed")
