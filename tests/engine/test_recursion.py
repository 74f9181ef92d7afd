"""The finite-size surrogate: equal in law to training, at sizes where the limit is not."""

import numpy as np
import pytest
import scipy.stats
import sympy as sp

import gmsym as gm
from gmsym import derive, pipeline
from gmsym.engine.recursion import sample_recursion
from gmsym.problem.design import design
from gmsym.runtime.recursion import Design
from gmsym.symbols import eta, g, symbol, theta


def logistic(optimizer=None, overlap=(0.1, -0.1)):
    data = gm.GaussianMixture(probabilities=[0.5, 0.5], labels=[1, -1], means_gram=[[1.69, -1.69], [-1.69, 1.69]], variance=[1, 0.49])
    return gm.Problem(data, gm.losses.logistic(), optimizer or gm.optimizers.gd(), overlap=overlap)


def same_law(problem, *, n, d, steps, replicates, **values):
    """Largest mean score at the last times, range of variance ratios, and the two-sample p-value of the final train loss."""
    first = gm.surrogate(problem, n=n, d=d, steps=steps, replicates=replicates, seed=1, **values)
    second = gm.simulate(problem, n=n, d=d, steps=steps, replicates=replicates, seed=2, **values)
    scores, ratios = [], []
    for name in ("m", "Q", "train_loss"):
        a, b = (x[f"{name}_runs"].values.reshape(replicates, steps, -1)[:, 1:] for x in (first, second))
        scores.append((a.mean(0) - b.mean(0)) / np.sqrt((a.var(0) + b.var(0)) / replicates))
        ratios.append(a.var(0) / b.var(0))
    final = [x["train_loss_runs"].values[:, -1] for x in (first, second)]
    two_time = [np.corrcoef(x["Q_runs"].values[:, steps // 2, 0, 0], x["train_loss_runs"].values[:, -1])[0, 1] for x in (first, second)]
    flat = np.concatenate([r.ravel() for r in ratios])
    return max(np.abs(s).max() for s in scores), flat.min(), flat.max(), scipy.stats.ks_2samp(*final).pvalue, two_time


def test_small_training_runs_have_the_same_law():
    score, low, high, p_value, two_time = same_law(logistic(), n=60, d=40, steps=6, replicates=4000, eta=1.0, ridge=0.1)
    assert score < 4 and 0.88 < low and high < 1.14 and p_value > 0.003
    assert abs(two_time[0] - two_time[1]) < 0.08


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["gd", "heavy_ball", "soft_threshold"])
def test_equality_in_law_with_twenty_thousand_replicates(optimizer):
    """Means within 3 to 4 standard errors (correlated entries), variances within 5%, final loss by Kolmogorov-Smirnov."""
    step = theta - eta * g
    rules = {
        "gd": gm.optimizers.gd(),
        "heavy_ball": gm.optimizers.heavy_ball(),
        "soft_threshold": gm.Optimizer("soft_threshold", {"theta": sp.sign(step) * sp.Max(sp.Abs(step) - eta * symbol("l1"), 0)}),
    }
    extra = {"heavy_ball": {"momentum": 0.5}, "soft_threshold": {"l1": 0.01}}.get(optimizer, {})
    score, low, high, p_value, _ = same_law(logistic(rules[optimizer]), n=60, d=40, steps=8, replicates=20000, eta=1.0, ridge=0.1, **extra)
    assert score < 4 and 0.95 < low and high < 1.05 and p_value > 0.003


@pytest.mark.slow
def test_equality_in_law_with_three_classes_blocks_and_momentum():
    """C = K = 3, another covariance in each block of each cluster; variances of 3000 replicates are known to 4%."""
    data = gm.GaussianMixture(
        probabilities=[sp.Rational(3, 10), sp.Rational(3, 10), sp.Rational(4, 10)],
        labels=[[1, 0, 0], [0, 1, 0], [0, 0, 1]],
        means_gram=[[1.0, -0.3, -0.2], [-0.3, 1.2, -0.4], [-0.2, -0.4, 0.9]],
        fractions=[0.5, 0.5],
        variance=[[1, 0.5], [0.6, 1.2], [0.8, 0.8]],
    )
    problem = gm.Problem(data, gm.losses.softmax(3), gm.optimizers.heavy_ball(), norm2=np.eye(3) * 0.5 + 0.1)
    score, low, high, p_value, two_time = same_law(problem, n=90, d=60, steps=6, replicates=3000, eta=1.5, momentum=0.5, ridge=0.05)
    assert score < 4.2 and 0.87 < low and high < 1.15 and p_value > 0.003
    assert abs(two_time[0] - two_time[1]) < 0.08


def test_without_fluctuation_parameters_the_law_is_another():
    """The power of the tests above: at n = 30 the same Kolmogorov-Smirnov test rejects the surrogate without phi and psi."""
    problem, n, d, steps = logistic(), 30, 20, 6
    instance = problem.at(eta=1.0, ridge=0.1)
    plan = design(instance, n, d)
    numbers = Design(
        instance.labels, instance.variance, plan.counts, plan.sizes, plan.root, instance.ridge, tuple(instance.parameters.values())
    )
    module = pipeline.load(derive.surrogate(problem))
    runs, _ = sample_recursion(module, numbers, steps=steps, replicates=6000, seed=3, fluctuations=False)
    training = gm.simulate(problem, n=n, d=d, steps=steps, replicates=6000, seed=4, eta=1.0, ridge=0.1)
    assert scipy.stats.ks_2samp(runs["train_loss"][:, -1], training["train_loss_runs"].values[:, -1]).pvalue < 1e-3


def test_fluctuation_parameters_are_standard_normal():
    sample = gm.surrogate(logistic(), n=60, d=40, steps=5, replicates=4000, eta=1.0, ridge=0.1)
    for name, direction in (("phi", 2), ("psi", 3)):
        values = sample[f"surrogate_{name}"].isel(time=4, field=0, cluster=0, direction=direction).values
        assert scipy.stats.kstest(values, "norm").pvalue > 1e-3, name


def test_the_cholesky_factor_is_that_of_the_gram_matrix():
    """sum_j L_kj(t)^2 = Theta_t^T Sigma_k Theta_t on every path, so the parameters are the program's own."""
    sample = gm.surrogate(logistic(), n=60, d=40, steps=5, replicates=20, eta=1.0, ridge=0.1)
    squared = (sample["surrogate_L"] ** 2).sum("direction").isel(field=0)
    assert np.allclose(squared, sample["Q_k_runs"].isel(field=0, field_b=0))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"steps": 41}, r"steps = 41 exceeds min\(n, d\) = 40"),
        ({"n": 1}, "leave cluster"),
        ({"n": 0}, "n = 0"),
        ({"replicates": 1}, "replicates = 1"),
        ({"eta": None}, "eta = None"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(gm.InputError, match=message):
        gm.surrogate(logistic(), **{"n": 60, "d": 40, "steps": 4, "replicates": 10, "eta": 1.0, "ridge": 0.1, **arguments})


def test_divergence_is_reported():
    with pytest.raises(gm.ComputationError, match="at step"):
        gm.surrogate(gm.Problem(logistic().data, gm.losses.squared(), gm.optimizers.gd()), n=60, d=40, steps=30, replicates=4, eta=30.0)
