"""A problem and its numbers, read from a TOML file, from the options of the command line, or from both.

Tables and keys (everything but the loss has a default or is asked for when it is needed):

- `[mixture]`: `probabilities`, `labels`, `means_gram`, and `variance` or `blocks = { fractions, variance }`; beside variance perhaps a
  `spectrum`, { exponent, offset } of a power law of the index or { variance } in terms of u = index/d; the law of the means'
  `coordinates`: "gaussian" (default), "rademacher", { name = "sparse", share } or { weights, values, deviations }. Without arrays, or
  with `mu_norm` and `sigma` alone (default 1 and 1): two clusters of means +mu and -mu labelled +1 and -1; for a loss with
  L > 1 label components, L equally likely clusters with orthogonal means of norm `mu_norm` and one-hot labels.
- `[loss]`: `name` of the catalog and its arguments, or `expression`, the numbers of the parameters it uses, a `readout`, a `target`, a
  `title`, and what must be `positive`.
- `[optimizer]`: `name` of the catalog (default gd), or `update`, one rule a variable, or the `velocity` of theta in a flow, and a
  `title`; the numbers of its parameters;
  `ridge` (default 0). `eta` may be a text: a schedule, an expression of the step counter t and of parameters. Online, eta is c.
- `[sampling]`: `kind`, "full" (default), "online", "bernoulli", "batches", "epochs", "persistent" or "single", and the options of that
  kind: `rate`, `persistence`, `batches`, `reshuffle`, `scaled`, `passes`, `replacement`, `size`; or "rule", a rule of your own: `update`
  and `weight`, expressions of visit, uniform and t, which may use floor(x) and mod(x, y), `rate`, `together`.
- `[initial]`: `norm2` (default 1), `overlap` (default 0), and the law of the other `coordinates`, as in `[mixture]`.
- `[teacher]`: `gram`, `overlap` and `means_overlap` (both default 0) of the directions behind the fields t0, t1, ... of the loss.
- `[trained]`: parameters of the loss that are trained: `initial = { name = value, ... }`, their `step` (default that of Theta) and `ridge`.
- `[observables]`: `NAME = expression` of fields, labels, teacher fields, parameters, and m_0, Q_0_0, ...: mean and covariance of the
  fields in the sample's cluster; their means are reported.
- `[values]`: numbers of any parameters, and `declared`, a list of those that get theirs later. Entries of mixture, initial, teacher and
  trained may be texts: expressions of these.
- `[one_step]`: a problem of its own kind, with tables of its own (`files.one_step`).
- `[run]` and `[simulation]`: the fields of `Run` and `Simulation`, and further options of a theory; `[spectrum]`: the matrix; `[sweep]`:
  the grid of a study.

All numbers are dimensionless; scaling as in `Problem`.
"""

import inspect
import math
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, final

import sympy as sp

from gmsym import symbols
from gmsym.errors import InputError
from gmsym.files import one_step, parser
from gmsym.files.samples import read_fitted
from gmsym.files.suggest import unknown
from gmsym.files.sweep import Sweep
from gmsym.problem import coordinates, losses, optimizers, sampling, spectra
from gmsym.problem.base import AbstractProblem
from gmsym.problem.coordinates import Coordinates
from gmsym.problem.instance import Instance
from gmsym.problem.loss import Loss
from gmsym.problem.mixture import GaussianMixture
from gmsym.problem.observables import order_parameters
from gmsym.problem.optimizer import Optimizer, check_schedule
from gmsym.problem.problem import Problem
from gmsym.problem.sampling import AbstractSampling
from gmsym.problem.spectra import Spectrum
from gmsym.problem.teacher import Teacher
from gmsym.problem.trained import Trained

_TABLES = ("mixture", "loss", "optimizer", "sampling", "initial", "teacher", "trained", "observables")
_TABLES += ("values", "run", "simulation", "spectrum", "sweep")
_BY_FILE = ("teacher", "trained", "observables")  # tables whose keys no setting reaches: their names mean something else elsewhere
# Options of the theories beside the fields of Run and Simulation; what applies is checked where one is chosen.
RUN_OPTIONS = (
    *("n", "d", "parts", "replicates", "points", "times", "two_time", "of", "tolerance", "solver", "blocks_at", "paths"),
    *("population", "populations", "sizes", "rounds"),
)
SIMULATION_OPTIONS = ("n", "points", "sampler", "extreme", "vectors")
_ARRAYS = ("probabilities", "labels", "means_gram", "variance", "blocks", "spectrum", "fitted")
_SYMMETRIC = {"mu_norm": 1.0, "sigma": 1.0}
_COMPONENTS = 64


