"""A problem is compiled once: other numbers, steps, seeds and replicates run what is there. And where it is kept."""

import os
import subprocess
import sys

import jax
import pytest
from jax import monitoring

import gmsym as gm

PROBLEM = gm.Problem(gm.GaussianMixture.symmetric(), gm.losses.logistic(), gm.optimizers.heavy_ball())
ONLINE = gm.Problem(gm.GaussianMixture.symmetric(), gm.losses.logistic(), gm.optimizers.gd(), sampling=gm.sampling.online())
SURROGATE = gm.derive.surrogate(PROBLEM)
FINITE, ROUNDS = gm.derive.finite_size(PROBLEM), gm.derive.refinement(PROBLEM)
DATA = {"sigma": 1.0, "mu_norm": 1.2}
VALUES = {**DATA, "ridge": 0.05, "eta": 0.5, "momentum": 0.5}
OTHERS = {**DATA, "ridge": 0.1, "eta": 0.7, "momentum": 0.3}
_seen: list[float] = []
monitoring.register_event_duration_secs_listener(
    lambda event, duration, **_: _seen.append(duration) if event == "/jax/core/compile/backend_compile_duration" else None
)


def compiled(call) -> int:
    """How many programs a call compiles."""
    before = len(_seen)
    call()
    return len(_seen) - before


CALLS = {
    "solve": (
        lambda: gm.solve(PROBLEM, {"alpha": 1.5, **VALUES}, steps=5, samples=512),
        lambda: gm.solve(PROBLEM, {"alpha": 2.5, **OTHERS}, steps=40, samples=512, seed=3, scrambles=3),
    ),
    "simulate": (
        lambda: gm.simulate(PROBLEM, VALUES, n=60, d=40, steps=5, replicates=4),
        lambda: gm.simulate(PROBLEM, OTHERS, n=60, d=40, steps=80, replicates=19, seed=3),
    ),
    "simulate online": (
        lambda: gm.simulate(ONLINE, {"eta": 0.5, **DATA}, d=40, time=1.0, replicates=4),
        lambda: gm.simulate(ONLINE, {"eta": 0.7, "ridge": 0.1, **DATA}, d=40, time=2.0, replicates=9, seed=3, points=9),
    ),
    "surrogate": (
        lambda: gm.solve(SURROGATE, VALUES, n=60, d=40, steps=12, replicates=4),
        lambda: gm.solve(SURROGATE, OTHERS, n=60, d=40, steps=15, replicates=11, seed=3),
    ),
    "finite size": (
        lambda: gm.solve(FINITE, {"alpha": 1.5, **VALUES}, n=60, steps=3, population=60, populations=2, replicates=2, samples=256),
        lambda: gm.solve(FINITE, {"alpha": 1.5, **OTHERS}, n=90, steps=3, population=60, populations=3, replicates=4, samples=256, seed=3),
    ),
    "refinement": (
        lambda: gm.solve(ROUNDS, {"alpha": 1.5, **VALUES}, steps=2, sizes=[30], rounds=1, replicates=2),
        lambda: gm.solve(ROUNDS, {"alpha": 1.5, **OTHERS}, steps=2, sizes=[30], rounds=2, replicates=3, seed=3),
    ),
}


@pytest.mark.parametrize("verb", CALLS)
def test_nothing_is_compiled_after_the_first_call(verb):
    jax.clear_caches()
    first, other = CALLS[verb]
    assert compiled(first) > 0 and compiled(other) == 0


@pytest.mark.slow
def test_a_row_of_networks_compiles_its_sizes_once():
    """Other ridges and parameters run what is there; widths change how many nodes there are, whose numbers are few."""
    problem = gm.OneStep(gm.parse("erf(a*z)"), gm.parse("y"), means=[[2], [-2]], exponents=False)
    values = {"n": 300, "samples": 240, "width": 200, "ridge": 0.1, "spread": 20, "step": 15, "a": 1.0}
    widths = {"width": [100, 150, 300, 400]}
    jax.clear_caches()
    point = compiled(lambda: gm.solve(problem, values, level="B+"))
    assert 0 < compiled(lambda: gm.solve(problem, values | widths, level="B+")) <= 8 < point
    assert compiled(lambda: gm.solve(problem, values | widths | {"ridge": [0.08, 0.12], "samples": 230}, level="B+")) == 0


def process(script: str, **environment: str) -> str:
    bare = {name: value for name, value in os.environ.items() if name not in ("JAX_COMPILATION_CACHE_DIR", "GMSYM_CACHE")}
    run = subprocess.run([sys.executable, "-c", script], env=bare | environment, capture_output=True, text=True, check=True)
    return run.stdout.strip()


def test_where_compiled_programs_are_kept(tmp_path):
    """GMSYM_CACHE, JAX's own setting, `off`, a folder that cannot be made; and not before JAX is used."""
    show = "import gmsym, sys; assert 'jax' not in sys.modules; import gmsym.runtime, jax; print(jax.config.jax_compilation_cache_dir)"
    (tmp_path / "file").write_text("")
    places = [
        process(show, XDG_CACHE_HOME=str(tmp_path / "home")),
        process(show, GMSYM_CACHE=str(tmp_path / "mine")),
        process(show, JAX_COMPILATION_CACHE_DIR=str(tmp_path / "jax")),
        process(show, GMSYM_CACHE="off"),
        process(show, GMSYM_CACHE=str(tmp_path / "file" / "below")),
    ]
    assert places[0].startswith(str(tmp_path / "home" / "gmsym")) and places[1].startswith(str(tmp_path / "mine"))
    assert places[2:] == [str(tmp_path / "jax"), "None", "None"]


def test_the_folder_is_moved_and_switched_off(tmp_path):
    script = (
        "import sys, gmsym as gm, jax, pathlib; jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)\n"
        "folder = gm.compilation_cache(sys.argv[1]); jax.jit(lambda x: x + 1)(1.0)\n"
        "count = len(list(folder.iterdir())); assert gm.compilation_cache(None) is None; jax.jit(lambda x: x + 2)(1.0)\n"
        "print(count > 0, len(list(folder.iterdir())) == count)"
    ).replace("sys.argv[1]", repr(str(tmp_path / "kept")))
    assert process(script) == "True True"
