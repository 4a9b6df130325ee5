from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from augmentor.common.given_files import (
    UnusableFileError,
    leads_outside,
    open_given,
    read_bytes,
    read_text,
)


@pytest.fixture(autouse=True)
def _a_minute() -> Iterator[None]:
    """A reader that waits for a writer fails its test instead of hanging it."""

    def late(*_: object) -> None:
        raise TimeoutError("still reading after a minute")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def pipe(path: Path) -> None:
    os.mkfifo(path)


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("make", [pipe, endless, Path.mkdir])
def test_only_regular_files_are_opened(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "f")
    with pytest.raises(UnusableFileError, match="not a regular file"):
        open_given(tmp_path / "f")


def test_a_loop_of_links_is_an_os_error(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match="symbolic links"):
        open_given(tmp_path / "a")
    assert not leads_outside(tmp_path / "a", tmp_path)


def test_the_size_is_checked_before_and_while_reading(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"12345")
    assert read_bytes(path, 5) == b"12345"
    with pytest.raises(UnusableFileError, match="larger than 4 bytes"):
        read_bytes(path, 4)
    with path.open("wb") as file:
        file.truncate(2**40)  # takes no room on the disk
    with pytest.raises(UnusableFileError, match="larger than 32 MiB"):
        read_text(path)
    # A file of the system says that it has 0 bytes, and has more.
    with pytest.raises(UnusableFileError, match="larger than 3 bytes"):
        read_bytes(Path("/proc/self/status"), 3)


def test_links_inside_a_folder_are_followed_and_no_others(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "deep").mkdir(parents=True)
    (tmp_path / "secret").write_text("s")
    (home / "own").write_text("o")
    (home / "in").symlink_to("own")
    (home / "out").symlink_to("../secret")
    (home / "deep" / "up").symlink_to("..")
    (home / "away").symlink_to("..")
    assert read_text(home / "in", inside=home) == "o"
    assert read_text(home / "deep" / "up" / "own", inside=home) == "o"
    for name in ("out", "away/secret", "../secret"):
        with pytest.raises(UnusableFileError, match="leads outside the folder"):
            read_text(home / name, inside=home)
    linked = tmp_path / "linked"
    linked.symlink_to("home")  # the folder itself may be a link
    assert read_text(linked / "in", inside=linked) == "o"


def test_text_has_the_line_breaks_of_this_system(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"a\r\nb\rc\n\xff")
    assert read_text(tmp_path / "f", errors="replace") == "a\nb\nc\n\ufffd"
    with pytest.raises(UnicodeDecodeError):
        read_text(tmp_path / "f")
