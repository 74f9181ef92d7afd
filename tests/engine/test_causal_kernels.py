"""The causal solver against what is known in closed form, against itself in its other modes, and its errors and refusals."""

import numpy as np
import pytest
import scipy.optimize
import sympy as sp

import gmsym as gm
from derivations.squared_gd.expected import marchenko_pastur
from gmsym import derive, pipeline
from gmsym.engine.causal_kernels import solve_causal_kernels

LOGISTIC = gm.Problem(gm.GaussianMixture.symmetric(), gm.losses.logistic(), gm.optimizers.gd())
VALUES = {"sigma": 1.0, "mu_norm": 1.2, "eta": 1.0, "ridge": 0.05}


def noise_only(optimizer=None):
    data = gm.GaussianMixture(probabilities=[1], labels=[1], means_gram=[[0]], variance=[1])
    return gm.Problem(data, gm.losses.squared(), optimizer or gm.optimizers.gd(), norm2=0)


@pytest.mark.slow
def test_squared_loss_equals_the_marchenko_pastur_integrals():
    exact = marchenko_pastur(alpha=1.5, step=0.4, steps=60)
    theory = gm.solve(noise_only(), {"alpha": 1.5, "eta": 0.4}, steps=60, two_time=True)
    assert np.abs(theory.train_loss - exact["train_loss"]).max() < 1e-8
    assert np.abs(theory.Q[:, 0, 0] - exact["Q"]).max() < 1e-8
    assert np.abs(theory["Q_two_time"][:, :, 0, 0] - exact["two_time"]).max() < 1e-8
    assert np.abs(theory["C_two_time"][:, :, 0, 0] - exact["residual"]).max() < 1e-8
    # The reported error covers the gap at the end, where it is largest.
    assert abs(theory.Q[-1, 0, 0] - exact["Q"][-1]) < theory.Q_error[-1, 0, 0] + 1e-12
    assert "samples" not in theory.attrs


@pytest.mark.slow
def test_sampled_modes_agree_with_the_unsampled_one():
    system = derive.dmf(noise_only())
    exact = gm.solve(system, {"alpha": 1.5, "eta": 0.4}, steps=30)
    for response in ("tangent", "stein"):
        sampled = gm.solve(derive.dmf(noise_only(), response=response), {"alpha": 1.5, "eta": 0.4}, steps=30, samples=4096)
        for name in ("Q", "train_loss"):
            gap = np.abs(sampled[name] - exact[name]).values
            assert gap.max() < 5e-3, f"{response}: {name} is off by {gap.max()}"


@pytest.mark.slow
def test_tangents_and_stein_agree_on_a_smooth_loss():
    tangent, stein = (gm.solve(derive.dmf(LOGISTIC, response=way), {"alpha": 1.5, **VALUES}, steps=20) for way in ("tangent", "stein"))
    for name in ("m", "Q", "train_loss", "test_loss", "test_error"):
        error = np.hypot(tangent[f"{name}_error"], stein[f"{name}_error"]).values
        assert (np.abs(tangent[name] - stein[name]).values <= 8 * error + 1e-12).all(), name


def test_the_error_bars_are_of_the_right_size():
    """Independent seeds scatter as much as their error bars say: mean squared score of order one over many curves and times."""
    system = derive.dmf(LOGISTIC)
    first, second = (gm.solve(system, {"alpha": 1.5, **VALUES}, steps=30, samples=1024, scrambles=8, seed=seed) for seed in (1, 2))
    scores = []
    for name in ("m", "Q", "train_loss"):
        error = np.hypot(first[f"{name}_error"], second[f"{name}_error"]).values[2:]
        scores.append(((first[name] - second[name]).values[2:] / error).ravel())
    rms = np.sqrt(np.mean(np.concatenate(scores) ** 2))
    assert 0.3 < rms < 3


