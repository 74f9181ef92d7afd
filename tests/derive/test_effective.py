"""Derivation of the effective dynamics: the corrector comes out of the expansion, means reduce to the smallest dimension."""

import numpy as np
import pytest
import sympy as sp

import gmsym as gm
from gmsym import derive
from gmsym.calculus import reduced_dimension
from gmsym.calculus.kernels import Transposed
from gmsym.calculus.matrices import explicit
from gmsym.codegen import signature, source
from gmsym.functions import NormalCDF, elementary
from gmsym.system.causal_kernels import Mean
from gmsym.system.ode import K, Q, S, a, abar, beta, c, h, k, p, phi_Q, rate, sigma2, t
from tests.engine.test_ode import ONE, binary, taught, typed, xor


def largest(system):
    parts = [x for local in system.local for x in (*local.gradient, *local.response, *local.square, *local.trained)]
    return max(map(reduced_dimension, parts))


def test_the_second_order_in_the_step_is_the_corrector():
    system = derive.effective(binary())
    increment = next(e.rhs for e in system.increments if isinstance(e.lhs, phi_Q))
    first = -(h(t) * Transposed(a(t)) + a(t) * Transposed(h(t))) - 2 * beta * Q(t)
    assert sp.expand(increment - first) == c * sigma2(k) * a(t) * Transposed(a(t))
    corrector = c * sp.Sum(p(k) * sigma2(k) * Mean(a(t) * Transposed(a(t)), k), (k, 1, K))
    assert corrector in sp.Add.make_args(system.flow[0].rhs)


def test_a_schedule_scales_the_drift_once_and_the_corrector_twice():
    problem = gm.Problem(
        gm.GaussianMixture.symmetric(),
        gm.losses.logistic(),
        gm.optimizers.gd(step=gm.symbols.eta / (1 + gm.symbols.t)),
        sampling=gm.sampling.online(),
    )
    system = derive.effective(problem)
    assert system.schedule == 1 / (1 + gm.symbols.t)
    increment = next(e.rhs for e in system.increments if isinstance(e.lhs, phi_Q))
    assert increment.coeff(rate(t), 2) == c * sigma2(k) * a(t) * Transposed(a(t))
    assert increment.coeff(rate(t), 1).has(h)


@pytest.mark.parametrize(
    ("problem", "dimension"),
    [
        (binary(), 1),
        (binary(gm.losses.squared()), 0),
        (binary(gm.losses.hinge()), 0),
        (binary(gm.losses.perceptron()), 0),
        (gm.Problem(ONE, gm.losses.relu_committee((1, -1)), gm.optimizers.gd(), sampling=gm.sampling.online()), 0),
        (xor(), 0),
        (taught(), 1),  # the sign of the teacher's field is conditioned away
        (typed(), 1),
    ],
    ids=["logistic", "squared", "hinge", "perceptron", "relu", "xor", "taught", "typed"],
)
def test_means_close_or_reduce(problem, dimension):
    assert largest(derive.effective(problem)) == dimension


def test_softmax_reduces_to_the_differences_of_its_fields():
    data = gm.GaussianMixture(
        probabilities=[sp.Rational(1, 3)] * 3, labels=sp.eye(3).tolist(), means_gram=np.eye(3).tolist(), variance=[1, 1, 1]
    )
    system = derive.effective(gm.Problem(data, gm.losses.softmax(3), gm.optimizers.gd(), sampling=gm.sampling.online()))
    assert largest(system) == 2
    assert len(system.local) == 1 and [s.name for s in system.labels] == ["y0", "y1", "y2"]  # the loss is linear in the label
    assert len(system.tested) == 3  # which prediction is wrong depends on the class


def test_clusters_of_mean_zero_have_centred_fields():
    data = gm.GaussianMixture(probabilities=[0.5, 0.5], labels=[1, 1], means_gram=[[0, 0], [0, 1]], variance=[1, 1])
    system = derive.effective(gm.Problem(data, gm.losses.hinge(), gm.optimizers.gd(), sampling=gm.sampling.online()))
    assert system.of_cluster == (0, 1)
    assert not system.local[0].gradient[0].has(*system.law.mean)
    assert system.local[1].gradient[0].has(*system.law.mean)


@pytest.mark.parametrize(
    ("text", "jump"),
    [
        ("max(0, 1 - sign(t0)*h)", lambda v: -2 * sp.erfc(-1 / sp.sqrt(2 * v)) / 2),  # -E[H(1 - h) + H(1 + h)]
        ("(h - sign(t0))**4", lambda v: -8 * (3 * v + 1)),  # 4 E[(h - 1)^3 - (h + 1)^3]
    ],
)
def test_the_response_to_a_jump_of_the_teacher_is_the_difference_of_its_sides(text, jump):
    """At t = 0, where h has the variance v: no chain rule through sign(t), by hand."""
    problem = gm.Problem(
        ONE, gm.Loss("jump", gm.parse(text)), gm.optimizers.gd(), sampling=gm.sampling.online(), teacher=gm.Teacher([[1]], overlap=[0.1])
    )
    system = derive.effective(problem)
    V = system.law.covariance
    at = {V[0, 0]: sp.Rational(13, 10), V[0, 1]: sp.Rational(2, 5), V[1, 1]: sp.Rational(9, 10)}
    v = at[V[0, 0]] - at[V[0, 1]] ** 2 / at[V[1, 1]]
    expected = jump(v) / sp.sqrt(2 * sp.pi * at[V[1, 1]])
    assert abs(sp.N(elementary(system.local[0].response[0, 1].subs(at)) - expected, 20)) < 1e-15


