"""Cost of a spectrum, warm, against one `eigvalsh` of the same matrix at d = 2000, which is the first row of each group.

Density on 400 points with edges, atom, outliers and overlaps. Softmax of three classes is the reduced matrix of 4000 rows. Run on
demand: `pytest tests/benchmarks/*.py`, with one thread for honest ratios (OMP_NUM_THREADS=1 taskset -c 0).
"""

import numpy as np
import pytest
import sympy as sp

import gmsym as gm
from gmsym import derive

ROWS = {"binary": 2000, "softmax": 4000}


def case(name):
    if name == "binary":
        return gm.Problem(gm.GaussianMixture.symmetric(mu_norm=1, sigma=1), gm.losses.logistic(), gm.optimizers.gd(), overlap=[0.5, -0.5])
    data = gm.GaussianMixture(
        probabilities=[sp.Rational(1, 3)] * 3, labels=sp.eye(3).tolist(), means_gram=(2 * sp.eye(3)).tolist(), variance=[1] * 3
    )
    return gm.Problem(data, gm.losses.softmax(3), gm.optimizers.gd(), norm2=np.eye(3) + 0.1, overlap=0.5 * np.eye(3))


@pytest.mark.parametrize("name", ROWS)
def test_eigenvalues_of_a_matrix(benchmark, name):
    benchmark.group = name
    x = np.random.default_rng(0).normal(size=(2 * ROWS[name], ROWS[name]))
    benchmark.pedantic(np.linalg.eigvalsh, args=(x.T @ x / len(x),), rounds=2)


@pytest.mark.parametrize("matrix", ["hessian", "information"])
@pytest.mark.parametrize("name", ROWS)
def test_spectrum(benchmark, name, matrix):
    benchmark.group = name
    system = derive.spectrum(case(name), matrix)
    result = gm.solve(system, {"alpha": 4.0})  # compiles
    benchmark.extra_info["nodes"] = result.attrs["nodes"]
    benchmark.pedantic(gm.solve, args=(system, {"alpha": 4.0}), rounds=5)
    assert result.attrs["residual"] < 1e-10
