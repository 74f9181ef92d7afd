"""`compare` goes by the kinds of its results: order parameters, spectra, fluctuations; and refuses what does not go together."""

import json

import numpy as np
import pytest
import xarray as xr

import gmsym as gm
from gmsym.comparison import Comparison, FluctuationComparison, SpectrumComparison
from gmsym.schema import to_dataset
from tests.comparison.test_spectrum import quantiles, runs, semicircle

STATE = json.dumps({"m": [[0.1]], "Q": [[1.0]]})
ABOUT = {"problem": "squared / gd", "matrix": "hessian", "alpha": 4.0, "parameters": "{}", "state": STATE}


def spectra(outliers=(3.6,), found=(3.6,), **about):
    """A semicircle with an outlier at its right, and two matrices of 400 rows with the eigenvalues of its quantiles."""
    theory = semicircle(outliers=outliers, gaps=(1,) * len(outliers)).assign_attrs(kind="spectrum", **ABOUT)
    values = np.stack([np.concatenate([quantiles(400), np.array(found) + e]) for e in (-0.01, 0.01)])
    size = {"n": 1600, "d": 400, "replicates": 2}
    return theory, runs(
        values, np.stack([np.full(values.shape[1], x) for x in (0.49, 0.51)]), kind="spectrum simulation", **ABOUT | size | about
    )


def fluctuations(count=600, d=50, times=(0.0, 1.0, 2.0), **about):
    """Online SGD whose Q and m are Gaussian with variances t and t/4, over d; and the law that says so."""
    rng, t = np.random.default_rng(3), np.array(times)
    Q = 1 + np.sqrt(t / d) * rng.standard_normal((count, len(t)))
    m = np.sqrt(t / 4 / d) * rng.standard_normal((count, len(t)))
    made = {"Q": Q[..., None, None], "m": m[..., None, None], "Q_k": Q[..., None, None, None], "test_loss": Q / 2}
    setting = {"problem": "noise / online", "step": 1.0, "parameters": {"eta": 1.0}, "d": d, "replicates": count}
    means = {name: x.mean(0) for name, x in made.items()}
    errors = {name: x.std(0, ddof=1) / np.sqrt(count) for name, x in made.items()}
    simulated = to_dataset("simulation", means, errors, setting, made, times=t)
    covariance = t[:, None, None] * np.diag([1.0, 0.25])
    names = ["Q", "m[0]"]
    law = xr.Dataset(
        {
            "covariance": (("time", "statistic", "statistic_b"), covariance),
            "covariance_error": (("time", "statistic", "statistic_b"), 0 * covariance),
        },
        {"time": t, "statistic": names, "statistic_b": names},
        {"kind": "fluctuations", "problem": "noise / online", "step": 1.0, "parameters": '{"eta": 1.0}'} | about,
    )
    return law, simulated


def test_order_parameters(made_up):
    comparison = gm.compare(*made_up(times=5))
    assert isinstance(comparison, Comparison) and comparison.agrees()


def test_spectra_have_a_distance_and_outliers():
    comparison = gm.compare(*spectra())
    assert isinstance(comparison, SpectrumComparison) and comparison.agrees() and comparison.distances.shape == (2,)
    assert comparison.distances == pytest.approx([1 / 401] * 2, rel=0.6)
    (row,) = comparison.outliers
    assert (row.side, row.z) == ("right", 3.6) and row.simulated == pytest.approx(3.6)
    assert "they agree" in repr(comparison) and "right" in comparison._repr_html_()


def test_a_wrong_outlier_or_a_wrong_bulk_disagrees():
    moved = gm.compare(*spectra(found=(3.75,)))
    assert not moved.agrees() and moved.max_abs_z > 10 and "DISAGREE" in repr(moved)
    theory, simulated = spectra()
    shifted = simulated.assign(eigenvalue=simulated["eigenvalue"] + xr.where(simulated["index"] < 400, 0.3, 0.0))
    assert gm.compare(theory, shifted).max_abs_z < 4 and not gm.compare(theory, shifted).agrees()


def test_covariances_have_scores():
    law, simulated = fluctuations()
    comparison = gm.compare(law, simulated)
    assert isinstance(comparison, FluctuationComparison) and comparison.agrees()
    assert {(row.first, row.second, row.time) for row in comparison.table()} >= {("Q", "Q", 1.0), ("Q", "m[0]", 2.0)}
    wrong = gm.compare(law.assign(covariance=1.5 * law["covariance"]), simulated)
    assert not wrong.agrees() and "DISAGREE" in repr(wrong)


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        (lambda: spectra(matrix="information"), "differ in matrix: 'hessian' and 'information'"),
        (lambda: spectra(state=json.dumps({"m": [[0.2]], "Q": [[1.0]]})), "at different states"),
        (lambda: spectra(alpha=4.1), "differ in alpha"),
        (lambda: (spectra()[0], fluctuations()[1]), "runs is of kind 'simulation'; a result of kind 'spectrum simulation' is needed"),
        (lambda: spectra()[::-1], "theory is of kind 'spectrum simulation'; a result of kind 'theory' or 'spectrum' or 'fluctuations'"),
        (lambda: (fluctuations(step=2.0)[0], fluctuations()[1]), "the step of online SGD: 2.0 and 1.0"),
        (lambda: (fluctuations(times=(0.0, 3.0))[0], fluctuations()[1]), "0 times in common|1 times in common"),
        (lambda: (fluctuations(over="eta")[0], fluctuations()[1]), "theory is over values of eta"),
    ],
)
def test_what_does_not_go_together_is_refused(pair, message):
    with pytest.raises(gm.InputError, match=message):
        gm.compare(*pair())
