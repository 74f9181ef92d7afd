"""Contract of a generated module of kind `Influence`. Source: theory.md 1.3.

Axes: k clusters (K), c and d fields (C), i directions, x coordinates (d), n samples of a cluster (padded to the largest), j moments of a
block. The adjoint of an array X is X_bar. Functions take those of their arguments that their equations mention (runtime/arguments.py).
"""

from typing import Protocol

from jaxtyping import Array, Float


class InfluenceModule(Protocol):
    """What a generated module of this kind offers: adjoints of a step's stages, each at the arrays of the run, and variances."""

    SIGNATURE: str

    def parameter_direction(
        self, Zq_new_bar, column, deviation, diagonal_bar, g_new, of_coordinate, of_sample, opened, q, q_new_bar, row_bar, u, z
    ):
        """Of a new direction of the parameters: adjoints of column (x), q (k i x), u (k i n) and the weights (k n), (x)."""
        ...

    def fields(self, L, Q_bar, Q_k_bar, Zq, deviation, h_bar, m_bar, means, of_coordinate, theta):
        """Adjoints of theta (c x), L (k c i), Zq (k i n) and the weights of coordinates."""
        ...

    def gradient_direction(self, Zu_new_bar, diagonal_bar, g, of_coordinate, of_sample, opened, q, row_bar, slope, u, u_new_bar, z_new):
        """Of a new direction of the gradients: adjoints of slope (k n), q, u and the weights."""
        ...

    def update(self, M, Zu, a, counts, deviation, gradient_bar, loss, means, of_sample, p, ridge, total, train_loss_bar):
        """Adjoints of theta, a (k c n), M (k c i), Zu (k i x), loss (k n) and the weights of samples."""
        ...

    def curvature(self, fields, label, parameters):
        """Derivative of gradient c in field d, a tuple of C tuples."""
        ...

    def sample(self, A, a, a_bar, loss_bar) -> Float[Array, "k c n"]:
        """Adjoint of the fields; A is (k c d n)."""
        ...

    def optimizer(self, t, theta, state, gradient, theta_after, state_after, parameters):
        """Adjoints of theta, the state and the gradient before step t, from those after it."""
        ...

    def variance_of_samples(self, counts, exists, influence) -> Float[Array, " k"]:
        """n_k Var of the influences of each cluster."""
        ...

    def variance_of_coordinates(self, fit, fixed, influence_x, known, size) -> Float[Array, ""]:
        """The same of a block, less the fit by the moments (x j) that the start fixes."""
        ...

    def variance(self, of_blocks, of_samples, total) -> Float[Array, ""]:
        """n Var of an output."""
        ...
