from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from augmentor.common.randomness import seed_for
from augmentor.common.types import DataError
from augmentor.data.fingerprint import fingerprints
from downstream.trainer import ClassifierTrainer
from pipelines import cli
from pipelines.config import ConfigError, config_from
from pipelines.edit import files as edit
from pipelines.edit import identity_quality as job
from pipelines.edit.identity_quality import (
    cases_of,
    identity_quality,
    identity_quality_run,
    render,
)
from pipelines.generators.load import LoadedRun
from pipelines.verify.pairs import read_pairs
from tests.pipelines.faces import SIDE, write_pairs, write_people

SHAPE = (3, SIDE, SIDE)


class Swapper:
    """Renders the identity photo, or that of the attributes, as it is."""

    classes = tuple(f"a{person}" for person in range(6))
    image_shape = SHAPE
    latent_dim = 1

    def __init__(self, faithful: bool) -> None:
        self.faithful = faithful

    def sample(self, y: Tensor, z: Tensor) -> Tensor:
        return torch.zeros(len(z), *SHAPE)

    def encode(self, x: Tensor, y: Tensor) -> Tensor:
        return torch.zeros(len(x), 1)

    def render(self, identity_image: Tensor, attribute_image: Tensor) -> Tensor:
        return identity_image if self.faithful else attribute_image


class MeanColour(nn.Module):
    """A judge that needs no training: the mean colour of an image, less that of an even grey
    one."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward_features(self, x: Tensor) -> Tensor:
        return x

    def forward_head(self, x: Tensor, pre_logits: bool) -> Tensor:
        return x.mean(dim=(2, 3))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_people(tmp_path / "people")
    return write_pairs(tmp_path / "pairs", folds=3, people=4, photos=3)


def use(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    source: Any,
    trained_on: np.ndarray | None = None,
    **sections: Any,
) -> None:
    values = sections | {
        "data": {"data": str(folder.parent / "people"), "size": SIDE},
        "threads": 1,
        "device": "cpu",
    }
    values |= {"source": {"family": "ip_gan"}, "classifier": {"batch_size": 16, "strength": 0.0}}
    seen = np.array([1], np.int64) if trained_on is None else trained_on
    loaded = LoadedRun(source, config_from(values), "a" * 64, seen, 7)
    for module in (job, edit):
        monkeypatch.setattr(module, "load_source", lambda run, device: loaded)


def test_cases_are_two_people_of_one_fold_and_a_third_photo(folder: Path) -> None:
    pairs = read_pairs(folder, SHAPE)
    cases = cases_of(pairs)
    assert len(cases.folds) == int((~pairs.same).sum())
    for who, how, other, fold in zip(
        cases.identity, cases.attributes, cases.other, cases.folds, strict=True
    ):
        assert pairs.people[who] == pairs.people[other] != pairs.people[how]
        assert who != other
        assert {pairs.people[image].split("-")[0] for image in (who, how, other)} == {f"b{fold}"}
    single = read_pairs(write_pairs(folder.parent / "single", photos=2), SHAPE).of_folds([0])
    with pytest.raises(DataError, match="two photos or more"):
        cases_of(single)


@pytest.mark.parametrize("faithful", [True, False])
def test_shares_of_sources_that_cannot_be_better_or_worse(folder: Path, faithful: bool) -> None:
    pairs = read_pairs(folder, SHAPE)
    cases, source = cases_of(pairs), Swapper(faithful)
    rendered = render(source, pairs.x, cases.identity, cases.attributes)
    found = identity_quality(
        MeanColour(),
        pairs,
        cases,
        rendered,
        render(source, pairs.x, cases.identity, cases.identity),
    )
    shares = found["shares"]
    assert found["cases"] == len(cases.folds)
    if faithful:  # a render is a real photo of the person
        assert shares["rendered"]["identity"] == shares["real"]["identity"]
        assert shares["rendered"]["identity_only"] == shares["real"]["identity_only"]
        assert shares["rendered"]["given_photo"]["share"] == 1
    else:
        assert shares["rendered"]["attributes"]["share"] == 1
        assert shares["rendered"]["identity_only"]["accepted"] == 0
    assert shares["own"]["given_photo"]["share"] == 1
    for share in (*shares["rendered"].values(), *found["real_pairs"].values()):
        assert (
            share["ci95"][0]
            <= share["share"]
            == share["accepted"] / share["of"]
            <= share["ci95"][1]
        )
    assert (
        found["real_pairs"]["different"]["share"] < 0.1
    )  # one in a hundred of other folds is let pass


def test_end_to_end(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use(monkeypatch, folder, Swapper(True))
    out = folder.parent / "run"
    command = [
        "edit",
        "identity-quality",
        str(folder.parent),
        "--pairs",
        str(folder),
        "--judge-steps",
        "20",
    ]
    assert cli.main([*command, "--out", str(out)]) == 0
    assert "a real photo in its place" in capsys.readouterr().out
    result = json.loads((out / "identity_quality.json").read_text())
    assert (result["schema"], result["step"], result["judge"]["people"]) == (1, 7, 6)
    assert {"command", "versions", "device", "seconds"} <= set(result)
    for name in ("identity_quality.png", "identity_quality_renders.png"):
        with Image.open(out / name) as picture:
            assert min(picture.size) > 5 * SIDE
    assert (
        "whom neither the source nor the judge has seen"
        in (out / "identity_quality.md").read_text()
    )


def test_the_judge_learns_from_folds_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, folder, Swapper(True))
    result = identity_quality_run(
        folder, str(folder), folder.parent / "out", train_folds=[2], judge_steps=2
    )
    assert (result["judge"]["people"], result["pairs"]["folds"]) == (10, [0, 1])


def test_a_source_that_knows_the_people_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, folder, Swapper(True), fingerprints(read_pairs(folder, SHAPE).x[:1]))
    with pytest.raises(DataError, match=r"learned from the image images/b0-0/0\.png"):
        identity_quality_run(folder, str(folder), folder.parent / "out")


def test_a_source_without_identities_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, folder, object())
    with pytest.raises(
        ConfigError, match="takes no identity from an image, as identity-quality must"
    ):
        identity_quality_run(folder, str(folder), folder.parent / "out")


def test_the_judge_is_not_what_another_job_was_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: dict[str, Any] = {}

    def spy(images: Any, draw_weights: None, trainer: ClassifierTrainer, **how: Any) -> nn.Module:
        told.update(how, trainer=trainer, draw_weights=draw_weights)
        return MeanColour()

    use(monkeypatch, folder, Swapper(True), verify={"head": "arcface", "weights": "x"})
    monkeypatch.setattr(job, "train_verifier", spy)
    result = identity_quality_run(folder, str(folder), folder.parent / "out", judge_steps=9)
    assert (told["head"], told["margin"], told["draw_weights"]) == ("softmax", None, None)
    assert (told["trainer"].settings.steps, told["trainer"].weights) == (9, None)
    assert told["seed"] == result["judge"]["seed"] == seed_for("judge", 0)
