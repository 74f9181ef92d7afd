"""What is not taken leaves no trace: values, gradients and second derivatives are finite on both sides of every branch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sympy as sp

from gmsym import functions, printer, runtime, symbols
from gmsym.problem import losses
from gmsym.symbols import h, y

c = symbols.symbol("c")


def compiled(expr):
    """The printed function of (h, y, c)."""
    return runtime.load(printer.module("a test.", printer.function("f", {"h": h, "y": y, "c": c}, "The expression.", expr)), "test").f


def derivatives(f, x, *rest):
    """Value, first and second derivative in the first argument."""
    return [float(v) for v in jax.jit(lambda *a: (f(*a), jax.grad(f)(*a), jax.grad(jax.grad(f))(*a)))(x, *rest)]


@pytest.mark.parametrize(
    ("expr", "inside", "outside", "expected"),
    [
        (sp.Piecewise((sp.log(h), h > 1), (h - 1, True)), 2.0, -3.0, (-4, 1, 0)),
        (sp.Piecewise((h - 1, h <= 1), (sp.log(h), True)), 2.0, 0.0, (-1, 1, 0)),
        (sp.Piecewise((sp.sqrt(h - 1) / h, h > 1), (sp.Integer(0), True)), 2.0, 0.0, (0, 0, 0)),
        (sp.Piecewise((0, h < 1), (sp.exp(h**2), h < 3), (1 / (h - 2), True)), 1.5, 50.0, (1 / 48, -1 / 48**2, 2 / 48**3)),
        (sp.Piecewise((sp.acosh(h), h > 2), (sp.asin(h), (h < 1) & (h > -1)), (h**2, True)), 3.0, 1.5, (2.25, 3, 2)),
        (sp.Piecewise((sp.Piecewise((sp.log(h), h > 2), (sp.sqrt(h), True)), h > 1), (h**3, True)), 3.0, -1.0, (-1, 3, -6)),
        (sp.Heaviside(-h) * sp.exp(h), -1.0, 2000.0, (0, 0, 0)),
        ((1 - sp.Heaviside(h)) * sp.exp(h) + h, -1.0, 2000.0, (2000, 1, 0)),
        (sp.Heaviside(h - 1) ** 2 * sp.log(h - 1) / h, 2.0, 0.0, (0, 0, 0)),
        (sp.Heaviside(-h) * sp.Heaviside(2 + h) * sp.cosh(h), -1.0, -5000.0, (0, 0, 0)),
        (sp.Max(0, h) + sp.Min(0, sp.exp(h) - 1), -1.0, 1e4, (1e4, 1, 0)),
        (sp.Max(0, 2 - sp.exp(h)), -1.0, 1e4, (0, 0, 0)),
    ],
    ids=lambda p: str(p)[:50] if isinstance(p, sp.Basic) else "",
)
def test_untaken_branch(expr, inside, outside, expected):
    f = compiled(expr)
    assert derivatives(f, outside, 1.0, 1.0) == pytest.approx(expected, rel=1e-13, abs=1e-300)
    exact = [float(sp.diff(expr, h, k).subs(h, inside).doit().evalf(30)) for k in range(3)]
    assert derivatives(f, inside, 1.0, 1.0) == pytest.approx(exact, rel=1e-12)


def test_parameters_in_the_branch():
    """The safe point does not depend on a parameter's value."""
    f = compiled(sp.Piecewise((sp.log(h - c) + c / (h - c), h > c + 1), (0, True)))
    for parameter in (-3.0, 0.0, 1.0, 5.0):
        assert derivatives(f, parameter, 1.0, parameter) == [0, 0, 0]


def test_inside_stays_exact():
    """A guard changes nothing where the branch is taken, to the last bit."""
    f = compiled(sp.Heaviside(h) * sp.exp(-h) * sp.log(1 + h) / h)
    x = np.linspace(0.1, 5, 7)
    assert np.array_equal(f(x, 1.0, 1.0), np.asarray(jnp.exp(-x) * jnp.log(1 + x) / x))


