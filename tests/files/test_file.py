"""A problem file, the options of the command line, and both together give the problem that they say, or name the key that is wrong."""

import numpy as np
import pytest
import sympy as sp

import gmsym as gm
from gmsym.errors import InputError
from gmsym.files.parser import ParseError
from gmsym.files.reader import Run, Simulation, from_options, loads, parse_settings, read
from gmsym.problem import GaussianMixture, Loss, Optimizer, Problem, losses, optimizers
from gmsym.symbols import eta, g, h, symbol, t, theta, y

WHOLE = """
[mixture]
probabilities = [0.5, 0.5]
labels = [1, -1]
means_gram = [[1.0, -1.0], [-1.0, 1.0]]
variance = [0.5, 0.5]
[loss]
expression = "log(1 + exp(-y*h))"
[optimizer]
name = "heavy_ball"
eta = 4.0
momentum = 0.6
ridge = 0.02
[initial]
norm2 = 1.0
overlap = [0.0, 0.0]
[run]
alpha = 0.48
steps = 150
samples = 8192
seed = 0
[simulation]
d = 2000
replicates = 8
"""
MIXTURE = WHOLE.split("[loss]")[0]
LOGISTIC = '[loss]\nname = "logistic"\n'


def test_whole_file():
    file = loads(WHOLE)
    data = GaussianMixture(probabilities=[0.5, 0.5], labels=[1, -1], means_gram=[[1, -1], [-1, 1]], variance=[0.5, 0.5])
    loss = Loss("custom", sp.log(1 + sp.exp(-y * h)))
    assert file.problem == Problem(data, loss, optimizers.heavy_ball(), norm2=1, overlap=[0, 0])
    assert file.values == {"eta": 4.0, "momentum": 0.6, "ridge": 0.02, "alpha": 0.48}
    assert file.run == Run(alpha=0.48, steps=150, samples=8192, seed=0)
    assert file.simulation == Simulation(d=2000, replicates=8)
    assert file.n == 960
    assert file.instance.parameters == {"eta": 4.0, "momentum": 0.6}


def test_a_file_on_disk_is_its_text(tmp_path):
    path = tmp_path / "problem.toml"
    path.write_text(WHOLE)
    assert read(path) == loads(WHOLE)
    assert read(str(path)) == read(path)


def test_blocks():
    blocks = MIXTURE.replace("variance = [0.5, 0.5]", "blocks = { fractions = [0.25, 0.75], variance = [[0.1, 0.5], [0.2, 0.6]] }")
    data = loads(blocks + LOGISTIC).problem.data
    np.testing.assert_array_equal(data.check({})["variance"], [[0.1, 0.5], [0.2, 0.6]])
    np.testing.assert_array_equal(data.check({})["fractions"], [0.25, 0.75])


def test_defaults():
    file = loads(LOGISTIC)
    assert file.problem == Problem(GaussianMixture.symmetric(), losses.logistic(), optimizers.gd())
    assert file.values == {"mu_norm": 1.0, "sigma": 1.0, "alpha": 1.0}
    assert (file.run, file.simulation) == (Run(), Simulation())
    with pytest.raises(InputError, match="no value for the parameter 'eta'"):
        _ = file.instance


def test_symmetric_mixture_in_a_file():
    file = loads(LOGISTIC + "[mixture]\nmu_norm = 1.2\nsigma = 2")
    assert file.problem.data == GaussianMixture.symmetric()
    assert file.values == {"mu_norm": 1.2, "sigma": 2.0, "alpha": 1.0}


def test_vector_labels_bring_one_hot_clusters():
    problem = from_options("softmax", "gd", {"classes": 4, "eta": 1.0, "mu_norm": 2.0}).problem
    instance = problem.at({"eta": 1.0, "mu_norm": 2.0, "sigma": 0.5})
    np.testing.assert_array_equal(instance.labels, np.eye(4))
    np.testing.assert_array_equal(instance.means_gram, 4 * np.eye(4))
    np.testing.assert_array_equal(instance.variance, [[0.25]] * 4)
    assert problem.decision == "argmax"


def test_parameters_of_a_loss():
    file = loads('[loss]\nexpression = "log(1 + exp(-b*y*h))/b"\nb = 4')
    b = symbol("b")
    assert file.problem.loss.expr == sp.log(1 + sp.exp(-b * y * h)) / b
    assert file.values["b"] == 4.0


