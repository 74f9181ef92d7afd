"""The finite-size surrogate of training, by the comparison rule for its products with the noise. Source: theory.md 1, Panahi 2026.

The rule is that of derive.comparison; the DMF equations are its limit, this is the rule itself put into the program.
"""

import sympy as sp

from gmsym import symbols
from gmsym.calculus.kernels import inside, kernel
from gmsym.derive.comparison import noise_times_direction, transpose_times_direction
from gmsym.derive.program import local_field, risk_gradient
from gmsym.derive.samples import displayed, fresh_sample, gradient_seen, of_sample, seen_by_steps, visit_equations
from gmsym.errors import InputError
from gmsym.problem import Problem
from gmsym.system import Equation, Equations, Recursion
from gmsym.system import indexed as X
from gmsym.system import recursion as S
from gmsym.system.causal_kernels import G, L, Theta, a, abar, b, g, h, i, j, k, mu, r, s, sigma2, t
from gmsym.system.recursion import Inner, M, Za, Zq, ZTheta, Zu, asum, phi, psi, q, u, z

SOURCE = "theory.md 1; Panahi 2026 (arXiv 2603.09310), by conditioning on the past"


def surrogate(problem: Problem) -> Recursion:
    """Surrogate program of `problem`: any K, C, block covariances, loss and coordinatewise optimizer, linear or not.

    Raises:
        InputError: `problem` is not a Problem.
    """
    if not isinstance(problem, Problem):
        raise InputError(f"problem = {problem!r}: a gmsym Problem is needed")
    problem.check_full_batch("derive.surrogate (full-batch training)", batches=True)
    loss, optimizer = problem.loss, problem.optimizer
    moments, test_loss, test_error = fresh_sample(problem)
    program = program_equations(problem)
    right = {e.lhs: e.rhs for e in program}
    return Recursion(
        name=f"{loss.name}_{optimizer.name}_surrogate",
        problem=problem,
        fields=loss.fields,
        teachers=loss.teachers,
        trained=problem.trained_parameters,
        labels=symbols.labels(problem.data.label_size),
        clusters=problem.data.clusters,
        blocks=problem.data.blocks,
        parameters=problem.local_parameters,
        loss=loss.value,
        gradient=of_sample(right[a(k, t)], problem) if problem.batches is None else tuple(loss.gradient),
        **seen_by_steps(right, problem),
        together=problem.batches is not None and problem.batches.together,
        state=optimizer.state,
        update=tuple(right[_next(x)].xreplace({y: x for x, y in _shown(problem).items()}) for x in (symbols.theta, *optimizer.state)),
        clock=symbols.t,
        program=program,
        step=step_equations(program),
        sums=sums(),
        moments=moments,
        test_loss=test_loss,
        test_error=test_error,
    )


def _next(variable: sp.Symbol) -> sp.Expr:
    """Theta, or a state variable of the optimizer, after the step."""
    return Theta(b, t + 1) if variable == symbols.theta else kernel(variable.name, sp.latex(variable), subscripts=1, value="cx")(b, t + 1)


def _shown(problem: Problem) -> dict[sp.Symbol, sp.Symbol]:
    """Variables of the optimizer as the equations show them: one coordinate of block b at time t."""
    names = {symbols.theta: r"\Theta", symbols.g: "G"} | {v: sp.latex(v) for v in problem.optimizer.state}
    return {v: sp.Symbol(f"{name}_{{b}}(t)", real=True) for v, name in names.items()}


