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
KNOWN = {"margin": y * h, "wrong": sp.Heaviside(-y * h), "spread": kappa * (h - m_0) ** 2 / Q_0_0}


def test_means_over_a_fresh_sample_that_are_known():
    """E y h = sum_k p_k y_k m_k, E H(-y h) is the test error, and a field divided by its deviation has variance 1."""
    problem = gm.Problem(UNEQUAL, gm.losses.logistic(), gm.optimizers.gd(), sampling=gm.sampling.online(), observables=KNOWN)
    theory = gm.solve(problem, {"eta": 1.0, "kappa": 3.0}, time=1.0)
    m = theory["m"].values[:, :, 0]
    np.testing.assert_allclose(theory["test_margin"], 0.6 * m[:, 0] - 0.4 * m[:, 1], atol=1e-9)
    np.testing.assert_allclose(theory["test_wrong"], theory["test_error"], atol=1e-9)
    np.testing.assert_allclose(theory["test_spread"], 3.0, atol=1e-9)


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
