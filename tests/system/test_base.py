"""Equations and signatures."""

import pytest
import sympy as sp

import gmsym as gm
from gmsym import derive
from gmsym.codegen import signature
from gmsym.problem import losses, optimizers
from gmsym.system import Equation


def test_an_equation_prints_with_its_domain():
    x, t = sp.symbols("x t")
    assert Equation(x, t**2, "square", "own", "own", "s < t").latex() == r"x &= t^{2}, \qquad s < t"
    assert Equation(x, t**2, "square", "own", "own").latex() == "x &= t^{2}"


def test_a_signature_is_a_property_of_the_equations():
    first, second = (derive.dmf(gm.Problem(gm.GaussianMixture.symmetric(), losses.logistic(), optimizers.gd())) for _ in range(2))
    assert first is not second and signature(first) == signature(second) and len(signature(first)) == 12
    assert first.equations() == second.equations()


def test_a_system_is_frozen():
    system = derive.dmf(gm.Problem(gm.GaussianMixture.symmetric(), losses.logistic(), optimizers.gd()))
    try:
        system.name = "other"
    except AttributeError:
        return
    raise AssertionError("a system could be changed")


def test_a_signature_tells_apart_what_computes_differently():
    """Of one loss on one and on two blocks, in two theories; the name of a problem is none of its business."""

    def systems(fractions, loss):
        variance = [[1] * len(fractions)] * 2
        data = {"probabilities": [0.5, 0.5], "labels": [1, -1], "means_gram": [[1, -1], [-1, 1]], "variance": variance}
        problem = gm.Problem(gm.GaussianMixture(fractions=fractions, **data), loss, optimizers.gd())
        return derive.dmf(problem), derive.surrogate(problem)

    logistic = losses.logistic()
    one, two = systems([1], logistic), systems([0.5, 0.5], logistic)
    assert len({signature(system) for system in (*one, *two)}) == 4
    renamed = systems([1], gm.Loss("another_name", logistic.expr))
    assert [signature(system) for system in renamed] == [signature(system) for system in one]


@pytest.mark.parametrize("given", [None, "dmf", gm.losses])
def test_only_a_system_has_a_source(given):
    with pytest.raises(gm.InputError, match="source: a system is needed"):
        gm.source(given)
