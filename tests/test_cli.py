"""The command line: what goes to stdout and stderr, files, exit statuses, and that bad input is refused before anything heavy is loaded."""

import json
import os
import re
import subprocess
import sys

import nbformat
import pytest
import xarray as xr
from nbclient import NotebookClient
from PIL import Image

import gmsym as gm
from gmsym import files, pipeline, writing
from gmsym.cli._app import THEORIES
from gmsym.errors import ComputationError, UnprintableError
from gmsym.pipeline import tasks
from tests.plotting.test_spectrum import along as along  # a fixture

START = "import gmsym.cli as cli; cli.main()"

LOGISTIC = ["--loss", "log(1 + exp(-y*h))", "--set", "eta=1"]
ONLINE = ["--loss", "log(1 + exp(-y*h))", "--set", "kind=online", "--set", "time=2", "--set", "eta=1.5"]
SMALL = ["--loss", "squared", "--set", "eta=0.1", "--set", "steps=4", "--set", "d=40", "--set", "alpha=1.5"]


VERBS = (
    "derive",
    "codegen",
    "solve",
    "simulate",
    "compare",
    "plot",
    "animate",
    "sweep",
    "tune",
    "notebook",
    "demo",
    "build",
    "init",
    "list",
    "fit",
)


@pytest.fixture
def results(monkeypatch, made_up):
    """Lets the pipeline return made-up results at once; gives the arguments it was called with."""
    calls = {}
    theory, runs = made_up(times=12)

    def put(shift=None):
        nonlocal theory, runs
        if shift is not None:
            theory, runs = made_up(times=12, shift=shift)

    monkeypatch.setattr(tasks, "solve", lambda system, values, **options: calls.update(solve=(values, options)) or theory)
    monkeypatch.setattr(tasks, "simulate", lambda problem, values, **options: calls.update(simulate=(values, options)) or runs)
    calls["put"] = put
    return calls


ONLINE_FILE = """
[mixture]
probabilities = [1.0]
labels = [0]
means_gram = [[0.0]]
variance = [1.0]
[loss]
expression = "(v*h - t0)**2/2"
[initial]
norm2 = 0.5
[teacher]
gram = [[1.0]]
overlap = [0.1]
[trained]
initial = { v = 0.8 }
step = 0.5
[optimizer]
eta = 0.5
[sampling]
kind = "online"
[run]
time = 1.0
[simulation]
d = 60
replicates = 4
"""


def test_solve_writes_the_order_parameters_of_online_sgd(gmsym, tmp_path):
    file, kept = tmp_path / "online.toml", tmp_path / "result.nc"
    file.write_text(ONLINE_FILE)
    status, out, err = gmsym("solve", file, "--json", "-", "--output", kept)
    assert (status, err) == (0, "")
    record = json.loads(out)
    assert record["time"] == 1.0 and "train_loss" not in record
    assert list(record["trained"]) == ["v"] and len(record["M"]) == 1
    assert record["error"].keys() == {"m", "Q", "Q_k", "test_loss", "test_error", "M", "trained"}
    assert record["parameters"]["eta"] == record["step"] == 0.5
    assert abs(record["error"]["M"][0]) < 1e-8
    with xr.open_dataset(kept) as result:
        assert result.sizes["time"] == 101 and float(result["time"][-1]) == 1.0
    status, out, _ = gmsym("compare", file, "--json", "-")
    assert status == 0 and {row["quantity"] for row in json.loads(out)["rows"]} >= {"M[0]", "trained[v]", "test_loss"}


def test_derive_and_codegen_follow_the_kind_of_training(gmsym, tmp_path):
    file = tmp_path / "online.toml"
    file.write_text(ONLINE_FILE)
    status, out, _ = gmsym("derive", file, "--format", "latex")
    assert status == 0 and r"\frac{d}{d t} M_{s}(t)" in out
    status, out, _ = gmsym("codegen", file)
    assert status == 0 and "def drift_M(" in out


