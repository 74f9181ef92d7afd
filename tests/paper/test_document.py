"""Equations on paper: what they say is what the system says, every letter is explained, and a real LaTeX sets them in 12 cm."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import sympy as sp

import gmsym as gm
from gmsym.calculus.kernels import Kernel
from gmsym.errors import InputError
from gmsym.paper.sources import PAPERS
from gmsym.pipeline.cases import derive_case, load_case
from gmsym.pipeline.theories import THEORIES
from gmsym.system import Equation
from gmsym.system.display import shown

MIXTURE = gm.GaussianMixture.symmetric(label=gm.symbols.y)
SOFTMAX = gm.Problem(
    gm.GaussianMixture(probabilities=[sp.Rational(1, 3)] * 3, labels=sp.eye(3).tolist(), means_gram=sp.eye(3).tolist(), variance=[1, 1, 1]),
    gm.losses.softmax(3),
    gm.optimizers.gd(),
)
LOGISTIC = gm.Problem(MIXTURE, gm.losses.logistic(), gm.optimizers.heavy_ball())
ONLINE = gm.Problem(MIXTURE, gm.losses.logistic(), gm.optimizers.gd(), sampling=gm.sampling.online())
LANGEVIN = gm.Problem(MIXTURE, gm.losses.logistic(), gm.optimizers.langevin())
CASES = sorted(path.parent for path in (Path(__file__).parents[2] / "derivations").glob("*/problem.py"))
SYSTEMS = {
    "dmf": (LOGISTIC, "dmf"),
    "noise": (LANGEVIN, "dmf"),
    "noise at finite size": (LANGEVIN, "surrogate"),
    "softmax": (SOFTMAX, "dmf"),
    "surrogate": (LOGISTIC, "surrogate"),
    "effective": (ONLINE, "effective"),
    "fluctuations": (ONLINE, "fluctuations"),
    "spectrum": (SOFTMAX, "spectrum"),
    "stationary": (SOFTMAX, "stationary"),
    "kinks at rest": (gm.Problem(MIXTURE, gm.losses.hinge(), gm.optimizers.ista()), "stationary"),
}


@pytest.fixture(params=SYSTEMS, scope="module")
def system(request):
    problem, theory = SYSTEMS[request.param]
    return THEORIES[theory].derive(problem)


def test_every_letter_is_explained(system):
    rows = system.legend()
    assert rows and all(row.meaning for row in rows), [row.latex for row in rows if not row.meaning]
    names = [row.latex for row in rows]
    assert len(set(names)) == len(names)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_letter_of_a_case_is_explained(case):
    for system in derive_case(load_case(case)).values():
        assert not [row.latex for row in system.legend() if not row.meaning]


def test_one_block_needs_no_index():
    system = gm.derive.dmf(LOGISTIC)
    assert r"\sum_{b=1}^{B}" in system.latex() and r"\rho_{b}" in system.latex()
    assert not re.search(r"\\rho|_\{b\}|b=1|\bB\b", system.shown().latex())


def test_softmax_has_its_name():
    system = gm.derive.dmf(SOFTMAX)
    read = {sp.latex(e.lhs): e for e in system.shown()}
    assert all(len(e.latex()) < 500 for e in read.values() if "h_{k" in e.latex())
    # What stands for the gradient is the gradient: with the definitions put in again.
    gradient = next(e for e in system.equations() if "gradient of the loss" in e.meaning)
    definitions = {e.lhs: e.rhs for e in system.shown() if "softmax" in e.meaning}
    again = read[r"a_{k}(t)"].rhs.xreplace(definitions)
    at = dict(zip(sorted(again.free_symbols, key=str), map(sp.Rational, range(1, 7)), strict=True))
    difference = (again - gradient.rhs).xreplace(at).applyfunc(lambda entry: sp.N(entry.doit(), 30))
    assert max(map(abs, difference)) < 1e-25


def test_matrices_that_are_too_wide_are_given_by_entries():
    x = sp.Symbol("x")
    wide = Equation(sp.Symbol("A"), sp.ImmutableDenseMatrix(2, 2, [sum(x**i for i in range(20))] * 4), "a matrix", "own", "own")
    assert [sp.latex(e.lhs) for e in shown([wide])] == [rf"\left[A\right]_{{{at}}}" for at in ("00", "01", "11")]


def test_sources_have_keys_that_the_document_cites(system):
    text, bib = gm.to_tex(system, standalone=True), gm.cite(system)
    cited = {key for group in re.findall(r"\\cite\{([^}]*)\}", text) for key in group.split(",")}
    assert cited == set(re.findall(r"@misc\{(\w+),", bib)) == set(re.findall(r"\\bibitem\{(\w+)\}", text))
    assert cited <= {paper.key for paper in PAPERS}


def test_every_year_that_an_equation_names_is_a_paper(system):
    for equation in system.equations():
        years = re.findall(r"(?:19|20)\d\d(?!\d|\.)", re.sub(r"arXiv [\d.]+", "", equation.source))
        assert all(any(str(paper.year) == year and re.search(paper.named, equation.source) for paper in PAPERS) for year in years)


@pytest.mark.parametrize("wrong", [3, "dmf", LOGISTIC])
def test_only_systems_go_on_paper(wrong):
    with pytest.raises(InputError, match="a derived system"):
        gm.to_tex(wrong)


def test_the_flag_is_a_flag():
    with pytest.raises(InputError, match="standalone = 1"):
        gm.to_tex(gm.derive.dmf(LOGISTIC), standalone=1)


def test_names_are_text():
    hostile = gm.Problem(MIXTURE, gm.Loss(r"a_b", sp.log(1 + sp.exp(-gm.symbols.y * gm.symbols.h))), gm.optimizers.gd())
    assert r"\title{a\_b" in gm.to_tex(gm.derive.dmf(hostile), standalone=True)


def test_lines_hold_all_of_an_equation(system):
    def bare(text):
        return re.sub(r"\\left|\\right|\\bigl|\\bigr|\\q?quad|[\s{}&,]", "", text)

    for equation, lines in zip(system.shown(), system.shown().lines(), strict=True):
        whole, broken = bare(equation.latex()), bare("".join(lines))
        if not re.search(r"\\frac|e\^|\\sqrt", whole):  # these may be written in another way
            assert whole == broken
    assert not [x for e in system.shown() for x in e.rhs.atoms(Kernel) if not x.symbol]


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX here")
def test_a_real_latex_sets_it_without_an_overfull_box(system, tmp_path):
    (tmp_path / "system.tex").write_text(gm.to_tex(system, standalone=True))
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "system.tex"]
    for _ in range(2):
        run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", timeout=120)
        assert run.returncode == 0, run.stdout[-2000:]
    assert not re.search(r"Overfull|undefined", run.stdout)


def test_nothing_in_a_display_is_beyond_mathjax(system):
    """It expands macros in place, in formulas of up to 5000 signs, and knows no `^` or `_` in words."""
    shown = system._repr_latex_()
    assert not re.search(r"\\substack|\\bmod", shown)
    assert not [words for words in re.findall(r"\\text\{([^{}]*)\}", shown) if re.search(r"[\\^_&%#$~]", words)]
