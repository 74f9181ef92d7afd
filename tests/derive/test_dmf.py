"""Derivation for every loss and optimizer of the catalog: what is chosen, what is refused, what is printed."""

import os
import subprocess
import sys

import pytest
import sympy as sp

import gmsym as gm
from gmsym import derive
from gmsym.codegen import signature, source
from gmsym.problem import losses, optimizers
from gmsym.symbols import eta, g, h, symbol, theta, y

DATA = gm.GaussianMixture.symmetric()


def problem_of(name: str) -> gm.Problem:
    loss = losses.CATALOG[name]()
    if loss.name == "softmax":
        data = gm.GaussianMixture(
            probabilities=[sp.Rational(1, 3)] * 3, labels=sp.eye(3).tolist(), means_gram=sp.eye(3), variance=[1, 1, 1]
        )
        return gm.Problem(data, loss, optimizers.gd())
    return gm.Problem(DATA, loss, optimizers.gd())


RESPONSES = {name: "stein" for name in losses.CATALOG} | {"squared": "exact"}


@pytest.mark.parametrize("name", losses.CATALOG)
def test_the_way_to_responses_follows_from_the_loss(name):
    """Stein's lemma for every loss but a quadratic one, where nothing is sampled."""
    system = derive.dmf(problem_of(name))
    assert system.response == RESPONSES[name]
    assert len(system.test_loss) == system.clusters


@pytest.mark.parametrize("name", [name for name, make in optimizers.CATALOG.items() if make().is_linear and not make().continuous])
def test_every_linear_optimizer_is_eliminated(name):
    system = derive.dmf(gm.Problem(DATA, losses.logistic(), optimizers.CATALOG[name]()))
    families = {type(e.lhs).__name__ for e in system.kernel_form}
    for variable in system.state:
        assert {f"P_{variable}", f"U_{variable}", f"W_{variable}"} <= families


@pytest.mark.parametrize(
    "rule",
    [
        theta - eta * sp.sign(g),
        sp.sign(theta - eta * g) * sp.Max(sp.Abs(theta - eta * g) - symbol("l1"), 0),
        theta - eta * g / (1 + sp.Abs(g)),
        theta - eta * g + 1,
    ],
)
def test_coordinates_are_sampled_under_a_rule_that_is_not_linear(rule):
    problem = gm.Problem(DATA, losses.logistic(), gm.Optimizer("odd", {"theta": rule}))
    found = derive.dmf(problem)
    assert sp.expand(found.update[0] - rule) == 0
    shared = [e for e in derive.dmf(problem_of("logistic")).kernel_form if type(e.lhs).__name__ in ("h", "G", "R")]
    assert len(shared) == 3 and all(e in found.kernel_form for e in shared)
    for options, message in (({"response": "tangent"}, "sampled coordinates need 'stein'"), ({"sampled": False}, "is not linear")):
        with pytest.raises(gm.InputError, match=message):
            derive.dmf(problem, **options)


def test_noise_of_the_optimizer_is_refused_where_it_is_not_treated():
    problem = gm.Problem(DATA, losses.logistic(), optimizers.langevin())
    system = derive.dmf(problem)
    for verb in (derive.finite_size, derive.refinement, derive.influence, lambda x: derive.gradient_flow(system)):
        with pytest.raises(gm.InputError, match="does not treat noise in the update rule of 'langevin'; derive.dmf and simulate do"):
            verb(problem)
    with pytest.raises(gm.InputError, match="online SGD does not treat noise in the update rule"):
        derive.effective(gm.Problem(DATA, losses.logistic(), optimizers.langevin(), sampling=gm.sampling.online()))
    with pytest.raises(gm.InputError, match="samples = 64.*open a direction at every step; at least 128 are needed"):
        gm.solve(system, {"alpha": 1.0, "sigma": 1.0, "mu_norm": 1.0, "eta": 0.1, "temperature": 0.1}, steps=40, samples=64)
    with pytest.raises(gm.InputError, match="'noise' belongs to the update rule"):
        gm.Problem(DATA, gm.Loss("own", (h - y * gm.symbols.noise) ** 2), optimizers.langevin())


def test_a_response_that_does_not_fit_the_loss_is_refused():
    assert derive.dmf(problem_of("squared"), response="tangent").response == "tangent"
    for name, response in (("logistic", "exact"), ("hinge", "tangent"), ("softmax", "by hand")):
        with pytest.raises(gm.InputError, match=f"response = '{response}'.*'stein'"):
            derive.dmf(problem_of(name), response=response)


def test_something_that_is_no_problem_is_refused():
    with pytest.raises(gm.InputError, match="a gmsym Problem is needed"):
        derive.dmf("logistic")


def test_a_loss_that_nobody_thought_of_goes_through():
    loss = gm.Loss("odd", sp.log(1 + (1 - y * h) ** 2) + sp.Rational(1, 10) * sp.atan(h) ** 2)
    system = derive.dmf(gm.Problem(DATA, loss, optimizers.nesterov()))
    assert system.response == "stein" and "def hessian" in source(system)


def test_the_signature_does_not_depend_on_the_hash_seed():
    code = (
        "import gmsym as gm; from gmsym.problem import losses, optimizers; from gmsym import codegen, derive;"
        "s = derive.dmf(gm.Problem(gm.GaussianMixture.symmetric(), losses.huber(), optimizers.heavy_ball()));"
        "import hashlib; print(codegen.signature(s), hashlib.sha256(codegen.source(s).encode()).hexdigest())"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert len(outputs) == 1


def test_different_problems_have_different_signatures():
    systems = [derive.dmf(problem_of(name)) for name in losses.CATALOG]
    systems.append(derive.dmf(gm.Problem(DATA, losses.logistic(), optimizers.heavy_ball())))
    assert len({signature(s) for s in systems}) == len(systems)


def test_latex_is_what_a_theorist_would_print():
    latex = derive.dmf(problem_of("logistic"), response="tangent").latex()
    for fragment in (
        r"h_{k}(t) &= m_{k}(t) + \omega_{k}(t) + \sum_{s=0}^{t - 1} R_{k}(t,s) a_{k}(s)",
        r"\mathbb{E}_{k}\left[a_{k}(t) {a_{k}(s)}^{\top}\right]",
        r"\frac{\partial a_{k}(t)}{\partial \omega_{k}(s)}",
    ):
        assert fragment in latex
    assert derive.dmf(problem_of("logistic"))._repr_latex_().startswith("$")


def test_every_equation_states_its_source_and_status():
    for equation in derive.dmf(problem_of("squared")).kernel_form:
        assert equation.source and equation.meaning and equation.status in ("theorem", "heuristic", "own")


def test_a_gradient_flow_needs_plain_steps():
    with pytest.raises(gm.InputError, match="keeps the state"):
        derive.gradient_flow(derive.dmf(gm.Problem(DATA, losses.logistic(), optimizers.heavy_ball())))
    flow = derive.gradient_flow(derive.dmf(gm.Problem(DATA, losses.logistic(), optimizers.weight_decay())))
    change = next(e.rhs for e in flow.flow if isinstance(e.lhs, sp.Derivative))
    assert change.has(symbol("weight_decay")) and not change.has(eta)
    with pytest.raises(gm.InputError, match="gmsym.optimizers.flow"):
        source(flow)
