"""Timing of several programs in turns, so that a slow minute of the machine slows all of them, and
what becomes of the figures.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import Any, TypeVar

Work = Callable[[], object]
Name = TypeVar("Name", bound=Hashable)


def medians(programs: Mapping[Name, Work], rounds: int) -> dict[Name, float]:
    """Median wall-clock seconds of every program; each runs once per round, after one unmeasured
    round.
    """
    seconds: dict[Name, list[float]] = {name: [] for name in programs}
    for number in range(rounds + 1):
        for name, work in programs.items():
            start = time.perf_counter()
            work()
            if number:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(found) for name, found in seconds.items()}


def tell(figures: Mapping[str, Any], file: Path | None) -> None:
    """Print the figures as JSON, and write them where a file is named."""
    text = json.dumps(figures, indent=2)
    print(text)
    if file is not None:
        file.write_text(text + "\n", encoding="utf-8")
