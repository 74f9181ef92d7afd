"""What each letter of a system's equations means, with its shape: from the equation that computes it, or from the tables below."""

import re
from collections.abc import Iterable
from typing import NamedTuple

import sympy as sp

from gmsym.calculus.kernels import Kernel
from gmsym.latex import letters, prose
from gmsym.system.equations import Equation, Phrase


class Letter(NamedTuple):
    """A row of a legend."""

    latex: str
    meaning: str
    shape: str  # LaTeX; "" for a number


_AXES = {"c": "C", "d": "C", "p": "P", "r": "O"}
_AT_START = " at the start"
_BLOCK = re.compile(r"(:| of|,? in)( mean over)?( the coordinates of)? block b(, times d)?|; with a block.*")
_STEM = re.compile(r"(\\?[A-Za-z]+?)(?:[0-9]+|_[0-9a-z{].*|\(.*\))?$")

# Letters that nothing computes: numbers of the problem, indices, sources of randomness. Keys are names, of a kernel or of a symbol.
_COMMON = {
    "K": "number of clusters",
    "B": "number of blocks of coordinates",
    "C": "number of fields",
    "D": "number of coordinates, d",
    "k": "cluster",
    "l": "cluster",
    "l'": "cluster",
    "b": "block of coordinates",
    "t": "time",
    "s": "earlier time",
    "r": "earlier time",
    "r'": "earlier time",
    "i": "direction",
    "j": "direction",
    "x": "coordinate",
    "n": "number of samples",
    "d": "dimension",
    "p": "probability of cluster k",
    "rho": "fraction of the coordinates in block b",
    "sigma2": "variance of cluster k, in block b",
    "variance": "variance of cluster k",
    "gram": "inner product of two means; with a block, mean product of their coordinates there, times d",
    "mu": "mean of cluster k, one coordinate",
    "alpha": "samples a dimension, n/d",
    "eta": "step",
    "lambda": "ridge",
    "momentum": "momentum",
    "rate": "share of the samples in a step",
    "batches": "batches of a pass",
    "y": "label",
    "z": "variable of a Gaussian mean",
    "ell": "loss of a sample",
    "I": "identity matrix",
    "h": "local field",
    "tau": "field of a teacher direction",
    "w": "a sample's own noise",
    "omega": "Gaussian part of the field, mean 0",
    "xi": "noise of the gradient, one coordinate, mean 0",
    "eps": "noise of the optimizer, one coordinate, N(0, 1/d)",
    "normal": "iid N(0, 1), one coordinate",
    "l1": "penalty of the absolute values, times sqrt(d)",
    r"\varepsilon": "noise of the optimizer, one coordinate, N(0, 1/d)",
    "temperature": "temperature",
    "zeta": "Gaussian part of a teacher's field, mean 0",
    "Ra": "response of the gradients to their fields",
    "Rz": "response of the gradients to a teacher's field",
}
_BY_KIND = {
    "CausalKernels": {
        "Q": "covariance of the fields in the cluster",
        "S": "number of teacher directions",
        "e": "teacher direction",
        "e'": "teacher direction",
        r"\tau": "field of a teacher direction",
        "W": "response of a coordinate to the gradient",
        r"\Theta": "parameters, one coordinate of block b",
        "G": "gradient of the risk, one coordinate of block b",
        "s": "earlier time; with an index, the state of a sample",
        "u": "uniform number, fresh at every step",
        "star": "teacher direction, one coordinate of block b",
        "Q_0": "overlap of Theta at the start with itself: mean over the coordinates of block b, times d",
        "m_0": "overlap of Theta at the start with the mean of cluster k: mean over block b, times d",
        "M_0": "overlap of Theta at the start with a teacher direction: mean over block b, times d",
        "star_mean_b": "product of a teacher direction and a mean: mean over block b, times d",
        "start": "Theta at the start, coordinate b",
        "mean": "mean of cluster k, coordinate b",
        "Sigma": "covariance of cluster k",
        "b'": "coordinate",
        "i'": "direction",
        "j'": "direction",
        "Lt": "coefficient of Theta in an innovation",
        "Lw": "Cholesky factor of the innovations' Gram matrix in cluster k",
        "Bt": "response of the gradients to an innovation of Theta",
        "e_D": "known part of an innovation of Theta",
        "H": "number of coordinates that respond to each other's noise, the first ones",
        **dict.fromkeys(("q", "q'", "q''", "q'''"), "one of the first H coordinates"),
        "Sh": "covariance of cluster k, of two of the first H coordinates",
        "unit": "1 where two indices are the same, else 0",
        "tail": "1 beyond the first H coordinates, else 0",
        "pair": "product of two coordinates' pooled variances",
        "star_gram": "inner product of two teacher directions",
        "star_mean": "inner product of a teacher direction and a mean",
        "tau": "field of a teacher direction",
        "w": "a sample's own noise",
        "theta": "parameters, one coordinate",
        "v": "state of the optimizer, one coordinate",
    },
    "Recursion": {
        "Q": "covariance of the fields in the cluster",
        "phi": "fluctuation, exactly N(0, 1)",
        "psi": "fluctuation, exactly N(0, 1)",
        "q": "orthonormal direction of the parameters",
        "u": "orthonormal direction of the gradients",
        "z": "fresh Gaussian vector of a direction of the gradients",
        "g": "fresh Gaussian vector of a direction of the parameters",
        "L": "Cholesky factor of the parameters' Gram matrix",
        "M": "Cholesky factor of the gradients' Gram matrix",
        "Theta": "parameters, one coordinate",
        "G": "gradient of the risk, one coordinate",
        "v": "state of the optimizer, one coordinate",
        "column": "one column of the parameters",
        "theta": "parameters",
        "deviation": "standard deviation of cluster k at a coordinate",
        "of_coordinate": "weight of a coordinate, 1",
        "of_sample": "weight of a sample, 1 or 0",
        "q_new": "new direction of the parameters",
        "g_new": "its fresh Gaussian vector",
        "u_new": "new direction of the gradients",
        "z_new": "its fresh Gaussian vector",
        "means": "mean of cluster k at a coordinate",
        "counts": "samples of cluster k",
        "n_k": "samples of cluster k",
        "n_tot": "number of samples",
        "loss": "loss of a sample",
        "c": "field",
        "s": "earlier time; with an index, the state of a sample",
        r"\Theta": "parameters, one coordinate of block b",
        r"\varepsilon": "noise of the rule, N(0, 1/d), fresh at every step",
        "a": "gradient of the loss in the fields",
    },
    "FiniteSize": {
        "held": "projection on an earlier direction, as the run has it",
        "opened": "1 if a direction opens",
        "exists": "1 for a sample that is there",
        "Zq": "product of the noise with a direction of the parameters",
        "Zu": "product of the noise with a direction of the gradients",
        "slope": "gradients of one field",
        "fit": "least-squares coefficient on what the start fixes",
        "known": "moments of a block that the start fixes",
        "J": "number of those moments",
        "f_b": "moments of block b that the start fixes",
        "f": "moments of block b that the start fixes",
        "of_blocks": "variance from the coordinates, over blocks",
        "double": "mean at size 2n",
        "single": "mean at size n",
    },
    "Ode": {
        "t": "time, steps times c/d",
        "c": "step, delta = c/d",
        "c_v": "step of the trained parameters",
        "beta": "ridge",
        "beta_v": "ridge of the trained parameters",
        "s": "teacher direction",
        "r": "teacher direction",
        "T": "number of teacher directions",
        "tau_mean": "inner product of a teacher direction and a mean",
        "tau_gram": "inner product of two teacher directions",
        "b": "gradient of the loss in the trained parameters",
        "J": "what the gradient of the loss moves: theta and the states that last",
        "W": "what else moves them, as a decay",
        "Pi": "theta among them",
        "b'": "coordinate",
        "mean": "coordinate b of the mean of cluster k",
        "Sigma": "covariance of cluster k",
        "Theta": "coordinate b of the parameters",
        "D": "its mean over the samples before",
        "P": "mean of its square over the samples before",
        "N": "its covariance over the samples before",
        "a": "gradient of the loss in the fields",
        "h": "fields of a fresh sample",
        "rate": "schedule of the step",
        "m": "mean of the fields in the cluster",
        "V": "covariance of the fields in the cluster",
        "v": "trained parameters",
        "Q": "overlaps of the parameters",
        "M": "overlap with a teacher direction",
        "u": "field of a mean",
        "bias": "trained parameter",
        "abar": "mean gradient",
        "A": "mean Hessian",
        "S": "second moment of the gradient",
        "bbar": "mean gradient in the trained parameters",
    },
    "Sde": {
        "xi": "fluctuation, sqrt(d) times the deviation from the effective dynamics",
        "dB": "increment of Brownian motion",
        r"\mathrm{d}t": "increment of time",
        "DF": "Jacobian of the drift along the effective dynamics",
        "D2F": "second derivative of the drift",
        "phi": "increment of one sample",
        "chi": "increment of one sample to second order",
        "rank": "rank of the Gram matrix of the vectors behind the fields",
        "Dual": "inverse of that Gram matrix on its range",
        "N": "number of those vectors",
        "W": "second moment of their fields given (h, tau)",
        "Df": "derivative of an observable in the statistics",
        "D2f": "second derivative of an observable",
        "Q": "overlaps of the parameters",
        "m": "overlap with the mean of cluster l",
        "M": "overlap with a teacher direction",
        "v": "trained parameters",
        "tau": "field of a teacher direction",
        "w": "a sample's own noise",
        "P": "covariance of the fluctuation",
        "Root": "root of the covariance of a step",
        "R": "root of the covariance of the fluctuation",
        "C": "covariance of the fluctuation at two times",
        "zeta": "mean deviation from the effective dynamics, times d",
        "s": "earlier time; as an index, one of the vectors behind the fields",
        "r": "one of the vectors behind the fields",
    },
    "Spectral": {
        "z": "spectral parameter",
        "x": "point of the real axis",
        "w": "unit null vector of zI - Q(z)",
        "h": "field",
        "u": "field, without the null direction of the loss",
        "t": "field of a teacher direction",
        "bias": "trained parameter",
        "A": "Hessian of the loss, or square of its gradient, in the fields",
        "D": "zI - Q(z)",
        "a": "A of a sample, where the variances of all clusters are proportional: c_k A",
        r"\mathbb{E}u": "mean of u over all samples",
        r"\mathbb{E}u^2": "mean of its square",
        "sigma": "standard deviation of both clusters",
        "v": "trained parameter",
        r"\hat Y\hat Y^{\top}": "square of the sample in the span of parameters, means and teacher",
    },
}
_BY_KIND["Flow"] = _BY_KIND["CausalKernels"] | {
    "chi": "coefficient of an iterate in the scheme",
    "gamma": "coefficient of a velocity in the scheme, times its step",
    "kappa": "1 while the scheme keeps the start of its step, else 0",
}
_BY_KIND["Stationary"] = {
    "z": "field of a sample that is left out of training",
    "V": "how far a sample's gradient moves its own field",
    "unit": "identity matrix",
    "h": "field in training",
    "v": "trained parameters",
    "l1": "penalty of the absolute values, times sqrt(d)",
    "u": "share of a component in the law of the means' coordinates; with another index, a field",
    "nu": "mean of a scaled coordinate of a cluster's mean in component i",
    "Gamma": "covariance of scaled coordinates of two means in component i",
    "N": "mean of minus a scaled coordinate's source in component i",
    "rest": "noise of the field beside what the teachers' fields tell of it",
    "precision": "inverse of the teachers' Gram matrix in the metric of cluster k",
    "nu_star": "mean of a scaled coordinate of a teacher direction in component i",
    "Gamma_mean": "covariance of scaled coordinates of a teacher direction and a mean in component i",
    "Gamma_star": "covariance of scaled coordinates of two teacher directions in component i",
    "star": "teacher direction, one coordinate of block b",
    "star_gram": "inner product of two teacher directions",
    "star_mean": "inner product of a teacher direction and a mean",
    "e": "teacher direction; with a block, mean of the soft threshold",
    "e'": "teacher direction",
    "S": "number of teacher directions",
    r"\tau": "field of a teacher direction",
    "t": "field of a teacher direction",
    "A": "Hessian of the loss in the fields; in sums, number of components",
    "i": "component of the law of the means' coordinates",
    "theta": "parameters, one coordinate",
    "bias": "trained parameter",
}
_BY_KIND["FixedPoint"] = {
    "n": "input dimension",
    "m": "samples",
    "k": "width",
    "q": "number of low-dimensional projections; with kappa, the share of the residual that a sample keeps",
    "T": "trace of the pooled covariance",
    "c": "mean of a preactivation, given the projections and a neuron's weights",
    "v": "variance of a preactivation",
    "v'": "variance of another preactivation",
    "kappa": "projections of a sample on spikes, means and the target's direction",
    "chi": "relative excess of a sample's squared norm beyond the projections",
    "u": "gradient spike along a projection",
    "delta": "1 for i = j, else 0; of a sample, its leverage",
    "e": "mean square of the activation (e_2) and of its slope (e_1)",
    "nu": "effective ridge, the first unknown",
    "beta": "exponent; of a neuron, its coefficients along the projections",
    "beta_D": "exponent of the data spike",
    "beta_G": "exponent of the gradient's spike",
    "sigma": "standard deviation of the target's noise",
    "E": "mean square of a feature (E_2), error of a cluster (E)",
    "M": "mean of a feature",
    "f": "what a Gram matrix weighs by; with a number, Hermite coefficients of a second feature",
    "N": "samples or neurons, of a response",
    "L": "effective ridge of a response",
    "R": "response of samples or of neurons",
    "R_0": "response of the mean",
    "psi": "features of a sample along the projections",
    "A": "a neuron's weights along the projections",
    "T_F": "Gram matrix of the neurons' means",
    "G_X": "Gram matrix of the samples' means",
    "g": "squared residual of a sample",
    "S": "second moments of the features in a cluster",
    "P": "second moments reduced by the resolvent",
    "P_a": "second moments of a cluster reduced by the resolvent",
    "P_b": "second moments of another cluster",
}
_BY_KIND["Passes"] = _BY_KIND["CausalKernels"]
_BY_KIND["FiniteSize"] = _BY_KIND["CausalKernels"] | _BY_KIND["Recursion"] | _BY_KIND["FiniteSize"]
_BY_KIND["Sde"] = {**_BY_KIND["Ode"], **_BY_KIND["Sde"]}


