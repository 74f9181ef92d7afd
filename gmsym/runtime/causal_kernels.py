"""Contract of a generated module of kind `CausalKernels`, and the numbers that go with it. Source: theory.md (2.5)-(2.7).

Axes: k and l clusters (K), b blocks (B), c and d fields (C), j and i innovations (of the fields: r, of the gradients: r_a),
n points of the population (N); with teachers e and f their directions (S).
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import jax.numpy as jnp
from jaxtyping import Array, Float

from gmsym.runtime.nodes import Nature


class Numbers(NamedTuple):
    """The numbers of a problem as arrays; everything is O(1)."""

    probabilities: Float[Array, " k"]
    labels: Float[Array, "k l"]
    means_gram: Float[Array, "b k l"]  # within each block, divided by its fraction: so are all Gram matrices and overlaps here
    fractions: Float[Array, " b"]
    variance: Float[Array, "k b"]
    initial_gram: Float[Array, "b c d"]
    initial_overlap: Float[Array, "b c k"]
    ridge: Float[Array, ""]
    alpha: Float[Array, ""]
    parameters: Float[Array, " p"]  # of the loss and the optimizer, in the order of the module's PARAMETERS
    teacher_gram: Float[Array, "b e f"]
    teacher_overlap: Float[Array, "b c e"]
    teacher_means: Float[Array, "b e k"]
    trained: Float[Array, " p"]  # trained parameters of the loss, at the start
    trained_parameters: Float[Array, " p"]  # as `parameters`, for their update: with their own step
    trained_ridge: Float[Array, ""]
    # Of a module in coordinates (KNOWN other than "gram"), each of them a block; empty otherwise, as the Gram matrices are here.
    means: Float[Array, "k b"]
    start: Float[Array, "b c"]
    covariance: Float[Array, "g a b"]  # of "full" only: the different ones
    members: Float[Array, "k g"]  # 1 where it is that of the cluster


def teachers(module: "CausalKernelsModule") -> int:
    """S: a module of a problem with teachers says TEACHERS."""
    return getattr(module, "TEACHERS", 0)


def in_coordinates(module: "CausalKernelsModule") -> bool:
    """Whether what is known of Theta is held as a vector in coordinates."""
    return module.KNOWN != "gram"


def head(module: "CausalKernelsModule") -> int:
    """H: the first coordinates, which respond to each other's noise, of a module that says HEAD."""
    return getattr(module, "HEAD", 0)


def own_noises(module: "CausalKernelsModule") -> int:
    """How many noises of its own a sample has: they are arguments of its functions after its teachers' fields."""
    return getattr(module, "OWN_NOISES", 0)


def observables(module: "CausalKernelsModule") -> tuple[str, ...]:
    """Names of the problem's own observables: a module of a problem with such says OBSERVABLES."""
    return getattr(module, "OBSERVABLES", ())


def tests(module: "CausalKernelsModule") -> dict[str, Callable[..., Array]]:
    """Means over a fresh sample of each cluster by their names in results: test_loss, perhaps test_error, those of the observables."""
    found = {name: getattr(module, name) for name in ("test_loss", "test_error", *(f"test_{x}" for x in observables(module)))}
    return {name: function for name, function in found.items() if function is not None}


def cluster_moments(m: Float[Array, "k c"], Q_k: Float[Array, "k c d"]) -> Float[Array, "k s"]:
    """Order parameters of each cluster as `observed` takes them: the mean, then the upper triangle of the covariance."""
    rows, columns = jnp.triu_indices(m.shape[1])
    return jnp.concatenate([m, Q_k[:, rows, columns]], axis=1)


def by_observable(module: "CausalKernelsModule", values: Float[Array, " r"]) -> dict[str, Array]:
    """Means over the training samples by their names in results."""
    return {f"train_{name}": values[i] for i, name in enumerate(observables(module))}


def trained(module: "CausalKernelsModule") -> tuple[str, ...]:
    """Names of the trained parameters: a module of a problem with such says TRAINED."""
    return getattr(module, "TRAINED", ())


def given(function: Callable[..., Any], arrays: Mapping[str, Any]) -> Any:
    """A generated function of those of the arrays that it mentions."""
    code = function.__code__
    return function(**{name: arrays[name] for name in code.co_varnames[: code.co_argcount]})


def noisy(module: "CausalKernelsModule") -> bool:
    """Whether the optimizer has noise of its own; a module then has `next_Ye`, too."""
    return hasattr(module, "next_Ye")


def opens_always(module: "CausalKernelsModule") -> bool:
    """Whether every step opens new directions, of the samples or of the coordinates."""
    return by_batches(module) or noisy(module)


