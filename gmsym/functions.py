"""Special functions with their derivatives, and the two normal forms every expression is brought to.

`stable` replaces combinations of exponentials that overflow in floating point by nodes with a stable numerical form
(softplus, sigmoid, log-sum-exp, log-normal-cdf); `heaviside_form` replaces absolute values, maxima, signs and piecewise
definitions by Heaviside steps, the form in which the derivative of a kink is visible. Both are exact identities.
Source: theory.md 9 and 10.
"""

import math
import operator
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import mpmath
import sympy as sp
from sympy.core.logic import fuzzy_and
from sympy.core.relational import Relational
from sympy.logic.boolalg import BooleanFalse, BooleanTrue

from gmsym import budget


class Softplus(sp.Function):
    """log(1 + exp(u))."""

    nargs = 1

    @classmethod
    def eval(cls, u):
        if u.is_zero:
            return sp.log(2)
        if u is sp.oo:
            return sp.oo
        if u is -sp.oo:
            return sp.S.Zero
        return None

    def fdiff(self, argindex=1):
        return Sigmoid(self.args[0])

    def as_elementary(self):
        return sp.log(1 + sp.exp(self.args[0]))

    def _eval_is_extended_real(self):
        return self.args[0].is_extended_real

    def _eval_is_positive(self):
        return self.args[0].is_real

    def _eval_mpmath(self):
        return (lambda u: mpmath.log1p(mpmath.exp(u)) if u < 0 else u + mpmath.log1p(mpmath.exp(-u))), self.args

    def _latex(self, printer, exp=None):
        return _power(rf"\log\left(1+e^{{{printer._print(self.args[0])}}}\right)", exp)


class Sigmoid(sp.Function):
    """1/(1 + exp(-u))."""

    nargs = 1

    @classmethod
    def eval(cls, u):
        if u.is_zero:
            return sp.Rational(1, 2)
        if u is sp.oo:
            return sp.S.One
        if u is -sp.oo:
            return sp.S.Zero
        return None

    def fdiff(self, argindex=1):
        u = self.args[0]
        return Sigmoid(u) * Sigmoid(-u)

    def as_elementary(self):
        return 1 / (1 + sp.exp(-self.args[0]))

    def _eval_is_extended_real(self):
        return self.args[0].is_extended_real

    def _eval_is_positive(self):
        return self.args[0].is_real

    def _eval_mpmath(self):
        return (lambda u: 1 / (1 + mpmath.exp(-u))), self.args

    def _latex(self, printer, exp=None):
        return _power(rf"\operatorname{{sigmoid}}\left({printer._print(self.args[0])}\right)", exp)


class LogSumExp(sp.Function):
    """log(exp(u_1) + ... + exp(u_n)), n >= 3 (one term is u_1, two are a softplus)."""

    @classmethod
    def eval(cls, *args):
        if len(args) == 1:
            return args[0]
        if len(args) == 2:
            return args[1] + Softplus(args[0] - args[1])
        return None

    def fdiff(self, argindex=1):
        return sp.exp(self.args[argindex - 1] - self)

    def as_elementary(self):
        return sp.log(sp.Add(*map(sp.exp, self.args)))

    def _eval_is_extended_real(self):
        return fuzzy_and(u.is_extended_real for u in self.args)

    def _eval_mpmath(self):
        return (lambda *u: mpmath.log(mpmath.fsum(map(mpmath.exp, u)))), self.args

    def _latex(self, printer, exp=None):
        return _power(rf"\log\left({'+'.join(f'e^{{{printer._print(u)}}}' for u in self.args)}\right)", exp)


