"""Gaps of the bulk: all of them, against polynomials, random laws and counted masses; failures near n = d; what a lost gap looks like."""

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import multivariate_normal

import gmsym as gm
from gmsym import derive, pipeline
from gmsym.comparison import kolmogorov
from gmsym.engine import bands, brackets, folds
from gmsym.engine import nodes as nodes_module
from gmsym.engine.brackets import trace
from gmsym.engine.counting import masses_below, masses_upto
from gmsym.engine.nodes import law
from gmsym.engine.outliers import transform
from gmsym.engine.packed import unit
from gmsym.engine.spectral import solve_spectrum
from gmsym.engine.stieltjes import stieltjes
from gmsym.pipeline.spectrum import numbers, state_instance

UNIT = {"sigma": 1.0, "mu_norm": 1.0}
NOTHING = np.zeros((0, 2))


def two_blocks(ratio, mean=0.0):
    """Squared loss, A = 1, blocks of equal size and variances 1 and `ratio`; a mean within the first block at will."""
    data = gm.GaussianMixture(probabilities=[1], labels=[1], means_gram=[[mean]], variance=[[1.0, ratio]], fractions=[0.5, 0.5])
    return gm.Problem(data, gm.losses.squared(), gm.optimizers.gd())


def binary(loss):
    return gm.Problem(gm.GaussianMixture.symmetric(), loss, gm.optimizers.gd(), overlap=(0.5, -0.5))


def prepared(problem, alpha, matrix="hessian", **values):
    system = derive.spectrum(problem, matrix)
    module = pipeline.load(system)
    return module, numbers(system, state_instance(problem, {"alpha": alpha, **values}, None, None))


def exact_edges(ratio, alpha):
    """Silverstein and Choi: values of z(v) = -1/v + sum_b rho_b r_b/(1 + r_b v)/alpha at the roots of its derivative's numerator."""
    variances, multiply = np.array([1.0, ratio]), np.polynomial.polynomial.polymul
    first, second = multiply([1, 1], [1, 1]), multiply([1, ratio], [1, ratio])
    rest = multiply([0, 0, 0.5 / alpha], np.polynomial.polynomial.polyadd(second, ratio**2 * first))
    roots = np.polynomial.polynomial.polyroots(np.polynomial.polynomial.polysub(multiply(first, second), rest))
    real = roots[np.abs(roots.imag) < 1e-9].real
    return np.sort([-1 / v + 0.5 * (variances / (1 + variances * v)).sum() / alpha for v in real])


# --- against exact edges ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ratio", "alpha", "width"), [(5.0, 2.0, 0.0182), (6.5, 1.5, 0.00109), (4.0, 2.5, 0.00573), (8.0, 4.0, 1.87), (4.0, 1.5, 0.0)]
)
def test_narrow_gaps_between_blocks_are_found(ratio, alpha, width):
    """Gaps down to 1e-3 of a span of 11 to 17, edges to 1e-13, by both ways: one real variable, and scan with minima and counted masses."""
    module, given = prepared(two_blocks(ratio), alpha)
    bulk, expected = bands.find_bulk(module, given), exact_edges(ratio, alpha)
    found = np.ravel(bulk.bands) * bulk.nodes.scale
    assert len(expected) == (4 if width else 2) and found == pytest.approx(expected, abs=1e-12)
    assert not width or expected[2] - expected[1] == pytest.approx(width, rel=0.1)
    assert bulk.masses == pytest.approx([0.5, 0.5] if width else [1.0], abs=1e-12)
    other = brackets.find_edges(stieltjes(module), bulk.nodes, bulk.other, 1)
    assert [edge.z * bulk.nodes.scale for edge in other] == pytest.approx(expected, abs=1e-10)


def test_mass_closes_in_every_band_and_a_lost_gap_shows():
    """The gap of .018 in 11.4: masses of bands to 1e-8; with the gap taken for bulk the density misses more than 1e-5."""
    module, given = prepared(two_blocks(5.0), 2.0)
    result = solve_spectrum(module, given)
    assert result.mass_errors.max() < 1e-8 and result.masses == pytest.approx([0.5, 0.5], abs=1e-12)
    with pytest.MonkeyPatch.context() as patch:
        every = folds.gaps
        patch.setattr(folds, "gaps", lambda law, covered: [gap for gap in every(law, covered) if not np.isfinite(gap.high - gap.low)])
        lost = solve_spectrum(module, given)
    assert len(lost.bands) == 1 and 1e-5 < lost.mass_errors[0] < 1e-2


