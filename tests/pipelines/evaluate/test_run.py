from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch import Tensor

import pipelines.evaluate.run
from augmentor.common.randomness import seed_for
from augmentor.common.types import DataError, LabelledImages
from augmentor.data.fingerprint import fingerprints
from downstream.metrics import POINTS
from pipelines.config import ClassifierConfig, Config
from pipelines.datasets import DataBundle
from pipelines.evaluate.run import as_markdown, evaluate_run, report_again
from pipelines.evaluate.tables import evaluate_table
from pipelines.evaluate.verdict import verdict
from pipelines.generators.compared import equal_shares, first_of_each, matched
from pipelines.generators.copied import copies_among, copies_words
from pipelines.generators.load import LoadedRun
from pipelines.generators.quality import (
    PURPOSES,
    EvaluateSettings,
    Evaluation,
    Reference,
    evaluate_source,
    make_reference,
)
from pipelines.progress import Silent
from pipelines.results import read_result

SHORT = ClassifierConfig(steps=3)
QUICK = EvaluateSettings(
    samples=200,
    copies=150,
    judge=ClassifierConfig(steps=120, learning_rate=1e-2, strength=0.5),
    student=ClassifierConfig(steps=60, learning_rate=1e-2, strength=0.0),
    domain="digits",
)


pytestmark = pytest.mark.xdist_group("evaluate")  # judges are trained once


def digits() -> DataBundle:
    data = load_digits()
    x = torch.from_numpy(np.rint(data.images * (255 / 16)).astype(np.float32))[:, None] / 127.5 - 1
    y, classes = torch.from_numpy(data.target), tuple("0123456789")
    train, test = (
        LabelledImages(x[:900], y[:900], classes),
        LabelledImages(x[900:1500], y[900:1500], classes),
    )
    rest = torch.cat([y[:900], y[1500:]]).bincount().tolist()
    bundle = DataBundle("digits", "first 900", train, test, x[1500:], "by position")
    return replace(bundle, available=tuple(rest))


@dataclass
class Replay:
    """Shows images of a class; which one, the latent decides. ``noise`` makes them differ from the
    originals."""

    images: LabelledImages
    noise: float = 0.0
    one_image: bool = False
    deaf: bool = False
    latent_dim: int = 4
    classes: tuple[str, ...] = field(init=False)
    image_shape: tuple[int, int, int] = field(init=False)

    def __post_init__(self) -> None:
        self.classes, self.image_shape = self.images.classes, self.images.image_shape

    def sample(self, y: Tensor, z: Tensor) -> Tensor:
        label = torch.zeros_like(y) if self.deaf else y
        pick = torch.zeros(len(z)) if self.one_image else torch.special.ndtr(z[:, 0])
        rows = [
            torch.nonzero(self.images.y == index).flatten() for index in range(len(self.classes))
        ]
        chosen = torch.stack(
            [
                rows[c][int(p * len(rows[c]))]
                for c, p in zip(label.tolist(), pick.tolist(), strict=True)
            ]
        )
        texture = torch.stack(
            [torch.sin(1000 * row.sum() + torch.arange(64.0)) for row in z]
        ).reshape(-1, 1, 8, 8)
        return (self.images.x[chosen] + self.noise * texture).clamp(-1, 1)


@cache
def reference() -> Reference:
    """What every source of ``QUICK`` would be measured by, trained once."""
    return make_reference(digits(), QUICK, 0, "cpu")


def evaluated(source: Replay, bundle: DataBundle | None = None) -> Evaluation:
    return evaluate_source(source, bundle or digits(), QUICK, 0, Silent(), reference())


@pytest.fixture(scope="module")
def unseen() -> Evaluation:
    """A perfect source: it shows real images that nobody has seen (those of the bundle's pool,
    which is left out)."""
    data = load_digits()
    x = torch.from_numpy(np.rint(data.images * (255 / 16)).astype(np.float32))[:, None] / 127.5 - 1
    source = Replay(
        LabelledImages(x[1500:], torch.from_numpy(data.target[1500:]), tuple("0123456789"))
    )
    return evaluated(source, replace(digits(), pool=None))