class NormalCDF(sp.Function):
    """Distribution function of N(0, 1)."""

    nargs = 1

    @classmethod
    def eval(cls, u):
        if u.is_zero:
            return sp.Rational(1, 2)
        if u is sp.oo:
            return sp.S.One
        if u is -sp.oo:
            return sp.S.Zero
        return None

    def fdiff(self, argindex=1):
        return normal_density(self.args[0])

    def as_elementary(self):
        return (1 + sp.erf(self.args[0] / sp.sqrt(2))) / 2

    def _eval_is_extended_real(self):
        return self.args[0].is_extended_real

    def _eval_is_positive(self):
        return self.args[0].is_real

    def _eval_mpmath(self):
        return mpmath.ncdf, self.args

    def _latex(self, printer, exp=None):
        return _power(rf"\Phi\left({printer._print(self.args[0])}\right)", exp)


class LogNormalCDF(sp.Function):
    """log Phi(u), with Phi the distribution function of N(0, 1)."""

    nargs = 1

    def fdiff(self, argindex=1):
        return InverseMills(self.args[0])

    def as_elementary(self):
        return sp.log(NormalCDF(self.args[0]).as_elementary())

    def _eval_is_extended_real(self):
        return self.args[0].is_extended_real

    def _eval_mpmath(self):
        return (lambda u: mpmath.log(mpmath.ncdf(u))), self.args

    def _latex(self, printer, exp=None):
        return _power(rf"\log\Phi\left({printer._print(self.args[0])}\right)", exp)


class InverseMills(sp.Function):
    """phi(u)/Phi(u), the derivative of log Phi; close to -u for u -> -oo."""

    nargs = 1

    def fdiff(self, argindex=1):
        return -MillsCurvature(self.args[0])

    def as_elementary(self):
        return normal_density(self.args[0]) / NormalCDF(self.args[0]).as_elementary()

    def _eval_is_extended_real(self):
        return self.args[0].is_extended_real

    def _eval_mpmath(self):
        return (lambda u: mpmath.npdf(u) / mpmath.ncdf(u)), self.args

    def _latex(self, printer, exp=None):
        u = printer._print(self.args[0])
        return _power(rf"\frac{{\varphi}}{{\Phi}}\left({u}\right)", exp)


class MillsCurvature(sp.Function):
    """r(u) (u + r(u)) with r = phi/Phi, i.e. -(log Phi)''; between 0 and 1, a node because u + r(u) cancels for u -> -oo."""

    nargs = 1

    def fdiff(self, argindex=1):
        u = self.args[0]
        r = InverseMills(u)
        return r - self * (u + 2 * r)

    def as_elementary(self):
        r = InverseMills(self.args[0]).as_elementary()
        return r * (self.args[0] + r)

    def _eval_is_extended_real(self):
        return self.args[0].is_extended_real

    def _eval_mpmath(self):
        def value(u):
            with mpmath.workprec(2 * mpmath.mp.prec + 40):
                r = mpmath.npdf(u) / mpmath.ncdf(u)
                return r * (u + r)

        return value, self.args

    def _latex(self, printer, exp=None):
        return _power(rf"\left[-(\log\Phi)''\left({printer._print(self.args[0])}\right)\right]", exp)


class BivariateNormalCDF(sp.Function):
    """P(X <= a, Y <= b) for standard normals X, Y with correlation rho, -1 < rho < 1."""

    nargs = 3

    @classmethod
    def eval(cls, a, b, rho):
        if a.is_zero and b.is_zero:
            return sp.Rational(1, 4) + sp.asin(rho) / (2 * sp.pi)
        if rho.is_zero:
            return NormalCDF(a) * NormalCDF(b)
        return None

    def fdiff(self, argindex=1):
        a, b, rho = self.args
        s = sp.sqrt(1 - rho**2)
        if argindex == 1:
            return normal_density(a) * NormalCDF((b - rho * a) / s)
        if argindex == 2:
            return normal_density(b) * NormalCDF((a - rho * b) / s)
        if argindex == 3:
            return sp.exp(-(a**2 - 2 * rho * a * b + b**2) / (2 * s**2)) / (2 * sp.pi * s)
        raise sp.ArgumentIndexError(self, argindex)

    def _eval_is_extended_real(self):
        return fuzzy_and(u.is_extended_real for u in self.args)

    def _eval_mpmath(self):
        def value(a, b, rho):
            # Plackett: the derivative in the correlation is the bivariate density.
            def density(r):
                return mpmath.exp(-(a**2 - 2 * r * a * b + b**2) / (2 * (1 - r**2))) / (2 * mpmath.pi * mpmath.sqrt(1 - r**2))

            return mpmath.ncdf(a) * mpmath.ncdf(b) + mpmath.quad(density, [0, rho / 2, rho])

        return value, self.args

    def _latex(self, printer, exp=None):
        a, b, rho = map(printer._print, self.args)
        return _power(rf"\Phi_2\left({a}, {b}; {rho}\right)", exp)


