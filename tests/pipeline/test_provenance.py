"""A result says how it was made: its problem comes back with the same signature, also from a file on disk."""

import json
from importlib.metadata import version

import numpy as np
import pytest
import xarray as xr

import gmsym as gm
from gmsym.codegen import signature

MEANS = {"probabilities": [0.4, 0.6], "labels": [1, -1], "means_gram": [[1.0, -0.3], [-0.3, 0.8]]}
BLOCKS = gm.GaussianMixture(variance=[[0.5, 1.5], [0.8, 1.2]], fractions=[0.25, 0.75], **MEANS)


def limit():
    problem = gm.Problem(gm.GaussianMixture.symmetric(), gm.losses.squared(), gm.optimizers.heavy_ball(), norm2=0.5)
    values = {"alpha": 2.0, "sigma": 0.7, "mu_norm": np.float64(1.1), "eta": 0.3, "momentum": 0.4}
    return problem, gm.solve(problem, values, steps=3, progress=False)


def taught():
    """Online with two blocks, a teacher, trained parameters and a schedule."""
    problem = gm.Problem(
        BLOCKS,
        gm.Loss("taught", gm.parse("(v0*h - t0 - y)**2/2")),
        gm.optimizers.gd(step=gm.symbols.eta / (1 + gm.symbols.t)),
        sampling=gm.sampling.online(),
        overlap=[0.3, -0.2],
        teacher=gm.Teacher([[1]], overlap=[0.3], means_overlap=[[0.4, -0.2]]),
        trained=gm.Trained({"v0": 0.8}, step=gm.symbols.symbol("slow"), ridge=0.2),
    )
    return problem, gm.solve(problem, {"eta": 0.8, "ridge": 0.1, "slow": 0.5}, time=[0.0, 0.2], tolerance=1e-6)


def spectrum():
    problem = gm.Problem(BLOCKS, gm.losses.squared(), gm.optimizers.gd(), overlap=[0.3, -0.2])
    return problem, gm.solve(gm.derive.spectrum(problem), {"alpha": 4.0}, m=[0.3, -0.2], Q=1.0, points=16)


def simulation():
    problem = gm.Problem(gm.GaussianMixture.symmetric(), gm.losses.logistic(), gm.optimizers.gd())
    return problem, gm.simulate(problem, {"alpha": 2.0, "sigma": 1.0, "mu_norm": 1.0, "eta": 0.5}, d=20, steps=2, replicates=2)


MADE = [limit, taught, spectrum, simulation]
OPTIONS = {
    "limit": {"steps": 3},
    "taught": {"time": [0.0, 0.2], "tolerance": 1e-6},
    "spectrum": {"m": [0.3, -0.2], "Q": 1.0, "points": 16},
    "simulation": {"d": 20, "steps": 2, "replicates": 2},
}


@pytest.mark.parametrize("make", MADE, ids=lambda make: make.__name__)
def test_a_result_says_how_it_was_made(make, tmp_path):
    problem, result = make()
    result.to_netcdf(tmp_path / "result.nc")
    with xr.open_dataset(tmp_path / "result.nc") as stored:
        stored = stored.load()
    for found in (result, stored):
        again = gm.problem_of(found)
        assert again.signature == problem.signature == found.attrs["problem_signature"]
        assert again.name == problem.name and again.parameters == problem.parameters
        assert json.loads(found.attrs["options"]) == OPTIONS[make.__name__]
        assert json.loads(found.attrs["versions"]) == {name: version(name) for name in ("gmsym", "jax", "sympy", "numpy")}
        assert found.attrs["device"].startswith("cpu") and found.attrs["wall_time"] >= 0
        values = json.loads(found.attrs["values"])
        again.at(values) if make is not spectrum else None  # of the optimizer nothing is needed there
    assert ("signature" in result.attrs) == (make is not simulation)
    xr.testing.assert_equal(stored, result)


def test_the_same_call_gives_the_same_result():
    """From what a stored result says alone, to the last bit."""
    _, result = limit()
    about = result.attrs
    again = gm.solve(gm.problem_of(result), json.loads(about["values"]), **json.loads(about["options"]))
    xr.testing.assert_equal(again, result)
    assert about["signature"] == again.attrs["signature"] == signature(gm.derive.dmf(gm.problem_of(result)))


def test_arrays_and_trajectories_are_said_too():
    problem = gm.Problem(gm.GaussianMixture.symmetric(), gm.losses.squared(), gm.optimizers.gd())
    values = {"alpha": np.array([1.5, 2.0]), "sigma": 1.0, "mu_norm": 1.0, "eta": 0.3}
    grid = gm.solve(problem, values, steps=5)
    assert json.loads(grid.attrs["values"]) == {**values, "alpha": [1.5, 2.0]}
    along = gm.solve(gm.derive.spectrum(problem), {**values, "alpha": 4.0}, along=grid.sel(alpha=2.0), times=[0.0, 4.0], points=16)
    assert json.loads(along.attrs["options"]) == {"along": "a Dataset", "times": [0.0, 4.0], "points": 16}
    assert gm.problem_of(along).signature == problem.signature


@pytest.mark.parametrize("result", [None, 3, xr.Dataset(), xr.Dataset(attrs={"problem_text": 3})])
def test_what_does_not_say_is_refused(result):
    with pytest.raises(gm.InputError, match=r"a result of gmsym.solve or gmsym.simulate is needed"):
        gm.problem_of(result)
