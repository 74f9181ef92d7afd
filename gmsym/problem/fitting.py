"""Moments of data: means and covariances of clusters, in the eigenbasis of their pooled covariance. Source: verified/real_data.md.

A class need not be Gaussian along the direction that tells it from the others, where training looks. Cells of that direction, each of
them a Gaussian cluster, are: samples of a class are sorted by their margin, own less best other score of the linear discriminant, and
cut at quantiles of it.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, final

import numpy as np

from gmsym.errors import InputError
from gmsym.problem.embedded import Embedded
from gmsym.problem.frozen import Frozen, finite

QUANTILES = (0.05, 0.25, 0.75, 0.95)
ENOUGH = 15  # samples a coordinate, below which the moments make the problem visibly easier
_BIAS = 0.12  # of the test error times n_fit/d, measured on digits
_SHRINK = 0.02  # of the pooled covariance towards a multiple of the identity, in the discriminant only


@final
@dataclass(frozen=True)
class Frame:
    """How features become coordinates: z = basis^T (x - centre)/unit."""

    centre: Frozen  # (features,)
    unit: float  # one for all features: coordinates have variance 1 on average
    basis: Frozen  # columns are the pooled covariance's eigenvectors, by decreasing eigenvalue, (features, d)


class Moments(NamedTuple):
    """A mixture in numbers, in some frame."""

    probabilities: np.ndarray  # (K,)
    place: Embedded


@final
@dataclass(frozen=True)
class Fitted:
    """What a mixture was fitted to, and how. K clusters."""

    frame: Frame
    samples: int  # n_fit
    counts: tuple[int, ...]  # of each cluster, (K,)
    classes: tuple[int, ...]  # class of each cluster, (K,)
    clusters: str  # "class", "discriminant" or "given"
    quantiles: tuple[float, ...]
    covariance: str  # "tied" or "own"
    shape: tuple[tuple[float, float], ...]  # skewness and excess kurtosis of each class's margin
    effective_dimension: float  # (tr S)^2/tr S^2 of the pooled covariance
    halves: tuple[tuple[Frozen, Embedded], ...]  # probabilities and moments of two random halves of the data, in the same frame


class Fit(NamedTuple):
    """What a mixture is made of."""

    probabilities: np.ndarray  # (K,)
    labels: np.ndarray  # (K, L)
    place: Embedded
    fitted: Fitted


def fit(X: Any, labels: Any, clusters: Any, quantiles: Sequence[float], covariance: str, seed: int) -> Fit:
    """Moments of the clusters of data; arguments as of `GaussianMixture.fit`."""
    x = features(X)
    of_class, vectors = classes_of(labels, len(x))
    if covariance not in ("tied", "own"):
        raise InputError(f"covariance = {covariance!r}: 'tied', one matrix a class, or 'own', one a cluster, is needed")
    centre = x.mean(axis=0)
    unit = float(np.sqrt(((x - centre) ** 2).mean()))
    if not unit > 1e-12 * max(abs(x).max(), 1e-300):
        raise InputError("X: all features are constant; there is nothing to learn from")
    x = (x - centre) / unit
    cells = _Cells(clusters, tuple(_checked_quantiles(quantiles)), covariance, len(vectors))
    cluster, margin = cells.assign(x, of_class)
    _check_counts(x, cluster, of_class, cells)
    moments, owner = cells.moments(x, cluster, of_class)
    pooled = np.einsum("k,kij->ij", moments.probabilities, moments.place.matrices)
    values, basis = np.linalg.eigh(pooled)
    order = np.argsort(-values)
    values, basis = np.maximum(values[order], 0.0), basis[:, order]
    split = np.random.default_rng(seed).permutation(len(x)) < len(x) // 2
    halves = []
    for half in (split, ~split):
        if min(np.bincount(of_class[half], minlength=len(vectors))) < 2 * (1 + cells.cuts):
            break
        part, _ = cells.again(x, cluster, of_class, half)
        if part is None:
            break
        halves.append((Frozen(part.probabilities), _turned(part.place, basis)))
    fitted = Fitted(
        frame=Frame(Frozen(centre), unit, Frozen(basis.copy())),
        samples=len(x),
        counts=tuple(map(int, np.bincount(cluster))),
        classes=owner,
        clusters=cells.name,
        quantiles=cells.quantiles if cells.name == "discriminant" else (),
        covariance=covariance,
        shape=tuple(_shape(margin[of_class == c]) for c in range(len(vectors))),
        effective_dimension=float(values.sum() ** 2 / (values**2).sum()) if values.any() else 0.0,
        halves=tuple(halves) if len(halves) == 2 else (),
    )
    return Fit(moments.probabilities, vectors[list(owner)], _turned(moments.place, basis), fitted)


def bias(samples: int, d: int) -> float:
    """How much too low test errors are about, whose mixture was fitted to so many samples; measured on digits."""
    return _BIAS * d / samples


def features(X: Any) -> np.ndarray:
    """X as float64, (samples, features).

    Raises:
        InputError: another shape, other things than finite numbers.
    """
    x = finite(X, "X")
    if x.ndim != 2 or not x.size:
        raise InputError(f"X has shape {x.shape}; (samples, features) is needed")
    return x


def classes_of(labels: Any, samples: int) -> tuple[np.ndarray, np.ndarray]:
    """(class of each sample (n,), label of each class (classes, L)).

    Raises:
        InputError: labels of another shape or kind, or all the same.
    """
    y = finite(labels, "labels")
    if y.shape[:1] != (samples,) or y.ndim not in (1, 2):
        raise InputError(f"labels has shape {y.shape}; ({samples},), or ({samples}, classes) one-hot, is needed: one label a row of X")
    if y.ndim == 2:
        if not (np.isin(y, (0, 1)).all() and (y.sum(axis=1) == 1).all()):
            raise InputError("labels: rows of two dimensions must be one-hot, a single 1 among zeros")
        found, count = y.argmax(axis=1), y.shape[1]
        if len(np.unique(found)) < count:
            raise InputError(f"labels: class {sorted(set(range(count)) - set(found.tolist()))[0]} of {count} has no sample")
        return found, np.eye(count)
    values, found = np.unique(y, return_inverse=True)
    if len(values) == 1:
        raise InputError(f"labels are all {values[0]:g}: two classes or more are needed")
    if len(values) == 2:
        if set(values.tolist()) != {-1.0, 1.0}:
            raise InputError(f"labels have the values {values[0]:g} and {values[1]:g}: -1 and 1, or one-hot rows, are needed")
        return 1 - found, np.array([[1.0], [-1.0]])  # class 0 is that of label 1
    if values.tolist() != list(range(len(values))):
        raise InputError(f"labels have {len(values)} values from {values[0]:g} to {values[-1]:g}: for C classes 0, 1, ..., C-1 are needed")
    return found, np.eye(len(values))


def _checked_quantiles(quantiles: Sequence[float]) -> list[float]:
    q = finite(quantiles, "quantiles")
    if q.ndim != 1 or not len(q) or (q <= 0).any() or (q >= 1).any() or (np.diff(q) <= 0).any():
        raise InputError(f"quantiles = {quantiles!r}: increasing numbers between 0 and 1 are needed")
    return q.tolist()


class _Cells:
    """How samples are sorted into clusters."""

    def __init__(self, clusters: Any, quantiles: tuple[float, ...], covariance: str, classes: int):
        self.given = None if isinstance(clusters, str) else finite(clusters, "clusters")
        self.name = "given" if self.given is not None else clusters
        if self.name not in ("given", "class", "discriminant"):
            raise InputError(f"clusters = {clusters!r}: 'discriminant', 'class' or an index of a cluster for each row of X is needed")
        self.quantiles, self.covariance, self.classes = quantiles, covariance, classes
        self.cuts = len(quantiles) if self.name == "discriminant" else 0

    def assign(self, x: np.ndarray, of_class: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(cluster of each sample, its margin)."""
        margin = _margin(x, of_class, self.classes)
        if self.given is not None:
            found = self.given
            if found.shape != of_class.shape or (found != found.round()).any() or found.min() < 0:
                raise InputError(f"clusters has shape {found.shape}; an index from 0 for each of the {len(of_class)} rows of X is needed")
            found = found.astype(int)
            empty = np.flatnonzero(np.bincount(found) == 0)
            if len(empty):
                raise InputError(f"clusters: no row of X is in cluster {empty[0]}; number them without gaps")
            for k in range(found.max() + 1):
                if len(np.unique(of_class[found == k])) > 1:
                    raise InputError(f"clusters: cluster {k} holds samples of several classes; a cluster has one label")
            return found, margin
        if self.name == "class":
            return of_class, margin
        found = np.zeros(len(x), int)
        for c in range(self.classes):
            own = of_class == c
            found[own] = c * (1 + self.cuts) + np.searchsorted(np.quantile(margin[own], self.quantiles), margin[own])
        return found, margin

    def again(self, x: np.ndarray, cluster: np.ndarray, of_class: np.ndarray, half: np.ndarray) -> tuple[Moments | None, Any]:
        """The same of a part of the samples, whose discriminant is its own."""
        part = cluster[half] if self.given is not None else self.assign(x[half], of_class[half])[0]
        if np.bincount(part, minlength=cluster.max() + 1).min() < 2:
            return None, None
        return self.moments(x[half], part, of_class[half])

    def moments(self, x: np.ndarray, cluster: np.ndarray, of_class: np.ndarray) -> tuple[Moments, tuple[int, ...]]:
        """(probabilities, means and covariances; class of each cluster)."""
        count, d = cluster.max() + 1, x.shape[1]
        owner = tuple(int(of_class[np.argmax(cluster == k)]) for k in range(count))
        groups = owner if self.covariance == "tied" else tuple(range(count))
        means, matrices, weights = np.zeros((count, d)), np.zeros((max(groups) + 1, d, d)), np.bincount(groups, np.bincount(cluster))
        for k in range(count):
            own = x[cluster == k]
            means[k] = own.mean(axis=0)
            own = own - means[k]
            matrices[groups[k]] += own.T @ own / weights[groups[k]]
        return Moments(np.bincount(cluster) / len(x), Embedded.grouped(means, matrices, groups)), owner