def test_arguments_of_a_named_loss():
    assert loads('[loss]\nname = "huber"\nwidth = 0.1').problem.loss == losses.huber(sp.Rational(1, 10))
    assert loads('[loss]\nname = "smoothed_hinge"').problem.loss == losses.smoothed_hinge()
    committee = loads('[loss]\nname = "erf_committee"\nsecond_layer = [1, -0.5, 2]').problem.loss
    assert committee == losses.erf_committee([1, -sp.Rational(1, 2), 2])
    assert loads('[loss]\nname = "softmax"\nclasses = 5').problem.fields == 5


def test_readout():
    loss = loads('[loss]\nexpression = "log(1 + exp(-y*h0*h1))"\nreadout = "h0*h1"').problem.loss
    assert loss.readout == symbol("h0") * symbol("h1")


def test_target():
    text = '[loss]\nexpression = "(w*h - t0)**2/2"\nw = 2\ntarget = "w*t0"\n[teacher]\ngram = [[1]]'
    problem = loads(text).problem
    assert problem.loss.target == symbol("w") * symbol("t0") and problem.decision == "sign"
    assert loads(text, settings={"target": "-t0"}).problem.target == -symbol("t0")


def test_update_rules():
    file = loads(LOGISTIC + '[optimizer]\nupdate = { theta = "theta + v", v = "beta*v - eta*g" }\nbeta = 0.5\neta = 2')
    v, beta = symbol("v"), symbol("beta")
    assert file.problem.optimizer == Optimizer("custom", {"theta": theta + v, "v": beta * v - eta * g})
    assert file.values["beta"] == 0.5


def test_nonlinear_update_rule():
    file = loads(LOGISTIC + '[optimizer]\nupdate = { theta = "theta - eta*sign(g)" }\neta = 2')
    assert not file.problem.optimizer.is_linear


@pytest.mark.parametrize("optimizer", ['name = "gd"', 'update = { theta = "theta - eta*g" }'], ids=["by name", "by rule"])
def test_schedule(optimizer):
    file = loads(LOGISTIC + f'[optimizer]\n{optimizer}\neta = "eta0/(1 + t/period)"\neta0 = 2\nperiod = 10')
    rate = symbol("eta0") / (1 + t / symbol("period"))
    assert sp.simplify(file.problem.optimizer.composed[0] - (theta - rate * g)) == 0
    assert file.values == {"eta0": 2.0, "period": 10.0, "mu_norm": 1.0, "sigma": 1.0, "alpha": 1.0}
    _ = file.instance


def test_adams_bashforth_order():
    assert loads(LOGISTIC + '[optimizer]\nname = "adams_bashforth"\norder = 3').problem.optimizer == optimizers.adams_bashforth(3)


# --- options and settings ---------------------------------------------------------------------------------------------


def test_settings_are_numbers_lists_or_text():
    items = ["eta=1.0", "steps = 20", "momentum=.5", "second_layer=[1, -1.5]", "norm2=[[1,0],[0,1]]", "ridge=1e-3", "alpha=-2"]
    assert parse_settings(items) == {
        "eta": 1.0,
        "steps": 20,
        "momentum": 0.5,
        "second_layer": [1, -1.5],
        "norm2": [[1, 0], [0, 1]],
        "ridge": 1e-3,
        "alpha": -2,
    }
    assert parse_settings(["eta=1/(1 + t)", "momentum=[1", "a=x=y"]) == {"eta": "1/(1 + t)", "momentum": "[1", "a": "x=y"}
    assert isinstance(parse_settings(["steps=20"])["steps"], int)


@pytest.mark.parametrize(
    ("items", "says"), [(["eta"], "key=value"), (["=3"], "key=value"), (["eta="], "key=value"), (["eta=1", "eta=2"], "eta is set twice")]
)
def test_settings_refused(items, says):
    with pytest.raises(InputError, match=says):
        parse_settings(items)


