"""A loss: what it finds out about an expression, and what it refuses."""

import time

import pytest
import sympy as sp

from gmsym import functions, symbols
from gmsym.errors import InputError
from gmsym.files import parser
from gmsym.problem import Loss
from gmsym.symbols import fields, h, labels, y

h0, h1, h2 = fields(3)
y0, y1 = labels(2)


def test_fields_labels_and_parameters_are_found():
    a = sp.Symbol("a", positive=True)
    loss = Loss("mine", a * (h0 - y) ** 2 + h2**2)
    assert loss.fields == (h0, h1, h2)
    assert loss.labels == (y,)
    assert {s.name for s in loss.parameters} == {"a"}
    assert Loss("mine", h**2).labels == ()
    assert Loss("mine", h0 * y1 + h1).labels == (y0, y1)


def test_one_numbered_field_or_label_is_the_plain_one():
    assert Loss("mine", (h0 - y0) ** 2) == Loss("mine", (h - y) ** 2)


def test_symbols_of_the_caller_become_those_of_the_alphabet():
    assert Loss("mine", (sp.Symbol("h") - sp.Symbol("y")) ** 2).gradient == (2 * (h - y),)


@pytest.mark.parametrize(
    ("expr", "quadratic"),
    [
        ((h - y) ** 2, True),
        (h * y + 3, True),
        ((h0 - h1) ** 2 + h0 * y, True),
        (h**3, False),
        (sp.Abs(h) * h, False),
        (sp.exp(h), False),
        (sp.Max(h, 0) ** 2, False),
        (sp.Abs(h) ** 2, True),
        (h0**2 * h1, False),
    ],
)
def test_quadratic_is_decided(expr, quadratic):
    assert Loss("mine", expr).is_quadratic is quadratic


@pytest.mark.parametrize(
    ("expr", "count"),
    [
        (sp.Max(0, 1 - y * h), 1),
        (sp.Max(0, 1 - y * h) ** 2, 0),
        (sp.Abs(h - y), 1),
        (sp.Abs(h) * h, 0),
        (sp.Max(h0, h1), 1),
        (sp.Max(h0, h1, h2), 3),
        (sp.Piecewise((h**2 / 2, sp.Abs(h) < 1), (sp.Abs(h) - sp.Rational(1, 2), True)), 0),
        (sp.Piecewise((0, sp.Abs(h) < 1), (sp.Abs(h) - 1, True)), 2),
        (sp.Piecewise((sp.exp(h), h < 0), (1 + h, True)), 0),
        (sp.Min(h, 1) + sp.Max(h, -1), 2),
        (sp.Max(h, h**3 - 2, y), 3),
        (sp.Max(0, 1 - y * (sp.Max(0, h0) - sp.Max(0, h1))), 3),  # a hinge on a ReLU network
        (sp.Max(0, h + sp.tanh(h) + h**3 - sp.cos(h)), 1),  # at a zero that has no closed form
    ],
)
def test_kinks_are_found(expr, count):
    assert len(Loss("mine", expr).kinks) == count


def test_jump_along_each_field():
    (kink,) = Loss("mine", sp.Max(h0, h1)).kinks
    sign = sp.sign(kink.locus.subs({h0: 2, h1: 1}))  # the locus is h0 - h1, or its opposite
    assert tuple(sign * j for j in kink.jump) == (1, -1)


def test_gradient_at_a_kink_is_the_average_of_both_sides():
    assert Loss("mine", sp.Max(0, h)).gradient[0].subs(h, 0) == sp.Rational(1, 2)
    assert Loss("mine", sp.Abs(h)).gradient[0].subs(h, 0) == 0


def test_value_is_stable():
    loss = Loss("mine", sp.log(1 + sp.exp(-y * h)))
    assert loss.value == functions.Softplus(-y * h)
    assert abs(loss.gradient[0].subs({h: -(10**6), y: 1}).evalf(20) + 1) < 1e-18


def test_at_label():
    assert Loss("mine", (h - y) ** 2).at_label(h * y, (sp.Integer(-1),)) == -h
    vector = Loss("mine", h0 * y0 + h1 * y1)
    assert vector.at_label(vector.expr, (sp.Integer(1), sp.Integer(0))) == h0


def test_readout():
    assert Loss("mine", h**2).readout == h
    assert Loss("mine", h0 * h1).readout is None
    assert Loss("mine", h0 * h1, readout=h0 - h1).readout == h0 - h1


def test_shows_as_latex():
    assert Loss("mine", sp.log(1 + sp.exp(-y * h)))._repr_latex_() == r"$\displaystyle \ell = \log{\left(1 + e^{- h y} \right)}$"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("my loss", h**2), "needs an identifier"),
        ((3, h**2), "needs an identifier"),
        (("mine", "h**2"), "text goes through gmsym.parse"),
        (("mine", y), "not a function of a field"),
        (("mine", sp.Integer(1)), "not a function of a field"),
        (("mine", h + h0), "uses both h and h0"),
        (("mine", h * y * y0), "uses both y and y0"),
        (("mine", h * sp.Symbol("alpha")), "reserved"),
        (("mine", h * sp.Symbol("t")), "reserved"),
        (("mine", sp.sign(h)), "jumps where h = 0"),
        (("mine", sp.Heaviside(h - y) * (h - y + 1)), "jumps where"),
        (("mine", sp.Piecewise((h, h < 1), (2 * h, True))), "jumps where"),
        (("mine", sp.Heaviside(h + sp.tanh(h) + h**3 - sp.cos(h))), "jumps where"),
        (("mine", sp.Piecewise((h0, h1 + h0 > 0), (-h1 + sp.Abs(h1) + h1, True))), "jumps where"),
        (("mine", sp.Piecewise((h, sp.Eq(h, 1)), (2 * h, True))), "cannot read the condition"),
        (("mine", h**2, y * h), "only the fields"),
        (("mine", h**2, sp.Integer(1)), "not a function of a field"),
    ],
)
def test_refused(arguments, says):
    with pytest.raises(InputError, match=says):
        Loss(*arguments)


