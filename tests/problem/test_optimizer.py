"""Update rules: composition, linearity decided from the rule, the catalog, and what is refused."""

import numpy as np
import pytest
import sympy as sp

import gmsym as gm
from gmsym import symbols
from gmsym.errors import InputError
from gmsym.files.parser import parse, parse_update
from gmsym.functions import Norm
from gmsym.problem import Optimizer, optimizers
from gmsym.problem.optimizer import check_schedule
from gmsym.runtime import load
from gmsym.simulation.training import source
from gmsym.symbols import eta, g, momentum, t, theta

v, s = symbols.symbol("v"), symbols.symbol("s")
a = symbols.symbol("a")


def trajectory(optimizer, gradient, start, steps, values):
    """[theta_0, ..., theta_steps] in exact arithmetic, from the composed rules; `gradient(theta, t)`."""
    state = [sp.sympify(start), *[sp.S.Zero] * len(optimizer.state)]
    path = [state[0]]
    for step in range(steps):
        now = {**dict(zip((theta, *optimizer.state), state, strict=True)), g: gradient(state[0], step), t: sp.Integer(step), **values}
        state = [sp.nsimplify(rule.subs(now, simultaneous=True)) for rule in optimizer.composed]
        path.append(state[0])
    return path


def test_theta_reads_the_new_state():
    heavy_ball = optimizers.heavy_ball()
    assert heavy_ball.state == (v,)
    assert sp.expand(heavy_ball.composed[0] - (theta + momentum * v - eta * g)) == 0
    assert heavy_ball.composed[1] == momentum * v - eta * g
    assert heavy_ball.parameters == {eta, momentum}


def test_states_read_the_old_states():
    swap = Optimizer("swap", {"theta": theta - s, "v": s + g, "s": v})
    assert swap.composed == (theta - v, s + g, v)


LINEAR = {"gd", "weight_decay", "heavy_ball", "lasting_momentum", "nesterov", "langevin", "adams_bashforth", "flow"}


@pytest.mark.parametrize("name", optimizers.CATALOG)
def test_catalog_linearity(name):
    optimizer = optimizers.CATALOG[name]()
    assert optimizer.is_linear is (name in LINEAR)
    assert optimizer.jacobian.shape == (1 + len(optimizer.state), 2 + len(optimizer.state))


@pytest.mark.parametrize("order", [1, 2, 3])
def test_adams_bashforth_is_linear(order):
    assert optimizers.adams_bashforth(order).is_linear


def test_noise_is_no_parameter_and_its_slope_must_be_constant():
    langevin = optimizers.langevin()
    assert langevin.is_noisy and langevin.is_linear and not optimizers.gd().is_noisy
    assert langevin.parameters == {eta, symbols.temperature}
    assert list(langevin.noise_slope) == [sp.sqrt(2 * eta * symbols.temperature)]
    pushed = Optimizer("pushed", {"theta": theta + v, "v": momentum * v - eta * g + symbols.noise})
    assert list(pushed.noise_slope) == [1, 1]  # theta reads the new state
    assert not Optimizer("multiplicative", {"theta": theta - eta * g + theta * symbols.noise}).is_linear
    assert not Optimizer("clipped", {"theta": theta - eta * g + sp.Abs(symbols.noise)}).is_linear
    assert r"\varepsilon" in langevin._repr_latex_()


sign_descent = Optimizer("sign_descent", {"theta": theta - eta * sp.sign(g)})
shrunk = theta - eta * g
soft_threshold = Optimizer("ista", {"theta": sp.sign(shrunk) * sp.Max(0, sp.Abs(shrunk) - a)})
adam = Optimizer(
    "adam",
    {
        "theta": theta - eta * (v / (1 - a ** (t + 1))) / (sp.sqrt(s / (1 - a ** (t + 1))) + sp.Rational(1, 100)),
        "v": a * v + (1 - a) * g,
        "s": a * s + (1 - a) * g**2,
    },
)


