"""Tasks for the tests of engines: numbers as parts, with workers that die when asked to."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from pipelines.experiment.engine import PART_MADE, Needs
from pipelines.experiment.parts import Part, PartStore, needs_of
from pipelines.experiment.plan import Group
from pipelines.interrupt import Watch


@dataclass(frozen=True)
class Numbers:
    """Writes numbers as parts, the second from a file beside it.

    Args:
        parts: One per number.
        folder: Of the store.
        beside: A file with a number that is added to all.
        deaths: A folder that all workers see: each file in it ends one worker.
        seconds: That each part takes.
    """

    parts: tuple[Part, ...]
    folder: Path
    beside: Path
    deaths: str = ""
    seconds: float = 0.0
    wrong: str = field(default="")

    def needs(self) -> Needs:
        return needs_of(self.parts, self.folder, beside=[self.beside])


def make_numbers(task: Numbers, on_part: Callable[[str], None], watch: Watch | None) -> None:
    store, more = PartStore(task.folder), int(task.beside.read_text())
    for part in task.parts:
        if store.has(part):
            continue
        for _ in range(int(task.seconds * 20)):
            time.sleep(0.05)
            if watch is not None:
                watch.check()
        if task.deaths:
            for path in sorted(Path(task.deaths).iterdir())[:1]:
                path.unlink(missing_ok=True)
                os._exit(9)
        if task.wrong:
            raise ValueError(task.wrong)
        number = part.description["n"] + more
        store.write(part, {"number": number}, seconds={}, device="cpu")
        on_part(PART_MADE + part.label)


def numbers(folder: Path, *values: int, **settings: object) -> Group[Numbers]:
    beside = folder.parent / "beside.txt"
    if not beside.exists():
        beside.write_text("1000")
    parts = tuple(Part("number", f"number {n}", {"n": n}) for n in values)
    return Group(Numbers(parts, folder, beside, **settings), parts)  # type: ignore[arg-type]


class Levels:
    """A source whose images are even levels of grey, told by the latent."""

    classes = ("a", "b", "c")
    image_shape = (1, 8, 8)
    latent_dim = 2

    def sample(self, y: Tensor, z: Tensor, condition: Tensor | None = None) -> Tensor:
        return (z[:, :1, None, None] / 4).clamp(-1, 1).expand(-1, 1, 8, 8).contiguous()
