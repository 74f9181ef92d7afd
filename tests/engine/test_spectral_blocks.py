"""Spectra with blocks of coordinates, and by linear solves at each node: limiting cases, independent solutions, generated data."""

import types

import jax
import numpy as np
import pytest
import sympy as sp
from scipy.optimize import brentq, root

import gmsym as gm
from gmsym import derive, pipeline
from gmsym.comparison import kolmogorov, outlier_table
from gmsym.engine.nodes import law
from gmsym.engine.outliers import compressed, transform
from gmsym.engine.stieltjes import stieltjes
from gmsym.pipeline.spectrum import numbers, state_instance
from gmsym.simulation.matrices import _design, _generate
from tests.guards import guards

FRACTIONS, VARIANCES = np.array([0.4, 0.6]), np.array([0.5, 4.0])


def mixture(variance, fractions, **others):
    given = {"probabilities": [0.3, 0.7], "labels": [1, -1], "means_gram": [[2.0, -1.0], [-1.0, 1.5]]}
    return gm.GaussianMixture(**{**given, **others}, variance=variance, fractions=fractions)


def separable():
    """One cluster of mean 0 whose covariance has two eigenvalues; squared loss, so that A = 1."""
    data = mixture([VARIANCES.tolist()], FRACTIONS.tolist(), probabilities=[1], labels=[1], means_gram=[[0]])
    return gm.Problem(data, gm.losses.squared(), gm.optimizers.gd())


def logistic(variance, fractions=(0.25, 0.75)):
    data = mixture(variance, None if len(variance[0]) == 1 else list(fractions))
    return gm.Problem(data, gm.losses.logistic(), gm.optimizers.gd(), norm2=1.5, overlap=[0.8, -0.4])


def softmax(count, variance, fractions):
    data = mixture(variance, fractions, probabilities=[1 / count] * count, labels=sp.eye(count).tolist(), means_gram=2 * np.eye(count))
    return gm.Problem(data, gm.losses.softmax(count), gm.optimizers.gd(), norm2=np.eye(count) + 0.1, overlap=0.5 * np.eye(count))


def prepared(problem, alpha, resolution=1.0, matrix="hessian"):
    system = derive.spectrum(problem, matrix)
    module = pipeline.load(system)
    given = numbers(system, state_instance(problem, {"alpha": alpha}, None, None))
    return module, law(module, given, resolution), given


# --- closed forms and independent solutions ---------------------------------------------------------------------------


def test_a_constant_hessian_has_the_generalised_marchenko_pastur_law():
    """S_b = 1/(-z + s_b/(1 + e)) with e = sum_b rho_b s_b S_b/alpha, solved by SciPy for e alone: to 1e-10."""
    module, nodes, _ = prepared(separable(), 3.0)
    x = np.array([0.05, 0.3, 1.0, 4.0, 9.0, 30.0]) / nodes.scale
    found = transform(stieltjes(module), nodes, x, 1e-3)

    for column, z in zip(found.T, (x + 1e-3j) * nodes.scale, strict=True):
        blocks = lambda e, z=z: 1 / (-z + VARIANCES / (1 + e))  # noqa: E731

        def equation(parts):
            e = parts[0] + 1j * parts[1]
            rest = FRACTIONS @ (VARIANCES * blocks(e)) / 3.0 - e  # noqa: B023
            return rest.real, rest.imag

        start = FRACTIONS @ (VARIANCES * column) / 3.0 / nodes.scale * (1 + 1e-3)
        e = root(equation, (start.real, start.imag), tol=1e-14).x @ [1, 1j]
        assert np.abs(column / nodes.scale - blocks(e)).max() < 1e-10 * np.abs(blocks(e)).max() and e.imag > 0


def test_its_edges_are_the_extrema_of_the_functional_inverse():
    """Silverstein and Choi: z(v) = -1/v + sum_b rho_b s_b/(1 + s_b v)/alpha; two bands at 30 samples a dimension, edges to 1e-8."""
    alpha = 30.0
    inverse = lambda v: -1 / v + FRACTIONS @ (VARIANCES / (1 + VARIANCES * v)) / alpha  # noqa: E731
    slope = lambda v: 1 / v**2 - FRACTIONS @ (VARIANCES**2 / (1 + VARIANCES * v) ** 2) / alpha  # noqa: E731
    poles, near = -1 / VARIANCES, 1e-9
    between = np.linspace(poles[0] + near, poles[1] - near, 2001)
    turns = [(a, b) for a, b in zip(between, between[1:], strict=False) if slope(a) * slope(b) < 0]
    inner = [brentq(slope, *turn, xtol=1e-15) for turn in turns]
    outer = brentq(slope, -50.0, poles[0] - near, xtol=1e-14), brentq(slope, poles[1] + near, -1e-3, xtol=1e-14)
    result = gm.solve(gm.derive.spectrum(separable()), {"alpha": alpha}, points=64)
    expected = np.sort([inverse(v) for v in (outer[0], *inner, outer[1])])
    assert result.sizes["band"] == 2 and np.abs(result["edge"].values.ravel() - expected).max() < 1e-8
    assert float((result["weight"] * result["density"]).sum()) == pytest.approx(1, abs=1e-8)


