"""Editing of files, with a source whose codes are worked out by hand in place of a trained one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import one_hot

from augmentor.common.conditions import Conditions
from augmentor.common.randomness import seed_for
from augmentor.common.types import DataError, LabelledImages
from augmentor.data.fingerprint import fingerprints, to_uint8
from augmentor.data.synthetic_store import read_recipe, read_set
from downstream.trainer import ClassifierTrainer
from pipelines import cli
from pipelines.config import ConfigError, config_from
from pipelines.datasets import DataBundle
from pipelines.edit import files as edit
from pipelines.edit import mix_identities
from pipelines.edit import quality as edit_quality
from pipelines.edit.mix_identities import drawn_mixtures, even_mixtures
from pipelines.generators.load import LoadedRun


class Levels:
    """Class c is of level c; the latent is what an image's mean differs from that by."""

    classes = ("0", "1", "2")
    image_shape = (1, 8, 8)
    latent_dim = 1

    def level(self, y: Tensor) -> Tensor:
        class_probs = y if y.is_floating_point() else one_hot(y, 3).float()
        return (class_probs @ torch.tensor([-0.5, 0.0, 0.5]))[:, None]

    def sample(self, y: Tensor, z: Tensor) -> Tensor:
        return (self.level(y) + 0.1 * z)[:, :, None, None].expand(-1, 1, 8, 8).clamp(-1, 1).clone()


class Codes(Levels):
    def encode(self, x: Tensor, y: Tensor) -> Tensor:
        return 10 * (x.mean(dim=(2, 3)) - self.level(y))


class Lit(Codes):
    """The condition, a number, adds a tenth of its scaled value."""

    conditions = Conditions(("azimuth",), centre=(0.0,), scale=(90.0,))

    def sample(self, y: Tensor, z: Tensor, condition: Tensor | None = None) -> Tensor:
        assert condition is not None
        return super().sample(y, z + self.conditions.rows(condition))

    def encode(self, x: Tensor, y: Tensor, condition: Tensor | None = None) -> Tensor:
        assert condition is not None
        return super().encode(x, y) - self.conditions.rows(condition)


@pytest.fixture(autouse=True)
def source(monkeypatch: pytest.MonkeyPatch) -> Any:
    found = Codes()
    config = config_from({"threads": 1})

    def load(run: Path, device: str | None) -> LoadedRun:
        return LoadedRun(found, config, "a" * 64, np.array([3, 5]), 1)  # type: ignore[arg-type]

    for job in (edit, mix_identities):
        monkeypatch.setattr(job, "load_source", load)
    return found


@pytest.fixture
def lit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The source knows conditions."""

    def load(run: Path, device: str | None) -> LoadedRun:
        seen = LabelledImages(
            torch.empty(9, 1, 0, 0),
            torch.arange(9) % 3,
            Lit().classes,
            torch.tensor([[-90.0]] * 8 + [[90.0]]),
            Lit.conditions,
        )
        lit: Any = Lit()
        return LoadedRun(lit, config_from({"threads": 1}), "a" * 64, np.array([3]), 1, seen)

    for job in (edit, mix_identities):
        monkeypatch.setattr(job, "load_source", load)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Two even grey images of class 1, larger than the source's, in a folder of that name."""
    folder = tmp_path / "1"
    folder.mkdir()
    for name, grey in (("a", 128), ("b", 160)):
        Image.fromarray(np.full((16, 20), grey, dtype=np.uint8)).save(folder / f"{name}.png")
    return [folder / "a.png", folder / "b.png"]


def grey_of(path: Path) -> set[int]:
    with Image.open(path) as image:
        assert image.size == (8, 8)
        return set(np.asarray(image).ravel().tolist())


def test_reconstruct(tmp_path: Path, files: list[Path]) -> None:
    report = edit.reconstruct_files(tmp_path, files, tmp_path / "out")
    assert [grey_of(path) for path in report.images] == [{128}, {160}]
    assert report.labels == ("1", "1")
    assert report.picture == tmp_path / "out" / "reconstruct.png"
    assert report.picture.is_file()


def test_files_that_no_edit_wrote_stay(tmp_path: Path, files: list[Path]) -> None:
    out, again = tmp_path / "out", tmp_path / "again"
    for _ in range(2):  # what an edit wrote is replaced
        edit.reconstruct_files(tmp_path, files, again)
    out.mkdir()
    (out / "reconstruct.png").write_bytes(b"mine")
    with pytest.raises(ConfigError, match=r"reconstruct.png is there already and no edit wrote it"):
        edit.reconstruct_files(tmp_path, files, out)
    assert (out / "reconstruct.png").read_bytes() == b"mine"
    (out / "reconstruct.png").rename(again / "reconstruct" / "mine.png")
    (again / "reconstruct.png").unlink()
    with pytest.raises(ConfigError, match="reconstruct is there already"):
        edit.reconstruct_files(tmp_path, files, again)


