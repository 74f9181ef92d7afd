"""Level C of a network after one gradient step: samples and neurons that differ, in two functions instead of two scalars.

A sample at kappa keeps the share q(kappa) of its residual, a neuron of weights A on kappa the share p(A). Given both, a feature is Gaussian
of mean M, with a part C_1 linear in the n - q other dimensions and a rest of variance C_s; M and C_1 are sums of products of functions of A
and of kappa, so that leave-one-out is algebra of small matrices. Errors are derivatives of the objective in the weight omega of a sample.
Source: own, heuristic, theory.md 8.
"""

import sympy as sp

from gmsym.system import Equation
from gmsym.system.fixed_point import (
    Along,
    Computed,
    Form,
    Gram,
    Over,
    OverNeurons,
    OverSamples,
    Projection,
    Solved,
    Times,
)

_OWN = "own, theory.md 8"
_real = {"real": True}
eps, s_A, wt, z_i, A_i, u_i = sp.symbols("epsilon s_A w z_i A_i u_i", **_real)
M, C1, E2, C_s = sp.symbols("M C_1 E_2 C_s", **_real)
p, q_s, f, delta, inverse_omega, g = sp.symbols("p q_kappa f delta rho_omega g", **_real)
psi, psi_0, beta, beta_0, feature = sp.symbols("psi psi_0 beta beta_0 a", **_real)
K_F, K_X, T_F, G_X, R, R_0, kernel_a, kernel_b = sp.symbols("K_F K_X T_F G_X R R_0 K_a K_b", **_real)
c_0, L, copies, count, fit, variance, energy_1, s_1 = sp.symbols("c_0 L s N hat_y V e_1 s_1", **_real)
y, noise = sp.symbols("y sigma", **_real)
n, m, k, T, q, lam, eta, chi = (
    *sp.symbols("n m k T q lambda", positive=True),
    sp.Symbol("eta", nonnegative=True),
    sp.Symbol("chi", real=True),
)


def _equation(left: sp.Expr, right: sp.Expr, meaning: str) -> Equation:
    return Equation(left, right, meaning, _OWN, "heuristic")


def _of(name: str, *arguments: sp.Expr) -> sp.Expr:
    return sp.Function(name)(*arguments)


def two_sided() -> tuple[Computed, ...]:
    """Equations of level C, each with the function that computes it."""
    return (*_neurons(), *_leave_one_out(), *_objective())


def remainder() -> Computed:
    """What the gradient's remainder adds to the variance of a neuron's weights, relative to its w^2."""
    size = eta**2 * T / (k**2 * m) * Over((energy_1 - s_1**2) * (y**2 + noise**2))
    row = _equation(eps, size, "variance that the gradient's remainder adds to a neuron, relative, times w^2")
    return Computed("remainder", (y, noise, energy_1, s_1, T, eta, k, m), (row,))


def _neurons() -> tuple[Computed, ...]:
    stretch = _equation(s_A, 1 + eps * wt**2, "variance of a neuron's weights by the gradient's remainder")
    weight = _equation(A_i, sp.sqrt(s_A / T) * z_i + eta / k * u_i * wt, "weight of a neuron on kappa_i; z_i and w are N(0, 1)")
    scale = _equation(_of("v", s_A, chi), s_A * (1 + chi) * (n - q) / T, "variance of a preactivation given A and kappa")
    rest = _equation(C_s, sp.Max(E2 - M**2 - C1**2, 0), "variance of a feature beyond its mean M and its linear part C_1")
    return (
        Computed("stretch", (eps, wt), (stretch,)),
        Computed("neuron_weight", (z_i, s_A, u_i, wt, T, eta, k), (weight,)),
        Computed("given_variance", (s_A, chi, n, q, T), (scale,)),
        Computed("feature_rest", (M, C1, E2), (rest,)),
    )


def _leave_one_out() -> tuple[Computed, ...]:
    gram = _equation(
        sp.Symbol("K"), Gram(f, feature), "Gram matrices K_F, T_F of beta, beta_0 with f = p, K_X, G_X of psi, psi_0 with f = q"
    )
    response = _equation(
        sp.Symbol("R"),
        copies / count * Solved(L, Times(kernel_a, kernel_b), kernel_a),
        "response: of samples (K_a, K_b, N) = (K_F, K_X, m), of neurons (K_X, K_F, k); s = n - q, L = (n - q) lambda of the linear part, "
        "s = 1, L = lambda of the mean",
    )
    sample = _equation(
        _of("delta", sp.Symbol("kappa")),
        OverNeurons(p, C_s) / (lam * m) + Form(R, psi) + Form(R_0, psi_0),
        "leverage of a sample; C_1 = beta . psi, M = beta_0 . psi_0",
    )
    neuron = _equation(
        sp.Function(r"\tilde\delta")(sp.Symbol("A")),
        OverSamples(q_s, C_s) / (lam * k) + Form(R, beta) + Form(R_0, beta_0),
        "leverage of a neuron",
    )
    kept = _equation(_of("q", sp.Symbol("kappa")), 1 / (inverse_omega + delta), "share of the residual that a sample keeps; rho_omega = 1")
    left = _equation(_of("p", sp.Symbol("A")), 1 / (1 + delta), "share of a neuron")
    return (
        Computed("gram", (f, feature), (gram,)),
        Computed("response", (copies, L, kernel_a, kernel_b, count), (response,)),
        Computed("sample_leverage", (p, C_s, psi, psi_0, R, R_0, lam, m), (sample,)),
        Computed("neuron_leverage", (q_s, C_s, beta, beta_0, R, R_0, lam, k), (neuron,)),
        Computed("kept", (inverse_omega, delta), (kept,)),
        Computed("kept_neuron", (delta,), (left,)),
    )


def _objective() -> tuple[Computed, ...]:
    start = _equation(c_0, Projection(q_s * y, psi_0), "target on the means, weighted")
    coefficient = Solved(lam, Times(T_F, G_X), Times(T_F, c_0))
    free = _equation(
        sp.Symbol("F"), Over(q_s * (y**2 + noise**2)) - Times(c_0, coefficient), "objective, a functional of omega through q and p"
    )
    output = _equation(fit, Along(coefficient, psi_0), "mean output at kappa")
    train = _equation(sp.Symbol("E_train"), Over(g), "training error, g = -dF/d rho_omega(kappa)")
    test = _equation(sp.Symbol("E_test"), Over(g / q_s**2), "test error")
    spread = _equation(variance, g / q_s**2 - (y - fit) ** 2, "variance of the output at kappa")
    return (
        Computed("target_mean", (q_s, y, psi_0), (start,)),
        Computed("free_energy", (q_s, y, noise, c_0, T_F, G_X, lam), (free,)),
        Computed("mean_output", (psi_0, c_0, T_F, G_X, lam), (output,)),
        Computed("two_sided_errors", (g, q_s), (train, test)),
        Computed("local_variance", (g, q_s, y, fit), (spread,)),
    )
