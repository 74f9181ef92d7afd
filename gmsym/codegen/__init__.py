"""Systems to readable JAX source; one template a kind."""

from gmsym.codegen.causal_kernels import source as source
