"""Arbitrary text at every entry: it is refused or read, and nothing of it is executed, imported or opened (an audit hook watches)."""

import json
import random
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import sympy as sp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import gmsym as gm
from gmsym import cli, derive, pipeline
from gmsym.errors import InputError, UnprintableError
from gmsym.files import reader as problem_file
from gmsym.pipeline import THEORIES
from gmsym.problem import losses
from gmsym.symbols import eta, g, h, symbol, theta, y

ROOT = Path(__file__).parents[1]
CANARY = Path(tempfile.gettempdir()) / "gmsym_canary"  # what a payload would make
_HERE = tuple(str(Path(p).resolve()) for p in (ROOT, sys.prefix, sys.base_prefix, tempfile.gettempdir()))
_KNOWN = {*sys.stdlib_module_names, *packages_distributions(), "gmsym", "derivations"}
_FORBIDDEN = (
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.spawn",
    "os.fork",
    "subprocess.",
    "pty.",
    "socket.",
    "ctypes.",
    "shutil.",
    "os.remove",
)
_watching: list[list[str]] = []  # of the contexts that watch now
_installed: list[bool] = []


def _from_a_template() -> bool:
    """Whether SymPy fills its template of operations on monomials, which holds numbers only."""
    return sys._getframe(2).f_code.co_filename.endswith("sympy/polys/monomials.py")


def _hook(event, arguments):
    if not _watching:
        return
    found = None
    if event.startswith(_FORBIDDEN):
        found = f"{event} {arguments!r}"
    elif event == "exec":
        name = getattr(arguments[0], "co_filename", "?")
        if not (name.startswith(("<gmsym_", "<frozen ")) or name.startswith(_HERE) or _from_a_template()):
            found = f"exec of {name}"
    elif event == "import":
        top = str(arguments[0]).split(".")[0]
        if top not in sys.modules and top not in _KNOWN:
            found = f"import of {arguments[0]}"
    elif event == "open" and isinstance(arguments[0], (str, bytes)):
        path = arguments[0].decode("utf-8", "replace") if isinstance(arguments[0], bytes) else arguments[0]
        if not str(Path(path).absolute()).startswith((*_HERE, "/proc", "/sys", "/dev/null", "/etc")):
            found = f"open of {path}"
    if found:
        _watching[-1].append(found)


@contextmanager
def watched():
    """What happens inside and must not: executions, imports, files, processes."""
    if not _installed:  # a hook stays for good
        sys.addaudithook(_hook)
        _installed.append(True)
    found: list[str] = []
    _watching.append(found)
    try:
        yield found
    finally:
        _watching.pop()


def test_the_hook_sees():
    with watched() as found:
        exec("a = 1")
        with pytest.raises(OSError):
            open("/nowhere/at/all")
        with pytest.raises(ImportError):
            __import__("no_such_module_at_all")
    assert len(found) == 3, found


# --- texts ------------------------------------------------------------------------------------------------------------

_ACT = f"__import__('pathlib').Path('{CANARY}').touch()"
PAYLOADS = [
    _ACT,
    f'"""; {_ACT}; """',
    f'x"""\n{_ACT}\n"""',
    f"'''\n{_ACT}\n'''",
    f"x'); {_ACT}; ('",
    f"h + {_ACT}",
    f"Symbol('x', real={_ACT})",
    f"[{_ACT} for _ in (1,)]",
    f"{{{_ACT}}}",
    f"lambda: {_ACT}",
    f"# {_ACT}",
    f"h\n{_ACT}",
    "h.__class__.__mro__",
    "().__class__.__base__.__subclasses__()",
    "$(touch /tmp/gmsym_canary)",
    "`touch /tmp/gmsym_canary`",
    "[bold]x[/bold] [link=file:///etc/passwd]x[/link]",
    r"$\input{/etc/passwd}$",
    r"\write18{touch /tmp/gmsym_canary}",
    "{0.__class__}",
    "%s%n",
    "\x1b[2J\x1b]0;x\x07",
    "../../etc/passwd",
    "/etc/passwd",
    "= 1\n[loss]\nname = 'squared'",
    "9**9**9**9",
    "1e999",
    "nan",
    "inf",
    "-0",
    "",
    "\0",
    "h" * 300,
    "(" * 300,
]
_WORDS = [*PAYLOADS, *"h y h0 t theta g eta exp( log( max( abs( sqrt( ) ( + ** * - / , 1 0.5 2 = { } [ ] squared logistic gd".split()]
_WORDS += ['"""', "\\", "\n", "'", '"', "__import__", "eval", "exec", "open", "lambda", "import"]
TEXTS = st.one_of(
    st.sampled_from(PAYLOADS),
    st.text(max_size=40),
    st.lists(st.sampled_from(_WORDS), max_size=6).map("".join),
    st.from_regex(r"\A[A-Za-z_][A-Za-z0-9_]{0,12}\Z"),
)


