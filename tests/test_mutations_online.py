"""Every sign and every term displayed of online SGD and of its fluctuations drives a number (tests/mutation.py)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gmsym as gm
from gmsym import derive, pipeline
from gmsym.engine import sde
from gmsym.engine.finite_dimension import at_dimension
from gmsym.pipeline.effective import arrays
from gmsym.runtime import nodes
from gmsym.runtime.arguments import named
from gmsym.runtime.ode import drift, in_coordinates
from gmsym.system import sde as N
from tests.mutation import Enrolled, eagerly, outcomes, table

DATA = {"probabilities": [0.4, 0.6], "labels": [1, -1], "means_gram": [[1.0, -0.3], [-0.3, 0.8]]}
ETA, T = gm.symbols.eta, gm.symbols.t
TAUGHT = gm.Problem(  # two blocks, a teacher, a trained parameter, a schedule
    gm.GaussianMixture(variance=[[0.5, 1.5], [0.8, 1.2]], fractions=[0.25, 0.75], **DATA),
    gm.Loss("taught", gm.parse("(v0*h - t0 - y)**2/2")),
    gm.optimizers.gd(step=ETA / (1 + T)),
    sampling=gm.sampling.online(),
    overlap=[0.3, -0.2],
    teacher=gm.Teacher([[1]], overlap=[0.3], means_overlap=[[0.4, -0.2]]),
    trained=gm.Trained({"v0": 0.8}, ridge=0.2),
)
STATE = arrays(TAUGHT.at({"eta": 0.8, "ridge": 0.1}))
ROOTS = np.random.default_rng(3).normal(size=(2, 5, 5))
APART = gm.Problem(  # covariances that do not commute, a trained parameter, a schedule
    gm.GaussianMixture(
        probabilities=[0.4, 0.6],
        labels=[1, -1],
        means=np.random.default_rng(4).normal(size=(2, 5)) / 2,
        covariance=ROOTS @ ROOTS.swapaxes(1, 2) / 5,
    ),
    gm.Loss("scaled", gm.parse("(v0*h - y)**2/2")),
    gm.optimizers.gd(step=ETA / (1 + T)),
    sampling=gm.sampling.online(),
    start=[0.5, -0.2, 0.1, 0.3, 0.4],
    trained=gm.Trained({"v0": 0.8}, ridge=0.2),
)
TIME = jnp.asarray(0.3)
RNG = np.random.default_rng(0)
SIZE = len(sde.flat(STATE[1]))
ROOT, ZETA, C = RNG.standard_normal((SIZE, SIZE)) / 4, RNG.standard_normal(SIZE), RNG.standard_normal((SIZE, SIZE))


def _drift(system):
    numbers, start = STATE
    return {"drift": sde.flat(drift(pipeline.load(system), TIME, start, numbers, ()))}


def _in_coordinates(system):
    """The drift at a state whose coordinates have spread, and its overlaps."""
    numbers, start = arrays(APART.at({"eta": 0.8, "ridge": 0.1}))
    state, module = start._replace(N=0.1 + 0.1 * jnp.arange(5.0)[:, None, None]), pipeline.load(system)
    return drift(module, TIME, state, numbers, ())._asdict() | in_coordinates(module, state, numbers)


def _fluctuation(system):
    numbers, start = STATE
    module = pipeline.load(system)
    field, rule, x = sde.Drift(module, numbers, start, ()), nodes.rule(*module.SAMPLE_NODES, 0), sde.flat(start)
    P = jnp.asarray(ROOT @ ROOT.T)
    _, dP, dzeta, dC = sde.slopes(field, rule, True, TIME, (x, P, jnp.asarray(ZETA), jnp.asarray(C)))
    Sigma = sde.moments(module, TIME, start, numbers, rule).volatility
    noise = named(module.noise, {"Sigma": Sigma, "c": numbers.step})
    root = sde._symmetric_root(np.asarray(noise))
    step = {"drift": named(module.path_drift, {"DF": C, "xi": ZETA}), "noise": named(module.path_noise, {"Root": root})}
    one = sde.Fluctuations(x[None], P[None], P[None, None], P[None], P[None], P[None], jnp.asarray(ZETA)[None], None)
    with eagerly():
        finite = at_dimension(module, numbers, start, one, 50, ())
    observed = {f"{kind} {name}": x for kind, of in finite._asdict().items() for name, x in of.items()}
    return {"dP": dP, "dzeta": dzeta, "dC": dC, "Sigma": Sigma, "c Sigma": noise} | step | observed


LASTING = gm.Problem(  # the same with a velocity that lasts
    TAUGHT.data,
    gm.Loss("taught", gm.parse("(h - t0 - y)**2/2")),
    gm.optimizers.lasting_momentum(),
    sampling=gm.sampling.online(),
    overlap=[0.3, -0.2],
    teacher=TAUGHT.teacher,
)


def _lasting(system):
    numbers, start = arrays(LASTING.at({"eta": 0.8, "ridge": 0.1, "friction": 0.7}), 2)
    moving = jax.tree.map(lambda x: jnp.asarray(x + 0.3 * np.random.default_rng(1).standard_normal(x.shape)), start)
    return {"drift": sde.flat(drift(pipeline.load(system), TIME, moving, numbers, ()))}


ODE = derive.effective(TAUGHT)
SYSTEMS = [
    Enrolled("effective dynamics", lambda: derive.effective(TAUGHT), _drift),
    Enrolled("effective dynamics in coordinates", lambda: derive.effective(APART), _in_coordinates),
    Enrolled("a velocity that lasts", lambda: derive.effective(LASTING), _lasting),
    Enrolled("fluctuations", lambda: derive.fluctuations(ODE), _fluctuation, lambda system: system.fluctuation),
]


def _idle(outcome):
    """Whether a mutant changed nothing; one without a right side may be refused, as no array, and Sigma is even in F."""
    if outcome.fate == "refused":
        return outcome.mutation != "all dropped"
    return outcome.fate == "survived" and not (isinstance(outcome.equation, N.F) and outcome.mutation == "the sign of all")


@pytest.mark.slow
@pytest.mark.parametrize("enrolled", SYSTEMS, ids=lambda e: e.name)
def test_every_displayed_sign_and_term_drives_a_number(enrolled):
    found = list(outcomes(enrolled))
    print("\n" + table((enrolled.name, outcome) for outcome in found))
    idle = [f"{o.equation}: {o.mutation} ({o.fate}: {o.detail})" for o in found if _idle(o)]
    assert not idle, "\n".join(idle)
