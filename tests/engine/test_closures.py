"""How coordinates respond to each other's noise: exactly, the first ones exactly, or each to its own. What an orthogonal turn of the
coordinates may not change, and where the three are one."""

import numpy as np
import pytest

import gmsym as gm

RNG = np.random.default_rng(5)
D = 6
MEANS, START = RNG.normal(size=(2, D)) / 2, RNG.normal(size=D) / 2
TURN = np.linalg.qr(RNG.normal(size=(D, D)))[0]
VALUES = {"alpha": 0.8, "eta": 0.8, "momentum": 0.5, "ridge": 0.05}
FEW = {"steps": 12, "samples": 512, "scrambles": 2, "seed": 1}


def spread(first):
    """Two covariances that mix pairs of the `first` coordinates with opposite signs, so that their mean is diagonal."""
    base = np.diag(np.linspace(1.6, 0.6, D))
    mixed = np.zeros((D, D))
    for at in range(0, first - 1, 2):
        mixed[at, at + 1] = mixed[at + 1, at] = 0.95 * np.sqrt(base[at, at] * base[at + 1, at + 1])
    return np.array([base + mixed, base - mixed])


def problem(covariance, turn=None, loss=None):
    turn = np.eye(D) if turn is None else turn
    data = gm.GaussianMixture(
        probabilities=[0.5, 0.5], labels=[1, -1], means=MEANS @ turn, covariance=turn.T @ np.asarray(covariance) @ turn
    )
    return gm.Problem(data, loss or gm.losses.logistic(), gm.optimizers.heavy_ball(), start=START @ turn)


def solved(closure, *given, **more):
    return gm.solve(gm.derive.dmf(problem(*given, **more), closure=closure), VALUES, **FEW)


def distance(one, other):
    return max(float(abs(one[name] - other[name]).max()) for name in ("train_loss", "test_loss", "test_error", "Q", "Q_k", "m"))


@pytest.mark.slow
def test_the_exact_closure_turns_with_the_coordinates():
    """No basis is preferred; the diagonal closure has one. What is left is the tolerance of innovations."""
    exact, turned = solved("exact", spread(D)), solved("exact", spread(D), TURN)
    assert distance(exact, turned) < 2e-5
    diagonal = solved("diagonal", spread(D))
    assert distance(exact, diagonal) > 100 * distance(exact, turned)


@pytest.mark.slow
def test_the_first_coordinates_are_enough_where_only_these_mix():
    exact = solved("exact", spread(2))
    assert distance(solved(2, spread(2)), exact) < 1e-9
    assert distance(solved("diagonal", spread(2)), exact) > 1e-3


def least_squares(S, steps, n, eta, beta, ridge):
    """The kernels themselves, with matrices: (m (T, K), Q_k (T, K)) of squared loss, labels 1 and -1. Nothing is in innovations."""
    K, T, p, y = 2, steps, np.array([0.5, 0.5]), np.array([1.0, -1.0])
    D_, V = np.zeros((T + 1, D)), np.zeros(D)
    W, VW = np.zeros((T + 1, T, D, D)), np.zeros((T, D, D))
    D_[0] = START
    R, Ra, C, a, m, Q = (
        np.zeros((K, T, T)),
        np.zeros((K, T, T)),
        np.zeros((K, T, T)),
        np.zeros((K, T)),
        np.zeros((T, K)),
        np.zeros((K, T, T)),
    )
    for t in range(T):
        for k in range(K):
            R[k, t, :t] = [np.trace(S[k] @ W[t, s]) / n for s in range(t)]
            m[t, k] = D_[t] @ MEANS[k]
            Ra[k, t] = np.eye(T)[t] + R[k, t] @ Ra[k]
            a[k, t] = m[t, k] - y[k] + R[k, t] @ a[k]
            for s in range(t + 1):
                noise = sum(
                    p[c] * C[c, r, q] * np.trace(S[k] @ W[t, r] @ S[c] @ W[s, q].T) for c in range(K) for r in range(t) for q in range(s)
                )
                Q[k, t, s] = Q[k, s, t] = D_[t] @ S[k] @ D_[s] + noise / n
            for s in range(t + 1):
                C[k, t, s] = C[k, s, t] = a[k, t] * a[k, s] + Ra[k, t] @ Q[k] @ Ra[k, s]
        gradient = ridge * D_[t] + sum(p[k] * (MEANS[k] * a[k, t] + S[k] @ (Ra[k, t] @ D_[:T])) for k in range(K))
        V = beta * V - eta * gradient
        D_[t + 1] = D_[t] + V
        for s in range(t + 1):
            back = ridge * W[t, s] + (s == t) * np.eye(D) + sum(p[k] * S[k] @ np.tensordot(Ra[k, t], W[:T, s], 1) for k in range(K))
            VW[s] = beta * VW[s] - eta * back
            W[t + 1, s] = W[t, s] + VW[s]
    return m, np.array([np.diagonal(Q[k]) for k in range(K)]).T


@pytest.mark.slow
@pytest.mark.parametrize("closure", ["exact", 4])
def test_least_squares_is_that_of_the_kernels_as_matrices(closure):
    """The equations of general covariances, summed as they stand; the first four coordinates where the others do not mix."""
    roots = RNG.normal(size=(2, D, D))
    S = roots @ roots.swapaxes(1, 2) / D
    if closure == 4:
        S[:, 4:, :4] = S[:, :4, 4:] = 0
        S[:, 4, 5] = S[:, 5, 4] = 0
    values = VALUES | {"eta": 0.25}
    m, Q = least_squares(S, 8, VALUES["alpha"] * D, 0.25, VALUES["momentum"], VALUES["ridge"])
    found = gm.solve(gm.derive.dmf(problem(S, loss=gm.losses.squared()), closure=closure), values, steps=8)
    assert abs(found["m"].values[..., 0] - m).max() < 1e-9 and abs(found["Q_k"].values[..., 0, 0] - Q).max() < 1e-9
    diagonal = gm.solve(problem(S, loss=gm.losses.squared()), values, steps=8)
    assert abs(diagonal["Q_k"].values[..., 0, 0] - Q).max() > 1e-3


@pytest.mark.parametrize(
    ("closure", "message"),
    [
        (0, "1 to 6, is needed"),
        (7, "1 to 6, is needed"),
        (True, "1 to 6, is needed"),
        ("whole", "closure = 'whole': 'diagonal', 'exact' or a number"),
    ],
)
def test_wrong_closures_are_refused(closure, message):
    with pytest.raises(gm.InputError) as error:
        gm.derive.dmf(problem(spread(2)), closure=closure)
    assert message in str(error.value)


def test_what_has_no_closure_is_refused():
    with pytest.raises(gm.InputError, match="only covariances that are matrices"):
        gm.derive.dmf(gm.Problem(gm.GaussianMixture.symmetric(), gm.losses.logistic(), gm.optimizers.gd()), closure="exact")
    with pytest.raises(gm.InputError, match="two_time: not of a closure"):
        gm.solve(gm.derive.dmf(problem(spread(2)), closure=2), VALUES, two_time=True, **FEW)


def test_the_text_says_how_many_coordinates_respond_together():
    text = gm.source(gm.derive.dmf(problem(spread(2)), closure=3))
    assert "HEAD = 3" in text and "def next_Z(" in text and "HEAD" not in gm.source(gm.derive.dmf(problem(spread(2))))
