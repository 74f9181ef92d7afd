"""Learning curves at finite size around the limit, and the limit's refinement to the surrogate. Source: theory.md 1.3, Panahi 2026."""

from gmsym.derive.dmf import dmf
from gmsym.derive.influence import check_linear, influence
from gmsym.derive.size_expansion import size_expansion
from gmsym.derive.surrogate import surrogate
from gmsym.errors import InputError
from gmsym.problem import Problem
from gmsym.system import FiniteSize, Refinement


def finite_size(problem: Problem) -> FiniteSize:
    """Mean and standard deviation of learning curves for every n, d of one ratio: the limit, and the surrogate's influence functions.

    Raises:
        InputError: not a Problem of full batches; an optimizer that is not linear; a loss whose gradient jumps or whose Hessian is
            infinite somewhere.
    """
    _check_smooth(problem, "derive.finite_size")
    check_linear(problem, "derive.finite_size")
    return FiniteSize(dmf(problem), influence(surrogate(problem)), size_expansion())


def refinement(problem: Problem) -> Refinement:
    """Rounds of Picard's and Newton's iteration from the limit to the exact surrogate.

    Raises:
        InputError: not a Problem of full batches; a loss whose gradient jumps or whose Hessian is infinite somewhere.
    """
    _check_smooth(problem, "derive.refinement")
    return Refinement(surrogate(problem))


def _check_smooth(problem: Problem, verb: str) -> None:
    if not isinstance(problem, Problem):
        raise InputError(f"problem = {problem!r}: a Problem is needed")
    problem.check_full_batch(verb)
    problem.check_blocks(verb)
    if problem.loss.kinks:
        where = ", ".join(f"{kink.locus} = 0" for kink in problem.loss.kinks)
        raise InputError(
            f"loss {problem.loss.name}: its gradient jumps where {where}; {verb} needs a continuous one (use derive.surrogate)"
        )
    if problem.loss.cusps:
        where = ", ".join(f"{locus} = 0" for locus in problem.loss.cusps)
        raise InputError(
            f"loss {problem.loss.name}: its Hessian is infinite where {where}; {verb} needs a finite one (use derive.surrogate)"
        )
