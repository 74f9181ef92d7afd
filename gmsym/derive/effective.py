"""Effective dynamics of online SGD: the summary statistics' equations as d -> infinity at step c/d. Source: theory.md 6.

One step on a fresh sample Y is x' = x - delta (Y a^T + beta x). The Gram matrix of x' with itself, the means and the teacher
directions is expanded in delta, |Y|^2 is replaced by sigma_k^2 d with d = c/delta, and the order delta is kept: its mean over Y
is the drift. Where covariances are diagonal by blocks, this is done for the rows of each block, rho_b d of them. Stein's lemma writes
every mean of a times a field linear in Y by E[a] and E[da/d(h, tau)], so that only means over the C + T fields (h, tau) remain, which
the Gaussian calculus closes or reduces. Ben Arous, Gheissari, Jagannath 2022 (arXiv 2206.04030); Saad and Solla 1995 for erf
committees.
"""

from collections.abc import Sequence
from functools import cache

import sympy as sp

from gmsym import budget, symbols
from gmsym.calculus import expectation
from gmsym.calculus.kernels import Transposed
from gmsym.derive import embedded_online
from gmsym.derive.expansion import fluctuation_equations
from gmsym.derive.samples import joint_mean, overlaps_of_mean, trained_gradient
from gmsym.errors import InputError
from gmsym.functions import heaviside_form
from gmsym.problem import Problem
from gmsym.problem.observables import order_parameters
from gmsym.problem.small_steps import SmallSteps
from gmsym.progress import announced
from gmsym.system import Equation, Equations, Ode, Sde
from gmsym.system import ode as S
from gmsym.system.causal_kernels import Mean
from gmsym.system.ode import (
    A,
    B,
    K,
    M,
    Q,
    T,
    a,
    abar,
    b,
    bbar,
    beta,
    c,
    gram,
    h,
    k,
    l,
    m,
    p,
    r,
    rate,
    s,
    sigma2,
    t,
    tau,
    tau_gram,
    tau_mean,
    u,
    v,
)

SOURCE = "theory.md (6.1); Ben Arous, Gheissari, Jagannath 2022"
_X, _Y, _mu, _direction = (sp.Symbol(name, commutative=False) for name in (r"x", "Y", r"\mu_l", r"\vartheta_s"))
_a, _h = (sp.Symbol(name, commutative=False) for name in ("a", "h"))
_delta = sp.Symbol("delta", positive=True)


