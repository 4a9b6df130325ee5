from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from augmentor.common.types import DataError, LabelledImages
from augmentor.data.fingerprint import fingerprints
from augmentor.data.synthetic_store import Recipe, trained_on_digest, write_set
from pipelines import cli
from pipelines.config import Config, ConfigError, config_from, load_config
from pipelines.experiment.setting import setting_of
from pipelines.results import read_result
from pipelines.verify.pairs import read_pairs
from pipelines.verify.plan import arms_of, merged, split_pairs
from pipelines.verify.run import report_again, verify_run
from pipelines.verify.scores import BASELINE, REAL_PEOPLE
from tests.pipelines.faces import SIDE, photo, write_pairs, write_people

SHAPE = (3, SIDE, SIDE)


def write_synthetic(
    folder: Path, people: dict[str, int], trained_on: np.ndarray | None = None
) -> Path:
    """A stored set: photos 50 and on of the person of every number, by name."""
    seen = np.array([1], np.int64) if trained_on is None else trained_on
    numbers = list(people.values())
    recipe = Recipe(
        family="none",
        source_sha256="a" * 64,
        classes=(*people, "unused"),
        image_shape=SHAPE,
        counts=dict.fromkeys(people, 3),
        seed=0,
        source_augment="none",
        trained_on=trained_on_digest(seen),
    )

    def render(index: int, n: int, start: int) -> tuple[torch.Tensor, torch.Tensor]:
        candidates = torch.arange(start, start + n)
        photos = np.stack([photo(numbers[index], 50 + number) for number in candidates.tolist()])
        return torch.from_numpy(photos).permute(0, 3, 1, 2) / 127.5 - 1, candidates

    write_set(folder, recipe, seen, render)
    return folder


@pytest.fixture
def config(tmp_path: Path) -> Config:
    write_people(tmp_path / "people")
    write_pairs(tmp_path / "pairs")
    return config_for(tmp_path)


def config_for(root: Path, **verify: Any) -> Config:
    values: dict[str, Any] = {
        "data": {"data": str(root / "people"), "size": SIDE},
        "threads": 1,
        "device": "cpu",
    }
    values["classifier"] = {"steps": 30, "batch_size": 16, "strength": 0.0}
    values["verify"] = {"pairs": str(root / "pairs"), "replicates": 1} | verify
    return config_from(values)


def loaded(config: Config) -> Any:
    """Training images of the first replicate, the pairs, and the arms."""
    setting = setting_of(config)
    train = setting.bundle(setting.replicate_seed(0)).train
    return train, *arms_of(setting, config.verify, train)


