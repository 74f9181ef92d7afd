"""A population on two devices gives the numbers of one device, and is on both."""

import json
import os
import subprocess
import sys

import pytest

SCRIPT = """
import json, jax, gmsym as gm
from gmsym.engine import devices
placed, shared = [], devices.shared
def seen(population, carry):
    population, carry = shared(population, carry)
    placed.append([len(getattr(x, "sharding", x).device_set) for x in (population.g, carry.f, carry.a)] if devices.count() > 1 else [1] * 3)
    assert devices.count() == 1 or carry.f.addressable_shards[0].data.shape[-1] == carry.f.shape[-1] // 2
    return population, carry
devices.shared = seen
problem = gm.Problem(gm.GaussianMixture.symmetric(), gm.losses.logistic(), gm.optimizers.gd())
values = {"alpha": 1.5, "sigma": 1.0, "mu_norm": 1.2, "eta": 1.0, "ridge": 0.05}
found = gm.solve(problem, values, steps=12, samples=512, scrambles=2)
print(json.dumps({"placed": placed, **{name: found[name].values.ravel().tolist() for name in ("m", "Q", "train_loss", "Q_error")}}))
"""


def run(flags: str) -> dict:
    found = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=os.environ | {"XLA_FLAGS": flags}, capture_output=True, text=True, timeout=600
    )
    assert found.returncode == 0, found.stderr[-2000:]
    return json.loads(found.stdout.splitlines()[-1])


@pytest.mark.slow
def test_two_devices_give_the_numbers_of_one():
    one, two = run(""), run("--xla_force_host_platform_device_count=2")
    assert set(map(tuple, one.pop("placed"))) == {(1, 1, 1)} and set(map(tuple, two.pop("placed"))) == {(2, 2, 2)}
    for name, values in one.items():
        assert two[name] == pytest.approx(values, rel=1e-8, abs=1e-9), name
