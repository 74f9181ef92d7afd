"""Every sign and every term of a displayed spectrum drives a number (tests/mutation.py)."""

import numpy as np
import pytest
import sympy as sp

import gmsym as gm
from gmsym import derive, pipeline
from gmsym.engine.closed_form import deviation
from gmsym.engine.nodes import law
from gmsym.engine.outliers import branches, compressed, overlaps, transform
from gmsym.engine.packed import matrices
from gmsym.engine.spectral import mass_at_zero
from gmsym.engine.stieltjes import stieltjes
from gmsym.pipeline.spectrum import numbers, state_instance
from tests.mutation import Enrolled, outcomes, table

h0, h1 = gm.symbols.fields(2)
h, y, v = gm.symbols.h, gm.symbols.y, gm.symbols.symbol("v")
MIXTURE = {"probabilities": [0.4, 0.6], "labels": [1, -1], "means_gram": [[1.0, -0.5], [-0.5, 1.5]]}
TWO_BLOCKS = {**MIXTURE, "variance": [[0.5, 0.9], [1.3, 0.2]], "fractions": [0.3, 0.7]}
ONE_BLOCK = {**MIXTURE, "variance": [0.5, 1.3]}
LINE = np.array([-0.5, 0.4, 1.5])


def spectrum(name, loss, data, alpha, matrix="hessian", trained=None):
    fields = len(loss.fields)
    problem = gm.Problem(
        gm.GaussianMixture(**data),
        loss,
        gm.optimizers.gd(),
        norm2=np.eye(fields) + 0.2,
        overlap=np.array([[0.3, -0.2], [0.1, 0.4]])[:fields],
        trained=trained,
    )
    names = () if trained is None else tuple(s.name for s in trained.names)

    def of(system):
        """Off the axis, beyond the bulk on both sides, and at 0: what `gm.spectrum` is made of, without its search for bands."""
        module = pipeline.load(system)
        given = numbers(system, state_instance(problem, alpha, {}, None, None), alpha)
        nodes = law(module, given)
        functions = stieltjes(module)
        s = transform(functions, nodes, LINE, 0.5)
        far = np.array([-8.0, 25.0])
        q, slope = compressed(module, nodes, transform(functions, nodes, far).real)
        values, vectors = branches(module, far, q)
        full = np.asarray(matrices(s.reshape(len(nodes.fractions), -1, len(LINE)), module.SIZE, 1))
        found = {
            "A": np.sort(np.abs(np.asarray(nodes.nodes.groups[0].matrix).ravel())) * nodes.scale,
            "S": np.stack([s.real, s.imag]) / nodes.scale,
            "density": np.asarray(module.density(nodes.fractions, full)) / nodes.scale,
            "atom": mass_at_zero(module, nodes),
            "branches": values * nodes.scale,
            "overlap": overlaps(module, vectors[:, :, 0], slope),
        }
        if module.NAMED is not None:
            found["closed form"] = deviation(module, given, (LINE + 0.5j) * nodes.scale, s[0] / nodes.scale) + 1.0
        return found

    return Enrolled(name, lambda: derive.spectrum(problem, matrix, trained=names), of)


SYSTEMS = [
    spectrum(
        "spectrum, two columns and a trained parameter, two blocks",
        gm.Loss("extended", (h0**2 + h0 * h1 / 2 + h1**2) / 2 - y * h0 + v * h0 / 3 + v**2),
        TWO_BLOCKS,
        3.0,
        trained=gm.Trained({"v": 0.7}),
    ),
    spectrum("spectrum, a number with two values", gm.losses.huber(sp.Rational(4, 5)), ONE_BLOCK, 0.7),
    spectrum("spectrum, two columns and a kink", gm.Loss("kinked", sp.Max(0, h0) ** 2 + h0 * h1 / 2 + h1**2), ONE_BLOCK, 0.7),
]


@pytest.mark.slow
@pytest.mark.parametrize("enrolled", SYSTEMS, ids=lambda e: e.name)
def test_every_displayed_sign_and_term_drives_a_number(enrolled):
    """A right-hand side that is dropped altogether is refused: zero has no shape."""
    found = list(outcomes(enrolled))
    print("\n" + table((enrolled.name, outcome) for outcome in found))
    refused = [o for o in found if o.fate == "refused" and "zero is no array" not in o.detail]
    idle = [f"{o.equation}: {o.mutation} ({o.fate}: {o.detail})" for o in (*refused, *(o for o in found if o.fate == "survived"))]
    assert not idle, "\n".join(idle)
