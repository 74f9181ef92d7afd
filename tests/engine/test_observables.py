"""Means of a problem's own observables: identities where they are known, training where they are not."""

import numpy as np
import pytest
import sympy as sp

import gmsym as gm
from gmsym.problem.teacher import Teacher
from gmsym.problem.trained import Trained

h, y = gm.symbols.h, gm.symbols.y
t0, bias, kappa, m_0, Q_0_0 = (gm.symbols.symbol(name) for name in ("t0", "bias", "kappa", "m_0", "Q_0_0"))
UNEQUAL = gm.GaussianMixture(probabilities=[0.6, 0.4], labels=[1, -1], means_gram=[[1, -1], [-1, 1]], variance=[1.0, 0.5])
VALUES = {"alpha": 1.5, "eta": 0.5, "ridge": 0.01}
KNOWN = {"margin": y * h, "wrong": sp.Heaviside(-y * h), "spread": kappa * (h - m_0) ** 2 / Q_0_0}


def test_means_over_a_fresh_sample_that_are_known():
    """E y h = sum_k p_k y_k m_k, E H(-y h) is the test error, and a field divided by its deviation has variance 1."""
    problem = gm.Problem(UNEQUAL, gm.losses.logistic(), gm.optimizers.gd(), sampling=gm.sampling.online(), observables=KNOWN)
    theory = gm.solve(problem, {"eta": 1.0, "kappa": 3.0}, time=1.0)
    m = theory["m"].values[:, :, 0]
    np.testing.assert_allclose(theory["test_margin"], 0.6 * m[:, 0] - 0.4 * m[:, 1], atol=1e-9)
    np.testing.assert_allclose(theory["test_wrong"], theory["test_error"], atol=1e-9)
    np.testing.assert_allclose(theory["test_spread"], 3.0, atol=1e-9)


@pytest.mark.parametrize("response", ["exact", "stein"])
def test_means_over_the_training_samples_that_are_known(response):
    """The loss as an observable has the train and the test loss; with points, and by the Gaussian law of affine gradients without them."""
    loss = gm.losses.squared()
    own = {"own": loss.value, "wrong": sp.Heaviside(-y * h), "tanh": sp.tanh(h) * y}
    own |= {} if response == "exact" else {"centre": m_0, "square": h**2 - Q_0_0}
    problem = gm.Problem(UNEQUAL, loss, gm.optimizers.gd(), observables=own)
    theory = gm.solve(gm.derive.dmf(problem, response=response), VALUES, steps=4)
    for sample in ("train", "test"):
        np.testing.assert_allclose(theory[f"{sample}_own"], theory[f"{sample}_loss"], atol=1e-9)
    np.testing.assert_allclose(theory["test_wrong"], theory["test_error"], atol=1e-9)
    other = gm.solve(gm.derive.dmf(gm.Problem(UNEQUAL, loss, gm.optimizers.gd(), observables={"tanh": own["tanh"]})), VALUES, steps=4)
    gap = np.abs(theory["train_tanh"] - other["train_tanh"])
    assert (gap <= 3 * (theory["train_tanh_error"] + other["train_tanh_error"]) + 1e-12).all()
    if response == "stein":
        m = theory["m"].values[:, :, 0]
        np.testing.assert_allclose(theory["train_centre"], m @ [0.6, 0.4], atol=1e-12)
        # Before the first step a training sample is a fresh one.
        np.testing.assert_allclose(theory["train_square"][0], theory["test_square"][0], atol=1e-3)


def test_an_observable_of_order_parameters_has_no_closed_training_mean():
    problem = gm.Problem(UNEQUAL, gm.losses.squared(), gm.optimizers.gd(), observables={"spread": KNOWN["spread"]})
    assert gm.derive.dmf(problem).response == "stein"
    with pytest.raises(gm.InputError, match="observables of order parameters one of"):
        gm.derive.dmf(problem, response="exact")


@pytest.mark.slow
def test_surrogate_and_training_have_one_law_of_observables():
    problem = gm.Problem(UNEQUAL, gm.losses.logistic(), gm.optimizers.gd(), observables=KNOWN | {"own": gm.losses.logistic().value})
    values = VALUES | {"kappa": 3.0}
    theory = gm.solve(gm.derive.surrogate(problem), values, d=20, steps=4, replicates=400)
    np.testing.assert_allclose(theory["train_own_runs"], theory["train_loss_runs"], atol=1e-12)
    runs = gm.simulate(problem, values, d=20, steps=4, replicates=400, seed=5)
    for name in ("train_margin", "test_margin", "train_spread", "train_wrong"):
        z = (theory[name] - runs[name]) / np.hypot(theory[f"{name}_error"], runs[f"{name}_error"])
        assert np.abs(z[1:]).max() < 4, f"{name}: z = {z.values}"


@pytest.mark.slow
def test_theory_and_training_in_batches_agree_on_observables():
    """Mini-batches, a teacher, a trained bias, observables that jump: means over all samples, those of the step and the others."""
    loss = gm.Loss("taught", sp.log(1 + sp.exp(-y * (h + bias))) + (h - t0) ** 2 / 8, readout=h + bias, target=y)
    problem = gm.Problem(
        UNEQUAL,
        loss,
        gm.optimizers.gd(),
        sampling=gm.sampling.bernoulli(0.5),
        overlap=[0.2, -0.2],
        teacher=Teacher([[1]], [0.2], [[0.3, -0.3]]),
        trained=Trained({"bias": 0.1}),
        observables={"agree": sp.sign(h * t0), "tanh": sp.tanh(h) * y, "wrong": sp.Heaviside(-y * (h + bias)), "spread": h * m_0 / Q_0_0},
    )
    values = VALUES | {"ridge": 0.02}
    theory = gm.solve(problem, values, steps=8)
    runs = gm.simulate(problem, values, d=400, steps=8, replicates=24, seed=3)
    assert gm.compare(theory, runs).agrees()
    for name in ("train_tanh", "test_agree", "train_spread"):
        wrong = theory.assign({name: theory[name].copy(data=0.95 * theory[name].values)})
        assert not gm.compare(wrong, runs).agrees(), name


@pytest.mark.slow
def test_online_theory_and_training_agree_on_observables():
    loss = gm.Loss("taught", sp.log(1 + sp.exp(-y * (h + bias))) + (h - t0) ** 2 / 8, readout=h + bias, target=y)
    problem = gm.Problem(
        UNEQUAL,
        loss,
        gm.optimizers.gd(),
        sampling=gm.sampling.online(),
        overlap=[0.2, -0.2],
        teacher=Teacher([[1]], [0.2], [[0.3, -0.3]]),
        trained=Trained({"bias": 0.1}),
        observables={"agree": sp.sign(h * t0), "tanh": sp.tanh(h) * y, "wrong": sp.Heaviside(-y * (h + bias))},
    )
    values = {"eta": 1.0, "ridge": 0.02}
    theory = gm.solve(problem, values, time=2.0)
    runs = gm.simulate(problem, values, d=600, time=2.0, replicates=24, seed=3, sampler="chain")
    assert gm.compare(theory, runs).agrees()
    wrong = theory.assign(test_tanh=theory["test_tanh"].copy(data=0.97 * theory["test_tanh"].values))
    assert not gm.compare(wrong, runs).agrees()
