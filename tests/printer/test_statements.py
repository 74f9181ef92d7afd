"""Shared subexpressions get a name once and within their scope; the text is deterministic and runs."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest
import sympy as sp

from gmsym import printer, runtime, symbols
from gmsym.errors import InputError
from gmsym.problem import losses
from gmsym.symbols import eta, h, y


class Mean(sp.Function):
    """A node that prints itself as a Gaussian mean over one or two variables; args: Lambda, mean vector, covariance."""

    def _jaxcode(self, jax_printer):
        function, mean, cov = self.args
        return jax_printer.gaussian_mean(function, list(mean), cov)


def mean(variables, expr, m, v):
    return Mean(sp.Lambda(variables, expr), sp.Tuple(*m), sp.ImmutableDenseMatrix(v))


def run(outputs, **values):
    arguments = {name: symbols.symbol(name) for name in values}
    text = printer.module("a test.", printer.function("f", arguments, "Several expressions.", outputs))
    return text, [float(r) for r in runtime.load(text, "test").f(*values.values())]


def test_sharing():
    lines, results = printer.statements([sp.exp(h * y) + 1, sp.exp(h * y) * sp.sin(eta * sp.exp(h * y))], {h: "h", y: "y", eta: "eta"})
    assert lines == ["x0 = jnp.exp(h * y)"]
    assert results == ["1 + x0", "x0 * jnp.sin(eta * x0)"]


def test_names_in_use_are_skipped():
    x0 = symbols.symbol("x0")
    lines, results = printer.statements([sp.exp(x0), sp.sqrt(sp.exp(x0) + 1)], {x0: "x0"})
    assert lines == ["x1 = jnp.exp(x0)"] and results == ["x1", "jnp.sqrt(1 + x1)"]


def test_bound_variables_stay_in_their_scope():
    """exp(h) occurs outside with the free h and twice inside with the bound h; only the outer one may be shared."""
    node = mean((h,), sp.exp(h) + sp.exp(h) ** 2 * sp.exp(eta), [sp.exp(h)], [[sp.exp(eta)]])
    text, (value, twice) = run([node + sp.exp(h) + sp.exp(eta), 2 * node], h=0.3, eta=-1.0)
    assert text.count("rt.gaussian_mean(lambda h_1: ") == 1 and "x0 = jnp.exp(h)\n" in text
    m, v = np.exp(0.3), np.exp(-1.0)
    expected = np.exp(m + v / 2) + np.exp(2 * m + 2 * v) * v
    assert value == pytest.approx(expected + m + v, rel=1e-12) and twice == pytest.approx(2 * expected, rel=1e-12)


def test_nested_means():
    """A mean within a mean, with the same bound symbol, and a Dummy."""
    z = sp.Dummy("h", real=True)
    inner = mean((h,), sp.cos(h), [0], [[1]])
    outer = mean((h,), h**2 * inner + mean((z,), z * h, [h], [[2]]), [eta], [[1]])
    text, (value,) = run([outer], h=5.0, eta=0.5)
    assert value == pytest.approx((0.25 + 1) * np.exp(-0.5) + 1.25, rel=1e-12)
    assert len(set(re.findall(r"lambda (\w+):", text))) == 2  # the inner two are siblings


def test_guard_in_a_scope():
    node = mean((h,), sp.Heaviside(-h) * sp.exp(300 * h), [0], [[1]])
    _, (value,) = run([node], h=0.0)
    assert np.isfinite(value)


def test_two_dimensional_mean():
    a, b = symbols.fields(2)
    text, (value,) = run([mean((a, b), a**2 * b**2, [0, 1], [[1, sp.Rational(1, 2)], [sp.Rational(1, 2), 2]])], eta=1.0)
    assert "rt.gaussian_mean(lambda h0, h1: h0**2 * h1**2, [0, 1], [[1, 1 / 2], [1 / 2, 2]])" in text
    assert value == pytest.approx(1 + 2 + 2 * 0.25, rel=1e-12)


def test_every_line_is_used():
    """Each name that is introduced is used again, for all losses of the catalog and their derivatives."""
    for make in losses.CATALOG.values():
        loss = make()
        names = {s: s.name for s in (*loss.fields, *loss.labels)}
        lines, results = printer.statements([loss.value, *loss.gradient, *loss.hessian], names)
        text = "\n".join([*lines, *results])
        for line in lines:
            assert len(re.findall(rf"\b{line.split()[0]}\b", text)) > 2, f"{loss.name}: {line} is not shared"


def test_function_text():
    text = printer.function("f", {"fields": symbols.fields(2), "p": (eta,), "y": y}, "A sum.", (y + symbols.symbol("h1"),))
    assert text == 'def f(fields, p, y):\n    """A sum."""\n    (h0, h1) = fields\n    return (y + h1,)\n'.replace("y + h1", "h1 + y")


def test_awkward_names():
    """Names that are keywords, modules of the generated code or no identifiers."""
    parameters = tuple(sp.Symbol(name, real=True) for name in ("lambda", "jnp", "2c", "x0", "f"))
    text = printer.function("f", {"p": parameters}, "A sum.", sp.exp(sum(parameters)) + sp.sqrt(sp.exp(sum(parameters))))
    f = runtime.load(printer.module("a test.", text), "test").f
    assert float(f((0.1, 0.2, 0.3, 0.4, 0.5))) == pytest.approx(np.exp(1.5) + np.exp(0.75))


def test_symbols_of_one_name_in_a_function():
    with pytest.raises(InputError, match="two different symbols"):
        printer.function("f", {"a": (h,), "b": (sp.Symbol("h"),)}, "Ambiguous.", h + sp.Symbol("h"))


SCRIPT = """
from gmsym import printer
from gmsym.problem import losses, optimizers
for make in losses.CATALOG.values():
    loss = make()
    print(printer.function(loss.name, {"fields": loss.fields, "label": loss.labels}, "x", [loss.value, *loss.gradient, *loss.hessian]))
"""


def test_text_does_not_depend_on_the_hash_seed():
    def text(seed):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        return subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, check=True, text=True).stdout

    first = text("0")
    assert len(first) > 2000 and all(text(seed) == first for seed in ("1", "12345"))


def test_printer_knows_nothing_of_jax():
    script = "import sys, gmsym.printer; sys.exit('jax' in sys.modules or 'gmsym.calculus' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, check=True)
