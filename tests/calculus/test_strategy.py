"""What does not close: it must return quickly, in nodes of the smallest dimension, and with the right value."""

import subprocess
import sys
import time

import mpmath
import pytest
import sympy as sp

from gmsym.calculus import GaussianMean, expectation, is_closed, reduced_dimension, span, strategy
from gmsym.functions import BivariateNormalCDF, LogSumExp, NormalCDF, Sigmoid, Softplus, elementary

h, y = sp.symbols("h y", real=True)
a, b, c, d = sp.symbols("a b c d", real=True)
m, q = sp.Symbol("m", real=True), sp.Symbol("q", positive=True)
n = sp.Symbol("n", positive=True)
R = sp.Rational
F = sp.Function("F")
MEAN = (R(2, 5), R(-3, 10), R(1, 5))
COV = sp.Matrix([[R(7, 5), R(-3, 5), R(1, 5)], [R(-3, 5), R(4, 5), R(1, 4)], [R(1, 5), R(1, 4), 1]])
V = sp.Matrix(4, 4, lambda i, j: sp.Symbol(f"V{min(i, j)}{max(i, j)}", positive=True if i == j else None, real=True))
M = sp.symbols("m0:4", real=True)


def node(f, variable=h, location=m, variance=q):
    return GaussianMean(sp.Lambda(variable, f), (location,), [[variance]])


# --- terms that differ in names only -----------------------------------------------------------------------------------

PRODUCTS = [
    y * sp.exp(-(c**2) / 2) * sp.erf(a) * sp.erf(b),
    b * sp.exp(-(b**2) / 2) * sp.erf(n * a),
    (1 - y) * a * c * sp.Heaviside(c) * sp.Heaviside(a - 1),
    b * c * sp.sin(c - 2 * a),
    b * sp.DiracDelta(c) * sp.Heaviside(b - a),
]


def test_names_change_nothing(monkeypatch):
    """25 digits against each term derived on its own; the fields have their roles in another order than their own."""
    point = {V[i, j]: R(7 * i + 5 * j + 2, 97) + 2 * (i == j) for i in range(3) for j in range(i, 3)}
    point |= {x: R(3 * i - 4, 11) for i, x in enumerate(M)} | {y: R(3, 5), n: R(5, 3)}
    shared = [expectation(f, (a, b, c), M[:3], V[:3, :3]) for f in PRODUCTS]
    monkeypatch.setattr(strategy, "_once", lambda F, P, law: strategy._term(F, P, law, 1))
    for f, value in zip(PRODUCTS, shared, strict=True):
        alone = expectation(f, (a, b, c), M[:3], V[:3, :3])
        assert abs(elementary(value - alone).subs(point).evalf(30)) < sp.Float("1e-25")


def test_units_of_a_network_are_derived_once():
    """Three or four units, the square of their sum has two distinct means."""
    distinct = []
    for count in (3, 4):
        strategy._monomial.cache_clear()
        units = (a, b, c, d)[:count]
        network = sp.Add(*(v * sp.erf(x) for v, x in zip(sp.symbols("v0:4", real=True), units, strict=False)))
        expectation(network**2, units, M[:count], V[:count, :count])
        distinct.append(strategy._monomial.cache_info().misses)
    assert distinct == [2, 2]  # E erf(a)^2 and E erf(a) erf(b)


# --- the rule for what stays inside a node ----------------------------------------------------------------------------


def test_a_polynomial_in_the_directions_of_a_node_stays_inside():
    assert expectation(h * Softplus(h), (h,), (m,), [[q]]) == node(h * Softplus(h))
    assert expectation(3 * y * (1 - h) ** 2 * sp.tanh(h), (h,), (m,), [[q]]) == 3 * y * node((1 - 2 * h + h**2) * sp.tanh(h))


def test_a_polynomial_in_other_directions_goes_by_stein():
    """No division by the variance of b, which may vanish at the start of a training."""
    value = expectation(a * Sigmoid(-b), (a, b), M[:2], V[:2, :2])
    first, second = (node(f, b, M[1], V[1, 1]) for f in (Sigmoid(-b), Sigmoid(b) * Sigmoid(-b)))
    assert value == M[0] * first - V[0, 1] * second
    assert value.subs({V[1, 1]: 0, V[0, 1]: 0}) == M[0] * Sigmoid(-M[1])


