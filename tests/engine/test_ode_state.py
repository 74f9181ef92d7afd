"""Online SGD by rules with a state: momentum, running means, norms. Closed equations, plain SGD with a longer step, and training decide."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import sympy as sp

import gmsym as gm
from gmsym import pipeline
from gmsym.functions import Norm
from gmsym.pipeline.effective import arrays
from gmsym.runtime.ode import drift
from gmsym.symbols import eta, g, symbol, theta
from tests.engine.test_ode import binary, softmax, taught
from tests.guards import guards

BLOCKS = gm.GaussianMixture(
    probabilities=[0.4, 0.6], labels=[1, -1], means_gram=[[1, -0.5], [-0.5, 1]], variance=[[2, 0.2], [0.1, 1]], fractions=[0.4, 0.6]
)
v, clip = symbol("v"), symbol("clip")


def online(optimizer, case=None, **options):
    case = case or gm.Problem(BLOCKS, gm.losses.logistic(), optimizer, sampling=gm.sampling.online(), overlap=[0.2, -0.1], **options)
    return gm.Problem(
        case.data,
        case.loss,
        optimizer,
        sampling=gm.sampling.online(),
        norm2=case.norm2,
        overlap=case.overlap,
        teacher=case.teacher,
    )


def gap(one, other):
    return max(float(np.abs(one[x].values - other[x].values).max()) for x in ("m", "Q", "test_loss"))


@pytest.mark.slow
@pytest.mark.parametrize("name", guards(("heavy_ball", "nesterov", "weight_decay"), "heavy_ball"))
def test_momentum_over_a_few_steps_is_a_longer_step(name):
    """Heavy ball and Nesterov at c, and plain SGD at c/(1 - momentum), whose time is as much longer; decoupled decay and a ridge."""
    values, times = {"sigma": 0.8, "mu_norm": 1.2}, np.linspace(0, 2, 5)
    longer = gm.solve(binary(gm.losses.squared()), {"eta": 0.8, "ridge": 0.1, **values}, time=2.5 * times)
    case = online(gm.optimizers.CATALOG[name](), binary(gm.losses.squared()))
    if name == "weight_decay":
        assert gap(gm.solve(case, {"eta": 0.8, "weight_decay": 0.1, **values}, time=2.5 * times), longer) < 1e-8
    else:
        assert gap(gm.solve(case, {"eta": 0.32, "momentum": 0.6, "ridge": 0.1, **values}, time=times), longer) < 1e-8


RHO, S2, C, RIDGE, FRICTION = 1.44, 0.64, 0.8, 0.1, 0.7
SQUARED = online(gm.optimizers.lasting_momentum(), binary(gm.losses.squared()))
VALUES = {"eta": C, "sigma": 0.8, "mu_norm": 1.2, "ridge": RIDGE, "friction": FRICTION}


def by_hand(u):
    """d/dt of theta.theta, theta.v, v.v, theta.mu, v.mu for least squares on means +mu and -mu, typed from the rule."""
    q, r, w, m, n = u
    of_theta, of_v, square = S2 * q + m * m - m, S2 * r + m * n - n, S2 * q + (m - 1) ** 2
    return [
        2 * r,
        w - FRICTION * r - of_theta - RIDGE * q,
        -2 * (FRICTION * w + of_v + RIDGE * r) + C * S2 * square,
        n,
        -FRICTION * n - (S2 + RHO) * m + RHO - RIDGE * m,
    ]


def test_the_drift_of_a_velocity_that_lasts_is_the_one_typed_by_hand():
    module = pipeline.load(gm.derive.effective(SQUARED))
    numbers, start = arrays(SQUARED.at(VALUES), 2)
    q, r, w, m, n = u = 1.3, -0.4, 0.9, 0.35, -0.2
    state = start._replace(Q=jnp.array([[q, r], [r, w]]), m=jnp.array([[m, n], [-m, -n]]))
    found = drift(module, jnp.asarray(0.3), state, numbers, ())
    assert np.allclose([*np.array(found.Q)[[0, 0, 1], [0, 1, 1]], *np.array(found.m)[0]], by_hand(u), rtol=0, atol=1e-12)


@pytest.mark.slow
def test_least_squares_with_a_velocity_that_lasts():
    """Overlaps of Theta and the velocity against SciPy at 1e-12."""
    times = np.linspace(0, 5, 6)
    theory, velocity = gm.solve(SQUARED, VALUES, time=times), gm.solve(SQUARED, VALUES, time=times, of="v")
    exact = scipy.integrate.solve_ivp(lambda t, u: by_hand(u), (0, 5), [1.0, 0, 0, 0, 0], rtol=1e-12, atol=1e-12, t_eval=times).y
    assert np.allclose(theory["Q"][:, 0, 0], exact[0], rtol=0, atol=2e-8) and np.allclose(theory["m"][:, 0, 0], exact[3], atol=2e-8)
    assert np.allclose(velocity["Q"][:, 0, 0], exact[2], rtol=0, atol=2e-8) and np.allclose(velocity["m"][:, 0, 0], exact[4], atol=2e-8)


def test_what_online_sgd_does_not_report_of_a_rule_is_named():
    values = {"eta": 1.0, "momentum": 0.5}
    case = online(gm.optimizers.heavy_ball())
    with pytest.raises(gm.InputError, match="of = 'v': online SGD reports a state that keeps a value of order 1"):
        gm.solve(case, values, time=1.0, of="v")
    with pytest.raises(gm.InputError, match=r"averaged_gd' these are none; there t is a time, .* weight=eta/\(t \+ 1\)"):
        gm.solve(online(gm.optimizers.averaged(gm.optimizers.gd())), {"eta": 1.0}, time=1.0, of="average")
    with pytest.raises(gm.InputError, match="sizes differ between the blocks of a cluster here"):
        gm.derive.effective(online(gm.optimizers.sign_descent()))
    with pytest.raises(gm.InputError, match="solve at d = 100 is available for gradient descent"):
        gm.solve(case, values, time=1.0, d=100)
    with pytest.raises(gm.InputError, match="the chain .* is available for gradient descent"):
        gm.simulate(case, values, time=1.0, d=100, sampler="chain")
    for optimizer in (gm.optimizers.lasting_momentum(), gm.optimizers.norm_clipped()):
        with pytest.raises(gm.InputError, match="fluctuations are those of gradient descent"):
            gm.derive.fluctuations(online(optimizer))
    with pytest.raises(gm.InputError, match="online SGD with trained parameters of the loss takes rules whose state dies out"):
        gm.derive.effective(
            gm.Problem(
                BLOCKS,
                gm.Loss("biased", gm.parse("(h + bias - y)**2/2")),
                gm.optimizers.lasting_momentum(),
                sampling=gm.sampling.online(),
                trained=gm.Trained({"bias": 0}),
            )
        )


AVERAGED = gm.optimizers.averaged(gm.optimizers.heavy_ball(), weight=symbol("kappa") * eta)
CLIPPED = gm.Optimizer("clipped_velocity", {"theta": theta + eta * v, "v": v - eta * (v / 2 + g * sp.Min(1, clip / Norm(g)))})
SIGNS = gm.Optimizer("signs", {"theta": theta + v, "v": symbol("momentum") * v - eta * sp.sign(g)})
PLAIN = gm.GaussianMixture(
    probabilities=[0.6, 0.4], labels=[1, -1], means_gram=[[1.44, -1.0], [-1.0, 1.44]], variance=[1, sp.Rational(1, 2)]
)
PLAIN_CLASSES = gm.GaussianMixture(
    probabilities=[0.5, 0.3, 0.2], labels=sp.eye(3).tolist(), means_gram=(sp.eye(3) * 2).tolist(), variance=[1, sp.Rational(1, 2), 1]
)
CASES = {
    "a velocity that lasts, blocks": (online(gm.optimizers.lasting_momentum()), {"eta": 1.0, "friction": 0.7, "ridge": 0.05}, None),
    "softmax": (online(gm.optimizers.lasting_momentum(), softmax()), {"eta": 1.5, "friction": 0.7, "ridge": 0.02}, None),
    "a teacher": (online(gm.optimizers.lasting_momentum(), taught()), {"eta": 1.0, "friction": 0.7, "ridge": 0.02}, None),
    "mean of heavy ball": (online(AVERAGED), {"eta": 0.6, "momentum": 0.5, "kappa": 0.8, "ridge": 0.05}, "average"),
    "nesterov": (online(gm.optimizers.nesterov()), {"eta": 0.6, "momentum": 0.6, "ridge": 0.05}, None),
    "normalized": (online(gm.optimizers.normalized()), {"eta": 0.6}, None),
    "norm clipped": (online(gm.optimizers.norm_clipped()), {"eta": 1.5, "clip": 0.4}, None),
    "softmax, norm clipped": (online(gm.optimizers.norm_clipped(), softmax()), {"eta": 1.5, "clip": 0.3}, None),
    "clipped velocity": (online(CLIPPED), {"eta": 1.0, "clip": 0.4}, None),
    "signs": (gm.Problem(PLAIN, gm.losses.logistic(), gm.optimizers.sign_descent(), sampling=gm.sampling.online()), {"eta": 0.8}, None),
    "clipped by coordinate": (
        gm.Problem(PLAIN, gm.losses.hinge(), gm.optimizers.clipped(), sampling=gm.sampling.online()),
        {"eta": 1.5, "clip": 0.4},
        None,
    ),
    "softmax, signs and momentum": (
        gm.Problem(PLAIN_CLASSES, gm.losses.softmax(3), SIGNS, sampling=gm.sampling.online()),
        {"eta": 0.4, "momentum": 0.5},
        None,
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", guards(CASES, "a velocity that lasts, blocks"))
def test_theory_agrees_with_training(name):
    problem, values, of = CASES[name]
    given = {} if of is None else {"of": of}
    runs = gm.simulate(problem, values, d=800, time=3.0, replicates=40, points=4, seed=3, **given)
    theory = gm.solve(problem, values, time=runs["time"].values, tolerance=1e-5, **given)
    found = gm.compare(theory, runs)
    print(f"\n{name}: rms z {found.rms_z:.2f}\n{found}")
    assert found.agrees() and found.rms_z < 2.2, str(found)
    if name == "a velocity that lasts, blocks":  # the corrector, which the velocity feels first
        ode = gm.derive.effective(problem)
        wrong = gm.solve(ode, values | {"eta": 1e-6}, time=runs["time"].values, tolerance=1e-5)
        assert (abs(wrong["Q"] - runs["Q"]) / runs["Q_error"]).values[-1, 0, 0] > 20
