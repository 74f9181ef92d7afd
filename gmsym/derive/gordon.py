"""Gordon's comparison for the bilinear form of training, verified for small T. Source: theory.md 1; Gordon 1985; Panahi 2026.

The noise enters training through the bilinear form tr(A^T Z Theta) alone, with A = (a_0 .. a_{T-1}), the gradients, and
Theta = (Theta_0 .. Theta_{T-1}). Gordon compares it with a process that is linear in A and in Theta; Cholesky factors M of A^T A and L
of Theta^T Theta stand where one pair of vectors has its norms. The rule (1.1)-(1.2) makes the comparison pathwise exact.
"""

from collections.abc import Callable, Iterable

import sympy as sp

from gmsym.derive.comparison import noise_times_direction, transpose_times_direction
from gmsym.errors import InputError
from gmsym.system import Equation, Equations
from gmsym.system.causal_kernels import g, j
from gmsym.system.recursion import Inner, phi, psi, q, u, z

SOURCE = "theory.md 1; Gordon 1985; Panahi 2026 (arXiv 2603.09310)"
_LARGEST = 4


def gordon(steps: int = 2) -> Equations:
    """The two processes, their covariances at two points (the second primed) and what is between them, verified for T = `steps`.

    The difference vanishes when the two points are one, because M M^T = A^T A and L L^T = Theta^T Theta there.

    Args:
        steps: T, from 1 to 4; every entry is expanded.

    Raises:
        InputError: `steps` out of range.
        ArithmeticError: an identity fails.
    """
    if isinstance(steps, bool) or not isinstance(steps, int) or not 1 <= steps <= _LARGEST:
        raise InputError(f"steps = {steps!r}: an integer from 1 to {_LARGEST} is needed; the identities are verified entry by entry")
    for name, residual in (("covariance identity", covariance_residual(steps)), ("comparison rule", max(map(abs, rule_residuals(steps))))):
        if residual != 0:
            raise ArithmeticError(f"the {name} fails for T = {steps}: {residual} is left")
    n, d, T = sp.symbols("n d T", integer=True, positive=True)
    shapes = {"A": (n, T), "Theta": (d, T), "M": (T, T), "L": (T, T)}
    here = {name: sp.MatrixSymbol(r"\Theta" if name == "Theta" else name, *shape) for name, shape in shapes.items()}
    there = {name: sp.MatrixSymbol(rf"{symbol.name}'", *symbol.shape) for name, symbol in here.items()}
    Z, G, H, Gamma = (sp.MatrixSymbol(*args) for args in (("Z", n, d), ("G", n, T), ("H", d, T), (r"\Gamma", T, T)))
    of_X, of_Y = covariances(here, there)

    def covariance(name: str) -> sp.Symbol:
        return sp.Symbol(rf"\operatorname{{Cov}}({name}, {name}')")

    return Equations(
        (
            Equation(
                sp.Symbol("X"), bilinear(Z=Z, Gamma=Gamma, **here), "bilinear form of training and an independent term", SOURCE, "own"
            ),
            Equation(sp.Symbol("Y"), comparison(G=G, H=H, **here), "Gordon's comparison process", SOURCE, "own"),
            Equation(covariance("X"), of_X, "covariance of the bilinear form at two points", SOURCE, "theorem"),
            Equation(covariance("Y"), of_Y, "covariance of the comparison process at two points", SOURCE, "theorem"),
            Equation(
                covariance("X") - covariance("Y"), difference(here, there), "what is between them: zero at one point", SOURCE, "theorem"
            ),
        )
    )


def bilinear(*, A, Theta, M, L, Z, Gamma) -> sp.Expr:
    """X = tr(A^T Z Theta) + tr(M Gamma L^T)."""
    return sp.Trace(A.T * Z * Theta) + sp.Trace(M * Gamma * L.T)


def comparison(*, A, Theta, M, L, G, H) -> sp.Expr:
    """Y = tr(A^T G L^T) + tr(Theta^T H M^T)."""
    return sp.Trace(A.T * G * L.T) + sp.Trace(Theta.T * H * M.T)


def covariances(here: dict, there: dict) -> tuple[sp.Expr, sp.Expr]:
    """Cov(X, X') and Cov(Y, Y')."""
    gradients, parameters = here["A"].T * there["A"], there["Theta"].T * here["Theta"]
    of_gradients, of_parameters = here["M"] * there["M"].T, there["L"] * here["L"].T
    of_X = sp.Trace(gradients * parameters) + sp.Trace(of_gradients * of_parameters)
    return of_X, sp.Trace(gradients * of_parameters) + sp.Trace(of_gradients * parameters)


