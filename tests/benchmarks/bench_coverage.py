"""Do error bars hold what they promise? `python -m tests.benchmarks.bench_coverage [problems] [theory ...]` prints a table.

Goal: at least 97% of the errors within 3 bars, and a median bar of at most 5 times the median error.
"""

import sys

from tests.error_bars import HEAD, THEORIES, coverage

SEED = 7


def main(problems: int, theories: list[str]) -> None:
    print(HEAD, flush=True)
    for name in theories:
        print(coverage(list(THEORIES[name](problems, SEED))).row(name), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200, sys.argv[2:] or list(THEORIES))
