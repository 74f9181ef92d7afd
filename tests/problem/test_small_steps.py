"""What an update rule does over many small steps: what lasts, what dies out and makes the step longer, and what has no limit."""

import numpy as np
import pytest
import sympy as sp

import gmsym as gm
from gmsym.errors import InputError
from gmsym.functions import Norm
from gmsym.problem import Optimizer, optimizers
from gmsym.problem.small_steps import small_steps
from gmsym.symbols import eta, g, momentum, symbol, t, theta

v, s, friction = symbol("v"), symbol("s"), symbol("friction")
LONGER = 1 / (1 - momentum)
LASTING = {"v": v - eta * (friction * v + g), "theta": theta + eta * v}


@pytest.mark.parametrize(
    ("optimizer", "lasting", "drift", "gain"),
    [
        (optimizers.heavy_ball(), "theta", [[0]], [LONGER]),
        (optimizers.nesterov(), "theta", [[0]], [LONGER]),
        (Optimizer("summed", {"theta": theta - eta * v, "v": momentum * v + g}), "theta", [[0]], [LONGER]),  # no step in the state
        (optimizers.weight_decay(), "theta", [[-symbol("weight_decay")]], [1]),
        (optimizers.gd(step=eta / (1 + t)), "theta", [[0]], [1 / (1 + t)]),
        (optimizers.lasting_momentum(), "theta v", [[0, 1], [0, -friction]], [0, 1]),
        (Optimizer("slow", {"theta": theta + v, "v": (1 - friction * eta) * v - eta**2 * g}), "theta v", [[0, 1], [0, -friction]], [0, 1]),
        (
            optimizers.averaged(optimizers.heavy_ball(), weight=s * eta),
            "theta average",
            [[0, 0], [s, -s]],
            [LONGER, 0],
        ),
    ],
    ids=lambda x: getattr(x, "name", ""),
)
def test_what_lasts_and_what_moves_it(optimizer, lasting, drift, gain):
    found = small_steps(optimizer)
    assert [x.name for x in found.lasting] == lasting.split()
    assert sp.simplify(found.drift - sp.Matrix(drift)) == sp.zeros(len(drift))
    assert sp.simplify(found.gain - sp.Matrix(gain)) == sp.zeros(len(gain), 1)


def test_the_limit_is_that_of_the_rule_itself():
    """Two states of which one lasts, iterated in numbers with small steps and a constant gradient, against the linear equation."""
    rule = {"v": v - eta * (friction * v + s), "s": sp.Rational(3, 5) * s + g, "theta": theta + eta * v - eta * g / 4}
    found = small_steps(Optimizer("own", rule))
    assert [x.name for x in found.lasting] == ["theta", "v"]
    drift, gain = (np.array(x.subs(friction, 0.7), float) for x in (found.drift, found.gain))
    exact = sp.Matrix(drift).applyfunc(sp.nsimplify)
    x = sp.Symbol("x", positive=True)
    expected = -((exact * x).exp().integrate((x, 0, 2)) * sp.Matrix(gain)).evalf()  # from 0, with g = 1
    errors = []
    for step in (5e-3, 2.5e-3):
        now = np.zeros(3)  # theta, v, s
        for _ in range(round(2 / step)):
            theta_, v_, s_ = now
            s_new = 0.6 * s_ + 1.0
            v_new = v_ - step * (0.7 * v_ + s_)
            now = np.array([theta_ + step * v_new - step / 4, v_new, s_new])
        errors.append(np.abs(now[:2] - np.array(expected, float).ravel()).max())
    assert errors[1] < 0.02 and 1.8 < errors[0] / errors[1] < 2.2  # of order eta


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ({"theta": theta - sp.sqrt(eta) * g}, "no limit"),
        ({"theta": theta / 2 - eta * g}, "no limit"),
        ({"theta": theta + v, "v": v - eta * g}, "no limit"),  # grows with the number of steps
        ({"theta": theta - g}, "no eta"),
        ({"theta": theta - eta * v / sp.sqrt(s), "v": v + g, "s": s + g**2}, "a window of samples"),
        ({"theta": theta - eta * sp.sign(v), "v": v + g}, "a window of samples"),
        ({"theta": theta - eta * sp.Max(0, g)}, "an odd function of each of its coordinates"),
        ({"theta": sp.Max(-1, sp.Min(1, theta - eta * g))}, "moves each coordinate by its own size"),
        ({"theta": theta - eta * g / Norm(theta)}, "norm of the gradient g alone"),
        ({"theta": theta + eta * v - eta * g, "v": v - eta * (v + g / Norm(g))}, "one weight of the gradient"),
    ],
    ids=lambda x: "",
)
def test_what_has_no_limit_is_refused_with_a_reason(rule, says):
    with pytest.raises(InputError, match=says):
        small_steps(Optimizer("own", rule))


def test_a_state_that_does_not_die_out_in_these_numbers_is_refused():
    problem = gm.Problem(gm.GaussianMixture.symmetric(), gm.losses.logistic(), optimizers.heavy_ball(), sampling=gm.sampling.online())
    with pytest.raises(InputError, match=r"with momentum = 1.1 its state does not die out in a few steps \(factor 1.1 a step\)"):
        problem.at({"eta": 1.0, "sigma": 1.0, "mu_norm": 1.0, "momentum": 1.1})


def test_a_function_of_the_coordinates_is_found():
    found = small_steps(Optimizer("own", {"theta": theta + v, "v": v / 2 - eta * sp.atan(symbol("k") * g)}))
    assert found.coordinate == sp.atan(symbol("k") * g) and found.is_descent and found.gain[0, 0] == 2 and found.weighs


def test_the_norm_weighs_the_gradient_of_a_sample():
    found = small_steps(optimizers.norm_clipped())
    a, scale = sp.Symbol("a", real=True), sp.Symbol("scale", positive=True)
    assert found.is_descent and found.gain[0, 0] == 1
    assert found.seen([a], scale) == (a * sp.Min(1, symbol("clip") / (scale * sp.Abs(a))),)
    with pytest.raises(InputError, match="ridge = 0.1: the norm of a sample's gradient"):
        gm.Problem(gm.GaussianMixture.symmetric(), gm.losses.logistic(), optimizers.normalized(), sampling=gm.sampling.online()).at(
            {"eta": 1.0, "sigma": 1.0, "mu_norm": 1.0, "ridge": 0.1}
        )
