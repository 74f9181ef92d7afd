"""A flow as schemes: the update rule, the equations in continuous time, what is refused."""

import pytest
import sympy as sp

import gmsym as gm
from gmsym import derive
from gmsym.derive.schemes import COEFFICIENTS, ITERATES, KEEP, VELOCITIES, scheme
from gmsym.symbols import eta, g, noise, t, theta

DATA = gm.GaussianMixture.symmetric()
DECAY = gm.symbols.symbol("decay")
DECAYING = gm.Optimizer("decaying", {"theta": -g - DECAY * theta}, continuous=True)


def problem(optimizer, loss=None, **options):
    return gm.Problem(DATA, loss or gm.losses.logistic(), optimizer, **options)


def test_the_rule_of_a_scheme_reads_old_values_only():
    made = scheme(DECAYING)
    names = [v.name for v in made.state]
    known = dict(zip(names, map(gm.symbols.symbol, names), strict=True))
    new = dict(zip(["theta", *names], made.composed, strict=True))
    velocity = -g - DECAY * theta
    iterates = theta, known["theta_0"], known["theta_1"]
    slopes = velocity, known["f_1"], known["f_2"]
    combined = sum(c * x for c, x in zip((*ITERATES, *VELOCITIES), (*iterates, *slopes), strict=True))
    assert sp.expand(new["theta"] - combined) == 0
    assert sp.expand(new["theta_0"] - KEEP * known["theta_0"] - (1 - KEEP) * theta) == 0
    assert sp.expand(new["f_1"] - KEEP * known["f_1"] - (1 - KEEP) * velocity) == 0
    assert new["theta_1"] == theta and new["f_2"] == known["f_1"]
    assert made.is_linear and set(COEFFICIENTS) <= made.parameters


@pytest.mark.parametrize(
    "flow, steps", [(gm.optimizers.flow(), gm.optimizers.gd()), (DECAYING, gm.Optimizer("w", {"theta": theta - eta * (g + DECAY * theta)}))]
)
def test_the_limit_of_small_steps_is_the_flow(flow, steps):
    """What is displayed in continuous time comes from the flow itself, and from steps that shrink."""
    of_flow, of_steps = (derive.gradient_flow(derive.dmf(problem(x))).flow for x in (flow, steps))
    assert [(e.lhs, e.rhs) for e in of_flow] == [(e.lhs, e.rhs) for e in of_steps]


def test_one_evaluation_without_memory_is_a_step_of_gradient_descent():
    """The kernel form of the scheme at the coefficients of Euler's method is that of gradient descent with that step."""
    euler = dict(zip(COEFFICIENTS, (1, 0, 0, eta, 0, 0, 0), strict=True))
    of_scheme = derive.dmf(problem(gm.optimizers.flow())).kernels.kernel_form
    right = {e.lhs: sp.expand(e.rhs.xreplace({x: sp.sympify(y) for x, y in euler.items()})) for e in of_scheme}
    for equation in derive.dmf(problem(gm.optimizers.gd())).kernel_form:
        assert sp.expand(right[equation.lhs] - equation.rhs) == 0, equation.lhs


def test_what_is_no_flow_is_refused():
    v = gm.symbols.symbol("v")
    for rule in ({"theta": -g * eta}, {"theta": -g / (1 + t)}, {"theta": noise - g}, {"theta": v, "v": -g}):
        with pytest.raises(gm.InputError, match="a flow is the velocity of theta alone"):
            gm.Optimizer("odd", rule, continuous=True)
    with pytest.raises(gm.InputError, match="needs a velocity that is linear in theta and g"):
        derive.dmf(problem(gm.Optimizer("sign", {"theta": -sp.sign(g)}, continuous=True)))
    for sampling in (gm.sampling.bernoulli(0.5), gm.sampling.online()):
        with pytest.raises(gm.InputError, match="a flow has no steps at which samples are drawn"):
            problem(gm.optimizers.flow(), sampling=sampling)
    for verb in (derive.surrogate, derive.finite_size):
        with pytest.raises(gm.InputError, match="does not treat the flow 'flow' in continuous time; derive.dmf and simulate do"):
            verb(problem(gm.optimizers.flow()))


def test_a_loss_with_kinks_is_refused_with_a_way_out():
    hinge = problem(gm.optimizers.flow(), gm.losses.hinge())
    for verb in (derive.dmf, lambda x: gm.simulate(x, {"sigma": 1.0, "mu_norm": 1.0}, d=10, n=10, time=1.0)):
        with pytest.raises(gm.InputError, match="its gradient jumps where .* = 0, and a flow stays there, sliding.*smoothed_hinge"):
            verb(hinge)