def test_help_lists_the_verbs(gmsym):
    status, out, err = gmsym("--help")
    assert (status, err) == (0, "")
    assert all(verb in out for verb in VERBS) and out.count("\n") <= 24  # a screen


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(gmsym, verb):
    status, out, _ = gmsym(verb, "--help")
    assert status == 0 and "Usage: gmsym " + verb in out


HEAVY = "jax matplotlib xarray scipy"


@pytest.mark.parametrize("arguments", [["--help"], ["solve", "--loss", "log(1+exp(-y*hh))"], ["compare", "--loss", "logistic"]])
def test_light_until_the_input_is_checked(arguments):
    program = (
        "import sys\nfrom gmsym.cli import main\ntry: main()\nexcept SystemExit: pass\n"
        f"loaded = set('{HEAVY}'.split()) & set(sys.modules)\nassert not loaded, loaded"
    )
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["solve"], "a problem is needed: a file, or --loss"),
        (["solve", "none.toml"], "none.toml: no such file"),
        (["solve", "eta=1"], "a setting is written --set eta=1"),
        (["solve", "--loss", "logistic"], "no value for the parameter 'eta'"),
        (["simulate", "--loss", "logistic"], "no value for the parameter 'eta'"),
        (["compare", "--loss", "logistic"], "no value for the parameter 'eta'"),
        (["solve", "--loss", "logitic"], "did you mean 'logistic'"),
        (["derive", "--loss", "logistic", "--optimizer", "heavyball"], "did you mean 'heavy_ball'"),
        (["solve", *LOGISTIC, "--set", "stepps=3"], "unknown setting 'stepps'; did you mean 'steps'"),
        (["solve", *LOGISTIC, "--set", "step=3"], "step belongs to [trained] of a problem file"),
        (["solve", *LOGISTIC, "--set", "time=3"], 'which [sampling] kind = "online" asks for'),
        (["solve", *ONLINE, "--theory", "dmf"], "its theory is gmsym.derive.effective"),
        (["solve", *LOGISTIC, "--theory", "effective"], "this problem trains on full batches"),
        (["solve", *LOGISTIC, "--theory", "gordon"], "unknown theory 'gordon'"),
        (["solve", *ONLINE, "--optimizer", "signum", "--set", "momentum=0.5"], "online SGD takes rules that are linear"),
        (["solve", "--loss", "logistic", "--set", "kind=online", "--set", "eta=3"], "[run] time is missing"),
        (["solve", "--loss", "logistic", "--set", "kind=onlin"], "did you mean 'online'"),
        (["solve", *LOGISTIC, "--set", "paths=3"], "[run] paths"),
        (["solve", "--loss", "logistic", "--set", "eta=[]"], "eta = []: a number, or a list of at least one"),
        (["solve", *LOGISTIC, "--set", "two_time=yes"], "two_time = 'yes': True or False is needed"),
        (["solve", *ONLINE, "--set", "alpha=[1,2]"], "online SGD has no samples per dimension"),
        (["solve", *LOGISTIC, "--theory", "finite-size", "--set", "alpha=[1,2]"], "[run] n is missing"),
        (["solve", *LOGISTIC, "--set", "gram=1"], "gram belongs to [teacher] of a problem file"),
        (["solve", "--loss", "log(1 + exp(-points*y*h))", "--set", "points=2"], "write loss.points or run.points"),
        (["solve", *LOGISTIC, "--set", "steps"], "key=value"),
        (["solve", *LOGISTIC, "--set", "samples=1000"], "a power of two"),
        (["solve", *LOGISTIC, "--output", "result.txt"], "ends in .nc"),
        (["solve", *LOGISTIC, "--output", "nowhere/result.nc"], "existing folder"),
        (["solve", *LOGISTIC, "--json", "nowhere/result.json"], "existing folder"),
        (["compare", *LOGISTIC, "--figure", "figure.gif"], "ends in .png or .svg or .pdf"),
        (["derive", *LOGISTIC, "--format", "texx"], "unknown format 'texx'; did you mean 'text'"),
        (["codegen", *LOGISTIC, "--output", "module.txt"], "ends in .py"),
        (["tune", *LOGISTIC, "--over", "sigma"], "names holds 'sigma', which the data"),
        (["tune", *LOGISTIC, "--theory", "surrogate"], "DMF, effective dynamics or a stationary limit"),
        (["tune", *LOGISTIC, "--index", "a"], "--index a: whole numbers are needed"),
        (["build"], "there is no case in ./derivations"),
        (["build", "nowhere"], "there is no problem.py"),
    ],
)
def test_bad_input_is_one_line_and_status_2(gmsym, monkeypatch, tmp_path, arguments, says):
    monkeypatch.chdir(tmp_path)
    status, out, err = gmsym(*arguments)
    assert (status, out) == (2, "")
    assert says in err and err.startswith("gmsym: ") and err.count("\n") == 1


