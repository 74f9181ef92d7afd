"""Counts, Gram matrices and covariances of the training data are those of the problem, exactly where a design can be exact."""

import jax
import numpy as np
import pytest

from gmsym.errors import InputError
from gmsym.problem import GaussianMixture, Problem, losses, optimizers
from gmsym.problem.design import apportion, design
from gmsym.simulation.data import generate, numbers_of

BLOCKS = GaussianMixture(
    probabilities=[0.5, 0.3, 0.2],
    labels=[1, -1, 1],
    means_gram=[[1.0, -0.5, 0.2], [-0.5, 1.0, 0.0], [0.2, 0.0, 0.4]],
    variance=[[0.1, 2.0], [0.5, 0.5], [1.0, 0.0]],
    fractions=[0.3, 0.7],
)
NORM2, OVERLAP = [[1.0, 0.3], [0.3, 2.0]], [[0.1, 0.2, 0.0], [0.0, -0.3, 0.1]]
INSTANCE = Problem(BLOCKS, losses.erf_committee(), optimizers.gd(), norm2=NORM2, overlap=OVERLAP).at({"eta": 1.0})


@pytest.mark.parametrize(
    ("fractions", "total", "counts"),
    [
        ([0.5, 0.5], 10, (5, 5)),
        ([1 / 3, 1 / 3, 1 / 3], 10, (4, 3, 3)),
        ([0.45, 0.35, 0.2], 10, (5, 3, 2)),
        ([0.29, 0.71], 100, (29, 71)),
        ([0.7, 0.1, 0.2], 10, (7, 1, 2)),
        ([0.001, 0.999], 100, (0, 100)),
    ],
)
def test_largest_remainders(fractions, total, counts):
    assert apportion(np.array(fractions), total) == counts


def test_exact_gram_matrices():
    plan = design(INSTANCE, 200, 100)
    assert plan.counts == (100, 60, 40) and plan.sizes == (30, 70)
    data = generate(plan.counts, plan.sizes, numbers_of(plan), jax.random.key(0))
    vectors = np.concatenate([data.theta, data.means], axis=1)
    gram = np.block([[INSTANCE.initial_gram, INSTANCE.initial_overlap], [INSTANCE.initial_overlap.T, INSTANCE.means_gram]])
    assert vectors.T @ vectors == pytest.approx(gram, abs=1e-13)
    for rows, share in zip(plan.block_rows(), (0.3, 0.7), strict=True):
        assert vectors[rows].T @ vectors[rows] == pytest.approx(share * gram, abs=1e-13)


def test_labels_and_covariances():
    plan = design(INSTANCE, 20000, 20)
    data = generate(plan.counts, plan.sizes, numbers_of(plan), jax.random.key(1))
    assert np.array_equal(data.labels[:, 0], np.repeat([1, -1, 1], plan.counts))
    start = 0
    for k, count in enumerate(plan.counts):
        samples = np.asarray(data.samples)[start : start + count]
        start += count
        error = 5 / np.sqrt(count)
        assert samples.mean(axis=0) == pytest.approx(np.asarray(data.means)[:, k], abs=1.5 * error)
        variance = np.repeat(INSTANCE.variance[k], plan.sizes)
        assert np.cov(samples.T) == pytest.approx(np.diag(variance), abs=error * 2)
    last = np.asarray(data.samples)[-plan.counts[2] :]
    assert np.ptp(last[:, 6:], axis=0) == pytest.approx(np.zeros(14), abs=1e-12)  # a block of no variance


def test_orientation_is_uniform():
    """E theta_i^2 = |theta|^2/d and E theta_i = 0 in every coordinate, signs included."""
    plan = design(
        Problem(GaussianMixture.symmetric(), losses.logistic(), optimizers.gd()).at({"eta": 1.0, "sigma": 1.0, "mu_norm": 1.2}), 2, 4
    )
    keys = jax.random.split(jax.random.key(0), 4000)
    theta = np.asarray(jax.vmap(lambda key: generate(plan.counts, plan.sizes, numbers_of(plan), key).theta)(keys))[:, :, 0]
    assert theta.mean(axis=0) == pytest.approx(np.zeros(4), abs=0.04)
    assert (theta**2).mean(axis=0) == pytest.approx(np.full(4, 0.25), abs=0.025)


def test_zero_state_without_means():
    mixture = GaussianMixture(probabilities=[1], labels=[1], means_gram=[[0]], variance=[1])
    plan = design(Problem(mixture, losses.squared(), optimizers.gd(), norm2=0).at({"eta": 1.0}), 3, 2)
    data = generate(plan.counts, plan.sizes, numbers_of(plan), jax.random.key(0))
    assert data.theta.shape == (2, 1) and not np.any(data.theta) and not np.any(data.means)


def test_refused():
    with pytest.raises(InputError, match=r"n = 2 samples leave cluster \d of probability 0.2 empty"):
        design(INSTANCE, 2, 100)
    with pytest.raises(InputError, match=r"d = 10 gives block 0 only 3 coordinates, fewer than the rank 5"):
        design(INSTANCE, 100, 10)
