"""Double precision, on which every stated error rests."""

import jax

from gmsym.errors import InputError


def check_double() -> None:
    """Refuse to compute in single precision, which `import gmsym` rules out but a later setting may bring back.

    Raises:
        InputError: JAX is set to 32 bits.
    """
    if not jax.config.jax_enable_x64:
        raise InputError(
            "jax_enable_x64 = False: errors are stated for double precision; set jax.config.update('jax_enable_x64', True) again"
        )