@pytest.mark.exhaustive
@pytest.mark.slow
def test_the_error_bars_cover_the_innovation_tolerance():
    """The effect of the tolerance is part of the error: a solution at a tolerance a thousand times finer lies within it."""
    system = derive.dmf(gm.Problem(gm.GaussianMixture.symmetric(), gm.losses.logistic(), gm.optimizers.heavy_ball()))
    numbers = pipeline.numbers(system.problem.at({"momentum": 0.6, **VALUES, "alpha": 1.5}))
    default, finer = (solve_causal_kernels(pipeline.load(system), numbers, steps=40, samples=4096, tolerance=tol) for tol in (1e-6, 1e-9))
    for name in ("m", "Q", "test_error", "train_loss"):
        gap = np.abs(default.values[name] - finer.values[name])
        assert (gap <= 6 * np.hypot(default.errors[name], finer.errors[name]) + 1e-12).all(), name


@pytest.mark.exhaustive
@pytest.mark.slow
def test_the_error_bars_cover_the_quadrature():
    """Five classes at Q = I: the misclassification probability 4/5 comes from sampled nodes, whose error is in the error bar."""
    data = gm.GaussianMixture(probabilities=[0.2] * 5, labels=np.eye(5).tolist(), means_gram=np.eye(5).tolist(), variance=[1] * 5)
    system = derive.dmf(gm.Problem(data, gm.losses.softmax(5), gm.optimizers.gd()))
    first = gm.solve(system, {"alpha": 2.0, "eta": 1.0}, steps=1, samples=256).isel(time=0)
    assert 0 < abs(float(first.test_error) - 0.8) < 4 * float(first.test_error_error) + 1e-12


def test_the_same_arguments_give_the_same_numbers():
    first, second = (gm.solve(LOGISTIC, {"alpha": 1.5, **VALUES}, steps=10, samples=512) for _ in range(2))
    assert first.equals(second)


def test_a_longer_run_begins_with_the_shorter_one():
    """The system is causal, and the pilot's choice of room for innovations does not change the numbers beyond the tolerance."""
    short, long = (gm.solve(LOGISTIC, {"alpha": 1.5, **VALUES}, steps=steps, samples=1024) for steps in (20, 70))
    assert np.abs(long.m[:20] - short.m).max() < 1e-4
    assert np.abs(long.Q[:20] - short.Q).max() < 1e-4


def test_one_step_is_what_pencil_and_paper_give():
    """From Theta_0 = 0: m_k(1) = eta y_k |mu|^2 / 2 for logistic loss, Q(1,1) = eta^2 (|mu|^2 + sigma^2/alpha) / 4."""
    theory = gm.solve(
        gm.Problem(gm.GaussianMixture.symmetric(), gm.losses.logistic(), gm.optimizers.gd(), norm2=0), {"alpha": 2.0, **VALUES}, steps=2
    )
    assert np.allclose(theory.m[1, :, 0], [0.72, -0.72], atol=1e-12)
    assert np.allclose(theory.Q[1, 0, 0], (1.44 + 1 / 2.0) / 4, atol=1e-12)
    assert np.allclose(theory.test_error[0], 0.5) and np.allclose(theory.train_loss[0], np.log(2))


def test_divergence_is_reported_with_its_step_and_quantity():
    with pytest.raises(gm.ComputationError, match=r"diverged: \|\w+\| = .* at step \d+ of 2000"):
        gm.solve(noise_only(), {"alpha": 1.5, "eta": 5.0}, steps=2000)
    steep = gm.Problem(gm.GaussianMixture.symmetric(), gm.losses.exponential(), gm.optimizers.gd())
    with pytest.raises(gm.ComputationError, match="at step"):
        gm.solve(steep, {"alpha": 0.5, "sigma": 1.0, "mu_norm": 1.0, "eta": 50.0}, steps=200, samples=512)


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ({}, {"samples": 1000}, "samples = 1000: a power of two is needed"),
        ({}, {"samples": 32}, "samples = 32: an integer of at least 64"),
        ({}, {"steps": 0}, "steps = 0"),
        ({}, {"steps": 2.5}, "steps = 2.5"),
        ({}, {"scrambles": 1}, "scrambles = 1"),
        ({}, {"rtol": 1e-3, "samples": 512}, "rtol = 0.001 chooses samples and scrambles"),
        ({}, {"rtol": 0.0}, "rtol = 0.0: a number between 0 and 1"),
        ({}, {"rtol": "fine"}, "rtol = 'fine': a number between 0 and 1"),
        ({}, {"seed": -1}, "seed = -1"),
        ({"alpha": -1.0}, {}, "alpha = -1.0"),
        ({"alpha": "1"}, {}, "alpha = '1'"),
        ({"eta": None}, {}, "eta = None"),
        ({"speed": 1.0}, {}, "unknown parameter 'speed'"),
    ],
)
def test_bad_arguments_are_named(values, options, message):
    with pytest.raises(gm.InputError, match=message):
        gm.solve(LOGISTIC, {"alpha": 1.5, **VALUES, **values}, **{"steps": 5, **options})


