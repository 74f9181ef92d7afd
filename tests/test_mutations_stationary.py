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
    *("mean_point", "square", "nonzero", "teacher_field", "teachers_in_cluster", "noise_of_teachers", "noise_given_teachers"),
    *("teacher_response", "teacher_overlap", "cluster_teacher_overlap"),
)


def evaluated(name: str, problem: gm.Problem) -> Enrolled:
    """The functions of the generated module at given arrays."""

    def found(system):
        module = pipeline.load(system)
        rng = np.random.default_rng(0)
        F, N, K, B, S = len(system.fields), 5, 2, 2, len(system.teachers)
        shapes = {
            **{"p": (K,), "rho": (B,), "sigma2": (K, B), "gram": (K, K), "m": (K, F), "abar": (K, F), "v": (1,), "on": (B, 3), "q": (B, 3)},
            **{"u": (3,), "nu": (K, 3), "Gamma": (K, K, 3), "e": (B, F, 3), "N": (1, 3)},
            **{"Qk": (K, F, F), "C": (K, F, F), "Ah": (K, F, F), "W": (B, F, F), "S2": (B, 3), "dv": (K, 1, N), "weight": (K, N)},
            **{"omega": (K, F, N), "a": (K, F, N), "D": (K, F, F, N), "ell": (K, N), "wrong": (K, N)},
            **{"star_gram": (S, S), "star_mean": (S, K), "star_gram_k": (S, S, K), "precision": (S, S, K), "zeta": (S, K, N)},
            **{"rest": (K, F, N), "Mk": (S, K, F), "Rz": (S, K, F), "nu_star": (S, 3), "Gamma_mean": (S, K, 3), "Gamma_star": (S, S, 3)},
        }
        arrays = {x: rng.uniform(0.2, 1.0, shape) for x, shape in shapes.items()}
        arrays |= {"alpha": 0.7, "ridge": 0.3, "trained_ridge": 0.2, "l1": 0.4, "unit": np.eye(F)}
        result = {}
        for function in (getattr(module, x) for x in NAMES if hasattr(module, x)):
            code = function.__code__
            given = dict(arrays)
            if function.__name__ in ("share", "mean_point", "square"):
                given["W"], given["N"] = arrays["W"][:, 0], arrays["N"] * (1 + np.arange(B)[:, None])
            result[function.__name__] = function(*(given[x] for x in code.co_varnames[: code.co_argcount]))
        model = (((0.3,),) if system.trained else ()) + ((),)
        z, width = rng.normal(size=(K, F, 7)) * 2, np.stack([np.eye(F) + 0.3, 2 * np.eye(F) - 0.2])
        labels, teacher = np.array([[1.0], [-1.0]]), rng.normal(size=(K, S, 7))
        with eagerly():
            result["h"], result["a"], result["D"] = module.samples(z, width, teacher, labels, *model, np.eye(F))
        for x in ("loss", "wrong", *(["trained_gradient"] if system.trained else [])):
            result[x] = np.stack([getattr(module, x)(z[k], teacher[k], labels[k], *model) * np.ones(7) for k in range(K)])
        return result

    return Enrolled(name, lambda: derive.stationary(problem), found)


t0, t1 = gm.symbols.teachers(2)
TWO_FIELDS = gm.Loss(
    "two_fields", Softplus(-y * h0 - bias + t1) + (h1 - h0 / 2 + t0 / 3) ** 2 / 4 + bias * y / 5, readout=h0 + h1 / 2, target=y + t0 / 4
)
KINKED = gm.Loss("kinked", gm.parse("max(0, 1 - y*h) + (h - t0)**2/9"), target=y)
TEACHERS = gm.Teacher([[1.2, 0.3], [0.3, 0.8]])
SPARSE = gm.Optimizer("ista", {"theta": gm.parse("max(theta-eta*g-eta*l1,0)-max(-theta+eta*g-eta*l1,0)")})


@pytest.mark.slow
@pytest.mark.parametrize(
    "enrolled",
    [
        evaluated(
            "two fields, two teachers, an intercept",
            gm.Problem(MIXTURE, TWO_FIELDS, gm.optimizers.gd(), teacher=TEACHERS, trained=gm.Trained({"bias": 0.1})),
        ),
        evaluated("kinks, a teacher, a soft threshold", gm.Problem(MIXTURE, KINKED, SPARSE, teacher=gm.Teacher([[1.2]]))),
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
