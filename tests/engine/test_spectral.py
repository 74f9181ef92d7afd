"""Spectra of Hessian and information matrices: closed forms, functional inverses, a published table, and every trap on the way."""

import numpy as np
import pytest
import sympy as sp
from scipy.optimize import minimize_scalar

import gmsym as gm
import gmsym.comparison
from gmsym import derive, pipeline
from gmsym.comparison import outlier_table
from gmsym.engine.brackets import outside
from gmsym.engine.nodes import law
from gmsym.engine.outliers import transform
from gmsym.engine.stieltjes import stieltjes
from gmsym.pipeline.spectrum import numbers, state_instance
from tests.effective_logistic import trajectory

UNIT = {"sigma": 1.0, "mu_norm": 1.0}
SLOW = pytest.mark.slow  # another compilation of what a faster test covers


def binary(loss=None, norm2=1.0, overlap=(0.5, -0.5)):
    return gm.Problem(gm.GaussianMixture.symmetric(), loss or gm.losses.logistic(), gm.optimizers.gd(), norm2=norm2, overlap=overlap)


def classes(count=3, scale=2.0, norm2=None, overlap=0.5, variance=None):
    data = gm.GaussianMixture(
        probabilities=[sp.Rational(1, count)] * count,
        labels=sp.eye(count).tolist(),
        means_gram=scale * np.eye(count) + 0.1,
        variance=variance or [1] * count,
    )
    gram = np.diag(0.6 + 0.3 * np.arange(count)) + 0.1 if norm2 is None else norm2
    return gm.Problem(data, gm.losses.softmax(count), gm.optimizers.gd(), norm2=gram, overlap=overlap * np.eye(count))


def prepared(problem, matrix, alpha, **values):
    system = derive.spectrum(problem, matrix)
    module = pipeline.load(system)
    given = numbers(system, state_instance(problem, {"alpha": alpha, **values}, None, None))
    return module, law(module, given), given


# --- closed forms -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [0.5, pytest.param(3.0, marks=SLOW)])
def test_a_constant_hessian_has_the_marchenko_pastur_law(alpha):
    """M = (1/n) sum Y Y^T of noise s^2 I: density, both edges and the atom."""
    noise, gamma = 0.7, 1 / alpha
    result = gm.solve(gm.derive.spectrum(binary(gm.losses.squared(), overlap=None)), {"alpha": alpha, "sigma": noise, "mu_norm": 0.1})
    low, high = noise**2 * (1 - np.sqrt(gamma)) ** 2, noise**2 * (1 + np.sqrt(gamma)) ** 2
    assert np.allclose(result["edge"], [[low, high]], rtol=1e-10)
    z = result["z"].values
    expected = np.sqrt((high - z) * (z - low)) / (2 * np.pi * gamma * noise**2 * z)
    assert np.abs(result["density"].values - expected).max() < 1e-6 * expected.max()
    assert float(result["atom"]) == pytest.approx(max(0, 1 - alpha), abs=1e-6)
    assert result.sizes["outlier"] == 0


def test_the_outlier_of_a_constant_hessian_is_that_of_a_spiked_covariance():
    """Baik, Ben Arous and Peche: a population eigenvalue 1 + r > 1 + sqrt(g) gives (1 + r)(1 + g/r) and overlap (1 - g/r^2)/(1 + g/r)."""
    alpha, strength = 4.0, 1.3
    result = gm.solve(
        gm.derive.spectrum(binary(gm.losses.squared(), overlap=(0.1, -0.1))), {"alpha": alpha, "sigma": 1.0, "mu_norm": np.sqrt(strength)}
    )
    g = 1 / alpha
    assert result["outlier_z"].values == pytest.approx([(1 + strength) * (1 + g / strength)], rel=1e-9)
    assert result["overlap"].values == pytest.approx([(1 - g / strength**2) / (1 + g / strength)], rel=1e-8)
    below = gm.solve(
        gm.derive.spectrum(binary(gm.losses.squared(), overlap=(0.1, -0.1))), {"alpha": alpha, "sigma": 1.0, "mu_norm": np.sqrt(0.99 * 0.5)}
    )
    assert below.sizes["outlier"] == 0


