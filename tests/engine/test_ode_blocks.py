"""Effective dynamics with covariances by blocks of coordinates: exact reductions, a linear equation solved by hand, online SGD."""

import numpy as np
import pytest
import scipy.linalg
import sympy as sp
from scipy.integrate import solve_ivp

import gmsym as gm
from tests.engine.test_ode import LOGISTIC, binary

MEANS = {"probabilities": [0.4, 0.6], "labels": [1, -1], "means_gram": [[1.44, -0.5], [-0.5, 1.0]]}
SETTING = {"eta": 1.5, "ridge": 0.05}


def mixed(variance, fractions, loss=None, **options):
    data = gm.GaussianMixture(**MEANS, variance=variance, fractions=fractions)
    return gm.Problem(
        data, loss or gm.losses.logistic(), gm.optimizers.gd(), sampling=gm.sampling.online(), **{"overlap": [0.1, -0.1], **options}
    )


def apart():
    """One cluster is noisy in a quarter of the coordinates, the other one in the rest."""
    return mixed([[3.0, 0.2], [0.1, 1.0]], [sp.Rational(1, 4), sp.Rational(3, 4)])


def taught_hinge():
    """A teacher with an overlap with the means, a loss with kinks in both fields, three blocks."""
    loss = gm.Loss("taught_hinge", gm.parse("max(0, 1 - sign(t0)*h)"))
    teacher = gm.Teacher([[1]], overlap=[0.1], means_overlap=[[0.3, -0.2]])
    return mixed([[2.0, 0.3, 0.5], [0.2, 0.5, 2.5]], [0.2, 0.5, 0.3], loss, teacher=teacher)


# --- exact ------------------------------------------------------------------------------------------------------------

THIRDS = [0.1, 0.15, 0.75]


def hinge(variance, fractions=None):
    """Closed means; the same setting throughout, so that problems of as many blocks share a compiled function."""
    problem = mixed(variance, fractions, gm.losses.hinge())
    return problem, gm.solve(problem, SETTING, time=4.0, tolerance=1e-11)


def test_blocks_of_equal_variance_are_one_block():
    one, equal = hinge([0.7, 1.3])[1], hinge([[0.7] * 3, [1.3] * 3], THIRDS)[1]
    for name in ("m", "Q", "Q_k", "test_loss", "test_error"):
        assert float(abs(one[name] - equal[name]).max()) < 1e-9, name
    for name in ("m", "Q"):
        assert np.allclose(equal[f"{name}_b"] / equal[name], np.reshape(THIRDS, (1, 3, 1, 1)), atol=1e-8)  # each block keeps its share


def test_how_a_block_is_split_changes_nothing():
    one, other = hinge([[3, 3, 0.2], [0.1, 0.1, 1]], THIRDS)[1], hinge([[3, 0.2, 0.2], [0.1, 1, 1]], [0.25, 0.35, 0.4])[1]
    for name in ("m", "Q", "Q_k", "test_loss", "test_error"):
        assert float(abs(one[name] - other[name]).max()) < 1e-9, name
    for name in ("m_b", "Q_b"):
        assert np.allclose(one[name].isel(block=[0, 1]).sum("block"), other[name].isel(block=0), atol=1e-9)
        assert np.allclose(one[name].isel(block=2), other[name].isel(block=[1, 2]).sum("block"), atol=1e-9)


def test_least_squares_has_the_solution_of_a_linear_equation():
    """No means, a linear teacher: a = h - tau, so M_b and Q_b obey a linear equation, solved by a matrix exponential.

    dM_b/dt = -s_b (M_b - rho_b T); dQ_b/dt = -2 s_b (Q_b - M_b) + c rho_b s_b sum_a s_a (Q_a - 2 M_a + rho_a T); s the variances.
    """
    rho, s, c, T = np.array([0.2, 0.3, 0.5]), np.array([2.0, 0.1, 0.7]), 0.6, 1.5
    data = gm.GaussianMixture(probabilities=[1], labels=[0], means_gram=[[0]], variance=[s.tolist()], fractions=rho.tolist())
    loss, teacher = gm.Loss("linear", gm.parse("(h - t0)**2/2")), gm.Teacher([[T]], overlap=[0.4])
    problem = gm.Problem(data, loss, gm.optimizers.gd(), sampling=gm.sampling.online(), norm2=0.8, teacher=teacher)
    theory = gm.solve(problem, {"eta": c}, time=3.0)
    noise = c * np.outer(rho * s, s)
    matrix = np.block([[-np.diag(s), np.zeros((3, 3))], [2 * np.diag(s) - 2 * noise, noise - 2 * np.diag(s)]])
    constant = np.concatenate([s * rho * T, noise @ rho * T])
    fixed = np.linalg.solve(matrix, -constant)
    start = np.concatenate([0.4 * rho, 0.8 * rho])
    exact = fixed + scipy.linalg.expm(3.0 * matrix) @ (start - fixed)
    last = theory.isel(time=-1)
    assert np.allclose(np.concatenate([last["M_b"].values.ravel(), last["Q_b"].values.ravel()]), exact, rtol=0, atol=2e-9)
    assert theory.attrs["nodes"] == 0


