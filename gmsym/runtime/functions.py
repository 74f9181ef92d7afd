"""Special functions for generated code: stable, with right first and second derivatives at any argument, float32 or float64.

Generated modules import this one as `rt`. Each function acts element by element and keeps the type of its argument.
Derivatives are given by their own stable functions, so that nothing is left to the derivative of a formula that
overflows or cancels. Source: theory.md 9 and 10.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy import special as jsp
from scipy import fft, special

from gmsym.runtime.quadrature import gaussian_mean as gaussian_mean

_ROOT_2 = float(np.sqrt(2))
_ROOT_2_PI = float(np.sqrt(2 * np.pi))


def _floating(f: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    """`f` on arrays of floats: integers are converted, and several arguments brought to one type."""

    @functools.wraps(f)
    def wrapped(*args: jax.Array) -> jax.Array:
        arrays = [jnp.asarray(a) for a in args]
        dtype = jnp.result_type(*arrays)
        if not jnp.issubdtype(dtype, jnp.floating):
            dtype = jnp.result_type(float)
        return f(*(a.astype(dtype) for a in arrays))

    return wrapped


@_floating
def erf(u: jax.Array) -> jax.Array:
    """Error function."""
    return jsp.erf(u)


@_floating
def erfc(u: jax.Array) -> jax.Array:
    """1 - erf(u)."""
    return jsp.erfc(u)


@_floating
def step(u: jax.Array) -> jax.Array:
    """Heaviside step, 1/2 at 0; its derivative is 0 everywhere."""
    return (1 + jnp.sign(u)) / 2


@_floating
def absolute(u: jax.Array) -> jax.Array:
    """|u|; its derivative at 0 is 0, the average of both sides (that of jnp.abs is 1)."""
    return u * jnp.sign(u)


# --- logistic ---------------------------------------------------------------------------------------------------------


@_floating
@jax.custom_jvp
def softplus(u: jax.Array) -> jax.Array:
    """log(1 + exp(u)). Derivative: sigmoid."""
    return jnp.maximum(u, 0) + jnp.log1p(jnp.exp(-jnp.abs(u)))


softplus.__wrapped__.defjvp(lambda u, du: (softplus(*u), sigmoid(*u) * du[0]))


@_floating
@jax.custom_jvp
def sigmoid(u: jax.Array) -> jax.Array:
    """1/(1 + exp(-u)). Derivative: sigmoid(u) sigmoid(-u), which does not cancel."""
    return jax.nn.sigmoid(u)


sigmoid.__wrapped__.defjvp(lambda u, du: (sigmoid(*u), sigmoid(*u) * sigmoid(-u[0]) * du[0]))


@_floating
def logsumexp(*u: jax.Array) -> jax.Array:
    """log(exp(u_1) + ... + exp(u_n))."""
    largest = jax.lax.stop_gradient(functools.reduce(jnp.maximum, u))
    return largest + jnp.log(sum(jnp.exp(v - largest) for v in u))


# --- schedules --------------------------------------------------------------------------------------------------------


@_floating
def piecewise_linear(u: jax.Array, spacing: jax.Array, *values: jax.Array) -> jax.Array:
    """Linear between values at the knots 0, spacing, 2 spacing, ... of u, constant beyond."""
    u, spacing, *values = jnp.broadcast_arrays(u, spacing, *values)
    table, last = jnp.stack(values), len(values) - 1
    place = jnp.clip(u / spacing, 0, last)
    left = jnp.minimum(place.astype(int), max(last - 1, 0))
    first, second = (jnp.take_along_axis(table, jnp.minimum(i, last)[None], axis=0)[0] for i in (left, left + 1))
    return first + (place - left) * (second - first)


# --- normal distribution ----------------------------------------------------------------------------------------------

# For u = -x < 0 the ratio r = phi/Phi is x + q(x) with q = 1/(x + 2/(x + 3/(x + ...))), and the curvature r (u + r) is
# (x + q) q: everything follows from q without cancellation. With v = (x - 4)/(x + 4) in (-1, 1), q (x + 4) and the
# curvature are smooth up to v = 1, so Chebyshev series in v hold for all x.
_SCALE = 4.0
_TERMS = 34


def _excess(x: np.ndarray) -> np.ndarray:
    """q(x) in double precision on the host: the continued fraction, and its definition where that converges slowly."""
    fraction = np.zeros_like(x)
    for k in range(1000, 0, -1):
        fraction = k / (np.maximum(x, 1) + fraction)
    return np.where(x > 1, fraction, np.sqrt(2 / np.pi) / special.erfcx(x / _ROOT_2) - x)


def _series(f: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Chebyshev coefficients in v of a function of x, by a cosine transform of its values at the Chebyshev nodes."""
    angle = np.pi * (np.arange(_TERMS) + 0.5) / _TERMS
    coefficients = np.asarray(fft.dct(f(_SCALE / np.tan(angle / 2) ** 2))) / _TERMS
    coefficients[0] /= 2
    return coefficients


