"""Cross-entropy of three classes by gradient descent, one cluster a class, unequal noise."""

import sympy as sp

from gmsym import GaussianMixture, Problem, losses, optimizers

PROBLEM = Problem(
    data=GaussianMixture(
        probabilities=[sp.Rational(1, 3)] * 3,
        labels=[[1, 0, 0], [0, 1, 0], [0, 0, 1]],
        means_gram=(sp.eye(3) * sp.Rational(12, 5) - sp.ones(3, 3) * sp.Rational(4, 5)).tolist(),
        variance=[1, sp.Rational(16, 25), sp.Rational(9, 25)],
    ),
    loss=losses.softmax(3),
    optimizer=optimizers.gd(),
    norm2=sp.Rational(1, 2),
)
VALUES = {"alpha": 1.5, "eta": 1.0, "ridge": 0.02}
STEPS = 40
SIMULATION = {"n": 3000, "d": 2000, "replicates": 16, "seed": 3}