def legend(equations: Iterable[Equation], kind: str = "", blocks: int | None = None) -> tuple[Letter, ...]:
    """The letters of `equations` in the order in which they appear, one row a letter.

    Args:
        equations: of one system, as they are shown.
        kind: name of the system's class, whose letters may have meanings of their own.
        blocks: of coordinates; where there is one, meanings do not speak of it.
    """
    equations = tuple(equations)
    table = {**_COMMON, **_BY_KIND.get(kind, {})}
    computed = _computed(equations)
    rows: dict[str, Letter] = {}
    for equation in equations:
        for found in (*_letters(equation.lhs), *_letters(equation.rhs)):
            if found.identity in rows:
                continue
            shown, meaning = computed.get(found.identity, (found.latex, ""))
            # What a kernel means its equation says; a symbol may be an index here that is computed elsewhere.
            known = [meaning, table.get(found.key)] if found.identity.startswith("kernel") else [table.get(found.key), meaning]
            said = next(filter(None, known), _adjoint(found.key, table))
            rows[found.identity] = Letter(shown, _BLOCK.sub("", said) if blocks == 1 else said, found.shape)
    return tuple({row.latex: row for row in reversed(rows.values())}.values())[::-1]


def _computed(equations: Iterable[Equation]) -> dict[str, tuple[str, str]]:
    """LaTeX and meaning of the letters that stand alone on a left side; the rule of a step before the value at the start."""
    rows: dict[str, tuple[str, str]] = {}
    for equation in equations:
        if not isinstance(equation.lhs, (Kernel, sp.Symbol)):
            continue
        identity = _letter(equation.lhs).identity
        if identity not in rows or rows[identity][1].endswith(_AT_START):
            rows[identity] = letters(equation.lhs), equation.meaning
    return rows


