"""Equations of spectra: null directions, the rational form of X, closed forms, and any loss that is typed in."""

from itertools import combinations

import numpy as np
import pytest
import sympy as sp

import gmsym as gm
from gmsym import derive
from gmsym.calculus.minors import rational_form
from gmsym.codegen import signature, source
from gmsym.system.spectral import letters


def problem(loss, **mixture):
    data = gm.GaussianMixture.symmetric() if not mixture else gm.GaussianMixture(**mixture)
    return gm.Problem(data, loss, gm.optimizers.gd())


def one_hot(classes):
    return {
        "probabilities": [sp.Rational(1, classes)] * classes,
        "labels": sp.eye(classes).tolist(),
        "means_gram": sp.eye(classes),
        "variance": [1] * classes,
    }


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_the_rational_form_is_the_share_itself(size, sign):
    """det(I + v S'A) and X = u A (I + v S'A)^{-1} from minors of A, at random symmetric matrices."""
    sets = [s for k in range(1, size + 1) for s in combinations(range(size), k)]
    minors = [(a, b) for i, a in enumerate(sets) for b in sets[i:] if len(a) == len(b)]
    sym = letters(size)
    share = 3 * sym.A * (sym.identity + sign * sym.Sk(1) * sym.A) ** -1
    entries, denominator, numerator = rational_form(share, sym.A, sym.Sk(1), sym.identity, size, minors)
    rng = np.random.default_rng(size)
    A, S = (x + x.T for x in rng.normal(size=(2, size, size)))
    values = dict(zip(entries, S[np.triu_indices(size)], strict=True))
    found = np.array([np.linalg.det(A[np.ix_(rows, columns)]) for rows, columns in minors])
    determinant = 1 + found @ np.array([float(c.subs(values)) for c in denominator])
    assert determinant == pytest.approx(np.linalg.det(np.eye(size) + sign * S @ A), rel=1e-10)
    X = np.array([[float(c.subs(values)) for c in row] for row in numerator]) @ found / determinant
    assert X == pytest.approx(3 * (A @ np.linalg.inv(np.eye(size) + sign * S @ A))[np.triu_indices(size)], rel=1e-8, abs=1e-10)


def test_a_share_of_another_kind_has_no_rational_form():
    sym = letters(2)
    A, S, one = sym.A, sym.Sk(1), sym.identity
    for share in (A, A * (S * A) ** -1, S * A * (one + S * A) ** -1, A * (one + A * S) ** -1 * A):
        assert rational_form(share, A, S, one, 2, [((0,), (0,))]) is None


