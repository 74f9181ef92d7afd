"""Empirical Hessian and information matrices: against matrices assembled by hand, by both methods, and their refusals."""

from functools import cache

import numpy as np
import pytest
import sympy as sp

import gmsym as gm
from gmsym import derive
from gmsym.pipeline.spectrum import state_instance
from gmsym.problem.design import design
from gmsym.simulation.data import generate, numbers_of
from gmsym.simulation.matrices import matrix_eigen

VALUES = {"sigma": 0.8, "mu_norm": 1.1, "v": 0.9}


def two_layer():
    v, y = gm.symbols.symbol("v"), gm.symbols.y
    h0, h1 = gm.symbols.fields(2)
    loss = gm.Loss("two", (v * sp.erf(h0) - sp.tanh(h1) - y) ** 2 / 2)
    return gm.Problem(gm.GaussianMixture.symmetric(), loss, gm.optimizers.gd(), norm2=[[1.0, 0.2], [0.2, 0.7]])


@cache
def system():
    return derive.spectrum(two_layer())


def by_hand(problem, n, d, seed, matrix):
    """The (2 d + 1)-row matrix of the first replicate by a loop over samples and SymPy's derivatives."""
    import jax

    instance = state_instance(problem, {"alpha": n / d, **VALUES}, None, None)
    plan = design(instance, n, d)
    data = generate(plan.counts, plan.sizes, numbers_of(plan), jax.random.fold_in(jax.random.key(seed), 0))
    h0, h1, v, y = (gm.symbols.symbol(name) for name in ("h0", "h1", "v", "y"))
    variables, expr = (h0, h1, v), problem.loss.expr
    gradient = sp.lambdify((*variables, y), [expr.diff(s) for s in variables], ["scipy", "numpy"])
    hessian = sp.lambdify((*variables, y), sp.hessian(expr, variables), ["scipy", "numpy"])
    total = np.zeros((2 * d + 1, 2 * d + 1))
    for x, (label,) in zip(np.asarray(data.samples), np.asarray(data.labels), strict=True):
        point = (*(x @ np.asarray(data.theta)), VALUES["v"], label)
        A = hessian(*point) if matrix == "hessian" else np.outer(gradient(*point), gradient(*point))
        rows = np.zeros((3, 2 * d + 1))
        rows[0, :d], rows[1, d : 2 * d], rows[2, -1] = x, x, 1
        total += rows.T @ A @ rows / n
    return total, np.asarray(data.theta), np.asarray(data.means)


@pytest.mark.parametrize("matrix", ["hessian", "information"])
def test_eigenvalues_and_overlaps_are_those_of_the_matrix_by_hand(matrix):
    problem, n, d = two_layer(), 60, 20
    instance = state_instance(problem, {"alpha": n / d, **VALUES}, None, None)
    (found,) = matrix_eigen(problem, instance, n=n, d=d, matrix=matrix, trained=("v",), seed=5)
    M, theta, means = by_hand(problem, n, d, 5, matrix)
    values, vectors = np.linalg.eigh(M)
    assert np.allclose(found.values, values, atol=1e-10)
    basis = np.linalg.qr(np.concatenate([theta, means[:, :1]], axis=1))[0]
    heads = vectors[:-1].reshape(2, d, -1)
    overlaps = (np.einsum("dq,cdk->cqk", basis, heads) ** 2).sum((0, 1)) + vectors[-1] ** 2
    top = slice(-5, None)  # simple eigenvalues
    assert np.allclose(found.overlaps[top], overlaps[top], atol=1e-6)
    assert found.zeros == 0


def test_lanczos_finds_the_ends_of_the_dense_spectrum():
    dense = gm.simulate(system(), {"alpha": 3.0, **VALUES}, d=40, replicates=2, seed=1)
    ends = gm.simulate(system(), {"alpha": 3.0, **VALUES}, d=40, replicates=2, seed=1, extreme=3)
    wanted = np.concatenate([dense["eigenvalue"][:, :3], dense["eigenvalue"][:, -3:]], axis=1)
    assert np.allclose(ends["eigenvalue"], wanted, atol=1e-9)
    assert np.allclose(ends["overlap"][:, -1], dense["overlap"][:, -1], atol=1e-6)


def test_a_direction_that_the_loss_does_not_see_is_counted_apart():
    data = gm.GaussianMixture(probabilities=[0.5, 0.5], labels=[[1, 0], [0, 1]], means_gram=sp.eye(2), variance=[1, 1])
    runs = gm.simulate(gm.derive.spectrum(gm.Problem(data, gm.losses.softmax(2), gm.optimizers.gd())), {"alpha": 3.0}, d=40, replicates=2)
    assert runs.attrs["zeros"] == 40 and runs.sizes["index"] == 40


def test_replicates_do_not_depend_on_their_number():
    two, three = (gm.simulate(system(), {"alpha": 3.0, **VALUES}, d=30, replicates=r, seed=2) for r in (2, 3))
    assert np.array_equal(two["eigenvalue"], three["eigenvalue"][:2])


def test_the_block_of_a_column_is_its_own_matrix():
    """Column 0 alone: the same state and samples, a principal block of the whole matrix."""
    problem = two_layer()
    whole = gm.simulate(gm.derive.spectrum(problem), {"alpha": 3.0, **VALUES}, d=30, replicates=1, seed=2)
    block = gm.simulate(gm.derive.spectrum(problem, block=0), {"alpha": 3.0, **VALUES}, d=30, replicates=1, seed=2)
    assert block.sizes["index"] == 30
    assert whole["eigenvalue"].min() <= block["eigenvalue"].min() and block["eigenvalue"].max() <= whole["eigenvalue"].max()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"d": 0}, "d = 0"),
        ({"d": 30, "replicates": 0}, "replicates = 0"),
        ({"d": 30, "extreme": 0}, "extreme = 0"),
        ({"d": 30, "extreme": 40}, "extreme = 40"),
        ({"d": 3000}, "C d = 6000 rows"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(gm.InputError, match=message):
        gm.simulate(system(), {"alpha": 0.5, **VALUES}, **{"replicates": 2, **arguments})


def test_a_matrix_that_there_is_not_is_named():
    with pytest.raises(gm.InputError, match="matrix = 'gram'"):
        derive.spectrum(two_layer(), "gram")
