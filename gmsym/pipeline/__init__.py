"""The stages by name, in order: derive, codegen, solve; simulate beside them; compare and plot after both.

    problem -> derive.dmf -> system -> source -> load -> engine -> Dataset
    problem ------------------------> simulation ------> Dataset

Every intermediate object is kept: a system knows its problem, a result says how it was made. `theories` has a row a theory, `_verbs` finds
what solves or simulates by kind; one file a theory: `dmf`, `finite` (size), `effective` (online SGD), `spectrum`, with `spectrum_along` a
trajectory and `spectrum_sweep` over a parameter; `training` for the simulations, `cases` for the folders of derivations/, `notebook` for a
notebook of a problem.
"""

from gmsym.comparison import compare as compare
from gmsym.pipeline import flow as _flow  # noqa: F401  registers what solves and integrates a flow
from gmsym.pipeline import objectives as _objectives  # noqa: F401  gradients
from gmsym.pipeline import one_step as _one_step  # noqa: F401  and networks after one gradient step
from gmsym.pipeline import passes as _passes  # noqa: F401  one sample at a time
from gmsym.pipeline import spectrum_along as _spectrum_along  # noqa: F401  registers what solves a spectrum
from gmsym.pipeline import spectrum_sweep as _spectrum_sweep  # noqa: F401  and over values
from gmsym.pipeline import stationary as _stationary  # noqa: F401  registers what solves a stationary limit
from gmsym.pipeline._provenance import problem_of as problem_of
from gmsym.pipeline._stages import load as load
from gmsym.pipeline._verbs import option_names as option_names
from gmsym.pipeline._verbs import options as options
from gmsym.pipeline._verbs import simulate as simulate
from gmsym.pipeline._verbs import solve as solve
from gmsym.pipeline.cases import build as build
from gmsym.pipeline.cases import derive_case as derive_case
from gmsym.pipeline.cases import load_case as load_case
from gmsym.pipeline.demo import demo as demo
from gmsym.pipeline.dmf import numbers as numbers
from gmsym.pipeline.effective import crossing_time as crossing_time
from gmsym.pipeline.explore import explore as explore
from gmsym.pipeline.finite import at_size as at_size
from gmsym.pipeline.notebook import notebook as notebook
from gmsym.pipeline.real import FitReport as FitReport
from gmsym.pipeline.real import fit_report as fit_report
from gmsym.pipeline.real import halving as halving
from gmsym.pipeline.real import train as train
from gmsym.pipeline.records import comparison_record as comparison_record
from gmsym.pipeline.records import record as record
from gmsym.pipeline.standalone import standalone as standalone
from gmsym.pipeline.sweep import Study as Study
from gmsym.pipeline.sweep import sweep as sweep
from gmsym.pipeline.sweep import sweep_file as sweep_file
from gmsym.pipeline.tables import comparison_table as comparison_table
from gmsym.pipeline.tables import table as table
from gmsym.pipeline.tables import tuned_table as tuned_table
from gmsym.pipeline.tasks import compare_file as compare_file
from gmsym.pipeline.tasks import derive_file as derive_file
from gmsym.pipeline.tasks import simulate_file as simulate_file
from gmsym.pipeline.tasks import solve_file as solve_file
from gmsym.pipeline.tasks import standalone_file as standalone_file
from gmsym.pipeline.tasks import tune_file as tune_file
from gmsym.pipeline.theories import THEORIES as THEORIES
from gmsym.pipeline.theories import Theory as Theory
from gmsym.pipeline.training import counted as counted
from gmsym.pipeline.tuning import Tuned as Tuned
from gmsym.pipeline.tuning import gradient as gradient
from gmsym.pipeline.tuning import tune as tune
