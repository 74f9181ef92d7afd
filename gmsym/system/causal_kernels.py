"""A causal system of two-time kernels (DMF): row t of every kernel follows from the rows before it. Source: theory.md 2."""

from dataclasses import dataclass
from typing import Literal, final

import sympy as sp

from gmsym.calculus.kernels import kernel
from gmsym.problem.base import AbstractProblem
from gmsym.system.base import AbstractSystem
from gmsym.system.blocks import b as b
from gmsym.system.blocks import rho as rho
from gmsym.system.equations import Equations

# Indices: times t, s, r; clusters k, l; blocks b; teacher directions e; innovations i, j. Sums run over 1..K, 1..B and 1..S.
t, s, r = sp.symbols("t s r", integer=True, nonnegative=True)
i, j = sp.symbols("i j", integer=True, nonnegative=True)
j_other = sp.Symbol("j'", integer=True, nonnegative=True)
i_other = sp.Symbol("i'", integer=True, nonnegative=True)
k, l = sp.symbols("k l", integer=True, positive=True)  # noqa: E741
b_other = sp.Symbol("b'", integer=True, positive=True)
q, q_1, q_2, q_3 = sp.symbols("q q' q'' q'''", integer=True, positive=True)  # among the first H coordinates
e = sp.Symbol("e", integer=True, positive=True)
e_other = sp.Symbol("e'", integer=True, positive=True)
K, B, S, H = sp.symbols("K B S H", integer=True, positive=True)

# Numbers of the problem.
alpha = sp.Symbol("alpha", positive=True)
ridge = sp.Symbol("lambda", nonnegative=True)
p = kernel("p", "p", subscripts=1)  # cluster probability
sigma2 = kernel("sigma2", r"\sigma^2", subscripts=2)  # variance of block b in cluster k

# Sample side: one sample of cluster k. Values carry the axis n of the population of samples.
omega = kernel("omega", r"\omega", subscripts=1, value="cn")  # Gaussian part of the field
h = kernel("h", "h", subscripts=1, value="cn")  # local field
a = kernel("a", "a", subscripts=1, value="cn")  # gradient of the loss in the fields
visit = kernel("visit", "s", subscripts=1, value="n")  # state of the sample under mini-batches
A = kernel("A", "A", subscripts=1, value="cdn")  # Hessian of the loss in the fields
zeta = kernel("zeta", r"\zeta", subscripts=2, value="n")  # Gaussian part of a teacher's field: cluster, direction
tau = kernel("tau", r"\tau", subscripts=2, value="n")  # a teacher's field

# Coordinate side: one coordinate of block b. Values carry the axis x of the basis (Theta(0), means, noise innovations).
Theta = kernel("Theta", r"\Theta", subscripts=1, value="cx")
G = kernel("G", "G", subscripts=1, value="cx")  # gradient of the risk
mu = kernel("mu", r"\mu", subscripts=2, value="x")
star = kernel("star", r"\theta^{*}", subscripts=2, value="x")  # teacher direction, block
eps = kernel("eps", r"\varepsilon", subscripts=1, value="cx")  # noise of the optimizer
xi = kernel("xi", r"\xi", subscripts=1, value="cx")  # noise of the gradient, divided by sqrt(n)

