"""The documentation site: pages of this folder, the notebooks as a gallery, and the reference from docstrings. Warnings are errors in CI.

GMSYM_GALLERY in the environment is a folder of executed notebooks, which `pytest -m slow tests/test_notebooks.py` fills if it is set;
without it the notebooks are shown as they are, without outputs.
"""

import os
import re
import shutil
from base64 import b64decode
from io import BytesIO
from pathlib import Path

import nbformat
from PIL import Image

import gmsym

HERE = Path(__file__).parent
_THUMBNAIL = (640, 360)  # pixels at most: twice what a card shows, for fine screens
project = "gmsym"
author = "The gmsym authors"
release = version = gmsym.__version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode", "sphinx_copybutton"]
exclude_patterns = ["_build"]
myst_enable_extensions = ["amsmath", "dollarmath", "colon_fence"]
myst_heading_anchors = 3
nb_execution_mode = "off"
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings give shapes and meanings
napoleon_google_docstring = True
napoleon_use_rtype = False
html_theme = "furo"
html_title = "gmsym"
html_show_copyright = False
html_static_path = ["static"]
html_css_files = ["gallery.css"]
suppress_warnings = ["mystnb.unknown_mime_type"]


def _gallery() -> None:
    """The notebooks under docs/gallery, executed where there are executed ones, and the page with a figure and the question of each."""
    source = Path(os.environ.get("GMSYM_GALLERY") or HERE.parent / "notebooks")
    target = HERE / "gallery"
    shutil.rmtree(target, ignore_errors=True)
    (target / "thumbnails").mkdir(parents=True)
    cards, names = [], sorted(path.stem for path in source.glob("*.ipynb"))
    for name in names:
        shutil.copy(source / f"{name}.ipynb", target)
        notebook = nbformat.read(source / f"{name}.ipynb", as_version=4)
        title = re.search(r"^# (.+)$", notebook.cells[0].source, re.MULTILINE)[1]
        figure = _figure(notebook)
        if figure is None:
            cards.append(f"[{title}]({name}.ipynb)")
            continue
        figure.save(target / "thumbnails" / f"{name}.png", optimize=True)
        alt = re.sub(r"[^\w ,?-]", "", title)
        cards.append(f"```{{figure}} thumbnails/{name}.png\n:target: {name}.html\n:alt: {alt}\n\n[{title}]({name}.ipynb)\n```")
    shown = "\n\n".join(f":::{{container}} card\n{card}\n:::" for card in cards)
    listed = "\n".join(names)
    (target / "index.md").write_text(
        "# Gallery\n\nOne question each, executed from top to bottom.\n\n"
        f"::::{{container}} gallery\n{shown}\n::::\n\n```{{toctree}}\n:hidden:\n\n{listed}\n```\n"
    )


def _figure(notebook: nbformat.NotebookNode) -> Image.Image | None:
    """The first figure of an executed notebook as a thumbnail, on white."""
    outputs = (output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs)
    png = next((output["data"]["image/png"] for output in outputs if "image/png" in output.get("data", {})), None)
    if png is None:
        return None
    whole = Image.open(BytesIO(b64decode(png))).convert("RGBA")
    figure = Image.alpha_composite(Image.new("RGBA", whole.size, "white"), whole).convert("RGB")
    figure.thumbnail(_THUMBNAIL)
    return figure


def _plain(app, what, name, obj, options, lines: list[str]) -> None:
    """Formulas in docstrings are plain text: their bars and stars mean nothing to the markup."""
    for i, line in enumerate(lines):
        if not line.lstrip().startswith(">>>"):
            lines[i] = re.sub(r"(?<![\\*`])\*(?![*`])", r"\\*", line.replace("|", r"\|"))


def setup(app) -> None:
    """Hooks of Sphinx."""
    app.connect("autodoc-process-docstring", _plain, priority=1000)  # behind napoleon


_gallery()
