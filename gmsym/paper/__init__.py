"""Systems on paper: LaTeX documents of their equations, and whom to cite."""

from gmsym.paper.document import to_tex as to_tex
from gmsym.paper.sources import cite as cite
