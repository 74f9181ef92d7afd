"""Every verb refuses, in one line and before it computes, numbers out of range and sizes that do not fit."""

import inspect
import math
from types import SimpleNamespace

import pytest

import gmsym as gm
from gmsym.errors import ComputationError, InputError
from gmsym.files.reader import _RESERVED, loads
from gmsym.pipeline import _cost, _work

PROBLEM = gm.Problem(gm.GaussianMixture.symmetric(), gm.losses.logistic(), gm.optimizers.gd())
VALUES = {"sigma": 1.0, "mu_norm": 1.2, "eta": 1.0, "ridge": 0.05}
ONLINE = {"sigma": 1.0, "mu_norm": 1.2, "ridge": 0.05}
REST = {"mu_norm": 1.2, "eta": 1.0, "ridge": 0.05}

# verb: its fixed arguments; integers that it takes with a value that is allowed; positive numbers likewise.
VERBS = {
    gm.simulate: (VALUES, {"n": 30, "d": 20, "steps": 2, "replicates": 2, "seed": 0}, {}),
    gm.solve: (VALUES, {"steps": 2, "samples": 64, "scrambles": 2, "seed": 0}, {"alpha": 1.5}),
    gm.kernels: (VALUES, {"steps": 2, "samples": 64, "scrambles": 2, "seed": 0}, {"alpha": 1.5}),
    gm.surrogate: (VALUES, {"n": 30, "d": 20, "steps": 2, "replicates": 2, "seed": 0}, {}),
    gm.finite_size: (VALUES, {"steps": 2, "population": 64, "populations": 2, "replicates": 2, "seed": 0}, {"alpha": 1.5}),
    gm.refinement: ({**VALUES, "sizes": [60]}, {"steps": 2, "rounds": 1, "replicates": 1, "seed": 0}, {"alpha": 1.5}),
    gm.effective: (ONLINE, {"d": 50}, {"time": 0.1, "step": 1.0}),
    gm.fluctuations: (ONLINE, {"paths": 2, "seed": 0}, {"time": 0.1, "step": 1.0}),
    gm.simulate_online: (ONLINE, {"d": 20, "replicates": 2, "points": 2, "seed": 0}, {"time": 0.1, "step": 1.0}),
    gm.spectrum: (VALUES, {"points": 8}, {"alpha": 4.0}),
    gm.simulate_spectrum: (VALUES, {"d": 20, "replicates": 1, "extreme": 2, "seed": 0}, {"alpha": 4.0}),
    gm.spectrum_sweep: ({**REST, "over": "sigma", "values": [1.0, 1.1]}, {"points": 8}, {"alpha": 4.0}),
    gm.tune: ({**ONLINE, "names": ["step"]}, {}, {"samples": 0.1, "step": 1.0}),
    gm.crossing_time: ({**ONLINE, "variable": "Q", "index": (0, 0), "value": 2.0}, {}, {"time": 0.1, "step": 1.0}),
}
NO_SIZE = {"seed", ("effective", "d")}  # integers whose largest value costs nothing
WRONG = [-1, 1.5, math.nan, math.inf, True, "3", 2**64]
NUMBERS = [0.0, -1.0, math.nan, math.inf, True, "3", 10**400]


@pytest.fixture(scope="module")
def systems():
    """Derived once, so that a refusal is quick."""
    ode, spectral, dmf = gm.derive.effective(PROBLEM), gm.derive.spectrum(PROBLEM), gm.derive.dmf(PROBLEM)
    derived = {"solve": dmf, "kernels": dmf, "surrogate": gm.derive.surrogate(PROBLEM)}
    derived |= {name: ode for name in ("effective", "fluctuations", "tune", "crossing_time")}
    return derived | {name: spectral for name in ("spectrum", "simulate_spectrum", "spectrum_sweep")}


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.__name__)
def test_numbers_out_of_range_and_sizes_that_do_not_fit_are_refused(verb, systems):
    fixed, integers, numbers = VERBS[verb]
    for name in (*integers, *numbers):
        huge = [] if name in NO_SIZE or (verb.__name__, name) in NO_SIZE or name in numbers else [2**62]
        for value in [*(WRONG if name in integers else NUMBERS), *huge]:
            with pytest.raises(InputError) as error:
                verb(systems.get(verb.__name__, PROBLEM), **{**fixed, **integers, **numbers, name: value})
            assert "\n" not in str(error.value) and len(str(error.value)) < 300, (name, value)


