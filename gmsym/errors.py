"""The three ways in which gmsym says no; the command line maps them to exit statuses."""


class InputError(ValueError):
    """The caller's input is outside what is allowed. The message names the argument, its value and what is allowed."""


class ComputationError(RuntimeError):
    """A computation diverged or did not converge. The message says what, and at which step."""


class UnprintableError(NotImplementedError):
    """An expression holds a function with no entry in the printer's table."""
