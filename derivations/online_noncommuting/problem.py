"""Logistic regression by online SGD on two clusters whose covariances do not commute, in their own coordinates."""

import numpy as np

import gmsym as gm

D = 200
_places = np.arange(D)
_decay = 0.2 + 1.6 / (1 + 0.05 * _places)  # variances of the first cluster, along the coordinates
_pairs = np.kron(np.eye(D // 2), np.array([[1.0, 0.6], [0.6, 1.0]]))  # the second correlates each pair of neighbours
_mean = np.sqrt(2.0 / D) * np.cos(0.1 * _places)
PROBLEM = gm.Problem(
    gm.GaussianMixture(
        probabilities=[0.5, 0.5],
        labels=[1, -1],
        means=[_mean, -_mean],
        covariance=[np.diag(_decay), 0.7 * np.sqrt(_decay)[:, None] * _pairs * np.sqrt(_decay)],
    ),
    gm.losses.logistic(),
    gm.optimizers.gd(),
    sampling=gm.sampling.online(),
    start=np.sqrt(1.0 / D) * np.sin(0.3 * _places),
)
VALUES = {"eta": 1.0, "ridge": 0.05}
THEORY = "effective"
TIME = 6.0
SIMULATION = {"d": D, "replicates": 32, "seed": 5}
