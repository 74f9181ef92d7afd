r"""Problems as they are read: LaTeX for notebooks, plain Python for terminals.

Names are identifiers (`symbols.check_name`), so that nothing that a user typed can hold a command of LaTeX. The nouns themselves show
with these functions, which therefore cannot name their classes.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import sympy as sp

from gmsym.latex import NOTEBOOK, letters, lines, stacked

_LARGEST = 6  # rows and columns of a matrix whose entries are shown
_DIGITS = 4  # of numbers that are given as floats

Line = tuple[str, str]  # both sides of a line of LaTeX


def mixture_latex(data: Any) -> str:
    """The law of a sample, and the clusters as a table."""
    return stacked(aligned(_data(data)), _clusters(data))


def problem_latex(problem: Any) -> str:
    """Risk, loss, data, rule, sampling and start; the clusters as a table; and what needs numbers."""
    rows = [*_risk(problem), *_data(problem.data), *optimizer_lines(problem.optimizer), *_beside(problem)]
    named = ", ".join(rf"\texttt{{{_text(s.name)}}}" for s in problem.parameters)
    return stacked(aligned([*rows, (r"\text{parameters}", named)] if named else rows), _clusters(problem.data))


def optimizer_lines(optimizer: Any) -> list[Line]:
    """The update rule, a line a variable; of a flow the velocity."""
    if optimizer.continuous:
        return [(r"\dot{\theta}", _letters(optimizer.update[0][1]))]
    return [(rf"{letters(v)}_{{t+1}}", _letters(rule)) for v, rule in optimizer.update]


def aligned(rows: Iterable[Line]) -> str:
    """One aligned environment whose right sides are broken at their terms."""
    found = []
    for left, right in rows:
        first, *others = lines(right, width=NOTEBOOK)
        found += [f"{left} &= {first}", *(rf"&\quad {line}" for line in others)]
    return r"\begin{aligned}" + r" \\ ".join(found) + r"\end{aligned}"


def plain(value: Any) -> str:
    """Numbers, expressions and arrays as Python writes them; an array that is too large by its shape."""
    if isinstance(value, sp.MatrixBase):
        return plain(value.tolist()) if max(value.shape, default=0) <= _LARGEST else f"<{value.shape[0]} x {value.shape[1]} numbers>"
    if isinstance(value, np.ndarray):
        return f"<{' x '.join(map(str, value.shape))} numbers>"
    if isinstance(value, (list, tuple)):
        if len(value) > _LARGEST:
            return f"<{len(value)} entries>"
        return f"[{', '.join(map(plain, value))}]"
    return f"{float(value):.6g}" if isinstance(value, sp.Float) else str(value)


def call(name: str, arguments: Sequence[Any] = (), **named: Any) -> str:
    """`name(...)` with plain arguments; what is None is left out."""
    given = [*map(plain, arguments), *(f"{key}={plain(value)}" for key, value in named.items() if value is not None)]
    return f"{name}({', '.join(given)})"


def _letters(expr: sp.Expr) -> str:
    """LaTeX of an expression, floats with four digits, the noise of a rule by its letter."""
    short = {x: sp.Float(x, _DIGITS) for x in expr.atoms(sp.Float)}
    return letters(expr.xreplace(short)).replace(r"\mathrm{noise}", r"\varepsilon")


def _risk(problem: Any) -> Iterator[Line]:
    fields = ",".join(_letters(h) for h in problem.loss.fields)
    mean = r"\mathbb{E}\," if problem.is_online else r"\frac{1}{n} \sum_{i=1}^{n} "
    inside = r"\ell(\Theta^{\top} x, y)" if problem.is_online else r"\ell(\Theta^{\top} x_{i}, y_{i})"
    penalty = "" if problem.ridge == 0 else rf" + \frac{{{_letters(problem.ridge)}}}{{2}} \left|\Theta\right|^{{2}}"
    yield r"\mathcal{R}(\Theta)", mean + inside + penalty
    yield r"\ell", f"{_letters(problem.loss.expr)}" + (rf", \qquad \left({fields}\right) = \Theta^{{\top}} x" if "," in fields else "")


def _data(data: Any) -> Iterator[Line]:
    root = r"\sigma_{k}" if data.embedded is None and data.blocks == 1 else r"\Sigma_{k}^{1/2}"
    yield "x", rf"\mu_{{k}} + {root} z, \qquad z \sim \mathcal{{N}}(0, I_{{d}}), \qquad \mathbb{{P}}(k) = p_{{k}}"
    yield r"\mu^{\top}\mu", _matrix(data.means_gram)
    if data.embedded is not None:
        kind = "diagonal" if data.embedded.covariance is None else r"full"
        yield "d", rf"{data.embedded.d}, \qquad \Sigma_{{k}} \text{{ {kind}, given as numbers}}"
    elif data.blocks > 1:
        yield r"\rho", _vector(data.fractions)


def _clusters(data: Any) -> str:
    """A row a cluster: its probability, label and variances."""
    blocks = 0 if data.embedded is not None else data.blocks
    if data.clusters > 2 * _LARGEST or blocks > _LARGEST:
        return ""
    variances = [r"\sigma_{k}^{2}"] if blocks == 1 else [rf"\sigma_{{k,{b}}}^{{2}}" for b in range(blocks)]
    rows = [["k", "p_{k}", "y_{k}", *variances]]
    for k in range(data.clusters):
        label = data.labels[k]
        shown = _letters(label[0]) if len(label) == 1 else _vector(label)
        rows.append([str(k), _letters(data.probabilities[k]), shown, *(_letters(data.variance[k, b]) for b in range(blocks))])
    body = r" \\ ".join([" & ".join(rows[0]) + r" \\ \hline " + " & ".join(rows[1]), *(" & ".join(row) for row in rows[2:])])
    columns = "c|" + "c" * (len(rows[0]) - 1)
    return rf"\begin{{array}}{{{columns}}}{body}\end{{array}}"


def _beside(problem: Any) -> Iterator[Line]:
    sampling = problem.sampling
    options = "".join(rf", \text{{{_text(k)}}} = {_option(v)}" for k, v in getattr(sampling, "options", ()))
    yield r"\text{sampling}", rf"\text{{{_text(sampling.kind)}}}{options}"
    if problem.start is not None:
        yield r"\Theta_{0}", r"\text{given, }" + r" \times ".join(map(str, problem.start.array.shape))
    else:
        yield r"\Theta_{0}^{\top} \Theta_{0}", _matrix(problem.norm2)
        yield r"\Theta_{0}^{\top} \mu", _matrix(problem.overlap)
    if problem.teacher is not None:
        yield r"\Theta_{\star}^{\top} \Theta_{\star}", _matrix(problem.teacher.gram)
        yield r"\Theta_{0}^{\top} \Theta_{\star}", _matrix(problem.teacher.overlap_with(problem.fields))
    if problem.trained is not None:
        for name, value in zip(problem.trained.names, problem.trained.initial, strict=True):
            yield rf"{_letters(name)}(0)", _letters(value) + r" \quad \text{(trained)}"
    for name, expr in problem.observables:
        yield rf"\text{{{_text(name)}}}", _letters(expr) + r" \quad \text{(observable)}"


def _matrix(matrix: sp.MatrixBase) -> str:
    if matrix.shape == (1, 1):
        return _letters(matrix[0, 0])
    if max(matrix.shape) > _LARGEST:
        return r"\text{numbers, } " + r" \times ".join(map(str, matrix.shape))
    rows = r" \\ ".join(" & ".join(_letters(matrix[i, j]) for j in range(matrix.cols)) for i in range(matrix.rows))
    return rf"\begin{{pmatrix}}{rows}\end{{pmatrix}}"


def _vector(entries: Sequence[sp.Expr]) -> str:
    if len(entries) > 2 * _LARGEST:
        return rf"\text{{{len(entries)} numbers}}"
    return rf"\left({', '.join(map(_letters, entries))}\right)"


def _option(value: Any) -> str:
    return _letters(sp.sympify(value)) if not isinstance(value, (bool, str)) else rf"\text{{{_text(str(value))}}}"


def _text(name: str) -> str:
    """An identifier within \\text."""
    return name.replace("_", r"\_")
