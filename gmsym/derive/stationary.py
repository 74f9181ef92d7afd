"""The stationary limit of a convex problem: the DMF equations at rest. Source: theory.md 11; verified/sgd.md 1.

At rest all one-time quantities are constant and all two-time kernels depend on the difference of the times, so that a sum over the past
is a product with the sum of a response. What is left is one implicit equation of a sample, whose solution is a proximal point, and one of
a coordinate. Known by other ways as replica or Gordon fixed point (Loureiro et al. 2021, arXiv 2106.03791).
"""

from collections.abc import Callable

import sympy as sp

from gmsym import symbols
from gmsym.calculus import expectation, span
from gmsym.calculus.differential import factored_out
from gmsym.calculus.kernels import Kernel, Transposed, distribute
from gmsym.calculus.probing import tidy, vanishes
from gmsym.calculus.proximal import Pieces, Proximal, closed_proximal, images, kinks
from gmsym.derive.dmf import field_equations, local_equations, noise_equations, teacher_equations
from gmsym.derive.innovations import stein_equations
from gmsym.derive.program import n
from gmsym.derive.samples import fresh_sample, trained_gradient
from gmsym.errors import InputError
from gmsym.functions import NormalCDF, heaviside_form
from gmsym.problem import Problem
from gmsym.problem.sampling import full
from gmsym.progress import announced
from gmsym.system import Equation, Equations, Stationary
from gmsym.system import causal_kernels as C
from gmsym.system import stationary as S
from gmsym.system.causal_kernels import (
    A,
    B,
    K,
    Mean,
    Partial,
    Q,
    Qk,
    R,
    Ra,
    Theta,
    W,
    a,
    abar,
    alpha,
    b,
    e,
    e_other,
    gram,
    h,
    i,
    k,
    l,
    m,
    mu,
    omega,
    p,
    r,
    rho,
    s,
    sigma2,
    star,
    star_gram,
    star_gram_k,
    star_mean,
    t,
    xi,
    zeta,
)

SOURCE = "theory.md 11: theory.md 2 at rest; Loureiro et al. 2021 (arXiv 2106.03791)"
_l1 = symbols.symbol("l1")
_l_other = sp.Symbol("l'", integer=True, positive=True)


