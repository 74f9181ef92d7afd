"""Systems and problems are data: they pickle, copy, and come back with their signature in another process under another hash seed."""

import copy
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from gmsym import pipeline
from gmsym.codegen import signature

ROOT = Path(__file__).parents[2]
CASES = ["hinge_momentum", "gordon_soft_threshold", "online_taught", "spectrum_teacher"]  # one a kind
CHILD = """
import pickle, sys
from gmsym import pipeline
from gmsym.codegen import signature
for system in pickle.load(open(sys.argv[1], "rb")):
    print(signature(system), pipeline.load(system).SIGNATURE, system.problem.signature)
"""


@pytest.fixture(scope="module")
def systems() -> list:
    return [system for name in CASES for system in pipeline.derive_case(pipeline.load_case(ROOT / "derivations" / name)).values()]


def test_a_copy_is_equal(systems):
    for system in systems:
        for other in (pickle.loads(pickle.dumps(system)), copy.deepcopy(system)):
            assert signature(other) == signature(system)
            assert other.equations() == system.equations()
            assert other.problem.signature == system.problem.signature


def test_another_process_reads_the_same(systems, tmp_path):
    (tmp_path / "systems.pickle").write_bytes(pickle.dumps([pickle.loads(pickle.dumps(system)) for system in systems]))
    for seed in ("0", "17"):
        run = subprocess.run(
            [sys.executable, "-c", CHILD, str(tmp_path / "systems.pickle")],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
            timeout=300,
        )
        assert run.stdout.split("\n")[:-1] == [f"{signature(s)} {signature(s)} {s.problem.signature}" for s in systems]