def _margin(x: np.ndarray, of_class: np.ndarray, classes: int) -> np.ndarray:
    """Own less best other score of the linear discriminant, whose covariance is shrunk a little."""
    means = np.array([x[of_class == c].mean(axis=0) for c in range(classes)])
    within = x - means[of_class]
    pooled = within.T @ within / len(x)
    pooled[np.diag_indices_from(pooled)] += max(_SHRINK * np.trace(pooled) / len(pooled), 1e-12)
    directions = np.linalg.solve(pooled, means.T)  # (d, classes)
    scores = x @ directions - np.einsum("cd,dc->c", means, directions) / 2
    own = scores[np.arange(len(x)), of_class]
    scores[np.arange(len(x)), of_class] = -np.inf
    return own - scores.max(axis=1)


def _turned(place: Embedded, basis: np.ndarray) -> Embedded:
    assert place.covariance is not None  # of a fit: not diagonal
    return Embedded.grouped(place.means.array @ basis, basis.T @ place.covariance.array @ basis, place.groups)


def _shape(margin: np.ndarray) -> tuple[float, float]:
    z = (margin - margin.mean()) / max(margin.std(), 1e-300)
    return float((z**3).mean()), float((z**4).mean() - 3)


def _check_counts(x: np.ndarray, cluster: np.ndarray, of_class: np.ndarray, cells: _Cells) -> None:
    """Raises InputError where moments mean nothing, and says where they mislead."""
    (n, d), counts = x.shape, np.bincount(cluster)
    if counts.min() < 2:
        k = int(counts.argmin())
        raise InputError(f"cluster {k} has {counts[k]} sample(s) of the {n} in X; at least 2 are needed: take more data, or fewer clusters")
    log = logging.getLogger("gmsym")
    if n < ENOUGH * d:
        log.warning(
            "n_fit = %d samples in %d dimensions: below %d a dimension the moments make the problem easier; expect test errors that are "
            "about %.2g too low. Fit on more data; gmsym.halving says by how much predictions move",
            n,
            d,
            ENOUGH,
            bias(n, d),
        )
    groups = of_class if cells.covariance == "tied" else cluster
    fewest = np.bincount(groups).min()
    if fewest <= d:
        what, help_ = ("class", "fewer features") if cells.covariance == "tied" else ("cluster", "covariance='tied', or fewer clusters")
        log.warning("the smallest %s has %d samples in %d dimensions: its covariance is singular; take %s", what, fewest, d, help_)