def difference(here: dict, there: dict) -> sp.Expr:
    """Cov(X, X') - Cov(Y, Y') = tr[(M M'^T - A^T A') (L' L^T - Theta'^T Theta)]."""
    left = here["M"] * there["M"].T - here["A"].T * there["A"]
    return sp.Trace(left * (there["L"] * here["L"].T - there["Theta"].T * here["Theta"]))


def covariance_residual(steps: int) -> sp.Expr:
    """What is left of the three covariance equations for matrices of symbols with n = T, d = T + 1: zero if they hold."""

    def matrix(name: str, rows: int, columns: int, lower: bool = False) -> sp.ImmutableDenseMatrix:
        return sp.ImmutableDenseMatrix(rows, columns, lambda i, t: 0 if lower and t > i else sp.Symbol(f"{name}{i}_{t}"))

    shapes = {"A": (steps, steps), "Theta": (steps + 1, steps), "M": (steps, steps, True), "L": (steps, steps, True)}
    here, there = ({name: matrix(name + mark, *shape) for name, shape in shapes.items()} for mark in ("", "'"))
    Z, Gamma = matrix("Z", steps, steps + 1), matrix("Gamma", steps, steps)
    G, H = matrix("G", steps, steps), matrix("H", steps + 1, steps)
    of_X, of_Y = (sp.expand(value.doit()) for value in covariances(here, there))
    found_X = _covariance(lambda point: bilinear(Z=Z, Gamma=Gamma, **point).doit(), here, there, (*Z, *Gamma))
    found_Y = _covariance(lambda point: comparison(G=G, H=H, **point).doit(), here, there, (*G, *H))
    gaps = found_X - of_X, found_Y - of_Y, of_X - of_Y - difference(here, there).doit()
    return sp.Add(*(sp.Symbol(f"gap{i}") * sp.expand(gap) for i, gap in enumerate(gaps)))


def _covariance(process: Callable[[dict], sp.Expr], here: dict, there: dict, gaussians: Iterable[sp.Symbol]) -> sp.Expr:
    """Covariance of a process that is linear in independent standard Gaussians."""
    first, second = process(here), process(there)
    return sp.expand(sum(sp.diff(first, x) * sp.diff(second, x) for x in gaussians))


def rule_residuals(steps: int) -> list[sp.Expr]:
    """Covariances of the products of (1.1)-(1.2) minus those of a Gaussian matrix, for rational orthonormal frames with n = d = T + 1.

    Cov(Z q_j, Z q_l) = delta_jl I, Cov(Z^T u_j, Z^T u_l) = delta_jl I, Cov(Z q_j, Z^T u_l) = u_l q_j^T; all zeros if the rule is exact.
    """
    size = steps + 1
    qs, us = (_frame(size, shift)[:, :steps] for shift in (1, 3))
    gs, zs = (sp.Matrix(size, steps, lambda i, t, name=name: sp.Symbol(f"{name}{i}_{t}")) for name in "gz")
    vectors = {q: qs, u: us, z: zs, g: gs}

    def column(node: sp.Expr) -> sp.Matrix:
        return vectors[type(node)][:, int(node.args[-1])]

    def evaluated(rule: sp.Expr, index: int) -> sp.Matrix:
        """The rule for direction `index`, all components."""
        expr = rule.xreplace({j: sp.Integer(index)}).doit()
        expr = expr.replace(Inner, lambda a, b: column(a).dot(column(b)))
        expr = expr.replace(phi, lambda _, new, old: us[:, int(old)].dot(gs[:, int(new)]))
        expr = expr.replace(psi, lambda _, old, new: qs[:, int(old)].dot(zs[:, int(new)]))
        nodes = [node for letter in vectors for node in expr.atoms(letter)]
        return sp.Matrix([expr.xreplace({node: column(node)[i] for node in nodes}) for i in range(size)])

    products = [(evaluated(noise_times_direction(), t), evaluated(transpose_times_direction(), t)) for t in range(steps)]
    gaussians = [*gs, *zs]
    derivatives = [tuple(vector.jacobian(gaussians) for vector in pair) for pair in products]
    left: list[sp.Expr] = []
    for t, (forward, back) in enumerate(derivatives):
        for l, (other_forward, other_back) in enumerate(derivatives):  # noqa: E741
            same = sp.eye(size) if t == l else sp.zeros(size)
            left += [*(forward * other_forward.T - same), *(back * other_back.T - same), *(forward * other_back.T - us[:, l] * qs[:, t].T)]
    return [sp.expand(x) for x in left]


def _frame(size: int, shift: int) -> sp.Matrix:
    """A rational orthogonal matrix in general position: Cayley's transform of a skew matrix."""
    skew = sp.Matrix(size, size, lambda i, t: sp.Rational((i - t) * (i + t + shift), 7))
    return (sp.eye(size) - skew) * (sp.eye(size) + skew).inv()
