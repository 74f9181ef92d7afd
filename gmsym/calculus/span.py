"""The directions that an integrand depends on (theory.md 9.8)."""

from collections.abc import Sequence
from functools import lru_cache

import mpmath
import sympy as sp
from sympy.concrete.expr_with_limits import ExprWithLimits

from gmsym import budget
from gmsym.functions import KINKS, numeric

from .law import inverted
from .mean import GaussianMean
from .polynomials import as_polynomial, lower
from .probing import DIGITS, independent, sample, tidy

Row = tuple[sp.Expr, ...]
_DENOMINATOR = sp.factorial(12)  # of the components of an invariance
_FLAT = mpmath.mpf(10) ** -10  # a gradient below which its direction is noise
_FLAT_PIECES = (*KINKS, sp.Heaviside, sp.DiracDelta, sp.floor, sp.ceiling)  # their gradient may vanish where we sample it


@lru_cache(maxsize=4096)
def span(f: sp.Expr, xs: tuple[sp.Symbol, ...]) -> tuple[Row, ...]:
    """Independent rows w such that f depends on x only through the w.x.

    The rows are the forms that f is written in, or unit rows when these fill the space of the variables involved, less the
    directions along which the smooth factors turn out to be constant (softmax depends on differences of its fields only).
    """
    involved = [i for i, x in enumerate(xs) if f.has_free(x)]
    if len(involved) == 1 and budget.larger(f, budget.WHOLE):
        return (_unit(involved[0], len(xs)),)
    kinked = [a for a in sp.Mul.make_args(f) if a.has(*_FLAT_PIECES)]
    smooth = sp.Mul(*(a for a in sp.Mul.make_args(f) if a not in kinked))
    rows = _basis(_forms(smooth, xs))
    if len(rows) > 1:
        rows = _without_invariances(smooth, xs, rows)
    return tuple(_basis([*rows, *(row for a in kinked for row in _forms(a, xs))]))


def _basis(forms: Sequence[Row]) -> list[Row]:
    rows = [_normalised(forms[i]) for i in independent(forms)]
    involved = [i for i in range(len(rows[0]) if rows else 0) if any(row[i] != 0 for row in rows)]
    return [_unit(i, len(rows[0])) for i in involved] if len(rows) == len(involved) else rows


def depends_only_on(rows: Sequence[Row], f: sp.Expr, xs: tuple[sp.Symbol, ...]) -> bool:
    """Whether the directions of `f` lie in the span of the independent `rows`."""
    return len(independent([*rows, *span(f, xs)])) == len(rows)


def _unit(i: int, size: int) -> Row:
    return tuple(sp.Integer(int(i == j)) for j in range(size))


def _normalised(row: Row) -> Row:
    """Divided by the first entry when that leaves numbers."""
    first = next(c for c in row if c != 0)
    scaled = tuple(tidy(c / first) for c in row)
    return scaled if all(c.is_number for c in scaled) else row


def _forms(f: sp.Expr, xs: tuple[sp.Symbol, ...]) -> list[Row]:
    """Gradients of the largest polynomial parts of `f`: each coefficient vector of each gradient."""
    if not f.has_free(*xs):
        return []
    p = as_polynomial(f, xs)
    if p is not None:
        rows: dict[tuple[int, ...], list[sp.Expr]] = {}
        for exponents, c in p.items():
            for i, k in enumerate(exponents):
                if k:
                    rows.setdefault(lower(exponents, i), [sp.S.Zero] * len(xs))[i] += k * c
        return [tuple(row) for row in rows.values()]
    if isinstance(f, (ExprWithLimits, sp.Derivative, sp.Subs, sp.Lambda, GaussianMean)):  # its own variables are not ours
        return [_unit(i, len(xs)) for i, x in enumerate(xs) if f.has_free(x)]
    args = f.args
    if f.is_Add or f.is_Mul:
        polynomial = [a for a in args if as_polynomial(a, xs) is not None]
        if len(polynomial) < len(args):  # else together they are too large for one
            args = (f.func(*polynomial), *(a for a in args if a not in polynomial))
    return [row for a in args for row in _forms(a, xs)]


def _without_invariances(f: sp.Expr, xs: tuple[sp.Symbol, ...], rows: list[Row]) -> list[Row]:
    """`rows` less one row for each direction in their span along which the smooth f is constant."""
    s = tuple(sp.Dummy(f"_s{k}", real=True) for k in range(len(rows)))
    directions = _constant_directions(f.xreplace(right_inverse(rows, xs, s)), s)
    leads = [next(k for k, c in enumerate(n) if c != 0) for n in directions]

    def reduced(k: int) -> Row:
        return tuple(tidy(c - sum(n[k] * rows[lead][i] for n, lead in zip(directions, leads, strict=True))) for i, c in enumerate(rows[k]))

    return [reduced(k) for k in range(len(rows)) if k not in leads]


def right_inverse(rows: Sequence[Row], xs: Sequence[sp.Symbol], s: Sequence[sp.Symbol]) -> dict[sp.Symbol, sp.Expr]:
    """A point {x: expression in s} with rows x = s: it gives a function of the rows' span in terms of s."""
    S = sp.Matrix(rows)
    last = len(xs) - 1
    pivots = [last - i for i in independent(S.T.tolist()[::-1])]  # the first variables are the ones put to zero
    solved = (inverted(S.extract(list(range(len(rows))), pivots)) * sp.Matrix(s)).applyfunc(tidy)
    return {x: sp.S.Zero for x in xs} | {xs[p]: solved[k] for k, p in enumerate(pivots)}


def _constant_directions(f: sp.Expr, s: tuple[sp.Symbol, ...]) -> list[Row]:
    """Rational vectors n with n.grad f = 0, in reduced echelon form; none when f has no numerical value."""
    try:
        gradients = [g for draw in range(2) for g in _gradients(f, s, draw)]
    except (NameError, TypeError, ValueError, ArithmeticError, AttributeError):
        return []
    with mpmath.workdps(2 * DIGITS):
        # Each of length one, so that where a high power is large does not hide the rest.
        J = mpmath.matrix([[c / max(mpmath.norm(g), _FLAT) for c in g] for g in gradients])
        values, vectors = mpmath.eighe(J.H * J)
        null = [vectors[:, k] for k in range(len(s)) if values[k] < mpmath.mpf(10) ** -DIGITS * values[len(s) - 1]]
    if not null or len(null) == len(s):
        return []
    echelon = sp.Matrix([[sp.Float(mpmath.re(c), DIGITS) for c in v] for v in null]).rref(iszerofunc=lambda c: abs(c) < 1e-8)[0]
    rational = echelon.applyfunc(lambda c: sp.Rational(round(c * _DENOMINATOR), _DENOMINATOR))
    exact = all(abs(a - b) < 1e-8 for a, b in zip(echelon, rational, strict=True))
    return [tuple(rational[i, :]) for i in range(rational.rows)] if exact else []


def _gradients(f: sp.Expr, s: tuple[sp.Symbol, ...], draw: int) -> list[list[mpmath.mpf]]:
    value = numeric(f.xreplace(sample(f.free_symbols - set(s), draw)), s)
    points = [[mpmath.mpf((7 * draw + 13 * p + 5 * k) % 17 - 8) / 7 for k in range(len(s))] for p in range(len(s) + 1)]
    with mpmath.workdps(2 * DIGITS):
        return [[mpmath.diff(value, tuple(x), tuple(int(j == k) for j in range(len(s)))) for k in range(len(s))] for x in points]
