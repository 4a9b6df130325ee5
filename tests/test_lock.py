"""The lock file holds every pinned version with its hashes, and no address."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PIN = re.compile(r"^([a-z0-9-]+)==(\S+)", re.MULTILINE)


def text_of(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def test_the_lock_holds_the_pinned_versions() -> None:
    locked = dict(PIN.findall(text_of("lock.txt")))
    pins = dict(PIN.findall(text_of("constraints.txt")))
    pins.pop("uv")  # it reads the lock
    stale = {name: version for name, version in pins.items() if locked.get(name) != version}
    assert stale == {}, "run `make lock`"


def test_every_locked_version_has_hashes() -> None:
    entries = re.split(r"\n(?=\S)", text_of("lock.txt").split("\n", 2)[2].strip())
    assert len(entries) > 100
    for entry in entries:
        first, *hashes = entry.split("\n")
        assert PIN.match(first), first
        assert hashes, first
        for line in hashes:
            assert re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}( \\)?", line), entry


def test_the_lock_names_no_address() -> None:
    assert not re.search(r"://|index|file:|find-links", text_of("lock.txt"))