@pytest.mark.parametrize(
    ("loss", "matrix"), [(gm.losses.hinge(), "information"), pytest.param(gm.losses.huber(sp.Rational(4, 5)), "hessian", marks=SLOW)]
)
def test_a_two_valued_matrix_solves_its_polynomial(loss, matrix):
    """The closed form of the derivation and the solver on nodes that end at the kinks agree at all points of the density."""
    problem, alpha = binary(loss), 2.5
    system = derive.spectrum(problem, matrix)
    result = gm.solve(system, {"alpha": alpha, **UNIT})
    ((_, noise, weight),) = system.values
    state = {"m_0": 0.5, "m_1": -0.5, "Q": 1, "sigma": 1}
    share = weight.subs({s: state[s.name] for s in weight.free_symbols})
    polynomial = system.polynomial
    letter, z = sp.Symbol("S"), sp.Symbol("z")
    known = {s: {"alpha": alpha, "sigma": 1.0}[s.name] for s in polynomial.free_symbols if s.name in ("alpha", "sigma")}
    known |= {f: sp.N(share) for f in polynomial.atoms(sp.Function)}
    coefficients = sp.Poly(polynomial.subs(known), letter)
    for point, density in zip(result["z"].values[7::37], result["density"].values[7::37], strict=True):
        roots = np.roots([complex(c.subs(z, point)) for c in coefficients.all_coeffs()])
        assert density == pytest.approx(roots.imag.max() / np.pi, rel=1e-6)
    assert noise == gm.symbols.sigma**2
    assert abs(float(result["atom"]) - max(0, 1 - alpha * float(sp.N(share)))) < 1e-6


@pytest.mark.parametrize("matrix", ["hessian", "information"])
def test_edges_are_the_extrema_of_the_functional_inverse(matrix):
    """z(S) = -1/S + E[A/(1 + S'A)] on 40000 points of the field: maximal at the left edge, minimal at the right one, to 1e-8."""
    alpha, m, Q = 4.0, 0.5, 1.0
    xi = np.linspace(-9, 9, 40001)
    weights = np.exp(-(xi**2) / 2)
    weights /= weights.sum()
    p = 1 / (1 + np.exp(m + np.sqrt(Q) * xi))
    A = p * (1 - p) if matrix == "hessian" else p**2
    inverse = lambda s: -1 / s + weights @ (A / (1 + s * A / alpha))  # noqa: E731
    right = minimize_scalar(inverse, bounds=(-alpha / A.max() * 0.999, -1e-3), method="bounded", options={"xatol": 1e-13}).fun
    left = -minimize_scalar(lambda s: -inverse(s), bounds=(1e-2, 1e4), method="bounded", options={"xatol": 1e-11}).fun
    result = gm.solve(gm.derive.spectrum(binary(), matrix), {"alpha": alpha, **UNIT})
    assert np.abs(result["edge"].values - [[left, right]]).max() < 1e-8
    assert result["edge_error"].values.max() < 1e-8