class Norm(sp.Function):
    """|u|: Euclidean norm of the matrix of all coordinates and columns of which u is one, as an update rule reads it.

    u is sqrt(d) times a coordinate, so the norm is the root of the mean of its square over the coordinates, summed over the columns. One
    coordinate does not move it, so that it is a constant where the rule is differentiated in a coordinate.
    """

    nargs = 1

    @classmethod
    def eval(cls, u):
        return sp.S.Zero if u.is_zero else None

    def fdiff(self, argindex=1):
        return sp.S.Zero

    def _eval_is_extended_real(self):
        return True

    def _eval_is_nonnegative(self):
        return True

    def _latex(self, printer, exp=None):
        return _power(rf"\left\lVert {printer._print(self.args[0])} \right\rVert", exp)

    def _jaxcode(self, printer):
        return f"norm({printer._print(self.args[0])})"  # an argument of the functions of update rules


class PiecewiseLinear(sp.Function):
    """Linear between values at the knots 0, spacing, 2 spacing, ... of u; constant beyond. Arguments: u, spacing, values."""

    @classmethod
    def eval(cls, u, spacing, *values):
        if not values:
            raise ValueError("values at the knots are needed")
        if spacing.is_positive is False:
            raise ValueError(f"knots at a distance of {spacing}: a positive one is needed")
        if not (u.is_number and spacing.is_number) or not u.is_comparable:
            return None
        place = sp.Min(sp.Max(u / spacing, 0), len(values) - 1)
        left = min(int(place), max(len(values) - 2, 0))
        right = min(left + 1, len(values) - 1)
        return values[left] + (place - left) * (values[right] - values[left])

    def fdiff(self, argindex=1):
        """In a value, in which it is linear."""
        if argindex < 3:
            raise sp.ArgumentIndexError(self, argindex)
        u, spacing, *values = self.args
        return PiecewiseLinear(u, spacing, *(sp.Integer(i == argindex - 3) for i in range(len(values))))

    def _eval_is_extended_real(self):
        return fuzzy_and(u.is_extended_real for u in self.args)

    def _eval_mpmath(self):
        def value(u, spacing, *values):
            place = min(max(u / spacing, 0), len(values) - 1)
            left = min(int(place), max(len(values) - 2, 0))
            return values[left] + (place - left) * (values[min(left + 1, len(values) - 1)] - values[left])

        return value, self.args

    def _latex(self, printer, exp=None):
        u, _, first, *_, last = (*self.args, self.args[-1])
        ends = rf"{printer._print(first)},\dots,{printer._print(last)}"
        return _power(rf"\operatorname{{linear}}_{{{printer._print(u)}}}\left({ends}\right)", exp)


def normal_density(u: sp.Expr) -> sp.Expr:
    """Density of N(0, 1), left elementary so that the calculus can tilt it."""
    return sp.exp(-(u**2) / 2) / sp.sqrt(2 * sp.pi)


def elementary(expr: sp.Expr) -> sp.Expr:
    """`expr` with the nodes of this module written in elementary functions (Phi_2 has no such form and stays)."""
    return expr.replace(lambda e: hasattr(e, "as_elementary"), lambda e: e.as_elementary())


# --- numbers ----------------------------------------------------------------------------------------------------------

