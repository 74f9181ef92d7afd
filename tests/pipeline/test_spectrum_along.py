"""Spectra along one-pass SGD: transitions in time against an independent calculation with the functional inverse of the transform."""

import numpy as np
import pytest
from scipy.interpolate import CubicSpline
from scipy.optimize import brentq

import gmsym as gm
from tests.effective_logistic import trajectory

ALPHA, UNIT = 20.0, {"sigma": 1.0, "mu_norm": 1.0}


@pytest.fixture(scope="module")
def states():
    """verified/effective.md 5, config A."""
    return trajectory(np.arange(0.0, 9.01, 0.25))


def problem():
    return gm.Problem(gm.GaussianMixture.symmetric(), gm.losses.logistic(), gm.optimizers.gd())


def transition(states, side, bracket, beyond=0.0):
    """Time at which an eigenvalue of D vanishes at an edge (or `beyond` above it), by sums over 20001 fields and Brent's method."""
    xi = np.linspace(-9, 9, 20001)
    weights = np.exp(-(xi**2) / 2)
    weights /= weights.sum()
    m_of, Q_of = (CubicSpline(states["time"], states[name].values.reshape(states.sizes["time"], -1)[:, 0]) for name in "mQ")

    def lowest(time):
        m, Q = float(m_of(time)), float(Q_of(time))
        p = 1 / (1 + np.exp(m + np.sqrt(Q) * xi))
        A = p * (1 - p)
        slope = lambda s: 1 / s**2 - weights @ (A / (1 + s * A / ALPHA)) ** 2 / ALPHA  # noqa: E731
        inverse = lambda s: -1 / s + weights @ (A / (1 + s * A / ALPHA))  # noqa: E731
        low, high = (-ALPHA / A.max() * 0.98, -0.5) if side == "right" else (0.5, 400.0)
        s = brentq(slope, low, high, xtol=1e-14)
        z = inverse(s)
        if beyond:
            s = brentq(lambda u: inverse(u) - z - beyond, s, -1e-2, xtol=1e-14)
            z += beyond
        X = A / (1 + s * A / ALPHA)
        along, across = m / np.sqrt(Q), np.sqrt(1 - m**2 / Q)  # coordinates of mu along Theta and beside it
        y = along + xi  # the cluster -mu has the same A and the opposite coordinates
        q = np.array([[weights @ (X * y * y), weights @ (X * y) * across], [0.0, weights @ X * (1 + across**2)]])
        q[1, 0] = q[0, 1]
        eigenvalues = np.linalg.eigvalsh(z * np.eye(2) - q)
        return eigenvalues[0] if side == "right" else eigenvalues[-1]

    return brentq(lowest, *bracket, xtol=1e-9)


@pytest.mark.slow
def test_transitions_are_those_of_the_functional_inverse(states):
    """The right outlier is absorbed, later the left one detaches; times agree to 1e-5.

    verified/effective.md prints 6.8832 and 7.5442: there D was taken beside the edge, by 1e-6 of the width of the scanned gap, and
    S differs by the square root of that. 6.6e-7 gives its number back.
    """
    found = gm.solve(gm.derive.spectrum(problem()), {"alpha": ALPHA, **UNIT}, along=states, times=[6.0, 6.5, 7.0, 7.5, 8.0], points=64)
    assert found["transition_side"].values.tolist() == ["right", "left"]
    assert found["transition_kind"].values.tolist() == ["absorbed", "detaches"]
    expected = [transition(states, "right", (6.0, 7.5)), transition(states, "left", (7.0, 8.5))]
    assert np.abs(found["transition_time"].values - expected).max() < 1e-5
    assert transition(states, "right", (6.0, 7.5), beyond=6.6e-7) == pytest.approx(6.8832, abs=5e-4)
    # The overlap falls linearly to 0 at the transition.
    overlap = found["overlap"].isel(outlier=0).values
    assert overlap[1] / overlap[0] == pytest.approx((expected[0] - 6.5) / (expected[0] - 6.0), rel=0.1)
    assert found["gap"].isel(outlier=0).values[[0, 4]].tolist() == [1, 0]


def test_trained_parameters_are_read_from_the_trajectory(states):
    """A loss with a weight v that grows: the spectrum at a time is that of the state and the weight there."""
    v, h, y = (gm.symbols.symbol(name) for name in ("v", "h", "y"))
    other = gm.Problem(gm.GaussianMixture.symmetric(), gm.Loss("scaled", v**2 * (h - y) ** 2 / 2), gm.optimizers.gd())
    along = states.assign(v=("time", 1 + states["time"].values / 10))
    found = gm.solve(gm.derive.spectrum(other), {"alpha": 3.0, **UNIT}, along=along, times=[2.0, 5.0], points=32)
    high = (1 + 1 / np.sqrt(3)) ** 2
    assert found["edge"].values[:, 0, 1] == pytest.approx([1.2**2 * high, 1.5**2 * high], rel=1e-9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.drop_vars("Q"), "lacks the variable 'Q'"),
        (lambda s: s.isel(time=[0, 1]), "2 times"),
        (lambda s: s.isel(cluster=[0]), "m has shape"),
        (lambda s: 3, "along = 3"),
    ],
)
def test_trajectories_that_do_not_fit_are_refused(states, change, message):
    with pytest.raises(gm.InputError, match=message):
        gm.solve(gm.derive.spectrum(problem()), {"alpha": ALPHA, **UNIT}, along=change(states))


def test_times_outside_the_trajectory_are_refused(states):
    with pytest.raises(gm.InputError, match="times"):
        gm.solve(gm.derive.spectrum(problem()), {"alpha": ALPHA, **UNIT}, along=states, times=[3.0, 30.0])
