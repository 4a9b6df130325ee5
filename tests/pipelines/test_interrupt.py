from __future__ import annotations

import contextlib
import os
import pickle
import signal
import threading
from collections.abc import Iterator

import pytest

from pipelines.interrupt import Interrupted, watch_signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_for_the_next_check(number: signal.Signals) -> None:
    with watch_signals() as watch:
        watch.check()
        os.kill(os.getpid(), number)
        done = sum(range(10))  # work goes on until the job looks
        with pytest.raises(Interrupted) as caught:
            watch.check()
    assert done == 45
    assert caught.value.signum == number
    assert str(caught.value) == f"stopped by {number.name}"


def test_handlers_are_restored_whatever_happens() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with contextlib.suppress(KeyError), watch_signals():
        assert signal.getsignal(signal.SIGTERM) != before[1]
        raise KeyError
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


@pytest.fixture
def pythons_own_ctrl_c() -> Iterator[None]:
    """Python's handler of SIGINT, which it does not install where the shell started the tests in the background."""
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, former)


@pytest.mark.usefixtures("pythons_own_ctrl_c")
def test_a_second_ctrl_c_does_not_wait() -> None:
    with watch_signals() as watch:
        os.kill(os.getpid(), signal.SIGINT)
        assert watch.signum == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_an_inner_watch_stops_the_inner_job_and_leaves_the_outer_handlers() -> None:
    with watch_signals() as outer:
        with watch_signals() as inner:
            os.kill(os.getpid(), signal.SIGTERM)
            with pytest.raises(Interrupted):
                inner.check()
        outer.check()
        os.kill(os.getpid(), signal.SIGTERM)
        assert outer.signum == signal.SIGTERM


def test_outside_the_main_thread_the_watch_is_silent() -> None:
    found: list[int | None] = []

    def work() -> None:
        with watch_signals() as watch:
            watch.check()
            found.append(watch.signum)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [None]


def test_the_number_survives_the_way_between_processes() -> None:
    again = pickle.loads(pickle.dumps(Interrupted(signal.SIGTERM)))
    assert again.signum == signal.SIGTERM
