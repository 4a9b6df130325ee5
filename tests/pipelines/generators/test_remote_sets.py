"""Sets on a real S3 server: written by workers, killed with the server, read back."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from augmentor import SyntheticMix
from augmentor.common.types import DataError
from augmentor.data import mix_stream, remote_folder
from augmentor.data.draw_weights import mixed_draw_weights
from augmentor.data.remote_folder import RemoteFolder
from augmentor.data.remote_set import begin_remote_set, manifest_name, require_fitting_at
from augmentor.data.stored_set import StoredSet
from augmentor.data.synthetic_store import Recipe, read_set, trained_on_digest
from augmentor.sampling.synthesize import synthesize_set
from pipelines.config import ConfigError, EngineConfig
from pipelines.experiment.engine import engine_of
from pipelines.generators.places import place_for
from pipelines.generators.render_shards import ShardMaker, render_missing
from pipelines.interrupt import Interrupted, Watch
from tests.pipelines.experiment.travellers import Levels
from tests.s3_server import ACCOUNT, BUCKET, S3Server, s3_server

s3fs = pytest.importorskip("s3fs", reason="needs the extra cloud")
pytest.importorskip("moto", reason="needs moto, an S3 server")

SEEN = np.arange(3, dtype=np.int64)


pytestmark = pytest.mark.xdist_group("s3")  # one server


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with s3_server() as found, pytest.MonkeyPatch.context() as patch:
        for name, value in found.environment.items():
            patch.setenv(name, value)
        yield found


@pytest.fixture
def url(server: S3Server, request: pytest.FixtureRequest) -> str:
    return f"s3://{BUCKET}/{request.node.name}"


def recipe(seed: int = 0, per_class: int = 40) -> Recipe:
    counts = dict.fromkeys(Levels.classes, per_class)
    fixed = ("levels", "0" * 64, Levels.classes, Levels.image_shape, counts, seed, "none")
    return Recipe(*fixed, trained_on_digest(SEEN), format="shards", shard_size=16)


def make(
    url: str, staging: Path, made: Recipe, processes: int = 1, watch: Watch | None = None
) -> None:
    watch = watch or Watch()
    remote = RemoteFolder(url, watch.check)
    begun = begin_remote_set(remote, staging, made, SEEN)
    work = ShardMaker(Levels(), made, remote=remote)
    with engine_of(EngineConfig(), work, processes, 1, watch) as engine:
        render_missing(begun, engine, lambda done, total: watch.check(), remote=remote)


def local(folder: Path, made: Recipe) -> dict[str, bytes]:
    synthesize_set(Levels(), made, folder, SEEN)
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def remote_files(url: str) -> dict[str, bytes]:
    """The files of a set, without the manifests of its shards."""
    folder = RemoteFolder(url)
    return folder.read_all([name for name in folder.sizes() if "/" not in name])


@pytest.mark.parametrize("processes", [1, 2])
def test_a_set_on_a_server_has_the_bytes_of_one_on_a_disk(
    url: str, tmp_path: Path, processes: int
) -> None:
    make(url, tmp_path / "staging", recipe(), processes)
    assert remote_files(url) == local(tmp_path / "local", recipe())
    assert not list((tmp_path / "staging").iterdir())
    for reader in (read_set(url), StoredSet(url).in_memory()):
        assert torch.equal(reader.stored.pixels, read_set(tmp_path / "local").stored.pixels)
        assert reader.trained_on.tolist() == SEEN.tolist()


def test_every_shard_has_a_manifest_and_a_repeat_makes_what_is_missing(
    url: str, tmp_path: Path
) -> None:
    make(url, tmp_path / "staging", recipe())
    folder = RemoteFolder(url)
    before, wanted = folder.sizes(), remote_files(url)
    lines = folder.read_all([name for name in before if "/" in name])
    assert sorted(b"".join(lines.values()).split()) == sorted(wanted["manifest.jsonl"].split())
    files, path = folder._files("shard-00001-00001.tar")
    files.rm(path)
    files.rm(folder._files("manifest.jsonl")[1])
    begun = begin_remote_set(RemoteFolder(url), tmp_path / "staging", recipe(), SEEN)
    assert len(begun.shards) == 8
    assert (1, 1) not in begun.shards
    make(url, tmp_path / "staging", recipe())
    assert remote_files(url) == wanted


def test_a_damaged_manifest_of_a_shard_counts_as_missing(url: str, tmp_path: Path) -> None:
    make(url, tmp_path / "staging", recipe())
    folder = RemoteFolder(url)
    files, path = folder._files("manifest.jsonl")
    files.rm(path)
    folder.write(manifest_name(0, 0), b'{"half": ')
    begun = begin_remote_set(folder, tmp_path / "staging", recipe(), SEEN)
    assert set(begun.shards) == {(c, n) for c in range(3) for n in range(3)} - {(0, 0)}


def test_another_recipe_and_other_files_are_refused(url: str, tmp_path: Path) -> None:
    make(url, tmp_path / "staging", recipe())
    with pytest.raises(DataError, match="of another recipe \\(different: seed\\)"):
        make(url, tmp_path / "staging", recipe(seed=1))
    RemoteFolder(f"{url}-other").write("letter.txt", b"dear")
    with pytest.raises(DataError, match=r"holds other files \('letter.txt'"):
        make(f"{url}-other", tmp_path / "staging", recipe())
    require_fitting_at(RemoteFolder(url), recipe(seed=1), but=("seed",))
    with pytest.raises(DataError, match="different: seed"):
        require_fitting_at(RemoteFolder(url), recipe(seed=1))
    require_fitting_at(RemoteFolder(f"{url}-new"), recipe())
    assert not RemoteFolder(f"{url}-new").sizes()


def test_damaged_shards_are_named(url: str, tmp_path: Path) -> None:
    make(url, tmp_path / "staging", recipe())
    folder, name = RemoteFolder(url), "shard-00002-00000.tar"
    data = bytearray(folder.read(name))
    data[700] ^= 1
    folder.write(name, bytes(data))
    stored = StoredSet(url)
    assert stored[0].shape == (1, 8, 8)
    with pytest.raises(DataError, match=f"{name}: not the bytes that were written"):
        stored[len(stored) - 40]
    files, path = folder._files(name)
    files.rm(path)
    with pytest.raises(DataError, match=f"{name}: cannot be read"):
        stored.shard_images(6)


def test_a_server_that_dies_and_forgets_everything_costs_no_image(
    server: S3Server, url: str, tmp_path: Path
) -> None:
    """moto keeps objects in memory, so what had arrived before the kill is gone after it."""
    arrived = threading.Event()

    def kill() -> None:
        arrived.wait(60)
        server.kill()
        time.sleep(1)
        server.start()

    thread = threading.Thread(target=kill)
    thread.start()
    remote = RemoteFolder(url)
    begun = begin_remote_set(remote, tmp_path / "staging", recipe(per_class=400), SEEN)

    def on_images(done: int, total: int) -> None:
        if done > 100:
            arrived.set()

    work = ShardMaker(Levels(), begun.recipe, remote=remote)
    with engine_of(EngineConfig(), work, 1, 1, Watch()) as engine:
        render_missing(begun, engine, on_images, remote=remote)
    thread.join()
    assert remote_files(url) == local(tmp_path / "local", recipe(per_class=400))


def test_a_server_that_stays_away_is_named_and_a_signal_ends_the_waiting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(remote_folder, "PATIENCE", 0.0)
    monkeypatch.setattr(remote_folder, "PAUSE", 0.0)
    away = ACCOUNT | {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_MAX_ATTEMPTS": "1"}
    for name, value in away.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(DataError, match="s3://elsewhere/set: cannot be reached"):
        make("s3://elsewhere/set", tmp_path, recipe())
    monkeypatch.setattr(remote_folder, "PATIENCE", 60.0)
    monkeypatch.setattr(remote_folder, "PAUSE", 60.0)
    with pytest.raises(Interrupted):
        make("s3://elsewhere/set", tmp_path, recipe(), watch=Watch(2))
    s3fs.S3FileSystem.clear_instance_cache()


def test_without_the_package_one_line_says_how_to_install_it() -> None:
    with pytest.raises(DataError, match="nowhere://a: not a place that fsspec knows"):
        RemoteFolder("nowhere://a").sizes()
    with pytest.raises(ImportError, match=r"oci://a: .*install augmentor-synth\[cloud\]"):
        RemoteFolder("oci://a").sizes()


def test_files_of_their_own_at_an_url_are_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigError, match="add --format shards"),
        place_for("memory://a", "folder", Watch()),
    ):
        pass
    with (
        pytest.raises(ConfigError, match="memory://a: a set needs a folder of its own below that"),
        place_for("memory://a", "shards", Watch()),
    ):
        pass
    with place_for(f"file://{tmp_path / 'set'}", "folder", Watch()) as place:
        assert place.remote is None
        assert place.folder == tmp_path / "set"


def real() -> TensorDataset:
    labels = torch.tensor([0] * 6 + [1] * 3 + [2] * 3)
    return TensorDataset(torch.rand(12, 1, 8, 8), labels)


def mixed(place: Any, **settings: Any) -> SyntheticMix:
    return SyntheticMix(real(), place, classes=Levels.classes, **settings)


@pytest.fixture
def stored(url: str, tmp_path: Path) -> str:
    make(url, tmp_path / "staging", recipe())
    return url


@pytest.mark.parametrize("settings", [{}, {"share": 0.5}, {"counts": 20}])
def test_a_streaming_mix_has_the_items_of_one_in_memory(
    stored: str, settings: dict[str, Any]
) -> None:
    memory, lazy = mixed(stored, **settings), mixed(stored, streaming=True, **settings)
    assert len(memory) == len(lazy)
    assert memory.targets.tolist() == lazy.targets.tolist()
    assert torch.equal(memory.draw_weights(), lazy.draw_weights())
    for index in (12, 13, len(lazy) // 2, len(lazy) - 1):
        assert torch.equal(memory[index][0], lazy[index][0])
    loaded = next(iter(DataLoader(lazy, batch_size=len(lazy), num_workers=1)))
    assert loaded[1].tolist() == memory.targets.tolist()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_stream_draws_as_often_as_the_weights_say(stored: str, workers: int) -> None:
    mix = mixed(stored, streaming=True)
    stream = mix.stream(share=0.4, length=3000, seed=3)
    items = list(DataLoader(stream, batch_size=100, num_workers=workers))
    labels = torch.cat([y for _, y in items])
    assert len(labels) == len(stream) == 3000
    memory = {one[0].numpy().tobytes() for one in (mix[i] for i in range(12, len(mix)))}
    made = [x.numpy().tobytes() in memory for batch, _ in items for x in batch]
    assert np.mean(made) == pytest.approx(0.4, abs=0.03)
    assert torch.bincount(labels) / 3000 == pytest.approx([1 / 3] * 3, abs=0.03)
    wanted = mixed_draw_weights(real().tensors[1], StoredSet(stored).y, 3, 0.4)
    assert float(wanted[12:].sum()) == pytest.approx(0.4)

    def first_labels() -> Tensor:
        loader = DataLoader(stream, batch_size=100, num_workers=workers)
        return torch.cat([y for _, y in islice(loader, 3)])

    assert torch.equal(first_labels(), labels[:300])
    stream.set_epoch(1)
    assert not torch.equal(first_labels(), labels[:300])


def test_an_image_of_a_small_shard_comes_as_often_as_another(stored: str) -> None:
    """A class has shards of 16, 16 and 8 images; an epoch ends within them."""
    mix = mixed(stored, streaming=True)
    place = {mix[12 + number][0].numpy().tobytes(): number for number in range(40)}
    stream, counts = mix.stream(share=0.9, length=30, seed=3), torch.zeros(40)
    for epoch in range(200):
        stream.set_epoch(epoch)
        for image, label in stream:
            number = place.get(image.numpy().tobytes()) if label == 0 else None
            if number is not None:
                counts[number] += 1
    small, large = counts[32:].mean(), counts[:32].mean()
    assert float(small / large) == pytest.approx(1.0, abs=0.35)


def test_every_process_of_a_training_has_its_part_of_a_stream(
    stored: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders = []
    for rank in range(2):
        monkeypatch.setattr(mix_stream.ranks, "group", lambda rank=rank: (rank, 2))
        stream = mixed(stored, streaming=True).stream(share=0.4, length=301, seed=3)
        orders.append([x.numpy().tobytes() for x, _ in stream])
        assert len(orders[-1]) == len(stream) == 151  # as many in both, or one waits for the other
    assert orders[0] != orders[1]


def test_workers_that_stay_hear_of_the_next_epoch(stored: str) -> None:
    stream = mixed(stored, streaming=True).stream(share=0.4, length=300, seed=3)
    loader = DataLoader(stream, batch_size=100, num_workers=1, persistent_workers=True)
    orders = []
    for epoch in (0, 1, 0):
        stream.set_epoch(epoch)
        orders.append(torch.cat([y for _, y in loader]))
    assert not torch.equal(orders[0], orders[1])
    assert torch.equal(orders[0], orders[2])


def test_a_stream_shows_every_synthetic_image_before_one_twice(stored: str) -> None:
    mix = mixed(stored, streaming=True)
    real_ones = {x.numpy().tobytes() for x, _ in (mix[i] for i in range(12))}
    seen: dict[int, list[bytes]] = {0: [], 1: [], 2: []}
    for image, label in mix.stream(share=0.9, length=400):
        if image.numpy().tobytes() not in real_ones:
            seen[int(label)].append(image.numpy().tobytes())
    for label, of_class in seen.items():
        own = [mix[12 + 40 * label + number][0].numpy().tobytes() for number in range(40)]
        assert Counter(of_class[:40]) == Counter(own)
        assert Counter(of_class[40:80]) == Counter(own)


def test_what_cannot_be_streamed_is_refused(stored: str) -> None:
    with pytest.raises(ValueError, match="without share and counts"):
        mixed(stored, streaming=True, share=0.5).stream()
    with pytest.raises(ValueError, match="streaming=True"):
        mixed(stored).stream()
    with pytest.raises(ValueError, match="folder or the URL"):
        mixed(read_set(stored), streaming=True)
