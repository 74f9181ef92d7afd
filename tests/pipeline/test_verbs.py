"""`solve`, `simulate` and `compare` go by kind: options and values are apart, arrays give dimensions, refusals say what to do."""

import numpy as np
import pytest
import xarray as xr

import gmsym as gm
from gmsym import pipeline
from gmsym.pipeline import option_names
from gmsym.problem.sampling import Full, Online
from gmsym.system import CausalKernels, FiniteSize, Ode, Recursion, Refinement, Sde, Spectral

DATA, SQUARED = gm.GaussianMixture.symmetric(), gm.losses.squared()
FULL = gm.Problem(DATA, SQUARED, gm.optimizers.gd())
ONLINE = gm.Problem(DATA, SQUARED, gm.optimizers.gd(), sampling=gm.sampling.online())
VALUES = {"sigma": 1.0, "mu_norm": 1.0, "eta": 0.4}
KINDS = {
    ("solve", "derive.dmf"): CausalKernels,
    ("solve", "derive.surrogate"): Recursion,
    ("solve", "derive.finite_size"): FiniteSize,
    ("solve", "derive.refinement"): Refinement,
    ("solve", "derive.effective"): Ode,
    ("solve", "derive.fluctuations"): Sde,
    ("solve", "derive.spectrum"): Spectral,
    ("simulate", "full batches"): Full,
    ("simulate", "online"): Online,
    ("simulate", "derive.spectrum"): Spectral,
}


def identical(one, other):
    assert set(one.data_vars) == set(other.data_vars)
    for name in one.data_vars:
        np.testing.assert_array_equal(one[name].values, other[name].values, err_msg=name)


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verb", "values", "options", "message"),
    [
        (gm.solve, {"alpha": 2.0}, {"steps": 2, "sample": 64}, "sample is no option of solving CausalKernels; did you mean 'samples'"),
        (gm.solve, {"alpha": 2.0}, {"steps": 2, "sigma": 1.0}, "sigma is no option of .*; numbers of the problem belong into values"),
        (gm.solve, {"alpha": 2.0}, {}, "steps is missing: solving CausalKernels needs it"),
        (gm.solve, {}, {"steps": 2}, "alpha is missing in the values"),
        (gm.solve, {}, {"steps": 2, "n": 30}, "n = 30, d = None: alpha among the values, or both n and d"),
        (gm.solve, {"alpha": 2.0}, {"steps": 2, "n": 30, "d": 20}, "alpha = 2.0, but n = 30 and d = 20 make n/d = 1.5"),
        (gm.simulate, {"alpha": 2.0}, {"steps": 2, "n": 30, "d": 20}, "alpha = 2.0, but n = 30 and d = 20 make n/d = 1.5"),
        (gm.simulate, {}, {"steps": 2, "d": 20}, "alpha is missing in the values"),
        (gm.simulate, {"alpha": 2.0}, {"steps": 2}, "d is missing: simulating squared / gd needs it"),
        (gm.simulate, {"alpha": 2.0}, {"d": 20, "step": 2}, "step is no option of .*; did you mean 'steps'"),
        (gm.simulate, {"alpha": [1.0, 2.0]}, {"d": 20, "steps": 2}, r"alpha = \[1.0, 2.0\]: a simulation takes one number"),
        (gm.solve, {"alpha": 2.0, "speed": [1.0, 2.0]}, {"steps": 2}, "unknown parameter 'speed'; this problem has alpha, eta, mu_norm"),
        (gm.solve, {"alpha": [2.0, 1.0]}, {"steps": 2}, r"alpha = \[2.0, 1.0\]: a number, or increasing numbers, are needed"),
        (gm.solve, {"alpha": [[1.0, 2.0]]}, {"steps": 2}, "alpha = .*: a number, or increasing numbers, are needed"),
        (gm.solve, {2.0: "alpha"}, {"steps": 2}, "values has the key 2.0; names of parameters are needed"),
    ],
)
def test_options_and_values_are_apart(verb, values, options, message):
    with pytest.raises(gm.InputError, match=message):
        verb(FULL, {**VALUES, **values}, **options)


@pytest.mark.parametrize("values", [None, 2.0, [("alpha", 2.0)], "alpha = 2"])
@pytest.mark.parametrize("verb", [gm.solve, gm.simulate])
def test_values_are_a_mapping(verb, values):
    with pytest.raises(gm.InputError, match="values = .*: numbers by name are needed"):
        verb(FULL, values, steps=2, **({"d": 20} if verb is gm.simulate else {}))