def test_parameters_are_not_divided_by():
    value = expectation(c * Softplus(y * a + n * b), (a, b, c), M[:3], V[:3, :3])
    assert reduced_dimension(value) == 1
    first, second = (node(f, h, n * M[1], n**2 * V[1, 1]) for f in (Softplus(h), Sigmoid(h)))
    assert value.subs(y, 0) == M[2] * first + n * V[1, 2] * second


def test_nodes_of_one_law_and_one_coefficient_are_one():
    value = expectation((Softplus(h) - 1) ** 2 * y, (h,), (m,), [[q]])
    assert len(value.atoms(GaussianMean)) == 1
    squared = expectation((Softplus(h) - y) ** 2, (h,), (m,), [[q]])
    assert squared == y**2 - 2 * y * node(Softplus(h)) + node(Softplus(h) ** 2)


def test_sign_inside_a_function_is_conditioned_away(panels):
    """A logistic classifier taught by a perceptron: one smooth integral in h with Phi of an affine function of it."""
    f = sp.log(1 + sp.exp(-sp.sign(a) * b))
    value = expectation(f, (a, b), M[:2], V[:2, :2])
    (integral,) = value.atoms(GaussianMean)
    assert value == integral and len(integral.variables) == 1
    assert integral.has(NormalCDF) and not integral.has(sp.Heaviside, sp.sign)
    numbers = expectation(f, (a, b), MEAN[:2], COV[:2, :2])
    assert float(numbers.evalf(15)) == pytest.approx(panels(f, (a, b), MEAN[:2], COV[:2, :2]), abs=1e-11)


def test_xor_teacher_leaves_one_dimension(panels):
    f = sp.log(1 + sp.exp(-sp.sign(a * b) * c))
    value = expectation(f, (a, b, c), MEAN, COV)
    assert reduced_dimension(value) == 1 and value.has(BivariateNormalCDF)
    assert float(value.evalf(12)) == pytest.approx(panels(f, (a, b, c), MEAN, COV), abs=1e-8)


REDUCED = {  # f, dimension, axes on which it is piecewise smooth
    "softmax": (sp.exp(a) / (sp.exp(a) + sp.exp(b) + sp.exp(c)), 2, (a, b, c)),
    "cross-entropy": (LogSumExp(a, b, c) - b, 2, (a, b, c)),
    "softmax gradient": ((sp.exp(a) / (sp.exp(a) + sp.exp(b) + sp.exp(c)) - 1) * b, 2, (a, b, c)),
    "difference": (Softplus(a - 2 * b) * a * b, 1, (a, b)),
    "form of all": (sp.tanh(a + b - c) * c**2, 1, (a, b, c)),
    "square of a form": (1 / (1 + (a - b) ** 2) * b, 1, (a, b)),
    "expanded square": (1 / (1 + a**2 - 2 * a * b + b**2), 1, (a, b)),
    "step outside": (sp.Heaviside(a) * Softplus(b) * a, 1, (a, b)),
    "step inside": (sp.Heaviside(a) * Softplus(a) * b, 1, (a, b)),
    "two steps outside": (sp.Heaviside(a) * sp.Heaviside(b) * Sigmoid(c), 1, (a, b, c)),
    "erf squared outside": (sp.erf(a) ** 2 * Softplus(b) * a, 1, (a, b)),
    "high degree outside": (a**5 * Sigmoid(b), 1, (a, b)),
    "exponential outside": (sp.exp(a - a * b - a**2) * Softplus(b) * a, 1, (a, b)),
    "wave and step": (sp.sin(a) * sp.Heaviside(b) * b, 1, (a, b)),
    "cube times sine": (sp.Abs(a) ** 3 * sp.sin(a) * b, 1, (a, b)),
    "three steps": (sp.Heaviside(a) * sp.Heaviside(b) * sp.Heaviside(c), 1, (a, b, c)),
    "fifth power of erf": (sp.erf(a) ** 5 * b, 1, (a, b)),
    "rational": (a / (1 + b**2), 1, (a, b)),
    "genuinely two": (Softplus(a) * Softplus(b), 2, (a, b)),
}


