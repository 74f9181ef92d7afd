"""Branches and steps made safe: whatever is not taken is evaluated at a harmless argument (double where).

A printed `where(c, a, b)` evaluates both branches. If the one not taken overflows or is singular, the value is right but
its derivative is 0 * inf = NaN; a product Heaviside(u) f is NaN already as a value. The cure is to change the argument of
each function that can fail, at the innermost place: log(u) becomes log(where(c, u, 1)), whose value and derivatives of
every order are finite where c is false. Source: theory.md 10.
"""

from typing import Any

import sympy as sp
from sympy.logic.boolalg import Boolean

from gmsym.printer._table import safe_argument


class Select(sp.Expr):
    """`value` where `condition` holds, else `other`. Unlike Piecewise it is never rewritten by SymPy."""

    is_commutative = True
    is_extended_real = True

    def __new__(cls, condition: Boolean, value: sp.Expr, other: sp.Expr):
        return sp.Expr.__new__(cls, condition, value, other)


def guard(expr: Any, condition: Boolean = sp.true) -> Any:
    """`expr` with safe branches: equal where `condition` holds, finite with its derivatives where it does not.

    At the border of a Piecewise the branch that the condition names is taken, in value and derivative. Scopes (Lambda)
    are left as they are, for the printer to guard on their own.
    """
    if expr.is_Atom or isinstance(expr, (sp.Lambda, Boolean)):
        return expr
    if isinstance(expr, sp.Piecewise):
        return _piecewise(expr, condition)
    if isinstance(expr, (sp.Max, sp.Min)) and any(safe_argument(e) is not None for e in sp.preorder_traversal(expr)):
        return guard(_by_steps(expr), condition)
    if isinstance(expr, sp.Mul):
        supports = [_support(factor) for factor in expr.args]
        everywhere = sp.And(condition, *(c for support in supports for c in support))
        # A step decides where the others count, so it is not itself subject to that decision.
        args = [guard(f, condition if support else everywhere) for f, support in zip(expr.args, supports, strict=True)]
    else:
        args = [guard(a, condition) for a in expr.args]
    point = safe_argument(expr)
    if point is not None and condition is not sp.true:
        args[0] = Select(condition, args[0], point)
    return expr.func(*args) if tuple(args) != expr.args else expr


def _piecewise(expr: Any, condition: Boolean) -> sp.Expr:
    branches, remaining = [], condition
    for value, case in expr.args:
        branches.append((guard(value, sp.And(remaining, case)), case))
        remaining = sp.And(remaining, sp.Not(case))
    value, case = branches.pop()
    selected = value if case == sp.true else Select(case, value, sp.nan)
    for value, case in reversed(branches):
        selected = Select(case, value, selected)
    return selected


def _by_steps(expr: Any) -> sp.Expr:
    """Max or Min as a sum of terms that are on or off; at a tie each counts half."""
    sense = 1 if isinstance(expr, sp.Max) else -1
    terms: list[Any] = sorted(expr.args, key=sp.default_sort_key)
    best, *others = terms
    for other in others:
        best = best * sp.Heaviside(sense * (best - other)) + other * sp.Heaviside(sense * (other - best))
    return best


def _support(factor: sp.Expr) -> list[Boolean]:
    """Conditions outside which `factor` is exactly zero, read off its Heaviside steps."""
    conditions: list[Boolean] = []
    if factor.has(sp.Lambda):
        return conditions
    step: Any
    for step in sorted(factor.atoms(sp.Heaviside), key=sp.default_sort_key):
        if factor.xreplace({step: sp.S.Zero}).is_zero:
            conditions.append(step.args[0] >= 0)
        elif factor.xreplace({step: sp.S.One}).is_zero:
            conditions.append(step.args[0] <= 0)
    return conditions
