"""Hessian and information matrix of softmax regression on three clusters of unequal means and weights."""

from gmsym import GaussianMixture, Problem, losses, optimizers, sampling

PROBLEM = Problem(
    data=GaussianMixture(
        probabilities=[0.2, 0.3, 0.5],
        labels=[[1, 0, 0], [0, 1, 0], [0, 0, 1]],
        means_gram=[[6.1, 0.1, 0.1], [0.1, 3.1, 0.1], [0.1, 0.1, 1.1]],
        variance=[1, 1, 1],
    ),
    loss=losses.softmax(3),
    optimizer=optimizers.gd(),
    sampling=sampling.online(),
    norm2=[[1.0, 0.1, 0.1], [0.1, 1.0, 0.1], [0.1, 0.1, 1.0]],
    overlap=[[0.5, -0.1, -0.1], [-0.1, 0.5, -0.1], [-0.1, -0.1, 0.5]],
)
THEORY = "spectrum"
MATRICES = ("hessian", "information")
VALUES = {"alpha": 4.0}
SIMULATION = {"d": 250, "replicates": 16, "seed": 4}