@pytest.mark.parametrize("matrix", ["hessian", "information"])
@pytest.mark.parametrize("classes", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_softmax_loses_its_shift(classes, matrix):
    """The null direction is (1, ..., 1): for the information matrix only because labels are one-hot."""
    system = derive.spectrum(problem(gm.losses.softmax(classes), **one_hot(classes)), matrix)
    assert system.null == 1 and system.A.shape == (classes - 1, classes - 1)
    columns = system.columns
    assert sp.simplify(columns.T * columns) == sp.eye(classes - 1)
    assert sp.simplify(sp.ones(1, classes) * columns) == sp.zeros(1, classes - 1)
    soft = {**one_hot(classes), "labels": (sp.eye(classes) * sp.Rational(9, 10)).tolist()}
    assert derive.spectrum(problem(gm.losses.softmax(classes), **soft), "information").null == 0
    assert derive.spectrum(problem(gm.losses.softmax(classes), **soft), "hessian").null == 1


def test_products_of_gradients_have_rank_one():
    """Minors of a a^T beyond its entries vanish, so they are not carried."""
    system = derive.spectrum(problem(gm.losses.erf_committee([1, -1, sp.Rational(1, 2)])), "information")
    assert len(system.minors) == 6 and max(len(rows) for rows, _ in system.minors) == 1
    assert len(derive.spectrum(problem(gm.losses.erf_committee([1, -1, sp.Rational(1, 2)]))).minors) == 13


def test_the_closed_form_of_squared_loss_is_marchenko_and_pasturs():
    system = derive.spectrum(problem(gm.losses.squared()))
    S, z, alpha, sigma = sp.Symbol("S"), sp.Symbol("z"), gm.symbols.alpha, gm.symbols.sigma
    expected = z * sigma**2 * S**2 + (alpha * z + sigma**2 - alpha * sigma**2) * S + alpha
    assert sp.expand(system.polynomial - expected) == 0


def test_two_noises_make_a_cubic():
    """K = 2 clusters of different variance and a constant Hessian: one root more."""
    data = {"probabilities": [0.5, 0.5], "labels": [1, -1], "means_gram": sp.eye(2), "variance": [1, 2]}
    system = derive.spectrum(problem(gm.losses.squared(), **data))
    assert sp.degree(system.polynomial, sp.Symbol("S")) == 3


def test_a_loss_that_is_in_no_catalog_goes_through():
    h, y = gm.symbols.h, gm.symbols.y
    system = derive.spectrum(problem(gm.Loss("mine", sp.log(sp.cosh(h - y)) + (h * y) ** 4 / 10)))
    assert system.A.shape == (1, 1)
    assert sp.simplify(system.A[0, 0] - ((h * y) ** 4 / 10 + sp.log(sp.cosh(h - y))).diff(h, 2)).subs({h: 0.3, y: 1}) == pytest.approx(0)
    assert "def matrix" in source(system)


def test_equations_have_sources_and_latex():
    system = derive.spectrum(problem(gm.losses.softmax(3), **one_hot(3)))
    assert all(equation.source and equation.status for equation in system.equations())
    for part in (r"\left(I + S'_{k} A\right)^{-1}", r"\otimes", "D &= z I - Q"):
        assert part in system.latex()
    assert system._repr_latex_().startswith("$")


def test_the_signature_tells_matrices_apart():
    logistic = problem(gm.losses.logistic())
    signatures = {signature(derive.spectrum(logistic, matrix)) for matrix in ("hessian", "information")}
    assert len(signatures) == 2 and signature(derive.spectrum(logistic)) in signatures


def test_trained_parameters_extend_the_matrix():
    v, h, y = (gm.symbols.symbol(name) for name in ("v", "h", "y"))
    loss = gm.Loss("unit", (v * sp.erf(h) - y) ** 2 / 2)
    system = derive.spectrum(problem(loss), trained=("v",))
    a, b = loss.expr.diff(h, v), loss.expr.diff(v, 2)
    point = {h: sp.Rational(1, 3), v: sp.Rational(4, 5), y: 1}
    assert sp.N((system.mixed[0, 0] - a).subs(point), 30) == pytest.approx(0, abs=1e-25)
    assert sp.N((system.corner[0, 0] - b).subs(point), 30) == pytest.approx(0, abs=1e-25)
    assert "H_{:h}" in system.latex()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"matrix": "gram"}, "matrix = 'gram'"),
        ({"block": 3}, "block = 3"),
        ({"block": True}, "block = True"),
        ({"trained": ("w",)}, "trained = 'w'"),
        ({"block": 0, "trained": ("v",)}, "with block = 0"),
        ({"trained": ("v", "v")}, "twice"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    v, h, y = (gm.symbols.symbol(name) for name in ("v", "h", "y"))
    with pytest.raises(gm.InputError, match=message):
        derive.spectrum(problem(gm.Loss("unit", (v * sp.erf(h) - y) ** 2 / 2)), **arguments)


def test_blocks_of_coordinates_have_an_index():
    """S_b and S'_k with several blocks; one block keeps the equations without."""
    data = {"probabilities": [1], "labels": [1], "means_gram": [[1]]}
    two = derive.spectrum(problem(gm.losses.logistic(), **data, variance=[[1, 2]], fractions=[0.5, 0.5]))
    one = derive.spectrum(problem(gm.losses.logistic(), **data, variance=[1]))
    assert r"S_{b}" in two.latex() and r"\sum_{b=1}^{B}" in two.latex() and r"S_{b}" not in one.shown().latex()
    assert two.values is None and signature(two) != signature(one)


def test_a_step_that_makes_no_difference_is_left_out():
    """The square of a sign is 1, and p (1 - p) is even in the field."""
    h, t = gm.symbols.h, gm.symbols.teachers(1)[0]
    loss = gm.Loss("taught", sp.log(1 + sp.exp(-sp.sign(t) * h)))
    system = derive.spectrum(gm.Problem(gm.GaussianMixture.symmetric(), loss, gm.optimizers.gd(), teacher=gm.Teacher([[1]])))
    assert not system.A.has(sp.Heaviside, sp.sign) and system.A.free_symbols == set(system.fields)
