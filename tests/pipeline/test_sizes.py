"""Every verb refuses, in one line and before it computes, numbers out of range and sizes that do not fit."""

import math
from types import SimpleNamespace
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest
import sympy as sp

import gmsym as gm
from gmsym import pipeline
from gmsym.engine.causal_step import Room, start
from gmsym.errors import ComputationError, InputError
from gmsym.files.reader import loads
from gmsym.pipeline import _cost, _work, option_names
from gmsym.problem.sampling import Full, Online
from gmsym.runtime.causal_kernels import Numbers
from gmsym.system import CausalKernels, FiniteSize, Ode, Recursion, Refinement, Sde, Spectral

PROBLEM = gm.Problem(gm.GaussianMixture.symmetric(), gm.losses.logistic(), gm.optimizers.gd())
ONLINE = gm.Problem(gm.GaussianMixture.symmetric(), gm.losses.logistic(), gm.optimizers.gd(), sampling=gm.sampling.online())
VALUES = {"sigma": 1.0, "mu_norm": 1.2, "eta": 1.0, "ridge": 0.05}
LIMIT = {**VALUES, "alpha": 1.5}


class Task(NamedTuple):
    """A verb of a theory, or its witness: integers that it takes with a value that is allowed; positive numbers likewise."""

    verb: Any
    of: str  # the theory, or which problem
    values: dict[str, Any]  # those of NUMBERED are tried
    integers: dict[str, int]
    options: dict[str, Any] = {}  # fixed
    numbers: dict[str, float] = {}
    tried: tuple[str, ...] = ()  # positive numbers among the values


def _tune(system, values, **options):
    return gm.tune(system, values, ["eta"], **options)


def _crossing(system, values, **options):
    return gm.crossing_time(system, values, "Q", (0, 0), 2.0, **options)


SEEDED = {"replicates": 2, "seed": 0}
TASKS = {
    "simulate": Task(gm.simulate, "full", VALUES, {"n": 30, "d": 20, "steps": 2, **SEEDED}),
    "dmf": Task(gm.solve, "dmf", LIMIT, {"steps": 2, "samples": 64, "scrambles": 2, "seed": 0}, tried=("alpha",)),
    "kernels": Task(gm.solve, "dmf", LIMIT, {"steps": 2, "samples": 64, "scrambles": 2, "seed": 0}, {"two_time": True}, tried=("alpha",)),
    "dmf of a size": Task(gm.solve, "dmf", VALUES, {"n": 30, "d": 20, "steps": 2, "samples": 64, "scrambles": 2, "seed": 0}),
    "surrogate": Task(gm.solve, "surrogate", VALUES, {"n": 30, "d": 20, "steps": 2, **SEEDED}),
    "finite_size": Task(
        gm.solve, "finite_size", LIMIT, {"steps": 2, "population": 64, "populations": 2, "n": 300, **SEEDED}, tried=("alpha",)
    ),
    "refinement": Task(
        gm.solve, "refinement", LIMIT, {"steps": 2, "rounds": 1, "replicates": 1, "seed": 0}, {"sizes": [60]}, tried=("alpha",)
    ),
    "effective": Task(gm.solve, "effective", VALUES, {"d": 50, "blocks_at": 50}, numbers={"time": 0.1}, tried=("eta",)),
    "fluctuations": Task(gm.solve, "fluctuations", VALUES, {"paths": 2, "seed": 0}, numbers={"time": 0.1}, tried=("eta",)),
    "simulate online": Task(gm.simulate, "online", VALUES, {"d": 20, "points": 2, **SEEDED}, numbers={"time": 0.1}, tried=("eta",)),
    "spectrum": Task(gm.solve, "spectrum", {**VALUES, "alpha": 4.0}, {"points": 8}, tried=("alpha",)),
    "spectrum over": Task(gm.solve, "spectrum", {**VALUES, "sigma": [1.0, 1.1], "alpha": 4.0}, {"points": 8}, tried=("alpha",)),
    "simulate spectrum": Task(
        gm.simulate, "spectrum", {**VALUES, "alpha": 4.0}, {"d": 20, "replicates": 1, "extreme": 2, "seed": 0}, tried=("alpha",)
    ),
    "tune": Task(_tune, "effective", VALUES, {}, numbers={"samples": 0.1}, tried=("eta",)),
    "crossing_time": Task(_crossing, "effective", VALUES, {}, numbers={"time": 0.1}, tried=("eta",)),
}
# Integers whose largest value costs nothing.
NO_SIZE = {"seed", ("effective", "d"), ("effective", "blocks_at"), ("dmf of a size", "n"), ("dmf of a size", "d"), ("finite_size", "n")}
WRONG = [-1, 1.5, math.nan, math.inf, True, "3", 2**64]
NUMBERS = [0.0, -1.0, math.nan, math.inf, True, "3", 10**400]


