"""A sample's own noise in the loss: identities, training, the surrogate, and what is refused."""

import numpy as np
import pytest
import sympy as sp

import gmsym as gm
from gmsym.files import loads
from tests.engine.test_causal_teacher import CENTRED

h, y, t0, w0, s = gm.symbols.h, gm.symbols.y, gm.symbols.symbol("t0"), gm.symbols.w0, gm.symbols.symbol("s")
VALUES = {"alpha": 1.5, "eta": 0.8, "momentum": 0.4, "ridge": 0.05, "s": 0.7}


def noisy():
    data = gm.GaussianMixture(probabilities=[0.7, 0.3], labels=[1, -1], means_gram=[[1, -0.5], [-0.5, 1]], variance=[1, 0.6])
    loss = gm.Loss("noisy", sp.log(1 + sp.exp(-sp.sign(t0 + s * w0) * h)), target=t0 + s * w0)
    teacher = gm.Teacher([[1.0]], overlap=[[0.2]], means_overlap=[[0.3, -0.1]])
    return gm.Problem(data, loss, gm.optimizers.heavy_ball(), teacher=teacher, overlap=[0.1, -0.2])


def test_noise_of_the_labels_in_closed_form():
    """Squared loss of pure noise from Theta = 0: a(0) = -s w, so Q(1) = eta^2 s^2/alpha and, after one step, the losses are known."""
    problem = gm.Problem(CENTRED, gm.Loss("noise", (h - s * w0) ** 2 / 2), gm.optimizers.gd(), norm2=0)
    found = gm.solve(problem, {"alpha": 2.0, "eta": 0.3, "ridge": 0.0, "s": 0.5}, steps=2, samples=1024, scrambles=2)
    Q = 0.3**2 * 0.5**2 / 2
    assert found["Q"].values[:, 0, 0] == pytest.approx([0, Q], abs=1e-4)
    assert found["test_loss"].values == pytest.approx([0.125, (0.25 + Q) / 2], abs=1e-4)
    # h_i(1) = (eta s/n) sum_j (x_i . x_j) w_j: its own w_i has the weight |x_i|^2/n = 1/alpha.
    train = ((0.5 - 0.3 * 0.5 / 2) ** 2 + Q) / 2
    assert found["train_loss"].values == pytest.approx([0.125, train], abs=2e-4)
    assert (found["train_loss_error"].values < 2e-3).all()


def test_a_file_keeps_own_noise():
    problem = noisy()
    assert loads(gm.dumps(problem, VALUES)).problem.signature == problem.signature


def test_own_noise_is_refused_where_it_is_not_treated():
    problem = noisy()
    for verb in (gm.derive.finite_size, gm.derive.refinement):
        with pytest.raises(gm.InputError, match="does not treat"):
            verb(problem)
    with pytest.raises(gm.InputError, match="spectra do not treat a sample's own noise"):
        gm.derive.spectrum(problem)
    online = gm.Problem(CENTRED, gm.Loss("noise", (h - w0) ** 2), gm.optimizers.gd(), sampling=gm.sampling.online())
    with pytest.raises(gm.InputError, match=r"online SGD does not treat a sample's own noise \(w0\)"):
        gm.derive.effective(online)
    with pytest.raises(gm.InputError, match="'tangent': own noises of samples need 'stein'"):
        gm.derive.dmf(gm.Problem(CENTRED, gm.Loss("noise", (h - w0) ** 2), gm.optimizers.gd()), response="tangent")


@pytest.mark.slow
def test_own_noise_against_training():
    problem = noisy()
    theory = gm.solve(problem, VALUES, steps=9, samples=2048)
    runs = gm.simulate(problem, VALUES, d=400, steps=9, replicates=24, seed=2)
    comparison = gm.compare(theory, runs)
    assert comparison.agrees() and comparison.rms_z < 1.6, str(comparison)
    quiet = gm.solve(problem, {**VALUES, "s": 0.01}, steps=9, samples=1024, scrambles=2)
    assert abs(quiet["test_error"] - runs["test_error"])[-1] > 20 * runs["test_error_error"][-1]


@pytest.mark.exhaustive
@pytest.mark.slow
def test_the_surrogate_has_the_law_of_training():
    replicates = 1500
    options = {"n": 60, "d": 40, "steps": 5, "replicates": replicates}
    drawn = gm.solve(gm.derive.surrogate(noisy()), VALUES, seed=1, **options), gm.simulate(noisy(), VALUES, seed=2, **options)
    for name in ("m", "Q", "M", "train_loss", "test_error"):
        one, other = (np.reshape(x[f"{name}_runs"].values, (replicates, 5, -1))[:, 1:] for x in drawn)
        score = (one.mean(0) - other.mean(0)) / np.sqrt((one.var(0) + other.var(0)) / replicates)
        assert np.abs(score).max() < 4, name
