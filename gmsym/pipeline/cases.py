"""Studied cases: folders of derivations/ with a problem, and the modules generated from it."""

import json
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import sympy as sp

from gmsym import derive
from gmsym.errors import InputError
from gmsym.problem import Problem


def load_case(folder: Path) -> ModuleType:
    """The `problem.py` of a case: a module that declares PROBLEM, VALUES, ALPHA, STEPS and SIMULATION; or TIME and STEP for online SGD.

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


def build(folder: Path) -> list[Path]:
    """Write the generated module and the manifest of a case; files whose text is current are left alone.

    Returns:
        the files that changed.
    """
    case = load_case(folder)
    theory = "effective" if hasattr(case, "STEP") else "dmf"
    system = getattr(derive, theory)(case.PROBLEM)
    module = f"generated/{theory}.py"
    manifest = {"kind": type(system).__name__, "signature": system.signature, "sympy": sp.__version__, "module": module}
    texts = {folder / module: system.source(), folder / "manifest.json": json.dumps(manifest, indent=2) + "\n"}
    changed = [path for path, text in texts.items() if not path.is_file() or path.read_text() != text]
    for path in changed:
        path.parent.mkdir(exist_ok=True)
        path.write_text(texts[path])
    return changed
