"""Systems to readable JAX source: one module a kind. A system's signature is the hash of its text."""

from gmsym.codegen._dispatch import signature as signature
from gmsym.codegen._dispatch import source as source
