"""Files are written whole or not at all, and never over someone else's."""

import errno
import json
import os
import random
import resource
import stat
import subprocess
import sys

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
import xarray as xr

from gmsym import pipeline, writing
from gmsym.errors import ComputationError, InputError
from gmsym.files.reader import from_options


def dataset(value, size=20_000):
    return xr.Dataset({"x": ("i", np.full(size, float(value)))}, attrs={"kind": "theory"})


def figure():
    found, axes = plt.subplots()
    axes.plot([0, 1], [0, 1])
    plt.close(found)
    return found


WRITERS = {
    "a.nc": lambda path: writing.write_datasets({None: dataset(2)}, path),
    "b.nc": lambda path: writing.write_datasets({"theory": dataset(2), "simulation": dataset(3)}, path),
    "a.png": lambda path: writing.write_figure(figure(), path),
    "a.svg": lambda path: writing.write_figure(figure(), path),
    "a.pdf": lambda path: writing.write_figure(figure(), path),
    "a.json": lambda path: writing.write_text(json.dumps({"written_by": writing.MARK, "m": [1.0] * 5000}), path),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_leaves_the_former_file_whole(tmp_path, name):
    """The size of files is limited at random places, as a disk that fills up does."""
    path = tmp_path / name
    WRITERS[name](path)
    former, hard = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    assert writing.is_own(path)
    for limit in [0, 1, *random.Random(0).sample(range(len(former)), 7)]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        try:
            with pytest.raises(ComputationError, match=rf"{name} was not written: .*; no file was changed"):
                WRITERS[name](path)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        assert path.read_bytes() == former and os.listdir(tmp_path) == [name]
    WRITERS[name](path)
    assert os.listdir(tmp_path) == [name]


def test_a_disk_that_fails_at_the_end_leaves_the_former_file_whole(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    path.write_text("former")

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(writing, "_to_disk", full)
    with pytest.raises(ComputationError, match="a.txt was not written: No space left on device"):
        writing.write_text("new", path)
    assert path.read_text() == "former" and os.listdir(tmp_path) == ["a.txt"]
    with pytest.raises(InputError, match="cannot be written: No space left on device"):
        writing.check("--output", tmp_path / "b.txt")


def test_an_interrupt_leaves_the_former_file_whole(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("former")
    with pytest.raises(KeyboardInterrupt), writing.replacing(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "former" and os.listdir(tmp_path) == ["a.txt"]


KILLS = """
import os, random, signal, sys, time
import numpy as np, xarray as xr
from gmsym import writing
path, kills = sys.argv[1], int(sys.argv[2])
def write(value):
    found = {name: ("i", np.full(20_000, float(value))) for name in "xy"}
    writing.write_datasets({"theory": xr.Dataset(found), "simulation": xr.Dataset(found)}, path)
write(-1)
moments, left = random.Random(1), 0
for kill in range(kills):
    child = os.fork()
    if not child:
        value = kill
        while True:
            write(value)
            value += 1
    time.sleep(moments.uniform(0.0, 0.1))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    values = np.concatenate([xr.load_dataset(path, group=group)[name].values for group in ("theory", "simulation") for name in "xy"])
    assert len(values) == 80_000 and (values == values[0]).all(), kill
    left += len(os.listdir(os.path.dirname(path))) > 1
write(-2)
assert os.listdir(os.path.dirname(path)) == [os.path.basename(path)]
print(left)
"""


@pytest.mark.parametrize("kills", [4, pytest.param(50, marks=pytest.mark.slow)])
def test_a_killed_process_leaves_a_whole_file(tmp_path, kills):
    done = subprocess.run([sys.executable, "-c", KILLS, str(tmp_path / "a.nc"), str(kills)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    if kills > 20:
        assert int(done.stdout) > 0  # some were killed while they wrote, and their temporaries are gone, too


@pytest.mark.parametrize("name", WRITERS)
def test_only_own_files_are_overwritten(tmp_path, name):
    path = tmp_path / name
    WRITERS[name](path)
    writing.check("--output", path)
    foreign = {
        ".nc": lambda: dataset(1).to_netcdf(path, mode="w"),
        ".json": lambda: path.write_text('{"mine": 1}'),
    }
    foreign.get(path.suffix, lambda: figure().savefig(path))()
    content = path.read_bytes()
    with pytest.raises(InputError, match="a file that gmsym did not write"):
        writing.check("--output", path)
    writing.check("--output", path, force=True)
    assert path.read_bytes() == content and os.listdir(tmp_path) == [name]


def test_a_notebook_that_was_changed_is_not_overwritten(tmp_path):
    path = tmp_path / "study.ipynb"
    made = pipeline.notebook(from_options("logistic", settings={"eta": 1.0}), "gm.read('a.toml')")
    writing.write_text(nbformat.writes(made), path)
    assert writing.is_own(path)
    notebook = nbformat.read(path, 4)
    notebook.cells[-1]["outputs"] = [nbformat.v4.new_output("stream", text="run")]
    nbformat.write(notebook, path)
    assert writing.is_own(path)
    notebook.cells[-1]["source"] += "  # mine"
    nbformat.write(notebook, path)
    assert not writing.is_own(path)


@pytest.mark.parametrize(
    ("content", "own"),
    [
        ('"""Generated by gmsym: DMF of custom. Do not edit."""\n', True),
        ('"""As generated by gmsym."""\n', False),
        ("# Written by gmsym\nlocal field\n", True),
        ("my notes on what was Written by gmsym\n", False),
        ("entry,time,theory,simulation,gap,standard_error,z\n", True),
        ('{\n  "kind": "Ode"}', True),
        ("", True),
    ],
)
def test_a_text_says_whose_it_is_in_its_first_line(tmp_path, content, own):
    path = tmp_path / "a.txt"
    path.write_text(content)
    assert writing.is_own(path) is own


def test_a_target_that_cannot_be_written_is_refused(tmp_path):
    for target, says in (
        (tmp_path / "none" / "a.nc", "a file in an existing folder"),
        (tmp_path, "a file in an existing folder"),
        ("/proc/a.json", "cannot be written"),
        (tmp_path / ("a" * 300), "cannot be written"),
        ("a\0b", "cannot be written"),
    ):
        with pytest.raises(InputError, match=says) as error:
            writing.check("--output", target)
        assert "\n" not in str(error.value)
    with pytest.raises(InputError, match=r"ends in \.nc"):
        writing.check("--output", tmp_path / "a.txt", ".nc")
    assert not os.listdir(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_missing_permission_is_refused(tmp_path):
    path = tmp_path / "a.txt"
    writing.write_text("# Written by gmsym\n", path)
    path.chmod(0o400)
    with pytest.raises(InputError, match="write-protected"):
        writing.check("--output", path)
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="Permission denied"):
        writing.check("--output", tmp_path / "b.txt")
    tmp_path.chmod(0o700)


def test_links_modes_and_devices_are_kept(tmp_path):
    path, link = tmp_path / "a.txt", tmp_path / "link"
    writing.write_text("one", path)
    path.chmod(0o640)
    link.symlink_to(path)
    writing.write_text("two", link)
    assert link.is_symlink() and path.read_text() == "two" and stat.S_IMODE(path.stat().st_mode) == 0o640
    writing.check("--output", "/dev/null")
    writing.write_text("three", "/dev/null")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
