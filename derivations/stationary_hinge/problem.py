"""Where the hinge with a ridge ends, a support vector machine: two unequal clusters, two blocks of coordinates."""

from gmsym import GaussianMixture, Problem, losses, optimizers

PROBLEM = Problem(
    data=GaussianMixture(
        probabilities=[0.7, 0.3],
        labels=[1, -1],
        means_gram=[[1.44, -1.44], [-1.44, 1.44]],
        variance=[[1.0, 0.4], [0.3, 2.0]],
        fractions=[0.6, 0.4],
    ),
    loss=losses.hinge(),
    optimizer=optimizers.gd(),
)
THEORY = "stationary"
VALUES = {"alpha": 1.2, "ridge": 0.5}
SIMULATION = {"n": 360, "d": 300, "replicates": 8, "seed": 3}
