"""Collecting an integrand: f = sum over F of P_F(x) F(x), with polynomials P_F and products F of non-polynomial factors.

On the way every kink becomes a Heaviside step in an affine form where that is possible, and a step hidden inside another
function is taken out of it, f(H) = H f(1) + (1 - H) f(0), where that closes or lowers the dimension of what remains.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import sympy as sp

from gmsym import budget
from gmsym.functions import KINKS, LogSumExp, NormalCDF, heaviside_form

from .polynomials import Polynomial, TooLargeError, add, affine, as_polynomial, constant, degree, multiply, scale, variable
from .span import span

Terms = dict[sp.Expr, Polynomial]
Variables = tuple[sp.Symbol, ...]
_STEPS = (sp.Heaviside, NormalCDF, sp.erf)
_MAX_HIDDEN_STEPS = 6  # taking k steps out of a function makes up to 2^k terms


def collect(f: sp.Expr, xs: Variables) -> Terms:
    """`f` as {F: P}, f = sum of P F.

    Raises:
        TooLargeError: the expansion exceeds its budget.
    """
    if not f.has_free(*xs):
        return {sp.S.One: constant(f, len(xs))}
    if f in xs:
        return {sp.S.One: variable(xs.index(f), len(xs))}
    if f.is_Add:
        return _sum(*(collect(a, xs) for a in f.args))
    if f.is_Mul:
        return _product([collect(a, xs) for a in f.args], xs)
    if f.is_Pow and f.exp.is_Integer and f.exp.is_positive and not (isinstance(f.base, sp.Heaviside)):
        if f.exp > budget.EXPANSION:
            raise TooLargeError
        return _product([collect(f.base, xs)] * int(f.exp), xs)
    rewritten = _rewrite(f, xs)
    return {f: constant(sp.S.One, len(xs))} if rewritten is None else collect(rewritten, xs)


def _sum(*all_terms: Terms) -> Terms:
    polynomials: dict[sp.Expr, list[Polynomial]] = {}
    for terms in all_terms:
        for F, P in terms.items():
            polynomials.setdefault(F, []).append(P)
    sums = {F: add(*ps) for F, ps in polynomials.items()}
    return {F: P for F, P in sums.items() if P}


def _product(factors: list[Terms], xs: Variables) -> Terms:
    total = {sp.S.One: constant(sp.S.One, len(xs))}
    for terms in factors:
        if len(total) * len(terms) > budget.EXPANSION:
            raise TooLargeError
        total = _sum(*(_term(F * G, multiply(P, Q)) for F, P in total.items() for G, Q in terms.items()))
    return total


def _term(F: sp.Expr, P: Polynomial) -> Terms:
    """{F: P} with H(u)^n = H(u) and H(u) H(-u) = 0, and constants that appeared in the product moved to P."""
    number, F = F.as_coeff_Mul()
    factors = [f.base if f.is_Pow and isinstance(f.base, sp.Heaviside) else f for f in sp.Mul.make_args(F)]
    steps = {f.args[0] for f in factors if isinstance(f, sp.Heaviside)}
    return {} if any(-u in steps for u in steps) else {sp.Mul(*factors): scale(P, number)}


# --- rewriting a single factor ----------------------------------------------------------------------------------------


def _rewrite(f: sp.Expr, xs: Variables) -> sp.Expr | None:
    """An equal expression nearer to steps, exponentials and polynomials, or None."""
    if isinstance(f, sp.erfc):
        return 1 - sp.erf(f.args[0])
    if isinstance(f, (sp.cosh, sp.sinh)) and affine(f.args[0], xs):
        u = f.args[0]
        return (sp.exp(u) + sp.exp(-u)) / 2 if isinstance(f, sp.cosh) else (sp.exp(u) - sp.exp(-u)) / 2
    if isinstance(f, LogSumExp):
        return _pivoted(f, xs)
    if isinstance(f, (sp.Heaviside, sp.DiracDelta)):
        if affine(f.args[0], xs):
            return None
        split = _split(f, xs)
        return _taken_out(f, xs) if split == f else split
    if isinstance(f, KINKS):
        form = _largest(f) if isinstance(f, (sp.Max, sp.Min)) else _heaviside_form(f)
        return form if form is not None and all(_resolved(step, xs) for step in form.atoms(sp.Heaviside)) else None
    return _taken_out(f, xs)


def _pivoted(f: LogSumExp, xs: Variables) -> sp.Expr | None:
    """log-sum-exp(u) = u_1 + log-sum-exp(0, u_2 - u_1, ...): one direction less."""
    if not all(u.has_free(*xs) and affine(u, xs) for u in f.args):
        return None
    first, *others = f.args
    return first + LogSumExp(*(sp.expand(u - first) for u in others), sp.S.Zero)


def _heaviside_form(f: sp.Expr) -> sp.Expr | None:
    try:
        return heaviside_form(f)
    except ValueError:  # a condition that is no inequality: the function stays whole
        return None


def _largest(f: sp.Max | sp.Min) -> sp.Expr:
    """max(u) = sum_i u_i prod_j H(u_i - u_j) almost everywhere: fewer steps in a product than max(max(u_1, u_2), ...) has."""
    sense = 1 if isinstance(f, sp.Max) else -1
    return sp.Add(*(u * sp.Mul(*(sp.Heaviside(sense * (u - v)) for v in f.args if v != u)) for u in f.args))


def _resolved(step: sp.Heaviside, xs: Variables) -> bool:
    """Whether `step` ends as steps in affine forms, whatever the values of the steps and kinks in its own argument."""
    u = step.args[0]
    bare = u.xreplace(dict.fromkeys(u.atoms(sp.Heaviside, *KINKS), sp.S.One))
    factors = [a for a in sp.Mul.make_args(bare) if a.has_free(*xs)]

    def resolved(a: sp.Expr) -> bool:
        inner = sp.Heaviside(a)  # a number where the sign of a is known
        return not isinstance(inner, sp.Heaviside) or affine(a, xs) is not None or _at_roots(inner, xs) is not None

    return all(map(resolved, factors))


def _split(f: sp.Expr, xs: Variables) -> sp.Expr:
    """A step or delta in steps or deltas of simpler arguments, or itself."""
    if affine(f.args[0], xs):
        return f
    product = _of_product(f, xs)
    at_roots = _at_roots(f, xs) if product is None else product
    return f if at_roots is None else at_roots


def _of_product(f: sp.Expr, xs: Variables) -> sp.Expr | None:
    """The step of a product of several functions of x, sign(u v) = sign(u) sign(v)."""
    factors = [a for a in sp.Mul.make_args(f.args[0]) if a.has_free(*xs)]
    if isinstance(f, sp.DiracDelta) or len(factors) < 2:
        return None
    rest = f.args[0] / sp.Mul(*factors)
    return (1 + sp.Mul(*(2 * sp.Heaviside(a) - 1 for a in (rest, *factors)))) / 2


def _at_roots(f: sp.Expr, xs: Variables) -> sp.Expr | None:
    """A step or delta of a quadratic in one variable whose coefficients have known signs, by its roots."""
    u = f.args[0]
    p = as_polynomial(u, xs)
    if isinstance(f, sp.DiracDelta) and len(f.args) > 1:  # a derivative of a delta
        return None
    active = [x for x in xs if u.has_free(x)]
    if p is None or degree(p) != 2 or len(active) != 1:
        return None
    i = xs.index(active[0])
    c, b, a = (p.get(tuple(k * (j == i) for j in range(len(xs))), sp.S.Zero) for k in range(3))
    discriminant = sp.expand(b**2 - 4 * a * c)
    if a.is_positive is None or discriminant.is_positive is None:
        return None
    step = isinstance(f, sp.Heaviside)
    if not discriminant.is_positive:
        if step:
            return sp.Heaviside(a)
        return sp.S.Zero if discriminant.is_negative else None  # the delta at a double root has no mean
    root = sp.sqrt(discriminant)
    low, high = (sp.expand((-b + sense * sp.sign(a) * root) / (2 * a)) for sense in (-1, 1))
    if not step:
        return (sp.DiracDelta(active[0] - low) + sp.DiracDelta(active[0] - high)) / root
    between = sp.Heaviside(active[0] - low) - sp.Heaviside(active[0] - high)
    return 1 - between if a.is_positive else between


def _taken_out(f: sp.Expr, xs: Variables) -> sp.Expr | None:
    """f(H) = H f(1) + (1 - H) f(0) for a step H inside f, or None when that gains nothing."""
    if not f.has(sp.Heaviside, *KINKS):
        return None
    form = _heaviside_form(f)
    if form is None:
        return None
    form = form.replace(lambda e: isinstance(e, sp.Heaviside), lambda e: _split(e, xs))
    steps = [s for a in form.args for s in a.atoms(sp.Heaviside) if not s.args[0].has(sp.Heaviside) and affine(s.args[0], xs)]
    if not steps or len(steps) > _MAX_HIDDEN_STEPS:
        return None
    step = min(steps, key=sp.default_sort_key)
    on, off = (form.xreplace({step: value}) for value in (sp.S.One, sp.S.Zero))
    if isinstance(f, (sp.Heaviside, sp.DiracDelta)) or max(_dimension(on, xs), _dimension(off, xs)) < len(span(f, xs)):
        return step * on + (1 - step) * off
    return None


def _dimension(f: sp.Expr, xs: Variables) -> int:
    """Largest dimension over the terms of `f` of what the calculus cannot integrate."""
    return max((len(span(sort(F, xs).generic, xs)) for F in collect(f, xs)), default=0)


# --- sorting the factors of a product ---------------------------------------------------------------------------------


@dataclass
class Factors:
    """A product of non-polynomial factors: deltas, steps (and their smoothed forms), exp of a quadratic, waves, and the rest."""

    deltas: list[sp.Expr] = field(default_factory=list)
    steps: list[sp.Expr] = field(default_factory=list)
    waves: list[sp.Expr] = field(default_factory=list)
    exponent: sp.Expr = sp.S.Zero
    generic: sp.Expr = sp.S.One


def sort(F: sp.Expr, xs: Variables) -> Factors:
    """The factors of `F` by the rule that applies to them. Waves beside a step or a generic factor are generic."""
    sorted_ = Factors()
    for f in sp.Mul.make_args(F):
        base, power = f.as_base_exp() if not isinstance(f, sp.exp) else (f, sp.S.One)
        repeated = int(power) if power.is_Integer and 0 < power <= 8 else 0
        if isinstance(base, sp.DiracDelta) and repeated and affine(base.args[0], xs):
            sorted_.deltas += [base] * repeated
        elif isinstance(base, _STEPS) and repeated and affine(base.args[0], xs):
            sorted_.steps += [base] * repeated
        elif isinstance(base, (sp.cos, sp.sin)) and repeated and affine(base.args[0], xs):
            sorted_.waves += [base] * repeated
        elif (exponent := _exponent(f, xs)) is not None:
            sorted_.exponent += exponent
        else:
            sorted_.generic *= f
    if sorted_.waves and (sorted_.steps or sorted_.generic != 1):
        sorted_.generic *= sp.Mul(*sorted_.waves)
        sorted_.waves = []
    return sorted_


def _exponent(f: sp.Expr, xs: Sequence[sp.Symbol]) -> sp.Expr | None:
    """u for a factor exp(u), or b^u with b > 0 free of `xs`, u quadratic."""
    base, exponent = f.as_base_exp()
    if base.has_free(*xs) or not base.is_positive:
        return None
    p = as_polynomial(exponent, xs)
    return exponent * sp.log(base) if p is not None and degree(p) <= 2 else None
