"""Which rule when: from an integrand to a closed form, or to Gaussian means of the smallest dimension (theory.md 9.7, 9.8).

The integrand is collected as a sum of P F, P a polynomial and F a product of non-polynomial factors, and each term goes down
the following list. Every step lowers the dimension, the number of steps and deltas, or the degree of P in directions that
the rest of the term does not have, so the work is bounded.

1. Delta: condition on it.
2. F = exp(quadratic) times steps (Heaviside, Phi, erf), or times sines and cosines: tilt, strip P by Stein (the derivative of
   a step is a delta), read the table. Three or more steps that are in no table become a mean over all but two of them.
3. Otherwise F has a factor that nothing closes, in the directions S. An exponential with directions outside S is tilted
   away. Steps with directions outside S are integrated given S, up to two of them, and P with them: they leave Phi or Phi_2
   of affine functions of S. Without such steps the directions of P outside S are stripped by Stein, which adds means of
   derivatives of F but divides by no covariance (that of a field that starts at zero vanishes).

What is left is one mean over S, a node. A polynomial within S stays inside its node: E[h softplus(h)] is one node, while
Stein would make two. Nodes of one call that share their law and their symbolic coefficient are one node.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache, lru_cache
from itertools import combinations

import sympy as sp

from gmsym import budget
from gmsym.functions import stable

from .law import Gaussian
from .mean import GaussianMean, mean_of
from .polynomials import Polynomial, TooLargeError, add, affine, as_polynomial, constant, degree, scale, to_expr
from .probing import flat, vanishes
from .rules import strip
from .span import depends_only_on, right_inverse, span
from .table import Step, collinear, steps_mean, waves_mean
from .terms import Terms, collect, sort

_MAX_DEPTH = 40  # a safety net: the measures above end every recursion well before
_MAX_STEPS = 4  # more steps in one product are not taken apart
_MAX_STEIN = 3  # derivatives of a generic factor, which grow; beyond, the polynomial is integrated given S
_THIS, _OTHER = sp.symbols("this other", real=True, cls=sp.Dummy)  # a variable, whatever its name, among the others


def expectation(f: sp.Expr, variables: Iterable[sp.Symbol], mean: Iterable[sp.Expr], cov: sp.Matrix) -> sp.Expr:
    """E[f(x)] for x ~ N(mean, cov): a closed form, or coefficients times `GaussianMean` nodes of the smallest dimension.

    Always returns. A kink counts by its side limits, so that E[sign(x)'] is a density, not zero. Where an exponential is
    tilted under a symbolic law, the mean is assumed to exist.

    Args:
        f: any expression in the real `variables`, free to contain other symbols.
        mean: d expressions.
        cov: d x d, symmetric positive semi-definite (assumed), possibly singular, numerical or symbolic.

    Raises:
        ValueError: repeated variables, or shapes that do not agree.
    """
    law = Gaussian(tuple(variables), mean, cov)
    fresh = tuple(sp.Dummy(f"_{i}", real=True) for i in range(law.dimension))
    f = stable(sp.sympify(f).xreplace(dict(zip(law.variables, fresh, strict=True))))
    return _merged(_mean(f, Gaussian(fresh, law.mean, law.cov), 0))


def evaluated(expr: sp.Expr) -> sp.Expr:
    """`expr` with every Gaussian mean in it, from the innermost, in closed form or in nodes of the smallest dimension."""
    if not expr.has(GaussianMean):
        return expr
    if isinstance(expr, GaussianMean):
        variables, body = expr.opened()
        return expectation(evaluated(body), variables, map(evaluated, expr.mean), expr.cov.applyfunc(evaluated))
    return expr.func(*map(evaluated, expr.args))


def _mean(f: sp.Expr, law: Gaussian, depth: int) -> sp.Expr:
    law, dependent = law.regular
    f = f.xreplace(dependent)
    if depth > _MAX_DEPTH:
        return mean_of(f, law)
    try:
        if budget.expanded_size(f) > budget.EXPANSION:
            raise TooLargeError
        terms = collect(f, law.variables)
        if any(degree(P) * law.dimension > budget.STEIN_DEGREE for P in terms.values()):
            raise TooLargeError
        if _is_crowded({F: P for F, P in terms.items() if not F.has(sp.DiracDelta)}, law.variables):
            sharp = [a for a in sp.Add.make_args(f) if a.has(sp.DiracDelta)]
            if not sharp:
                raise TooLargeError
            regular = sp.Add(*(a for a in sp.Add.make_args(f) if a not in sharp))
            if regular != 0:
                return _mean(regular, law, depth + 1) + _mean(sp.Add(*sharp), law, depth + 1)
    except TooLargeError:
        return _irreducible(f, [], constant(sp.S.One, law.dimension), law, depth)
    return sp.Add(*(_once(F, P, law) if depth == 0 and len(P) == 1 else _term(F, P, law, depth + 1) for F, P in terms.items()))


def _is_crowded(terms: Terms, xs: tuple[sp.Symbol, ...]) -> bool:
    """Whether the steps in products of more than are taken apart, or the factors that nothing closes, are too many."""
    factors = [sort(F, xs) for F in terms]
    counts = (len(product.steps) for product in factors)
    open_ = [product.generic for product in factors if product.generic != 1]
    if len(open_) > budget.OPEN or len(open_) > 1 and budget.larger(open_, budget.OPEN_NODES):
        return True
    return sum(count for count in counts if count > _MAX_STEPS) > budget.CROWD


def _once(F: sp.Expr, P: Polynomial, law: Gaussian) -> sp.Expr:
    """`_term` of a monomial, derived once for all that differ in names only: the units of a network are interchangeable."""
    xs = law.variables
    if sort(F, xs).generic != 1:  # a node, quickly made, whose variables keep the order of the others
        return _term(F, P, law, 1)
    ((exponents, c),) = P.items()
    used = [i for i, k in enumerate(exponents) if k or F.has(xs[i])]
    role = {i: sp.default_sort_key(F.xreplace({x: _OTHER for x in xs if x != xs[i]} | {xs[i]: _THIS})) for i in used}
    order = sorted(used, key=lambda i: (exponents[i], role[i]))
    marginal = law.marginal(order)
    parts = [*marginal.mean, *(marginal.cov[i, j] for i in range(len(order)) for j in range(i, len(order))), F]
    free = dict.fromkeys(s for part in parts for s in sorted(part.free_symbols - {*xs}, key=lambda s: s.name))
    names = {s: _letter("s", k, tuple(sorted(s.assumptions0.items()))) for k, s in enumerate(free)}
    variables = {x: _letter("x", i, (("real", True),)) for i, x in enumerate(marginal.variables)}
    renamed = Gaussian(tuple(variables.values()), marginal.mean.xreplace(names), marginal.cov.xreplace(names))
    value = _monomial(F.xreplace(names | variables), tuple(exponents[i] for i in order), renamed)
    return flat(c) * value.xreplace({letter: s for s, letter in names.items()})


@cache
def _letter(stem: str, index: int, assumptions: tuple[tuple[str, bool], ...]) -> sp.Dummy:
    return sp.Dummy(f"{stem}{index}", **dict(assumptions))


@lru_cache(maxsize=4096)
def _monomial(F: sp.Expr, exponents: tuple[int, ...], law: Gaussian) -> sp.Expr:
    return _term(F, {exponents: sp.S.One}, law, 1)


def _term(F: sp.Expr, P: Polynomial, law: Gaussian, depth: int) -> sp.Expr:
    """E[P F] for a product F of non-polynomial factors under a law with an invertible covariance."""
    xs = law.variables
    factors = sort(F, xs)
    if factors.deltas:
        return _delta(factors.deltas[0], to_expr(P, xs) * F / factors.deltas[0], law, depth)
    if factors.generic == 1 and len(factors.steps) <= _MAX_STEPS:
        tilted = law.tilt(as_polynomial(factors.exponent, xs))
        if tilted is not None:
            c, law = tilted
            if factors.waves:
                return c * waves_mean(P, factors.waves, law)
            return c * _steps([Step.read(s, xs) for s in factors.steps], P, law, depth)
    if factors.exponent != 0:
        whole = factors.generic * sp.Mul(*factors.steps) if factors.generic == 1 else factors.generic
        tilted = None if depends_only_on(span(whole, xs), factors.exponent, xs) else law.tilt(as_polynomial(factors.exponent, xs))
        if tilted is not None:
            c, law = tilted
            return c * _term(factors.generic * sp.Mul(*factors.steps), P, law, depth)
    return _irreducible(factors.generic * sp.exp(factors.exponent) * sp.Mul(*factors.waves), factors.steps, P, law, depth)


def _delta(delta: sp.Expr, rest: sp.Expr, law: Gaussian, depth: int) -> sp.Expr:
    """E[delta(u) rest], or of a derivative of the delta: the derivative of that mean in a shift of u."""
    u, *order = delta.args
    w, c = affine(u, law.variables)
    shift = sp.Dummy("shift", real=True)
    density, conditioned = law.condition(w, c + shift if order else c)
    value = density * _mean(rest, conditioned, depth)
    return value.diff(shift, order[0]).xreplace({shift: sp.S.Zero}) if order else value


def _steps(steps: list[Step], P: Polynomial, law: Gaussian, depth: int) -> sp.Expr:
    """E[P times the steps], the covariance of the law possibly singular."""
    fixed = [s for s in steps if vanishes(s.moments(law)[1])]
    steps = [s for s in steps if s not in fixed]
    factor = sp.Mul(*(s.mean(law) for s in fixed))
    for a, b in combinations(steps, 2):
        relation = collinear(a, b, law)
        if relation is not None:
            others = [s for s in steps if s is not a and s is not b]
            parts = _one_of_two(a, b, *relation)
            if parts is None:
                return factor * _whole(steps, P, law)
            return factor * sp.Add(*(c * _steps([*part, *others], P, law, depth) for c, part in parts if c != 0))
    value, remainders = strip(P, law, range(law.dimension))
    total = sp.S.Zero
    if value:
        table = steps_mean(steps, law)
        total = flat(value[(0,) * law.dimension]) * (_beyond_table(steps, law, depth) if table is None else table)
    for k, step in enumerate(steps):
        R = add(*(scale(r, w) for r, w in zip(remainders, step.w, strict=True)))
        if R:
            density, conditioned = law.condition(step.w, step.c, step.noise)
            total += (2 if step.odd else 1) * density * _steps(steps[:k] + steps[k + 1 :], R, conditioned, depth)
    return factor * total


def _one_of_two(a: Step, b: Step, slope: sp.Expr, c: sp.Expr) -> list[tuple[sp.Expr, list[Step]]] | None:
    """H(u) H(slope u + c) as a combination of single steps; None when the sign of the slope is unknown."""
    if slope.is_positive:
        return [(sp.Heaviside(c), [a]), (sp.Heaviside(-c), [b])]
    if slope.is_negative:
        return [(sp.Heaviside(c), [a]), (sp.Heaviside(c), [b]), (-sp.Heaviside(c), [])]
    return None


def _whole(steps: list[Step], P: Polynomial, law: Gaussian) -> sp.Expr:
    law_, dependent = law.regular
    f = to_expr(P, law.variables) * sp.Mul(*(s.factor(law.variables) for s in steps))
    return mean_of(f.xreplace(dependent), law_)


def _beyond_table(steps: list[Step], law: Gaussian, depth: int) -> sp.Expr:
    """E of three steps or more: two of them given the others, where that lowers the dimension."""
    regular, dependent = law.regular
    factors = [s.factor(law.variables).xreplace(dependent) for s in steps]
    everything = sp.Mul(*factors)

    def others(pair: tuple[int, int]) -> sp.Expr:
        return sp.Mul(*(f for k, f in enumerate(factors) if k not in pair))

    pair = min(combinations(range(len(factors)), 2), key=lambda pair: len(span(others(pair), regular.variables)))
    lowers = len(span(others(pair), regular.variables)) < len(span(everything, regular.variables))
    g, given_g = (others(pair), [factors[k] for k in pair]) if lowers else (everything, [])
    return _irreducible(g, given_g, constant(sp.S.One, regular.dimension), regular, depth)


def _irreducible(g: sp.Expr, steps: list[sp.Expr], P: Polynomial, law: Gaussian, depth: int) -> sp.Expr:
    """E[P g steps] where nothing closes g: a mean over the directions of g, the others integrated."""
    if len(steps) > budget.STEPS:
        g, steps = g * sp.Mul(*steps), []
    g, steps = _absorbed(g, steps, law.variables)
    total = sp.S.Zero
    parameters = not all(c.is_number for row in span(g, law.variables) for c in row)
    if parameters and not steps and degree(P) <= _MAX_STEIN:  # rotating would divide P by them
        P, total = _stripped(P, g, law, range(law.dimension), depth)
    g, steps, P, law, inside = _rotated(g, steps, P, law)
    xs = law.variables
    rest = [i for i in range(law.dimension) if i not in inside]
    if not steps and max((sum(exponents[i] for i in rest) for exponents in P), default=0) <= _MAX_STEIN:
        P, derivatives = _stripped(P, g, law, rest, depth)
        P = {tuple(exponents[i] for i in inside): c for exponents, c in P.items()}
        return total + derivatives + _nodes(P, g, law.marginal(inside))
    given = law.given(inside)
    conditional = [_given(Step.read(s, xs), inside, law) for s in steps]
    by_power: dict[tuple[int, ...], Polynomial] = {}
    for exponents, c in P.items():
        by_power.setdefault(tuple(exponents[i] for i in inside), {})[tuple(exponents[i] for i in rest)] = c
    bodies = (to_expr({power: sp.S.One}, [xs[i] for i in inside]) * _steps(conditional, p, given, depth) for power, p in by_power.items())
    return total + _nodes(constant(sp.S.One, len(inside)), g * sp.Add(*bodies), law.marginal(inside))


def _stripped(P: Polynomial, g: sp.Expr, law: Gaussian, indices: Sequence[int], depth: int) -> tuple[Polynomial, sp.Expr]:
    """(P', rest) with E[P g] = E[P' g] + rest, P' free of the chosen variables."""
    P, remainders = strip(P, law, indices)
    derivatives = sp.Add(*(to_expr(R, law.variables) * g.diff(x) for R, x in zip(remainders, law.variables, strict=True) if R))
    return P, _mean(derivatives, law, depth)


def _absorbed(g: sp.Expr, steps: list[sp.Expr], xs: tuple[sp.Symbol, ...]) -> tuple[sp.Expr, list[sp.Expr]]:
    """(g, steps) after the steps within the directions of g joined it, and as many others as leaves at most two."""
    while True:
        rows = span(g, xs)
        within = [s for s in steps if depends_only_on(rows, s, xs)]
        beyond = [s for s in steps if s not in within]
        if not within and len(beyond) <= 2:
            return g, beyond
        joining, steps = (within, beyond) if within else (beyond[:1], beyond[1:])
        g *= sp.Mul(*joining)


def _rotated(
    g: sp.Expr, steps: list[sp.Expr], P: Polynomial, law: Gaussian
) -> tuple[sp.Expr, list[sp.Expr], Polynomial, Gaussian, list[int]]:
    """The same term in variables of which g uses only those with the indices returned last."""
    xs = law.variables
    rows = span(g, xs)
    involved = [i for i in range(law.dimension) if any(row[i] != 0 for row in rows)]
    if len(rows) < len(involved):
        names = tuple(sp.Dummy(f"_s{k}", real=True) for k in range(len(rows)))
        rotated, rule = law.rotate(rows, names)
        polynomial = as_polynomial(to_expr(P, xs).xreplace(rule), rotated.variables)
        if polynomial is not None:
            g = _tidied(g.xreplace(right_inverse(rows, xs, names)), names)
            return g, [s.xreplace(rule) for s in steps], polynomial, rotated, list(range(len(rows)))
    return g, steps, P, law, involved


def _tidied(f: sp.Expr, xs: tuple[sp.Symbol, ...]) -> sp.Expr:
    """`f` with the coefficients of the affine forms in it tidied."""
    if not f.has_free(*xs) or f.is_Atom:
        return f
    form = affine(f, xs)
    if form is None:
        return f.func(*(_tidied(a, xs) for a in f.args))
    w, c = form
    return sp.Add(c, *(a * x for a, x in zip(w, xs, strict=True)))


def _given(step: Step, inside: list[int], law: Gaussian) -> Step:
    """The step as a function of the other variables, those of `inside` being fixed."""
    c = step.c + sum(step.w[i] * law.variables[i] for i in inside)
    return replace(step, w=tuple(w for i, w in enumerate(step.w) if i not in inside), c=c)


def _nodes(P: Polynomial, g: sp.Expr, law: Gaussian) -> sp.Expr:
    """E[P g] as nodes: one, or where independent variables stand in different factors of g, a product for each monomial."""
    xs = law.variables
    outer, g = g.as_independent(*xs, as_Add=False)
    groups = _independent_groups(g, law)
    if len(groups) == 1:
        coefficient, p = sp.factor_terms(to_expr(P, xs)).as_independent(*xs, as_Add=False)
        return outer * coefficient * mean_of(p * g, law)
    total = sp.S.Zero
    for exponents, c in P.items():
        for group in groups:
            powers = sp.Mul(*(xs[i] ** exponents[i] for i in group))
            factors = sp.Mul(*(a for a in sp.Mul.make_args(g) if a.has_free(*(xs[i] for i in group))))
            c *= mean_of(powers * factors, law.marginal(group))
        total += c
    return outer * total


def _independent_groups(g: sp.Expr, law: Gaussian) -> list[list[int]]:
    """The variables, apart when they are uncorrelated and no factor of g has both."""
    groups: list[list[int]] = []
    factors = [linked for a in sp.Mul.make_args(g) if (linked := [i for i, x in enumerate(law.variables) if a.has_free(x)])]
    pairs = [[i, j] for i in range(law.dimension) for j in range(i) if not vanishes(law.cov[i, j])]
    for linked in [*([i] for i in range(law.dimension)), *factors, *pairs]:
        joined = [group for group in groups if set(group) & set(linked)]
        groups = [group for group in groups if group not in joined] + [sorted({*linked, *(i for group in joined for i in group)})]
    return sorted(groups)


def _merged(total: sp.Expr) -> sp.Expr:
    """`total` with the nodes of one law and one symbolic coefficient put together."""
    rest, nodes = [], {}
    for term in sp.Add.make_args(total):
        means = [a for a in sp.Mul.make_args(term) if isinstance(a, GaussianMean)]
        if len(means) != 1:
            rest.append(term)
            continue
        number, symbolic = (term / means[0]).as_coeff_Mul()
        nodes.setdefault((symbolic, means[0].mean, means[0].cov), []).append((number, means[0]))
    for (symbolic, _, _), group in nodes.items():
        rest.append(symbolic * (_one_node(group) if len(group) > 1 else group[0][0] * group[0][1]))
    return sp.Add(*rest)


def _one_node(group: list[tuple[sp.Expr, GaussianMean]]) -> sp.Expr:
    law = group[0][1].law
    body = sp.Add(*(number * node.integrand.xreplace(dict(zip(node.variables, law.variables, strict=True))) for number, node in group))
    content, primitive = body.primitive()
    return content * mean_of(primitive, law)
