"""The surrogate with teacher directions, trained parameters and mini-batches: exact at the start, and in law."""

import numpy as np
import pytest
import sympy as sp

import gmsym as gm
from tests.engine.test_causal_teacher import CENTRED

h, y, t0, b = gm.symbols.h, gm.symbols.y, gm.symbols.symbol("t0"), gm.symbols.symbol("b")
VALUES = {"eta": 0.8, "momentum": 0.4, "ridge": 0.05}


def test_a_student_at_the_teacher_errs_by_its_bias():
    """Theta_0 = theta*: every sample's error is the bias, in training and on fresh samples, and the bias moves by what it says."""
    loss = gm.Loss("regression", (h + b - t0) ** 2 / 2)
    own = gm.Trained({"b": 0.3}, step=0.4, ridge=0.1)
    problem = gm.Problem(CENTRED, loss, gm.optimizers.gd(), teacher=gm.Teacher([[1]], [1]), trained=own)
    runs = gm.solve(gm.derive.surrogate(problem), {"eta": 0.8, "ridge": 0.05}, n=30, d=20, steps=2, replicates=3)
    assert runs["M_runs"].values[:, 0].ravel() == pytest.approx(np.ones(3), abs=1e-12)
    for name in ("train_loss", "test_loss"):
        assert runs[f"{name}_runs"].values[:, 0] == pytest.approx(np.full(3, 0.045), abs=1e-12), name
    assert runs["trained_runs"].values[:, 1, 0] == pytest.approx(np.full(3, 0.3 - 0.4 * (0.3 + 0.1 * 0.3)), abs=1e-12)


@pytest.mark.slow
def test_the_law_is_that_of_training():
    """n = 60, d = 40: a logistic student of a perceptron with a bias, two unequal clusters, two blocks, momentum, epochs of 2."""
    data = gm.GaussianMixture(
        probabilities=[0.7, 0.3], labels=[1, -1], means_gram=[[1, -0.5], [-0.5, 1]], variance=[[1, 0.5], [0.6, 1.2]], fractions=[0.5, 0.5]
    )
    loss = gm.Loss("taught", sp.log(1 + sp.exp(-sp.sign(t0 + y / 2) * (h + b))), readout=h + b, target=t0 + y / 2)
    teacher = gm.Teacher([[1.0]], overlap=[[0.2]], means_overlap=[[0.3, -0.1]])
    parts = {"teacher": teacher, "trained": gm.Trained({"b": 0.3}, step=0.4, ridge=0.1), "overlap": [0.1, -0.2]}
    problem = gm.Problem(data, loss, gm.optimizers.heavy_ball(), sampling=gm.sampling.epochs(2), **parts)
    replicates = 2000
    size = {"n": 60, "d": 40, "steps": 6, "replicates": replicates}
    drawn = gm.solve(gm.derive.surrogate(problem), VALUES, seed=1, **size), gm.simulate(problem, VALUES, seed=2, **size)
    for name in ("m", "Q", "Q_k", "M", "trained", "train_loss", "test_loss", "test_error"):
        one, other = (np.reshape(x[f"{name}_runs"].values, (replicates, 6, -1))[:, 1:] for x in drawn)
        score = (one.mean(0) - other.mean(0)) / np.sqrt((one.var(0) + other.var(0)) / replicates)
        assert np.abs(score).max() < 4, name
        assert np.abs(np.log(one.std(0) / other.std(0))).max() < 4 / np.sqrt(replicates), name
