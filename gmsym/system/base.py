"""What every symbolic system shares: a name, and equations, for computing and for reading."""

from abc import ABC, abstractmethod

from gmsym.latex import NOTEBOOK, WIDTH, stacked
from gmsym.system.display import shown
from gmsym.system.equations import Equations
from gmsym.system.legend import Letter, legend, legend_latex


class AbstractSystem(ABC):
    """A derived symbolic system. Frozen; everything in it has a declared order."""

    name: str  # "problem_theory"

    @abstractmethod
    def equations(self) -> Equations:
        """The system's equations in the order of computation."""

    def shown(self, width: float = WIDTH) -> Equations:
        """The same for a reader: specialised to one block where there is one, softmax by its name, matrices that are wider than `width`
        em entry by entry."""
        return shown(self.equations(), blocks=getattr(self, "blocks", None), width=width)

    def legend(self) -> tuple[Letter, ...]:
        """The letters of the equations, as they are shown, with their meaning and shape."""
        return legend(self.shown(), type(self).__name__, getattr(self, "blocks", None))

    def latex(self) -> str:
        """All equations as one `aligned` environment."""
        return self.equations().latex()

    def _repr_latex_(self) -> str:
        equations = self.shown(NOTEBOOK)
        rows = legend(equations, type(self).__name__, getattr(self, "blocks", None))
        return stacked(equations.latex(NOTEBOOK), legend_latex(rows))
