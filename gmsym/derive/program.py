"""The training program of a problem as products with the noise, for one sample and for one coordinate. Source: theory.md 0."""

from typing import Protocol

import sympy as sp

from gmsym.system import causal_kernels as dmf
from gmsym.system.causal_kernels import K, Theta, abar, b, k, mu, p, ridge, sigma2, t
from gmsym.system.recursion import samples as n

d = sp.Symbol("d", positive=True)  # dimension


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