_NAMED = (sp.exp, sp.log, sp.sin, sp.cos, sp.tan, sp.asin, sp.acos, sp.atan, sp.sinh, sp.cosh, sp.tanh)
_NAMED += (sp.asinh, sp.acosh, sp.atanh, sp.erf, sp.erfc)
_PLAIN = {sp.Abs: abs, sp.Max: max, sp.Min: min, sp.Pow: lambda b, p: b**p, sp.Tuple: lambda *items: list(items)}
_PLAIN |= {sp.Lt: operator.lt, sp.Le: operator.le, sp.Gt: operator.gt, sp.Ge: operator.ge, sp.Eq: operator.eq, sp.Ne: operator.ne}
_PLAIN |= {sp.And: lambda *parts: all(parts), sp.Or: lambda *parts: any(parts), sp.Not: operator.not_}


def _table(source: Any, **others: Callable[..., Any]) -> dict[Any, Callable[..., Any]]:
    """Functions of numbers, those with a name from a module."""
    named = {f: getattr(source, f.__name__) for f in _NAMED}
    sign = others["sign"]
    sums = {sp.Add: lambda *terms: source.fsum(terms), sp.Mul: lambda *factors: others["product"](factors)}
    return {**named, **sums, **_PLAIN, sp.sign: sign, sp.Heaviside: lambda u, *_: (sign(u) + 1) / 2}


_OF_MPMATH = _table(mpmath, sign=mpmath.sign, product=mpmath.fprod)
_OF_DOUBLES = _table(math, sign=lambda u: (u > 0) - (u < 0), product=math.prod)


def numeric(expr: sp.Basic, variables: Sequence[sp.Symbol], doubles: bool = False) -> Callable[..., Any]:
    """`expr` as a function of numbers for `variables`; no text is made or executed. What stands in it twice is computed once.

    Args:
        doubles: in Python's floats, which overflow, instead of at mpmath's precision when it is called.

    Raises:
        KeyError: a symbol that is no variable, or a function without a numerical form.
    """
    table = _OF_DOUBLES if doubles else _OF_MPMATH
    place = {x: i for i, x in enumerate(variables)}
    steps: list[tuple[Callable[..., Any], tuple[int, ...]]] = []  # a function, and where the values are that it takes

    def built(node: sp.Basic) -> int:
        if node not in place:
            function, arguments = _operation(node, variables, table, doubles)
            parts = tuple(built(x) for x in arguments)
            place[node] = len(variables) + len(steps)
            steps.append((function, parts))
        return place[node]

    last = built(expr)

    def value(*given: Any) -> Any:
        values = list(given)
        for function, parts in steps:
            values.append(function(*[values[i] for i in parts]))
        return values[last]

    return value


def _operation(node: sp.Basic, variables: Sequence[sp.Symbol], table: dict[Any, Callable[..., Any]], doubles: bool) -> tuple[Any, Any]:
    """(function of numbers, arguments) of one node."""
    if isinstance(node, (BooleanTrue, BooleanFalse)):
        return (lambda truth=node is sp.true: truth), ()
    if doubles and node.is_Atom and node.is_number:
        return (lambda number=int(node) if node.is_Integer else float(node): number), ()
    if isinstance(node, (sp.Rational, sp.Float)):  # at the precision of the call
        return (lambda: node._to_mpmath(mpmath.mp.prec)), ()
    if node.is_Atom and node.is_number:
        return (lambda: node.evalf(mpmath.mp.dps)._to_mpmath(mpmath.mp.prec)), ()
    if isinstance(node, sp.Piecewise):  # a branch that is not taken may have no value
        cases = [tuple(numeric(part, variables, doubles) for part in case) for case in node.args]
        return (lambda *given: next((value(*given) for value, condition in cases if condition(*given)), mpmath.nan)), variables
    return (table[node.func], node.args) if node.func in table else _own_form(node)


def _own_form(node: sp.Basic) -> tuple[Callable[..., Any], tuple[sp.Expr, ...]]:
    if type(node).__module__ != __name__:
        raise KeyError(f"{type(node).__name__} has no numerical form")
    return node._eval_mpmath()


