"""What a user sees of the package: verbs and nouns, each documented, and nothing else."""

import inspect
from types import ModuleType

import gmsym as gm


def test_what_is_listed_is_there_and_documented():
    listed = [name for name in dir(gm) if not name.startswith("__")]
    assert {"Problem", "solve", "simulate", "compare", "derive", "losses"} <= set(listed)
    for name in listed:
        assert inspect.getdoc(getattr(gm, name)), name
    modules = {name for name in listed if isinstance(getattr(gm, name), ModuleType)}
    assert modules == {"coordinates", "derive", "losses", "observables", "optimizers", "sampling", "spectra", "symbols"}


def test_help_names_every_verb():
    verbs = [name for name in dir(gm) if callable(getattr(gm, name))]
    assert len(verbs) > 20
    assert not [name for name in verbs if name not in gm.__doc__]


def test_derive_lists_theories_only():
    assert all(inspect.isfunction(getattr(gm.derive, name)) for name in dir(gm.derive))
    assert not [name for name in dir(gm.derive) if f"derive.{name}" not in gm.__doc__]
