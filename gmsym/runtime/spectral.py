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