def test_transfer_renders_the_labels_asked_for(tmp_path: Path, files: list[Path]) -> None:
    report = edit.transfer_files(tmp_path, files[:1], tmp_path / "out", to=["1", "2"])
    assert [path.name for path in report.images] == ["000-a-as-1.png", "000-a-as-2.png"]
    assert [grey_of(path) for path in report.images] == [
        {128},
        {int(to_uint8(torch.tensor(128 / 127.5 - 0.5)))},
    ]
    assert len(edit.transfer_files(tmp_path, files, tmp_path / "out").images) == 6


@pytest.mark.parametrize("gif", [False, True])
def test_morph(tmp_path: Path, files: list[Path], gif: bool) -> None:
    report = edit.morph_files(tmp_path, *files, tmp_path / "out", steps=3, gif=gif)
    assert [grey_of(path) for path in report.images] == [{128}, {144}, {160}]
    with Image.open(report.picture) as picture:
        assert getattr(picture, "n_frames", 1) == (4 if gif else 1)  # there and back


def test_inpaint_by_box_and_by_mask(tmp_path: Path, files: list[Path]) -> None:
    pixels = np.full((8, 8), 128, dtype=np.uint8)
    pixels[2:4, 4:8] = 255
    Image.fromarray(pixels).save(files[0])
    Image.fromarray((pixels == 255).astype(np.uint8) * 255).save(tmp_path / "mask.png")
    by_box = edit.inpaint_files(tmp_path, files[:1], tmp_path / "box", box=(4, 2, 4, 2), rounds=2)
    by_mask = edit.inpaint_files(
        tmp_path, files[:1], tmp_path / "mask", mask=tmp_path / "mask.png", rounds=2
    )
    assert grey_of(by_box.images[0]) == {128}  # the hole takes the grey around it
    assert by_box.images[0].read_bytes() == by_mask.images[0].read_bytes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "one of --mask FILE and --box"),
        ({"box": (0, 0, 1, 1), "mask": Path("m.png")}, "one of"),
        ({"box": (4, 4, 8, 1)}, "--box: .*does not lie inside 8x8"),
        ({"box": (0, 0, 8, 8)}, "covers the whole image"),
    ],
)
def test_holes_that_are_none(
    tmp_path: Path, files: list[Path], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        edit.inpaint_files(tmp_path, files, tmp_path / "out", **options)


def test_the_class_comes_from_the_option_the_judge_or_the_folder(
    tmp_path: Path, files: list[Path]
) -> None:
    def judge(x: Tensor) -> Tensor:
        return one_hot((x.mean(dim=(1, 2, 3)) > 0.2).long() * 2, 3).float()

    assert edit.reconstruct_files(
        tmp_path, files, tmp_path / "o", label="2", predict=judge
    ).labels == ("2", "2")
    assert edit.reconstruct_files(tmp_path, files, tmp_path / "o", predict=judge).labels == (
        "0",
        "2",
    )
    with pytest.raises(ConfigError, match="unknown class 'x'; known are 0, 1, 2"):
        edit.reconstruct_files(tmp_path, files, tmp_path / "o", label="x")
    with pytest.raises(ConfigError, match="one class, got 8 and images of '0' and '2'"):
        edit.morph_files(tmp_path, *files, tmp_path / "o", predict=judge)
    files[0].parent.rename(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match=r"a\.png: the class of this image is needed .* --label"):
        edit.reconstruct_files(tmp_path, [tmp_path / "elsewhere" / "a.png"], tmp_path / "o")


@pytest.mark.usefixtures("lit")
def test_a_photo_under_other_conditions(tmp_path: Path, files: list[Path]) -> None:
    options = ["--condition", "-90", "--condition-to", "-90", "--condition-to", "90"]
    out = ["--out", str(tmp_path / "out")]
    assert cli.main(["edit", "transfer", str(tmp_path), str(files[0]), *options, *out]) == 0
    same, other = sorted((tmp_path / "out/transfer").iterdir())
    assert grey_of(same) == {128}
    assert grey_of(other) == {154}  # two tenths of 127.5 brighter, rounded once
    assert "90" in other.name


@pytest.mark.usefixtures("lit")
def test_a_photo_under_other_conditions_and_as_other_classes(
    tmp_path: Path, files: list[Path]
) -> None:
    report = edit.transfer_files(
        tmp_path, files[:1], tmp_path / "o", condition="0", to=["0", "1"], condition_to=["0", "90"]
    )
    assert len(report.images) == 4
    assert len(set(report.images)) == 4


@pytest.mark.usefixtures("lit")
def test_a_walk_through_the_conditions(tmp_path: Path, files: list[Path]) -> None:
    report = edit.morph_files(
        tmp_path, files[0], files[0], tmp_path / "o", condition="0", condition_to="90", steps=3
    )
    assert [grey_of(path) for path in report.images] == [{128}, {134}, {141}]


@pytest.mark.usefixtures("lit")
@pytest.mark.parametrize(
    ("condition", "to", "message"),
    [
        (None, [], "give the condition of the files by --condition, a value of azimuth"),
        ("left", [], "--condition: 'left' is not a value of azimuth"),
        ("nan", [], "not a finite number"),
        ("0,1", [], "name one number for each"),
        ("0", ["up"], "--condition-to: 'up'"),
    ],
)
def test_conditions_that_cannot_be_read(
    tmp_path: Path, files: list[Path], condition: str | None, to: list[str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        edit.transfer_files(tmp_path, files, tmp_path / "o", condition=condition, condition_to=to)


def test_a_condition_needs_a_source_that_knows_one(tmp_path: Path, files: list[Path]) -> None:
    with pytest.raises(ConfigError, match="knows classes alone"):
        edit.transfer_files(tmp_path, files, tmp_path / "o", condition_to=["90"])


@pytest.mark.usefixtures("lit")
def test_new_classes_are_rendered_under_every_condition_equally_often(tmp_path: Path) -> None:
    mix_identities.mix_identities_run(tmp_path, tmp_path / "o", mixes=[("0", "1")], per_class=400)
    levels = read_set(tmp_path / "o").images.x.mean(dim=(1, 2, 3))
    # Training has eight dark images to one light one; a tenth of either is added, and of a latent.
    assert float(levels.mean()) == pytest.approx(-0.25, abs=0.03)
    assert float(levels.var()) == pytest.approx(0.01 + 0.01, rel=0.3)


def test_bad_files_are_named_all_at_once(
    tmp_path: Path, files: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    files[0].write_bytes(b"no picture")
    missing = files[0].parent / "c.png"
    with pytest.raises(DataError, match=r"2 of 3 files .*a\.png.*c\.png"):
        edit.reconstruct_files(tmp_path, [*files, missing], tmp_path / "out")
    assert cli.main(["edit", "reconstruct", str(tmp_path), *map(str, files)]) == 3
    assert "a.png" in capsys.readouterr().err


def test_a_family_without_encoder_is_refused(
    tmp_path: Path,
    files: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    plain, config = Levels(), config_from({"source": {"family": "cgan"}, "threads": 1})
    monkeypatch.setattr(
        edit, "load_source", lambda run, device: LoadedRun(plain, config, "", np.array([1]), 1)
    )  # type: ignore[arg-type]
    assert cli.main(["edit", "transfer", str(tmp_path), str(files[0])]) == 2
    error = capsys.readouterr().err
    assert (
        "a cgan has no encoder, which transfer needs; train one of the families cvae_gan, vae"
        in error
    )


def test_frontalize_takes_the_person_of_a_file_and_the_rest_of_the_photo(
    tmp_path: Path,
    files: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Identities(Codes):
        def render(self, identity_image: Tensor, attribute_image: Tensor) -> Tensor:
            return 0.75 * identity_image + 0.25 * attribute_image

    config = config_from({"source": {"family": "ip_gan"}, "threads": 1})
    monkeypatch.setattr(
        edit,
        "load_source",
        lambda run, device: LoadedRun(Identities(), config, "", np.array([1]), 1),
    )  # type: ignore[arg-type]
    files[0].parent.rename(tmp_path / "people")  # of no class that the source knows
    a, b = tmp_path / "people" / "a.png", tmp_path / "people" / "b.png"
    command = ["edit", "frontalize", str(tmp_path), str(b), str(a), "--attributes", str(a)]
    assert cli.main([*command, "--out", str(tmp_path / "out")]) == 0
    made = sorted((tmp_path / "out" / "frontalize").iterdir())
    assert [(path.name, grey_of(path)) for path in made] == [
        ("000-b.png", {152}),
        ("001-a.png", {128}),
    ]
    assert "2 images in" in capsys.readouterr().out
    assert cli.main([*command[:-1], str(tmp_path / "missing.png")]) == 3


def test_frontalize_refuses_a_family_that_takes_no_identity(
    tmp_path: Path, files: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        cli.main(
            ["edit", "frontalize", str(tmp_path), str(files[0]), "--attributes", str(files[1])]
        )
        == 2
    )
    error = capsys.readouterr().err
    assert (
        "a cvae_gan takes no identity from an image, as frontalize must; train one of the "
        "families ip_gan" in error
    )


def test_mixed_identities_are_a_synthetic_set(tmp_path: Path) -> None:
    out = tmp_path / "mixed"
    report = mix_identities.mix_identities_run(
        tmp_path, out, mixes=[("0", "1")], new=2, of=2, per_class=3, seed=4
    )
    assert report.counts == {"0+1": 3, "mix-0000": 3, "mix-0001": 3}
    recipe = read_recipe(out)
    assert recipe.mixtures is not None
    assert recipe.mixtures["0+1"] == {"0": 0.5, "1": 0.5}
    images = read_set(out).images
    assert images.classes == tuple(report.counts)
    assert float(images.x[images.y == 0].mean()) == pytest.approx(-0.25, abs=0.2)
    again = mix_identities.mix_identities_run(
        tmp_path, out, mixes=[("0", "1")], new=2, of=2, per_class=3, seed=4
    )
    assert again.recipe == report.recipe
    with pytest.raises(DataError, match="another recipe"):
        mix_identities.mix_identities_run(tmp_path, out, mixes=[("0", "2")], per_class=3, seed=4)


def test_blended_classes_may_weigh_more_than_a_half_each(tmp_path: Path) -> None:
    kept = {"mixes": [("0", "1")], "new": 1, "of": 2, "per_class": 2}
    out = tmp_path / "heavy"
    mix_identities.mix_identities_run(tmp_path, out, weight=0.7, **kept)
    mixtures = read_recipe(out).mixtures
    assert mixtures is not None
    assert [sorted(mixture.values()) for mixture in mixtures.values()] == [[0.7, 0.7]] * 2
    for weight in (1.1, 0.0, -1.0, float("nan")):
        with pytest.raises(ConfigError, match="--weight: above 0 and at most 1 for 2 classes"):
            mix_identities.mix_identities_run(tmp_path, tmp_path / "no", weight=weight, **kept)
    with pytest.raises(ConfigError, match=r"at most 0\.66 for 3 classes, got 0\.67"):
        mix_identities.mix_identities_run(tmp_path, tmp_path / "no", new=1, of=3, weight=0.67)
    with pytest.raises(ConfigError, match="blend the same ones and be equal"):
        mix_identities.mix_identities_run(tmp_path, tmp_path / "no", new=9, of=2, weight=0.7)


def test_drawn_mixtures_are_mixtures_and_a_longer_draw_begins_with_a_shorter() -> None:
    names = tuple("abcdefg")
    drawn = drawn_mixtures(names, new=40, of=3, seed=1)
    assert len(drawn) == len({str(mixture) for mixture in drawn.values()}) == 40
    for mixture in drawn.values():
        assert len(mixture) == 3
        assert sum(mixture.values()) == pytest.approx(1, abs=1e-9)
        assert 1 / 6 - 1e-9 <= min(mixture.values()) <= max(mixture.values()) <= 2 / 3 + 1e-9
    assert drawn_mixtures(names, new=5, of=3, seed=1) == dict(list(drawn.items())[:5])
    assert drawn_mixtures(names, new=5, of=3, seed=2) != drawn_mixtures(names, new=5, of=3, seed=1)


def test_mixes_that_are_none(tmp_path: Path) -> None:
    for mix, message in (
        (("a",), "two or more"),
        (("a", "a"), "two or more"),
        (("a", "x"), "unknown class 'x'"),
    ):
        with pytest.raises(ConfigError, match=message):
            even_mixtures(("a", "b"), [mix])
    with pytest.raises(ConfigError, match="--of takes 2 to 2"):
        drawn_mixtures(("a", "b"), new=1, of=3, seed=0)
    with pytest.raises(ConfigError, match="nothing to render"):
        mix_identities.mix_identities_run(tmp_path, tmp_path / "mixed")


def test_the_command_line_hands_everything_on(
    tmp_path: Path, files: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    run, out, two = str(tmp_path), str(tmp_path / "out"), [str(path) for path in files]
    shared = ["--label", "1", "--out", out]
    assert cli.main(["edit", "reconstruct", run, *two, "--out", out, "--json"]) == 0
    assert '"labels": [\n    "1",\n    "1"\n  ]' in capsys.readouterr().out
    assert cli.main(["edit", "morph", run, *two, "--steps", "3", "--gif", *shared]) == 0
    assert cli.main(["edit", "transfer", run, *two, "--to", "0,2", *shared]) == 0
    assert (
        cli.main(["edit", "inpaint", run, *two, "--box", "0,0,4,4", "--rounds", "1", *shared]) == 0
    )
    assert "2 images in" in capsys.readouterr().out.splitlines()[-1]
    mixed = ["--mix", "0,1", "--mix", "1,2", "--new", "1", "--of", "2", "--per-class", "2"]
    assert cli.main(["edit", "mix-identities", run, *mixed, "--out", str(tmp_path / "mixed")]) == 0
    assert cli.main(["edit", "inpaint", run, *two, "--box", "0,0,4"]) == 2
    made = {path.name for path in (tmp_path / "out").iterdir() if path.is_file()}
    assert made == {"reconstruct.png", "morph.gif", "transfer.png", "inpaint.png"}


def test_quality_of_a_source_that_transfers_perfectly() -> None:
    y = torch.tensor([0, 1, 2, 2])
    test = LabelledImages(Codes().sample(y, torch.zeros(4, 1)), y, Codes.classes)

    def predict(x: Tensor) -> Tensor:
        return -(x.mean(dim=(1, 2, 3))[:, None] - torch.tensor([-0.5, 0.0, 0.5])).abs()

    result = edit_quality.edit_quality(Codes(), test, predict, rounds=(0, 1, 2))
    assert result["transfer"] == {
        "images": 8,
        "top1": 1.0,
        "top1_of_class": dict.fromkeys("012", 1.0),
    }
    assert list(result["inpaint"]) == ["centre", "right half", "lower half"]
    for hole in result["inpaint"].values():
        assert [row["rounds"] for row in hole["after"]] == [0, 1, 2]
        assert all(row["psnr"] > 60 and row["top1"] == 1 for row in hole["after"])


def test_the_judge_of_edits_is_trained_on_real_images(monkeypatch: pytest.MonkeyPatch) -> None:
    y = torch.arange(60).remainder(3)
    train = LabelledImages(Codes().sample(y, torch.zeros(60, 1)), y, Codes.classes)
    trainer = ClassifierTrainer(domain="digits", strength=0.0)
    monkeypatch.setattr(edit_quality, "JUDGE_STEPS", 40)
    predict = edit_quality.trained_judge(train, trainer, seed=1)
    assert (predict(train.x).argmax(dim=1) == y).float().mean() > 0.9


def test_the_command_of_edit_quality_writes_numbers_and_a_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    y = torch.arange(30).remainder(3)
    noise = torch.rand(30, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 0.1
    images = LabelledImages(Codes().sample(y, torch.zeros(30, 1)) + noise, y, Codes.classes)
    bundle = DataBundle("levels", "all", images, images, None, "")
    config = config_from({"threads": 1})
    known = fingerprints(images.x)
    loaded = LoadedRun(Codes(), config, "a" * 64, known, 7)  # type: ignore[arg-type]
    monkeypatch.setattr(edit_quality, "load_source", lambda run, device: loaded)
    monkeypatch.setattr(edit_quality, "load_data", lambda data, seed: bundle)
    monkeypatch.setattr(edit_quality, "JUDGE_STEPS", 3)
    edit_quality.main([str(tmp_path / "run"), str(tmp_path / "out" / "q.json"), "--images", "6"])
    result = json.loads((tmp_path / "out" / "q.json").read_text())
    assert (result["schema"], result["step"], result["images"], result["seed"]) == (1, 7, 6, 0)
    assert result["judge"]["seed"] == seed_for("judge", 0)
    assert result["command"].startswith("python -m pipelines.edit.quality run ")
    page = (tmp_path / "out" / "q.md").read_text()
    assert "## Inpainting: inside the hole" in page
    assert "12 in all: the judge finds the asked class" in page
    other = DataBundle("levels", "all", images, replace(images, classes=tuple("abc")), None, "")
    monkeypatch.setattr(edit_quality, "load_data", lambda data, seed: other)
    with pytest.raises(DataError, match="was trained on other data"):
        edit_quality.main([str(tmp_path / "run"), str(tmp_path / "q.json")])