@announced("deriving the stationary limit")
def stationary(problem: Problem) -> Stationary:
    """Where training of a convex problem ends, whatever the rule that gets there.

    The risk is (1/n) sum_i l(Theta^T x_i, y_i) + (ridge/2) |Theta|^2 + (l1/sqrt d) |Theta|_1; a linear rule may add to the ridge (decoupled
    weight decay), and `l1` is the parameter of that name in the optimizer's rule, for one field. Trained parameters of the loss
    (an intercept) are at their minimum, too. With an l1 the law of the means' coordinates
    matters, `GaussianMixture(coordinates=...)`. Labels may be teachers' (`Teacher`), noisy ones among them; M is their overlap.

    Args:
        problem: full batches; a loss that is convex in its fields and in its trained parameters, which is checked when it is solved.

    Raises:
        InputError: mini-batches or online sampling, whose steps of constant size do not end at the minimum; a loss with kinks of several
            fields, or one with kinks that is not quadratic between them; a rule that rests elsewhere.

    Example:
        >>> import gmsym as gm
        >>> problem = gm.Problem(gm.GaussianMixture.symmetric(), gm.losses.logistic(), gm.optimizers.gd())
        >>> values = {"alpha": 2.0, "sigma": 1.0, "mu_norm": 1.0, "ridge": 0.1}
        >>> result = gm.solve(gm.derive.stationary(problem), values)
        >>> round(float(result["test_error"]), 4)
        0.2085
    """
    if not isinstance(problem, Problem):
        raise InputError(f"problem = {problem!r}: a gmsym Problem is needed")
    _check_sampling(problem)
    problem.check_full_batch("derive.stationary", teachers=True, trained=True, own=True, flow=True)
    problem.check_blocks("derive.stationary")
    loss = problem.loss
    decay, sparse = _penalty(problem)
    columns, fields = _reduced(problem)
    at = dict(zip(loss.fields, columns * sp.Matrix(fields), strict=True))
    gradient = [tidy(x) for x in columns.T * sp.Matrix([g.xreplace(at) for g in loss.gradient])]
    hessian = sp.ImmutableDenseMatrix((columns.T * loss.hessian.xreplace(at) * columns).applyfunc(tidy))
    sides = kinks(gradient[0], fields[0]) if len(fields) == 1 else None
    steps = any(step.has(*fields) for g in gradient for step in g.atoms(sp.Heaviside))
    if sparse and len(fields) > 1:
        raise InputError(f"derive.stationary: l1 with the {len(fields)} fields of the loss {loss.name}: one field is needed")
    shown = sp.Symbol("z_{k}", real=True), sp.Symbol("V_{k}", positive=True)
    signs = {x: sp.Dummy(x.name, positive=True) for _, x in loss.positive if x.is_Symbol}
    closed = closed_proximal(gradient[0].xreplace(signs), fields[0], *shown) if len(fields) == 1 else None
    closed = None if closed is None else Pieces(*(x.xreplace({y: x for x, y in signs.items()}) for x in closed))
    if steps and closed is None:
        raise InputError(
            f"derive.stationary: loss {loss.name} has kinks; it must be of one field and quadratic between kinks at places that are linear "
            "in the label and the parameters; any number of fields and any shape are allowed without kinks"
        )
    wrong = _wrong(problem, at)
    decided = [] if wrong is None or len(fields) > 1 else (kinks(heaviside_form(wrong), fields[0]) or [])
    bends = _bends(problem, [heaviside_form(x) for x in (loss.value, wrong) if x is not None])
    panels = len(fields) == 1 and bends is not None
    edges = images([*(sides or ()), *decided], gradient[0], fields[0], shown[1]) if panels else []
    system = _equations(problem, fields, gradient, hessian, loss.value.xreplace(at), closed, shown, wrong, sparse)
    right = {equation.lhs: equation.rhs for equation in system}
    place = sp.Symbol("z", real=True), sp.Symbol("V", positive=True)
    names = {y: x for x, y in _displayed(problem, fields).items()} | dict(zip(shown, place, strict=True))
    moments, test_loss, test_error = fresh_sample(problem)
    column = right[a(k)] if closed is None else (gradient[0] if len(fields) == 1 else gradient)

    def entries(value: sp.Expr) -> tuple[sp.Expr, ...]:
        return tuple(sp.sympify(x).xreplace(names) for x in (value if isinstance(value, sp.MatrixBase | list) else [value]))

    return Stationary(
        name=f"{loss.name}_stationary",
        problem=problem,
        fields=fields,
        teachers=loss.teachers,
        own_noises=loss.own_noises,
        labels=symbols.labels(problem.data.label_size),
        trained=problem.trained_parameters,
        parameters=tuple(sorted(loss.parameters - set(problem.trained_parameters), key=lambda x: x.name)),
        clusters=problem.data.clusters,
        blocks=problem.data.blocks,
        columns=columns.as_immutable(),
        loss=entries(right[C.ell(k)])[0],
        gradient=entries(column),
        hessian=sp.ImmutableDenseMatrix(len(fields), len(fields), entries(right.get(A(k), hessian))),
        trained_gradient=entries(right[S.dv(k)]) if problem.trained_parameters else (),
        closed=None if closed is None else tuple(right[x].xreplace(names) for x in (h(k), a(k), S.D(k))),
        place=place,
        edges=tuple(x.xreplace(names) for x in edges),
        bends=tuple(bends or ()),
        panels=panels,
        rough=heaviside_form(loss.value).has(sp.Heaviside),
        wrong=None if wrong is None else entries(right[S.wrong(k)])[0],
        decay=decay,
        sparse=sparse,
        system=system,
        moments=moments,
        test_loss=test_loss,
        test_error=test_error,
    )


