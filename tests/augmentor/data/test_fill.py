"""Which combinations a set renders, and that its images are those of the plan."""

from __future__ import annotations

import csv
import gc
import json
import tarfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from augmentor.common.conditions import Conditions
from augmentor.common.types import DataError, LabelledImages
from augmentor.data.candidates import combination_latents, latents
from augmentor.data.combinations import combinations_of
from augmentor.data.fill import Fill, fill_up_to, spread_evenly
from augmentor.data.fingerprint import fingerprints, to_uint8
from augmentor.data.synthetic_mix import SyntheticMix
from augmentor.data.synthetic_store import Recipe, read_recipe, read_set, trained_on_digest
from augmentor.sampling.synthesize import (
    render_combinations,
    synthesize_combinations,
    synthesize_set,
)

FONTS = Conditions(("font",), ("bold", "light", "thin"))
ANGLES = Conditions(("azimuth", "elevation"), centre=(0.0, 0.0), scale=(90.0, 90.0))


class Painter:
    """The mean of the condition's row on the left, the class on the right, the latent between."""

    classes, image_shape, latent_dim = ("A", "B"), (1, 8, 8), 8

    def __init__(self, conditions: Conditions) -> None:
        self.conditions = conditions

    def sample(self, y: Tensor, z: Tensor, condition: Tensor | None = None) -> Tensor:
        assert condition is not None
        rows = self.conditions.rows(condition)
        x = (z / 8).clamp(-1, 1)[:, None, None].repeat(1, 1, 8, 1)
        x[:, 0, : rows.shape[1], 0] = rows
        x[:, 0, :, 7] = y[:, None] - 0.5
        return x


def words() -> LabelledImages:
    """A has 3 bold and 1 light letters, B has 2 bold ones; nobody is thin."""
    y, condition = torch.tensor([0, 0, 0, 0, 1, 1]), torch.tensor([0, 0, 0, 1, 0, 0])
    return LabelledImages(torch.zeros(6, 1, 8, 8), y, ("A", "B"), condition, FONTS)


def numbers() -> LabelledImages:
    """A was seen under four lights, twice under one of them; B under one."""
    lights = [[-60.0, 0.0], [-20.0, 0.1], [20.0, 0.0], [60.0, 0.1], [60.0, 0.1], [-60.0, 0.0]]
    y = torch.tensor([0, 0, 0, 0, 0, 1])
    return LabelledImages(torch.zeros(6, 1, 8, 8), y, ("A", "B"), torch.tensor(lights), ANGLES)


@pytest.mark.parametrize("seen", [words(), numbers()], ids=["words", "numbers"])
def test_real_and_rendered_are_equally_many_in_every_combination(seen: LabelledImages) -> None:
    source = Painter(seen.conditions)
    synthetic = synthesize_combinations(source, fill_up_to(seen), seed=0)
    both = seen.joined(synthetic)
    before = combinations_of(seen)
    after = combinations_of(both, before.bins).counts
    assert bool((after[:, before.occurring] == before.counts.max()).all())
    assert int(after[:, ~before.occurring].sum()) == 0  # what nobody was seen in, nobody can render


def test_a_total_and_classes() -> None:
    assert fill_up_to(words(), 2).counts == {"A": (0, 1, 0), "B": (0, 2, 0)}
    assert fill_up_to(words(), 5, ["B"]).counts == {"B": (3, 5, 0)}
    assert fill_up_to(words(), 0).totals == {}
    with pytest.raises(ValueError, match="negative"):
        fill_up_to(words(), -1)


def test_images_without_conditions_cannot_be_filled() -> None:
    with pytest.raises(ValueError, match="conditions of the images are not known"):
        fill_up_to(words().without_conditions())


def test_a_bins_values_take_turns() -> None:
    seen = numbers()
    fill = fill_up_to(seen, 5)
    condition = fill.condition("B")
    real = {tuple(row) for row in torch.unique(seen.condition, dim=0).tolist()}
    assert {tuple(row) for row in condition.tolist()} <= real
    assert condition.dtype == torch.float32