@pytest.mark.parametrize("name", REDUCED)
def test_dimension_and_value(name, panels):
    f, dimension, axes = REDUCED[name]
    size = len(axes)
    xs, mean, cov = (a, b, c)[:size], MEAN[:size], COV[:size, :size]
    assert reduced_dimension(expectation(f, xs, M[:size], V[:size, :size])) == dimension
    value = expectation(f, xs, mean, cov)
    assert reduced_dimension(value) == dimension
    if dimension > 1:
        value = value.xreplace({e: sp.Float(panels(e.integrand, e.variables, e.mean, e.cov)) for e in value.atoms(GaussianMean)})
    assert float(value.evalf(9)) == pytest.approx(panels(f, xs, mean, cov), abs=1e-8)


def test_independent_factors_come_apart():
    value = expectation(Softplus(a) * sp.tanh(b) * a, (a, b), M[:2], sp.diag(q, n))
    assert value == node(a * Softplus(a), a, M[0], q) * node(sp.tanh(b), b, M[1], n)


def test_span_of_directions():
    assert span(Softplus(y * (a - b)), (a, b, c)) == ((1, -1, 0),)
    assert span(sp.exp(a - LogSumExp(a, b, c)), (a, b, c)) == ((1, -1, 0), (1, 0, -1))
    assert span(sp.exp(a - LogSumExp(a, b, c)) * sp.Heaviside(b), (a, b, c)) == ((1, 0, 0), (0, 1, 0), (0, 0, 1))
    assert span(sp.Heaviside(a * b - 1), (a, b, c)) == ((1, 0, 0), (0, 1, 0))
    assert span(sp.S.One, (a, b)) == ()


# --- traps ------------------------------------------------------------------------------------------------------------

ANY = [
    sp.gamma(h),
    1 / h,
    h**y,
    sp.log(sp.Abs(h)),
    sp.Heaviside(sp.sin(h)),
    sp.DiracDelta(sp.sin(h)),
    sp.floor(h),
    (1 + h + Softplus(h)) ** 12,
    (1 + h + sp.tanh(h) + Softplus(h)) ** 80,
    h**100,
    sp.Piecewise((1, sp.Eq(h, 0)), (h, True)),
    h * F(h),
    sp.Derivative(F(h), h),
    sp.Integral(sp.exp(-h * y**2), (y, 0, 1)),
    sp.sqrt(1 - h**2),
    sp.Heaviside(h**3 - h),
    sp.exp(sp.exp(h)),
    sp.Heaviside(h) * sp.Heaviside(y * h),
    sp.sin(h**2),
    sp.cos(h) ** 9,
    sp.tanh(sp.Max(0, h)),
    sp.sign(Softplus(h) - 1),
    sp.Max(0, h, Softplus(h)),
    sp.exp(h**3),
    sp.erf(h) ** 12,
    sp.sin(sp.exp(sp.Max(h, sp.Abs(h - 1)))),
    sp.Mod(h, 1),
]


@pytest.mark.parametrize("f", ANY, ids=str)
def test_anything_returns(f):
    """Quickly; and it is either the mean of f as it stands, or its value."""
    start = time.process_time()
    value = expectation(f, (h,), (m,), [[q]])
    assert time.process_time() - start < 60  # some expansions would take hours
    assert reduced_dimension(value) == 1
    assert not value.free_symbols - f.free_symbols - {m, q}
    if value != node(f):
        assert abs(number(value) - plain_mean(f)) < 1e-9 * abs(plain_mean(f))


AT = {m: R(2, 5), q: R(3, 10), y: 2}


def number(expr):
    return sp.N(elementary(expr).subs(AT), 15)


def plain_mean(f):
    """E f(h) at the same point, by quadrature from one integer to the next."""
    density = sp.exp(-((h - m) ** 2) / (2 * q)) / sp.sqrt(2 * sp.pi * q)
    integrand = sp.lambdify(h, elementary(f * density).subs(AT), "mpmath")
    return mpmath.quad(integrand, [mpmath.mpf(x) for x in range(-8, 9)])


