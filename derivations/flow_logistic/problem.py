"""Logistic regression by gradient flow: full batches in continuous time, two clusters of unequal noise."""

import sympy as sp

from gmsym import GaussianMixture, Problem, losses, optimizers, symbols

_rho = symbols.mu_norm**2

PROBLEM = Problem(
    data=GaussianMixture(
        probabilities=[sp.Rational(1, 2), sp.Rational(1, 2)],
        labels=[1, -1],
        means_gram=[[_rho, -_rho], [-_rho, _rho]],
        variance=[1, sp.Rational(49, 100)],
    ),
    loss=losses.logistic(),
    optimizer=optimizers.flow(),
    overlap=[sp.Rational(1, 10), -sp.Rational(1, 10)],
)
VALUES = {"alpha": 1.5, "mu_norm": 1.2, "ridge": 0.05}
TIME = 20.0
SIMULATION = {"n": 1500, "d": 1000, "replicates": 32, "seed": 1}
