"""Proximal operators and Moreau envelopes of convex functions: nodes, their derivatives, closed forms (theory.md 11, verified/sgd.md 1.1).

prox_{v l}(z) = argmin_h l(h) + (h - z)^2/(2 v), and the envelope is the minimum. A function that is quadratic between its kinks has a
closed form in pieces: between two kinks the optimality condition h - z + v l'(h) = 0 is linear, and an interval of z is mapped to each
kink.
"""

from itertools import product
from typing import NamedTuple

import sympy as sp

from gmsym.calculus.probing import tidy

_MOST_STEPS = 2  # kinks whose order is not known


class Proximal(sp.Function):
    """Unevaluated prox_{v l}(z) of one field: Proximal(Lambda(h, l), z, v); of several, with a vector z and a matrix v, for display."""

    is_commutative = True

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        function, _, v = self.args
        (h,) = function.variables
        first, second = (sp.diff(function.expr, h, order).subs(h, self) for order in (1, 2))
        if argindex == 2:
            return 1 / (1 + v * second)
        if argindex == 3:
            return -first / (1 + v * second)
        raise sp.ArgumentIndexError(self, argindex)

    def _latex(self, printer, exp=None):
        _, z, v = self.args
        body = rf"\operatorname{{prox}}_{{{printer._print(v)}\,\ell}}\left({printer._print(z)}\right)"
        return body if exp is None else rf"\left({body}\right)^{{{exp}}}"


class MoreauEnvelope(sp.Function):
    """Unevaluated min_h l(h) + (h - z)^2/(2 v): MoreauEnvelope(Lambda(h, l), z, v)."""

    is_commutative = True

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        function, z, v = self.args
        shift = z - Proximal(function, z, v)
        if argindex == 2:
            return shift / v
        if argindex == 3:
            return -(shift**2) / (2 * v**2)
        raise sp.ArgumentIndexError(self, argindex)


class Pieces(NamedTuple):
    """A closed form: the point h, the envelope's slope a = (z - h)/v and its curvature da/dz, as functions of z and v in pieces."""

    point: sp.Expr
    slope: sp.Expr
    curvature: sp.Expr


def closed_proximal(gradient: sp.Expr, h: sp.Symbol, z: sp.Expr, v: sp.Expr) -> Pieces | None:
    """The closed form of what has this gradient in h, a convex function; None if it is not quadratic between kinks at known places.

    Kinks whose order is known cut the axis of z into intervals. Where it depends on the sign of a symbol (a label), two kinks at most
    are told apart by the conditions themselves: the point lies on the side of each that its branch says.
    """
    steps = _steps(gradient, h)
    roots = [_root(step.args[0], h) for step in steps]
    if any(root is None for root in roots):
        return None
    ordered = _ordered(steps, roots, h)
    if ordered is not None:
        rows = _in_order(gradient, steps, ordered, h, z, v)
    else:
        rows = _by_sides(gradient, steps, roots, h, z, v) if len(steps) <= _MOST_STEPS else None
    if rows is None:
        return None
    rows = [row for row, after in zip(rows, [*rows[1:], None], strict=True) if after is None or row[:3] != after[:3]]
    rows[-1] = (*rows[-1][:3], sp.true)  # something always holds
    return Pieces(*(_piecewise([(row[i], row[3]) for row in rows]) for i in range(3)))


_Row = tuple[sp.Expr, sp.Expr, sp.Expr, sp.Basic]  # point, slope, curvature, condition


def _branch(gradient: sp.Expr, h: sp.Symbol, z: sp.Expr, v: sp.Expr) -> tuple[sp.Expr, sp.Expr, sp.Expr] | None:
    """Where h - z + v l'(h) = 0 with an affine l'."""
    inner = sp.expand(gradient)
    if not inner.is_polynomial(h) or sp.degree(inner, h) > 1:
        return None
    slope, offset = inner.coeff(h, 1), inner.coeff(h, 0)
    return tidy((z - v * offset) / (1 + v * slope)), tidy((slope * z + offset) / (1 + v * slope)), tidy(slope / (1 + v * slope))


