"""Gordon's comparison and the pathwise rule have the covariances that the theory says, entry by entry."""

import sys

import pytest
import sympy as sp

import gmsym as gm
from gmsym import derive
from gmsym.derive.comparison import noise_times_direction, transpose_times_direction
from gmsym.system.recursion import phi, psi

module = sys.modules["gmsym.derive.gordon"]  # the package's attribute of that name is the function


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_the_identities_hold(steps):
    assert module.covariance_residual(steps) == 0
    assert set(module.rule_residuals(steps)) == {sp.S.Zero}


def test_the_equations_are_printed():
    latex = derive.gordon(2).latex()
    assert r"\operatorname{tr}\left(A^{T} Z \Theta \right)" in latex and r"\operatorname{Cov}(X, X')" in latex


@pytest.mark.parametrize(("rule", "dropped"), [("noise_times_direction", phi), ("transpose_times_direction", psi)])
def test_without_a_fluctuation_parameter_the_rule_is_not_exact(monkeypatch, rule, dropped):
    exact = {"noise_times_direction": noise_times_direction, "transpose_times_direction": transpose_times_direction}[rule]
    monkeypatch.setattr(module, rule, lambda: exact().replace(dropped, lambda *_: sp.S.Zero))
    assert any(x != 0 for x in module.rule_residuals(2))
    with pytest.raises(ArithmeticError, match="comparison rule"):
        derive.gordon(2)


def test_a_wrong_comparison_process_is_noticed(monkeypatch):
    monkeypatch.setattr(module, "comparison", lambda *, A, Theta, M, L, G, H: sp.Trace(A.T * G * L) + sp.Trace(Theta.T * H * M.T))
    assert module.covariance_residual(2) != 0


@pytest.mark.parametrize("steps", [0, 5, 2.0, True])
def test_steps_out_of_range(steps):
    with pytest.raises(gm.InputError, match="steps = "):
        derive.gordon(steps)
