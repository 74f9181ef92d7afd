"""Hessian and information matrix of softmax regression on three clusters of unequal means and weights."""

from gmsym import GaussianMixture, Problem, losses, optimizers

PROBLEM = Problem(
    data=GaussianMixture(
        probabilities=[0.3, 0.3, 0.4],
        labels=[[1, 0, 0], [0, 1, 0], [0, 0, 1]],
        means_gram=[[3.0, 0.2, -0.3], [0.2, 2.0, 0.1], [-0.3, 0.1, 2.5]],
        variance=[1, 1, 1],
    ),
    loss=losses.softmax(3),
    optimizer=optimizers.gd(),
    norm2=[[0.9, 0.1, 0.1], [0.1, 0.9, 0.1], [0.1, 0.1, 0.9]],
    overlap=[[0.4, -0.1, -0.1], [-0.1, 0.4, -0.1], [-0.1, -0.1, 0.4]],
)
THEORY = "spectrum"
MATRICES = ("hessian", "information")
VALUES = {}
ALPHA = 4.0
SIMULATION = {"d": 250, "replicates": 10, "seed": 4}
