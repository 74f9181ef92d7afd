"""Flow: the limit of small steps, independent grids, stated errors that cover, the simulation beside it."""

import numpy as np
import pytest

import gmsym as gm

DATA = gm.GaussianMixture(probabilities=[0.5, 0.5], labels=[1, -1], means_gram=[[1, -1], [-1, 1]], variance=[1, 0.5])
VALUES = {"alpha": 2.0, "ridge": 0.1}
TIMES = [0.0, 0.5, 1.0, 2.0, 4.0]


def problem(loss, optimizer):
    return gm.Problem(DATA, loss, optimizer, overlap=[0.1, -0.1])


@pytest.fixture(scope="module")
def squared():
    return gm.solve(problem(gm.losses.squared(), gm.optimizers.flow()), VALUES, time=TIMES)


def test_the_limit_of_gradient_descent_is_solved(squared):
    """Squared loss, nothing sampled: gradient descent at two steps, extrapolated, meets the flow within its stated error."""
    steps = {}
    for eta in (0.02, 0.01):
        found = gm.solve(problem(gm.losses.squared(), gm.optimizers.gd()), {**VALUES, "eta": eta}, steps=round(4 / eta) + 1)
        steps[eta] = found.isel(time=[round(t / eta) for t in TIMES])
    for name in ("m", "Q", "Q_k", "train_loss", "test_loss", "test_error"):
        limit = 2 * steps[0.01][name].values - steps[0.02][name].values
        gap = np.abs(squared[name].values - limit)
        assert gap.max() < 1e-4, name
        assert (gap <= 4 * squared[f"{name}_error"].values + 3e-6).all(), name  # the extrapolation's own error is of order eta^2
    assert np.abs(steps[0.01]["m"] - squared["m"].values).max() > 1e-4, "one step alone would not tell"
    assert squared.attrs["accuracy_reached"] == 1 and squared.attrs["time_error"] < 1e-3


def test_the_curvature_is_that_of_the_samples(squared):
    """Least squares has the Hessian of a sample covariance: its top is known from generated data."""
    rng, d, n = np.random.default_rng(0), 600, 1200
    labels = np.repeat([1.0, -1.0], n // 2)
    X = rng.normal(size=(n, d)) * np.sqrt(np.where(labels > 0, 1.0, 0.5))[:, None]
    X[:, 0] += labels
    top = np.linalg.eigvalsh(X.T @ X / n)[-1] + VALUES["ridge"]
    assert top < squared.attrs["curvature"] < 1.6 * top


def test_a_tighter_tolerance_moves_no_value_by_more_than_the_errors(squared):
    finer = gm.solve(problem(gm.losses.squared(), gm.optimizers.flow()), VALUES, time=TIMES, tolerance=1e-6)
    for name in ("m", "Q", "train_loss"):
        gap = np.abs(finer[name].values - squared[name].values)
        assert (gap <= 3 * np.hypot(finer[f"{name}_error"], squared[f"{name}_error"]).values + 1e-9).all(), name
    assert finer.attrs["evaluations"] > squared.attrs["evaluations"]


def test_the_simulated_flow_is_the_limit_of_training_on_the_same_data():
    """Logistic loss, a trained bias and the same seeds: gradient descent at steps that halve approaches the flow, to first order."""
    h, y, b = gm.symbols.h, gm.symbols.y, gm.symbols.symbol("b")
    loss = gm.Loss("biased", gm.parse("softplus(-y*(h + b))", {"h": h, "y": y, "b": b}))
    both = [
        gm.Problem(DATA, loss, x, overlap=[0.1, -0.1], trained=gm.Trained({"b": 0.3})) for x in (gm.optimizers.flow(), gm.optimizers.gd())
    ]
    size = {"n": 40, "d": 20, "replicates": 2, "seed": 3}
    flow = gm.simulate(both[0], VALUES | {"alpha": 2.0}, time=[0.0, 2.0], **size)
    gaps = []
    for eta in (0.1, 0.05):
        runs = gm.simulate(both[1], {**VALUES, "eta": eta}, steps=round(2 / eta) + 1, **size).isel(time=[0, -1])
        for name in ("m", "Q", "train_loss", "test_error", "trained"):
            assert np.abs(runs[f"{name}_runs"][:, 0] - flow[f"{name}_runs"].values[:, 0]).max() < 1e-12, name
        gaps.append([np.abs(runs[name][-1] - flow[name].values[-1]).max() for name in ("m", "Q", "train_loss", "trained")])
    assert np.abs(np.divide(*gaps) - 2).max() < 0.25, gaps


@pytest.mark.parametrize(
    "options, message",
    [
        ({"steps": 5}, "steps is no option"),
        ({}, "time is missing"),
        ({"time": -1.0}, "time = -1.0"),
        ({"time": [0.5, 1.0]}, "increasing times from 0"),
        ({"time": 1.0, "points": 1}, "points = 1"),
        ({"time": 1.0, "tolerance": 1.0}, "tolerance = 1.0"),
    ],
)
def test_bad_input(options, message):
    with pytest.raises(gm.InputError, match=message):
        gm.solve(problem(gm.losses.squared(), gm.optimizers.flow()), VALUES, **options)


@pytest.mark.exhaustive
@pytest.mark.slow
def test_logistic_flow_agrees_with_integrated_training():
    """n = 600, d = 400, 100 runs, to time 20: every curve; and a flow without ridge, to time 1000, within its evaluations."""
    flow = problem(gm.losses.logistic(), gm.optimizers.flow())
    theory = gm.solve(flow, VALUES, n=600, d=300, time=20.0)
    runs = gm.simulate(flow, VALUES, n=600, d=300, time=20.0, replicates=100)
    comparison = gm.compare(theory, runs)
    assert comparison.agrees() and comparison.rms_z < 1.8, str(comparison)
    assert theory.attrs["evaluations"] < 140
    steps = gm.simulate(problem(gm.losses.logistic(), gm.optimizers.gd()), {**VALUES, "eta": 0.5}, n=600, d=300, steps=41, replicates=100)
    worst = np.abs(steps["m"].values[-1] - theory["m"].values[-1]) / steps["m_error"].values[-1]
    assert worst.max() < 4  # at the fixed point the step does not matter
    long = gm.solve(flow, {**VALUES, "ridge": 0.0}, time=1000.0, samples=2048)
    assert long.attrs["evaluations"] < 800 and long.attrs["accuracy_reached"] == 1
