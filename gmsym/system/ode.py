"""Ordinary differential equations of summary statistics: the effective dynamics of online SGD. Source: theory.md 6."""

from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any, Literal, NamedTuple, final

import sympy as sp

from gmsym.calculus.kernels import kernel
from gmsym.calculus.matrices import explicit
from gmsym.problem.base import AbstractProblem
from gmsym.system.base import AbstractSystem
from gmsym.system.equations import Equations

# Indices: time t = steps * c/d; clusters k and l; teacher directions s and r; blocks of coordinates, which a kernel has as its first index
# (numbers of the problem: their last) where there are several.
t = sp.Symbol("t", nonnegative=True)
k, l = sp.symbols("k l", integer=True, positive=True)  # noqa: E741
s, r = sp.symbols("s r", integer=True, positive=True)
block = sp.Symbol("b", integer=True, positive=True)
K, T = sp.symbols("K T", integer=True, positive=True)

# Numbers of the problem.
c = sp.Symbol("c", positive=True)  # step of Theta, delta = c/d
c_v = sp.Symbol("c_v", nonnegative=True)  # step of the trained parameters
beta = sp.Symbol("beta", nonnegative=True)  # ridge of Theta
beta_v = sp.Symbol("beta_v", nonnegative=True)  # ridge of the trained parameters
p = kernel("p", "p", subscripts=1)  # cluster probability
rho = kernel("rho", r"\rho", subscripts=1)  # fraction of the coordinates in a block
sigma2 = kernel("sigma2", r"\sigma^2", subscripts=2)
# With several blocks the next three have the block as their last index: the mean product of the coordinates in it, times d.
gram = kernel("gram", r"(\mu^{\top}\mu)", subscripts=3)  # mu_k . mu_l
tau_gram = kernel("tau_gram", r"(\vartheta^{\top}\vartheta)", subscripts=3)  # teacher directions
tau_mean = kernel("tau_mean", r"(\vartheta^{\top}\mu)", subscripts=3)  # teacher direction s, cluster k
rate = kernel("rate", r"\rho")  # of the schedule: the step at time t is rho(t) c/d
# In coordinates, each of them a block of size rho_b = 1/d: means and covariances as vectors and matrices.
b_other = sp.Symbol("b'", integer=True, positive=True)
mean = kernel("mean", r"\mu", subscripts=2)  # mu_k: cluster, coordinate
Sigma = kernel("Sigma", r"\Sigma", subscripts=3)  # covariance: cluster, coordinate, coordinate; sigma2 is its diagonal

# Of an update rule with states that last, or that moves theta by itself.
J = kernel("J", "J", value="cd")  # (theta, states) x fields
W = kernel("W", "W", value="cd")
Pi = kernel("Pi", r"\Pi", value="cd")  # (fields) x (theta, states): theta among them

# Summary statistics; where states last, Q, m and M have their columns after those of theta.
Q = kernel("Q", "Q", subscripts=-1, value="cd")
m = kernel("m", "m", subscripts=-1, value="c")
M = kernel("M", "M", subscripts=-1, value="c")
v = kernel("v", "v", value="p")
# In coordinates: of one coordinate of Theta.
Theta = kernel("Theta", r"\Theta", subscripts=1, value="c")
D = kernel("D", "D", subscripts=1, value="c")  # its mean over the samples before
P = kernel("P", "P", subscripts=1, value="cd")  # mean of its square
N = kernel("N", "N", subscripts=1, value="cd")  # its covariance
turned = kernel("turned", r"(\Sigma D)", subscripts=2, value="c")  # cluster, coordinate
Q_k = kernel("Q_k", "Q", subscripts=1, value="cd")  # overlaps in the metric of a cluster

# A fresh sample of cluster k: fields of students, teachers and means, gradients of the loss.
h = kernel("h", "h", subscripts=-1, value="c")
a = kernel("a", "a", value="c")
b = kernel("b", "b", value="p")
tau = kernel("tau", r"\tau", subscripts=2)
u = kernel("u", "u", subscripts=2)
y = kernel("y", "Y", subscripts=1)  # a coordinate of the sample
nu = kernel("nu", r"\nu", subscripts=-1)  # |Y|^2 less its typical value sigma_k^2 d