def test_alpha_that_contradicts_the_size_of_a_surrogate_is_refused():
    with pytest.raises(gm.InputError, match="alpha = 2.0, but n = 30 and d = 20 make n/d = 1.5"):
        gm.solve(gm.derive.surrogate(FULL), {**VALUES, "alpha": 2.0}, n=30, d=20, steps=2)


@pytest.mark.parametrize("thing", ["logistic", None, 3])
def test_things_that_nothing_solves_are_named(thing):
    for verb, needed in ((gm.solve, "what a verb of gmsym.derive gives, or a Problem"), (gm.simulate, "a Problem, or a system")):
        with pytest.raises(gm.InputError, match=f"system = {thing!r}: {needed}"):
            verb(thing, VALUES, steps=2)
    with pytest.raises(gm.InputError, match="^system = <xarray.Dataset> .*is needed"):  # in one line
        gm.solve(xr.Dataset(), VALUES)


def test_a_system_for_reading_says_so():
    flow = gm.derive.gradient_flow(gm.derive.dmf(FULL))
    with pytest.raises(gm.InputError, match="a system of kind IntegroDifferential is for reading, kinds to solve are CausalKernels, "):
        gm.solve(flow, VALUES, steps=2)


def test_a_theory_of_the_other_sampling_names_what_to_do():
    for verb in (gm.derive.dmf, gm.derive.surrogate, gm.derive.finite_size, gm.derive.refinement):
        with pytest.raises(gm.InputError, match=r"this problem samples online: its theory is gmsym.derive.effective"):
            verb(ONLINE)
    for verb in (gm.derive.effective, gm.derive.fluctuations):
        with pytest.raises(gm.InputError, match=r"trains on full batches; sampling=gmsym.sampling.online\(\) asks for online SGD"):
            verb(FULL)
    with pytest.raises(gm.InputError, match=r"sampling=gmsym.sampling.online\(\)"):
        gm.crossing_time(FULL, VALUES, "m", (0, 0), 0.5, time=1.0)


# --- what is taken ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("verb", "row"), KINDS, ids=lambda x: str(x))
def test_the_tables_of_the_verbs_list_every_option_and_each_is_described(verb, row):
    names = set(option_names(KINDS[verb, row], verb))
    (line,) = (x for x in getattr(gm, verb).__doc__.splitlines() if x.strip().replace("`", "").split("  ")[0] == row)
    words = set(line.replace(row, "").replace(",", " ").replace("(", " ").split())
    assert names <= words, names - words
    others = {name for kind in KINDS.values() for v in ("solve", "simulate") if _has(kind, v) for name in option_names(kind, v)}
    assert not (words & others) - names - {"d", "n"}, words & others - names
    problem = ONLINE if row in ("derive.effective", "derive.fluctuations", "online") else FULL
    text = gm.options(problem if verb == "simulate" and "." not in row else getattr(gm.derive, row.removeprefix("derive."))(problem), verb)
    described = {name.strip() for line in text.splitlines() if ": " in line for name in line.split(":")[0].split(",")}
    assert names <= described, names - described


def _has(kind, verb):
    try:
        return bool(option_names(kind, verb))
    except KeyError:
        return False


def test_a_problem_takes_its_natural_theory():
    identical(gm.solve(FULL, {**VALUES, "alpha": 2.0}, steps=4), gm.solve(gm.derive.dmf(FULL), {**VALUES, "alpha": 2.0}, steps=4))
    identical(gm.solve(ONLINE, VALUES, time=0.5), gm.solve(gm.derive.effective(ONLINE), VALUES, time=0.5))


def test_a_simulation_has_alpha_d_samples_where_n_is_not_given():
    default, told = (gm.simulate(FULL, {**VALUES, "alpha": 1.52}, d=20, steps=3, replicates=2, **more) for more in ({}, {"n": 30}))
    assert default.attrs["n"] == told.attrs["n"] == 30 and default.attrs["alpha"] == 1.5
    identical(default, told)


def test_alpha_within_the_rounding_of_n_is_no_contradiction():
    with pytest.raises(gm.InputError, match="alpha = 1.6, but n = 30 and d = 20"):
        gm.simulate(FULL, {**VALUES, "alpha": 1.6}, n=30, d=20, steps=2, replicates=2)