# --- entries ----------------------------------------------------------------------------------------------------------


def _used(problem: gm.Problem) -> None:
    """Everything that shows or generates text from a problem."""
    system = derive.surrogate(problem)  # the quickest
    pipeline.load(system)
    system.latex()
    problem.loss._repr_latex_(), problem.optimizer._repr_latex_()


def _problem(loss=None, optimizer=None, data=None, **options) -> None:
    _used(gm.Problem(data or gm.GaussianMixture.symmetric(), loss or losses.squared(), optimizer or gm.optimizers.gd(), **options))


def _toml(table: str, line: str) -> None:
    rest = "" if table == "loss" else '[loss]\nexpression = "(h - y)**2/2"\n'
    problem_file.loads(f"{rest}[{table}]\n{line}\n")


def _q(text: str) -> str:
    return json.dumps(text.encode("utf-8", "replace").decode())


def _cli(*arguments: str) -> None:
    old = sys.argv
    sys.argv = ["gmsym", *(a.replace("\0", "") for a in arguments)]
    try:
        cli.main()
    except SystemExit as exit:
        assert exit.code in (0, 1, 2, None), exit.code
    finally:
        sys.argv = old


_VALID = ["--loss", "squared", "--set", "eta=0.1"]
ENTRIES = {
    "loss text": lambda text: _problem(gm.Loss("a", gm.parse(text))),
    "loss name": lambda text: _problem(gm.Loss(text, (h - y) ** 2)),
    "loss readout": lambda text: _problem(gm.Loss("a", (h - y) ** 2, readout=gm.parse(text))),
    "loss target": lambda text: _problem(gm.Loss("a", (h - y) ** 2, target=gm.parse(text))),
    "loss symbol": lambda text: _problem(gm.Loss("a", (h - y) ** 2 * sp.exp(sp.Symbol(text)))),
    "loss function": lambda text: _problem(gm.Loss("a", h**2 + sp.Function(text.replace("\0", "0") or "f")(h))),
    "loss of text": lambda text: gm.Loss("a", text),
    "optimizer name": lambda text: _problem(optimizer=gm.Optimizer(text, {"theta": theta - eta * g})),
    "optimizer key": lambda text: _problem(optimizer=gm.Optimizer("a", {"theta": theta - eta * g, text: g})),
    "optimizer rule": lambda text: _problem(optimizer=gm.Optimizer("a", {"theta": gm.parse(text)})),
    "optimizer of text": lambda text: gm.Optimizer("a", {"theta": text}),
    "schedule symbol": lambda text: _problem(optimizer=gm.optimizers.gd(step=sp.Symbol(text))),
    "label": lambda text: gm.GaussianMixture(probabilities=[1], labels=[text], means_gram=[[1]], variance=[1]),
    "label symbol": lambda text: gm.GaussianMixture.symmetric(label=sp.Symbol(text)),
    "probabilities": lambda text: gm.GaussianMixture(probabilities=text, labels=[1], means_gram=[[1]], variance=[1]),
    "sigma": lambda text: _problem(data=gm.GaussianMixture.symmetric(sigma=sp.Symbol(text))),
    "norm2": lambda text: _problem(norm2=text),
    "ridge": lambda text: _problem(ridge=sp.Symbol(text)),
    "teacher": lambda text: gm.Teacher([[text]]),
    "trained": lambda text: gm.Trained({text: 1.0}),
    "catalog": lambda text: losses.huber(text),
    "value": lambda text: gm.Problem(gm.GaussianMixture.symmetric(), losses.squared(), gm.optimizers.gd()).at({text: 1.0}),
    "alphabet": lambda text: symbol(text),
    "sweep": lambda text: (
        pipeline.solve(
            derive.spectrum(gm.Problem(gm.GaussianMixture.symmetric(), losses.squared(), gm.optimizers.gd())),
            {"sigma": 1.0, "mu_norm": 1.0, text: [1.0]},
        )
        if text not in ("alpha", "sigma", "mu_norm", "ridge", "eta")
        else None
    ),
    "document": lambda text: problem_file.loads(text),
    "settings": lambda text: problem_file.from_options("squared", "gd", problem_file.parse_settings([text])),
    "setting": lambda text: problem_file.from_options("squared", "gd", problem_file.parse_settings([f"eta={text}"])),
    "option --loss": lambda text: _cli("derive", "--theory", "surrogate", "--loss", text),
    "option --optimizer": lambda text: _cli("derive", "--theory", "surrogate", "--loss", "squared", "--optimizer", text),
    "option --set": lambda text: _cli("codegen", "--theory", "surrogate", *_VALID, "--set", text),
    "option --theory": lambda text: _cli("derive", *_VALID, "--theory", text),
    "option --format": lambda text: _cli("derive", *_VALID, "--format", text),
    "setting of a table": lambda text: problem_file.from_options("squared", "gd", {f"loss.{text}": 1.0, f"{text}.eta": 1.0}),
    "option --theory to solve": lambda text: None if text in THEORIES else _cli("solve", *_VALID, "--theory", text),
    "title": lambda text: problem_file.loads(f'[loss]\nexpression = "h**2"\ntitle = {_q(text)}\n'),
    "declared": lambda text: problem_file.loads(f'[loss]\nexpression = "h**2"\n[values]\ndeclared = [{_q(text)}]\n'),
    "positive": lambda text: problem_file.loads(f'[loss]\nexpression = "h**2"\npositive = {{ {_q(text)} = {_q(text)} }}\n'),
    "verb": lambda text: _cli(text),
    "option": lambda text: _cli("derive", text),
}
for _table, _key in (
    *(("loss", key) for key in ("name", "expression", "readout", "target")),
    *(("optimizer", key) for key in ("name", "eta", "momentum", "ridge", "update")),
    *(("mixture", key) for key in ("probabilities", "labels", "means_gram", "variance", "blocks", "sigma")),
    *(("initial", key) for key in ("norm2", "overlap")),
    *(("teacher", key) for key in ("gram", "overlap")),
    *(("trained", key) for key in ("initial", "step")),
    *(("run", key) for key in ("alpha", "steps", "samples", "time")),
    *(("sampling", key) for key in ("kind", "rate", "batches", "reshuffle")),
    *(("observables", key) for key in ("margin",)),
    *(("sweep", key) for key in ("over", "verb", "store", "theory", "workers")),
    *(("values", key) for key in ("eta",)),
    *(("spectrum", key) for key in ("matrix", "block", "trained", "at")),
    *(("simulation", key) for key in ("d", "replicates")),
):
    ENTRIES[f"[{_table}] {_key}"] = lambda text, table=_table, key=_key: _toml(table, f"{key} = {_q(text)}")
    ENTRIES[f"[{_table}] {_key}, list"] = lambda text, table=_table, key=_key: _toml(table, f"{key} = [{_q(text)}]")
