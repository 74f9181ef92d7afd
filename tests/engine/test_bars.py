"""Error bars: few repetitions that agree by accident, a bias that all share, and the errors of a state seen through an observable."""

import logging

import jax
import numpy as np
import pytest
import scipy.stats
import sympy as sp
from scipy.integrate import quad
from scipy.special import expit
from scipy.stats import norm

import gmsym as gm
from gmsym.engine.bars import error_bar, standard_error, student
from tests.error_bars import coverage, dmf_cases, finite_cases, online_cases, simulation_cases


def test_few_repetitions_hold_the_truth_as_often_as_a_gaussian():
    for count in (2, 4, 8):
        assert np.isclose(scipy.stats.t(count - 1).cdf(student(count)), scipy.stats.norm.cdf(1), atol=1e-12)
        assert np.isclose(scipy.stats.t(count - 1).cdf(2 * student(count, 2.0)), scipy.stats.norm.cdf(2), atol=1e-12)
    assert student(10**6) == pytest.approx(1, abs=1e-5)


def test_a_bar_holds_what_points_and_scrambles_do(rng):
    """Scrambles of error 1/points and a shared bias of the same order: at least 97% within 3 bars; the plain spread fails."""
    trials, ratio = 4000, 4
    bias = rng.normal(size=trials)
    fine = bias + rng.normal(size=(4, trials))
    cheaper = ratio * (bias + rng.normal(size=(4, trials)))
    error, bar = np.abs(fine.mean(axis=0)), error_bar(list(fine), list(cheaper), ratio)
    assert np.mean(error <= 3 * bar) > 0.97
    assert np.median(bar) < 5 * np.median(error)
    assert np.mean(error <= 3 * standard_error(fine)) < 0.9


def test_cheaper_solutions_that_scatter_widen_a_bar_so_far():
    """Scattered by their own size, they say nothing of what is shared; a shift that all have counts in full."""
    fine = np.array([1.001, 0.999, 1.002, 0.998])
    own = student(4) * standard_error(fine)
    scattered, shifted = np.array([5.0, 1.0, -30.0, 90.0]), fine + 0.5
    assert own < error_bar(list(fine), list(scattered), 4) < 4 * own
    assert error_bar(list(fine), list(shifted), 4) > 0.15


def taught(loss: str) -> gm.Problem:
    data = gm.GaussianMixture(probabilities=[1], labels=[0], means_gram=[[0]], variance=[1])
    teacher = gm.Teacher(gram=[[1]], overlap=[sp.Rational(1, 10)])
    return gm.Problem(
        data, gm.Loss("taught", gm.parse(loss), target=gm.parse("t0")), gm.optimizers.gd(), sampling=gm.sampling.online(), teacher=teacher
    )


def test_the_online_test_error_near_a_correlation_of_one(caplog):
    """AdaTron: the error is arccos of a correlation that tends to 1, where the state's errors count many times."""
    problem = taught("max(0, -sign(t0)*h)**2/2")
    times = [0.0, 50.0, 204.37]
    result, reference = (gm.solve(problem, {"eta": 0.6455}, time=times, tolerance=tolerance) for tolerance in (1e-6, 1e-12))
    gap = np.abs(result.test_error - reference.test_error).values
    assert (gap <= 3 * result.test_error_error.values + 1e-14).all()
    assert result.test_error_error[-1] > result.attrs["solver_error"]
    assert result.attrs["accuracy_reached"] == 1 and not caplog.records
    # Many steps end without an answer; the dynamics has not diverged.
    with pytest.raises(gm.ComputationError, match="used up its 16384 steps after time .* solver = 'kvaerno5'"):
        gm.solve(problem, {"eta": 0.6455}, time=1e9)


def test_an_accuracy_that_is_not_reached_is_said(caplog, monkeypatch):
    from gmsym.engine import ode

    monkeypatch.setattr(ode, "_TIGHTENED", 0)
    monkeypatch.setattr(ode, "_SAFETY", 100.0)
    with caplog.at_level(logging.WARNING, logger="gmsym"):
        result = gm.solve(taught("max(0, -sign(t0)*h)**2/2"), {"eta": 0.6455}, time=[0.0, 50.0, 204.37], tolerance=1e-6)
    assert result.attrs["accuracy_reached"] == 0
    assert "not to the tolerance 1e-06 asked for" in caplog.text


