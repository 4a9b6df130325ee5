"""Child processes forked from the warm test process, so that a kill costs no import of torch."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Child:
    """A forked process.

    Args:
        pid: Its id.
        output: Where its standard output and error go.
        code: Exit code once it has ended, minus the signal's number if one ended it.
    """

    pid: int
    output: Path
    code: int | None = None

    def poll(self) -> int | None:
        """The exit code, or None while it runs."""
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
        return self.code

    def wait(self, timeout: float = 120.0) -> int:
        """Wait for the end; a process that outlives ``timeout`` seconds is killed and the test
        fails."""
        end = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > end:
                self.kill()
                raise AssertionError(f"still running after {timeout} s: {self.text()[-2000:]}")
            time.sleep(0.002)
        return code

    def send(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> int:
        """kill -9, and the exit code; -9 if it was still running."""
        self.send(signal.SIGKILL)
        return self.wait()

    def text(self) -> str:
        """What it has printed so far."""
        return self.output.read_text(encoding="utf-8", errors="replace")


def fork(work: Callable[[], object], output: Path) -> Child:
    """Run ``work`` in a forked copy of this process.

    Args:
        work: May be a closure. What it returns, if an int, is the exit code, else 0; an exception
            prints its traceback and exits with 99.
        output: File for what the child prints.
    """
    output.write_bytes(b"")
    sys.stdout.flush()
    sys.stderr.flush()
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", DeprecationWarning
        )  # pytest's own idle threads; the child never needs them
        pid = os.fork()
    if pid:
        return Child(pid, output)
    code = 99
    try:
        os.setsid()  # so that its own children can be found
        _redirect(output)
        result = work()
        code = result if isinstance(result, int) else 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def session_of(pid: int) -> list[int]:
    """The processes that a forked child has left behind, a moment after its end: one that was still
    importing torch looks up only then, which takes a busy machine more than ten seconds."""
    end = time.monotonic() + 30
    while (left := _in_session(pid)) and time.monotonic() < end:
        time.sleep(0.05)
    return left


def _in_session(pid: int) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue  # it has just ended
        if int(session) == pid and state != "Z":
            found.append(int(folder.name))
    return found


def _redirect(output: Path) -> None:
    """Give the child standard streams of its own; pytest's replacements point into the parent's
    capture."""
    handle = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(
            number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        )
