"""Point sets: exact first two moments, nesting of the whitening, layout, determinism, and the errors they refuse to make."""

import numpy as np
import pytest

from gmsym.errors import InputError
from gmsym.runtime import points


def test_whitening():
    p = points.whitened_sobol(1024, 7, seed=3)
    assert p.shape == (7, 1024) and p.dtype == np.float64 and p.flags.c_contiguous
    assert p.mean(axis=1) == pytest.approx(np.zeros(7), abs=1e-14)
    assert p @ p.T / 1024 == pytest.approx(np.eye(7), abs=1e-13)


@pytest.mark.parametrize("make", [points.sobol, points.monte_carlo])
def test_whitening_is_in_order(make):
    """The first rows' whitening does not depend on later rows."""
    p = make(256, 6, seed=0)
    assert points.whiten(p)[:3] == pytest.approx(points.whiten(p[:3]), abs=1e-13)
    assert points.whiten(p)[0] == pytest.approx((p[0] - p[0].mean()) / p[0].std(), abs=1e-13)


def test_sobol_is_normal_and_finite():
    for seed in range(20):
        p = points.sobol(4096, 3, seed)
        assert np.isfinite(p).all() and abs(p).max() < 6.5
    # The distribution function at 0.7, far closer than the 1/sqrt(N) of Monte Carlo.
    assert abs((p < 0.7).mean(axis=1) - 0.7580363) == pytest.approx(np.zeros(3), abs=5e-4)


def test_beats_monte_carlo():
    """Root-mean-square error of E max(h1, h2)^2 = 1 over scrambles and seeds, N = 1024."""

    def error(make):
        return np.sqrt(np.mean([(np.mean(np.maximum(*make(1024, 2, seed)) ** 2) - 1) ** 2 for seed in range(16)]))

    assert 8 * error(points.whitened_sobol) < error(points.monte_carlo)


def test_seeds():
    assert np.array_equal(points.whitened_sobol(64, 2, 5), points.whitened_sobol(64, 2, 5))
    assert not np.array_equal(points.sobol(64, 2, 5), points.sobol(64, 2, 6))
    assert points.monte_carlo(8, 2, 1) == pytest.approx(points.monte_carlo(8, 2, 1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1000, 2, 0), r"samples = 1000.*power of two, such as 512"),
        ((0, 2, 0), "samples = 0"),
        ((True, 2, 0), "samples = True"),
        ((8, 0, 0), "dimensions = 0"),
        ((8, 30000, 0), "at most 21201"),
        ((8, 2, -1), "seed = -1"),
        ((8, 8, 0), "more than the 8 dimensions"),
    ],
)
def test_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        points.whitened_sobol(*arguments)
