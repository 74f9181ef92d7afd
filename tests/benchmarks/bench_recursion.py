"""Cost of the exact surrogate against training of the same size. Run on demand: `pytest -n 0 tests/benchmarks/bench_recursion.py`.

T = 100 steps, n = d. Training is the baseline of each group; both compile in every round or in none, and the time of one
replicate is that of eight less that of four, over four, so that compilation does not count.
"""

import time

import pytest

import gmsym as gm

PROBLEM = gm.Problem(gm.GaussianMixture.symmetric(mu_norm=1.2, sigma=1), gm.losses.logistic(), gm.optimizers.gd())


@pytest.mark.parametrize("size", [500, 1000, 2000, 4000])
@pytest.mark.parametrize("way", ["training", "surrogate"])
def test_a_replicate(benchmark, way, size):
    benchmark.group = f"n = d = {size}"
    verb, given = (gm.simulate, PROBLEM) if way == "training" else (gm.solve, gm.derive.surrogate(PROBLEM))

    def seconds(replicates: int) -> float:
        start = time.perf_counter()
        verb(given, {"eta": 1.0, "ridge": 0.05}, n=size, d=size, steps=100, replicates=replicates, progress=False)
        return time.perf_counter() - start

    for replicates in (4, 8):
        seconds(replicates)
    benchmark.extra_info["seconds a replicate"] = (seconds(8) - seconds(4)) / 4
    benchmark.pedantic(seconds, args=(8,), rounds=1)