def program_equations(problem: Problem) -> Equations:
    """Fields, gradients and updates in the surrogate's fresh Gaussians, in the order of computation."""
    optimizer = problem.optimizer
    risk = risk_gradient(lambda cluster, time: Za(cluster, time)).replace(abar, lambda *args: asum(*args))
    shown = _shown(problem)
    rules = [
        Equation(_next(variable), rule.xreplace(shown), f"optimizer {optimizer.name}", "theory.md 0", "own")
        for variable, rule in zip((symbols.theta, *optimizer.state), optimizer.composed, strict=True)
    ]
    return Equations(
        (
            Equation(Zq(k, j), noise_times_direction(), "product of the noise with the direction q_kj", f"{SOURCE} (1.1)", "theorem"),
            Equation(ZTheta(k, t), sp.Sum(L(k, j, t) * Zq(k, j), (j, 0, t)), "product of the noise with the parameters", SOURCE, "theorem"),
            Equation(h(k, t), local_field(ZTheta(k, t)), "local field of a sample of cluster k", "theory.md 0", "own"),
            *visit_equations(problem),
            Equation(
                a(k, t), gradient_seen(problem).xreplace(displayed(problem)), "gradient of the loss in the fields", "theory.md 0", "own"
            ),
            Equation(
                Zu(k, j),
                transpose_times_direction(),
                "product of the noise with the direction of the gradients",
                f"{SOURCE} (1.2)",
                "theorem",
            ),
            Equation(Za(k, t), sp.Sum(M(k, j, t) * Zu(k, j), (j, 0, t)), "product of the noise with the gradients", SOURCE, "theorem"),
            Equation(G(b, t), risk, "gradient of the risk, one coordinate of block b", "theory.md 0", "own"),
            *rules,
        )
    )


def step_equations(program: Equations) -> Equations:
    """The program's array algebra when one direction of each side is added: past directions are summed over i."""
    right = {e.lhs: e.rhs for e in program}

    def arrays(expr: sp.Expr, past: sp.Symbol, replaced: dict) -> sp.Expr:
        """Sums over the past direction `past` as sums over the stored directions i; those yet to come are zero there."""
        total = sp.S.Zero
        for term in sp.Add.make_args(expr):
            term = inside(term)
            if isinstance(term, sp.Sum):
                term = sp.Sum(term.function.xreplace(replaced).xreplace({past: i}), (i, 0, term.limits[0][2]))
            total += term.xreplace(replaced)
        return total

    on_samples = {Inner(q(k, j), z(k, s)): S.chi(k, i), phi(k, j, s): S.phi_new(k, i), g(j): S.g_new(k)}
    on_coordinates = {Inner(u(k, j), g(r)): S.upsilon(k, i), psi(k, r, j): S.psi_new(k, i), z(k, j): S.z_new(k)}
    flat = {mu(k, b): S.means(k), sp.sqrt(sigma2(k, b)): S.deviation(k), Theta(b, t): S.theta()}
    field = right[h(k, t)].xreplace({ZTheta(k, t): right[ZTheta(k, t)]})
    own = "own; theory.md 1"
    return Equations(
        (
            Equation(S.Zq_new(k), arrays(right[Zq(k, j)], s, on_samples), "product of the noise with a new direction", own, "own"),
            Equation(h(k, t), field, "local fields of the samples", own, "own"),
            Equation(
                S.Zu_new(k), arrays(right[Zu(k, j)], r, on_coordinates), "product of the noise with a new gradient direction", own, "own"
            ),
            Equation(Za(k, t), right[Za(k, t)], "product of the noise with the gradients", own, "own"),
            Equation(S.gradient(), right[G(b, t)].xreplace(flat), "gradient of the risk", own, "own"),
        )
    )


def sums() -> Equations:
    """The program's sums over samples and coordinates, each with its weight: scalars that the vectors share, and order parameters."""
    w, v = X.of_sample, X.of_coordinate
    other = X.theta.xreplace({X.c: X.d})
    rows = (
        (X.scaled, X.deviation * X.column, "column of the parameters, scaled by the deviations"),
        (X.chi, X.over(v * X.z * X.q_new, X.x), "responses to the gradients"),
        (X.phi_new, X.over(w * X.u * X.g_new, X.n), "fluctuation parameters of a direction of the parameters"),
        (X.upsilon, X.over(w * X.g * X.u_new, X.n), "responses to the parameters"),
        (X.psi_new, X.over(v * X.q * X.z_new, X.x), "fluctuation parameters of a direction of the gradients"),
        (X.m, X.over(v * X.means * X.theta, X.x), "overlaps with the means"),
        (X.Q, X.over(v * X.theta * other, X.x), "Gram matrix of the parameters"),
        (X.Q_k, X.over(v * X.deviation**2 * X.theta * other, X.x), "the same in a cluster's covariance"),
        (X.asum, X.over(w * X.a, X.n) / X.counts, "mean gradient of a cluster"),
        (X.train_loss, X.over(w * X.loss, X.k, X.n) / X.total, "train loss"),
    )
    return Equations(Equation(lhs, rhs, meaning, "own; theory.md 1", "own") for lhs, rhs, meaning in rows)