@final
@dataclass(frozen=True)
class Run:
    """How the theory is solved. `alpha` = n/d and `steps` also set the size and the length of the simulation.

    Online SGD has the final `time` t = steps * c/d in place of `steps`; alpha is then of spectra alone. A flow has a final `time`, too.

    Raises:
        InputError: a wrong type or a value out of range.
    """

    alpha: float | None = None  # samples per dimension, positive; of full batches 1 by default
    steps: int = 100  # times recorded, 0 to steps - 1
    time: float | None = None  # of online SGD and of a flow, positive
    samples: int = 8192  # quasi-Monte-Carlo points a cluster, a power of two
    scrambles: int = 4  # independent randomizations, at least 2: their spread is the error estimate
    seed: int = 0

    def __post_init__(self):
        if self.time is not None:
            object.__setattr__(self, "time", _number("time", self.time))
            if self.time <= 0:
                raise InputError(f"time = {self.time}: a positive number is needed")
        if self.alpha is not None:
            object.__setattr__(self, "alpha", _number("alpha", self.alpha))
            if self.alpha <= 0:
                raise InputError(f"alpha = {self.alpha}: a positive number is needed, samples per dimension")
        for name, least in (("steps", 1), ("samples", 2), ("scrambles", 2), ("seed", 0)):
            _integer(name, getattr(self, name), least)
        if self.samples & (self.samples - 1):
            below = 2 ** (self.samples.bit_length() - 1)
            raise InputError(f"samples = {self.samples}: a power of two is needed, such as {below} or {2 * below}")


@final
@dataclass(frozen=True)
class Simulation:
    """The finite size: dimension and number of independent runs, at least 2: their spread is the standard error.

    Raises:
        InputError: a wrong type or a value out of range.
    """

    d: int = 1000
    replicates: int = 8

    def __post_init__(self):
        _integer("d", self.d, 1)
        _integer("replicates", self.replicates, 2)


@final
@dataclass(frozen=True)
class Matrix:
    """The matrix of a spectrum, and the state at which it is taken.

    Raises:
        InputError: a wrong type or a value out of range.
    """

    matrix: str = "hessian"  # or "information"
    block: int | None = None  # column of Theta whose diagonal block is wanted; default: all
    trained: tuple[str, ...] = ()  # parameters of the loss that count as weights
    at: float | None = None  # time of the problem's dynamics; default: the initial state

    def __post_init__(self):
        if self.matrix not in ("hessian", "information"):
            raise InputError(unknown("matrix", str(self.matrix), ["hessian", "information"]))
        if self.block is not None:
            _integer("block", self.block, 0)
        given = [self.trained] if isinstance(self.trained, str) else self.trained
        if not isinstance(given, (list, tuple)) or not all(isinstance(name, str) for name in given):
            raise InputError(f"trained = {self.trained!r}: a list of names is needed")
        object.__setattr__(self, "trained", tuple(given))
        if self.at is not None:
            object.__setattr__(self, "at", _number("at", self.at))
            if self.at < 0:
                raise InputError(f"at = {self.at}: a time from 0 is needed")


@final
@dataclass(frozen=True)
class ProblemFile:
    """A problem with its numbers."""

    problem: AbstractProblem
    values: Mapping[str, Any]  # of the problem's parameters, by name, and alpha; arrays where one is to be swept
    run: Run
    simulation: Simulation
    matrix: Matrix
    run_options: Mapping[str, Any]  # what [run] says, beside alpha
    simulation_options: Mapping[str, Any]  # what [simulation] says
    sweep: Sweep | None = None  # what [sweep] says
    source: tuple[Mapping[str, Any], Mapping[str, Any]] = field(
        default=({}, {}), repr=False, compare=False
    )  # tables and settings it was read from

    def at(self, point: Mapping[str, Any]) -> "ProblemFile":
        """The same file with other settings, those of a point of [sweep]; `loss` and `optimizer` as the options of that name.

        Raises:
            InputError: as `read`.
        """
        document, settings = self.source
        for name in ("loss", "optimizer"):
            if name in point and not isinstance(point[name], str):
                raise InputError(f"[sweep] over {name} = {point[name]!r}: names or expressions are needed")
        changed = _override(document, point.get("loss"), point.get("optimizer"))
        own = {key: value for key, value in point.items() if key not in ("loss", "optimizer")}
        with _naming("[sweep]"):
            return _problem_file(changed, {**settings, **own})

    @cached_property
    def instance(self) -> Instance:
        """The problem in numbers, at the first of swept values.

        Raises:
            InputError: a parameter without a number, or a number out of range.
        """
        return self.problem.at({name: value[0] if isinstance(value, list) else value for name, value in self.values.items()})

    @property
    def is_online(self) -> bool:
        """Whether the file asks for online SGD."""
        return self.problem.is_online

    @property
    def n(self) -> int:
        """Samples of the simulation, alpha d to the nearest integer, where nothing else is said."""
        return self.simulation_options.get("n") or round((self.run.alpha or 1.0) * self.simulation.d)


