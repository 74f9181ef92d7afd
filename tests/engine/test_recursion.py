"""The finite-size surrogate: equal in law to training, at sizes where the limit is not."""

import numpy as np
import pytest
import scipy.stats

import gmsym as gm
from gmsym import derive, pipeline
from gmsym.engine.recursion import sample_recursion
from gmsym.problem.design import design, gram_root
from gmsym.runtime.recursion import Design
from tests.same_law import same_law


def logistic(optimizer=None, overlap=(0.1, -0.1)):
    data = gm.GaussianMixture(probabilities=[0.5, 0.5], labels=[1, -1], means_gram=[[1.69, -1.69], [-1.69, 1.69]], variance=[1, 0.49])
    return gm.Problem(data, gm.losses.logistic(), optimizer or gm.optimizers.gd(), overlap=overlap)


@pytest.mark.exhaustive
@pytest.mark.slow
def test_training_with_noise_of_the_optimizer_has_the_same_law():
    """Two blocks, the noise in the velocity: 2000 runs of both, n = 30, d = 20."""
    symbols = gm.symbols
    v = symbols.symbol("v")
    rules = {"theta": symbols.theta + v, "v": symbols.momentum * v - symbols.eta * symbols.g + symbols.noise / 2}
    data = gm.GaussianMixture(
        probabilities=[0.5, 0.5], labels=[1, -1], means_gram=[[1, -1], [-1, 1]], variance=[[1, 0.4], [1, 0.4]], fractions=[0.5, 0.5]
    )
    problem = gm.Problem(data, gm.losses.logistic(), gm.Optimizer("pushed", rules))
    found = same_law(problem, n=30, d=20, steps=4, replicates=2000, eta=0.5, ridge=0.1, momentum=0.5)
    assert found.score < 4.2, found
    assert 0.86 < found.least_ratio and found.largest_ratio < 1.15, found
    assert found.p_value > 0.003, found


@pytest.mark.exhaustive
@pytest.mark.slow
def test_small_training_runs_have_the_same_law():
    found = same_law(logistic(), n=60, d=40, steps=6, replicates=4000, eta=1.0, ridge=0.1)
    assert found.score < 4 and 0.88 < found.least_ratio and found.largest_ratio < 1.14 and found.p_value > 0.003
    assert abs(found.correlations[0] - found.correlations[1]) < 0.08


@pytest.mark.exhaustive
@pytest.mark.slow
def test_equality_in_law_with_twenty_thousand_replicates_and_momentum():
    """Means within 3 to 4 standard errors (correlated entries), variances within 5%, final loss by Kolmogorov-Smirnov."""
    problem = logistic(gm.optimizers.heavy_ball())
    found = same_law(problem, n=60, d=40, steps=8, replicates=20000, eta=1.0, ridge=0.1, momentum=0.5)
    assert found.score < 4 and 0.95 < found.least_ratio and found.largest_ratio < 1.05 and found.p_value > 0.003


@pytest.mark.slow
def test_without_fluctuation_parameters_the_law_is_another():
    """The power of the tests above: at n = 30 the same Kolmogorov-Smirnov test rejects the surrogate without phi and psi."""
    problem, n, d, steps = logistic(), 30, 20, 6
    instance = problem.at({"eta": 1.0, "ridge": 0.1})
    plan = design(instance, n, d)
    numbers = Design(
        instance.labels,
        instance.variance,
        plan.counts,
        plan.sizes,
        gram_root(instance.gram),
        instance.ridge,
        tuple(instance.parameters.values()),
    )
    module = pipeline.load(derive.surrogate(problem))
    runs, _ = sample_recursion(module, numbers, steps=steps, replicates=3000, seed=3, fluctuations=False)
    training = gm.simulate(problem, {"eta": 1.0, "ridge": 0.1}, n=n, d=d, steps=steps, replicates=3000, seed=4)
    assert scipy.stats.ks_2samp(runs["train_loss"][:, -1], training["train_loss_runs"].values[:, -1]).pvalue < 1e-3


def test_fluctuation_parameters_are_standard_normal():
    sample = gm.solve(gm.derive.surrogate(logistic()), {"eta": 1.0, "ridge": 0.1}, n=60, d=40, steps=5, replicates=4000)
    for name, direction in (("phi", 2), ("psi", 3)):
        values = sample[f"surrogate_{name}"].isel(time=4, field=0, cluster=0, direction=direction).values
        assert scipy.stats.kstest(values, "norm").pvalue > 1e-3, name


def test_the_cholesky_factor_is_that_of_the_gram_matrix():
    """sum_j L_kj(t)^2 = Theta_t^T Sigma_k Theta_t on every path, so the parameters are the program's own."""
    sample = gm.solve(gm.derive.surrogate(logistic()), {"eta": 1.0, "ridge": 0.1}, n=60, d=40, steps=5, replicates=20)
    squared = (sample["surrogate_L"] ** 2).sum("direction").isel(field=0)
    assert np.allclose(squared, sample["Q_k_runs"].isel(field=0, field_b=0))


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ({}, {"steps": 41}, r"steps = 41 exceeds min\(n, d\) = 40"),
        ({}, {"n": 1}, "leave cluster"),
        ({}, {"n": 0}, "n = 0"),
        ({}, {"replicates": 1}, "replicates = 1"),
        ({"eta": None}, {}, "eta = None"),
    ],
)
def test_bad_arguments_are_named(values, options, message):
    with pytest.raises(gm.InputError, match=message):
        options = {"n": 60, "d": 40, "steps": 4, "replicates": 10, **options}
        gm.solve(gm.derive.surrogate(logistic()), {"eta": 1.0, "ridge": 0.1, **values}, **options)


def test_divergence_is_reported():
    with pytest.raises(gm.ComputationError, match="at step"):
        gm.solve(
            gm.derive.surrogate(gm.Problem(logistic().data, gm.losses.squared(), gm.optimizers.gd())),
            {"eta": 30.0},
            n=60,
            d=40,
            steps=30,
            replicates=4,
        )
