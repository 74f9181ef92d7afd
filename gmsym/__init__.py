"""gmsym: derive, generate, solve and validate the training dynamics of machine learning on Gaussian mixtures.

State a problem      GaussianMixture, Loss, Optimizer, Problem, OneStep, Teacher, Trained; catalogs losses, optimizers, sampling,
                     coordinates (laws of the coordinates of means), spectra (of covariances), observables (errors);
                     parse (text to an expression), read (a problem file), from_options, dumps (a problem file's text)
Derive equations     derive.dmf, derive.gradient_flow, derive.surrogate, derive.gordon, derive.influence, derive.finite_size,
                     derive.refinement, derive.effective, derive.fluctuations, derive.spectrum, derive.stationary, derive.one_step
Generate             source (the JAX module of a system), standalone (a file that solves it without gmsym)
Put on paper         to_tex (a system's equations as LaTeX), cite (BibTeX of the papers behind them)
Compute              solve (a system or a problem), simulate (its witness), options (what they take); at_size, crossing_time,
                     gradient, tune (hyperparameters through the solve),
                     sweep (a grid of points on several processes or a cluster, kept point by point)
Real data            GaussianMixture.fit, fit_report, train (its witness), halving (what a fit is worth)
Compare and show     compare, fit_order; table, plot, animate, explore (sliders in a notebook);
                     STYLE (of these figures, for your own: plt.style.use(gm.STYLE)); problem_of (the problem of a result)
Speed                compilation_cache, the folder that keeps what is compiled
Errors               InputError (bad input), ComputationError (diverged, not converged), UnprintableError (no code for a function)

The verbs and what they need are loaded when first used, so that `import gmsym` is fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from gmsym import symbols as symbols
from gmsym.errors import ComputationError as ComputationError
from gmsym.errors import InputError as InputError
from gmsym.errors import UnprintableError as UnprintableError
from gmsym.files.parser import parse as parse
from gmsym.problem import GaussianMixture as GaussianMixture
from gmsym.problem import Loss as Loss
from gmsym.problem import OneStep as OneStep
from gmsym.problem import Optimizer as Optimizer
from gmsym.problem import Problem as Problem
from gmsym.problem import Teacher as Teacher
from gmsym.problem import Trained as Trained
from gmsym.problem import coordinates as coordinates
from gmsym.problem import losses as losses
from gmsym.problem import observables as observables
from gmsym.problem import optimizers as optimizers
from gmsym.problem import sampling as sampling
from gmsym.problem import spectra as spectra

if TYPE_CHECKING:
    from gmsym import derive as derive
    from gmsym.codegen import source as source
    from gmsym.comparison import compare as compare
    from gmsym.comparison import fit_order as fit_order
    from gmsym.files import dumps as dumps
    from gmsym.files import from_options as from_options
    from gmsym.files import read as read
    from gmsym.paper import cite as cite
    from gmsym.paper import to_tex as to_tex
    from gmsym.pipeline import at_size as at_size
    from gmsym.pipeline import crossing_time as crossing_time
    from gmsym.pipeline import explore as explore
    from gmsym.pipeline import fit_report as fit_report
    from gmsym.pipeline import gradient as gradient
    from gmsym.pipeline import halving as halving
    from gmsym.pipeline import options as options
    from gmsym.pipeline import problem_of as problem_of
    from gmsym.pipeline import simulate as simulate
    from gmsym.pipeline import solve as solve
    from gmsym.pipeline import standalone as standalone
    from gmsym.pipeline import sweep as sweep
    from gmsym.pipeline import table as table
    from gmsym.pipeline import train as train
    from gmsym.pipeline import tune as tune
    from gmsym.plotting import animate as animate
    from gmsym.plotting import plot as plot
    from gmsym.plotting.style import STYLE as STYLE
    from gmsym.runtime.cache import compilation_cache as compilation_cache

__version__ = "0.1.0"

_LAZY = {
    "derive": ("gmsym.derive", None),
    "source": ("gmsym.codegen", "source"),
    "compare": ("gmsym.comparison", "compare"),
    "fit_order": ("gmsym.comparison", "fit_order"),
    "cite": ("gmsym.paper", "cite"),
    "to_tex": ("gmsym.paper", "to_tex"),
    "animate": ("gmsym.plotting", "animate"),
    "plot": ("gmsym.plotting", "plot"),
    "STYLE": ("gmsym.plotting.style", "STYLE"),
    **{name: ("gmsym.files", name) for name in ("dumps", "from_options", "read")},
    **{
        name: ("gmsym.pipeline", name)
        for name in (
            *(
                "solve",
                "simulate",
                "options",
                "at_size",
                "crossing_time",
                "explore",
                "gradient",
                "standalone",
                "sweep",
                "table",
                "tune",
                "problem_of",
            ),
            *("train", "halving", "fit_report"),
        )
    },
    "compilation_cache": ("gmsym.runtime.cache", "compilation_cache"),
}
_INNER = {"pipeline": ("gmsym.pipeline", None)}  # for the command line, which is to be as light as `import gmsym`
_EAGER = {
    *("symbols", "coordinates", "losses", "observables", "optimizers", "sampling", "spectra", "parse", "__version__"),
    *("GaussianMixture", "Loss", "OneStep", "Optimizer", "Problem", "Teacher", "Trained"),
    *("ComputationError", "InputError", "UnprintableError"),
}


def __getattr__(name: str) -> Any:
    found = _LAZY.get(name) or _INNER.get(name)
    if found is None:
        raise AttributeError(f"module 'gmsym' has no attribute {name!r}")
    module, attribute = found
    loaded = import_module(module)
    return loaded if attribute is None else getattr(loaded, attribute)


def __dir__() -> list[str]:
    return sorted({*_EAGER, *_LAZY})
