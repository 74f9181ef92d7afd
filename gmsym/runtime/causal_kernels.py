"""Contract of a generated module of kind `CausalKernels`, and the numbers that go with it. Source: theory.md (2.5)-(2.7).

Axes: k clusters (K), b blocks (B), c and d fields (C), j and i innovations (of the fields: r, of the gradients: r_a),
n points of the population (N), x vectors of the basis (Theta(0): C, means: K, noise innovations: r_a).
"""

from typing import NamedTuple, Protocol

from jaxtyping import Array, Float


class Numbers(NamedTuple):
    """The numbers of a problem as arrays; everything is O(1)."""

    probabilities: Float[Array, " k"]
    labels: Float[Array, "k l"]
    means_gram: Float[Array, "k k"]
    fractions: Float[Array, " b"]
    variance: Float[Array, "k b"]
    initial_gram: Float[Array, "c c"]
    initial_overlap: Float[Array, "c k"]
    ridge: Float[Array, ""]
    alpha: Float[Array, ""]
    parameters: Float[Array, " p"]  # of the loss and the optimizer, in the order of the module's PARAMETERS


class CausalKernelsModule(Protocol):
    """What a generated module of this kind offers; the functions are pure and work under `jit` and `vmap`."""

    SIGNATURE: str
    FIELDS: int
    CLUSTERS: int
    BLOCKS: int
    STATE: tuple[str, ...]
    PARAMETERS: tuple[str, ...]
    RESPONSE: str  # "tangent", "stein" or "exact"

    def loss(self, h: Float[Array, "c n"], y: Float[Array, " l"], parameters: Float[Array, " p"]) -> Float[Array, " n"]:
        """Loss of each sample."""
        ...

    def gradient(self, h: Float[Array, "c n"], y: Float[Array, " l"], parameters: Float[Array, " p"]) -> Float[Array, "c n"]:
        """Its gradient in the fields."""
        ...

    def hessian(self, h: Float[Array, "c n"], y: Float[Array, " l"], parameters: Float[Array, " p"]) -> Float[Array, "c d n"]:
        """Its Hessian in the fields, away from kinks."""
        ...

    def optimizer(self, t, theta, state, gradient, parameters):
        """One step of the optimizer on any arrays of one shape: new theta and tuple of new state variables."""
        ...

    def memory(self, alpha, rho, sigma2, Y: Float[Array, "b c j"]) -> Float[Array, "k c j"]:
        """Response of the fields to the gradients' innovations."""
        ...

    def field(self, m, L, g, Rt, f) -> Float[Array, "k c n"]:
        """Local fields of the population."""
        ...

    def tangent(self, A, L, Rt, Df) -> Float[Array, "k c j n"]:
        """Derivative of the gradients in the fields' innovations."""
        ...

    def risk_gradient(self, p, sigma2, ridge, abar, mu, La, zeta, B, e, theta) -> Float[Array, "b c x"]:
        """Coefficients of the gradient of the risk in the basis."""
        ...

    def noise_metric(self, alpha, f, f_new, p, rho, sigma2) -> Float[Array, "b i j"]:
        """Gram matrix of the noise innovations in a block."""
        ...

    def test_loss(self, m: Float[Array, "k c"], Q: Float[Array, "k c d"], parameters: Float[Array, " p"]) -> Float[Array, " k"]:
        """Mean loss of a fresh sample of each cluster."""
        ...

    def test_error(self, m: Float[Array, "k c"], Q: Float[Array, "k c d"], parameters: Float[Array, " p"]) -> Float[Array, " k"] | None:
        """Misclassification probability of a fresh sample of each cluster, or None."""
        ...
