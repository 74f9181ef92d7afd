"""The displayed equations of a spectrum, interpreted literally with NumPy, against what `gm.solve` solves.

Nothing of the generated code is used: letters are matrices, sums are written out, and Means are those of a constant A, whose samples
differ in Y alone. Clusters, blocks and the two columns of Theta are all unequal.
"""

import numpy as np
import pytest
import sympy as sp
from scipy.optimize import brentq

import gmsym as gm
from gmsym import derive, pipeline
from gmsym.calculus.kernels import Kernel
from gmsym.engine.nodes import law
from gmsym.engine.outliers import transform
from gmsym.engine.packed import unpacked
from gmsym.engine.stieltjes import stieltjes
from gmsym.pipeline.spectrum import numbers, state_instance
from gmsym.system import spectral as S
from gmsym.system.causal_kernels import B, K, Mean, alpha, b, k, p, rho, sigma2

h0, h1 = gm.symbols.fields(2)
y, v = gm.symbols.y, gm.symbols.symbol("v")
TWO_BLOCKS = {
    "probabilities": [0.4, 0.6],
    "labels": [1, -1],
    "means_gram": [[4.0, -0.5], [-0.5, 3.0]],
    "variance": [[0.5, 0.9], [1.3, 0.2]],
    "fractions": [0.3, 0.7],
}
ONE_BLOCK = {**TWO_BLOCKS, "variance": [[0.5], [1.3]], "fractions": [1.0]}
PLAIN = gm.Loss("quadratic", (h0**2 + h0 * h1 / 2 + h1**2) / 2 - y * h0)
TRAINED = gm.Loss("extended", (h0**2 + h0 * h1 / 2 + h1**2) / 2 - y * h0 + v * h0 / 3 + v**2)
CASES = {
    "squared": (gm.losses.squared(), TWO_BLOCKS, ()),
    "two columns": (PLAIN, TWO_BLOCKS, ()),
    "two columns, one block": (PLAIN, ONE_BLOCK, ()),
    "trained": (TRAINED, TWO_BLOCKS, ("v",)),
}
ALPHA = 5.0


