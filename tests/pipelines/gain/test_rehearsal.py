"""The rehearsal of ``gain``: what it says of made-up outputs, a small run, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from augmentor.common.conditions import Conditions
from augmentor.common.types import LabelledImages
from augmentor.data.combinations import Bins, Combinations
from augmentor.data.fingerprint import fingerprints
from downstream.comparison import expected_overlap, measured_overlap
from downstream.metrics import Outputs
from pipelines import cli
from pipelines.cli.plans import rows_of_run
from pipelines.config import Config, ConfigError, config_from, dump_config
from pipelines.experiment.parts import PartStore, digest_of_images
from pipelines.gain.plan import GainPlan, gain_plan
from pipelines.gain.rehearsal import rehearsal_verdict, summary, worth
from pipelines.gain.run import gain_run, report_again
from pipelines.results import read_result
from pipelines.workbench.training_parts import bins_of_bundle
from tests.pipelines.html_page import Page

COUNTS = torch.tensor([[5, 5, 0], [5, 5, 5], [0, 2, 0]])
NAMES = {"chosen": "factored", "best_without_generator": "trivialaugment"}
TABLE = Combinations(("A", "B", "C"), Bins(("dawn", "noon", "dusk")), COUNTS)
ARMS = ["trivialaugment", "factored", "auto"]
RARE = {"classes": 5, "images": 4, "conditions": 2}
LOOKS = {"data": "digits-conditions", "size": 16, "condition": ["look"], "rare": RARE}


def tiny(**changes: Any) -> Config:
    """Everything real, but with a few steps only."""
    whole: dict[str, Any] = {
        "data": LOOKS,
        "source": {
            "family": "cvae",
            "steps": 10,
            "batch_size": 16,
            "options": {"width": 4, "latent_dim": 4},
        },
        "classifier": {"steps": 10, "batch_size": 16},
        "gain": {
            "arms": ARMS,
            "candidates": ["trivialaugment"],
            "replicates": 2,
            "shares": [0.5],
            "rehearse": True,
            "rehearsal_folds": 1,
        },
        "device": "cpu",
        "threads": 1,
    }
    for key, value in changes.items():
        whole[key] = {**whole[key], **value} if isinstance(value, dict) else value
    return config_from(whole)


def fold(y: list[int], bins: list[int], right: list[int]) -> Outputs:
    """What a classifier says that is right about some images, and else names the next class."""
    classes = torch.tensor(y)
    named = torch.where(torch.tensor(right, dtype=torch.bool), classes, (classes + 1) % 3)
    return Outputs(
        y=classes,
        class_probs=torch.nn.functional.one_hot(named, 3).half(),
        combination=classes * 3 + torch.tensor(bins),
        coverage=torch.full_like(classes, 2),
    )


def folds(right: list[int]) -> list[Outputs]:
    """Two folds of four images: class A at dawn and noon, B at dawn and dusk."""
    return [fold([0, 0, 1], [0, 1, 0], right[:3]), fold([1], [2], right[3:])]


def test_a_summary_averages_over_classes_and_folds() -> None:
    without, chosen, oracle = folds([1, 0, 0, 0]), folds([0, 1, 1, 0]), folds([1, 1, 1, 1])
    found = summary(without, chosen, oracle, TABLE)
    assert (found["combinations"], found["images"], found["classes"]) == (4, 4, 2)
    assert (found["without"], found["with"], found["ceiling"]) == (0.25, 0.5, 1.0)
    assert found["delta"] == 0.25
    assert found["ci95"] == [-1.0, 1.0]  # two classes tell next to nothing
    told = rehearsal_verdict(found | NAMES)
    assert told["light"] == "amber"
    assert told["advice"] == (
        "Undecided whether to render: recall of hidden combinations went from 25 to 50 %. Real "
        "photos would give 100 %."
    )
    assert told["lines"] == [
        "Hidden on purpose: 4 photos of 4 combinations; recall changed by +25 points (95 % "
        "interval −100 to +100)",
        "A screening: the folds that chose to render measure it too, so the change is rather too "
        "large",
        "Photograph these first: C × dusk; A × dusk; C × dawn",
    ]


def test_a_rise_is_called_one_where_its_interval_lies_above_zero() -> None:
    y, bins = [0, 0, 1, 1, 2, 2], [0, 1, 0, 2, 1, 1]
    without = fold(y, bins, [0, 0, 0, 0, 0, 0])
    chosen = fold(y, bins, [1, 1, 1, 1, 1, 0])
    found = summary([without], [chosen], [chosen], TABLE)
    assert found["ci95"][0] > 0
    told = rehearsal_verdict(found | NAMES)
    assert told["light"] == "green"
    assert told["advice"].startswith("Rendering helps: recall of hidden combinations went from 0 ")
    # Real photos would give no more: none is worth taking.
    assert len(told["lines"]) == 2
    assert told["lines"][1].startswith("A screening: the folds that chose to render measure it too")
    plain = rehearsal_verdict(found | dict.fromkeys(NAMES, "trivialaugment"))
    assert plain["light"] == "amber", "nothing that renders was chosen"
    assert len(plain["lines"]) == 1


def test_a_ceiling_from_too_few_photos_is_called_too_low() -> None:
    found = summary(folds([1, 0, 0, 0]), folds([0, 1, 1, 0]), folds([1, 1, 1, 1]), TABLE) | NAMES
    once = "Of 3 of these combinations there was one photo only"
    told = rehearsal_verdict(found | {"photographed_once": 3})
    assert any(line.startswith(once) for line in told["lines"])
    assert not any("one photo only" in line for line in rehearsal_verdict(found)["lines"])


def test_a_loss_is_not_called_a_rise_and_one_class_has_no_interval() -> None:
    one = [fold([0, 0], [0, 1], right) for right in ([1, 1], [1, 0], [1, 1])]
    found = summary([one[0]], [one[1]], [one[2]], TABLE)
    assert found["ci95"] is None
    told = rehearsal_verdict(found | NAMES)
    assert "went from 100 to 50 %." in told["advice"]
    assert told["light"] == "amber"
    assert "interval" not in told["lines"][0]
    worse = rehearsal_verdict(found | NAMES | {"ci95": [-0.8, -0.2]})
    assert (worse["light"], worse["advice"][:19]) == ("red", "Rendering does harm")


def test_photos_are_worth_what_their_condition_lacks_drawn_towards_the_mean() -> None:
    gap, combination = np.array([1.0, 0.0, 0.0, 1.0]), np.array([0, 1, 3, 5])
    rows = worth(gap, combination, TABLE)
    # Of equals the class with fewer images comes first: C has two, A has ten.
    assert [(row["class"], row["condition"]) for row in rows] == [
        ("C", "dusk"),
        ("A", "dusk"),
        ("C", "dawn"),
    ]
    expected = [(1 + 5 * 0.5) / 6, (1 + 5 * 0.5) / 6, (1 + 5 * 0.5) / 7]
    assert [row["worth"] for row in rows] == pytest.approx(expected)


def test_a_condition_that_no_class_was_seen_in_is_not_to_be_photographed() -> None:
    counts = torch.tensor([[5, 5, 0], [5, 5, 0], [0, 2, 0]])
    rows = worth(np.ones(2), np.array([0, 1]), Combinations(TABLE.classes, TABLE.bins, counts))
    assert [(row["class"], row["condition"]) for row in rows] == [("C", "dawn")]


def test_a_run_chooses_by_rehearsal_and_says_so_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = gain_run(tiny(), tmp_path)
    policy = json.loads((tmp_path / "policy.json").read_text())
    found = policy["rehearsal"]
    assert {"photograph", "delta", "ceiling", "ci95", "chosen"} <= set(found)
    assert found["classes"] == 2  # every third of five well covered ones
    assert found["photographed_once"] == 0
    assert found["photograph"]
    assert policy["screening"]["metric"] == "missing_combinations"
    followed = policy["screening"]["condition_agreement"]
    assert set(followed) == {
        row["name"] for row in policy["screening"]["candidates"] if row["share"]
    }
    assert all(0 <= share <= 1 for share in followed.values())
    assert result["verdict"]["advice"] == rehearsal_verdict(found)["advice"]
    page = (tmp_path / "report.html").read_text()
    assert "Rehearsal" in page
    assert "Hidden on purpose" in page
    assert "<h2>Matrix" in page
    data = json.loads(Page(page).scripts[0])
    assert [one["name"] for one in data["origins"]] == ["real", "rendered", "training"]
    assert all(len(row) == 4 for row in data["origins"][1]["near"])
    assert min(data["origins"][1]["condition"]) >= 0
    again = Page(report_again(tiny(), tmp_path).read_text())
    assert again.scripts == Page(page).scripts, "made anew, it has the same pictures"
    counts = torch.tensor(result["combinations"]["train"])
    assert page.count('class="lack"') == int((counts == 0).sum())
    again = read_result(tmp_path / "gain.json", "gain")
    assert again["policy"]["rehearsal"] == found
    assert {row.status for row in rows_of_run(tmp_path)} == {"finished"}, "pictures, oracle too"

    def train(*_: Any, **__: Any) -> None:
        raise AssertionError("another metric needs no training")

    monkeypatch.setattr(PartStore, "write", train)
    asked = tiny(gain={"metric": "covered_combinations", "metrics": ["worst_combination"]})
    other = gain_run(asked, tmp_path)
    assert other["metric"] == "covered_combinations"
    assert 0 <= other["arms"]["factored"]["mean"] <= 1
    assert other["mixtures"]["factored"] == ("trivialaugment + 75% synthetic, of all combinations")


def test_the_rehearsal_stands_in_the_result_where_auto_is_no_arm(tmp_path: Path) -> None:
    result = gain_run(tiny(gain={"arms": ["classical", "trivialaugment"]}), tmp_path)
    assert result["verdict"]["advice"] == rehearsal_verdict(result["policy"]["rehearsal"])["advice"]


def test_a_dry_run_tells_of_the_rehearsal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.yaml").write_text(dump_config(tiny()))
    command = ["gain", str(tmp_path / "config.yaml"), "--out", str(tmp_path / "out"), "--dry-run"]
    assert cli.main(command) == 0
    plan = capsys.readouterr().out
    assert "rehearsal: 1 fold; each makes a third of the well photographed classes" in plan
    assert max(map(len, plan.splitlines())) <= 80


@pytest.mark.parametrize(
    ("changes", "code", "sentence"),
    [
        (
            {"data": {"condition": None, "rare": None}, "gain": {"arms": ["classical"]}},
            2,
            "a rehearsal needs conditions; give --condition",
        ),
        ({"data": {"rare": None}}, 3, "0 classes are incomplete"),
        (
            {"data": {"rare": None}, "gain": {"arms": ["oracle"], "rehearse": False}},
            2,
            "trains on images that data.rare hides; set it, or leave it out",
        ),
        (
            {
                "data": {"condition": None, "rare": None},
                "gain": {"arms": ["real"], "metric": "missing_combinations", "rehearse": False},
            },
            2,
            "missing_combinations needs conditions; give --condition",
        ),
        (
            {"gain": {"synthetic": ["set"]}},
            2,
            "the generator of a set may have seen, and would show a gain that is none",
        ),
        (
            {"gain": {"metric": "missing_combinations", "rehearse": False}},
            2,
            "auto chooses on training images, which have none of the missing combinations",
        ),
    ],
)
def test_what_cannot_be_rehearsed_is_refused_before_any_training(
    changes: dict[str, Any],
    code: int,
    sentence: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "config.yaml").write_text(dump_config(tiny(**changes)))
    out = tmp_path / "run"
    assert cli.main(["gain", str(tmp_path / "config.yaml"), "--out", str(out)]) == code
    assert sentence in capsys.readouterr().err
    assert not list(out.glob("parts/*"))


def part_names(config: Config, folder: Path) -> set[str]:
    plan = gain_plan(config, folder)
    return {part.file_name for group in plan.expected_groups() for part in group.parts}


def test_other_conditions_or_hidden_combinations_are_other_parts(tmp_path: Path) -> None:
    usual = part_names(tiny(), tmp_path)
    assert part_names(tiny(), tmp_path) == usual
    for rare in ({**RARE, "images": 5}, {**RARE, "classes": 4}):
        assert not part_names(tiny(data={"rare": rare}), tmp_path) & usual
    images = LabelledImages(torch.zeros(2, 1, 8, 8), torch.tensor([0, 1]), ("a", "b"))
    font = Conditions(("font",), ("bold", "light"))
    fonts = [
        LabelledImages(images.x, images.y, images.classes, torch.tensor(one), conditions)
        for one, conditions in (
            ([0, 1], font),
            ([1, 0], font),
            ([0, 1], Conditions(("font",), ("bold", "wide"))),
        )
    ]
    assert len({digest_of_images(one) for one in (images, *fonts)}) == 4


def test_the_path_of_a_folder_names_no_parts_and_its_images_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos(tmp_path / "data", "train", {"sun": 0, "rain": 30})
    photos(tmp_path / "data", "test", {"sun": 0, "rain": 30})
    monkeypatch.chdir(tmp_path)

    def names(path: str) -> set[str]:
        data = {"data": path, "size": 8, "condition": None, "rare": None}
        gain = {"arms": ["classical"], "rehearse": False}
        return part_names(tiny(data=data, gain=gain), tmp_path / "run")

    before = names("data")
    assert names("./data") == names(str(tmp_path / "data")) == before
    # In one process, as in a notebook.
    (tmp_path / "data/test/a/sun/0.png").rename(tmp_path / "data/test/b/sun/from_a.png")
    assert not names("data") & before


def test_a_metadata_file_with_other_conditions_gives_other_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines.experiment import setting

    names = []
    for shift in (0, 1):
        monkeypatch.setattr(
            "pipelines.data.digits.looks_of",
            lambda part, count, shift=shift: (torch.arange(count) + shift) % 8,
        )
        setting._images_digest.cache_clear()
        names.append(part_names(tiny(), tmp_path))
    setting._images_digest.cache_clear()
    assert not names[0] & names[1]


def test_data_without_conditions_name_their_parts_as_before() -> None:
    x = torch.linspace(-1, 1, 4 * 64).view(4, 1, 8, 8)
    images = LabelledImages(x, torch.tensor([0, 1, 0, 1]), ("a", "b"))
    # Made by the version that knew no conditions.
    assert digest_of_images(images, None, x) == "97436aca7e5a36a9"
    config = config_from({"data": {"data": "digits", "size": 8}, "device": "cpu"})
    described = gain_plan(config, Path("unused")).setting.data_description()
    assert described == {"data": {"size": 8}, "images": "8b2ed7ddbb0ac73c"}


def test_the_bins_are_the_same_for_all_replicates(tmp_path: Path, real_data: Path) -> None:
    light = {
        "data": "yaleb19_64",
        "data_root": str(real_data),
        "size": 32,
        "condition": ["azimuth", "elevation"],
        "rare": {"classes": 9, "images": 4, "within": {"azimuth": [-25, 25]}},
    }
    for data in (light, LOOKS):
        plan: GainPlan = gain_plan(tiny(data=data), tmp_path)
        found = []
        for index in range(3):
            found.append(bins_of_bundle(plan.setting.bundle(plan.setting.replicate_seed(index))))
        assert found[0] is not None
        assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("arms", [["factored"], ["classical", "auto"]])
def test_a_family_that_knows_classes_alone_cannot_fill(arms: list[str], tmp_path: Path) -> None:
    gan = {"family": "cgan", "options": {}}
    with pytest.raises(ConfigError, match="knows classes alone; use one of cvae_gan, vae, cvae"):
        gain_plan(tiny(source=gan, gain={"arms": arms, "rehearse": False}), tmp_path)
    plan = gain_plan(
        tiny(source=gan, gain={"arms": ["classical", "synthetic"], "rehearse": False}), tmp_path
    )
    assert plan.arms == ("classical", "synthetic")


@pytest.mark.parametrize("screening", [False, True])
def test_replicates_that_draw_other_rare_classes_share_fewer_images(
    screening: bool, tmp_path: Path
) -> None:
    """The formula takes classes that are whole in one replicate as whole in the other."""
    gain = {"replicates": 4, "arms": ["classical"], "rehearse": False, "screening": screening}
    plan = gain_plan(tiny(gain=gain), tmp_path)
    trains = [plan.setting.bundle(plan.setting.replicate_seed(n)).train for n in range(4)]
    prints = [fingerprints(train.x) for train in trains]
    shared = measured_overlap(prints, [train.y.numpy() for train in trains])
    assert plan.overlap == pytest.approx(shared, rel=0.02)
    formula = expected_overlap(tuple(trains[0].counts.values()), plan.bundle.available)
    assert plan.overlap < formula - 0.1


def photos(root: Path, part: str, looks: dict[str, int]) -> None:
    """Class a is dark and class b is bright, under looks that differ in tone."""
    rng = np.random.default_rng(len(part))
    for label, base in (("a", 30), ("b", 150)):
        for look, shift in looks.items():
            folder = root / part / label / look
            folder.mkdir(parents=True)
            for number in range(4):
                pixels = rng.integers(base + shift, base + shift + 20, (8, 8), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")


def test_a_condition_of_the_test_part_alone_is_noted_and_missing(tmp_path: Path) -> None:
    photos(tmp_path / "data", "train", {"sun": 0, "rain": 30})
    photos(tmp_path / "data", "test", {"sun": 0, "rain": 30, "snow": 60})
    data = {"data": str(tmp_path / "data"), "size": 8, "condition": ["folder"], "rare": None}
    gain = {"arms": ["classical", "factored"], "rehearse": False}
    gain |= {"metric": "missing_combinations", "metrics": ["worst_combination"]}
    result = gain_run(tiny(data=data, gain=gain), tmp_path / "run")
    assert any(
        "1 in the test part alone: cannot be learned (snow)" in one for one in result["notes"]
    )
    assert 0 <= result["arms"]["factored"]["mean"] <= 1


def test_an_own_policy_can_render_combinations_and_then_needs_conditions(tmp_path: Path) -> None:
    own = {"rendered": {"base": "trivialaugment", "share": 0.9, "fill": True}}
    gain = {"arms": ["trivialaugment", "rendered"], "policies": own}
    recipe = gain_plan(tiny(gain=gain), tmp_path).recipe("rendered", None, {})
    assert (recipe.fill, recipe.share, recipe.augment) == (True, 0.9, ("trivialaugment",))
    without = {"data": "digits-conditions", "size": 16, "condition": None, "rare": None}
    with pytest.raises(ConfigError, match=r"rendered.*--condition"):
        gain_plan(tiny(gain={**gain, "rehearse": False}, data=without), tmp_path)
