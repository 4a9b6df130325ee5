from __future__ import annotations

import time
from collections.abc import Callable

from pipelines.experiment.engine import Workers
from pipelines.interrupt import Watch


def talk(job: int, on_part: Callable[[str], None], watch: Watch | None) -> None:
    """A job that says many words, the last ones as it ends."""
    for number in range(job):
        on_part(f"word {number}")


def test_a_word_that_comes_late_is_not_about_the_next_jobs() -> None:
    heard: list[tuple[int, str]] = []
    with Workers(talk, 2, 1, Watch()) as workers:
        workers.run([1, 1], lambda index, word: None)
        assert workers._queue is not None
        workers._queue.put(((1, 1), "late"))
        time.sleep(0.2)  # the queue's own thread hands it on
        workers.run([2], lambda index, word: heard.append((index, word)))
    assert {index for index, _ in heard} == {0}
    assert "late" not in [word for _, word in heard]
    assert heard[-1] == (0, "")
