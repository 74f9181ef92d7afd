"""The bulk's fixed point as a function of one real number: one column, clusters of one variance profile. Source: theory.md (7.3), own.

With sigma2_kb = c_k r_b, S'_k = c_k s and a = c_k A a sample's share is c_k X = u/s, so that S_b depends on the samples through E u alone.
The imaginary part of S' has the sign of that of z, so z is outside the bulk exactly where dz/ds > 0. For A = 1: Silverstein and Choi 1995.
"""

import sympy as sp

from gmsym.system import Equation
from gmsym.system import spectral as S
from gmsym.system.causal_kernels import B, Mean, alpha, b, k, p, rho, sigma2
from gmsym.system.spectral import Letters

_OWN = {"source": "theory.md (7.3); Silverstein and Choi 1995 for A = 1", "status": "own"}


def functional_inverse(form: sp.Expr, share: sp.Expr, fixed_point: sp.Expr, sym: Letters) -> list[Equation]:
    """u, v_b, their sum, z(s), S_b(s), and R with dz/ds > 0 where R < 1.

    Args:
        form, share, fixed_point: S'_k, X_k and S_b of one column and several blocks, in the letters `sym`.
    """
    one = {sigma2(k, b): S.scale(k) * S.ratio(b), sym.Sk(k): S.scale(k) * S.s, sym.A: S.a / S.scale(k)}
    u = sp.cancel(S.s * S.scale(k) * share.xreplace(one))
    mean_share = S.total / (alpha * S.s)  # sum_k p_k c_k E X_k, of which u is the summand times s

    def over_samples(sum_: sp.Sum) -> sp.Expr:
        X = sp.Dummy("X")
        summand = sum_.function.xreplace(one).replace(Mean, lambda *_: X)
        return sp.cancel(summand / (p(k) * S.scale(k) * X)) * mean_share

    of_z = Equation(S.inverse(S.s), -S.tau * mean_share, "functional inverse of S'/c on the real axis; names tau", **_OWN)
    fixed = fixed_point.replace(lambda e: isinstance(e, sp.Sum), over_samples).xreplace({S.z: of_z.rhs})
    of_S = Equation(S.transform(b), sp.factor(fixed), "Stieltjes transform there", **_OWN)
    # S'_k = c_k s, times e/s: a sum over blocks of rho_b v_b that makes e.
    (over_blocks,) = form.atoms(sp.Sum)
    weight = over_blocks.function.xreplace({**one, sym.S: of_S.rhs}) / (rho(b) * S.scale(k))
    v = sp.cancel(form.xreplace({over_blocks: weight}) * S.total / S.s)
    equations = [
        Equation(S.share_of_s, u, "a sample's share times s, where all c_k A = a and S'_k = c_k s; sigma2_kb = c_k r_b", **_OWN),
        Equation(S.profile(b), v, "a block's share", **_OWN),
        Equation(S.total, alpha * S.first, "their common sum, which is sum_b rho_b v_b, too: tau", **_OWN),
        of_z,
        of_S,
    ]
    displayed = {equation.lhs: equation.rhs for equation in equations}
    meaning = "below 1 exactly outside the bulk, where dz/ds > 0"
    return [*equations, Equation(S.turning(S.s), _turning(displayed), meaning, **_OWN)]


def _turning(shown: dict[sp.Expr, sp.Expr]) -> sp.Expr:
    """R of dz/ds = (1 - R) (dz/ds where E u^2 = 0), the latter e^2/(alpha s^2 sum_b rho_b r_b/(tau + r_b)^2), which is positive."""
    squares = sp.Dummy("V")  # sum_b rho_b v_b^2
    own, block = S.share_of_s, sp.Dummy("v")
    samples = _mean(_slope(shown[own], S.s, S.a, own), own, {0: 1, 1: S.total / alpha, 2: S.second})
    blocks = _mean(_slope(shown[S.profile(b)], S.tau, S.ratio(b), block), block, {0: 1, 1: S.total, 2: squares})
    change = alpha * samples  # of e with s
    z = shown[S.inverse(S.s)]
    slope = sp.diff(z, S.s) + sp.diff(z, S.total) * change + sp.diff(z, S.tau) * change / blocks
    R = sp.factor(1 - slope / slope.xreplace({S.second: sp.S.Zero}))
    return R.xreplace({squares: sp.Sum(rho(b) * S.profile(b) ** 2, (b, 1, B))})


def _slope(f: sp.Expr, x: sp.Symbol, eliminated: sp.Expr, letter: sp.Symbol) -> sp.Expr:
    """df/dx as a polynomial in f itself, called `letter`."""
    if not f.has(x):
        return sp.S.Zero
    unknown = sp.Dummy("unknown")
    at = f.xreplace({eliminated: unknown})
    (value,) = sp.solve(sp.Eq(at, letter), unknown)
    return sp.expand(sp.cancel(sp.diff(at, x).xreplace({unknown: value})))


def _mean(polynomial: sp.Expr, x: sp.Symbol, moments: dict[int, sp.Expr]) -> sp.Expr:
    """Its mean, from those of the powers of x."""
    return sum(coefficient * moments[power] for (power,), coefficient in sp.Poly(polynomial, x).terms())