def test_latents_have_addresses() -> None:
    slots = [(0, 0), (1, 0), (1, 1), (2, 5)]
    z = combination_latents(3, 1, slots, 8)
    assert torch.equal(combination_latents(3, 1, slots[2:], 8), z[2:])
    others = [combination_latents(4, 1, slots, 8), combination_latents(3, 0, slots, 8)]
    rows = torch.cat([z, *others, latents(3, 1, 0, 4, 8)])
    assert len(torch.unique(rows, dim=0)) == len(rows)


@pytest.mark.parametrize("seen", [words(), numbers()], ids=["words", "numbers"])
def test_an_image_depends_on_class_condition_and_number_alone(seen: LabelledImages) -> None:
    source = Painter(seen.conditions)
    small, large = fill_up_to(seen), fill_up_to(seen, 7)
    few, many = (render_combinations(source, 1, plan, seed=2)[0] for plan in (small, large))
    place = {slot: row for row, slot in enumerate(large.slots("B"))}
    rows = torch.tensor([place[slot] for slot in small.slots("B")])
    assert torch.equal(few, many[rows])
    part, positions = render_combinations(source, 1, large, 2, start=3, n=4, batch_size=2)
    assert torch.equal(part, many[3:7])
    assert positions.tolist() == [3, 4, 5, 6]


def test_a_plan_for_other_conditions_is_refused() -> None:
    with pytest.raises(ValueError, match="other conditions"):
        render_combinations(Painter(ANGLES), 0, fill_up_to(words()), 0)
    with pytest.raises(ValueError, match="unknown classes"):
        synthesize_combinations(Painter(FONTS), Fill(FONTS, FONTS.categories, {"C": (1, 0, 0)}), 0)


@pytest.mark.parametrize("seen", [words(), numbers()], ids=["words", "numbers"])
def test_a_plan_survives_json(seen: LabelledImages) -> None:
    plan = fill_up_to(seen)
    again = Fill.from_json(json.loads(json.dumps(asdict(plan))))
    assert again == plan
    assert torch.equal(again.condition("B"), plan.condition("B"))


def test_what_makes_no_plan() -> None:
    with pytest.raises(ValueError, match="need a count"):
        Fill(FONTS, FONTS.categories, {"A": (1, 2)})
    with pytest.raises(ValueError, match="are the categories"):
        Fill(FONTS, ("bold",), {"A": (1,)})
    with pytest.raises(ValueError, match="need values of 2 numbers"):
        Fill(ANGLES, ("all",), {"A": (1,)}, (((1.0,),),))
    with pytest.raises(ValueError, match="without values"):
        Fill(ANGLES, ("all",), {"A": (1,)}, ((),))


def written(folder: Path, seen: LabelledImages, form: str, total: int = 5) -> Fill:
    plan, seen_before = fill_up_to(seen, total), fingerprints(seen.x)
    recipe = Recipe(
        family="painter",
        source_sha256="0" * 64,
        classes=seen.classes,
        image_shape=(1, 8, 8),
        counts=plan.totals,
        seed=1,
        source_augment="none",
        trained_on=trained_on_digest(seen_before),
        format=form,  # type: ignore[arg-type]
        fill=plan,
        batch_size=4,
        shard_size=3,
    )
    synthesize_set(Painter(seen.conditions), recipe, folder, seen_before)
    return plan


@pytest.mark.parametrize("form", ["folder", "shards"])
@pytest.mark.parametrize("seen", [words(), numbers()], ids=["words", "numbers"])
def test_a_stored_set_gives_back_images_and_conditions(
    tmp_path: Path, seen: LabelledImages, form: str
) -> None:
    plan = written(tmp_path / "set", seen, form)
    images = read_set(tmp_path / "set").images
    expected = synthesize_combinations(Painter(seen.conditions), plan, seed=1)
    assert images.conditions == seen.conditions
    assert torch.equal(images.condition, expected.condition)
    assert torch.equal(to_uint8(images.x), to_uint8(expected.x))
    first = read_set(tmp_path / "set", per_class=2).images
    parts = [plan.condition(name)[:2] for name in seen.classes]
    assert torch.equal(first.condition, torch.cat(parts))
    assert read_recipe(tmp_path / "set").fill == plan