def read(
    path: str | Path, *, loss: str | None = None, optimizer: str | None = None, settings: Mapping[str, Any] | None = None
) -> ProblemFile:
    """Read a problem file.

    Args:
        path: the file, TOML in UTF-8.
        loss: name or expression of a loss that replaces the file's.
        optimizer: name of an optimizer that replaces the file's.
        settings: numbers that replace or complete the file's, by key; the table follows from the key.

    Raises:
        InputError: no such file, not TOML, an unknown table or key, or a value outside what is allowed; the message names the key.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; a problem file in TOML is needed") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is not a text in UTF-8; a problem file in TOML is needed") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    return loads(text, loss=loss, optimizer=optimizer, settings=settings, origin=str(path), folder=Path(path).parent)


def loads(
    text: str,
    *,
    loss: str | None = None,
    optimizer: str | None = None,
    settings: Mapping[str, Any] | None = None,
    origin: str = "the problem",
    folder: Path = Path(),
) -> ProblemFile:
    """Read a problem from TOML text; see `read`. `origin` is how an error message calls the text, and its files are in `folder`."""
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{origin} is not valid TOML: {'too deeply nested' if isinstance(error, RecursionError) else error}") from None
    mixture = document.get("mixture")
    if isinstance(mixture, dict) and isinstance(mixture.get("fitted"), str):
        document["mixture"] = mixture | {"fitted": str(folder / mixture["fitted"])}
    return _problem_file(_override(document, loss, optimizer), settings or {})


def from_options(loss: str, optimizer: str = "gd", settings: Mapping[str, Any] | None = None) -> ProblemFile:
    """A problem without a file: a loss by name or expression, an optimizer by name, and numbers by key.

    Raises:
        InputError: see `read`.
    """
    return _problem_file(_override({}, loss, optimizer), settings or {})


def parse_settings(items: Iterable[str]) -> dict[str, Any]:
    """{key: value} of texts "key=value": a number, a list of numbers in brackets, true, false, or else text.

    Raises:
        InputError: no `=`, no key, or a key given twice.
    """
    settings: dict[str, Any] = {}
    for item in items:
        key, separator, value = (part.strip() for part in item.partition("="))
        if not separator or not key or not value:
            raise InputError(f"{item!r}: key=value is needed, such as eta=0.5")
        if key in settings:
            raise InputError(f"{key} is set twice")
        settings[key] = _literal(value)
    return settings


def _literal(value: str) -> Any:
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            pass
    try:
        return tomllib.loads(f"x = {value}")["x"] if value.startswith("[") or value in ("true", "false") else value
    except (ValueError, RecursionError):
        return value


def _override(document: dict[str, Any], loss: str | None, optimizer: str | None) -> dict[str, Any]:
    """The document with its loss and optimizer replaced by those given."""
    if loss is not None:
        is_name = loss.isidentifier() and not symbols.is_field(loss)
        document = {**document, "loss": {"name": loss} if is_name else {"expression": loss}}
    if optimizer is not None:
        document = {**document, "optimizer": {"name": optimizer}}
    return document


def _one_step_file(document: dict[str, Any], settings: Mapping[str, Any]) -> ProblemFile:
    """A two-layer network after one gradient step, which has tables of its own."""
    _check_finite("file", document)
    _check_finite("--set", dict(settings))
    problem, values, tables = one_step.read_tables(document, settings)
    with _naming("[simulation]"):
        simulation = Simulation(**{key: value for key, value in tables["simulation"].items() if key == "replicates"})
    with _naming("[run]"):
        run = Run(**{key: value for key, value in tables["run"].items() if key == "seed"})
    with _naming("[sweep]"):
        swept = _sweep(tables["sweep"]) if "sweep" in document else None
    return ProblemFile(problem, values, run, simulation, Matrix(), tables["run"], tables["simulation"], swept, (document, dict(settings)))


def _problem_file(document: dict[str, Any], settings: Mapping[str, Any]) -> ProblemFile:
    if "one_step" in document:
        return _one_step_file(document, settings)
    tables = _tables(document)
    for name, alternative in (("loss", "expression"), ("optimizer", "update")):
        if {"name", alternative} <= tables[name].keys():
            raise InputError(f"[{name}]: either `name` or `{alternative}` is needed, and not both")
    if {"name", "velocity"} <= tables["optimizer"].keys() or {"update", "velocity"} <= tables["optimizer"].keys():
        raise InputError("[optimizer]: one of `name`, `update` and `velocity` is needed, and not two")
    if not {"update", "velocity"} & tables["optimizer"].keys():
        tables["optimizer"].setdefault("name", "gd")
    tables = _with_settings(tables, settings)
    if "step" in tables["run"]:
        raise InputError('[run] step: the step c of online SGD is eta in [optimizer], with [sampling] kind = "online"')
    for name, table in tables.items():
        for key in table:
            if key not in _allowed(name, table, tables):
                raise InputError(unknown(f"key in [{name}]", key, _allowed(name, table, tables)))

    with _naming("[sampling]"):
        sampled = _sampling(tables["sampling"])
    online = sampled.kind == "online"
    with _naming("[run]"):
        flows = "velocity" in tables["optimizer"] or tables["optimizer"].get("name") == "flow"
        _check_run(tables["run"], "flow" if flows and sampled.kind == "full" else sampled.kind)
        swept = tables["run"].get("alpha") if isinstance(tables["run"].get("alpha"), list) else None
        run = Run(**{key: tables["run"][key] for key in _own(Run) if key in tables["run"] and not (key == "alpha" and swept)})
        if swept is not None:
            for value in swept:
                Run(alpha=value)
    with _naming("[simulation]"):
        simulation = Simulation(**{key: tables["simulation"][key] for key in _own(Simulation) if key in tables["simulation"]})
    with _naming("[spectrum]"):
        matrix = Matrix(**tables["spectrum"])
    with _naming("[values]"):
        declared = _declared(tables["values"].pop("declared", []))
        values = {key: _number_or_list(key, value) for key, value in tables["values"].items()}
    with _naming("[teacher]"):
        teacher = _teacher(tables["teacher"]) if "teacher" in document else None
    with _naming("[trained]"):
        trained = _trained(tables["trained"]) if "trained" in document else None
    with _naming("[loss]"):
        loss, own = _loss(tables["loss"], () if trained is None else [x.name for x in trained.names], [*values, *declared])
        values = _joined(values, own)
    with _naming("[optimizer]"):
        optimizer = _optimizer(tables["optimizer"], [*values, *declared])
        values = _joined(values, _numbers(tables["optimizer"], {"name", "update", "velocity", "order", "title"}))
        ridge = {"ridge": parser.parse(tables["optimizer"]["ridge"])} if isinstance(tables["optimizer"].get("ridge"), str) else {}
    with _naming("[mixture]"):
        data = _mixture(tables["mixture"], len(loss.labels))
        if not _is_explicit(tables["mixture"]):
            values = _joined(values, {k: _number_or_list(k, v) for k, v in tables["mixture"].items() if k != "coordinates"})
            values = {**{k: v for k, v in _SYMMETRIC.items() if k not in values}, **values}
    with _naming("[initial]"):
        state = {key: _expressions(key, value) for key, value in tables["initial"].items() if key != "coordinates"}
        state |= _coordinates(tables["initial"])
    with _naming("[observables]"):
        observables = _observables(tables["observables"], loss, () if trained is None else trained.names, [*values, *declared])
    with _naming("[initial]"):
        parts = {"sampling": sampled, "teacher": teacher, "trained": trained, "observables": observables}
        problem = Problem(data, loss, optimizer, **parts, **state, **ridge)
    if data.embedded is not None and "d" not in tables["simulation"]:
        simulation = replace(simulation, d=data.embedded.d)
    known = {s.name for s in problem.parameters}
    for name in tables["values"]:
        if name not in known:
            raise InputError(f"[values] {unknown('parameter', name, known)}")
    alpha = swept or run.alpha or (None if online else 1.0)
    values = values if alpha is None else {**values, "alpha": alpha}
    said = {key: value for key, value in tables["run"].items() if key != "alpha"}
    with _naming("[sweep]"):
        swept_over = _sweep(tables["sweep"]) if "sweep" in document else None
    read_from = (document, dict(settings))
    file = ProblemFile(problem, values, run, simulation, matrix, said, tables["simulation"], swept_over, read_from)
    if not online and swept is None and not alpha * simulation.d < 2**63:
        raise InputError(f"[run] alpha = {run.alpha} with [simulation] d = {simulation.d} asks for more samples than can be counted")
    if not online and swept is None and file.n < 1:
        raise InputError(
            f"[run] alpha = {run.alpha} with [simulation] d = {simulation.d} leaves no sample; alpha*d of at least 1 is needed"
        )
    return file


def _declared(names: Any) -> list[str]:
    """Names of parameters that get their numbers elsewhere."""
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(f"declared = {names!r}: a list of names of parameters is needed")
    for name in names:
        symbols.check_name(name, "declared")
    return names


def _own(table: type) -> list[str]:
    return [f.name for f in fields(table)]


def _check_run(table: Mapping[str, Any], kind: str) -> None:
    """Raises InputError for what belongs to another kind of sampling, or to a flow."""
    for name in ("time", "steps"):
        if kind == "single" and name in table:
            raise InputError(f"{name}: single takes `passes`, in [sampling], in its place")
    if kind == "online" and "time" not in table and "steps" in table:
        raise InputError("steps: online SGD takes `time`, t = steps * c/d, in their place")
    if kind == "flow" and "steps" in table:
        raise InputError("steps: a flow takes `time` in their place, and finds its own")
    if kind not in ("online", "flow") and "time" in table:
        raise InputError(
            'time is of online SGD, which [sampling] kind = "online" asks for, and of a flow, [optimizer] name = "flow"; full batches take '
            "`steps`"
        )


def _sweep(table: Mapping[str, Any]) -> Sweep:
    if "over" not in table:
        raise InputError("over is missing: lists of values by name, such as { alpha = [0.5, 1.0] }")
    return Sweep(**table)


def _sampling(table: Mapping[str, Any]) -> AbstractSampling:
    kind = table.get("kind", "full")
    if not isinstance(kind, str) or kind not in sampling.CATALOG:
        raise InputError(f"kind: {unknown('kind of sampling', str(kind), sampling.CATALOG)}")
    made = sampling.CATALOG[kind]
    options = {name: x for name, x in table.items() if name != "kind"}
    allowed = inspect.signature(made).parameters
    for name in options:
        if name not in allowed:
            raise InputError(f"{name}: {kind} has {', '.join(allowed) or 'no options'}")
    missing = [name for name, x in allowed.items() if x.default is inspect.Parameter.empty and name not in options]
    if missing:
        raise InputError(f"{missing[0]} is missing: {kind} has {', '.join(allowed)}")
    return made(**{name: parser.parse(x, what=name, stepwise=kind == "rule") if isinstance(x, str) else x for name, x in options.items()})


# --- tables and keys --------------------------------------------------------------------------------------------------


def _tables(document: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """All tables, empty where the document has none; unknown ones and numbers that no float can hold are refused."""
    for name, table in document.items():
        if name not in _TABLES:
            raise InputError(unknown("table" if isinstance(table, dict) else "key", name, _TABLES, ", ".join(f"[{t}]" for t in _TABLES)))
        if not isinstance(table, dict):
            raise InputError(f"{name} = {table!r}: a table [{name}] is needed")
        _check_finite(f"[{name}]", table)
    return {name: dict(document.get(name, {})) for name in _TABLES}


def _check_finite(where: str, value: Any) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            _check_finite(f"{where} {key}", item)
    elif isinstance(value, list):
        for item in value:
            _check_finite(where, item)
    elif isinstance(value, (int, float)) and not (math.isfinite(value) if isinstance(value, float) else abs(value) < 2**63):
        raise InputError(f"{where}: {str(value)[:40]} is not a finite number of ordinary size")


def _with_settings(tables: dict[str, dict[str, Any]], settings: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The tables with each setting put where its key is allowed; `table.key` says which."""
    _check_finite("--set", dict(settings))
    tables = {name: dict(table) for name, table in tables.items()}
    for key in ("eta", "optimizer.eta"):  # first: a schedule brings keys of its own
        if key in settings:
            tables["optimizer"]["eta"] = settings[key]
    fixed = ("name", "expression", "update", "velocity", "title", "positive")
    allowed = {name: [key for key in _allowed(name, table, tables) if key not in fixed] for name, table in tables.items()}
    for key, value in settings.items():
        table, dot, own = key.partition(".")
        if dot and table in tables:
            if own not in allowed[table] or table in _BY_FILE:
                raise InputError(unknown(f"setting of [{table}]", own, [] if table in _BY_FILE else allowed[table]))
            tables[table][own] = value
            continue
        places = [name for name in _TABLES if key in allowed[name]]
        if places and all(name in _BY_FILE for name in places):
            raise InputError(f"{key} belongs to [{places[0]}] of a problem file, which no setting reaches")
        places = [name for name in places if name not in _BY_FILE]
        if not places:
            raise InputError(
                unknown("setting", key, dict.fromkeys(k for name, keys in allowed.items() if name not in _BY_FILE for k in keys))
            )
        parameter = {"mixture", "loss", "optimizer", "values"} & {*places}
        if parameter and len(parameter) < len(places):
            shown = " or ".join(f"{name}.{key}" for name in places)
            raise InputError(f"{key} is a parameter of the problem and an option too; write {shown}")
        for name in places:
            tables[name][key] = value
    return tables