def test_points_that_miss_a_tail_of_the_loss_are_noticed(caplog):
    """Four scrambles of 256 points agree on Q after a step; what none of them has makes it 3.7 times that."""
    text, mu, eta = "log(1 + exp(-y*h)) + 20*log(1 + exp(8*(-7/2 - y*h)))", 0.5, 1.0
    problem = gm.Problem(gm.GaussianMixture.symmetric(), gm.Loss("two_scales", gm.parse(text)), gm.optimizers.gd())
    with caplog.at_level("WARNING", logger="gmsym"):
        found = gm.solve(problem, {"alpha": 2.0, "sigma": 1.0, "mu_norm": mu, "eta": eta, "ridge": 0.0}, steps=2, samples=256)
    assert "miss tails of the loss" in caplog.text

    def gradient(h):  # for y = 1; at time 0, h ~ N(0, 1), and that of y = -1 is its mirror image
        return -expit(-h) - 160 * expit(8 * (-3.5 - h))

    mean, square, slope = (
        quad(lambda h, f=f: f(h) * norm.pdf(h), -12, 12, points=[-3.5, 0], epsabs=1e-12, limit=400)[0]
        for f in (gradient, lambda h: gradient(h) ** 2, lambda h: h * gradient(h))  # E[A] = E[h a]
    )
    m, Q = -eta * mu**2 * mean, (1 - eta * slope) ** 2 + (eta * mu * mean) ** 2 + eta**2 * square / 2.0
    missed = abs(float(found["Q"][1, 0, 0]) - Q), abs(float(found["m"][1, 0, 0]) - m)
    assert missed[0] > 0.5 * Q
    assert missed[0] <= 3 * float(found["Q_error"][1, 0, 0]) and missed[1] <= 3 * float(found["m_error"][1, 0, 0])


def test_single_precision_is_refused():
    jax.config.update("jax_enable_x64", False)
    try:
        with pytest.raises(gm.InputError, match="jax_enable_x64 = False"):
            gm.solve(taught("max(0, -sign(t0)*h)"), {"eta": 0.5}, time=1.0)
        with pytest.raises(gm.InputError, match="jax_enable_x64 = False"):
            gm.simulate(taught("max(0, -sign(t0)*h)"), {"eta": 0.5}, d=10, time=1.0)
    finally:
        jax.config.update("jax_enable_x64", True)


def test_a_loss_without_a_value_is_a_failure_of_the_run():
    problem = gm.Problem(
        gm.GaussianMixture.symmetric(sigma=1, mu_norm=1),
        gm.Loss("root", gm.parse("sqrt(h - 9) + h")),
        gm.optimizers.gd(),
        sampling=gm.sampling.online(),
    )
    with pytest.raises(gm.ComputationError, match="nan|no value"):
        gm.simulate(problem, {"eta": 0.1}, d=10, time=0.2, replicates=2, points=2)


@pytest.mark.slow
def test_a_tail_of_a_rare_cluster_widens_by_what_it_moves():
    """The same tail in half of the samples and in 0.2% of them: of the gradient of all it is 4% there, and so is the bar."""
    p = sp.Symbol("p", positive=True)
    data = gm.GaussianMixture(probabilities=[p, 1 - p], labels=[1, -1], means_gram=[[0.25, -0.25], [-0.25, 0.25]], variance=[1, 1])
    loss = gm.Loss("one_tail", gm.parse("log(1 + exp(-y*h)) + (1 + y)*10*log(1 + exp(8*(-7/2 - h)))"))
    system = gm.derive.dmf(gm.Problem(data, loss, gm.optimizers.gd()))
    values = {"alpha": 2.0, "eta": 1.0, "ridge": 0.0}
    half, few = (
        float(gm.solve(system, {**values, "p": share}, steps=2, samples=256, progress=False)["Q_error"].values.ravel()[-1])
        for share in (0.5, 0.002)
    )
    assert 0 < few < 0.2 * half


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cases", "count"),
    [
        (dmf_cases, 8),
        (online_cases, 4),
        *(pytest.param(cases, 4, marks=pytest.mark.exhaustive) for cases in (simulation_cases, finite_cases)),
    ],
    ids=["dmf", "online", "simulation", "finite size"],
)
def test_error_bars_cover_and_do_not_shout(cases, count):
    """A subsample of tests/benchmarks/bench_coverage.py: few curves, so the share within 3 bars has room for one bad problem."""
    families = {"families": (0, 2)} if cases is dmf_cases else {}
    found = coverage(list(cases(count, seed=1, **families)))
    assert found.within[2] >= 0.93, found
    assert found.shouting <= 5, found