@announced("deriving the effective dynamics")
def effective(problem: Problem) -> Ode:
    """Equations of (Q, m, M, v) for online SGD on `problem`, for any K, C, block covariances, loss, teacher and trained parameters.

    The optimizer is any linear rule that has a limit (problem/small_steps.py): gradient descent, with a schedule if its step is an
    expression of t, here the time steps * c/d; momentum over a few steps, which is a longer step; decoupled weight decay; states that last
    a time of order 1, such as a slow velocity or a running mean of iterates, which are further columns of Q, m and M.

    Raises:
        InputError: `problem` is not a Problem that samples online; its optimizer has no limit.
    """
    if not isinstance(problem, Problem):
        raise InputError(f"problem = {problem!r}: a gmsym Problem is needed")
    steps = _steps_of(problem)
    schedule = steps.gain[0, 0] if steps.is_descent else sp.S.One
    loss, trained = problem.loss, problem.trained_parameters
    known = _known(problem)
    if known == "gram":
        increments, second = increment_equations(problem, schedule)
        flow, reduced, overlaps = flow_equations(increments), stein_equations(problem), Equations(())
        drift = drift_equations(flow, reduced)
    else:
        if not steps.is_descent or steps.weighs:
            raise InputError(
                f"optimizer {problem.optimizer.name!r}: for mixtures in coordinates derive.effective treats gradient descent and momentum "
                "over a few steps; this rule has a state that lasts, moves theta by itself or reads the gradient's norm"
            )
        increments, flow, reduced, drift, overlaps = _in_coordinates(problem, schedule, known == "full")
        second = Equations(())
    law = _law(problem)
    used = [y for y in symbols.labels(problem.data.label_size) if loss.expr.has(y)]
    shared = all(f.is_polynomial(*used) for f in (loss.value, *loss.gradient, *trained_gradient(problem))) if used else True
    groups, of_cluster = _groups(problem, law, shared and not steps.weighs, scaled=steps.weighs)
    tested, tested_of_cluster = _groups(problem, law, shared and not _depends_on_label(problem))
    means = tuple(_tested(problem, law, group) for group in tested)
    response, local = _local_means(problem, law, groups)
    return Ode(
        name=f"{loss.name}_online",
        problem=problem,
        fields=loss.fields,
        teachers=loss.teachers,
        labels=tuple(used),
        trained=trained,
        parameters=(*problem.local_parameters, *_more_parameters(problem, groups)),
        clusters=problem.data.clusters,
        blocks=problem.data.blocks,
        flow=flow,
        reduced=reduced,
        drift=drift,
        increments=increments,
        second=second,
        law=law,
        response=response,
        means=_mean_equations(local, of_cluster),
        of_cluster=of_cluster,
        tested=means,
        tests=("test_loss", *([] if means[0].error is None else ["test_error"]), *(f"test_{name}" for name in problem.observable_names)),
        tested_of_cluster=tested_of_cluster,
        gradient=loss.gradient,
        trained_gradient=trained_gradient(problem),
        schedule=schedule,
        clock=symbols.t,
        known=known,
        overlaps=overlaps,
        lasting=() if steps.is_descent else steps.lasting,
        rule=Equations(() if steps.is_descent else rule_equations(problem)),
    )


def _known(problem: Problem) -> S.Known:
    """How the means and Theta(0) are held."""
    place = problem.data.embedded
    if place is None:
        return "gram"
    if problem.teacher is not None:
        raise InputError(
            "derive.effective of a mixture in coordinates does not treat teacher fields; give its means by their Gram matrices"
        )
    return "diagonal" if place.covariance is None else "full"


def _in_coordinates(problem: Problem, schedule: sp.Expr, full: bool) -> tuple[Equations, ...]:
    """Increments, flow, its reduction, drift and overlaps of a problem in coordinates; trained parameters are as elsewhere."""
    own = embedded_online.increments(rate(t) if schedule != 1 else sp.S.One)
    flow, reduced = embedded_online.flow(own), embedded_online.reduced(full)
    drift, overlaps = embedded_online.drift(flow, reduced, full), embedded_online.overlaps(full)
    if problem.trained is not None:
        of_trained = trained_increment(schedule)
        moved = flow_equations(Equations((of_trained,)))
        own, flow = Equations((*own, of_trained)), Equations((*flow, *moved))
        drift = Equations((*drift, *drift_equations(moved, reduced)))
    return own, flow, reduced, drift, overlaps


@announced("deriving the fluctuations")
def fluctuations(system: Ode | Problem) -> Sde:
    """Fluctuations of online SGD around its effective dynamics, of order 1/sqrt(d), with the full volatility.

    Around a fixed point with a flat direction, such as zero overlap of a network with a mixture of XOR type, the same equation is the
    critical diffusion of sqrt(d) times the overlap.

    Raises:
        InputError: as `effective`.
    """
    ode = effective(system) if isinstance(system, Problem) else system
    if not isinstance(ode, Ode):
        raise InputError(f"system = {system!r}: effective dynamics (derive.effective) or a Problem are needed")
    ode.problem.check_blocks("derive.fluctuations")
    if ode.lasting or ode.problem.small_steps.weighs:
        raise InputError(
            f"optimizer {ode.problem.optimizer.name!r}: fluctuations are those of gradient descent and of momentum over "
            "a few steps; this rule has a state that lasts, moves theta by itself or reads the gradient's norm"
        )
    block, _ = _block(ode.problem)
    return Sde(ode, fluctuation_equations(block))


