from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data.readers import create_reader
from torch import Tensor
from torchvision.datasets import ImageFolder

from augmentor.common.types import DataError, LabelledImages
from augmentor.data.fingerprint import fingerprints, to_uint8
from augmentor.data.synthetic_store import read_manifest, read_recipe, read_set
from pipelines.config import Config, ConfigError, config_from
from pipelines.datasets import DataBundle
from pipelines.generators import synthesize as job
from pipelines.generators.contact_sheet import sheet_path
from pipelines.generators.load import LoadedRun
from pipelines.generators.synthesize import synthesize_run
from pipelines.interrupt import Interrupted
from pipelines.progress import Silent
from pipelines.run_dir import RunDir, RunLockedError

CLASSES = ("dark", "../light", "\udcff")


class Blobs:
    """Class c is an even grey of level c; the first latent says how wrongly it is painted."""

    classes = CLASSES
    image_shape = (1, 8, 8)
    latent_dim = 2

    def __init__(self) -> None:
        self.batches = 0

    def sample(self, y: Tensor, z: Tensor) -> Tensor:
        self.batches += 1
        level = (y - 1) * 0.8 + (z[:, 0] > 0.8) * torch.where(
            y == 0, 0.8, -0.8
        )  # a fifth is of another class
        noise = z[:, 1, None, None, None] * torch.linspace(-0.1, 0.1, 64).reshape(1, 1, 8, 8)
        return (level[:, None, None, None] + noise).clamp(-1, 1)


