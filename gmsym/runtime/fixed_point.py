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

    def moments(self, b, parameters, kinks, nodes) -> Float[Array, " p2"]:
        """h_0 .. h_ORDER and E s(b z)^2 at one b."""
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