def _steps_of(problem: Problem) -> SmallSteps:
    """What its rule does over many steps.

    Raises:
        InputError: it has no limit, or takes full batches.
    """
    problem.check_online("derive.effective")
    steps = problem.small_steps
    rows = [problem.data.variance.row(cluster) for cluster in range(problem.data.clusters)]
    if steps.coordinate is not None and any(x != row[0] for row in rows for x in row):
        raise InputError(
            f"optimizer {problem.optimizer.name!r}: it reads coordinates of a sample's gradient, whose sizes differ between the blocks of "
            "a cluster here; derive.effective needs one variance of each cluster, simulate takes any"
        )
    return steps


def rule_equations(problem: Problem) -> tuple[Equation, ...]:
    """J, W and Pi of x' = x - delta (J a Y + W x), x one coordinate of theta and of the states that last, Pi x that of theta: each entry is
    one times the identity of the fields. The gradient of the ridge is beta theta."""
    steps = problem.small_steps
    of_theta = sp.ImmutableDenseMatrix([[int(i == 0) for i, _ in enumerate(steps.lasting)]])
    decay = sp.ImmutableDenseMatrix(steps.gain * beta * of_theta - steps.drift)
    names = ", ".join(x.name for x in steps.lasting)
    return (
        Equation(S.J(t), steps.gain, f"what the sample's gradient moves: {names}", "own", "own"),
        Equation(S.W(t), decay, "what moves them besides", "own", "own"),
        Equation(S.Pi(t), of_theta, "theta among them", "own", "own"),
    )


def increment_equations(problem: Problem, schedule: sp.Expr) -> tuple[Equations, Equations]:
    """What one sample adds to each statistic to first order in delta, divided by it, and to second order, divided by its square.

    With several blocks X and Y are the rows of one.
    """
    step = _delta * (rate(t) if schedule != 1 else sp.S.One)
    if problem.small_steps.is_descent:
        new = _X - step * (_Y * Transposed(_a) + beta * _X)
    else:
        new = _X - step * (_Y * Transposed(_a) * Transposed(S.J(t)) + _X * Transposed(S.W(t)))
    of, share = _block(problem)
    norm2 = share * sigma2(k, *of) * c / _delta + S.nu(*of, t)  # |Y|^2 = rho_b sigma_kb^2 d + nu
    products = {
        Transposed(_X) * _X: Q(*of, t),
        Transposed(_X) * _Y: h(*of, t),
        Transposed(_Y) * _X: Transposed(h(*of, t)),
        Transposed(_Y) * _Y: norm2,
        Transposed(_X) * _mu: m(*of, l, t),
        Transposed(_Y) * _mu: u(*of, l),
        Transposed(_X) * _direction: M(*of, s, t),
        Transposed(_Y) * _direction: tau(*of, s),
        _a: a(t),
    }

    def change(form: sp.Expr, old: sp.Expr) -> sp.Expr:
        expanded = sp.expand(form)
        for product, value in products.items():
            expanded = sp.expand(expanded.subs(product, value))
        return sp.expand(expanded - old)

    change_of_Q = change(Transposed(new) * new, Q(*of, t))
    found = [
        Equation(S.phi_Q(*of, t), change_of_Q.coeff(_delta, 1), "increment of Q", SOURCE, "theorem"),
        Equation(
            S.phi_m(*of, l, t),
            change(Transposed(new) * _mu, m(*of, l, t)).coeff(_delta, 1),
            "increment of the overlap with the mean of cluster l",
            SOURCE,
            "theorem",
        ),
    ]
    if problem.teacher is not None:
        rhs = change(Transposed(new) * _direction, M(*of, s, t)).coeff(_delta, 1)
        found.append(Equation(S.phi_M(*of, s, t), rhs, "increment of the overlap with teacher direction s", SOURCE, "theorem"))
    if problem.trained is not None:
        found.append(trained_increment(schedule))
    second = Equation(S.chi_Q(*of, t), change_of_Q.coeff(_delta, 2), "increment of Q to second order", "own", "own")
    return Equations(found), Equations((second,))


