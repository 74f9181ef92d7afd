"""A complete problem: data, loss, optimizer, sampling, initial state and regularization."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from numbers import Real
from typing import Any, Literal, final

import numpy as np
import sympy as sp

from gmsym import symbols
from gmsym.errors import InputError, check_positive
from gmsym.problem import _numbers as numbers
from gmsym.problem.base import AbstractProblem
from gmsym.problem.coordinates import Coordinates, gaussian, law
from gmsym.problem.display import call, problem_latex
from gmsym.problem.frozen import Frozen, by_block, finite
from gmsym.problem.instance import Instance, Vectors
from gmsym.problem.loss import Loss
from gmsym.problem.mixture import GaussianMixture, check_positive_semidefinite
from gmsym.problem.observables import Observables, order_parameters, read
from gmsym.problem.optimizer import Optimizer
from gmsym.problem.sampling import BATCHES, AbstractSampling, Batches, Full, Online, Single, full
from gmsym.problem.small_steps import SmallSteps, small_steps
from gmsym.problem.teacher import Teacher
from gmsym.problem.trained import Trained

DEFAULTS = {"ridge": 0.0}
_MOMENT = re.compile(r"[mQ](_\d+)+")  # moments of the fields in derived means


@final
@dataclass(frozen=True, init=False, repr=False)
class Problem(AbstractProblem):
    """R(Theta) = (1/n) sum_i l(Theta^T x_i, y_i) + (ridge/2) |Theta|^2 on Gaussian-mixture data, and how it is minimised.

    Args:
        data: the mixture.
        loss: the loss of C fields.
        optimizer: the update rule.
        sampling: which samples a step sees, such as `gmsym.sampling.online()`. Default: all of them.
        norm2: |Theta_0|^2; for C > 1 the Gram matrix (C, C) of the columns, or one number for orthogonal columns. Numbers (B, C, C) are
            those of each block of coordinates.
        overlap: Theta_0^T mu_k, (K,), or (C, K) for C > 1; numbers (B, C, K) are those of each block. Default: orthogonal to all means.
        coordinates: law of the coordinates of what Theta_0 is beside its components along the means and teachers, one independent vector
            a column; default, a uniformly random orientation.
        start: Theta_0, (d,) or (d, C) numbers, of a mixture in coordinates, in place of norm2 and overlap. Default there: 0. Where the
            mixture was fitted, in the features' own order, acting on centred features in the fit's unit.
        ridge: lambda; default the parameter `ridge`, which is 0 unless given.
        teacher: directions behind the teacher fields `t0, t1, ...` of the loss.
        trained: parameters of the loss that are trained beside Theta.
        observables: expressions by name of a sample's fields, label and teacher fields, of trained and other parameters, and of the mean
            `m_0, ...` and covariance `Q_0_0, Q_0_1, ...` of the fields in its cluster; simulations hold their means `train_NAME` over
            the training samples and `test_NAME` over a fresh sample, the effective dynamics the latter; other theories leave them out.

    Raises:
        InputError: shapes that do not fit together.
    """

    data: GaussianMixture
    loss: Loss
    optimizer: Optimizer
    sampling: AbstractSampling = field()
    norm2: sp.ImmutableDenseMatrix = field()
    overlap: sp.ImmutableDenseMatrix = field()
    coordinates: Coordinates = field()
    ridge: sp.Expr = field()
    teacher: Teacher | None = field()
    trained: Trained | None = field()
    observables: Observables = field()
    placed: tuple[Frozen | None, Frozen | None] = field()  # norm2 (B, C, C) and overlap (B, C, K) where they are given block by block
    start: Frozen | None = field()  # Theta_0 in the mixture's coordinates, (d, C)

    def __init__(
        self,
        data: GaussianMixture,
        loss: Loss,
        optimizer: Optimizer,
        *,
        sampling: AbstractSampling | None = None,
        norm2: Any = None,
        overlap: Any = None,
        coordinates: Any = None,
        start: Any = None,
        ridge: Any = symbols.ridge,
        teacher: Teacher | None = None,
        trained: Trained | None = None,
        observables: Mapping[str, sp.Expr] | Observables | None = None,
        placed: tuple[Frozen | None, Frozen | None] = (None, None),  # as `dataclasses.replace` has it
    ):
        for name, value, kind in (("data", data, GaussianMixture), ("loss", loss, Loss), ("optimizer", optimizer, Optimizer)):
            if not isinstance(value, kind):
                raise InputError(f"{name} = {value!r}: a {kind.__name__} is needed")
        columns, clusters = len(loss.fields), data.clusters
        if len(loss.labels) > data.label_size or (len(loss.labels) == 1 and data.label_size > 1):
            raise InputError(
                f"labels have {data.label_size} component(s) but the loss uses {', '.join(map(str, loss.labels))}; "
                "give every cluster a label with the components that the loss uses"
            )
        for name, value, kind in (("teacher", teacher, Teacher), ("trained", trained, Trained)):
            if value is not None and not isinstance(value, kind):
                raise InputError(f"{name} = {value!r}: a {kind.__name__} is needed")
        if sampling is not None and not isinstance(sampling, AbstractSampling):
            raise InputError(f"sampling = {sampling!r}: one of gmsym.sampling is needed, such as gmsym.sampling.online()")
        if len(loss.teachers) != (0 if teacher is None else teacher.count):
            raise InputError(
                f"the loss uses {len(loss.teachers)} teacher field(s) ({', '.join(map(str, loss.teachers)) or 'none'}) but there are "
                f"{0 if teacher is None else teacher.count} teacher direction(s); give teacher = Teacher(gram, ...), a row for each field"
            )
        _check_target(data, loss, () if trained is None else trained.names)
        unused = [] if trained is None else [v.name for v in trained.names if v not in loss.parameters]
        if unused:
            raise InputError(f"trained: {unused[0]} is not in the loss {loss.expr}; train parameters that the loss uses")
        object.__setattr__(self, "data", data)
        object.__setattr__(self, "loss", loss)
        object.__setattr__(self, "optimizer", optimizer)
        object.__setattr__(self, "sampling", full() if sampling is None else sampling)
        vector = _start(start, norm2, overlap, data, columns)
        if vector is not None and data.embedded is not None:
            norm2, overlap = vector.array.T @ vector.array, vector.array.T @ data.embedded.means.array.T
        norm2 = 1 if norm2 is None else norm2
        norm2, overlap = (x if part is None else part.array for x, part in zip((norm2, overlap), placed, strict=True))
        placed = by_block(norm2, (columns, columns), "norm2"), by_block(overlap, (columns, clusters), "overlap")
        for name, part in zip(("norm2", "overlap"), placed, strict=True):
            if part is not None and len(part.array) != data.blocks:
                raise InputError(f"{name} has {len(part.array)} blocks; a matrix for each of the {data.blocks} blocks is needed")
        norm2, overlap = (x if part is None else part.array.sum(axis=0) for x, part in zip((norm2, overlap), placed, strict=True))
        object.__setattr__(self, "norm2", _gram(norm2, columns))
        object.__setattr__(self, "overlap", _overlap(overlap, columns, clusters))
        object.__setattr__(self, "placed", placed)
        object.__setattr__(self, "start", vector)
        object.__setattr__(self, "coordinates", gaussian() if coordinates is None else law(coordinates, "coordinates"))
        object.__setattr__(self, "ridge", numbers.scalar(ridge, "ridge"))
        object.__setattr__(self, "teacher", teacher)
        object.__setattr__(self, "trained", trained)
        given = dict(observables) if isinstance(observables, tuple) else observables  # as `dataclasses.replace` has them
        object.__setattr__(self, "observables", read(given, loss, data.label_size))
        if teacher is not None:
            _ = teacher.overlap_with(columns), teacher.overlap_with_means(clusters)  # their shapes
        names = {s.name for s in self.parameters}
        clash = sorted(names & {s.name for s in optimizer.state})
        if clash:
            raise InputError(f"the parameter {clash[0]!r} has the name of a state variable of the optimizer {optimizer.name}; rename it")
        clash = sorted(filter(_MOMENT.fullmatch, names))
        if clash:
            raise InputError(f"{clash[0]} is the name of a moment of the fields and cannot be a parameter; allowed is any other name")
        if optimizer.is_noisy and symbols.noise.name in names:
            raise InputError("'noise' belongs to the update rule and cannot be a parameter beside it; rename it")
        taken = sorted(names & {symbols.visit.name, symbols.uniform.name, *([BATCHES.name] if self.single is not None else [])})
        if taken:
            raise InputError(f"{taken[0]!r} belongs to the sampling and cannot be a parameter; rename it")
        if trained is not None and trained.step is not None and not self.is_online and symbols.eta not in optimizer.parameters:
            raise InputError(
                f"trained step = {trained.step}: it stands for eta in the update rule, which the optimizer {optimizer.name!r} does not have"
            )
        if optimizer.has_norm and trained is not None:
            raise InputError(
                f"optimizer {optimizer.name!r}: its norm is that of Theta's coordinates, which trained parameters of the loss are not; "
                "take a rule without a norm, or a loss without trained parameters"
            )
        if optimizer.continuous and not isinstance(self.sampling, Full):
            raise InputError(f"sampling is {self.sampling.kind!r}: a flow has no steps at which samples are drawn; full() is needed")
        if self.single is not None:
            self.check_descent("one sample at a time (single)")
        if self.is_online and symbols.alpha in self.parameters:
            raise InputError("the problem depends on alpha, samples per dimension, which has no meaning for online SGD")

    def __repr__(self) -> str:
        """What differs from the default, as it is typed."""
        columns, clusters = len(self.loss.fields), self.data.clusters
        started = None if self.start is None else self.start.array
        given = {
            "sampling": None if isinstance(self.sampling, Full) else self.sampling.kind,
            "norm2": None if started is not None or self.norm2 == sp.eye(columns) else self.norm2,
            "overlap": None if started is not None or self.overlap == sp.zeros(columns, clusters) else self.overlap,
            "coordinates": None if self.coordinates.is_gaussian else self.coordinates,
            "start": started,
            "ridge": None if self.ridge == symbols.ridge else self.ridge,
            "teacher": None if self.teacher is None else self.teacher.gram,
            "trained": None if self.trained is None else [x.name for x in self.trained.names],
            "observables": [name for name, _ in self.observables] or None,
        }
        loss, optimizer = f"<loss {self.loss.name}: {self.loss.expr}>", f"<optimizer {self.optimizer.name}>"
        return call("Problem", [self.data, loss, optimizer], **given)

    def _repr_latex_(self) -> str:
        return problem_latex(self)

    @property
    def is_online(self) -> bool:
        """Whether every step sees one fresh sample."""
        return isinstance(self.sampling, Online)

    @property
    def online_step(self) -> sp.Expr:
        """c of online SGD: eta, or of a rule without eta its step at time 0."""
        return symbols.eta if symbols.eta in self.optimizer.parameters else -self.optimizer.jacobian[0, 1].subs(symbols.t, 0)

    @property
    def is_flow(self) -> bool:
        """Whether time is continuous."""
        return self.optimizer.continuous

    @property
    def batches(self) -> Batches | None:
        """How mini-batches are drawn; None for full batches and online."""
        return self.sampling if isinstance(self.sampling, Batches) else None

    @property
    def counts_zeros(self) -> bool:
        """Whether the update rule has an L1 penalty, the parameter `l1`, so that coordinates are exactly zero."""
        return any(x.name == "l1" for x in self.optimizer.parameters)

    @property
    def single(self) -> Single | None:
        """How one sample at a time is drawn; None for everything else."""
        return self.sampling if isinstance(self.sampling, Single) else None

    @cached_property
    def in_batches(self) -> "Problem":
        """One sample at a time as batches, of which a pass has `batches`; their step is that of all their samples together.

        Raises:
            InputError: another way of sampling; an optimizer that is not gradient descent.
        """
        if self.single is None:
            raise InputError(f"sampling = {self.sampling.kind!r}: single is needed, one sample at a time")
        self.check_descent("one sample at a time (single)")
        together = symbols.alpha / BATCHES
        c = symbols.eta if symbols.eta in self.optimizer.parameters else -self.optimizer.jacobian[0, 1].subs(symbols.t, 0)
        (variable, rule), *_ = self.optimizer.update
        step = -self.optimizer.jacobian[0, 1].xreplace({symbols.t: symbols.t * c * together})
        if self.trained is not None and self.trained.step is not None and step.has(symbols.t):
            raise InputError("trained step: with a schedule of the step, one sample at a time trains all parameters by it; leave step out")
        descent = Optimizer(self.optimizer.name, {variable: symbols.theta - step * together * symbols.g})
        return replace(self, sampling=self.single.in_batches, optimizer=descent)

    @property
    def natural(self) -> str:
        """The theory that answers it: "dmf", or "effective" online."""
        return "effective" if self.is_online else "dmf"

    @property
    def name(self) -> str:
        """Loss and optimizer, or that it is online."""
        batches = "" if self.batches is None and self.single is None else f" / {self.sampling.kind}"
        return f"{self.loss.name} / {'online' if self.is_online else self.optimizer.name}{batches}"

    @property
    def fields(self) -> int:
        """C, columns of Theta."""
        return len(self.loss.fields)

    @property
    def trained_parameters(self) -> tuple[sp.Symbol, ...]:
        """P parameters of the loss that are trained, in order."""
        return () if self.trained is None else self.trained.names

    def check_blocks(self, what: str) -> None:
        """Raises InputError if the mixture is in coordinates, whose vectors and full covariances `what` does not treat."""
        if self.data.embedded is not None:
            raise InputError(
                f"{what} does not treat mixtures in coordinates (means, covariance); derive.dmf, simulate and train of full batches do"
            )

    def check_full_batch(
        self,
        what: str,
        *,
        batches: bool = False,
        teachers: bool = False,
        trained: bool = False,
        noise: bool = False,
        own: bool = False,
        flow: bool = False,
    ) -> None:
        """Raises InputError if the problem samples online, or has parts that `what` does not say to treat."""
        if self.batches is not None and not batches:
            raise InputError(f"{what} does not treat mini-batches ({self.batches.kind}); derive.dmf and simulate do")
        if self.single is not None:
            raise InputError(f"{what} does not treat one sample at a time (single); derive.dmf and simulate do")
        if self.is_online:
            raise InputError(
                f"{what}: this problem samples online: its theory is gmsym.derive.effective; sampling=gmsym.sampling.full()"
                " asks for full batches"
            )
        untreated = [] if teachers or self.teacher is None else ["teacher fields"]
        untreated += [] if trained or self.trained is None else ["trained parameters of the loss"]
        if self.loss.own_noises and not own:
            raise InputError(
                f"{what} does not treat a sample's own noise ({self.loss.own_noises[0]}); derive.dmf, derive.surrogate, simulate do"
            )
        if untreated:
            raise InputError(
                f"{what} does not treat {untreated[0]}; derive.dmf, derive.surrogate, simulate and, online, derive.effective do"
            )
        if self.optimizer.is_noisy and not noise:
            raise InputError(f"{what} does not treat noise in the update rule of {self.optimizer.name!r}; derive.dmf and simulate do")
        if self.is_flow and not flow:
            raise InputError(f"{what} does not treat the flow {self.optimizer.name!r} in continuous time; derive.dmf and simulate do")
        if self.is_flow and self.loss.kinks:
            where = ", ".join(f"{kink.locus} = 0" for kink in self.loss.kinks)
            raise InputError(
                f"loss {self.loss.name}: its gradient jumps where {where}, and a flow stays there, sliding, where no explicit scheme "
                "follows it: take a smoothed loss, such as smoothed_hinge, or gd with small steps"
            )

    def check_online(self, what: str) -> None:
        """Raises InputError unless the problem samples online, by an update rule that has a limit for small steps."""
        if not self.is_online:
            raise InputError(f"{what}: this problem trains on full batches; sampling=gmsym.sampling.online() asks for online SGD")
        if self.loss.own_noises:
            own = self.loss.own_noises[0]
            raise InputError(f"loss {self.loss.name!r}: online SGD does not treat a sample's own noise ({own}); passes over samples do")
        if self.trained is not None and (not self.small_steps.is_descent or self.small_steps.weighs):
            raise InputError(
                f"optimizer {self.optimizer.name!r}: online SGD with trained parameters of the loss takes rules whose state dies out in a "
                "few steps and that move theta by the gradient alone; ridge is a parameter of the problem"
            )

    @cached_property
    def small_steps(self) -> SmallSteps:
        """What the update rule does over many steps c/d of online SGD.

        Raises:
            InputError: it has no limit.
        """
        if self.is_descent:
            return SmallSteps.descent(-self.optimizer.jacobian[0, 1] / symbols.eta)
        return small_steps(self.optimizer)

    @property
    def is_descent(self) -> bool:
        """Whether the optimizer is gradient descent, theta - step*g, and nothing else."""
        optimizer = self.optimizer
        return not (optimizer.state or optimizer.is_noisy or not optimizer.is_linear or sp.expand(optimizer.jacobian[0, 0] - 1) != 0)

    def check_descent(self, what: str) -> None:
        """Raises InputError unless the optimizer is gradient descent whose step is a multiple of eta."""
        if not self.is_descent:
            raise InputError(
                f"optimizer {self.optimizer.name!r}: {what} is available for gradient descent, theta - step*g, where step may be a "
                "schedule (momentum over a few of so many steps is but a step eta/(1 - momentum)); ridge is a parameter of the problem"
            )

    @cached_property
    def target(self) -> sp.Expr | None:
        """Its sign is the true class: the loss's `target`, or a label of +-1 without a teacher; None where no sign is predicted."""
        if self.loss.target is not None:
            return self.loss.target
        binary = self.data.label_size == 1 and all(abs(label) == 1 for (label,) in self.data.labels)
        return symbols.y if binary and self.teacher is None and self.loss.readout is not None else None

    @cached_property
    def decision(self) -> Literal["sign", "argmax"] | None:
        """How a fresh sample is classified: by the sign of the readout, by the largest field (vector labels), or not at all."""
        if self.target is not None:
            return "sign"
        if self.teacher is not None or self.data.label_size == 1:  # with a teacher the class is not the cluster's label
            return None
        one_hot = all(sorted(label) == [0] * (len(label) - 1) + [1] for label in self.data.labels)
        return "argmax" if one_hot and self.data.label_size == self.fields and self.loss.readout is None else None

    @cached_property
    def signature(self) -> str:
        """Twelve hexadecimal digits that tell problems apart whatever they are called."""
        parts = [
            self.loss.expr,
            sp.sympify(self.loss.readout),
            *(sp.Tuple(*rule) for rule in self.optimizer.update),
            *([sp.Symbol("continuous")] if self.optimizer.continuous else []),
            self.norm2,
            self.overlap,
            self.ridge,
        ]
        data = self.data
        parts += [
            sp.Tuple(*data.probabilities),
            sp.Tuple(*(sp.Tuple(*y) for y in data.labels)),
            data.means_gram,
            data.variance,
            sp.Tuple(*data.fractions),
        ]
        for which, own in (("means", data.coordinates), ("initial", self.coordinates)):
            if not own.is_gaussian:
                parts += [sp.Symbol(which), *(sp.Tuple(*x) for x in (own.weights, own.values, own.deviations))]
        if self.teacher is not None:
            parts += [self.teacher.gram, self.teacher.overlap_with(self.fields), self.teacher.overlap_with_means(data.clusters)]
        if self.trained is not None:
            parts += [sp.Tuple(*self.trained.names), sp.Tuple(*self.trained.expressions)]
        if self.loss.target is not None:
            parts.append(self.loss.target)
        if self.is_online:
            parts.append(sp.Symbol(self.sampling.kind))
        if self.single is not None:
            parts += [sp.Symbol("single"), *(sp.sympify(value) for _, value in self.single.options)]
        if self.batches is not None:
            parts += [self.batches.rule, self.batches.weight, sp.Symbol(self.batches.kind)]
        parts += [sp.Tuple(sp.Symbol(name), expr) for name, expr in self.observables]
        parts += [sp.Symbol(part.digest) for part in (data.placed, *self.placed, self.start) if part is not None]
        if data.embedded is not None:
            place = data.embedded
            own = (place.means, place.variance, *(() if place.covariance is None else (place.covariance,)))
            parts += [sp.Symbol(part.digest) for part in own] + [sp.Tuple(*place.groups)]
        present = [None if part is None else sp.sympify(part) for part in parts]  # a loss of several fields may have no readout
        plain = [
            part if part is None else part.xreplace({x: sp.Rational(repr(float(x))) for x in part.atoms(sp.Float)}) for part in present
        ]
        return hashlib.sha256("\n".join(map(sp.srepr, plain)).encode()).hexdigest()[:12]  # 0.1 is 1/10, as in a file

    @cached_property
    def local_parameters(self) -> tuple[sp.Symbol, ...]:
        """Parameters of the loss and the optimizer, in alphabetical order."""
        own = (self.loss.parameters | self.optimizer.parameters | self._of_observables) - set(self.trained_parameters)
        if self.batches is not None:
            own |= self.batches.parameters
        return tuple(sorted(own, key=lambda s: s.name))

    @property
    def observable_names(self) -> tuple[str, ...]:
        """Names of the observables, in order."""
        return tuple(name for name, _ in self.observables)

    @property
    def _of_observables(self) -> frozenset[sp.Symbol]:
        """Parameters of the observables."""
        known = set(order_parameters(self.fields))
        found = {s for _, expr in self.observables for s in expr.free_symbols}
        return frozenset(s for s in found - known if not symbols.is_sample(s.name))

    @cached_property
    def parameters(self) -> tuple[sp.Symbol, ...]:
        """All symbols that need a number, in alphabetical order."""
        everything = {*self.local_parameters, *self.data.parameters, *numbers.parameters(self.norm2, self.overlap, self.ridge)}
        everything |= self.coordinates.parameters
        if self.teacher is not None:
            overlaps = self.teacher.overlap_with(self.fields), self.teacher.overlap_with_means(self.data.clusters)
            everything |= numbers.parameters(self.teacher.gram, *overlaps)
        if self.trained is not None:
            everything |= numbers.parameters(*self.trained.expressions)
        return tuple(sorted(everything, key=lambda s: s.name))

    def at(self, values: Mapping[str, float]) -> Instance:
        """The problem in numbers.

        Args:
            values: one finite number for each of `parameters`, by name; `ridge` may be left out (0). `alpha`, samples per dimension, is
                allowed whether or not the problem's expressions hold it.

        Raises:
            InputError: an unknown or missing parameter, or a number out of range.
        """
        if not isinstance(values, Mapping):
            raise InputError(f"values = {repr(values)[:60]}: numbers by name are needed, such as {{'alpha': 2.0, 'eta': 0.5}}")
        known = {s.name: s for s in self.parameters}
        values = {**{k: v for k, v in DEFAULTS.items() if k in known}, **values}
        alpha = None
        if values.get("alpha") is not None and not self.is_online:
            alpha = check_positive("alpha", values["alpha"], "samples per dimension, a positive number, are needed")
        if symbols.alpha.name not in known:
            values.pop("alpha", None)
        unknown = sorted(set(values) - set(known), key=str)
        if unknown:
            raise InputError(f"unknown parameter {unknown[0]!r}; this problem has {', '.join(known) or 'none'}")
        missing = sorted(set(known) - set(values))
        if missing:
            raise InputError(f"no value for the parameter {missing[0]!r}; this problem needs {', '.join(known)}")
        for name, value in values.items():
            if isinstance(value, bool) or not isinstance(value, Real) or not abs(value) < 1e300:
                raise InputError(f"{name} = {repr(value)[:60]}: a finite number is needed")
            if (known[name].is_positive and value <= 0) or (known[name].is_nonnegative and value < 0):
                raise InputError(f"{name} = {value!r}: a {'positive' if known[name].is_positive else 'non-negative'} number is needed")
        bound = {known[name]: sp.Float(value, 17) for name, value in values.items()}
        self.loss.check_domain({**bound, **self._initial_trained(bound)})
        if self.batches is not None:
            self.batches.check(bound)
        arrays = self.data.check(bound)
        columns, clusters = self.fields, self.data.clusters
        gram = numbers.numeric(self.norm2, bound, (columns, columns))
        overlap = numbers.numeric(self.overlap, bound, (columns, clusters))
        check_positive_semidefinite(gram, "norm2")
        check_positive_semidefinite(np.block([[gram, overlap], [overlap.T, arrays["means_gram"]]]), "the Gram matrix of (Theta_0, means)")
        instance = Instance(
            **arrays,
            initial_gram=gram,
            initial_overlap=overlap,
            ridge=float(self.ridge.subs(bound)),
            parameters={s.name: float(values[s.name]) for s in self.local_parameters},
            values={name: float(values[name]) for name in known},
            alpha=alpha,
            step=self._online_step(bound) if self.is_online or self.single is not None else None,
            means_law=None if self.data.coordinates.is_gaussian else self.data.coordinates.at(bound),
            initial_law=None if self.coordinates.is_gaussian else self.coordinates.at(bound),
            **self._teacher_at(bound),
            **self._trained_at(bound),
        )
        if self.teacher is not None:
            check_positive_semidefinite(instance.teacher_gram, "teacher gram")
            check_positive_semidefinite(instance.gram, "the Gram matrix of (Theta_0, means, teacher)")
        return self._by_block(instance)

    def _by_block(self, instance: Instance) -> Instance:
        """With the Gram matrix in each block, where parts of it are given block by block; the others have the share rho_b."""
        C, K, place = self.fields, self.data.clusters, self.data.embedded
        if place is not None and self.start is not None:
            return replace(
                instance,
                vectors=Vectors(
                    place.means.array, self.start.array, None if place.covariance is None else place.covariance.array, place.groups
                ),
            )
        start, means = slice(C), slice(C, C + K)
        parts = (start, start, self.placed[0]), (start, means, self.placed[1]), (means, means, self.data.placed)
        if all(part is None for *_, part in parts):
            return instance
        grams = instance.block_grams.copy()
        for rows, columns, part in parts:
            if part is not None:
                grams[:, rows, columns], grams[:, columns, rows] = part.array, np.swapaxes(part.array, 1, 2)
        for b, gram in enumerate(grams):
            check_positive_semidefinite(gram, f"the Gram matrix of (Theta_0, means{', teacher' if self.teacher else ''}) within block {b}")
        return replace(instance, placed=grams)

    def _online_step(self, bound: dict[sp.Symbol, sp.Float]) -> float:
        """c: the number of eta, or of a rule without eta its step at time 0."""
        if self.is_online:
            self.small_steps.check({x.name: float(value) for x, value in bound.items()}, self.optimizer.name)
            if self.small_steps.weighs and float(self.ridge.subs(bound)) != 0:
                read = "coordinates" if self.small_steps.weight == 1 else "norm"
                raise InputError(
                    f"ridge = {float(self.ridge.subs(bound)):g}: the {read} of a sample's gradient, which the rule "
                    f"{self.optimizer.name!r} reads, would weigh it sample by sample; write it into the rule, as in theta*(1 - eta*decay)"
                )
        value = float(self.online_step.subs(bound))
        if not value > 0:
            raise InputError(
                f"optimizer {self.optimizer.name!r}: its step at time 0 is {value:g}; {self.sampling.kind} needs eta, or a positive step"
            )
        return value

    def _initial_trained(self, bound: dict[sp.Symbol, sp.Float]) -> dict[sp.Symbol, sp.Expr]:
        return {} if self.trained is None else {v: x.subs(bound) for v, x in zip(self.trained.names, self.trained.initial, strict=True)}

    def _teacher_at(self, bound: dict[sp.Symbol, sp.Float]) -> dict[str, np.ndarray]:
        columns, clusters = self.fields, self.data.clusters
        if self.teacher is None:
            shapes = {"teacher_gram": (0, 0), "teacher_overlap": (columns, 0), "teacher_means": (0, clusters)}
            return {name: np.zeros(shape) for name, shape in shapes.items()}
        count = self.teacher.count
        return {
            "teacher_gram": numbers.numeric(self.teacher.gram, bound, (count, count)),
            "teacher_overlap": numbers.numeric(self.teacher.overlap_with(columns), bound, (columns, count)),
            "teacher_means": numbers.numeric(self.teacher.overlap_with_means(clusters), bound, (count, clusters)),
        }

    def _trained_at(self, bound: dict[sp.Symbol, sp.Float]) -> dict[str, Any]:
        if self.trained is None:
            return {"trained": np.zeros(0), "trained_step": None, "trained_ridge": 0.0}
        step = None if self.trained.step is None else float(self.trained.step.subs(bound))
        ridge = float(self.trained.ridge.subs(bound))
        for name, value in (("step", step or 0.0), ("ridge", ridge)):
            if value < 0:
                raise InputError(f"trained {name} = {value}: a non-negative number is needed")
        initial = numbers.numeric(self.trained.initial, bound, (len(self.trained.names),))
        return {"trained": initial, "trained_step": step, "trained_ridge": ridge}


