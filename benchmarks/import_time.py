"""What imports cost, beside torch: CPU seconds of fresh processes, medians and ratios.

    python benchmarks/import_time.py [--rounds N] [--json FILE]

Every round runs all programs once, so that a slow minute of the machine slows all of them.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
from pathlib import Path

BASELINE = "import torch"
PROGRAMS = {
    BASELINE: ["-c", "import torch"],
    "import augmentor": ["-c", "import augmentor"],
    "augmentor.load, augmentor.SyntheticMix": [
        "-c",
        "import augmentor; augmentor.load; augmentor.SyntheticMix",
    ],
    "every public name of augmentor": ["-c", "from augmentor import *"],
    "augmentor --help": ["-m", "pipelines.cli", "--help"],
    "augmentor check digits": ["-m", "pipelines.cli", "check", "digits"],
}
MOST = {
    "import augmentor": 1.3,
    "augmentor.load, augmentor.SyntheticMix": 1.3,
    "augmentor check digits": 2.0,
}
"""Times ``import torch``."""


def cpu_seconds(arguments: list[str]) -> float:
    """User and system time of one Python process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def measure(rounds: int) -> dict[str, dict[str, float]]:
    """Median seconds of every program, and their ratio to those of ``import torch``."""
    seconds: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    for _ in range(rounds):
        for name, arguments in PROGRAMS.items():
            seconds[name].append(cpu_seconds(arguments))
    medians = {name: statistics.median(found) for name, found in seconds.items()}
    return {
        name: {"seconds": round(median, 3), "ratio": round(median / medians[BASELINE], 3)}
        for name, median in medians.items()
    }


def table(found: dict[str, dict[str, float]]) -> str:
    """The figures as a Markdown table, with the ratios allowed."""
    lines = ["| program | CPU seconds | times torch | at most |", "|---|---:|---:|---:|"]
    for name, row in found.items():
        most = MOST.get(name, "")
        lines.append(f"| `{name}` | {row['seconds']:.2f} | {row['ratio']:.2f} | {most} |")
    return "\n".join(lines)


def main() -> int:
    """Measure, print the table, and fail where more is spent than allowed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="runs of every program")
    parser.add_argument("--json", type=Path, help="file for the figures")
    options = parser.parse_args()
    found = measure(options.rounds)
    print(table(found))
    document = json.dumps({"rounds": options.rounds, "python": sys.version, "programs": found})
    if options.json:
        options.json.write_text(document + "\n", "utf-8")
    else:
        print(document)
    return int(any(found[name]["ratio"] > most for name, most in MOST.items()))


if __name__ == "__main__":
    sys.exit(main())
