"""What a job will make: groups of parts, which of them are finished, how long the rest takes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pipelines.experiment.engine import PART_MADE, Engine
from pipelines.experiment.parts import FinishedPart, Part, PartStore
from pipelines.progress import Progress

T = TypeVar("T")

FEWEST_REPLICATES = 3
"""Fewer give no advice."""
SHARES_OF_STEPS = (1.0, 0.5, 0.25)
"""Least part of the steps asked for that a budget may leave."""


@dataclass(frozen=True)
class Group(Generic[T]):
    """Parts that one worker makes one after the other, since they share what is made on the way.

    Args:
        task: What the worker gets; travels to another process.
        parts: What it leaves.
        shared_steps: Steps of what is made on the way once for all of them, by what is trained.
        beside: What it leaves beside the results, such as pictures; made later where it is missing.
    """

    task: T
    parts: tuple[Part, ...]
    shared_steps: Mapping[str, int] = field(default_factory=dict)
    beside: tuple[Part, ...] = ()

    @property
    def everything(self) -> tuple[Part, ...]:
        """All that it leaves."""
        return (*self.parts, *self.beside)


@dataclass(frozen=True)
class PlanRow:
    """One line of the table of a plan.

    Args:
        what: Kind of part, or what is made on the way.
        count: How many the job needs.
        finished: How many are there.
        seconds: Estimated for those that are missing; None without timings.
    """

    what: str
    count: int
    finished: int
    seconds: float | None


def make_missing(
    groups: Sequence[Group[T]],
    store: PartStore,
    engine: Engine[T],
    progress: Progress,
    task: str,
) -> None:
    """Make the parts that are not there; damaged ones and those of other plans are named first.

    Args:
        groups: What the job needs.
        store: Where the parts are.
        engine: Who makes them.
        progress: Progress reporter; the bar counts parts.
        task: Name of the bar.

    Raises:
        Interrupted: After a signal; finished parts stay.
    """
    parts = parts_of(groups)
    wanted = [part for group in groups for part in group.everything]
    for line in [*store.drop_damaged(wanted), *store.strangers(wanted)]:
        progress.say(line)
    todo = []
    done = {}
    for index, group in enumerate(groups):
        done[index] = len(group.parts) - len(store.missing(group.parts))
        if store.missing(group.everything):
            todo.append(index)

    def on_part(position: int, note: str) -> None:
        index = todo[position]
        size = len(groups[index].parts)
        if not note:
            done[index] = size
        elif note.startswith(PART_MADE):
            done[index] = min(size, done[index] + 1)
        note = note.removeprefix(PART_MADE)
        progress.step(task, sum(done.values()), len(parts), note)

    progress.step(task, sum(done.values()), len(parts))
    engine.run([groups[index].task for index in todo], on_part)


def parts_of(groups: Iterable[Group[Any]]) -> list[Part]:
    """The results of these groups, in order."""
    found: list[Part] = []
    for group in groups:
        found += group.parts
    return found


def kinds_of_steps(groups: Iterable[Group[Any]]) -> set[str]:
    """What is trained for these groups, by the names that the estimates know."""
    found: set[str] = set()
    for group in groups:
        found |= set(group.shared_steps)
        for part in group.parts:
            found |= set(part.steps)
    return found


def read_all(groups: Iterable[Group[Any]], store: PartStore) -> list[list[FinishedPart]]:
    """The finished parts, group by group.

    Raises:
        PartError: If one is missing or damaged.
    """
    return [[store.read(part) for part in group.parts] for group in groups]


def plan_rows(
    groups: Sequence[Group[Any]], store: PartStore, speeds: Mapping[str, float] | None = None
) -> list[PlanRow]:
    """What is trained how often, which of it is finished, and an estimate for the rest.

    Args:
        groups: What the job needs.
        store: Where finished parts are.
        speeds: Seconds per step by what is trained; None gives no estimate.
    """
    rows: dict[str, list[float]] = {}
    for group in groups:
        missing = store.missing(group.parts)
        for part in group.parts:
            seconds = _seconds(part.steps, speeds) if part in missing else 0.0
            _add(rows, part.kind, 0 if part in missing else 1, seconds)
        begins = bool(store.missing(group.everything))
        for what, steps in group.shared_steps.items():
            seconds = _seconds({what: steps}, speeds) if begins else 0.0
            _add(rows, what, 0 if begins else 1, seconds)
    found = []
    for what, (count, finished, seconds) in rows.items():
        estimate = None if speeds is None else seconds
        found.append(PlanRow(what, int(count), int(finished), estimate))
    return found


def estimated_seconds(
    groups: Sequence[Group[Any]], store: PartStore, speeds: Mapping[str, float], processes: int
) -> float:
    """Wall-clock seconds for what is missing, with so many groups made at the same time."""
    waiting = []
    for group in groups:
        if store.missing(group.everything):
            total = _seconds(group.shared_steps, speeds)
            for part in store.missing(group.parts):
                total += _seconds(part.steps, speeds)
            waiting.append(total)
    rounds = math.ceil(len(waiting) / max(1, processes))
    return rounds * sum(waiting) / len(waiting) if waiting else 0.0


def fit_budget(
    estimate: Callable[[int, float], float],
    budget: float,
    replicates: int,
    shares: Sequence[float] = SHARES_OF_STEPS,
) -> tuple[int, float] | None:
    """The most replicates, then the most steps, that fit a time budget.

    Args:
        estimate: Seconds for so many replicates with so large a part of the steps.
        budget: Seconds.
        replicates: The most to ask for.
        shares: Parts of the steps that may be taken, the largest first.

    Returns:
        Replicates and the part of the steps; None if nothing fits.

    Example:
        >>> fit_budget(lambda replicates, share: 60 * replicates * share, 240, 10)
        (4, 1.0)
        >>> fit_budget(lambda replicates, share: 60 * replicates * share, 100, 10)
        (3, 0.5)
    """
    for share in shares:
        for count in range(replicates, min(FEWEST_REPLICATES, replicates) - 1, -1):
            if estimate(count, share) <= budget:
                return count, share
    return None


def _seconds(steps: Mapping[str, int], speeds: Mapping[str, float] | None) -> float:
    total = 0.0
    for what, count in steps.items():
        total += count * (speeds or {}).get(what, 0.0)
    return total


def _add(rows: dict[str, list[float]], what: str, finished: int, seconds: float) -> None:
    row = rows.setdefault(what, [0, 0, 0.0])
    row[0] += 1
    row[1] += finished
    row[2] += seconds
