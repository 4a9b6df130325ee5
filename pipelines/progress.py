"""How a job tells the person waiting what it is doing; the job itself never knows where the words
go.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID


class Progress(Protocol):
    """What a job calls while it works."""

    def step(self, task: str, done: int, total: int, note: str = "") -> None:
        """Report that ``done`` of ``total`` parts of ``task`` are finished; ``note`` is shown
        beside it.
        """

    def say(self, line: str) -> None:
        """Show one line that stays."""


class Silent:
    """Shows nothing."""

    def step(self, task: str, done: int, total: int, note: str = "") -> None:
        """Ignore a step."""

    def say(self, line: str) -> None:
        """Ignore a line."""


@dataclass
class Lines:
    """One plain line every few seconds, for logs and pipes.

    Args:
        stream: Where the lines go; standard error unless given.
        every: Seconds between two lines of one task. The first and the last step are always shown.
    """

    stream: TextIO | None = None
    every: float = 5.0
    _shown: dict[str, float] = field(default_factory=dict)

    def step(self, task: str, done: int, total: int, note: str = "") -> None:
        """Write a line if the last one of this task is ``every`` seconds ago."""
        now = time.monotonic()
        if done < total and now - self._shown.get(task, float("-inf")) < self.every:
            return
        self._shown[task] = now
        self.say(f"{task}: {done}/{total}" + (f"  {note}" if note else ""))

    def say(self, line: str) -> None:
        """Write a line at once."""
        print(line, file=self.stream or sys.stderr, flush=True)


@dataclass
class Bars:
    """One bar per task on a terminal, drawn by rich; ``show`` makes and removes it."""

    bars: RichProgress
    _tasks: dict[str, TaskID] = field(default_factory=dict)

    def step(self, task: str, done: int, total: int, note: str = "") -> None:
        """Move the bar of this task."""
        if task not in self._tasks:
            self._tasks[task] = self.bars.add_task(task, total=total, note="")
        self.bars.update(self._tasks[task], completed=done, total=total, note=note)

    def say(self, line: str) -> None:
        """Print a line above the bars."""
        self.bars.console.print(line, markup=False, highlight=False)


@contextmanager
def show(stream: TextIO | None = None) -> Iterator[Progress]:
    """Bars where ``stream`` (standard error unless given) is a terminal, plain lines elsewhere.

    Yields:
        The progress to hand to a job; its bars are removed at the end.
    """
    stream = stream or sys.stderr
    if not stream.isatty():
        yield Lines(stream)
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Progress(*columns, console=Console(file=stream)) as bars:
        yield Bars(bars)