def test_an_expression_is_shown_with_a_caret(gmsym):
    status, out, err = gmsym("solve", "--loss", "log(1 + exp(-y*hh))")
    assert (status, out) == (2, "")
    first, shown, caret = err.rstrip("\n").split("\n")
    assert first.startswith("gmsym: [loss] expression, character 16: unknown name 'hh'; did you mean 'h'? Allowed:")
    assert shown[caret.index("^") :] == "hh))"


@pytest.mark.parametrize("arguments", [["sovle"], ["solve", "--nope"], ["solve", "--set"], []])
def test_usage_errors_are_status_2(gmsym, arguments):
    assert gmsym(*arguments)[0] == 2


@pytest.mark.parametrize(
    ("error", "status"),
    [(ComputationError("diverged at step 3:\nQ"), 1), (UnprintableError("no entry for gamma"), 2), (OSError("disk full"), 1)],
)
def test_failures_are_one_line(gmsym, monkeypatch, error, status):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(tasks, "solve", fail)
    found, out, err = gmsym("solve", *LOGISTIC)
    assert (found, out, err) == (status, "", f"gmsym: {' '.join(str(error).split())}\n")


# --- derive, codegen, build -------------------------------------------------------------------------------------------


def test_derive_as_text(gmsym):
    status, out, _ = gmsym("derive", "--loss", "logistic")
    assert status == 0
    assert "local field of a sample of cluster k (theorem; theory.md 2" in out
    assert "h(k, t) = m(k, t)" in out


def test_derive_as_latex(gmsym, tmp_path):
    status, out, _ = gmsym("derive", "--loss", "logistic", "--optimizer", "heavy_ball", "--format", "latex")
    assert status == 0 and out.startswith("\\begin{aligned}") and out.endswith("\\end{aligned}\n")
    assert (
        gmsym("derive", "--loss", "logistic", "--optimizer", "heavy_ball", "--format", "latex", "--output", tmp_path / "dmf.tex")[1] == ""
    )
    assert (tmp_path / "dmf.tex").read_text() == "% Written by gmsym\n" + out


def test_codegen(gmsym, tmp_path):
    status, out, _ = gmsym("codegen", "--loss", "logistic")
    assert status == 0
    compile(out, "generated", "exec")
    assert "SIGNATURE = " in out
    assert gmsym("codegen", "--loss", "logistic", "--output", tmp_path / "dmf.py")[:2] == (0, "")
    assert (tmp_path / "dmf.py").read_text() == out


def test_build(gmsym, monkeypatch, tmp_path):
    case = tmp_path / "derivations" / "mine"
    case.mkdir(parents=True)
    (case / "problem.py").write_text(
        "import gmsym as gm\nPROBLEM = gm.Problem(gm.GaussianMixture.symmetric(), gm.losses.squared(), gm.optimizers.gd())\n"
    )
    monkeypatch.chdir(tmp_path)
    status, out, _ = gmsym("build")
    assert status == 0 and "manifest.json" in out
    assert (case / "manifest.json").is_file() and list((case / "generated").glob("*.py"))
    assert gmsym("build", case)[1].rstrip().endswith("current")


