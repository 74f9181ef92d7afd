"""The notebooks execute from top to bottom, and stay what they are meant to be: one question, no code of their own."""

import os
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parent.parent / "notebooks"
NOTEBOOKS = sorted(path.name for path in FOLDER.glob("*.ipynb"))


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_holds_no_code_of_its_own(name):
    notebook = nbformat.read(FOLDER / name, as_version=4)
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(re.search(r"\bdef |sys\.path|(?<!\\)\blambda\b", cell) for cell in code)  # \lambda is a label's
    assert not any("derivations" in cell for cell in code), "a problem is declared where it is studied"
    assert all(not cell.get("outputs") for cell in notebook.cells), "clear the outputs before committing"
    if name == "02_a_new_loss.ipynb":
        assert len(code) < 10


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_executes(name, monkeypatch):
    monkeypatch.delenv("MPLBACKEND", raising=False)  # would replace the inline backend of the kernel
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_use_fusion_emitters=false")  # studies compute more than they compile
    notebook = nbformat.read(FOLDER / name, as_version=4)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(FOLDER)}}).execute()
    if "GMSYM_GALLERY" in os.environ:  # for docs/
        gallery = Path(os.environ["GMSYM_GALLERY"])
        gallery.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, gallery / name)
    printed = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert any("image/png" in output.get("data", {}) for output in printed), "no figure"
    assert any("text/latex" in output.get("data", {}) for output in printed), "no equation"
