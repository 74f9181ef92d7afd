"""The setting of online SGD on a problem: its step, its numbers, and what it needs of the problem. Source: theory.md 6."""

from dataclasses import dataclass
from typing import Any, final

from gmsym import symbols
from gmsym.errors import InputError, check_positive
from gmsym.problem.problem import Instance, Problem


@final
@dataclass(frozen=True)
class OnlineInstance:
    """An online problem in numbers: fresh samples, step delta = c/d, time t = steps * delta."""

    instance: Instance
    step: float  # c
    trained_step: float  # c_v


def online(problem: Problem, step: Any, parameters: dict[str, float]) -> OnlineInstance:
    """The problem in numbers for online SGD of step c; `eta`, where its expressions hold it, is c.

    Raises:
        InputError: not a problem for online SGD, or a number missing or out of range.
    """
    check_positive("step", step, "a positive number c is needed; each step of online SGD is c/d")
    if symbols.alpha in problem.parameters:
        raise InputError("the problem depends on alpha, samples per dimension, which has no meaning for online SGD")
    if parameters.get("eta", step) != step:
        raise InputError(f"eta = {parameters['eta']!r} and step = {step!r}: in online SGD eta is the step c; leave eta out")
    given = {**parameters, **({"eta": float(step)} if symbols.eta in problem.parameters else {})}
    if symbols.eta not in problem.parameters:
        given.pop("eta", None)
    instance = problem.at(**given)
    slow = float(step) if instance.trained_step is None else instance.trained_step
    return OnlineInstance(instance, float(step), slow)