@pytest.fixture(scope="module")
def copies() -> Evaluation:
    return evaluated(Replay(digits().train))


def test_a_good_source_looks_like_real_data(unseen: Evaluation) -> None:
    metrics = unseen.result["metrics"]
    answers, fidelity, usefulness = metrics["answers"], metrics["fidelity"], metrics["usefulness"]
    assert answers["real"]["top1"] > 0.9
    assert answers["generated"]["top1"] > 0.9
    assert 5 < answers["generated"]["inception_score"] <= 10
    assert min(fidelity["real"][name] for name in ("precision", "recall", "coverage")) > 0.8
    assert fidelity["generated"]["precision"] > 0.7
    assert usefulness["generated"]["accuracy"] > 0.8
    assert usefulness["real"]["accuracy"] > 0.9
    assert metrics["diversity"]["pixels_ratio"] == pytest.approx(1.0, abs=0.15)
    assert metrics["diversity"]["label_effect"] > 0.7


def test_numbers_of_images_are_stated_and_equal_where_they_must_be(unseen: Evaluation) -> None:
    result = unseen.result
    metrics = result["metrics"]
    assert result["images"] == {"train": 900, "test": 600, "seen": 900}
    assert metrics["answers"]["real"]["images"] == 600
    assert metrics["answers"]["generated"]["images"] == 200
    assert metrics["fidelity"]["generated"]["images"] == 200
    assert 190 <= metrics["fidelity"]["real"]["images"] <= 200
    assert metrics["usefulness"]["generated"]["images"] == 200
    assert metrics["memorisation"]["samples"] == 150
    assert metrics["memorisation"]["unseen"] == 150
    assert set(result["seconds"]) == {"judge", "samples", *metrics}
    json.dumps(result, allow_nan=False)


def test_same_seed_same_numbers_other_seed_others() -> None:
    settings = replace(QUICK, judge=SHORT, student=SHORT, samples=100)
    source, bundle = Replay(digits().train), digits()
    first, again, other = (
        evaluate_source(source, bundle, settings, seed, Silent()) for seed in (0, 0, 1)
    )
    assert first.result["metrics"] == again.result["metrics"]
    assert first.result["metrics"] != other.result["metrics"]
    assert first.pictures["neighbours"].tobytes() == again.pictures["neighbours"].tobytes()


def test_the_global_random_state_stays_as_it_was() -> None:
    settings = replace(QUICK, judge=SHORT, student=SHORT, samples=60)
    before = torch.get_rng_state()
    evaluate_source(Replay(digits().train), digits(), settings, 0, Silent())
    assert torch.equal(before, torch.get_rng_state())


def test_copies_of_training_images_are_reported(copies: Evaluation) -> None:
    memorisation = copies.result["metrics"]["memorisation"]["pixels"]
    assert memorisation["p"] < 1e-20
    assert memorisation["median_sample"] == 0
    assert memorisation["near_copies"] > 0.95
    assert memorisation["copied_share"] > 0.9
    warnings = " ".join(copies.result["warnings"])
    assert "memorised: about" in warnings
    assert "near copies:" in warnings
    found = copies.result["metrics"]["memorisation"]["copies"]
    assert found["found"] > 0.95 * found["looked_at"]
    assert copies.result["metrics"]["memorisation"]["membership"]["at_least"] > 0.6
    assert "reveals its training images: whoever has " in warnings


