"""The closed table: every SymPy function that can be printed, and where it may be evaluated without a second thought."""

from typing import NamedTuple

import sympy as sp

from gmsym import functions


class Entry(NamedTuple):
    """One printable function."""

    text: str  # what it is called in generated code: `jnp` is jax.numpy, `rt` is gmsym.runtime.functions
    safe: int | None = None  # an argument with finite value and derivatives; None if they are finite for every argument


FUNCTIONS: dict[type, Entry] = {
    sp.exp: Entry("jnp.exp", 0),
    sp.log: Entry("jnp.log", 1),
    sp.sin: Entry("jnp.sin"),
    sp.cos: Entry("jnp.cos"),
    sp.tan: Entry("jnp.tan", 0),
    sp.asin: Entry("jnp.arcsin", 0),
    sp.acos: Entry("jnp.arccos", 0),
    sp.atan: Entry("jnp.arctan"),
    sp.sinh: Entry("jnp.sinh", 0),
    sp.cosh: Entry("jnp.cosh", 0),
    sp.tanh: Entry("jnp.tanh"),
    sp.asinh: Entry("jnp.arcsinh"),
    sp.acosh: Entry("jnp.arccosh", 2),
    sp.atanh: Entry("jnp.arctanh", 0),
    sp.Abs: Entry("rt.absolute"),
    sp.sign: Entry("jnp.sign"),
    sp.floor: Entry("jnp.floor"),
    sp.ceiling: Entry("jnp.ceil"),
    sp.Mod: Entry("jnp.mod"),
    sp.erf: Entry("rt.erf"),
    sp.erfc: Entry("rt.erfc"),
    functions.Softplus: Entry("rt.softplus"),
    functions.Sigmoid: Entry("rt.sigmoid"),
    functions.LogSumExp: Entry("rt.logsumexp"),
    functions.NormalCDF: Entry("rt.normal_cdf"),
    functions.LogNormalCDF: Entry("rt.log_normal_cdf"),
    functions.InverseMills: Entry("rt.inverse_mills"),
    functions.MillsCurvature: Entry("rt.mills_curvature"),
    functions.BivariateNormalCDF: Entry("rt.bivariate_normal_cdf"),
    functions.PiecewiseLinear: Entry("rt.piecewise_linear"),
}


def safe_argument(expr: sp.Basic) -> sp.Integer | None:
    """A value for the first argument of `expr` at which it is finite with its derivatives; None if it is so everywhere."""
    if isinstance(expr, sp.Pow):
        natural = expr.exp.is_Integer and expr.exp.is_nonnegative
        return None if natural or _bounded_below(expr.base) else sp.S.One
    point = FUNCTIONS[type(expr)].safe if type(expr) in FUNCTIONS else None
    if point is None or (isinstance(expr, sp.exp) and expr.args[0].is_nonpositive):
        return None
    if isinstance(expr, sp.log) and _bounded_below(expr.args[0]):
        return None
    return sp.Integer(point)


def _bounded_below(expr: sp.Expr) -> bool:
    """Whether `expr` is positive and cannot underflow to 0: a positive parameter, 1 + h^2."""
    return bool(expr.is_positive) and not expr.has(sp.Function)
