"""Fitted orders: exact on a power law, and honest about their own error on noise."""

import numpy as np
import pytest

from gmsym.comparison import fit_order
from gmsym.errors import InputError


def test_exact_power_law():
    sizes = np.array([100, 400, 1600, 6400])
    order = fit_order(sizes, 3.0 * sizes**-0.5)
    assert order.exponent == pytest.approx(-0.5, abs=1e-12)
    assert order.standard_error == pytest.approx(0, abs=1e-12)


def test_standard_error_is_the_scatter_of_the_exponent(rng):
    sizes = np.geomspace(100, 10000, 8)
    fits = [fit_order(sizes, sizes**-0.5 * np.exp(0.1 * rng.normal(size=8))) for _ in range(400)]
    exponents = np.array([f.exponent for f in fits])
    assert exponents.mean() == pytest.approx(-0.5, abs=4 * exponents.std() / 20)
    assert np.sqrt(np.mean([f.standard_error**2 for f in fits])) == pytest.approx(exponents.std(), rel=0.12)


@pytest.mark.parametrize(
    ("sizes", "gaps", "message"),
    [
        ([1, 2], [1, 1], "2 different sizes and 2 gaps"),
        ([1, 1, 2], [1, 1, 1], "2 different sizes and 3 gaps"),
        ([1, 2, 3], [1, 1], "3 different sizes and 2 gaps"),
        ([1, 2, 0], [1, 1, 1], "sizes = "),
        ([1, 2, 3], [1, -1, 1], "gaps = "),
        ([1, 2, 3], [1, np.nan, 1], "gaps = "),
    ],
)
def test_refuses(sizes, gaps, message):
    with pytest.raises(InputError, match=message):
        fit_order(sizes, gaps)