@pytest.mark.parametrize(("ratio", "alpha", "mean"), [(8.0, 3.0, 2.0), (5.0, 2.0, 3.0)])
def test_an_outlier_in_a_gap_is_returned(ratio, alpha, mean):
    """1 + v sum_b rho_b |mu|^2/(1 + r_b v) = 0 between the edges of the gap, one of them .018 wide."""
    found = gm.solve(gm.derive.spectrum(two_blocks(ratio, mean)), {"alpha": alpha})
    variances = np.array([1.0, ratio])
    inverse = lambda v: -1 / v + 0.5 * (variances / (1 + variances * v)).sum() / alpha  # noqa: E731
    v = brentq(lambda v: 1 + 0.5 * v * (mean / (1 + variances * v)).sum(), -1 + 1e-9, -1 / ratio - 1e-9)
    assert found.sizes["band"] == 2 and found["edge"].values[0, 1] < inverse(v) < found["edge"].values[1, 0]
    (z,) = found["outlier_z"].values[found["gap"].values == 1]
    assert z == pytest.approx(inverse(v), abs=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_all_gaps_of_a_law_are_found(seed):
    """Random laws of A of both signs, and blocks: every point with dz/ds > 0 is in a gap, and masses below gaps increase from 0 to 1."""
    rng, module = np.random.default_rng(seed), prepared(two_blocks(2.0), 1.0)[0]
    for _ in range(3):
        count, blocks = rng.integers(1, 6), rng.integers(1, 4)
        values, ratios = rng.normal(size=count) * 10 ** rng.uniform(-1, 1, count), 10 ** rng.uniform(-1, 1, blocks)
        weights, fractions = rng.dirichlet(np.ones(count)), rng.dirichlet(3 * np.ones(blocks))
        given = folds.scalar(module, values, weights, fractions, ratios / (fractions @ ratios), 10 ** rng.uniform(-0.7, 1.7), 1e-10)
        gaps = folds.gaps(given, NOTHING)
        assert gaps[0].low == -np.inf and gaps[-1].high == np.inf
        masses = [mass for gap in gaps for mass in (gap.below, gap.upto)]
        assert abs(masses[0]) < 1e-12 and abs(masses[-1] - 1) < 1e-12 and (np.diff(masses) > -1e-12).all()
        for branch in range(blocks):
            for angle in rng.uniform(-np.pi / 2, np.pi / 2, 200):
                R, z, _ = folds._at(given, branch, angle)
                assert R > 1 or any(gap.low - 1e-9 <= z <= gap.high + 1e-9 for gap in gaps)


def test_gaps_of_the_nodes_alone_are_told_from_gaps():
    """Two variance profiles and an A without bound: its nodes make gaps in the tail, where A takes all values between them."""
    data = gm.GaussianMixture(
        probabilities=[0.4, 0.6], labels=[1, -1], means_gram=np.eye(2), variance=[[0.5, 2], [2, 1]], fractions=[0.5, 0.5]
    )
    problem = gm.Problem(data, gm.losses.probit(), gm.optimizers.gd(), overlap=(0.5, -0.5))
    module, given = prepared(problem, 2.5, "information")
    bulk = bands.find_bulk(module, given)
    assert len(bulk.bands) == 1 and not bulk.undecided and bulk.masses == pytest.approx([1], abs=1e-12)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(brackets, "torn", lambda law, s, size: np.zeros(s.shape[1], dtype=bool))
        other = bands.find_bulk(module, given)
    assert other.undecided or len(other.bands) > 1


# --- masses without a density -----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_counted_masses_are_those_of_the_density():
    """Two columns, an indefinite Hessian at 60 samples a dimension: the mass below a point of the gap, and of each band to 1e-8."""
    values = {"v0": 1.0, "v1": -0.8, "b": 0.1}
    from tests.test_physics_spectrum import xor

    module, given = prepared(xor(), 60.0, **values)
    result = solve_spectrum(module, given, points=300)
    assert len(result.bands) == 2 and result.mass_errors.max() < 1e-7
    assert result.masses.sum() == pytest.approx(1, abs=1e-12)


def test_the_mass_below_a_point_of_the_bulk_is_that_of_marchenko_and_pastur():
    module, given = prepared(binary(gm.losses.squared()), 0.5, **UNIT)
    nodes = law(module, given)
    x = np.array([0.05, 1.0, 3.0, 9.0]) / nodes.scale
    s = transform(stieltjes(module), nodes, x)
    found = masses_upto(nodes, x + 1e-10j, s, 1)
    low, high = (1 - np.sqrt(2)) ** 2, (1 + np.sqrt(2)) ** 2
    angle = np.pi * (np.arange(4000) + 0.5) / 4000
    points = (low + high) / 2 - (high - low) / 2 * np.cos(angle)
    pieces = np.sqrt((high - points) * (points - low)) / (4 * np.pi * points) * (high - low) / 2 * np.sin(angle) * np.pi / 4000
    expected = [0.5, *(0.5 + pieces[points < z].sum() for z in (1.0, 3.0)), 1.0]
    assert found == pytest.approx(expected, abs=2e-3)
    outside = np.array([0, 3])
    assert masses_below(nodes, s[:, outside].real, 1) == pytest.approx([0.5, 1.0], abs=1e-12)
    assert found[outside] == pytest.approx([0.5, 1.0], abs=1e-9)


def test_the_mass_below_a_point_with_two_columns_is_that_of_the_density():
    """Softmax of three classes below n = d, two columns and an atom: differences are integrals of the density, and 1 is reached."""
    data = gm.GaussianMixture(
        probabilities=[0.25, 0.35, 0.4], labels=np.eye(3).tolist(), means_gram=(2 * np.eye(3)).tolist(), variance=[1] * 3
    )
    problem = gm.Problem(data, gm.losses.softmax(3), gm.optimizers.gd(), norm2=np.eye(3), overlap=0.3 * np.eye(3))
    module, given = prepared(problem, 0.6)
    nodes = law(module, given)
    functions, size = stieltjes(module), module.SIZE
    low, high = 0.2, 0.9
    x, weights = np.polynomial.legendre.leggauss(40)
    x, weights = (low + high) / 2 + (high - low) / 2 * x, (high - low) / 2 * weights
    s = transform(functions, nodes, np.concatenate([x, [low, high, 100.0]]))
    found = masses_upto(nodes, np.array([low, high, 100.0]) + 1e-10j, s[:, -3:], size)
    density = trace(s[:, :40].imag, nodes, unit(size)) / (np.pi * size)
    assert found[1] - found[0] == pytest.approx(density @ weights, abs=1e-6)
    assert found[2] == pytest.approx(1, abs=1e-9)
    assert size > 1 and found[0] > 0.3


def test_panels_between_lines_of_the_plane():
    """E[relu(u) relu(v)] of correlated u, v by the arccosine kernel, and that of u > 0, v > c by the bivariate normal law."""
    root = np.array([[1.2, 0.0], [-0.9, 0.7]])
    covariance, shift = root @ root.T, np.array([0.0, -0.4])
    xi, weights, refinable, region = nodes_module._rule(root, lambda xi: root @ xi + shift[:, None], (), 1.0, 1.0, False)
    assert refinable and len(weights) < 2**13 and weights.sum() == pytest.approx(1, abs=1e-14)
    u, v = root @ xi
    deviations = np.sqrt(np.diag(covariance))
    angle = np.arccos(covariance[0, 1] / deviations.prod())
    both = multivariate_normal(mean=shift, cov=covariance)
    assert weights @ ((u > 0) & (v - 0.4 > 0)) == pytest.approx(both.cdf([np.inf, np.inf], lower_limit=[0, 0]), abs=1e-6)
    assert len(np.unique(region)) == 4
    for r in range(4):  # a region is on one side of each line
        assert len({(a > 0, b > 0) for a, b in zip(u[region == r], v[region == r] - 0.4, strict=True)}) == 1
    xi, weights, *_ = nodes_module._rule(root, lambda xi: root @ xi, (), 1.0, 1.0, False)
    u, v = root @ xi
    kernel = deviations.prod() * (np.sin(angle) + (np.pi - angle) * np.cos(angle)) / (2 * np.pi)
    assert weights @ (np.maximum(u, 0) * np.maximum(v, 0)) == pytest.approx(kernel, abs=1e-9)
    curved = nodes_module._rule(root, lambda xi: (root @ xi) ** 2 - 1, (), 1.0, 1.0, False)
    assert not curved[2] and curved[3] is None  # no lines: Sobol points


# --- near and below n = d ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "logistic",
        "phase_retrieval",
        *(pytest.param(x, marks=pytest.mark.slow) for x in ("squared", "smoothed_hinge", "probit", "exponential")),
    ],
)
def test_losses_of_one_field_are_solved_near_and_below_n_equal_to_d(name):
    """The atom by rank, masses that make 1, a density that has them, no gap beside an atom that the bulk reaches."""
    system = derive.spectrum(binary(getattr(gm.losses, name)()))
    for alpha in (0.5, 1.0, 1.2):
        found = gm.solve(system, {"alpha": alpha, **UNIT}, points=200)
        assert float(found["atom"]) == pytest.approx(max(0, 1 - alpha), abs=1e-7)
        assert float(found["band_mass"].sum() + found["atom"]) == pytest.approx(1, abs=1e-12)
        assert float(found["band_mass_error"].sum()) < 5e-3 and found.sizes["interval"] == 0 and found.sizes["band"] == 1
        if name == "phase_retrieval":
            assert float(found["edge"][0, 0]) < 0
        elif alpha == 1.0:
            assert float(found["edge"][0, 0]) == 0


