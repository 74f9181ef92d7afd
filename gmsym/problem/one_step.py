"""A two-layer network after one gradient step on its first layer, its second layer fitted by ridge regression. Source: theory.md 8."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import sympy as sp

from gmsym import symbols
from gmsym.errors import InputError, check_integers, check_positive
from gmsym.problem._numbers import rows, scalar, vector
from gmsym.problem.base import AbstractProblem
from gmsym.problem.design import gram_root

z = symbols.symbol("z")  # preactivation, the argument of an activation
t = symbols.symbol("t0")  # projection xi . x, the argument of a target; a text may call it t
_COUNTS = ("n", "samples", "width")
_DEFAULTS = {"alignment": 0.0, "noise": 0.0}
_RELU = sp.Max(t, 0)
_EQUAL = (sp.Rational(1, 2), sp.Rational(1, 2))
_LARGEST = 5  # dimensions of the span of spikes, means and target


@final
@dataclass(frozen=True)
class OneStepNumbers:
    """A problem of this kind in numbers. C clusters; q coordinates of an orthonormal frame of spikes, means and target direction."""

    n: int  # input dimension
    samples: int  # of the gradient step, and again of the ridge regression
    width: int  # neurons
    ridge: float  # n lambda
    spread: float  # theta, strength of the spikes
    step: float  # eta
    noise: float  # standard deviation of the label noise
    probabilities: np.ndarray  # rho_c, (C,)
    labels: np.ndarray  # y_c, (C,)
    means: np.ndarray  # mu_c in the frame, (C, q)
    spikes: np.ndarray  # g_c in the frame, (C, q), unit vectors
    direction: np.ndarray  # xi in the frame, (q,); zeros where the target does not depend on it
    parameters: dict[str, float]  # of activation and target, by name
    values: dict[str, float]  # of the whole problem, by name, defaults included

    @property
    def covariances(self) -> np.ndarray:
        """Sigma_c in the frame, (C, q, q)."""
        return np.eye(self.spikes.shape[1]) + self.spread * self.spikes[:, :, None] * self.spikes[:, None, :]

    @property
    def trace(self) -> float:
        """T = E|x|^2, by which first layers are normalised: F_ij ~ N(0, 1/T)."""
        return self.n + self.spread + float(self.probabilities @ (self.means**2).sum(axis=1))


@final
class OneStep(AbstractProblem):
    r"""Two-layer network on a Gaussian mixture: one gradient step of size eta on random first-layer weights, then ridge regression.

    Data x ~ sum_c rho_c N(mu_c, I + theta g_c g_c^T) in n dimensions. First layer F (width x n), F_ij ~ N(0, 1/T), T = E|x|^2; second layer
    w ~ N(0, I/width); `samples` samples give the gradient G of the squared loss in F, with features s(F x)/sqrt(width), and F + eta G is
    kept. As many fresh samples fit the second layer by ridge regression with lambda = ridge/n.

    Args:
        activation: s, an expression of `z`.
        target: an expression of `t0` = xi . x (a problem file may call it t) and of the cluster's label `y`; |xi|^2 = 1/|Sigma|_op with
            Sigma the pooled covariance within clusters. Default: max(t0, 0).
        probabilities: rho_c, C numbers or expressions of parameters.
        labels: y_c, C of them.
        means: one row of coordinates a cluster, in an orthonormal frame that is orthogonal to the spikes; None: zero means.
        direction: xi is "aligned" with the sum of the spikes, or "random": along a direction of its own, with the overlaps that one
            drawn uniformly has in the root mean square, 1/sqrt(n) on each axis of spikes and means; or a sequence of coefficients on the C
            spikes, then on the frame of the means.
        exponents: whether theta = n^(beta (1 - alpha)) and eta = n^(beta alpha) follow from values beta and alpha; otherwise they are the
            values spread and step.

    Values: n, samples, width, ridge (n lambda), beta and alpha or spread and step, alignment (cosine between any two spikes, 0 by default),
    noise (standard deviation added to the target, 0 by default), and the parameters of activation, target, probabilities and means.

    Raises:
        InputError: an expression of other variables, or shapes that do not fit.

    Source: Demir and Dogan 2025 (arXiv 2503.00856), theory.md 8.

    Example:
        >>> import gmsym as gm
        >>> problem = gm.OneStep(gm.parse("tanh(z)"), gm.parse("max(t0, 0)"), direction="aligned")
        >>> [s.name for s in problem.parameters]
        ['alignment', 'alpha', 'beta', 'n', 'noise', 'ridge', 'samples', 'width']
    """

    natural = "one-step"
    is_online = False

    def __init__(
        self,
        activation: Any,
        target: Any = _RELU,
        *,
        probabilities: Any = _EQUAL,
        labels: Any = (1, -1),
        means: Any = None,
        direction: Any = "aligned",
        exponents: bool = True,
        name: str = "one_step",
    ):
        self.activation = _expression("activation", activation, {"z": z})
        self.target = _expression("target", target, {"t": t, "y": symbols.y})
        if not self.activation.has(z):
            raise InputError(f"activation = {self.activation}: an expression of z is needed, such as tanh(z)")
        self.probabilities = vector(probabilities, "probabilities")
        self.labels = vector(labels, "labels")
        count = len(self.probabilities)
        if len(self.labels) != count:
            raise InputError(f"labels has {len(self.labels)} entries, probabilities {count}; one a cluster is needed")
        self.means = () if means is None else rows(means, "means")
        if self.means and (len(self.means) != count or len({len(row) for row in self.means}) != 1):
            raise InputError(f"means: {count} rows of one length are needed, one a cluster")
        self.direction = _direction(direction, count, self.mean_size)
        if not isinstance(exponents, bool):
            raise InputError(f"exponents = {exponents!r}: True or False is needed")
        self.exponents = exponents
        self._name = symbols.check_name(name)

    @property
    def name(self) -> str:
        return self._name

    @property
    def mean_size(self) -> int:
        """Dimension of the frame of the means."""
        return len(self.means[0]) if self.means else 0

    @property
    def uses_direction(self) -> bool:
        """Whether the target depends on xi . x."""
        return self.target.has(t)

    @property
    def is_classification(self) -> bool:
        """Whether the targets are the numbers +1 and -1, so that the sign of the output is a prediction."""
        return not self.uses_direction and all(self.target.xreplace({symbols.y: label}) ** 2 == 1 for label in self.labels)

    @property
    def own_parameters(self) -> tuple[sp.Symbol, ...]:
        """Those of activation and target, in alphabetical order."""
        return tuple(sorted((self.activation.free_symbols | self.target.free_symbols) - {z, t, symbols.y}, key=lambda s: s.name))

    @property
    def parameters(self) -> tuple[sp.Symbol, ...]:
        own = {*self.own_parameters}.union(*(e.free_symbols for e in (*self.probabilities, *self.labels, *sum(self.means, ()))))
        scales = ("beta", "alpha") if self.exponents else ("spread", "step")
        names = {s.name for s in own} | {*_COUNTS, *scales, *_DEFAULTS, "ridge"}
        return tuple(symbols.symbol(name) for name in sorted(names))

    @property
    def signature(self) -> str:
        state = (self.activation, self.target, self.probabilities, self.labels, self.means)
        text = "|".join(sp.srepr(sp.sympify(part)) for part in state) + f"|{self.direction}|{self.exponents}"
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OneStep) and (self.name, self.signature) == (other.name, other.signature)

    def __hash__(self) -> int:
        return hash((self.name, self.signature))

    def __repr__(self) -> str:
        return f"OneStep({self.activation}, {self.target}, direction={self.direction!r})"

    def at(self, values: Mapping[str, float]) -> OneStepNumbers:
        known = {s.name for s in self.parameters}
        for name in values:
            if name not in known:
                raise InputError(f"unknown parameter {name!r}; this problem has {', '.join(sorted(known))}")
        given = {name: _real(name, value) for name, value in ({**_DEFAULTS, **values}).items()}
        missing = sorted(known - given.keys())
        if missing:
            raise InputError(f"{missing[0]} is missing in the values; this problem has {', '.join(sorted(known))}")
        for name in _COUNTS:
            if given[name] != int(given[name]):
                raise InputError(f"{name} = {given[name]}: an integer is needed")
            check_integers(**{name: (int(given[name]), 2)})
        check_positive("ridge", given["ridge"], "n lambda, a positive number, is needed")
        n, spread, step = int(given["n"]), *self._scales(given)
        for name, low, high in (("alignment", -1.0, 1.0), ("noise", 0.0, 1e6)):
            if not low <= given[name] <= high:
                raise InputError(f"{name} = {given[name]}: a number from {low:g} to {high:g} is needed")
        numbers = {s: given[s.name] for s in self.parameters}
        probabilities = np.array([_value(p, numbers) for p in self.probabilities])
        if (probabilities < 0).any() or abs(probabilities.sum() - 1) > 1e-9:
            raise InputError(f"probabilities = {probabilities.tolist()}: numbers from 0 that add up to 1 are needed")
        labels = np.array([_value(x, numbers) for x in self.labels])
        spikes, means, direction = self._frame(n, given["alignment"], spread, probabilities, numbers)
        if spikes.shape[1] >= n:
            raise InputError(f"n = {n}: more dimensions than the {spikes.shape[1]} of spikes, means and target are needed")
        own = {s.name: given[s.name] for s in self.own_parameters}
        counts = (n, int(given["samples"]), int(given["width"]))
        return OneStepNumbers(
            *counts, given["ridge"], spread, step, given["noise"], probabilities, labels, means, spikes, direction, own, given
        )

    def _scales(self, given: Mapping[str, float]) -> tuple[float, float]:
        """(theta, eta)."""
        if self.exponents:
            beta, alpha = given["beta"], given["alpha"]
            for name, value in (("beta", beta), ("alpha", alpha)):
                if not 0 <= value <= 1:
                    raise InputError(f"{name} = {value}: a number from 0 to 1 is needed")
            return given["n"] ** (beta * (1 - alpha)), given["n"] ** (beta * alpha)
        for name in ("spread", "step"):
            if not 0 <= given[name] <= 1e12:
                raise InputError(f"{name} = {given[name]}: a number from 0 to 1e12 is needed")
        return given["spread"], given["step"]

    def _frame(self, n: int, alignment: float, spread: float, probabilities: np.ndarray, numbers: Mapping[sp.Symbol, float]) -> tuple:
        """(spikes (C, q), means (C, q), direction (q,)) in an orthonormal frame of spikes, means and a random direction's own axis."""
        count, extra = len(self.labels), self.mean_size
        gram = (1 - alignment) * np.eye(count) + alignment
        if np.linalg.eigvalsh(gram)[0] < -1e-9:
            raise InputError(f"alignment = {alignment}: {count} directions need at least {-1 / (count - 1):.4g}")
        aimed = self.uses_direction and self.direction != "random"
        own = gram_root(gram).T if spread > 0 or aimed else np.zeros((count, 0))
        rank, single = own.shape[1], int(self.uses_direction and self.direction == "random")
        size = rank + extra + single
        if size > _LARGEST:
            raise InputError(f"spikes, means and target span {size} dimensions; at most {_LARGEST} are allowed")
        spikes, means = np.zeros((count, size)), np.zeros((count, size))
        spikes[:, :rank] = own
        if extra:
            means[:, rank : rank + extra] = [[_value(x, numbers) for x in row] for row in self.means]
        direction = np.zeros(size)
        if single:
            # On principal axes of the spikes the signs do not matter to the pooled variance, which is that of a uniform direction.
            axes = np.linalg.eigh(np.einsum("c,ci,cj->ij", probabilities, own, own))[1]
            direction[:rank], direction[rank:-1] = axes.sum(axis=1), 1.0
            direction[-1] = math.sqrt(max(n - (size - 1), 1))
        elif aimed:
            weights = np.ones(count) if self.direction == "aligned" else np.array(self.direction)
            direction[:rank] = weights[:count] @ own
            direction[rank : rank + extra] = weights[count:] if len(weights) > count else 0.0
        pooled = np.eye(size) + spread * np.einsum("c,ci,cj->ij", probabilities, spikes, spikes)
        length = np.linalg.norm(direction)
        if aimed and not length > 1e-9:
            raise InputError(f"direction = {self.direction!r}: it vanishes at alignment = {alignment}")
        largest = max(1.0, np.linalg.eigvalsh(pooled)[-1]) if size else 1.0
        return spikes, means, direction / (length * math.sqrt(largest)) if length else direction


