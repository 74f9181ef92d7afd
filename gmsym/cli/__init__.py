"""The command line: one small function a verb, which reads a problem, calls the pipeline and reports.

Exit status: 0 done, 1 the computation failed, a file could not be written, or theory and simulation disagree, 2 bad input, files that
could not be written included as far as can be tried, 128 + n stopped by signal n (130 Ctrl-C). Numbers go to stdout, everything else
to stderr, so that `--json -` can be piped. What needs JAX, xarray or matplotlib is imported inside the verbs, after the input is checked.
"""

import sys
from typing import NoReturn

import typer

from gmsym.cli import theory as theory  # isort: skip  in the order of --help
from gmsym.cli import tune as tune  # isort: skip
from gmsym.cli import fit as fit  # isort: skip
from gmsym.cli import notebook as notebook  # isort: skip
from gmsym.cli import cases as cases  # isort: skip
from gmsym.cli import start as start  # isort: skip
from gmsym.cli._app import app
from gmsym.cli._signals import Stopped, leave, stopping
from gmsym.errors import ComputationError, InputError, UnprintableError
from gmsym.files.parser import ParseError

_LONGEST = 2000  # characters of a message


def main() -> None:
    """Run the command line and exit with its status; one line on stderr says what went wrong."""
    try:
        with stopping():
            command = typer.main.get_command(app)
            for option in command.params:
                option.hidden = option.name in (
                    "log_level",
                    "install_completion",
                    "show_completion",
                )  # help is one screen; docs/shell.md names them
            command(prog_name="gmsym")
    except Stopped as stop:
        leave(stop)
    except (InputError, UnprintableError) as error:
        _fail(error, 2)
    except (ComputationError, OSError) as error:
        _fail(error, 1)
    except MemoryError:
        _fail(ComputationError("memory ran out: a smaller problem is needed"), 1)


def _fail(error: Exception, status: int) -> NoReturn:
    text = str(error) if isinstance(error, ParseError) else " ".join(str(error).split())
    shown = "".join(c if c.isprintable() or c == "\n" else "?" for c in text)  # a text of the user's is not for the terminal to obey
    print(f"gmsym: {shown if len(shown) <= _LONGEST else shown[:_LONGEST] + ' ...'}", file=sys.stderr)
    sys.exit(status)