# Kernels.
m = kernel("m", "m", subscripts=1, value="c")
Q = kernel("Q", "Q", value="cd")
Qk = kernel("Qk", "Q", subscripts=1, value="cd")
R = kernel("R", "R", subscripts=1, value="cd")
Ra = kernel("Ra", r"R^{a}", subscripts=1, value="cd")
C = kernel("C", "C", subscripts=1, value="cd")
W = kernel("W", "W", subscripts=1, value="cd")
N = kernel("N", "N", subscripts=1, value="cd")  # coefficient of the optimizer's noise in Theta
Ce = kernel("Ce", r"C^{\varepsilon}", value="cd")  # covariance of the optimizer's noise, times d
P = kernel("P", "P", subscripts=1, value="cd")  # coefficient of Theta_0 in Theta
U = kernel("U", "U", subscripts=2, value="c")  # coefficient of mu_k in Theta
abar = kernel("abar", r"\bar a", subscripts=1, value="c")
ell = kernel("ell", r"\ell", subscripts=1, value="n")  # loss of a sample
mean_loss = kernel("mean_loss", r"\bar\ell", subscripts=1)
train_loss = kernel("train_loss", r"\mathcal{L}")
seen = kernel("seen", "o", subscripts=1, value="rn")  # the problem's observables: one sample of cluster k
mean_seen = kernel("mean_seen", r"\bar o", subscripts=1, value="r")
train_seen = kernel("train_seen", r"\mathcal{O}", value="r")  # their means over the training samples
# Of what is there at the start: products of its coordinates in block b, their mean times d. Weighted by rho_b they add up to the whole.
gram = kernel("gram", r"(\mu^{\top}\mu)", subscripts=3)  # of mu_k and mu_l: cluster, cluster, block
Q_0 = kernel("Q_0", r"Q^{0}", subscripts=1, value="cd")  # of Theta(0): block
m_0 = kernel("m_0", r"m^{0}", subscripts=2, value="c")  # of mu_k and Theta(0): cluster, block
# In coordinates, each of them a block: what is known is held as vectors, not by its Gram matrices.
start = kernel("start", r"\Theta^{0}", subscripts=1, value="c")  # Theta(0): coordinate
mean = kernel("mean", r"\mu", subscripts=2)  # mu_k: cluster, coordinate
Sigma = kernel("Sigma", r"\Sigma", subscripts=3)  # covariance: cluster, coordinate, coordinate; sigma2 is its diagonal
D = kernel("D", "D", subscripts=1, value="c")  # known part of Theta: coordinate
# Where the first H coordinates respond together, and W is that of the others.
Sh = kernel("Sh", r"\Sigma", subscripts=3)  # covariance of these: cluster, coordinate, coordinate
Wh = kernel("Wh", "W", subscripts=2, value="cd")  # coefficient in Theta_q of the noise of q'
tail = kernel("tail", r"1_{>H}", subscripts=1)  # 1 beyond the first H coordinates, 0 among them
pair = kernel("pair", r"(\bar\sigma^2\bar\sigma^2)", subscripts=2)  # product of two coordinates' pooled variances
V = kernel("V", "V", subscripts=2, value="c")  # coefficient of teacher direction e in Theta: direction, block
M = kernel("M", "M", subscripts=1, value="c")  # Theta(t)^T theta*_e
Mk = kernel("Mk", "M", subscripts=2, value="c")  # the same in the metric of cluster k
Rz = kernel("Rz", r"R^{\zeta}", subscripts=2, value="c")  # response of the gradients to a teacher's field
M_0 = kernel("M_0", r"M^{0}", subscripts=2, value="c")  # of theta*_e and Theta(0): direction, block
star_gram = kernel("star_gram", r"(\theta^{*\top}\theta^{*})", subscripts=3)  # of theta*_e and theta*_e': direction, direction, block
star_mean_b = kernel("star_mean_b", r"(\theta^{*\top}\mu)", subscripts=3)  # of theta*_e and mu_k: direction, cluster, block
star_gram_k = kernel("star_gram_k", r"(\theta^{*\top}\theta^{*})", subscripts=3)  # the same in the metric of cluster k
star_mean = kernel("star_mean", r"(\theta^{*\top}\mu)", subscripts=2)  # theta*_e . mu_k
offset = kernel("offset", r"a^{0}", subscripts=1, value="c")  # gradient of a quadratic loss at zero field
slope = kernel("slope", "A", subscripts=1, value="cd")  # its Hessian

# Sampled coordinates, of update rules that are not linear; in units of d^(-1/2).
normal = kernel("normal", r"\gamma", subscripts=1, value="x")  # iid N(0, 1)
innovation = kernel("innovation", r"\eta", subscripts=2, value="x")  # noise of an innovation of the gradients: block, innovation
F = kernel("F", "F", subscripts=3)  # factor of its covariance: block, innovation, number of the iid Gaussian
Lxi = kernel("Lxi", r"L^{\xi}", subscripts=2, value="c")  # coefficient of the iid Gaussian in the gradient's noise: block, number
ec = kernel("e", "e", subscripts=3, value="x")  # innovation of Theta: cluster, innovation, block
present = kernel("present", r"1_{\Theta \ne 0}", subscripts=1, value="cx")  # 1 where a coordinate is not zero
nonzero = kernel("nonzero", r"\nu", value="c")  # share of these

# Parameters v of the loss that are trained: numbers, which stop fluctuating.
v = kernel("v", "v", value="p")
dv = kernel("dv", r"\partial_{v}\ell", subscripts=1, value="pn")  # gradient of the loss in them: one sample of cluster k
gv = kernel("gv", r"\bar g^{v}", value="p")  # gradient of the risk in them
ridge_v = sp.Symbol("lambda_v", nonnegative=True)
eta_v = sp.Symbol("eta_v", nonnegative=True)  # their own step, in place of eta

