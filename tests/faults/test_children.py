import os
import signal
import time

from tests.faults.children import fork


def test_a_child_runs_a_closure_prints_and_returns_its_code(tmp_path):
    seen = []
    child = fork(lambda: (seen.append(1), print("hello"), 7)[2], tmp_path / "out")
    assert child.wait() == 7
    assert child.text() == "hello\n"
    assert seen == []  # it was a copy


def test_an_exception_in_a_child_is_99_and_shown(tmp_path):
    child = fork(lambda: [][0], tmp_path / "out")
    assert child.wait() == 99
    assert "IndexError" in child.text()


def test_a_child_can_be_killed(tmp_path):
    child = fork(lambda: time.sleep(60), tmp_path / "out")
    assert child.poll() is None
    assert child.kill() == -signal.SIGKILL
    assert child.kill() == -signal.SIGKILL  # again: nothing else has been hit
    assert os.getpid() != child.pid