def test_options_are_a_file():
    settings = {
        "eta": 1.0,
        "momentum": 0.5,
        "alpha": 2.0,
        "steps": 20,
        "d": 100,
        "sigma": 0.7,
        "ridge": 0.1,
        "overlap": [0.1, -0.1],
        "norm2": 2,
    }
    written = LOGISTIC + (
        '[optimizer]\nname = "heavy_ball"\neta = 1\nmomentum = 0.5\nridge = 0.1\n[run]\nalpha = 2\nsteps = 20\nd = 100\n'
        "[simulation]\nd = 100\n[mixture]\nsigma = 0.7\n[initial]\nnorm2 = 2\noverlap = [0.1, -0.1]"
    )
    assert from_options("logistic", "heavy_ball", settings) == loads(written)


def test_options_take_an_expression():
    file = from_options("log(1 + exp(-b*y*h))/b", "gd", {"b": 2, "eta": "1/(1 + t)"})
    assert file.problem.loss.parameters == {symbol("b")}
    assert file.problem.optimizer == optimizers.gd(1 / (1 + t))
    assert from_options("h").problem.loss.expr == h


def test_settings_change_a_file():
    file = loads(WHOLE, settings={"eta": 1.0, "alpha": 2.0, "d": 10, "replicates": 4, "variance": [1, 2]})
    assert file.values["eta"] == 1.0
    assert (file.run.alpha, file.run.steps, file.simulation) == (2.0, 150, Simulation(10, 4))
    np.testing.assert_array_equal(file.problem.data.check({})["variance"], [[1], [2]])


def test_loss_and_optimizer_replace_those_of_a_file():
    file = loads(WHOLE, loss="squared", optimizer="gd", settings={"eta": 0.1})
    assert (file.problem.loss, file.problem.optimizer) == (losses.squared(), optimizers.gd())
    assert file.values == {"eta": 0.1, "alpha": 0.48}
    assert file.run.alpha == 0.48


def test_a_schedule_brings_its_parameters():
    file = from_options("logistic", "gd", {"eta0": 3, "eta": "eta0/(1 + t)"})
    assert file.values["eta0"] == 3.0
    with pytest.raises(ParseError, match=r"\[optimizer\] eta, character 1: unknown name 'eta0'"):
        from_options("logistic", "gd", {"eta": "eta0/(1 + t)"})


@pytest.mark.parametrize(
    ("loss", "optimizer", "settings", "says"),
    [
        ("logitic", "gd", {}, r"\[loss\] name: unknown loss 'logitic'; did you mean 'logistic'\? Allowed: logistic, squared"),
        ("logistic", "heavyball", {}, "unknown optimizer 'heavyball'; did you mean 'heavy_ball'"),
        ("log(1+exp(-y*hh))", "gd", {}, r"\[loss\] expression, character 14: unknown name 'hh'"),
        ("exp(-b*y*h)", "gd", {}, "unknown name 'b'"),
        ("exp(-b*y*h)", "gd", {"bb": 1}, "unknown setting 'bb'; did you mean 'b'"),
        ("logistic", "gd", {"momentum": 0.5}, "unknown setting 'momentum'"),
        ("logistic", "gd", {"ets": 0.5}, "unknown setting 'ets'; did you mean 'eta'"),
        ("logistic", "gd", {"order": 2}, "unknown setting 'order'"),
        ("logistic", "gd", {"probabilities": [1]}, "unknown setting 'probabilities'"),
        ("logistic", "gd", {"name": "squared"}, "unknown setting 'name'"),
        ("logistic", "gd", {"eta": float("nan")}, "--set eta: nan is not a finite number"),
        ("logistic", "gd", {"eta": "1/"}, r"\[optimizer\] eta, character 3: the expression ends too early"),
        ("logistic", "heavy_ball", {"momentum": "half"}, "momentum = 'half': a number"),
        ("logistic", "gd", {"steps": 1.5}, r"\[run\] steps = 1.5: an integer is needed, 1 or more"),
        ("logistic", "gd", {"steps": 0}, r"\[run\] steps = 0: an integer is needed, 1 or more"),
        ("logistic", "gd", {"samples": 1000}, "samples = 1000: a power of two is needed, such as 512 or 1024"),
        ("logistic", "gd", {"scrambles": 1}, "scrambles = 1: an integer is needed, 2 or more"),
        ("logistic", "gd", {"seed": -1}, "seed = -1"),
        ("logistic", "gd", {"alpha": 0}, "alpha = 0.0: a positive number"),
        ("logistic", "gd", {"alpha": "two"}, "alpha = 'two': a number"),
        ("logistic", "gd", {"alpha": 1e-5}, "leaves no sample"),
        ("logistic", "gd", {"d": 0}, r"\[simulation\] d = 0"),
        ("logistic", "gd", {"replicates": 1}, "replicates = 1: an integer is needed, 2 or more"),
        ("logistic", "gd", {"norm2": "one +"}, "norm2, character 6"),
        ("logistic", "gd", {"overlap": 0.5}, r"\[initial\] overlap = 0.5"),
        ("softmax", "gd", {"classes": 1}, "classes = 1: an integer of at least 2"),
        ("softmax", "gd", {"classes": 10**6}, "classes = 1000000: an integer is needed, 1 to 64"),
        ("softmax", "gd", {"classes": 2.5}, "classes = 2.5: an integer"),
        ("erf_committee", "gd", {"second_layer": 3}, "second_layer = 3: a list"),
        ("erf_committee", "gd", {"second_layer": ["a"]}, r"second_layer\[0\] = 'a': a number"),
        ("huber", "gd", {"width": "wide"}, "width = 'wide': a number"),
        ("sigma*h**2", "gd", {"alpha": 1, "mu_norm": 1}, "unknown name 'sigma'"),
        ("alpha*h", "gd", {"loss.alpha": 2}, r"\[loss\] loss = alpha\*h: \['alpha'\] are reserved"),
        ("n*h**2", "gd", {"n": 3}, "write loss.n or run.n or simulation.n"),
        ("seed*h**2", "gd", {"seed": 3}, "write loss.seed or run.seed"),
        ("logistic", "gd", {"gram": 1}, r"gram belongs to \[teacher\] of a problem file"),
        ("logistic", "gd", {"run.gram": 1}, r"unknown setting of \[run\] 'gram'"),
        ("logistic", "gd", {"teacher.gram": 1}, r"unknown setting of \[teacher\]"),
        ("sign(h)", "gd", {}, r"\[loss\] loss = sign\(h\) jumps where h = 0"),
        ("where(h == 1, h, 1)", "gd", {}, "cannot read the condition"),
    ],
)
def test_options_refused(loss, optimizer, settings, says):
    with pytest.raises(InputError, match=says):
        from_options(loss, optimizer, settings)


