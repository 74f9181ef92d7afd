"""A chain with small random steps around its mean trajectory, order by order in 1/sqrt(d). Source: theory.md 6, own.

A step is u' = u + delta phi + delta^2 chi with delta = c/d, phi = F(u) + w, w of mean zero. Written for the deviation xi/sqrt(d) from
ubar, which moves along its own curve, and expanded to second order, the mean over w and then over xi, of mean zeta/sqrt(d) and second
moment P, is collected by orders of eps = 1/sqrt(d): a time dt holds dt/delta steps.
"""

import sympy as sp

from gmsym.calculus.kernels import Transposed
from gmsym.system import Equation, Equations
from gmsym.system import ode as S
from gmsym.system import sde as N
from gmsym.system.causal_kernels import Mean
from gmsym.system.ode import K, c, k, p, t

SOURCE = "theory.md 6; Ben Arous, Gheissari, Jagannath 2022"
_eps = sp.Symbol("epsilon", positive=True)  # 1/sqrt(d)
_delta = c * _eps**2
_w = sp.Symbol("w", commutative=False)  # phi - F
_xi, _past = N.xi(t), N.xi(N.past)


def fluctuation_equations(block: tuple[sp.Symbol, ...]) -> Equations:
    """Of xi, its law, the bias, and of a function f of the statistics; `block` is (b,) or, with one block only, ()."""
    drift, noise = _of_step()
    volatility = _over_sample((N.phi(t) - N.F(t)) * Transposed(N.phi(t) - N.F(t)))
    shift, variance = _of_function()
    theorem = {"source": SOURCE, "status": "theorem"}
    own = {"source": "own", "status": "own"}
    return Equations(
        (
            Equation(N.d_xi(t), drift * N.dt + N.Root(t) * N.dB(t), "fluctuation", **theorem),
            Equation(N.Root(t) * Transposed(N.Root(t)), noise, "covariance of its noise in a unit of time", **theorem),
            Equation(N.F(t), _over_sample(N.phi(t)), "mean of one sample's increment phi", **theorem),
            Equation(N.Sigma(t), volatility, "covariance of one sample's increment phi", **theorem),
            Equation(sp.Derivative(N.P(t), t), _rate_of_covariance(), "covariance of the fluctuation", **theorem),
            Equation(sp.Derivative(N.C(t, N.past), t), _rate_of_correlation(), "covariance with an earlier time", **theorem),
            Equation(sp.Derivative(N.zeta(t), t), _rate_of_bias(), "bias of the mean, times d; chi is of second order", **own),
            Equation(S.nu(*block, t), _excess(block), "mean of |Y|^2 less its typical value, given (h, tau)", **own),
            Equation(N.R(t) * Transposed(N.R(t)), N.P(t), "square of the root of the covariance", **own),
            Equation(N.shift_f(t), shift, "what finite d adds to the mean of a function of the statistics", **own),
            Equation(N.variance_f(t), variance, "covariance of functions of the statistics in one run", **own),
        )
    )


def _taylor(value: sp.Expr, slope: sp.Expr, curvature: sp.Expr, change: sp.Expr) -> sp.Expr:
    return value + slope * change + N.Contracted(curvature, sp.expand(change * Transposed(change))) / 2


def _change() -> sp.Expr:
    """u' - u less the change of ubar, whose curve has the slope F."""
    drift = _taylor(N.F(t), N.DF(t), N.D2F(t), _eps * _xi)
    along = _delta * N.F(t) + _delta**2 * sp.Derivative(N.F(t), t) / 2
    return sp.expand(_delta * (drift + _w) + _delta**2 * N.chi(t) - along)


def _up_to(order: int, expr: sp.Expr) -> sp.Expr:
    """The terms up to eps^order."""
    return sp.Add(*(x for x in sp.Add.make_args(sp.expand(expr)) if x.as_coeff_exponent(_eps)[1] <= order))


def _mean(order: int, expr: sp.Expr) -> sp.Expr:
    """The mean over a sample and then over xi, up to eps^order."""
    known = [
        (_w * Transposed(_w), N.Sigma(t)),
        (_w, sp.S.Zero),
        (N.chi(t), _over_sample(N.chi(t))),
        (_xi * Transposed(_past), N.C(t, N.past)),
        (_xi * Transposed(_xi), N.P(t)),
        (_xi, _eps * N.zeta(t)),
    ]
    expr = _up_to(order, expr)
    for product, value in known:
        expr = _up_to(order, expr.subs(product, value))
    return expr


def _rate(order: int, expr: sp.Expr) -> sp.Expr:
    """A step's change divided by c eps^order: there are d/c steps in a unit of time. No lower order may be left."""
    expr = sp.expand(expr)
    lower = [n for n in range(order) if expr.coeff(_eps, n) != 0]
    if lower:
        raise ArithmeticError(f"orders {lower} in 1/sqrt(d) are left: ubar is not the mean trajectory")
    return sp.expand(expr.coeff(_eps, order) / c)


def _over_sample(expr: sp.Expr) -> sp.Expr:
    """The mean over the mixture; that of phi is F."""
    total = sp.S.Zero
    for term in sp.Add.make_args(sp.expand(expr)):
        if term.has(N.F):
            total += term.subs(N.phi(t), N.F(t))
        else:
            total += sp.Sum(p(k) * Mean(term, k), (k, 1, K))
    return total


def _of_step() -> tuple[sp.Expr, sp.Expr]:
    """(drift of xi, covariance of its noise) in a unit of time."""
    terms = sp.Add.make_args(sp.expand(_change() / _eps))
    drift, noise = (sp.Add(*(x for x in terms if x.has(_w) == random)) for random in (False, True))
    return _rate(2, _up_to(2, drift)), _rate(2, _mean(2, noise * Transposed(noise)))


def _rate_of_covariance() -> sp.Expr:
    old, change = _eps * _xi, _change()
    return _rate(4, _mean(4, old * Transposed(change) + change * Transposed(old) + change * Transposed(change)))


def _rate_of_correlation() -> sp.Expr:
    return _rate(4, _mean(4, _change() * Transposed(_eps * _past)))


def _rate_of_bias() -> sp.Expr:
    return _rate(4, _mean(4, _change()))


def _of_function() -> tuple[sp.Expr, sp.Expr]:
    """(what finite d adds to the mean of f(u), the covariance of f(u)), of order 1/d; P = R R^T."""
    change = _taylor(N.f(t), N.Df(t), N.D2f(t), _eps * _xi) - N.f(t)
    shift = _mean(2, change)
    covariance = _mean(2, change * Transposed(change))
    root = N.R(t) * Transposed(N.R(t))
    return _of_dimension(shift), _of_dimension(covariance).subs(N.P(t), root)


def _of_dimension(expr: sp.Expr) -> sp.Expr:
    return sp.expand(expr.subs(_eps, 1 / sp.sqrt(N.d)))


def _excess(block: tuple[sp.Symbol, ...]) -> sp.Expr:
    """The mean of |Y|^2 - sigma^2 d given the fields (h, tau) of some of the vectors x, mu, theta.

    On the span of these vectors |Y|^2 = w^T G^+ w with their fields w; beside it Y is independent of the fields and has the mean square
    sigma^2 in each of the d - rank G dimensions left.
    """
    size = S.rho(*block) * N.d if block else N.d
    within = sp.Sum(N.Dual(*block, S.s, S.r, t) * N.W(*block, S.s, S.r, t), (S.s, 1, N.vectors), (S.r, 1, N.vectors))
    beside = S.sigma2(k, *block) * (size - N.rank(*block, t))
    return sp.expand(within + beside - S.sigma2(k, *block) * size)
