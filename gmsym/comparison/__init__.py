"""Theory against simulation: gaps, standard errors, scores, a verdict, fitted orders. Works on results alone."""

from gmsym.comparison._tables import as_html as as_html
from gmsym.comparison._tables import as_text as as_text
from gmsym.comparison.compare import Comparison as Comparison
from gmsym.comparison.compare import Row as Row
from gmsym.comparison.compare import setting as setting
from gmsym.comparison.compare import size as size
from gmsym.comparison.entries import Entry as Entry
from gmsym.comparison.entries import entries as entries
from gmsym.comparison.fluctuations import FluctuationComparison as FluctuationComparison
from gmsym.comparison.fluctuations import measured_fluctuations as measured_fluctuations
from gmsym.comparison.order import Order as Order
from gmsym.comparison.order import fit_order as fit_order
from gmsym.comparison.spectrum import OutlierRow as OutlierRow
from gmsym.comparison.spectrum import SpectrumComparison as SpectrumComparison
from gmsym.comparison.spectrum import kolmogorov as kolmogorov
from gmsym.comparison.spectrum import outlier_table as outlier_table
from gmsym.comparison.verb import compare as compare