@pytest.mark.parametrize("seen", [words(), numbers()], ids=["words", "numbers"])
def test_metadata_names_every_file(tmp_path: Path, seen: LabelledImages) -> None:
    written(tmp_path / "set", seen, "folder")
    with (tmp_path / "set/metadata.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    files = sorted(p.relative_to(tmp_path / "set").as_posix() for p in tmp_path.rglob("*.png"))
    assert [row["file_name"] for row in rows] == files
    images = read_set(tmp_path / "set").images
    assert [row["label"] for row in rows] == [images.classes[label] for label in images.y]
    if seen.conditions.are_numbers:
        found = torch.tensor([[float(row["azimuth"]), float(row["elevation"])] for row in rows])
        assert torch.equal(found, images.condition)
        assert {row["elevation"] for row in rows} == {"0.0", "0.1"}
    else:
        assert [row["font"] for row in rows] == [FONTS.categories[i] for i in images.condition]


@pytest.mark.filterwarnings("ignore")  # of the library itself
@pytest.mark.parametrize("seen", [words(), numbers()], ids=["words", "numbers"])
def test_hugging_face_reads_labels_and_conditions(tmp_path: Path, seen: LabelledImages) -> None:
    datasets = pytest.importorskip("datasets", reason="Hugging Face datasets is not installed")
    written(tmp_path / "set", seen, "folder")
    found = datasets.load_dataset(
        "imagefolder",
        data_dir=str(tmp_path / "set"),
        split="train",
        cache_dir=str(tmp_path / "cache"),
    )
    images = read_set(tmp_path / "set").images
    assert found["label"][:] == [images.classes[label] for label in images.y]
    pixels = [torch.from_numpy(np.asarray(one)) for one in found["image"]]
    assert torch.equal(torch.stack(pixels)[:, None], to_uint8(images.x))
    if seen.conditions.are_numbers:
        columns = torch.tensor([found["azimuth"][:], found["elevation"][:]])
        assert torch.equal(columns.T.float(), images.condition)
    else:
        assert found["font"][:] == [FONTS.categories[i] for i in images.condition]
    del found
    gc.collect()  # the library leaves metadata.csv open; a later test would be blamed for it


def test_a_shards_json_names_the_condition(tmp_path: Path) -> None:
    written(tmp_path / "set", words(), "shards")
    with tarfile.open(tmp_path / "set/shard-00001-00000.tar") as tar:
        member = next(m for m in tar if m.name.endswith(".json"))
        info = json.load(tar.extractfile(member))  # type: ignore[arg-type]
    assert info["condition"] == {"font": "bold"}
    assert not (tmp_path / "set/metadata.csv").exists()


def test_a_cut_off_set_is_finished_to_the_same_bytes(tmp_path: Path) -> None:
    for folder in ("whole", "cut"):
        written(tmp_path / folder, words(), "folder")
    whole = {p.name: p.read_bytes() for p in (tmp_path / "whole").rglob("*") if p.is_file()}
    (tmp_path / "cut/metadata.csv").unlink()
    lines = (tmp_path / "cut/manifest.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "cut/manifest.jsonl").write_text("".join(lines[:1]))
    written(tmp_path / "cut", words(), "folder")
    assert {p.name: p.read_bytes() for p in (tmp_path / "cut").rglob("*") if p.is_file()} == whole
    with pytest.raises(DataError, match="fill"):
        written(tmp_path / "cut", words(), "folder", total=6)


def test_spread_gives_every_condition_its_share() -> None:
    assert spread_evenly(words(), {"A": 3}).counts == {"A": (2, 1, 0)}
    assert spread_evenly(numbers(), {"B": 8}).totals == {"B": 8}


def test_a_mix_takes_a_set_with_conditions(tmp_path: Path) -> None:
    written(tmp_path / "set", words(), "folder", total=3)
    real = TensorDataset(torch.zeros(6, 1, 8, 8), words().y)
    mix = SyntheticMix(real, tmp_path / "set", classes=("A", "B"))
    assert mix.synthetic_counts == {"A": 2, "B": 4}
    assert len(mix[6]) == 2
    assert torch.equal(mix.synthetic_condition, read_set(tmp_path / "set").images.condition)
