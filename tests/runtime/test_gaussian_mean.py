"""Gaussian means agree with closed forms in every dimension, for singular covariances, under jit, vmap and grad."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
import scipy.stats

from gmsym.errors import InputError
from gmsym.runtime import functions as rt
from gmsym.runtime import gaussian_mean
from gmsym.runtime.roots import square_root

V = np.array([[1.0, 0.3, 0.2, 0.1], [0.3, 2.0, -0.4, 0.0], [0.2, -0.4, 0.7, 0.1], [0.1, 0.0, 0.1, 0.5]])
M = np.array([0.1, 0.2, -0.3, 0.4])
B = np.array([0.3, -0.5, 0.2, 0.4])


def wave(*h):
    return jnp.exp(sum(b * x for b, x in zip(B, h, strict=False)))


@pytest.mark.parametrize(("d", "error"), [(1, 1e-14), (2, 1e-14), (3, 1e-14), (4, 1e-3)])
def test_exponential(d, error):
    exact = np.exp(B[:d] @ M[:d] + B[:d] @ V[:d, :d] @ B[:d] / 2)
    assert abs(float(jax.jit(lambda m, v: gaussian_mean(wave, m, v))(M[:d], V[:d, :d])) / exact - 1) < error


@pytest.mark.parametrize("d", [1, 2, 3, 4])
def test_moments(d):
    """Mean and covariance are exact in every dimension: the Sobol points are whitened."""
    for i in range(d):
        assert float(gaussian_mean(lambda *h, i=i: h[i], M[:d], V[:d, :d])) == pytest.approx(M[i], abs=1e-13)
        for j in range(d):
            second = float(gaussian_mean(lambda *h, i=i, j=j: h[i] * h[j], M[:d], V[:d, :d]))
            assert second == pytest.approx(M[i] * M[j] + V[i, j], abs=1e-12)


@pytest.mark.parametrize("sd", [0.0, 0.1, 1.0, 5.0, 10.0])
@pytest.mark.parametrize(
    ("f", "exact"),
    [
        (rt.softplus, lambda u: mpmath.log1p(mpmath.exp(u))),
        (rt.sigmoid, lambda u: 1 / (1 + mpmath.exp(-u))),
        (rt.log_normal_cdf, lambda u: mpmath.log(mpmath.ncdf(u))),
    ],
    ids=["softplus", "sigmoid", "log_normal_cdf"],
)
def test_steep_functions(f, exact, sd):
    with mpmath.workdps(20):
        expected = mpmath.quad(lambda z: mpmath.npdf(z) * exact(0.3 + sd * z), list(range(-10, 11)))
    assert float(gaussian_mean(f, [0.3], [[sd**2]])) == pytest.approx(float(expected), abs=1e-10)


SINGULAR = [np.zeros((2, 2)), np.ones((3, 3)), np.diag([0.0, 1.0]), np.outer([1.0, -2], [1, -2]), np.outer([0.0, 3, 1], [0, 3, 1])]


@pytest.mark.parametrize("cov", SINGULAR)
def test_singular_covariance(cov):
    d = len(cov)
    assert np.asarray(square_root(jnp.asarray(cov))) @ np.asarray(square_root(jnp.asarray(cov))).T == pytest.approx(cov, abs=1e-13)
    value = float(gaussian_mean(lambda *h: jnp.cos(sum(h)), M[:d], cov))
    assert value == pytest.approx(np.cos(M[:d].sum()) * np.exp(-cov.sum() / 2), abs=1e-13)


def test_random_singular_roots():
    generator = np.random.default_rng(0)
    for d, rank in ((2, 1), (3, 1), (3, 2), (5, 2), (6, 6)):
        factor = generator.normal(size=(d, rank))
        root = np.asarray(square_root(jnp.asarray(factor @ factor.T)))
        assert root @ root.T == pytest.approx(factor @ factor.T, abs=1e-12) and (np.triu(root, 1) == 0).all()


def test_derivatives_with_equal_eigenvalues():
    """Price's theorem at cov = I, where a root by eigenvectors has no derivative."""
    slope = jax.grad(lambda v: gaussian_mean(lambda a, b: a**2 * b**2 + a * b, jnp.zeros(2), v))(jnp.eye(2))
    assert np.asarray(slope + slope.T) / 2 == pytest.approx(np.array([[1, 0.5], [0.5, 1]]), abs=1e-12)
    first = jax.grad(lambda m: gaussian_mean(lambda a, b: a**2 * b, m, jnp.eye(2)))(jnp.array([1.0, 2.0]))
    assert first == pytest.approx(np.array([4.0, 2.0]), abs=1e-12)


