"""Training at finite (n, d) on generated data: the witness that shares only the problem statement with the theory."""

from gmsym.simulation.chain import run_chain as run_chain
from gmsym.simulation.flow import integrate as integrate
from gmsym.simulation.online import run_online as run_online
from gmsym.simulation.single import run_single as run_single
from gmsym.simulation.splits import train_on as train_on
from gmsym.simulation.stream import pass_over as pass_over
from gmsym.simulation.training import source as source
from gmsym.simulation.training import train as train
