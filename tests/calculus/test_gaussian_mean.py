"""The node: its bound variables, its derivatives (Stein and Price), its degenerate cases."""

import mpmath
import pytest
import sympy as sp

from gmsym.calculus import GaussianMean, bound_symbols, evaluated, expectation, is_closed, reduced_dimension
from gmsym.functions import Sigmoid, Softplus

h, x, y, m, c = sp.symbols("h x y m c", real=True)
z0 = sp.Symbol("z0", real=True)  # the name that bound variables get
q, r = sp.symbols("q r", positive=True)


def mean(f, variable=h, location=m, variance=q):
    return GaussianMean(sp.Lambda(variable, f), (location,), [[variance]])


def test_names_of_bound_variables_do_not_matter():
    assert mean(Softplus(h)) == mean(Softplus(x), x)
    assert hash(mean(Softplus(h))) == hash(mean(Softplus(x), x))
    two = GaussianMean(sp.Lambda((h, x), Softplus(h - 2 * x)), (m, 0), sp.eye(2))
    assert two == GaussianMean(sp.Lambda((x, h), Softplus(x - 2 * h)), (m, 0), sp.eye(2))
    assert two != GaussianMean(sp.Lambda((x, h), Softplus(h - 2 * x)), (m, 0), sp.eye(2))


def test_a_nested_mean_is_canonical_however_it_was_built():
    inner = mean(Softplus(h * x), h)
    outer = mean(inner, x)
    again = mean(mean(Softplus(y * z0), y), z0)
    opened_variables, opened = outer.opened()
    assert outer == again
    assert mean(opened, opened_variables[0]) == outer
    assert mean(outer.integrand, outer.variables[0]) == outer
    assert outer.func(*outer.args) == outer


def test_free_symbols_leave_out_the_bound_ones():
    node = mean(Softplus(y * h))
    assert node.free_symbols == {y, m, q}
    assert node.bound_symbols == [z0]
    assert bound_symbols([node + 1, mean(mean(Softplus(h * x), h), x)]) == {z0, sp.Symbol("zz0", real=True)}


@pytest.mark.parametrize("replace", [lambda e, old, new: e.subs(old, new), lambda e, old, new: e.xreplace({old: new})])
def test_substitution_never_captures(replace):
    node = mean(Softplus(y * h))
    captured = replace(node, y, z0)  # an outer symbol of the bound variable's name
    assert captured.free_symbols == {z0, m, q}
    assert captured.integrand != Softplus(captured.variables[0] ** 2)
    assert replace(captured, z0, y) == node
    assert replace(node, z0, sp.Integer(3)) == node  # the bound variable is out of reach
    assert replace(node, m, z0).mean[0] == z0
    assert replace(node, h, x) == node


def test_simultaneous_substitution_swaps():
    node = mean(Softplus(y * h + c))
    assert node.subs({y: c, c: y}, simultaneous=True) == mean(Softplus(c * h + y))
    assert node.subs(q, 0) == Softplus(y * m + c)


def test_cse_keeps_scopes_when_told_the_bound_symbols():
    exprs = [mean(sp.exp(-h) * Softplus(y * h), h) + sp.exp(-y), mean(sp.exp(-h) * sp.sin(h) * sp.exp(-y))]
    subexpressions, reduced = sp.cse(exprs, ignore=bound_symbols(exprs))
    assert not any(value.has(z0) and not value.has(GaussianMean) for _, value in subexpressions)
    restored = [e.subs(list(reversed(subexpressions))) for e in reduced]
    assert restored == exprs


def test_degenerate_cases_evaluate():
    assert mean(y + 1) == y + 1
    assert mean(h) == m
    assert mean(Softplus(h), variance=0) == Softplus(m)
    assert GaussianMean(sp.Lambda((h, x), h * sp.sin(x)), (m, y), sp.zeros(2)) == m * sp.sin(y)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((Softplus(h), (m,), [[q]]), TypeError),
        ((sp.Lambda(h, h**2), (m, m), [[q]]), ValueError),
        ((sp.Lambda((h, x), h * x), (m, m), [[q]]), ValueError),
    ],
)
def test_what_is_no_mean_is_refused(arguments, error):
    with pytest.raises(error):
        GaussianMean(*arguments)


def test_repeated_variables_are_refused():
    with pytest.raises(ValueError, match="distinct"):
        expectation(h, (h, h), (0, 0), sp.eye(2))


def test_real_integrand_real_mean():
    assert mean(Softplus(h)).is_extended_real
    assert mean(sp.Function("f")(h)).is_extended_real is None


def test_latex():
    node = GaussianMean(sp.Lambda((h, x), Softplus(h - x)), (m, 0), [[q, 0], [0, r]])
    text = sp.latex(node)
    assert text.startswith(r"\mathbb{E}_{(z_{0},z_{1})\sim\mathcal N\left(")
    assert sp.latex(mean(sp.tanh(h))) == r"\mathbb{E}_{z_{0}\sim\mathcal N\left(m,q\right)}\left[\tanh{\left(z_{0} \right)}\right]"


