"""Contract of a generated module of kind `Stationary`, and the numbers that go with it. Source: theory.md 11; verified/sgd.md 1.

Axes: e and f teachers, k and l clusters, b blocks, c and d fields (F of them), p trained parameters, n nodes of the samples of a cluster.
"""

from typing import NamedTuple, Protocol

import numpy as np
from jaxtyping import Array, Float

from gmsym.runtime.nodes import Nature


class Numbers(NamedTuple):
    """A problem in numbers."""

    probabilities: np.ndarray  # p_k, (K,)
    labels: np.ndarray  # y_k, (K, L)
    means_gram: np.ndarray  # mu_k . mu_l, (K, K)
    fractions: np.ndarray  # rho_b, (B,)
    variance: np.ndarray  # sigma2_kb, (K, B)
    alpha: float
    ridge: float  # with the decay of the rule
    l1: float
    shares: np.ndarray  # u_i of the components of the means' coordinates, (A,); where SPARSE, as what follows
    locations: np.ndarray  # nu_ki, (K, A)
    spreads: np.ndarray  # Gamma_kli, (K, K, A)
    teacher_gram: np.ndarray  # theta*_s . theta*_r, (S, S); S = 0 without teachers
    teacher_means: np.ndarray  # theta*_s . mu_k, (S, K)
    teacher_locations: np.ndarray  # nu*_si, (S, A); where SPARSE, as what follows
    teacher_mean_spreads: np.ndarray  # Gamma*_ski, (S, K, A)
    teacher_spreads: np.ndarray  # Gamma**_sri, (S, S, A)
    parameters: tuple[float, ...]  # of the loss, in the order of the module's PARAMETERS
    trained: np.ndarray  # where the search for the trained parameters starts, (P,)
    trained_ridge: float


def teachers(module: "StationaryModule") -> int:
    """S: a module of a problem with teachers says TEACHERS."""
    return getattr(module, "TEACHERS", 0)


def beside(module: "StationaryModule") -> int:
    """How many numbers of a sample its functions take beside its fields, after these: teachers' fields and own noises."""
    return teachers(module) + getattr(module, "OWN_NOISES", 0)


def has_panels(module: "StationaryModule") -> bool:
    """Whether means over samples are integrated between known kinks."""
    return module.FIELDS == 1 and getattr(module, "PANELS", True)