def test_one_name_has_one_number():
    file = loads('[loss]\nexpression = "sigma*h**2"\nsigma = 2\n[mixture]\nsigma = 2')
    assert file.values["sigma"] == 2.0
    with pytest.raises(InputError, match="one name has one number"):
        loads('[loss]\nexpression = "sigma*h**2"\nsigma = 2\n[mixture]\nsigma = 3')


ONLINE = '[sampling]\nkind = "online"\n'


# --- files refused ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", r"\[loss\] is missing"),
        ("[run\n", "not valid TOML: .*line 1"),
        ("a = 1\na = = 2", r"not valid TOML: .*line 2"),
        ("a = 1\na = 2", "not valid TOML: Cannot overwrite a value"),
        ("a = " + "[" * 5000, "too deeply nested"),
        ("a = " + "9" * 5000, "not valid TOML"),
        ("x = 1\n" + LOGISTIC, "unknown key 'x'"),
        ("[los]\n", r"unknown table 'los'; did you mean 'loss'\? Allowed: \[mixture\], \[loss\]"),
        ("loss = 3", r"a table \[loss\] is needed"),
        ('[[loss]]\nname = "logistic"', r"a table \[loss\] is needed"),
        ("[loss]\nname = 3", r"\[loss\] name: unknown loss '3'"),
        ("[loss]\nexpression = 3", r"\[loss\] expression = 3: text is needed"),
        ('[loss]\nexpresion = "h"', r"unknown key in \[loss\] 'expresion'; did you mean 'expression'"),
        ('[loss]\nname = "logistic"\nexpression = "h"', "either `name` or `expression`"),
        (LOGISTIC + "width = 1", r"unknown key in \[loss\] 'width'. Allowed: name"),
        ('[loss]\nexpression = "b*h"\nb = "x"', r"\[loss\] b = 'x': a number is needed"),
        ('[loss]\nexpression = "E*h"\nE = 2', r"unknown key in \[loss\] 'E'"),
        ('[loss]\nexpression = "h**2"\nreadout = "h - y"', "only the fields"),
        ('[loss]\nexpression = "h**2"\nreadout = "h +"', r"\[loss\] readout, character 4"),
        ('[loss]\nexpression = "h**2"\ntarget = "h"', r"\[loss\] target = h: only the label"),
        ('[loss]\nexpression = "h**2"\ntarget = "y +"', r"\[loss\] target, character 4"),
        ('[loss]\nexpression = "h**2"\ntarget = 1', r"\[loss\] target = 1: text is needed"),
        (LOGISTIC + "[teacher]\n", r"\[teacher\] gram is missing"),
        (LOGISTIC + "[teacher]\ngram = [[1.0]]\n", r"the loss uses 0 teacher field\(s\) \(none\) but there are 1"),
        (LOGISTIC + "[teacher]\ngram = [[1.0]]\nnorm = 1\n", r"unknown key in \[teacher\] 'norm'"),
        (LOGISTIC + "[trained]\n", r"\[trained\] initial = None: initial values by name"),
        (LOGISTIC + "[trained]\ninitial = { v = 1.0 }\n", "trained: v is not in the loss"),
        (LOGISTIC + "[trained]\ninitial = { h0 = 1.0 }\n", "'h0' cannot be the name of a trained parameter"),
        ('[loss]\nexpression = "(v*h - y)**2"\nv = 2\n[trained]\ninitial = { v = 1.0 }\n', "v = 2.0: v is trained; its initial value"),
        (LOGISTIC + '[sampling]\nkind = "onlin"', r"\[sampling\] kind: unknown kind of sampling 'onlin'; did you mean 'online'"),
        (LOGISTIC + "[run]\ntime = 3", r"\[run\] time is of online SGD"),
        (LOGISTIC + "[run]\nstep = 3", r"\[run\] step: the step c of online SGD is eta in \[optimizer\]"),
        (LOGISTIC + ONLINE + "[run]\nsteps = 3", r"\[run\] steps: online SGD takes `time`"),
        (LOGISTIC + ONLINE + "[run]\ntime = 0", r"\[run\] time = 0.0: a positive number"),
        (LOGISTIC + '[spectrum]\nmatrix = "hesian"', r"\[spectrum\] unknown matrix .hesian.; did you mean .hessian."),
        (LOGISTIC + "[spectrum]\nat = -1", r"\[spectrum\] at = -1.0"),
        (LOGISTIC + "[values]\nrho = 1", r"unknown parameter .rho."),
        (LOGISTIC + "[run]\nalhpa = 3", r"unknown key in \[run\] 'alhpa'; did you mean 'alpha'\? Allowed: alpha, steps"),
        (LOGISTIC + "[run]\nsteps = true", "steps = True: an integer"),
        (LOGISTIC + "[run]\nalpha = inf", r"\[run\] alpha: inf is not a finite number"),
        (LOGISTIC + "[run]\nseed = 1979-05-27", "seed = datetime"),
        (LOGISTIC + "[simulation]\nm = 3", r"unknown key in \[simulation\] 'm'.* Allowed: d, replicates"),
        (LOGISTIC + "[initial]\nnorm = 3", r"unknown key in \[initial\] 'norm'; did you mean 'norm2'"),
        (LOGISTIC + "[initial]\nnorm2 = [[1, 0], [0, 1]]", r"\[initial\] norm2 has shape"),
        (LOGISTIC + '[optimizer]\nname = "gd"\nupdate = { theta = "theta" }', "either `name` or `update`"),
        (LOGISTIC + '[optimizer]\nupdate = "theta - g"', "a table of rules is needed"),
        (LOGISTIC + "[optimizer]\nupdate = { theta = 3 }", "a table of rules is needed"),
        (LOGISTIC + '[optimizer]\nupdate = { v = "v" }', "a rule for theta is needed"),
        (LOGISTIC + '[optimizer]\nupdate = { theta = "theta - b*g" }', "unknown name 'b'"),
        (LOGISTIC + '[optimizer]\nupdate = { theta = "theta - b*g" }\nb = 1\neta = 1', r"unknown key in \[optimizer\] 'eta'"),
        (LOGISTIC + '[optimizer]\nupdate = { theta = "theta - g", h = "g" }', "'h' is a reserved name"),
        (LOGISTIC + "[optimizer]\neta = true", r"\[optimizer\] eta = True: a number is needed"),
        (LOGISTIC + "[optimizer]\neta = [[1]]", r"\[optimizer\] eta = \[1\]"),
        (LOGISTIC + "[optimizer]\neta = " + "9" * 30, "not a finite number of ordinary size"),
        (LOGISTIC + '[optimizer]\nname = "adams_bashforth"\norder = 4', "order 1, 2 or 3"),
        (LOGISTIC + "[mixture]\nlabels = [1, -1]", r"\[mixture\] probabilities is missing"),
        (LOGISTIC + MIXTURE.replace("variance", "varaince"), "unknown key in .mixture. 'varaince'; did you mean 'variance'"),
        (LOGISTIC + MIXTURE + "sigma = 1", r"unknown key in \[mixture\] 'sigma'"),
        (LOGISTIC + MIXTURE + "blocks = { fractions = [1], variance = [[1], [1]] }", "either variance or blocks"),
        (LOGISTIC + MIXTURE.replace("variance = [0.5, 0.5]", "blocks = { fractions = [1] }"), "blocks = .* is needed"),
        (LOGISTIC + MIXTURE.replace("[0.5, 0.5]\nlabels", "[0.5, 0.6]\nlabels"), r"\[mixture\] probabilities = .* sum to 1.1"),
        (LOGISTIC + MIXTURE.replace("-1.0, 1.0", "-2.0, 1.0"), r"\[mixture\] means_gram .* is not symmetric"),
        (LOGISTIC + MIXTURE.replace("labels = [1, -1]", "labels = [[1, 0], [0, 1]]"), "labels have 2 component"),
        (LOGISTIC + MIXTURE.replace("labels = [1, -1]", "labels = [1, nan]"), r"\[mixture\] labels: nan is not a finite number"),
    ],
)
def test_files_refused(text, says):
    with pytest.raises(InputError, match=says):
        loads(text)


