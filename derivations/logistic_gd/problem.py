"""Logistic regression by gradient descent on two clusters of unequal noise, means +mu and -mu."""

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
    optimizer=optimizers.gd(),
    overlap=[sp.Rational(1, 10), -sp.Rational(1, 10)],
)
RESPONSE = "tangent"  # its equations show the chain rule
VALUES = {"alpha": 1.5, "mu_norm": 1.2, "eta": 1.0, "ridge": 0.05}
STEPS = 80
SIMULATION = {"n": 3000, "d": 2000, "replicates": 16, "seed": 1}
