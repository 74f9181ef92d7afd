"""What must close: derived with symbols, then compared with quadrature at rational points."""

import time

import pytest
import sympy as sp

from gmsym.calculus import expectation, is_closed
from gmsym.functions import NormalCDF, normal_density

h, y, L = sp.Symbol("h", real=True), sp.Symbol("y", real=True), sp.Symbol("L", positive=True)
a, b, c = sp.symbols("a b c", real=True)
R = sp.Rational
POINTS = [{y: R(-3, 5), L: R(4, 3)}, {y: R(2), L: R(1, 2)}]

ONE_FIELD = {
    "hinge": sp.Max(0, 1 - y * h),
    "squared hinge": sp.Max(0, 1 - y * h) ** 2,
    "perceptron": sp.Max(0, -y * h),
    "absolute value": sp.Abs(h),
    "epsilon-insensitive": sp.Max(sp.Abs(h - y) - 1, 0),
    "huber": sp.Piecewise((h**2 / 2, sp.Abs(h) < 1), (sp.Abs(h) - R(1, 2), True)),
    "smoothed hinge": sp.Piecewise((R(1, 2) - y * h, y * h < 0), ((1 - y * h) ** 2 / 2, y * h < 1), (0, True)),
    "ramp": sp.Min(1, sp.Max(0, 1 - y * h)),
    "step and square": sp.Heaviside(1 - h) * h**2,
    "exponential": sp.exp(-y * h),
    "quartic": (h - y) ** 4,
    "squared erf": sp.erf(h / sp.sqrt(2)) ** 2,
    "erf regression": (sp.erf(h / sp.sqrt(2)) - y) ** 2,
    "cosine and exponential": sp.cos(h) * sp.exp(h),
    "waves": sp.cos(h) ** 2 * sp.sin(2 * h + y) * h**3,
    "laplace": sp.exp(-sp.Abs(h - y)),
    "gaussian": sp.exp(-(h**2)) * h**2,
    "power": 2**h * h,
    "hyperbolic": sp.cosh(h) * sp.sinh(h / 2),
    "gelu": h * NormalCDF(h),
    "gelu derivative": (NormalCDF(h) + h * normal_density(h)) ** 2,
    "three clusters": sp.Max(0, 1 - y * (h**2 - L**2)).subs(y, 1),
    "three clusters, other label": sp.Max(0, 1 - y * (h**2 - L**2)).subs(y, -1).subs(L, L + 1),
    "cubic step": sp.Heaviside(h * (h - 1) * (h + 2)) * h,
    "erfc": sp.erfc(h) * h,
    "nested steps": sp.Heaviside(h - y) * sp.Heaviside(2 - h) * h**2,
    "relu of relu": sp.Max(0, 1 - sp.Max(0, h)) * sp.exp(h / 2),
    "max of three": sp.Max(h, -h / 2, y),
}


@pytest.mark.parametrize("name", ONE_FIELD)
def test_one_field(name, quadrature, close):
    """With symbolic mean, variance and parameters, in less than a second; then to 20 digits."""
    m, q = sp.Symbol("m", real=True), sp.Symbol("q", positive=True)
    start = time.process_time()
    value = expectation(ONE_FIELD[name], (h,), (m,), [[q]])
    assert time.process_time() - start < 1
    assert is_closed(value)
    for law, point in zip(({m: R(2, 5), q: R(7, 10)}, {m: R(-1), q: R(3)}), POINTS, strict=True):
        f = ONE_FIELD[name].subs(point)
        close(value.xreplace(law).subs(point), quadrature(f, (h,), (law[m],), [[law[q]]], 25), 20)


def relu(u):
    return sp.Max(0, u)


def g(u):
    return sp.erf(u / sp.sqrt(2))


SEVERAL_FIELDS = {  # f, axes that make it piecewise smooth
    "erf erf": (g(a) * g(b), (a, b)),
    "relu relu": (relu(a) * relu(b), (a, b)),
    "relu linear": (relu(a) * b**3, (a, b)),
    "relu relu linear": (relu(a) * relu(b) * a, (a, b)),
    "quadrant": (sp.Heaviside(a) * sp.Heaviside(b) * a * b**2, (a, b)),
    "erf and step": (g(a) * sp.Heaviside(a - b) * b, (a - b, b)),
    "erf, density, polynomial": (normal_density(a) * g(b) * a * b, (a, b)),
    "two densities": (normal_density(a) * sp.exp(-a * b - b**2) * b**2, (a, b)),
    "largest": (sp.Max(a, b) ** 2, (a - b, b)),
    "waves": (sp.cos(a) * sp.sin(b) * a * sp.exp(-b), (a, b)),
    "phi phi": (NormalCDF(a - b) * NormalCDF(b) * a, (a, b)),
    "xor": (sp.sign(a * b) * a, (a, b)),
    "relu of a difference": (relu(a - b) * relu(b) * sp.exp(a / 2), (a - b, b)),
    "two means": (sp.Piecewise((a, sp.And(a > 0, b > 0)), (b, True)), (a, b)),
    "steps and a field": (sp.Heaviside(a) * sp.Heaviside(b) * c, (a, b, c)),
    "argmax of three": (sp.Heaviside(a - b) * sp.Heaviside(a - c), (a - b, a - c, c)),
    "erf, density and a field": (normal_density(a) * g(b) * c, (a, b, c)),
}
MEAN = (R(2, 5), R(-3, 10), R(1, 5))
COV = sp.Matrix([[R(7, 5), R(-3, 5), R(1, 5)], [R(-3, 5), R(4, 5), R(1, 4)], [R(1, 5), R(1, 4), 1]])
V = sp.Matrix(3, 3, lambda i, j: sp.Symbol(f"V{min(i, j)}{max(i, j)}", positive=True if i == j else None, real=True))
M = sp.symbols("m0:3", real=True)


