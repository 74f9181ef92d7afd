"""The data: a mixture of K Gaussian clusters. Source: theory.md 0."""

from dataclasses import dataclass
from typing import Any, Self, final

import numpy as np
import sympy as sp

from gmsym import symbols
from gmsym.errors import InputError
from gmsym.problem import _numbers as numbers


@final
@dataclass(frozen=True, init=False)
class GaussianMixture:
    """x = mu_k + Sigma_k^{1/2} z with probability p_k, z ~ N(0, I_d), |mu_k| = O(1), Sigma_k diagonal by blocks.

    Every entry is a number or an expression of parameters that get their numbers when the problem is solved.

    Args:
        probabilities: p_k, (K,), positive, summing to 1. In simulations they are the exact fractions n_k/n.
        labels: y_k, (K,) real numbers, or (K, L) for vector labels (one-hot classes: L = K rows of the identity).
        means_gram: mu_k . mu_l, (K, K), symmetric positive semidefinite.
        variance: sigma_k^2, (K,), of isotropic clusters; or (K, B), the variance of block b in cluster k.
        fractions: rho_b, (B,), the fraction of the d coordinates in block b, summing to 1; only with blocks. The means
            and the initial state have a share rho_b of their Gram matrix in block b.

    Raises:
        InputError: wrong shapes, or numbers outside what is stated above.
    """

    probabilities: tuple[sp.Expr, ...]
    labels: tuple[tuple[sp.Expr, ...], ...]
    means_gram: sp.ImmutableDenseMatrix
    variance: sp.ImmutableDenseMatrix
    fractions: tuple[sp.Expr, ...]

    def __init__(self, *, probabilities: Any, labels: Any, means_gram: Any, variance: Any, fractions: Any = None):
        p = numbers.vector(probabilities, "probabilities")
        count = len(p)
        y = numbers.rows(labels, "labels")
        gram = numbers.matrix(means_gram, "means_gram")
        s2 = numbers.matrix(numbers.rows(variance, "variance"), "variance")
        rho = numbers.vector([1] if fractions is None else fractions, "fractions")
        if len(y) != count or len({len(v) for v in y}) != 1:
            raise InputError(f"labels: one label (all of one length) for each of the {count} clusters is needed, got {labels!r}")
        if any(parameter for v in y for e in v for parameter in e.free_symbols):
            raise InputError(f"labels = {labels!r}: labels must be numbers")
        if gram.shape != (count, count):
            raise InputError(f"means_gram has shape {gram.shape}; ({count}, {count}) is needed, one row a cluster")
        if s2.shape != (count, len(rho)):
            raise InputError(f"variance has shape {s2.shape}; ({count}, {len(rho)}) is needed: clusters, blocks in `fractions`")
        for name, value in (("probabilities", p), ("labels", y), ("means_gram", gram), ("variance", s2), ("fractions", rho)):
            object.__setattr__(self, name, value)
        if not self.parameters:
            self.check({})

    @classmethod
    def symmetric(cls, label: sp.Expr = symbols.y, mu_norm: Any = symbols.mu_norm, sigma: Any = symbols.sigma) -> Self:
        """Two equally likely clusters of means +mu and -mu and noise `sigma`.

        Args:
            label: the label as an expression of the cluster's sign y; `y` itself labels them +1 and -1.
            mu_norm: |mu|.
            sigma: noise standard deviation of both clusters.
        """
        norm, noise = numbers.scalar(mu_norm, "mu_norm"), numbers.scalar(sigma, "sigma")
        label = numbers.scalar(label, "label")
        return cls(
            probabilities=[sp.Rational(1, 2)] * 2,
            labels=[label.subs(symbols.y, 1), label.subs(symbols.y, -1)],
            means_gram=[[norm**2, -(norm**2)], [-(norm**2), norm**2]],
            variance=[noise**2] * 2,
        )

    @property
    def clusters(self) -> int:
        """K."""
        return len(self.probabilities)

    @property
    def blocks(self) -> int:
        """B."""
        return len(self.fractions)

    @property
    def label_size(self) -> int:
        """L, components of a label."""
        return len(self.labels[0])

    @property
    def parameters(self) -> frozenset[sp.Symbol]:
        """Symbols that need a number."""
        return numbers.parameters(*self.probabilities, self.means_gram, self.variance, *self.fractions)

    def check(self, values: dict[sp.Symbol, float]) -> dict[str, np.ndarray]:
        """The mixture's arrays in numbers, checked.

        Returns:
            probabilities (K,), labels (K, L), means_gram (K, K), variance (K, B), fractions (B,), all float64.

        Raises:
            InputError: naming the entry that is out of range.
        """
        count, blocks = self.clusters, self.blocks
        arrays = {
            "probabilities": numbers.numeric(self.probabilities, values, (count,)),
            "labels": numbers.numeric([e for v in self.labels for e in v], values, (count, self.label_size)),
            "means_gram": numbers.numeric(self.means_gram, values, (count, count)),
            "variance": numbers.numeric(self.variance, values, (count, blocks)),
            "fractions": numbers.numeric(self.fractions, values, (blocks,)),
        }
        for name in ("probabilities", "fractions"):
            array = arrays[name]
            if (array <= 0).any() or abs(array.sum() - 1) > 1e-9:
                raise InputError(f"{name} = {array.tolist()} sum to {array.sum():.10g}; positive numbers that sum to 1 are needed")
        if (arrays["variance"] < 0).any():
            raise InputError(f"variance = {arrays['variance'].tolist()}: variances must not be negative")
        check_positive_semidefinite(arrays["means_gram"], "means_gram")
        return arrays


def check_positive_semidefinite(array: np.ndarray, name: str) -> None:
    """Raises InputError unless `array` is symmetric positive semidefinite to rounding."""
    if not np.allclose(array, array.T, rtol=1e-10, atol=1e-12):
        raise InputError(f"{name} = {array.tolist()} is not symmetric; a Gram matrix is")
    lowest = np.linalg.eigvalsh(array)[0]
    if lowest < -1e-10 * max(1.0, abs(array).max()):
        raise InputError(f"{name} = {array.tolist()} has the negative eigenvalue {lowest:.3g}; a Gram matrix is positive semidefinite")
