"""Studied cases: folders of derivations/ with a problem, and the modules generated from it."""

import json
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import sympy as sp

from gmsym import derive
from gmsym.errors import InputError
from gmsym.problem import Problem
from gmsym.system import AbstractSystem

THEORIES = {"dmf": derive.dmf, "surrogate": derive.surrogate, "effective": derive.effective}


def load_case(folder: Path) -> ModuleType:
    """The `problem.py` of a case: a module that declares PROBLEM, its numbers, and perhaps THEORY.

    Raises:
        InputError: there is no such file, or it declares no PROBLEM.
    """
    path = folder / "problem.py"
    if not path.is_file():
        raise InputError(f"case {str(folder)!r}: there is no problem.py in it")
    spec = spec_from_file_location(f"gmsym_case_{folder.name}", path)
    assert spec is not None and spec.loader is not None
    case = module_from_spec(spec)
    spec.loader.exec_module(case)
    if not isinstance(getattr(case, "PROBLEM", None), Problem):
        raise InputError(f"case {str(folder)!r}: problem.py must declare PROBLEM, a gmsym Problem")
    return case


def derive_case(case: ModuleType) -> AbstractSystem:
    """The system of a case, by the theory that it names in THEORY (default "dmf").

    Raises:
        InputError: there is no such theory.
    """
    theory = getattr(case, "THEORY", "dmf")
    if theory not in THEORIES:
        raise InputError(f"THEORY = {theory!r}: allowed are {', '.join(THEORIES)}")
    return THEORIES[theory](case.PROBLEM)


def build(folder: Path) -> list[Path]:
    """Write the generated module and the manifest of a case; files whose text is current are left alone.

    Returns:
        the files that changed.
    """
    case = load_case(folder)
    system = derive_case(case)
    module = f"generated/{getattr(case, 'THEORY', 'dmf')}.py"
    manifest = {"kind": type(system).__name__, "signature": system.signature, "sympy": sp.__version__, "module": module}
    texts = {folder / module: system.source(), folder / "manifest.json": json.dumps(manifest, indent=2) + "\n"}
    changed = [path for path, text in texts.items() if not path.is_file() or path.read_text() != text]
    for path in changed:
        path.parent.mkdir(exist_ok=True)
        path.write_text(texts[path])
    return changed