def _power(base: str, exp: str | None) -> str:
    return base if exp is None else rf"\left[{base}\right]^{{{exp}}}"


# --- stable forms -----------------------------------------------------------------------------------------------------


def stable(expr: sp.Expr) -> sp.Expr:
    """An equal expression whose exponentials cannot overflow where the value itself is finite.

    Logarithms and inverse powers of positive sums of exponentials become log-sum-exp nodes, log cosh likewise, and
    log Phi, log erfc, log sigmoid their own nodes. What matches nothing is returned as it is.
    """
    expr = expr.replace(lambda e: isinstance(e, sp.log) and isinstance(e.args[0], sp.cosh), lambda e: _log_cosh(e.args[0].args[0]))
    expr = expr.replace(lambda e: isinstance(e, sp.log), lambda e: _stable_log(e.args[0]))
    # Products first: an exponential in the numerator belongs to the denominator's sum.
    return expr.replace(lambda e: e.is_Mul, _stable_product).replace(lambda e: e.is_Pow, _stable_product)


def _log_cosh(u: sp.Expr) -> sp.Expr:
    return LogSumExp(u, -u) - sp.log(2)


def _stable_log(argument: sp.Expr) -> sp.Expr:
    terms = _exponents(argument)
    if terms is not None:
        return LogSumExp(*terms)
    coefficient, rest = argument.as_coeff_Mul()
    if coefficient.is_positive:
        if isinstance(rest, NormalCDF):
            return sp.log(coefficient) + LogNormalCDF(rest.args[0])
        if isinstance(rest, Sigmoid):
            return sp.log(coefficient) - Softplus(-rest.args[0])
        if isinstance(rest, sp.erfc):  # erfc(v) = 2 Phi(-sqrt(2) v)
            return sp.log(2 * coefficient) + LogNormalCDF(-sp.sqrt(2) * rest.args[0])
        erf = _shifted_erf(argument)
        if erf is not None:
            scale, v = erf
            return sp.log(2 * scale) + LogNormalCDF(sp.sqrt(2) * v)
    return sp.log(argument)


def _shifted_erf(argument: sp.Expr) -> tuple[sp.Expr, sp.Expr] | None:
    """(c, v) when `argument` is c (1 + erf(v)) with c > 0."""
    constant, rest = sp.expand(argument).as_coeff_Add()
    coefficient, erf = rest.as_coeff_Mul()
    if isinstance(erf, sp.erf) and constant.is_positive and abs(coefficient) == constant:
        return constant, erf.args[0] * coefficient / constant
    return None


def _exponents(argument: sp.Expr) -> list[sp.Expr] | None:
    """[u_i] when `argument` is a sum of two or more exp(u_i), positive coefficients and constants taken in; else None."""
    if not argument.is_Add:
        return None
    exponents = []
    for term in argument.args:
        coefficient, rest = term.as_coeff_Mul()
        rest = sp.powsimp(rest, combine="exp")
        if not coefficient.is_positive:
            return None
        if rest == 1:
            exponents.append(sp.log(coefficient))
        elif isinstance(rest, sp.exp):
            exponents.append(rest.args[0] + sp.log(coefficient))
        else:
            return None
    # A sum of constants only is a number, not a sum of exponentials. The constant goes last, so that log(1 + e^u) is Softplus(u).
    if not any(u.free_symbols for u in exponents):
        return None
    return sorted(exponents, key=lambda u: (not u.free_symbols, sp.default_sort_key(u)))


def _stable_product(expr: sp.Expr) -> sp.Expr:
    """exp(a) (sum of exponentials)^-p as exp(a - p log-sum-exp), which is a sigmoid when it can be."""
    factors = sp.Mul.make_args(expr)
    exponent, rest, found = sp.S.Zero, [], False
    for factor in factors:
        base, power = factor.as_base_exp()
        terms = _exponents(base) if power.is_negative else None
        if terms is not None:
            exponent += power * LogSumExp(*terms)
            found = True
        elif isinstance(factor, sp.exp):
            exponent += factor.args[0]
        else:
            rest.append(factor)
    return sp.Mul(*rest) * _exp_of(sp.expand(exponent)) if found else expr


