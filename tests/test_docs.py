"""What code cites of docs/theory.md is there."""

import re
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

ROOT = Path(__file__).parents[1]
THEORY = (ROOT / "docs" / "theory.md").read_text()
CITED = re.compile(r"theory\.md \(?(\d+(?:\.\d+)?)")


def cited(folder: str) -> set[str]:
    return {number for path in (ROOT / folder).rglob("*.py") for number in CITED.findall(path.read_text())}


def stands(number: str) -> bool:
    """Whether the page has a section, a displayed equation, a paragraph or a list entry of that number."""
    section, _, part = number.partition(".")
    match = re.search(rf"^## {section}\. .*?(?=^## |\Z)", THEORY, re.MULTILINE | re.DOTALL)
    if match is None:
        return False
    shown = rf"\({section}\.{part}\)$|^\*\*[^*]*\b{section}\.{part}\b|^{part}\. "
    return not part or re.search(shown, match[0], re.MULTILINE) is not None


@pytest.mark.parametrize("folder", ["gmsym", "derivations"])
def test_a_cited_number_stands_on_the_page(folder):
    found = cited(folder)
    assert {"0", "6"} & found
    assert not {number for number in found if not stands(number)}


@pytest.mark.parametrize("number", ["3", "1.7", "2.99", "9.9", "12"])
def test_a_number_that_is_not_there_is_noticed(number):
    assert not stands(number)


PAGES = sorted(path.relative_to(ROOT / "docs") for folder in ("tasks", "papers") for path in (ROOT / "docs" / folder).glob("*.md"))
LONG = dict.fromkeys(("benarous_spectra", "benarous_relu"), pytest.mark.exhaustive)  # notebook 09 has another spectrum; 128 starts
CODE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_pages_are_listed():
    listed = (ROOT / "docs" / "index.md").read_text().splitlines()
    assert PAGES and all(str(page.with_suffix("")) in listed for page in PAGES)


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=LONG.get(page.stem, ())) for page in PAGES if CODE.search((ROOT / "docs" / page).read_text())],
    ids=str,
)
def test_the_code_of_a_page_runs(page, monkeypatch):
    blocks = CODE.findall((ROOT / "docs" / page).read_text())
    exec(compile("\n".join(blocks), str(page), "exec"), {"__name__": "page"})
    plt.close("all")
