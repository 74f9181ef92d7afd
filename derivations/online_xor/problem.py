"""A two-layer erf network with a trained second layer learns online: means +mu, -mu, +nu, -nu with labels +1, +1, -1, -1 (XOR)."""

import sympy as sp

from gmsym import GaussianMixture, Loss, Problem, Trained, optimizers, parse, sampling

_half = sp.Rational(1, 2)
_network = parse("v0*erf(h0/sqrt(2)) + v1*erf(h1/sqrt(2)) + bias")

PROBLEM = Problem(
    data=GaussianMixture(
        probabilities=[sp.Rational(1, 4)] * 4,
        labels=[1, 1, -1, -1],
        means_gram=[[1, -1, 0, 0], [-1, 1, 0, 0], [0, 0, 1, -1], [0, 0, -1, 1]],
        variance=[sp.Rational(1, 4)] * 4,
    ),
    loss=Loss("xor", (_network - parse("y")) ** 2 / 2, readout=_network),
    optimizer=optimizers.gd(),
    sampling=sampling.online(),
    norm2=[[_half, 0], [0, sp.Rational(2, 5)]],
    overlap=[[0.3, -0.3, 0.05, -0.05], [-0.1, 0.1, 0.35, -0.35]],
    trained=Trained({"v0": 0.5, "v1": -0.4, "bias": 0.1}),
)
VALUES = {"eta": 0.5}
THEORY = "effective"
TIME = 8.0
SIMULATION = {"d": 1000, "replicates": 32, "seed": 1}