def _exp_of(exponent: sp.Expr) -> sp.Expr:
    for node in exponent.atoms(Softplus):
        count = -exponent.coeff(node)
        if count.is_Integer and count > 0:
            remainder = sp.expand(exponent + count * node)
            u = node.args[0]
            for taken in range(int(count) + 1):  # exp(j u - n softplus(u)) = s(u)^j s(-u)^(n-j)
                left = sp.expand(remainder - taken * u)
                if not left.free_symbols & u.free_symbols:
                    return Sigmoid(u) ** taken * Sigmoid(-u) ** (count - taken) * sp.exp(left)
    return sp.exp(exponent)


# --- kinks ------------------------------------------------------------------------------------------------------------


def heaviside_form(expr: sp.Expr) -> sp.Expr:
    """An equal expression in which Abs, sign, Max, Min and Piecewise are written with Heaviside steps (1/2 at 0).

    Raises:
        ValueError: a Piecewise condition is not built from <, <=, >, >=, and, or, not; or that expression would be too long, since
            kinks in one another double its size.
    """
    if expr.has(*_KINKED) and _stepped_size(expr, {}) > budget.STEPPED:
        raise ValueError(f"its kinks are too many or too deep in one another: more than {budget.STEPPED} operations in terms of steps")
    return _stepped(expr)


def _stepped_size(expr: sp.Basic, known: dict[sp.Basic, int]) -> int:
    """About the number of operations in `heaviside_form(expr)`, counted without forming it."""
    if expr.is_Atom:
        return 1
    if expr not in known:
        sizes = [_stepped_size(x, known) for x in expr.args]
        total, count = sum(sizes), len(sizes)
        if isinstance(expr, (sp.Max, sp.Min)) and count < _MANY:
            total = sum(2 ** (count - i) * 2 * size for i, size in enumerate(sizes, start=1)) * count // 2
        elif isinstance(expr, (sp.Max, sp.Min)):
            total = 3 * count**3 + 2 * count * total
        elif isinstance(expr, sp.Abs):
            total *= 3 if expr.args[0].has(*_KINKED) else 2
        elif isinstance(expr, sp.Piecewise):
            total *= count
        elif isinstance(expr, sp.Pow) and not expr.exp.is_integer and expr.has(*_KINKED):
            total *= 4
        known[expr] = min(total + 1, 10**9)
    return known[expr]


_MANY = 4  # arguments of a maximum, from which on each is compared with all others
_KINKED = (sp.Abs, sp.sign, sp.Max, sp.Min, sp.Piecewise)


def _stepped(expr: sp.Expr) -> sp.Expr:
    if expr.is_Atom:
        return expr
    if isinstance(expr, sp.Abs):
        u = _stepped(expr.args[0])
        return u * (2 * _step(expr.args[0]) - 1)
    if isinstance(expr, sp.sign):
        return 2 * _step(expr.args[0]) - 1
    if isinstance(expr, sp.Heaviside):
        return _step(expr.args[0])
    if isinstance(expr, (sp.Max, sp.Min)):
        sense = 1 if isinstance(expr, sp.Max) else -1
        if len(expr.args) >= _MANY:
            u = [_stepped(a) for a in expr.args]
            return sp.Add(*(a * sp.Mul(*(_step(sense * (x - y)) for y in expr.args if y != x)) for x, a in zip(expr.args, u, strict=True)))
        arguments = sorted(expr.args, key=lambda a: (not a.is_number, sp.default_sort_key(a)))
        best = arguments[0]
        for i, other in enumerate(arguments[1:], start=1):  # better than each before it, so that every step has a smooth argument
            best = best + (other - best) * sp.Mul(*(_step(sense * (other - before)) for before in arguments[:i]))
        return _stepped(best)
    if isinstance(expr, sp.Piecewise):
        total, rest = sp.S.Zero, sp.S.One
        for value, condition in expr.args:
            indicator = _indicator(condition)
            total += _stepped(value) * rest * indicator
            rest *= 1 - indicator
        return total
    args = [_stepped(a) for a in expr.args]
    if isinstance(expr, sp.Pow) and tuple(args) != expr.args and not expr.exp.is_integer and not expr.base.is_positive:
        return _power_by_branches(*args) or sp.Pow(*args)
    return expr.func(*args) if tuple(args) != expr.args else expr


