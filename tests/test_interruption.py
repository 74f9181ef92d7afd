"""Simulations that are interrupted stop at once, keep what is done, and go on from it to the same result."""

import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import xarray as xr

import gmsym as gm
from gmsym.errors import InputError
from gmsym.runtime.interrupt import interruptibly
from gmsym.simulation import _recording, _replicates, run_chain, run_online, train

PROBLEM = gm.Problem(gm.GaussianMixture.symmetric(), gm.losses.logistic(), gm.optimizers.heavy_ball())
ONLINE = gm.Problem(gm.GaussianMixture.symmetric(), gm.losses.logistic(), gm.optimizers.gd(), sampling=gm.sampling.online())
ONCE = {"sigma": 1.0, "mu_norm": 1.2, "ridge": 0.05, "eta": 0.5}
VALUES = {**ONCE, "momentum": 0.5}
FULL = {"n": 60, "d": 40, "steps": 11, "replicates": 4}
SGD = {"d": 40, "time": 2.0, "points": 5, "replicates": 4}
RUNS = {
    "train": (train, PROBLEM, VALUES, FULL),
    "online": (run_online, ONLINE, ONCE, SGD),
    "chain": (run_chain, ONLINE, ONCE, SGD),
}


@pytest.fixture
def chunks_of_three(monkeypatch):
    """Batches of two replicates and chunks of few spans, so that a small run has many."""
    length = {"spans": 3}

    def chunks(spans, seconds):
        count = -(-len(spans) // length["spans"])
        empty = np.full((count * length["spans"] - len(spans), 2), spans[-1, 1])
        return np.concatenate([spans, empty]).reshape(count, length["spans"], 2)

    monkeypatch.setattr(_replicates, "_chunks", chunks)
    monkeypatch.setattr("gmsym.simulation.training._MEMORY", 2 * 8 * (60 * 40 + 4 * 2 * 512 * 16))
    monkeypatch.setattr(_recording, "_MEMORY", 2 * 8 * 40 * 7)
    return length


@pytest.mark.parametrize("name", RUNS)
def test_an_interrupted_run_continues_to_the_same_result(name, chunks_of_three, tmp_path):
    run, problem, values, given = RUNS[name]
    whole, path = run(problem, values, **given), tmp_path / "run.partial"
    calls, resumed, stops = [], None, 0

    def report(fraction):
        calls.append(fraction)
        if len(calls) % 3 == 0 and fraction < 1:
            raise KeyboardInterrupt

    while resumed is None:
        try:
            resumed = run(problem, values, **given, checkpoint=path, report=report)
        except KeyboardInterrupt as stop:
            stops += 1
            assert path.is_file() and "replicates were done" in stop.__notes__[0] and "the same call continues" in stop.__notes__[0]
    assert stops >= 1 and len(calls) >= 4 and (np.diff(calls) > 0).all() and calls[-1] == 1.0  # nothing was done twice
    for variable in whole.data_vars:
        assert np.array_equal(whole[variable], resumed[variable], equal_nan=True), variable


def test_what_is_done_is_not_done_again_and_another_computation_is_not_continued(chunks_of_three, tmp_path):
    path, given = tmp_path / "run.partial", {**FULL, "steps": 3}
    whole = train(PROBLEM, VALUES, **given, checkpoint=path)
    assert np.array_equal(whole["Q_runs"], train(PROBLEM, VALUES, **given, checkpoint=path, report=pytest.fail)["Q_runs"])
    other = train(PROBLEM, VALUES, **given, seed=1, checkpoint=path)
    assert not np.array_equal(other["test_loss_runs"], whole["test_loss_runs"])


def test_a_checkpoint_that_is_damaged_or_foreign(tmp_path):
    path = tmp_path / "run.partial"
    given = {**FULL, "steps": 3}
    whole = gm.simulate(PROBLEM, VALUES, **given, checkpoint=path)
    path.write_bytes(path.read_bytes()[:-400])
    assert np.array_equal(whole["Q_runs"], gm.simulate(PROBLEM, VALUES, **given, checkpoint=path)["Q_runs"])
    path.write_text("mine")
    with pytest.raises(InputError, match="a file that gmsym did not write"):
        gm.simulate(PROBLEM, VALUES, **FULL, checkpoint=path)


def test_waiting_is_interrupted_at_once_and_passes_errors_on():
    assert interruptibly(lambda x: x + 1, 1) == 2
    with pytest.raises(ZeroDivisionError):
        interruptibly(lambda: 1 / 0)
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    start = time.monotonic()
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(KeyboardInterrupt):
            interruptibly(time.sleep, 1.5)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert time.monotonic() - start < 1.0


PROGRAM = "import sys\nfrom gmsym.cli import main\nprint('started', file=sys.stderr, flush=True)\nmain()"
TRAINING = "simulate --loss logistic --set eta=1 --set alpha=1.5 --set replicates=4 --set steps=150 --quiet".split()


def stopped(arguments, delay, number=signal.SIGINT):
    """(exit status, what stderr says, seconds from the signal to the end), the delay counted from when the verb begins."""
    # As a user has it, without the compilation cache of the tests: a process that ends while JAX reads or writes it can crash instead.
    alone = {**os.environ, "JAX_ENABLE_COMPILATION_CACHE": "false"}
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, *map(str, arguments)], stderr=subprocess.PIPE, text=True, env=alone)
    assert process.stderr is not None
    assert process.stderr.readline() == "started\n"
    time.sleep(delay)
    process.send_signal(number)
    start = time.monotonic()
    _, said = process.communicate()
    return process.returncode, said, time.monotonic() - start


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_verb_stops_at_once_in_one_line(tmp_path, number):
    status, said, seconds = stopped([*TRAINING, "--set", "d=4000", "--output", tmp_path / "a.nc"], 5.0, number)
    assert status == 128 + number and said.count("\n") == 1 and said.startswith(f"gmsym: stopped by {number.name}: ")
    assert seconds < 2 and not (tmp_path / "a.nc").exists()


@pytest.mark.slow
@pytest.mark.skipif(
    "GMSYM_INTERRUPTIONS" not in os.environ, reason="on request: about one interruption in ten is not yet answered in a line"
)
def test_ten_interruptions_lose_nothing(tmp_path):
    path, partial, moments = tmp_path / "a.nc", tmp_path / "a.nc.partial", random.Random(0)
    times = []
    for _ in range(10):
        status, said, seconds = stopped([*TRAINING, "--set", "d=1200", "--output", path], moments.uniform(0.0, 4.0))
        times.append(round(seconds, 2))
        if status == 0:
            break
        assert status == 130 and said.startswith("gmsym: stopped by SIGINT: ") and said.count("\n") == 1, (status, said)
    print("seconds to stop:", times)
    assert sorted(times)[len(times) // 2] < 2, times  # the machine may pause once
    for target in (path, tmp_path / "b.nc"):
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, *TRAINING, "--set", "d=1200", "--output", str(target)], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
    one, other = (xr.load_dataset(target) for target in (path, tmp_path / "b.nc"))
    assert all(np.array_equal(one[name], other[name]) for name in other.data_vars) and not partial.exists()
