"""The parser accepts a closed language and nothing else, says where a text leaves it, and cannot be stalled."""

import time

import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from gmsym import functions
from gmsym.errors import InputError
from gmsym.files.parser import CONSTANTS, FUNCTIONS, ParseError, free_names, parse, parse_loss, parse_update
from gmsym.symbols import eta, g, h, symbol, t, theta, y

h0, h1, y1 = map(symbol, ("h0", "h1", "y1"))
half = sp.Rational(1, 2)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("log(1 + exp(-y*h))", sp.log(1 + sp.exp(-y * h))),
        ("0.5*(h - y)**2", (h - y) ** 2 / 2),
        ("1e-3*h + 2.50e1*y + .5 + 2.", h / 1000 + 25 * y + 5 * half),
        ("-h**2", -(h**2)),
        ("+h - -y", h + y),
        ("2**3**2 / 8", sp.Integer(64)),
        ("h**0.5", sp.sqrt(h)),
        ("h0*y1 - h1", h0 * y1 - h1),
        ("pi + E", sp.pi + sp.E),
        ("E**h", sp.exp(h)),
        ("sqrt(h) + abs(h) + sign(h)", sp.sqrt(h) + sp.Abs(h) + sp.sign(h)),
        ("max(0, h, y) + min(h, 1)", sp.Max(0, h, y) + sp.Min(h, 1)),
        ("relu(h)", sp.Max(0, h)),
        ("step(h) + heaviside(h)", 2 * sp.Heaviside(h)),
        ("softplus(h) + sigmoid(h)", functions.Softplus(h) + functions.Sigmoid(h)),
        ("logsumexp(h, y, 0)", functions.LogSumExp(h, y, 0)),
        ("Phi(h) - log_Phi(y)", functions.NormalCDF(h) - functions.LogNormalCDF(y)),
        ("erf(h) + erfc(h) + tanh(h)", sp.erf(h) + sp.erfc(h) + sp.tanh(h)),
        ("where(h > 0, h, -y)", sp.Piecewise((h, h > 0), (-y, True))),
        ("where(0 < h <= 1 and not y > 2, h, y)", sp.Piecewise((h, (h > 0) & (h <= 1) & (y <= 2)), (y, True))),
        ("where(h < 0 or y == 1, h, 0)", sp.Piecewise((h, (h < 0) | sp.Eq(y, 1)), (0, True))),
        ("where(1 < 2, h, y)", h),
        ("  h\n +\ty ", h + y),
        ("((((h))))", h),
    ],
)
def test_accepted(text, expected):
    assert parse(text) == expected


def test_decimals_are_exact():
    assert parse("0.1 + 0.2") == sp.Rational(3, 10)
    assert not parse("0.1*h").atoms(sp.Float)


def test_symbols_are_those_of_the_alphabet():
    assert parse("eta*h*mine").free_symbols == {eta, h, symbol("mine")}
    assert parse("a*b", {"a": h, "b": y}) == h * y


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_takes_its_number_of_arguments(name):
    fewest, most, function = FUNCTIONS[name]
    arguments = [h, y, symbol("a")][:fewest]
    assert parse(f"{name}({', '.join(map(str, arguments))})") == function(*arguments)
    with pytest.raises(ParseError, match=f"{name} takes"):
        parse(f"{name}()")
    if most == fewest:
        with pytest.raises(ParseError, match=f"{name} takes 1 argument, not 2"):
            parse(f"{name}(h, y)")