def test_files_that_cannot_be_read(tmp_path):
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00")
    for path, says in [
        (tmp_path / "none.toml", "no such file"),
        (tmp_path, "cannot be read"),
        (binary, "not a text in UTF-8"),
        ("a\0b", "cannot be read"),
    ]:
        with pytest.raises(InputError, match=says):
            read(path)


@pytest.mark.parametrize("key", ["probabilities", "labels", "means_gram", "variance"])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_text_in_the_place_of_a_number_is_not_evaluated(tmp_path, key, depth):
    target = tmp_path / "made"
    arrays = {"probabilities": "[1]", "labels": "[1]", "means_gram": "[[1]]", "variance": "[1]"}
    arrays[key] = "[" * depth + f"\"__import__('os').mkdir('{target}')\"" + "]" * depth
    with pytest.raises(InputError, match=key):
        loads(LOGISTIC + "[mixture]\n" + "\n".join(f"{k} = {v}" for k, v in arrays.items()))
    assert not target.exists()


def test_a_toml_error_names_the_file(tmp_path):
    path = tmp_path / "problem.toml"
    path.write_text("[run\nalpha = 3")
    with pytest.raises(InputError, match=r"problem.toml is not valid TOML: .*line 1"):
        read(path)


def test_a_flow_takes_time_and_a_velocity():
    text = "[loss]\nname = 'logistic'\n[optimizer]\nvelocity = '-g - decay*theta'\ndecay = 0.1\nridge = 0.02\n[run]\ntime = 5.0\n"
    given = loads(text)
    assert given.problem.is_flow and given.values["decay"] == 0.1 and given.run.time == 5.0
    assert loads(gm.dumps(given.problem)).problem.signature == given.problem.signature
    assert loads("[loss]\nname = 'logistic'\n[optimizer]\nname = 'flow'\n[run]\ntime = 5.0\n").problem.optimizer == gm.optimizers.flow()
    for change, message in (
        (("time = 5.0", "steps = 5"), "steps: a flow takes `time` in their place"),
        (("decay*theta", "noise"), "noise"),
        (("velocity = '-g - decay*theta'\ndecay = 0.1", "name = 'flow'\neta = 0.1"), "eta"),
        (("velocity", "name = 'gd'\nvelocity"), "one of `name`, `update` and `velocity`"),
    ):
        with pytest.raises(gm.InputError, match=message):
            loads(text.replace(*change))
    cells = gm.pipeline.notebook(given, "gm.read('flow.toml')").cells
    code = "\n".join(cell.source for cell in cells)
    assert "time=run.time" in code and "steps" not in code
