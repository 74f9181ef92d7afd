"""What generated code runs on: special functions, Gaussian means, point sets, loading. Numbers only; 64-bit from here on."""

import jax

jax.config.update("jax_enable_x64", True)

from gmsym.runtime import cache  # noqa: E402  (the setting above comes first)

cache.start()

from gmsym.runtime.loader import load as load  # noqa: E402
from gmsym.runtime.precision import check_double as check_double  # noqa: E402
from gmsym.runtime.quadrature import gaussian_mean as gaussian_mean  # noqa: E402
