"""Displayed equations of online SGD read literally: sums written out, products as matrices in their order, means over Gaussian nodes.

Nothing here knows what an equation says; the reader only knows what its letters stand for. For losses whose means are of
polynomials, three Gauss-Hermite nodes a dimension are exact up to degree five.
"""

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import sympy as sp

from gmsym.calculus.kernels import Transposed
from gmsym.system import Sde
from gmsym.system import ode as S
from gmsym.system import sde as N
from gmsym.system.causal_kernels import Mean


def read(expr: sp.Expr, value: Callable[[Any], np.ndarray], sizes: dict[sp.Symbol, int], mean: Callable | None = None) -> np.ndarray:
    """The value (..., rows, columns) of an expression; `value` gives that of a kernel with numbers for its indices, or of a symbol.

    Args:
        sizes: numbers behind the upper limits of sums.
        mean: of a function of `value`, over a sample of a cluster.
    """

    def inner(e: sp.Expr) -> np.ndarray:
        return read(e, value, sizes, mean)

    if expr.is_Number:
        return np.full((1, 1), float(expr))
    if isinstance(expr, sp.Add):
        return sum((inner(x) for x in expr.args[1:]), inner(expr.args[0]))
    if isinstance(expr, sp.Mul):
        numbers, matrices = expr.args_cnc()
        found = np.ones((1, 1))
        for x in numbers:
            found = found * inner(x)
        for at, x in enumerate(matrices):
            found = found * inner(x) if at == 0 or found.shape[-2:] == (1, 1) else found @ inner(x)
        return found
    if isinstance(expr, sp.Pow):
        return inner(expr.base) ** float(expr.exp)
    if isinstance(expr, sp.Sum):
        ranges = [range(1, sizes[last] + 1) for _, _, last in expr.limits]
        indices = [index for index, _, _ in expr.limits]
        terms = [inner(expr.function.xreplace(dict(zip(indices, map(sp.Integer, place), strict=True)))) for place in product(*ranges)]
        return sum(terms[1:], terms[0])
    if isinstance(expr, Transposed):
        return np.swapaxes(inner(expr.args[0]), -1, -2)
    if isinstance(expr, Mean):
        return mean(expr.args[0], int(expr.args[1]))
    if isinstance(expr, N.Contracted):
        form, matrix = (inner(x) for x in expr.args)
        return np.einsum("ijk,jk->i", form, matrix)[:, None]
    return value(expr)


