"""What all tests share: one thread, no network, small folders of images, and the data root where
there is one."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

# Before anything imports them: albumentations asks the registry for news, timm retries downloads
# for minutes.
os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import pytest
import torch
from hypothesis import settings
from PIL import Image

from pipelines.experiment import engine

# The same examples everywhere, and no failure because a machine is busy.
settings.register_profile("augmentor", derandomize=True, deadline=None, print_blob=False)
settings.load_profile("augmentor")


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """More threads make small tensors slower, and sums in another order."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def _one_core() -> Iterator[None]:
    """Jobs work in the test's own process, where they can be patched, unless a test asks for
    more."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.experiment.parallelism.usable_cores", lambda: 1)
        yield


@pytest.fixture(autouse=True, scope="session")
def _one_template() -> Iterator[None]:
    """Workers are copies of one process per session, and the first to ask decides what it imports:
    here always what jobs need, so that the copies do not import it again."""
    with pytest.MonkeyPatch.context() as patch:
        start = engine._template_runs
        patch.setattr(engine, "_template_runs", lambda _: start("pipelines.gain.run"))
        yield


@pytest.fixture(autouse=True, scope="session")
def _no_network() -> Iterator[None]:
    """A test that reaches out of this machine fails at once instead of hanging, on any machine."""
    connect = socket.socket.connect

    def refuse(self: socket.socket, address: object) -> None:
        if self.family == socket.AF_UNIX or str(address).startswith("('127.0.0.1', "):
            return connect(self, address)  # type: ignore[arg-type]
        raise OSError(f"a test tried to reach {address}")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", refuse)
        yield


@pytest.fixture(autouse=True)
def _no_debug(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AUGMENTOR_DEBUG", raising=False)
    monkeypatch.delenv("AUGMENTOR_QUIET", raising=False)


@pytest.fixture
def real_data() -> Path:
    """The folder of real data sets; tests that need it are skipped where it is not named."""
    root = os.environ.get("AUGMENTOR_DATA")
    if not root or not Path(root).is_dir():
        pytest.skip("AUGMENTOR_DATA names no folder of data sets")
    return Path(root).resolve()


MakeFolder = Callable[..., Path]


@pytest.fixture
def make_folder() -> MakeFolder:
    """Writes PNG files of noise, a folder a class: ``make_folder(root, {"cat": 3, "dog": 2},
    size=(12, 10))``."""

    def make(
        root: Path,
        counts: Mapping[str, int],
        size: tuple[int, int] = (8, 8),
        mode: str = "RGB",
        seed: int = 0,
    ) -> Path:
        rng = np.random.default_rng(seed)
        for name, count in counts.items():
            (root / name).mkdir(parents=True)
            for index in range(count):
                shape = (size[1], size[0]) if mode == "L" else (size[1], size[0], 3)
                Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(
                    root / name / f"{index}.png"
                )
        return root

    return make
