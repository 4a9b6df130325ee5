from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from augmentor.common.types import LabelledImages
from augmentor.data.splits import tuning_split
from pipelines.config import Config, config_from
from pipelines.datasets import DataBundle
from pipelines.gain import policy
from pipelines.gain.policy import (
    candidates,
    choose,
    most_prudent,
    policy_of,
    standard_error,
    tune,
    tuning_parts,
)
from pipelines.gain.recipes import USUAL_BASES, Policy, Recipe

CONFIG = config_from(
    {"gain": {"shares": [0.5, 0.25], "confidences": [0.0, 0.5], "tuning_splits": 2}}
)


def split(y: list[int], **predictions: list[int]) -> dict[str, Any]:
    return {"y": y, "predictions": predictions}


def full(y: list[int], wrong: dict[str, range], config: Config = CONFIG) -> dict[str, Any]:
    """A split in which every candidate is wrong on the images of its range, or of
    ``wrong["else"]``."""
    guesses = {}
    for candidate in candidates(config, pool=True):
        missed = wrong.get(candidate.name, wrong["else"])
        guesses[candidate.name] = [1 - label if i in missed else label for i, label in enumerate(y)]
    return {"y": y, "predictions": guesses}


def test_candidates_begin_with_every_generator_free_base() -> None:
    names = [candidate.name for candidate in candidates(CONFIG, pool=True)]
    assert tuple(names[:9]) == USUAL_BASES
    assert len(names) == 9 + 2 * 2 * 2
    assert len(set(names)) == len(names)
    assert not any("pseudo_label" in candidate.name for candidate in candidates(CONFIG, pool=False))


def test_a_share_of_none_is_not_offered_twice() -> None:
    config = config_from({"gain": {"shares": [0.0, 0.5], "confidences": [0.0]}})
    names = [candidate.name for candidate in candidates(config, pool=False)]
    assert names[5:] == ["smote+classical", "classical + 50% synthetic"]


def test_standard_error_by_hand() -> None:
    # Classes of 2 and 1 images: weights 1/4, 1/4, 1/2. The two differ on images 0 and 2.
    one = split([0, 0, 1], real=[0, 0, 1], classical=[1, 0, 0])
    first, second = Policy("real"), Policy("classical")
    assert standard_error([one], first, second) == pytest.approx((1 / 16 + 1 / 4) ** 0.5)
    assert standard_error([one, one], first, second) == pytest.approx(
        (2 * (1 / 64 + 1 / 16)) ** 0.5
    )
    assert standard_error([one], first, first) == 0.0


def test_standard_error_is_the_spread_under_random_signs() -> None:
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(3, (40,), generator=generator)
    a, b = (
        torch.where(torch.rand(40, generator=generator) < 0.7, y, (y + 1) % 3) for _ in range(2)
    )
    one = split(y.tolist(), real=a.tolist(), classical=b.tolist())
    weight = 1 / (3 * torch.bincount(y)[y].double())
    difference = weight * ((a == y).double() - (b == y).double())
    signs = torch.randint(2, (20_000, 40), generator=generator).double() * 2 - 1
    assert standard_error([one], Policy("real"), Policy("classical")) == pytest.approx(
        float((signs @ difference).std()), rel=0.02
    )


def test_a_clear_winner_with_synthetic_data_is_chosen() -> None:
    y = [0, 1] * 30
    winner = Policy("pseudo_label", 0.25, 0.5)
    document = choose(
        [full(y, {"else": range(30), winner.name: range(2)})] * 2, CONFIG, 2, pool=True
    )
    assert policy_of(document) == winner
    assert [row["name"] for row in document["tuning"]["candidates"] if row["chosen"]] == [
        winner.name
    ]
    assert winner.name in document["words"]


def test_a_narrow_winner_does_not_displace_the_generator_free_best() -> None:
    y = [0, 1] * 30
    wrong = {
        "else": range(20),
        "pseudo_label": range(3),
        Policy("pseudo_label", 0.5).name: range(3, 5),
    }
    document = choose([full(y, wrong)] * 2, CONFIG, 2, pool=True)
    assert policy_of(document) == Policy("pseudo_label")
    assert document["share"] == 0
    assert document["confidence"] is None
    assert "no synthetic images" in document["words"]


