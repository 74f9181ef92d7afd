"""Every sign and every term of the equations of one gradient step drives a number (tests/mutation.py)."""

import numpy as np
import pytest
import sympy as sp

import gmsym as gm
from gmsym import derive, pipeline
from gmsym.engine.fixed_point import solve
from gmsym.pipeline.one_step import _numbers
from tests.mutation import Enrolled, mutated, outcomes, table

PROBLEM = gm.OneStep(
    gm.parse("erf(z) + exp(z/2)/3"), gm.parse("y"), probabilities=[0.4, 0.6], means=[[1.5, 0.2], [-0.8, 0.6]], exponents=False
)
VALUES = {"n": 60, "samples": 50, "width": 40, "ridge": 0.3, "spread": 8.0, "step": 20.0, "alignment": 0.3}
# Both kernels are sums of squares of their factors, and the gradient's spike enters as u u^T: these have no sign.
SQUARED = {*(f"h_{j}" for j in (0, 2, 3, 4, 5, 6)), *(f"a_{p}" for p in range(7)), *(f"d_{p}" for p in range(1, 7)), "s_1", "u_i", "u_q"}
BRANCH = {"D"}  # only says on which side of the largest root nu is; the equations for lambda spell it out


def numbers(system):
    module = pipeline.load(system)
    found = solve(module, _numbers(PROBLEM, PROBLEM.at(VALUES)), 5, True)._asdict()
    spikes = found.pop("spikes")
    target = module.target(np.array([0.3, -0.2]), np.array([1.0, -1.0]), ())
    return {**found, "largest": spikes[:1], "visible": len(spikes), "degrees": module.degrees(0.7, 0.6, 0.8), "target": target}


def name(equation):
    return equation.lhs.func.__name__ if equation.lhs.args else equation.lhs.name


@pytest.mark.slow
def test_every_displayed_sign_and_term_drives_a_number():
    found = list(outcomes(Enrolled("one step", lambda: derive.one_step(PROBLEM), numbers), both=False))
    print("\n" + table(("one step", outcome) for outcome in found))
    idle = [o for o in found if o.fate in ("survived", "refused") and str(o.equation).partition("(")[0] not in SQUARED | BRANCH]
    assert not idle, "\n".join(f"{o.equation}: {o.mutation} ({o.fate}: {o.detail})" for o in idle)


@pytest.mark.slow
def test_what_has_no_sign_has_a_size():
    before = numbers(derive.one_step(PROBLEM))
    equations = [e for e in derive.one_step(PROBLEM).equations() if name(e) in SQUARED]
    assert len(equations) == len(SQUARED)
    for equation in equations:
        with mutated(equation, sp.Rational(11, 10) * equation.rhs):
            after = numbers(derive.one_step(PROBLEM))
        assert abs(after["test_mse"] / before["test_mse"] - 1) > 1e-9, equation.lhs