# --- what it is about -------------------------------------------------------------------------------------------------


def _check_sampling(problem: Problem) -> None:
    if problem.sampling != full():
        kind = getattr(problem.sampling, "kind", "this")
        raise InputError(
            f"derive.stationary: with {kind} sampling steps of constant size do not end at the minimum; sampling=gmsym.sampling.full() "
            "asks for where it is"
        )


def _penalty(problem: Problem) -> tuple[sp.Expr, bool]:
    """(what the rule adds to the ridge, whether it has an l1); at rest theta' = theta, and so for the state."""
    optimizer = problem.optimizer
    theta, g, state = symbols.theta, symbols.g, optimizer.state
    sparse = _l1 in optimizer.parameters
    composed = [sp.simplify(rule.subs(_l1, 0)) if sparse else rule for rule in optimizer.composed]
    if optimizer.continuous:  # a velocity, which vanishes at rest
        composed = [theta + composed[0]]
    refused = InputError(
        f"derive.stationary: the rule of {optimizer.name!r} does not rest where the gradient of the risk with its ridge"
        f"{' and l1' if sparse else ''} vanishes; allowed are rules that do, and linear ones, whose decay adds to the ridge"
    )
    if optimizer.is_noisy:
        raise refused
    variables = (theta, *state, g)
    if not any(rule.diff(x).has(*variables) for rule in composed for x in variables):  # linear, but for an l1
        rest = sp.solve([rule - x for rule, x in zip(composed, (theta, *state), strict=True)], [g, *state], dict=True)
        decay = sp.cancel(-rest[0][g] / theta) if len(rest) == 1 and g in rest[0] else sp.nan
        if decay.has(sp.nan, theta, g, symbols.t, *state):
            raise refused
        return decay, sparse
    sizes = {x: sp.Dummy(x.name, positive=True) for x in optimizer.parameters}
    still = composed[0].xreplace(sizes).subs({g: sp.S.Zero, **dict.fromkeys(state, sp.S.Zero)}) - theta
    if not all(vanishes(heaviside_form(still.subs(theta, size * theta))) for size in (1, 1000)):
        raise refused
    return sp.S.Zero, sparse


def _reduced(problem: Problem) -> tuple[sp.Matrix, tuple[sp.Symbol, ...]]:
    """U and u: the loss depends on the fields h = U u, at every label, through U^T h only."""
    loss = problem.loss
    parts = [loss.at_label(loss.value, label) for label in dict.fromkeys(problem.data.labels)]
    together = sp.Add(*(sp.Rational(7 * i + 3, 5 * i + 4) * part for i, part in enumerate(parts)))
    rows = [row for row in span(together, loss.fields)]
    if len(rows) == len(loss.fields) or any(not c.is_number for row in rows for c in row):
        return sp.eye(len(loss.fields)), loss.fields
    columns = sp.Matrix.hstack(*sp.GramSchmidt([sp.Matrix(row) for row in rows], orthonormal=True))
    return columns, tuple(symbols.symbol(f"u{c}") for c in range(columns.cols))


def _bends(problem: Problem, exprs: list[sp.Expr]) -> list[sp.Expr] | None:
    """Values of the one thing that is beside the field at which these have kinks or jumps; None if they are not known, or there is more."""
    if not problem.loss.beside:
        return []
    if len(problem.loss.beside) > 1:
        return None
    (x,) = problem.loss.beside
    found: dict[sp.Expr, None] = {}
    for step in (step for expr in exprs for step in expr.atoms(sp.Heaviside) if step.has(x) and not step.has(*problem.loss.fields)):
        locus = sp.expand(step.args[0])
        if not locus.is_polynomial(x):
            return None
        if sp.degree(locus, x) == 1:
            found[-locus.coeff(x, 0) / locus.coeff(x, 1)] = None
        elif locus.free_symbols == {x}:
            found |= dict.fromkeys(sp.Poly(locus, x).real_roots())
        else:
            return None
    return list(found)


