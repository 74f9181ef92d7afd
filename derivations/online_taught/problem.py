"""A perceptron teaches logistic regression online: label sign(t0), on a centred cluster and one off the origin with less noise."""

import sympy as sp

from gmsym import GaussianMixture, Loss, Problem, Teacher, optimizers, parse, sampling

_half, _tenth = sp.Rational(1, 2), sp.Rational(1, 10)

PROBLEM = Problem(
    data=GaussianMixture(
        probabilities=[sp.Rational(2, 3), sp.Rational(1, 3)],
        labels=[0, 0],  # the teacher says the class
        means_gram=[[0, 0], [0, 1]],
        variance=[1, _half],
    ),
    loss=Loss("taught", parse("log(1 + exp(-sign(t0)*h))"), target=parse("t0")),
    optimizer=optimizers.gd(),
    sampling=sampling.online(),
    overlap=[0, _tenth],
    teacher=Teacher(gram=[[1]], overlap=[_tenth], means_overlap=[[0, _half]]),
)
VALUES = {"eta": 1.0, "ridge": 0.02}
THEORY = "effective"
TIME = 6.0
SIMULATION = {"d": 1000, "replicates": 32, "seed": 1}