def error_of(target, loss="log(1 + exp(-sign(t0)*h))", teachers=1, data=ONE):
    teacher = gm.Teacher(np.eye(teachers)) if teachers else None
    problem = gm.Problem(
        data, gm.Loss("mine", gm.parse(loss), target=gm.parse(target)), gm.optimizers.gd(), sampling=gm.sampling.online(), teacher=teacher
    )
    return [tested.error for tested in derive.effective(problem).tested]


V = {(i, j): sp.Symbol(f"V_{i}_{j}", **({"positive": True} if i == j else {"real": True})) for i in range(3) for j in range(i, 3)}


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (error_of("t0"), sp.acos(V[0, 1] / sp.sqrt(V[0, 0] * V[1, 1])) / sp.pi),
        (error_of("-3*sign(t0)"), 1 - sp.acos(V[0, 1] / sp.sqrt(V[0, 0] * V[1, 1])) / sp.pi),
        (
            error_of("t0 - t1", "(h - t0 + t1)**2/2", 2),
            sp.acos((V[0, 1] - V[0, 2]) / sp.sqrt(V[0, 0] * (V[1, 1] - 2 * V[1, 2] + V[2, 2]))) / sp.pi,
        ),
        (error_of("t0*t1", "(h - t0*t1)**2/2", 2), sp.Rational(1, 2)),  # odd under h -> -h
    ],
    ids=["angle", "complement", "difference", "parity"],
)
def test_the_error_of_a_taught_classifier_is_an_angle(error, expected):
    """At 30 digits: P(sign h != sign tau) = arccos(M/sqrt(Q T))/pi under a centred law."""
    (found,) = error
    point = {x: sp.Rational(7 * i + 2, 31) + 2 * (i in (0, 3, 5)) for i, x in enumerate(V.values())}
    assert abs((found - expected).subs(point).evalf(40)) < sp.Float("1e-30")


def test_a_teacher_without_a_target_leaves_no_error():
    assert error_of("t0") != [None]
    problem = gm.Problem(
        ONE, gm.Loss("mine", gm.parse("(h - t0)**2/2")), gm.optimizers.gd(), sampling=gm.sampling.online(), teacher=gm.Teacher([[1]])
    )
    assert [tested.error for tested in derive.effective(problem).tested] == [None]


def test_a_target_of_the_label_separates_clusters_and_others_share():
    m, s = sp.Symbol("m_0", real=True), sp.sqrt(V[0, 0])
    halves = gm.GaussianMixture.symmetric(label=(gm.symbols.y + 1) / 2)
    assert error_of("y - 1/2", "(h - y)**2/2", 0, halves) == [NormalCDF(-m / s), NormalCDF(m / s)]
    assert len(error_of("y*t0", data=gm.GaussianMixture.symmetric())) == 2
    assert len(error_of("t0", data=gm.GaussianMixture.symmetric())) == 1


def test_closed_drift_of_squared_loss_is_the_linear_one():
    """dm_l/dt = -sum_k p_k [(m_k - y_k) G_kl + sigma_k^2 m_l], typed by hand."""
    drift = derive.effective(binary(gm.losses.squared())).closed_drift()
    m0, m1 = sp.symbols("m_0_0 m_1_0", real=True)
    p0, p1, s0, s1 = (sp.Symbol(n, positive=True) for n in ("p_0", "p_1", "sigma2_0", "sigma2_1"))
    g00, g01 = sp.Symbol("gram_0_0", positive=True), sp.Symbol("gram_0_1", real=True)
    expected = -p0 * ((m0 - 1) * g00 + s0 * m0) - p1 * ((m1 + 1) * g01 + s1 * m0) - beta * m0
    assert sp.expand(drift["m", (0, 0)] - expected) == 0


def test_equations_are_shown_as_a_theorist_writes_them():
    text = derive.effective(xor()).latex()
    assert r"\frac{d}{d t} Q(t) &= " in text and r"\bar S_{k}(t)" in text and r"{a(t)}^{\top}" in text
    assert r"\frac{d}{d t} v(t) &= " in text
    assert repr(derive.effective(binary())).startswith("Ode('logistic_online', fields=1, clusters=2, teachers=0, trained=0")
    assert all(e.source and e.status for e in derive.effective(taught()).equations())


def test_signatures_tell_systems_apart():
    one, other = derive.effective(binary()), derive.effective(binary())
    assert signature(one) == signature(other)
    assert signature(one) != signature(derive.effective(binary(gm.losses.hinge())))
    assert source(one) == source(other)


def test_explicit_entries_keep_the_order_of_matrices():
    A, B = sp.Matrix([[1, 2], [3, 4]]), sp.Matrix([[0, 1], [5, 2]])
    table = {"Q": A, "S": B, "abar": sp.Matrix([7, 11]), "p": sp.Integer(2)}
    entries = lambda atom: table[type(atom).__name__]  # noqa: E731
    expr = Q(t) * Transposed(S(k, t)) + p(k) * abar(k, t) * Transposed(abar(k, t))
    assert explicit(expr, entries, {}) == A * B.T + 2 * sp.Matrix([7, 11]) * sp.Matrix([[7, 11]])
    assert explicit(sp.Sum(p(k) * Q(t), (k, 1, K)), entries, {K: 3}) == 6 * A
    assert explicit(p(k) * abar(k, t), entries, {}) == sp.Matrix([14, 22])


def test_what_is_not_a_problem_is_refused():
    with pytest.raises(gm.InputError, match="a gmsym Problem is needed"):
        derive.effective("logistic")
    with pytest.raises(gm.InputError, match=r"effective dynamics \(derive.effective\) or a Problem"):
        derive.fluctuations(3)