_EXCESS_SERIES = _series(lambda x: _excess(x) * (x + _SCALE))
_CURVATURE_SERIES = _series(lambda x: (x + _excess(x)) * _excess(x))


def _chebyshev(coefficients: np.ndarray, x: jax.Array) -> jax.Array:
    """Clenshaw's sum of the series at x >= 0."""
    v = (x - _SCALE) / (x + _SCALE)
    last, before = jnp.zeros_like(v), jnp.zeros_like(v)
    for c in coefficients[:0:-1]:
        last, before = 2 * v * last - before + float(c), last
    return v * last - before + float(coefficients[0])


def _negative_ratio(x: jax.Array) -> jax.Array:
    """phi/Phi at -x, x >= 0."""
    return x + _chebyshev(_EXCESS_SERIES, x) / (x + _SCALE)


def _positive_ratio(u: jax.Array) -> jax.Array:
    """phi/Phi at u >= 0."""
    return jnp.exp(-(u**2) / 2) * (2 / _ROOT_2_PI) / jsp.erfc(-u / _ROOT_2)


def _by_sign(u: jax.Array, negative: Callable[[jax.Array], jax.Array], positive: Callable[[jax.Array], jax.Array]) -> jax.Array:
    """negative(-u) for u < 0, positive(u) for u >= 0; each sees only arguments of its own kind."""
    return jnp.where(u < 0, negative(jnp.where(u < 0, -u, 0)), positive(jnp.where(u < 0, 0, u)))


def normal_density(u: jax.Array) -> jax.Array:
    """Density of N(0, 1)."""
    return jnp.exp(-(u**2) / 2) / _ROOT_2_PI


@_floating
@jax.custom_jvp
def normal_cdf(u: jax.Array) -> jax.Array:
    """Phi(u), distribution function of N(0, 1); small values have full relative accuracy."""
    return jsp.erfc(-u / _ROOT_2) / 2


normal_cdf.__wrapped__.defjvp(lambda u, du: (normal_cdf(*u), normal_density(*u) * du[0]))


@_floating
@jax.custom_jvp
def log_normal_cdf(u: jax.Array) -> jax.Array:
    """log Phi(u). Derivative: inverse_mills."""
    return _by_sign(
        u,
        lambda x: -(x**2) / 2 - jnp.log(_ROOT_2_PI * _negative_ratio(x)),
        lambda v: jnp.log1p(-jsp.erfc(v / _ROOT_2) / 2),
    )


log_normal_cdf.__wrapped__.defjvp(lambda u, du: (log_normal_cdf(*u), inverse_mills(*u) * du[0]))


@_floating
@jax.custom_jvp
def inverse_mills(u: jax.Array) -> jax.Array:
    """phi(u)/Phi(u). Derivative: -mills_curvature."""
    return _by_sign(u, _negative_ratio, _positive_ratio)


