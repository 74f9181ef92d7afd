"""The printed text of every function in the table has the value and the derivative of the SymPy function it stands for."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
import sympy as sp

from gmsym import functions, printer, runtime, symbols
from gmsym.errors import InputError, UnprintableError
from gmsym.printer._table import FUNCTIONS

h, u, v = symbols.h, symbols.symbol("u"), symbols.symbol("v")
UNIT, POSITIVE, BEYOND, LINE = (-0.9, 0.9), (0.1, 3.0), (1.2, 3.0), (-3.0, 3.0)
DOMAIN = {sp.asin: UNIT, sp.acos: UNIT, sp.atanh: UNIT, sp.log: POSITIVE, sp.acosh: BEYOND, sp.tan: UNIT}
SEVERAL = {
    functions.LogSumExp: functions.LogSumExp(h, 2 * h, sp.Rational(1, 3)),
    functions.BivariateNormalCDF: functions.BivariateNormalCDF(h, 1 - 2 * h, sp.Rational(3, 5)),
    functions.PiecewiseLinear: functions.PiecewiseLinear(h, sp.Rational(2, 3), 1, sp.Rational(5, 2), -1, sp.Rational(1, 3)),
    sp.Mod: sp.Mod(h, sp.Rational(3, 2)),
}
ROWS = [(SEVERAL.get(f, None) or f(h), DOMAIN.get(f, LINE)) for f in FUNCTIONS]
OTHERS = [
    (h**3, LINE),
    (1 / (2 + h) ** 2, UNIT),
    (sp.sqrt(h), POSITIVE),
    (h ** sp.Rational(-1, 2), POSITIVE),
    (h ** sp.Rational(5, 3), POSITIVE),
    (h**sp.pi, POSITIVE),
    (2**h, LINE),
    (sp.Rational(1, 3) ** (-h), LINE),
    (-(sp.Rational(3, 7)) * h / sp.sqrt(2) - h**2 / (3 * sp.pi) + sp.E, LINE),
    (h / ((1 + h**2) * (2 + h**2)), LINE),
    (sp.Float("0.1") * h - h / sp.Integer(10) ** 20, LINE),
    (sp.Heaviside(h - sp.Rational(1, 7)) * sp.cos(h), LINE),
    (sp.Max(h, 1 - h, sp.Rational(1, 9)), LINE),
    (sp.Min(sp.exp(h), 1 - h), LINE),
    (sp.Piecewise((h**2, h < -1), (sp.sin(h), (h < 1) & (h > -sp.oo)), (sp.exp(h), True)), LINE),
    (sp.Piecewise((h, sp.Or(h > 1, h < -1)), (h**3, sp.Ne(h, 7)), (0, True)), LINE),
    (-(-h - 1) * (1 - h), LINE),
    (1 - (h - (2 - h)), LINE),
    ((-h) ** 3, LINE),
    (-(h**2), LINE),
]


def compiled(expr):
    """The printed function of h, as a callable."""
    text = printer.module("a test.", printer.function("f", {"h": h}, "The expression.", expr))
    return runtime.load(text, "test").f


def reference(expr, x):
    return mpmath.mpf(expr.subs(h, sp.Float(str(x), 40)).evalf(30))


@pytest.mark.parametrize(("expr", "domain"), ROWS + OTHERS, ids=lambda p: str(p)[:40] if isinstance(p, sp.Basic) else "")
def test_value_and_derivative(expr, domain):
    f = compiled(expr)
    points = np.random.default_rng(1).uniform(*domain, size=5)
    values, slopes = jax.jit(jax.vmap(jax.value_and_grad(f)))(points)
    with mpmath.workdps(30):
        for x, value, slope in zip(points, values, slopes, strict=True):
            exact = reference(expr, mpmath.mpf(x))
            derivative = mpmath.diff(lambda z: reference(expr, z), mpmath.mpf(x), h=mpmath.mpf("1e-9"))
            assert float(value) == pytest.approx(float(exact), rel=2e-14, abs=2e-14)
            assert float(slope) == pytest.approx(float(derivative), rel=1e-12, abs=1e-12)


def test_every_primitive_exists():
    for entry in FUNCTIONS.values():
        library, name = entry.text.split(".")
        assert hasattr({"jnp": jnp, "rt": runtime.functions}[library], name)


UNPRINTABLE = [sp.gamma(h), sp.Function("f")(h), sp.I * h, sp.zoo, sp.nan, sp.DiracDelta(h), sp.Heaviside(h, 1), sp.besselj(0, h)]


@pytest.mark.parametrize("expr", UNPRINTABLE, ids=str)
def test_unknown_is_an_error(expr):
    with pytest.raises(UnprintableError, match="cannot print"):
        printer.JaxPrinter({h: "h"}).doprint(expr)


def test_unknown_function_is_named():
    with pytest.raises(UnprintableError, match=r"gamma\(h\).*gamma has no entry.*_table"):
        printer.JaxPrinter({h: "h"}).doprint(1 + sp.gamma(h))


def test_symbols_of_one_name():
    other = sp.Symbol("h", positive=True)
    with pytest.raises(InputError, match="two different symbols are named 'h'"):
        printer.JaxPrinter({h: "h", other: "k"})
    with pytest.raises(InputError, match="two different symbols are named 'h'"):
        printer.JaxPrinter({h: "h"}).doprint(other + 1)
    with pytest.raises(InputError, match="'u' is neither"):
        printer.JaxPrinter({h: "h"}).doprint(u)


def test_readable_text():
    text = printer.JaxPrinter({h: "h", u: "p[0]"}).doprint
    assert text(1 - h * u) == "1 - h * p[0]"
    assert text(h / (2 * sp.sqrt(u))) == "h / (2 * jnp.sqrt(p[0]))"
    assert text(-sp.Rational(2, 3) * h**2) == "-2 * h**2 / 3"
    assert text((h - 1) * u / (1 + h)) == "p[0] * (h - 1) / (1 + h)"
    assert text(sp.Integer(10) ** 20 + h) == "1e+20 + h"
    assert text(sp.Piecewise((h, h > 0), (0, True))) == "jnp.where(h > 0, h, 0)"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_literals_keep_the_type(dtype):
    f = compiled(sp.Rational(1, 3) * h + sp.sqrt(2) * sp.pi - sp.log(3) + sp.Heaviside(h) + functions.Softplus(h))
    assert f(jnp.asarray(0.3, dtype)).dtype == dtype
