"""Cost of the DMF solver, warm. Run on demand: `pytest -n 0 tests/benchmarks/*.py`; the first row of a group is its baseline.

Groups vary one of: steps T, points N, fields C, ways to the responses, against the case of one field, T = 100, N = 8192.
"""

import pytest
import sympy as sp

import gmsym as gm
from gmsym import derive

VALUES = {"eta": 1.0, "ridge": 0.05}


def problem(fields: int) -> gm.Problem:
    if fields == 1:
        return gm.Problem(gm.GaussianMixture.symmetric(mu_norm=1.2, sigma=1), gm.losses.logistic(), gm.optimizers.gd())
    data = gm.GaussianMixture(
        probabilities=[sp.Rational(1, fields)] * fields,
        labels=sp.eye(fields).tolist(),
        means_gram=(2 * sp.eye(fields)).tolist(),
        variance=[1] * fields,
    )
    return gm.Problem(data, gm.losses.softmax(fields), gm.optimizers.gd(), norm2=0.5)


def measure(benchmark, group, *, fields=1, steps=100, samples=8192, response=None):
    benchmark.group = group
    system = derive.dmf(problem(fields), response=response)
    values, options = {"alpha": 1.5, **VALUES}, {"steps": steps, "samples": samples, "scrambles": 4}
    result = gm.solve(system, values, **options)  # compiles
    benchmark.extra_info["rank"] = result.attrs["rank"]
    benchmark.pedantic(gm.solve, args=(system, values), kwargs=options, rounds=3)
    assert result.m.notnull().all()


@pytest.mark.parametrize("steps", [100, 200, 400])
def test_steps(benchmark, steps):
    measure(benchmark, "steps T", steps=steps)


@pytest.mark.parametrize("samples", [2048, 4096, 8192, 16384])
def test_samples(benchmark, samples):
    measure(benchmark, "points N", samples=samples)


@pytest.mark.parametrize("fields", [1, 2, 3])
def test_fields(benchmark, fields):
    measure(benchmark, "fields C (clusters K = max(2, C))", fields=fields, steps=40, samples=2048)


@pytest.mark.parametrize("response", ["stein", "tangent"])
def test_response(benchmark, response):
    measure(benchmark, "ways to the responses", response=response)


@pytest.mark.parametrize("what", ["derive", "derive and generate"])
def test_symbolic(benchmark, what):
    benchmark.group = "symbolic stages"
    given = problem(1)
    source = benchmark.pedantic(lambda: gm.source(derive.dmf(given)) if "generate" in what else derive.dmf(given).latex(), rounds=3)
    assert source