def test_progress_is_reported_to_the_end():
    fractions = []
    system = derive.dmf(LOGISTIC)
    numbers = pipeline.numbers(LOGISTIC.at({**VALUES, "alpha": 1.5}))
    solve_causal_kernels(pipeline.load(system), numbers, steps=40, samples=256, report=fractions.append)
    assert fractions[-1] == 1.0 and max(np.diff(fractions), default=0) <= 1 and len(fractions) >= 8


def ridge_fixed_point(p, y, gram, rho, variance, alpha, ridge):
    """Minimiser of the ridge-regularised squared loss for block covariances: stationary point of theory.md 2 for an affine gradient.

    V_k = (1/alpha) sum_b rho_b s_kb / D_b and D_b = ridge + sum_k p_k s_kb / (1 + V_k); given those, m and Q_k are linear.
    """
    clusters, blocks = variance.shape

    def width(V):
        return variance @ (rho / (ridge + (p / (1 + V)) @ variance)) / alpha

    V = np.ones(clusters)
    for _ in range(20000):
        V, before = width(V), V
        if np.abs(V - before).max() < 1e-15:
            break
    D = ridge + (p / (1 + V)) @ variance
    # Theta_b = -(sum_l p_l mu_l abar_l + noise)/D_b, abar_k = (m_k - y_k)/(1 + V_k).
    weight = (rho / D).sum()
    m = np.linalg.solve(np.eye(clusters) + weight * gram * (p / (1 + V)), weight * gram @ (p * y / (1 + V)))
    abar = (m - y) / (1 + V)
    signal = (p * abar) @ gram @ (p * abar)

    def residual(Q):
        c = (Q + (m - y) ** 2) / (1 + V) ** 2
        noise = (p * c) @ variance / alpha
        return np.array([(rho * variance[k] * (signal + noise) / D**2).sum() for k in range(clusters)]) - Q

    Q = scipy.optimize.fsolve(residual, np.ones(clusters), xtol=1e-14)
    c = (Q + (m - y) ** 2) / (1 + V) ** 2
    return m, Q, p @ c / 2


def test_ridge_regression_with_block_covariance_converges_to_its_closed_form():
    p, y = np.array([0.4, 0.6]), np.array([1.0, -1.0])
    gram = np.array([[1.0, -0.3], [-0.3, 0.8]])
    rho, variance = np.array([0.5, 0.3, 0.2]), np.array([[0.3, 1.0, 2.0], [1.5, 0.5, 0.2]])
    m, Q, loss = ridge_fixed_point(p, y, gram, rho, variance, alpha=0.8, ridge=0.2)
    data = gm.GaussianMixture(probabilities=p, labels=y, means_gram=gram, variance=variance, fractions=rho)
    problem = gm.Problem(data, gm.losses.squared(), gm.optimizers.heavy_ball())
    theory = gm.solve(problem, {"alpha": 0.8, "eta": 0.5, "momentum": 0.5, "ridge": 0.2}, steps=160).isel(time=-1)
    assert np.allclose(theory.m[:, 0], m, rtol=1e-7)
    assert np.allclose(theory.Q_k[:, 0, 0], Q, rtol=1e-7)
    assert np.isclose(theory.train_loss, loss, rtol=1e-7)