# --- solve, simulate, compare -----------------------------------------------------------------------------------------


def test_the_numbers_of_the_file_reach_the_solver(gmsym, results, tmp_path):
    path = tmp_path / "problem.toml"
    path.write_text(
        '[loss]\nname = "logistic"\n[optimizer]\nname = "heavy_ball"\neta = 4\nmomentum = 0.6\n'
        "[run]\nalpha = 0.5\nsteps = 30\nsamples = 512\nscrambles = 3\nseed = 7\n[simulation]\nd = 101\nreplicates = 5\n"
    )
    assert gmsym("compare", path, "--set", "steps=20", "--quiet")[0] == 0
    numbers = {"eta": 4.0, "momentum": 0.6, "mu_norm": 1.0, "sigma": 1.0, "alpha": 0.5}
    n = 50  # alpha d = 50.5 is not a whole number, so that the theory is solved at n/d
    values, options = results["simulate"]
    assert (values, options) == (numbers, {"n": n, "d": 101, "steps": 20, "replicates": 5, "seed": 7, "progress": False})
    values, options = results["solve"]
    assert values == {**numbers, "alpha": n / 101}
    assert options == {"n": n, "d": 101, "steps": 20, "samples": 512, "scrambles": 3, "seed": 7, "progress": False}
    gmsym("solve", path)
    values, options = results["solve"]
    assert (values["alpha"], options["progress"], options.get("n")) == (0.5, None, None)


@pytest.mark.parametrize("verb", ["solve", "simulate"])
def test_the_last_step_as_json(gmsym, results, verb, tmp_path):
    status, out, err = gmsym(verb, *LOGISTIC, "--json", "-")
    assert (status, err, out.count("\n")) == (0, "", 1)
    record = json.loads(out)
    assert list(record)[:8] == ["time", "m", "Q", "Q_k", "train_loss", "test_loss", "test_error", "error"]
    assert {"alpha", "parameters"} <= record.keys()
    assert record["time"] == 11
    assert [len(record["m"]), len(record["Q_k"])] == [2, 2] and isinstance(record["Q"], float)
    assert list(record["error"]) == ["m", "Q", "Q_k", "train_loss", "test_loss", "test_error"]
    assert gmsym(verb, *LOGISTIC, "--json", tmp_path / "last.json")[:2] == (0, "")
    assert json.loads((tmp_path / "last.json").read_text()) == {"written_by": "Written by gmsym", **record}


@pytest.mark.parametrize("verb", ["solve", "simulate"])
def test_the_last_step_as_a_table(gmsym, results, verb):
    status, out, err = gmsym(verb, *LOGISTIC)
    assert (status, err) == (0, "")
    rows = {line.split()[0]: line.split()[1:] for line in out.splitlines() if len(line.split()) == 3}
    assert {"m[0]", "m[1]", "Q", "Q_k[0]", "train_loss", "test_error"} <= rows.keys()
    json_m = json.loads(gmsym(verb, *LOGISTIC, "--json", "-")[1])["m"]
    assert float(rows["m[1]"][0]) == pytest.approx(json_m[1], abs=1e-6)
    assert gmsym(verb, *LOGISTIC, "--quiet")[1] == ""


def test_the_trajectory_is_kept(gmsym, results, tmp_path):
    assert gmsym("solve", *LOGISTIC, "--quiet", "--output", tmp_path / "theory.nc")[0] == 0
    with xr.open_dataset(tmp_path / "theory.nc") as kept:
        assert kept.sizes["time"] == 12 and kept.attrs["kind"] == "theory"
    assert gmsym("compare", *LOGISTIC, "--quiet", "--output", tmp_path / "both.nc")[0] == 0
    for group, kind in (("theory", "theory"), ("simulation", "simulation")):
        with xr.open_dataset(tmp_path / "both.nc", group=group) as kept:
            assert kept.attrs["kind"] == kind