def _wrong(problem: Problem, at: dict[sp.Symbol, sp.Expr]) -> sp.Expr | None:
    """1 where a sample with fields u is misclassified, 1/2 at ties."""
    loss = problem.loss
    if problem.decision == "sign":
        return sp.Heaviside(sp.expand(-problem.target * loss.readout.xreplace(at)))
    if problem.decision == "argmax":
        labels = symbols.labels(problem.data.label_size)
        fields = [at[f] for f in loss.fields]
        best = [sp.Mul(*(sp.Heaviside(x - y) for j, y in enumerate(fields) if i != j)) for i, x in enumerate(fields)]
        return 1 - sum(y * x for y, x in zip(labels, best, strict=True))
    return None


def _displayed(problem: Problem, fields: tuple[sp.Symbol, ...]) -> dict[sp.Symbol, sp.Expr]:
    """Fields and labels as the equations show them."""
    labels = symbols.labels(problem.data.label_size)
    names = ["h_{k}"] if fields == (symbols.h,) else [f"{str(f)[0]}_{{k{i}}}" for i, f in enumerate(fields)]
    names += ["y_{k}"] if len(labels) == 1 else [f"y_{{k{i}}}" for i in range(len(labels))]
    names += [rf"\tau_{{k{i}}}" for i, _ in enumerate(problem.loss.teachers, start=1)]
    names += [f"w_{{k{i}}}" for i, _ in enumerate(problem.loss.own_noises, start=1)]
    return {x: sp.Symbol(name, real=True) for x, name in zip((*fields, *labels, *problem.loss.beside), names, strict=True)}


# --- equations --------------------------------------------------------------------------------------------------------

_INTEGRATED = {
    R: lambda cluster, *_: -S.V(cluster),
    Ra: lambda cluster, *_: S.Ah(cluster),
    W: lambda block, *_: -S.W(block),
}


def at_rest(expr: sp.Expr) -> sp.Expr:
    """An expression in processes and kernels where nothing depends on the time: a sum over the past goes to the response in it."""
    return sp.Add(*map(_term_at_rest, sp.Add.make_args(distribute(expr))))


def _term_at_rest(term: sp.Expr) -> sp.Expr:
    body, limits = (term.function, term.limits) if isinstance(term, sp.Sum) else (term, ())
    times = {limit[0] for limit in limits} & {s, r, t}
    responses = {x for kind in _INTEGRATED for x in body.atoms(kind)}
    assert len(times) <= len(responses) + len(body.atoms(sp.KroneckerDelta)), f"a sum over time without a response: {term}"
    body = body.replace(sp.KroneckerDelta, lambda *_: sp.S.One)
    body = body.replace(Partial, lambda x, y: S.D(*x.args[: x.subscripts]))
    for kind, integrated in _INTEGRATED.items():
        body = body.replace(kind, integrated)
    once = {x: type(x)(*x.args[: x.subscripts]) for x in body.atoms(Kernel) if x.subscripts >= 0 and len(x.args) > x.subscripts}
    body = body.xreplace(once)
    kept = [limit for limit in limits if limit[0] not in times]
    return sp.Sum(body, *kept) if kept else body


