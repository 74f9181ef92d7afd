"""Soft committee machines of Saad and Solla 1995: two erf students learn two erf teachers online, Gaussian inputs."""

import sympy as sp

from gmsym import GaussianMixture, Loss, Problem, Teacher, optimizers, parse, sampling

PROBLEM = Problem(
    data=GaussianMixture(probabilities=[1], labels=[0], means_gram=[[0]], variance=[1]),
    loss=Loss("erf_student", parse("(erf(h0/sqrt(2)) + erf(h1/sqrt(2)) - erf(t0/sqrt(2)) - erf(t1/sqrt(2)))**2/2")),
    optimizer=optimizers.gd(),
    sampling=sampling.online(),
    norm2=[[sp.Rational(1, 2), 0], [0, sp.Rational(2, 5)]],
    teacher=Teacher(gram=[[1, 0], [0, 1]], overlap=[[sp.Rational(1, 10), 0], [0, sp.Rational(1, 20)]]),
)
VALUES = {"eta": 1.0}
THEORY = "effective"
TIME = 8.0
SIMULATION = {"d": 1000, "replicates": 32, "seed": 1}