def test_end_to_end_with_both_strategies(
    config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = write_synthetic(tmp_path / "more-images", {"a0": 0, "a1": 1})
    new = write_synthetic(tmp_path / "new-people", {"n0": 70, "n1": 71})
    v = {"synthetic": [str(more), str(new)], "replicates": 2}
    result = verify_run(config_for(tmp_path, **v), tmp_path / "out", command="augmentor verify")
    assert read_result(tmp_path / "out" / "verify.json", "verify") == {"schema": 2, **result}
    arms = result["arms"]
    found = {name: (arm["images"], arm["people"], arm["synthetic"]) for name, arm in arms.items()}
    assert found == {BASELINE: (36, 6, 0), "more-images": (42, 6, 6), "new-people": (42, 8, 6)}
    assert result["pairs"]["people"] == 9
    assert (result["pairs"]["same"], result["pairs"]["different"]) == (9, 36)
    assert arms[BASELINE]["auc"]["mean"] > 0.8  # people are told by their colours
    rows = [row for row in result["comparisons"] if row["metric"] == "accuracy"]
    assert [row["arm"] for row in rows] == ["more-images", "new-people"]
    delta = arms["new-people"]["accuracy"]["mean"] - arms[BASELINE]["accuracy"]["mean"]
    assert rows[1]["delta"] == pytest.approx(delta)
    assert any("preliminary" in line for line in result["verdict"]["lines"])
    page = (tmp_path / "out" / "verify.md").read_text()
    assert "| new-people | 42 | 8 |" in page
    assert "`augmentor verify`" in page
    out = tmp_path / "out"
    written = (out / "report.html").read_text()
    assert report_again(load_config(out / "config.yaml"), out).read_text() == written

    # A second run finds all parts; one more replicate makes its own only.
    parts = sorted((tmp_path / "out" / "parts").iterdir())
    assert len(parts) == 6
    before = [path.stat().st_mtime_ns for path in parts]
    again = verify_run(config_for(tmp_path, **v), tmp_path / "out")
    assert again["arms"] == arms
    assert [path.stat().st_mtime_ns for path in parts] == before

    config_file = tmp_path / "faces.json"
    config_file.write_text(json.dumps(config_for(tmp_path, **v).model_dump(mode="json")))
    assert (
        cli.main(
            [
                "verify",
                str(config_file),
                "--replicates",
                "1",
                "--out",
                str(tmp_path / "out"),
                "--json",
            ]
        )
        == 0
    )
    assert json.loads(capsys.readouterr().out)["replicates"] == 1


@pytest.mark.parametrize("head", ["arcface", "cosface"])
def test_margin_heads(config: Config, tmp_path: Path, head: str) -> None:
    result = verify_run(config_for(tmp_path, head=head, margin=0.1), tmp_path / "out")
    assert (result["head"], result["comparisons"]) == (head, [])
    assert result["arms"][BASELINE]["accuracy"]["ci95"] is None
    assert result["arms"][BASELINE]["auc"]["mean"] > 0.7


def test_people_of_folds_join_the_training(config: Config, tmp_path: Path) -> None:
    train = LabelledImages(torch.zeros(2, *SHAPE), torch.tensor([0, 1]), ("x", "y"))
    pairs = read_pairs(tmp_path / "pairs", SHAPE)
    learned, scored = split_pairs(train, pairs, [1])
    assert learned.classes == ("x", "y", "b1-0", "b1-1", "b1-2")
    assert learned.y.tolist() == [0, 1, 2, 2, 3, 3, 4, 4]
    assert scored.fold_numbers == (0, 2)
    assert not set(learned.classes) & set(scored.people)
    with pytest.raises(ConfigError, match="two of the folds"):
        split_pairs(train, pairs, [0, 1])
    with pytest.raises(DataError, match="no fold 9"):
        split_pairs(train, pairs, [9])


def test_real_people_of_folds_are_a_control(config: Config, tmp_path: Path) -> None:
    new = write_synthetic(tmp_path / "new-people", {"n0": 70})
    asked = config_for(tmp_path, synthetic=[str(new)], train_folds=[1], synthetic_share=0.25)
    train, pairs, (base, control, synthetic) = loaded(asked)
    assert pairs.fold_numbers == (0, 2)
    assert base.images(train) is train
    assert not {"b1-0", "b1-1", "b1-2"} & {*train.classes, *synthetic.images(train).classes}
    assert set(control.images(train).classes) - set(train.classes) == {"b1-0", "b1-1", "b1-2"}
    assert (control.name, control.synthetic, synthetic.synthetic) == (REAL_PEOPLE, 0, 3)
    assert float(control.draw_weights(train)[len(train) :].sum()) == pytest.approx(0.25)
    result = verify_run(asked, tmp_path / "out")
    assert [row["arm"] for row in result["comparisons"] if row["metric"] == "accuracy"] == [
        REAL_PEOPLE,
        "new-people",
    ]
    assert result["trained_on_folds"] == [1]
    with pytest.raises(ConfigError, match="two arms would have the name 'real_people'"):
        verify_run(config_for(tmp_path, synthetic=["x/real_people"]), tmp_path / "out")


def test_classes_are_merged_by_name() -> None:
    x = torch.zeros(2, *SHAPE)
    first = LabelledImages(x, torch.tensor([0, 1]), ("a", "b"))
    second = LabelledImages(x + 1, torch.tensor([0, 1]), ("c", "a"))
    both = merged(first, second)
    assert both.classes == ("a", "b", "c")
    assert both.y.tolist() == [0, 1, 2, 0]
    assert torch.equal(both.x[2:], second.x)


def test_synthetic_images_get_their_share(config: Config, tmp_path: Path) -> None:
    folder = write_synthetic(tmp_path / "more", {"a0": 0, "n0": 70})
    train, _, arms = loaded(config_for(tmp_path, synthetic=[str(folder)], synthetic_share=0.25))
    weights = arms[1].draw_weights(train)
    assert float(weights.sum()) == pytest.approx(1)
    assert float(weights[-6:].sum()) == pytest.approx(0.25)
    assert arms[1].images(train).classes[-1] == "n0"  # the class without images is none to learn


def test_a_source_or_network_that_knows_the_people_is_refused(
    config: Config, tmp_path: Path
) -> None:
    pairs = read_pairs(tmp_path / "pairs", SHAPE)
    seen = write_synthetic(tmp_path / "seen", {"n0": 70}, fingerprints(pairs.x[:1]))
    with pytest.raises(
        DataError, match=r"source of .*seen learned from the image images/b0-0/0\.png"
    ):
        verify_run(config_for(tmp_path, synthetic=[str(seen)]), tmp_path / "out")
    known = write_synthetic(tmp_path / "known", {"b1-0": 70})
    with pytest.raises(DataError, match="learned from 'b1-0'"):
        verify_run(config_for(tmp_path, synthetic=[str(known)]), tmp_path / "out")
    (tmp_path / "people" / "train" / "a0").rename(tmp_path / "people" / "train" / "b0-0")
    (tmp_path / "people" / "test" / "a0").rename(tmp_path / "people" / "test" / "b0-0")
    with pytest.raises(DataError, match="the network learned from 'b0-0'"):
        verify_run(config, tmp_path / "out")


def test_what_is_asked_for_must_make_sense(
    config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigError, match=r"verify\.pairs: name the folder"):
        verify_run(config.model_copy(update={"verify": type(config.verify)()}), tmp_path / "out")
    with pytest.raises(ConfigError, match="two arms would have the name 'set'"):
        verify_run(config_for(tmp_path, synthetic=["x/set", "y/set"]), tmp_path / "out")
    with pytest.raises(ValueError, match="arcface needs a margin"):
        verify_run(config_for(tmp_path, head="arcface", margin=3.0), tmp_path / "out")
    assert cli.main(["verify", "--data", str(tmp_path / "people")]) == 2
    assert "--pairs" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_dry_run_speaks_of_pairs_and_of_no_generator(
    config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "faces.json"
    file.write_text(json.dumps(config.model_dump(mode="json")))
    assert cli.main(["verify", str(file), "--out", str(tmp_path / "out"), "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "scored: 9 pairs of one person and 36 of two, 9 people in 3 folds\n" in out
    assert "network: auto, softmax head, 30 steps\n" in out
    assert "arms: no extra data\n" in out
    assert "test images" not in out
    assert "generator" not in out
