"""Contract of a generated module of kind `Recursion`, and the numbers that go with it. Source: theory.md 1.

Axes: k clusters (K), c fields (C), i and j directions, x coordinates (d), n samples of a cluster (padded to the largest).
"""

from typing import NamedTuple, Protocol

import numpy as np
from jaxtyping import Array, Float

from gmsym.runtime.nodes import Nature


class Design(NamedTuple):
    """A problem in numbers at finite size. Arrays are traced; what is compiled belongs to the counts."""

    labels: np.ndarray  # y_k, (K, L)
    variance: np.ndarray  # sigma2_kb, (K, B)
    counts: tuple[int, ...]  # n_k, (K,)
    sizes: tuple[int, ...]  # d_b, (B,)
    root: np.ndarray  # R with R^T R = Gram matrix of (Theta_0, means, teachers), (rank, C + K + S); a block has its share d_b/d
    ridge: np.ndarray  # ()
    parameters: tuple[np.ndarray, ...]  # of the loss and the optimizer, in the order of the module's PARAMETERS
    trained: np.ndarray = np.zeros(0)  # trained parameters of the loss, at the start, (P,)
    trained_parameters: tuple[np.ndarray, ...] = ()  # as `parameters`, for their update: with their own step
    trained_ridge: np.ndarray = np.zeros(())


class RecursionModule(Protocol):
    """What a generated module of this kind offers; `loss`, `gradient`, `test_loss` and `test_error` as in runtime/causal_kernels.py."""

    SIGNATURE: str
    FIELDS: int
    CLUSTERS: int
    BLOCKS: int
    STATE: tuple[str, ...]
    PARAMETERS: tuple[str, ...]
    TEST_NODES: tuple[tuple[int, Nature], ...]  # of means over a fresh sample

    def optimizer(self, t, theta, state, gradient, parameters):
        """One step of the optimizer on any arrays of one shape: new theta and tuple of new state variables. It takes `noise`, N(0, 1/d),
        where the rule has some, and d where it is not linear."""
        ...

    def noise_product(self, chi, g_new, phi_new, u) -> Float[Array, "k n"]:
        """Product of the noise with a new direction of the parameters."""
        ...

    def field(self, L, Zq, m) -> Float[Array, "k c n"]:
        """Local fields of the samples."""
        ...

    def transposed_product(self, psi_new, q, upsilon, z_new) -> Float[Array, "k x"]:
        """Product of the transposed noise with a new direction of the gradients."""
        ...

    def noise_gradient(self, M, Zu) -> Float[Array, "k c x"]:
        """Product of the transposed noise with the gradients."""
        ...

    # With S teachers: teacher_field(Lz, Zq, star_mean), (e k n); their fields, teacher (e n), are an argument of the functions of a
    # sample, and M, (e c), is the sum teacher_overlap(of_coordinate, star, theta). With trained parameters v: trained_gradient of a
    # sample, (p n), the sum trained_risk_gradient(dv, of_sample, total, trained, trained_ridge) and trained_optimizer, as `optimizer`.

    # With observables: observed of a sample, (r n), the sum train_observed(of_sample, seen, total), (r), and test_NAME, as test_loss.

    # The sums over samples and coordinates, each with its weight, take some of these arrays by name (runtime/arguments.py): weights
    # of_sample (k n) and of_coordinate (x); deviation, means (k x), theta (c x), column (x); directions q, z (k i x), u, g (k i n), and
    # new ones q_new, z_new (k x), u_new, g_new (k n); a (k c n), loss (k n), counts (k), total.

    def scaled(self, column, deviation) -> Float[Array, "k x"]:
        """A column of the parameters in each cluster's metric."""
        ...

    def responses_to_gradients(self, of_coordinate, q_new, z) -> Float[Array, "k i"]:
        """chi: of a new direction of the parameters."""
        ...

    def fluctuations_of_parameters(self, g_new, of_sample, u) -> Float[Array, "k i"]:
        """phi: likewise."""
        ...

    def responses_to_parameters(self, g, of_sample, u_new) -> Float[Array, "k i"]:
        """upsilon: of a new direction of the gradients."""
        ...

    def fluctuations_of_gradients(self, of_coordinate, q, z_new) -> Float[Array, "k i"]:
        """psi: likewise."""
        ...

    def overlap(self, means, of_coordinate, theta) -> Float[Array, "k c"]:
        """m: with the means."""
        ...

    def gram(self, of_coordinate, theta) -> Float[Array, "c d"]:
        """Q: of the parameters."""
        ...

    def cluster_gram(self, deviation, of_coordinate, theta) -> Float[Array, "k c d"]:
        """Q_k: in each cluster's covariance."""
        ...

    def mean_gradient(self, a, counts, of_sample) -> Float[Array, "k c"]:
        """Of each cluster's samples."""
        ...

    def train_loss(self, loss, of_sample, total) -> Float[Array, ""]:
        """Mean over all samples."""
        ...

    def risk_gradient(self, n, ridge, Za, asum, deviation, means, p, theta) -> Float[Array, "c x"]:
        """Gradient of the risk."""
        ...