def real_images() -> LabelledImages:
    y = torch.tensor([0] * 12 + [1] * 6 + [2] * 3)
    noise = torch.rand(len(y), 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 0.2 - 0.1
    return LabelledImages(((y - 1) * 0.8)[:, None, None, None] + noise, y, CLASSES)


class Run:
    """A trained run without the training."""

    def __init__(self, path: Path) -> None:
        self.path, self.source, self.train, self.loads = path, Blobs(), real_images(), 0
        self.config: Config = config_from(
            {"classifier": {"steps": 40, "batch_size": 16}, "threads": 1}
        )
        self.checkpoint = "a" * 64
        path.mkdir()

    def load(self, path: Path, device: str | None) -> LoadedRun:
        assert path == self.path
        return LoadedRun(self.source, self.config, self.checkpoint, fingerprints(self.train.x), 1)  # type: ignore[arg-type]

    def data(self, config: Any, seed: int) -> DataBundle:
        self.loads += 1
        return DataBundle("blobs", "all", self.train, self.train, None, "")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    made = Run(tmp_path / "run")
    monkeypatch.setattr(job, "load_source", made.load)
    monkeypatch.setattr(job, "load_data", made.data)
    return made


def tree(folder: Path) -> dict[str, bytes]:
    """The bytes of all files but the lock, whose content is a process or nothing."""
    files = [p for p in sorted(folder.rglob("*")) if p.is_file() and p.name != "lock"]
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


@pytest.mark.parametrize(
    ("wish", "counts"),
    [
        ({}, {"../light": 6, "\udcff": 9}),
        ({"strategy": "auto"}, {"../light": 6, "\udcff": 9}),
        ({"strategy": "minority"}, {"\udcff": 9}),
        ({"strategy": "7"}, {"../light": 1, "\udcff": 4}),
        ({"strategy": "0.5"}, {"\udcff": 3}),
        ({"per_class": 2}, {"dark": 2, "../light": 2, "\udcff": 2}),
        ({"ratio": 0.5}, {"dark": 6, "../light": 3, "\udcff": 2}),
        ({"per_class": 3, "classes": ["dark"]}, {"dark": 3}),
        ({"classes": ["dark", "../light"]}, {"../light": 6}),
        ({"ratio": 0.5, "classes": ["\udcff", "dark"]}, {"dark": 6, "\udcff": 2}),
    ],
)
def test_how_many(run: Run, tmp_path: Path, wish: dict[str, Any], counts: dict[str, int]) -> None:
    report = synthesize_run(run.path, tmp_path / "out", **wish)
    images = read_set(tmp_path / "out").images
    assert report.counts == report.tried == counts
    assert {CLASSES[c]: n for c, n in images.counts.items() if n} == counts


def test_strategy_from_a_file(run: Run, tmp_path: Path) -> None:
    (tmp_path / "wish.json").write_text('{"dark": 14}')
    assert synthesize_run(
        run.path, tmp_path / "out", strategy=str(tmp_path / "wish.json")
    ).counts == {"dark": 2}


def test_a_number_of_images_needs_no_data(run: Run, tmp_path: Path) -> None:
    synthesize_run(run.path, tmp_path / "out", per_class=2)
    assert run.loads == 0


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        (
            {"strategy": "auto", "per_class": 1},
            "give one of --class-balance, --per-class, --ratio and --fill",
        ),
        ({"strategy": "sometimes"}, "--class-balance: unknown class balance 'sometimes'"),
        ({"classes": ["bright"]}, "--classes: unknown class 'bright'; known are 'dark'"),
        ({"per_class": -1}, "must not be negative"),
        ({"ratio": float("inf")}, "must not be negative"),
        ({"filter": "sharpness=3"}, "--filter: expected confidence=P"),
        ({"filter": "confidence"}, "--filter: expected confidence=P"),
        ({"filter": "confidence=1.5"}, "--filter: expected confidence=P"),
    ],
)
def test_options_that_cannot_be(
    run: Run, tmp_path: Path, wish: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        synthesize_run(run.path, tmp_path / "out", **wish)
    assert not (tmp_path / "out").exists()


def test_nothing_to_add(run: Run, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nothing to add"):
        synthesize_run(run.path, tmp_path / "out", classes=["dark"])
    assert not (tmp_path / "out").exists()


def test_data_of_other_classes(run: Run, tmp_path: Path) -> None:
    run.train = LabelledImages(run.train.x, run.train.y, ("a", "b", "c"))
    with pytest.raises(DataError, match="the source was trained on"):
        synthesize_run(run.path, tmp_path / "out")


def test_recipe_says_what_the_set_is(run: Run, tmp_path: Path) -> None:
    run.config = config_from({"source": {"source_augment": "classical"}})
    report = synthesize_run(run.path, tmp_path / "out", per_class=1, seed=5)
    recipe = read_recipe(tmp_path / "out")
    assert (recipe.family, recipe.source_sha256, recipe.seed) == ("cvae_gan", "a" * 64, 5)
    assert (recipe.source_augment, recipe.filter, recipe.device) == ("classical", None, "cpu")
    assert report.recipe == recipe.hash
    assert np.isin(fingerprints(run.train.x), read_set(tmp_path / "out").trained_on).all()


def test_filter_keeps_what_the_judge_recognises(run: Run, tmp_path: Path) -> None:
    report = synthesize_run(run.path, tmp_path / "out", per_class=20, filter="confidence=0.5")
    assert all(20 < tried < 60 for tried in report.tried.values())
    images = read_set(tmp_path / "out").images
    level = torch.tensor([-0.8, 0, 0.8])[images.y]
    assert ((images.x.mean((1, 2, 3)) - level).abs() < 0.2).all()
    unfiltered = synthesize_run(run.path, tmp_path / "all", per_class=20)
    assert set(unfiltered.tried.values()) == {20}
    rule = read_recipe(tmp_path / "out").filter
    assert rule is not None
    assert rule["confidence"] == 0.5


def test_a_filter_nothing_passes_names_the_class(run: Run, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"class 'dark': the filter accepted 0 of 40 candidates"):
        synthesize_run(run.path, tmp_path / "out", per_class=2, filter="confidence=1")


def test_the_judge_is_trained_once_and_kept_with_the_run(run: Run, tmp_path: Path) -> None:
    synthesize_run(run.path, tmp_path / "one", per_class=2, filter="confidence=0.5")
    (judge,) = run.path.glob("judge-*.safetensors")
    before = judge.read_bytes()
    judge.unlink()
    synthesize_run(run.path, tmp_path / "two", per_class=2, filter="confidence=0.5")
    assert judge.read_bytes() == before
    assert tree(tmp_path / "one") == tree(tmp_path / "two")
    judge.write_bytes(before[:100])
    with pytest.raises(DataError, match=rf"{judge.name}: cannot be read"):
        synthesize_run(run.path, tmp_path / "three", per_class=2, filter="confidence=0.5")


class Said(Silent):
    """Keeps what is told."""

    def __init__(self) -> None:
        self.lines, self.steps = list[str](), list[tuple[str, int, int]]()

    def step(self, task: str, done: int, total: int, note: str = "") -> None:
        self.steps.append((task, done, total))

    def say(self, line: str) -> None:
        self.lines.append(line)


def test_a_source_whose_training_was_stopped_is_named(run: Run, tmp_path: Path) -> None:
    said, whole = Said(), run.config.source.model_copy(update={"steps": 1})
    synthesize_run(run.path, tmp_path / "one", per_class=1, progress=said)
    rest = f"augmentor train --resume --out {run.path} finishes it"
    assert said.lines == [f"trained 1 of 3000 steps; {rest}"]
    run.config = run.config.model_copy(update={"source": whole})
    synthesize_run(run.path, tmp_path / "two", per_class=1, progress=said)
    assert len(said.lines) == 1


def test_the_training_of_a_judge_is_shown_and_not_begun_in_vain(run: Run, tmp_path: Path) -> None:
    synthesize_run(run.path, tmp_path / "other", per_class=3)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").touch()
    wish: dict[str, Any] = {"per_class": 2, "filter": "confidence=0.5"}
    for folder in ("other", "photos"):
        with pytest.raises(DataError, match="holds"):
            synthesize_run(run.path, tmp_path / folder, **wish)
    at_url = "memory://sets/judged"
    synthesize_run(run.path, at_url, per_class=3, format="shards")
    with pytest.raises(DataError, match="different: counts"):
        synthesize_run(run.path, at_url, **wish, format="shards")
    assert not list(run.path.glob("judge-*")), "the place is looked at before the training"
    said = Said()
    synthesize_run(run.path, tmp_path / "out", **wish, progress=said)
    assert [step for step in said.steps if step[0] == "judge"][-1] == ("judge", 40, 40)


class StopAt(Silent):
    """Sends this process a signal once so many images are done."""

    def __init__(self, images: int) -> None:
        self.images = images

    def step(self, task: str, done: int, total: int, note: str = "") -> None:
        if done == self.images:
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("form", ["folder", "shards"])
@pytest.mark.parametrize("rule", [None, "confidence=0.5"])
def test_interrupted_and_finished_equals_undisturbed(
    run: Run, tmp_path: Path, form: Any, rule: str | None
) -> None:
    wish: dict[str, Any] = {
        "per_class": 300,
        "classes": CLASSES[:2],
        "format": form,
        "filter": rule,
    }
    synthesize_run(run.path, tmp_path / "whole", **wish)
    for images in (256, 556):
        with pytest.raises(Interrupted):
            synthesize_run(run.path, tmp_path / "out", **wish, progress=StopAt(images))
        assert sum(shard.count for shard in read_manifest(tmp_path / "out")) == images
    run.source.batches = 0
    synthesize_run(run.path, tmp_path / "out", **wish)
    assert 0 < run.source.batches <= 2
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")
    run.source.batches = 0
    synthesize_run(run.path, tmp_path / "out", **wish)
    assert run.source.batches == 0
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")


def test_another_wish_for_the_same_folder_is_refused(run: Run, tmp_path: Path) -> None:
    synthesize_run(run.path, tmp_path / "out", per_class=2)
    before = tree(tmp_path / "out")
    with pytest.raises(DataError, match=r"another recipe \(different: counts\)"):
        synthesize_run(run.path, tmp_path / "out", per_class=3)
    run.checkpoint = "b" * 64
    with pytest.raises(DataError, match=r"different: source_sha256"):
        synthesize_run(run.path, tmp_path / "out", per_class=2)
    assert tree(tmp_path / "out") == before


def test_two_at_once_are_refused(run: Run, tmp_path: Path) -> None:
    with RunDir(tmp_path / "out").lock(), pytest.raises(RunLockedError):
        synthesize_run(run.path, tmp_path / "out", per_class=1)


def test_contact_sheet_shows_the_first_images_of_every_class(run: Run, tmp_path: Path) -> None:
    report = synthesize_run(run.path, tmp_path / "out", per_class=12)
    images = read_set(tmp_path / "out").images
    with Image.open(report.contact_sheet) as sheet:
        pixels = torch.from_numpy(np.array(sheet.convert("L")))
    for row, index in ((0, 0), (0, 9), (1, 12), (2, 33)):
        top = 10 + 51 * row  # a margin of 10; tiles of 8 times 6 pixels, 3 apart
        places = pixels[top : top + 48].unfold(1, 48, 1).permute(1, 0, 2)
        tile = to_uint8(images.x[index]).repeat_interleave(6, 1).repeat_interleave(6, 2)
        assert (places == tile).flatten(1).all(1).any(), index


def test_report_is_json(run: Run, tmp_path: Path) -> None:
    from dataclasses import asdict

    json.dumps(asdict(synthesize_run(run.path, tmp_path / "out", per_class=1)), default=str)


def labels_by_torchvision(folder: Path) -> list[str]:
    found = ImageFolder(str(folder))
    return [found.classes[label] for label in found.targets]


def labels_by_timm(folder: Path) -> list[str]:
    reader = create_reader("", str(folder))
    names = {label: name for name, label in reader.class_to_idx.items()}
    return [names[label] for _, label in reader.samples]


def labels_by_hugging_face(folder: Path) -> list[str]:
    datasets = pytest.importorskip("datasets", reason="Hugging Face datasets is not installed")
    found = datasets.load_dataset(
        "imagefolder", data_dir=str(folder), split="train", cache_dir=str(folder.parent / "cache")
    )
    return [found.features["label"].names[label] for label in found["label"]]


@pytest.mark.filterwarnings("ignore")  # of the libraries themselves
@pytest.mark.parametrize("read", [labels_by_torchvision, labels_by_timm, labels_by_hugging_face])
def test_readers_of_image_folders_find_the_images_and_nothing_else(
    run: Run, tmp_path: Path, read: Callable[[Path], list[str]]
) -> None:
    (tmp_path / "out").mkdir()
    left_by_an_earlier_version = tmp_path / "out" / "contact_sheet.png"
    report = synthesize_run(run.path, tmp_path / "out", per_class=2)
    assert report.contact_sheet == tmp_path / "out.contact_sheet.png"
    assert report.contact_sheet.is_file()
    Image.new("L", (8, 8)).save(left_by_an_earlier_version)
    synthesize_run(run.path, tmp_path / "out", per_class=2)
    assert Counter(read(tmp_path / "out")) == {
        "class_0000_dark": 2,
        "class_0001": 2,
        "class_0002": 2,
    }


def test_the_sheet_of_the_working_directory_lies_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert sheet_path(Path()) == tmp_path.parent / f"{tmp_path.name}.contact_sheet.png"


@pytest.mark.parametrize("filter_", [None, "confidence=0.5"])
def test_two_processes_write_the_set_of_one(run: Run, tmp_path: Path, filter_: str | None) -> None:
    for form in ("folder", "shards"):
        for processes in (1, 2):
            out = tmp_path / f"{form}-{processes}"
            synthesize_run(
                run.path, out, per_class=300, filter=filter_, format=form, processes=processes
            )
        assert tree(tmp_path / f"{form}-2") == tree(tmp_path / f"{form}-1")


def test_what_two_processes_left_unfinished_is_finished_by_one(run: Run, tmp_path: Path) -> None:
    whole, out = tmp_path / "whole", tmp_path / "set"
    for folder, processes in ((whole, 1), (out, 2)):
        synthesize_run(run.path, folder, per_class=600, format="shards", processes=processes)
    (out / "shard-00001-00000.tar").unlink()
    (out / "shard-00002-00002.tar").write_bytes(b"no tar")
    synthesize_run(run.path, out, per_class=600, format="shards")
    assert tree(out) == tree(whole)