def _equations(problem, fields, gradient, hessian, value, closed, shown, wrong, sparse) -> Equations:
    taught = problem.teacher is not None
    field, response, gradient_of_risk = field_equations(taught)
    total = next(e for e in local_equations(problem, "tangent", field) if isinstance(e.lhs, Partial))
    noise = noise_equations()[1]
    names = _displayed(problem, fields)
    several = len(fields) > 1
    z = at_rest(field.rhs).subs(S.V(k), 0)
    found = [
        Equation(S.z(k), z, "field of a sample of cluster k that is left out of training", SOURCE, "theorem"),
        *(
            _teachers()
            if taught
            else [Equation(Mean(omega(k) * Transposed(omega(k)), k), Qk(k), "covariance of its noise", SOURCE, "theorem")]
        ),
    ]
    local = sp.ImmutableDenseMatrix(gradient) if several else gradient[0]
    D = _solved(S.D(k) - at_rest(total.rhs), S.D(k))
    if closed is None:
        # h = z - V a(h) is the condition for the minimum of l(h) + (h - z)^T V^{-1} (h - z)/2.
        argument = sp.Lambda(fields, value) if several else sp.Lambda(fields[0], value)
        found += [
            Equation(
                h(k),
                Proximal(argument, sp.Symbol(r"z_{k}"), sp.Symbol("V_{k}")),
                "its field in training: z = h + V a(h)",
                SOURCE,
                "theorem",
            ),
            Equation(a(k), local.xreplace(names), "gradient of the loss in the fields", "theory.md 0", "own"),
            Equation(
                A(k), (hessian if several else hessian[0, 0]).xreplace(names), "Hessian of the loss in the fields", "theory.md 0", "own"
            ),
            Equation(S.D(k), D, "derivative of the gradient in z", SOURCE, "theorem"),
        ]
    else:
        point, slope, curvature = (x.xreplace(names) for x in closed)
        found += [
            Equation(h(k), point, "its field in training, a proximal point: z = h + V a(h)", SOURCE, "theorem"),
            Equation(a(k), slope, "gradient of the loss there, of the Moreau envelope in z", SOURCE, "theorem"),
            Equation(S.D(k), curvature, "derivative of the gradient in z", SOURCE, "theorem"),
        ]
    found.append(Equation(C.ell(k), value.xreplace(names), "loss of a sample", "theory.md 0", "own"))
    if wrong is not None:
        found.append(Equation(S.wrong(k), wrong.xreplace(names), "whether a sample is misclassified", "own", "own"))
    found += [
        Equation(abar(k), Mean(a(k), k), "mean gradient", SOURCE, "theorem"),
        Equation(C.C(k), Mean(a(k) * Transposed(a(k)), k), "correlation of the gradients", SOURCE, "theorem"),
        Equation(S.Ah(k), Mean(S.D(k), k), "integrated response of the gradients", SOURCE, "theorem"),
        *(_responses_to_teachers() if taught else ()),
    ]
    if problem.trained_parameters:
        column = trained_gradient(problem)
        at = dict(zip(problem.loss.fields, _reduced(problem)[0] * sp.Matrix(fields), strict=True)) | names
        column = [x.xreplace(at).xreplace(names) for x in column]
        own = column[0] if len(column) == 1 else sp.ImmutableDenseMatrix(column)
        rest = sp.Sum(p(k) * Mean(S.dv(k), k), (k, 1, K)) + C.ridge_v * S.v()
        found += [
            Equation(S.dv(k), own, "gradient of the loss in the trained parameters", "theory.md 0", "own"),
            Equation(S.gv(), rest, "gradient of the risk in the trained parameters, 0 at rest", SOURCE, "theorem"),
        ]
    found += _coordinate(at_rest(gradient_of_risk.rhs), at_rest(response.rhs), noise, sparse)
    found.append(Equation(C.train_loss(), sp.Sum(p(k) * Mean(C.ell(k), k), (k, 1, K)), "train loss", "theory.md 0", "own"))
    if wrong is not None:
        found.append(Equation(S.train_error(), sp.Sum(p(k) * Mean(S.wrong(k), k), (k, 1, K)), "train error", "own", "own"))
    return Equations(found)


