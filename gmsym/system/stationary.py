"""The end of training of a convex problem: a fixed point of means over samples through a proximal operator. Source: theory.md 11.

A kind of its own beside `FixedPoint`: that one has two scalars, and sums over eigenvalues of kernels; here every cluster and every block
has C x C matrices, and means run over samples whose fields are an implicit function of the matrices.
"""

from dataclasses import dataclass
from typing import final

import sympy as sp

from gmsym.calculus.kernels import kernel
from gmsym.problem.base import AbstractProblem
from gmsym.system.base import AbstractSystem
from gmsym.system.equations import Equations

# Letters without a time; those of CausalKernels carry over, with fewer arguments.
z = kernel("z", "z", subscripts=1, value="cn")  # field of a sample if it is left out of training
V = kernel("V", "V", subscripts=1, value="cd")  # -sum_s R_k(t,s): how far a sample's gradient moves its own field
Ah = kernel("Ah", r"\hat A", subscripts=1, value="cd")  # sum_r Ra_k(t,r)
W = kernel("W", "G", subscripts=1, value="cd")  # -sum_s W_b(t,s)
D = kernel("D", "D", subscripts=1, value="cdn")  # da/dz of one sample
unit = kernel("unit", "I", value="cd")
weight = kernel("weight", "w", subscripts=1, value="n")  # of a node
wrong = kernel("wrong", r"\chi", subscripts=1, value="n")  # 1 if a sample is misclassified
train_error = kernel("train_error", r"\varepsilon_{\mathrm{train}}")
dv = kernel("dv", r"\partial_{v}\ell", subscripts=1, value="pn")
gv = kernel("gv", r"\bar g^{v}", value="p")
v = kernel("v", "v", value="p")
# A penalty l1 |theta|: coordinates of a block are soft thresholds of Gaussian ones, all of them scaled by sqrt(d). The law of the means'
# coordinates has components i: Gaussians, of which atoms have no variance; one component, centred, for means of uniform orientation.
u = kernel("u", "u", subscripts=1)  # share of the coordinates in a component
nu = kernel("nu", r"\nu", subscripts=2)  # mean of a scaled coordinate of mu_k there: cluster, component
Gamma = kernel("Gamma", r"\Gamma", subscripts=3)  # covariance of those of two means: cluster, cluster, component
N = kernel("N", "N", subscripts=1)  # mean of what is thresholded
S2 = kernel("S2", r"S^{2}", subscripts=2)  # its variance: block, component
on = kernel("on", "P", subscripts=2)  # share of the coordinates that are not zero
e = kernel("e", "e", subscripts=2, value="c")  # mean of the soft threshold
q = kernel("q", "q", subscripts=2)  # mean square of a coordinate
components = sp.Symbol("A", integer=True, positive=True)
nonzero = kernel("nonzero", r"P")
# With teachers: noise of a field beside what the teachers' tell of it, and the inverse of their Gram matrix in the metric of cluster k.
rest = kernel("rest", r"\omega^{\perp}", subscripts=1, value="cn")
precision = kernel("precision", r"T^{-1}", subscripts=3)  # cluster, teacher, teacher
N_b = kernel("N", "N", subscripts=2)  # as N, which differs between blocks then: block, component
nu_star = kernel("nu_star", r"\nu^{*}", subscripts=2)  # mean of a scaled coordinate of a teacher: teacher, component
Gamma_mean = kernel("Gamma_mean", r"\Gamma^{*}", subscripts=3)  # covariance of it and of one of mu_k: teacher, cluster, component
Gamma_star = kernel("Gamma_star", r"\Gamma^{**}", subscripts=3)  # of two teachers: teacher, teacher, component
l1 = sp.Symbol("l1", positive=True)


@final
@dataclass(frozen=True, repr=False)
class Stationary(AbstractSystem):
    """Where training of a convex problem ends, after n, d -> infinity at fixed alpha = n/d.

    The fields are F combinations u of the C fields of the loss, h = U u with a constant U of orthonormal columns: directions in which the
    loss does not change (softmax: shifts of all fields) are left out, since there Theta is 0.
    """

    name: str
    problem: AbstractProblem  # what it was derived from
    fields: tuple[sp.Symbol, ...]  # u, (F,)
    teachers: tuple[sp.Symbol, ...]  # S fields of teacher directions, which a sample's functions read beside u
    own_noises: tuple[sp.Symbol, ...]  # of a sample, N(0, 1), likewise
    labels: tuple[sp.Symbol, ...]
    trained: tuple[sp.Symbol, ...]  # P parameters of the loss that are trained
    parameters: tuple[sp.Symbol, ...]  # of the loss, in the order of generated signatures
    clusters: int
    blocks: int
    columns: sp.ImmutableDenseMatrix  # U, (C, F)
    loss: sp.Expr
    gradient: tuple[sp.Expr, ...]  # (F,)
    hessian: sp.ImmutableDenseMatrix  # (F, F)
    trained_gradient: tuple[sp.Expr, ...]  # (P,)
    closed: tuple[sp.Expr, sp.Expr, sp.Expr] | None  # point, slope and curvature as functions of (z, V), where SymPy finds them
    place: tuple[sp.Symbol, sp.Symbol]  # z and V in there and in `edges`
    edges: tuple[sp.Expr, ...]  # values of z where those have kinks, or the decision changes; of one field
    bends: tuple[sp.Expr, ...]  # values of the teacher's field, or of the own noise, where something does, if there is one of these
    panels: bool  # whether those are known, so that one field, and what is beside it, are integrated between them
    rough: bool  # whether the loss has kinks or jumps at all
    wrong: sp.Expr | None  # 1 where a sample is misclassified; None without a decision
    decay: sp.Expr  # what the update rule adds to the ridge
    sparse: bool  # whether the penalty has an l1
    system: Equations
    moments: tuple[tuple[sp.Symbol, ...], tuple[tuple[sp.Symbol, ...], ...]]  # mean (C + S,) and covariance of the fields in the next two
    test_loss: tuple[sp.Expr, ...]  # (K,) mean loss of a fresh sample of each cluster
    test_error: tuple[sp.Expr, ...] | None
    limit: str = "n, d -> oo at fixed alpha = n/d, then steps -> oo"

    def equations(self) -> Equations:
        """Proximal operator, means over samples, responses, order parameters."""
        return self.system

    def __repr__(self) -> str:
        sizes = f"fields={len(self.fields)}, clusters={self.clusters}, blocks={self.blocks}"
        return f"Stationary({self.name!r}, {sizes}{', sparse' if self.sparse else ''})"