inverse_mills.__wrapped__.defjvp(lambda u, du: (inverse_mills(*u), -mills_curvature(*u) * du[0]))


@_floating
@jax.custom_jvp
def mills_curvature(u: jax.Array) -> jax.Array:
    """r (u + r) with r = phi/Phi, i.e. -(log Phi)''; between 0 and 1. Derivative: r - mills_curvature (u + 2 r)."""
    return _by_sign(u, lambda x: _chebyshev(_CURVATURE_SERIES, x), lambda v: _positive_ratio(v) * (v + _positive_ratio(v)))


def _curvature_slope(u: jax.Array) -> jax.Array:
    """Derivative of the curvature; its formula cancels for u -> -oo, where that of the series takes over."""
    far = u < -_SCALE
    outer, inner = jnp.where(far, u, -_SCALE), jnp.where(far, -_SCALE, u)
    _, series = jax.jvp(lambda v: _chebyshev(_CURVATURE_SERIES, -v), (outer,), (jnp.ones_like(u),))
    r = inverse_mills(inner)
    return jnp.where(far, series, r - mills_curvature(inner) * (inner + 2 * r))


mills_curvature.__wrapped__.defjvp(lambda u, du: (mills_curvature(*u), _curvature_slope(*u) * du[0]))


# --- bivariate normal -------------------------------------------------------------------------------------------------

_FAR = 40.0  # Phi(-40) = 0 in float64
_GAUSS_NODES, _GAUSS_WEIGHTS = ((a + shift) / 2 for a, shift in zip(np.polynomial.legendre.leggauss(24), (1, 0), strict=True))


def _owen(a: jax.Array, b: jax.Array, distance: jax.Array) -> jax.Array:
    """Phi(a)/2 - T(a, distance/a) with Owen's T; `distance` = (b - rho a)/sqrt(1 - rho^2), possibly infinite.

    T(h, r) = (1/2 pi) int_0^r exp(-h^2 (1 + x^2)/2)/(1 + x^2) dx is summed for 0 <= r <= 1, where 24 Gauss-Legendre
    nodes are exact to rounding; r > 1 is brought there by T(h, r) + T(h r, 1/r) = (Q(h) + Q(hr))/2 - Q(h) Q(hr).
    """
    height, width = jnp.abs(a), jnp.abs(distance)
    near = width <= height
    ratio = jnp.where(near, width, height) / jnp.where(near, jnp.where(height > 0, height, 1), width)
    leg = jnp.where(near, height, width)[..., None]
    x = ratio[..., None] * _GAUSS_NODES.astype(a.dtype)
    finite = jnp.where(jnp.isfinite(leg), leg, 0)
    integrand = jnp.where(jnp.isfinite(leg), jnp.exp(-(finite**2) * (1 + x**2) / 2), 0) / (1 + x**2)
    summed = ratio * jnp.sum(_GAUSS_WEIGHTS.astype(a.dtype) * integrand, axis=-1) / (2 * np.pi)
    beyond, far = normal_cdf(-height), normal_cdf(-width)
    t = jnp.where(near, summed, (beyond + far) / 2 - beyond * far - summed)
    return normal_cdf(a) / 2 - t * jnp.where((a < 0) != (distance < 0), -1, 1)


