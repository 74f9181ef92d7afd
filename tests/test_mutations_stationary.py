"""Every sign and every term of the displayed stationary limit drives a number (tests/mutation.py)."""

import numpy as np
import pytest

import gmsym as gm
from gmsym import derive, pipeline
from gmsym.functions import Softplus
from tests.mutation import Enrolled, eagerly, outcomes, table

h0, h1 = gm.symbols.fields(2)
h, y, bias = gm.symbols.h, gm.symbols.y, gm.symbols.symbol("bias")
MIXTURE = gm.GaussianMixture(
    probabilities=[0.4, 0.6], labels=[1, -1], means_gram=[[1.0, -0.5], [-0.5, 1.5]], variance=[[0.5, 0.9], [1.3, 0.2]], fractions=[0.3, 0.7]
)
NAMES = (
    *("field", "noise_of_fields", "mean_gradient", "correlation", "integrated_response", "gain", "width", "mean_overlap", "overlap"),
    *("cluster_overlap", "trained_risk_gradient", "train_loss", "train_error", "source_mean", "source_variance", "share"),
    *("mean_point", "square", "nonzero"),
)


def evaluated(name: str, problem: gm.Problem) -> Enrolled:
    """The functions of the generated module at given arrays."""

    def found(system):
        module = pipeline.load(system)
        rng = np.random.default_rng(0)
        F, N, K, B = len(system.fields), 5, 2, 2
        shapes = {
            **{"p": (K,), "rho": (B,), "sigma2": (K, B), "gram": (K, K), "m": (K, F), "abar": (K, F), "v": (1,), "on": (B, 3), "q": (B, 3)},
            **{"u": (3,), "nu": (K, 3), "Gamma": (K, K, 3), "e": (B, F, 3), "N": (1, 3)},
            **{"Qk": (K, F, F), "C": (K, F, F), "Ah": (K, F, F), "W": (B, F, F), "S2": (B, 3), "dv": (K, 1, N), "weight": (K, N)},
            **{"omega": (K, F, N), "a": (K, F, N), "D": (K, F, F, N), "ell": (K, N), "wrong": (K, N)},
        }
        arrays = {x: rng.uniform(0.2, 1.0, shape) for x, shape in shapes.items()}
        arrays |= {"alpha": 0.7, "ridge": 0.3, "trained_ridge": 0.2, "l1": 0.4, "unit": np.eye(F)}
        result = {}
        for function in (getattr(module, x) for x in NAMES if hasattr(module, x)):
            code = function.__code__
            given = dict(arrays)
            if function.__name__ in ("share", "mean_point", "square"):
                given["W"] = arrays["W"][:, 0]
            result[function.__name__] = function(*(given[x] for x in code.co_varnames[: code.co_argcount]))
        model = (((0.3,),) if system.trained else ()) + ((),)
        z, width = rng.normal(size=(K, F, 7)) * 2, np.stack([np.eye(F) + 0.3, 2 * np.eye(F) - 0.2])
        labels = np.array([[1.0], [-1.0]])
        with eagerly():
            result["h"], result["a"], result["D"] = module.samples(z, width, labels, *model, np.eye(F))
        for x in ("loss", "wrong", *(["trained_gradient"] if system.trained else [])):
            result[x] = np.stack([getattr(module, x)(z[k], labels[k], *model) * np.ones(7) for k in range(K)])
        return result

    return Enrolled(name, lambda: derive.stationary(problem), found)


TWO_FIELDS = gm.Loss("two_fields", Softplus(-y * h0 - bias) + (h1 - h0 / 2 + y / 3) ** 2 / 4 + bias * y / 5, readout=h0 + h1 / 2)
SPARSE = gm.Optimizer("ista", {"theta": gm.parse("max(theta-eta*g-eta*l1,0)-max(-theta+eta*g-eta*l1,0)")})


@pytest.mark.slow
@pytest.mark.parametrize(
    "enrolled",
    [
        evaluated("two fields, an intercept", gm.Problem(MIXTURE, TWO_FIELDS, gm.optimizers.gd(), trained=gm.Trained({"bias": 0.1}))),
        evaluated("kinks, a soft threshold", gm.Problem(MIXTURE, gm.losses.hinge(), SPARSE)),
    ],
    ids=lambda e: e.name,
)
def test_every_displayed_sign_and_term_drives_a_number(enrolled):
    found = list(outcomes(enrolled))
    print("\n" + table((enrolled.name, outcome) for outcome in found))
    idle = [o for o in found if o.fate == "survived"]
    assert not idle, "\n".join(f"{o.equation}: {o.mutation} ({o.fate}: {o.detail})" for o in idle)
    refused = [o for o in found if o.fate == "refused"]
    assert len(refused) <= len(found) // 4, "\n".join(f"{o.equation}: {o.mutation} ({o.detail})" for o in refused)
