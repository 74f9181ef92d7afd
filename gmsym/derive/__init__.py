"""Theories: each turns a problem into a symbolic system."""

from gmsym.derive.dmf import dmf as dmf
