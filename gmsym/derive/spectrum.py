"""Hessian and information matrices of a loss: the equations of their spectrum.

Source: theory.md 7; Ben Arous, Gheissari, Huang, Jagannath 2025 (arXiv 2502.15655).
"""

from collections.abc import Sequence
from itertools import combinations, combinations_with_replacement, product

import mpmath
import sympy as sp

from gmsym import budget, symbols
from gmsym.calculus import expectation, span
from gmsym.calculus.differential import differential
from gmsym.calculus.probing import independent
from gmsym.derive import leave_one_out as rule
from gmsym.derive.functional_inverse import functional_inverse
from gmsym.derive.leave_one_out import with_identity
from gmsym.errors import InputError
from gmsym.functions import elementary, heaviside_form, numeric
from gmsym.problem import Problem
from gmsym.progress import announced
from gmsym.system import Equation, Equations
from gmsym.system import spectral as S
from gmsym.system.causal_kernels import B, K, Mean, alpha, b, k, p, rho, sigma2
from gmsym.system.spectral import MatrixKind, Spectral, letters

SOURCE = "theory.md 7; Ben Arous et al. 2025 (arXiv 2502.15655)"
_MOST_MINORS = 50  # a Hessian of 4 columns has 42
_DIGITS = 30


@announced("deriving the spectrum")
def spectrum(problem: Problem, matrix: MatrixKind = "hessian", block: int | None = None, trained: Sequence[str] = ()) -> Spectral:
    """Spectrum of (1/n) sum_l A_l kron Y_l Y_l^T, A the Hessian of the loss in the fields, or a a^T with its gradient a.

    The derivatives are those away from kinks: of a loss whose gradient jumps, the Hessian is that of the empirical risk at almost
    every point. The ridge is left out; it shifts a Hessian by lambda. Covariances that differ between blocks of coordinates give one
    Stieltjes transform a block. Hessians of five columns and more have so many minors that solving inverts a matrix at each node.

    Args:
        problem: any mixture, any loss; with a teacher, A depends on its fields, too.
        matrix: "hessian", or "information" for the matrix of gradients.
        block: the column of Theta whose diagonal block is wanted; default: all columns.
        trained: names of parameters of the loss (second-layer weights, biases) that are trained, too: rows and columns of the matrix.
            The bulk stays, outliers move.

    Raises:
        InputError: an argument outside what is allowed; a matrix that vanishes.
    """
    _check(problem, matrix, block, trained)
    problem.check_blocks("derive.spectrum")
    loss, blocks = problem.loss, problem.data.blocks
    extra = tuple(symbols.symbol(name) for name in trained)
    chosen = range(problem.fields) if block is None else [block]
    full, mixed, corner = _second_derivatives(problem, matrix, extra)
    A, mixed = full.extract(list(chosen), list(chosen)), mixed.extract(list(chosen), list(range(len(extra))))
    if all(_vanishes(entry) for entry in A):
        raise InputError(f"matrix = {matrix!r}: that of the loss {loss.name} vanishes away from kinks; allowed is one that does not")

    at_labels = [loss.at_label(A.row_join(mixed), label) for label in dict.fromkeys(problem.data.labels)]
    given = (*loss.fields, *loss.teachers)
    directions = _directions([*A.upper_triangular(), *mixed, *corner], given)
    kept = _complement(_null_directions(sp.Matrix.hstack(*at_labels)) if block is None else [], len(chosen))
    points = [kept.T * at * kept for at in _numbers(A, range(1, 9))]
    unit = sp.eye(problem.fields).extract(list(range(problem.fields)), list(chosen))
    A, mixed, columns = _tidied(kept.T * A * kept), _tidied(kept.T * mixed), unit * kept
    fields, point = _reduced_fields(given, directions)
    A, mixed, corner = (array.xreplace(point).as_immutable() for array in (A, mixed, corner))
    meaning = "Hessian of the loss in the fields" if matrix == "hessian" else "product of the gradients in the fields"
    of_sample = Equation(letters(A.rows).A, A[0, 0] if A.rows == 1 else A, meaning, "theory.md 0", "own")
    A = sp.ImmutableDenseMatrix([of_sample.rhs]) if A.rows == 1 else of_sample.rhs

    rank = max(at.rank(iszerofunc=lambda c: abs(c) < sp.Float("1e-18")) for at in points)
    minors = _nonvanishing_minors(points, rank)
    kinks = _kinks([*A, *mixed, *corner], fields)
    scalar = A.rows == 1 and not extra and blocks == 1 and problem.teacher is None
    values = _values(problem, A[0, 0], fields) if scalar else None
    polynomial = None if values is None else _polynomial(values)
    return Spectral(
        name=f"{loss.name}_{matrix}",
        problem=problem,
        matrix=matrix,
        clusters=problem.data.clusters,
        blocks=blocks,
        block=block,
        fields=fields,
        labels=symbols.labels(problem.data.label_size),
        parameters=tuple(sorted(loss.parameters, key=lambda s: s.name)),
        trained=extra,
        directions=directions,
        columns=columns.as_immutable(),
        null=len(chosen) - A.rows,
        A=A,
        mixed=mixed,
        corner=corner,
        kinks=kinks,
        kink_form=_kink_form(kinks, fields),
        rank=rank,
        minors=minors,
        values=values,
        polynomial=polynomial,
        system=Equations((of_sample, *_equations(A, bool(extra), values, polynomial, _atom_equations(A, rank, kinks, blocks), blocks))),
    )


