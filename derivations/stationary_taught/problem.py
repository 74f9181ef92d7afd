"""Where logistic regression on a perceptron teacher's labels ends: two unequal clusters in two blocks, which the teacher overlaps with."""

import sympy as sp

from gmsym import GaussianMixture, Loss, Problem, Teacher, optimizers, parse

PROBLEM = Problem(
    data=GaussianMixture(
        probabilities=[0.6, 0.4],
        labels=[0, 0],  # the teacher says the class
        means_gram=[[1, sp.Rational(-3, 5)], [sp.Rational(-3, 5), sp.Rational(6, 5)]],
        variance=[[1, 0.4], [0.3, 1.5]],
        fractions=[0.6, 0.4],
    ),
    loss=Loss("taught", parse("log(1 + exp(-sign(t0)*h))"), target=parse("t0")),
    optimizer=optimizers.gd(),
    teacher=Teacher(gram=[[1.3]], means_overlap=[[0.4, -0.2]]),
)
THEORY = "stationary"
VALUES = {"alpha": 1.3, "ridge": 0.1}
SIMULATION = {"n": 520, "d": 400, "replicates": 10, "seed": 5}
