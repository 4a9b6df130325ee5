"""Ctrl-C and SIGTERM as a flag that a job looks at between two steps, so that it can save first."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
ANSWERED = 2.0
"""Seconds that the answer to a signal may take: saving nothing, closing files, a sentence."""


class Interrupted(
    BaseException
):  # a request, as KeyboardInterrupt is: who catches errors must not swallow it
    """The user or the system asked to stop.

    Args:
        signum: Number of the signal; the exit code is 128 more.
        kept: What was saved and how to go on, for the message.
    """

    def __init__(self, signum: int, kept: str = "") -> None:
        stopped = f"stopped by {signal.Signals(signum).name}"
        super().__init__(f"{stopped}; {kept}" if kept else stopped)
        self.signum, self.kept = signum, kept

    def __reduce__(self) -> tuple[type[Interrupted], tuple[int, str]]:
        """Keep both when the exception crosses a process border."""
        return type(self), (self.signum, self.kept)


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
    """The watch's ``check`` as a training's hook, whatever that tells of its steps; None where
    nobody watches.
    """
    return None if watch is None else lambda *told: watch.check()


@dataclass
class SignalGate:
    """Whether a signal may raise.

    Args:
        is_open: Set to False, by an assignment alone, where an exception is answered: a call could
            be interrupted.
        last: When a signal raised last, in seconds of the monotonic clock.
    """

    is_open: bool = True
    last: float = -math.inf

    def stop(self, signum: int, frame: FrameType | None) -> None:
        """A handler that raises, unless a signal did so a moment ago and is still being
        answered.
        """
        now = time.monotonic()
        if self.is_open and now - self.last > ANSWERED:
            self.last = now
            raise KeyboardInterrupt if signum == signal.SIGINT else Interrupted(signum)


@contextmanager
def signals_raise(*, restore: bool = True) -> Iterator[SignalGate]:
    """Let SIGINT raise ``KeyboardInterrupt`` and SIGTERM ``Interrupted`` where no job watches for
    them.

    A second signal within two seconds of one that raised does nothing: it would else end the
    process without a sentence and with another exit code. A signal that this process was started to
    ignore stays ignored. Outside the main thread Python allows no handlers, so there nothing
    changes.

    Args:
        restore: Put the former handlers back at the end; otherwise both signals are ignored from
            there on, for a process that has only to exit.

    Yields:
        What shuts signals out before that, where an exception is answered.
    """
    gate = SignalGate()
    if threading.current_thread() is not threading.main_thread():
        yield gate
        return
    former = {number: signal.signal(number, gate.stop) for number in _heard()}
    try:
        yield gate
    finally:
        gate.is_open = False
        for number, handler in former.items():
            signal.signal(number, handler if restore else signal.SIG_IGN)


def _heard() -> list[signal.Signals]:
    """The signals that this process was not started to ignore, as one in the background is."""
    return [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]


@contextmanager
def watch_signals() -> Iterator[Watch]:
    """Note SIGINT and SIGTERM instead of dying from them; a second one falls back to the former
    handling.

    Outside the main thread Python allows no handlers, so there the watch stays silent.

    Yields:
        The watch; call its ``check`` between steps.
    """
    watch = Watch()
    if threading.current_thread() is not threading.main_thread():
        yield watch
        return
    former = {number: signal.getsignal(number) for number in _heard()}

    def note(signum: int, frame: FrameType | None) -> None:
        watch.signum = signum
        for number, handler in former.items():  # whoever presses twice does not want to wait
            signal.signal(number, handler)

    for number in former:
        signal.signal(number, note)
    try:
        yield watch
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