@pytest.mark.parametrize(
    ("text", "character", "says"),
    [
        ("", 1, "empty"),
        ("  \n", 1, "empty"),
        ("h +", 4, "ends too early"),
        ("  h *  ", 6, "ends too early"),
        ("h)", 2, "never opened"),
        ("exp(h))+(y", 7, "never opened"),
        ("log((h", 5, "never closed"),
        ("2h", 1, r"write numbers as 2, 0.5 or 1e-3, and \* for a product"),
        ("h y", 3, "an operator is missing"),
        ("2(h)", 1, "not a function; write"),
        ("(h+1)(h-1)", 2, "not a function; write"),
        ("h(1 + y)", 1, r"h is not a function; write h\*"),
        ("pi(3)", 1, "pi is not a function"),
        ("1 + log", 5, r"log is a function; write log\(\.\.\.\)"),
        ("h^2", 2, r"write \*\* for a power"),
        ("h²", 2, r"write \*\* for a power"),
        ("y·h", 2, r"write \*"),
        ("h \u2212 1", 3, "write -"),
        ("1 + η*h", 5, "write 'eta'"),
        ("h'", 2, "quotes"),
        ("h[0]", 2, "subscripts"),
        ("h\x00", 2, "not allowed"),
        ("h # comment", 3, "not allowed"),
        ("h.real", 2, "no attributes"),
        ("(1).__class__", 4, "no attributes"),
        ("h.real(2)", 2, "no attributes"),
        ("lambda*h", 1, "'lambda' is a word of Python"),
        ("lambda: h", 1, "'lambda' is a word of Python"),
        ("(h for h in y)", 4, "'for' is a word"),
        ("h if y else 2", 3, r"write where\(condition, a, b\)"),
        ("True", 1, "a word of Python"),
        ("log(base=2)", 10, "no arguments by name"),
        ("exp(*h)", 5, "needs a factor on both sides"),
        ("h, y", 1, "a comma belongs"),
        ("h := 2", 3, "':'"),
        ("h = 2", 3, "a comparison is written =="),
        ("h > 0", 1, "a comparison is not a number"),
        ("h and y", 1, "a condition is not a number"),
        ("not h", 1, "a condition is not a number"),
        ("where(h, 1, 2)", 7, "a condition is needed"),
        ("where(h > 0, 1)", 1, "where takes 3 arguments, not 2"),
        ("where(h is y, 1, 2)", 9, "a word of Python"),
        ("h != y", 3, r"not \(a == b\)"),
        ("h // 2", 1, "write /"),
        ("h % 2", 3, "remainder"),
        ("0x10", 1, "not a real decimal number"),
        ("1_000", 1, "not a real decimal number"),
        ("2j", 1, "not a real decimal number"),
        ("1 / 0", 5, "division by zero"),
        ("h/(y - y)", 4, "division by zero"),
        ("0**-1", 1, "division by zero"),
        ("sqrt(-1)", 1, "not real"),
        ("h*log(-2)", 3, "not real"),
        ("asin(2)", 1, "not real"),
        ("(-8)**(1/3)", 1, "not real"),
        ("tan(pi/2)", 1, "not finite"),
        ("log(0)", 1, "not finite"),
        ("h + nan", 5, "nan is not a finite number"),
        ("inf", 1, "inf is not a finite number"),
        ("expp(h)", 1, "did you mean 'exp'"),
        ("_h", 1, "a name begins with a letter"),
        ("h64 + 1", 1, "at most 64 components"),
        ("y999999999", 1, "at most 64 components"),
        ("max(h, acos(h + 2 + 1j))", 21, "not a real decimal"),
    ],
)
def test_refused_with_a_caret(text, character, says):
    with pytest.raises(ParseError, match=says) as caught:
        parse(text, what="my text")
    first, shown, caret = str(caught.value).split("\n")
    assert first.startswith(f"my text, character {character}: ")
    assert len(caret) - len("    ") == character and caret.endswith("^")
    assert isinstance(caught.value, InputError)
    assert len(shown) - len("    ") == len(text)


@pytest.mark.parametrize(
    "text",
    [
        "9**9**9**9",
        "10**1000*h",
        "2**101",
        "h**1000000",
        "(h**99)**99",
        "h**99*h**99",
        "((1.0000001**99)**99)**99",
        "1e999",
        "1e-999",
        "1" * 50,
        "exp(exp(exp(exp(9))))",
        "2**(1e50 + h)",
        "h**0.123456789",
        "cosh((y**(1.0000001**h))**1.0000001)",
        "+".join(["h"] * 600),
        "h" + "**h" * 240,
        "-" * 1900 + "h",
        "not " * 400 + "h",
        "(" * 500 + "h" + ")" * 500,
        "exp(" * 40 + "h" + ")" * 40,
        "h*" * 1500 + "h",
    ],
    ids=lambda text: text[:24],
)
def test_towers_are_refused_at_once(text):
    start = time.perf_counter()
    with pytest.raises(ParseError, match="too|large|long|nested|parentheses"):
        parse(text)
    assert time.perf_counter() - start < 2


def test_what_is_moderate_passes():
    assert parse("+".join(["h"] * 200)) == 200 * h
    assert parse("exp(" * 20 + "h" + ")" * 20).has(h)
    assert parse("h**100") == h**100


def test_a_long_text_is_shown_around_the_error():
    with pytest.raises(ParseError) as caught:
        parse("+".join(["h"] * 200) + "+ $")
    _, shown, caret = str(caught.value).split("\n")
    assert shown[len(caret) - 1] == "$"
    assert len(shown) < 120


@settings(max_examples=400)
@given(st.text(max_size=40) | st.text(alphabet="hy01.e+-*/()<>=, logexpwhere_t", max_size=40))
def test_any_text_parses_or_is_refused(text):
    try:
        expr = parse(text)
    except ParseError as error:
        assert 0 <= error.position <= len(text)
    else:
        assert isinstance(expr, sp.Expr)


