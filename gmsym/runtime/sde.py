"""Contract of a generated module of kind `Sde`: that of its `Ode`, and the functions of the fluctuation. Source: theory.md 6.

Axes: c and d the n statistics, or the entries of a function of them; k clusters, b blocks where there are several. A function takes those
of its arguments that its equation mentions (runtime/arguments.py).
"""

from typing import Protocol

from jaxtyping import Array, Float

from gmsym.runtime.ode import OdeModule


class SdeModule(OdeModule, Protocol):
    """What a generated module of this kind offers."""

    def path_drift(self, DF, xi) -> Float[Array, " c"]:
        """Drift of xi."""
        ...

    def path_noise(self, Root) -> Float[Array, "c d"]:
        """What multiplies the Brownian motion in xi."""
        ...

    def noise(self, Sigma, c) -> Float[Array, "c d"]:
        """Covariance of the noise of xi in a unit of time; Root is its root."""
        ...

    def mean_increment(self, mean_phi, p) -> Float[Array, " c"]:
        """Mean of one sample's increment, from that of each cluster (K, n)."""
        ...

    def volatility(self, F, mean_phi_phi, p) -> Float[Array, "c d"]:
        """Sigma, its covariance, from its mean and the mean square of each cluster (K, n, n)."""
        ...

    def covariance_rate(self, DF, P, Sigma, c) -> Float[Array, "c d"]:
        """dP/dt."""
        ...

    def correlation_rate(self, C, DF) -> Float[Array, "c d"]:
        """dC/dt of C(t, s) = E xi(t) xi(s)^T in its later time."""
        ...

    def bias_rate(self, D2F_P, DF, c, dF, mean_chi, p, zeta) -> Float[Array, " c"]:
        """dzeta/dt; D2F_P is D^2 F : P, dF the derivative of F along the trajectory, mean_chi (K, n)."""
        ...

    def excess(self, Dual, W, rank, sigma2) -> Float[Array, "*b"]:
        """Mean of |Y|^2 - sigma^2 d given the fields' second moments W, in each block."""
        ...

    def square_of_root(self, P) -> Float[Array, "c d"]:
        """R R^T for the root R of the covariance along whose columns functions of the statistics are differentiated."""
        ...

    def shift(self, D2f_P, Df_zeta, d) -> Float[Array, " c"]:
        """What finite d adds to the mean of f; D2f_P is D^2 f : P, Df_zeta is Df zeta."""
        ...

    def variance(self, Df_R, d) -> Float[Array, "c d"]:
        """Covariance of the entries of f in one run; Df_R is Df R."""
        ...
