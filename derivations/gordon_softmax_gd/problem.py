"""The surrogate of three-class cross-entropy with momentum at finite size; every cluster has its own block covariance."""

import sympy as sp

from gmsym import GaussianMixture, Problem, losses, optimizers

PROBLEM = Problem(
    data=GaussianMixture(
        probabilities=[sp.Rational(3, 10), sp.Rational(3, 10), sp.Rational(2, 5)],
        labels=[[1, 0, 0], [0, 1, 0], [0, 0, 1]],
        means_gram=[[1.0, -0.3, -0.2], [-0.3, 1.2, -0.4], [-0.2, -0.4, 0.9]],
        fractions=[0.5, 0.5],
        variance=[[1, 0.5], [0.6, 1.2], [0.8, 0.8]],
    ),
    loss=losses.softmax(3),
    optimizer=optimizers.heavy_ball(),
    norm2=[[0.6, 0.1, 0.1], [0.1, 0.6, 0.1], [0.1, 0.1, 0.6]],
)
THEORY = "surrogate"
VALUES = {"eta": 1.5, "momentum": 0.5, "ridge": 0.05}
STEPS = 6
SIMULATION = {"n": 90, "d": 60, "replicates": 4000}