# What it adds to the statistics, divided by delta.
phi_Q = kernel("phi_Q", r"\varphi^{Q}", subscripts=-1, value="cd")
phi_m = kernel("phi_m", r"\varphi^{m}", subscripts=-1, value="c")
phi_M = kernel("phi_M", r"\varphi^{M}", subscripts=-1, value="c")
phi_v = kernel("phi_v", r"\varphi^{v}", value="p")
phi_D = kernel("phi_D", r"\varphi^{\Theta}", subscripts=1, value="c")
phi_P = kernel("phi_P", r"\varphi^{P}", subscripts=1, value="cd")
chi_Q = kernel("chi_Q", r"\chi^{Q}", subscripts=-1, value="cd")  # and to second order, divided by delta^2

# Means over it.
abar = kernel("abar", r"\bar a", subscripts=1, value="c")
A = kernel("A", r"\bar A", subscripts=1, value="cd")
B = kernel("B", r"\bar B", subscripts=2, value="c")
S = kernel("S", r"\bar S", subscripts=1, value="cd")
bbar = kernel("bbar", r"\bar b", subscripts=1, value="p")

Response = Literal["derivative", "regression"]
Known = Literal["gram", "diagonal", "full"]  # by Gram matrices in blocks; as vectors in coordinates, with diagonal or full covariances


class Law(NamedTuple):
    """Symbols of the Gaussian law of (h, tau) in one cluster."""

    mean: tuple[sp.Symbol, ...]  # (C + T,)
    covariance: sp.ImmutableDenseMatrix  # (C + T, C + T)


class Local(NamedTuple):
    """Means over a fresh sample of a cluster, reduced by the calculus; functions of `Law` and of the trained parameters."""

    gradient: tuple[sp.Expr, ...]  # E[a], (C,)
    response: sp.ImmutableDenseMatrix  # E[da/d(h, tau)], or E[a (h, tau)^T] centred where a derivative has no quadrature, (C, C + T)
    square: sp.ImmutableDenseMatrix  # E[a a^T], (C, C)
    trained: tuple[sp.Expr, ...]  # E[dl/dv], (P,)


class Tested(NamedTuple):
    """Means over a fresh sample of a cluster: loss, probability of a wrong prediction if there is one, the problem's observables."""

    loss: sp.Expr
    error: sp.Expr | None
    observables: tuple[sp.Expr, ...] = ()