def _check(problem: Problem, matrix: str, block: int | None, trained: Sequence[str]) -> None:
    if not isinstance(problem, Problem):
        raise InputError(f"problem = {problem!r}: a gmsym Problem is needed")
    if matrix not in ("hessian", "information"):
        raise InputError(f"matrix = {matrix!r}: 'hessian' or 'information' is needed")
    if block is not None and (isinstance(block, bool) or not isinstance(block, int) or not 0 <= block < problem.fields):
        raise InputError(f"block = {block!r}: a column of Theta is needed, 0 to {problem.fields - 1}, or None for all")
    if block is not None and trained:
        raise InputError(f"trained = {list(trained)} with block = {block}: trained parameters extend the matrix of all columns only")
    if problem.loss.own_noises:
        raise InputError(f"loss {problem.loss.name!r}: spectra do not treat a sample's own noise ({problem.loss.own_noises[0]})")
    known = {s.name for s in problem.loss.parameters}
    for name in trained:
        if name not in known:
            raise InputError(f"trained = {name!r}: a parameter of the loss is needed: {', '.join(sorted(known)) or 'it has none'}")
    if len(set(trained)) < len(trained):
        raise InputError(f"trained = {list(trained)}: a name occurs twice")


def _second_derivatives(problem: Problem, matrix: str, trained: tuple[sp.Symbol, ...]) -> tuple[sp.Matrix, sp.Matrix, sp.Matrix]:
    """Second derivatives, or products of first ones, in (fields, fields), (fields, trained), (trained, trained)."""
    loss, count = problem.loss, len(trained)
    a = sp.Matrix(loss.gradient)
    value = heaviside_form(loss.value)
    b = sp.Matrix([_regular(value.diff(v)) for v in trained])
    if matrix == "information":
        b = b.reshape(count, 1)
        return _tidied(a * a.T), _tidied(a * b.T), _tidied(b * b.T)
    mixed = sp.Matrix(len(loss.fields), count, lambda i, j: _regular(a[i].diff(trained[j])))
    corner = sp.Matrix(count, count, lambda i, j: _regular(b[i].diff(trained[j])))
    return _tidied(sp.Matrix(loss.hessian)), _tidied(mixed), _tidied(corner)


def _regular(expr: sp.Expr) -> sp.Expr:
    """Without deltas: the derivative away from the kinks."""
    return expr.replace(sp.DiracDelta, lambda *_: sp.S.Zero)


