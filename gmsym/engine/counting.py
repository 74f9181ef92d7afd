"""Mass of the spectrum below a point, without integrating a density; outside the bulk it is counted. Source: own derivation.

The limit of log det(M - z)/(m d), stationary in all S_b and S'_k, is

    L(z) = (1/m) ( sum_b rho_b log det S_b^{-1} + alpha sum_k p_k E log det(I + S'_k A) - sum_b rho_b tr S_b (S_b^{-1} + z) ),

and -Im L(x + i0)/pi is the mass below x. Where S is real the last term is, too, and each logarithm contributes a multiple of pi: the
number of negative eigenvalues of S_b, and by how much that of A^{-1} + S'_k, on the range of A, exceeds that of A^{-1}. So the mass of
every band is a sum of shares and weights, exact for the nodes, and no density is integrated.
"""

import numpy as np

from gmsym.engine.nodes import Group, Law
from gmsym.engine.packed import unpacked

_TINY = 1e-12  # eigenvalues of A up to that are 0, in units in which A is of order one
_CHUNK = 2**18  # matrices at once


def masses_below(law: Law, s: np.ndarray, size: int) -> np.ndarray:
    """Mass below each of the points, (P,), from real S there, (B R, P).

    Cost: one set of eigenvalues a node and point.
    """
    full = _points_first(law, s, size)  # (P, B, m, m)
    total = (np.linalg.eigvalsh(full) < 0).sum(-1) @ law.fractions
    alpha = float(law.nodes.alpha)
    for group in law.nodes.groups:
        form = np.einsum("b,pbij->pij", law.fractions * np.asarray(group.ratios) / alpha, full)
        root, signs, weights = *_rooted(group, size), np.asarray(group.weights)
        before = (signs < 0).sum(-1)
        step = max(1, _CHUNK // len(weights))
        for i in range(0, len(form), step):
            inner = np.swapaxes(root, 1, 2) @ form[i : i + step, None] @ root  # (P, N, m, m)
            after = (np.linalg.eigvalsh(inner + signs[:, :, None] * np.eye(size)) < 0).sum(-1)
            total[i : i + step] -= alpha * (after - before) @ weights
    return total / size


def masses_upto(law: Law, z: np.ndarray, s: np.ndarray, size: int) -> np.ndarray:
    """Mass below each of the points z = x + i0, (P,), from S there, (B R, P): -Im L/pi, inside the bulk, too.

    Each matrix in L has Im >= 0, and so have its pivots: their angles make the argument of its determinant without a multiple of 2 pi.
    """
    alpha = float(law.nodes.alpha)
    full = _points_first(law, s, size)  # (P, B, m, m)
    stationary = (z[:, None] * np.trace(full, axis1=-2, axis2=-1)).imag
    total = (-_angle(full) - stationary) @ law.fractions
    for group in law.nodes.groups:
        form = np.einsum("b,pbij->pij", law.fractions * np.asarray(group.ratios) / alpha, full)
        root, signs, weights = *_rooted(group, size), np.asarray(group.weights)
        step = max(1, _CHUNK // len(weights))
        for i in range(0, len(form), step):
            inner = np.swapaxes(root, 1, 2) @ form[i : i + step, None] @ root  # (P, N, m, m)
            turned = _angle(inner + signs[:, :, None] * np.eye(size)) - np.pi * (signs < 0).sum(-1)
            total[i : i + step] += alpha * turned @ weights
    return -total / (np.pi * size)


def _points_first(law: Law, s: np.ndarray, size: int) -> np.ndarray:
    """S of each block, (B R, P) to (P, B, m, m)."""
    blocks = s.reshape(len(law.fractions), size * (size + 1) // 2, s.shape[1])
    return np.moveaxis(unpacked(np.moveaxis(blocks, 0, -1), size), (0, 1), (-2, -1))


def _rooted(group: Group, size: int) -> tuple[np.ndarray, np.ndarray]:
    """(R (N, m, m), J (N, m)) with R J R^T = c A of each node, J = 1 where A is 0."""
    values, vectors = np.linalg.eigh(np.moveaxis(unpacked(np.asarray(group.variance * group.matrix), size), -1, 0))
    root = vectors * np.sqrt(np.where(np.abs(values) > _TINY, np.abs(values), 0))[:, None, :]
    return root, np.where(values < -_TINY, -1.0, 1.0)


def _angle(matrices: np.ndarray) -> np.ndarray:
    """Sum of the arguments, each in [0, pi], of the pivots of symmetric matrices with Im >= 0, (...)."""
    left, total = matrices, 0.0
    while left.shape[-1]:
        pivot, row = left[..., 0, 0], left[..., 0, 1:]
        total = total + np.arctan2(np.maximum(pivot.imag, 0), pivot.real)
        left = left[..., 1:, 1:] - row[..., :, None] * (row / pivot[..., None])[..., None, :]
    return total


def torn(law: Law, s: np.ndarray, size: int) -> np.ndarray:
    """Whether only the nodes have the gap in which S is real, (P,), s (B R, P); never where their regions are not known.

    In a gap det(I + S'_k A) has no zero. A is continuous between its kinks and takes all values between those at the nodes there, so
    that the determinant has one sign at all nodes of a cluster in a region.
    """
    found = np.zeros(s.shape[1], dtype=bool)
    if law.pieces is None:
        return found
    blocks = np.moveaxis(s.reshape(len(law.fractions), size * (size + 1) // 2, s.shape[1]), -1, 0)  # (P, B, R)
    for group, piece in zip(law.nodes.groups, law.pieces, strict=True):
        A = unpacked(np.asarray(group.variance * group.matrix), size)
        for p, at in enumerate(blocks):
            form = unpacked((law.fractions * np.asarray(group.ratios) / float(law.nodes.alpha)) @ at, size)
            negative = _determinant(np.eye(size)[..., None] + np.einsum("ij,jkn->ikn", form, A)) < 0
            count, part = np.bincount(piece[piece >= 0]), np.bincount(piece[piece >= 0], negative[piece >= 0])
            found[p] |= bool(((part > 0) & (part < count)).any())
    return found


def _determinant(matrices: np.ndarray) -> np.ndarray:
    """Of (m, m, N), (N,)."""
    if len(matrices) == 1:
        return matrices[0, 0]
    if len(matrices) == 2:
        return matrices[0, 0] * matrices[1, 1] - matrices[0, 1] * matrices[1, 0]
    return np.linalg.det(np.moveaxis(matrices, -1, 0))
