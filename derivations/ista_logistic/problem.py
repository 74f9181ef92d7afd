"""L1-regularised logistic regression by proximal gradient descent (ISTA), two clusters whose means have sparse coordinates."""

import sympy as sp

from gmsym import GaussianMixture, Problem, coordinates, losses, optimizers, symbols

_rho = symbols.mu_norm**2

PROBLEM = Problem(
    data=GaussianMixture(
        probabilities=[sp.Rational(1, 2), sp.Rational(1, 2)],
        labels=[1, -1],
        means_gram=[[_rho, -_rho], [-_rho, _rho]],
        variance=[1, sp.Rational(49, 100)],
        coordinates=coordinates.sparse(sp.Rational(1, 10)),
    ),
    loss=losses.logistic(),
    optimizer=optimizers.ista(),
)
VALUES = {"alpha": 1.5, "mu_norm": 1.2, "eta": 0.6, "l1": 0.4, "ridge": 0.05}
STEPS = 30
SIMULATION = {"n": 3000, "d": 2000, "replicates": 16, "seed": 1}