def _tidied(array: sp.Matrix) -> sp.Matrix:
    """Powers of a step are the step, products of steps are multiplied out, and a step that makes no difference is left out."""

    def tidy(expr: sp.Expr) -> sp.Expr:
        steps = () if budget.larger(expr, budget.WHOLE) else sorted(expr.atoms(sp.Heaviside), key=sp.default_sort_key)
        for step in steps:
            below, above = (expr.xreplace({step: value}) for value in (sp.S.Zero, sp.S.One))
            expr = below if _vanishes(above - below) else expr
        if expr.has(sp.Heaviside) and budget.expanded_size(expr) <= budget.MERGED:
            expr = sp.expand(expr)
        return expr.replace(lambda e: e.is_Pow and isinstance(e.base, sp.Heaviside) and e.exp.is_positive, lambda e: e.base)

    return array.applyfunc(tidy)


# --- directions -------------------------------------------------------------------------------------------------------


def _point(free: Sequence[sp.Symbol], draw: int) -> dict[sp.Symbol, sp.Expr]:
    """A rational point, another one for each draw."""
    signs = [-1 if (draw >> i % 3) & 1 else 1 for i in range(len(free))]
    values = [sp.Rational(7 * i + 5 * draw + 3, 5 + 3 * i + 2 * draw) for i in range(len(free))]
    return {s: v if s.is_nonnegative else sign * v for s, v, sign in zip(free, values, signs, strict=True)}


def _numbers(array: sp.Matrix, draws: range) -> list[sp.Matrix]:
    """The array at several rational points, to 30 digits."""
    free = sorted(array.free_symbols, key=lambda s: s.name)
    function = numeric(sp.Tuple(*array.applyfunc(elementary)), tuple(free))
    with mpmath.workdps(_DIGITS):
        points = [[mpmath.mpf(v.p) / v.q for v in _point(free, draw).values()] for draw in draws]
        return [sp.Matrix(*array.shape, [sp.Float(mpmath.mpf(value), _DIGITS) for value in function(*point)]) for point in points]


def _vanishes(expr: sp.Expr) -> bool:
    if expr.is_zero or not expr.free_symbols:
        return bool(abs(sp.N(expr, _DIGITS)) < sp.Float("1e-20"))
    return all(abs(value[0]) < sp.Float("1e-20") for value in _numbers(sp.Matrix([expr]), range(1, 9)))


def _null_directions(array: sp.Matrix) -> list[sp.Matrix]:
    """Constant vectors n with n^T array = 0 at all fields: found at some rational points, confirmed at others, at 30 digits."""
    stacked = sp.Matrix.hstack(*_numbers(array, range(1, 2 + array.rows)))
    found = stacked.T.rref(iszerofunc=lambda c: abs(c) < sp.Float("1e-18"))
    pivots, free = found[1], [j for j in range(array.rows) if j not in found[1]]
    directions = []
    for j in free:
        n = sp.zeros(array.rows, 1)
        n[j] = 1
        for row, pivot in enumerate(pivots):
            n[pivot] = sp.nsimplify(-found[0][row, j], rational=True, tolerance=1e-15)
        directions.append(n)
    return [n for n in directions if all(abs(c) < sp.Float("1e-20") for part in _numbers(array, range(11, 15)) for c in n.T * part)]


def _complement(null: list[sp.Matrix], size: int) -> sp.Matrix:
    """Orthonormal columns that span the vectors orthogonal to all of `null`."""
    if not null:
        return sp.eye(size)
    basis = sp.Matrix.hstack(*null).T.nullspace()
    return sp.Matrix.hstack(*sp.GramSchmidt(basis, orthonormal=True))


def _directions(entries: Sequence[sp.Expr], fields: tuple[sp.Symbol, ...]) -> sp.ImmutableDenseMatrix:
    """V: orthonormal columns such that the entries depend on V^T (h, t) only."""
    kinked = [entry for entry in dict.fromkeys(entries) if entry.has(sp.Heaviside)]
    smooth = [entry for entry in dict.fromkeys(entries) if entry not in kinked]
    together = sp.Add(*(sp.Rational(7 * i + 3, 5 * i + 4) * entry for i, entry in enumerate(smooth)))  # depends on what any of them does
    rows = [row for entry in (*kinked, together) for row in span(entry, fields)]
    rows = [rows[i] for i in independent(rows)] if rows else []
    if len(rows) == len(fields):
        return sp.eye(len(fields)).as_immutable()
    if any(not c.is_number for row in rows for c in row):  # forms with parameters: nothing is gained
        return sp.eye(len(fields)).as_immutable()
    if not rows:
        return sp.zeros(len(fields), 0).as_immutable()
    return sp.Matrix.hstack(*sp.GramSchmidt([sp.Matrix(row) for row in rows], orthonormal=True)).as_immutable()


