"""A mixture in coordinates: means as vectors, covariances as matrices. Source: verified/real_data.md."""

from dataclasses import dataclass
from typing import Any, final

import numpy as np

from gmsym.errors import InputError
from gmsym.problem.frozen import Frozen, finite


@final
@dataclass(frozen=True)
class Embedded:
    """The numbers of a mixture in d coordinates, each of them a block. K clusters, G different covariances."""

    means: Frozen  # mu_k, (K, d)
    variance: Frozen  # diagonals of the covariances, (K, d)
    covariance: Frozen | None  # Sigma, (G, d, d); None: the covariances are diagonal
    groups: tuple[int, ...]  # which of them is Sigma_k, (K,)

    @classmethod
    def of(cls, means: Any, variance: Any, covariance: Any, clusters: int) -> "Embedded":
        """Checked numbers.

        Args:
            means: (K, d).
            variance: (K,) or (K, d) of diagonal covariances; or None.
            covariance: (K, d, d) or, one for all clusters, (d, d); or None.
            clusters: K.

        Raises:
            InputError: wrong shapes, other things than finite numbers, covariances that are not symmetric positive semidefinite.
        """
        mu = Frozen.of(means, "means")
        if mu.array.ndim != 2 or len(mu.array) != clusters or not mu.array.shape[1]:
            raise InputError(f"means has shape {mu.array.shape}; ({clusters}, d) is needed: clusters, coordinates")
        d = mu.array.shape[1]
        if (variance is None) == (covariance is None):
            raise InputError("either variance or covariance is needed beside means, and not both")
        if covariance is None:
            s2 = finite(variance, "variance")
            if s2.shape not in ((clusters,), (clusters, d)):
                raise InputError(f"variance has shape {s2.shape}; ({clusters},) or ({clusters}, {d}) is needed: clusters, coordinates")
            s2 = np.broadcast_to(s2.reshape(clusters, -1), (clusters, d))
            if (s2 < 0).any():
                k, b = map(int, np.argwhere(s2 < 0)[0])
                raise InputError(f"variance of cluster {k} in coordinate {b} is {s2[k, b]:.3g}: variances must not be negative")
            return cls(mu, Frozen(s2.copy()), None, tuple(range(clusters)))
        matrices = finite(covariance, "covariance")
        if matrices.shape not in ((clusters, d, d), (d, d)):
            raise InputError(f"covariance has shape {matrices.shape}; ({clusters}, {d}, {d}), or ({d}, {d}) for all clusters, is needed")
        matrices = matrices.reshape(-1, d, d)
        for k, matrix in enumerate(matrices):
            size = abs(matrix).max()
            if not np.allclose(matrix, matrix.T, rtol=1e-8, atol=1e-10 * size):
                raise InputError(f"covariance of cluster {k} is not symmetric")
            lowest = np.linalg.eigvalsh(matrix)[0]
            if lowest < -1e-9 * max(size, 1e-300) * d:
                raise InputError(f"covariance of cluster {k} has the negative eigenvalue {lowest:.3g}; it must be positive semidefinite")
        groups = tuple(range(clusters)) if len(matrices) == clusters else (0,) * clusters
        return cls.grouped(mu.array, matrices, groups)

    @classmethod
    def grouped(cls, means: np.ndarray, matrices: np.ndarray, groups: tuple[int, ...]) -> "Embedded":
        """Of covariances (G, d, d), of which cluster k has the one of number groups[k]."""
        diagonals = np.maximum(np.diagonal(matrices, axis1=1, axis2=2), 0.0)
        return cls(Frozen(means.copy()), Frozen(diagonals[list(groups)]), Frozen(matrices.copy()), groups)

    @property
    def d(self) -> int:
        """Embedded."""
        return self.means.array.shape[1]

    @property
    def matrices(self) -> np.ndarray | None:
        """Sigma_k, (K, d, d)."""
        return None if self.covariance is None else self.covariance.array[list(self.groups)]
