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
    """The `problem.py` of a case: a module that declares PROBLEM, VALUES, ALPHA, SIMULATION, and STEPS or, for spectra, MATRICES.

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
    texts = _spectra(folder, case) if hasattr(case, "MATRICES") else _dmf(folder, case)
    changed = [path for path, text in texts.items() if not path.is_file() or path.read_text() != text]
    for path in changed:
        path.parent.mkdir(exist_ok=True)
        path.write_text(texts[path])
    return changed


def _dmf(folder: Path, case: ModuleType) -> dict[Path, str]:
    """Texts of a case of full-batch training."""
    system = derive.dmf(case.PROBLEM)
    manifest = {"kind": type(system).__name__, "signature": system.signature, "sympy": sp.__version__, "module": "generated/dmf.py"}
    return {folder / "generated" / "dmf.py": system.source(), folder / "manifest.json": json.dumps(manifest, indent=2) + "\n"}


def _spectra(folder: Path, case: ModuleType) -> dict[Path, str]:
    """Texts of a case of spectra, one module a matrix."""
    systems = {matrix: derive.spectrum(case.PROBLEM, matrix) for matrix in case.MATRICES}
    modules = {matrix: {"signature": system.signature, "module": f"generated/{matrix}.py"} for matrix, system in systems.items()}
    manifest = json.dumps({"kind": "Spectral", "sympy": sp.__version__, "matrices": modules}, indent=2) + "\n"
    return {folder / "generated" / f"{matrix}.py": system.source() for matrix, system in systems.items()} | {
        folder / "manifest.json": manifest
    }