def test_vmap_nesting_and_types():
    means = jnp.linspace(-1, 1, 5)
    values = jax.vmap(lambda m: gaussian_mean(lambda h: h**2, [m], [[0.25]]))(means)
    assert np.asarray(values) == pytest.approx(np.asarray(means) ** 2 + 0.25)
    # E h^2 E'[x h | h] with x ~ N(h, 2), h ~ N(0, 1)
    assert float(gaussian_mean(lambda h: h**2 * gaussian_mean(lambda x: x * h, [h], [[2.0]]), [0.0], [[1.0]])) == pytest.approx(3)
    assert gaussian_mean(lambda h: h, [0], [[1]]).dtype == jnp.float64
    assert float(gaussian_mean(lambda h: 3, [0.0], [[1.0]])) == pytest.approx(3, abs=1e-14)


def test_batches_are_refused():
    with pytest.raises(InputError, match="vmap"):
        gaussian_mean(lambda h: h, [jnp.zeros(3)], [[1.0]])
    with pytest.raises(InputError, match="vmap"):
        gaussian_mean(lambda a, b: a, [0.0, 0.0], [[1.0]])


def test_a_jump_is_integrated_to_its_stated_accuracy():
    """P(h > c) and P(a > 0, b > 0), for which smooth rules err by the weight of a node."""
    for threshold in (-0.7, 0.013, 1.9):
        mean = gaussian_mean(lambda h, threshold=threshold: rt.step(h - threshold), [0.3], [[1.7]], smooth=False)
        assert abs(float(mean) - scipy.stats.norm.sf(threshold, 0.3, np.sqrt(1.7))) < 1e-4
    mean = gaussian_mean(lambda a, b: rt.step(a) * rt.step(b), [0.0, 0.0], [[1.0, 0.6], [0.6, 1.0]], smooth=False)
    assert abs(float(mean) - (0.25 + np.arcsin(0.6) / (2 * np.pi))) < 1e-3


def test_derivatives_of_the_mean_of_a_step_in_one_dimension():
    """P(h > 0) = Phi(m/s): the step's own derivative is zero almost everywhere, the mean's is not."""

    def probability(m, v):
        return gaussian_mean(lambda h: jnp.heaviside(h, 0.5), [m], [[v]], smooth=False)

    m, v = 0.4, 1.7
    density = scipy.stats.norm.pdf(m / np.sqrt(v))
    slope_m, slope_v = jax.jit(jax.grad(probability, argnums=(0, 1)))(m, v)
    assert float(slope_m) == pytest.approx(density / np.sqrt(v), rel=2e-4)
    assert float(slope_v) == pytest.approx(-density * m / (2 * v**1.5), rel=1e-3)
    curvature = jax.grad(jax.grad(probability))(m, v)
    assert float(curvature) == pytest.approx(-density * m / v**1.5, rel=2e-3)


def test_derivatives_of_the_mean_of_steps_in_two_dimensions():
    """Centred: P(h0 > 0, h1 > 0) = 1/4 + asin(rho)/(2 pi); a null direction has no derivative and does no harm."""

    def probability(m, rho):
        cov = jnp.array([[1.0, rho], [rho, 1.0]])
        return gaussian_mean(lambda x, y: jnp.heaviside(x, 0.5) * jnp.heaviside(y, 0.5), m, cov, smooth=False)

    slope_m, slope_rho = jax.grad(probability, argnums=(0, 1))(jnp.zeros(2), 0.3)
    assert float(slope_rho) == pytest.approx(1 / (2 * np.pi * np.sqrt(1 - 0.09)), rel=0.01)
    np.testing.assert_allclose(slope_m, scipy.stats.norm.pdf(0) / 2, rtol=0.01)
    singular = jax.grad(lambda m: gaussian_mean(lambda x, y: jnp.heaviside(x, 0.5) + 0 * y, m, jnp.diag(jnp.array([1.0, 0])), smooth=False))
    np.testing.assert_allclose(singular(jnp.zeros(2)), [scipy.stats.norm.pdf(0), 0.0], rtol=1e-3)
