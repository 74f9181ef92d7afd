"""Pictures of results: a Dataset and Axes in, Axes out. Nothing here solves or simulates."""

from gmsym.plotting.bands import bands as bands
from gmsym.plotting.curves import learning_curve as learning_curve
from gmsym.plotting.overlay import overlay as overlay
from gmsym.plotting.spectrum import animate as animate
from gmsym.plotting.spectrum import filmstrip as filmstrip
from gmsym.plotting.spectrum import spectral_density as spectral_density
from gmsym.plotting.spectrum import transition_diagram as transition_diagram
from gmsym.plotting.verb import plot as plot
