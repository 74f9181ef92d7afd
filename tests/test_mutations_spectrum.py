"""Every sign and every term of a displayed spectrum drives a number (tests/mutation.py)."""

import numpy as np
import pytest

import gmsym as gm
from gmsym import derive, pipeline
from gmsym.engine.bands import _exact
from gmsym.engine.closed_form import deviation
from gmsym.engine.nodes import law
from gmsym.engine.outliers import branches, compressed, overlaps, transform
from gmsym.engine.packed import matrices
from gmsym.engine.stieltjes import stieltjes
from gmsym.pipeline.spectrum import numbers, state_instance
from gmsym.system import spectral as S
from tests.mutation import Enrolled, outcomes, table

h0, h1 = gm.symbols.fields(2)
y, v = gm.symbols.y, gm.symbols.symbol("v")
MIXTURE = {"probabilities": [0.4, 0.6], "labels": [1, -1], "means_gram": [[1.0, -0.5], [-0.5, 1.5]]}
TWO_BLOCKS = gm.GaussianMixture(**MIXTURE, variance=[[0.5, 0.9], [1.3, 0.2]], fractions=[0.3, 0.7])
ONE_BLOCK = gm.GaussianMixture(**MIXTURE, variance=[0.5, 1.3])
EXTENDED = gm.Loss("extended", (h0**2 + h0 * h1 / 2 + h1**2) / 2 - y * h0 + v * h0 / 3 + v**2)
LINE = np.array([-0.5, 0.4, 1.5])


def solved() -> Enrolled:
    """One column, two values: S off the axis, its edges, the outliers' form on both sides, atom and closed form, by the engine."""
    alpha, problem = 0.7, gm.Problem(ONE_BLOCK, gm.losses.hinge(), gm.optimizers.gd(), norm2=1.2, overlap=[0.3, -0.2])

    def found(system):
        module = pipeline.load(system)
        given = numbers(system, state_instance(problem, {"alpha": alpha}, None, None))
        nodes = law(module, given)
        s = transform(stieltjes(module), nodes, LINE, 0.5)
        far = np.array([-8.0, 25.0])
        q, slope = compressed(module, nodes, transform(stieltjes(module), nodes, far).real)
        values, vectors = branches(module, far, q)
        full = matrices(s.reshape(1, -1, len(LINE)), module.SIZE, 1)
        rank = np.sum(nodes.nodes.groups[0].weights * (nodes.nodes.groups[0].matrix[0] != 0))
        with np.errstate(all="ignore"):
            gaps = _exact(module, nodes, vanishing=True)[1]
        ends = [end for gap in gaps for end in ((gap.low, gap.s_low), (gap.high, gap.s_high)) if np.isfinite([end[0], *end[1]]).all()]
        return {
            "edges": np.array([z for z, _ in ends]) * nodes.scale,
            "S at edges": np.array([s for _, s in ends]) / nodes.scale,
            "A": np.asarray(nodes.nodes.groups[0].matrix) * nodes.scale,
            "S": np.stack([s.real, s.imag]) / nodes.scale,
            "density": module.density(nodes.fractions, full),
            "atom": module.atom(alpha, np.ones(1), np.array([rank]), nodes.fractions, LINE, full),
            "branches": values * nodes.scale,
            "overlap": overlaps(module, vectors[:, :, 0], slope),
            "closed form": 1 + deviation(module, given, (LINE + 0.5j) * nodes.scale, s[0] / nodes.scale),
        }

    return Enrolled("spectrum, two values, solved", lambda: derive.spectrum(problem, "information"), found)


def evaluated() -> Enrolled:
    """Two columns, a trained parameter, two blocks: the functions of the generated module at given arrays."""
    problem = gm.Problem(TWO_BLOCKS, EXTENDED, gm.optimizers.gd(), norm2=np.eye(2), overlap=0.1 * np.eye(2), trained=gm.Trained({"v": 0.7}))
    rng = np.random.default_rng(0)
    shapes = {
        **{"rho": (2,), "p": (2,), "sigma2": (2, 2), "mean_rank": (2,), "z": (3,), "w": (4, 3)},
        **dict.fromkeys(("S", "S_slope", "mean_X"), (2, 2, 2, 3)),
        **{"mean_XX": (2, 2, 2, 2, 2, 3), "mean_outer": (2, 4, 4, 3), "Q": (4, 4, 3), "Q_slope": (4, 4, 3)},
        **{"A": (2, 2, 3), "X": (2, 2, 3), "H": (3, 3, 3), "columns": (3, 2, 3), "rows": (2, 3, 3)},
    }
    arrays = {name: rng.uniform(0.2, 1.0, shape) for name, shape in shapes.items()} | {"alpha": 0.7}
    arrays["S"] = arrays["S"] + 0.3j
    shapes = {"inverse_slope": (2, 2, 2, 3), "of a sample": (2, 2, 3)}
    forms = {name: {x: rng.uniform(size=shape) for x in ("form", "form_slope")} for name, shape in shapes.items()}
    names = "form share extended inverse_transform compressed secular form_slope share_slope inverse_slope extended_slope".split()

    def found(system):
        module = pipeline.load(system)
        result = {"matrix": module.matrix(np.ones((len(system.fields), 1)), np.ones(1), (0.7,))}
        for name in (*names, "compressed_slope", "overlap", "density", "atom"):
            function = getattr(module, name)
            given = arrays | forms.get(name, forms["of a sample"])
            result[name] = function(*(given[x] for x in function.__code__.co_varnames[: function.__code__.co_argcount]))
        return {name: np.stack([np.real(x), np.imag(x)]) for name, x in result.items()}

    return Enrolled("spectrum, two columns, evaluated", lambda: derive.spectrum(problem, trained=("v",)), found)


@pytest.mark.slow
@pytest.mark.parametrize("enrolled", [solved(), evaluated()], ids=lambda e: e.name)
def test_every_displayed_sign_and_term_drives_a_number(enrolled):
    """A right-hand side that is dropped altogether is refused: zero has no shape. What vanishes does so with either sign, and of the
    symmetric A the upper triangle is read."""
    found = list(outcomes(enrolled))
    print("\n" + table((enrolled.name, outcome) for outcome in found))

    def expected(outcome):
        of_closed_form = isinstance(outcome.equation, S.closed_form) and outcome.mutation == "the sign of all"
        below = outcome.equation.name == "A" and outcome.mutation.startswith("entry 2:") if outcome.equation.is_Symbol else False
        return of_closed_form or below or "zero is no array" in outcome.detail

    idle = [o for o in found if o.fate in ("refused", "survived") and not expected(o)]
    assert not idle, "\n".join(f"{o.equation}: {o.mutation} ({o.fate}: {o.detail})" for o in idle)