def test_the_hard_edge_of_marchenko_and_pastur():
    """n = d: density sqrt((4 - z)/z)/(2 pi), singular at 0; mass to 1e-9 on Chebyshev points."""
    found = gm.solve(gm.derive.spectrum(binary(gm.losses.squared())), {"alpha": 1.0, **UNIT})
    z = found["z"].values
    assert found["edge"].values.tolist() == [[0.0, pytest.approx(4.0, abs=1e-12)]]
    assert found["density"].values == pytest.approx(np.sqrt((4 - z) / z) / (2 * np.pi), rel=1e-8)
    assert float((found["weight"] * found["density"]).sum()) == pytest.approx(1, abs=1e-9)


def test_the_density_has_no_bias_of_the_imaginary_part():
    """Near an edge Im z = 1e-10 moves a density by about sqrt(1e-10 / distance): it is solved on the axis."""
    low, high = 0.25, 2.25
    grid = np.concatenate([low + np.geomspace(1e-7, 1e-3, 20), high - np.geomspace(1e-3, 1e-7, 20)])
    found = gm.solve(gm.derive.spectrum(binary(gm.losses.squared())), {"alpha": 4.0, **UNIT}, grid=grid)
    exact = np.sqrt((high - grid) * (grid - low)) / (0.5 * np.pi * grid)
    assert found["density"].values == pytest.approx(exact, rel=1e-7)
    outside = gm.solve(gm.derive.spectrum(binary(gm.losses.squared())), {"alpha": 4.0, **UNIT}, grid=[0.1, 0.2, 2.4])
    assert (outside["density"] == 0).all() and (outside["density_error"] == 0).all()


