"""Contract of a generated module of kind `Spectral`, and the numbers that go with it. Source: theory.md 7.

Axes: k clusters (K), b blocks of coordinates (B), c fields of the loss (C), u fields that A depends on (F), r entries of a packed
symmetric m x m matrix, f minors.
"""

from typing import NamedTuple, Protocol

import numpy as np
from jaxtyping import Array, Float, Inexact


class Numbers(NamedTuple):
    """A problem and a state in numbers."""

    probabilities: np.ndarray  # p_k, (K,)
    labels: np.ndarray  # y_k, (K, L)
    fractions: np.ndarray  # rho_b, (B,)
    variance: np.ndarray  # sigma2_kb, (K, B)
    grams: np.ndarray  # Gram matrix of (Theta, means, teacher) within each block, (B, C + K + T, C + K + T)
    alpha: float
    parameters: tuple[float, ...]  # of the loss, in the order of the module's PARAMETERS
    named: tuple[float, ...] = ()  # of the problem, in the order of the module's NAMED


class SpectralModule(Protocol):
    """What a generated module of this kind offers; the functions are pure."""

    SIGNATURE: str
    SIZE: int  # m
    TRAINED: int  # p
    PARAMETERS: tuple[str, ...]
    DIRECTIONS: tuple[tuple[float, ...], ...]  # V, (C + T, F)
    COLUMNS: tuple[tuple[float, ...], ...]  # U, (C, m)
    RANK: int  # of A at almost every point
    DEGREES: tuple[int, ...]  # order of each minor; empty if they are too many, and so are the functions of minors
    NAMED: tuple[str, ...] | None  # parameters of the problem in the closed form; None where there is none
    ATOM_BY_RANK: bool  # whether `atom` needs no S
    KINKS: int  # loci where A is not smooth
    KINK_FORM: tuple[float, ...]  # w, (F,), if all of them depend on w . u alone; else empty

    def matrix(self, fields: Float[Array, "u n"], label, parameters) -> Float[Array, "r n"]:
        """A of each sample."""
        ...

    def mixed(self, fields: Float[Array, "u n"], label, parameters) -> Float[Array, "mp n"]:
        """The entries of the extended matrix for a column and a trained parameter."""
        ...

    def corner(self, fields: Float[Array, "u n"], label, parameters) -> Float[Array, "pp n"]:
        """The entries for two trained parameters, packed."""
        ...

    def kinks(self, fields: Float[Array, "u n"], label, parameters) -> Float[Array, "loci n"]:
        """Functions of the fields that vanish where A is not smooth."""
        ...

    def minors(self, a: Float[Array, "r n"]) -> Float[Array, "f n"]:
        """Minors of A that do not vanish identically."""
        ...

    def denominator(self, s: Inexact[Array, "r n"]) -> Inexact[Array, "f n"]:
        """det(I + S'A) - 1 = sum_f denominator_f minor_f."""
        ...

    def numerator(self, s: Inexact[Array, "r n"]) -> Inexact[Array, "rf n"]:
        """X det(I + S'A) = sum_f numerator_f minor_f, entry by entry."""
        ...

    # One function a displayed equation. Arrays have the indices k and b first, then rows and columns unless m = 1, then points or nodes;
    # `mean_X` are means over each cluster's samples, of X kron X with both matrices' rows and columns in turn.

    def form(self, alpha: Float[Array, ""], rho: Float[Array, " b"], sigma2: Float[Array, "k b"], S: Inexact[Array, "b *mm p"]) -> Array:
        """S'_k, (K, [m, m,] P)."""
        ...

    def form_slope(self, alpha, rho, sigma2, S_slope) -> Array:
        """Its derivative in z."""
        ...

    def share(self, form: Inexact[Array, "*mm n"], A: Float[Array, "*mm n"]) -> Inexact[Array, "*mm n"]:
        """X of each sample."""
        ...

    def share_slope(self, form_slope, X) -> Array:
        """Its derivative in z."""
        ...

    def inverse_transform(self, z: Inexact[Array, " p"], p: Float[Array, " k"], sigma2, mean_X: Inexact[Array, "k *mm p"]) -> Array:
        """Inverse of S_b, (B, [m, m,] P)."""
        ...

    def inverse_slope(self, alpha, p, sigma2, S_slope, form_slope, mean_XX: Inexact[Array, "k *mmmm p"]) -> Array:
        """V_b with dS_b/dz = S_b V_b S_b; affine in the slopes."""
        ...

    # With trained parameters, TRAINED > 0, the share has their rows and columns, too: `H` is the whole matrix of a sample.

    def extended(self, form, A, H: Float[Array, "e e n"], columns: Float[Array, "e m n"], rows: Float[Array, "m e n"]) -> Array:
        """X of each sample, (m + p, m + p, N)."""
        ...

    def extended_slope(self, form, form_slope, A, H, columns, rows, X) -> Array:
        """Its derivative in z."""
        ...

    def compressed(self, p, mean_outer: Float[Array, "k q q p"]) -> Float[Array, "q q p"]:
        """Q(z) from means of X kron Yhat Yhat^T."""
        ...

    def compressed_slope(self, p, mean_outer) -> Array:
        """Q'(z)."""
        ...

    def secular(self, z: Float[Array, " p"], Q: Float[Array, "q q p"]) -> Float[Array, "q q p"]:
        """D(z), singular at outliers."""
        ...

    def overlap(self, Q_slope: Float[Array, "q q p"], w: Float[Array, "q p"]) -> Float[Array, " p"]:
        """1/(w^T D'(z) w)."""
        ...

    def density(self, rho, S) -> Float[Array, " p"]:
        """Of the m d eigenvalues, from S above the real axis."""
        ...

    def atom(self, alpha, p, mean_rank: Float[Array, " k"], rho, z, S) -> Array:
        """Mass at 0, from the mean rank of A or from S where z is small and imaginary."""
        ...

    # With SIZE = 1, of one real number s = cosine/sine, for clusters of one variance profile; algebra alone, so that NumPy's arrays stay.

    def line_share(self, sine, cosine, a) -> np.ndarray:
        """u/cosine of each a = c A."""
        ...

    def line_profile(self, t, w, r) -> np.ndarray:
        """v/w of each ratio r of variances, tau = t/w."""
        ...

    def line_total(self, alpha, mean) -> np.ndarray:
        """The common sum over cosine, from the mean of u/cosine."""
        ...

    def line_inverse(self, alpha, sine, t, g) -> np.ndarray:
        """z, from the common sum over cosine w."""
        ...

    def line_transform(self, alpha, sine, t, w, r, g) -> np.ndarray:
        """S of each block."""
        ...

    def line_turning(self, alpha, mean, squares, g) -> np.ndarray:
        """R, below 1 outside the bulk, from the means of (u/cosine)^2 and (v/w)^2."""
        ...

    # Where A is a number with finitely many values, NAMED is not None:

    def probabilities(self, m: Float[Array, " k"], Q: Float[Array, ""], named: tuple[float, ...]) -> tuple[Array, ...]:
        """Of each value of A; m and Q are of the field that A depends on."""
        ...

    def closed_form(self, z, S, alpha, q: tuple[Array, ...], named: tuple[float, ...]) -> Inexact[Array, " p"]:
        """A polynomial that vanishes at the fixed point."""
        ...