def _teachers() -> list[Equation]:
    """Teacher fields, and the law of the field's noise given them."""
    field, _, covariance, _ = teacher_equations()
    in_cluster = distribute(sp.Sum(rho(b) * sigma2(k, b) * star_gram(e, e_other), (b, 1, B)))
    coefficient = S.precision(k, e_other, e) * C.Mk(k, e_other)  # of zeta_e: Cov(omega, zeta) Cov(zeta)^{-1}
    explained = S.precision(k, e, e_other) * C.Mk(k, e) * Transposed(C.Mk(k, e_other))
    known = sp.Sum(coefficient * zeta(k, e), (e, 1, C.S), (e_other, 1, C.S))
    left = Qk(k) - sp.Sum(explained, (e, 1, C.S), (e_other, 1, C.S))
    spread = Mean(S.rest(k) * Transposed(S.rest(k)), k)
    return [
        Equation(field.lhs, field.rhs, field.meaning, SOURCE, "theorem"),
        Equation(star_gram_k(k, e, e_other), in_cluster, "teacher directions in the metric of cluster k", SOURCE, "own"),
        Equation(covariance.lhs, covariance.rhs, covariance.meaning, SOURCE, "theorem"),
        Equation(
            omega(k), known + S.rest(k), "noise of the field, covariances Q_k and M_ke with the teachers': given these", SOURCE, "own"
        ),
        Equation(spread, left, "covariance of what is left", SOURCE, "own"),
    ]


def _responses_to_teachers() -> list[Equation]:
    """Stein's lemma at rest, solved for the response to a teacher's field."""
    stein = stein_equations(True)[1]
    left, right = at_rest(stein.lhs), at_rest(stein.rhs)
    known = sp.Add(*(x for x in sp.Add.make_args(left) if not x.has(C.Rz)))
    remaining = (right - known).xreplace({e: e_other})  # = sum_e' Rz_k(e') (theta*_e'^T Sigma_k theta*_e)
    solved = distribute(sp.Sum(S.precision(k, e, e_other) * remaining, (e_other, 1, C.S)))
    return [Equation(C.Rz(k, e), solved, "integrated response of the gradients to a teacher's field, by Stein's lemma", SOURCE, "own")]


def _solved(expr: sp.Expr, letter: sp.Expr) -> sp.Expr:
    """The letter where an expression c letter + rest vanishes: -c^{-1} rest; a number in c stands for that many times the identity."""
    left, rest = factored_out(expr, letter)
    return _inverse(left) * -rest


def _inverse(matrix: sp.Expr) -> sp.Expr:
    return sp.Add(*(x * S.unit() if x.is_commutative else x for x in sp.Add.make_args(matrix))) ** -1


def _coordinate(risk: sp.Expr, response: sp.Expr, noise: Equation, sparse: bool) -> list[Equation]:
    """Gain, width and order parameters from the gradient of the risk at rest, 0 = c_b Theta_b + source."""
    risk = risk.replace(
        lambda e: isinstance(e, sp.Sum) and e.has(Theta), lambda e: sp.Sum(e.function.subs(Theta(b), 1), *e.limits) * Theta(b)
    )
    gain, source = factored_out(risk, Theta(b))
    G = S.W(b)
    width = distribute(-response)  # V_k = -sum_s R_k(t,s)
    gained = Equation(G, _inverse(gain), "minus the integrated response of a coordinate to its noise", SOURCE, "theorem")
    spread = Equation(n * Mean(xi(b) * Transposed(xi(b)), b), at_rest(noise.rhs), noise.meaning, noise.source, noise.status)
    covariance = spread.rhs / alpha  # of xi_b over d coordinates
    if sparse:
        return [gained, spread, *_thresholded(distribute(source.xreplace({k: l})), covariance, width)]
    taught = source.has(star)
    coordinate = Equation(Theta(b), -G * source, "one coordinate of block b", SOURCE, "theorem")
    theta = distribute(coordinate.rhs.xreplace({k: l}))
    single = _products(theta, {mu(l, b): gram(k, l), star(e, b): star_mean(e, k)})
    square = _second_moments(distribute(theta * Transposed(theta.xreplace({l: _l_other, e: e_other}))), covariance)
    along = _products(theta.xreplace({e: e_other}), {mu(l, b): star_mean(e, l), star(e_other, b): star_gram(e, e_other)})
    return [
        gained,
        spread,
        coordinate,
        Equation(S.V(k), width, "how far a sample's gradient moves its own field", SOURCE, "theorem"),
        Equation(m(k), _over_blocks(rho(b), single), "overlap with the mean of cluster k", SOURCE, "theorem"),
        Equation(Q(), _over_blocks(rho(b), square), "self-overlap", SOURCE, "theorem"),
        Equation(
            Qk(k), _over_blocks(rho(b) * sigma2(k, b), square), "overlap of the iterate in the metric of cluster k", SOURCE, "theorem"
        ),
        *(_along_teachers(lambda weight: _over_blocks(weight, along)) if taught else ()),
    ]


