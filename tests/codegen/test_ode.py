"""Where a generated module of online SGD cuts its panels: the lines on which integrands of one or two fields have kinks."""

import sympy as sp

from gmsym.codegen.ode import _kinks, _loci, _meetings

z = x, y = sp.symbols("z0 z1", real=True)
b, v, w = sp.symbols("bias v0 v1", real=True)
NETWORK = v * sp.Max(x, 0) + w * sp.Max(y, 0) + b


def lines(*bodies):
    return {sp.Add(c, *(a * s for a, s in zip(gradient, z, strict=True))) for gradient, c in _loci(bodies, z)}


def test_the_sign_of_a_network_changes_on_the_lines_of_its_pieces():
    assert lines(sp.Heaviside(NETWORK)) == {x, y, b + v * x, b + w * y, b + v * x + w * y}
    assert set(_meetings(_loci([sp.Heaviside(NETWORK)], z))) == {0, -b / v}


def test_every_kind_of_kink_has_its_line():
    condition = sp.Piecewise((x, x < 2 * y), (0, True))
    found = lines(sp.Abs(x - 1) * sp.sign(y), condition, sp.Min(x, y - 3))
    assert {sp.expand(line * sp.sign(line.coeff(x) or 1)) for line in found} == {x - 1, y, x - 2 * y, x - y + 3}


def test_kinks_of_one_variable_may_stand_inside_one_another():
    assert set(_kinks(_loci([sp.Heaviside(sp.Abs(x) - 2)], (x,)))) == {-2, 0, 2}


def test_kinks_on_no_line_are_left_to_points():
    assert _loci([sp.Heaviside(sp.tanh(x) + y)], z) is None
    assert _loci([sp.Heaviside(x**2 - y)], z) is None
    assert _loci([sp.Add(*(sp.Abs(x - k * y) for k in range(20)))], z) is None
