"""Every theory once, at the smallest size: for an installation whose versions are the lowest."""

import gmsym as gm

mixture = gm.GaussianMixture.symmetric(label=gm.symbols.y)
values = {"alpha": 1.5, "sigma": 1.0, "mu_norm": 1.2, "eta": 0.5, "ridge": 0.05}
online_values = {name: value for name, value in values.items() if name != "alpha"}
problem = gm.Problem(mixture, gm.losses.logistic(), gm.optimizers.gd())
online = gm.Problem(mixture, gm.losses.logistic(), gm.optimizers.gd(), sampling=gm.sampling.online())

theory = gm.solve(problem, values, n=90, d=60, steps=4, samples=256)
runs = gm.simulate(problem, values, d=60, steps=4, replicates=40)
assert gm.compare(theory, runs).agrees(), gm.compare(theory, runs)
gm.plot(theory, runs)
surrogate = gm.solve(gm.derive.surrogate(problem), values, d=60, steps=4, replicates=40)
assert abs(surrogate["m"] - theory["m"]).max() < 0.3
assert gm.solve(online, online_values, time=1.0)["m"].isel(time=-1, cluster=0, field=0) > 0.2
assert gm.solve(gm.derive.fluctuations(online), online_values, time=1.0)["covariance"].notnull().all()
assert "edge" in gm.solve(gm.derive.spectrum(problem), values)
assert gm.to_tex(gm.derive.dmf(problem), standalone=True).endswith("\\end{document}\n")
print("smoke: passed")