def trained_increment(schedule: sp.Expr) -> Equation:
    """What one sample adds to the trained parameters, whose step is c_v/d, divided by delta."""
    rhs = sp.expand(-(rate(t) if schedule != 1 else sp.S.One) * S.c_v / c * (b(t) + S.beta_v * v(t)))
    return Equation(S.phi_v(t), rhs, "increment of the trained parameters", SOURCE, "theorem")


def _block(problem: Problem) -> tuple[tuple[sp.Symbol, ...], sp.Expr]:
    """(index b of a block, its share rho_b of everything fixed), or ((), 1) of the only one."""
    return ((S.block,), S.rho(S.block)) if problem.data.blocks > 1 else ((), sp.S.One)


def flow_equations(increments: Equations) -> Equations:
    """d/dt of each statistic: the mean of its increment over a fresh sample."""
    statistic = {S.phi_Q: Q, S.phi_m: m, S.phi_M: M, S.phi_v: v}
    return Equations(
        Equation(
            sp.Derivative(statistic[type(e.lhs)](*e.lhs.args), t),
            _mean_over_mixture(e.rhs),
            e.meaning.replace("increment", "drift"),
            e.source,
            e.status,
        )
        for e in increments
    )


def _mean_over_mixture(expr: sp.Expr) -> sp.Expr:
    total = sp.S.Zero
    for term in sp.Add.make_args(expr):
        random = [x for x in term.args if x.has(h, a, b, u, tau)] if term.is_Mul else [term] if term.has(b) else []
        if not random:
            total += term
            continue
        factors = term.args if term.is_Mul else ()
        first = next((i for i, x in enumerate(factors) if x in random and not x.is_commutative), 0)
        ordered = [(i, x) for i, x in enumerate(factors) if x not in random and not x.is_commutative]
        before, after = (sp.Mul(*(x for i, x in ordered if (i < first) == left)) for left in (True, False))  # matrices keep their places
        rest = sp.Mul(*(x for x in factors if x not in random and x.is_commutative))
        number, other = rest.as_independent(p, sigma2, as_Add=False)
        total += number * sp.Sum(p(k) * other * before * Mean(sp.Mul(*random), k) * after, (k, 1, K))
    return total


def stein_equations(problem: Problem) -> Equations:
    """Means of a times a field w.Y, w fixed: E_k[a w.Y] = E_k[a] w.mu_k + sigma_k^2 (E_k[da/dh] x^T w + sum_s E_k[da/dtau_s] theta_s.w).

    With several blocks w, and so Y, x, mu_k and theta_s, have the rows of one block only.
    """
    teacher = problem.teacher is not None
    of, share = _block(problem)
    variance = sigma2(k, *of)
    seen = sp.S.One if problem.small_steps.is_descent else S.Pi(t)  # the fields are those of theta

    def rule(mean: sp.Expr, with_x: sp.Expr, with_teacher: sp.Expr) -> sp.Expr:
        response = variance * A(k, t) * seen * with_x
        return mean + response + (sp.Sum(variance * B(k, r, t) * with_teacher, (r, 1, T)) if teacher else 0)

    source = "Stein's lemma; theory.md 6"
    found = [
        Equation(
            Mean(a(t) * Transposed(h(*of, t)), k),
            rule(abar(k, t) * Transposed(m(*of, k, t)), Q(*of, t), Transposed(M(*of, r, t))),
            "gradient times field",
            source,
            "theorem",
        ),
        Equation(
            Mean(a(t) * u(*of, l), k),
            rule(share * abar(k, t) * gram(k, l, *of), m(*of, l, t), share * tau_mean(r, l, *of)),
            "gradient times mean's field",
            source,
            "theorem",
        ),
    ]
    if teacher:
        rhs = rule(share * abar(k, t) * tau_mean(s, k, *of), M(*of, s, t), share * tau_gram(r, s, *of))
        found.append(Equation(Mean(a(t) * tau(*of, s), k), rhs, "gradient times teacher's field", source, "theorem"))
    return Equations(found)


