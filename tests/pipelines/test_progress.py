from __future__ import annotations

import io

import pytest

from pipelines import progress
from pipelines.progress import Bars, Lines, Silent, show


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_lines_show_the_first_and_last_step_and_one_every_few_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    stream = io.StringIO()
    lines = Lines(stream, every=5)
    for done in range(1, 9):
        lines.step("train", done, 8, note=f"loss {done}")
        now += 2
    lines.step("other", 1, 3)
    assert stream.getvalue().splitlines() == [
        "train: 1/8  loss 1",
        "train: 4/8, 0:06, about 0:08 left  loss 4",
        "train: 7/8, 0:12, about 0:02 left  loss 7",
        "train: 8/8, 0:14  loss 8",
        "other: 1/3",
    ]


def test_a_stream_that_is_no_terminal_gets_plain_lines() -> None:
    stream = io.StringIO()
    with show(stream) as shown:
        shown.say("hello")
        shown.step("train", 1, 2)
    assert stream.getvalue() == "hello\ntrain: 1/2\n"


def test_what_was_done_before_a_resume_took_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    stream = io.StringIO()
    lines = Lines(stream, every=0)
    lines.step("train", 900, 1000)
    now = 100.0
    lines.step("train", 950, 1000)
    assert stream.getvalue().splitlines()[-1] == "train: 950/1000, 1:40, about 1:40 left"


def test_a_task_that_begins_again_counts_its_own_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    stream = io.StringIO()
    lines = Lines(stream, every=0)
    for done, total in ((8, 10), (10, 10), (0, 4), (1, 4)):
        lines.step("screening", done, total)
        now += 30.0
    assert stream.getvalue().splitlines()[-2:] == [
        "screening: 0/4",
        "screening: 1/4, 0:30, about 1:30 left",
    ]


def test_a_quiet_job_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(progress.QUIET, "1")
    for stream in (io.StringIO(), Terminal()):
        with show(stream) as shown:
            shown.step("train", 1, 2)
            shown.say("hello")
        assert not stream.getvalue()


def test_a_terminal_gets_bars() -> None:
    stream = Terminal()
    with show(stream) as shown:
        assert isinstance(shown, Bars)
        shown.step("train", 1, 2, note="[loss] 0.5")
        shown.step("train", 2, 2)
        shown.say("[not markup]")
    assert "train" in stream.getvalue()
    assert "2/2" in stream.getvalue()
    assert "[not markup]" in stream.getvalue()


def test_silence_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    Silent().step("train", 1, 2)
    Silent().say("x")
    assert capsys.readouterr() == ("", "")