def test_a_step_in_the_label_alone_is_no_jump():
    assert Loss("mine", sp.sign(y) * h).kinks == ()


# --- continuity by the values on both sides ---------------------------------------------------------------------------

CONTINUOUS = """abs(h)**(3/2) ; abs(h)**(11/10) ; abs(h - y)**(3/2) ; max(0, 1 - y*h)**(3/2) ; max(0, h0 - h1)**(3/2) ; abs(h0*h1)**(3/2)
abs(abs(h) - 1)**(3/2) ; abs(exp(h) - 2)**(3/2) ; abs(h**3 - 3*h + 1)**(3/2) ; (h**2)**(3/4) ; abs(h)*sqrt(abs(h)) ; abs(h)**(3/2)*sign(h)
where(h > 0, exp(-1/h), 0) ; where(h > 0, h*log(h), 0) ; abs(h)**(3/2)/(1 + abs(h)) ; heaviside(h)*sin(h) ; max(h, h**2) ; abs(sin(h))"""
JUMPING = """sign(h) ; heaviside(h - y)*h ; where(h < 1, 0, h) ; heaviside(h0*h1) ; sign(sin(h)) ; heaviside(h - 1)*log(h + 1)
where(h < 0.3, h**3, h**3 + 1e-6) ; heaviside(h**3 - 3*h + 1)*h ; heaviside(h)*cos(h) ; abs(h)**(-1/2)
max(where(h > 0, logsumexp(h, y, 1), h**2), logsumexp(h, 1))"""


def _texts(table):
    return [text.strip() for line in table.splitlines() for text in line.split(";")]


@pytest.mark.parametrize("text", _texts(CONTINUOUS))
def test_continuous_losses_are_accepted(text):
    loss = Loss("a", parser.parse_loss(text))
    for a in loss.gradient:  # a finite value close to the kinks, on both sides
        for near in (sp.Rational(1, 10**9), -sp.Rational(1, 10**9)):
            value = a.subs({s: 1 + near if s.name in ("y", "h1") else near for s in a.free_symbols}).evalf()
            assert value.is_finite is not False and not value.has(sp.nan)


@pytest.mark.parametrize("text", _texts(JUMPING))
def test_jumping_losses_are_refused(text):
    with pytest.raises(InputError, match="jumps where|infinite gradient"):
        Loss("a", parser.parse_loss(text))


def test_an_infinite_gradient_is_refused():
    with pytest.raises(InputError, match="infinite gradient where h = 0"):
        Loss("a", sp.sqrt(sp.Abs(h)))


def test_cusps():
    """Where the Hessian is infinite the gradient has no jump; there is no division by zero on the locus."""
    loss = Loss("a", sp.Abs(h - y) ** sp.Rational(3, 2))
    assert loss.kinks == () and [abs(u) for u in loss.cusps] == [abs(h - y)]
    assert loss.gradient[0].subs({h: 1, y: 1}) == 0
    assert Loss("a", sp.Abs(h) ** 3).cusps == () and Loss("a", sp.Abs(h)).cusps == ()


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["h00", "h01", "h64", "h999999999", "y01", "t00"])
def test_odd_components_are_refused(name):
    with pytest.raises(InputError, match=f"{name}: .*(leading zeros|at most 64)"):
        Loss("a", sp.Symbol(name) ** 2 + h)


def test_no_gradient_is_refused():
    with pytest.raises(InputError, match="no gradient in its fields h"):
        Loss("a", y * sp.sign(h) ** 2)


def test_positive_parameters():
    loss = Loss("a", symbols.symbol("w") * (h - y) ** 2, positive={"width": symbols.symbol("w") - 1})
    loss.check_domain({symbols.symbol("w"): 2.0})
    loss.check_domain({})
    with pytest.raises(InputError, match="width = -0.5: loss a needs a positive number"):
        loss.check_domain({symbols.symbol("w"): 0.5})


@pytest.mark.parametrize(
    "text",
    [
        "max(" + ",".join(f"{k}*h" for k in range(1, 41)) + ")",
        "max(" + ",".join(f"{k}*h - {k * k}" for k in range(1, 26)) + ")",
        "abs(" * 20 + "h" + "-1)" * 20,
        "abs(" * 8 + "h" + "-y)" * 8,
    ],
)
def test_kinks_have_a_budget(text):
    """Kinks in one another double the size; too many are refused before anything is formed."""
    expr = parser.parse_loss(text)
    start = time.process_time()
    with pytest.raises(InputError, match="too many or too deep in one another"):
        Loss("a", expr)
    assert time.process_time() - start < 5
