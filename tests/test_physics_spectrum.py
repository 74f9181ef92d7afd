"""Spectra against matrices of generated data at several sizes: the laws by which finite d approaches the limit."""

import numpy as np
import pytest
import sympy as sp

import gmsym as gm
from gmsym import derive
from gmsym.comparison import fit_order, kolmogorov, outlier_table
from tests.benchmarks import spectra_catalog
from tests.effective_logistic import trajectory
from tests.guards import guards

pytestmark = pytest.mark.slow
UNIT = {"sigma": 1.0, "mu_norm": 1.0}


def binary():
    return gm.Problem(gm.GaussianMixture.symmetric(), gm.losses.logistic(), gm.optimizers.gd(), overlap=(0.5, -0.5))


def xor():
    """Two-layer erf network with two hidden units, squared loss, clusters at +-mu and +-nu."""
    h0, h1 = gm.symbols.fields(2)
    v0, v1, b, y = (gm.symbols.symbol(name) for name in ("v0", "v1", "b", "y"))
    output = v0 * sp.erf(h0 / sp.sqrt(2)) + v1 * sp.erf(h1 / sp.sqrt(2)) + b
    pairs = np.kron(np.eye(2), [[1, -1], [-1, 1]])
    data = gm.GaussianMixture(probabilities=[0.25] * 4, labels=[1, 1, -1, -1], means_gram=2 * pairs, variance=[0.5] * 4)
    overlap = [[0.4, -0.4, 0.05, -0.05], [0.05, -0.05, 0.32, -0.32]]
    return gm.Problem(data, gm.Loss("xor", (output - y) ** 2 / 2), gm.optimizers.gd(), norm2=[[0.6, 0.1], [0.1, 0.48]], overlap=overlap)


@pytest.mark.exhaustive
def test_the_distance_of_distributions_falls_like_one_over_d():
    """Hessian of logistic regression at four sizes: the eigenvalues of many replicates together, about 1/d away from the limit.

    A single matrix is a few 1/d away, slightly more as d grows, because the mean of A over n samples fluctuates by n^{-1/2}.
    """
    system = derive.spectrum(binary())
    theory = gm.solve(system, {"alpha": 4.0, **UNIT})
    sizes = {64: 160, 128: 80, 256: 40, 512: 16}
    together = []
    for d, replicates in sizes.items():
        runs = gm.simulate(system, {"alpha": 4.0, **UNIT}, d=d, replicates=replicates, vectors=False)
        assert kolmogorov(theory, runs).mean() * d < 6
        flat = runs.stack(every=("replicate", "index")).drop_vars(("every", "replicate", "index"))
        together.append(kolmogorov(theory, flat.expand_dims("replicate").rename(every="index")).item())
    assert -1.15 < fit_order(list(sizes), together).exponent < -0.75


@pytest.mark.parametrize("matrix", guards(["hessian", "information"], "hessian"))
def test_outliers_of_a_two_layer_network_are_left_right_and_in_a_gap(matrix):
    """Indefinite Hessian at 60 samples a dimension: two bands; at d = 100, 200 and 400 all outliers within 4 standard errors."""
    system, alpha = derive.spectrum(xor(), matrix), 60.0
    values = {"v0": 1.0, "v1": -0.8, "b": 0.1}
    theory = gm.solve(system, {"alpha": alpha, **values})
    for d, replicates in ((100, 24), (200, 12), (400, 6)):
        runs = gm.simulate(system, {"alpha": alpha, **values}, d=d, replicates=replicates, seed=d)
        rows = outlier_table(theory, runs)
        assert {row.side for row in rows} >= ({"left", "gap", "right"} if matrix == "hessian" else {"right"})
        strong = [row for row in rows if row.overlap > 0.3]
        assert all(abs(row.simulated - row.z) < 4.5 * row.standard_error + 2 / d * abs(row.z) for row in strong), rows
        assert all(abs(row.simulated_overlap - row.overlap) < 4.5 * row.overlap_standard_error + 3 / d for row in strong), rows


def test_the_overlap_along_one_pass_sgd_shows_the_transition():
    """verified/effective.md 5, config A at d = 400: an outlier at the right before its absorption, at the left later."""
    states = trajectory([0.0, 4.0, 9.0, 16.0])
    system = derive.spectrum(binary())
    for time, side in ((4.0, "right"), (16.0, "left")):
        state = {"m": states["m"].sel(time=time).values, "Q": states["Q"].sel(time=time).values}
        theory = gm.solve(system, {"alpha": 20.0, **UNIT}, **state)
        runs = gm.simulate(system, {"alpha": 20.0, **UNIT}, d=400, replicates=8, **state)
        (row,) = outlier_table(theory, runs)
        assert row.side == side and abs(row.scores[1]) < 4
        other = runs["overlap"].values[:, 0 if side == "right" else -1]
        assert other.mean() < 0.1  # no outlier on the other side


@pytest.mark.parametrize(
    ("name", "matrix", "alpha"),
    [
        pytest.param("phase_retrieval", "hessian", 0.5, marks=pytest.mark.exhaustive),
        ("phase_retrieval", "information", 1.0),
        pytest.param("probit", "information", 1.2, marks=pytest.mark.exhaustive),
        ("relu_committee", "hessian", 0.9),
    ],
)
def test_losses_of_the_catalog_have_the_spectra_of_generated_matrices(name, matrix, alpha):
    """Of the table that tests/benchmarks/spectra_catalog.py prints; there d KS is 4 to 7.5, 2 for the committee, missed masses to 3e-4."""
    system = derive.spectrum(spectra_catalog.problem(name, spectra_catalog.STATES[1]), matrix)
    row = spectra_catalog.row(system, alpha, d=100, replicates=2)
    assert row.ks < (5 if name == "relu_committee" else 9), row
    assert row.missed < 1e-3 and not row.undecided and row.beyond < 0.05, row
    assert abs(row.atom - row.simulated) < (0.08 if name == "relu_committee" else 0.03), row  # with kinks it is random


def test_the_spectrum_of_another_ratio_is_told_apart():
    """The guard sees n/d = 0.9 in place of 1.2."""
    system = derive.spectrum(spectra_catalog.problem("probit", spectra_catalog.STATES[1]), "information")
    theory = gm.solve(system, {"alpha": 0.9}, points=200)
    runs = gm.simulate(system, {"alpha": 1.2}, d=100, replicates=2, seed=1, progress=False)
    assert kolmogorov(theory, runs).mean() * 100 > 9
