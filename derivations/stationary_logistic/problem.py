"""Where logistic regression with a ridge ends: two unequal clusters, two blocks of coordinates with other variances in each."""

from gmsym import GaussianMixture, Problem, losses, optimizers

PROBLEM = Problem(
    data=GaussianMixture(
        probabilities=[0.7, 0.3],
        labels=[1, -1],
        means_gram=[[1.44, -1.44], [-1.44, 1.44]],
        variance=[[1.0, 0.4], [0.3, 2.0]],
        fractions=[0.6, 0.4],
    ),
    loss=losses.logistic(),
    optimizer=optimizers.gd(),
)
THEORY = "stationary"
VALUES = {"alpha": 1.2, "ridge": 0.05}
SIMULATION = {"n": 720, "d": 600, "replicates": 20, "seed": 3}