def test_a_pool_of_unknown_classes_leaves_the_share_of_copies_open() -> None:
    """Its classes may be as unequal as it likes, and the share would be of these."""
    bundle = digits()
    assert bundle.pool is not None
    found = evaluated(Replay(bundle.train), replace(bundle, pool=bundle.pool[:50]))
    for kind in ("pixels", "features"):
        memorisation = found.result["metrics"]["memorisation"][kind]
        assert memorisation["copied_share"] is None
        assert memorisation["near_copies"] > 0.5
    assert "memorised: about" not in " ".join(found.result["warnings"])


def test_unseen_images_are_not_called_copies(unseen: Evaluation) -> None:
    memorisation = unseen.result["metrics"]["memorisation"]["pixels"]
    assert abs(memorisation["copied_share"]) < 3 * memorisation["copied_share_error"]
    assert memorisation["near_copies"] < 0.06
    assert unseen.result["warnings"] == []
    copies = unseen.result["metrics"]["memorisation"]["copies"]
    assert copies["found"] <= 0.02 * copies["looked_at"]
    assert copies["unseen"]["found"] <= 0.02 * copies["unseen"]["looked_at"]
    assert unseen.result["metrics"]["memorisation"]["membership"]["at_least"] < 0.55


def test_five_percent_of_shifted_copies_are_reported() -> None:
    """Too few to move a distribution of distances."""
    data = digits()
    seen, drawn = data.train.x, data.test.x[:152].clone()
    drawn[:8] = torch.nn.functional.pad(seen[40:48], (1, 0), value=-1)[..., :-1]
    copies = copies_among(seen, drawn)
    assert copies["certain"]
    assert "memorised: 8 of 152 rendered images (5.3 %) are near copies" in copies_words(copies)
    assert copies_among(seen[:1], drawn) == {}


def test_a_source_that_ignores_its_latent_is_reported() -> None:
    evaluation = evaluated(Replay(digits().train, one_image=True))
    assert evaluation.result["metrics"]["diversity"]["pixels_ratio"] < 0.02
    assert evaluation.result["metrics"]["fidelity"]["generated"]["recall"] < 0.1
    assert any(
        words.startswith("collapsed: images of 0, 1, 2, 3, 4 and 5 more")
        for words in evaluation.result["warnings"]
    )


def test_a_source_that_ignores_its_label_is_reported() -> None:
    evaluation = evaluated(Replay(digits().train, deaf=True))
    metrics = evaluation.result["metrics"]
    assert metrics["answers"]["generated"]["top1"] == pytest.approx(0.1, abs=0.02)
    assert metrics["diversity"]["label_effect"] < 0.01
    assert (
        sum(words.startswith("ignores the label") for words in evaluation.result["warnings"]) == 2
    )


def test_a_weak_judge_is_reported() -> None:
    settings = replace(QUICK, judge=ClassifierConfig(steps=1), student=SHORT)
    source = Replay(digits().train, noise=0.3)
    evaluation = evaluate_source(source, digits(), settings, 0, Silent())
    assert any(words.startswith("weak judge") for words in evaluation.result["warnings"])


def test_pictures_show_samples_and_their_nearest_training_images(copies: Evaluation) -> None:
    samples, neighbours = copies.pictures["samples"], copies.pictures["neighbours"]
    assert samples.width > 12 * 48
    assert samples.height > 10 * 48
    # A copy stands beside itself: the second tile of a triple is the first one, three pixels apart.
    grid = np.asarray(neighbours)
    left = next(x for x in range(grid.shape[1]) if (grid[100:140, x] != 255).any() and x > 20)
    assert np.array_equal(grid[:, left : left + 48][40:], grid[:, left + 51 : left + 99][40:])


def test_few_real_images_are_used_as_far_as_they_go() -> None:
    bundle = digits()
    few = first_of_each(bundle.train.y, dict.fromkeys(range(10), 1))[:4]
    rare = replace(bundle, train=bundle.train.subset(few), pool=None)
    settings = replace(QUICK, judge=SHORT, student=SHORT, samples=50)
    evaluation = evaluate_source(Replay(bundle.train), rare, settings, 0, Silent())
    real = evaluation.result["metrics"]["fidelity"]["real"]
    assert real == {"images": 4} | dict.fromkeys(
        ("fid", "kid", "precision", "recall", "density", "coverage")
    )
    assert evaluation.result["metrics"]["fidelity"]["generated"]["images"] == 50