def _allowed(name: str, table: Mapping[str, Any], tables: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Keys that a table may have, given the keys that decide: a loss by name has its arguments, by expression its parameters."""
    if name == "mixture":
        return [*(_ARRAYS if _is_explicit(table) else _SYMMETRIC), "coordinates"]
    if name == "sampling":
        made = (x for kind, x in sampling.CATALOG.items() if kind != "rule" or table.get("kind") == "rule")
        return ["kind", *dict.fromkeys(key for x in made for key in inspect.signature(x).parameters)]
    if name == "initial":
        return ["norm2", "overlap", "coordinates"]
    if name == "teacher":
        return ["gram", "overlap", "means_overlap"]
    if name == "trained":
        return ["initial", "step", "ridge"]
    if name == "observables":
        return list(table)
    if name == "values":
        texts = [tables[other] for other in ("mixture", "initial", "teacher", "trained", "observables")]
        texts.append({key: value for key, value in tables["sampling"].items() if key != "kind"})
        own = (symbols.visit.name, symbols.uniform.name, symbols.t.name)
        used = (n for n in _names_in(*_texts(texts), tables["optimizer"].get("ridge")) if n not in own)
        return list(dict.fromkeys(["declared", *table, *used]))
    if name == "run":
        return [*_own(Run), *RUN_OPTIONS]
    if name == "simulation":
        return [*_own(Simulation), *SIMULATION_OPTIONS]
    if name == "spectrum":
        return _own(Matrix)
    if name == "sweep":
        return _own(Sweep)
    if name == "loss":
        if table and not {"name", "expression"} & table.keys():
            return ["name", "expression"]
        if "expression" not in table:
            return ["name", *_arguments(losses.CATALOG, "loss", table)]
        used = _names_in(table["expression"], table.get("readout"), table.get("target"))
        own = (n for n in used if not symbols.is_sample(n))
        return ["expression", "readout", "target", "title", "positive", *own]
    schedule = [n for n in _names_in(table.get("eta")) if n != "t"]
    if "velocity" in table:
        own = [n for n in _names_in(table["velocity"]) if n not in {"theta", "g"}]
        return list(dict.fromkeys(["velocity", "title", *own, "ridge"]))
    if "update" not in table:
        arguments = [a for a in _arguments(optimizers.CATALOG, "optimizer", table) if a != "step"]
        own = sorted(s.name for s in optimizers.CATALOG[table["name"]]().parameters)
        return list(dict.fromkeys(["name", *own, "ridge", *arguments, *schedule]))
    rules = _rules(table)
    own = [n for n in _names_in(*rules.values()) if n not in {"theta", "g", "t", "noise", *rules}]
    return list(dict.fromkeys(["update", "title", *own, "ridge", *schedule]))


def _texts(value: Any) -> Iterator[str]:
    """All texts in nested tables and lists."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)


def _expressions(key: str, value: Any) -> Any:
    """Numbers and nested lists of them, where a text is an expression of parameters."""
    if isinstance(value, str):
        return parser.parse(value, what=key)
    if isinstance(value, list):
        return [_expressions(key, item) for item in value]
    if isinstance(value, dict):
        return {name: _expressions(f"{key} {name}", item) for name, item in value.items()}
    return value


def _names_in(*texts: Any) -> list[str]:
    return sorted({name for text in texts if isinstance(text, str) for name in parser.free_names(text)})


def _arguments(catalog: Mapping[str, Any], what: str, table: Mapping[str, Any]) -> dict[str, inspect.Parameter]:
    """Arguments of the entry that the table names."""
    name = table.get("name")
    if name is None:
        raise InputError(f"[{what}] is missing: an `expression` or a `name` of the catalog is needed: {', '.join(catalog)}")
    if not isinstance(name, str) or name not in catalog:
        raise InputError(f"[{what}] name: {unknown(what, str(name), catalog)}")
    return dict(inspect.signature(catalog[name]).parameters)


def _rules(table: Mapping[str, Any]) -> dict[str, str]:
    rules = table["update"]
    if not isinstance(rules, dict) or not all(isinstance(rule, str) for rule in rules.values()):
        raise InputError(f'[optimizer] update = {rules!r}: a table of rules is needed, such as {{ theta = "theta - eta*g" }}')
    return rules


@contextmanager
def _naming(table: str) -> Iterator[None]:
    """Put the table's name before the message of an InputError, if it does not begin with one."""
    try:
        yield
    except InputError as error:
        if isinstance(error, parser.ParseError) or str(error).startswith("["):
            raise
        raise InputError(f"{table} {error}") from error


# --- values -----------------------------------------------------------------------------------------------------------


def _number(key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InputError(f"{key} = {value!r}: a number is needed")
    return float(value)


def _number_or_list(key: str, value: Any) -> Any:
    """A number, or a list of them over which a theory is to be swept."""
    if isinstance(value, list) and not value:
        raise InputError(f"{key} = []: a number, or a list of at least one, is needed")
    return [_number(key, item) for item in value] if isinstance(value, list) else _number(key, value)


def _integer(key: str, value: Any, least: int, most: float = math.inf) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        limit = f" to {most}" if most < math.inf else " or more"
        raise InputError(f"{key} = {value!r}: an integer is needed, {least}{limit}")
    return value


def _numbers(table: Mapping[str, Any], others: set[str]) -> dict[str, Any]:
    """Numbers of the parameters: all of the table but `others`, a schedule and a ridge that is an expression."""
    return {k: _number_or_list(k, v) for k, v in table.items() if k not in others and not (k in ("eta", "ridge") and isinstance(v, str))}


def _joined(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Both; a name means one thing, so that it must have one number."""
    for key in first.keys() & second.keys():
        if first[key] != second[key]:
            raise InputError(f"{key} = {second[key]}: another table says {first[key]}, and one name has one number; rename one of them")
    return {**first, **second}


# --- the parts of a problem -------------------------------------------------------------------------------------------


def _loss(table: Mapping[str, Any], trained: Sequence[str], declared: Sequence[str]) -> tuple[Loss, dict[str, Any]]:
    """The loss and the numbers of its parameters, those in `trained` apart; `declared` have theirs elsewhere."""
    if "expression" not in table:
        arguments = _arguments(losses.CATALOG, "loss", table)
        given = {k: _argument(k, v, arguments[k]) for k, v in table.items() if k != "name"}
        return losses.CATALOG[table["name"]](**given), {}
    values = _numbers(table, {"expression", "readout", "target", "title", "positive"})
    for name in trained:
        if name in values:
            raise InputError(f"{name} = {values[name]}: {name} is trained; its initial value stands in [trained] initial")
    known = [*values, *trained, *declared]
    expr = parser.parse_loss(table["expression"], known, what="[loss] expression")
    rest = {key: parser.parse_loss(table[key], known, what=f"[loss] {key}") for key in ("readout", "target") if key in table}
    positive = table.get("positive", {})
    if not isinstance(positive, dict):
        raise InputError(f"positive = {positive!r}: a table of numbers or expressions by name is needed")
    rest["positive"] = {name: sp.sympify(_expressions(f"positive {name}", value), strict=True) for name, value in positive.items()}
    return Loss(_title(table), expr, **rest), values


def _observables(table: Mapping[str, Any], loss: Loss, trained: Sequence[sp.Symbol], declared: Sequence[str]) -> dict[str, sp.Expr]:
    known = [*declared, *(x.name for x in (*trained, *loss.parameters, *order_parameters(len(loss.fields))))]
    return {name: parser.parse_loss(text, known, what=f"[observables] {name}") for name, text in table.items()}


def _title(table: Mapping[str, Any]) -> str:
    title = table.get("title", "custom")
    if not isinstance(title, str):
        raise InputError(f"title = {title!r}: an identifier is needed")
    return title


def _teacher(table: Mapping[str, Any]) -> Teacher:
    if "gram" not in table:
        raise InputError("gram is missing: the Gram matrix of the teacher directions, one row each")
    return Teacher(*(_expressions(key, table.get(key)) for key in ("gram", "overlap", "means_overlap")))


def _trained(table: Mapping[str, Any]) -> Trained:
    initial = table.get("initial")
    if not isinstance(initial, dict):
        raise InputError(f"initial = {initial!r}: initial values by name are needed, such as {{ v0 = 0.5, bias = 0.0 }}")
    values = {name: _number_or_text(f"initial {name}", value) for name, value in initial.items()}
    step = None if "step" not in table else _number_or_text("step", table["step"])
    return Trained(values, step=step, ridge=_number_or_text("ridge", table.get("ridge", 0)))


def _number_or_text(key: str, value: Any) -> Any:
    """A number, or the expression that a text states."""
    return parser.parse(value, what=key) if isinstance(value, str) else _number(key, value)


def _argument(key: str, value: Any, argument: inspect.Parameter) -> Any:
    """An argument of a catalog entry: an integer, a list of numbers or a number, taken at its decimal word."""
    if argument.annotation is int:
        return _integer(key, value, 1, _COMPONENTS)
    if isinstance(argument.default, tuple):
        if not isinstance(value, list) or len(value) > _COMPONENTS:
            raise InputError(f"{key} = {value!r}: a list of at most {_COMPONENTS} numbers is needed")
        return [sp.Rational(str(_number(f"{key}[{i}]", v))) for i, v in enumerate(value)]
    return sp.Rational(str(_number(key, value)))


def _optimizer(table: Mapping[str, Any], declared: Sequence[str]) -> Optimizer:
    eta = table.get("eta")
    parameters = {*declared, *_numbers(table, {"name", "update", "velocity", "order", "title"})}
    if "velocity" in table:
        return Optimizer(_title(table), parser.parse_update({"theta": table["velocity"]}, parameters, what="velocity"), continuous=True)
    step = symbols.eta
    if isinstance(eta, str):
        names = {name: symbols.symbol(name) for name in ["t", *sorted(parameters)]}
        step = parser.parse(eta, names, what="[optimizer] eta")
        check_schedule(step, "eta")
    if "update" in table:
        rules = parser.parse_update(_rules(table), {*parameters, "eta"}, what="[optimizer] update")
        return Optimizer(_title(table), {variable: rule.subs(symbols.eta, step) for variable, rule in rules.items()})
    order = {"order": _integer("order", table["order"], 1)} if "order" in table else {}
    made = optimizers.CATALOG[table["name"]]
    return made(**({"step": step} if "step" in inspect.signature(made).parameters else {}), **order)


def _is_explicit(table: Mapping[str, Any]) -> bool:
    return any(key in table for key in _ARRAYS)


def _mixture(table: Mapping[str, Any], label_size: int) -> GaussianMixture:
    own = _coordinates(table)
    if not _is_explicit(table):
        return GaussianMixture.symmetric(**own) if label_size <= 1 else _one_hot(label_size, **own)
    if "fitted" in table:
        if len(table) > 1:
            raise InputError(f"{next(key for key in table if key != 'fitted')} beside fitted: the file of a fitted mixture has all numbers")
        if not isinstance(table["fitted"], str):
            raise InputError(f"fitted = {table['fitted']!r}: the name of a file of gmsym fit is needed")
        return read_fitted(table["fitted"])
    for key in ("probabilities", "labels", "means_gram"):
        if key not in table:
            raise InputError(f"{key} is missing: probabilities, labels, means_gram, and variance or blocks are needed")
    if ("variance" in table) == ("blocks" in table):
        raise InputError("either variance or blocks is needed, and not both")
    arrays = {key: _expressions(key, table[key]) for key in ("probabilities", "labels", "means_gram")}
    if "variance" in table:
        return GaussianMixture(**arrays, variance=_expressions("variance", table["variance"]), **_spectrum(table), **own)
    if "spectrum" in table:
        raise InputError("spectrum beside blocks: variance, one number a cluster, is what a spectrum multiplies")
    blocks = _expressions("blocks", table["blocks"])
    if not isinstance(blocks, dict) or blocks.keys() != {"fractions", "variance"}:
        raise InputError(f"blocks = {blocks!r}: {{ fractions = [...], variance = [[...], ...] }} is needed, one row of variance a cluster")
    return GaussianMixture(**arrays, **blocks, **own)


def _spectrum(table: Mapping[str, Any]) -> dict[str, Spectrum]:
    """The spectrum that a mixture states, if any: a power law, or a function of u."""
    if "spectrum" not in table:
        return {}
    given = table["spectrum"]
    for made in (spectra.power_law, spectra.of_index):
        first, *others = inspect.signature(made).parameters
        if isinstance(given, dict) and first in given and given.keys() <= {first, *others}:
            stated = _expressions("spectrum", given[first]) if made is spectra.of_index else given[first]
            return {"spectrum": made(stated, **{key: value for key, value in given.items() if key != first})}
    raise InputError(
        f'spectrum = {given!r}: {{ exponent = 0.5, offset = 0.01 }}, or {{ variance = "exp(-u)" }}, an expression of u, is needed'
    )


def _coordinates(table: Mapping[str, Any]) -> dict[str, Coordinates]:
    """The law of coordinates that a table states, if any: a name, or a table with a name and its arguments, or of a mixture."""
    if "coordinates" not in table:
        return {}
    given = table["coordinates"]
    stated = {"name": given} if isinstance(given, str) else given
    if not isinstance(stated, dict):
        raise InputError(f'coordinates = {given!r}: a name such as "rademacher", or a table such as {{ name = "sparse", share = 0.1 }}')
    arguments = {key: _expressions(f"coordinates {key}", value) for key, value in stated.items() if key != "name"}
    name = stated.get("name", "mixture")
    if not isinstance(name, str) or name not in coordinates.CATALOG:
        raise InputError(f"coordinates: {unknown('law', str(name), coordinates.CATALOG)}")
    allowed = inspect.signature(coordinates.CATALOG[name]).parameters
    missing = [key for key, x in allowed.items() if x.default is inspect.Parameter.empty and key not in arguments]
    stray = [key for key in arguments if key not in allowed]
    if missing or stray:
        fault = f"{missing[0]} is missing" if missing else f"unknown {stray[0]}"
        raise InputError(f"coordinates: {fault}; {name} has {', '.join(allowed) or 'no arguments'}")
    return {"coordinates": coordinates.CATALOG[name](**arguments)}


def _one_hot(classes: int, **law: Coordinates) -> GaussianMixture:
    """`classes` equally likely clusters with orthogonal means and one-hot labels."""
    return GaussianMixture(
        probabilities=[sp.Rational(1, classes)] * classes,
        labels=sp.eye(classes).tolist(),
        means_gram=sp.eye(classes) * symbols.mu_norm**2,
        variance=[symbols.sigma**2] * classes,
        **law,
    )
