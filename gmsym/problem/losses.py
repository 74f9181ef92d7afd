"""The catalog of named losses. Each entry is a function that returns a `Loss`; `CATALOG` enrols it in the tests."""

from collections.abc import Callable, Sequence

import sympy as sp

from gmsym import functions, symbols
from gmsym.errors import InputError
from gmsym.problem import _numbers as numbers
from gmsym.problem.loss import Loss
from gmsym.symbols import h, y


def logistic() -> Loss:
    """log(1 + exp(-y h)), labels +-1."""
    return Loss("logistic", sp.log(1 + sp.exp(-y * h)))


def squared() -> Loss:
    """(h - y)^2 / 2: ridge regression; for labels +-1 the least-squares classifier."""
    return Loss("squared", (h - y) ** 2 / 2)


def hinge() -> Loss:
    """max(0, 1 - y h), labels +-1: the soft-margin support vector machine."""
    return Loss("hinge", sp.Max(0, 1 - y * h))


def smoothed_hinge(sharpness: float | sp.Expr = 4) -> Loss:
    """log(1 + exp(s (1 - y h))) / s, the hinge as s -> infinity."""
    s = numbers.positive(sharpness, "sharpness")
    return Loss("smoothed_hinge", sp.log(1 + sp.exp(s * (1 - y * h))) / s, positive={"sharpness": s})


def perceptron() -> Loss:
    """max(0, -y h), labels +-1."""
    return Loss("perceptron", sp.Max(0, -y * h))


def exponential() -> Loss:
    """exp(-y h), labels +-1: boosting."""
    return Loss("exponential", sp.exp(-y * h))


def huber(width: float | sp.Expr = 1) -> Loss:
    """Squared for |h - y| < width, linear beyond."""
    w, r = numbers.positive(width, "width"), h - y
    return Loss("huber", sp.Piecewise((r**2 / 2, sp.Abs(r) < w), (w * sp.Abs(r) - w**2 / 2, True)), positive={"width": w})


def probit() -> Loss:
    """-log Phi(y h), labels +-1."""
    return Loss("probit", -functions.LogNormalCDF(y * h))


def softmax(classes: int = 3) -> Loss:
    """Cross-entropy of C >= 2 classes with one-hot labels: log sum_c exp(h_c) - sum_c y_c h_c."""
    if isinstance(classes, bool) or not isinstance(classes, int) or classes < 2:
        raise InputError(f"classes = {classes!r}: an integer of at least 2 is needed")
    fields, label = symbols.fields(classes), symbols.labels(classes)
    return Loss("softmax", functions.LogSumExp(*fields) - sum(a * b for a, b in zip(label, fields, strict=True)))


def erf_committee(second_layer: Sequence[float] = (1, 1)) -> Loss:
    """(sum_i v_i erf(h_i / sqrt 2) - y)^2 / 2: soft committee machine with a fixed second layer v."""
    return _committee("erf_committee", second_layer, lambda u: sp.erf(u / sp.sqrt(2)))


def relu_committee(second_layer: Sequence[float] = (1, -1)) -> Loss:
    """(sum_i v_i max(0, h_i) - y)^2 / 2: two-layer ReLU network with a fixed second layer v."""
    return _committee("relu_committee", second_layer, lambda u: sp.Max(0, u))


def phase_retrieval() -> Loss:
    """(h^2 - y)^2 / 4: intensities y; the sign of h is lost."""
    return Loss("phase_retrieval", (h**2 - y) ** 2 / 4)


def _committee(name: str, second_layer: Sequence[float], activation: Callable[[sp.Expr], sp.Expr]) -> Loss:
    weights = numbers.vector(second_layer, "second_layer")
    output = sum(v * activation(u) for v, u in zip(weights, symbols.fields(len(weights)), strict=True))
    return Loss(name, (output - y) ** 2 / 2, readout=output)


CATALOG: dict[str, Callable[..., Loss]] = {
    f.__name__: f
    for f in (
        logistic,
        squared,
        hinge,
        smoothed_hinge,
        perceptron,
        exponential,
        huber,
        probit,
        softmax,
        erf_committee,
        relu_committee,
        phase_retrieval,
    )
}
