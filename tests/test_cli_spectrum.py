"""`gmsym spectrum`: what goes to stdout, exit statuses, refusals before anything long."""

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
        monkeypatch.setattr(sys, "argv", ["gmsym", "spectrum", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit:
            cli.main()
        captured = capsys.readouterr()
        return exit.value.code or 0, captured.out, captured.err

    return run


def test_json_holds_edges_outliers_and_the_density(gmsym, tmp_path):
    status, out, err = gmsym(*PROBLEM, "--points", 50, "--json", "-", "--figure", tmp_path / "figure.png")
    assert (status, err) == (0, "")
    record = json.loads(out)
    assert record["edges"] == [pytest.approx([0.25, 2.25])]
    (outlier,) = record["outliers"]
    assert outlier["side"] == "right" and outlier["z"] == pytest.approx((1 + 2.25) * (1 + 0.25 / 2.25))
    assert len(record["density"]["z"]) == len(record["density"]["value"]) == 50 and record["atoms"] == []
    assert record["residual"] < 1e-10 and np.max(record["error"]["edges"]) < 1e-8
    assert (tmp_path / "figure.png").stat().st_size > 1000


def test_a_table_is_printed(gmsym):
    status, out, _ = gmsym("--loss", "squared", "--set", "alpha=0.5", "--points", 50)
    assert status == 0 and "atom" in out and "mass 0.5" in out and "right edge" in out
    assert gmsym(*PROBLEM, "--points", 50, "--quiet")[1] == ""


def test_an_information_matrix_of_a_file(gmsym, tmp_path):
    file = tmp_path / "problem.toml"
    file.write_text('[loss]\nexpression = "max(0, 1 - y*h)"\n[initial]\noverlap = [0.5, -0.5]\n[run]\nalpha = 3\n')
    status, out, _ = gmsym(file, "--matrix", "information", "--points", 20, "--json", "-")
    problem = gm.read(file)
    expected = gm.spectrum(problem.problem, "information", alpha=3.0, points=20, **problem.values)
    assert status == 0 and json.loads(out)["edges"] == expected["edge"].values.tolist()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--matrix", "hesian"], "did you mean 'hessian'"),
        (["--block", "2"], "block = 2"),
        (["--trained", "w"], "trained = 'w'"),
        (["--points", "1"], "points = 1"),
        (["--figure", "f.txt"], "--figure"),
        (["--set", "alpha=-1"], "alpha"),
        (["--loss", "max(0, 1 - y*h)"], "vanishes"),
    ],
)
def test_bad_input_is_status_2(gmsym, arguments, message):
    status, out, err = gmsym(*PROBLEM, *arguments)
    assert status == 2 and out == "" and message in err and err.count("\n") == 1