def legend_latex(rows: Iterable[Letter]) -> str:
    """A legend as one `array` of LaTeX."""
    lines = (rf"{row.latex} & {prose(row.meaning)} & {row.shape}" for row in rows if row.meaning)
    return "\\begin{array}{lll}\n" + " \\\\\n".join(lines) + "\n\\end{array}"


class _Found(NamedTuple):
    latex: str
    identity: str
    key: str  # in the tables
    shape: str


def _letters(expr: sp.Expr) -> list[_Found]:
    found = (x for x in sp.preorder_traversal(expr) if not isinstance(x, Phrase))
    return [_letter(x) for x in found if isinstance(x, Kernel) or isinstance(x, sp.Symbol) and x.name]


def _letter(x: Kernel | sp.Symbol) -> _Found:
    if isinstance(x, Kernel):
        kind = type(x)
        shape = r" \times ".join(_AXES[axis] for axis in kind.value if axis in _AXES)
        return _Found(letters(x), f"kernel {kind.__name__} {kind.symbol} {len(x.args)}", kind.__name__, shape)
    return _Found(letters(x), f"symbol {x.name}", _stem(x.name), "")


def _stem(name: str) -> str:
    """The letter of a numbered or displayed symbol: `y` of `y_{k0}`, `v` of `v1`, `V` of `V_0_1`."""
    return name if name in _COMMON or (match := _STEM.match(name)) is None else match.group(1)


def _adjoint(key: str, table: dict[str, str]) -> str:
    if not key.endswith("_bar"):
        return ""
    return f"derivative of an output in it: {table.get(key.removesuffix('_bar'), 'see the letter under the hat')}"
