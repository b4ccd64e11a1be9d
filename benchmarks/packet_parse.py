"""How long it takes to parse and validate one packet, and how much faster that is than the public client.

    python benchmarks/packet_parse.py [--reference-python PATH]

The public client does not install on Python 3.10 and later: give the interpreter that has it. Each
measurement runs in a process of its own, the two in turns, and their medians are compared.
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
from pathlib import Path
from statistics import median

DOCUMENT = Path(__file__).parents[1] / "tests" / "data" / "samples" / "spec" / "request_account_create.json"

MEASURE = """
import json, sys, timeit
from {module} import Packet
with open(sys.argv[1]) as file:
    document = json.load(file)
def parse_and_validate():
    return Packet.from_dict(document).validate_data()
assert parse_and_validate()
number = int(sys.argv[2])
timeit.timeit(parse_and_validate, number=number // 10)
print(timeit.timeit(parse_and_validate, number=number) / number)
"""


def measure(python: str, module: str, number: int) -> float:
    """Return the seconds that one packet takes, measured in a process of its own."""
    command = [python, "-c", MEASURE.format(module=module), str(DOCUMENT), str(number)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(ran.stdout)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--reference-python", metavar="PATH", help="an interpreter that has the public client"
    )
    parser.add_argument("--rounds", type=int, default=7, help="measurements of each (default: 7)")
    parser.add_argument(
        "--number", type=int, default=20_000, help="packets in a measurement (default: 20000)"
    )
    options = parser.parse_args()

    subjects = {"amie-engine": (sys.executable, "amie_engine.packet")}
    if options.reference_python or importlib.util.find_spec("amieclient"):
        subjects["public client"] = (options.reference_python or sys.executable, "amieclient.packet")
    seconds: dict[str, list[float]] = {name: [] for name in subjects}
    for _ in range(options.rounds):
        for name, (python, module) in subjects.items():
            seconds[name].append(measure(python, module, options.number))

    print(f"from_dict and validate_data of {DOCUMENT.name}, {options.rounds} rounds in turns\n")
    print(f"{'':<16}{'median':>12}{'fastest':>12}{'slowest':>12}")
    for name, times in seconds.items():
        shown = "".join(f"{value * 1e6:>9.2f} us" for value in (median(times), min(times), max(times)))
        print(f"{name:<16}{shown}")
    if "public client" in seconds:
        ratio = median(seconds["public client"]) / median(seconds["amie-engine"])
        print(f"\namie-engine is {ratio:.1f} times faster (at least 6 is wanted).")
    else:
        print(
            "\nThe public client is not installed here: give an interpreter that has it (--reference-python)."
        )


if __name__ == "__main__":
    main()
