"""Points chosen by the accuracy that is asked for: the bars hold what they promise, and what is not reached is said."""

import numpy as np
import pytest

import gmsym as gm
from gmsym.engine import accuracy
from gmsym.engine.bars import error_bar

LOGISTIC = gm.Problem(gm.GaussianMixture.symmetric(), gm.losses.logistic(), gm.optimizers.gd())
VALUES = {"alpha": 1.5, "sigma": 1.0, "mu_norm": 1.2, "eta": 1.0, "ridge": 0.05}
STEPS = 12
CURVES = ("m", "Q", "Q_k", "train_loss", "test_loss", "test_error")


def largest(result) -> float:
    return max(float(result[f"{name}_error"].max() / max(1.0, float(abs(result[name]).max()))) for name in CURVES)


def test_the_default_is_within_its_accuracy_of_many_points():
    found = gm.solve(LOGISTIC, VALUES, steps=STEPS)
    truth = gm.solve(LOGISTIC, VALUES, steps=STEPS, samples=2**13, scrambles=8, seed=5)
    assert found.attrs["rtol"] == 1e-4 and found.attrs["rtol_reached"] == pytest.approx(largest(found))
    assert found.attrs["rtol_reached"] <= 1e-4 and found.attrs["populations"] == 1 and found.attrs["samples"] <= 8192
    for name in CURVES:
        gap = np.abs(found[name] - truth[name]).values
        assert (gap <= 3 * np.hypot(found[f"{name}_error"], truth[f"{name}_error"]).values + 1e-12).all(), name
        assert gap.max() < 1e-4 * max(1.0, float(abs(truth[name]).max())), name


def test_less_is_cheaper_and_more_is_not_reached_in_silence(caplog):
    coarse = gm.solve(LOGISTIC, VALUES, steps=STEPS, rtol=1e-2)
    assert coarse.attrs["samples"] == 2048 and coarse.attrs["rtol_reached"] <= 1e-2 and not caplog.records
    fine = gm.solve(LOGISTIC, VALUES, steps=STEPS, rtol=1e-9)
    assert (fine.attrs["samples"], fine.attrs["populations"]) == (8192, 4) and fine.attrs["rtol_reached"] > 1e-9
    assert "rtol = 1e-09 is not reached" in caplog.text


@pytest.mark.parametrize("order", [0.75, 1.0])
def test_the_bar_of_one_run_holds_it(order):
    """Errors that fall like points^-order, of which the smaller runs show a part: one bar holds at least two of three, three nearly all."""
    rng, ratio, count = np.random.default_rng(0), 16, 4000
    run, smaller = rng.normal(size=count), ratio**order * rng.normal(size=(4, count))
    bar = error_bar([run], list(smaller), ratio)
    assert np.mean(np.abs(run) < bar) > 0.68 and np.mean(np.abs(run) < 3 * bar) > 0.99
    assert np.median(bar) < 5 * np.median(np.abs(run))


def test_as_many_points_as_the_errors_need():
    """Errors 1/N: the smallest size whose bar is within the accuracy, without a run of one that the spread rules out."""
    taken = []

    def solve(samples, chosen, cheaper):
        taken.append((samples, list(chosen), cheaper))
        return [{"Q": 1 + np.random.default_rng(i).normal(size=3) / samples} for i in chosen]

    sizes = accuracy.Sizes(512, (2048, 4096, 8192), 0.75)
    found = accuracy.to_accuracy(solve, sizes, 1.5e-3, lambda run: list(run))
    assert found.samples == 4096 and len(found.runs) == 1 and taken[-1] == (4096, [0], False)
    beyond = accuracy.to_accuracy(solve, sizes, 1e-6, lambda run: list(run))
    assert (
        beyond.samples == 8192
        and len(beyond.runs) == accuracy.MOST
        and taken[-3:]
        == [
            (512, [4, 5, 6, 7], True),
            (8192, [0], False),
            (8192, [1, 2, 3], False),
        ]
    )