@final
@dataclass(frozen=True, repr=False)
class Ode(AbstractSystem):
    """d/dt (Q, m, M, v) of online SGD in the limit d -> infinity; all variables are O(1). With several blocks, Q, m and M are those of a
    block: their sums over blocks are the overlaps of Theta.

    `flow` holds means over a fresh sample, `reduced` writes its products with fields by Stein's lemma, and `means` has the
    remaining ones, over (h, tau) alone, for each distinct label.
    """

    name: str
    problem: AbstractProblem  # what it was derived from
    fields: tuple[sp.Symbol, ...]  # C
    teachers: tuple[sp.Symbol, ...]  # T
    labels: tuple[sp.Symbol, ...]  # that the means hold; none where a label's numbers are put in
    trained: tuple[sp.Symbol, ...]  # P
    parameters: tuple[sp.Symbol, ...]
    clusters: int
    blocks: int  # coordinates, where the problem is in such
    flow: Equations
    reduced: Equations
    drift: Equations  # d/dt of Q, m, M, v in these means
    increments: Equations  # of one sample, divided by delta: their mean is the drift
    second: Equations  # of one sample to second order in delta, divided by its square, where it does not vanish
    law: Law
    response: Response
    means: Equations  # over a fresh sample, for each group of clusters that share them
    of_cluster: tuple[int, ...]  # which group each cluster belongs to, (K,)
    tested: tuple[Tested, ...]
    tests: tuple[str, ...]  # what an entry of it holds, by the names that a result has for them
    tested_of_cluster: tuple[int, ...]  # which entry of `tested` belongs to each cluster, (K,)
    gradient: tuple[sp.Expr, ...]  # a, (C,)
    trained_gradient: tuple[sp.Expr, ...]  # b, (P,)
    schedule: sp.Expr  # rate rho(t) in the clock and parameters
    clock: sp.Symbol
    known: Known = "gram"
    overlaps: Equations = Equations(())  # of a problem in coordinates: m_k, Q and Q_k in D and N, and what they name before
    limit: str = "d -> oo, step c/d, t = steps * c/d"
    lasting: tuple[sp.Symbol, ...] = ()  # theta and the states that last, where the rule is more than a step along the gradient
    rule: Equations = Equations(())  # J, W, Pi, which say what it does then

    def equations(self) -> Equations:
        """The rule where it is more than a step, the flow, its reduction by Stein's lemma, and the means that are left; in coordinates also
        what the flow then is of means and covariances, and the overlaps."""
        put_in = () if self.known == "gram" else (*self.drift[:2], *self.overlaps)
        return Equations((*self.rule, *self.flow, *self.reduced, *put_in, *self.means))

    @cached_property
    def local(self) -> tuple[Local, ...]:
        """The means as arrays, one entry for each group of clusters that share them."""
        groups: dict[sp.Expr, dict[type, list[sp.ImmutableDenseMatrix]]] = {}
        for e in self.means:
            groups.setdefault(e.lhs.args[0], {}).setdefault(type(e.lhs), []).append(sp.ImmutableDenseMatrix([e.rhs]))
        return tuple(
            Local(
                gradient=tuple(of[abar][0]),
                response=sp.ImmutableDenseMatrix.hstack(*(part.reshape(len(self.fields), part.cols) for part in (*of[A], *of.get(B, ())))),
                square=of[S][0],
                trained=tuple(of[bbar][0]) if bbar in of else (),
            )
            for of in groups.values()
        )

    @property
    def count(self) -> int:
        """T."""
        return len(self.teachers)

    @property
    def states(self) -> int:
        """Theta, and how many states of its update rule last."""
        return max(1, len(self.lasting))

    @property
    def of_mixture(self) -> tuple[str, ...]:
        """Names of parameters that are the mixture's and not the loss's or the rule's."""
        own = self.problem.local_parameters
        return tuple(x.name for x in self.parameters if x not in own)

    def closed_drift(self) -> dict[tuple[str, tuple[int, ...]], sp.Expr]:
        """d/dt of each scalar summary statistic with the means put in: {("Q", (0, 1)): expression, ("m", (k, c)): ..., ...}.

        Symbols: Q_0_0, m_k_c, M_s_c, the trained parameters; p_k, sigma2_k, gram_k_l, tau_gram_s_r, tau_mean_s_k; c, beta, c_v, beta_v.
        With several blocks the statistics have the block as their first index, and there are rho_b, and sigma2_k_b, gram_k_l_b,
        tau_gram_s_r_b and tau_mean_s_k_b.

        Raises:
            ValueError: the responses are by regression, or the state is that of coordinates, which have no scalar form.
        """
        if self.known != "gram":
            raise ValueError(f"{self.name}: a problem in coordinates has no closed drift of its overlaps")
        if self.response != "derivative":
            raise ValueError(f"{self.name}: responses by regression have no closed drift")
        table = ScalarTable(self)
        found: dict[tuple[str, tuple[int, ...]], sp.Expr] = {}
        for equation in self.drift:
            state = equation.lhs.args[0]
            name = type(state).__name__
            *subscripts, _ = state.args
            sizes = {block: self.blocks, l: self.clusters, s: self.count}
            for place in product(*(range(sizes[x]) for x in subscripts)):
                rule = {x: sp.Integer(i + 1) for x, i in zip(subscripts, place, strict=True)}
                value = explicit(equation.rhs.xreplace(rule), table, {K: self.clusters, T: self.count})
                for i in range(value.rows):
                    for j in range(i if name == "Q" else 0, value.cols):
                        found[name, (*place, i, j) if name == "Q" else (*place, i)] = value[i, j]
        return found

    def __repr__(self) -> str:
        sizes = f"fields={len(self.fields)}, clusters={self.clusters}, teachers={self.count}, trained={len(self.trained)}"
        sizes += f", blocks={self.blocks}" if self.blocks > 1 else ""
        return f"Ode({self.name!r}, {sizes})"