def at_point(value: sp.Expr, mean) -> sp.Expr:
    rule = {V[i, j]: COV[i, j] for i in range(3) for j in range(i, 3)} | dict(zip(M, mean, strict=True))
    return value.xreplace(rule)


@pytest.mark.parametrize("name", SEVERAL_FIELDS)
@pytest.mark.parametrize("mean", [MEAN, (R(0), R(0), R(0))], ids=["mean", "centred"])
def test_several_fields(name, mean, panels):
    """With symbols for means and covariances (zero means as zeros), to 1e-10 (1e-8 in three dimensions)."""
    f, axes = SEVERAL_FIELDS[name]
    d = len(axes)
    xs = (a, b, c)[:d]
    symbols = M[:d] if any(mean) else mean[:d]
    value = expectation(f, xs, symbols, V[:d, :d])
    assert is_closed(value)
    reference = panels(f, xs, mean[:d], COV[:d, :d], axes=axes)
    assert float(at_point(value, mean).evalf(15)) == pytest.approx(reference, abs=1e-10 if d < 3 else 1e-8)


def test_largest_of_three_fields(panels):
    """Summed over which one it is, for the panels."""
    value = expectation(sp.Max(a, b, c), (a, b, c), M, V)
    assert is_closed(value)
    parts = [(u * sp.Heaviside(u - v) * sp.Heaviside(u - w), (u - v, u - w, u)) for u, v, w in ((a, b, c), (b, c, a), (c, a, b))]
    reference = sum(panels(f, (a, b, c), MEAN, COV, axes=axes) for f, axes in parts)
    assert float(at_point(value, MEAN).evalf(15)) == pytest.approx(reference, abs=1e-8)


@pytest.mark.parametrize("name", [name for name, (_, axes) in SEVERAL_FIELDS.items() if len(axes) == 2])
@pytest.mark.parametrize("slope", [R(2), R(-1), R(0)])
def test_singular_covariance(name, slope, quadrature, close):
    """b = slope a + constant: the law is a line, and the quadrature has one dimension."""
    f, _ = SEVERAL_FIELDS[name]
    mean, cov = MEAN[:2], R(7, 10) * sp.Matrix([[1, slope], [slope, slope**2]])
    value = expectation(f, (a, b), mean, cov)
    assert is_closed(value)
    close(value, quadrature(f, (a, b), mean, cov, 20), 16)


# --- forms known from the literature, typed by hand -------------------------------------------------------------------


def test_hinge_by_hand():
    m, q = sp.Symbol("m", real=True), sp.Symbol("q", positive=True)
    k, s = 1 - y * m, sp.Abs(y) * sp.sqrt(q)
    golden = k * NormalCDF(k / s) + s * normal_density(k / s)
    gap = expectation(sp.Max(0, 1 - y * h), (h,), (m,), [[q]]) - golden
    for point in ({m: R(1, 3), q: R(2), y: R(-1)}, {m: R(-2), q: R(1, 5), y: R(3)}):
        assert abs(gap.xreplace(point).evalf(30)) < sp.Float("1e-28")


def test_arc_cosine_kernel_by_hand():
    """Cho and Saul (2009), degree one: E relu(a) relu(b) = |a||b| (sin t + (pi - t) cos t) / (2 pi), cos t the correlation."""
    p, q, rho = sp.symbols("p q", positive=True) + (sp.Symbol("rho", real=True),)
    value = expectation(relu(a) * relu(b), (a, b), (0, 0), [[p**2, rho * p * q], [rho * p * q, q**2]])
    angle = sp.acos(rho)
    golden = p * q * (sp.sin(angle) + (sp.pi - angle) * rho) / (2 * sp.pi)
    for number in (R(-9, 10), R(0), R(3, 5)):
        point = {p: R(2, 3), q: R(5, 4), rho: number}
        assert abs((value - golden).xreplace(point).evalf(30)) < sp.Float("1e-28")


def test_margin_error_of_a_sign_readout():
    m, q = sp.Symbol("m", real=True), sp.Symbol("q", positive=True)
    assert expectation(sp.Heaviside(-h), (h,), (m,), [[q]]) == NormalCDF(-m / sp.sqrt(q))


def test_orthant_of_three_centred_fields():
    """1/8 + sum of asin(correlations) / 4 pi."""
    value = expectation(sp.Heaviside(a) * sp.Heaviside(b) * sp.Heaviside(c), (a, b, c), (0, 0, 0), COV)
    rho = [COV[i, j] / sp.sqrt(COV[i, i] * COV[j, j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    assert abs((value - R(1, 8) - sum(map(sp.asin, rho)) / (4 * sp.pi)).evalf(30)) < sp.Float("1e-28")