@pytest.fixture(scope="module")
def systems():
    """Derived once, so that a refusal is quick."""
    full = {name: getattr(gm.derive, name)(PROBLEM) for name in ("dmf", "surrogate", "finite_size", "refinement", "spectrum")}
    ode = gm.derive.effective(ONLINE)
    return {"full": PROBLEM, "online": ONLINE, "effective": ode, "fluctuations": gm.derive.fluctuations(ode), **full}


@pytest.mark.parametrize("task", TASKS)
def test_numbers_out_of_range_and_sizes_that_do_not_fit_are_refused(task, systems):
    verb, of, values, integers, fixed, numbers, tried = TASKS[task]
    options = {**fixed, **integers, **numbers}

    def refused(name, values, options):
        with pytest.raises(InputError) as error:
            verb(systems[of], values, **options)
        assert name in str(error.value)
        assert "\n" not in str(error.value) and len(str(error.value)) < 300, (name, values, options)

    for name in (*integers, *numbers):
        for value in WRONG if name in integers else NUMBERS:
            refused(name, values, {**options, name: value})
        if name in integers and not {name, (task, name)} & NO_SIZE:
            refused("", values, {**options, name: 2**62})
    for name in tried:
        for value in NUMBERS:
            refused(name, {**values, name: value}, options)


def test_a_text_is_no_tolerance():
    with pytest.raises(InputError, match="tolerance = '3'"):
        gm.solve(ONLINE, VALUES, time=1.0, tolerance="3")


@pytest.mark.parametrize(
    ("verb", "of", "options", "says"),
    [
        (
            gm.simulate,
            "full",
            {"n": 200_000, "d": 200_000, "steps": 10},
            "training needs 1.28 TB of memory; 24 GB are here: fewer steps or",
        ),
        (gm.simulate, "full", {"n": 10**9, "d": 1000, "steps": 10}, "training needs 32.2 TB of memory"),
        (gm.simulate, "full", {"n": 3000, "d": 2000, "steps": 10, "replicates": 10**12}, "of memory; 24 GB are here"),
        (gm.simulate, "full", {"n": 3000, "d": 2000, "steps": 10**10, "replicates": 2}, "of memory; 24 GB are here"),
        (gm.simulate, "full", {"n": 20000, "d": 20000, "steps": 10**6}, "training takes about 3"),
        (gm.solve, "dmf", {"steps": 10, "samples": 2**40}, "solving DMF needs 1.97 PB of memory; 24 GB are here: fewer samples"),
        (gm.solve, "surrogate", {"n": 3000, "d": 2000, "steps": 1000, "replicates": 1000}, "sampling the surrogate needs 259 GB of memory"),
        (gm.simulate, "spectrum", {"d": 200_000}, "diagonalising needs 3.84 TB of memory"),
    ],
)
def test_what_does_not_fit_is_said_with_its_size(monkeypatch, systems, verb, of, options, says):
    monkeypatch.setenv("GMSYM_MEMORY", "24")
    alpha = {"dmf": {"alpha": 1.5}, "spectrum": {"alpha": 2.0}}.get(of, {})
    with pytest.raises(InputError) as error:
        verb(systems[of], {**VALUES, **alpha}, **options)
    assert says in str(error.value)


def test_a_chain_of_many_steps_is_refused_by_its_time(monkeypatch):
    monkeypatch.setenv("GMSYM_MEMORY", "24")
    options = {"d": 10**10, "time": 20.0, "replicates": 2, "sampler": "chain"}
    with pytest.raises(InputError, match=r"online SGD takes about 37.4 days; 24 h is allowed: a shorter time"):
        gm.simulate(ONLINE, VALUES, **options)
    monkeypatch.setenv("GMSYM_DAYS", "-1")
    with pytest.raises(InputError, match="GMSYM_DAYS = '-1' in the environment: a positive number"):
        gm.simulate(ONLINE, VALUES, **options)


def test_the_limits_are_those_of_the_control_group(monkeypatch, tmp_path):
    monkeypatch.delenv("GMSYM_MEMORY", raising=False)
    machine = _work.memory_here()
    monkeypatch.setattr(_work, "_cgroup_limits", lambda: iter([machine / 2, 2 * machine]))
    assert _work.memory_here() == pytest.approx(machine / 2)
    monkeypatch.undo()
    monkeypatch.setattr(_work, "_CGROUPS", tmp_path)
    (tmp_path / "memory.max").write_text("123456789\n")
    assert set(_work._cgroup_limits()) <= {123456789.0}