def test_points_follow_the_mass_over_decades():
    """Squared gradients of the exponential loss, exp(-2h): most of the mass lies in a thousandth of the band, where Chebyshev nodes have
    two or three points. As far as eigenvalues of matrices say, the distribution is right everywhere."""
    system = gm.derive.spectrum(binary(gm.losses.exponential()), "information")
    found = gm.solve(system, {"alpha": 1.0, **UNIT}, points=100)
    assert float(found["band_mass_error"].sum()) < 2e-3
    runs = gm.simulate(system, {"alpha": 1.0, **UNIT}, d=200, replicates=2, seed=0, vectors=False, progress=False)
    assert max(kolmogorov(found, runs)) < 10 / 200


def test_a_law_beyond_all_scanned_scales_is_refused_with_its_decades():
    """E A^2 of squared exponentials is that of samples nobody sees; the median, and with it the bulk, is beyond all scanned scales."""
    data = gm.GaussianMixture(
        probabilities=[0.5, 0.5], labels=[1, -1], means_gram=np.eye(2).tolist(), variance=[[1.0, 4.0], [2.0, 1.0]], fractions=[0.5, 0.5]
    )
    problem = gm.Problem(data, gm.losses.exponential(), gm.optimizers.gd(), norm2=4.0)
    with pytest.raises(gm.ComputationError, match=r"half of the samples' A lie \d\d decades"):
        gm.solve(derive.spectrum(problem, "information"), {"alpha": 1.0}, points=50)