class StationaryModule(Protocol):
    """What a generated module of this kind offers; the functions are pure and take their arrays by name.

    With something beside the fields it says TEACHERS, OWN_NOISES, BENDS, PANELS and ROUGH, and functions of samples take those numbers
    (S + W, N) after the fields, or z and V; `bends(label, *model)` gives the values of the one of them at which there are kinks.
    """

    SIGNATURE: str
    FIELDS: int  # F
    CLUSTERS: int
    BLOCKS: int
    COLUMNS: tuple[tuple[float, ...], ...]  # U, (C, F)
    TRAINED: tuple[str, ...]
    PARAMETERS: tuple[str, ...]
    TEST_NODES: tuple[tuple[int, Nature], ...]  # of means over a fresh sample
    EDGES: int
    DECIDES: bool  # whether `wrong` is there
    SPARSE: bool
    CLOSED: bool

    def loss(self, fields: Float[Array, "c n"], label, *model) -> Float[Array, " n"]:
        """Loss of each sample; `model` is (trained, parameters), or (parameters,) where nothing of the loss is trained."""
        ...

    def gradient(self, fields: Float[Array, "c n"], label, *model) -> Float[Array, "c n"]:
        """Gradient of the loss in the fields."""
        ...

    def trained_gradient(self, fields: Float[Array, "c n"], label, *model) -> Float[Array, "p n"]:
        """Gradient of the loss in the trained parameters, where there are such."""
        ...

    def wrong(self, fields: Float[Array, "c n"], label, *model) -> Float[Array, " n"]:
        """Whether each sample is misclassified, where DECIDES."""
        ...

    def edges(self, V: Float[Array, "1 1"], label, *model) -> tuple[Array, ...]:
        """Values of z where the proximal point of one field has kinks, or the decision changes, where EDGES."""
        ...

    def samples(self, z: Float[Array, "k c n"], V: Float[Array, "k c c"], labels, *model) -> tuple[Array, Array, Array]:
        """h, a and da/dz; `model` ends with the identity matrix."""
        ...

    def field(self, m: Float[Array, "k c"], omega: Float[Array, "k c n"]) -> Float[Array, "k c n"]:
        """z."""
        ...

    def noise_of_fields(self, Qk: Float[Array, "k c d"]) -> Float[Array, "k c d"]:
        """Covariance of omega."""
        ...

    def mean_gradient(self, a: Float[Array, "k c n"], weight: Float[Array, "k n"]) -> Float[Array, "k c"]:
        """E a."""
        ...

    def correlation(self, a, weight) -> Float[Array, "k c d"]:
        """E a a^T."""
        ...

    def integrated_response(self, D: Float[Array, "k c d n"], weight) -> Float[Array, "k c d"]:
        """E da/dz."""
        ...

    def gain(self, ridge, Ah: Float[Array, "k c d"], p, sigma2, unit) -> Float[Array, "b c d"]:
        """G_b."""
        ...

    def width(self, alpha, W: Float[Array, "b c d"], rho, sigma2) -> Float[Array, "k c d"]:
        """V_k; where SPARSE of the share `on` (B,), too."""
        ...

    def mean_overlap(self, W, abar: Float[Array, "k c"], gram: Float[Array, "k l"], p, rho) -> Float[Array, "k c"]:
        """m_k; where SPARSE of `on`, too."""
        ...

    def overlap(self, alpha, C: Float[Array, "k c d"], W, abar, gram, p, rho, sigma2) -> Float[Array, "c d"]:
        """Q; where SPARSE of `q` (B,) and rho."""
        ...

    def cluster_overlap(self, alpha, C, W, abar, gram, p, rho, sigma2) -> Float[Array, "k c d"]:
        """Q_k; where SPARSE of `q`, rho and sigma2."""
        ...

    def trained_risk_gradient(self, trained_ridge, dv: Float[Array, "k p n"], p, v, weight) -> Float[Array, " p"]:
        """Vanishes at rest."""
        ...

    def train_loss(self, ell: Float[Array, "k n"], p, weight) -> Array:
        """Mean over the training samples."""
        ...

    def train_error(self, p, weight, wrong: Float[Array, "k n"]) -> Array:
        """Likewise."""
        ...

    def test_loss(self, m: Float[Array, "k C"], Q: Float[Array, "k C C"], *model) -> Float[Array, " k"]:
        """Of a fresh sample, from the moments of all C fields of the loss; the last of `model` are the nodes."""
        ...

    def test_error(self, m: Float[Array, "k C"], Q: Float[Array, "k C C"], *model) -> Float[Array, " k"]:
        """Likewise; None without a decision."""
        ...

    # With teachers what depends on their response takes `Rz` (e, k, c), `star_gram` (e, f) and `star_mean` (e, k), too, and there are:

    def teacher_field(self, star_mean: Float[Array, "e k"], zeta: Float[Array, "e k n"]) -> Float[Array, "e k n"]:
        """tau."""
        ...

    def teachers_in_cluster(self, rho, sigma2, star_gram: Float[Array, "e f"]) -> Float[Array, "e f k"]:
        """Their Gram matrix in each cluster's metric."""
        ...

    def noise_of_teachers(self, star_gram_k: Float[Array, "e f k"]) -> Float[Array, "e f k"]:
        """Covariance of zeta."""
        ...

    def noise_given_teachers(self, Mk, precision: Float[Array, "e f k"], rest: Float[Array, "k c n"], zeta) -> Float[Array, "k c n"]:
        """omega; `noise_of_fields` of Mk, Qk and precision is the covariance of `rest`."""
        ...

    def teacher_response(self, Ah, Mk, a, precision, weight, zeta) -> Float[Array, "e k c"]:
        """Rz."""
        ...

    def teacher_overlap(self, Rz, W, abar, p, rho, sigma2, star_gram, star_mean) -> Float[Array, "e c"]:
        """M."""
        ...

    def cluster_teacher_overlap(self, Rz, W, abar, p, rho, sigma2, star_gram, star_mean) -> Float[Array, "e k c"]:
        """M_k."""
        ...

    # Where SPARSE; A components:

    def source_mean(self, abar, nu: Float[Array, "k i"], p) -> Float[Array, "c i"]:
        """N_i."""
        ...

    def source_variance(self, Gamma: Float[Array, "k l i"], alpha, C, abar, p, sigma2) -> Float[Array, "b c d i"]:
        """S^2 of each block and component."""
        ...

    def share(self, N: Float[Array, "1 i"], S2: Float[Array, "b i"], W: Float[Array, "b 1"], l1) -> Float[Array, "b i"]:
        """Share of the coordinates that are not zero."""
        ...

    def mean_point(self, N, S2, W, l1) -> Float[Array, "b i"]:
        """Mean of the soft threshold."""
        ...

    def square(self, N, S2, W, l1) -> Float[Array, "b i"]:
        """Mean square of a coordinate."""
        ...

    def nonzero(self, on: Float[Array, "b i"], rho, u: Float[Array, " i"]) -> Array:
        """Share of all coordinates."""
        ...
