"""A problem in numbers, at a state."""

from dataclasses import dataclass
from typing import NamedTuple, final

import numpy as np

from gmsym import symbols
from gmsym.errors import InputError


class Vectors(NamedTuple):
    """What is known of a problem in coordinates."""

    means: np.ndarray  # mu_k, (K, d)
    start: np.ndarray  # Theta_0, (d, C)
    covariance: np.ndarray | None  # the different covariances, (G, d, d); None: diagonal, Instance.variance
    groups: tuple[int, ...]  # which of them is Sigma_k, (K,)


@final
@dataclass(frozen=True)
class Instance:
    """The numbers of a problem, all float64 and checked. C fields, K clusters, B blocks, L label components."""

    probabilities: np.ndarray  # p_k, (K,)
    labels: np.ndarray  # y_k, (K, L)
    means_gram: np.ndarray  # mu_k . mu_l, (K, K)
    fractions: np.ndarray  # rho_b, (B,)
    variance: np.ndarray  # sigma2_kb, (K, B)
    initial_gram: np.ndarray  # Theta_0^T Theta_0, (C, C)
    initial_overlap: np.ndarray  # Theta_0^T mu_k, (C, K)
    ridge: float
    parameters: dict[str, float]  # of loss and optimizer, by name
    values: dict[str, float]  # of the whole problem, by name, defaults included
    teacher_gram: np.ndarray  # theta*_s . theta*_r, (T, T); T = 0 without a teacher
    teacher_overlap: np.ndarray  # Theta_0 . theta*_s, (C, T)
    teacher_means: np.ndarray  # theta*_s . mu_k, (T, K)
    trained: np.ndarray  # initial values of the trained parameters of the loss, (P,)
    trained_step: float | None  # None: that of Theta
    trained_ridge: float
    alpha: float | None = None  # samples per dimension, n/d, where it is said
    step: float | None = None  # c of online SGD
    means_law: np.ndarray | None = None  # weights, values, deviations of the coordinates of the means, (3, A); None: Gaussian
    initial_law: np.ndarray | None = None  # likewise of the rest of Theta_0
    placed: np.ndarray | None = None  # Gram matrix of (Theta_0, means, teacher directions) within each block; None: rho_b of the whole
    vectors: Vectors | None = None  # of a problem in coordinates, each of them a block

    @property
    def trained_parameters(self) -> dict[str, float]:
        """`parameters` as the update rule of the trained parameters of the loss reads them: their own step stands for eta."""
        own = {} if self.trained_step is None else {symbols.eta.name: self.trained_step}
        return self.parameters | own

    @property
    def block_grams(self) -> np.ndarray:
        """Gram matrix of (Theta_0, means, teacher directions) within each block, (B, C + K + T, C + K + T)."""
        if self.vectors is not None:
            known = np.concatenate([self.vectors.start, self.vectors.means.T], axis=1)
            return known[:, :, None] * known[:, None]
        return self.fractions[:, None, None] * self.gram if self.placed is None else self.placed

    @property
    def gram(self) -> np.ndarray:
        """Gram matrix of (Theta_0, means, teacher directions), (C + K + T, C + K + T)."""
        first = [self.initial_gram, self.initial_overlap, self.teacher_overlap]
        second = [self.initial_overlap.T, self.means_gram, self.teacher_means.T]
        return np.block([first, second, [self.teacher_overlap.T, self.teacher_means, self.teacher_gram]])

    @property
    def ratio(self) -> float:
        """n/d.

        Raises:
            InputError: it is not among the values.
        """
        if self.alpha is None:
            raise InputError("alpha is missing in the values: samples per dimension, n/d, a positive number")
        return self.alpha

    @property
    def online_step(self) -> float:
        """c of online SGD.

        Raises:
            InputError: the problem does not sample online.
        """
        if self.step is None:
            raise InputError("this problem trains on full batches; sampling=gmsym.sampling.online() asks for online SGD")
        return self.step

    @property
    def online_trained_step(self) -> float:
        """c_v, the step of the trained parameters of the loss in online SGD."""
        return self.online_step if self.trained_step is None else self.trained_step