def test_compare_prints_a_table(gmsym, results):
    status, out, err = gmsym("compare", *LOGISTIC)
    assert (status, err) == (0, "")
    assert "simulation" in out and "z(11)" in out and "they agree" in out
    assert gmsym("compare", *LOGISTIC, "--quiet")[:2] == (0, "")


def test_compare_as_json(gmsym, results):
    status, out, err = gmsym("compare", *LOGISTIC, "--json", "-")
    assert (status, err) == (0, "")
    record = json.loads(out)
    assert list(record) == ["rows", "rms_z", "max_abs_z", "agrees"]
    assert record["agrees"] is True
    assert set(record["rows"][0]) == {"quantity", "time", "theory", "simulation", "gap", "standard_error", "z"}
    last = next(row for row in record["rows"] if row["quantity"] == "Q" and row["time"] == 11)
    assert last["gap"] == pytest.approx(last["simulation"] - last["theory"], abs=1e-12)
    assert record["max_abs_z"] == pytest.approx(max(abs(row["z"]) for row in record["rows"]))


def test_a_disagreement_is_status_1(gmsym, results):
    results["put"]({"m": 1.0})
    status, out, _ = gmsym("compare", *LOGISTIC, "--json", "-")
    assert status == 1 and json.loads(out)["agrees"] is False
    status, out, _ = gmsym("compare", *LOGISTIC)
    assert status == 1 and "DISAGREE" in out


def test_an_infinite_score_is_still_json(gmsym, results, monkeypatch, made_up):
    theory, runs = made_up(times=12, noise=0.0)
    monkeypatch.setattr(tasks, "simulate", lambda *_, **__: runs.assign(m=runs["m"] + 1))
    monkeypatch.setattr(tasks, "solve", lambda *_, **__: theory)
    status, out, _ = gmsym("compare", *LOGISTIC, "--json", "-")
    record = json.loads(out)
    assert status == 1 and record["max_abs_z"] is None and None in {row["z"] for row in record["rows"]}


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_compare_draws(gmsym, results, tmp_path, suffix):
    path = tmp_path / f"figure.{suffix}"
    assert gmsym("compare", *LOGISTIC, "--quiet", "--figure", path)[0] == 0
    assert path.stat().st_size > 5000


def test_demo(gmsym, monkeypatch, tmp_path, made_up):
    called = {}
    comparison = pipeline.compare(*made_up(times=12))
    monkeypatch.setattr(pipeline, "demo", lambda directory, **options: called.update(directory=directory, **options) or comparison)
    status, out, _ = gmsym("demo", "--output", tmp_path)
    assert status == 0 and called == {"directory": tmp_path, "progress": None, "force": False}
    assert "gmsym_demo.png" in out and "they agree" in out


def test_end_to_end(gmsym, tmp_path):
    """Nothing made up: a small problem is solved, trained and found to agree."""
    theory = json.loads(gmsym("solve", *SMALL, "--json", "-")[1])
    status, out, err = gmsym("compare", *SMALL, "--set", "replicates=16", "--json", "-")
    assert (status, err) == (0, "")
    record = json.loads(out)
    assert record["agrees"] is True
    rows = {(row["quantity"], row["time"]): row for row in record["rows"]}
    assert rows["Q", 3]["theory"] == pytest.approx(theory["Q"], rel=1e-12)
    assert rows["m[0]", 3]["theory"] == pytest.approx(theory["m"][0], rel=1e-12)


def test_the_surrogate_is_printed(gmsym):
    status, out, _ = gmsym("derive", "--loss", "logistic", "--theory", "surrogate", "--format", "latex")
    assert status == 0 and r"\varphi_{" in out
    status, out, _ = gmsym("codegen", "--loss", "logistic", "--theory", "surrogate")
    assert status == 0 and "def transposed_product(" in out
    status, _, err = gmsym("derive", "--loss", "logistic", "--theory", "dmff")
    assert status == 2 and "allowed" in err.lower()


