"""Means in generated modules. Where they cut their panels: the lines on which integrands of one or two fields have kinks."""

import numpy as np
import pytest
import sympy as sp

import gmsym as gm
from gmsym.codegen._means import _kinks, _loci, _meetings
from gmsym.pipeline._stages import load
from gmsym.runtime.nodes import settled

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


@pytest.mark.slow
def test_every_theory_tests_a_fresh_sample_alike():
    """Cross-entropy of two ReLU units: the same number everywhere. That by a grid of
    4001 x 4001 points, which does not know the kinks, is .647453096, 2e-8 off."""
    given = {"overlap": [[0.3, -0.3], [-0.1, 0.1]], "norm2": [[1, 0.2], [0.2, 0.5]]}
    network = gm.parse("max(0, h0) - max(0, h1)")
    loss = gm.Loss("cross_entropy", sp.log(1 + sp.exp(-gm.symbols.y * network)), readout=network)
    data = gm.GaussianMixture(probabilities=[0.5, 0.5], labels=[1, -1], means_gram=[[1, -1], [-1, 1]], variance=[1, 1])
    full, online = (
        gm.Problem(data, loss, gm.optimizers.gd(), sampling=kind, **given) for kind in (gm.sampling.full(), gm.sampling.online())
    )
    m, Q = np.array([[0.3, -0.1], [-0.3, 0.1]]), np.array([given["norm2"]] * 2)
    found = []
    for system in (gm.derive.dmf(full), gm.derive.surrogate(full)):
        code = load(system)
        assert code.TEST_NODES
        found.append(code.test_loss(m, Q, (), settled(code.TEST_NODES)))
    code = load(gm.derive.effective(online))
    found.append(code.test(m, Q, np.array([[1.0], [-1.0]]), (), (), settled(code.TEST_NODES))[:, 0])
    for values in found:
        assert np.mean(values) == pytest.approx(0.647453112993, abs=1e-11)
