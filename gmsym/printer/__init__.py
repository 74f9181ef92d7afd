"""SymPy to JAX source text: a closed table of functions, safe branches, one scope of shared subexpressions a function."""

from gmsym.printer._jax import JaxPrinter as JaxPrinter
from gmsym.printer._jax import fresh_name as fresh_name
from gmsym.printer._source import function as function
from gmsym.printer._source import module as module
from gmsym.printer._source import statements as statements
