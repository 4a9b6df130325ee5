from __future__ import annotations

import multiprocessing
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from augmentor.common.types import DataError
from augmentor.data.fingerprint import fingerprints, from_uint8
from augmentor.data.lazy_images import LazyImages
from pipelines.check import check_data
from pipelines.config import DataConfig
from pipelines.data import decoded, full, pixel_file
from pipelines.data.decoded import cache_folder, decoded_squares
from pipelines.datasets import load_data
from pipelines.experiment.setting import Setting, setting_of
from pipelines.image_folder import read_squares

MakeFolder = Callable[..., Path]
LITTLE = 1e-5  # GB


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AUGMENTOR_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "decoded"


@pytest.fixture
def photos(tmp_path: Path, make_folder: MakeFolder) -> Path:
    return make_folder(tmp_path / "photos", {"cat": 20, "dog": 16}, size=(20, 18))


def on_disk(photos: Path, **settings: object) -> DataConfig:
    return DataConfig(data=str(photos), size=16, memory=LITTLE, **settings)  # type: ignore[arg-type]


def files_of(photos: Path) -> list[Path]:
    return sorted(photos.rglob("*.png"))


def squares(photos: Path, decodings: list[int] | None = None) -> torch.Tensor:
    def step(done: int, total: int) -> None:
        if decodings is not None:
            decodings.append(done)

    found, bad = decoded_squares(files_of(photos), size=16, grey=False, most=10**9, step=step)
    assert bad == []
    return found


def test_a_folder_from_disk_is_the_folder_in_memory(photos: Path) -> None:
    data = DataConfig(data=str(photos), size=16, per_class=8, unlabelled="rest")
    memory = load_data(data, 1)
    disk = load_data(data.model_copy(update={"memory": LITTLE}), 1)
    assert "read from disk as they are used" in disk.note
    assert "disk" not in memory.note
    assert type(disk.test.x) is LazyImages
    assert type(memory.test.x) is torch.Tensor
    assert disk.pool is not None
    assert memory.pool is not None
    for ours, theirs in (
        (disk.train.x, memory.train.x),
        (disk.test.x, memory.test.x),
        (disk.pool, memory.pool),
    ):
        assert torch.equal(ours.clone(), theirs)
    assert torch.equal(disk.train.y, memory.train.y)