@pytest.mark.slow
def test_parameters_with_the_names_of_options_are_parameters():
    """The same problem in names of options and in others: solve, simulate and compare give the same but for rounding."""

    def run(names):
        a, b, c = names
        loss = gm.Loss("named", gm.parse(f"{b}*({a}*h - y)**2/2 + {c}*h**2/2"))
        problem = gm.Problem(DATA, loss, gm.optimizers.gd(), sampling=gm.sampling.online())
        values = {**VALUES, a: 0.9, b: 1.3, c: 0.2}
        runs = gm.simulate(problem, values, d=100, time=0.4, points=3, replicates=4, sampler="chain")
        theory = gm.solve(problem, values, time=runs["time"].values, tolerance=1e-8)
        return theory, runs, gm.compare(theory, runs)

    named, plain = run(("points", "time", "tolerance")), run(("a", "b", "c"))
    for one, other in zip(named[:2], plain[:2], strict=True):
        for name in ("m", "Q", "test_loss"):
            np.testing.assert_allclose(one[name], other[name], rtol=1e-12, atol=1e-14)
    assert named[2].max_abs_z == pytest.approx(plain[2].max_abs_z, rel=1e-6) and np.isfinite(named[2].max_abs_z)
    assert '"time": 1.3' in named[0].attrs["parameters"] and '"tolerance": 0.2' in named[1].attrs["values"]


# --- arrays as values -------------------------------------------------------------------------------------------------


def test_arrays_give_the_limit_their_dimensions_bit_for_bit():
    given = {**VALUES, "eta": [0.2, 0.4], "alpha": np.array([1.5, 2.0, 4.0])}
    grid = gm.solve(FULL, given, steps=4)
    assert grid["m"].dims == ("eta", "alpha", "time", "cluster", "field") and grid["m"].shape == (2, 3, 4, 2, 1)
    assert grid["eta"].values.tolist() == [0.2, 0.4] and grid["alpha"].values.tolist() == [1.5, 2.0, 4.0]
    for eta in (0.2, 0.4):
        for alpha in (1.5, 4.0):
            one = gm.solve(FULL, {**VALUES, "eta": eta, "alpha": alpha}, steps=4)
            identical(grid.sel(eta=eta, alpha=alpha), one)
    assert gm.problem_of(grid).signature == FULL.signature and grid.attrs["problem_signature"] == FULL.signature


def test_arrays_give_the_effective_dynamics_their_dimensions_bit_for_bit():
    sweep = gm.solve(ONLINE, {**VALUES, "mu_norm": [0.5, 1.0]}, time=[0.0, 0.3, 1.0])
    assert sweep["Q"].dims == ("mu_norm", "time", "field", "field_b")
    for norm in (0.5, 1.0):
        identical(sweep.sel(mu_norm=norm), gm.solve(ONLINE, {**VALUES, "mu_norm": norm}, time=[0.0, 0.3, 1.0]))


def test_a_wrong_number_of_an_array_is_named():
    with pytest.raises(gm.InputError, match="eta = -0.1: a positive number"):
        gm.solve(FULL, {**VALUES, "alpha": 2.0, "eta": [-0.1, 0.2]}, steps=4)


def test_results_over_an_array_are_no_comparison():
    runs = gm.simulate(FULL, {**VALUES, "alpha": 1.5}, d=20, steps=3, replicates=2)
    for name, values in (("alpha", {"alpha": [1.5, 2.0]}), ("eta", {"alpha": 1.5, "eta": [0.4, 0.5]})):
        with pytest.raises(gm.InputError, match=f"theory is over values of {name}; take it at those"):
            gm.compare(gm.solve(FULL, {**VALUES, **values}, steps=3), runs)


def test_one_value_of_a_sweep_is_a_result():
    """It knows its parameters, compares with a simulation of them and with no other, is drawn and recorded."""
    grid = gm.solve(FULL, {**VALUES, "alpha": [1.5, 2.0], "eta": [0.2, 0.4]}, steps=4)
    one = grid.sel(alpha=2.0, eta=0.4)
    runs = gm.simulate(FULL, {**VALUES, "alpha": 2.0, "eta": 0.4}, d=40, steps=4, replicates=8)
    assert gm.compare(one, runs).max_abs_z < 5
    with pytest.raises(gm.InputError, match="differ in alpha"):
        gm.compare(grid.sel(alpha=1.5, eta=0.4), runs)
    with pytest.raises(gm.InputError, match="differ in the parameter 'eta'"):
        gm.compare(grid.sel(alpha=2.0, eta=0.2), runs)
    (ax,) = gm.plot(grid, quantities=["Q"])
    assert "eta" in ax.get_ylabel() and "n/d" in ax.get_xlabel() and ax.collections[0].get_array().shape == (2, 2)
    assert len(gm.plot(grid.sel(eta=0.4), quantities=["m", "Q"])) == 2
    record = pipeline.record(grid)
    assert (record["over"], record["values"], record["results"][0]["over"]) == ("eta", [0.2, 0.4], "alpha")
    last = record["results"][1]["results"][1]
    assert last["alpha"] == 2.0 and last["parameters"]["eta"] == 0.4 and last["Q"] == float(one["Q"][-1, 0, 0])
