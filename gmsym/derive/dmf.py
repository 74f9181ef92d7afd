"""Dynamical mean-field equations of full-batch training with a linear optimizer, derived from the training program.

The program's products with the noise are replaced by the comparison rule, which concentrates (derive.comparison). The
rest is substitution: the linear optimizer is solved for its coefficients in (Theta_0, means, gradient noise), and the
order parameters are bilinear in those. Source: theory.md 2; Celentano, Cheng, Montanari 2021; Mignacco et al. 2020.
"""

import sympy as sp

from gmsym import symbols
from gmsym.calculus.kernels import Kernel, Transposed, coefficient, distribute, fold, kernel
from gmsym.derive.comparison import limit_of_field, limit_of_noise
from gmsym.derive.innovations import innovation_form, step_form
from gmsym.derive.program import local_field, n, risk_gradient
from gmsym.derive.samples import displayed, fresh_sample
from gmsym.errors import InputError
from gmsym.problem import Problem
from gmsym.system import CausalKernels, Equation, Equations
from gmsym.system import causal_kernels as S
from gmsym.system.causal_kernels import (
    A,
    B,
    K,
    Mean,
    P,
    Partial,
    Q,
    Qk,
    R,
    Ra,
    Theta,
    U,
    W,
    a,
    abar,
    alpha,
    b,
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
    t,
    xi,
)
from gmsym.system.recursion import M, z

SOURCE = "theory.md 2; Celentano, Cheng, Montanari 2021; Gerbelot et al. 2022"
_delta = sp.KroneckerDelta
_offset = kernel("offset", r"a^{0}", subscripts=1, value="c")(k)  # gradient of a quadratic loss at zero field


def dmf(problem: Problem) -> CausalKernels:
    """DMF equations of `problem` in the limit n, d -> infinity at fixed alpha = n/d, for any K, C and block covariances.

    Mean responses are computed by Stein's lemma where the loss's gradient jumps or its Hessian is infinite (a tangent would
    miss the delta function), without any sampling where the loss is quadratic, and by tangents otherwise.

    Raises:
        InputError: `problem` is not a Problem, or its optimizer is not linear in (theta, state, g).
    """
    if not isinstance(problem, Problem):
        raise InputError(f"problem = {problem!r}: a gmsym Problem is needed")
    problem.check_full_batch("derive.dmf (full-batch training)")
    optimizer, loss = problem.optimizer, problem.loss
    if not optimizer.is_linear:
        raise InputError(
            f"optimizer {optimizer.name!r} is not linear in theta, its state and g, so its coordinates would have to be sampled too; "
            "DMF is available for linear optimizers (simulate works for any)"
        )
    field, response, gradient = field_equations()
    innovations = innovation_form(field, response, gradient)
    moments, test_loss, test_error = fresh_sample(problem)
    return CausalKernels(
        name=f"{loss.name}_{optimizer.name}",
        problem=problem,
        fields=loss.fields,
        labels=symbols.labels(problem.data.label_size),
        clusters=problem.data.clusters,
        blocks=problem.data.blocks,
        parameters=problem.local_parameters,
        loss=loss.value,
        gradient=loss.gradient,
        hessian=loss.hessian,
        state=optimizer.state,
        update=optimizer.jacobian,
        clock=symbols.t,
        response="exact" if loss.is_quadratic else "stein" if loss.kinks or loss.cusps else "tangent",
        kernel_form=Equations(
            (field, *local_equations(problem), response, gradient, *noise_equations(), *optimizer_equations(problem, gradient), *overlaps())
        ),
        innovation_form=Equations(innovations),
        step=Equations(step_form(innovations)),
        moments=moments,
        test_loss=test_loss,
        test_error=test_error,
    )


def field_equations() -> tuple[Equation, Equation, Equation]:
    """h_k(t), its response kernel R_k(t,s) and the gradient G_b(t), from the program and the comparison rule."""
    _, memory, response = limit_of_field()
    rename = {r: s}
    field = local_field(omega(k, t) + memory.xreplace(rename))
    fresh, feedback = limit_of_noise()
    gradient = distribute(risk_gradient(lambda cluster, time: fresh + feedback))
    noise = sp.Add(*(x for x in sp.Add.make_args(gradient) if x.has(z)))
    return (
        Equation(S.h(k, t), field, "local field of a sample of cluster k", f"{SOURCE} (2.1)", "theorem"),
        Equation(R(k, t, s), response.xreplace(rename), "response of the field to past gradients", f"{SOURCE} (2.4)", "theorem", "s < t"),
        Equation(S.G(b, t), gradient - noise + xi(b, t), "gradient of the risk, one coordinate of block b", f"{SOURCE} (2.3)", "theorem"),
    )