def test_a_wrong_value_would_be_noticed():
    f = (1 + h + Softplus(h)) ** 12
    value = expectation(f, (h,), (m,), [[q]])
    assert value != node(f) and abs(number(value + m**3) - plain_mean(f)) > 1e-9 * abs(plain_mean(f))


def test_an_infinite_exponential_stays_a_node():
    assert expectation(sp.exp(h**2), (h,), (0,), [[1]]) == node(sp.exp(h**2), h, 0, 1)
    assert is_closed(expectation(sp.exp(h**2), (h,), (0,), [[R(1, 3)]]))


def test_what_is_too_large_to_expand_is_still_reduced():
    value = expectation((1 + Softplus(a - b) + sp.tanh(a - b) + sp.cos(a - b)) ** 60, (a, b), M[:2], V[:2, :2])
    assert reduced_dimension(value) == 1 and len(value.atoms(GaussianMean)) == 1


def test_complex_exponential():
    value = expectation(sp.exp(sp.I * h**2), (h,), (0,), [[R(1, 2)]])
    assert abs((value - 1 / sp.sqrt(1 - sp.I)).evalf(20)) < 1e-18


def test_a_delta_at_a_double_root_is_not_dropped():
    assert expectation(sp.DiracDelta(h**2), (h,), (m,), [[q]]) != 0
    assert expectation(sp.DiracDelta(h**2 + 1), (h,), (m,), [[q]]) == 0


def test_no_variance_no_integral():
    assert expectation(Softplus(h) * sp.sign(h), (h,), (m,), [[0]]) == Softplus(m) * sp.sign(m)
    pinned = expectation(Softplus(a + b) * b, (a, b), (m, 0), sp.diag(0, q))
    assert pinned == node(h * Softplus(h + m), h, 0, q)


def test_structurally_singular_covariance():
    """Rank one with symbols: everything is a function of one field."""
    w = sp.Matrix([1, y])
    value = expectation(Softplus(a) * Softplus(b), (a, b), (0, 0), q * w * w.T)
    assert value == node(Softplus(h) * Softplus(y * h), h, 0, q)
    assert expectation((b - y * a) * Softplus(a), (a, b), (0, 0), q * w * w.T) == 0


def test_parameters_that_share_the_name_of_a_variable():
    """The mean may contain the symbol that is integrated over: it is another h."""
    assert expectation(h**2, (h,), (h,), [[q]]) == h**2 + q
    assert expectation(Softplus(h), (h,), (h,), [[q]]) == node(Softplus(a), a, h, q)


def test_steps_whose_order_is_unknown():
    value = expectation(sp.Heaviside(h - y) * sp.Heaviside(h - n), (h,), (m,), [[q]])
    assert is_closed(value)
    for point in ({y: R(1, 3), n: R(1, 2)}, {y: R(3, 4), n: R(1, 2)}):
        expected = NormalCDF((m - max(point.values())) / sp.sqrt(q))
        assert abs((value.subs(point) - expected).subs({m: R(1, 7), q: R(3, 2)}).evalf(20)) < 1e-18


def test_committees_are_fast():
    erf = [sp.erf(x / sp.sqrt(2)) for x in (a, b, c, d)]
    start = time.process_time()
    value = expectation((erf[0] + erf[1] - erf[2] - erf[3]) * sp.diff(erf[0], a) * (c + d) ** 2, (a, b, c, d), M, V)
    assert time.process_time() - start < 8
    assert is_closed(value)


def test_result_does_not_depend_on_the_hash_seed():
    code = (
        "import sympy as sp; from gmsym.calculus import expectation; from gmsym.functions import Softplus;"
        "a, b, c, v, w = sp.symbols('a b c v w', real=True);"
        "f = sp.Max(a, b) * sp.erf(c) * c + Softplus(a - b) * sp.sign(c) * a;"
        "print(sp.srepr(expectation(f, (a, b, c), (v, w, 0), [[2, v, w], [v, 3, v], [w, v, 4]])))"
    )
    runs = [subprocess.run([sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True) for seed in "12"]
    assert runs[0].stdout == runs[1].stdout != "", runs[0].stderr