# Innovation form.
g = kernel("g", "g", subscripts=1, value="n")  # iid N(0, 1), innovation of the fields
f = kernel("f", "f", subscripts=2, value="n")  # innovation of the gradients: orthonormal over the mixture
L = kernel("L", "L", subscripts=2, value="c")  # cluster, innovation; then time
La = kernel("La", r"L^{a}", subscripts=1, value="c")
Y = kernel("Y", "Y", subscripts=2, value="c")  # W La: block, innovation
Z = kernel("Z", "Y", subscripts=3, value="c")  # Wh La: coordinate, coordinate of the noise, innovation
Le = kernel("Le", r"L^{\varepsilon}", subscripts=1, value="c")  # its directions: 1 at the step and the column of each
Ye = kernel("Ye", r"Y^{\varepsilon}", subscripts=2, value="c")  # N Le: block, direction
Rt = kernel("Rt", r"\tilde R", subscripts=2, value="c")  # memory: cluster, innovation
Bk = kernel("Bk", "B", subscripts=2, value="c")  # response: cluster, innovation
Phi = kernel("Phi", r"\Phi", subscripts=3)  # covariance of the noise innovations, times n: block, innovation, innovation
Gamma = kernel("Gamma", r"\Gamma", subscripts=3)  # correlation of the gradients' innovations: cluster, innovation, innovation
unit = kernel("unit", r"\delta", subscripts=2)  # 1 where two innovations are the same, else 0
Lz = kernel("Lz", r"L^{\zeta}", subscripts=3)  # of a teacher's field: cluster, innovation, direction
e_P = kernel("e_P", r"e^{\Theta}", subscripts=3, value="d")  # coefficient of Theta(0) in e: cluster, innovation, block
e_U = kernel("e_U", r"e^{\mu}", subscripts=4)  # of a mean: cluster, innovation, block, mean
e_V = kernel("e_V", r"e^{*}", subscripts=4)  # of a teacher direction: cluster, innovation, block, direction
e_Y = kernel("e_Y", r"e^{\zeta}", subscripts=4)  # of an innovation of the noise: cluster, innovation, block, innovation of the noise
# The same in coordinates, where innovations of Theta are common to all clusters.
Lt = kernel("Lt", r"\ell", subscripts=1, value="c")  # coefficient of Theta: innovation
Lw = kernel("Lw", r"\Lambda", subscripts=3)  # factors of Ge: cluster, innovation of Theta, innovation of the fields
e_D = kernel("e_D", r"e^{D}", subscripts=2)  # innovation, coordinate
E_Y = kernel("e_Y", r"e^{\zeta}", subscripts=3)  # innovation, coordinate, innovation of the noise
e_Z = kernel("e_Z", r"e^{\zeta}", subscripts=4)  # innovation, coordinate, coordinate of the noise, innovation of the noise
e_S = kernel("e_S", r"(\Sigma e^{D})", subscripts=3)  # cluster, innovation, coordinate
Ge = kernel("Ge", r"\mathcal{G}", subscripts=3)  # Gram matrix of innovations of Theta in the metric of a cluster
Qp = kernel("Qp", r"\bar Q", value="cd")  # overlap of two iterates in the pooled metric
Bt = kernel("Bt", r"\tilde B", subscripts=2, value="c")  # response of the gradients: cluster, innovation of Theta
e_Ye = kernel("e_Ye", r"e^{\varepsilon}", subscripts=4)  # of a direction of the optimizer's noise: cluster, innovation, block, direction
Df = kernel("Df", r"\partial f", subscripts=3, value="n")  # d f_ki / d g_j: cluster, innovation, innovation
Da = kernel("Da", r"\partial a", subscripts=2, value="cn")  # d a_k(t) / d g_j: cluster, innovation
# The same where the gradients are affine in the fields: means, and constant derivatives.
fbar = kernel("fbar", r"\bar f", subscripts=2)
Df_mean = kernel("Df", r"\partial f", subscripts=3)
hbar = kernel("hbar", r"\bar h", subscripts=1, value="c")
Dh = kernel("Dh", r"\partial h", subscripts=2, value="c")  # derivative of the field in its innovations: cluster, innovation
Vh = kernel("Vh", r"\mathrm{Var}\,h", subscripts=1, value="cd")
rank, rank_a = sp.symbols("r_omega r_a", integer=True, positive=True)  # numbers of innovations of the fields and of the gradients
rank_e = sp.Symbol("r_epsilon", integer=True, positive=True)  # and of directions of the optimizer's noise: T C of T steps


