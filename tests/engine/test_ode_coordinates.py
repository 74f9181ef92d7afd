"""Online SGD in coordinates, with covariances that need not commute: equations integrated by hand, blocks, training, what is refused."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.stats import norm
from sklearn.datasets import load_digits

import gmsym as gm

D, ETA, RIDGE = 12, 0.6, 0.05
P, Y = np.array([0.4, 0.6]), np.array([1.0, -1.0])


def mixture(d, full=True):
    """Two clusters in the eigenbasis of their pooled covariance: (data, means, covariances)."""
    rng = np.random.default_rng(2)
    roots = rng.normal(size=(2, d, d)) * np.exp(0.5 * rng.normal(size=(2, 1, d)))
    matrices = roots @ roots.swapaxes(1, 2) / d
    _, basis = np.linalg.eigh(np.einsum("k,kij->ij", P, matrices))
    matrices, means = basis.T @ matrices @ basis, rng.normal(size=(2, d)) / np.sqrt(d)
    if not full:
        matrices = np.array([np.diag(np.diag(x)) for x in matrices])
    given = {"covariance": matrices} if full else {"variance": [np.diag(x) for x in matrices]}
    return gm.GaussianMixture(probabilities=P, labels=Y, means=means, **given), means, matrices


def hinge(d, full=True):
    data, means, matrices = mixture(d, full)
    start = np.random.default_rng(3).normal(size=d) / np.sqrt(d)
    problem = gm.Problem(data, gm.losses.hinge(), gm.optimizers.gd(), sampling=gm.sampling.online(), start=start)
    return problem, means, matrices, start


def by_hand(means, matrices, start, time, every_pair, p=P, y=Y):
    """D and N of the hinge loss, whose means are closed; N is diagonal, or whole."""
    d = len(start)
    spread = lambda x: x if every_pair else np.diag(np.diag(x))  # noqa: E731

    def law(state):
        mean, N = state[:d], state[d:].reshape(d, d)
        return mean, N, means @ mean, np.array([mean @ S @ mean + np.trace(S @ N) for S in matrices])

    def slope(t, state):
        mean, N, m, Q = law(state)
        dD, dN = -RIDGE * mean, -2 * RIDGE * N
        for k, S in enumerate(matrices):
            margin = (1 - y[k] * m[k]) / np.sqrt(Q[k])
            share, density = norm.cdf(margin), norm.pdf(margin) / np.sqrt(Q[k])
            dD = dD - p[k] * (-y[k] * share * means[k] + density * S @ mean)
            moved = spread(S) @ N
            dN = dN - p[k] * density * (moved + moved.T) + ETA / d * p[k] * share * spread(S + np.outer(means[k], means[k]))
        return np.concatenate([dD, dN.ravel()])

    end = solve_ivp(slope, (0, time), np.concatenate([start, np.zeros(d * d)]), rtol=1e-10, atol=1e-12).y[:, -1]
    _, _, m, Q = law(end)
    return m, Q, float(p @ norm.cdf(-y * m / np.sqrt(Q)))


@pytest.fixture(scope="module")
def solved():
    problem, *place = hinge(D)
    return problem, place, gm.solve(problem, {"eta": ETA, "ridge": RIDGE}, time=3.0, tolerance=1e-10).isel(time=-1)


@pytest.mark.slow
def test_the_closed_equations_integrated_by_scipy(solved):
    _, place, last = solved
    m, Q, error = by_hand(*place, 3.0, every_pair=False)
    assert np.allclose(last["m"].values[:, 0], m, atol=1e-8) and np.allclose(last["Q_k"].values[:, 0, 0], Q, atol=1e-8)
    assert abs(float(last["test_error"]) - error) < 1e-8


def test_pairs_of_coordinates_change_little_on_images():
    """The closure: the whole covariance of Theta over samples, for the diagonal one, on a mixture fitted to digits (d = 64): 2e-5 in the
    test error. Between random covariances that differ as much as `mixture` makes them it is up to 4e-3."""
    digits = load_digits()
    data = gm.GaussianMixture.fit(digits.data, np.where(digits.target % 2, 1, -1), clusters="class")
    p, y = (np.array([float(x) for x in given]) for given in (data.probabilities, [label for (label,) in data.labels]))
    place = data.embedded.means.array, data.embedded.matrices, np.random.default_rng(1).normal(size=64) / 8
    one, other = (by_hand(*place, 2.0, every_pair, p, y)[2] for every_pair in (False, True))
    assert 1e-7 < abs(one - other) < 1e-4


@pytest.mark.exhaustive
@pytest.mark.slow
def test_diagonal_covariances_are_those_of_matrices():
    problem, means, matrices, start = hinge(D, full=False)
    whole = gm.GaussianMixture(probabilities=P, labels=Y, means=means, covariance=matrices)
    values, options = {"eta": ETA, "ridge": RIDGE}, {"time": 2.0, "tolerance": 1e-8}
    one = gm.solve(problem, values, **options)
    other = gm.solve(gm.Problem(whole, problem.loss, problem.optimizer, sampling=problem.sampling, start=start), values, **options)
    for name in ("m", "Q", "Q_k", "test_loss", "test_error"):
        assert float(abs(one[name] - other[name]).max()) < 1e-8, name


@pytest.mark.exhaustive
@pytest.mark.slow
def test_gradients_through_the_solve(solved):
    problem, *_ = solved
    _, slopes = gm.gradient(problem, {"eta": ETA, "ridge": RIDGE}, ["ridge"], time=3.0, tolerance=1e-9)
    ends = [float(gm.solve(problem, {"eta": ETA, "ridge": x}, time=3.0, tolerance=1e-10)["test_loss"][-1]) for x in (0.0499, 0.0501)]
    assert abs(slopes["ridge"] - (ends[1] - ends[0]) / 2e-4) < 1e-5


def test_what_has_no_coordinates_is_refused():
    problem, *_ = hinge(D)
    with pytest.raises(gm.InputError, match="does not treat mixtures in coordinates"):
        gm.solve(problem, {"eta": ETA}, time=1.0, d=50)
    with pytest.raises(gm.InputError, match="does not treat mixtures in coordinates"):
        gm.derive.fluctuations(problem)
    for optimizer in (gm.optimizers.lasting_momentum(), gm.optimizers.normalized()):
        with pytest.raises(gm.InputError, match="in coordinates derive.effective treats gradient descent and momentum"):
            gm.derive.effective(replace(problem, optimizer=optimizer))
    with pytest.raises(gm.InputError, match="d = 5: the mixture is in 12 coordinates"):
        gm.simulate(problem, {"eta": ETA}, d=5, time=1.0)


def test_momentum_over_a_few_steps_is_a_longer_step_in_coordinates():
    problem, *_ = hinge(D)
    heavy = gm.solve(replace(problem, optimizer=gm.optimizers.heavy_ball()), {"eta": ETA / 2, "momentum": 0.5, "ridge": RIDGE}, time=1.0)
    plain = gm.solve(problem, {"eta": ETA, "ridge": RIDGE}, time=2.0)
    assert float(heavy["Q"][-1, 0, 0]) == pytest.approx(float(plain["Q"][-1, 0, 0]), rel=1e-7)


@pytest.mark.slow
def test_theory_agrees_with_online_sgd_and_commuting_covariances_do_not():
    """d = 100, 24 runs; the same runs reject the diagonals of the covariances."""
    problem, means, matrices, start = hinge(100)
    values = {"eta": 0.3, "ridge": RIDGE}
    runs = gm.simulate(problem, values, time=3.0, replicates=24, points=9, seed=1)
    comparison = gm.compare(gm.solve(problem, values, time=runs["time"].values, tolerance=1e-6), runs)
    assert comparison.agrees(), str(comparison)
    diagonal, *_ = hinge(100, full=False)
    wrong = gm.solve(diagonal, values, time=runs["time"].values, tolerance=1e-6)
    wrong.attrs["problem_signature"] = runs.attrs["problem_signature"]  # compared on purpose
    assert not gm.compare(wrong, runs).agrees()
