"""Finite-size curves: what finite_size returns, what at_size makes of it, what is refused."""

import numpy as np
import pytest
import sympy as sp

import gmsym as gm
from gmsym.plotting import bands
from gmsym.symbols import eta, g, symbol, theta

LOGISTIC = gm.Problem(gm.GaussianMixture.symmetric(), gm.losses.logistic(), gm.optimizers.gd())
VALUES = {"sigma": 1.0, "mu_norm": 1.2, "eta": 1.0, "ridge": 0.05}


@pytest.fixture(scope="module")
def finite():
    return gm.solve(
        gm.derive.finite_size(LOGISTIC),
        {"alpha": 1.5, **VALUES},
        steps=6,
        population=300,
        populations=2,
        replicates=20,
        samples=1024,
        scrambles=2,
        progress=False,
    )


@pytest.mark.slow
def test_curves_of_a_size_are_the_limit_with_bias_and_a_scaled_deviation(finite):
    curves = gm.at_size(finite, 600)
    assert curves.attrs["n"] == 600 and curves.attrs["d"] == 400
    for name in ("m", "Q", "Q_k", "train_loss", "test_loss", "test_error"):
        np.testing.assert_allclose(curves[name], finite[name] + finite[f"{name}_bias"] / 600)
        np.testing.assert_allclose(curves[f"{name}_deviation"], finite[f"{name}_deviation"] / np.sqrt(600))
        assert f"{name}_bias" not in curves
        assert curves[name].attrs == finite[name].attrs


@pytest.mark.slow
def test_one_step_on_pure_noise_has_the_curves_of_wishart_matrices():
    """l = h^2/2: E Q_1 = 1 - 2 eta + eta^2 (1 + (d + 1)/n), so the bias is eta^2; n Var(Q_1) by the delta method."""
    rate, ratio = 0.5, 2.0
    noise = gm.GaussianMixture(probabilities=[1], labels=[0], means_gram=[[0]], variance=[1])
    problem = gm.Problem(noise, gm.losses.squared(), gm.optimizers.gd())
    finite = gm.solve(
        gm.derive.finite_size(problem), {"alpha": ratio, "eta": rate}, steps=2, replicates=600, population=2000, samples=256, progress=False
    )
    q = finite.isel(time=1, field=0, field_b=0)
    slope = -2 * rate + rate**2 * (2 + 1 / ratio)
    assert float(q["Q"]) == pytest.approx(1 - 2 * rate + rate**2 * (1 + 1 / ratio), abs=1e-9)
    assert float(q["Q_deviation"]) ** 2 == pytest.approx(2 * slope**2 + 2 * rate**4 / ratio, rel=0.06)
    assert float(q["Q_bias_error"]) < 0.05
    assert abs(float(q["Q_bias"]) - rate**2) < 3.5 * float(q["Q_bias_error"])
    assert "finite-size shift" in finite["Q_bias"].attrs["long_name"]


def test_the_limit_is_that_of_solve(finite):
    limit = gm.solve(LOGISTIC, {"alpha": 1.5, **VALUES}, steps=6, samples=1024, scrambles=2, progress=False)
    np.testing.assert_array_equal(finite["m"], limit["m"].sel(time=finite["time"]))


def test_the_picture_shows_limit_band_and_runs(finite):
    curves = gm.at_size(finite, 600)
    runs = gm.simulate(LOGISTIC, VALUES, n=600, d=400, steps=6, replicates=4, progress=False)
    ax = bands(finite, curves, runs, quantities=["train_loss"])[0]
    dotted, line = ax.get_lines()[:2]
    np.testing.assert_array_equal(dotted.get_ydata(), finite["train_loss"])
    np.testing.assert_array_equal(line.get_ydata(), curves["train_loss"])
    low, high = ax.collections[0].get_datalim(ax.transData).intervaly
    assert low == pytest.approx(float((curves["train_loss"] - curves["train_loss_deviation"]).min()))
    assert high == pytest.approx(float((curves["train_loss"] + curves["train_loss_deviation"]).max()))
    with pytest.raises(gm.InputError, match="both must be of one problem and size"):
        bands(finite, gm.at_size(finite, 300), runs)
    with pytest.raises(gm.InputError, match="at_size"):
        bands(finite, finite)


@pytest.mark.parametrize(
    ("problem", "values", "options", "message"),
    [
        ("logistic", {}, {}, "a Problem is needed"),
        (gm.Problem(gm.GaussianMixture.symmetric(), gm.losses.hinge(), gm.optimizers.gd()), {}, {}, "jumps where"),
        (LOGISTIC, {}, {"times": [6]}, "integers from 0 to steps - 1 = 5"),
        (LOGISTIC, {}, {"times": 2}, "times = 2"),
        (LOGISTIC, {}, {"population": 1}, "population = 1"),
        (LOGISTIC, {}, {"population": 5, "steps": 2}, "take population larger"),
        (LOGISTIC, {"alpha": 0}, {}, "alpha = 0"),
        (LOGISTIC, {"alpha": "a"}, {}, "alpha = 'a'"),
        (LOGISTIC, {"alpha": float("nan")}, {}, "alpha = nan"),
        (LOGISTIC, {}, {"seed": 2**70}, "seed is an integer of 71 bits"),
        (LOGISTIC, {}, {"populations": 1}, "populations = 1"),
        (LOGISTIC, {}, {"steps": 700, "population": 100}, "population = 100: 700 steps need"),
        (LOGISTIC, {"sigma": -1.0}, {}, "sigma"),
    ],
)
def test_bad_arguments_are_named(problem, values, options, message):
    with pytest.raises(gm.InputError, match=message):
        gm.solve(gm.derive.finite_size(problem), {"alpha": 1.5, **VALUES, **values}, **{"steps": 6, "progress": False, **options})


def test_an_optimizer_without_a_limit_is_refused():
    step = theta - eta * g
    rule = gm.Optimizer("soft_threshold", {"theta": sp.sign(step) * sp.Max(sp.Abs(step) - eta * symbol("l1"), 0)})
    with pytest.raises(gm.InputError, match="linear"):
        gm.solve(
            gm.derive.finite_size(gm.Problem(LOGISTIC.data, LOGISTIC.loss, rule)),
            {"alpha": 1.5, "l1": 0.1, **VALUES},
            steps=6,
            progress=False,
        )


def test_at_size_refuses_other_results():
    limit = gm.solve(LOGISTIC, {"alpha": 1.5, **VALUES}, steps=3, samples=256, scrambles=2, progress=False)
    with pytest.raises(gm.InputError, match=r"gmsym.derive.finite_size"):
        gm.at_size(limit, 100)
    with pytest.raises(gm.InputError, match=r"gmsym.derive.finite_size"):
        gm.at_size(None, 100)


@pytest.mark.parametrize("n", [0, 1, 2.5])
def test_at_size_refuses_sizes_without_a_sample_for_each_cluster(finite, n):
    with pytest.raises(gm.InputError, match="n = "):
        gm.at_size(finite, n)
