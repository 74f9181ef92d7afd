"""Spectra of covariances in the limit of many coordinates: eigenvalues as a function of their index, by blocks. Source: theory.md 0.

Coordinates sorted by their variance have one of s(u) at u = index/d; the theories need means of smooth functions of s over u in (0, 1),
so that a rule of quadrature for these is a mixture of blocks: its weights are the fractions, its nodes give the variances.
"""

from dataclasses import dataclass
from typing import Any, final

import numpy as np

from gmsym import symbols
from gmsym.errors import InputError
from gmsym.problem import _numbers as numbers

_SIZES = (1, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
_PROBES = np.geomspace(1e-3, 1e3, 13)
_GRADING = 2  # u = w^p: nodes crowd where the largest eigenvalues are
_LARGEST = 1e8
u = symbols.symbol("u")  # index/d, in (0, 1), from the largest eigenvalue


@final
@dataclass(frozen=True)
class Spectrum:
    """Blocks that stand for a spectrum of mean 1.

    Args:
        fractions: rho_b, of the coordinates in each block, (B,).
        variance: s_b, their variance; sum_b rho_b s_b = 1.
        error: largest change of the mean of s/(s + z), z from 1e-3 to 1e3, relative to it, under a finer rule.
    """

    fractions: tuple[float, ...]
    variance: tuple[float, ...]
    error: float

    @property
    def blocks(self) -> int:
        """B."""
        return len(self.fractions)


def power_law(exponent: float, *, offset: float = 0.0, blocks: int | None = None, rtol: float = 1e-4) -> Spectrum:
    """Eigenvalues that fall like a power of their index: s(u) proportional to (u + offset)^(-exponent), u = index/d.

    Args:
        exponent: from 0 (isotropic); below 1 unless there is an offset, so that coordinates have a finite mean variance.
        offset: at least 0: eigenvalues are flat up to the index offset d. Without one they are unbounded, and gradient descent of any fixed
            step diverges; online SGD's corrector and the end of training with a ridge exist.
        blocks, rtol: see `of_index`.

    Raises:
        InputError: see above; an accuracy that is not reached.

    Example:
        >>> import gmsym as gm
        >>> spectrum = gm.spectra.power_law(0.5)
        >>> data = gm.GaussianMixture(
        ...     probabilities=[0.5, 0.5], labels=[1, -1], means_gram=[[1, -1], [-1, 1]], variance=[1.0, 0.5], spectrum=spectrum
        ... )
        >>> data.blocks == spectrum.blocks
        True
    """
    for name, value in (("exponent", exponent), ("offset", offset)):
        if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not np.isfinite(value) or value < 0:
            raise InputError(f"{name} = {value!r}: a finite number from 0 is needed")
    if exponent >= 1 and offset == 0:
        raise InputError(
            f"exponent = {exponent}: without an offset it must be below 1; the mean variance of the coordinates is infinite otherwise"
        )
    return _graded(lambda at: (at + offset) ** -float(exponent), 1 / (1 - exponent) if offset == 0 else 1.0, blocks, rtol)


def of_index(variance: Any, *, blocks: int | None = None, rtol: float = 1e-4) -> Spectrum:
    """Any spectrum, given as a function of u = index/d in (0, 1).

    Args:
        variance: an expression of `gmsym.spectra.u`, positive in (0, 1); it is divided by its mean. Smooth but at u = 0, where it may grow.
        blocks: how many; default, the least with an `error` below `rtol`.
        rtol: see `Spectrum.error`.

    Raises:
        InputError: another symbol than u; values that are not positive and finite; an accuracy that is not reached.

    Example:
        >>> import gmsym as gm
        >>> gm.spectra.of_index(1 / (1 + gm.spectra.u)).blocks
        4
    """
    expr = numbers.scalar(variance, "variance")
    if expr.free_symbols - {u}:
        raise InputError(f"variance = {expr}: an expression of u alone is needed (gmsym.spectra.u)")
    return _graded(lambda at: np.array([float(expr.subs(u, x)) for x in at]), 1.0, blocks, rtol)


def _graded(variance: Any, steepness: float, blocks: int | None, rtol: float) -> Spectrum:
    """Gauss-Legendre nodes in w, u = w^p."""
    if blocks is not None and (isinstance(blocks, bool) or not isinstance(blocks, (int, np.integer)) or not 1 <= blocks <= _SIZES[-1]):
        raise InputError(f"blocks = {blocks!r}: an integer from 1 to {_SIZES[-1]}, or none for the least that is accurate")
    if isinstance(rtol, bool) or not isinstance(rtol, (int, float)) or not 0 < rtol < 1:
        raise InputError(f"rtol = {rtol!r}: a number between 0 and 1 is needed")

    def rule(count: int) -> tuple[np.ndarray, np.ndarray]:
        power = _GRADING * steepness if count > 1 else 1.0
        x, weight = np.polynomial.legendre.leggauss(count)
        w = (x + 1) / 2
        fractions = weight / 2 * power * w ** (power - 1)
        fractions /= fractions.sum()
        values = variance(w**power)
        if not (np.isfinite(values) & (values > 0)).all():
            raise InputError("variance: positive finite numbers are needed for u between 0 and 1")
        return fractions, values / (fractions @ values)

    def means(rule: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        fractions, values = rule
        return (values / (values + _PROBES[:, None])) @ fractions

    finest = means(rule(2 * _SIZES[-1]))
    for count in _SIZES if blocks is None else (blocks,):
        found = rule(count)
        error = float(np.max(np.abs(means(found) / finest - 1)))
        if found[1].max() > _LARGEST:
            raise InputError(
                f"the spectrum needs eigenvalues beyond {_LARGEST:.0e} times their mean: a smaller exponent or an offset is needed"
            )
        if blocks is not None or error < rtol:
            return Spectrum(tuple(map(float, found[0])), tuple(map(float, found[1])), error)
    raise InputError(f"the spectrum needs more than {_SIZES[-1]} blocks for rtol = {rtol}; the error is {error:.1e}")


def scaled(variance: Any, fractions: Any, means: Any, spectrum: Any) -> tuple[list[list[Any]], tuple[float, ...]]:
    """(variance (K, B), fractions) of clusters whose covariances are one spectrum, each times its own number.

    Raises:
        InputError: another thing than a spectrum; blocks or coordinates beside it.
    """
    if not isinstance(spectrum, Spectrum):
        raise InputError(f"spectrum = {spectrum!r}: one of gmsym.spectra is needed, such as gmsym.spectra.power_law(0.5, offset=0.01)")
    for name, value in (("fractions", fractions), ("means", means)):
        if value is not None:
            raise InputError(f"{name} beside spectrum, which has blocks of its own")
    if variance is None:
        raise InputError("variance is missing: the mean variance of the coordinates in each cluster, which the spectrum multiplies")
    return [[v * s for s in spectrum.variance] for v in numbers.vector(variance, "variance")], spectrum.fractions