def test_the_cut_is_a_part_of_the_memory_there_is(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(full, "memory_bytes", lambda: 4 * 36 * 3 * 256 * 5)
    data = DataConfig(data=str(photos), size=16)
    assert type(load_data(data, 0).test.x) is torch.Tensor
    monkeypatch.setattr(full, "memory_bytes", lambda: 4 * 36 * 3 * 256 * 5 - 4)
    assert type(load_data(data, 0).test.x) is LazyImages


def test_what_is_trained_does_not_depend_on_where_images_lie(photos: Path) -> None:
    def described(data: DataConfig) -> object:
        setting: Setting = setting_of(config_of(data))
        return setting.data_description()

    assert described(on_disk(photos)) == described(DataConfig(data=str(photos), size=16))


def config_of(data: DataConfig) -> object:
    from pipelines.config import Config

    return Config(data=data)


def test_images_of_another_folder_of_unlabelled_ones_are_read_from_disk_too(
    photos: Path, tmp_path: Path, make_folder: MakeFolder
) -> None:
    pool = make_folder(tmp_path / "pool", {"any": 12}, size=(20, 20), seed=1)
    data = on_disk(photos, unlabelled=str(pool))
    disk = load_data(data, 0).pool
    memory = load_data(data.model_copy(update={"memory": None}), 0).pool
    assert disk is not None
    assert memory is not None
    assert torch.equal(disk.clone(), memory)
    assert len(list(cache_folder().glob("*.pixels"))) == 3


def test_files_are_decoded_once(photos: Path, cache: Path) -> None:
    decodings: list[int] = []
    first, second = squares(photos, decodings), squares(photos, decodings)
    assert decodings == [*range(1, 37)]
    assert torch.equal(first.clone(), second.clone())
    assert [path.suffix for path in sorted(cache.iterdir())] == [".lock", ".pixels"]


def test_a_changed_file_is_decoded_again(photos: Path) -> None:
    decodings: list[int] = []
    squares(photos, decodings)
    Image.fromarray(np.full((18, 20, 3), 7, np.uint8)).save(files_of(photos)[3])
    assert fingerprints(squares(photos, decodings)[3:4]) == fingerprints(
        torch.full((1, 3, 16, 16), 7, dtype=torch.uint8)
    )
    assert len(decodings) == 72


def the_file(cache: Path) -> Path:
    (path,) = cache.glob("*.pixels")
    return path


@pytest.mark.parametrize("where", [0, 16 * 16 * 3 * 4 + 5])
def test_a_damaged_image_is_noticed_when_it_is_read(photos: Path, cache: Path, where: int) -> None:
    squares(photos)
    data = bytearray(the_file(cache).read_bytes())
    data[where] ^= 4
    the_file(cache).write_bytes(data)
    found = squares(photos)
    damaged = where // (16 * 16 * 3)
    assert torch.equal(found[damaged + 1 :], squares(photos)[damaged + 1 :])
    with pytest.raises(DataError, match=f"image {damaged} of these decoded images was damaged"):
        found[damaged]
    assert not list(cache.glob("*.pixels"))
    wanted, _ = read_squares(files_of(photos), size=16, grey=False)
    assert torch.equal(squares(photos).clone(), from_uint8(wanted))


@pytest.mark.parametrize("way", ["cut off", "longer", "a checksum", "the seal", "empty", "a pipe"])
def test_a_damaged_file_is_made_again(photos: Path, cache: Path, way: str) -> None:
    wanted = squares(photos).clone()
    path = the_file(cache)
    data = bytearray(path.read_bytes())
    if way in ("a checksum", "the seal"):
        data[-33 if way == "a checksum" else -1] ^= 1
    changed = {"cut off": data[:-5], "longer": data + b"x", "empty": b""}.get(way, data)
    path.unlink()
    if way == "a pipe":
        os.mkfifo(path)
    else:
        path.write_bytes(changed)
    decodings: list[int] = []
    assert torch.equal(squares(photos, decodings).clone(), wanted)
    assert len(decodings) == 36


def test_images_that_cannot_be_read_are_told_every_time(photos: Path, cache: Path) -> None:
    damaged = files_of(photos)[5]
    damaged.write_bytes(damaged.read_bytes()[:60])
    for _ in range(2):
        found, bad = decoded_squares(files_of(photos), size=16, grey=False, most=10**9)
        assert [one.path for one in bad] == [damaged]
        assert torch.equal(found[5], torch.full((3, 16, 16), -1.0))
        assert len(found[6:].clone()) == 30
        assert not [path for path in cache.iterdir() if path.suffix != ".lock"]


def test_a_killed_process_leaves_nothing_in_the_way(
    photos: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = decoded.read_squares

    def killed(paths: list[Path], **form: object) -> object:
        if paths[0] == files_of(photos)[9]:
            os._exit(9)
        return read(paths, **form)  # type: ignore[arg-type]

    if (child := os.fork()) == 0:
        monkeypatch.setattr(decoded, "read_squares", killed)
        squares(photos)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert list(cache.glob(".*.tmp"))
    assert len(squares(photos).clone()) == 36
    assert [path.suffix for path in sorted(cache.iterdir())] == [".lock", ".pixels"]


def _decode(photos: Path, start: object, told: object) -> None:
    start.wait()  # type: ignore[attr-defined]
    decodings: list[int] = []
    found = squares(photos, decodings)
    told.put((len(decodings), fingerprints(found).tolist()))  # type: ignore[attr-defined]


def test_of_two_processes_at_once_one_decodes_and_both_read(photos: Path) -> None:
    fork = multiprocessing.get_context("fork")
    start, told = fork.Barrier(2), fork.Queue()
    children = [fork.Process(target=_decode, args=(photos, start, told)) for _ in range(2)]
    for child in children:
        child.start()
    (first, ours), (second, theirs) = told.get(timeout=60), told.get(timeout=60)
    for child in children:
        child.join()
    assert sorted([first, second]) == [0, 36]
    wanted, _ = read_squares(files_of(photos), size=16, grey=False)
    assert ours == theirs == fingerprints(wanted).tolist()


def test_a_full_disk_and_a_closed_folder_are_told(
    photos: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        usage = type("Usage", (), {"free": 10})
        patch.setattr(pixel_file.shutil, "disk_usage", lambda path: usage)
        with pytest.raises(DataError, match=r"disk full: 27824 bytes are needed, 10 are free"):
            squares(photos)
    cache.parent.joinpath("file").write_text("")
    monkeypatch.setenv("AUGMENTOR_CACHE", str(cache.parent / "file"))
    with pytest.raises(DataError, match=r"name a folder with room by \$AUGMENTOR_CACHE"):
        squares(photos)


def test_what_was_not_used_for_long_is_removed(photos: Path, cache: Path) -> None:
    squares(photos)
    old, new = cache / "old.pixels", cache / "new.pixels"
    for path, days in ((old, 31), (new, 29)):
        path.write_bytes(b"")
        then = time.time() - days * 86_400
        os.utime(path, (then, then))
    the_one = next(path for path in cache.glob("*.pixels") if path not in (old, new))
    then = time.time() - 31 * 86_400
    os.utime(the_one, (then, then))
    squares(photos)  # in use: young again
    decoded_squares(files_of(photos)[:4], size=16, grey=False, most=10**9)
    assert not old.exists()
    assert new.exists()
    assert the_one.exists()


def test_to_another_machine_the_pixels_travel(photos: Path, cache: Path) -> None:
    found = squares(photos)
    sent = pickle.dumps(found[4:20])
    the_file(cache).unlink()
    assert torch.equal(pickle.loads(sent), found[4:20])
    everything = pickle.dumps(found)
    assert len(everything) < 2 * found.numel()
    assert torch.equal(pickle.loads(everything).clone(), found.clone())


def test_check_finds_the_same_on_disk(photos: Path) -> None:
    damaged = files_of(photos)[5]
    damaged.write_bytes(damaged.read_bytes()[:60])
    memory = check_data(DataConfig(data=str(photos), size=16)).to_json()
    disk = check_data(on_disk(photos)).to_json()
    remark, *others = disk.pop("remarks")
    assert "read from disk" in remark
    assert memory.pop("remarks", []) == others
    assert disk == memory


PEAK = """
import sys
from pathlib import Path
import torch
from downstream.evaluate import predict_logits
from downstream.train import TrainSettings
from downstream.trainer import ClassifierTrainer
from pipelines.config import DataConfig
from pipelines.datasets import load_data
from augmentor.data.fingerprint import fingerprints

def peak():
    (line,) = [one for one in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in one]
    return int(line.split()[1]) * 1024

torch.set_num_threads(1)
small = load_data(DataConfig(data=sys.argv[1], size=8, memory=1e-5), 0)
trainer = ClassifierTrainer(settings=TrainSettings(steps=1, batch_size=2))
trainer.train(small.train, 0)
before = peak()
bundle = load_data(DataConfig(data=sys.argv[1], size=256, memory=0.05), 0)
model = trainer.train(bundle.train, 0, augment=("classical",))
for part in torch.split(bundle.train.x, 64):
    part.mean()
print(before, peak(), bundle.train.x.numel() * 4, len(set(fingerprints(bundle.train.x).tolist())))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks Linux for the peak")
def test_training_takes_a_small_part_of_the_memory_of_all_images(tmp_path: Path) -> None:
    """0.9 GB as floats: with all of them in memory the process grows by that and more."""
    noise = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
    for number, (part, name) in enumerate([(p, n) for p in ("train", "test") for n in "ab"]):
        folder = tmp_path / "photos" / part / name
        folder.mkdir(parents=True)
        Image.fromarray(noise[number]).resize((256, 256)).save(folder / "0.png")
        for copy in range(1, 600 if part == "train" else 1):
            os.link(folder / "0.png", folder / f"{copy}.png")
    run = subprocess.run(
        [sys.executable, "-c", PEAK, str(tmp_path / "photos")],
        check=True,
        capture_output=True,
        text=True,
    )
    before, peak, floats, pictures = map(int, run.stdout.split())
    assert floats > 0.9e9
    assert pictures == 2
    assert peak - before < floats / 3
