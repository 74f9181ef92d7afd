"""Imports point one way: the contracts in pyproject.toml hold, and they notice when they do not."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LINT = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"


def lint(folder: Path) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", LINT], cwd=folder, env={"PYTHONPATH": "."}, capture_output=True, text=True, timeout=120)


def test_the_contracts_hold():
    result = lint(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr
    assert " 0 broken" in result.stdout


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("comparison/compare.py", "import gmsym.plotting", "Data flows one way"),
        ("derive/__init__.py", "import gmsym.codegen", "Data flows one way"),
        ("stray.py", "", "Data flows one way"),
        ("problem/loss.py", "import jax", "The symbolic side never imports JAX"),
        ("printer/__init__.py", "import gmsym.runtime", "The symbolic side never imports JAX"),
        ("runtime/__init__.py", "import sympy", "The numeric side never imports SymPy"),
        ("engine/__init__.py", "import gmsym.symbols", "The numeric side never imports SymPy"),
        ("simulation/__init__.py", "import gmsym.calculus", "The simulation shares only the problem with the theory"),
        ("printer/__init__.py", "import gmsym.calculus", "The simulation shares only the problem with the theory"),
        ("plotting/__init__.py", "import gmsym.engine", "Comparing and plotting neither solve nor simulate"),
        ("comparison/compare.py", "import matplotlib", "Comparing draws nothing"),
        ("calculus/mean.py", "import gmsym.calculus.strategy", "No circles between siblings"),
    ],
)
def test_a_violation_is_caught(tmp_path, file, line, contract):
    shutil.copytree(ROOT / "gmsym", tmp_path / "gmsym", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with (tmp_path / "gmsym" / file).open("a") as source:
        source.write(f"\n{line}\n")
    result = lint(tmp_path)
    assert result.returncode == 1, result.stdout + result.stderr
    assert f"{contract} BROKEN" in result.stdout


def test_importing_gmsym_is_light():
    """What takes long to import is loaded when it is first used."""
    code = 'import sys, gmsym; print(*({"jax", "matplotlib", "xarray", "pandas", "rich", "typer"} & set(sys.modules)))'
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout.split() == []