class Literal:
    """Values of displayed right-hand sides, for letters given by name and, for kernels, indices."""

    def __init__(self, problem, trained):
        self.system = derive.spectrum(problem, trained=trained)
        self.instance = state_instance(problem, {"alpha": ALPHA}, None, None)
        self.shown = {equation.lhs: equation.rhs for equation in self.system.equations()}
        self.size, self.extra = self.system.A.rows, len(trained)
        self.sym = S.letters(self.size, self.system.blocks)
        self.blocks, self.clusters = self.instance.variance.shape[1], len(self.instance.probabilities)
        full = sp.Matrix(sp.BlockMatrix([[self.system.A, self.system.mixed], [self.system.mixed.T, self.system.corner]]))
        H = np.array(full, dtype=float).reshape(self.size + self.extra, -1)
        self.given = {self.sym.A: H[: self.size, : self.size], S.unit: np.eye(self.size), alpha: ALPHA}
        self.given |= dict(zip(S.extended, (H, H[:, : self.size], H[: self.size]), strict=True))
        for i in range(self.clusters):
            self.given[p(i + 1)] = self.instance.probabilities[i]
            self.given[S.variance(i + 1)] = self.instance.variance[i, 0]
            for j in range(self.blocks):
                self.given |= {sigma2(i + 1, j + 1): self.instance.variance[i, j], rho(j + 1): self.instance.fractions[j]}
        roots = [np.linalg.cholesky(gram + 1e-15 * np.eye(len(gram))).T for gram in self.instance.block_grams]
        fields = problem.fields
        self.means = [np.concatenate([root[:, fields + i] for root in roots]) for i in range(self.clusters)]
        self.noise = [np.repeat(self.instance.variance[i], [len(root) for root in roots]) for i in range(self.clusters)]

    def value(self, expr, known):
        """The expression in numbers and matrices."""
        expr = sp.sympify(expr)
        if expr in known:
            return known[expr]
        if expr in self.given:
            return self.given[expr]
        if isinstance(expr, sp.Sum):
            ((index, low, high),) = expr.limits
            assert low == 1 and high in (B, K)
            count = self.blocks if high == B else self.clusters
            return sum(self.value(expr.function.xreplace({index: sp.Integer(i + 1)}), known) for i in range(count))
        if isinstance(expr, Mean):
            return self.value(expr.args[0].replace(S.Kron, lambda X, _: S.Kron(X, expr.args[1])), known)  # the cluster of Y
        if isinstance(expr, S.Kron):
            return self.kron(self.matrix(self.value(expr.args[0], known)), int(expr.args[1]) - 1)
        if isinstance(expr, S.Trace):
            return np.trace(self.value(expr.args[0], known))
        if isinstance(expr, S.Form):
            w = known[S.w]
            return w @ known[expr.args[0]] @ w
        if isinstance(expr, sp.im):
            return self.value(expr.args[0], known).imag
        if expr.is_Add:
            return sum(self.value(x, known) for x in expr.args)
        if expr.is_Mul:
            result = 1.0
            for factor in expr.args:
                part = self.value(factor, known)
                result = result @ part if np.ndim(result) and np.ndim(part) else result * part
            return result
        if expr.is_Pow:
            base, power = self.value(expr.base, known), int(expr.exp)
            return np.linalg.matrix_power(np.asarray(base), power) if np.ndim(base) else base**power
        if isinstance(expr, sp.Max):
            return max(self.value(x, known) for x in expr.args)
        assert expr.is_number and not expr.atoms(Kernel), f"{expr} has no value"
        return float(expr)

    @staticmethod
    def matrix(x):
        return np.asarray(x).reshape(1, 1) if np.ndim(x) == 0 else x

    def kron(self, X, cluster):
        """E[K^T X K] with K = diag(I kron Y, I): X kron Y Y^T but in the rows and columns of trained parameters."""
        mean, m = self.means[cluster], self.size
        second = np.outer(mean, mean) + np.diag(self.noise[cluster])
        top, side = np.kron(X[:m, :m], second), np.kron(X[:m, m:], mean[:, None])
        return np.block([[top, side], [side.T, X[m:, m:]]])

    def each(self, letter, count, known):
        """{letter of each index: its displayed value}."""
        index = letter.args[0] if isinstance(letter, Kernel) else None
        places = [{index: sp.Integer(i + 1)} for i in range(count)] if index is not None else [{}]
        return {letter.xreplace(at): self.value(self.shown[letter].xreplace(at), known) for at in places}

    def shares(self, known):
        """With S' and X of each cluster added."""
        for letter in (self.sym.Sk(k), self.sym.X(k)):
            known = known | self.each(letter, self.clusters, known)
        return known

    def solved(self, z):
        """S at z by iterating the displayed fixed point, with S', X; converges off the axis and outside the bulk."""
        start = -np.eye(self.size) / z if self.size > 1 else -1 / z
        known = {S.z: z} | dict.fromkeys(self.letters(self.sym.S), start)
        for _ in range(3000):
            new = self.each(self.sym.S, self.blocks, self.shares(known))
            change = max(np.abs(new[x] - known[x]).max() for x in new)
            known |= new
            if change < 1e-15:
                break
        return self.shares(known)

    def letters(self, letter):
        return [letter.xreplace({b: sp.Integer(i + 1)}) for i in range(self.blocks)] if isinstance(letter, Kernel) else [letter]

    def outlier_form(self, z):
        """Everything displayed at a real z outside the bulk but the overlap."""
        known = self.solved(z)
        zero = 0 * known[self.letters(self.sym.S)[0]]
        known |= dict.fromkeys(self.letters(self.sym.slope), zero)
        for _ in range(3000):
            known |= self.each(self.sym.Sk_slope(k), self.clusters, known)
            new = self.each(self.sym.slope, self.blocks, known)
            change = max(np.abs(new[x] - known[x]).max() for x in new)
            known |= new
            if change < 1e-15:
                break
        known |= self.each(self.sym.Sk_slope(k), self.clusters, known)
        known |= self.each(self.sym.X_slope(k), self.clusters, known)
        known = known | {S.unit: np.eye(self.size)}
        return known

    def compressed(self, z):
        """(D, Q') at z; with trained parameters the share of each cluster is displayed without its index."""
        known = self.outlier_form(z)
        found = {}
        for letter, share in ((self.sym.Q, S.X_extended), (self.sym.Q_slope, S.X_extended_slope)):
            total = self.shown[letter]
            if self.extra:
                total = total.subs(share, self.shown[share])
            found[letter] = self.value(total, known)
        q = len(found[self.sym.Q])
        return self.value(self.shown[S.D], {S.z: z, S.unit: np.eye(q), **found}), found[self.sym.Q_slope]