def _ordered(steps: list[sp.Heaviside], roots: list[sp.Expr], h: sp.Symbol) -> list[tuple[sp.Expr, dict[sp.Expr, sp.Expr]]] | None:
    """(root, {step: its value beyond}) of the different roots in increasing order, if it is known."""
    coefficients = [sp.expand(step.args[0]).coeff(h, 1) for step in steps]
    if any(c.is_positive is None for c in coefficients):
        return None
    found: list[tuple[sp.Expr, dict[sp.Expr, sp.Expr]]] = []
    for step, root, c in zip(steps, roots, coefficients, strict=True):
        place = 0
        beyond = {step: sp.Integer(bool(c.is_positive))}
        for other, values in found:
            gap = sp.expand(root - other)
            if gap.is_zero:
                values |= beyond
                break
            if gap.is_positive is None:
                return None
            place += bool(gap.is_positive)
        else:
            found.insert(place, (root, beyond))
    return found


def _in_order(gradient, steps, ordered, h, z, v) -> list[_Row] | None:
    values = {step: 1 - beyond[step] for _, beyond in ordered for step in beyond}
    rows: list[_Row] = []
    for root, beyond in [*ordered, (None, {})]:
        here = gradient.xreplace(values)
        branch = _branch(here, h, z, v)
        if branch is None:
            return None
        if root is None:
            rows.append((*branch, sp.true))
            break
        low = here.xreplace({h: root})
        values = values | beyond
        high = gradient.xreplace(values).xreplace({h: root})
        rows.append((*branch, z < sp.expand(root + v * low)))
        if sp.simplify(high - low) != 0:
            rows.append((root, (z - root) / v, 1 / v, z < sp.expand(root + v * high)))
    return rows


def _by_sides(gradient, steps, roots, h, z, v) -> list[_Row] | None:
    rows: list[_Row] = []
    for values in product((sp.S.Zero, sp.S.One), repeat=len(steps)):
        branch = _branch(gradient.xreplace(dict(zip(steps, values, strict=True))), h, z, v)
        if branch is None:
            return None
        sides = [step.args[0].xreplace({h: branch[0]}) * (1 if value else -1) for step, value in zip(steps, values, strict=True)]
        rows.append((*branch, sp.And(*(x > 0 for x in sides))))
    for step, root in zip(steps, roots, strict=True):
        low, high = (gradient.xreplace({step: value}).xreplace({h: root}) for value in (sp.S.Zero, sp.S.One))
        if sp.simplify(high - low) != 0:
            rows.append((root, (z - root) / v, 1 / v, (z - root - v * low) * (z - root - v * high) <= 0))
    return rows


def images(points: list[sp.Expr], gradient: sp.Expr, h: sp.Symbol, v: sp.Expr) -> list[sp.Expr]:
    """The z whose proximal points are these: z = h + v l'(h), both ends of the interval at a kink."""
    steps = _steps(gradient, h)
    found: dict[sp.Expr, None] = {}
    for point in points:
        here = [step for step in steps if sp.simplify(step.args[0].xreplace({h: point})) == 0]
        for values in product((sp.S.Zero, sp.S.One), repeat=len(here)):
            slope = gradient.xreplace(dict(zip(here, values, strict=True))).xreplace({h: point})
            found[point + v * slope] = None
    return list(found)


def kinks(gradient: sp.Expr, h: sp.Symbol) -> list[sp.Expr] | None:
    """Where the gradient has a kink or a jump in h; None if some place is not known."""
    roots = [_root(step.args[0], h) for step in _steps(gradient, h)]
    return None if any(root is None for root in roots) else list(dict.fromkeys(roots))


def _steps(gradient: sp.Expr, h: sp.Symbol) -> list[sp.Heaviside]:
    return sorted((step for step in gradient.atoms(sp.Heaviside) if step.has_free(h)), key=sp.default_sort_key)


def _root(locus: sp.Expr, h: sp.Symbol) -> sp.Expr | None:
    """Where an affine function vanishes."""
    locus = sp.expand(locus)
    if not locus.is_polynomial(h) or sp.degree(locus, h) != 1:
        return None
    return tidy(-locus.coeff(h, 0) / locus.coeff(h, 1))


def _piecewise(rows: list[tuple[sp.Expr, sp.Basic]]) -> sp.Expr:
    return rows[0][0] if len(rows) == 1 else sp.Piecewise(*rows)