def test_the_smaller_of_two_shares_wins_a_narrow_race() -> None:
    y = [0, 1] * 30
    small, large = Policy("classical", 0.25), Policy("classical", 0.5)
    wrong = {"else": range(40), small.name: range(3), large.name: range(3, 5)}
    document = choose([full(y, wrong)] * 2, CONFIG, 2, pool=True)
    assert policy_of(document) == small


def test_among_equals_the_first_augmented_one() -> None:
    document = choose([full([0, 1] * 5, {"else": range(2)})], CONFIG, 2, pool=True)
    assert policy_of(document) == Policy("logit_adjusted")
    assert (
        document["best_classical"] == "logit_adjusted"
    )  # the yardstick is not a plainer arm that scored alike


def test_where_augmentation_does_harm_auto_leaves_it_out() -> None:
    y = [0, 1] * 30
    document = choose([full(y, {"else": range(30), "real": range(4)})] * 2, CONFIG, 2, pool=True)
    assert policy_of(document) == Policy("real")
    assert document["best_classical"] == "real"
    equal = {"else": range(30), "classical": range(4), "real": range(5, 9)}
    assert policy_of(choose([full(y, equal)] * 2, CONFIG, 2, pool=True)) == Policy("classical")


def test_the_best_classical_arm_is_named_whatever_is_chosen() -> None:
    y = [0, 1] * 30
    document = choose(
        [full(y, {"else": range(40), "smote+classical": range(20), "pseudo_label": range(2)})],
        CONFIG,
        2,
        pool=True,
    )
    assert document["best_classical"] == "smote+classical"
    assert policy_of(document) == Policy("pseudo_label")


def test_without_tuning_images_classical_augmentation_alone() -> None:
    document = choose([split([]), split([])], CONFIG, 2, pool=True)
    assert policy_of(document) == Policy("classical")
    assert "four images" in document["words"]
    assert (
        document["best_classical"] is document["best_with_pool"] is None
    )  # none is known to be the best
    assert document["tuning"]["candidates"] == []


@pytest.mark.parametrize("size", [13, 39, 133])
def test_one_image_more_is_one_standard_error_and_no_reason_for_synthetic_images(size: int) -> None:
    y = [index % 3 for index in range(size)]
    nothing, everything = range(0), range(size)
    wrong = {"else": everything, "classical": range(1), "classical + 50% synthetic": nothing}
    document = choose(
        [full(y, wrong), full(y, wrong | {"classical": nothing})], CONFIG, 3, pool=False
    )
    assert document["name"] == "classical"


@pytest.mark.parametrize(
    ("errors", "chosen"),
    [
        ([0.0, 0.05, 0.0, 0.0], 1),
        ([0.05, 0.05, 0.02, 0.0], 1),
        ([0.04, 0.01, 0.02, 0.0], 2),
        ([0.0] * 4, 3),
    ],
)
def test_the_most_prudent_is_the_best_of_the_smallest_share_that_is_near_enough(
    errors: list[float], chosen: int
) -> None:
    policies = [
        Policy("classical"),
        Policy("pseudo_label"),
        Policy("classical", 0.25),
        Policy("classical", 0.5),
    ]
    means = [0.90, 0.91, 0.94, 0.95]
    assert (
        most_prudent(policies, means, lambda best, other: errors[policies.index(other)]) == chosen
    )


@pytest.mark.parametrize(
    ("error", "chosen", "with_real"),
    [(0.011, "pseudo_label", True), (0.009, "real", True), (0.009, "mixup", False)],
)
def test_augmentation_is_left_out_for_more_than_a_standard_error_only(
    error: float, chosen: str, with_real: bool
) -> None:
    policies = [Policy(base) for base in ("real", "classical", "pseudo_label", "mixup")]
    means = [0.38, 0.33, 0.37, 0.36 if with_real else 0.39]
    assert policies[most_prudent(policies, means, lambda best, other: error)].base == chosen