def test_a_source_of_other_classes_or_size_is_refused() -> None:
    other = replace(digits(), train=replace(digits().train, classes=tuple("abcdefghij")))
    with pytest.raises(DataError, match="the source has classes"):
        evaluate_source(Replay(digits().train), other, QUICK, 0, Silent())
    larger = replace(digits(), train=replace(digits().train, x=torch.zeros(900, 1, 16, 16)))
    with pytest.raises(DataError, match=r"image shape \(1, 8, 8\), the data have \(1, 16, 16\)"):
        evaluate_source(Replay(digits().train), larger, QUICK, 0, Silent())


def loaded_run(trained_on: Tensor) -> LoadedRun:
    source = Replay(digits().train, noise=0.2)
    return LoadedRun(source, Config(), "ab" * 32, fingerprints(trained_on), 123)  # type: ignore[arg-type]


def all_seen() -> Tensor:
    bundle = digits()
    assert bundle.pool is not None
    return torch.cat([bundle.train.x, bundle.pool])


def fake_run(monkeypatch: pytest.MonkeyPatch, trained_on: Tensor) -> None:
    monkeypatch.setattr(
        pipelines.evaluate.run, "load_source", lambda run, device: loaded_run(trained_on)
    )
    monkeypatch.setattr(pipelines.evaluate.run, "load_data", lambda data, seed: digits())


def test_the_job_writes_its_five_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Said(Silent):
        lines: ClassVar[list[str]] = []

        def say(self, line: str) -> None:
            self.lines.append(line)

    fake_run(monkeypatch, all_seen())
    out = tmp_path / "made" / "here"
    result = evaluate_run(
        tmp_path / "digits",
        out,
        samples=200,
        seed=3,
        progress=Said(),
        settings=replace(QUICK, judge=SHORT, student=SHORT),
    )
    rest = f"augmentor train --resume --out {tmp_path / 'digits'} finishes it"
    assert Said.lines[0] == f"trained 123 of 3000 steps; {rest}"
    assert {path.name for path in out.iterdir()} == {
        "evaluate.json",
        "evaluate.md",
        "samples.png",
        "neighbours.png",
        "report.html",
    }
    assert read_result(out / "evaluate.json", "evaluate") == json.loads(
        json.dumps({"schema": 1, **result})
    )
    assert result["source"]["step"] == 123
    assert result["judge"]["domain"] == "digits", (
        "by the name of the data, so that no digit is mirrored"
    )
    assert result["command"] == "augmentor evaluate digits --samples 200 --seed 3"
    assert (
        str(tmp_path) not in (out / "evaluate.json").read_text() + (out / "evaluate.md").read_text()
    )
    with Image.open(out / "samples.png") as picture:
        assert picture.width > 500
    page = (out / "report.html").read_text()
    assert result["verdict"]["advice"].split(":")[0] in page
    assert page.count("data:image/png") == 2
    assert f"augmentor gain {tmp_path / 'digits'}" in page
    own = report_again(Config(), out).read_text()
    assert own == page.replace(str(tmp_path / "digits"), "RUN")
    (out / "checkpoints").mkdir()
    assert f"augmentor gain {out}" in report_again(Config(), out).read_text()


