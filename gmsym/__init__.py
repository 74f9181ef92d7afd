"""gmsym: derive, generate, solve and validate the training dynamics of machine learning on Gaussian mixtures.

State a problem      GaussianMixture, Loss, Optimizer, Problem, Teacher, Trained; catalogs losses, optimizers;
                     parse (text to an expression), read (a problem file), from_options
Derive equations     derive.dmf, derive.gradient_flow, derive.surrogate, derive.gordon, derive.effective, derive.fluctuations,
                     derive.spectrum, derive.influence; source (the generated module of a system)
Full-batch training  solve, kernels; simulate; surrogate, finite_size, at_size, refinement at finite n and d
Online SGD           effective, fluctuations, crossing_time, tune; simulate_online, measured_fluctuations
Spectra              spectrum, spectrum_along, spectrum_sweep; simulate_spectrum, kolmogorov, outlier_table
Compare and show     compare, fit_order; learning_curve, overlay, bands, spectral_density, filmstrip, transition_diagram, animate
Errors               InputError (bad input), ComputationError (diverged, not converged), UnprintableError (no code for a function)

The verbs and what they need are loaded when first used, so that `import gmsym` is fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from gmsym import symbols as symbols
from gmsym.errors import ComputationError as ComputationError
from gmsym.errors import InputError as InputError
from gmsym.errors import UnprintableError as UnprintableError
from gmsym.problem import GaussianMixture as GaussianMixture
from gmsym.problem import Loss as Loss
from gmsym.problem import Optimizer as Optimizer
from gmsym.problem import Problem as Problem
from gmsym.problem import Teacher as Teacher
from gmsym.problem import Trained as Trained
from gmsym.problem import losses as losses
from gmsym.problem import optimizers as optimizers
from gmsym.problem.parser import parse as parse

if TYPE_CHECKING:
    from gmsym import derive as derive
    from gmsym.codegen import source as source
    from gmsym.comparison import compare as compare
    from gmsym.comparison import fit_order as fit_order
    from gmsym.comparison import kolmogorov as kolmogorov
    from gmsym.comparison import measured_fluctuations as measured_fluctuations
    from gmsym.comparison import outlier_table as outlier_table
    from gmsym.pipeline import at_size as at_size
    from gmsym.pipeline import crossing_time as crossing_time
    from gmsym.pipeline import effective as effective
    from gmsym.pipeline import finite_size as finite_size
    from gmsym.pipeline import fluctuations as fluctuations
    from gmsym.pipeline import kernels as kernels
    from gmsym.pipeline import refinement as refinement
    from gmsym.pipeline import simulate as simulate
    from gmsym.pipeline import simulate_online as simulate_online
    from gmsym.pipeline import simulate_spectrum as simulate_spectrum
    from gmsym.pipeline import solve as solve
    from gmsym.pipeline import spectrum as spectrum
    from gmsym.pipeline import spectrum_along as spectrum_along
    from gmsym.pipeline import spectrum_sweep as spectrum_sweep
    from gmsym.pipeline import surrogate as surrogate
    from gmsym.pipeline import tune as tune
    from gmsym.plotting import animate as animate
    from gmsym.plotting import bands as bands
    from gmsym.plotting import filmstrip as filmstrip
    from gmsym.plotting import learning_curve as learning_curve
    from gmsym.plotting import overlay as overlay
    from gmsym.plotting import spectral_density as spectral_density
    from gmsym.plotting import transition_diagram as transition_diagram
    from gmsym.problem.file import from_options as from_options
    from gmsym.problem.file import read as read

__version__ = "0.1.0"

_LAZY = {
    "derive": ("gmsym.derive", None),
    "solve": ("gmsym.pipeline", "solve"),
    "kernels": ("gmsym.pipeline", "kernels"),
    "simulate": ("gmsym.pipeline", "simulate"),
    "surrogate": ("gmsym.pipeline", "surrogate"),
    "finite_size": ("gmsym.pipeline", "finite_size"),
    "at_size": ("gmsym.pipeline", "at_size"),
    "refinement": ("gmsym.pipeline", "refinement"),
    "effective": ("gmsym.pipeline", "effective"),
    "fluctuations": ("gmsym.pipeline", "fluctuations"),
    "crossing_time": ("gmsym.pipeline", "crossing_time"),
    "tune": ("gmsym.pipeline", "tune"),
    "measured_fluctuations": ("gmsym.comparison", "measured_fluctuations"),
    "simulate_online": ("gmsym.pipeline", "simulate_online"),
    "compare": ("gmsym.comparison", "compare"),
    "fit_order": ("gmsym.comparison", "fit_order"),
    "source": ("gmsym.codegen", "source"),
    "bands": ("gmsym.plotting", "bands"),
    "overlay": ("gmsym.plotting", "overlay"),
    "learning_curve": ("gmsym.plotting", "learning_curve"),
    "spectrum": ("gmsym.pipeline", "spectrum"),
    "spectrum_along": ("gmsym.pipeline", "spectrum_along"),
    "spectrum_sweep": ("gmsym.pipeline", "spectrum_sweep"),
    "simulate_spectrum": ("gmsym.pipeline", "simulate_spectrum"),
    "kolmogorov": ("gmsym.comparison", "kolmogorov"),
    "outlier_table": ("gmsym.comparison", "outlier_table"),
    "spectral_density": ("gmsym.plotting", "spectral_density"),
    "filmstrip": ("gmsym.plotting", "filmstrip"),
    "transition_diagram": ("gmsym.plotting", "transition_diagram"),
    "animate": ("gmsym.plotting", "animate"),
    "from_options": ("gmsym.problem.file", "from_options"),
    "read": ("gmsym.problem.file", "read"),
}
_EAGER = {
    *("symbols", "losses", "optimizers", "parse", "__version__"),
    *("GaussianMixture", "Loss", "Optimizer", "Problem", "Teacher", "Trained"),
    *("ComputationError", "InputError", "UnprintableError"),
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'gmsym' has no attribute {name!r}")
    module, attribute = _LAZY[name]
    loaded = import_module(module)
    return loaded if attribute is None else getattr(loaded, attribute)


def __dir__() -> list[str]:
    return sorted({*_EAGER, *_LAZY})