@pytest.mark.parametrize(
    ("count", "matrix"),
    [(2, "hessian"), (3, "hessian"), pytest.param(3, "information", marks=SLOW), pytest.param(4, "hessian", marks=SLOW)],
)
def test_the_fixed_point_is_solved_with_matrices_inverted_directly(count, matrix):
    """Residual of S = [-z + E s^2 A (I + s^2 S A/alpha)^{-1}]^{-1} by NumPy's inverse, clusters of different noise."""
    problem = classes(count, variance=[0.5, 1.2, 0.8, 1.0][:count])
    module, nodes, given = prepared(problem, matrix, 3.0)
    size = module.SIZE
    assert size == count - 1
    x = np.array([0.05, 0.4, 1.0, 3.0])
    s = transform(stieltjes(module), nodes, x, 1e-6)
    rows, columns = np.triu_indices(size)
    (group,) = nodes.nodes.groups
    packed, variance, weights = (np.asarray(x) for x in (group.matrix, group.variance, group.weights))
    A = np.zeros((packed.shape[1], size, size))
    A[:, rows, columns] = A[:, columns, rows] = packed.T
    for point, entries in zip(x, s.T, strict=True):
        S = np.zeros((size, size), dtype=complex)
        S[rows, columns] = S[columns, rows] = entries
        X = A @ np.linalg.inv(np.eye(size) + variance[:, None, None] * S / given.alpha @ A)
        mean = np.einsum("n,nij->ij", weights * variance, X)
        again = np.linalg.inv(mean - (point + 1e-6j) * np.eye(size))
        assert np.abs(again - S).max() < 1e-10 * np.abs(S).max()


# --- a table of the verified theory -----------------------------------------------------------------------------------


def test_the_spectrum_along_one_pass_sgd_is_that_of_the_table():
    """verified/effective.md 5, config A: edges, outliers and overlaps as printed there, from states integrated by SciPy."""
    states = trajectory([0.0, 4.0, 6.0, 8.0, 12.0])
    table = {
        4.0: (0.0987, 0.2626, [("right", 0.2735, 0.585)]),
        6.0: (0.0873, 0.2402, [("right", 0.2409, 0.204)]),
        8.0: (0.0799, 0.2257, [("left", 0.0798, 0.131)]),
        12.0: (0.0708, None, [("left", 0.0685, 0.610)]),
    }
    system = derive.spectrum(binary())
    for time, (left, right, outliers) in table.items():
        at = states.sel(time=time)
        result = gm.solve(system, {"alpha": 20.0, **UNIT}, m=at["m"].values, Q=at["Q"].values)
        assert float(result["edge"][0, 0]) == pytest.approx(left, abs=6e-5)
        assert right is None or float(result["edge"][0, 1]) == pytest.approx(right, abs=6e-5)
        assert result.sizes["outlier"] == len(outliers)
        for i, (side, z, overlap) in enumerate(outliers):
            assert int(result["gap"][i]) == (1 if side == "right" else 0)
            assert float(result["outlier_z"][i]) == pytest.approx(z, abs=6e-5)
            assert float(result["overlap"][i]) == pytest.approx(overlap, abs=6e-4)


# --- traps, verified/effective.md 7 -----------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [0.1, 0.9, 1.0, 50.0])
def test_newton_converges_near_atoms(alpha):
    """Trap 1: 0.9 < 1 samples a dimension, points down to 1e-6; a residual above 1e-10 would have raised."""
    module, nodes, _ = prepared(binary(), "hessian", alpha, **UNIT)
    s = transform(stieltjes(module), nodes, np.geomspace(1e-6, 10, 200), 1e-8)
    assert (s.imag > 0).all()


def test_an_absolute_threshold_would_misplace_the_edge():
    """Trap 2: at the left edge Im S is as small inside the bulk as outside; the dimensionless test tells them apart."""
    module, nodes, _ = prepared(binary(), "information", 4.0, **UNIT)
    left = gm.solve(gm.derive.spectrum(binary(), "information"), {"alpha": 4.0, **UNIT})["edge"].values[0, 0] / nodes.scale
    x = left * np.array([0.999, 1.001])
    assert outside(transform(stieltjes(module), nodes, x), nodes, 1).tolist() == [True, False]