def test_hinge_follows_equations_integrated_by_scipy():
    """E a = -y Phi((1 - y m)/sqrt V) and the density of the margin as the mean Hessian, with m and V summed over blocks."""
    variance, rho = np.array([[3.0, 0.2, 0.6], [0.1, 1.0, 0.4]]), np.array(THIRDS)
    gram, p, y = np.array(MEANS["means_gram"]), np.array(MEANS["probabilities"]), np.array([1.0, -1.0])

    def slope(t, state):
        Q, m = state[:3], state[3:].reshape(3, 2)  # (block,), (block, cluster)
        change, drift = -2 * SETTING["ridge"] * Q, -SETTING["ridge"] * m
        for k in range(2):
            deviation = np.sqrt(variance[k] @ Q)
            margin = (1 - y[k] * m[:, k].sum()) / deviation
            below, density = scipy.stats.norm.cdf(margin), scipy.stats.norm.pdf(margin) / deviation
            a = -y[k] * below
            change = change - 2 * p[k] * (a * m[:, k] + density * variance[k] * Q) + SETTING["eta"] * rho * p[k] * variance[k] * below
            drift = drift - p[k] * (a * np.outer(rho, gram[k]) + density * variance[k][:, None] * m)
        return np.concatenate([change, drift.ravel()])

    start = np.concatenate([rho, np.outer(rho, [0.1, -0.1]).ravel()])
    exact = solve_ivp(slope, (0, 4), start, rtol=1e-11, atol=1e-12).y[:, -1]
    last = hinge(variance.tolist(), THIRDS)[1].isel(time=-1)
    found = np.concatenate([last["Q_b"].values.ravel(), last["m_b"].values.ravel()])
    assert np.allclose(found, exact, rtol=0, atol=1e-8)


def test_overlaps_cross_by_block():
    problem, theory = hinge([[3.0, 0.2, 0.6], [0.1, 1.0, 0.4]], THIRDS)
    value = theory["m_b"].isel(time=25, block=1, cluster=0).item()
    assert abs(gm.crossing_time(problem, SETTING, "m_b", (1, 0, 0), value, time=3.0) - 1.0) < 1e-7
    with pytest.raises(gm.InputError, match=r"m_b\[3, 0, 0\] is no order parameter here; .* m_b \(3, 2, 1\)"):
        gm.crossing_time(problem, SETTING, "m_b", (3, 0, 0), 0.5, time=1.0)
    with pytest.raises(gm.InputError, match=r"Q_b\[0, 0, 0\] is no order parameter here"):
        gm.crossing_time(binary(), LOGISTIC, "Q_b", (0, 0, 0), 0.5, time=1.0)


@pytest.mark.exhaustive
@pytest.mark.slow
def test_sums_over_blocks_cross_and_tuning_lowers_the_loss():
    value = gm.solve(apart(), SETTING, time=[0.0, 1.0])["m"].isel(time=-1, cluster=0).item()
    assert abs(gm.crossing_time(apart(), SETTING, "m", (0, 0), value, time=3.0) - 1.0) < 1e-7
    best, history, _ = gm.tune(apart(), {"eta": 0.3, "ridge": 0.05}, ["eta"], samples=3.0)
    assert best["eta"] != 0.3 and history[-1] < history[0]


# --- against online SGD -----------------------------------------------------------------------------------------------


@pytest.mark.exhaustive
@pytest.mark.slow
@pytest.mark.parametrize("build", [apart, taught_hinge])
def test_theory_agrees_with_online_sgd_and_isotropic_averages_do_not(build):
    """d = 1000, 32 runs, overlaps of every block too; the same runs reject clusters of the average variance."""
    problem = build()
    runs = gm.simulate(problem, SETTING, d=1000, time=4.0, replicates=32, points=9, seed=4)
    comparison = gm.compare(gm.solve(problem, SETTING, time=runs["time"].values), runs)
    assert {"m_b", "Q_b"} <= set(comparison.z) and comparison.agrees(), str(comparison)
    assert comparison.rms_z < 2, str(comparison)
    average = (problem.data.variance * sp.Matrix(problem.data.fractions)).T.tolist()[0]
    data = gm.GaussianMixture(**MEANS, variance=average)
    isotropic = gm.Problem(
        data, problem.loss, problem.optimizer, sampling=gm.sampling.online(), overlap=problem.overlap, teacher=problem.teacher
    )
    wrong = gm.solve(isotropic, SETTING, time=runs["time"].values)
    wrong.attrs["problem_signature"] = runs.attrs["problem_signature"]  # compared on purpose
    assert not gm.compare(wrong, runs.drop_dims("block")).agrees()
