"""Edges of the bulk, found in one real variable, are folds of the displayed fixed point."""

import numpy as np

import gmsym as gm
from gmsym import derive, pipeline
from gmsym.engine import folds
from gmsym.system import spectral as S
from gmsym.system.causal_kernels import k
from tests.engine.test_spectral_literal import ALPHA, Literal
from tests.mutation import Enrolled, mutants, outcomes

VARIANCE = np.array([[0.5, 4.0], [1.0, 8.0]])  # one profile, two scales
DATA = gm.GaussianMixture(
    probabilities=[0.4, 0.6], labels=[1, -1], means_gram=[[1.0, -0.5], [-0.5, 1.5]], variance=VARIANCE, fractions=[0.3, 0.7]
)

SQUARED = gm.Problem(DATA, gm.losses.squared(), gm.optimizers.gd())
MODULE = pipeline.load(derive.spectrum(SQUARED))


def away(literal, z, s):
    """(how far the displayed right-hand side is from S, determinant of what is left of a small change of S)."""

    def left(s):
        known = literal.shares({S.z: z, **dict(zip(literal.letters(literal.sym.S), s, strict=True))})
        return s - [np.asarray(x).item() for x in literal.each(literal.sym.S, 2, known).values()]

    step = 1e-6 * np.abs(s)
    slope = np.stack([(left(s + d) - left(s - d)) / (2 * d.sum()) for d in np.diag(step)], axis=1)
    return np.abs(left(s) / s).max(), np.linalg.det(slope)


def edges(module=MODULE):
    """(z, S) of every end of a gap that is an edge."""
    law = folds.scalar(module, VARIANCE[:, 0], np.array([0.4, 0.6]), np.array([0.3, 0.7]), VARIANCE[0] / VARIANCE[0, 0], ALPHA, 1e-12)
    found = folds.gaps(law, np.zeros((0, 2)))
    ends = [end for gap in found for end in ((gap.low, gap.s_low), (gap.high, gap.s_high))]
    return [(z, s) for z, s in ends if np.isfinite(z) and np.isfinite(s).all()]


def test_every_edge_is_a_fold_of_the_displayed_fixed_point():
    literal = Literal(SQUARED, ())
    found = edges()
    assert len(found) >= 4  # two bands
    for z, s in found:
        far, determinant = away(literal, z, s)
        assert far < 1e-11 and abs(determinant) < 1e-6


def test_an_edge_is_none_of_another_fixed_point():
    """Any sign or term of the equations of S, S' and X changed."""
    literal = Literal(SQUARED, ())
    z, s = edges()[1]
    right = dict(literal.shown)
    for lhs in (literal.sym.S, literal.sym.Sk(k), literal.sym.X(k)):
        for what, wrong in mutants(right[lhs]):
            literal.shown = right | {lhs: wrong}
            try:
                far, _ = away(literal, z, s)
            except (ZeroDivisionError, np.linalg.LinAlgError):
                continue
            assert far > 1e-3, f"{lhs}: {what}"


def test_a_covered_interval_may_end_next_to_a_value():
    """Ends one rounding apart have no number between them, where a pole would be divided by."""

    def ends(covered):
        found = folds.gaps(law, np.array([[-1.0, covered]]))
        return [z for gap in found for z, s in ((gap.low, gap.s_low), (gap.high, gap.s_high)) if np.isfinite(s).all()]

    for value in (0.4431638754572902, 1.3257929414732095):
        law = folds.scalar(MODULE, np.array([value, 5.0]), np.array([0.5, 0.5]), np.ones(1), np.ones(1), 4.0, 1e-12)
        known = ends(value - 1e-6)
        assert len(known) >= 2  # the ends of the bulk
        for covered in (np.nextafter(value, 0), np.nextafter(value, 9)):
            np.testing.assert_allclose(ends(covered), known, rtol=1e-12)


def test_every_sign_and_term_of_the_functional_inverse_drives_the_edges():
    """Its displayed equations, of which R follows from the others: no sign cancels but that of a whole square."""

    def ends(system):
        with np.errstate(all="ignore"):
            found = edges(pipeline.load(system))
        return {"edges": np.array([z for z, _ in found]), "S": np.array([s for _, s in found])}

    def of_the_line(system):
        shown = (S.share_of_s, S.profile, S.total, S.inverse, S.transform, S.turning)
        return [e for e in system.equations() if e.lhs in shown or isinstance(e.lhs, tuple(x for x in shown if isinstance(x, type)))]

    found = list(outcomes(Enrolled("functional inverse", lambda: derive.spectrum(SQUARED), ends, of_the_line)))
    assert len(found) == 6
    idle = [o for o in found if o.fate in ("refused", "survived") and "zero is no array" not in o.detail]
    assert not idle, "\n".join(f"{o.equation}: {o.mutation} ({o.fate}: {o.detail})" for o in idle)
