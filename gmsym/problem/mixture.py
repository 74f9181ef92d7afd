"""The data: a mixture of K Gaussian clusters. Source: theory.md 0."""

from dataclasses import dataclass, replace
from typing import Any, Self, final

import numpy as np
import sympy as sp

from gmsym import symbols
from gmsym.errors import InputError
from gmsym.problem import _numbers as numbers
from gmsym.problem import spectra
from gmsym.problem.coordinates import Coordinates, gaussian, law
from gmsym.problem.display import call, mixture_latex
from gmsym.problem.embedded import Embedded
from gmsym.problem.fitting import QUANTILES, Fitted, fit
from gmsym.problem.frozen import Frozen, by_block


@final
@dataclass(frozen=True, init=False, repr=False)
class GaussianMixture:
    """x = mu_k + Sigma_k^{1/2} z with probability p_k, z ~ N(0, I_d), |mu_k| = O(1), Sigma_k diagonal by blocks.

    Every entry is a number or an expression of parameters that get their numbers when the problem is solved.

    Args:
        probabilities: p_k, (K,), positive, summing to 1. In simulations they are the exact fractions n_k/n.
        labels: y_k, (K,) real numbers, or (K, L) for vector labels (one-hot classes: L = K rows of the identity).
        means_gram: mu_k . mu_l, (K, K), symmetric positive semidefinite; or (B, K, K) numbers, those of the coordinates in each block.
        variance: sigma_k^2, (K,), of isotropic clusters; or (K, B), the variance of block b in cluster k.
        fractions: rho_b, (B,), the fraction of the d coordinates in block b, summing to 1; only with blocks. What is not given block by
            block has a share rho_b of its Gram matrix in block b.
        coordinates: law of the means' coordinates, such as `gmsym.coordinates.sparse(0.1)`; default, a uniformly random orientation.
            The means are combinations of independent vectors with coordinates of this law: the first mean of the first one, the next
            of the first two, and so on (Cholesky factor of `means_gram`). Linear update rules do not see it.
        means: mu_k in d coordinates, (K, d) numbers, in place of means_gram; each coordinate is a block then, and variance (K,) or (K, d).
        covariance: Sigma_k in these coordinates, (K, d, d) numbers, or (d, d) for all clusters, in place of variance.
        spectrum: of every cluster's covariance, of `gmsym.spectra`, which `variance` (K,) multiplies; it makes the blocks.

    Raises:
        InputError: wrong shapes, or numbers outside what is stated above.
    """

    probabilities: tuple[sp.Expr, ...]
    labels: tuple[tuple[sp.Expr, ...], ...]
    means_gram: sp.ImmutableDenseMatrix
    variance: sp.ImmutableDenseMatrix
    fractions: tuple[sp.Expr, ...]
    coordinates: Coordinates
    placed: Frozen | None  # the means' Gram matrix in each block, (B, K, K); None: rho_b of the whole
    embedded: Embedded | None  # means and covariances of a mixture in coordinates, which then has no symbolic blocks
    fitted: Fitted | None  # of a mixture that was fitted to data

    def __init__(
        self,
        *,
        probabilities: Any,
        labels: Any,
        means_gram: Any = None,
        variance: Any = None,
        fractions: Any = None,
        coordinates: Any = None,
        means: Any = None,
        covariance: Any = None,
        spectrum: Any = None,
    ):
        if spectrum is not None:
            variance, fractions = spectra.scaled(variance, fractions, means, spectrum)
        p = numbers.vector(probabilities, "probabilities")
        count = len(p)
        y = numbers.rows(labels, "labels")
        place = self._in_coordinates(count, means_gram, variance, fractions, means, covariance)
        if place is not None:
            means_gram, variance = place.means.array @ place.means.array.T, [[]] * count
        placed = by_block(means_gram, (count, count), "means_gram")
        gram = numbers.matrix(means_gram if placed is None else placed.array.sum(axis=0), "means_gram")
        s2 = numbers.matrix(numbers.rows(variance, "variance"), "variance") if place is None else sp.ImmutableDenseMatrix(count, 0, [])
        rho = numbers.vector([1] if fractions is None else fractions, "fractions") if place is None else ()
        if len(y) != count or len({len(v) for v in y}) != 1:
            raise InputError(f"labels: one label (all of one length) for each of the {count} clusters is needed, got {labels!r}")
        if any(parameter for v in y for e in v for parameter in e.free_symbols):
            raise InputError(f"labels = {labels!r}: labels must be numbers")
        if gram.shape != (count, count):
            raise InputError(f"means_gram has shape {gram.shape}; ({count}, {count}) is needed, one row a cluster")
        if s2.shape != (count, len(rho)):
            raise InputError(f"variance has shape {s2.shape}; ({count}, {len(rho)}) is needed: clusters, blocks in `fractions`")
        if placed is not None and len(placed.array) != len(rho):
            raise InputError(f"means_gram has {len(placed.array)} blocks; a matrix for each of the {len(rho)} in `fractions` is needed")
        given = {"probabilities": p, "labels": y, "means_gram": gram, "variance": s2, "fractions": rho}
        given |= {"placed": placed, "embedded": place, "fitted": None}
        for name, value in given.items():
            object.__setattr__(self, name, value)
        object.__setattr__(self, "coordinates", gaussian() if coordinates is None else law(coordinates, "coordinates"))
        if not self.parameters:
            self.check({})

    @staticmethod
    def _in_coordinates(count: int, means_gram: Any, variance: Any, fractions: Any, means: Any, covariance: Any) -> Embedded | None:
        """The numbers of a mixture whose means are vectors."""
        if means is None:
            if covariance is not None:
                raise InputError("covariance, matrices in coordinates, needs the means as vectors: means, (clusters, d)")
            for name, value in (("means_gram", means_gram), ("variance", variance)):
                if value is None:
                    raise InputError(f"{name} is missing: means_gram and variance, or means and variance or covariance, are needed")
            return None
        for name, value in (("means_gram", means_gram), ("fractions", fractions)):
            if value is not None:
                raise InputError(f"{name} beside means: vectors in coordinates have their own Gram matrix, and each coordinate is a block")
        return Embedded.of(means, variance, covariance, count)

    @classmethod
    def symmetric(
        cls, label: sp.Expr = symbols.y, mu_norm: Any = symbols.mu_norm, sigma: Any = symbols.sigma, coordinates: Any = None
    ) -> Self:
        """Two equally likely clusters of means +mu and -mu and noise `sigma`.

        Args:
            label: the label as an expression of the cluster's sign y; `y` itself labels them +1 and -1.
            mu_norm: |mu|.
            sigma: noise standard deviation of both clusters.
            coordinates: law of mu's coordinates.
        """
        norm, noise = numbers.scalar(mu_norm, "mu_norm"), numbers.scalar(sigma, "sigma")
        label = numbers.scalar(label, "label")
        return cls(
            probabilities=[sp.Rational(1, 2)] * 2,
            labels=[label.subs(symbols.y, 1), label.subs(symbols.y, -1)],
            means_gram=[[norm**2, -(norm**2)], [-(norm**2), norm**2]],
            variance=[noise**2] * 2,
            coordinates=coordinates,
        )

    @classmethod
    def fit(
        cls, X: Any, labels: Any, *, clusters: Any = "discriminant", quantiles: Any = QUANTILES, covariance: str = "tied", seed: int = 0
    ) -> Self:
        """The mixture whose clusters have the probabilities, means and covariances of data.

        Its coordinates are those of the pooled covariance's eigenbasis, in a unit in which they have variance 1 on average. One cluster a
        class errs by 2 to 9% in test losses of images, which are not Gaussian along their discriminant; cells of it err by 0.2 to 3%.
        Source: verified/real_data.md. Cost: O(n d^2 + d^3) time, (classes or K) d^2 numbers of memory, three times.

        Args:
            X: features, (n, d), finite numbers.
            labels: (n,) of -1 and 1, or of classes 0, 1, ..., C-1; or one-hot rows (n, C).
            clusters: "discriminant", cells of each class's margin in the linear discriminant; "class", one a class; or the index of a
                cluster, from 0, for each row of X.
            quantiles: of the margin, between which cells lie.
            covariance: "tied", one matrix a class; or "own", one a cluster, which needs more samples than features in each.
            seed: of the two halves that are fitted too, for `gmsym.halving`.

        Raises:
            InputError: shapes that do not fit, other things than finite numbers, one class, a cluster with a single sample.

        Example:
            >>> import gmsym as gm, numpy as np
            >>> y = np.repeat([1, -1], 500)
            >>> X = np.random.default_rng(0).normal(size=(1000, 3)) + y[:, None]
            >>> gm.GaussianMixture.fit(X, y, clusters="class").blocks
            3
        """
        found = fit(X, labels, clusters, quantiles, covariance, seed)
        return cls.of_fit(found.probabilities, found.labels, found.place, found.fitted)

    @classmethod
    def of_fit(cls, probabilities: Any, labels: Any, place: Embedded, fitted: Fitted | None) -> Self:
        """A mixture in coordinates that are known to be fine."""
        data = cls(probabilities=probabilities, labels=labels, means=place.means.array, variance=place.variance.array)
        object.__setattr__(data, "embedded", place)
        object.__setattr__(data, "fitted", fitted)
        return data

    def halves(self) -> tuple[Self, ...]:
        """The mixtures fitted to two random halves of the data, in the coordinates of the whole; none if these are too few.

        Raises:
            InputError: the mixture was not fitted.
        """
        if self.fitted is None:
            raise InputError("this mixture was not fitted to data (GaussianMixture.fit), which alone has halves")
        return tuple(self.of_fit(p.array, self.labels, place, replace(self.fitted, halves=())) for p, place in self.fitted.halves)

    def __repr__(self) -> str:
        labels = [e for v in self.labels for e in v] if self.label_size == 1 else self.labels
        if self.embedded is not None:
            means = self.embedded.means.array
            return call("GaussianMixture", probabilities=self.probabilities, labels=labels, means=means)
        blocks = {} if self.blocks == 1 else {"fractions": self.fractions}
        law = {} if self.coordinates.is_gaussian else {"coordinates": self.coordinates}
        entries = {"means_gram": self.means_gram, "variance": self.variance if blocks else list(self.variance)}
        return call("GaussianMixture", probabilities=self.probabilities, labels=labels, **entries, **blocks, **law)

    def _repr_latex_(self) -> str:
        return mixture_latex(self)

    @property
    def clusters(self) -> int:
        """K."""
        return len(self.probabilities)

    @property
    def blocks(self) -> int:
        """B."""
        return len(self.fractions) if self.embedded is None else self.embedded.d

    @property
    def label_size(self) -> int:
        """L, components of a label."""
        return len(self.labels[0])

    @property
    def parameters(self) -> frozenset[sp.Symbol]:
        """Symbols that need a number."""
        own = numbers.parameters(*self.probabilities, self.means_gram, self.variance, *self.fractions)
        return own | self.coordinates.parameters

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
        }
        if self.embedded is None:
            arrays["variance"] = numbers.numeric(self.variance, values, (count, blocks))
            arrays["fractions"] = numbers.numeric(self.fractions, values, (blocks,))
        else:
            arrays |= {"variance": self.embedded.variance.array, "fractions": np.full(blocks, 1 / blocks)}
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