_TABLES = ("loss", "optimizer", "mixture", "sampling", "initial", "teacher", "trained", "observables", "values", "run", "simulation")
for _table in (*_TABLES, "spectrum", "sweep"):
    ENTRIES[f"[{_table}] key"] = lambda text, table=_table: _toml(table, f"{_q(text)} = 1")
    ENTRIES[f"[{_table}] raw"] = lambda text, table=_table: _toml(table, text)

_ONE_STEP = {"activation": '"max(z, 0)"', "n": "50", "samples": "50", "width": "50", "ridge": "1", "beta": "0.5", "alpha": "0.5"}


def _one_step(table: str, line: str) -> None:
    """A network after one gradient step, with that line in place of its own of the key."""
    own = {} if table != "one_step" else {line.partition(" = ")[0]: line.partition(" = ")[2]}
    text = "\n".join(f"{key} = {value}" for key, value in (_ONE_STEP | own).items())
    problem_file.loads(f"[one_step]\n{text}\n" + (f"[{table}]\n{line}\n" if table != "one_step" else ""))


for _table, _key in (
    *(("one_step", key) for key in ("activation", "n", "ridge", "exponents", "title")),
    *(("target", key) for key in ("expression", "direction", "noise")),
    *(("mixture", key) for key in ("alignment", "means")),
    *(("run", key) for key in ("level",)),
):
    ENTRIES[f"one step: [{_table}] {_key}"] = lambda text, table=_table, key=_key: _one_step(table, f"{key} = {_q(text)}")
for _table in ("one_step", "target"):
    ENTRIES[f"one step: [{_table}] key"] = lambda text, table=_table: _one_step(table, f"{_q(text)} = 1")
