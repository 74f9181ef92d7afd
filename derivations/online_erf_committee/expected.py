"""Equations typed by a person from the source, to compare the derivation with. No tool writes this file.

Saad and Solla, Phys. Rev. E 52, 4225 (1995): order parameters R_in = J_i . B_n (here M), Q_ik = J_i . J_k, and T_nm = B_n . B_m, with
eta = c and alpha = steps/d = t/c, so that each equation here is theirs divided by eta.
"""

import sympy as sp

from gmsym.system.ode import B, k, t

STUDENTS, TEACHERS = 2, 2
Q = sp.Matrix(2, 2, lambda i, k: sp.Symbol(f"Q_{min(i, k)}_{max(i, k)}", **({"positive": True} if i == k else {"real": True})))
R = sp.Matrix(2, 2, lambda i, n: sp.Symbol(f"M_{n}_{i}", real=True))
T = sp.Matrix(2, 2, lambda n, m: sp.Symbol(f"tau_gram_{min(n, m)}_{max(n, m)}", **({"positive": True} if n == m else {"real": True})))
eta = sp.Symbol("c", positive=True)

# Fields are numbered i, k for students and STUDENTS + n for teachers; C is their covariance.
C = sp.Matrix([[Q, R], [R.T, T]])


def I3(i, j, k):  # <g'(i) j g(k)>
    Lambda3 = (1 + C[i, i]) * (1 + C[k, k]) - C[i, k] ** 2
    return 2 / sp.pi / sp.sqrt(Lambda3) * (C[j, k] * (1 + C[i, i]) - C[i, j] * C[i, k]) / (1 + C[i, i])


def I4(i, j, k, n):  # <g'(i) g'(j) g(k) g(n)>
    Lambda4 = (1 + C[i, i]) * (1 + C[j, j]) - C[i, j] ** 2
    Lambda0 = (
        Lambda4 * C[k, n]
        - C[j, k] * C[j, n] * (1 + C[i, i])
        - C[i, k] * C[i, n] * (1 + C[j, j])
        + C[i, j] * C[i, k] * C[j, n]
        + C[i, j] * C[i, n] * C[j, k]
    )

    def Lambda(x):
        cross = C[j, x] ** 2 * (1 + C[i, i]) + C[i, x] ** 2 * (1 + C[j, j]) - 2 * C[i, j] * C[i, x] * C[j, x]
        return Lambda4 * (1 + C[x, x]) - cross

    return 4 / sp.pi**2 / sp.sqrt(Lambda4) * sp.asin(Lambda0 / sp.sqrt(Lambda(k) * Lambda(n)))


_students, _teachers = range(STUDENTS), range(STUDENTS, STUDENTS + TEACHERS)


def _towards(i, j):
    return sum(I3(i, j, n) for n in _teachers) - sum(I3(i, j, k) for k in _students)


def _noise(i, k):
    return (
        sum(I4(i, k, n, m) for n in _teachers for m in _teachers)
        - 2 * sum(I4(i, k, j, n) for j in _students for n in _teachers)
        + sum(I4(i, k, j, j2) for j in _students for j2 in _students)
    )


DRIFT = {("M", (n - STUDENTS, i)): _towards(i, n) for n in _teachers for i in _students}
DRIFT |= {("Q", (i, k)): _towards(i, k) + _towards(k, i) + eta * _noise(i, k) for i in _students for k in _students if i <= k}

# One cluster of unit variance, no ridge.
SETTING = {sp.Symbol("p_0", positive=True): 1, sp.Symbol("sigma2_0", positive=True): 1, sp.Symbol("beta", nonnegative=True): 0}

# Means over one field vector of covariance V, with g(x) = erf(x/sqrt(2)): <g'(i) g'(j)> is a Gaussian integral, and the gradients are odd.
_V = sp.Matrix(4, 4, lambda i, j: sp.Symbol(f"V_{min(i, j)}_{max(i, j)}", **({"positive": True} if i == j else {"real": True})))
I2 = lambda i, j: 2 / sp.pi * sp.asin(_V[i, j] / sp.sqrt((1 + _V[i, i]) * (1 + _V[j, j])))  # noqa: E731  <g(i) g(j)>
_slopes = lambda i, j: 2 / sp.pi / sp.sqrt((1 + _V[i, i]) * (1 + _V[j, j]) - _V[i, j] ** 2)  # noqa: E731
GRADIENT = [0, 0]
MEANS = {B(k, n + 1, t): sp.Matrix([-_slopes(i, STUDENTS + n) for i in _students]) for n in range(TEACHERS)}
_sign = lambda i: 1 if i in _students else -1  # noqa: E731
TEST_LOSS = [sum(_sign(i) * _sign(j) * I2(i, j) for i in range(4) for j in range(4)) / 2]  # their generalisation error