_leaves = st.sampled_from(["h", "y", "a", "0", "1", "2", "0.5", "-3", "1e30", "pi", "99"])


def _grown(inner):
    operation = st.builds("({}){}({})".format, inner, st.sampled_from(["+", "-", "*", "/", "**"]), inner)
    call = st.builds("{}({})".format, st.sampled_from([f for f, (n, _, _) in FUNCTIONS.items() if n == 1]), inner)
    several = st.builds("{}({}, {})".format, st.sampled_from(["max", "min", "logsumexp"]), inner, inner)
    choice = st.builds("where({} < {}, {}, {})".format, inner, inner, inner, inner)
    return operation | call | several | choice


@settings(max_examples=150)
@given(st.recursive(_leaves, _grown, max_leaves=12))
def test_any_expression_parses_or_is_refused(text):
    start = time.perf_counter()
    try:
        expr = parse(text)
    except ParseError:
        pass
    else:
        assert not expr.has(sp.nan, sp.oo, sp.zoo, sp.I)
    assert time.perf_counter() - start < 10


_smooth = st.recursive(
    st.sampled_from(["h", "y", "2", "0.5"]),
    lambda inner: st.builds("({} {} {})".format, inner, st.sampled_from("+-*"), inner) | st.builds("exp(-({})**2)".format, inner),
    max_leaves=8,
)


@settings(max_examples=100)
@given(_smooth)
def test_meaning_is_that_of_python(text):
    """Against Python's own arithmetic, at rational numbers: an independent reading of the same grammar."""
    point = {"h": 0.75, "y": -1.25}
    expected = eval(text, {"exp": lambda u: float(sp.exp(u)), **point})  # noqa: S307
    found = float(parse(text).subs({h: sp.Rational(3, 4), y: -sp.Rational(5, 4)}))
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-9)


@settings(max_examples=100)
@given(_smooth)
def test_printed_and_read_again_is_the_same(text):
    expr = parse(text)
    assert parse(str(expr)) == expr


def test_nothing_is_executed(tmp_path):
    target = tmp_path / "made"
    for text in (f"__import__('os').mkdir('{target}')", "exec('1')", "().__class__.__bases__", "open(h)", "eval(h)", "__builtins__"):
        with pytest.raises(ParseError):
            parse(text)
    assert not target.exists()


def test_text_is_needed():
    with pytest.raises(InputError, match="text is needed"):
        parse(3)


# --- losses, update rules, names --------------------------------------------------------------------------------------


def test_loss_names():
    assert parse_loss("a*(h - y)**2", ["a"]) == symbol("a") * (h - y) ** 2
    assert parse_loss("logsumexp(h0, h1) - h1*y1") == functions.LogSumExp(h0, h1) - h1 * y1


@pytest.mark.parametrize(
    ("text", "parameters", "says"),
    [
        (
            "log(1 + exp(-y*hh))",
            [],
            "unknown name 'hh'; did you mean 'h'.*h or h0, h1, ..., y or y0, y1, ..., t0, t1, ..., w0, w1, ..., pi, E; "
            "a parameter is declared",
        ),
        ("b*h", [], "unknown name 'b'"),
        ("sharpnes*h", ["sharpness"], "did you mean 'sharpness'.*pi, E, sharpness"),
        ("theta*h", [], "unknown name 'theta'"),
        ("t*h", [], "unknown name 't'"),
        ("h64", [], "unknown name 'h64'"),
        ("__class__*h", [], "unknown name '__class__'"),
    ],
)
def test_unknown_names_in_a_loss(text, parameters, says):
    with pytest.raises(ParseError, match=says):
        parse_loss(text, parameters)


def test_update_rules():
    v, beta = symbol("v"), symbol("beta")
    rules = parse_update({"theta": "theta + v", "v": "beta*v - eta*g/(1 + t)"}, ["beta", "eta"])
    assert rules == {"theta": theta + v, "v": beta * v - eta * g / (1 + t)}


@pytest.mark.parametrize("rule", ["theta - eta*h", "theta - eta*gg", "theta - y*g"])
def test_unknown_names_in_an_update_rule(rule):
    with pytest.raises(ParseError, match="update, rule of theta, character .*unknown name.*Allowed: theta, g, t, noise, eta, pi, E"):
        parse_update({"theta": rule}, ["eta"])


def test_free_names():
    assert free_names("log(1 + exp(-b2*y*h)) + where(a > 1e5 and not c < pi, E, _d)") == {"b2", "y", "h", "a", "c", "_d"}
    assert free_names("exp (h) + 2e3 + exp") == {"h", "exp"}
    assert free_names("not a text $ of the language") >= {"a", "text"}
    assert not free_names(" ".join(CONSTANTS))
