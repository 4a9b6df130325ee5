from __future__ import annotations

import contextlib
import os
import pickle
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from pipelines import interrupt
from pipelines.interrupt import SIGNALS as NUMBERS
from pipelines.interrupt import Interrupted, signals_raise, watch_signals


@pytest.fixture(autouse=True)
def pythons_own_ctrl_c() -> Iterator[None]:
    """Python's handler of SIGINT, which it does not install where the shell started the tests in
    the background."""
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, former)


@pytest.mark.parametrize("number", NUMBERS)
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


@pytest.fixture
def known_handlers() -> Iterator[list[Any]]:
    """Handlers that are none of Python's defaults, put in place for one test."""
    former = [signal.signal(number, lambda *told: None) for number in NUMBERS]
    yield [signal.getsignal(number) for number in NUMBERS]
    for number, handler in zip(NUMBERS, former, strict=True):
        signal.signal(number, handler)


@pytest.mark.parametrize("second", NUMBERS)
@pytest.mark.parametrize("first", NUMBERS)
def test_a_signal_raises_and_a_second_one_at_once_changes_nothing(
    first: signal.Signals, second: signal.Signals, known_handlers: list[Any]
) -> None:
    with signals_raise():
        with pytest.raises(KeyboardInterrupt if first == signal.SIGINT else Interrupted):
            os.kill(os.getpid(), first)
        os.kill(os.getpid(), second)
    assert [signal.getsignal(number) for number in NUMBERS] == known_handlers


def test_a_signal_that_was_swallowed_does_not_leave_the_process_deaf(
    known_handlers: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interrupt, "ANSWERED", 0.05)
    with signals_raise():
        with contextlib.suppress(Interrupted):
            os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.1)
        with pytest.raises(Interrupted):
            os.kill(os.getpid(), signal.SIGTERM)


def test_nothing_raises_while_an_exception_is_answered(known_handlers: list[Any]) -> None:
    with signals_raise() as gate:
        gate.is_open = False
        os.kill(os.getpid(), signal.SIGTERM)


def test_who_catches_errors_does_not_catch_a_request_to_stop() -> None:
    assert not issubclass(Interrupted, Exception)


def test_a_process_that_has_only_to_exit_hears_nothing_more(known_handlers: list[Any]) -> None:
    with signals_raise(restore=False):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    assert [signal.getsignal(number) for number in NUMBERS] == [signal.SIG_IGN] * 2


def test_a_signal_that_was_ignored_from_the_start_stays_so(known_handlers: list[Any]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with signals_raise(), watch_signals() as watch:
        os.kill(os.getpid(), signal.SIGINT)
        watch.check()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_a_job_that_watches_hears_the_first_and_the_second_raises(
    known_handlers: list[Any],
) -> None:
    with signals_raise(), watch_signals() as watch:
        os.kill(os.getpid(), signal.SIGTERM)
        assert watch.signum == signal.SIGTERM
        with pytest.raises(Interrupted):
            os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
