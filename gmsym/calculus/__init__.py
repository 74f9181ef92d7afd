"""Gaussian calculus on SymPy expressions: means of functions of Gaussian variables (theory.md 9)."""

from .law import Gaussian as Gaussian
from .mean import GaussianMean as GaussianMean
from .mean import bound_symbols as bound_symbols
from .mean import is_closed as is_closed
from .mean import mean_of as mean_of
from .mean import reduced_dimension as reduced_dimension
from .rules import condition as condition
from .rules import linearity as linearity
from .rules import price as price
from .rules import stein as stein
from .rules import tilt as tilt
from .rules import wick as wick
from .span import span as span
from .strategy import evaluated as evaluated
from .strategy import expectation as expectation
