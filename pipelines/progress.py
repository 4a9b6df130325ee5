"""How a job tells the person waiting what it is doing; the job itself never knows where the words
go.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID


QUIET = "AUGMENTOR_QUIET"
"""Of the environment: set by ``--quiet``, and known to worker processes so."""


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
    """One plain line every few seconds, for logs and pipes, with the time that is past and about
    the time that is left.

    Args:
        stream: Where the lines go; standard error unless given.
        every: Seconds between two lines of one task. The first and the last step are always shown.
    """

    stream: TextIO | None = None
    every: float = 5.0
    _shown: dict[str, float] = field(default_factory=dict)
    _began: dict[str, tuple[float, int]] = field(default_factory=dict)
    _done: dict[str, int] = field(default_factory=dict)

    def step(self, task: str, done: int, total: int, note: str = "") -> None:
        """Write a line if the last one of this task is ``every`` seconds ago."""
        now = time.monotonic()
        if done < self._done.get(task, 0):  # a task of the same name begins again
            del self._began[task]
        self._done[task] = done
        start, first = self._began.setdefault(task, (now, done))
        if done < total and now - self._shown.get(task, float("-inf")) < self.every:
            return
        self._shown[task] = now
        self.say(
            f"{task}: {done}/{total}{_times(now - start, done - first, total - done)}"
            + (f"  {note}" if note else "")
        )

    def say(self, line: str) -> None:
        """Write a line at once."""
        print(line, file=self.stream or sys.stderr, flush=True)


def _times(past: float, done: int, left: int) -> str:
    """``, 0:40, about 1:20 left`` after so many seconds; nothing in the first."""
    if past < 1:
        return ""
    ahead = f", about {clock(past / done * left)} left" if done and left else ""
    return f", {clock(past)}{ahead}"


def clock(seconds: float) -> str:
    """Seconds as ``2:05`` or ``1:02:05``.

    Example:
        >>> clock(125), clock(3725)
        ('2:05', '1:02:05')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


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
    """Bars where ``stream`` (standard error unless given) is a terminal, plain lines elsewhere,
    nothing where ``QUIET`` is set.

    Yields:
        The progress to hand to a job; its bars are removed at the end.
    """
    stream = stream or sys.stderr
    if os.environ.get(QUIET):
        yield Silent()
        return
    if not stream.isatty():
        yield Lines(stream)
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Progress(*columns, console=Console(file=stream)) as bars:
        yield Bars(bars)
