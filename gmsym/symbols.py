"""The alphabet: each symbol is made once, here, with its assumptions and a one-line meaning.

Two SymPy symbols of one name but different assumptions are different symbols, a classic source of silently wrong
derivatives. Everything in gmsym (the parser included) therefore obtains symbols by name from `symbol`, and expressions
that a user built with symbols of their own are brought to this alphabet by `canonical`. Names end up in generated text, so
that both check them.
"""

import re

import sympy as sp
from sympy.core.function import AppliedUndef
from sympy.core.symbol import Str

from gmsym import generated
from gmsym.errors import InputError

# Arguments of a loss.
h = sp.Symbol("h", real=True)  # local field of a one-field loss, h = Theta^T x
y = sp.Symbol("y", real=True)  # scalar label

# Arguments of an optimizer's update rule.
theta = sp.Symbol("theta", real=True)  # one coordinate of the parameters
g = sp.Symbol("g", real=True)  # the same coordinate of the gradient of the regularised risk
t = sp.Symbol("t", integer=True, nonnegative=True)  # step counter, 0 at the first update
noise = sp.Symbol("noise", real=True)  # fresh N(0, 1/d) of the coordinate at each step: its column has norm 1

# Parameters of a problem.
alpha = sp.Symbol("alpha", positive=True)  # samples per dimension, n/d
eta = sp.Symbol("eta", positive=True)  # step size
momentum = sp.Symbol("momentum", real=True)  # momentum coefficient
temperature = sp.Symbol("temperature", nonnegative=True)  # of Langevin noise
ridge = sp.Symbol("ridge", nonnegative=True)  # lambda in (lambda/2) |Theta|^2
sigma = sp.Symbol("sigma", positive=True)  # noise standard deviation of a cluster
mu_norm = sp.Symbol("mu_norm", nonnegative=True)  # norm of a cluster mean

# Of a sample itself.
w0 = sp.Symbol("w0", real=True)  # its own noise N(0, 1), drawn once with it; w1, ... are further ones

# Of a sample under mini-batch sampling.
visit = sp.Symbol("visit", real=True)  # state that says which steps see the sample
uniform = sp.Symbol("uniform", real=True)  # its noise at each step, uniform on (0, 1)

COMPONENTS = 64  # most fields, label components or teacher fields

_ALPHABET = {s.name: s for s in (h, y, theta, g, t, noise, alpha, eta, momentum, temperature, ridge, sigma, mu_norm, w0, visit, uniform)}
_FIELD = re.compile(r"h(\d*)")
_LABEL = re.compile(r"y(\d*)")
_TEACHER = re.compile(r"t\d+")
_OWN = re.compile(r"w\d+")


def symbol(name: str) -> sp.Symbol:
    """The one symbol of that name; a name outside the alphabet is a real parameter, field or label.

    Raises:
        InputError: not a name.
    """
    return _ALPHABET.get(check_name(name)) or sp.Symbol(name, real=True)


def check_name(name: object, what: str = "name", advice: str = "") -> str:
    """`name`, if it can be a name of a symbol, loss or optimizer: an ASCII identifier of moderate length without a meaning of its own.

    Args:
        name: the name.
        what: what it is a name of.
        advice: how to name such a thing, for the message.

    Raises:
        InputError: it cannot.
    """
    fault = generated.name_fault(name)
    if fault is not None:
        shown = repr(name)
        raise InputError(f"{what} = {shown if len(shown) <= 80 else shown[:80] + '...'}: {fault}{advice}")
    return str(name)


def fields(count: int) -> tuple[sp.Symbol, ...]:
    """Local fields of a loss with `count` of them: `(h,)`, or `(h0, ..., h{count-1})`."""
    return (h,) if count == 1 else tuple(symbol(f"h{c}") for c in range(count))


def labels(count: int) -> tuple[sp.Symbol, ...]:
    """Components of a label: `(y,)`, or `(y0, ..., y{count-1})`."""
    return (y,) if count == 1 else tuple(symbol(f"y{c}") for c in range(count))


def teachers(count: int) -> tuple[sp.Symbol, ...]:
    """Teacher fields `(t0, ..., t{count-1})`; one of them is still t0, since t is the step counter."""
    return tuple(symbol(f"t{s}") for s in range(count))


def own_noises(count: int) -> tuple[sp.Symbol, ...]:
    """A sample's own noises `(w0, ..., w{count-1})`."""
    return tuple(symbol(f"w{s}") for s in range(count))


def is_field(name: str) -> bool:
    """Whether `name` denotes a local field: `h`, `h0`, `h1`, ..."""
    return _FIELD.fullmatch(name) is not None


def is_label(name: str) -> bool:
    """Whether `name` denotes a label or one of its components: `y`, `y0`, `y1`, ..."""
    return _LABEL.fullmatch(name) is not None


def is_teacher(name: str) -> bool:
    """Whether `name` denotes a teacher field: `t0`, `t1`, ..."""
    return _TEACHER.fullmatch(name) is not None


def is_own(name: str) -> bool:
    """Whether `name` denotes a sample's own noise: `w0`, `w1`, ..."""
    return _OWN.fullmatch(name) is not None


def is_sample(name: str) -> bool:
    """Whether `name` denotes a field, a label, a teacher field or a sample's own noise."""
    return is_field(name) or is_label(name) or is_teacher(name) or is_own(name)


def check_component(name: str) -> None:
    """Raises InputError for a field, label or teacher field numbered in another way than 0, 1, ... or beyond what is allowed."""
    if not is_sample(name) or len(name) == 1:
        return
    if name[1] == "0" and len(name) > 2:
        raise InputError(f"{name}: components are numbered without leading zeros, {name[0]}0, {name[0]}1, ...")
    if len(name) > 4 or int(name[1:]) >= COMPONENTS:
        raise InputError(f"{name}: at most {COMPONENTS} components are allowed, {name[0]}0 to {name[0]}{COMPONENTS - 1}")


def canonical(expr: sp.Expr) -> sp.Expr:
    """`expr` with each free symbol replaced by the alphabet's symbol of the same name.

    Raises:
        InputError: a symbol, bound ones included, or an unknown function whose name is not a name.
    """
    for x in expr.atoms(sp.Symbol, Str):
        check_name(x.name, "symbol")
    for x in expr.atoms(AppliedUndef):
        check_name(type(x).__name__, "function")
    return expr.xreplace({s: symbol(s.name) for s in expr.free_symbols if isinstance(s, sp.Symbol)})