def _check_target(data: GaussianMixture, loss: Loss, trained: Sequence[sp.Symbol]) -> None:
    """Raises InputError if the true class needs a label that there is not, or moves with training, or is no sign."""
    target = loss.target
    if target is None:
        return
    labels = symbols.labels(data.label_size)
    unknown = sorted(s.name for s in target.free_symbols if symbols.is_label(s.name) and s not in labels)
    if unknown:
        raise InputError(f"target = {target} uses {unknown[0]}; the label here is {', '.join(map(str, labels))}")
    moving = [v.name for v in trained if target.has(v)]
    if moving:
        raise InputError(f"target = {target}: {moving[0]} is trained, and the true class does not depend on what is trained")
    for label in data.labels:
        value = loss.at_label(target, label).evalf()
        if not value.free_symbols and not (value.is_real and value.is_nonzero):
            raise InputError(f"target = {target} is {value} for the label {', '.join(map(str, label))}; a non-zero real number is needed")


def _gram(norm2: Any, columns: int) -> sp.ImmutableDenseMatrix:
    if not isinstance(norm2, (list, tuple, np.ndarray, sp.MatrixBase)):
        return sp.ImmutableDenseMatrix(sp.eye(columns) * numbers.scalar(norm2, "norm2"))
    gram = numbers.matrix(norm2, "norm2")
    if gram.shape != (columns, columns):
        raise InputError(f"norm2 has shape {gram.shape}; a number or ({columns}, {columns}) is needed, one row a field")
    return gram


