"""DMF of problems that train parameters of their loss: a bias in closed form, and training."""

import numpy as np
import pytest
import sympy as sp

import gmsym as gm
from tests.engine.test_causal_teacher import CENTRED, spectral_means

STEPS = 10
h, y, bias, scale = gm.symbols.h, gm.symbols.y, gm.symbols.symbol("bias"), gm.symbols.symbol("scale")


def test_a_bias_in_closed_form():
    """Residuals are p_t(X X^T/n) times the vector of ones, p_{t+1}(x) = (1 - eta x) p_t(x) - eta_b mean p_t."""
    alpha, eta, own, ridge = 2.0, 0.5, 0.3, 0.1
    loss = gm.Loss("regression", (h + bias - y) ** 2 / 2)
    problem = gm.Problem(CENTRED, loss, gm.optimizers.gd(), norm2=0, trained=gm.Trained({"bias": -1}, step=own, ridge=ridge))
    result = gm.solve(problem, {"alpha": alpha, "eta": eta, "ridge": 0.0}, steps=STEPS, samples=512)

    def mean(p):  # n - d eigenvalues of X X^T are zero
        return spectral_means(alpha, lambda x: np.polyval(p, x)) / alpha + (1 - 1 / alpha) * np.polyval(p, 0.0)

    p, b = np.array([-2.0]), -1.0
    for time in range(STEPS):
        for name, expected in (("trained", b), ("train_loss", mean(np.polymul(p, p)) / 2)):
            found, error = result[name].values[time].item(), result[f"{name}_error"].values[time].item()
            assert abs(found - expected) < 4 * error + 1e-10, (name, time)
            assert error < 0.01
        change = -own * (mean(p) + ridge * b)
        p, b = np.polyadd(np.polymul([-eta, 1.0], p), [change]), b + change


@pytest.mark.slow
@pytest.mark.parametrize("sampling", [pytest.param(gm.sampling.full(), marks=pytest.mark.exhaustive), gm.sampling.bernoulli(0.4)])
def test_bias_and_temperature_of_unequal_clusters(sampling):
    mixture = gm.GaussianMixture(probabilities=[0.7, 0.3], labels=[1, -1], means_gram=[[1, -1], [-1, 1]], variance=[1, 0.5])
    loss = gm.Loss("warm", sp.log(1 + sp.exp(-y * (scale * h + bias))), readout=scale * h + bias)
    own = gm.Trained({"bias": 0.1, "scale": 0.8}, step=0.5, ridge=0.01)
    problem = gm.Problem(mixture, loss, gm.optimizers.heavy_ball(), trained=own, sampling=sampling)
    values = {"eta": 1.0, "momentum": 0.3, "ridge": 0.05}
    theory = gm.solve(problem, values, n=2000, d=1000, steps=8, samples=2048)
    runs = gm.simulate(problem, values, n=2000, d=1000, steps=8, replicates=24)
    names = ("trained", "m", "Q", "train_loss", "test_loss", "test_error")
    scores = [(runs[name] - theory[name]) / np.hypot(runs[f"{name}_error"], theory[f"{name}_error"]) for name in names]
    found = np.concatenate([x.values[1:].ravel() for x in scores])
    assert np.sqrt(np.mean(found**2)) < 2 and np.abs(found).max() < 4.5
