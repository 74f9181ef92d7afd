"""Arrays whose indices are all written out, axes over samples and coordinates included, and sums over them. Source: theory.md 1.3."""

from functools import cache

import sympy as sp

from gmsym.calculus.kernels import Kernel, kernel

# k clusters, b blocks, c and d fields, i directions, x coordinates, n samples of a cluster, j moments of a block that the start fixes,
# e teacher directions, o trained parameters of the loss, r observables of the problem.
k, b, c, d, i, x, n, j, e, o, r = sp.symbols("k b c d i x n j e o r", integer=True)
_LAST = {k: "K", b: "B", c: "C", d: "C", i: "S", x: "D", n: "n_k", j: "J"}
total = sp.Symbol("n_tot", positive=True)  # number of samples


@cache
def array(name: str, symbol: str, *indices: sp.Symbol) -> Kernel:
    """An array with its own indices; its class is `type(array(...))`."""
    return kernel(name, symbol, subscripts=len(indices))(*indices)


def over(summand: sp.Expr, *indices: sp.Symbol) -> sp.Expr:
    """The sum over all values of indices."""
    return sp.Sum(summand, *((index, 1, sp.Symbol(_LAST[index], integer=True, positive=True)) for index in indices))


def bar(value: Kernel) -> Kernel:
    """The adjoint of an array: the derivative of an output in it."""
    return array(f"{type(value).__name__}_bar", rf"\hat{{{type(value).symbol}}}", *value.args)


# Weights of samples and coordinates in every sum over them: 1, and 0 for a sample that only fills an array.
of_sample, of_coordinate = array("of_sample", "w", k, n), array("of_coordinate", "w", x)
theta, column = array("theta", r"\Theta", c, x), array("column", r"\Theta", x)
deviation, means = array("deviation", r"\sigma", k, x), array("means", r"\mu", k, x)
a, loss = array("a", "a", k, c, n), array("loss", r"\ell", k, n)
p, counts = array("p", "p", k), array("counts", "n", k)
m, Q, Q_k = array("m", "m", k, c), array("Q", "Q", c, d), array("Q_k", "Q", k, c, d)
asum, train_loss = array("asum", r"\bar a", k, c), array("train_loss", r"\mathcal{L}")
seen, train_seen = array("seen", "o", k, r, n), array("train_seen", r"\mathcal{O}", r)
# Directions of the parameters (q) and of the gradients (u), those of before and the new one, with the fresh Gaussians of each.
q, z, q_new, z_new = (
    array("q", "q", k, i, x),
    array("z", r"\mathsf{h}", k, i, x),
    array("q_new", "q", k, x),
    array("z_new", r"\mathsf{h}", k, x),
)
u, g, u_new, g_new = array("u", r"\mathsf{p}", k, i, n), array("g", "g", k, i, n), array("u_new", "p", k, n), array("g_new", "g", k, n)
scaled = array("v", "v", k, x)
star, M = array("star", r"\theta^{*}", e, x), array("M", "M", e, c)  # teacher directions, overlaps with them
trained, dv, gv = array("trained", "v", o), array("dv", r"\partial_{v}\ell", k, o, n), array("gv", r"\bar g^{v}", o)
chi, phi_new = array("chi", r"\chi", k, i), array("phi_new", r"\varphi", k, i)
upsilon, psi_new = array("upsilon", r"\upsilon", k, i), array("psi_new", r"\psi", k, i)
