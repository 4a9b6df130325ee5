"""Timing of several programs in turns, so that a slow minute of the machine slows all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Hashable, Mapping
from typing import TypeVar

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
