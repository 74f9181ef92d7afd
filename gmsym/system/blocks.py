"""Letters of the blocks of coordinates, which displays leave out where there is one block."""

import sympy as sp

from gmsym.calculus.kernels import kernel

b = sp.Symbol("b", integer=True, positive=True)  # a block
rho = kernel("rho", r"\rho", subscripts=1)  # its fraction of the coordinates