def _reduced_fields(fields: tuple[sp.Symbol, ...], directions: sp.MatrixBase) -> tuple[tuple[sp.Symbol, ...], dict[sp.Symbol, sp.Expr]]:
    """Names of u = V^T (h, t), and the fields (h, t) = V u in terms of them."""
    if directions.cols == len(fields):
        return fields, {}
    names = tuple(symbols.symbol(f"u{c}") for c in range(directions.cols))
    h = directions * sp.Matrix(directions.cols, 1, names)
    return names, dict(zip(fields, h, strict=True))


def _kinks(entries: Sequence[sp.Expr], fields: tuple[sp.Symbol, ...]) -> tuple[sp.Expr, ...]:
    loci = {step.args[0] for entry in entries for step in heaviside_form(entry).atoms(sp.Heaviside)}
    return tuple(sorted((u for u in loci if u.has_free(*fields)), key=sp.default_sort_key))


def _kink_form(kinks: Sequence[sp.Expr], fields: tuple[sp.Symbol, ...]) -> sp.ImmutableDenseMatrix | None:
    """w such that all kinks are functions of w . u, if there is one."""
    rows = [row for kink in kinks for row in span(kink, fields)]
    if not rows or len(independent(rows)) > 1 or any(not c.is_number for c in rows[0]):
        return None
    return sp.Matrix(rows[0]).as_immutable()


# --- minors -----------------------------------------------------------------------------------------------------------

Minor = tuple[tuple[int, ...], tuple[int, ...]]


def _nonvanishing_minors(points: Sequence[sp.MatrixBase], rank: int) -> tuple[Minor, ...]:
    """Rows and columns of the minors that do not vanish at every point, from the symmetric A there; those of a a^T are its entries.

    None if they are more than `_MOST_MINORS`: then a linear solve at each node costs less.
    """
    sets = (chosen for size in range(1, rank + 1) for chosen in combinations(range(points[0].rows), size))

    def vanishes(rows: tuple[int, ...], columns: tuple[int, ...]) -> bool:
        return all(abs(at.extract(list(rows), list(columns)).det(method="berkowitz")) < sp.Float("1e-20") for at in points)

    minors: list[Minor] = []
    for rows, columns in combinations_with_replacement(sets, 2):
        if len(rows) == len(columns) and not vanishes(rows, columns):
            minors.append((rows, columns))
        if len(minors) > _MOST_MINORS:
            return ()
    return tuple(minors)


# --- closed forms -----------------------------------------------------------------------------------------------------


def _values(problem: Problem, A: sp.Expr, fields: tuple[sp.Symbol, ...]) -> tuple[tuple[sp.Expr, sp.Expr, sp.Expr], ...] | None:
    """(value of A, variance of the cluster, probability) of each value of a scalar A that is constant between its kinks."""
    A = heaviside_form(A)
    steps = sorted((s for s in A.atoms(sp.Heaviside) if s.has_free(*fields)), key=sp.default_sort_key)
    names = {step: sp.Dummy() for step in steps}
    if len(steps) > 3 or A.xreplace(names).has_free(*fields):
        return None
    found: dict[tuple[sp.Expr, sp.Expr], sp.Expr] = {}
    for cluster, label in enumerate(problem.data.labels):
        share, noise = problem.data.probabilities[cluster], problem.data.variance[cluster, 0]
        at = dict(zip(symbols.labels(len(label)), label, strict=True))
        for branch in product((sp.S.Zero, sp.S.One), repeat=len(steps)):
            value = sp.simplify(A.xreplace(dict(zip(steps, branch, strict=True))).xreplace(at))
            if value == 0:
                continue
            if not steps:
                weight = sp.S.One
            elif len(fields) == 1:
                event = sp.Mul(*(s if b else 1 - s for s, b in zip(steps, branch, strict=True))).xreplace(at)
                mean, covariance = [S.field_mean(cluster)], sp.Matrix([[noise * S.norm2]])
                weight = expectation(sp.expand(event), fields, mean, covariance)
            else:
                return None
            if weight != 0:
                found[value, noise] = found.get((value, noise), sp.S.Zero) + share * weight
    return tuple((value, noise, weight) for (value, noise), weight in found.items())