class Mean(sp.Function):
    """Mean over the samples of cluster k, or over the coordinates of block b: Mean(expression, index)."""

    is_commutative = False

    def _latex(self, printer, exp=None):
        index = printer._print(self.args[1])
        body = rf"\mathbb{{E}}{f'_{{{index}}}' if index else ''}\left[{printer._print(self.args[0])}\right]"
        return body if exp is None else f"{body}^{{{exp}}}"


class Partial(sp.Function):
    """Total derivative of one coordinate's process: Partial(a(t), omega(s))."""

    is_commutative = False

    def _latex(self, printer, exp=None):
        body = rf"\frac{{\partial {printer._print(self.args[0])}}}{{\partial {printer._print(self.args[1])}}}"
        return body if exp is None else f"{body}^{{{exp}}}"


@final
@dataclass(frozen=True)
class Observable:
    """One of a problem's own observables."""

    name: str
    value: sp.Expr  # of a sample: its fields, label, teacher fields, and m_c, Q_c_e of its cluster
    test: tuple[sp.Expr, ...]  # (K,) mean over a fresh sample of each cluster, in the symbols of the system's `moments`


Observed = tuple[Observable, ...]
Response = Literal["tangent", "stein", "exact"]
Known = Literal["gram", "diagonal", "full"]  # by Gram matrices in blocks; as vectors in coordinates, with diagonal or full covariances


@final
@dataclass(frozen=True, repr=False)
class CausalKernels(AbstractSystem):
    """DMF equations of one problem, after n, d -> infinity at fixed alpha = n/d.

    `kernel_form` is the system of two-time kernels, `innovation_form` the same system in innovations on both sides, rewritten
    from it: array algebra at one time, from which code is generated. Order parameters are O(1).
    """

    name: str
    problem: AbstractProblem  # what it was derived from
    fields: tuple[sp.Symbol, ...]  # C local fields, arguments of the local functions
    labels: tuple[sp.Symbol, ...]  # L label components, likewise
    teachers: tuple[sp.Symbol, ...]  # S fields of teacher directions, likewise
    trained: tuple[sp.Symbol, ...]  # P parameters of the loss that are trained, likewise
    trained_gradient: tuple[sp.Expr, ...]  # (P,) of the loss in them
    clusters: int
    blocks: int
    parameters: tuple[sp.Symbol, ...]  # of the loss and the optimizer, in the order of generated signatures
    loss: sp.Expr
    gradient: tuple[sp.Expr, ...]  # (C,)
    hessian: sp.ImmutableDenseMatrix  # (C, C)
    offset: tuple[sp.Expr, ...] | None  # (C,) gradient at zero field, of a quadratic loss whose means are taken exactly
    state: tuple[sp.Symbol, ...]  # auxiliary variables of the optimizer
    clock: sp.Symbol  # the step counter, on which the updates may depend
    response: Response  # how mean responses are computed: derivative of the gradient, Stein's lemma, or no sampling at all
    kernel_form: Equations
    innovation_form: Equations
    moments: tuple[tuple[sp.Symbol, ...], tuple[tuple[sp.Symbol, ...], ...]]  # mean (C + S,) and covariance of the fields in the next two
    test_loss: tuple[sp.Expr, ...]  # (K,) mean loss of a fresh sample of each cluster
    test_error: tuple[sp.Expr, ...] | None  # (K,) misclassification probability, None without a readout
    update: tuple[sp.Expr, ...] | None = None  # new (theta, *state) of a coordinate; where coordinates are sampled
    trained_update: tuple[sp.Expr, ...] | None = None  # the same of a trained parameter
    present: sp.Expr | None = None  # 1 where a coordinate is not zero; where the rule has an L1 penalty
    gradient_seen: tuple[sp.Expr, ...] | None = None  # (C,) the same of a sample in mini-batches, in its `visit` and the clock
    visit: sp.Expr | None = None  # rule of `visit` in its value before, a `uniform` number and the clock
    known: Known = "gram"  # how the means and Theta(0) are held
    head: int = 0  # coordinates that respond to the noise of each other, the first ones; the others to their own
    own_noises: tuple[sp.Symbol, ...] = ()  # of a sample, N(0, 1)
    observables: Observed = ()
    limit: str = "n, d -> oo at fixed alpha = n/d"

    def equations(self) -> Equations:
        """Kernel form: fields, gradients, kernels, responses, updates and order parameters."""
        return self.kernel_form

    def __repr__(self) -> str:
        sizes = f"fields={len(self.fields)}, clusters={self.clusters}, blocks={self.blocks}"
        return f"CausalKernels({self.name!r}, {sizes}, response={self.response!r})"
