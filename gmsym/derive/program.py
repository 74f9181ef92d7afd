"""The training program of a problem as products with the noise, for one sample and for one coordinate. Source: theory.md 0."""

from collections.abc import Mapping
from typing import Protocol

import sympy as sp

from gmsym import symbols
from gmsym.calculus.kernels import kernel
from gmsym.problem import Problem
from gmsym.system import Equation
from gmsym.system import causal_kernels as dmf
from gmsym.system.causal_kernels import K, Theta, abar, b, k, mu, p, ridge, sigma2, t
from gmsym.system.recursion import samples as n

shown_coordinate = sp.Symbol(r"\Theta_{b}(t)", real=True)  # one coordinate of block b at time t, as the update rules show it


class NoiseProduct(Protocol):
    """Z_k^T a_k(t) for one coordinate, as a function of (cluster, time)."""

    def __call__(self, cluster: sp.Symbol, time: sp.Symbol) -> sp.Expr: ...


def risk_gradient(product: NoiseProduct) -> sp.Expr:
    """One coordinate (block b) of the gradient of the risk at time t, given its product with the noise.

    The risk is (1/n) sum_i l(Theta^T x_i, y_i) + (ridge/2) |Theta|^2 and a coordinate of a sample of cluster k is
    mu_k + sigma_kb z; the field depends on one coordinate of Theta through their product.
    """
    theta, mean, noise = sp.symbols("theta mean noise")
    factor = sp.expand(sp.diff(theta * (mean + noise), theta))  # d h/d theta: the chain rule's factor beside a = dl/dh
    data = sp.Sum(factor.coeff(mean) * p(k) * abar(k, t) * mu(k, b), (k, 1, K))  # (1/n) sum over the n p_k samples of a cluster
    scale = sp.sqrt(sigma2(k, b)) / n
    noisy = sp.Sum(factor.coeff(noise) * scale * product(k, t), (k, 1, K))
    penalty = sp.diff(ridge * theta**2 / 2, theta).coeff(theta) * Theta(b, t)
    return data + noisy + penalty


def local_field(noise: sp.Expr) -> sp.Expr:
    """Local field of a sample of cluster k at time t, given Theta_t's product with the sample's noise."""
    return dmf.m(k, t) + noise


def next_value(variable: sp.Symbol) -> sp.Expr:
    """Theta, or a state variable of the optimizer, after the step."""
    return Theta(b, t + 1) if variable == symbols.theta else kernel(variable.name, sp.latex(variable), subscripts=1, value="cx")(b, t + 1)


def shown_variables(problem: Problem) -> dict[sp.Symbol, sp.Symbol]:
    """Variables of the optimizer, and its noise, as the equations show them: one coordinate of block b at time t."""
    names = {symbols.g: "G", symbols.noise: r"\varepsilon"} | {v: sp.latex(v) for v in problem.optimizer.state}
    return {symbols.theta: shown_coordinate} | {v: sp.Symbol(f"{name}_{{b}}(t)", real=True) for v, name in names.items()}


def update_equations(problem: Problem) -> tuple[Equation, ...]:
    """The optimizer's rule for a coordinate and its state, of coordinates of order 1."""
    shown, optimizer = shown_variables(problem), problem.optimizer
    return tuple(
        Equation(next_value(variable), rule.xreplace(shown), f"optimizer {optimizer.name}", "theory.md 0", "own")
        for variable, rule in zip((symbols.theta, *optimizer.state), optimizer.composed, strict=True)
    )


def update_of(right: Mapping[sp.Expr, sp.Expr], problem: Problem) -> tuple[sp.Expr, ...]:
    """The new (theta, *state) of displayed equations, in the variables of the optimizer."""
    names = {shown: v for v, shown in shown_variables(problem).items()}
    return tuple(right[next_value(x)].xreplace(names) for x in (symbols.theta, *problem.optimizer.state))
