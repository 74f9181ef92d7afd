"""Spectra given as functions of the index: rules of quadrature that are mixtures of blocks."""

import numpy as np
import pytest
import scipy.integrate
import sympy as sp

import gmsym as gm
from gmsym.problem.spectra import Spectrum, of_index, power_law, u

MEANS = [[1.0, -1.0], [-1.0, 1.0]]
PAIR = {"probabilities": [0.5, 0.5], "labels": [1, -1], "means_gram": MEANS}
VALUES = {"eta": 0.05, "ridge": 0.1}


def problem(spectrum, **given):
    data = gm.GaussianMixture(**PAIR, variance=[1.0, 0.5], spectrum=spectrum)
    return gm.Problem(data, gm.losses.squared(), gm.optimizers.gd(), **given)


@pytest.mark.parametrize(("exponent", "offset"), [(0.0, 0.0), (0.3, 0.0), (0.5, 0.0), (0.5, 0.01), (1.0, 0.001), (1.5, 0.01), (3.0, 0.1)])
def test_means_over_the_index_are_integrals(exponent, offset):
    """Mean of s/(s + z) and of log(1 + s/z) against adaptive quadrature; the first to the error that is stated."""
    found = power_law(exponent, offset=offset)
    rho, s = np.array(found.fractions), np.array(found.variance)
    total = scipy.integrate.quad(lambda x: (x + offset) ** -exponent, 0, 1, epsabs=1e-13, limit=500)[0]
    assert abs(rho.sum() - 1) < 1e-12 and abs(rho @ s - 1) < 1e-12 and found.error < 1e-4
    for z in (0.1, 1.0, 10.0):
        exact = scipy.integrate.quad(lambda x, z=z: 1 / (1 + z * total * (x + offset) ** exponent), 0, 1, epsabs=1e-13, limit=500)[0]
        assert abs(rho @ (s / (s + z)) / exact - 1) < 2 * found.error + 1e-12
        logarithm = lambda x, z=z: np.log1p(1 / (z * total * (x + offset) ** exponent))  # noqa: E731
        assert abs(rho @ np.log1p(s / z) / scipy.integrate.quad(logarithm, 0, 1, epsabs=1e-12, limit=500)[0] - 1) < 2e-3


def test_an_expression_of_the_index_is_the_same_as_its_power():
    assert of_index(1 / sp.sqrt(u + sp.Rational(1, 100)), blocks=12).variance == pytest.approx(
        power_law(0.5, offset=0.01, blocks=12).variance
    )


@pytest.mark.slow
def test_a_solution_does_not_depend_on_the_blocks():
    few, many = (power_law(1.0, offset=0.02, blocks=blocks) for blocks in (12, 40))
    one, other = (gm.solve(problem(x), {"alpha": 1.5, **VALUES}, steps=30) for x in (few, many))
    for name in ("m", "Q", "Q_k", "train_loss", "test_loss"):
        assert np.allclose(one[name], other[name], rtol=5 * few.error, atol=1e-12), name
    flat = gm.solve(problem(power_law(0.0)), {"alpha": 1.5, **VALUES}, steps=30)
    assert abs(float(flat.Q[-1, 0, 0] / one.Q[-1, 0, 0]) - 1) > 0.05


@pytest.mark.slow
def test_the_limit_is_that_of_training_on_a_power_law():
    """Every coordinate with its own variance s(index/d), d = 400, against twelve blocks of the limit; the isotropic theory is excluded."""
    d, n, exponent, offset = 400, 600, 1.0, 0.02
    s = ((np.arange(d) + 0.5) / d + offset) ** -exponent
    s /= s.mean()
    mean = np.random.default_rng(3).choice([-1, 1], d) / np.sqrt(d)  # every block has its share
    data = gm.GaussianMixture(probabilities=[0.5, 0.5], labels=[1, -1], means=[mean, -mean], variance=np.outer([1.0, 0.5], s))
    start = np.random.default_rng(4).choice([-1, 1], d) / np.sqrt(d)
    start -= mean * (start @ mean)
    start /= np.linalg.norm(start)
    exact = gm.Problem(data, gm.losses.squared(), gm.optimizers.gd(), start=start)
    runs = gm.simulate(exact, VALUES, n=n, d=d, steps=30, replicates=60, seed=2)
    scores = {}
    for name, spectrum in (("law", power_law(exponent, offset=offset)), ("flat", power_law(0.0))):
        theory = gm.solve(problem(spectrum), {"alpha": n / d, **VALUES}, steps=30)
        gaps = [((runs[x] - theory[x]) / runs[f"{x}_error"]).values[1:].ravel() for x in ("m", "train_loss", "test_loss")]
        scores[name] = np.sqrt(np.mean(np.concatenate(gaps) ** 2))
    assert scores["law"] < 2.5 and scores["flat"] > 15, scores


FILE = """
[mixture]
probabilities = [0.5, 0.5]
labels = [1, -1]
means_gram = [[1, -1], [-1, 1]]
variance = [1.0, 0.5]
spectrum = { %s }
[loss]
name = "squared"
"""


@pytest.mark.parametrize(
    ("text", "spectrum"),
    [
        ("exponent = 0.5, offset = 0.01", power_law(0.5, offset=0.01)),
        ('variance = "1/(u + 1/10)", blocks = 8', of_index(1 / (u + sp.Rational(1, 10)), blocks=8)),
    ],
)
def test_a_problem_file_states_a_spectrum(text, spectrum, tmp_path):
    (tmp_path / "problem.toml").write_text(FILE % text)
    read = gm.read(tmp_path / "problem.toml").problem
    assert read.data == gm.GaussianMixture(**PAIR, variance=[1.0, 0.5], spectrum=spectrum)
    (tmp_path / "again.toml").write_text(gm.dumps(read))
    assert gm.read(tmp_path / "again.toml").problem.data.blocks == spectrum.blocks


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: power_law(-0.5), "exponent = -0.5"),
        (lambda: power_law("1"), "exponent = '1'"),
        (lambda: power_law(1.0), "must be below 1"),
        (lambda: power_law(0.9), "a smaller exponent or an offset"),
        (lambda: power_law(0.5, offset=float("nan")), "offset = nan"),
        (lambda: power_law(0.5, blocks=0), "blocks = 0"),
        (lambda: power_law(0.5, rtol=2), "rtol = 2"),
        (lambda: power_law(1.0, offset=1e-9, rtol=1e-9), "more than 128 blocks"),
        (lambda: of_index(gm.symbols.eta * u), "an expression of u alone"),
        (lambda: of_index(u - 1), "positive finite numbers"),
        (lambda: of_index("u"), "variance = 'u'"),
        (lambda: gm.GaussianMixture(**PAIR, variance=[1, 1], spectrum=[1]), "one of gmsym.spectra"),
        (lambda: gm.GaussianMixture(**PAIR, variance=[1, 1], fractions=[1], spectrum=power_law(0)), "fractions beside spectrum"),
        (lambda: gm.GaussianMixture(**PAIR, spectrum=power_law(0)), "variance is missing"),
    ],
)
def test_bad_spectra_are_named(call, message):
    with pytest.raises(gm.InputError, match=message):
        call()


def test_a_spectrum_is_data():
    assert Spectrum((1.0,), (1.0,), 0.0) == Spectrum((1.0,), (1.0,), 0.0) and power_law(0.0).blocks == 1