def _distances(a: jax.Array, b: jax.Array, rho: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """((b - rho a)/s, (a - rho b)/s, s), s = sqrt(1 - rho^2), accurate near rho = +-1, where 0/0 counts as 0."""
    s2 = (1 - rho) * (1 + rho)
    inside = s2 > 0
    s = jnp.where(inside, jnp.sqrt(jnp.where(inside, s2, 1)), 0)
    # b - rho a = (b -+ a) + (rho's distance to +-1) a: exact where a and b nearly agree.
    end, gap = jnp.where(rho < 0, -1, 1), jnp.where(rho < 0, -(1 + rho), 1 - rho)

    def over(numerator: jax.Array) -> jax.Array:
        return jnp.where(inside, numerator / jnp.where(inside, s, 1), jnp.where(numerator == 0, 0, jnp.sign(numerator) * jnp.inf))

    return over((b - end * a) + gap * a), over((a - end * b) + gap * b), s


@_floating
@jax.custom_jvp
def bivariate_normal_cdf(a: jax.Array, b: jax.Array, rho: jax.Array) -> jax.Array:
    """P(X <= a, Y <= b) for standard normals of correlation rho, -1 <= rho <= 1; absolute error below 1e-15 in float64.

    The derivative with respect to rho is the density at (a, b), which does not exist at rho = +-1 and is given as 0 there.
    Source: Owen, Ann. Math. Statist. 27 (1956) 1075.
    """
    a, b = jnp.clip(a, -_FAR, _FAR), jnp.clip(b, -_FAR, _FAR)
    origin = (a == 0) & (b == 0)  # the limit along a = b > 0
    a, b = (jnp.where(origin, 1e-20, v) for v in (a, b))
    to_b, to_a, _ = _distances(a, b, rho)
    opposite = (a * b < 0) | ((a * b == 0) & (a + b < 0))
    return _owen(a, b, to_b) + _owen(b, a, to_a) - jnp.where(opposite, 0.5, 0).astype(a.dtype)


def _bivariate_jvp(primals, tangents):
    a, b, rho = primals
    da, db, drho = tangents
    to_b, to_a, s = _distances(a, b, rho)
    inside = s > 0
    density = jnp.where(inside, normal_density(a) * normal_density(jnp.where(inside, to_b, 0)) / jnp.where(inside, s, 1), 0)
    slope = normal_density(a) * normal_cdf(to_b) * da + normal_density(b) * normal_cdf(to_a) * db + density * drho
    return bivariate_normal_cdf(a, b, rho), slope


bivariate_normal_cdf.__wrapped__.defjvp(_bivariate_jvp)


def identity(like: jax.Array, leading: int = 0) -> jax.Array:
    """The identity in the shape of matrices whose rows and columns are the axes `leading` and `leading` + 1 of `like`."""
    size = like.shape[leading]
    return jnp.eye(size).reshape(size, size, *[1] * (like.ndim - leading - 2))


def shifted_solve(shift: jax.Array, x: jax.Array, b: jax.Array) -> jax.Array:
    """(shift I + x)^{-1} b of a square matrix x."""
    return jnp.linalg.solve(shift * jnp.eye(x.shape[-1]) + x, b)


def shifted_inverse(shift: jax.Array, x: jax.Array) -> jax.Array:
    """(shift I + x)^{-1} of a square matrix x."""
    return jnp.linalg.inv(shift * jnp.eye(x.shape[-1]) + x)


def inverse(x: jax.Array, leading: int = 0) -> jax.Array:
    """Inverses of matrices whose rows and columns are the axes `leading` and `leading` + 1; up to three rows by cofactors."""
    size = x.shape[leading]
    if size > 3:
        return jnp.moveaxis(jnp.linalg.inv(jnp.moveaxis(x, (leading, leading + 1), (-2, -1))), (-2, -1), (leading, leading + 1))
    m = jnp.moveaxis(x, (leading, leading + 1), (0, 1))
    if size == 1:
        cofactors = [[jnp.ones_like(m[0, 0])]]
    elif size == 2:
        cofactors = [[m[1, 1], -m[0, 1]], [-m[1, 0], m[0, 0]]]
    else:
        following = [(i + 1) % 3 for i in range(3)]
        cofactors = [
            [m[a][i] * m[c][j] - m[a][j] * m[c][i] for a, c in zip(following, following[1:] + following[:1], strict=True)]
            for i, j in zip(following, following[1:] + following[:1], strict=True)
        ]
    determinant = sum(m[0, i] * cofactors[i][0] for i in range(size))
    stacked = jnp.stack([jnp.stack(row) for row in cofactors]) / determinant
    return jnp.moveaxis(stacked, (0, 1), (leading, leading + 1))