@pytest.mark.exhaustive
@pytest.mark.slow
def test_logistic_regression_converges_to_the_published_fixed_point():
    """Loureiro et al. 2021 (arXiv 2106.03791): m, Q_k, test error, train loss, each to 5e-4 with the gap covered by the error."""
    alpha = 0.482105
    data = gm.GaussianMixture(probabilities=[0.5, 0.5], labels=[1, -1], means_gram=[[1, -1], [-1, 1]], variance=[0.5, 0.5])
    problem = gm.Problem(data, gm.losses.logistic(), gm.optimizers.heavy_ball())
    theory = gm.solve(problem, {"alpha": alpha, "eta": 4.0, "momentum": 0.8, "ridge": 0.01 / alpha}, steps=400)
    final = theory.isel(time=-1)
    published = {"m": (1.60796, final.m[0, 0], final.m_error[0, 0]), "Q_k": (3.12106, final.Q_k[0, 0, 0], final.Q_k_error[0, 0, 0])}
    published |= {
        "test_error": (0.181366, final.test_error, final.test_error_error),
        "train_loss": (0.047113, final.train_loss, final.train_loss_error),
    }
    for name, (value, derived, error) in published.items():
        assert abs(derived - value) < 5e-4 * value, name
        rounding = 0.5 * 10.0 ** -(6 if value < 1 else 5)
        assert abs(derived - value) < 6 * error + rounding, f"{name}: gap {float(derived - value):.2e}, error {float(error):.2e}"
    assert np.abs(theory.m[-1] - theory.m[-50]).max() < 1e-6  # converged


@pytest.mark.exhaustive
@pytest.mark.slow
def test_errors_fall_like_one_over_samples_and_whitening_helps(monkeypatch):
    """Root mean square error of Q at t = 39 against the number of points: exponent near -1 for Sobol, near -1/2 for Monte Carlo."""
    from gmsym.comparison import fit_order
    from gmsym.engine import causal_kernels as engine
    from gmsym.runtime.points import monte_carlo, sobol, whiten

    system = derive.dmf(LOGISTIC)
    reference = float(gm.solve(system, {"alpha": 1.5, **VALUES}, steps=40, samples=2**15).Q[-1, 0, 0])
    sizes = [2**k for k in range(8, 13)]

    def order(points):
        monkeypatch.setattr(engine, "_points", lambda samples, rank, seed: points(samples, max(rank, 64), seed)[:rank])
        gaps = []
        for size in sizes:
            numbers = pipeline.numbers(LOGISTIC.at({**VALUES, "alpha": 1.5}))
            task = engine.Task(pipeline.load(system), numbers, steps=40, tolerance=1e-6, seed=0)
            _, runs = engine._scrambled(task, size, range(7, 15), lambda fraction: None)
            gaps.append(np.sqrt(np.mean([(float(run["Q"][-1, 0, 0]) - reference) ** 2 for run in runs])))
        return fit_order(sizes, gaps).exponent, gaps

    raw, raw_gaps = order(sobol)
    _, whitened_gaps = order(lambda *a: whiten(sobol(*a)))
    plain, plain_gaps = order(monte_carlo)
    assert -1.35 < raw < -0.75 and -0.8 < plain < -0.25, (raw, plain)
    assert np.mean(np.log(raw_gaps)) > np.mean(np.log(whitened_gaps)) and plain_gaps[-1] > 5 * raw_gaps[-1]


@pytest.mark.slow
def test_adams_bashforth_integrates_the_flow_at_its_order():
    """Overlap at time 4 of the flow: halving the step divides the error by 2, 4 (theory.md 4); the reference is AB2 at a small step."""

    def overlap(order, step):
        problem = gm.Problem(gm.GaussianMixture.symmetric(), gm.losses.squared(), gm.optimizers.adams_bashforth(order))
        final = gm.solve(problem, {"alpha": 1.5, "sigma": 1.0, "mu_norm": 1.2, "eta": step, "ridge": 0.05}, steps=round(4 / step) + 1).isel(
            time=-1
        )
        return float(final.m[0, 0])

    reference = overlap(3, 1 / 64)
    for order, low, high in ((1, 0.8, 1.2), (2, 1.6, 2.4)):
        errors = [abs(overlap(order, step) - reference) for step in (1 / 8, 1 / 16)]
        assert low < np.log2(errors[0] / errors[1]) < high, (order, errors)


def test_optimizer_schedules_see_the_step_counter():
    """A step that is zero from t = 3 on freezes the trajectory there."""
    step = sp.Piecewise((sp.Rational(1, 2), gm.symbols.t < 3), (0, True))
    theory = gm.solve(noise_only(gm.optimizers.gd(step=step)), {"alpha": 1.5}, steps=8)
    assert np.ptp(theory.Q[3:, 0, 0].values) == 0 and theory.Q[2, 0, 0] < theory.Q[3, 0, 0]
