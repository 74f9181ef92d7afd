"""Averaged iterates: identities with the kernels at two times, training, and what is refused."""

import numpy as np
import pytest

import gmsym as gm

DATA = gm.GaussianMixture(probabilities=[0.6, 0.4], labels=[1, -1], means_gram=[[1, -1], [-1, 1]], variance=[1, 0.5])
VALUES = {"alpha": 1.5, "eta": 0.3, "momentum": 0.4, "ridge": 0.05}
AVERAGED = gm.optimizers.averaged(gm.optimizers.heavy_ball())
SQUARED = gm.Problem(DATA, gm.losses.squared(), AVERAGED, overlap=[0.1, -0.1])


def test_the_mean_of_the_iterates_is_that_of_their_overlaps():
    """m and Q of the mean are means of m(t) and Q(t, s); its test loss follows from them, y h being N(m, Q_k)."""
    found, every = gm.solve(SQUARED, VALUES, steps=6, of="average"), gm.solve(SQUARED, VALUES, steps=6, two_time=True)
    for time in (1, 3, 5):
        at = found.isel(time=time)
        np.testing.assert_allclose(at["m"], every["m"][:time].mean("time"), rtol=1e-10)
        np.testing.assert_allclose(at["Q"][0, 0], every["Q_two_time"][:time, :time].mean(), rtol=1e-10)
        margin, variance = at["m"].values[:, 0] * [1, -1], at["Q_k"].values[:, 0, 0]
        assert float(at["test_loss"]) == pytest.approx(np.dot([0.6, 0.4], ((1 - margin) ** 2 + variance) / 2), abs=1e-10)


def test_a_weight_may_be_any_schedule():
    rule = dict(gm.optimizers.averaged(gm.optimizers.gd(), gm.symbols.symbol("w")).update)
    assert str(rule[gm.symbols.symbol("average")]) == "average + w*(-average + theta)"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gm.solve(SQUARED, VALUES, steps=2, of="mean"), "of = 'mean': a state variable .* it has v, average"),
        (lambda: gm.simulate(SQUARED, VALUES, d=20, steps=2, of="mean"), "of = 'mean'"),
        (lambda: gm.optimizers.averaged(AVERAGED), "has a state variable 'average' already"),
        (lambda: gm.optimizers.averaged(gm.optimizers.gd(), "fast"), "weight = 'fast'"),
    ],
)
def test_what_is_refused(call, message):
    with pytest.raises(gm.InputError, match=message):
        call()


@pytest.mark.slow
def test_averages_against_training():
    """Mini-batches and logistic loss; and the two ways to the train loss of a quadratic one."""
    problem = gm.Problem(DATA, gm.losses.logistic(), AVERAGED, sampling=gm.sampling.bernoulli(0.4), overlap=[0.1, -0.1])
    values = VALUES | {"eta": 1.0}
    theory = gm.solve(problem, values, steps=9, samples=1024, of="average")
    runs = gm.simulate(problem, values, d=400, steps=9, replicates=24, of="average")
    comparison = gm.compare(theory, runs)
    assert comparison.agrees() and comparison.rms_z < 1.6, str(comparison)
    last = gm.simulate(problem, values, d=400, steps=9, replicates=24)
    with pytest.raises(gm.InputError, match="differ in of"):
        gm.compare(theory, last)
    assert not gm.compare(theory, last.assign_attrs(of="average")).agrees()
    exact = gm.solve(SQUARED, VALUES, steps=8, of="average")
    sampled = gm.solve(gm.derive.dmf(SQUARED, response="stein"), VALUES, steps=8, samples=1024, of="average")
    np.testing.assert_allclose(sampled["train_loss"], exact["train_loss"], atol=1e-6)