def _polynomial(values: Sequence[tuple[sp.Expr, sp.Expr, sp.Expr]]) -> sp.Expr:
    """P(S, z) = 0 for A with finitely many values: 1/S + z - sum_j q_j sigma_j^2 v_j/(1 + sigma_j^2 v_j S/alpha), multiplied out."""
    s = letters(1).S
    total = 1 / s + S.z
    for j, (value, noise, weight) in enumerate(values):
        total -= _share(j, weight) * noise * value / (1 + noise * value * s / alpha)
    return sp.Poly(sp.numer(sp.together(total)), s).as_expr()


def _share(j: int, weight: sp.Expr) -> sp.Expr:
    """The probability of the j-th value: a letter unless it is a number."""
    return weight if weight.is_number else S.q(j + 1)


# --- equations --------------------------------------------------------------------------------------------------------


def _atom_equations(A: sp.MatrixBase, generic_rank: int, kinks: Sequence[sp.Expr], blocks: int) -> list[Equation]:
    """The mass at 0: by the rank of the matrix, where the samples of any part of the data span what they can; else as a limit."""
    size, sym = A.rows, letters(A.rows, blocks)
    source = "verified/effective.md 3"
    if not kinks:
        return [Equation(S.atom, sp.Max(0, 1 - alpha * generic_rank / size), "atom at 0", source, "own")]
    if size == 1:
        mean = sp.Sum(p(k) * Mean(S.Rank(sym.A), k), (k, 1, K))
        return [
            Equation(S.rank, mean, "probability that A does not vanish", "own", "own"),
            Equation(S.atom, sp.Max(0, 1 - alpha * S.rank), "atom at 0", source, "own"),
        ]
    return [Equation(S.atom, -S.z * _trace(size, blocks) / size, "atom at 0", source, "own", r"z \to i0")]


def _trace(size: int, blocks: int) -> sp.Expr:
    """Trace of S over all coordinates, divided by d."""
    sym = letters(size, blocks)
    over = sym.S if blocks == 1 else sp.Sum(rho(b) * sym.S, (b, 1, B))
    return over if size == 1 else S.Trace(over)