@pytest.mark.parametrize(
    ("optimizer", "linear"),
    [
        (sign_descent, False),
        (soft_threshold, False),
        (adam, False),
        (Optimizer("clipped", {"theta": theta - eta * sp.Max(-1, sp.Min(1, g))}), False),
        (Optimizer("affine", {"theta": theta - eta * g + 1}), False),
        (Optimizer("product", {"theta": theta - eta * theta * g}), False),
        (Optimizer("hidden", {"theta": theta - eta * ((g + 1) ** 2 - g**2 - 1) / 2}), True),
        (Optimizer("schedule", {"theta": theta - eta * g / (1 + t)}), True),
        (Optimizer("averaging", {"theta": theta - eta * g, "v": (t * v + theta) / (t + 1)}), True),
    ],
    ids=lambda o: getattr(o, "name", None),
)
def test_linearity_is_decided(optimizer, linear):
    assert optimizer.is_linear is linear


def test_jacobian_is_the_linear_map():
    expected = sp.Matrix([[1, momentum, -eta], [0, momentum, -eta]])
    assert optimizers.heavy_ball().jacobian == expected


def test_nesterov_is_the_textbook_method():
    """theta is the extrapolated point: with w the iterate, w' = theta - eta g(theta), theta' = w' + momentum (w' - w)."""
    rate, beta, curvature = sp.Rational(1, 5), sp.Rational(2, 3), sp.Rational(3, 2)
    path = trajectory(optimizers.nesterov(), lambda x, _: curvature * x, 1, 6, {eta: rate, momentum: beta})
    w = point = sp.Integer(1)
    for found in path:
        assert found == point
        new = point - rate * curvature * point
        point, w = new + beta * (new - w), new


def test_heavy_ball_is_the_textbook_method():
    rate, beta, curvature = sp.Rational(1, 5), sp.Rational(2, 3), sp.Rational(3, 2)
    path = trajectory(optimizers.heavy_ball(), lambda x, _: curvature * x, 1, 6, {eta: rate, momentum: beta})
    for before, now, after in zip(path, path[1:], path[2:], strict=False):
        assert after == now - rate * curvature * now + beta * (now - before)


def test_weight_decay_is_not_in_the_gradient():
    decay = symbols.symbol("weight_decay")
    assert sp.expand(optimizers.weight_decay().composed[0] - ((1 - eta * decay) * theta - eta * g)) == 0


@pytest.mark.parametrize(
    ("order", "weights"),
    [(1, [1]), (2, [sp.Rational(3, 2), -sp.Rational(1, 2)]), (3, [sp.Rational(23, 12), -sp.Rational(4, 3), sp.Rational(5, 12)])],
)
def test_adams_bashforth_weights(order, weights):
    """After the start each step uses the last `order` gradients with the textbook weights."""
    gradients = [sp.Rational(2 * k + 1, k + 3) for k in range(6)]
    path = trajectory(optimizers.adams_bashforth(order), lambda _, step: gradients[step], 0, 6, {eta: sp.Rational(1, 7)})
    for step in range(order - 1, 6):
        slope = sum(w * gradients[step - lag] for lag, w in enumerate(weights))
        assert path[step + 1] - path[step] == -slope / 7


@pytest.mark.parametrize("order", [1, 2, 3])
def test_adams_bashforth_start_uses_lower_orders(order):
    gradients = [sp.Rational(2 * k + 1, k + 3) for k in range(order)]
    path = trajectory(optimizers.adams_bashforth(order), lambda _, step: gradients[step], 0, order, {eta: sp.Integer(1)})
    for step in range(order):
        assert path[step + 1] - path[step] == -sum(w * gradients[step - lag] for lag, w in enumerate(optimizers._weights(step + 1)))


def test_schedules():
    step = 1 / (1 + a * t)
    assert optimizers.gd(step).composed == (theta - step * g,)
    assert optimizers.heavy_ball(step).parameters == {a, momentum}


def test_shows_as_latex():
    assert r"\theta_{t+1} &=" in optimizers.gd()._repr_latex_()