@pytest.mark.slow
def test_surrogate_and_finite_size_report_mean_error_and_deviation(gmsym):
    problem = ("--loss", "logistic", "--set", "eta=1.0", "--set", "alpha=1.5", "--set", "steps=3", "--set", "samples=256", "--quiet")
    sizes = ("--set", "n=60", "--set", "d=40", "--set", "replicates=50")
    status, out, _ = gmsym("solve", "--theory", "surrogate", *problem, *sizes, "--json", "-")
    sampled = json.loads(out)
    assert status == 0 and sampled["time"] == 2
    status, out, _ = gmsym("solve", "--theory", "finite-size", *problem, "--set", "n=60", "--set", "d=40", "--json", "-")
    predicted = json.loads(out)
    assert status == 0 and {"Q", "deviation", "error"} <= sampled.keys() & predicted.keys()
    for name in ("Q", "train_loss", "test_error"):
        spread = sampled["deviation"][name]
        assert predicted["deviation"][name] == pytest.approx(spread, rel=0.4)
        assert abs(predicted[name] - sampled[name]) < 5 * sampled["error"][name] + predicted["error"][name]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("finite-size", "--set", "n=0"), "n = 0"),
        (("finite-size", "--set", "steps=0"), "steps"),
        (("surrogate", "--set", "n=0"), "n = 0"),
        (("surrogate", "--set", "d=0"), "d = 0"),
        (("surrogate", "--set", "replicates=0"), "replicates = 0"),
        (("surrogate", "--set", "n=20", "--set", "d=10", "--set", "steps=11"), "exceeds"),
        (("finite-size", "--json", "missing/folder.json"), "existing folder"),
    ],
)
def test_bad_finite_size_input(gmsym, arguments, message):
    theory, *rest = arguments
    status, out, err = gmsym("solve", "--theory", theory, "--loss", "logistic", "--set", "eta=1.0", *rest)
    assert (status, out) == (2, "") and message in err and err.count("\n") == 1


@pytest.mark.exhaustive
@pytest.mark.slow
def test_online_sgd_at_a_dimension(gmsym):
    """The mean moves by order 1/d, and the deviation of a run is there, in JSON and in the table."""
    sizes = ((), ("--set", "run.d=200"), ("--set", "run.d=800"))
    limit, one, other = (json.loads(gmsym("solve", *ONLINE, *size, "--json", "-")[1]) for size in sizes)
    assert "deviation" not in limit and limit.keys() == one.keys() - {"deviation", "d"}
    assert (one["Q"] - limit["Q"]) == pytest.approx(4 * (other["Q"] - limit["Q"]), rel=1e-6)
    assert one["deviation"]["Q"] == pytest.approx(2 * other["deviation"]["Q"], rel=1e-6)
    assert "deviation" in gmsym("solve", *ONLINE, "--set", "run.d=200")[1]
    status, out, err = gmsym("solve", *ONLINE, "--set", "run.d=0")
    assert (status, out) == (2, "") and "d = 0" in err


