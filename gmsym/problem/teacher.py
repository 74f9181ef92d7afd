"""Teacher directions, which a target depends on beside the label. Source: theory.md 0; Saad and Solla 1995."""

from dataclasses import dataclass
from typing import Any, final

import sympy as sp

from gmsym.errors import InputError
from gmsym.problem import _numbers as numbers


@final
@dataclass(frozen=True, init=False)
class Teacher:
    """T fixed directions theta*_s with |theta*_s| = O(1); a loss reads their fields t_s = theta*_s . x as `t0, t1, ...`.

    Entries are numbers or expressions of parameters. C fields, K clusters.

    Args:
        gram: theta*_s . theta*_r, (T, T), symmetric positive semidefinite.
        overlap: Theta_0 . theta*_s, (T,), or (C, T) for C > 1. Default: orthogonal to the initial state.
        means_overlap: theta*_s . mu_k, (T, K). Default: orthogonal to the means.

    Raises:
        InputError: wrong shapes. That the Gram matrix of all vectors is positive semidefinite is checked with the problem's numbers.
    """

    gram: sp.ImmutableDenseMatrix
    overlap: Any  # rows as given; the problem knows the number of fields
    means_overlap: Any

    def __init__(self, gram: Any, overlap: Any = None, means_overlap: Any = None):
        square = numbers.matrix(gram, "teacher gram")
        if square.shape[0] != square.shape[1]:
            raise InputError(f"teacher gram has shape {square.shape}; a square matrix is needed, one row a teacher direction")
        object.__setattr__(self, "gram", square)
        object.__setattr__(self, "overlap", None if overlap is None else numbers.rows(overlap, "teacher overlap"))
        object.__setattr__(self, "means_overlap", None if means_overlap is None else numbers.matrix(means_overlap, "teacher means_overlap"))

    @property
    def count(self) -> int:
        """T."""
        return self.gram.rows

    def overlap_with(self, fields: int) -> sp.ImmutableDenseMatrix:
        """Theta_0 . theta*_s as a matrix (C, T).

        Raises:
            InputError: `overlap` has another shape.
        """
        if self.overlap is None:
            return sp.ImmutableDenseMatrix(sp.zeros(fields, self.count))
        array = sp.ImmutableDenseMatrix(_one_row(self.overlap) if fields == 1 else self.overlap)
        if array.shape != (fields, self.count):
            shown = f"({self.count},)" if fields == 1 else f"({fields}, {self.count})"
            raise InputError(f"teacher overlap has shape {array.shape}; {shown} is needed: fields, teacher directions")
        return array

    def overlap_with_means(self, clusters: int) -> sp.ImmutableDenseMatrix:
        """theta*_s . mu_k, (T, K).

        Raises:
            InputError: `means_overlap` has another shape.
        """
        if self.means_overlap is None:
            return sp.ImmutableDenseMatrix(sp.zeros(self.count, clusters))
        if self.means_overlap.shape != (self.count, clusters):
            raise InputError(
                f"teacher means_overlap has shape {self.means_overlap.shape}; ({self.count}, {clusters}) is needed: "
                "teacher directions, clusters"
            )
        return self.means_overlap


def _one_row(rows: tuple[tuple[sp.Expr, ...], ...]) -> tuple[tuple[sp.Expr, ...], ...]:
    """A list of numbers was read as rows of one number each: one field's overlaps."""
    return (tuple(row[0] for row in rows),) if all(len(row) == 1 for row in rows) else rows
