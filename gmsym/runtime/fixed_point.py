"""Contract of a generated module of kind `FixedPoint`, and the numbers that go with it. Source: theory.md 8.

Axes: n nodes of the law of the projections kappa, a eigenvalues of the kernel K0, j of its derivative K1, p orders 0 .. ORDER. The names of
arguments are the letters of the displayed equations: n input dimension, m samples, k width, T = E|x|^2, q dimensions of kappa.
"""

from typing import NamedTuple, Protocol

import numpy as np
from jaxtyping import Array, Float


class Numbers(NamedTuple):
    """A network and its data in numbers. C clusters, q coordinates of the frame."""

    n: int
    samples: int
    width: int
    ridge: float  # lambda
    step: float  # eta
    noise: float
    trace: float  # T
    probabilities: np.ndarray  # (C,)
    labels: np.ndarray  # (C,)
    means: np.ndarray  # (C, q)
    covariances: np.ndarray  # (C, q, q)
    direction: np.ndarray  # xi, (q,); zeros where the target does not depend on it
    parameters: tuple[float, ...]  # of activation and target, in the order of the module's PARAMETERS
    kinks: tuple[float, ...]  # of the activation
    target_kinks: tuple[tuple[float, ...], ...]  # of the target in xi . x, for each cluster


class FixedPointModule(Protocol):
    """What a generated module of this kind offers; the functions are pure."""

    SIGNATURE: str
    ORDER: int
    PARAMETERS: tuple[str, ...]
    KINKED: bool

    def target(self, t: Float[Array, " n"], y, parameters) -> Float[Array, "1 n"]:
        """Target of a sample, before noise."""
        ...

    def moments(self, b, parameters, kinks, nodes) -> Float[Array, " p3"]:
        """h_0 .. h_ORDER, E s(b z)^2 and E s'(b z)^2 at one b."""
        ...

    def conditional(self, c, b, parameters, kinks, nodes) -> Float[Array, " p"]:
        """H_0, H_1, ... and E s(c + b z)^2 of a preactivation with a mean."""
        ...

    def variance(self, kappa2, chi, n, q, T) -> Array:
        """Variance of a preactivation."""
        ...

    def mean_slope(self, h_1, v) -> Array:
        """E s'."""
        ...

    def pull(self, weights, y, s_1, kappa_i) -> Array:
        """The gradient's spike along a coordinate."""
        ...

    def pull_beyond(self, weights, y, s_1, n, q, m) -> Array:
        """And across."""
        ...

    def neuron(self, delta, u_i, u_j, T, eta, k) -> Array:
        """Covariance of a neuron's weights."""
        ...

    def kernel(self, v, *h) -> Float[Array, "p n"]:
        """Factors of K0, order by order."""
        ...

    def kernel_slope(self, v, *h) -> Float[Array, "p1 n"]:
        """Factors of K1."""
        ...

    def beyond(self, weights, e_2, t_a, tau_j, n, q, T) -> Array:
        """Energy beyond both kernels."""
        ...

    def ridge(self, nu, t_a, tau_j, K_tail, n, q, T, k, m) -> Array:
        """lambda as a function of nu."""
        ...

    def errors(self, nu, t_a, tau_j, K_tail, y_a, y2, n, q, T, k, m) -> tuple[Array, Array, Array]:
        """Objective, training and test error."""
        ...

    def spike(self, x, tau_j, K_tail, n, q, T, k, m) -> Array:
        """Position of a spike."""
        ...

    def spike_slope(self, x, tau_j, K_tail, n, q, T, k, m) -> Array:
        """Its derivative: positive where visible."""
        ...

    # Level C: samples at kappa keep the share q, neurons the share p; psi and beta make features' linear part, psi_0 and beta_0 the mean.

    def remainder(self, weights, y, sigma, e_1, s_1, T, eta, k, m) -> Array:
        """epsilon."""
        ...

    def stretch(self, epsilon, w) -> Array:
        """s_A."""
        ...

    def neuron_weight(self, z_i, s_A, u_i, w, T, eta, k) -> Array:
        """A_i."""
        ...

    def given_variance(self, s_A, chi, n, q, T) -> Array:
        """Variance of a preactivation given A and kappa."""
        ...

    def feature_rest(self, M, C_1, E_2) -> Array:
        """C_s."""
        ...

    def gram(self, weights, f, a) -> Float[Array, "r r"]:
        """<f a a^T>."""
        ...

    def response(self, s, L, K_a, K_b, N) -> Float[Array, "r r"]:
        """Response of samples, or of neurons."""
        ...

    def sample_leverage(self, weights, p, C_s, psi, psi_0, R, R_0, lambda_, m) -> Float[Array, " n"]:
        """delta."""
        ...

    def neuron_leverage(self, weights, q_kappa, C_s, beta, beta_0, R, R_0, lambda_, k) -> Float[Array, " neurons"]:
        """And of a neuron."""
        ...

    def kept(self, rho_omega, delta) -> Array:
        """q."""
        ...

    def kept_neuron(self, delta) -> Array:
        """p."""
        ...

    def target_mean(self, weights, q_kappa, y, psi_0) -> Float[Array, " r0"]:
        """c_0."""
        ...

    def free_energy(self, weights, q_kappa, y, sigma, c_0, T_F, G_X, lambda_) -> Array:
        """Objective."""
        ...

    def mean_output(self, psi_0, c_0, T_F, G_X, lambda_) -> Float[Array, " n"]:
        """Mean output at kappa."""
        ...

    def two_sided_errors(self, weights, g, q_kappa) -> tuple[Array, Array]:
        """Training and test error."""
        ...

    def local_variance(self, g, q_kappa, y, hat_y) -> Float[Array, " n"]:
        """Variance of the output at kappa."""
        ...

    # Level A: k x k second moments S of the features of a cluster, one leverage d a cluster.

    def target_coefficients(self, weights, x, y) -> tuple[Array, ...]:
        """Hermite coefficients of the target."""
        ...

    def feature_pair(self, r, k, *h) -> Array:
        """S_ij; h_0 .. of one feature, then of the other."""
        ...

    def feature_square(self, E_2, k) -> Array:
        """S_ii."""
        ...

    def target_overlap(self, r, k, *h) -> Array:
        """r_i; h_0 .. of features, then of the target."""
        ...

    def cluster_square(self, weights, y, sigma) -> Array:
        """t_c."""
        ...

    def share(self, rho_c, d_c) -> Array:
        """w_c."""
        ...

    def resolvent(self, lambda_, w_c, S) -> Float[Array, "k k"]:
        """Q."""
        ...

    def reduced(self, S, Q) -> Float[Array, "k k"]:
        """P_c."""
        ...

    def cluster_leverage(self, P_a, m) -> Array:
        """d_c."""
        ...

    def second_order(self, P_a, P_b, m) -> Array:
        """V_ab."""
        ...

    def weights_mean(self, Q, w_c, r_c) -> Float[Array, " k"]:
        """Mean second layer."""
        ...

    def bias(self, t_c, r_c, a, S) -> Array:
        """B_c."""
        ...

    def cluster_error(self, B, V, w_c, d_c, E) -> Float[Array, " clusters"]:
        """E_c as an affine function of itself."""
        ...

    def given_errors(self, rho_c, w_c, d_c, t_c, r_c, a, E) -> tuple[Array, Array, Array]:
        """Objective, training and test error."""
        ...