@pytest.mark.parametrize("problem", [LOGISTIC, ONLINE])
def test_a_notebook_of_a_problem(gmsym, tmp_path, problem):
    """Valid cells without outputs, the same every time, which read the same problem and call the public verbs in order."""
    target = tmp_path / "study.ipynb"
    assert gmsym("notebook", *problem, "--output", target)[0] == 0
    text = target.read_text()
    written = nbformat.reads(text, as_version=4)
    nbformat.validate(written)
    code = [cell.source for cell in written.cells if cell.cell_type == "code"]
    assert 'gm.from_options(loss="' in code[0].replace("'", '"') and "gm.compare(theory, runs)" in "".join(code)
    assert ("gm.derive.effective(" in "".join(code)) == (problem is ONLINE)
    assert gmsym("notebook", *problem, "--output", target)[0] == 0 and target.read_text() == text
    status, out, err = gmsym("notebook", *problem, "--output", tmp_path / "study.txt")
    assert (status, out) == (2, "") and ".ipynb" in err


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_notebook_of_a_file_executes(gmsym, tmp_path, monkeypatch):
    monkeypatch.delenv("MPLBACKEND", raising=False)  # would replace the inline backend of the kernel
    (tmp_path / "problem.toml").write_text('[loss]\nname = "squared"\n[optimizer]\neta = 0.1\n[run]\nsteps = 4\n[simulation]\nd = 40\n')
    assert gmsym("notebook", tmp_path / "problem.toml", "--output", tmp_path / "study.ipynb")[0] == 0
    written = nbformat.read(tmp_path / "study.ipynb", as_version=4)
    assert "gm.read('problem.toml')" in written.cells[1].source
    NotebookClient(written, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    printed = [output for cell in written.cells if cell.cell_type == "code" for output in cell.outputs]
    assert any("image/png" in output.get("data", {}) for output in printed)


# --- files ------------------------------------------------------------------------------------------------------------


def test_a_foreign_file_is_not_overwritten_without_force(gmsym, results, tmp_path):
    target = tmp_path / "mine.nc"
    target.write_text("mine")
    status, out, err = gmsym("solve", *LOGISTIC, "--output", target)
    assert (status, out, "solve" in results) == (2, "", False)
    assert err == f"gmsym: --output {target}: there is a file that gmsym did not write, or that was changed; --force overwrites it\n"
    assert target.read_text() == "mine"
    assert gmsym("solve", *LOGISTIC, "--output", target, "--quiet", "--force")[0] == 0
    assert gmsym("solve", *LOGISTIC, "--output", target, "--quiet")[0] == 0
    assert gmsym("solve", *LOGISTIC, "--output", target, "--json", target)[0] == 2


def test_build_does_not_overwrite_a_foreign_file(gmsym, tmp_path):
    (tmp_path / "problem.py").write_text(
        "import gmsym as gm\nPROBLEM = gm.Problem(gm.GaussianMixture.symmetric(), gm.losses.squared(), gm.optimizers.gd())\n"
    )
    (tmp_path / "generated").mkdir()
    (tmp_path / "generated" / "dmf.py").write_text("mine = 1\n")
    status, _, err = gmsym("build", tmp_path)
    assert status == 2 and "--force overwrites it" in err and not (tmp_path / "manifest.json").exists()
    assert gmsym("build", tmp_path, "--force")[0] == 0
    (tmp_path / "generated" / "dmf.py").write_text('"""Generated by gmsym: an older one."""\n')
    assert gmsym("build", tmp_path)[0] == 0


def test_the_demonstration_tries_its_files_first(gmsym, monkeypatch, tmp_path):
    (tmp_path / "gmsym_demo.csv").write_text("my,table\n")
    status, _, err = gmsym("demo", "--output", tmp_path)
    assert status == 2 and "gmsym_demo.csv: there is a file that gmsym did not write" in err


def test_a_newcomer_gets_a_file_and_lists(gmsym, tmp_path):
    """What `init` writes is a problem, its commented study included; what `list` lists is what a file can name."""
    file = tmp_path / "problem.toml"
    status, out, _ = gmsym("init", "--output", str(file))
    assert status == 0 and str(file) in out
    text = file.read_text()
    given = files.loads(text.replace("# [sweep] ", "[sweep] ").replace("# over", "over").replace("# store", "store"))
    assert given.sweep is not None and given.at({"eta": 0.5}).values["eta"] == 0.5 and given.problem.natural == "dmf"
    file.write_text(text + "[observ")
    status, _, err = gmsym("solve", str(file))
    assert status == 2 and "not valid TOML" in err
    for what, known in (("losses", "hinge"), ("optimizers", "heavy_ball"), ("samplings", "online"), ("theories", "surrogate")):
        status, out, _ = gmsym("list", what)
        assert status == 0 and any(line.startswith(known) for line in out.splitlines())
    status, _, err = gmsym("list", "loses")
    assert status == 2 and "did you mean 'losses'" in err
    assert gmsym("--version")[1] == f"gmsym {gm.__version__}\n"


@pytest.mark.parametrize("verb", ["solve", "compare"])
def test_a_kept_result_is_drawn_without_computing_again(gmsym, results, tmp_path, verb):
    kept, figure = tmp_path / "kept.nc", tmp_path / "kept.png"
    assert gmsym(verb, *LOGISTIC, "--output", str(kept), "--quiet")[0] in (0, 1)
    results.pop("solve")
    status, out, _ = gmsym("plot", str(kept), "--output", str(figure))
    assert status == 0 and figure.read_bytes()[:4] == b"\x89PNG" and "solve" not in results


def test_what_is_no_kept_result_is_refused_in_one_line(gmsym, tmp_path):
    (tmp_path / "text.nc").write_text("not netCDF")
    xr.Dataset({"m": ("time", [1.0])}).to_netcdf(tmp_path / "foreign.nc")
    for name, message in (("none.nc", "no such file"), ("text.nc", "cannot be read|can be read"), ("foreign.nc", "gmsym did not write")):
        status, _, err = gmsym("plot", str(tmp_path / name), "--output", str(tmp_path / "a.png"))
        assert status == 2 and re.search(message, err) and err.count("\n") == 1
    status, _, err = gmsym("plot", str(tmp_path / "foreign.nc"), "--set", "eta=2", "--output", str(tmp_path / "a.png"))
    assert status == 2 and "drawn as it is" in err


def test_the_level_of_words(gmsym):
    assert gmsym("--log-level", "error", "list", "losses")[0] == 0
    status, _, err = gmsym("--log-level", "loud", "list", "losses")
    assert status == 2 and "Allowed: debug, info, warning, error" in err


def test_derive_standalone_is_a_document(gmsym):
    status, out, _ = gmsym("derive", *LOGISTIC, "--format", "latex", "--standalone")
    assert status == 0 and out.startswith(r"\documentclass") and r"\begin{thebibliography}" in out
    status, _, err = gmsym("derive", *LOGISTIC, "--standalone")
    assert status == 2 and "--format latex" in err


def test_codegen_standalone_holds_solver_and_numbers(gmsym):
    status, out, _ = gmsym("codegen", *LOGISTIC, "--set", "alpha=2", "--set", "steps=7", "--standalone")
    assert status == 0 and "'steps': 7" in out and "def solve_causal_kernels" in out and "import gmsym" not in out
    status, out, _ = gmsym("codegen", *ONLINE, "--standalone")
    assert status == 0 and "def solve_ode" in out and "import diffrax" not in out
    status, _, err = gmsym("codegen", *ONLINE, "--theory", "fluctuations", "--standalone")
    assert status == 2 and "diffrax" in err


def test_a_film_of_spectra_is_a_gif_of_its_own(gmsym, tmp_path, along):
    kept, film = tmp_path / "along.nc", tmp_path / "film.gif"
    writing.write_datasets({None: along.assign_attrs(kind="spectrum along")}, kept)
    status, out, err = gmsym("animate", kept, "--output", film)
    assert (status, err) == (0, "") and "Written to" in out
    with Image.open(film) as image:
        assert image.n_frames == along.sizes["time"]
        image.seek(image.n_frames - 1)
        image.load()
    assert writing.is_own(film) and gmsym("animate", kept, "--output", film, "--quiet")[0] == 0
    assert gmsym("animate", kept, "--output", tmp_path / "film.mp4")[0] == 2
    assert gmsym("animate", kept, "--set", "eta=1", "--output", film)[0] == 2


def test_the_shell_completes_verbs_and_names():
    def completed(words: str, at: int) -> list[str]:
        told = {"_GMSYM_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(at)}
        found = subprocess.run([sys.executable, "-c", START], env=os.environ | told, capture_output=True, text=True, check=True)
        return found.stdout.split()

    assert completed("gmsym so", 1) == ["solve"]
    assert {"logistic"} == set(completed("gmsym solve --loss logi", 3))
    assert {"surrogate", "spectrum", "stationary"} == set(completed("gmsym solve --theory s", 3))


def test_names_to_complete_are_those_of_the_theories():
    assert set(THEORIES) == set(gm.pipeline.THEORIES)
