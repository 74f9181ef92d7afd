"""The notebooks execute from top to bottom, and stay what they are meant to be: one question, no code of their own."""

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
    assert not any("def " in cell or "sys.path" in cell or "lambda" in cell for cell in code)
    assert not any("derivations" in cell for cell in code), "a problem is declared where it is studied"
    assert all(not cell.get("outputs") for cell in notebook.cells), "clear the outputs before committing"
    if name == "02_a_new_loss.ipynb":
        assert len(code) < 10


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_executes(name, monkeypatch):
    monkeypatch.delenv("MPLBACKEND", raising=False)  # would replace the inline backend of the kernel
    notebook = nbformat.read(FOLDER / name, as_version=4)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(FOLDER)}}).execute()
    printed = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert any("image/png" in output.get("data", {}) for output in printed), "no figure"
    assert any("text/latex" in output.get("data", {}) for output in printed), "no equation"
