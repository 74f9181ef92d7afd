"""Leave-one-out: the resolvent of a matrix that is a sum over samples, and its limit. Source: theory.md 7.

M = sum_l U_l A_l U_l^T with U_l = I_m kron Y_l/sqrt(n), and G = (M - z)^{-1}. With the sample l left out the resolvent G_- is
independent of it, so that U^T G_- U concentrates; Woodbury's identity puts the sample back. The identity M G = 1 + z G, read on a
coordinate, is the fixed point of the bulk, and read on the span of the vectors that A depends on, the equation of the outliers.
The number 1 stands for identities; letters do not commute.
"""

import sympy as sp

from gmsym.calculus.differential import differential, factored_out
from gmsym.calculus.kernels import Transposed
from gmsym.system.causal_kernels import B, K, Mean, alpha, b, k, p, rho, sigma2
from gmsym.system.recursion import dimension as d
from gmsym.system.recursion import samples as n
from gmsym.system.spectral import Form, Kron, Letters, outer, w, z

G, G_, U, E = (sp.Symbol(name, commutative=False) for name in ("G", "G_{-}", "U", "E"))
_LINEAR = (Mean, Kron)


def woodbury(inverse: sp.Expr, factor: sp.Expr, update: sp.Expr) -> sp.Expr:
    """(M + U A U^T)^{-1} from M^{-1}; A need not have an inverse."""
    across = Transposed(factor)
    inner = (1 + across * inverse * factor * update) ** -1
    return inverse - inverse * factor * update * inner * across * inverse


def pushed_through(left: sp.Expr, right: sp.Expr) -> sp.Expr:
    """(1 + L R)^{-1} by an inverse of 1 + R L, which may be smaller."""
    return 1 - left * (1 + right * left) ** -1 * right


def sample_share(update: sp.Expr, form: sp.Expr) -> sp.Expr:
    """X with A U^T G = X U^T G_-: what a sample adds to M, as the rest of the data sees it; `form` is what U^T G_- U concentrates at."""
    seen = sp.expand(update * Transposed(U) * woodbury(G_, U, update))
    share, rest = factored_out(seen.subs(Transposed(U) * G_ * U, form), G_)
    share, more = factored_out(share, Transposed(U))
    assert rest == more == 0
    inner = sp.Dummy("inner", commutative=False)  # 1 + form A
    return sp.expand(share.subs(1 + form * update, inner).subs(form * update, inner - 1)).xreplace({inner: 1 + form * update})


def extended_share(h: sp.Symbol, columns: sp.Symbol, rows: sp.Symbol, sym: Letters) -> sp.Expr:
    """The share of a sample whose matrix H has rows and columns of trained parameters, too.

    Those see no noise: only the part of U^T G_- U in the columns of Theta, the ones of E, is of order one.
    """
    form = E * sym.Sk(k) * Transposed(E)
    share = sample_share(h, form)
    share = sp.expand(share.subs((1 + form * h) ** -1, pushed_through(E, sym.Sk(k) * Transposed(E) * h)))
    return share.subs(Transposed(E) * h * E, sym.A).subs(h * E, columns).subs(Transposed(E) * h, rows)


def concentrated_form(S: sp.Expr) -> sp.Expr:
    """U^T G_- U: over the d rho_b coordinates of a block, each of variance sigma2_kb, G_- has the mean S_b."""
    return (d / n).subs(n, alpha * d) * sp.Sum(rho(b) * sigma2(k, b) * S, (b, 1, B))


def product_with_matrix(seen: sp.Expr) -> sp.Expr:
    """M G = sum_l U_l X_l U_l^T G_- without its last factor, a mean over the samples of each cluster; `seen` is n U X U^T there."""
    return sp.Sum(p(k) * Mean(seen, k), (k, 1, K))


def fixed_point(X: sp.Expr, S: sp.Expr) -> sp.Expr:
    """S_b from M G - z G = 1 on the coordinates of block b, whose noise has the variance sigma2_kb and is independent of X."""
    mean = sp.Sum(p(k) * sigma2(k, b) * Mean(X, k), (k, 1, K))
    left, rest = factored_out(mean * S - z * S, S)
    assert rest == 0
    return left**-1


def compressed(X: sp.Expr) -> sp.Expr:
    """Q: the product with M in the span of the vectors that the fields depend on."""
    return product_with_matrix(Kron(X, outer))


def secular(Q: sp.Expr) -> sp.Expr:
    """D = z - Q, which vanishes on an outlier's eigenvector: on the span M G - z G = 1 reads (Q - z) G = 1."""
    left, _ = factored_out(Q * G - z * G, G)
    return sp.expand(-left)


def overlap(Q: sp.Expr, Q_slope: sp.Expr) -> sp.Expr:
    """Squared projection of an outlier's eigenvector on the span: minus the residue of w^T G w = -1/(w^T D w), where w^T w = 1."""
    slope = differential(secular(Q), {z: sp.S.One, Q: Q_slope})
    across = sp.expand(Transposed(w) * slope * w)
    return 1 / across.subs(Transposed(w) * w, 1).subs(Transposed(w) * Q_slope * w, Form(Q_slope, w))


def share_slope(share: sp.Expr, X: sp.Expr, sym: Letters) -> sp.Expr:
    """dX/dz, X in its own letter where it stands in the differential."""
    change = differential(share, {sym.Sk(k): sym.Sk_slope(k)})
    return change.subs(sample_share(sym.A, sym.Sk(k)), X)


def transform_slope(fixed: sp.Expr, X: sp.Expr, X_slope: sp.Expr, S: sp.Expr) -> sp.Expr:
    """dS/dz of S = W^{-1}, W a function of z, itself and through X."""
    change = differential(fixed, {z: sp.S.One, X: X_slope}, _LINEAR)
    return sp.expand(change.subs(fixed, S))


def compressed_slope(Q: sp.Expr, X: sp.Expr, X_slope: sp.Expr) -> sp.Expr:
    """dQ/dz."""
    return differential(Q, {X: X_slope}, _LINEAR)


def with_identity(expr: sp.Expr, identity: sp.Expr) -> sp.Expr:
    """The number 1 in sums of matrices written as the identity."""
    if identity == 1:
        return expr
    return expr.replace(
        lambda e: e.is_Add and not e.is_commutative, lambda e: sp.Add(*(t * identity if t.is_commutative else t for t in e.args))
    )