# --- derivatives ------------------------------------------------------------------------------------------------------


def test_derivative_is_stein_price_and_the_explicit_dependence():
    node = GaussianMean(sp.Lambda(h, Softplus(y * h)), (y**2,), [[sp.exp(y)]])
    expected = (
        mean(h * Sigmoid(y * h), h, y**2, sp.exp(y))
        + 2 * y * mean(y * Sigmoid(y * h), h, y**2, sp.exp(y))
        + sp.exp(y) / 2 * mean(y**2 * Sigmoid(y * h) * Sigmoid(-y * h), h, y**2, sp.exp(y))
    )
    difference = sp.diff(node, y) - expected
    assert abs(difference.subs(y, sp.Rational(3, 7)).evalf(20)) < 1e-18


def test_derivative_in_a_name_of_the_bound_variable():
    node = GaussianMean(sp.Lambda(h, Softplus(h)), (z0,), [[q]])
    assert sp.diff(node, z0) == GaussianMean(sp.Lambda(h, Sigmoid(h)), (z0,), [[q]])
    assert sp.diff(mean(Softplus(h)), z0) == 0


KINKED = [
    sp.Max(0, 1 - h),
    sp.Abs(h - sp.Rational(1, 3)),
    sp.Max(0, 1 - h) ** 2,
    sp.sign(h),
    sp.Piecewise((h**2, h < 1), (sp.sin(h), True)),
]


@pytest.mark.parametrize("f", KINKED)
@pytest.mark.parametrize("symbol", [m, q])
def test_derivative_across_a_kink(f, symbol, quadrature):
    """Against a difference quotient of the quadrature: the delta at the kink (or jump) is there."""
    point = {m: sp.Rational(2, 5), q: sp.Rational(7, 10)}
    derivative = evaluated(sp.diff(mean(f), symbol).xreplace(point)).evalf(20)

    def moved(step):
        at = point | {symbol: point[symbol] + step}
        return quadrature(f, (h,), (at[m],), [[at[q]]], 30)

    step = sp.Rational(1, 10**6)
    with mpmath.workdps(40):
        quotient = (moved(step) - moved(-step)) / (2 * mpmath.mpf(1) / 10**6)
        assert abs(mpmath.mpmathify(derivative) - quotient) < 1e-10


def test_price_in_an_off_diagonal_covariance():
    """d/dV_12 of E[f(a) g(b)] is E[f' g'], here with f = g = cos, where both sides close."""
    rho = sp.Symbol("rho", real=True)
    node = GaussianMean(sp.Lambda((h, x), sp.cos(h) * sp.cos(x)), (m, y), [[q, rho], [rho, r]])
    closed = sp.diff(evaluated(node), rho)
    point = {m: sp.Rational(1, 3), y: sp.Rational(-2, 3), q: sp.Rational(5, 4), r: sp.Rational(3, 4), rho: sp.Rational(1, 5)}
    assert abs((evaluated(sp.diff(node, rho)) - closed).xreplace(point).evalf(25)) < 1e-23
    assert closed.xreplace(point).evalf() != 0


# --- closed forms, evalf, what remains ----------------------------------------------------------------------------------------


def test_evaluated_closes_and_keeps():
    assert evaluated(mean(h**2)) == m**2 + q
    assert evaluated(mean(Softplus(h))) == mean(Softplus(h))
    assert is_closed(evaluated(mean(sp.Abs(h))))
    assert evaluated(2 * mean(sp.exp(h)) + 1) == 2 * sp.exp(m + q / 2) + 1


def test_dimension_of_what_remains():
    node = GaussianMean(sp.Lambda((h, x), Softplus(h) * Softplus(x)), (m, 0), [[2, 1], [1, 2]])
    assert not is_closed(node) and is_closed(m + q)
    assert reduced_dimension(1 + node * mean(Softplus(h))) == 2
    assert reduced_dimension(sp.exp(m)) == 0


def test_evalf_needs_numbers():
    assert mean(Softplus(h)).evalf() == mean(Softplus(h))
    value = mean(Softplus(h), location=sp.Integer(0), variance=sp.Integer(1)).evalf(30)
    symmetric = mean(Softplus(-h), location=sp.Integer(0), variance=sp.Integer(1)).evalf(30)
    assert abs(value - symmetric) < sp.Float("1e-28", 30)


def test_a_delta_is_evaluated_by_conditioning():
    node = mean(sp.DiracDelta(h - 1) * sp.cos(h), location=sp.Integer(0), variance=sp.Integer(1))
    assert abs(evaluated(node).evalf(25) - (sp.exp(-sp.Rational(1, 2)) / sp.sqrt(2 * sp.pi) * sp.cos(1)).evalf(25)) < 1e-23
