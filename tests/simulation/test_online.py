"""Online SGD at finite d: the exact chain has its law, both have the initial state asked for, and bad input is named."""

import numpy as np
import pytest
import scipy.stats

import gmsym as gm
from tests.engine.test_ode import LOGISTIC, binary, taught, xor
from tests.engine.test_ode_blocks import taught_hinge


def both(problem, d, replicates, **setting):
    runs = [gm.simulate(problem, setting, d=d, time=2.0, replicates=replicates, points=3, seed=seed, sampler=sampler)
            for seed, sampler in ((1, "online"), (2, "chain"))]  # fmt: skip
    names = [f"{name}_runs" for name in ("Q", "m", "M", "trained", "Q_b", "m_b", "M_b") if name in runs[0]]
    for name in names:  # both start at the given state, exactly
        assert np.allclose(*(r[name].values[:, 0] for r in runs), rtol=0, atol=1e-12)
    return [np.concatenate([r[name].values[:, 1:].reshape(replicates, -1) for name in names], axis=1) for r in runs]


def same_law(one, other):
    """(largest |z| of the means, largest |log| of the ratio of variances in its standard errors, smallest Kolmogorov-Smirnov p)."""
    kept = one.var(axis=0) > 1e-12
    one, other = one[:, kept], other[:, kept]
    z = (one.mean(axis=0) - other.mean(axis=0)) / np.sqrt((one.var(axis=0) + other.var(axis=0)) / len(one))
    spread = np.log(one.var(axis=0) / other.var(axis=0)) / np.sqrt(4 / len(one))
    return np.abs(z).max(), np.abs(spread).max(), min(scipy.stats.ks_2samp(a, b).pvalue for a, b in zip(one.T, other.T, strict=True))


def test_the_chain_has_the_law_of_online_sgd():
    """Logistic at d = 60, where corrections to the limit are large."""
    z, spread, p = same_law(*both(binary(), 60, 800, **LOGISTIC))
    assert z < 3.6 and spread < 4 and p > 1e-3


@pytest.mark.exhaustive
@pytest.mark.slow
def test_the_chain_has_the_law_of_online_sgd_with_blocks():
    """Overlaps of each of two blocks, of 12 and 18 coordinates, whose variances differ."""
    data = gm.GaussianMixture(
        probabilities=[0.4, 0.6], labels=[1, -1], means_gram=[[1, -0.5], [-0.5, 1]], variance=[[2, 0.2], [0.1, 1]], fractions=[0.4, 0.6]
    )
    problem = gm.Problem(data, gm.losses.squared(), gm.optimizers.gd(), sampling=gm.sampling.online(), overlap=[0.2, -0.1])
    z, spread, p = same_law(*both(problem, 30, 800, eta=0.6, ridge=0.1))
    assert z < 3.6 and spread < 4 and p > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("build", "setting"),
    [
        (binary, LOGISTIC),
        pytest.param(taught, {"eta": 1.0, "ridge": 0.1}, marks=pytest.mark.exhaustive),
        pytest.param(xor, {"eta": 0.5}, marks=pytest.mark.exhaustive),
    ],
)
def test_the_chain_has_the_law_of_online_sgd_at_200(build, setting):
    z, spread, p = same_law(*both(build(), 200, 1000, **setting))
    assert z < 4 and spread < 4 and p > 5e-4


def test_the_initial_state_is_the_one_asked_for():
    for sampler in ("online", "chain"):
        runs = gm.simulate(taught(), {"eta": 1.0, "ridge": 0.0}, d=50, time=0.1, replicates=3, points=2, sampler=sampler)
        assert np.allclose(runs["Q_runs"][:, 0], 1.0) and np.allclose(runs["M_runs"][:, 0], 0.1)
        assert runs["time"].values.tolist() == [0.0, 0.1]
    runs = gm.simulate(xor(), {"eta": 0.5}, d=50, time=0.1, replicates=3, points=2)
    assert np.allclose(runs["trained_runs"][:, 0], [0.5, -0.4, 0.1])
    assert np.allclose(runs["m"][0], [[0.3, -0.1], [-0.3, 0.1], [0.05, 0.35], [-0.05, -0.35]])