@pytest.mark.parametrize(
    ("problem", "matrix", "alpha"), [(binary(), "hessian", 0.3), pytest.param(binary(), "information", 0.5, marks=SLOW)]
)
def test_a_bulk_that_thins_towards_zero_has_no_spurious_gaps(problem, matrix, alpha):
    """Traps 3 and 4: fewer samples than dimensions and A close to 0: one band from 0, the atom, no root of the determinant at 0."""
    result = gm.solve(gm.derive.spectrum(problem, matrix), {"alpha": alpha, **UNIT})
    assert result.sizes["band"] == 1 and float(result["edge"][0, 0]) == 0
    assert float(result["atom"]) == pytest.approx(1 - alpha, abs=1e-6)
    assert (np.abs(result["outlier_z"]) > 1e-4).all()
    mass = float((result["weight"] * result["density"]).sum()) + float(result["atom"])
    assert mass == pytest.approx(1, abs=5e-3)


def test_a_two_valued_matrix_keeps_its_gap_above_the_atom():
    """The gap between the atom and the bulk is real when A is bounded away from 0 where it is not 0."""
    result = gm.solve(gm.derive.spectrum(binary(gm.losses.hinge()), "information"), {"alpha": 0.5, **UNIT})
    assert result.sizes["band"] == 1 and float(result["edge"][0, 0]) > 0.01


def test_a_steep_sigmoid_has_its_edge():
    """Trap 5: config D at t = 0.1, |Theta|^2 near 200; Gauss-Hermite puts the right edge at .0835, the simulation at .1079."""
    state = trajectory([0.0, 0.1], variance=0.5, norm2=0.5, step=0.1, ridge=1.5, start=200.0).isel(time=1)
    result = gm.solve(
        gm.derive.spectrum(binary()),
        {"alpha": 3.0, "sigma": np.sqrt(0.5), "mu_norm": np.sqrt(0.5)},
        m=state["m"].values,
        Q=state["Q"].values,
    )
    assert float(result["edge"][0, 1]) == pytest.approx(0.1089, abs=1e-4)
    assert float(result["edge_error"][0, 1]) < 1e-5


def test_states_without_directions_are_allowed():
    """Trap 7: Theta = 0, and Theta within the span of the means, where the Cholesky factor of the Gram matrix does not exist."""
    at_zero = gm.solve(gm.derive.spectrum(binary(norm2=0, overlap=None)), {"alpha": 4.0, **UNIT})  # A = 1/4: a quarter of Marchenko-Pastur
    assert np.allclose(at_zero["edge"], [[0.25 * 0.25, 0.25 * 2.25]], rtol=1e-9)
    within = gm.solve(gm.derive.spectrum(binary(norm2=0.25, overlap=(0.5, -0.5))), {"alpha": 4.0, **UNIT})  # Theta = mu/2
    beside = gm.solve(gm.derive.spectrum(binary(norm2=0.25 + 1e-7, overlap=(0.5, -0.5))), {"alpha": 4.0, **UNIT})
    assert np.allclose(within["edge"], beside["edge"], rtol=1e-5)
    assert np.allclose(within["outlier_z"], beside["outlier_z"], rtol=1e-5)


@pytest.mark.slow
def test_the_null_direction_of_softmax_is_an_atom():
    """Trap 10: shifts of all fields are a third of the eigenvalues, all zero; without reduction the density would hold them."""
    result = gm.solve(gm.derive.spectrum(classes()), {"alpha": 4.0}, points=200)
    assert float(result["atom"]) == pytest.approx(1 / 3)
    assert float((result["weight"] * result["density"]).sum()) == pytest.approx(2 / 3, abs=1e-6)