def test_data_of_another_folder_of_the_same_name_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_run(monkeypatch, all_seen()[5:])
    with pytest.raises(DataError, match=r"5 are new, 0 are missing.*'digits'"):
        evaluate_run(tmp_path / "digits", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_verdict_says_what_the_numbers_say(unseen: Evaluation, copies: Evaluation) -> None:
    good, worse = unseen.result, json.loads(json.dumps(unseen.result))
    assert verdict(good)["light"] == "green"
    top1 = good["metrics"]["answers"]["generated"]["top1"]
    assert f"finds the class asked for in {POINTS.shown(top1)}" in verdict(good)["advice"]
    worse["metrics"]["usefulness"]["generated"]["accuracy"] = 0.5
    assert verdict(worse)["light"] == "amber"
    assert "knows 50.0 % of real test images" in verdict(worse)["advice"]
    worse["metrics"]["usefulness"] = good["metrics"]["usefulness"]
    worse["warnings"] = ["weak judge: it guesses"]
    assert verdict(worse)["light"] == "amber"
    assert "it guesses" in verdict(worse)["advice"]
    assert verdict(copies.result)["light"] == "red"
    assert "memorised" in verdict(copies.result)["advice"]


def test_the_table_fits_a_terminal_of_80_columns(unseen: Evaluation) -> None:
    lines = evaluate_table(unseen.result).splitlines()
    assert len(lines) == 11
    assert max(map(len, lines)) <= 80
    assert f"{100 * unseen.result['metrics']['answers']['real']['top1']:.2f}" in lines[1]


def test_the_page_shows_the_row_real_data_and_the_warnings(unseen: Evaluation) -> None:
    origin = {"command": "augmentor evaluate x", "device": "cpu", "versions": {"torch": "2"}}
    names = ("family", "preset", "step", "source_augment", "checkpoint_sha256")
    said = {"advice": "Look at them.", "lines": []}
    page = as_markdown(
        unseen.result
        | origin
        | {"source": dict.fromkeys(names, "s"), "warnings": ["look out"], "verdict": said}
    )
    table = [
        line
        for line in page.splitlines()
        if line.startswith(("| |", "| real data |", "| generated |"))
    ]
    assert len(table) == 3
    assert len({line.count("|") for line in table}) == 1
    top1 = unseen.result["metrics"]["answers"]["real"]["top1"]
    assert table[1].startswith(f"| real data | {100 * top1:.2f} |")
    assert "**Warning**: look out." in page
    assert "nan" not in page


def test_a_source_that_saw_a_test_image_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_run(monkeypatch, torch.cat([digits().train.x, digits().test.x[:7]]))
    with pytest.raises(DataError, match="trained on 7 of the test images"):
        evaluate_run(tmp_path / "run", settings=QUICK)
    assert list(tmp_path.iterdir()) == []


def test_equal_shares() -> None:
    assert equal_shares(11, 4) == {0: 3, 1: 3, 2: 3, 3: 2}
    assert equal_shares(2, 3) == {0: 1, 1: 1, 2: 0}


def test_matched_subsets_have_equal_classes_and_no_repeats() -> None:
    first, second = torch.tensor([0, 0, 0, 1, 2, 2]), torch.tensor([2, 0, 0, 3, 2, 2])
    one, other = matched(first, second, 4, torch.Generator().manual_seed(0))
    assert first[one].tolist() == second[other].tolist() == [0, 0, 2, 2]
    assert len(set(one.tolist())) == len(set(other.tolist())) == 4


def test_every_purpose_and_seed_has_a_seed_of_its_own(unseen: Evaluation) -> None:
    seeds = unseen.result["seeds"]
    assert tuple(seeds) == PURPOSES
    assert seeds == {purpose: seed_for(purpose, 0) for purpose in PURPOSES}
    assert len(set(seeds.values())) == len(PURPOSES)


def test_a_reference_made_before_changes_nothing() -> None:
    settings = replace(QUICK, judge=SHORT, student=SHORT, samples=60)
    source, bundle = Replay(digits().train), digits()
    reference = make_reference(bundle, settings, 2, "cpu")
    given = evaluate_source(source, bundle, settings, 2, Silent(), reference)
    made = evaluate_source(source, bundle, settings, 2, Silent())
    assert given.result["metrics"] == made.result["metrics"]
