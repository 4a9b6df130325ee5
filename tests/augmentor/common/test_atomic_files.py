from __future__ import annotations

import errno
import hashlib
import os
import stat
from pathlib import Path

import pytest

from augmentor.common import atomic_files


def test_write_bytes_replaces_the_whole_content(tmp_path: Path) -> None:
    path = tmp_path / "a"
    atomic_files.write_bytes(path, b"long old content")
    atomic_files.write_bytes(path, b"new")
    assert path.read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_mode_is_that_of_an_ordinary_new_file(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        atomic_files.write_bytes(tmp_path / "a", b"x")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


def test_a_full_disk_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    atomic_files.write_bytes(path, b"old")

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(atomic_files.DiskFullError, match="disk full: 3 bytes are needed"):
        atomic_files.write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_content_reaches_the_disk_before_the_rename(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (events.append("fsync"), fsync(handle))[1])
    monkeypatch.setattr(
        Path, "replace", lambda self, to: (events.append("rename"), replace(self, to))[1]
    )
    atomic_files.write_bytes(tmp_path / "a", b"x")
    assert events == ["fsync", "rename", "fsync"]


def test_a_long_name_is_no_obstacle(tmp_path: Path) -> None:
    atomic_files.write_bytes(tmp_path / ("n" * 250), b"x")
    assert (tmp_path / ("n" * 250)).read_bytes() == b"x"


def test_missing_folder_raises(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        atomic_files.write_bytes(tmp_path / "no" / "a", b"x")


def test_json_is_sorted_utf8_and_refuses_nan(tmp_path: Path) -> None:
    atomic_files.write_json(tmp_path / "a.json", {"b": 1, "a": "é"})
    assert (tmp_path / "a.json").read_bytes() == '{\n  "a": "é",\n  "b": 1\n}\n'.encode()
    with pytest.raises(ValueError, match="JSON"):
        atomic_files.write_json(tmp_path / "a.json", {"b": float("nan")})
    assert "é" in (tmp_path / "a.json").read_text("utf-8")


def test_publish_folder_moves_the_tree(tmp_path: Path) -> None:
    temporary = tmp_path / "t"
    (temporary / "deep").mkdir(parents=True)
    (temporary / "deep" / "f").write_text("x")
    atomic_files.publish_folder(temporary, tmp_path / "final")
    assert (tmp_path / "final" / "deep" / "f").read_text() == "x"
    assert not temporary.exists()


def test_publish_folder_never_overwrites_content(tmp_path: Path) -> None:
    for name in ("t", "final"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "f").write_text(name)
    with pytest.raises(OSError, match="not empty"):
        atomic_files.publish_folder(tmp_path / "t", tmp_path / "final")
    assert (tmp_path / "final" / "f").read_text() == "final"
    assert (tmp_path / "t" / "f").read_text() == "t"


def test_sha256_of(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert atomic_files.sha256_of(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()