def _start(start: Any, norm2: Any, overlap: Any, data: GaussianMixture, columns: int) -> Frozen | None:
    """Theta_0 in the coordinates of the mixture, (d, C); None if that has none."""
    place = data.embedded
    if place is None:
        if start is not None:
            raise InputError("start, a vector, needs a mixture in coordinates (means); norm2 and overlap describe Theta_0 here")
        return None
    if isinstance(start, Frozen):  # as `dataclasses.replace` has it
        return start
    if start is None:
        for name, value in (("norm2", norm2), ("overlap", overlap)):
            if value is not None and np.any(np.asarray(value) != 0):
                raise InputError(f"{name} = {value!r}: a mixture in coordinates takes the vector Theta_0, start ({place.d}, {columns})")
        return Frozen(np.zeros((place.d, columns)))
    if norm2 is not None or overlap is not None:
        raise InputError("start, the vector Theta_0, has its own norm2 and overlap; leave these out")
    vector = finite(start, "start")
    vector = vector[:, None] if vector.ndim == 1 else vector
    features = place.d if data.fitted is None else len(data.fitted.frame.basis.array)
    if vector.shape != (features, columns):
        axis = "coordinates" if data.fitted is None else "features"
        raise InputError(f"start has shape {np.shape(start)}; ({features}, {columns}) is needed: {axis}, fields")
    return Frozen(vector.copy() if data.fitted is None else data.fitted.frame.basis.array.T @ vector)


def _overlap(overlap: Any, columns: int, clusters: int) -> sp.ImmutableDenseMatrix:
    if overlap is None:
        return sp.ImmutableDenseMatrix(sp.zeros(columns, clusters))
    rows = overlap.tolist() if isinstance(overlap, (np.ndarray, sp.MatrixBase)) else overlap
    if columns == 1 and isinstance(rows, (list, tuple)) and not any(isinstance(row, (list, tuple)) for row in rows):
        rows = [rows]
    array = numbers.matrix(rows, "overlap")
    if array.shape != (columns, clusters):
        raise InputError(f"overlap has shape {array.shape}; ({columns}, {clusters}) is needed: fields, clusters")
    return array
