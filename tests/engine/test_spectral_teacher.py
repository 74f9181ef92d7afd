"""Spectra of losses with teacher fields: what depends on the teacher, an exact equivalence, nodes at a kink, generated data."""

import jax
import numpy as np
import pytest
import xarray as xr

import gmsym as gm
from gmsym import derive, pipeline
from gmsym.comparison import kolmogorov, outlier_table
from gmsym.engine.nodes import law
from gmsym.pipeline.spectrum import numbers, state_instance
from gmsym.simulation.matrices import _design, _generate

TAUGHT = gm.Loss("taught", gm.parse("log(1 + exp(-sign(t0)*h))"))


def centred(loss, norm2=2.0, teacher=None, **others):
    data = gm.GaussianMixture(probabilities=[1], labels=[1], means_gram=[[0]], variance=[0.8])
    return gm.Problem(data, loss, gm.optimizers.gd(), norm2=norm2, teacher=teacher, **others)


def taught(**others):
    return centred(TAUGHT, teacher=gm.Teacher([[1.0]], overlap=[0.9]), **others)


def test_the_hessian_of_a_taught_classifier_does_not_see_the_teacher():
    """p (1 - p) for either target; the information matrix (p - y)^2 depends on it, with a kink along t0."""
    hessian, information = (derive.spectrum(taught(), matrix) for matrix in ("hessian", "information"))
    assert len(hessian.fields) == 1 and hessian.kinks == () and tuple(hessian.directions) == (1, 0)
    assert len(information.fields) == 2 and information.kinks and tuple(information.kink_form) == (0, 1)


def test_a_loss_of_the_gap_to_the_teacher_is_a_shift_of_the_parameters():
    """sqrt(1 + (h - t)^2) sees Theta - theta* only: the information matrix is that of sqrt(1 + h^2) there, outliers included."""
    teacher = gm.Teacher([[0.7]], overlap=[0.4])
    gap, alone = gm.Loss("gap", gm.parse("sqrt(1 + (h - t0)**2)")), gm.Loss("alone", gm.parse("sqrt(1 + h**2)"))
    seen = gm.solve(gm.derive.spectrum(centred(gap, 1.3, teacher), "information"), {"alpha": 20.0}, points=40)
    shifted = gm.solve(gm.derive.spectrum(centred(alone, 1.3 + 0.7 - 0.8), "information"), {"alpha": 20.0}, points=40)
    assert np.allclose(seen["edge"], shifted["edge"], rtol=1e-9)
    assert seen.sizes["outlier"] > 0 and np.allclose(seen["outlier_z"], shifted["outlier_z"], rtol=1e-9)
    assert np.allclose(seen["overlap"], shifted["overlap"], rtol=1e-8)


def test_nodes_end_at_a_kink_of_one_field():
    """E (p - y)^2 and E (p - y)^2 t^2 for the target y = sign(t0), against sums over t > 0, by symmetry, and h."""
    problem = taught()
    system = derive.spectrum(problem, "information")
    nodes = law(pipeline.load(system), numbers(system, state_instance(problem, {"alpha": 4.0}, None, None)))
    (group,) = nodes.nodes.groups
    x, half = np.polynomial.legendre.leggauss(200)
    positive, grid = 4 * (1 + x), np.linspace(-8, 8, 400)
    over_t, over_h = half * np.exp(-(positive**2) / 2), np.exp(-(grid**2) / 2)
    over_t, over_h = over_t / over_t.sum(), over_h / over_h.sum()
    t = np.sqrt(0.8) * positive[:, None]
    h = 0.9 * t + np.sqrt(0.8 * (2.0 - 0.81)) * grid
    A = 1 / (1 + np.exp(h)) ** 2
    expected = over_t @ A @ over_h
    assert float(group.weights @ group.matrix[0]) * nodes.scale == pytest.approx(expected, rel=1e-6)
    trace = float((np.asarray(group.outer).T @ np.asarray(group.matrix[0])).reshape(2, 2).trace()) * nodes.scale
    along = (h - 0.9 * t) / np.sqrt(2.0 - 0.81)  # an orthonormal basis of span(Theta, theta*): theta*, and the rest of Theta
    assert trace == pytest.approx(over_t @ (A * (t**2 + along**2)) @ over_h, rel=1e-6)


def test_generated_matrices_read_the_teachers_field():
    """(p - y)^2 with y the sign of the teacher's field, by hand for the samples and vectors of the first replicate."""
    instance = state_instance(taught(), {"alpha": 4.0}, None, None)
    counts, sizes, roots = _design(instance, 40, 10)
    samples, vectors = (
        np.asarray(x)
        for x in _generate(counts, sizes, len(instance.initial_gram), instance.variance, roots, jax.random.fold_in(jax.random.key(5), 0))
    )
    h, t = samples @ vectors[:, 0], samples @ vectors[:, 2]
    A = 1 / (1 + np.exp(np.sign(t) * h)) ** 2
    runs = gm.simulate(gm.derive.spectrum(taught(), "information"), {"alpha": 4.0}, d=10, replicates=1, seed=5)
    values, eigenvectors = np.linalg.eigh(samples.T @ (A[:, None] * samples) / 40)
    assert np.allclose(runs["eigenvalue"], values, atol=1e-12)
    basis = np.linalg.qr(vectors[:, [0, 2]])[0]
    assert np.allclose(runs["overlap"], ((basis.T @ eigenvectors) ** 2).sum(0), atol=1e-9)


@pytest.mark.exhaustive
@pytest.mark.slow
def test_the_information_of_a_taught_classifier_is_that_of_generated_data():
    """One outlier on each side, whose eigenvectors lie in the span of Theta and the teacher."""
    system = derive.spectrum(taught(), "information")
    theory = gm.solve(system, {"alpha": 6.0})
    runs = gm.simulate(system, {"alpha": 6.0}, d=400, replicates=12, seed=3)
    assert kolmogorov(theory, runs).mean() < 12 / 400
    rows = outlier_table(theory, runs)
    assert {row.side for row in rows} == {"left", "right"}
    for row in rows:
        assert abs(row.simulated - row.z) < 3.5 * row.standard_error + 6 * row.z / 400, row
        assert abs(row.simulated_overlap - row.overlap) < 3.5 * row.overlap_standard_error + 8 / 400, row


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"m": [0.0], "Q": 1.0}, "M is missing"),
        ({"M": [0.5]}, "m is missing"),
        ({"m": [0.0], "Q": 1.0, "M": [[0.1, 0.2]]}, "M has shape"),
        ({"m": [0.0], "Q": 1.0, "M": [1.5]}, "teacher"),
    ],
)
def test_states_that_do_not_fit_are_refused(state, message):
    with pytest.raises(gm.InputError, match=message):
        gm.solve(gm.derive.spectrum(taught()), {"alpha": 4.0}, **state)


def test_a_trajectory_needs_the_overlap_with_the_teacher():
    totals = {"m": (("time", "cluster", "field"), np.zeros((4, 1, 1))), "Q": (("time", "field", "field_b"), np.ones((4, 1, 1)))}
    with pytest.raises(gm.InputError, match="lacks the variable 'M'"):
        gm.solve(gm.derive.spectrum(taught()), {"alpha": 3.0}, along=xr.Dataset(totals, {"time": np.arange(4.0)}))
