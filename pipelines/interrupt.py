"""Ctrl-C and SIGTERM as a flag that a job looks at between two steps, so that it can save first."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(Exception):  # noqa: N818 - a request, not an error
    """The user or the system asked to stop.

    Args:
        signum: Number of the signal; the exit code is 128 more.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signum).name}")
        self.signum = signum

    def __reduce__(self) -> tuple[type[Interrupted], tuple[int]]:
        """Keep the number when the exception crosses a process border."""
        return type(self), (self.signum,)


@dataclass
class Watch:
    """Whether a signal has come.

    Args:
        signum: The first signal that came, or None.
    """

    signum: int | None = None

    def check(self) -> None:
        """Raise if a signal has come.

        Raises:
            Interrupted: With the number of the signal.
        """
        if self.signum is not None:
            raise Interrupted(self.signum)


def on_step(watch: Watch | None) -> Callable[..., None] | None:
    """The watch's ``check`` as a training's hook, whatever that tells of its steps; None where nobody watches."""
    return None if watch is None else lambda *told: watch.check()


@contextmanager
def sigterm_raises() -> Iterator[None]:
    """Let SIGTERM raise ``Interrupted`` where no job watches for it, as Ctrl-C raises ``KeyboardInterrupt`` there.

    Outside the main thread Python allows no handlers, so there nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(signum: int, frame: FrameType | None) -> None:
        raise Interrupted(signum)

    former = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)


@contextmanager
def watch_signals() -> Iterator[Watch]:
    """Note SIGINT and SIGTERM instead of dying from them; a second one falls back to the former handling.

    Outside the main thread Python allows no handlers, so there the watch stays silent.

    Yields:
        The watch; call its ``check`` between steps.
    """
    watch = Watch()
    if threading.current_thread() is not threading.main_thread():
        yield watch
        return
    former = {number: signal.getsignal(number) for number in SIGNALS}

    def note(signum: int, frame: FrameType | None) -> None:
        watch.signum = signum
        for number in SIGNALS:  # whoever presses twice does not want to wait
            signal.signal(number, former[number])

    for number in SIGNALS:
        signal.signal(number, note)
    try:
        yield watch
    finally:
        for number in SIGNALS:
            signal.signal(number, former[number])