def _products(theta: sp.Expr, products: dict[sp.Expr, sp.Expr]) -> sp.Expr:
    """Mean over a block, d times, of a coordinate and another vector, whose products with the means and the teachers are these."""
    return sp.Add(*(x.xreplace(products) for x in sp.Add.make_args(theta) if not x.has(xi)))


def _along_teachers(over_blocks: Callable[[sp.Expr], sp.Expr]) -> list[Equation]:
    return [
        Equation(C.M(e), over_blocks(rho(b)), "overlap with a teacher direction", SOURCE, "theorem"),
        Equation(C.Mk(k, e), over_blocks(rho(b) * sigma2(k, b)), "overlap with a teacher in the metric of cluster k", SOURCE, "theorem"),
    ]


def _over_blocks(factor: sp.Expr, expr: sp.Expr) -> sp.Expr:
    return distribute(sp.Sum(factor * expr, (b, 1, B)))


_FIXED = {
    (mu(l, b), mu(_l_other, b)): gram(l, _l_other),
    (mu(l, b), star(e_other, b)): star_mean(e_other, l),
    (star(e, b), mu(_l_other, b)): star_mean(e, _l_other),
    (star(e, b), star(e_other, b)): star_gram(e, e_other),
}


def _second_moments(square: sp.Expr, covariance: sp.Expr) -> sp.Expr:
    """Mean over the coordinates of a block of a product of two combinations of means, teachers and noise, d times."""
    noise = xi(b), Transposed(xi(b))
    found = []
    for term in sp.Add.make_args(square):
        factors = sp.Mul.make_args(term.function if isinstance(term, sp.Sum) else term)
        if all(x in factors for x in noise):
            found.append(term.xreplace({noise[0]: covariance.xreplace({k: l}), noise[1]: sp.S.One}))
        elif not any(x in factors for x in noise):
            vectors = next(pair for pair in _FIXED if all(x in factors for x in pair))
            found.append(term.xreplace({vectors[0]: _FIXED[vectors], vectors[1]: sp.S.One}))
    return sp.Add(*(distribute(x) for x in found))


def _tail(expr: sp.Expr) -> sp.Expr:
    """With Phi where it falls as the penalty grows: 1 - Phi would lose its digits."""

    def turned(u: sp.Expr) -> sp.Expr:
        return 1 - NormalCDF(-u) if sp.expand(u).coeff(S.l1).is_positive else NormalCDF(u)

    return sp.powsimp(sp.expand(expr.replace(NormalCDF, turned)), combine="exp")  # exponents together, which may cancel


