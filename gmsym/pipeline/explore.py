"""`explore`: sliders over the numbers of a theory, and a figure that follows. The first solve compiles, further ones are warm.

What is drawn is a picture of `gmsym.plot` as PNG, so that any front end that shows ipywidgets shows it; a number for which nothing can be
computed leaves the last figure, under the sentence that says why.
"""

import html
import io
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, final

import matplotlib.pyplot as plt
import numpy as np

from gmsym.errors import ComputationError, InputError
from gmsym.pipeline._verbs import derived, solve
from gmsym.plotting import plot
from gmsym.system import CausalKernels

if TYPE_CHECKING:
    import xarray as xr

_LOGARITHMIC = 20.0  # ratio of the ends from which a slider is logarithmic
_STEPS = 100  # of a slider
_DPI = 110
_RTOL = 1e-3  # of DMF


@final
class Explorer:
    """Sliders and the result at their values.

    Attributes:
        sliders: an ipywidgets slider by the name of each parameter; setting its `value` in Python is moving it.
        result: the Dataset at these values, of `gmsym.solve`; the last one where they could not be solved.
        picture: an ipywidgets image of it.
        message: why the values could not be solved; empty if they could.
        widget: all of it in a box, which a notebook shows.
    """

    def __init__(self, compute: Callable[[dict[str, float]], "xr.Dataset"], draw: Callable[["xr.Dataset"], Any], sliders: dict[str, Any]):
        widgets = _widgets()
        self._compute, self._draw = compute, draw
        self.sliders = sliders
        self.picture, self._said = widgets.Image(format="png"), widgets.HTML()
        self.message = ""
        self._laid_out: tuple[Any, list[Any]] = (None, [])  # what the layout of the last picture depends on, and where its Axes are
        self.result = compute(self.values)
        self._show()
        for slider in sliders.values():
            slider.observe(self._follow, names="value")
        self.widget = widgets.VBox([*sliders.values(), self._said, self.picture])

    @property
    def values(self) -> dict[str, float]:
        """Where the sliders stand."""
        return {name: float(slider.value) for name, slider in self.sliders.items()}

    def _follow(self, change: Any) -> None:
        try:
            self.result = self._compute(self.values)
        except (InputError, ComputationError) as error:
            self.message = str(error)
        else:
            self.message = ""
            self._show()
        self._said.value = html.escape(self.message)

    def _show(self) -> None:
        figure = np.ravel(self._draw(self.result))[0].figure
        texts = [max((len(label.get_text()) for label in ax.get_yticklabels()), default=0) for ax in figure.axes]
        if (texts, figure.get_size_inches().tolist()) == self._laid_out[0]:  # half of a picture's time is its layout
            figure.set_layout_engine("none")
            for ax, place in zip(figure.axes, self._laid_out[1], strict=True):
                ax.set_position(place)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=_DPI, pil_kwargs={"compress_level": 1})
        self._laid_out = (texts, figure.get_size_inches().tolist()), [ax.get_position() for ax in figure.axes]
        plt.close(figure)  # the cell would show it once more
        self.picture.value = buffer.getvalue()

    def _repr_mimebundle_(self, **options: Any) -> Any:
        return self.widget._repr_mimebundle_(**options)


def explore(
    system: Any,
    sliders: Mapping[str, Sequence[float]],
    values: Mapping[str, float] | None = None,
    *,
    quantities: Sequence[str] | None = None,
    **options: Any,
) -> Explorer:
    """Sliders over parameters in a notebook, and the figure of `gmsym.plot` that follows them.

    Args:
        system: a system of `gmsym.derive`, or a problem, as `gmsym.solve` takes it.
        sliders: (low, high) by the name of a parameter, or (low, high, step); logarithmic where high/low is 20 or more and there is no
            step. A slider starts at its number in `values`, or in the middle.
        values: numbers for the parameters that have no slider.
        quantities: what is drawn; default, what `gmsym.plot` shows.
        options: of the theory, as `gmsym.solve` takes them; rtol of DMF is 1e-3 if nothing is said of its points.

    Returns:
        The explorer, which a notebook shows; `explorer.result` is the Dataset at the values of the sliders.

    Raises:
        InputError: no range, a value outside of it, or what `gmsym.solve` refuses at the first values; ipywidgets is not installed.

    Example:
        >>> import gmsym as gm
        >>> problem = gm.Problem(gm.GaussianMixture.symmetric(), gm.losses.squared(), gm.optimizers.gd())
        >>> found = gm.explore(problem, {"eta": (0.1, 0.4)}, {"alpha": 2.0, "sigma": 1.0, "mu_norm": 1.0}, steps=2)
        >>> found.sliders["eta"].value = 0.2
        >>> found.values
        {'eta': 0.2}
    """
    given, system = dict(values or {}), derived(system)
    if not isinstance(sliders, Mapping) or not sliders:
        raise InputError(f"sliders = {sliders!r}: (low, high) by the name of a parameter is needed, such as {{'eta': (0.1, 4)}}")
    made = {name: _slider(name, bounds, given.pop(name, None)) for name, bounds in sliders.items()}
    options.setdefault("progress", False)
    if isinstance(system, CausalKernels) and not {"rtol", "samples", "scrambles"} & set(options):
        options["rtol"] = _RTOL

    def compute(moved: dict[str, float]) -> "xr.Dataset":
        return solve(system, {**given, **moved}, **options)

    return Explorer(compute, lambda result: plot(result, quantities=quantities), made)


def _widgets() -> Any:
    try:
        import ipywidgets
    except ImportError:
        raise InputError("explore needs ipywidgets: pip install 'gmsym[notebook]'") from None
    return ipywidgets


def _slider(name: str, bounds: Any, start: Any) -> Any:
    """A slider that speaks when it is let go."""
    try:
        numbers = [float(x) for x in bounds]
    except (TypeError, ValueError):
        numbers = []
    if len(numbers) not in (2, 3) or not np.isfinite(numbers).all() or not numbers[0] < numbers[1] or min(numbers[2:], default=1) <= 0:
        raise InputError(f"sliders {name} = {bounds!r}: (low, high) or (low, high, step) is needed, low < high and a positive step")
    low, high, *step = numbers
    logarithmic = not step and low > 0 and high / low >= _LOGARITHMIC
    middle = (low * high) ** 0.5 if logarithmic else (low + high) / 2
    value = middle if start is None else start
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise InputError(f"values {name} = {value!r}: a number between {low:g} and {high:g}, the ends of its slider, is needed")
    shared = {"description": name, "continuous_update": False, "value": value}
    if logarithmic:
        low, high = np.log10([low, high]).tolist()
        return _widgets().FloatLogSlider(min=low, max=high, step=(high - low) / _STEPS, readout_format=".3g", **shared)
    return _widgets().FloatSlider(min=low, max=high, step=step[0] if step else (high - low) / _STEPS, readout_format=".3g", **shared)