def test_blocks_of_equal_variances_are_one_block():
    """Bulk to 1e-12, and the same outliers although the span has each block's part of every vector."""
    whole, halves = (
        gm.Problem(mixture(variance, fractions), gm.losses.squared(), gm.optimizers.gd(), norm2=1.5, overlap=[0.8, -0.4])
        for variance, fractions in (([[0.4], [1.1]], None), ([[0.4, 0.4], [1.1, 1.1]], [0.25, 0.75]))
    )
    one, two = (gm.solve(gm.derive.spectrum(problem), {"alpha": 4.0}, points=64) for problem in (whole, halves))
    assert np.abs(one["edge"] - two["edge"]).max() < 1e-12
    assert np.abs(one["density"] - two["density"]).max() < 1e-12 * one["density"].max()
    assert one.sizes["outlier"] == two.sizes["outlier"] > 0
    assert np.allclose(one["outlier_z"], two["outlier_z"], rtol=1e-9) and np.allclose(one["overlap"], two["overlap"], rtol=1e-8)


def test_the_fixed_point_of_matrices_by_blocks_is_solved():
    """Residuals of W_b = -z + sum_k p_k s_kb E A (I + S'_k A)^{-1} by NumPy's inverse, softmax of 3 classes in three groups of clusters."""
    variance = np.array([[0.5, 1.2], [0.8, 0.3], [1.0, 1.0]])
    module, nodes, given = prepared(softmax(3, variance.tolist(), FRACTIONS.tolist()), 3.0)
    assert len(nodes.sizes) == 3
    x = np.array([0.05, 0.4, 1.0])
    s = transform(stieltjes(module), nodes, x, 1e-6).reshape(2, 3, -1)
    index = np.array([[0, 1], [1, 2]])
    for p, point in enumerate(x):
        S, total = s[:, index, p], np.zeros((2, 2, 2), dtype=complex)
        for k, group in enumerate(nodes.nodes.groups):
            A = np.moveaxis(np.asarray(group.matrix)[index], -1, 0)
            form = np.einsum("b,bij->ij", given.fractions * variance[k], S) / given.alpha
            X = A @ np.linalg.inv(np.eye(2) + form @ A)
            total += variance[k][:, None, None] * np.einsum("n,nij->ij", np.asarray(group.weights), X)
        again = np.linalg.inv(total - (point + 1e-6j) * np.eye(2))
        assert np.abs(again - S).max() < 1e-10 * np.abs(S).max()


# --- linear solves at each node ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [3, pytest.param(4, marks=[pytest.mark.slow, pytest.mark.exhaustive])])
def test_linear_solves_at_each_node_agree_with_minors(count):
    """The same transform, and outlier form outside the bulk, to 1e-10 from a module without its minors."""
    data = mixture([[0.5], [1.1]], None)
    weights = [sp.Rational(k + 2, 3) * (-1) ** k for k in range(count)]
    problem = gm.Problem(data, gm.losses.erf_committee(weights), gm.optimizers.gd(), norm2=np.eye(count) + 0.1)
    module, _, given = prepared(problem, 3.0, 0.5)
    without = types.ModuleType("without_minors")
    vars(without).update({name: value for name, value in vars(module).items() if not name.startswith("__")})
    without.DEGREES, without.minors = (), lambda a: a[:0]
    assert module.SIZE == count and len(module.DEGREES) > 0
    x, found = np.array([1e-3, 0.05, 0.4, 1.0, 3.0, 100.0]), []
    for each in (module, without):
        nodes = law(each, given, 0.5)
        outside = transform(stieltjes(each), nodes, np.array([-10.0, 10.0])).real
        found.append((transform(stieltjes(each), nodes, x), *compressed(each, nodes, outside)))
    for a, b in zip(*found, strict=True):
        assert np.abs(a - b).max() < 1e-10 * np.abs(a).max()