@pytest.fixture(scope="module", params=[name if name == "trained" else pytest.param(name, marks=pytest.mark.slow) for name in CASES])
def case(request):
    loss, data, trained = CASES[request.param]
    fields = len(loss.fields)
    problem = gm.Problem(
        gm.GaussianMixture(**data),
        loss,
        gm.optimizers.gd(),
        norm2=np.eye(fields) + 0.2,
        overlap=np.array([[0.3, -0.2], [0.1, 0.4]])[:fields],
        **({"trained": gm.Trained({"v": 0.7})} if trained else {}),
    )
    literal = Literal(problem, trained)
    module = pipeline.load(literal.system)
    nodes = law(module, numbers(literal.system, literal.instance))
    return literal, module, nodes, gm.solve(literal.system, {"alpha": ALPHA})


def test_the_transform_and_the_density_off_the_axis(case):
    """S(z) and the displayed density at z = x + i/2."""
    literal, module, nodes, _ = case
    x = np.array([-0.3, 0.4, 1.1, 3.0])
    s = transform(stieltjes(module), nodes, x / nodes.scale, 0.5 / nodes.scale) / nodes.scale
    s = s.reshape(literal.blocks, -1, len(x))
    full = np.moveaxis(unpacked(np.moveaxis(s, 1, 0), literal.size), 2, 0)  # (B, m, m, P)
    for i, point in enumerate(x):
        known = literal.solved(point + 0.5j)
        for j, letter in enumerate(literal.letters(literal.sym.S)):
            assert np.abs(literal.matrix(known[letter]) - full[j, ..., i]).max() < 1e-12
        density = literal.value(literal.shown[S.density(S.x)], known)
        arrays = full[..., i : i + 1] if literal.size > 1 else full[:, 0, 0, i : i + 1]
        assert abs(density - float(module.density(nodes.fractions, arrays)[0])) < 1e-12


def test_the_density_inside_the_bulk(case):
    """The displayed fixed point holds at the density that `gm.solve` reports: by continuation of the literal one from above."""
    literal, _, _, result = case
    x = float(result["z"][150])
    known = literal.solved(x + 1j)
    letters = literal.letters(literal.sym.S)
    for height in np.geomspace(0.5, 1e-10, 20):
        known = known | {S.z: x + 1j * height}
        for _ in range(3):
            known = _newton(literal, known, letters)
    density = literal.value(literal.shown[S.density(S.x)], known)
    assert abs(density - float(result["density"][150])) < 1e-8 * density


def _newton(literal, known, letters):
    """A step of Newton's method on the displayed fixed point, its derivative by differences in the complex plane."""
    flat = np.concatenate([np.ravel(known[x]) for x in letters])

    def gap(values):
        at = dict(known)
        size = literal.size**2
        for i, x in enumerate(letters):
            part = values[i * size : (i + 1) * size]
            at[x] = part.reshape(literal.size, literal.size) if literal.size > 1 else part[0]
        new = literal.each(literal.sym.S, literal.blocks, literal.shares(at))
        return values - np.concatenate([np.ravel(new[x]) for x in letters]), at

    value, _ = gap(flat)
    step = 1e-6 * np.abs(flat).max()
    jacobian = np.stack([(gap(flat + step * e)[0] - gap(flat - step * e)[0]) / (2 * step) for e in np.eye(len(flat))], axis=1)
    return gap(flat - np.linalg.solve(jacobian, value))[1]


def test_outliers_and_overlaps(case):
    """Zeros of det D and 1/(1 - w^T Q' w) there."""
    literal, _, _, result = case
    assert result.sizes["outlier"] > 0
    for z, overlap in zip(result["outlier_z"].values, result["overlap"].values, strict=True):
        branch = int(np.argmin(np.abs(np.linalg.eigvalsh(literal.compressed(z)[0]))))
        eigenvalue = lambda x, i=branch: np.linalg.eigvalsh(literal.compressed(x)[0])[i]  # noqa: E731
        root = brentq(eigenvalue, z - 1e-5, z + 1e-5, xtol=1e-15, rtol=1e-14)
        assert abs(root - z) < 1e-12 * abs(z)
        D, slope = literal.compressed(root)
        w = np.linalg.eigh(D)[1][:, branch]
        found = literal.value(literal.shown[S.overlap], {S.w: w, literal.sym.Q_slope: slope})
        assert abs(found - overlap) < 1e-10


def test_the_atom(case):
    literal, _, _, result = case
    assert literal.value(literal.shown[S.atom], {}) == pytest.approx(float(result["atom"]), abs=1e-15)