def drift_equations(flow: Equations, reduced: Equations) -> Equations:
    """The flow with Stein's lemma put in: what is left are means over (h, tau)."""
    rule = {e.lhs: e.rhs for e in reduced}
    rule |= {Mean(Transposed(x.lhs.args[0]), k): Transposed(x.rhs) for x in reduced if x.lhs.has(h)}
    rule |= {Mean(a(t) * Transposed(a(t)), k): S.S(k, t), Mean(b(t), k): bbar(k, t)}
    return Equations(Equation(e.lhs, e.rhs.xreplace(rule), e.meaning, e.source, e.status) for e in flow)


# --- means over (h, tau) ----------------------------------------------------------------------------------------------


def _law(problem: Problem) -> S.Law:
    size = problem.fields + len(problem.loss.teachers)
    mean = tuple(sp.Symbol(f"m_{i}", real=True) for i in range(size))
    cov = sp.Matrix(size, size, lambda i, j: sp.Symbol(f"V_{min(i, j)}_{max(i, j)}", **({"positive": True} if i == j else {"real": True})))
    return S.Law(mean, sp.ImmutableDenseMatrix(cov))


_scale = sp.Symbol("|Y|", positive=True)  # of a cluster's noise, over sqrt(d), for rules that read the gradient's norm


def _groups(problem: Problem, law: S.Law, shared: bool, scaled: bool = False) -> tuple[list[dict[sp.Symbol, sp.Expr]], tuple[int, ...]]:
    """(substitutions, one a group; group of each cluster).

    Clusters of one label share their means, and clusters of all labels if `shared`: the label then stays a symbol. A cluster whose mean
    is zero has fields of mean zero, which closes more. Where the rule reads the norm of the gradient, `scaled`, a group has the size of
    its noise.
    """
    labels = symbols.labels(problem.data.label_size)
    centred = dict.fromkeys(law.mean, sp.S.Zero)
    found = []
    for cluster, label in enumerate(problem.data.labels):
        at_label = {} if shared else dict(zip(labels, label, strict=True))
        if scaled:
            shares = zip(problem.data.fractions, problem.data.variance.row(cluster), strict=True)
            at_label |= {_scale: sp.sqrt(sum(share * variance for share, variance in shares))}
        found.append(at_label | (centred if all(x == 0 for x in overlaps_of_mean(problem, cluster)) else {}))
    distinct = [group for index, group in enumerate(found) if group not in found[:index]]
    return distinct, tuple(map(distinct.index, found))


def _more_parameters(problem: Problem, groups: Sequence[dict[sp.Symbol, sp.Expr]]) -> list[sp.Symbol]:
    """Of the sizes of noise that the means hold."""
    found = {x for group in groups for x in sp.sympify(group.get(_scale, 0)).free_symbols} - set(problem.local_parameters)
    return sorted(found, key=lambda x: x.name)


def _depends_on_label(problem: Problem) -> bool:
    """Whether it depends on the label which predictions are wrong, or an observable does."""
    labels = symbols.labels(problem.data.label_size)
    if any(expr.has(*labels) for _, expr in problem.observables):
        return True
    return problem.decision == "argmax" or problem.target is not None and problem.target.has(*labels)


def _local_means(problem: Problem, law: S.Law, groups: Sequence[dict[sp.Symbol, sp.Expr]]) -> tuple[S.Response, tuple[S.Local, ...]]:
    regressed = problem.loss.cusps or any(_is_large(g) for g in _seen(problem)[0])
    derivatives = [] if regressed else [_reduced(problem, law, group, "derivative") for group in groups]
    if regressed or any(x.has(sp.DiracDelta) for local in derivatives for x in local.response):
        return "regression", tuple(_reduced(problem, law, group, "regression") for group in groups)
    return "derivative", tuple(derivatives)


