"""Shared settings: double precision, pictures on no screen, the same random draws on every run; and made-up results to compare."""

import atexit
import gc
import os
import shutil
import sys
import tempfile
from collections.abc import Callable

# What one process of a test run compiles, the others load: set before JAX is imported, and inherited by workers and subprocesses.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="gmsym-tests-")
    atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.3")
# Most of a test run is compiling programs that run once, on small arrays: XLA's quicker emitters, and nothing optimised.
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_use_fusion_emitters=false --xla_backend_optimization_level=0")

import tests.typed  # noqa: F401 before anything of gmsym is imported  # isort: skip

import jax
import matplotlib
import numpy as np
import pytest
import xarray as xr
from hypothesis import settings

from gmsym import cli
from gmsym.schema import to_dataset

jax.config.update("jax_enable_x64", True)  # also for tests that use JAX before gmsym.runtime, which does the same
matplotlib.use("Agg")
settings.register_profile("reproducible", derandomize=True, deadline=None, database=None)
settings.load_profile("reproducible")

ABOUT = {"problem": "logistic / heavy_ball", "alpha": 1.5, "parameters": {"eta": 1.0, "momentum": 0.5}}


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator of one seed for every test."""
    return np.random.default_rng(1)


@pytest.fixture
def gmsym(monkeypatch, capsys):
    """Runs the command line in this process; returns (status, stdout, stderr)."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["gmsym", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit:
            cli.main()
        captured = capsys.readouterr()
        return exit.value.code or 0, captured.out, captured.err

    return run


def made_up_curves(times: int, clusters: int = 2, fields: int = 1) -> dict[str, np.ndarray]:
    """Smooth curves with the shapes of the schema, a different one for each component."""
    t = np.arange(times) / times
    rise = (1 - np.exp(-7 * t)).reshape(-1, 1, 1)
    cluster, field = 1.0 + np.arange(clusters), 1.0 + 0.4 * np.arange(fields)
    gram = np.eye(fields) + 0.3
    norm = (1 + rise) * gram
    return {
        "m": rise * np.outer(0.3 * (-1) ** cluster, field),
        "Q": norm,
        "Q_k": norm[:, None] * (0.3 + 0.2 * cluster)[:, None, None],
        "train_loss": 0.05 + 0.65 * np.exp(-10 * t),
        "test_loss": 0.25 + 0.45 * np.exp(-8 * t),
        "test_error": 0.18 + 0.32 * np.exp(-10 * t),
    }


@pytest.fixture
def made_up(rng) -> Callable[..., tuple[xr.Dataset, xr.Dataset]]:
    """A theory and `replicates` runs around it, with Gaussian noise of deviation `noise` and correlation `memory` from time to time.

    As in a real simulation, m, Q and Q_k are exact at time 0. `shift` adds a bias to a variable of the runs after time 0. Each call
    draws anew.
    """

    def make(times=41, clusters=2, fields=1, replicates=8, noise=0.02, memory=0.9, shift=None, scrambles=4, theory_noise=0.0, **attributes):
        values = made_up_curves(times, clusters, fields)
        started = np.arange(times) > 0

        def scatter(name, shape, deviation):
            draws = rng.normal(size=shape)
            for t in range(1, times):
                draws[:, t] = memory * draws[:, t - 1] + np.sqrt(1 - memory**2) * draws[:, t]
            if name.startswith("Q"):
                draws = (draws + np.swapaxes(draws, -1, -2)) / 2
            known = name in ("m", "Q", "Q_k")
            return deviation * draws * (started if known else np.ones(times)).reshape(1, -1, *[1] * (len(shape) - 2))

        runs, estimates = {}, {}
        for name, value in values.items():
            bias = (shift or {}).get(name, 0.0) * started.reshape(-1, *[1] * (value.ndim - 1))
            runs[name] = value + bias + scatter(name, (replicates, *value.shape), noise)
            estimates[name] = value + scatter(name, (scrambles, *value.shape), theory_noise)

        def summary(samples):
            error = {
                name: s.std(0, ddof=1) / np.sqrt(len(s)) if len(s) > 1 else np.full(s.shape[1:], np.nan) for name, s in samples.items()
            }
            return {name: s.mean(0) for name, s in samples.items()}, error

        theory = to_dataset("theory", *summary(estimates), {**ABOUT, "samples": 8192, "scrambles": scrambles, "seed": 0})
        about = {**ABOUT, "n": 3000, "d": 2000, "replicates": replicates, "seed": 0, **attributes}
        return theory, to_dataset("simulation", *summary(runs), about, runs)

    return make


@pytest.fixture(autouse=True, scope="module")
def compiled_functions_are_let_go():
    """Compiled functions hold memory maps, of which a process has a limited number: each file of tests starts anew."""
    yield
    jax.clear_caches()
    gc.collect()