def noise_equations() -> tuple[Equation, Equation]:
    """Covariances of the fields' and of the gradient's Gaussian parts, from their expansions in fresh Gaussians."""
    fresh, _ = limit_of_noise()
    # xi_b(t) = sum_k (sigma_kb / n) sum_j M_kj(t) z_kj with iid z, and sum_j M_kj(t) M_kj(s)^T = n p_k E_k[a(t) a(s)^T].
    at = sp.sqrt(sigma2(k, b)) / n * coefficient(fresh, z(k, S.j))
    square = at * Transposed(at.xreplace({t: s}))
    covariance = sp.Sum(square, (S.j, 0, t), (k, 1, K))
    gram = sp.Sum(M(k, S.j, t) * Transposed(M(k, S.j, s)), (S.j, 0, t))
    covariance = distribute(n * fold(covariance, gram, n * p(k) * S.C(k, t, s)))
    return (
        Equation(
            Mean(omega(k, t) * Transposed(omega(k, s)), k), Qk(k, t, s), "covariance of the fields' noise", f"{SOURCE} (2.1)", "theorem"
        ),
        Equation(
            n * Mean(xi(b, t) * Transposed(xi(b, s)), b), covariance, "covariance of the gradient's noise", f"{SOURCE} (2.3)", "theorem"
        ),
    )


def local_equations(problem: Problem) -> tuple[Equation, ...]:
    """The loss's own part: gradient, Hessian, and the kernels that are means over the samples of a cluster."""
    shown = displayed(problem)
    loss = problem.loss
    column = loss.gradient[0] if problem.fields == 1 else sp.ImmutableDenseMatrix(loss.gradient)
    hessian = loss.hessian[0, 0] if problem.fields == 1 else loss.hessian
    # The field is h = m + omega + memory; the chain rule differentiates it in omega(s).
    inner = _delta(t, s) + sp.Sum(R(k, t, r) * Partial(a(k, r), omega(k, s)), (r, s, t - 1))
    local = (
        Equation(a(k, t), column.xreplace(shown), "gradient of the loss in the fields", "theory.md 0", "own"),
        Equation(A(k, t), hessian.xreplace(shown), "Hessian of the loss in the fields, away from kinks", "theory.md 0", "own"),
    )
    if loss.is_quadratic:
        at_zero = {f: 0 for f in loss.fields}
        offset = (column.xreplace(at_zero) if problem.fields == 1 else column.subs(at_zero)).xreplace(shown)
        return *local, Equation(_offset, offset, "gradient at zero field: a = a0 + A h", "theory.md 0", "own"), *closed_kernels()
    return (
        *local,
        Equation(
            Partial(a(k, t), omega(k, s)), A(k, t) * inner, "total derivative of the gradient", f"{SOURCE} (2.2)", "theorem", r"s \le t"
        ),
        Equation(abar(k, t), Mean(a(k, t), k), "mean gradient", f"{SOURCE} (2.2)", "theorem"),
        Equation(S.C(k, t, s), Mean(a(k, t) * Transposed(a(k, s)), k), "correlation of the gradients", f"{SOURCE} (2.2)", "theorem"),
        Equation(
            Ra(k, t, s), Mean(Partial(a(k, t), omega(k, s)), k), "response of the gradients", f"{SOURCE} (2.2)", "theorem", r"s \le t"
        ),
    )


def closed_kernels() -> tuple[Equation, ...]:
    """Kernels of an affine gradient a = a0 + A h (quadratic loss): the means are taken symbolically, nothing is sampled."""
    slope = A(k, t)  # the same at all times
    field = field_equations()[0].rhs

    def mean(expr: sp.Expr) -> sp.Expr:  # E omega = 0, E a = abar
        return expr.replace(omega, lambda *_: sp.S.Zero).replace(a, lambda *args: abar(*args))

    def derivative(expr: sp.Expr) -> sp.Expr:  # in omega_k(s); constant, so equal to its mean
        time = sp.Dummy("time", integer=True)
        summed = expr.xreplace({s: time})
        return sp.Add(*(_differentiated(x, time) for x in sp.Add.make_args(summed)))

    def _differentiated(term: sp.Expr, time: sp.Symbol) -> sp.Expr:
        if term.has(omega):
            return _delta(t, s)
        if isinstance(term, sp.Sum):
            return sp.Sum(term.function.replace(a, lambda cluster, past: Ra(cluster, past, s)), (time, s, t - 1)).xreplace({time: r})
        return sp.S.Zero

    r2 = sp.Symbol("r'", integer=True, nonnegative=True)
    fluctuation = sp.Sum(Ra(k, t, r) * Qk(k, r, r2) * Transposed(Ra(k, s, r2)), (r, 0, t), (r2, 0, s))
    source = "own; theory.md 2 for a quadratic loss"
    return (
        Equation(abar(k, t), _offset + slope * mean(field), "mean gradient", source, "own"),
        Equation(Ra(k, t, s), slope * derivative(field), "response of the gradients", source, "own", r"s \le t"),
        # The gradient is its mean plus sum_r Ra_k(t,r) omega_k(r).
        Equation(S.C(k, t, s), abar(k, t) * Transposed(abar(k, s)) + fluctuation, "correlation of the gradients", source, "own"),
    )


