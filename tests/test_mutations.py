"""Every sign and every term of every displayed system drives a number (tests/mutation.py says how to enrol one)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sympy as sp

import gmsym as gm
from gmsym import derive, pipeline
from gmsym.engine.causal_step import Population, Room, start, step
from gmsym.engine.coordinates import Start, population
from gmsym.problem.design import start as start_of
from gmsym.runtime.points import sobol, whiten
from gmsym.symbols import eta, g, symbol, theta
from tests.mutation import Enrolled, eagerly, mutants, outcomes, table

h, y = gm.symbols.h, gm.symbols.y
TWO_BLOCKS = {
    "probabilities": [0.4, 0.6],
    "means_gram": [[1.0, -0.3], [-0.3, 0.8]],
    "variance": [[0.5, 1.5], [0.8, 1.2]],
    "fractions": [0.5, 0.5],
}
UNEQUAL = gm.GaussianMixture(labels=[1, -1], **TWO_BLOCKS)
START = {"norm2": 1.0, "overlap": [0.3, -0.2]}
PERSISTENT = gm.sampling.persistent(sp.Rational(1, 2), 2)
BIASED = gm.Loss("biased", gm.parse("log(1 + (1 - y*(h + bias))**2) + h**2/10"))
SHRINKING = gm.Optimizer(
    "shrinking",
    {
        "theta": sp.sign(theta - eta * symbol("v")) * sp.Max(sp.Abs(theta - eta * symbol("v")) - eta * symbol("l1"), 0),
        "v": symbol("decay") * symbol("v") + g,
    },
)
PROBIT_LIKE = gm.Loss("odd", sp.log(1 + (1 - y * h) ** 2))


def _surrogate(problem, **values):
    def numbers(system):
        with eagerly():
            found = gm.solve(system, values, n=20, d=10, steps=4, replicates=2, progress=False)
        return {name: found[name].values for name in ("m", "Q", "Q_k", "train_loss")}

    return Enrolled(f"surrogate, {problem.optimizer.name}", lambda: derive.surrogate(problem), numbers)


def _dmf(problem, response, closure="diagonal", **values):
    """Through generated text and the engine's step, on few points; all order parameters and the gradients' kernel."""

    def numbers(system):
        module = pipeline.load(system)
        instance = system.problem.at({**values, "alpha": 1.5})
        given = jax.tree.map(jnp.asarray, pipeline.numbers(instance))
        room, points, coordinates = 4 * module.FIELDS + 1, None, None
        if system.update is not None:
            shape = module.BLOCKS, module.FIELDS, module.CLUSTERS
            coordinates = jax.tree.map(jnp.asarray, population(Start(*start_of(instance)), *shape, 64, 2, 12, room))
        if system.response != "exact":
            points = Population(jnp.asarray(whiten(sobol(64, room, 1)))[None], jnp.asarray(1), jnp.asarray(1), coordinates)
        with eagerly():
            carry, rows = jax.tree.map(jnp.asarray, start(module, given, Room(room, room), 1, 64, coordinates)), []
            for now in range(4):
                carry, row = step(module, given, points, 1e-12, carry, jnp.asarray(now))
                rows.append(row)
        names = ("m", "Q", "Q_k", "train_loss", "La", *(x for x in ("nonzero", "trained", "M") if x in rows[0]))
        return {name: jnp.stack([row[name] for row in rows]) for name in names}

    where = "" if problem.data.embedded is None else ", in coordinates" + (f", {closure}" if closure != "diagonal" else "")
    name = f"DMF, {problem.loss.name}, {problem.optimizer.name}, {response}{where}"
    return Enrolled(
        name, lambda: derive.dmf(problem, response=response, closure=closure), numbers, lambda s: (*s.kernel_form, *s.innovation_form)
    )


RNG = np.random.default_rng(3)
ROOTS = RNG.normal(size=(2, 5, 5))
APART = gm.GaussianMixture(  # covariances that do not commute, in coordinates
    probabilities=[0.4, 0.6], labels=[1, -1], means=RNG.normal(size=(2, 5)) / 2, covariance=ROOTS @ ROOTS.swapaxes(1, 2) / 5
)
PLACE = {"start": RNG.normal(size=5) / 2}

FREE = {  # innovations of Theta may be orthonormal in any metric
    "without Sum(pair(q, q')*Z(q, q', j, t)*Transposed(Z(q, q', j, s)), (q, 1, H), (q', 1, H), (j, 1, r_a))/n"
}
CONSTANT = {"without -h_{k}(t)*y_{k}"}  # the hinge loss of no field is no function of the samples, and refused as such
SYSTEMS = [
    _dmf(gm.Problem(UNEQUAL, gm.losses.squared(), gm.optimizers.heavy_ball(), **START), "exact", eta=0.7, momentum=0.5, ridge=0.1),
    _dmf(gm.Problem(UNEQUAL, PROBIT_LIKE, gm.optimizers.heavy_ball(), **START), "tangent", eta=0.7, momentum=0.5, ridge=0.1),
    _dmf(gm.Problem(UNEQUAL, gm.losses.hinge(), gm.optimizers.heavy_ball(), **START), "stein", eta=0.7, momentum=0.5, ridge=0.1),
    _dmf(gm.Problem(UNEQUAL, PROBIT_LIKE, gm.optimizers.gd(), sampling=PERSISTENT, **START), "stein", eta=0.7, ridge=0.1),
    _dmf(
        gm.Problem(UNEQUAL, BIASED, SHRINKING, **START, trained=gm.Trained({"bias": 1.5}, ridge=0.3)),
        "stein",
        eta=0.7,
        l1=0.1,
        decay=0.7,
        ridge=0.1,
    ),
    _dmf(gm.Problem(APART, PROBIT_LIKE, gm.optimizers.heavy_ball(), **PLACE), "tangent", eta=0.7, momentum=0.5, ridge=0.1),
    _dmf(gm.Problem(APART, PROBIT_LIKE, gm.optimizers.heavy_ball(), **PLACE), "stein", closure=3, eta=0.7, momentum=0.5, ridge=0.1),
    _surrogate(gm.Problem(UNEQUAL, PROBIT_LIKE, SHRINKING, **START), eta=0.7, l1=0.3, decay=0.7, ridge=0.1),
    _surrogate(gm.Problem(UNEQUAL, PROBIT_LIKE, gm.optimizers.heavy_ball(), **START), eta=0.7, momentum=0.5, ridge=0.1),
    _surrogate(gm.Problem(UNEQUAL, PROBIT_LIKE, gm.optimizers.gd(), sampling=PERSISTENT, **START), eta=0.7, ridge=0.1),
]


def test_a_mutant_is_made_of_every_sign_and_term():
    a, b, c = sp.symbols("a b c")
    i = sp.Symbol("i", integer=True)
    found = [changed for _, changed in mutants(a - sp.Sum(b * (c + i), (i, 0, 3)))]
    total = sp.Sum(b * (c + i), (i, 0, 3))
    assert set(found) >= {a + total, a, -total, -a - total, a - sp.Sum(b * i, (i, 0, 3)), a - sp.Sum(b * (c - i), (i, 0, 3))}
    assert [x for _, x in mutants(sp.S.Zero)] == [1]


@pytest.mark.slow
@pytest.mark.parametrize(
    "enrolled",
    [pytest.param(e, marks=pytest.mark.exhaustive) if e.name.endswith(", 3") else e for e in SYSTEMS],  # its parts are guarded by others
    ids=lambda e: e.name,
)
def test_every_displayed_sign_and_term_drives_a_number(enrolled):
    """Each term flipped or dropped, in turns; what DMF systems share is changed in the first of them."""
    earlier = [e for e in SYSTEMS[: SYSTEMS.index(enrolled)] if e.name.split(",")[0] == enrolled.name.split(",")[0]]
    known = {(x.lhs, x.rhs) for e in earlier for x in e.equations(e.derive())}
    found = list(outcomes(enrolled, both=False, known=known))
    print("\n" + table((enrolled.name, outcome) for outcome in found))
    found = [o for o in found if o.mutation not in FREE]
    noticed = [o for o in found if o.fate not in ("survived", "refused") or (o.fate == "refused" and o.mutation in CONSTANT)]
    idle = [f"{o.equation}: {o.mutation} ({o.fate}: {o.detail})" for o in found if o not in noticed]
    assert not idle, "\n".join(idle)
