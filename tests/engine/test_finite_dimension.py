"""Online SGD at a finite dimension: the bias of order 1/d and the deviation of a run, against exact means and the chain."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sympy as sp

import gmsym as gm
from gmsym import derive, pipeline
from gmsym.engine.sde import Drift, slopes
from gmsym.pipeline.effective import arrays
from gmsym.runtime import nodes
from gmsym.system import Equations
from gmsym.system import sde as N
from gmsym.system.ode import t as clock
from tests.engine.test_ode import CASES, ONE, binary


def test_least_squares_on_noise_has_its_exact_mean():
    """x' = x - (c/d) (Y Y^T + beta) x: E |x'|^2 = |x|^2 (1 - A/d + B/d^2), so that Q = exp(-A t/c) (1 + (t/c) (B - A^2/2)/d + ...)."""
    c, beta, d, t = 0.8, 0.3, 50, np.linspace(0, 3, 4)
    problem = gm.Problem(ONE, gm.Loss("noise", gm.parse("h**2/2")), gm.optimizers.gd(), sampling=gm.sampling.online())
    limit, finite = (gm.solve(problem, {"eta": c, "ridge": beta}, time=t, d=size) for size in (None, d))
    A, B = 2 * c * (1 + beta) - c**2, c**2 * (beta**2 + 2 * beta + 2)
    Q = np.exp(-A * t / c)
    assert np.allclose(limit["Q"][:, 0, 0], Q, atol=1e-8)
    assert np.allclose(d * (finite["Q"] - limit["Q"])[:, 0, 0], Q * t / c * (B - A**2 / 2), atol=1e-5)
    assert np.allclose(finite["test_loss"] - limit["test_loss"], (finite["Q"] - limit["Q"])[:, 0, 0] / 2, atol=1e-8)
    assert "Q_deviation" not in limit and finite.attrs["d"] == d
    # E |x'|^4 = |x|^4 E(1 - 2 delta g^2 + ...)^2: the variance of log Q grows by 4 c^2 Var(g^2)/d^2 a step, d/c of them in a unit of time,
    # the terms of the corrector among them: Var(-2 g^2 + c g^2) = 2 (2 - c)^2.
    assert np.allclose(finite["Q_deviation"][:, 0, 0], Q * np.sqrt(2 * (2 - c) ** 2 * c * t / d), atol=1e-5)


def test_the_displayed_bias_is_the_one_computed():
    """Least squares on noise: |x'|^2 = Q - 2 delta h^2 + delta^2 |Y|^2 h^2 has F = (c - 2) Q, E chi = 2 Q and dF/dt = (c - 2)^2 Q. With
    the sign of the displayed equation turned round the rate of the bias turns its own."""
    c, Q, zeta = 0.8, 1.3, 0.4
    problem = gm.Problem(ONE, gm.Loss("noise", gm.parse("h**2/2")), gm.optimizers.gd(), sampling=gm.sampling.online())
    system = derive.fluctuations(problem)
    turned = [replace(e, rhs=-e.rhs) if e.lhs == sp.Derivative(N.zeta(clock), clock) else e for e in system.fluctuation]
    exact = (c - 2) * zeta + c * (2 * Q - (c - 2) ** 2 * Q / 2)
    numbers, start = arrays(problem.at({"eta": c}))
    for equations, sign in ((system.fluctuation, 1), (turned, -1)):
        module = pipeline.load(replace(system, fluctuation=Equations(equations)))
        field, rule = Drift(module, numbers, start, ()), nodes.rule(*module.SAMPLE_NODES, 1)
        rates = jax.jit(partial(slopes, field, rule, True))
        y = jnp.array([Q, 0.0]), jnp.eye(2), jnp.array([zeta, 0.0]), jnp.eye(2)
        assert abs(float(rates(jnp.asarray(0.0), y)[2][0]) - sign * exact) < 1e-9


def gaps(theory, runs):
    """Scores of the mean over runs of everything that fluctuates, and ratios of predicted and measured deviations of the state.

    The test loss of XOR is near a plateau, where its first derivative is small and the second makes a third of its deviation.
    """
    scores, ratios = [], []
    for name in ("Q", "m", "M", "trained", "test_loss", "test_error"):
        if name not in runs:
            continue
        measured = runs[f"{name}_runs"].std("replicate", ddof=1).values[1:]
        moves = measured > 1e-9
        error = np.hypot(runs[f"{name}_error"].values[1:], theory[f"{name}_error"].values[1:])
        scores.append(((runs[name] - theory[name]).values[1:] / np.where(moves, error, 1))[moves])
        if f"{name}_deviation" in theory and not name.startswith("test"):
            ratios.append((theory[f"{name}_deviation"].values[1:] / np.where(moves, measured, 1))[moves])
    return np.concatenate(scores), np.concatenate(ratios) if ratios else None


@pytest.mark.exhaustive
@pytest.mark.slow
@pytest.mark.parametrize("case", ["logistic", "xor", "taught"])
def test_the_chain_at_small_d_agrees_and_rejects_the_limit(case):
    """d = 40 for logistic and taught, 160 for XOR, whose test loss hardly fluctuates: 8000 runs."""
    build, setting = CASES[case]
    d = 160 if case == "xor" else 40
    setting = setting | {"eta": 0.5 if case == "xor" else 1.0}  # recorded times are then whole numbers of steps
    runs = gm.simulate(build(), setting, d=d, time=3.0, replicates=8000, points=4, seed=8, sampler="chain")
    limit, finite = (gm.solve(build(), setting, time=runs["time"].values, d=size, tolerance=1e-7) for size in (None, d))
    z, ratios = gaps(finite, runs)
    assert np.sqrt(np.mean(z**2)) < 1.6 and np.abs(z).max() < 4.5
    assert abs(np.mean(ratios) - 1) < 0.03 and np.abs(ratios - 1).max() < 0.1
    rejected, _ = gaps(limit, runs)
    assert np.abs(rejected).max() > 4.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"d": 0}, "d = 0: an integer of at least 1"),
        ({"d": 2.5}, "d = 2.5"),
    ],
)
def test_bad_dimensions_are_named(arguments, message):
    with pytest.raises(gm.InputError, match=message):
        gm.solve(binary(), {"eta": 1.0, "sigma": 1.0, "mu_norm": 1.0}, time=1.0, **arguments)


def test_losses_with_kinks_in_several_fields_have_no_bias():
    """|h|^2 = 1 is no line: the drift stays on fixed nodes."""
    loss = gm.Loss("rough", gm.parse("abs(h0**2 + h1**2 - 1)"))
    with pytest.raises(gm.InputError, match="kinks in several dimensions"):
        gm.solve(binary(loss), {"eta": 1.0, "sigma": 1.0, "mu_norm": 1.0}, time=1.0, d=100)
