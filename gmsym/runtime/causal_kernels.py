"""Contract of a generated module of kind `CausalKernels`, and the numbers that go with it. Source: theory.md (2.5)-(2.7).

Axes: k and l clusters (K), b blocks (B), c and d fields (C), j and i innovations (of the fields: r, of the gradients: r_a),
n points of the population (N); with teachers e and f their directions (S).
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

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
    teacher_gram: Float[Array, "e f"]
    teacher_overlap: Float[Array, "c e"]
    teacher_means: Float[Array, "e k"]
    trained: Float[Array, " p"]  # trained parameters of the loss, at the start
    trained_parameters: Float[Array, " p"]  # as `parameters`, for their update: with their own step
    trained_ridge: Float[Array, ""]


def teachers(module: "CausalKernelsModule") -> int:
    """S: a module of a problem with teachers says TEACHERS."""
    return getattr(module, "TEACHERS", 0)


def trained(module: "CausalKernelsModule") -> tuple[str, ...]:
    """Names of the trained parameters: a module of a problem with such says TRAINED."""
    return getattr(module, "TRAINED", ())


def given(function: Callable[..., Array], arrays: Mapping[str, Any]) -> Array:
    """A generated function of those of the arrays that it mentions."""
    code = function.__code__
    return function(**{name: arrays[name] for name in code.co_varnames[: code.co_argcount]})


def by_batches(module: "CausalKernelsModule") -> bool:
    """Whether a module is of mini-batches; it then has `next_visit` and `gradient_seen`, too."""
    return hasattr(module, "next_visit")


class CausalKernelsModule(Protocol):
    """What a generated module of this kind offers; the functions are pure and work under `jit` and `vmap`."""

    SIGNATURE: str
    FIELDS: int
    CLUSTERS: int
    BLOCKS: int
    STATE: tuple[str, ...]
    PARAMETERS: tuple[str, ...]
    RESPONSE: str  # "tangent", "stein" or "exact"
    START: dict[str, int]  # P and U, and P_v, U_v of each state variable, at the start: multiples of the identity, and of ones

    # With teachers the next three take their fields, teacher (e n), too, and with trained parameters trained (p), as do test_loss and
    # test_error; `given` picks arguments by name.

    def loss(self, fields: Float[Array, "c n"], label: Float[Array, " l"], parameters: Float[Array, " p"]) -> Float[Array, " n"]:
        """Loss of each sample."""
        ...

    def gradient(self, fields: Float[Array, "c n"], label: Float[Array, " l"], parameters: Float[Array, " p"]) -> Float[Array, "c n"]:
        """Its gradient in the fields."""
        ...

    def hessian(self, fields: Float[Array, "c n"], label: Float[Array, " l"], parameters: Float[Array, " p"]) -> Float[Array, "c d n"]:
        """Its Hessian in the fields, away from kinks."""
        ...

    # Each of the following takes some of these arrays, by name: numbers alpha, ridge, p (k), rho (b), sigma2 (kb), gram (kl), Q_0 (cd),
    # m_0 (kc); coefficients P (bcd), U (kbc), Y (bcj) of Theta in Theta(0), the means and the noise innovations, of a second time
    # P_s, U_s, Y_s, of a state variable v P_v, U_v, Y_v, and of the fields' innovations e_P (kbdj), e_U (lkbj), e_Y (kbij); and
    # what the functions before it return. With teachers also star_gram (ef), star_mean (ek), M_0 (ec), coefficients V (ebc) and e_V
    # (ekbj) in their directions, and Lz (ekj), the factors of their fields' noise. `given` picks them.

    # With teachers: teacher_overlap (ec), M; cluster_teacher_overlap (ekc) and teacher_covariance (efk), the same and star_gram in the
    # metric of each cluster; teacher_field (ekn), from star_mean, Lz, g; next_V.

    def mean_overlap(self, P, U, gram, m_0, rho) -> Float[Array, "k c"]:
        """m: overlap with the means."""
        ...

    def overlap(self, alpha, P, P_s, Phi, Q_0, U, U_s, Y, Y_s, gram, m_0, rho) -> Float[Array, "c d"]:
        """Q(t, s): overlap of two iterates, a bilinear form."""
        ...

    def cluster_overlap(self, alpha, P, P_s, Phi, Q_0, U, U_s, Y, Y_s, gram, m_0, rho, sigma2) -> Float[Array, "k c d"]:
        """Qk: the same in the metric of each cluster."""
        ...

    def noise_of_fields(self, Qk) -> Float[Array, "k c d"]:
        """Covariance of the fields' noise: L are its factors (kcj)."""
        ...

    def memory(self, alpha, Y, rho, sigma2) -> Float[Array, "k c j"]:
        """Rt: response of the fields to the gradients' innovations."""
        ...

    def field(self, L, Rt, f, g, m) -> Float[Array, "k c n"]:
        """Local fields of the population. Not for "exact"."""
        ...

    def tangent(self, A, Df, L, Rt) -> Float[Array, "k c j n"]:
        """Da: derivative of the gradients in the fields' innovations. For "tangent" only."""
        ...

    def mean_field(self, Rt, fbar, m) -> Float[Array, "k c"]:
        """Mean of the fields. For "exact" only, as are the next three."""
        ...

    def field_slope(self, Df, L, Rt) -> Float[Array, "k c j"]:
        """Dh: derivative of the fields in their innovations."""
        ...

    def field_covariance(self, Dh) -> Float[Array, "k c d"]:
        """Covariance of the fields."""
        ...

    def offset(self, label: Float[Array, " l"], parameters: Float[Array, " p"]) -> tuple[Array, ...]:
        """Gradient at zero field."""
        ...

    def mean_gradient(self, a) -> Float[Array, "k c"]:
        """abar; for "exact" from Rt, fbar, m, offset, slope."""
        ...

    def train_loss(self, ell, p) -> Float[Array, ""]:
        """From the loss of each sample (k n); for "exact" from mean_loss (k)."""
        ...

    def response(self, Da) -> Float[Array, "k c j"]:
        """B: response of the gradients to the fields' innovations; for "stein" from a, g, for "exact" from Df, L, Rt, slope."""
        ...

    def correlation(self, f, f_new) -> Float[Array, "k i j"]:
        """Gamma: mean product of functions of the samples; for "exact" of fbar, Df and fbar_new, Df_new."""
        ...

    def mixture_correlation(self, f, f_new, p) -> Float[Array, "i j"]:
        """The same over the mixture, in which the innovations are orthonormal."""
        ...

    def noise_covariance(self, Gamma, p, sigma2) -> Float[Array, "b i j"]:
        """Phi: covariance of the noise innovations, times n."""
        ...

    # next_P, next_U, next_Y(t, parameters, ...) and for a state variable v next_P_v, ...: the coefficients after step t.

    # With trained parameters v: trained_gradient(fields, ..., parameters) of the loss (p n), trained_risk_gradient(trained_ridge, p, dv, v)
    # and next_v(t, parameters, gv, v, ...), next_v_x for a state variable x.

    # Of a fresh sample; with teachers m and Q are of the fields of students and teachers together.

    def test_loss(self, m: Float[Array, "k c"], Q: Float[Array, "k c d"], parameters: Float[Array, " p"]) -> Float[Array, " k"]:
        """Mean loss of a fresh sample of each cluster."""
        ...

    def test_error(self, m: Float[Array, "k c"], Q: Float[Array, "k c d"], parameters: Float[Array, " p"]) -> Float[Array, " k"] | None:
        """Misclassification probability of a fresh sample of each cluster, or None."""
        ...