def _mean_equations(local: Sequence[S.Local], of_cluster: Sequence[int]) -> Equations:
    """The means of each group; where there are several, at its first cluster."""
    found = []
    for index, group in enumerate(local):
        cluster = sp.Integer(1 + of_cluster.index(index)) if len(local) > 1 else k
        size = len(group.gradient)
        pairs = [
            (abar(cluster, t), sp.ImmutableDenseMatrix(group.gradient), "mean gradient"),
            (A(cluster, t), group.response[:, :size], "mean Hessian"),
            (S.S(cluster, t), group.square, "second moment of the gradient"),
        ]
        pairs += [(B(cluster, i + 1, t), group.response[:, size + i], "response to a teacher") for i in range(group.response.cols - size)]
        if group.trained:
            pairs.append((bbar(cluster, t), sp.ImmutableDenseMatrix(group.trained), "mean gradient of the trained parameters"))
        for lhs, rhs, meaning in pairs:
            shown = rhs[0] if isinstance(rhs, sp.MatrixBase) and rhs.shape == (1, 1) else rhs
            found.append(Equation(lhs, shown, f"{meaning}, over N(m, V)", "own; theory.md 9", "own"))
    return Equations(found)


def _reduced(problem: Problem, law: S.Law, label: dict[sp.Symbol, sp.Expr], response: S.Response) -> S.Local:
    """The means of one group; `label` holds its label and, where they vanish, the fields' means."""
    loss = problem.loss
    location = [x.xreplace(label) for x in law.mean]
    xs = (*loss.fields, *loss.teachers)
    count = range(problem.fields)
    seen, squares = _seen(problem)
    gradient = [sp.powsimp(g.xreplace(label)) for g in seen]

    @cache
    def mean(f: sp.Expr) -> sp.Expr:
        return joint_mean(f, xs, location, law.covariance)

    if response == "derivative":
        rows = [[mean(sp.diff(_by_side(g), x)) for x in xs] for g in gradient]
    else:
        rows = [[mean(g * (x - centre)) for x, centre in zip(xs, location, strict=True)] for g in gradient]
    square = sp.Matrix(problem.fields, problem.fields, lambda i, j: 0)
    for i in count:
        for j in range(i, problem.fields):
            product = gradient[i] * gradient[j] if squares is None else sp.powsimp(squares[i, j].xreplace(label))
            square[i, j] = square[j, i] = mean(product)
    return S.Local(
        gradient=tuple(map(mean, gradient)),
        response=sp.ImmutableDenseMatrix(rows),
        square=sp.ImmutableDenseMatrix(square),
        trained=tuple(mean(g.xreplace(label)) for g in trained_gradient(problem)),
    )


