r"""A system's equations as LaTeX: numbered, with the meaning, status and source of each, and every letter explained.

Lines are broken for a column of 12 cm. Whatever is not one of our own formulas (names of problems, meanings) is escaped.
"""

from collections.abc import Sequence

from gmsym.errors import InputError, check_flag
from gmsym.latex import WIDTH
from gmsym.paper.sources import named, papers_of, reference
from gmsym.system import AbstractSystem, Equation, Equations
from gmsym.system.legend import Letter

_STATUS = {"theorem": "theorem", "heuristic": "heuristic", "own": "own derivation"}
_ESCAPED = {c: rf"\{c}" for c in "&%$#_{}"} | {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"}
_WORDS = {"->": r"$\to$", " oo": r" $\infty$"}  # as limits are written in plain text
_PREAMBLE = r"""\documentclass[10pt]{article}
\usepackage[T1]{fontenc}
\usepackage[a4paper, textwidth=12.5cm, textheight=22cm]{geometry}
\usepackage{amsmath, amssymb, longtable, booktabs}
\allowdisplaybreaks
\setlength{\emergencystretch}{3em}
"""


def to_tex(system: AbstractSystem, *, standalone: bool = False) -> str:
    """LaTeX of the equations of `system`, one numbered equation after the other, a table of meanings and sources, and a legend.

    Args:
        system: any derived system.
        standalone: whether the text is a whole document, which compiles as it is, references included; otherwise it is a part of one,
            which needs amsmath, amssymb, longtable and booktabs, and the BibTeX of `cite`.

    Raises:
        InputError: `system` is no system, or `standalone` is neither True nor False.

    Example:
        >>> import gmsym as gm
        >>> problem = gm.Problem(gm.GaussianMixture.symmetric(), gm.losses.logistic(), gm.optimizers.gd())
        >>> gm.to_tex(gm.derive.dmf(problem)).startswith(r"\\begin{align}")
        True
    """
    check_flag("standalone", standalone)
    if not isinstance(system, AbstractSystem):
        raise InputError(f"system = {system!r}: a derived system is needed, as gm.derive.dmf(problem) makes one")
    equations = system.shown(WIDTH)
    label = "".join(c if c.isalnum() else "-" for c in system.name)
    parts = [_display(equations, label), _meanings(equations, label), _nomenclature(system.legend())]
    if not standalone:
        return "\n\n".join(parts) + "\n"
    title = rf"\title{{{escaped(system.name)}}}" + "\n" + r"\author{derived by gmsym}" + "\n" + r"\date{}"
    limit = getattr(system, "limit", "")
    intro = f"Limit: {escaped(limit)}.\n" if limit else ""
    body = "\n\n".join([intro, *parts, _references(equations)])
    return f"{_PREAMBLE}{title}\n\\begin{{document}}\n\\maketitle\n{body}\n\\end{{document}}\n"


def escaped(text: str) -> str:
    """Text as LaTeX shows it."""
    found = "".join(_ESCAPED.get(c, c) for c in text)
    for plain, shown in _WORDS.items():
        found = found.replace(plain, shown)
    return found


def _display(equations: Equations, label: str) -> str:
    rows = []
    for number, lines in enumerate(equations.lines(WIDTH), start=1):
        rows.append(" \\\\\n".join([rf"{line} \notag" for line in lines[:-1]] + [rf"{lines[-1]} \label{{eq:{label}-{number}}}"]))
    return "\\begin{align}\n" + " \\\\\n".join(rows) + "\n\\end{align}"


def _meanings(equations: Sequence[Equation], label: str) -> str:
    rows = []
    for number, equation in enumerate(equations, start=1):
        papers = named(equation.source)
        cited = rf" \cite{{{','.join(paper.key for paper in papers)}}}" if papers else ""
        meaning = equation.meaning + (" (notation)" if equation.role == "notation" else "")
        rows.append(rf"\eqref{{eq:{label}-{number}}} & {escaped(meaning)} & {_STATUS[equation.status]}{cited}")
    return _table("l p{6.4cm} p{3cm}", ("Equation", "Meaning", "Status"), rows)


def _nomenclature(letters: Sequence[Letter]) -> str:
    rows = [rf"${row.latex}$ & {escaped(row.meaning)} & {f'${row.shape}$' if row.shape else ''}" for row in letters]
    return _table("l p{6.4cm} l", ("Letter", "Meaning", "Shape"), rows)


def _table(columns: str, heads: Sequence[str], rows: Sequence[str]) -> str:
    head = " & ".join(heads) + r" \\ \midrule \endhead"
    body = " \\\\\n".join(rows)
    return f"\\begin{{longtable}}{{{columns}}}\n\\toprule\n{head}\n{body} \\\\\n\\bottomrule\n\\end{{longtable}}"


def _references(equations: Sequence[Equation]) -> str:
    papers = papers_of(equations)
    if not papers:
        return ""
    items = "\n".join(rf"\bibitem{{{paper.key}}} {reference(paper)}" for paper in papers)
    return f"\\begin{{thebibliography}}{{{len(papers)}}}\n{items}\n\\end{{thebibliography}}"