def by_batches(module: "CausalKernelsModule") -> bool:
    """Whether a module is of mini-batches; it then has `next_visit` and `gradient_seen`, too."""
    return hasattr(module, "next_visit")


def sampled_coordinates(module: "CausalKernelsModule") -> bool:
    """Whether a module's coordinates are sampled, since its update rule is not linear."""
    return hasattr(module, "optimizer")


class CausalKernelsModule(Protocol):
    """What a generated module of this kind offers; the functions are pure and work under `jit` and `vmap`."""

    SIGNATURE: str
    FIELDS: int
    CLUSTERS: int
    BLOCKS: int
    KNOWN: str  # how the means and Theta(0) are held: "gram" matrices; vectors in coordinates with "diagonal" or "full" covariances
    STATE: tuple[str, ...]
    PARAMETERS: tuple[str, ...]
    TEST_NODES: tuple[tuple[int, Nature], ...]  # of means over a fresh sample
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

    # Each of the following takes some of these arrays, by name: numbers alpha, ridge, p (k), rho (b), sigma2 (kb), gram (klb), Q_0
    # (bcd), m_0 (kbc); coefficients P (bcd), U (kbc), Y (bcj) of Theta in Theta(0), the means and the noise innovations, of a second time
    # P_s, U_s, Y_s, of a state variable v P_v, U_v, Y_v, and of the fields' innovations e_P (kbdj), e_U (lkbj), e_Y (kbij); and
    # what the functions before it return. With teachers also star_gram (efb), star_mean (ek), star_mean_b (ekb), M_0 (ebc), coefficients
    # V (ebc) and e_V (ekbj) in their directions, and Lz (ekj), the factors of their fields' noise. `given` picks them.

    # In coordinates: start (bc), mean (kb), Sigma (kba), D (bc), D_s in the place of P and U; innovations of Theta are common to the
    # clusters: e_D (bi), e_Y (bij), coefficients Lt (ci), factors Lw (kij) of their Gram matrices, e_S (kbi), responses Bt (kci).

    # With HEAD coordinates that respond together also n, the pooled variances' products pair (AB), covariances Sh (kAB), unit (AB), the
    # others' mark tail (b), coefficients Z (ABcj) and e_Z (ABij), and Gamma (kij); and there is next_Z.

    def pooled_overlap(self, D, D_s, Y, Y_s, alpha, p, rho, sigma2) -> Float[Array, "c d"]:
        """Qp: in which innovations of Theta are orthonormal. Only in coordinates, as are the next five."""
        ...

    def turned(self, Sigma, e_D) -> Float[Array, "k b i"]:
        """e_S: covariances times innovations, (gbi) from the different ones. Of "full" only."""
        ...

    def innovation_gram(self, Phi, alpha, e_D, e_S, e_Y, rho, sigma2) -> Float[Array, "k i j"]:
        """Ge: Gram matrix of innovations of Theta in the metric of each cluster."""
        ...

    def gram_of_factors(self, Ge) -> Float[Array, "k i j"]:
        """What the factors Lw are those of."""
        ...

    def response_to_fields(self, Bk) -> Float[Array, "k c j"]:
        """What the responses Bt to innovations of Theta add up to, times Lw."""
        ...

    def noise_factors(self, Lt, Lw) -> Float[Array, "k c j"]:
        """L: factors of the fields' noise."""
        ...

    # With sampled coordinates no P, U, V, Y of Theta are in them but theta and theta_s (bcx), of which mu (kbx), star (ebx), normal (qx),
    # e (kbjx) and present (bcx) are functions of the same points; and there are noise_of_coordinates (bij), of which F (bjq) is a factor;
    # response_to_noise (bcq), Y F; noise_loading (bcq), Lxi; risk_gradient (bcx); optimizer and trained_optimizer(t, theta, state,
    # gradient, parameters) -> (theta, state) in place of next_P, ...; perhaps present(theta) and share_of_nonzero (c).

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

    # With observables: observed(fields, ..., moments, ..., parameters) of a sample (r n), train_observed(p, seen) (r) from those of all
    # samples (krn), or for "exact" from mean_seen (kr); test_NAME(m, Q, ..., parameters, nodes), as test_loss.

    # Of a fresh sample; with teachers m and Q are of the fields of students and teachers together.

    def test_loss(self, m: Float[Array, "k c"], Q: Float[Array, "k c d"], parameters: Float[Array, " p"], nodes) -> Float[Array, " k"]:
        """Mean loss of a fresh sample of each cluster; one set of nodes for each of TEST_NODES."""
        ...

    def test_error(
        self, m: Float[Array, "k c"], Q: Float[Array, "k c d"], parameters: Float[Array, " p"], nodes
    ) -> Float[Array, " k"] | None:
        """Misclassification probability of a fresh sample of each cluster, or None."""
        ...
