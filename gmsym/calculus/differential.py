"""First-order changes of expressions in matrices that do not commute: d(XY) = dX Y + X dY, d(X^-1) = -X^-1 dX X^-1.

The number 1 stands for the identity.
"""

from collections.abc import Mapping

import sympy as sp

from gmsym.calculus.kernels import Transposed


def differential(expr: sp.Expr, changes: Mapping[sp.Expr, sp.Expr], linear: tuple[type[sp.Function], ...] = ()) -> sp.Expr:
    """The change of `expr` to first order, given the change of each letter that changes.

    Args:
        expr: sums, products and integer powers, sums over an index, and functions that are linear in their first argument.
        changes: {letter: its change}; all other letters are constant.
        linear: those functions, besides the transposed.

    Raises:
        TypeError: a function that is not known to be linear.
    """
    if expr in changes:
        return changes[expr]
    if not expr.has(*changes):
        return sp.S.Zero
    if isinstance(expr, sp.Add):
        return sp.Add(*(differential(term, changes, linear) for term in expr.args))
    if isinstance(expr, sp.Mul):
        factors = expr.args
        return sp.Add(
            *(sp.Mul(*factors[:i], differential(f, changes, linear), *factors[i + 1 :]) for i, f in enumerate(factors) if f.has(*changes))
        )
    if isinstance(expr, sp.Pow) and expr.exp.is_Integer:
        base, power = expr.args
        change = differential(base, changes, linear)
        if power.is_negative:  # X^-n is a product of inverses
            return sp.Add(*(-(base ** (-1 - i)) * change * base ** (power + i) for i in range(-power)))
        return sp.Add(*(base**i * change * base ** (power - 1 - i) for i in range(power)))
    if isinstance(expr, (sp.Sum, Transposed, *linear)):
        terms = sp.Add.make_args(sp.expand(differential(expr.args[0], changes, linear)))
        pairs = (term.as_coeff_Mul() for term in terms)
        return sp.Add(*(number * expr.func(rest, *expr.args[1:]) for number, rest in pairs if number != 0))
    raise TypeError(f"cannot differentiate `{expr}`: {type(expr).__name__} is not known to be linear in its first argument")


def factored_out(expr: sp.Expr, letter: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
    """(c, rest) with expr = c letter + rest, c everything to the left of `letter`, which stands last in its products."""
    found, rest = [], []
    for term in sp.Add.make_args(sp.expand(expr)):
        factors = sp.Mul.make_args(term)
        if factors[-1] == letter:
            found.append(sp.Mul(*factors[:-1]))
        else:
            rest.append(term)
    return sp.Add(*found), sp.Add(*rest)