KINKS = [
    (sp.Abs(h), 0, 0),
    (sp.Max(0, h), 0, 0.5),
    (sp.Min(h, 2 * h), 0, 1.5),
    (sp.Heaviside(h), 0.5, 0),
    (sp.sign(h), 0, 0),
    (sp.Max(0, sp.exp(h) - 1), 0, 0.5),
]
MARGIN_LOSSES = [losses.logistic(), losses.probit(), losses.smoothed_hinge(), losses.hinge(), losses.huber()]


@pytest.mark.parametrize(("expr", "value", "slope"), KINKS, ids=str)
def test_kinks_average_both_sides(expr, value, slope):
    assert derivatives(compiled(expr), 0.0, 1.0, 1.0)[:2] == [value, slope]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("loss", MARGIN_LOSSES, ids=lambda loss: loss.name)
def test_margin_losses_far_out(loss, dtype):
    """Printed loss under jax.grad, and SymPy's printed derivatives, agree and are finite at h = +-1e4."""
    f, a, b = (compiled(e) for e in (loss.value, loss.gradient[0], loss.hessian[0, 0]))
    label = jnp.asarray(-1, dtype)
    points = jnp.asarray([-1e4, -30.0, -1.7, 0.3, 30.0, 1e4], dtype)

    @jax.jit
    @jax.vmap
    def by_jax(x):
        return jnp.stack([g(x, label, label) for g in (f, jax.grad(f), jax.grad(jax.grad(f)))])

    values = np.asarray(by_jax(points))
    by_sympy = np.array([[float(g(x, label, label)) for g in (f, a, b)] for x in points])
    assert values.dtype == dtype and np.isfinite(values).all()
    assert values == pytest.approx(by_sympy, rel=float(20 * np.finfo(dtype).eps), abs=1e-30)
    if loss.name == "logistic":
        assert values[-1].tolist() == [1e4, 1, 0] and values[0].tolist() == [0, 0, 0]
    if loss.name == "probit":
        assert values[-1] == pytest.approx([5e7, 1e4, 1], rel=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_softmax_far_out(dtype):
    loss = losses.softmax(3)
    arguments = {"fields": loss.fields, "label": loss.labels}
    value = printer.function("f", arguments, "Loss.", loss.value)
    slopes = printer.function("a", arguments, "Gradient.", loss.gradient)
    code = runtime.load(printer.module("a test.", value, slopes), "test")
    label = jnp.array([1, 0, 0], dtype)
    for fields in ([1e4, 0, -1e4], [-1e4, 0, 1e4], [1e4, 1e4, 1e4], [-1e4, -1e4, 1e4]):
        fields = jnp.array(fields, dtype)
        assert float(code.f(fields, label)) == pytest.approx(float(jax.nn.logsumexp(fields) - fields[0]))
        gradient, hessian = jax.grad(code.f)(fields, label), jax.jit(jax.hessian(code.f))(fields, label)
        assert gradient == pytest.approx(np.asarray(jax.nn.softmax(fields) - label), abs=1e-6)
        # exp(h_c - log-sum-exp) inherits the rounding of h_c
        assert np.array(code.a(fields, label)) == pytest.approx(np.asarray(gradient), abs=float(2e4 * np.finfo(dtype).eps))
        assert np.isfinite(hessian).all() and np.asarray(hessian).sum(axis=1) == pytest.approx(np.zeros(3), abs=1e-6)


def test_erf_under_jit():
    expr = sp.erf(h) + sp.erfc(2 * h) + functions.NormalCDF(h)
    f = compiled(expr)
    assert float(jax.jit(f)(0.3, 1.0, 1.0)) == pytest.approx(float(functions.elementary(expr).subs(h, sp.Rational(3, 10))), rel=1e-14)
    assert np.isfinite(derivatives(f, 1e4, 1.0, 1.0)).all()
