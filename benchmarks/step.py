"""How long one step of a transaction takes, against a bare look-up in a dict.

    python benchmarks/step.py

The bare look-up is a function too, over a plain dict of plain text that has one transaction type alone. Both
are measured in turns, in one process, and their medians are compared.
"""

from __future__ import annotations

import argparse
import timeit
from statistics import median
from typing import Any

from amie_engine.protocol import Party, State, step
from amie_engine.protocol.machine import COMPILED

TRANSACTION_TYPE = "request_project_create"
TABLE = {
    (str(state), str(sender), str(move)): str(end)
    for (state, sender, move), end in COMPILED[TRANSACTION_TYPE].items()
}


def look_up(state: str, sender: str, move: str) -> str | None:
    """What a step can hardly be faster than."""
    return TABLE.get((state, sender, move))


CASES: dict[str, tuple[str, str, str]] = {
    "legal": (State.REQUESTED, Party.SITE, "notify_project_create"),
    "not legal": (State.COMPLETED, Party.SITE, "notify_project_create"),
    "legal, plain text": ("requested", "site", "notify_project_create"),
}


def measure(statement: str, arguments: tuple[str, str, str], number: int) -> float:
    """Return the seconds that one call takes."""
    names: dict[str, Any] = {"step": step, "look_up": look_up, "transaction_type": TRANSACTION_TYPE}
    names |= dict(zip(("state", "sender", "move"), arguments, strict=True))
    return timeit.timeit(statement, globals=names, number=number) / number


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15, help="measurements of each (default: 15)")
    parser.add_argument(
        "--number", type=int, default=100_000, help="calls in a measurement (default: 100000)"
    )
    options = parser.parse_args()

    print(f"medians of {options.rounds} rounds in turns\n")
    print(f"{'':<20}{'step':>11}{'look-up':>11}{'ratio':>8}")
    worst = 0.0
    for name, arguments in CASES.items():
        steps, look_ups = [], []
        for _ in range(options.rounds):
            steps.append(measure("step(transaction_type, state, sender, move)", arguments, options.number))
            look_ups.append(measure("look_up(state, sender, move)", arguments, options.number))
        ratio = median(steps) / median(look_ups)
        worst = max(worst, ratio)
        print(f"{name:<20}{median(steps) * 1e9:>8.0f} ns{median(look_ups) * 1e9:>8.0f} ns{ratio:>8.2f}")
    print(f"\nThe highest ratio is {worst:.2f} (at most 1.5 is wanted).")


if __name__ == "__main__":
    main()