_MOST_BRANCHING = 4  # steps, each of which doubles the terms


def _power_by_branches(base: sp.Expr, exponent: sp.Expr) -> sp.Expr | None:
    """base**exponent as a sum over the sides of the steps in `base`, so that no derivative divides by a base that is 0 on one side.

    Each term has a step of its own, which guards it wherever it is expanded to. None if they are many, or a power has no value.
    """
    steps = sorted(base.atoms(sp.Heaviside), key=sp.default_sort_key)
    if len(steps) > _MOST_BRANCHING:
        return None
    total = sp.S.Zero
    for sides in product((sp.S.One, sp.S.Zero), repeat=len(steps)):
        value = base.xreplace(dict(zip(steps, sides, strict=True))) ** exponent
        if value.has(sp.nan, sp.zoo, sp.oo):
            return None
        total += sp.Mul(*(step if side else sp.Heaviside(-step.args[0]) for step, side in zip(steps, sides, strict=True))) * value
    return total


def _step(u: sp.Expr) -> sp.Expr:
    """Heaviside(u) with the absolute value of an `|v|` in u split, so that each step has a smooth argument."""
    for modulus in u.atoms(sp.Abs):
        slope = u.coeff(modulus)
        if slope.is_number and not slope.is_zero and not (u - slope * modulus).has(modulus):
            v, rest = modulus.args[0], u - slope * modulus
            if slope.is_negative:  # c - |v| > 0: both c - v > 0 and c + v > 0
                return _step(rest + slope * v) * _step(rest - slope * v)
            return 1 - (1 - _step(rest + slope * v)) * (1 - _step(rest - slope * v))
    return sp.Heaviside(_stepped(u))


def _indicator(condition) -> sp.Expr:
    if condition is sp.true or isinstance(condition, BooleanTrue):
        return sp.S.One
    if condition is sp.false or isinstance(condition, BooleanFalse):
        return sp.S.Zero
    if isinstance(condition, (sp.StrictGreaterThan, sp.GreaterThan)):
        return _step(condition.lhs - condition.rhs)
    if isinstance(condition, (sp.StrictLessThan, sp.LessThan)):
        return _step(condition.rhs - condition.lhs)
    if isinstance(condition, sp.And):
        return sp.Mul(*map(_indicator, condition.args))
    if isinstance(condition, sp.Or):
        return 1 - sp.Mul(*(1 - _indicator(c) for c in condition.args))
    if isinstance(condition, sp.Not):
        return 1 - _indicator(condition.args[0])
    raise ValueError(f"cannot read the condition `{condition}`: it must be built from <, <=, >, >=, and, or, not")


# --- kinks -----------------------------------------------------------------------------------------------------------

KINKS = (sp.Abs, sp.sign, sp.Max, sp.Min, sp.Piecewise)  # what can be written with steps
ROUGH = (sp.Heaviside, *KINKS)  # for which quadrature of smooth integrands is wrong


def kinked_arguments(expr: sp.Expr) -> list[sp.Expr]:
    """What changes its sign where a step, absolute value, maximum or condition in `expr` has its kink, each once, in a fixed order."""
    found = {x.args[0] for x in expr.atoms(sp.Heaviside, sp.sign, sp.Abs)}
    found |= {x - y for e in expr.atoms(sp.Max, sp.Min) for i, x in enumerate(e.args) for y in e.args[:i]}
    found |= {x.lhs - x.rhs for e in expr.atoms(sp.Piecewise) for x in e.atoms(Relational)}
    return sorted(found, key=sp.default_sort_key)