def _value(entry: sp.Expr, numbers: Mapping[sp.Symbol, float]) -> float:
    return float(entry if entry.is_Number else entry.subs(numbers))  # most are numbers, and a substitution takes long


def _real(name: str, value: Any) -> float:
    try:
        number = float(value) if not isinstance(value, (bool, str)) else math.nan
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"{name} = {repr(value)[:40]}: a finite number is needed")
    return number


def _expression(what: str, given: Any, variables: Mapping[str, sp.Symbol]) -> sp.Expr:
    """The expression in the alphabet's letters, its variables found by name."""
    if isinstance(given, str):
        raise InputError(f"{what} = {given!r}: a SymPy expression is needed; gmsym.parse reads a text")
    if isinstance(given, sp.Basic):
        for s in given.free_symbols:
            if s.name in variables and s.is_nonnegative:  # a time: max(t, 0) is t already, and no renaming brings it back
                raise InputError(f"{what} = {given}: its {s.name} is a time; write {variables[s.name].name} for a projection")
        given = given.xreplace({s: variables[s.name] for s in given.free_symbols if s.name in variables})
    expr = scalar(given, what)
    reserved = {"x", *_COUNTS, *_DEFAULTS, "ridge", "beta", "alpha", "spread", "step"}
    for s in sorted(expr.free_symbols - {*variables.values()}, key=lambda s: s.name):
        if s.name in reserved or s in (z, t, symbols.y):
            raise InputError(f"{what} = {expr}: {s.name} has a meaning of its own here; it is an expression of {', '.join(variables)}")
    return expr


def _direction(given: Any, clusters: int, mean_size: int) -> str | tuple[float, ...]:
    if isinstance(given, str):
        if given not in ("aligned", "random"):
            raise InputError(f"direction = {given!r}; allowed are aligned, random, or coefficients")
        return given
    weights = tuple(float(x) for x in vector(given, "direction"))
    if len(weights) not in (clusters, clusters + mean_size):
        raise InputError(f"direction has {len(weights)} coefficients; {clusters} on the spikes, or {clusters + mean_size} with the means")
    return weights
