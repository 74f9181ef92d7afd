"""Observables of a problem: what they may read, their names, their way through files and results."""

import pytest
import sympy as sp

import gmsym as gm
from gmsym.files import dumps, loads
from gmsym.schema import variables

h, y = gm.symbols.h, gm.symbols.y


def problem(observables, **parts):
    return gm.Problem(gm.GaussianMixture.symmetric(), gm.losses.logistic(), gm.optimizers.gd(), observables=observables, **parts)


@pytest.mark.parametrize(
    ("observables", "message"),
    [
        ([y * h], "expressions by name are needed"),
        ({"loss": y * h}, "results have train_loss"),
        ({"two words": y * h}, "observable = 'two words'"),
        ({"margin": "y*h"}, "a SymPy expression is needed"),
        ({"margin": y * gm.symbols.symbol("h1")}, "observable margin = .* uses h1; allowed are Q_0_0, h, m_0, y, and parameters"),
        ({"target": gm.symbols.symbol("t0")}, "uses t0"),
        ({"rate": gm.symbols.eta * h}, "uses eta"),
    ],
)
def test_what_an_observable_cannot_be_is_said(observables, message):
    with pytest.raises(gm.InputError, match=message):
        problem(observables)


def test_parameters_and_signature():
    plain, own = problem(None), problem({"scaled": gm.symbols.symbol("kappa") * h / sp.sqrt(gm.symbols.symbol("Q_0_0"))})
    assert {s.name for s in own.parameters} - {s.name for s in plain.parameters} == {"kappa"}
    assert plain.signature != own.signature and plain.signature == problem({}).signature


def test_a_file_states_them_and_results_hold_them():
    kept = problem({"margin": y * h, "scaled": gm.symbols.symbol("kappa") * (h - gm.symbols.symbol("m_0"))})
    values = {"sigma": 1.0, "mu_norm": 1.0, "eta": 1.0, "kappa": 2.0, "alpha": 2.0}
    again = loads(dumps(kept, values))
    assert again.problem.observables == kept.observables and again.values["kappa"] == 2.0
    with pytest.raises(gm.InputError, match=r"\[observables\] margin"):
        loads(dumps(kept, values).replace('margin = "', 'margin = "u*'))
    online = problem({"margin": y * h}, sampling=gm.sampling.online())
    result = gm.simulate(online, {"sigma": 1.0, "mu_norm": 1.0, "eta": 1.0}, d=50, time=0.2, points=2, replicates=2)
    assert variables(result)[-1] == "test_margin" and "train_margin" not in result
    assert result["test_margin"].values == pytest.approx(result["m"].values[:, 0, 0], abs=1e-10)