@pytest.mark.parametrize("sampler", ["chain", pytest.param("online", marks=pytest.mark.slow)])
def test_the_error_of_a_taught_classifier_is_counted(sampler):
    """At the start it is the angle between student and teacher, arccos(0.1)/pi, to the error of 3 * 8192 points."""
    runs = gm.simulate(taught(), {"eta": 1.0, "ridge": 0.0}, d=50, time=0.1, replicates=3, points=2, sampler=sampler)
    assert abs(float(runs["test_error"][0]) - np.arccos(0.1) / np.pi) < 4 * np.sqrt(0.25 / (3 * 8192))


@pytest.mark.slow
def test_one_step_is_the_gradient_step_of_one_sample():
    """After one step Q changes by -delta (h a^T + a h^T) + delta^2 |Y|^2 a a^T: at d = 1 with m = 0 its mean is known."""
    problem = gm.Problem(
        gm.GaussianMixture(probabilities=[1], labels=[0], means_gram=[[0]], variance=[1]),
        gm.losses.squared(),
        gm.optimizers.gd(),
        sampling=gm.sampling.online(),
    )
    runs = gm.simulate(problem, {"eta": 1.0}, d=40, time=0.025, replicates=4000, points=2, seed=3)
    delta, change = 0.025, runs["Q_runs"].values[:, 1, 0, 0] - 1
    expected = -2 * delta + delta**2 * (40 + 2)  # E h^2 = 1, E |Y|^2 h^2 = d + 2
    assert abs(change.mean() - expected) < 4 * change.std() / np.sqrt(4000)


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ({}, {"d": 0}, "d = 0: an integer of at least 1"),
        ({}, {"d": 1}, "d = 1 is less than the rank 2"),
        ({}, {"time": 0.0}, "time = 0.0: a positive number"),
        ({}, {"time": 1e-9}, "less than half a step"),
        ({}, {"replicates": 1}, "replicates = 1"),
        ({}, {"points": 1}, "points = 1"),
        ({}, {"sampler": "exact"}, "sampler = 'exact'; allowed are online, chain"),
        ({"eta": "fast"}, {}, "eta = 'fast'"),
    ],
)
def test_bad_arguments_are_named(values, options, message):
    with pytest.raises(gm.InputError, match=message):
        gm.simulate(binary(), {**LOGISTIC, **values}, **{"d": 20, "time": 1.0, **options})


def test_blocks_need_coordinates():
    with pytest.raises(gm.InputError, match="d = 12 gives block 0 only 2 coordinates, fewer than the rank 4"):
        gm.simulate(taught_hinge(), {"eta": 1.0}, d=12, time=1.0)
    with pytest.raises(gm.InputError, match="d = 20: more than 4 dimensions are needed in each block"):
        gm.simulate(taught_hinge(), {"eta": 1.0}, d=20, time=1.0, sampler="chain")


def test_divergence_is_reported():
    with pytest.raises(gm.ComputationError, match="training diverged before time"):
        gm.simulate(binary(gm.losses.squared()), {"eta": 20.0, "sigma": 1.0, "mu_norm": 1.0}, d=20, time=400.0, replicates=2)


def test_other_optimizers_are_refused():
    problem = gm.Problem(gm.GaussianMixture.symmetric(), gm.losses.logistic(), gm.optimizers.signum(), sampling=gm.sampling.online())
    with pytest.raises(gm.InputError, match="online SGD takes rules that are linear"):
        gm.simulate(problem, {"eta": 1.0, "sigma": 1.0, "mu_norm": 1.0, "momentum": 0.5}, d=20, time=1.0)
