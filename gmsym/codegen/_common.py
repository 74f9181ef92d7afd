"""Functions that generated modules of several kinds share: of one sample, of a fresh sample, and array algebra."""

from collections.abc import Iterable, Mapping, Sequence

import sympy as sp

from gmsym import generated, printer
from gmsym.codegen._arrays import arguments, array_text, free_axes, scalars
from gmsym.functions import Norm
from gmsym.problem.observables import order_parameters
from gmsym.symbols import eta, g, noise, theta, uniform, visit
from gmsym.system import CausalKernels, Equation, Recursion, Stationary
from gmsym.system.causal_kernels import eta_v

System = CausalKernels | Recursion


class Stacked(sp.Basic):
    """Outputs as one array with a leading axis, each broadcast to the shape of the first argument."""

    def _jaxcode(self, jax: printer.JaxPrinter) -> str:
        like, *entries = (jax.doprint(e) for e in self.args)
        return f"jnp.stack([jnp.broadcast_to(jnp.asarray(entry, {like}.dtype), {like}.shape) for entry in ({', '.join(entries)},)])"


class Group(sp.Basic):
    """Outputs as a tuple."""

    def _jaxcode(self, jax: printer.JaxPrinter) -> str:
        return f"({''.join(f'{jax.doprint(e)}, ' for e in self.args).rstrip(' ')})"


def names(given: Sequence[sp.Symbol]) -> tuple[str, ...]:
    """Their names, as a generated header lists them."""
    return tuple(generated.quoted(s.name) for s in given)


def sample_arguments(system: System) -> dict[str, Sequence[sp.Symbol]]:
    """Arguments of a function of one population of samples."""
    beside = (*system.teachers, *system.own_noises)
    taught = {"teacher": beside} if beside else {}
    return {"fields": system.fields, **taught, "label": system.labels, **trained_arguments(system), "parameters": system.parameters}


def counted_beside(system: System) -> str:
    """Statements of how many teacher directions and own noises of a sample, and which observables, there are; where there are any."""
    counts = {"TEACHERS": system.teachers, "OWN_NOISES": system.own_noises}
    observed = f"OBSERVABLES = {tuple(x.name for x in system.observables)!r}\n" if system.observables else ""
    return "".join(f"{name} = {len(symbols)}\n" for name, symbols in counts.items() if symbols) + observed


def trained_arguments(system: System | Stationary) -> dict[str, Sequence[sp.Symbol]]:
    """The argument of trained parameters, where there are such."""
    return {"trained": system.trained} if system.trained else {}


def loss_and_gradient(system: System) -> list[str]:
    """The loss of each sample and its gradient in the fields."""
    given = sample_arguments(system)
    gradient = Stacked(system.fields[0], *system.gradient)
    return [
        printer.function("loss", given, "Loss of each sample; fields (C, N), label (L,) -> (N,).", system.loss),
        printer.function("gradient", given, "Gradient of the loss in the fields, (C, N).", gradient),
    ]


def observed_functions(system: System) -> list[str]:
    """The problem's observables of each sample; nothing where it has none."""
    if not system.observables:
        return []
    given = sample_arguments(system)
    given = {name: given[name] for name in given if name != "parameters"}
    given |= {"moments": order_parameters(len(system.fields)), "parameters": system.parameters}
    values = Stacked(system.fields[0], *(x.value for x in system.observables))
    summary = "Observables of each sample, (O, N); moments: m (C), then the upper triangle of Q, of its cluster."
    return [printer.function("observed", given, summary, values)]


def visit_functions(system: System) -> list[str]:
    """Of mini-batches: which samples a step sees, and with which gradient; nothing for full batches."""
    if system.visit is None or system.gradient_seen is None:
        return []
    given = {"visit": visit, "t": system.clock, "parameters": system.parameters}
    sample = {name: x for name, x in sample_arguments(system).items() if name not in given}
    gradient = Stacked(system.fields[0], *system.gradient_seen)
    summary = "Gradient of the loss in the fields as a step sees it, (C, N); visit (N,)."
    return [
        printer.function("next_visit", {"uniform": uniform, **given}, "State of each sample at step t, (N,).", system.visit),
        printer.function("gradient_seen", sample | given, summary, gradient),
    ]


def optimizer_function(system: System, update: Sequence[sp.Expr], name: str = "optimizer", more: Sequence[sp.Symbol] = ()) -> str:
    """One step of the update rule on arrays; `more` numbers that it reads are arguments, too."""
    step = eta_v if any(sp.sympify(rule).has(eta_v) for rule in update) else eta
    parameters = tuple(step if x == eta else x for x in system.parameters)
    given = {"t": system.clock, "theta": theta, "state": system.state, "gradient": g}
    given |= ({"noise": noise} if any(sp.sympify(rule).has(noise) for rule in update) else {}) | {"parameters": parameters}
    given |= {x.name: x for x in more}
    if any(sp.sympify(rule).has(Norm) for rule in update):
        given["norm"] = sp.Dummy("norm")
    new, *state = update
    return printer.function(name, given, "New theta and state after step t, for arrays of any one shape.", [new, Group(*state)])


def array_functions(
    equations: Iterable[tuple[str, Equation]], given: Mapping[str, sp.Symbol | Sequence[sp.Symbol]] | None = None
) -> list[str]:
    """One function an equation; its arguments are `given` and the arrays and numbers that the equation mentions."""
    texts = []
    for name, equation in equations:
        axes = free_axes(equation.lhs)
        summary = generated.quoted(f"{equation.meaning[0].upper()}{equation.meaning[1:]}{f'; axes {axes}' if axes else ''}.")
        arrays = arguments(equation.rhs)
        lines, factors = _scalar_factors(equation.rhs, given or {}, arrays)
        body = array_text(equation.rhs, axes, factors).replace("\n", "\n        ")
        before = "".join(f"    {line}\n" for line in lines)
        texts.append(
            f'def {name}({", ".join([*(given or ()), *arrays])}):\n    """{summary}"""\n{before}    return (\n        {body}\n    )\n'
        )
    return texts


def _scalar_factors(
    rhs: sp.Expr, given: Mapping[str, sp.Symbol | Sequence[sp.Symbol]], arrays: Sequence[str]
) -> tuple[list[str], dict[sp.Expr, str]]:
    """Numbers that multiply arrays, such as a step size: (statements, text of each)."""
    factors = scalars(rhs)
    used = set().union(*(x.free_symbols for x in factors)) if factors else set()
    taken = {*given, *arrays, *generated.RESERVED}
    names: dict[sp.Symbol, str] = {}
    lines = []
    for argument, symbols in given.items():
        if isinstance(symbols, sp.Symbol):
            names[symbols] = argument
        elif used & set(symbols):
            unpacked = {x: printer.fresh_name(x.name, taken) for x in symbols}
            names |= unpacked
            lines.append(f"({''.join(f'{x}, ' for x in unpacked.values()).rstrip(' ')}) = {argument}")
    shared, results = printer.statements(factors, names)
    texts = [text if text.isidentifier() else f"({text})" for text in results]
    return [*lines, *shared], dict(zip(factors, texts, strict=True))
