"""A study: computed once, kept point by point, continued after anything, the same as one call after the other."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import gmsym as gm
from gmsym.pipeline._study import Folder

LOGISTIC = gm.Problem(gm.GaussianMixture.symmetric(), gm.losses.logistic(), gm.optimizers.gd())
SQUARED = gm.Problem(gm.GaussianMixture.symmetric(), gm.losses.squared(), gm.optimizers.gd())
VALUES = {"sigma": 1.0, "mu_norm": 1.0}
OPTIONS = {"steps": 4, "samples": 256}
FILE = """
[loss]
name = "squared"
[optimizer]
eta = 0.3
[run]
steps = 6
[sweep]
over = { alpha = [0.5, 1.0], "optimizer.ridge" = [0.0, 0.1] }
store = "STORE"
workers = 0
"""


def test_points_are_those_of_single_calls_and_only_what_is_missing_is_computed(tmp_path):
    store, grid = tmp_path / "study", {"eta": [0.2, 0.4], "loss": [gm.losses.logistic(), gm.losses.squared()]}
    values = {**VALUES, "alpha": 1.0}
    study = gm.sweep(LOGISTIC, grid, values, store=store, workers=0, **OPTIONS)
    assert (study.points, study.computed, study.reused, study.failed) == (4, 4, 0, 0)
    for problem, loss in ((LOGISTIC, "logistic"), (SQUARED, "squared")):
        alone = gm.solve(problem, {**values, "eta": 0.4}, **OPTIONS)
        found = study.result.sel(eta=0.4, loss=loss)
        assert all(np.array_equal(alone[name], found[name]) for name in alone.data_vars)

    before = {path.name: path.stat().st_mtime_ns for path in (store / "points").iterdir()}
    with ThreadPoolExecutor(2) as executor:
        larger = gm.sweep(LOGISTIC, {**grid, "eta": [0.2, 0.4, 0.6]}, values, store=store, client=executor, **OPTIONS)
    assert (larger.points, larger.computed, larger.reused) == (6, 2, 4)
    assert before.items() <= {path.name: path.stat().st_mtime_ns for path in (store / "points").iterdir()}.items()
    with xr.open_zarr(store / "result.zarr") as kept:
        assert kept["m"].dims == ("eta", "loss", "time", "cluster", "field") and kept.equals(larger.result.drop_attrs())


def test_a_point_that_fails_is_recorded_and_stops_nothing(tmp_path):
    grid = {"eta": [0.2, 1e9], "alpha": [1.0, 2.0]}
    study = gm.sweep(SQUARED, grid, VALUES, store=tmp_path, workers=0, steps=60)
    assert (study.computed, study.failed) == (2, 2) and all("diverged" in reason for _, reason in study.failures)
    assert np.isnan(study.result["Q"].sel(eta=1e9)).all() and np.isfinite(study.result["Q"].sel(eta=0.2)).all()
    rows = json.loads((tmp_path / "manifest.json").read_text())["points"].values()
    assert sorted(row["state"] for row in rows) == ["done", "done", "failed", "failed"]
    assert [row["at"]["eta"] for row in rows if "diverged" in row.get("reason", "")] == [1e9, 1e9]
    again = gm.sweep(SQUARED, grid, VALUES, store=tmp_path, workers=0, steps=60)
    assert (again.computed, again.reused, again.failed) == (0, 2, 2)
    with pytest.raises(gm.ComputationError, match="every point failed"):
        gm.sweep(SQUARED, {"eta": [1e9]}, {**VALUES, "alpha": 1.0}, store=tmp_path, workers=0, steps=60)


def test_theory_beside_its_witness_at_every_point(tmp_path):
    options = {"steps": 4, "d": 60, "replicates": 6}
    study = gm.sweep(SQUARED, {"alpha": [1.0, 2.0], "eta": [0.1, 0.2]}, VALUES, verb="compare", store=tmp_path, workers=0, **options)
    values = {**VALUES, "alpha": 2.0, "eta": 0.1}
    alone = gm.compare(gm.solve(SQUARED, values, steps=4, n=120, d=60), gm.simulate(SQUARED, values, **options))
    assert float(study.result["max_abs_z"].sel(alpha=2.0, eta=0.1)) == pytest.approx(alone.max_abs_z, rel=1e-12)
    assert study.theory is not None and study.runs is not None and "replicate" in study.runs.dims
    (ax,) = gm.plot(study.result)
    assert ax.get_xlabel() == "eta" and ax.get_ylabel() == "alpha" and "score" in ax.get_title()
    assert len(gm.plot(study.theory)) == 3


def test_a_file_says_what_to_go_over(tmp_path, capsys, monkeypatch):
    file = tmp_path / "study.toml"
    file.write_text(FILE.replace("STORE", str(tmp_path / "kept")))

    def run() -> dict:
        monkeypatch.setattr(sys, "argv", ["gmsym", "sweep", str(file), "--json", "-", "--quiet"])
        import gmsym.cli

        gmsym.cli.app(prog_name="gmsym", standalone_mode=False)
        return json.loads(capsys.readouterr().out)

    counts = {"points": 4, "computed": 4, "reused": 0, "failed": 0, "store": str(tmp_path / "kept")}
    assert run() == counts
    assert run() == {**counts, "computed": 0, "reused": 4}
    with xr.open_zarr(tmp_path / "kept" / "result.zarr") as kept:
        at = kept["test_loss"].sel({"alpha": 0.5, "optimizer.ridge": 0.1})
        alone = gm.solve(SQUARED, {**VALUES, "alpha": 0.5, "eta": 0.3, "ridge": 0.1}, steps=6)
        assert np.array_equal(at, alone["test_loss"])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"over": {}}, "over = {}"),
        ({"over": {"alpha": 1.0}}, "over alpha = 1.0"),
        ({"over": {"alpha": [1.0, 1.0]}}, "must differ"),
        ({"over": {"alpha": [1.0, -1.0]}}, "alpha = -1.0"),
        ({"over": {"etaa": [1.0]}}, "did you mean 'eta'"),
        ({"over": {"loss": ["logistic"]}}, "a Loss is needed"),
        ({"verb": "plot"}, "unknown verb of a sweep 'plot'"),
        ({"theory": "gordon"}, "unknown theory 'gordon'"),
        ({"client": 3}, "client = 3"),
        ({"workers": -1}, "workers = -1"),
        ({"values": {}}, "no value for the parameter"),
        ({"store": Path(__file__).parent}, "no study of gmsym"),
    ],
)
def test_bad_input_is_named_before_anything_is_computed(tmp_path, wrong, message):
    given = {"over": {"alpha": [1.0]}, "values": {**VALUES, "eta": 0.1}, "store": tmp_path / "study", "workers": 0, "steps": 2, **wrong}
    with pytest.raises(gm.InputError, match=message):
        gm.sweep(SQUARED, **given)
    assert not (tmp_path / "study").exists()


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.exhaustive)])
def test_a_killed_study_continues_and_computes_nothing_twice(tmp_path, workers):
    grid = "{ alpha = [0.5, 1.0], eta = [0.1, 0.2, 0.3, 0.4], loss = ['logistic', 'squared'] }"
    text = FILE.replace('{ alpha = [0.5, 1.0], "optimizer.ridge" = [0.0, 0.1] }', grid).replace("workers = 0", f"workers = {workers}")
    file = tmp_path / "study.toml"
    file.write_text(text.replace("STORE", str(tmp_path / "killed")).replace("steps = 6", "steps = 30\nsamples = 512"))
    command = [sys.executable, "-c", "from gmsym.cli import main; main()", "sweep", str(file), "--json", "-", "--quiet"]
    points = tmp_path / "killed" / "points"
    process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    while process.poll() is None and len(list(points.glob("[!.]*.nc"))) < 5:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    time.sleep(3)  # the processes it had started end by themselves
    seen = {path.name: path.stat().st_mtime_ns for path in points.glob("[!.]*.nc")}
    assert 5 <= len(seen) < 16
    record = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert record["points"] == 16 and record["failed"] == 0 and record["computed"] == 16 - len(seen) and record["reused"] == len(seen)
    assert seen.items() <= {path.name: path.stat().st_mtime_ns for path in points.glob("[!.]*.nc")}.items()
    undisturbed = subprocess.run([*command, "--store", str(tmp_path / "whole")], capture_output=True, check=True)
    assert json.loads(undisturbed.stdout)["computed"] == 16
    with xr.open_zarr(tmp_path / "killed" / "result.zarr") as ours, xr.open_zarr(tmp_path / "whole" / "result.zarr") as theirs:
        assert ours.equals(theirs)


def test_files_of_points_ask_no_scheduler_for_a_lock(tmp_path, monkeypatch):
    """On a worker of Dask xarray would ask at each of 200 accesses to a file."""
    dask, asked, keep = pytest.importorskip("dask"), [], Folder.keep

    def recorded(*given):
        asked.append(dask.base.get_scheduler())
        keep(*given)

    monkeypatch.setattr(Folder, "keep", recorded)
    gm.sweep(SQUARED, {"eta": [0.2]}, {**VALUES, "alpha": 1.0}, store=tmp_path / "study", workers=0, **OPTIONS)
    assert asked == [dask.local.get_sync] and dask.base.get_scheduler() is None
