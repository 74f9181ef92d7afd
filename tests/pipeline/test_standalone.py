"""A file of its own: without gmsym, equinox, diffrax and the rest it prints what gm.solve gives."""

import subprocess
import sys

import numpy as np
import pytest

import gmsym as gm
from gmsym.errors import InputError

h, y = gm.symbols.h, gm.symbols.y
MIXTURE = gm.GaussianMixture.symmetric(label=y)
VALUES = {"alpha": 1.5, "sigma": 1.0, "mu_norm": 1.2, "eta": 0.5, "ridge": 0.05}
ONLINE_VALUES = {"sigma": 1.0, "mu_norm": 1.2, "eta": 0.5}
STEIN = gm.Problem(MIXTURE, gm.losses.logistic(), gm.optimizers.gd())
EXACT = gm.Problem(MIXTURE, gm.losses.squared(), gm.optimizers.gd())
BATCHES = gm.Problem(MIXTURE, gm.losses.hinge(), gm.optimizers.gd(), sampling=gm.sampling.bernoulli(0.5))
ONLINE = gm.Problem(MIXTURE, gm.losses.logistic(), gm.optimizers.gd(), sampling=gm.sampling.online())
POINTS = {"steps": 5, "samples": 128, "scrambles": 2, "seed": 3}
CASES = {  # system, values, options, how close to gm.solve with the same options
    "stein": (STEIN, VALUES, POINTS, 1e-12),
    "exact": (EXACT, VALUES, POINTS, 1e-12),
    "batches": (BATCHES, VALUES, POINTS, 1e-12),
    "effective": (ONLINE, ONLINE_VALUES, {"time": [0.0, 0.7, 2.0], "tolerance": 1e-12}, 1e-12),
    "surrogate": (gm.derive.surrogate(EXACT), VALUES, {"d": 6, "steps": 3, "replicates": 4, "seed": 1}, 1e-12),
    "stationary": (gm.derive.stationary(EXACT), {**VALUES, "alpha": [1.5, 2.0]}, {}, 1e-12),
}
ABSENT = ("gmsym", "equinox", "diffrax", "optimistix", "lineax", "jaxtyping", "sympy", "xarray")
ALONE = f"""
import runpy, sys
sys.modules.update(dict.fromkeys({ABSENT!r}))
for file in sys.argv[1:]:
    print("file", file)
    try:
        runpy.run_path(file, run_name="__main__")
    except SystemExit as stop:
        print(stop)
"""


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """What each file prints, all in one process where none of gmsym's packages can be imported."""
    folder = tmp_path_factory.mktemp("alone")
    texts = {name: gm.standalone(system, values, **options) for name, (system, values, options, _) in CASES.items()}
    texts["diverging"] = gm.standalone(EXACT, {**VALUES, "eta": 1e3}, steps=30)
    texts["online diverging"] = gm.standalone(
        gm.Problem(MIXTURE, gm.losses.squared(), gm.optimizers.gd(), sampling=gm.sampling.online()), {**ONLINE_VALUES, "eta": 9}, time=900.0
    )
    for name, text in texts.items():
        (folder / name).write_text(text)
    run = subprocess.run([sys.executable, "-c", ALONE, *texts], cwd=folder, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr[-2000:]
    return {part.split("\n", 1)[0]: part.split("\n", 1)[1] for part in run.stdout.split("file ")[1:]}


def columns(text: str) -> dict[str, np.ndarray]:
    head, *rows = text.strip().splitlines()
    return dict(zip(head.split(","), np.array([[float(x) for x in row.split(",")] for row in rows]).T, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_it_prints_what_solve_gives_without_gmsym(name, printed):
    system, values, options, close = CASES[name]
    theory, found = gm.solve(system, values, **options), columns(printed[name])
    axis = "alpha" if name == "stationary" else "time"
    np.testing.assert_array_equal(found[axis], theory[axis])
    for key in ("m", "Q", "Q_k", "train_loss", "test_loss", "test_error"):
        for index in np.ndindex(theory[key].shape[1:]) if key in theory else ():
            where = "_".join([key, *map(str, index)])
            expected = theory[key].values[(slice(None), *index)]
            np.testing.assert_allclose(found[where], expected, rtol=10 * close if "_" in key else close, atol=close, err_msg=where)
    if name != "effective":  # whose solver is another one: its error, too
        np.testing.assert_allclose(found["test_loss_error"], theory["test_loss_error"], rtol=1e-11, atol=close)


@pytest.mark.parametrize(("name", "said"), [("diverging", "error: the trajectory diverged"), ("online diverging", "error: the eff")])
def test_divergence_is_said_in_one_line(printed, name, said):
    assert printed[name].startswith(said) and printed[name].count("\n") == 1


@pytest.mark.parametrize(
    ("system", "message"),
    [
        (lambda: gm.derive.fluctuations(ONLINE), "Sde: .*diffrax"),
        (lambda: gm.derive.spectrum(EXACT), "Spectral: .*optimistix"),
        (lambda: gm.derive.finite_size(EXACT), "FiniteSize: .*several systems"),
        (lambda: "dmf", "system = 'dmf': .* stationary$"),
    ],
)
def test_other_theories_are_refused(system, message):
    with pytest.raises(InputError, match=message):
        gm.standalone(system(), VALUES, steps=3)


@pytest.mark.parametrize("options", [{"steps": 0}, {"steps": 3, "samples": 2.5}, {"steps": 3, "seed": -1}, {"steps": 3, "time": 2}, {}])
def test_bad_options_are_refused_before_anything_is_written(options):
    with pytest.raises(InputError):
        gm.standalone(STEIN, VALUES, **options)


def test_numbers_are_checked():
    with pytest.raises(InputError, match="mu_norm"):
        gm.standalone(STEIN, {k: v for k, v in VALUES.items() if k != "mu_norm"}, steps=3)