@pytest.mark.slow
def test_the_hessian_of_six_classes_is_left_to_linear_solves():
    """Five columns have too many minors to carry."""
    system = derive.spectrum(softmax(6, [[1]] * 6, None))
    assert system.A.shape == (5, 5) and system.null == 1 and system.minors == ()


# --- states, simulations, refusals ------------------------------------------------------------------------------------


def by_block(share):
    """Theta with that share of its norm and overlaps in block 0."""
    shares = np.array([share, 1 - share])
    return {"m": np.outer(shares, [0.8, -0.4]), "Q": 1.5 * shares}


def test_a_state_by_block_is_placed_exactly():
    problem = logistic([[0.3, 1.5], [1.2, 0.5]])
    instance = state_instance(problem, {"alpha": 4.0}, **by_block(0.5))
    counts, sizes, roots = _design(instance, 160, 40)
    _, vectors = _generate(counts, sizes, len(instance.initial_gram), instance.variance, roots, jax.random.key(0))
    for part, gram in zip(np.split(np.asarray(vectors), [sizes[0]]), instance.block_grams, strict=True):
        assert np.allclose(part.T @ part, gram, atol=1e-12)
    assert np.allclose(instance.initial_overlap, [[0.8, -0.4]]) and instance.initial_gram == pytest.approx(1.5)
    spread = state_instance(problem, {"alpha": 4.0}, m=[0.8, -0.4], Q=1.5)
    assert np.allclose(spread.block_grams, state_instance(problem, {"alpha": 4.0}, **by_block(0.25)).block_grams)


@pytest.mark.slow
@pytest.mark.parametrize("matrix", guards(["hessian", "information"], "information"))
def test_spectra_of_a_state_by_block_are_those_of_generated_data(matrix):
    """Theta leans on block 0: distance of distributions, outliers and overlaps."""
    system = derive.spectrum(logistic([[0.3, 1.5], [1.2, 0.5]]), matrix)
    theory = gm.solve(system, {"alpha": 4.0}, points=200, **by_block(0.6))
    runs = gm.simulate(system, {"alpha": 4.0}, d=400, replicates=12, seed=1, **by_block(0.6))
    assert kolmogorov(theory, runs).mean() < 12 / 400
    strong = [row for row in outlier_table(theory, runs) if row.overlap > 0.2]
    assert strong
    for row in strong:
        assert abs(row.simulated - row.z) < 3.5 * row.standard_error + 6 * row.z / 400, row
        assert abs(row.simulated_overlap - row.overlap) < 3.5 * row.overlap_standard_error + 8 / 400, row


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"m": [0.8, -0.4], "Q": [1.0, 0.5]}, r"m has shape \(2,\); \(2, 2, 1\)"),
        ({"m": [[0.8, -0.4], [0.1, 0.1]], "Q": 1.5}, r"m has shape \(2, 2\)"),
        ({**by_block(0.5), "Q": [1.5, -0.1]}, "Q within block 1"),
        ({"m": [[2.0, -0.4], [0.0, 0.0]], "Q": [0.5, 1.0]}, "within block 0"),
        ({"m": [0.8, -0.4], "Q": 1.5, "M": [0.1]}, "no teacher"),
    ],
)
def test_states_that_do_not_fit_are_refused(state, message):
    with pytest.raises(gm.InputError, match=message):
        gm.solve(gm.derive.spectrum(logistic([[0.3, 1.5], [1.2, 0.5]])), {"alpha": 4.0}, **state)


def test_a_trajectory_without_blocks_is_refused_and_one_with_them_read():
    import xarray as xr

    problem, time = separable(), np.arange(4.0)
    totals = {"m": (("time", "cluster", "field"), np.zeros((4, 1, 1))), "Q": (("time", "field", "field_b"), np.ones((4, 1, 1)))}
    with pytest.raises(gm.InputError, match="lacks the variable 'm_b'"):
        gm.solve(gm.derive.spectrum(problem), {"alpha": 3.0}, along=xr.Dataset(totals, {"time": time}))
    parts = {f"{name}_b": ((dims[0], "block", *dims[1:]), np.repeat(x[:, None] / 2, 2, axis=1)) for name, (dims, x) in totals.items()}
    along = gm.solve(gm.derive.spectrum(problem), {"alpha": 3.0}, along=xr.Dataset(parts, {"time": time}), times=[0.0, 3.0], points=16)
    assert np.allclose(along["edge"][0], along["edge"][1], rtol=1e-9)