class ScalarTable:
    """Kernels as explicit matrices of scalar symbols, for `Ode.closed_drift`."""

    def __init__(self, system: Ode):
        self.system = system

    def __call__(self, atom: Any) -> sp.MatrixBase | sp.Expr:
        system, name = self.system, type(atom).__name__
        columns = len(system.fields) * system.states
        fields, indices = range(columns), [int(x) - 1 for x in atom.args if x != t]
        tag = "_".join([name, *map(str, indices)])
        match name:
            case "Q":
                return sp.Matrix(len(fields), len(fields), lambda i, j: _symbol("Q", *indices, min(i, j), max(i, j), positive=i == j))
            case "m" | "M":
                return sp.Matrix([_symbol(name, *indices, i) for i in fields])
            case "v":
                return sp.Matrix(system.trained)
            case "gram" | "tau_gram":
                return _symbol(name, *sorted(indices[:2]), *indices[2:], positive=indices[0] == indices[1])
            case "p" | "sigma2" | "rho":
                return sp.Symbol(tag, positive=True)
            case "tau_mean":
                return sp.Symbol(tag, real=True)
            case "rate":
                return system.schedule
            case "J" | "W" | "Pi":
                found = next(e.rhs for e in system.rule if type(e.lhs).__name__ == name)
                return sp.Matrix(sp.kronecker_product(found, sp.eye(len(system.fields))))
        cluster, *rest = indices
        local = system.local[system.of_cluster[cluster]]
        size = len(system.fields)
        found = {
            "abar": sp.Matrix(local.gradient),
            "A": local.response[:, :size],
            "B": local.response[:, size + rest[0]] if rest else None,
            "S": local.square,
            "bbar": sp.Matrix(local.trained),
        }[name]
        return sp.Matrix(found).xreplace(self._law(cluster) | self._label(cluster))

    def _law(self, cluster: int) -> dict[sp.Symbol, sp.Expr]:
        system = self.system
        size = len(system.fields)
        index = cluster + 1
        blocks = [(x + 1,) for x in range(system.blocks)] if system.blocks > 1 else [()]
        means = [self(m(*where, index, t))[:size, :] for where in blocks]
        shares = [self(rho(*where)) if where else sp.S.One for where in blocks]
        of_teacher = lambda x: sum(r * self(tau_mean(x + 1, index, *b)) for r, b in zip(shares, blocks, strict=True))  # noqa: E731
        mean = [*sum(means[1:], means[0]), *(of_teacher(x) for x in range(system.count))]
        cov = sp.zeros(size + system.count)
        for where, share in zip(blocks, shares, strict=True):
            gram = sp.zeros(size + system.count)
            gram[:size, :size] = self(Q(*where, t))[:size, :size]
            for x in range(system.count):
                gram[size + x, :size] = self(M(*where, x + 1, t))[:size, :].T
                gram[:size, size + x] = self(M(*where, x + 1, t))[:size, :]
                for y in range(system.count):
                    gram[size + x, size + y] = share * self(tau_gram(x + 1, y + 1, *where))
            cov += gram * self(sigma2(index, *where))
        rule = dict(zip(system.law.mean, mean, strict=True))
        return rule | {system.law.covariance[i, j]: cov[i, j] for i in range(cov.rows) for j in range(i, cov.cols)}

    def _label(self, cluster: int) -> dict[sp.Symbol, sp.Expr]:
        return dict(zip(self.system.labels, self.system.problem.data.labels[cluster], strict=False))


def _symbol(name: str, *indices: int, positive: bool = False) -> sp.Symbol:
    tag = "_".join([name, *map(str, indices)])
    return sp.Symbol(tag, positive=True) if positive else sp.Symbol(tag, real=True)