def optimizer_equations(problem: Problem, gradient: Equation) -> tuple[Equation, ...]:
    """The linear optimizer solved: Theta_b(t) = P_b(t) Theta_0 + sum_k U_kb(t) mu_k + sum_s W_b(t,s) xi_b(s).

    The optimizer's map of (Theta, state, G) acts on the coefficient of each basis vector alike.
    """
    update = problem.optimizer.jacobian
    variables = [None, *problem.optimizer.state]
    source = "own; theory.md 2"
    expansion = P(b, t) * Theta(b, 0) + sp.Sum(U(k, b, t) * mu(k, b), (k, 1, K)) + sp.Sum(W(b, t, s) * xi(b, s), (s, 0, t - 1))
    equations = [Equation(Theta(b, t), expansion, "one coordinate of block b in its basis", source, "own")]
    for family, vector, meaning in ((P, Theta(b, 0), "Theta(0)"), (U, mu(k, b), "the mean of cluster k"), (W, xi(b, s), "the noise xi(s)")):
        slope = _gradient_component(gradient.rhs, family, vector)
        for row, variable in enumerate(variables):
            terms = [update[row, column] * _component(family, other, t) for column, other in enumerate(variables)]
            lhs = _component(family, variable, t + 1)
            of = "Theta" if variable is None else f"the optimizer's {variable}"
            domain = r"s \le t" if family is W else ""
            start = sp.S.One if family is P and variable is None else sp.S.Zero  # Theta(0) is itself; all else starts at zero
            first = _component(family, variable, s if family is W else sp.S.Zero)
            equations.append(Equation(first, start, f"coefficient of {meaning} in {of} at the start", source, "own"))
            equations.append(
                Equation(lhs, sp.Add(*terms, update[row, -1] * slope), f"coefficient of {meaning} in {of}", source, "own", domain)
            )
    return tuple(equations)


def overlaps() -> tuple[Equation, ...]:
    """m_k(t), Q(t,s) and Q_k(t,s): bilinear in the coefficients, with the second moments of the basis vectors of a block."""
    gram = kernel("gram", r"(\mu^{\top}\mu)", subscripts=2)  # mu_k . mu_l
    past = sp.Symbol("r'", integer=True, nonnegative=True)
    other = sp.Symbol("l'", integer=True, positive=True)
    noise = noise_equations()[1].rhs.xreplace({t: r, s: past, k: l}) / alpha  # n = alpha d
    bracket = sp.Add(
        P(b, t) * Q(0, 0) * Transposed(P(b, s)),
        sp.Sum(P(b, t) * m(l, 0) * Transposed(U(l, b, s)) + U(l, b, t) * Transposed(m(l, 0)) * Transposed(P(b, s)), (l, 1, K)),
        sp.Sum(gram(l, other) * U(l, b, t) * Transposed(U(other, b, s)), (l, 1, K), (other, 1, K)),
        sp.Sum(distribute(W(b, t, r) * noise * Transposed(W(b, s, past))), (past, 0, s - 1), (r, 0, t - 1)),
        evaluate=False,
    )
    mean = P(b, t) * m(k, 0) + sp.Sum(gram(k, l) * U(l, b, t), (l, 1, K))
    source = "own; theory.md 2"
    return (
        Equation(m(k, t), sp.Sum(rho(b) * mean, (b, 1, B)), "overlap with the mean of cluster k", source, "own"),
        Equation(Q(t, s), sp.Sum(rho(b) * bracket, (b, 1, B)), "overlap of two iterates", source, "own"),
        Equation(Qk(k, t, s), sp.Sum(rho(b) * sigma2(k, b) * bracket, (b, 1, B)), "the same in the metric of cluster k", source, "own"),
    )


def _component(family: type[Kernel], variable: sp.Symbol | None, time: sp.Expr) -> sp.Expr:
    """Coefficient of a family of basis vectors in Theta, or in a state variable of the optimizer."""
    indices = {P: (b, time), U: (k, b, time), W: (b, time, s)}[family]
    if variable is not None:
        symbol = rf"{family.symbol}^{{({sp.latex(variable)})}}"
        family = kernel(f"{family.__name__}_{variable}", symbol, subscripts=family.subscripts, value=family.value)
    return family(*indices)


def _gradient_component(gradient: sp.Expr, family: type[Kernel], vector: sp.Expr) -> sp.Expr:
    """Coefficient of a basis vector in G_b(t): its own source, and what comes back through Theta."""
    terms = sp.Add.make_args(gradient)
    direct = sp.Add(*(x for x in terms if not x.has(Theta)))
    through = sp.Add(*(x for x in terms if x.has(Theta)))
    if family is W:
        own = coefficient(direct, xi(b, t)) * _delta(t, s)
    else:
        own = coefficient(direct, vector) if direct.has(type(vector)) else sp.S.Zero
    # The bound names s and k are also the basis vector's: rename them. W(r,s) is zero for r <= s.
    first = s + 1 if family is W else sp.S.Zero
    bound = {s: r, k: l}

    def renamed(total: sp.Sum) -> sp.Sum:
        limits = [(bound[x], first if x == s else low, high) for x, low, high in total.limits]
        return sp.Sum(total.function.xreplace(bound), *limits)

    through = through.replace(lambda x: isinstance(x, sp.Sum), renamed)
    return own + through.replace(Theta, lambda block, time: _component(family, None, time))
