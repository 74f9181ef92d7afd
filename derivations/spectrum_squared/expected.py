"""Equations typed by a person from the source, to compare the derivation with. No tool writes this file."""

import sympy as sp

from gmsym import symbols
from gmsym.system import spectral as S

alpha, sigma = symbols.alpha, symbols.sigma
_ = S.letters(1)

MATRIX = {"hessian": [[1]]}
EQUATIONS = {S.atom: sp.Max(0, 1 - alpha)}

# Marchenko and Pastur 1967, ratio g = d/n = 1/alpha, variance s^2: s^2 g z S^2 + (z + s^2 (g - 1)) S + 1 = 0.
POLYNOMIAL = {"hessian": sigma**2 / alpha * S.z * _.S**2 + (S.z + sigma**2 * (1 / alpha - 1)) * _.S + 1}
NULL = {"hessian": 0}
