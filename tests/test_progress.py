"""Bars of progress: on a terminal, and in a notebook once a computation has taken a while; one at a time, and nothing is left of it."""

import threading
import time

import pytest

import gmsym as gm
from gmsym import progress
from gmsym.progress import progress_bar, waiting


class Display:
    """IPython's `display`, and the handle that it returns; keeps what is shown."""

    def __init__(self):
        self.shown: list[dict[str, str]] = []

    def __call__(self, data, raw, display_id):
        assert raw and display_id
        self.shown.append(data)
        return self

    def update(self, data, raw):
        assert raw
        self.shown.append(data)


@pytest.fixture
def display(monkeypatch):
    made = Display()
    monkeypatch.setattr(progress, "_notebook", lambda: made)
    monkeypatch.setattr(progress, "_PATIENCE", 0.02)
    monkeypatch.setattr(progress, "_EVERY", 0.0)
    return made


def wait_for(display, count):
    end = time.monotonic() + 20
    while len(display.shown) < count and time.monotonic() < end:
        time.sleep(0.005)


def test_a_notebook_shows_one_bar_that_follows_and_goes(display):
    with progress_bar("training <b>", None) as outer:
        wait_for(display, 1)
        with progress_bar("within", True) as inner:  # the outer one is there already
            inner(0.9)
        worker = threading.Thread(target=outer, args=(0.5,))  # solvers report from beside the main thread
        worker.start()
        worker.join()
    words = [data["text/plain"] for data in display.shown]
    assert words[0] == "training <b>: 0 s" and words[1].startswith("training <b>: 50%, about ") and words[2] == "" and len(words) == 3
    assert display.shown[1]["text/html"].startswith('<progress value="0.500" max="1">') and "&lt;b&gt;" in display.shown[1]["text/html"]
    assert display.shown[-1]["text/html"] == ""


def test_what_is_quick_or_unwanted_shows_nothing(display, monkeypatch):
    with progress_bar("unwanted", False):
        time.sleep(0.05)
    monkeypatch.setattr(progress, "_PATIENCE", 60.0)
    with progress_bar("quick", None) as report:
        report(1.0)
    assert display.shown == [] and not progress._shown.locked()


def test_what_reports_nothing_says_how_long_it_has_been_going(display):
    """A derivation, one spectrum, a gradient."""
    with waiting("deriving"):
        wait_for(display, 3)
    shown = [data["text/html"] for data in display.shown]
    assert shown[:3] == ["<progress></progress> deriving: 0 s"] * 3 and shown[-1] == ""


def test_a_derivation_is_announced(display, monkeypatch):
    monkeypatch.setattr(progress, "_PATIENCE", 0.0005)
    gm.derive.dmf(gm.Problem(gm.GaussianMixture.symmetric(), gm.losses.erf_committee(), gm.optimizers.heavy_ball()))
    assert display.shown[0]["text/plain"].startswith("deriving DMF: ") and display.shown[-1]["text/plain"] == ""


def test_points_of_a_grid_have_one_bar(display):
    problem = gm.Problem(gm.GaussianMixture.symmetric(), gm.losses.squared(), gm.optimizers.gd())
    gm.solve(problem, {"alpha": [1.5, 2.0], "sigma": 1.0, "mu_norm": 1.0, "eta": 0.2}, steps=3)
    titles = [data["text/plain"].split(":")[0] for data in display.shown]
    assert {title for title in titles if "deriving" not in title} == {"2 points", ""}


def test_outside_of_a_kernel_there_is_no_display():
    pytest.importorskip("IPython")
    assert progress._notebook() is None
