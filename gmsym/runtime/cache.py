"""Where JAX keeps what it has compiled from one process to the next: the user's cache folder, unless told otherwise.

`GMSYM_CACHE` in the environment is another folder, or "off". A setting of JAX's own (JAX_COMPILATION_CACHE_DIR) is left alone.
"""

import hashlib
import os
import platform
from pathlib import Path

import jax
import platformdirs
from jax.experimental.compilation_cache import compilation_cache as jax_cache

_LEAST = 0.2  # seconds of compilation that are worth a file


def compilation_cache(path: Path | str | None) -> Path | None:
    """Keep compiled programs in a folder for later processes; None keeps nothing. Files in it may be deleted at any time.

    Returns:
        the folder in use, one of this kind of machine within `path`; None if nothing is kept, as where it cannot be written.
    """
    folder = None if path is None else _writable(Path(path).expanduser() / _machine())
    jax.config.update("jax_compilation_cache_dir", None if folder is None else str(folder))
    jax_cache.reset_cache()
    return folder


def start() -> None:
    """The folder that the environment asks for, or the user's; called when gmsym first uses JAX."""
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", _LEAST)
    wanted = os.environ.get("GMSYM_CACHE")
    if jax.config.jax_compilation_cache_dir is None and wanted != "off":
        compilation_cache(wanted or platformdirs.user_cache_path("gmsym"))


def _machine() -> str:
    """Compiled code belongs to a processor: a home folder may be shared by several."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    features = next((line for line in lines if line.startswith(("flags", "Features"))), platform.processor())
    return f"{platform.machine()}-{hashlib.sha256(features.encode()).hexdigest()[:8]}"


def _writable(folder: Path) -> Path | None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK) else None