def test_a_text_is_no_tolerance():
    with pytest.raises(InputError, match="tolerance = '3'"):
        gm.solve(PROBLEM, {"eta": 1.0, **ONLINE}, time=1.0, tolerance="3")


@pytest.mark.parametrize(
    ("verb", "given", "says"),
    [
        (gm.simulate, {"n": 200_000, "d": 200_000, "steps": 10}, "training needs 1.28 TB of memory; 24 GB are here: fewer steps or"),
        (gm.simulate, {"n": 10**9, "d": 1000, "steps": 10}, "training needs 32.2 TB of memory"),
        (gm.simulate, {"n": 3000, "d": 2000, "steps": 10, "replicates": 10**12}, "of memory; 24 GB are here"),
        (gm.simulate, {"n": 3000, "d": 2000, "steps": 10**10, "replicates": 2}, "of memory; 24 GB are here"),
        (gm.simulate, {"n": 20000, "d": 20000, "steps": 10**6}, "training takes about 3"),
        (gm.solve, {"alpha": 1.5, "steps": 10, "samples": 2**40}, "solving DMF needs 7.6 PB of memory; 24 GB are here: fewer samples"),
        (gm.surrogate, {"n": 3000, "d": 2000, "steps": 1000, "replicates": 1000}, "sampling the surrogate needs 259 GB of memory"),
        (gm.simulate_spectrum, {"alpha": 2.0, "d": 200_000}, "diagonalising needs 3.84 TB of memory"),
    ],
)
def test_what_does_not_fit_is_said_with_its_size(monkeypatch, verb, given, says):
    monkeypatch.setenv("GMSYM_MEMORY", "24")
    with pytest.raises(InputError) as error:
        verb(PROBLEM, **VALUES, **given)
    assert says in str(error.value)


def test_a_chain_of_many_steps_is_refused_by_its_time(monkeypatch):
    monkeypatch.setenv("GMSYM_MEMORY", "24")
    given = {"d": 10**10, "time": 20.0, "step": 1.0, "replicates": 2, "sampler": "chain", **ONLINE}
    with pytest.raises(InputError, match=r"online SGD takes about 37.4 days; 24 h is allowed: a shorter time"):
        gm.simulate(PROBLEM, given)
    monkeypatch.setenv("GMSYM_DAYS", "-1")
    with pytest.raises(InputError, match="GMSYM_DAYS = '-1' in the environment: a positive number"):
        gm.simulate(PROBLEM, given)


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


def test_no_parameter_takes_the_place_of_an_option():
    """A file's numbers are passed by name, so that a name with a meaning of its own cannot be a parameter."""
    verbs = (gm.solve, gm.simulate, gm.surrogate, gm.finite_size, gm.effective, gm.simulate_online, gm.spectrum, gm.spectrum_sweep)
    taken = {x.name for verb in verbs for x in inspect.signature(verb).parameters.values() if x.kind is not x.VAR_KEYWORD}
    assert taken - {"m", "Q", "M"} <= set(_RESERVED)
    text = '[loss]\nexpression = "log(1 + exp(-y*h/{0}))"\n{0} = 2.0\n[optimizer]\neta = 1.0\n'
    for name in sorted(taken - {"m", "Q", "M"}):
        with pytest.raises(InputError, match=rf"{name} is the name of a setting|\['{name}'\] are reserved names"):
            loads(text.format(name))
    with pytest.raises(InputError, match="name = 'self'"):
        loads(text.format("self"))


def test_an_enormous_ratio_in_a_file_is_one_line():
    with pytest.raises(InputError, match=r"\[run\] alpha = 1e\+308 with \[simulation\] d = 1000 asks for more samples"):
        loads('[loss]\nname = "logistic"\n[optimizer]\neta = 1.0\n[run]\nalpha = 1e308\n')