def _seen(problem: Problem) -> tuple[tuple[sp.Expr, ...], sp.MatrixBase | None]:
    """(the gradient of a sample in its fields as the drift has it; its products as the corrector has them, None where they are those).

    Where the rule reads each coordinate through phi, the first is gamma(a) = a E phi'(x) = a E[x phi(x)]/s^2, and the second
    E[phi(x) phi(x')]/sigma^2, with x = sigma a z of the standard deviation s = sigma |a|.
    """
    steps, gradient = problem.small_steps, problem.loss.gradient
    if steps.coordinate is None:
        return steps.seen(gradient, _scale), None
    x, z, s = sp.Dummy("x", real=True), sp.Dummy("z", real=True), sp.Dummy("s", positive=True)
    # It is odd where its parameters are positive, or it would have been refused.
    sizes_of = {y: sp.Dummy(y.name, positive=True) for y in steps.coordinate.free_symbols - {symbols.g}}
    names = {y: x for x, y in sizes_of.items()}
    phi = heaviside_form(steps.coordinate.xreplace(sizes_of))
    along = expectation(sp.expand(heaviside_form(x * phi.xreplace({symbols.g: x}))), [x], [sp.S.Zero], sp.Matrix([[s**2]])) / s
    # Where a gradient is 0, as beyond a margin, phi(0) = 0: the size has any value but 0 there.
    moves = [sp.sign(a) ** 2 if a.has(sp.Heaviside) else sp.S.One for a in gradient]
    sizes = [_scale * (sp.Abs(a) + 1 - there) for a, there in zip(gradient, moves, strict=True)]
    along = sp.simplify(along).xreplace(names)
    moved = tuple(sp.sign(a) * along.xreplace({s: size}) / _scale for a, size in zip(gradient, sizes, strict=True))
    count = len(gradient)
    products = sp.zeros(count, count)
    for i in range(count):
        for j in range(i, count):
            r = sp.Dummy("r", positive=True) if i != j else s
            pair = sp.expand(heaviside_form(phi.xreplace({symbols.g: s * z}) * phi.xreplace({symbols.g: r * z})))
            found = sp.simplify(expectation(pair, [z], [sp.S.Zero], sp.eye(1))).xreplace(names)
            sign = sp.sign(gradient[i]) * sp.sign(gradient[j]) if i != j else moves[i]
            products[i, j] = products[j, i] = sign * found.xreplace({s: sizes[i], r: sizes[j]}) / _scale**2
    return moved, products


def _by_side(expr: sp.Expr) -> sp.Expr:
    """`expr` with every step H standing alone, f(H) = H f(1) + (1 - H) f(0): no chain rule holds where a field's sign jumps, as in
    H(1 - sign(t) h), and no power of a step has its derivative."""
    if expr.is_Add:
        return sp.Add(*map(_by_side, expr.args))
    for step in sorted(expr.atoms(sp.Heaviside), key=sp.default_sort_key):
        if not step.args[0].has(sp.Heaviside) and _degree(expr, step) > 1:
            return _by_side(step * expr.xreplace({step: sp.S.One})) + _by_side((1 - step) * expr.xreplace({step: sp.S.Zero}))
    return expr


def _is_large(gradient: sp.Expr) -> bool:
    if budget.expanded_size(gradient) > budget.RESPONSE:
        return True
    sides = _by_side(gradient)
    return budget.expanded_size(sides) > budget.RESPONSE or budget.larger(sides, budget.RESPONSE_NODES)


def _degree(expr: sp.Expr, x: sp.Expr) -> int:
    """Of `expr` as a polynomial in x, as it is written; 2 where it is none."""
    if expr == x or not expr.has(x):
        return int(expr == x)
    if expr.is_Add or expr.is_Mul:
        degrees = [_degree(a, x) for a in expr.args]
        return max(degrees) if expr.is_Add else sum(degrees)
    return 2


def _tested(problem: Problem, law: S.Law, label: dict[sp.Symbol, sp.Expr]) -> S.Tested:
    location = [x.xreplace(label) for x in law.mean]
    xs = (*problem.loss.fields, *problem.loss.teachers)

    def mean(f: sp.Expr) -> sp.Expr:
        return joint_mean(f, xs, location, law.covariance)

    error = None
    if problem.decision == "sign":
        error = mean(sp.Heaviside(-problem.target.xreplace(label) * problem.loss.readout))
    elif problem.decision == "argmax":
        fields = problem.loss.fields
        best = next(i for i, y in enumerate(symbols.labels(problem.data.label_size)) if label[y] == 1)
        error = 1 - mean(sp.Mul(*(sp.Heaviside(fields[best] - f) for f in fields if f != fields[best])))
    # An observable reads the covariance of its fields as Q, the law has it as V.
    count = range(problem.fields)
    upper = [law.covariance[c, e] for c in count for e in count if c <= e]
    named = dict(zip(order_parameters(problem.fields)[problem.fields :], upper, strict=True))
    own = tuple(mean(heaviside_form(expr.xreplace(label | named))) for _, expr in problem.observables)
    return S.Tested(mean(problem.loss.value.xreplace(label)), error, own)