@pytest.mark.parametrize(
    ("name", "update", "says"),
    [
        ("my rule", {"theta": theta - g}, "needs an identifier"),
        ("mine", {"v": v - g}, "a rule for theta is needed"),
        ("mine", {"theta": "theta - g"}, "text goes through gmsym.parse"),
        ("mine", {"theta": ["theta - g"]}, "text goes through gmsym.parse"),
        ("mine", {"theta": theta - g, "eta": eta}, "'eta' is a reserved name"),
        ("mine", {"theta": theta - g, "h": g}, "'h' is a reserved name"),
        ("mine", {"theta": theta - g, "y0": g}, "'y0' is a reserved name"),
        ("mine", {"theta": theta - sp.Function("g")(symbols.t + 1)}, r"uses g\(t \+ 1\); a rule is causal"),
        ("mine", {"theta": theta - sp.IndexedBase("g")[symbols.t + 1]}, "a rule is causal"),
        ("mine", {"theta": theta - g * symbols.h}, "fields and labels belong to the loss"),
    ],
)
def test_refused(name, update, says):
    with pytest.raises(InputError, match=says):
        Optimizer(name, update)


@pytest.mark.parametrize("order", [0, 4, 2.5, "2"])
def test_orders_that_are_not_available(order):
    with pytest.raises(InputError, match="order 1, 2 or 3"):
        optimizers.adams_bashforth(order)


@pytest.mark.parametrize("text, time", [("1/t", 0), ("log(t)", 0), ("a/t", 0), ("1/(t - 5)", 5), ("1/(t**2 - 9)", 3), ("sqrt(t - 3)", 0)])
def test_schedules_have_a_value_at_every_step(text, time):
    with pytest.raises(InputError, match=f"eta = .* is not finite at t = {time}"):
        check_schedule(parse(text), "eta")
    with pytest.raises(InputError, match="update rule theta"):
        Optimizer("a", {"theta": theta - parse(text) * g})


@pytest.mark.parametrize("text", ["1/(1 + t)", "t", "log(1 + t)", "4/(1 + t/50)", "0.9**t", "sqrt(t)", "1/(2*t - 5)"])
def test_ordinary_schedules(text):
    check_schedule(parse(text), "eta")


def test_a_norm_is_that_of_all_coordinates_and_a_constant_to_one_of_them():
    g_norm = Norm(g)
    rule = Optimizer("clipped_norm", {"theta": theta - eta * g * sp.Min(1, a / g_norm)})
    assert rule.has_norm and not rule.is_linear and sp.diff(g_norm, g) == 0 and not optimizers.gd().has_norm
    assert parse_update({"theta": "theta - eta*g*min(1, a/norm(g))"}, ["eta", "a"]) == {"theta": rule.update[0][1]}
    code = load(source(gm.Problem(gm.GaussianMixture.symmetric(), gm.losses.squared(), optimizers.norm_clipped())), "norms")
    x, slope = np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]])
    names = [str(x) for x in gm.Problem(gm.GaussianMixture.symmetric(), gm.losses.squared(), optimizers.norm_clipped()).local_parameters]
    numbers = [{"eta": 0.5, "clip": 2.5}[name] for name in names]
    (new,) = code.update(x, slope, 0.0, 0.0, (), lambda y: np.sqrt((y**2).sum()), numbers)
    assert np.allclose(new, x - 0.5 * slope * 0.5)


def test_norms_stand_in_update_rules_of_theta_alone():
    data = gm.GaussianMixture.symmetric()
    with pytest.raises(InputError, match="a norm of all coordinates belongs to an update rule"):
        gm.Loss("own", (symbols.h - symbols.y) ** 2 * Norm(symbols.h))
    with pytest.raises(InputError, match="its norm is that of Theta's coordinates"):
        loss = gm.Loss("own", (symbols.h + symbols.symbol("bias") - symbols.y) ** 2)
        gm.Problem(data, loss, optimizers.normalized(), trained=gm.Trained({"bias": 0}))
    with pytest.raises(InputError, match="it has no state, no noise, no norm"):
        Optimizer("own", {"theta": -g / Norm(g)}, continuous=True)
