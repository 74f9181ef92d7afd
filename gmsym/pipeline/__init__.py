"""The stages by name, in order: derive, codegen, solve; simulate beside them; compare and plot after both.

    problem -> derive.dmf -> system -> source -> load -> engine -> Dataset
    problem ------------------------> simulation ------> Dataset

Every intermediate object is kept: a system knows its problem and writes its source, a result knows how it was made. One file a theory:
`dmf`, `finite` (size), `effective` (online SGD), `spectrum`, with `spectrum_along` a trajectory and `spectrum_sweep` over a parameter;
`training` for the simulation, `cases` for the folders of derivations/, `notebook` for a notebook of a problem.
"""

from gmsym.comparison import compare as compare
from gmsym.pipeline._stages import load as load
from gmsym.pipeline.cases import THEORIES as THEORIES
from gmsym.pipeline.cases import build as build
from gmsym.pipeline.cases import derive_case as derive_case
from gmsym.pipeline.cases import load_case as load_case
from gmsym.pipeline.demo import demo as demo
from gmsym.pipeline.dmf import kernels as kernels
from gmsym.pipeline.dmf import numbers as numbers
from gmsym.pipeline.dmf import solve as solve
from gmsym.pipeline.effective import crossing_time as crossing_time
from gmsym.pipeline.effective import effective as effective
from gmsym.pipeline.effective import fluctuations as fluctuations
from gmsym.pipeline.effective import simulate_online as simulate_online
from gmsym.pipeline.effective import tune as tune
from gmsym.pipeline.finite import at_size as at_size
from gmsym.pipeline.finite import finite_size as finite_size
from gmsym.pipeline.finite import refinement as refinement
from gmsym.pipeline.finite import surrogate as surrogate
from gmsym.pipeline.notebook import notebook as notebook
from gmsym.pipeline.spectrum import simulate_spectrum as simulate_spectrum
from gmsym.pipeline.spectrum import spectrum as spectrum
from gmsym.pipeline.spectrum import spectrum_record as spectrum_record
from gmsym.pipeline.spectrum_along import spectrum_along as spectrum_along
from gmsym.pipeline.spectrum_path import path_record as path_record
from gmsym.pipeline.spectrum_sweep import spectrum_sweep as spectrum_sweep
from gmsym.pipeline.training import simulate as simulate
