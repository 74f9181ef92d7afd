"""CPU time of random texts: each is made a loss and derived, or refused in a line. Prints a line for each, and the slowest.

    python -m tests.benchmarks.texts_random [--first 0] [--count 60] [--limit 60] [--verbs effective dmf ...] [--log FILE]

Text i has the seed i: kinks, branches, logsumexp, waves, powers and products nested in one another, of one or two fields and a label, up to
300 characters. What is derived: DMF, effective dynamics, Hessian and information spectra, surrogate, fluctuations.
"""

import argparse
import random
import time
from pathlib import Path

import gmsym as gm
from tests.benchmarks.limit import cpu_limit
from tests.test_budget import DERIVATIONS

LENGTH = 300
_UNARY = "exp log sqrt tanh sin cos cosh atan erf softplus sigmoid abs relu sign step Phi log_Phi".split()
_SEVERAL = ("max", "min", "logsumexp")


def written(draw: random.Random, depth: int, fields: tuple[str, ...]) -> str:
    """A random expression."""

    def part(less: int = 1) -> str:
        return written(draw, depth - less, fields)

    if depth <= 0 or draw.random() < 0.12:
        field = draw.choice(fields)
        return draw.choice(
            [field, f"y*{field}", f"{field}-y", f"{draw.randint(1, 9)}/{draw.randint(2, 9)}", f"{draw.randint(1, 5)}", field]
        )
    kind = draw.randrange(9)
    if kind <= 1:
        return f"{draw.choice(_UNARY)}({part()})"
    if kind <= 3:
        return f"{draw.choice(_SEVERAL)}({','.join(part() for _ in range(draw.randint(2, 5)))})"
    if kind == 4:
        return f"where({part(2)}{draw.choice(['<', '>', '<=', '>='])}{part(2)},{part()},{part()})"
    if kind == 5:
        return f"({part()})**{draw.choice(['2', '3', '4', '(3/2)', '(1/2)'])}"
    return f"({draw.choice('+-*/+*').join([part(), part()])})"


def text(seed: int) -> str:
    """The text of that seed; every second one cannot jump, so that most of it gets past the check of continuity."""
    draw = random.Random(seed)
    fields = draw.choice([("h",), ("h",), ("h0", "h1")])
    while True:
        found = "+".join(written(draw, draw.randint(2, 4), fields) for _ in range(draw.randint(1, 3)))
        if seed % 2:
            found = found.replace("sign(", "abs(").replace("step(", "relu(").replace("where(", "max(")
            for sign in ("<=", ">=", "<", ">"):
                found = found.replace(sign, ",")
        if 40 <= len(found) <= LENGTH and all(field in found for field in fields):
            return found


def outcome(seed: int, verbs: list[str], limit: float) -> str:
    """A line on the text: the slowest of what was done with it, in CPU seconds, and what became of each."""
    expression, told, slowest = text(seed), [], 0.0

    def timed(name: str, act):
        nonlocal slowest
        start, result = time.process_time(), None
        try:
            with cpu_limit(limit):
                result = act()
            word = ""
        except TimeoutError:
            word = " OUT OF TIME"
        except gm.InputError as error:
            word = f" refused ({str(error).splitlines()[0][-60:]})"
        except Exception as error:
            word = f" FAILED {type(error).__name__}: {str(error)[:100]}"
        taken = time.process_time() - start
        slowest = max(slowest, taken)
        told.append(f"{name} {taken:.1f}{word}")
        return result

    loss = timed("loss", lambda: gm.Loss("text", gm.parse(expression)))
    if loss is not None:
        data = gm.GaussianMixture.symmetric(**({"label": gm.symbols.y} if loss.labels else {}))
        problems = (
            gm.Problem(data, loss, gm.optimizers.heavy_ball()),
            gm.Problem(data, loss, gm.optimizers.gd(), sampling=gm.sampling.online()),
        )
        for name in verbs:
            timed(name, lambda name=name: DERIVATIONS[name](*problems))
    return f"{seed:4d} {slowest:6.1f} CPU s, {len(expression)} characters: {'; '.join(told)} | {expression}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--limit", type=float, default=60.0, help="CPU seconds for each of loss and derivations")
    parser.add_argument("--verbs", nargs="*", default=list(DERIVATIONS))
    parser.add_argument("--log", type=Path)
    given = parser.parse_args()
    known = given.log.read_text().splitlines() if given.log is not None and given.log.exists() else []
    seen = {int(line[:4]) for line in known}
    for seed in range(given.first, given.first + given.count):
        if seed not in seen:
            known.append(outcome(seed, given.verbs, given.limit))
            print(known[-1], flush=True)
            if given.log is not None:
                with given.log.open("a") as file:
                    file.write(known[-1] + "\n")
    print(f"{len(known)} texts; refused as losses {sum('loss' in x.split(';')[0] and 'refused' in x.split(';')[0] for x in known)}")
    print("slowest:", *sorted(known, key=lambda line: -float(line[5:11]))[:5], sep="\n")


if __name__ == "__main__":
    main()