# --- against simulation -----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_density_and_outliers_are_those_of_matrices_of_generated_data():
    """Clusters of different size and noise: the distance of the distributions is a few 1/d, outliers are within three errors."""
    data = gm.GaussianMixture(probabilities=[0.3, 0.7], labels=[1, -1], means_gram=[[2.0, -1.0], [-1.0, 1.5]], variance=[0.4, 1.1])
    problem = gm.Problem(data, gm.losses.logistic(), gm.optimizers.gd(), norm2=1.5, overlap=[0.8, -0.4])
    theory = gm.solve(gm.derive.spectrum(problem), {"alpha": 4.0})
    runs = gm.simulate(gm.derive.spectrum(problem), {"alpha": 4.0}, d=250, replicates=12, seed=1)
    assert gm.comparison.kolmogorov(theory, runs).mean() < 10 / 250
    rows = outlier_table(theory, runs)
    assert [row.side for row in rows if row.side == "right"]
    assert all(max(map(abs, row.scores)) < 3.5 for row in rows)


@pytest.mark.slow
def test_trained_second_layer_weights_move_the_outliers():
    """verified/effective.md 4b: the extended matrix has the bulk of the fields' block and outliers of its own; d = 150."""
    v, h, y = (gm.symbols.symbol(name) for name in ("v", "h", "y"))
    loss = gm.Loss("unit", (v * sp.erf(h / sp.sqrt(2)) - y) ** 2 / 2)
    problem, values = binary(loss, norm2=1.5, overlap=(0.7, -0.7)), {**UNIT, "v": 0.8}
    plain = gm.solve(gm.derive.spectrum(problem), {"alpha": 5.0, **values})
    theory = gm.solve(gm.derive.spectrum(problem, trained=("v",)), {"alpha": 5.0, **values})
    assert np.allclose(plain["edge"], theory["edge"], rtol=1e-9)
    runs = gm.simulate(gm.derive.spectrum(problem, trained=("v",)), {"alpha": 5.0, **values}, d=150, replicates=24, seed=3)
    rows = outlier_table(theory, runs)
    assert theory.sizes["outlier"] > 0
    strong = [row for row in rows if row.overlap > 0.3]
    assert strong and all(max(map(abs, row.scores)) < 4 for row in strong)
    assert float(theory["overlap_trained"].max()) > 0.1


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ({"alpha": 0}, {}, "alpha = 0"),
        ({"alpha": float("nan")}, {}, "alpha = nan"),
        ({}, {"m": [0.5, -0.5]}, "Q is missing"),
        ({}, {"m": [5.0, -5.0], "Q": 1.0}, "Gram matrix"),
        ({}, {"m": [0.5], "Q": 1.0}, "m has shape"),
        ({}, {"Q": [[1.0, 0.0]], "m": [0.5, -0.5]}, "Q has shape"),
        ({}, {"points": 2}, "points = 2"),
        ({}, {"grid": [0.3, 0.1]}, "grid"),
        ({"sigma": -1.0}, {}, "sigma = -1.0"),
        ({"nonsense": 1.0}, {}, "nonsense"),
    ],
)
def test_bad_arguments_are_named(values, options, message):
    with pytest.raises(gm.InputError, match=message):
        gm.solve(gm.derive.spectrum(binary()), {"alpha": 4.0, **UNIT, **values}, **options)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"matrix": "fisher"}, "matrix = 'fisher'"),
        ({"block": 1}, "block = 1"),
        ({"trained": ("v",)}, "trained = 'v'"),
    ],
)
def test_matrices_that_there_are_not_are_named(arguments, message):
    with pytest.raises(gm.InputError, match=message):
        derive.spectrum(binary(), **arguments)


def test_a_matrix_that_vanishes_is_refused():
    with pytest.raises(gm.InputError, match="hinge vanishes"):
        gm.solve(gm.derive.spectrum(binary(gm.losses.hinge())), {"alpha": 4.0, **UNIT})


def test_a_state_beyond_all_kinks_is_reported():
    with pytest.raises(gm.ComputationError, match="vanishes at all nodes"):
        gm.solve(
            gm.derive.spectrum(binary(gm.losses.hinge()), "information"),
            {"alpha": 4.0, "sigma": 1e-3, "mu_norm": 3.0},
            m=[60.0, -60.0],
            Q=400.0,
        )