class Reading:
    """A problem with fields h, teachers and trained parameters: what the letters of its fluctuation stand for, at a state."""

    def __init__(self, system: Sde, given: dict[str, Any]):
        """`given`: p, sigma2 (K, B), rho (B,), gram, tau_gram, tau_mean (T, K), c, c_v, beta, beta_v, d, labels (K, L), rate of t."""
        self.system, self.given = system, {name: x if callable(x) else np.asarray(x, float) for name, x in given.items()}
        ode = system.ode
        self.C, self.T, self.K, self.B = len(ode.fields), ode.count, ode.clusters, ode.blocks
        loss = (*ode.fields, *ode.teachers), ode.problem.loss.labels, ode.trained
        self.gradient = sp.lambdify(loss, list(ode.gradient), "numpy")
        self.trained_gradient = sp.lambdify(loss, list(ode.trained_gradient), "numpy")
        self.upper = list(zip(*np.triu_indices(self.C), strict=True))
        self.sizes = {S.K: self.K, S.T: self.T, N.vectors: self.C + self.T + self.K}

    # --- the state, as a vector and by letters ---

    def letters(self, vector: np.ndarray) -> dict[str, np.ndarray]:
        """Q (B, C, C), m (B, K, C), M (B, T, C), v (P,)."""
        counts = [self.B * len(self.upper), self.B * self.K * self.C, self.B * self.T * self.C]
        upper, m, M, v = np.split(vector, np.cumsum(counts))
        Q = np.zeros((self.B, self.C, self.C))
        for at, (i, j) in enumerate(self.upper):
            Q[:, i, j] = Q[:, j, i] = upper.reshape(self.B, -1)[:, at]
        return {"Q": Q, "m": m.reshape(self.B, self.K, self.C), "M": M.reshape(self.B, self.T, self.C), "v": v}

    def gram(self, at: dict[str, np.ndarray]) -> np.ndarray:
        """Of students, teachers and means in each block; those given once are shared out, those given by block stand last."""
        share = self.given["rho"][:, None, None]
        gram, tau_gram, tau_mean = (
            share * (np.moveaxis(x, -1, 0) if x.ndim == 3 else x) for x in (self.given[name] for name in ("gram", "tau_gram", "tau_mean"))
        )
        rows = [
            [at["Q"], np.swapaxes(at["M"], 1, 2), np.swapaxes(at["m"], 1, 2)],
            [at["M"], tau_gram, tau_mean],
            [at["m"], np.swapaxes(tau_mean, 1, 2), gram],
        ]
        return np.concatenate([np.concatenate(row, axis=2) for row in rows], axis=1)

    def flat(self, values: Callable[[type, tuple[int, ...]], np.ndarray], letters: tuple[type, ...]) -> np.ndarray:
        """(..., n) from values of Q, m, M and v by their indices."""
        blocks = [(b,) for b in range(1, self.B + 1)] if self.B > 1 else [()]
        Q, m, M, v = letters
        found = [values(Q, at)[..., i, j] for at in blocks for i, j in self.upper]
        found += [values(m, (*at, k))[..., i, 0] for at in blocks for k in range(1, self.K + 1) for i in range(self.C)]
        found += [values(M, (*at, s))[..., i, 0] for at in blocks for s in range(1, self.T + 1) for i in range(self.C)]
        found += [values(v, ())[..., i, 0] for i in range(len(self.system.ode.trained))]
        return np.stack(np.broadcast_arrays(*found), axis=-1)

    # --- a sample ---

    def sample(self, at: dict[str, np.ndarray], cluster: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """(weights, letters of one sample at each node): the fields w of each block are Gaussian."""
        gram = self.gram(at)
        roots = []
        for b in range(self.B):
            values, vectors = np.linalg.eigh(gram[b] * self.given["sigma2"][cluster - 1, b])
            roots.append(vectors * np.sqrt(np.clip(values, 0, None)))
        kept = [root[:, np.abs(root).max(axis=0) > 1e-12] for root in roots]
        x, weight = np.polynomial.hermite_e.hermegauss(3)
        dims = sum(root.shape[1] for root in kept)
        z = np.stack(np.meshgrid(*[x] * dims, indexing="ij"), axis=-1).reshape(-1, dims)
        weights = np.prod(np.stack(np.meshgrid(*[weight / weight.sum()] * dims, indexing="ij"), axis=-1).reshape(-1, dims), axis=1)
        parts = np.split(z, np.cumsum([root.shape[1] for root in kept])[:-1], axis=1)
        w = np.stack([gram[b, :, self.C + self.T + cluster - 1] + parts[b] @ kept[b].T for b in range(self.B)], axis=1)  # (nodes, B, width)
        h, tau, u = np.split(w, [self.C, self.C + self.T], axis=2)
        label = self.given["labels"][cluster - 1]
        total = [*h.sum(axis=1).T, *tau.sum(axis=1).T], label, at["v"]
        a, b = (
            np.stack([np.zeros(len(w)), *(np.broadcast_to(x, len(w)) for x in f(*total))], axis=1)[:, 1:]
            for f in (self.gradient, self.trained_gradient)
        )
        dual = np.linalg.pinv(gram, hermitian=True)
        return weights, {"h": h, "tau": tau, "u": u, "a": a, "b": b, "w": w, "Dual": dual, "rank": np.linalg.matrix_rank(gram, tol=1e-9)}

    def of_sample(self, at: dict[str, np.ndarray], cluster: int, t: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(weights, phi, chi) at each node, phi and chi read off their equations."""
        weights, letters = self.sample(at, cluster)
        numbers = {x.name: x for x in (S.c, S.c_v, S.beta, S.beta_v)}
        read_off = {type(e.lhs): e for e in (*self.system.ode.increments, *self.system.ode.second, *self.system.fluctuation)}

        def value(x: sp.Expr) -> np.ndarray:
            if isinstance(x, sp.Symbol):
                return np.full((1, 1), float(self.given[numbers[x.name].name]))
            name, index = type(x).__name__, [int(i) - 1 for i in x.args if i.is_Integer]
            b = index.pop(0) if self.B > 1 and name in ("Q", "m", "M", "h", "tau", "u", "Dual", "W", "rank", "nu", "rho") else 0
            match name:
                case "Q":
                    return at["Q"][b]
                case "m" | "M":
                    return at[name][b, index[0]][:, None]
                case "v":
                    return at["v"][:, None]
                case "h":
                    return letters["h"][:, b, :, None]
                case "tau" | "u":
                    return letters[name][:, b, index[0], None, None]
                case "a" | "b":
                    return letters[name][:, :, None]
                case "Dual":
                    return np.full((1, 1), letters["Dual"][b, index[0], index[1]])
                case "W":
                    return (letters["w"][:, b, index[0]] * letters["w"][:, b, index[1]])[:, None, None]
                case "rank":
                    return np.full((1, 1), float(letters["rank"][b]))
                case "rho":
                    return np.full((1, 1), self.given["rho"][b])
                case "sigma2":
                    return np.full((1, 1), self.given["sigma2"][cluster - 1, index[-1] if self.B > 1 else 0])
                case "rate":
                    return np.full((1, 1), self.given["rate"](t))
                case "nu":
                    return read(placed(read_off[S.nu], (b + 1,)), value, self.sizes)
            raise KeyError(name)

        def placed(equation: Any, place: tuple[int, ...]) -> sp.Expr:
            subscripts = [i for i in equation.lhs.args if i != S.t]
            return equation.rhs.xreplace(dict(zip(subscripts, map(sp.Integer, place), strict=False)) | {S.k: sp.Integer(cluster)})

        def of(kind: type, place: tuple[int, ...]) -> np.ndarray:
            if kind not in read_off:
                return np.zeros((1, max(self.C, len(self.system.ode.trained)), self.C))
            return read(placed(read_off[kind], place), value, self.sizes)

        phi = self.flat(of, (S.phi_Q, S.phi_m, S.phi_M, S.phi_v))
        chi = self.flat(of, (S.chi_Q, None, None, None))
        return weights, np.broadcast_to(phi, (len(weights), phi.shape[-1])), np.broadcast_to(chi, (len(weights), chi.shape[-1]))

    # --- the law of the fluctuation ---

    def drift(self, vector: np.ndarray, t: float = 0.0) -> np.ndarray:
        """F, the mean increment."""
        return self.fluctuation(vector, {}, t)["F"]

    def fluctuation(self, vector: np.ndarray, known: dict[str, np.ndarray], t: float = 0.0) -> dict[str, np.ndarray]:
        """Right-hand sides of the fluctuation's equations, by the name of what they are of; `known` has the letters that they need.

        Equations whose letters are not known are left out.
        """
        at = self.letters(vector)
        samples = {k: self.of_sample(at, k, t) for k in range(1, self.K + 1)}
        found = dict(known)

        def mean(f: sp.Expr, cluster: int) -> np.ndarray:
            weights, phi, chi = samples[cluster]
            own = {"phi": phi[..., None], "chi": chi[..., None]}
            return np.tensordot(weights, read(f, lambda x: own[type(x).__name__], self.sizes), axes=1)

        def value(x: sp.Expr) -> np.ndarray:
            if x in (S.c, N.d):
                return np.full((1, 1), float(self.given[x.name]))
            name = f"d{type(x.args[0]).__name__}" if isinstance(x, sp.Derivative) else type(x).__name__
            if name == "p":
                return np.full((1, 1), self.given["p"][int(x.args[0]) - 1])
            return found[name] if np.ndim(found[name]) > 1 else found[name][:, None]

        equations = [e for e in self.system.fluctuation if not isinstance(e.lhs, (N.d_xi, S.nu))]
        for e in sorted(equations, key=lambda e: (not isinstance(e.lhs, N.F), not isinstance(e.lhs, N.Sigma))):
            rate = isinstance(e.lhs, sp.Derivative)
            of = e.lhs if e.lhs.args[0] == S.t else e.lhs.args[0]
            name = f"d{type(of).__name__}/dt" if rate else type(of).__name__
            try:
                right = read(e.rhs, value, self.sizes, mean)
            except KeyError:
                continue
            found[name] = right[:, 0] if right.shape[1] == 1 else right
        return found
