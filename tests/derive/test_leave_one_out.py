"""The rules of leave-one-out, exactly on small rational matrices, and its limits on matrices of a few hundred rows."""

import numpy as np
import sympy as sp

from gmsym.derive import leave_one_out as rule
from gmsym.system.causal_kernels import k
from gmsym.system.spectral import extended, letters

sym = letters(2, 2)


def rational(rows: int, columns: int, seed: int) -> sp.Matrix:
    return sp.Matrix(rows, columns, lambda i, j: sp.Rational((i * i + 3 * j + seed * (i + 2) * (j + 1)) % 13 - 5, 4 + i + j))


def value(expr, **matrices):
    """The expression with matrices in place of letters; 1 is the identity, whose size its neighbours tell."""
    if expr.is_Add:
        parts = [value(x, **matrices) for x in expr.args]
        shape = next(x.shape for x in parts if x.shape != (1, 1) or len(parts) == 1)
        return sum((x if x.shape == shape else x[0] * sp.eye(shape[0]) for x in parts), sp.zeros(*shape))
    if expr.is_Mul:
        number, rest = expr.as_coeff_Mul()
        return (
            number * sp.prod([value(x, **matrices) for x in rest.args], start=sp.S.One)
            if number != 1
            else sp.prod([value(x, **matrices) for x in expr.args[1:]], start=value(expr.args[0], **matrices))
        )
    if expr.is_Pow:
        return value(expr.base, **matrices) ** int(expr.exp)
    if isinstance(expr, rule.Transposed):
        return value(expr.args[0], **matrices).T
    return sp.Matrix([[expr]]) if expr.is_number else matrices[type(expr).__name__ if expr.is_Function else expr.name]


def test_woodburys_identity_is_exact():
    """(M + U A U^T)^{-1} for A without an inverse, 3 x 3 and rank 1."""
    M, U = rational(3, 3, 2) + 5 * sp.eye(3), rational(3, 2, 1)
    A = sp.Matrix([[1, 2], [2, 4]])
    found = value(rule.woodbury(rule.G_, rule.U, sym.A), **{rule.G_.name: M.inv(), "U": U, "A": A})
    assert sp.simplify(found - (M + U * A * U.T).inv()) == sp.zeros(3)


def test_the_share_of_a_sample_is_exact():
    """A U^T G = X U^T G_- with X = `sample_share` of the form U^T G_- U itself: nothing is dropped before the form concentrates."""
    M, U = rational(4, 4, 3) + 6 * sp.eye(4), rational(4, 2, 2)
    A = rational(2, 2, 5) + rational(2, 2, 5).T
    without, with_it = M.inv(), (M + U * A * U.T).inv()
    X = value(rule.sample_share(sym.A, sym.Sk(k)), A=A, Scd=U.T * without * U)
    assert sp.simplify(A * U.T * with_it - X * U.T * without) == sp.zeros(2, 4)


def test_the_share_with_trained_parameters_is_exact():
    """H (1 + E S' E^T H)^{-1} by an inverse of the size of A alone."""
    H = rational(3, 3, 4) + rational(3, 3, 4).T
    E, S = sp.eye(3)[:, :2], rational(2, 2, 1) + rational(2, 2, 1).T
    letter = dict(zip((x.name for x in extended), (H, H[:, :2], H[:2, :]), strict=True))
    found = value(rule.extended_share(*extended, sym), A=H[:2, :2], Scd=S, **letter)
    assert sp.simplify(found - H * (sp.eye(3) + E * S * E.T * H).inv()) == sp.zeros(3)


def test_the_overlap_is_the_residue_of_the_resolvent():
    """G = (Q(z) - z)^{-1} of Q(z) = a/(b - z) has the residue -1/(1 - Q') at its pole, from SymPy's own residue."""
    z, a, b = sp.Symbol("z"), sp.Rational(1, 3), sp.Rational(7, 2)
    Q = a / (b - z)
    pole = sp.solve(sp.numer(sp.together(Q - z)), z)[0]
    formula = rule.overlap(sym.Q, sym.Q_slope)
    (form,) = formula.atoms(rule.Form)
    assert sp.simplify(formula.subs(form, Q.diff(z).subs(z, pole)) + sp.residue(1 / (Q - z), z, pole)) == 0


def test_the_form_of_a_sample_left_out_concentrates():
    """U^T G_- U of 100 fresh samples against (1/alpha) sum_b rho_b sigma2_b S_b, d = 400, two blocks, at z = -1."""
    rng = np.random.default_rng(0)
    d, n, variance = 400, 800, np.repeat([0.5, 2.0], 200)
    Y = rng.normal(size=(n, d)) * np.sqrt(variance)
    G = np.linalg.inv(Y.T @ Y / n + np.eye(d))
    fresh = rng.normal(size=(100, d)) * np.sqrt(variance)
    found = np.einsum("li,ij,lj->l", fresh, G, fresh) / n
    S = [np.diag(G)[block].mean() for block in (slice(0, 200), slice(200, 400))]
    given = {rule.alpha: n / d, **{rule.rho(b): 0.5 for b in (1, 2)}, **{rule.sigma2(k, b): v for b, v in ((1, 0.5), (2, 2.0))}}
    limit = rule.concentrated_form(sym.S).subs(rule.B, 2).doit()
    limit = limit.xreplace({type(sym.S)(b + 1): s for b, s in enumerate(S)} | given)
    assert abs(found.mean() - float(limit)) < 4 * found.std() / 10
    assert found.std() < 0.1 * found.mean()
