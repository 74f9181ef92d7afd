"""Equations as they are read say the same as those that are computed."""

import numpy as np
import pytest
import sympy as sp

import gmsym as gm
from gmsym.latex import width_of

CLASSES = 3


def spectrum(matrix: str, classes: int = CLASSES) -> gm.Problem:
    data = gm.GaussianMixture(
        probabilities=[sp.Rational(1, classes)] * classes,
        labels=np.eye(classes, dtype=int).tolist(),
        means_gram=sp.eye(classes),
        variance=[1] * classes,
    )
    problem = gm.Problem(data, gm.losses.softmax(classes), gm.optimizers.gd(), sampling=gm.sampling.online())
    return gm.derive.spectrum(problem, matrix=matrix)


@pytest.mark.parametrize("matrix, named", [("hessian", "diag"), ("information", r"(\pi - y)(\pi - y)^{\top}")])
def test_softmax_has_its_matrix_by_name(matrix, named):
    system = spectrum(matrix)
    shown = {sp.latex(e.lhs): e.rhs for e in system.shown()}
    assert named in sp.latex(shown["A"]) and r"\operatorname{softmax}(V u)" in sp.latex(shown[r"\pi"])
    assert max(width_of(line) for e in system.shown().lines() for line in e) < 60


def test_that_name_is_the_matrix_of_the_system():
    system = spectrum("hessian")
    V = np.array({sp.latex(e.lhs): e.rhs for e in system.shown()}["V"]).astype(float)
    u = sorted(system.A.free_symbols, key=lambda x: x.name)
    point = np.array([0.3, -1.1])
    pi = np.exp(V @ point) / np.exp(V @ point).sum()
    computed = np.array(system.A.subs(dict(zip(u, point, strict=True))).doit()).astype(float)
    assert V.T @ (np.diag(pi) - np.outer(pi, pi)) @ V == pytest.approx(computed, abs=1e-14)


def test_a_matrix_that_is_no_such_form_keeps_its_entries():
    from gmsym.functions import LogSumExp
    from gmsym.system.display import shown
    from gmsym.system.equations import Equation

    h = sp.symbols("h0:3", real=True)
    total = LogSumExp(*h)
    wrong = sp.diag(*(sp.exp(u - total) for u in h))  # diag(pi) alone
    found = shown([Equation(sp.Symbol("A"), sp.ImmutableMatrix(wrong), "matrix", "none", "own")])
    assert not any("diag" in sp.latex(e.rhs) for e in found) and r"\pi_{0}" in sp.latex(found[-1].rhs)


def test_one_block_is_not_spoken_of():
    one = gm.derive.dmf(gm.Problem(gm.GaussianMixture.symmetric(), gm.losses.squared(), gm.optimizers.gd()))
    data = gm.GaussianMixture(probabilities=[1], labels=[1], means_gram=[[1]], variance=[[1, 2]], fractions=[0.5, 0.5])
    two = gm.derive.dmf(gm.Problem(data, gm.losses.squared(), gm.optimizers.gd()))
    assert "block" not in one._repr_latex_() and "_{}" not in one._repr_latex_()
    assert "fraction of the coordinates in block b" in two._repr_latex_()


def test_softmax_online_gives_its_law_and_its_probabilities_once():
    spectral = spectrum("hessian").problem
    shown = gm.derive.effective(spectral).shown()
    lefts = [sp.latex(e.lhs) for e in shown]
    assert sum(r"\operatorname{Cov}" in left and "_{00}" in left for left in lefts) == 1 and lefts.count(r"\pi_{0}") == 1
    assert not any(r"\log" in e.latex() or r"\mathcal N" in e.latex() for e in shown)
    assert max(width_of(line) for e in shown.lines() for line in e) < 60


@pytest.mark.parametrize("power", [1, 2, 3])
def test_products_of_probabilities_are_the_exponentials_they_stand_for(power):
    from gmsym.functions import LogSumExp
    from gmsym.system.display import _probabilities

    z = sp.symbols("z:2", real=True)
    scores = (sp.S.Zero, -z[0], -z[1])
    total = LogSumExp(*scores)
    wide = sp.exp(sum(scores[c % 3] for c in range(1, power + 1)) - power * total)
    ((node, product),) = _probabilities(wide, total, r"\pi").items()
    at = {z[0]: 0.3, z[1]: -1.1}
    weights = np.exp([float(u.subs(at)) for u in scores])
    pi = {sp.Symbol(rf"\pi_{{{c}}}", positive=True): w / weights.sum() for c, w in enumerate(weights)}
    exact = np.exp(sum(float(scores[c % 3].subs(at)) for c in range(1, power + 1)) - power * np.log(weights.sum()))
    assert node == wide and float(product.subs(pi)) == pytest.approx(exact, rel=1e-13)


def test_probabilities_of_two_softmaxes_have_letters_of_their_own():
    """A softmax of the fields and one of twice the fields, in one loss."""
    from gmsym.functions import LogSumExp

    loss = gm.Loss("two", LogSumExp(*gm.symbols.fields(3)) + LogSumExp(*(2 * x for x in gm.symbols.fields(3))) / 2)
    data = spectrum("hessian").problem.data
    shown = gm.derive.effective(gm.Problem(data, loss, gm.optimizers.gd(), sampling=gm.sampling.online())).shown()
    firsts = {sp.latex(e.lhs): e.rhs for e in shown if "_{0}" in sp.latex(e.lhs) and r"\pi" in sp.latex(e.lhs)}
    assert set(firsts) == {r"\pi^{(z1)}_{0}", r"\pi^{(z2)}_{0}"} and len(set(firsts.values())) == 2
