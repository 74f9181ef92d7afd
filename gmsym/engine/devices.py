"""Populations shared out among devices, where there are several: each has its part of the points, and sums over points are all-reduced.

A tile then is a whole population, so that a step reduces a few numbers a few times whatever the number of points. Everything that is no
point is on all devices.
"""

from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from gmsym.engine.causal_step import Carry, Population

_AXIS = "points"


def count() -> int:
    """Devices that are used: the largest power of two of them, which divides any number of points."""
    return 1 << (jax.device_count().bit_length() - 1)


def shared(population: Population, carry: Carry) -> tuple[Population, Carry]:
    """The same with their points on all devices; as they are on one."""
    if count() == 1 or population.coordinates is not None:
        return population, carry
    mesh = Mesh(np.array(jax.devices()[: count()]), (_AXIS,))

    def placed(x: Any, of_points: bool) -> Any:
        axes = [None] * (np.ndim(x) - 1) + [_AXIS] if of_points else []
        return jax.device_put(x, NamedSharding(mesh, PartitionSpec(*axes)))

    points = ("f", "Df", "a", "Da", "visit")
    parts = {name: jax.tree.map(lambda x, name=name: placed(x, name in points), part) for name, part in carry._asdict().items()}
    rest = {name: placed(getattr(population, name), name == "g") for name in ("g", "tiles", "seed")}
    return population._replace(**rest), carry._replace(**parts)