@pytest.mark.parametrize(
    ("error", "chosen"),
    [(0.025, "pseudo_label"), (0.015, "joint_label"), (0.005, "pseudo_label + 25% synthetic")],
)
def test_labels_from_a_generator_have_to_be_better_than_a_standard_error_too(
    error: float, chosen: str
) -> None:
    policies = [Policy("joint_label"), Policy("pseudo_label", 0.25), Policy("pseudo_label")]
    assert (
        policies[most_prudent(policies, [0.91, 0.92, 0.90], lambda best, other: error)].name
        == chosen
    )


def test_the_yardsticks_are_what_the_choice_would_be() -> None:
    y = [0, 1] * 30
    wrong = {
        "else": range(30),
        "real": range(3),
        "classical": range(3, 7),
        "pseudo_label": range(20),
    }
    assert choose([full(y, wrong)] * 2, CONFIG, 2, pool=True)["best_classical"] == "classical"
    wrong["real"] = range(0)
    assert choose([full(y, wrong)] * 2, CONFIG, 2, pool=True)["best_classical"] == "real"


class RecordingBench:
    """Stands for the bench: remembers what it was given, and always guesses class 0."""

    made: list[RecordingBench] = []

    def __init__(
        self, train: LabelledImages, pool: Any, config: Config, seed: int, *_: object
    ) -> None:
        self.train, self.seed = train, seed
        self.seconds: dict[str, float] = {}
        self.notes: list[str] = []
        self.recipes: list[Recipe] = []
        self.made.append(self)

    def classifier(self, recipe: Recipe) -> nn.Module:
        self.recipes.append(recipe)

        class Zero(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.unused = nn.Parameter(torch.zeros(1))

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return torch.tensor([1.0, 0.0]).expand(len(x), 2)

        return Zero()


def long_tail() -> DataBundle:
    y = torch.arange(4).repeat_interleave(torch.tensor([40, 20, 8, 3]))
    images = LabelledImages(torch.zeros(len(y), 1, 8, 8), y, ("a", "b", "c", "d"))
    return DataBundle("digits", "", images, images, None, "")


def test_tuning_sees_the_fit_part_only_and_every_candidate_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    RecordingBench.made = []
    monkeypatch.setattr(policy, "Bench", RecordingBench)
    x = torch.arange(20).view(20, 1, 1, 1).expand(20, 1, 8, 8) / 20.0
    train = LabelledImages(x.contiguous(), torch.tensor([0] * 17 + [1] * 3), ("a", "b"))
    test = LabelledImages(torch.full((1, 1, 8, 8), float("nan")), torch.tensor([0]), ("a", "b"))
    bundle = DataBundle("digits", "", train, test, None, "")
    first, again, other = (
        tune(bundle, CONFIG, number, lambda part: None, None) for number in (0, 0, 1)
    )
    assert first == again
    fit, tuned = RecordingBench.made[0].train, first["y"]
    assert len(fit) + len(tuned) == 20
    assert tuned == [0] * 4  # a quarter of 17; the class of three stays in the fit part
    assert RecordingBench.made[0].seed != RecordingBench.made[2].seed
    assert not torch.equal(RecordingBench.made[0].train.x, RecordingBench.made[2].train.x)
    wanted = [candidate.recipe for candidate in candidates(CONFIG, pool=False)]
    assert RecordingBench.made[0].recipes == wanted
    assert set(other["predictions"]) == {
        candidate.name for candidate in candidates(CONFIG, pool=False)
    }
    turns = [tuning_parts(long_tail(), CONFIG, number)[0] for number in (0, 1)]
    assert [int((turn < 40).sum()) for turn in turns] == [
        3,
        30,
    ]  # the largest class stands in for the smallest, once
    assert tuning_split(train.y, 0.75, RecordingBench.made[0].seed)[0].tolist() == [
        round(float(image.mean()) * 20) for image in fit.x
    ]


def test_strengths_are_offered_with_every_arm_that_has_classical_augmentation() -> None:
    config = config_from({"gain": {"strengths": [1.0, 0.5], "shares": [0.5], "confidences": [0.0]}})
    names = [candidate.name for candidate in candidates(config, pool=False)]
    assert names[:4] == ["real", "oversample", "logit_adjusted", "logit_adjusted at strength 0.5"]
    assert names[-1] == "classical at strength 0.5 + 50% synthetic"
    assert len(names) == len(set(names)) == 11
    alone = config_from({"gain": {"strengths": [1.0, 0.5], "arms": ["real", "classical"]}})
    assert not any(candidate.share for candidate in candidates(alone, pool=True))


def test_the_candidates_can_be_named_and_own_policies_are_among_them() -> None:
    gain = {
        "candidates": ["mixup", "trivialaugment", "wide"],
        "policies": {"wide": {"share": 0.25, "spread": 1.5}, "other": {}},
    }
    found = candidates(config_from({"gain": gain}), pool=False)
    assert found == [
        Policy("mixup"),
        Policy("trivialaugment"),
        Policy("classical", 0.25, spread=1.5),
    ]
    with pytest.raises(ValueError, match="unknown candidate 'magic'"):
        candidates(config_from({"gain": {"candidates": ["magic"]}}), pool=True)
    with pytest.raises(ValueError, match="'fixmatch' needs unlabelled images"):
        candidates(config_from({"gain": {"candidates": ["fixmatch"]}}), pool=False)


def test_the_best_strength_of_every_arm_and_the_best_arm_with_a_pool_are_told() -> None:
    gain = {
        "strengths": [1.0, 0.5],
        "shares": [0.0],
        "candidates": ["real", "classical", "pseudo_label", "fixmatch"],
    }
    config, y = config_from({"gain": gain}), [0, 1] * 30
    wrong = {"else": range(30), "classical at strength 0.5": range(20), "fixmatch": range(6)}
    document = choose([full(y, wrong, config)] * 2, config, 2, pool=True)
    assert document["best_classical"] == "classical"
    assert document["best_with_pool"] == document["base"] == "fixmatch"
    assert document["strengths"] == {"classical": 0.5, "pseudo_label": 1.0, "fixmatch": 1.0}
    assert document["tuning"]["budget"] == {
        "candidates": 7,
        "splits": 2,
        "steps_a_candidate": 600,
        "images_held_out": [60, 60],
    }


def test_a_rival_of_ones_own_can_be_the_yardstick_and_keeps_its_strength_to_itself() -> None:
    gain = {
        "candidates": ["classical", "pseudo_label", "milder", "other"],
        "shares": [0.0],
        "policies": {
            "milder": {"share": 0.0, "strength": 0.5},
            "other": {"base": "pseudo_label", "share": 0.0, "augment": "trivialaugment"},
        },
    }
    config, y = config_from({"gain": gain}), [0, 1] * 30
    milder, other = (
        Policy("classical", strength=0.5),
        Policy("pseudo_label", augment="trivialaugment"),
    )
    wrong = {"else": range(30), milder.name: range(10), other.name: range(2)}
    document = choose([full(y, wrong, config)] * 2, config, 2, pool=True)
    assert (document["best_classical"], document["best_with_pool"]) == ("milder", "other")
    assert document["strengths"] == {"classical": 1.0, "pseudo_label": 1.0}
    assert policy_of(document) == other


def test_a_chosen_policy_of_ones_own_is_read_back_whole() -> None:
    gain = {
        "candidates": ["classical", "carried"],
        "shares": [0.0],
        "policies": {"carried": {"share": 0.25, "latents": "transfer"}},
    }
    config, y = config_from({"gain": gain}), [0, 1] * 30
    own = Policy("classical", 0.25, latents="transfer")
    document = choose(
        [full(y, {"else": range(30), own.name: range(2)}, config)] * 2, config, 2, pool=True
    )
    assert policy_of(document) == own
    assert document["latents"] == "transfer"