def _equations(
    A: sp.MatrixBase,
    trained: bool,
    values: Sequence | None,
    polynomial: sp.Expr | None,
    atom: Sequence[Equation],
    blocks: int,
) -> list[Equation]:
    """The displayed system after A, from which the generated functions are written; right-hand sides by `derive.leave_one_out`."""
    size = A.rows
    sym = letters(size, blocks)
    rules = _Derived(size, blocks, trained)
    status = "theorem" if blocks == 1 else "own"
    share, slope = (S.X_extended, S.X_extended_slope) if trained else (sym.X(k), sym.X_slope(k))
    at_infinity = sp.im(_trace(size, blocks)) / (sp.pi * size)
    equations = [
        Equation(sym.Sk(k), rules.form, "quadratic form of a fresh sample in the resolvent", SOURCE, status),
        Equation(sym.X(k), rules.share, "a sample's share, by Woodbury", SOURCE, status),
        Equation(sym.S, rules.fixed_point, "Stieltjes transform of the bulk", f"{SOURCE} (7.1)", status),
        Equation(S.density(S.x), at_infinity, "density of the bulk, at z = x + i0", SOURCE, status),
        *atom,
    ]
    if trained:
        meaning = "the same share with the trained parameters; H has the blocks A, mixed and own"
        equations.append(Equation(share, rules.extended, meaning, "verified/effective.md 4b", "own"))
    equations += [
        Equation(sym.Q, rules.Q, "its share in the span of the given vectors", SOURCE, status),
        Equation(S.D, rules.secular, "of determinant 0 at outliers, z outside the bulk", f"{SOURCE} (7.2)", status),
        Equation(sym.Sk_slope(k), rules.form_slope, "derivative of the quadratic form in z", "own", "own"),
        Equation(sym.X_slope(k), rules.share_slope, "derivative of the share", "own", "own"),
        Equation(sym.slope, rules.slope, "derivative of the Stieltjes transform", "verified/effective.md 3", "own"),
    ]
    if trained:
        equations.append(Equation(slope, rules.extended_slope, "derivative of the share with the trained parameters", "own", "own"))
    equations += [
        Equation(sym.Q_slope, rules.Q_slope, "derivative of Q", "verified/effective.md 3", "own"),
        Equation(
            S.overlap,
            rules.overlap,
            "squared projection of an outlier's eigenvector on that span, w the unit null vector",
            f"{SOURCE} (7.2)",
            "own",
        ),
    ]
    if size == 1:
        several = _Derived(1, 2, trained=False)
        equations += functional_inverse(several.form, several.share, several.fixed_point, letters(1, 2))
    if values is not None and polynomial is not None:
        for j, (value, noise, weight) in enumerate(values):
            if weight.is_number:
                continue
            equations.append(Equation(S.q(j + 1), weight, f"probability of A = {value} with variance {noise}", "own", "own"))
        equations.append(Equation(S.closed_form(sym.S, S.z), polynomial, "which vanishes: the fixed point in closed form", "own", "own"))
    return equations


class _Derived:
    """Right-hand sides, derived on letters that do not commute and then written in those of the matrix's size."""

    def __init__(self, size: int, blocks: int, trained: bool):
        free, own = letters(2, blocks), letters(size, blocks)
        pairs = [(x(k), y(k)) if isinstance(x, type) else (x, y) for x, y in zip(free, own, strict=True) if x != y]
        names = {x: y for x, y in pairs if x != sp.S.One and y != sp.S.One}

        def whole(expr: sp.Expr) -> sp.Expr:
            """One block is all coordinates and carries no index."""
            if blocks > 1:
                return expr
            expr = expr.replace(lambda e: isinstance(e, sp.Sum) and e.limits[0][0] == b, lambda e: e.function.xreplace({rho(b): sp.S.One}))
            return expr.xreplace({sigma2(k, b): S.variance(k)})

        def written(expr: sp.Expr) -> sp.Expr:
            """In the letters of that size."""
            return with_identity(whole(expr).xreplace(names), own.identity)

        X, share = free.X(k), rule.sample_share(free.A, free.Sk(k))
        form, fixed, change = rule.concentrated_form(free.S), rule.fixed_point(X, free.S), rule.share_slope(share, X, free)
        form_slope = differential(form, {free.S: free.slope})
        self.form, self.share, self.fixed_point = written(form), written(share), written(fixed)
        self.form_slope, self.share_slope = written(form_slope), written(change)
        slope = rule.transform_slope(fixed, X, change, free.S)
        if blocks == 1:  # S'_z is S_z but for a factor
            factor = whole(form_slope) * free.slope**-1
            slope = whole(slope).replace(Mean, lambda body, index: factor * Mean(body.xreplace({free.Sk_slope(k): free.slope}), index))
        self.slope = written(slope)
        seen, seen_slope = X, free.X_slope(k)
        if trained:
            extended = rule.extended_share(*S.extended, free)
            self.extended, self.extended_slope = written(extended), written(rule.share_slope(extended, X, free))
            seen, seen_slope = S.X_extended, S.X_extended_slope
        Q = rule.compressed(seen)
        self.Q, self.Q_slope = written(Q), written(rule.compressed_slope(Q, seen, seen_slope))
        self.secular = with_identity(rule.secular(free.Q), S.unit)
        self.overlap = rule.overlap(free.Q, free.Q_slope)
