"""Explicit schemes as tables of coefficients: orders, stability, what one row means. Nothing of JAX."""

import numpy as np
import pytest

from gmsym.engine.schemes import ADAMS_LIMIT, stages, table


def run(velocity, start, found):
    """y at the ends of the steps, by the meaning of a row in derive.schemes."""
    y, begin, before, kept, earlier, path = start, 0.0, 0.0, 0.0, 0.0, [start]
    for a0, a1, a2, b0, b1, b2, keep in found.rows[:-1]:
        f = velocity(y)
        new = a0 * y + a1 * (begin if keep else y) + a2 * before + b0 * f + b1 * kept + b2 * earlier
        begin, before, kept, earlier = (begin if keep else y), y, (kept if keep else f), kept
        y = new
        path.append(y)
    return np.array(path)[found.ends]


def started(count, last=2.0):
    """A grid of growing steps with short first ones."""
    grid = np.expm1(np.linspace(0, np.log1p(last), count + 1))
    return np.concatenate([[0.0], grid[1] * np.cumsum([1, 1, 2, 4, 8, 16, 32]) / 64, grid[2:]])


def error(curvature, count):
    """Of y' = -y^2, y(0) = 1, at time 2: y = 1/3."""
    return abs(run(lambda y: -(y**2), 1.0, table(started(count), curvature))[-1] - 1 / 3)


@pytest.mark.parametrize("curvature, order", [(1e-3, 3), (300.0, 2)], ids=["Adams-Bashforth", "Runge-Kutta-Chebyshev"])
def test_order(curvature, order):
    errors = [error(curvature, count) for count in (20, 40, 80)]
    measured = np.log2(np.divide(errors[:-1], errors[1:]))
    assert np.abs(measured - order).max() < 0.25, measured


def test_a_start_at_full_step_spoils_the_order():
    """What the short first steps are for."""
    errors = [abs(run(lambda y: -(y**2), 1.0, table(np.linspace(0, 2, n + 1), 1e-3))[-1] - 1 / 3) for n in (20, 40, 80)]
    assert np.log2(errors[1] / errors[2]) < 2.2


@pytest.mark.parametrize("h", [2.0, 20.0, 200.0])
def test_steps_of_many_stages_are_stable_where_fewer_are_not(h):
    curvature = 1.3
    grid = np.concatenate([[0.0, 0.01], 0.01 + h * np.arange(1, 21)])
    rates = np.linspace(0, curvature, 200)
    fewer = table(grid, curvature / 1.6)
    assert stages(h, curvature / 1.6) < stages(h, curvature)
    last, unstable = (np.abs(run(lambda y: -rates * y, np.ones(200), found)[-1]).max() for found in (table(grid, curvature), fewer))
    assert last <= 1 + 1e-9 and unstable > 10


def test_chebyshev_steps_begin_where_adams_steps_are_no_longer_stable():
    grid, curvature = np.array([0.0, 0.1, 0.3, 0.7, 1.5]), 1.0
    found = table(grid, curvature)
    assert np.diff(found.ends).tolist() == [1, 1, 1, stages(0.8, curvature)]
    assert (found.rows[-1] == [1, 0, 0, 0, 0, 0, 0]).all() and len(found.rows) == found.ends[-1] + 1
    assert table(grid, 0.99 * ADAMS_LIMIT / 0.8).ends.tolist() == [0, 1, 2, 3, 4]
    stepped = found.rows[:-1]
    assert np.allclose(stepped[:, :3].sum(axis=1), 1), "a constant solution stays"
