"""The papers behind the equations: which of them a system stands on, as BibTeX and as a list in a document."""

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from gmsym.system import AbstractSystem, Equation


class Paper(NamedTuple):
    """A paper, and how `Equation.source` names it."""

    key: str
    named: str  # regular expression
    authors: str
    title: str
    where: str
    year: int
    arxiv: str = ""


PAPERS: Final = (
    Paper("gordon1985", r"Gordon 1985", "Gordon, Y.", "Some inequalities for {Gaussian} processes and applications",
          "Israel Journal of Mathematics 50, 265-289", 1985),
    Paper("saad1995", r"Saad (&|and) Solla 1995", "Saad, D. and Solla, S. A.", "On-line learning in soft committee machines",
          "Physical Review E 52, 4225", 1995),
    Paper("mignacco2020", r"Mignacco et al\. 2020", "Mignacco, F. and Krzakala, F. and Urbani, P. and Zdeborov{\\'a}, L.",
          "Dynamical mean-field theory for stochastic gradient descent in {Gaussian} mixture classification",
          "Advances in Neural Information Processing Systems 33", 2020, "2006.06098"),
    Paper("celentano2021", r"Celentano, Cheng, Montanari 2021", "Celentano, M. and Cheng, C. and Montanari, A.",
          "The high-dimensional asymptotics of first order methods with random data", "Preprint", 2021, "2112.07572"),
    Paper("loureiro2021", r"Loureiro et al\. 2021", "Loureiro, B. and Sicuro, G. and Gerbelot, C. and Pacco, A. and Krzakala, F. and "
          "Zdeborov{\\'a}, L.", "Learning {Gaussian} mixtures with generalized linear models: precise asymptotics in high dimensions",
          "Advances in Neural Information Processing Systems 34", 2021, "2106.03791"),
    Paper("gerbelot2022", r"Gerbelot et al\. 2022", "Gerbelot, C. and Troiani, E. and Mignacco, F. and Krzakala, F. and "
          "Zdeborov{\\'a}, L.", "Rigorous dynamical mean field theory for stochastic gradient descent methods", "Preprint", 2022,
          "2210.06591"),
    Paper("benarous2022", r"Ben Arous, Gheissari, Jagannath 2022", "Ben Arous, G. and Gheissari, R. and Jagannath, A.",
          "High-dimensional limit theorems for {SGD}: effective dynamics and critical scaling",
          "Advances in Neural Information Processing Systems 35", 2022, "2206.04030"),
    Paper("benarous2025", r"Ben Arous et al\. 2025", "Ben Arous, G. and Gheissari, R. and Huang, J. and Jagannath, A.",
          "Local geometry of high-dimensional mixture models: effective spectral theory and dynamical transitions", "Preprint", 2025,
          "2502.15655"),
    Paper("demir2025", r"Demir (&|and) Dogan 2025", "Demir, S. and Dogan, Z.",
          "Asymptotic analysis of two-layer neural networks after one gradient step under {Gaussian} mixtures data with structure",
          "Preprint", 2025, "2503.00856"),
    Paper("panahi2026", r"Panahi 2026", "Panahi", "", "Preprint", 2026, "2603.09310"),
)  # fmt: skip


def named(source: str) -> tuple[Paper, ...]:
    """The papers that a source names, in the order of their years."""
    return tuple(paper for paper in PAPERS if re.search(paper.named, source))


def papers_of(equations: Iterable[Equation]) -> tuple[Paper, ...]:
    """The papers that equations name, in the order of their years."""
    sources = [equation.source for equation in equations]
    return tuple(paper for paper in PAPERS if any(re.search(paper.named, source) for source in sources))


def cite(system: AbstractSystem) -> str:
    """BibTeX of the papers behind the equations of `system`, with the keys that `to_tex` uses.

    Example:
        >>> import gmsym as gm
        >>> problem = gm.Problem(gm.GaussianMixture.symmetric(), gm.losses.logistic(), gm.optimizers.gd())
        >>> print(gm.cite(gm.derive.dmf(problem)).splitlines()[0])
        @misc{celentano2021,
    """
    return "\n\n".join(map(_bibtex, papers_of(system.equations()))) + "\n"


def reference(paper: Paper) -> str:
    """A paper as an entry of a list of references."""
    *others, last = paper.authors.split(" and ")
    authors = f"{', '.join(others)} and {last}" if others else last
    arxiv = f", arXiv:{paper.arxiv}" if paper.arxiv else ""
    title = f"{paper.title}. " if paper.title else ""
    return f"{authors}. {title}{paper.where}{arxiv} ({paper.year})."


def _bibtex(paper: Paper) -> str:
    fields = {"author": paper.authors, "title": paper.title, "howpublished": paper.where, "year": paper.year}
    if paper.arxiv:
        fields |= {"eprint": paper.arxiv, "archiveprefix": "arXiv"}
    rows = ",\n".join(f"  {name} = {{{value}}}" for name, value in fields.items() if value)
    return f"@misc{{{paper.key},\n{rows},\n}}"