def test_memory_that_runs_out_is_one_line():
    class JaxRuntimeError(RuntimeError):
        pass

    for error in (MemoryError(), JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 320000000000 bytes.")):
        with pytest.raises(ComputationError, match="training ran out of memory: smaller n"), _work.memory_named("training", "smaller n"):
            raise error
    with pytest.raises(JaxRuntimeError), _work.memory_named("training", "smaller n"):
        raise JaxRuntimeError("INTERNAL: something else")


def test_a_long_computation_says_how_long(monkeypatch, capsys):
    with _work.working("training", _cost.Cost(0, 7000.0), "less", None):
        pass
    assert capsys.readouterr().err == "gmsym: training, about 117 min\n"
    with _work.working("training", _cost.Cost(0, 7000.0), "less", False), _work.working("training", _cost.Cost(0, 5.0), "less", None):
        pass
    assert capsys.readouterr().err == ""


def test_what_runs_today_is_not_refused(monkeypatch):
    """The sizes of the README, the notebooks and the slow tests, and some larger ones, on a machine of 8 GB."""
    monkeypatch.setenv("GMSYM_MEMORY", "8")
    allowed = SimpleNamespace(
        readme=_cost.training(3000, 2000, 100, 8, 1, 2),
        large=_cost.training(16000, 10000, 1000, 8, 3, 3),
        online=_cost.online_sgd(4000, 4000 * 20 / 0.1, 21, 64, 2, 2, 1, 1, chain=False),
        chain=_cost.online_sgd(40, 40 * 20, 21, 20000, 1, 2, 1, 0, chain=True),
        surrogate=_cost.surrogate(60, 40, 24, 10000, 1, 2),
        limit=_cost.limit(2**17, 400, 4, 1, 2, tangents=True, sampled=True),
        softmax=_cost.limit(8192, 100, 4, 3, 3, tangents=True, sampled=True),
        influences=_cost.influences(4096, 2048, 60, 100, 4, 1, 2),
        eigenvalues=_cost.eigenvalues(40000, 4000, 8, 1, 0, None, True),
        rounds=_cost.rounds(9600, 6400, 3, 6, 120, 3, 1, 2),
    )
    for name, cost in vars(allowed).items():
        _work.check(name, cost, "")


def test_the_limit_costs_what_its_state_takes():
    """Memory of the estimate against the engine's own arrays, where each step opens directions, and where each coordinate is a block: to a
    factor of 2 on the 2 populations and their copies that the estimate allows for."""
    by_batch = gm.Problem(PROBLEM.data, PROBLEM.loss, PROBLEM.optimizer, sampling=gm.sampling.bernoulli(sp.Rational(1, 2)))
    spread = gm.GaussianMixture(
        probabilities=[0.5, 0.5], labels=[1, -1], means=[[0.1] * 100, [-0.1] * 100], covariance=[np.diag(np.linspace(0.5, 1, 100))] * 2
    )
    embedded = gm.Problem(spread, gm.losses.logistic(), gm.optimizers.gd())
    cases = (
        (by_batch, VALUES, 100, 1024, {"every_step": True}),
        (by_batch, VALUES, 200, 1024, {"every_step": True}),
        (embedded, {"eta": 0.5, "alpha": 2.0}, 100, 512, {"B": 100, "covariances": 1}),
    )
    for problem, values, steps, samples, shape in cases:
        module = pipeline.load(gm.derive.dmf(problem))
        given = Numbers(*(np.asarray(x, dtype=float) for x in pipeline.numbers(problem.at({"alpha": 1.5} | values))))
        room = steps if "every_step" in shape else 24
        of_theta = room if "covariances" not in shape else 2 * room
        state = start(module, given, Room(of_theta, room), samples // 512, 512)
        taken = sum(x.nbytes for x in jax.tree.leaves(state)) + 8 * of_theta * samples
        cost = _cost.limit(samples, steps, 2, 1, 2, False, True, **shape)
        assert 2 < cost.memory / taken < 8, (shape, cost.memory / taken)


def test_a_parameter_may_have_the_name_of_any_option():
    """Values are apart from options, also in a file, where those of its tables are its own."""
    kinds = [(kind, "solve") for kind in (CausalKernels, Recursion, FiniteSize, Refinement, Ode, Sde, Spectral)]
    kinds += [(kind, "simulate") for kind in (Full, Online, Spectral)]
    names = {name for kind, verb in kinds for name in option_names(kind, verb)}
    assert {"n", "d", "time", "steps", "samples", "tolerance", "points", "seed"} <= names
    for name in sorted(names):
        loss = gm.Loss("named", gm.parse(f"log(1 + exp(-y*h/{name}))"))
        problem = gm.Problem(PROBLEM.data, loss, PROBLEM.optimizer)
        assert problem.at({**VALUES, name: 2.0}).parameters[name] == 2.0
        text = f'[loss]\nexpression = "log(1 + exp(-y*h/{name}))"\n{name} = 2.0\n[optimizer]\neta = 1.0\n'
        file = loads(text)
        assert file.problem.signature == problem.signature and file.values[name] == 2.0


def test_an_enormous_ratio_in_a_file_is_one_line():
    with pytest.raises(InputError, match=r"\[run\] alpha = 1e\+308 with \[simulation\] d = 1000 asks for more samples"):
        loads('[loss]\nname = "logistic"\n[optimizer]\neta = 1.0\n[run]\nalpha = 1e308\n')