def _thresholded(source: sp.Expr, covariance: sp.Expr, width: sp.Expr) -> list[Equation]:
    """A coordinate with the penalty l1 |theta|: the proximal point of G l1 |.| at -G source, a Gaussian in each component."""
    G, x, c = S.W(b), sp.Dummy("x", real=True), sp.Dummy("c", real=True)
    place, size = sp.Dummy("N", real=True), sp.Dummy("S", positive=True)
    # The penalty is homogeneous: prox_{G l1 |.|}(G x) = G prox_{l1 |.|}(x).
    soft = closed_proximal(S.l1 * (2 * sp.Heaviside(c) - 1), c, x, sp.S.One)
    assert soft is not None

    def mean(f: sp.Expr) -> sp.Expr:
        closed = _tail(expectation(sp.expand(heaviside_form(f)), [x], [place], sp.Matrix([[size**2]])))
        return closed.xreplace({place: N_, size: sp.sqrt(S.S2(b, i))})

    taught = source.has(star)
    N_ = sp.Symbol("N_{bi}" if taught else "N_{i}", real=True)
    centred = sp.Add(*(y for y in sp.Add.make_args(source) if not y.has(xi)))
    located = distribute(-centred.xreplace({mu(l, b): S.nu(l, i), star(e, b): S.nu_star(e, i)}))
    other = Transposed(source.xreplace({l: _l_other, e: e_other}))
    variance = _second_moments(distribute(source * other), covariance).xreplace(
        {
            gram(l, _l_other): S.Gamma(l, _l_other, i),
            star_mean(e_other, l): S.Gamma_mean(e_other, l, i),
            star_mean(e, _l_other): S.Gamma_mean(e, _l_other, i),
            star_gram(e, e_other): S.Gamma_star(e, e_other, i),
        }
    )
    across = centred.xreplace({mu(l, b): S.Gamma(k, l, i), star(e, b): S.Gamma_mean(e, k, i)})  # covariance of mu_k and the source
    turned = centred.xreplace({e: e_other})
    along = turned.xreplace({mu(l, b): S.Gamma_mean(e, l, i), star(e_other, b): S.Gamma_star(e, e_other, i)})
    share = mean(1 - soft.curvature)  # of the slope of the point: x = point + slope

    def over(factor: sp.Expr, expr: sp.Expr) -> sp.Expr:
        return distribute(sp.Sum(factor * S.u(i) * expr, (i, 1, S.components), (b, 1, B)))

    return [
        Equation(S.N_b(b, i) if taught else S.N(i), located, "mean of minus a scaled coordinate's source", SOURCE, "own"),
        Equation(S.S2(b, i), variance, "its variance", SOURCE, "theorem"),
        Equation(S.on(b, i), share, "share of the coordinates that are not 0", SOURCE, "theorem"),
        Equation(S.e(b, i), mean(soft.point), "mean of the soft threshold", SOURCE, "own"),
        Equation(S.q(b, i), G**2 * mean(soft.point**2), "mean square of a scaled coordinate", SOURCE, "theorem"),
        Equation(S.V(k), _on_average(width), "how far a sample's gradient moves its own field", SOURCE, "theorem"),
        Equation(
            m(k),
            over(rho(b), G * S.nu(k, i) * S.e(b, i)) + over(rho(b), -S.on(b, i) * G * across),
            "overlap with a cluster's mean, by Stein's lemma",
            SOURCE,
            "theorem",
        ),
        Equation(Q(), over(rho(b), S.q(b, i)), "self-overlap", SOURCE, "theorem"),
        Equation(Qk(k), over(rho(b) * sigma2(k, b), S.q(b, i)), "overlap of the iterate in the metric of cluster k", SOURCE, "theorem"),
        Equation(S.nonzero(), over(rho(b), S.on(b, i)), "share of the coordinates that are not 0", SOURCE, "theorem"),
        *(
            _along_teachers(lambda weight: over(weight, G * S.nu_star(e, i) * S.e(b, i)) + over(weight, -S.on(b, i) * G * along))
            if taught
            else ()
        ),
    ]


def _on_average(width: sp.Expr) -> sp.Expr:
    """The response of a coordinate that is thresholded: G where it is not zero."""
    G = S.W(b)
    return distribute(width.xreplace({G: sp.Sum(S.u(i) * S.on(b, i) * G, (i, 1, S.components))}))
