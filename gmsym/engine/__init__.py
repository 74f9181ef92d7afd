"""Numerical engines, one a kind of system. They see generated modules and numbers, never a symbol."""
