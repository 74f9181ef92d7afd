"""Distance of distributions and matching of outliers, on made-up spectra with known answers."""

import numpy as np
import pytest
import xarray as xr

import gmsym as gm
from gmsym.comparison import kolmogorov, outlier_table


def semicircle(atom=0.0, outliers=(), gaps=(), grid=False):
    """The semicircle on (1, 3) with an atom at 0 and outliers."""
    angle = np.pi * (np.arange(200) + 0.5) / 200
    z = 2 - np.cos(angle)
    density = (1 - atom) * 2 / np.pi * np.sqrt(1 - (z - 2) ** 2)
    weight = np.zeros(200) if grid else np.sin(angle) * np.pi / 200
    return xr.Dataset(
        {
            "density": ("z", density),
            "weight": ("z", weight),
            "edge": (("band", "side"), [[1.0, 3.0]]),
            "atom": atom,
            "outlier_z": ("outlier", np.array(outliers, dtype=float)),
            "overlap": ("outlier", np.full(len(outliers), 0.5)),
            "gap": ("outlier", np.array(gaps, dtype=int)),
        },
        {"z": z},
    )


def quantiles(count):
    """Eigenvalues at the quantiles of the semicircle."""
    x = np.linspace(-1, 1, 20001)
    F = 0.5 + (x * np.sqrt(1 - x**2) + np.arcsin(x)) / np.pi
    return 2 + np.interp((np.arange(count) + 0.5) / count, F, x)


def runs(values, overlaps=None, zeros=0, **attributes):
    values = np.atleast_2d(values)
    overlaps = np.zeros_like(values) if overlaps is None else overlaps
    return xr.Dataset(
        {"eigenvalue": (("replicate", "index"), values), "overlap": (("replicate", "index"), overlaps)},
        attrs={"zeros": zeros, **attributes},
    )


def test_quantiles_are_at_half_a_step():
    assert kolmogorov(semicircle(), runs(quantiles(400))) == pytest.approx([1 / 800], rel=0.02)


def test_a_shift_is_seen():
    """Moving the semicircle by e changes its distribution function by e times the largest density."""
    assert kolmogorov(semicircle(), runs(quantiles(4000) + 0.05)) == pytest.approx([0.05 * 2 / np.pi], rel=0.02)


def test_zeros_are_the_atom():
    """Half of the eigenvalues are zero: to rounding, or counted apart."""
    half = np.concatenate([1e-14 * np.arange(400), quantiles(400)])
    assert kolmogorov(semicircle(atom=0.5), runs(half)) == pytest.approx([1 / 1600], rel=0.05)
    assert kolmogorov(semicircle(atom=0.5), runs(quantiles(400), zeros=400)) == pytest.approx([1 / 1600], rel=0.05)
    assert kolmogorov(semicircle(atom=0.4), runs(quantiles(400), zeros=400)) == pytest.approx([0.1], rel=0.05)


def test_outliers_are_matched_by_rank_on_each_side():
    """Trap 8: two close outliers whose eigenvalues are both nearer to the lower one."""
    theory = semicircle(outliers=(0.5, 3.5, 3.6), gaps=(0, 1, 1))
    bulk = quantiles(50)
    values = np.stack([np.concatenate([[0.5 + e], bulk, [3.5 + e, 3.54 + e]]) for e in (-0.01, 0.01)])
    rows = outlier_table(theory, runs(values, 0.4 * np.ones_like(values)))
    assert [row.side for row in rows] == ["left", "right", "right"]
    assert [row.simulated for row in rows] == pytest.approx([0.5, 3.5, 3.54])
    assert rows[2].scores == pytest.approx((-0.06 / 0.01, -np.inf))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: kolmogorov(semicircle(grid=True), runs(quantiles(10))), "given grid"),
        (lambda: kolmogorov(semicircle(), runs(quantiles(10), extreme=2)), "extreme"),
        (lambda: outlier_table(semicircle(), runs(quantiles(10))), "1 replicate"),
    ],
)
def test_what_cannot_be_compared_is_refused(call, message):
    with pytest.raises(gm.InputError, match=message):
        call()
