"""Logistic regression by one sample at a time, three reshuffled passes over the same samples, two clusters of unequal noise."""

import sympy as sp

from gmsym import GaussianMixture, Problem, losses, optimizers, sampling, symbols

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
    sampling=sampling.single(3),
    overlap=[sp.Rational(1, 10), -sp.Rational(1, 10)],
)
VALUES = {"alpha": 1.5, "mu_norm": 1.2, "eta": 1.2, "ridge": 0.05}
SIMULATION = {"n": 1200, "d": 800, "replicates": 16, "seed": 1}