ENTRIES["activation"] = lambda text: gm.OneStep(gm.parse(text))
ENTRIES["observable"] = lambda text: _problem(observables={"margin": gm.parse(text)})
ENTRIES["observable name"] = lambda text: _problem(observables={text: y * h})
ENTRIES["table"] = lambda text: problem_file.loads(f"[{_q(text)}]\na = 1\n")
ENTRIES["[optimizer] update key"] = lambda text: _used(
    problem_file.loads(
        f'[loss]\nname = "squared"\n[optimizer]\nupdate = {{ theta = "theta - eta*g", {_q(text)} = "g" }}\neta = 0.1'
    ).problem
)
ENTRIES["[optimizer] update rule"] = lambda text: _used(
    problem_file.loads(f'[loss]\nname = "squared"\n[optimizer]\nupdate = {{ theta = {_q(text)} }}\neta = 0.1').problem
)
ENTRIES["[trained] initial key"] = lambda text: _toml("trained", f"initial = {{ {_q(text)} = 1.0 }}")
ENTRIES["[loss] parameter"] = lambda text: problem_file.loads(f'[loss]\nexpression = "p*(h - y)**2"\n{_q(text)} = 1.0')


def _throw(entry: str, text: str) -> None:
    with watched() as found:
        try:
            ENTRIES[entry](text)
        except (InputError, UnprintableError):
            pass
    assert not found, (entry, text, found)
    assert not CANARY.exists(), (entry, text)


@pytest.fixture(autouse=True, scope="module")
def warm():
    """Libraries are loaded before anything is watched: some execute text of their own as they load."""
    for entry in ENTRIES:
        with suppress(InputError, UnprintableError):
            ENTRIES[entry]("squared")


@pytest.fixture(autouse=True)
def no_canary():
    CANARY.unlink(missing_ok=True)
    yield
    assert not CANARY.exists()


_QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much]


@settings(max_examples=250, suppress_health_check=_QUIET)
@given(entry=st.sampled_from(sorted(ENTRIES)), text=TEXTS)
def test_text_is_not_executed(entry, text):
    _throw(entry, text)


@pytest.mark.slow
@settings(max_examples=2000, suppress_health_check=_QUIET)
@given(entry=st.sampled_from(sorted(ENTRIES)), text=TEXTS)
def test_two_thousand_texts_are_not_executed(entry, text):
    _throw(entry, text)


# --- mutated files ----------------------------------------------------------------------------------------------------

FILE = """[mixture]
probabilities = [0.5, 0.5]
labels = [1, -1]
means_gram = [[1.0, -1.0], [-1.0, 1.0]]
variance = [0.5, 0.5]
[loss]
expression = "log(1 + exp(-y*h)) + b*abs(h - 1)"
b = 0.1
[optimizer]
update = { theta = "theta + v", v = "beta*v - eta*g" }
beta = 0.6
eta = "4/(1 + t/50)"
ridge = 0.02
[initial]
norm2 = 1.0
overlap = [0.0, 0.0]
[run]
alpha = 0.48
steps = 4
samples = 64
[simulation]
d = 20
replicates = 2
"""


def _mutated(draw: random.Random) -> str:
    text = FILE
    for _ in range(draw.randint(1, 3)):
        i = draw.randrange(len(text))
        j = min(len(text), i + draw.randint(1, 12))
        piece = draw.choice(
            ["", draw.choice(PAYLOADS), draw.choice(_WORDS), chr(draw.randrange(1, 0x2FF)), text[i:j] * 2, FILE[j : j + 20]]
        )
        text = text[:i] + piece + text[draw.choice([i, j]) :]
    return text


def _answers(count: int, folder: Path, capsys) -> None:
    draw, path = random.Random(1), folder / "problem.toml"
    for number in range(count):
        path.write_text(_mutated(draw), encoding="utf-8", errors="replace")
        start = time.process_time()
        with watched() as found:
            _cli("codegen", "--theory", "surrogate", str(path))
        err = capsys.readouterr().err
        assert not found, (number, found)
        assert time.process_time() - start < 5, number
        assert err.count("gmsym:") <= 1 and "Traceback" not in err and len(err.splitlines()) <= 3, err


def test_mutated_files_are_answered(tmp_path, capsys):
    _answers(40, tmp_path, capsys)


@pytest.mark.slow
def test_five_hundred_mutated_files_are_answered(tmp_path, capsys):
    _answers(500, tmp_path, capsys)
