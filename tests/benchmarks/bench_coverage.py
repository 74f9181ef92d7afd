"""Do error bars hold what they promise? `python -m tests.benchmarks.bench_coverage [problems] [theory ...] [--seed 7] [--log FOLDER]`

Prints a table. Goal: at least 97% of the errors within 3 bars, and a median bar of at most 5 times the median error. With --log, each
problem's errors and bars are kept in FOLDER, one line a problem, and are not computed again.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tests.error_bars import HEAD, THEORIES, Case, coverage


def cases(theory: str, problems: int, seed: int, log: Path | None) -> Iterator[Case | None]:
    kept = log / f"{theory.replace(' ', '_')}_{seed}.txt" if log is not None else None
    lines = kept.read_text().splitlines() if kept is not None and kept.exists() else []
    for line in lines[:problems]:
        pairs = np.array(line.split(), dtype=float).reshape(2, -1)
        yield Case(*pairs) if pairs.size else None
    for index in range(len(lines), problems):
        (found,) = THEORIES[theory](1, seed, first=index)
        if kept is not None:
            with kept.open("a") as file:
                file.write("" if found is None else " ".join(f"{x:.6e}" for x in np.concatenate(found)))
                file.write("\n")
        yield found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("problems", type=int, nargs="?", default=200)
    parser.add_argument("theories", nargs="*", default=list(THEORIES))
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--log", type=Path)
    given = parser.parse_args()
    print(HEAD, flush=True)
    for name in given.theories:
        print(coverage(list(cases(name, given.problems, given.seed, given.log))).row(name), flush=True)
