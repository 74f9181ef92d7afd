"""A perceptron teaches logistic regression by full-batch gradient descent: label sign(t0), two centred clusters of unequal noise."""

import sympy as sp

from gmsym import GaussianMixture, Loss, Problem, Teacher, optimizers, parse

PROBLEM = Problem(
    data=GaussianMixture(
        probabilities=[sp.Rational(2, 3), sp.Rational(1, 3)],
        labels=[0, 0],  # the teacher says the class
        means_gram=[[0, 0], [0, 0]],
        variance=[1, sp.Rational(1, 2)],
    ),
    loss=Loss("taught", parse("log(1 + exp(-sign(t0)*h))"), target=parse("t0")),
    optimizer=optimizers.gd(),
    teacher=Teacher(gram=[[1]], overlap=[sp.Rational(1, 10)]),
)
VALUES = {"alpha": 2.0, "eta": 1.0, "ridge": 0.05}
STEPS = 20
SIMULATION = {"n": 3000, "d": 1500, "replicates": 16, "seed": 1}
