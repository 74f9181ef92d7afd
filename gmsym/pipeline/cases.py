"""Studied cases: folders of derivations/ with a problem, and the modules generated from it."""

import json
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import sympy as sp

from gmsym import derive, writing
from gmsym.codegen import signature, source
from gmsym.errors import InputError
from gmsym.pipeline.theories import THEORIES
from gmsym.problem import AbstractProblem
from gmsym.system import AbstractSystem


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
    if not isinstance(getattr(case, "PROBLEM", None), AbstractProblem):
        raise InputError(f"case {str(folder)!r}: problem.py must declare PROBLEM, a gmsym Problem")
    return case


def derive_case(case: ModuleType) -> dict[str, AbstractSystem]:
    """The systems of a case by name: that of its THEORY (default "dmf", with its RESPONSE), or for "spectrum" one for each of its MATRICES.

    Raises:
        InputError: there is no such theory.
    """
    theory = getattr(case, "THEORY", "dmf")
    if theory not in THEORIES:
        raise InputError(f"THEORY = {theory!r}: allowed are {', '.join(THEORIES)}")
    if theory == "spectrum":
        return {matrix: derive.spectrum(case.PROBLEM, matrix) for matrix in case.MATRICES}
    options = {"response": case.RESPONSE} if hasattr(case, "RESPONSE") else {}
    return {theory: THEORIES[theory].derive(case.PROBLEM, **options)}


def build(folder: Path, force: bool = False) -> list[Path]:
    """Write the generated modules and the manifest of a case; files whose text is current are left alone.

    Args:
        folder: of the case.
        force: whether to overwrite files in these places that gmsym did not write.

    Returns:
        the files that changed.

    Raises:
        InputError: such a file, or a folder that cannot be written to.
        ComputationError: a file could not be written.
    """
    systems = derive_case(load_case(folder))
    modules = {name: {"signature": signature(system), "module": f"generated/{name}.py"} for name, system in systems.items()}
    kind = type(next(iter(systems.values()))).__name__
    texts = {folder / modules[name]["module"]: source(system) for name, system in systems.items()}
    texts[folder / "manifest.json"] = json.dumps({"kind": kind, "sympy": sp.__version__, "modules": modules}, indent=2) + "\n"
    changed = [path for path, text in texts.items() if not path.is_file() or path.read_text() != text]
    if changed:
        writing.make_folder("build", folder / "generated")
    for path in changed:
        writing.check("build", path, force=force)
    for path in changed:
        writing.write_text(texts[path], path)
    return changed
