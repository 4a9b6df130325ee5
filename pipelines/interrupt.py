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


@dataclass
class Ears:
    """Whether a signal may still raise.

    Args:
        are_open: Set to False, by an assignment alone, where an exception is answered: a call could be interrupted.
    """

    are_open: bool = True


@contextmanager
def first_signal_raises(*, restore: bool = True) -> Iterator[Ears]:
    """Let the first SIGINT or SIGTERM raise ``Interrupted`` where no job watches for it; later ones do nothing.

    A second one, sent while the first is answered, would else end the process without a sentence and with another exit
    code. A signal that this process was started to ignore stays ignored. Outside the main thread Python allows no
    handlers, so there nothing changes.

    Args:
        restore: Put the former handlers back at the end; otherwise both signals are ignored from there on, for a
            process that has only to exit.

    Yields:
        What closes the ears before that, where something else has raised.
    """
    ears = Ears()
    if threading.current_thread() is not threading.main_thread():
        yield ears
        return

    def stop(signum: int, frame: FrameType | None) -> None:
        if ears.are_open:
            ears.are_open = False
            raise Interrupted(signum)

    heard = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    former = {number: signal.signal(number, stop) for number in heard}
    try:
        yield ears
    finally:
        ears.are_open = False
        for number in heard:
            signal.signal(number, former[number] if restore else signal.SIG_IGN)


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
