"""Every loss of the catalog, at rational points: gradient, Hessian, kinks and stable form against differences at 30 digits."""

from itertools import product

import mpmath
import pytest
import sympy as sp

from gmsym import functions, symbols
from gmsym.errors import InputError
from gmsym.problem import GaussianMixture, Problem, losses, optimizers

QUADRATIC = {"squared"}
KINKS = {"hinge": 1, "perceptron": 1, "huber": 0, "relu_committee": 2}  # number of loci where the gradient jumps
POINTS = [[sp.Rational(7, 10), sp.Rational(-13, 11), sp.Rational(5, 3)], [sp.Rational(-17, 9), sp.Rational(3, 7), sp.Rational(-1, 8)]]


def label_of(loss, sign):
    """+-1, or a one-hot vector."""
    return [sp.Integer(int(i == 0)) for i in range(len(loss.labels))] if len(loss.labels) > 1 else [sp.Integer(sign)]


def as_function(expr, symbols):
    """A function of mpmath numbers at mpmath's precision; independent of the printer and of the stable forms."""
    return sp.lambdify(symbols, functions.elementary(expr), modules=[{"Heaviside": lambda u, *_: mpmath.mpf(u > 0)}, "mpmath"])


def difference(f, point, orders):
    return mpmath.diff(f, tuple(point), tuple(orders))


@pytest.fixture(params=losses.CATALOG)
def loss(request):
    return losses.CATALOG[request.param]()


@pytest.fixture(params=list(product(range(len(POINTS)), (1, -1))), ids=str)
def point(request):
    return request.param


def test_derivatives(loss, point):
    where, sign = POINTS[point[0]][: len(loss.fields)], point[1]
    with mpmath.workdps(40):
        at = [mpmath.mpf(u.p) / u.q for u in where]
        label = label_of(loss, sign)
        value = as_function(loss.at_label(loss.expr, label), loss.fields)
        for i in range(len(loss.fields)):
            first = [int(j == i) for j in range(len(at))]
            gradient = as_function(loss.at_label(loss.gradient[i], label), loss.fields)(*at)
            assert abs(gradient - difference(value, at, first)) < 1e-25, f"gradient {i}"
            for j in range(len(loss.fields)):
                second = [a + int(k == j) for k, a in enumerate(first)]
                curvature = as_function(loss.at_label(loss.hessian[i, j], label), loss.fields)(*at)
                assert abs(curvature - difference(value, at, second)) < 1e-20, f"Hessian {i, j}"


def test_stable_form_is_the_loss(loss, point):
    label = label_of(loss, point[1])
    at = dict(zip(loss.fields, POINTS[point[0]], strict=False))
    stable, plain = (loss.at_label(e, label).xreplace(at).evalf(30) for e in (loss.value, loss.expr))
    assert abs(stable - plain) < sp.Float("1e-27")


def test_shape(loss):
    assert loss.is_quadratic is (loss.name in QUADRATIC)
    assert len(loss.kinks) == KINKS.get(loss.name, 0)
    assert not loss.parameters


def test_kinks_are_where_the_gradient_jumps():
    (kink,) = losses.hinge().kinks
    h, y = losses.hinge().fields[0], losses.hinge().labels[0]
    assert sp.solve(kink.locus.subs(y, 1), h) == [1]
    assert sp.solve(kink.locus.subs(y, -1), h) == [-1]
    loci = {str(k.locus) for k in losses.relu_committee().kinks}
    assert loci == {"h0", "h1"}


@pytest.mark.parametrize("name", ["hinge", "perceptron", "relu_committee"])
@pytest.mark.parametrize("sign", [1, -1])
def test_jump_is_what_the_gradient_gains(name, sign):
    loss = losses.CATALOG[name]()
    for kink in loss.kinks:
        field = next(f for f in loss.fields if kink.locus.has(f))
        fixed = {**{s: sp.Integer(sign) for s in loss.labels}, **{f: sp.Rational(2, 7) for f in loss.fields if f != field}}
        (root,) = sp.solve(kink.locus.subs(fixed), field)
        rises = sp.sign(sp.diff(kink.locus, field).subs(fixed))
        step = sp.Rational(1, 10**12)
        for c, a in enumerate(loss.gradient):
            gained = a.subs(fixed).subs(field, root + step) - a.subs(fixed).subs(field, root - step)
            assert abs(gained - rises * kink.jump[c].subs({**fixed, field: root})) < sp.Rational(1, 10**9)


def test_readouts():
    assert losses.logistic().readout == losses.logistic().fields[0]
    assert losses.softmax().readout is None
    committee = losses.erf_committee((1, -2))
    assert committee.readout.free_symbols == set(committee.fields)
    assert sp.expand((committee.readout - committee.labels[0]) ** 2 / 2 - committee.expr) == 0


def test_arguments():
    assert len(losses.softmax(5).fields) == 5
    assert losses.smoothed_hinge(8).expr.has(sp.Integer(8))
    huber = losses.huber(sp.Rational(1, 2))
    assert huber.gradient[0].subs({huber.fields[0]: 3, huber.labels[0]: 0}) == sp.Rational(1, 2)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: losses.softmax(1), "classes = 1: an integer of at least 2"),
        (lambda: losses.softmax(2.5), "classes = 2.5"),
        (lambda: losses.relu_committee(()), "second_layer is empty"),
        (lambda: losses.erf_committee(("1", 1)), r"second_layer\[0\] = '1'"),
        (lambda: losses.erf_committee(2), "second_layer = 2"),
        (lambda: losses.huber("1"), "width = '1'"),
        (lambda: losses.smoothed_hinge(None), "sharpness = None"),
    ],
)
def test_arguments_refused(call, says):
    with pytest.raises(InputError, match=says):
        call()


@pytest.mark.parametrize("make, name", [(losses.huber, "width"), (losses.smoothed_hinge, "sharpness")])
def test_parameters_are_positive(make, name):
    for value in (0, -1, -0.5):
        with pytest.raises(InputError, match=f"{name} = {value}: a positive number"):
            make(value)
    problem = Problem(GaussianMixture.symmetric(), make(symbols.symbol("w")), optimizers.gd())
    with pytest.raises(InputError, match=f"{name} = -1: loss"):
        problem.at({"w": -1.0, "eta": 1.0, "sigma": 1.0, "mu_norm": 1.0})
