"""Spectrum of a Hessian or information matrix of fresh data: an operator-valued Stieltjes transform. Source: theory.md 7.

M = (1/n) sum_l A_l kron Y_l Y_l^T for samples Y_l that are independent of the parameters; A is m x m and depends on the fields.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple, final

import sympy as sp

from gmsym.calculus.kernels import kernel
from gmsym.problem.base import AbstractProblem
from gmsym.system.base import AbstractSystem
from gmsym.system.causal_kernels import alpha, b
from gmsym.system.equations import Equations

MatrixKind = Literal["hessian", "information"]

z = sp.Symbol("z")  # the spectral parameter
x = sp.Symbol("x", real=True)  # a point of the real axis
# Of the sample's coordinates in an orthonormal basis of the span of Theta, the means and the teacher, by blocks.
outer = sp.Symbol(r"\hat Y\hat Y^{\top}", commutative=False)
w = sp.Symbol("w", commutative=False)  # unit null vector of z I - Q(z)
unit = sp.Symbol("I", commutative=False)
D = sp.Symbol("D", commutative=False)  # z I - Q(z)
rank = sp.Symbol(r"\bar r", nonnegative=True)  # mean rank of A over the samples
closed_form = kernel("P", "P")  # polynomial in S and z that vanishes at the fixed point
norm2 = sp.Symbol("Q", positive=True)  # of one field: it is N(m_k, sigma_k^2 Q) in cluster k


def field_mean(cluster: int) -> sp.Symbol:
    """m_k of one field."""
    return sp.Symbol(f"m_{cluster}", real=True)


# With trained parameters: the extended matrix, its columns and its rows of Theta, a sample's share and that share's derivative in z.
extended = tuple(sp.Symbol(name, commutative=False) for name in ("H", "H_{:h}", "H_{h:}"))
X_extended = sp.Symbol(r"X_{\mathrm{ext}}", commutative=False)
X_extended_slope = sp.Symbol(r"X_{\mathrm{ext}\,z}", commutative=False)
variance = kernel("variance", r"\sigma^2", subscripts=1)  # of cluster k, when there is one block
q = kernel("q", "q", subscripts=1)  # probability that A takes its j-th value
density = kernel("density", r"\rho")
overlap = sp.Symbol(r"|P u|^2", nonnegative=True)  # of an outlier's eigenvector with R^m kron that span
atom = sp.Symbol(r"\rho(\{0\})", nonnegative=True)

# One column and clusters of one variance profile, sigma2_kb = c_k r_b: everything is a function of one number s on the real axis.
s = sp.Symbol("s", real=True)  # S'_k/c_k
a = sp.Symbol("a", real=True)  # c_k A of a sample
tau = sp.Symbol("tau", real=True)
scale = kernel("c", "c", subscripts=1)  # c_k
ratio = kernel("r", "r", subscripts=1)  # r_b
share_of_s = sp.Symbol("u", real=True)
profile = kernel("v", "v", subscripts=1)  # v_b
total = sp.Symbol(r"\varepsilon", real=True)
first, second = sp.symbols(r"\mathbb{E}u \mathbb{E}u^2", real=True)  # moments of u over all samples
inverse = kernel("z", "z")  # z(s)
transform = kernel("S_of_s", "S", subscripts=1)  # S_b(s)
turning = kernel("R", "R")


class Letters(NamedTuple):
    """Symbols of the m x m matrices; they commute when m = 1. S and S_z carry the index of a block when there are several."""

    S: sp.Expr  # Stieltjes transform, the partial trace of (M - z)^{-1} over a block's coordinates, divided by their number
    slope: sp.Expr  # its derivative in z
    Sk: type[sp.Function]  # sigma_k^2 S / alpha, or that summed over the blocks
    Sk_slope: type[sp.Function]
    X: type[sp.Function]
    X_slope: type[sp.Function]
    A: sp.Symbol
    identity: sp.Expr
    Q: sp.Symbol
    Q_slope: sp.Symbol


def letters(size: int, blocks: int = 1) -> Letters:
    """The letters for matrices of that size and that many blocks of coordinates."""
    commutes, value = size == 1, "" if size == 1 else "cd"
    one = blocks == 1
    return Letters(
        S=sp.Symbol("S", commutative=commutes) if one else kernel(f"Sb{value}", "S", subscripts=1, value=value)(b),
        slope=sp.Symbol("S_z", commutative=commutes) if one else kernel(f"Szb{value}", "S_z", subscripts=1, value=value)(b),
        Sk=kernel(f"S{value}", "S'", subscripts=1, value=value),
        Sk_slope=kernel(f"Sz{value}", "S'_z", subscripts=1, value=value),
        X=kernel(f"X{value}", "X", subscripts=1, value=value),
        X_slope=kernel(f"Xz{value}", "X_z", subscripts=1, value=value),
        A=sp.Symbol("A", commutative=commutes),
        identity=sp.S.One if commutes else unit,
        Q=sp.Symbol("Q", commutative=False),
        Q_slope=sp.Symbol("Q'", commutative=False),
    )


class Kron(sp.Function):
    """Kronecker product."""

    is_commutative = False

    def _latex(self, printer, exp=None):
        body = r"\otimes ".join(printer._print(a) for a in self.args)
        return body if exp is None else rf"\left({body}\right)^{{{exp}}}"


class Form(sp.Function):
    """w^T Q w of a vector w and a matrix Q: Form(Q, w)."""

    is_commutative = True

    def _latex(self, printer, exp=None):
        matrix, vector = map(printer._print, self.args)
        body = rf"{vector}^{{\top}} {matrix} {vector}"
        return body if exp is None else rf"\left({body}\right)^{{{exp}}}"


class Rank(sp.Function):
    """Rank of a matrix."""

    is_commutative = True

    def _latex(self, printer, exp=None):
        return rf"\operatorname{{rank}} {printer._print(self.args[0])}"


class Det(sp.Function):
    """Determinant."""

    def _latex(self, printer, exp=None):
        return rf"\det\left({printer._print(self.args[0])}\right)"


class Trace(sp.Function):
    """Trace."""

    def _latex(self, printer, exp=None):
        return rf"\operatorname{{tr}}{printer._print(self.args[0])}"


@final
@dataclass(frozen=True, repr=False)
class Spectral(AbstractSystem):
    """Bulk, outliers and overlaps of M as n, d -> infinity at fixed alpha = n/d. C fields, m = size of A, F fields that A depends on.

    The matrix is taken in the parameters Theta U, u = V^T (h, t) are the fields that A depends on, those of T teacher directions
    included, with constant matrices U, V of orthonormal columns: directions in which A vanishes (softmax: shifts of all fields) are
    left out of U, and those along which it is constant out of V.
    """

    name: str
    problem: AbstractProblem  # what it was derived from
    matrix: MatrixKind
    clusters: int
    blocks: int  # of coordinates, each with variances of its own
    block: int | None  # the column of Theta whose diagonal block it is; None for all columns
    fields: tuple[sp.Symbol, ...]  # u, (F,)
    labels: tuple[sp.Symbol, ...]
    parameters: tuple[sp.Symbol, ...]  # of the loss, in the order of generated signatures
    trained: tuple[sp.Symbol, ...]  # p of these parameters that are trained, too, and extend the matrix
    directions: sp.ImmutableDenseMatrix  # V, (C + T, F)
    columns: sp.ImmutableDenseMatrix  # U, (C, m)
    null: int  # directions of Theta that were left out: each adds d zero eigenvalues
    A: sp.ImmutableDenseMatrix  # (m, m)
    mixed: sp.ImmutableDenseMatrix  # its extension to the trained parameters, (m, p)
    corner: sp.ImmutableDenseMatrix  # (p, p)
    kinks: tuple[sp.Expr, ...]  # A jumps, or has a kink, where one of these vanishes
    kink_form: sp.ImmutableDenseMatrix | None  # w, (F, 1), if all of them are functions of w . u
    rank: int  # of A at almost every point
    # Rows and columns of the minors of A that do not vanish identically; none if they are too many to be worth it.
    minors: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]
    values: tuple[tuple[sp.Expr, sp.Expr, sp.Expr], ...] | None  # (A, variance, probability) where A is scalar and piecewise constant
    polynomial: sp.Expr | None  # then P(S, z) with P = 0; in alpha and the probabilities q_j
    system: Equations
    limit: str = "n, d -> oo at fixed alpha = n/d; data independent of the parameters"

    def __repr__(self) -> str:
        sizes = f"matrix={self.matrix!r}, size={len(self.columns.row(0))}, trained={len(self.trained)}"
        return f"Spectral({self.name!r}, {sizes})"

    @property
    def named(self) -> tuple[sp.Symbol, ...]:
        """Parameters of the problem in the closed form and in the probabilities of the values of A."""
        shown = [e.rhs for e in self.system if isinstance(e.lhs, (closed_form, q))]
        free = {s for rhs in shown for s in rhs.free_symbols} - {letters(1).S, z, alpha, norm2}
        return tuple(sorted(free - {field_mean(i) for i in range(self.clusters)}, key=lambda s: s.name))

    def equations(self) -> Equations:
        """Fixed point, density, outliers, overlaps and atom."""
        return self.system
