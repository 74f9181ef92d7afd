"""`gmsym solve --theory spectrum`: what goes to stdout, exit statuses, refusals before anything long."""

import json
import sys

import numpy as np
import pytest

import gmsym as gm
from gmsym import cli

PROBLEM = ["--loss", "squared", "--set", "alpha=4", "--set", "mu_norm=1.5"]


@pytest.fixture
def gmsym(monkeypatch, capsys):
    """Runs the command line in this process; returns (status, stdout, stderr)."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["gmsym", "solve", "--theory", "spectrum", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit:
            cli.main()
        captured = capsys.readouterr()
        return exit.value.code or 0, captured.out, captured.err

    return run


def test_json_holds_edges_outliers_and_the_density(gmsym, tmp_path):
    status, out, err = gmsym(*PROBLEM, "--set", "points=50", "--json", "-", "--figure", tmp_path / "figure.png")
    assert (status, err) == (0, "")
    record = json.loads(out)
    assert record["edges"] == [pytest.approx([0.25, 2.25])]
    (outlier,) = record["outliers"]
    assert outlier["side"] == "right" and outlier["z"] == pytest.approx((1 + 2.25) * (1 + 0.25 / 2.25))
    assert len(record["density"]["z"]) == len(record["density"]["value"]) == 50 and record["atoms"] == []
    assert record["residual"] < 1e-10 and np.max(record["error"]["edges"]) < 1e-8
    assert (tmp_path / "figure.png").stat().st_size > 1000


def test_a_table_is_printed(gmsym):
    status, out, _ = gmsym("--loss", "squared", "--set", "alpha=0.5", "--set", "points=50")
    assert status == 0 and "atom" in out and "mass 0.5" in out and "right edge" in out
    assert gmsym(*PROBLEM, "--set", "points=50", "--quiet")[1] == ""


def test_an_information_matrix_of_a_file(gmsym, tmp_path):
    file = tmp_path / "problem.toml"
    file.write_text('[loss]\nexpression = "max(0, 1 - y*h)"\n[initial]\noverlap = [0.5, -0.5]\n[run]\nalpha = 3\n')
    status, out, _ = gmsym(file, "--set", "matrix=information", "--set", "points=20", "--json", "-")
    problem = gm.read(file)
    expected = gm.solve(gm.derive.spectrum(problem.problem, "information"), {"alpha": 3.0, **problem.values}, points=20)
    assert status == 0 and json.loads(out)["edges"] == expected["edge"].values.tolist()


def test_a_sweep_locates_the_static_transition(gmsym, tmp_path):
    """Squared loss: the outlier detaches at alpha = |mu|^{-4}."""
    sweep = ("--loss", "squared", "--set", "mu_norm=0.8", "--set", "alpha=[1.5,3,4]")
    status, out, err = gmsym(*sweep, "--json", "-", "--figure", tmp_path / "figure.png")
    assert (status, err) == (0, "") and (tmp_path / "figure.png").stat().st_size > 1000
    record = json.loads(out)
    assert [at["alpha"] for at in record["spectra"]] == [1.5, 3.0, 4.0]
    assert record["transitions"][0]["alpha"] == pytest.approx(0.8**-4, abs=1e-5)
    assert "an outlier at the right edge" in gmsym(*sweep)[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "matrix=hesian"], "did you mean 'hessian'"),
        (["--set", "sigma=[1]"], "at least two increasing numbers"),
        (["--set", "sigma=[3,2]"], "increasing numbers"),
        (["--set", "speed=[1,2]"], "unknown setting 'speed'"),
        (["--set", "block=2"], "block = 2"),
        (["--set", "trained=w"], "trained = 'w'"),
        (["--set", "points=1"], "points = 1"),
        (["--figure", "f.txt"], "--figure"),
        (["--set", "alpha=-1"], "alpha"),
        (["--loss", "max(0, 1 - y*h)"], "vanishes"),
    ],
)
def test_bad_input_is_status_2(gmsym, arguments, message):
    status, out, err = gmsym(*PROBLEM, *arguments)
    assert status == 2 and out == "" and message in err and err.count("\n") == 1


def test_at_a_time_of_full_batch_training(gmsym):
    status, out, _ = gmsym(
        "--loss", "squared", "--set", "alpha=4", "--set", "eta=0.5", "--set", "at=3", "--set", "points=20", "--quiet", "--json", "-"
    )
    problem = gm.Problem(gm.GaussianMixture.symmetric(), gm.losses.squared(), gm.optimizers.gd())
    values = {"eta": 0.5, "mu_norm": 1.0, "sigma": 1.0}
    state = gm.solve(problem, {"alpha": 4.0, **values}, steps=4, progress=False).isel(time=-1)
    expected = gm.solve(gm.derive.spectrum(problem), {"alpha": 4.0, **values}, m=state["m"].values, Q=state["Q"].values, points=20)
    (outlier,) = json.loads(out)["outliers"]
    assert status == 0 and outlier["overlap"] == pytest.approx(float(expected["overlap"][0]))
    status, out, err = gmsym("--loss", "squared", "--set", "eta=0.5", "--set", "at=1.5")
    assert status == 2 and "at = 1.5" in err


@pytest.mark.slow
def test_at_a_time_of_online_sgd(gmsym, tmp_path):
    file = tmp_path / "online.toml"
    file.write_text('[loss]\nname = "logistic"\n[optimizer]\neta = 1.0\n[sampling]\nkind = "online"\n[run]\ntime = 5.0\n')
    status, out, _ = gmsym(file, "--set", "alpha=4", "--set", "at=2", "--set", "points=20", "--quiet", "--json", "-")
    given = gm.read(file)
    state = gm.solve(given.problem, given.values, time=[0.0, 2.0], progress=False).isel(time=-1)
    expected = gm.solve(
        gm.derive.spectrum(given.problem), {"alpha": 4.0, **given.values}, m=state["m"].values, Q=state["Q"].values, points=20
    )
    record = json.loads(out)
    assert status == 0 and record["edges"] == [pytest.approx(edges) for edges in expected["edge"].values.tolist()]
    assert record["edges"] != json.loads(gmsym(file, "--set", "alpha=4", "--set", "points=20", "--quiet", "--json", "-")[1])["edges"]
    status, _, err = gmsym(file, "--set", "at=2")
    assert status == 2 and "alpha is missing" in err


@pytest.mark.slow
def test_a_state_with_trained_parameters_follows_the_dynamics():
    """A path of states may be a result of the effective dynamics, second-layer weights included."""
    problem = gm.Problem(
        gm.GaussianMixture.symmetric(),
        gm.Loss("scaled", gm.parse("(v*h - y)**2/2")),
        gm.optimizers.gd(),
        sampling=gm.sampling.online(),
        trained=gm.Trained({"v": 0.5}),
    )
    values = {"mu_norm": 1.0, "sigma": 1.0}
    trajectory = gm.solve(problem, {"eta": 0.5, **values}, time=[0.0, 1.0, 2.0, 3.0], progress=False)
    along = gm.solve(gm.derive.spectrum(problem), {"alpha": 4.0, **values}, along=trajectory, points=20, progress=False)
    squared = trajectory["trained"].values[:, 0] ** 2  # the Hessian is v^2 times that of the squared loss
    np.testing.assert_allclose(along["edge"].values[:, 0, :], squared[:, None] * [[0.25, 2.25]], rtol=1e-7)


def test_ordinary_defaults_are_solved(gmsym):
    """n/d = 1, where the bulk reaches 0."""
    for loss in ("logistic", "squared"):
        status, out, err = gmsym("--loss", loss, "--set", "points=50", "--json", "-")
        record = json.loads(out)
        assert (status, err) == (0, "") and record["edges"][0][0] == 0 and record["masses"] == [pytest.approx(1)]
        assert record["undecided"] == []
    assert "mass 1.000000" in gmsym("--loss", "squared", "--set", "points=50")[1]
