"""Budgets: how large a text, a loss and an expression may be, and sizes estimated before SymPy forms what they are sizes of.

A text beyond its budget is refused where it is read, a loss beyond its own where it is made, in a line that says what is too large; an
expression that derivation would multiply out beyond its budget stays whole, and its mean is integrated by quadrature. All budgets count,
none looks at a clock: what is derived is the same on every machine.
"""

from collections.abc import Iterator
from itertools import islice
from math import comb, prod

import sympy as sp

# Of a text (`files.parser`).
LENGTH = 2000  # characters
NODES = 500  # operations, functions, names and numbers
NESTING = 30  # parentheses, functions or exponents in one another
POWER = 100  # largest numerator and denominator in an exponent
NUMBER = 10**100  # largest constant, numerator and denominator

# Of a loss.
STEPPED = 3000  # operations, kinks written with steps
DERIVATIVES = 40000  # operations in all first derivatives, and in all second ones
BRANCHES = 8  # combinations of steps in a locus that are tried one by one

# Of an expression.
EXPANSION = 2000  # terms, multiplied out; products of monomials at once
STEIN_DEGREE = 64  # of a polynomial whose moments are written, times the dimension
CROWD = 24  # steps in all products of more than four
STEPS = 8  # in a product beside what nothing closes; more are integrated with it
TIDY = 120  # operations of what is brought to lowest terms
OPEN = 40  # means of one integrand that nothing closes; more are one mean
OPEN_NODES = 400  # in all of these together; the catalog has up to 21
RESPONSE = 200  # terms of a gradient whose derivative is integrated; the mean of a larger one is regressed on the fields
RESPONSE_NODES = 400  # in such a gradient; the catalog has up to 58
MERGED = 200  # terms of an entry of a matrix whose products of steps are multiplied out
WHOLE = 1500  # nodes of an integrand that is looked into, for steps without effect and for directions of one variable

_MANY = 10**9  # no estimate needs to be larger


def expanded_size(f: sp.Basic, xs: tuple[sp.Symbol, ...] | None = None) -> int:
    """About the number of terms that `f` has once products are expanded and waves and steps are taken apart, without doing so.

    Args:
        xs: the variables of a polynomial, whatever is free of them being one coefficient; default: all symbols are variables.
    """
    known: dict[sp.Basic, int] = {}

    def size(e: sp.Basic) -> int:
        if e.is_Atom:
            return 1
        if e not in known:
            known[e] = min(counted(e), _MANY)
        return known[e]

    def counted(e: sp.Basic) -> int:
        if xs is not None and not e.has_free(*xs):
            return 1
        if e.is_Mul:
            return prod(map(size, e.args))
        if e.is_Pow and e.exp.is_Integer and e.exp > 0:
            terms, n = size(e.base), int(e.exp)
            return comb(terms + n - 1, n) if terms < EXPANSION else _MANY
        if isinstance(e, (sp.sin, sp.cos, sp.sinh, sp.cosh, sp.Abs)):
            return 2 * (size(e.args[0]) if isinstance(e, sp.Abs) else 1)
        if isinstance(e, (sp.Max, sp.Min)):
            return len(e.args) * sum(map(size, e.args))
        if e.is_Add or isinstance(e, sp.Piecewise):
            return sum(map(size, e.args))
        return 1

    return size(f)


def derivative_size(expr: sp.Basic, x: sp.Symbol) -> int:
    """About the number of nodes in the derivative of `expr` by `x`, 0 if it does not depend on it, without forming it."""
    known: dict[sp.Basic, tuple[int, int]] = {}

    def sizes(e: sp.Basic) -> tuple[int, int]:
        """(of e, of its derivative)"""
        if e.is_Atom:
            return 1, int(e == x)
        if e not in known:
            parts = [sizes(a) for a in e.args]
            whole = 1 + sum(own for own, _ in parts)
            if e.is_Add:
                changed = sum(slope for _, slope in parts)
            elif e.is_Mul:
                changed = sum(whole - own + slope for own, slope in parts if slope)
            else:
                changed = sum(whole + 2 + slope for _, slope in parts if slope)
            known[e] = min(whole, _MANY), min(changed, _MANY)
        return known[e]

    return sizes(expr)[1]


def larger(exprs: sp.Basic | list[sp.Basic], nodes: int) -> bool:
    """Whether an expression, or several together, written out, have more than so many nodes; counts no further."""
    stack = [exprs] if isinstance(exprs, sp.Basic) else list(exprs)
    return sum(1 for _ in islice(_nodes(stack), nodes + 1)) > nodes


def _nodes(stack: list[sp.Basic]) -> Iterator[sp.Basic]:
    while stack:
        node = stack.pop()
        yield node
        stack.extend(node.args)
