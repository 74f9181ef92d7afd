"""The surrogate of logistic regression by gradient descent at finite size, two clusters of unequal noise."""

from gmsym import GaussianMixture, Problem, losses, optimizers

PROBLEM = Problem(
    data=GaussianMixture(probabilities=[0.5, 0.5], labels=[1, -1], means_gram=[[1.69, -1.69], [-1.69, 1.69]], variance=[1, 0.49]),
    loss=losses.logistic(),
    optimizer=optimizers.gd(),
    overlap=[0.1, -0.1],
)
THEORY = "surrogate"
VALUES = {"eta": 1.0, "ridge": 0.1}
STEPS = 8
SIMULATION = {"n": 60, "d": 40, "replicates": 10000}
