"""A finite-size surrogate program: training in law, without its data matrix. Source: theory.md 1, Panahi 2026 (arXiv 2603.09310)."""

from dataclasses import dataclass
from typing import final

import sympy as sp

from gmsym.calculus.kernels import kernel
from gmsym.problem.base import AbstractProblem
from gmsym.system.base import AbstractSystem
from gmsym.system.causal_kernels import Observed
from gmsym.system.equations import Equations

samples = sp.Symbol("n", positive=True)  # number of samples
dimension = sp.Symbol("d", positive=True)

# Directions that the program opens: orthonormal, and the fresh Gaussians that stand for their products with the noise.
q = kernel("q", "q", subscripts=2, value="x")  # of Sigma_k^{1/2} Theta: cluster, direction
u = kernel("u", r"\mathsf{p}", subscripts=2, value="n")  # of the gradients a_k: cluster, direction
z = kernel("z", r"\mathsf{h}", subscripts=2, value="x")  # fresh Gaussian of Z_k^T u_kj: cluster, direction
M = kernel("M", "M", subscripts=2, value="c")  # Cholesky factor of the gradients: a_k(t) = sum_j M_kj(t) u_kj
Zq = kernel("Zq", r"(Zq)", subscripts=2, value="n")  # product of the noise with a direction
Zu = kernel("Zu", r"(Z^{\top}\mathsf{p})", subscripts=2, value="x")
ZTheta = kernel("ZTheta", r"(Z\Sigma^{1/2}\Theta)", subscripts=1, value="cn")  # product of the noise with the parameters
Za = kernel("Za", r"(Z^{\top}a)", subscripts=1, value="cx")
asum = kernel("asum", r"\bar a", subscripts=1, value="c")  # mean of the gradients over the samples of a cluster, at finite n

# Besides the responses <q_kj, z_ks>, s < j, and <u_kj, g_kr>, r <= j, of order sqrt(n): the fluctuation parameters.
phi = kernel("phi", r"\varphi", subscripts=3)  # fluctuation <u_ks, g_kj>, s < j: exactly N(0, 1)
psi = kernel("psi", r"\psi", subscripts=3)  # fluctuation <q_kr, z_kj>, r <= j: exactly N(0, 1)


# Arrays of one time, over the coordinates x and the padded samples n of each cluster.
g_new = kernel("g_new", "g", subscripts=1, value="n")
z_new = kernel("z_new", r"\mathsf{h}", subscripts=1, value="x")
Zq_new = kernel("Zq_new", r"(Zq)", subscripts=1, value="n")
Zu_new = kernel("Zu_new", r"(Z^{\top}\mathsf{p})", subscripts=1, value="x")
chi = kernel("chi", r"\chi", subscripts=2)
upsilon = kernel("upsilon", r"\upsilon", subscripts=2)
phi_new = kernel("phi_new", r"\varphi", subscripts=2)
psi_new = kernel("psi_new", r"\psi", subscripts=2)
means = kernel("means", r"\mu", subscripts=1, value="x")
deviation = kernel("deviation", r"\sigma", subscripts=1, value="x")
theta = kernel("theta", r"\Theta", value="cx")
gradient = kernel("gradient", "G", value="cx")


class Inner(sp.Function):
    """Inner product of two vectors over the samples of a cluster or over the coordinates; a vector of fields if one is."""

    is_commutative = False

    def _latex(self, printer, exp=None):
        body = rf"\langle {printer._print(self.args[0])}, {printer._print(self.args[1])}\rangle"
        return body if exp is None else f"{body}^{{{exp}}}"


@final
@dataclass(frozen=True, repr=False)
class Recursion(AbstractSystem):
    """Surrogate of training that is equal to it in law at every n and d: products with the noise become fresh Gaussians.

    Three families of parameters: Cholesky factors L and M of the Gram matrices, responses, and the fluctuation parameters
    phi and psi, which are absent from the limit n, d -> infinity.
    """

    name: str
    problem: AbstractProblem  # what it was derived from
    fields: tuple[sp.Symbol, ...]
    teachers: tuple[sp.Symbol, ...]  # S fields of teacher directions, likewise
    trained: tuple[sp.Symbol, ...]  # P parameters of the loss that are trained
    labels: tuple[sp.Symbol, ...]
    clusters: int
    blocks: int
    parameters: tuple[sp.Symbol, ...]
    loss: sp.Expr
    gradient: tuple[sp.Expr, ...]
    state: tuple[sp.Symbol, ...]
    update: tuple[sp.Expr, ...]  # new (theta, state) of a coordinate from theta, state, gradient `g`, `noise` and the step counter
    clock: sp.Symbol
    program: Equations  # the surrogate, in the order of computation
    step: Equations  # its array algebra at one time
    sums: Equations  # over samples and coordinates: scalars that the vectors share, order parameters, train loss
    moments: tuple[tuple[sp.Symbol, ...], tuple[tuple[sp.Symbol, ...], ...]]
    test_loss: tuple[sp.Expr, ...]
    test_error: tuple[sp.Expr, ...] | None
    gradient_seen: tuple[sp.Expr, ...] | None = None  # (C,) the same of a sample in mini-batches, in its `visit` and the clock
    visit: sp.Expr | None = None  # rule of `visit` in its value before, a `uniform` number and the clock
    trained_gradient: tuple[sp.Expr, ...] = ()  # (P,) of a sample's loss in the trained parameters, as training sees it
    trained_update: tuple[sp.Expr, ...] = ()  # of one of these, in `theta`, its state, `g`, `noise` and the step counter, as `update`
    own_noises: tuple[sp.Symbol, ...] = ()  # of a sample, N(0, 1)
    observables: Observed = ()
    noisy: bool = False  # whether the update reads `noise` N(0, 1/d), fresh at each step and independent of all else
    together: bool = False  # whether the uniform numbers of all samples are strata in random order
    limit: str = "none: exact in law at every n and d"

    def __repr__(self) -> str:
        sizes = f"fields={len(self.fields)}, clusters={self.clusters}, blocks={self.blocks}"
        return f"Recursion({self.name!r}, {sizes})"

    def equations(self) -> Equations:
        """The surrogate program, and its sums over samples and coordinates."""
        return Equations((*self.program, *self.sums))
