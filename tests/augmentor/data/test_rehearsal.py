from __future__ import annotations

import pytest
import torch

from augmentor.common.conditions import MISSING, Conditions
from augmentor.common.types import DataError, LabelledImages
from augmentor.data.combinations import Bins, bins_of, combinations_of
from augmentor.data.rehearsal import FOLDS, incomplete_classes, rehearsal_fold

LIGHTS = Conditions(("light",), ("day", "dusk", "lamp", "night"))
EACH = 6


def pictures(incomplete: int = 2, complete: int = 6) -> tuple[LabelledImages, Bins]:
    """Complete classes have six images in every light, incomplete ones three by day."""
    y, light = [], []
    for label in range(complete):
        y += [label] * (4 * EACH)
        light += [number for number in range(4) for _ in range(EACH)]
    for label in range(complete, complete + incomplete):
        y += [label] * 3
        light += [0] * 3
    names = tuple(f"class {label}" for label in range(complete + incomplete))
    x = torch.arange(len(y)).float().view(-1, 1, 1, 1).expand(-1, 1, 8, 8) / len(y)
    images = LabelledImages(x.contiguous(), torch.tensor(y), names, torch.tensor(light), LIGHTS)
    return images, bins_of(LIGHTS, torch.tensor(light))


def test_classes_seen_in_few_conditions_are_incomplete() -> None:
    images, bins = pictures()
    assert incomplete_classes(images, bins).tolist() == [False] * 6 + [True] * 2


@pytest.mark.parametrize("rare", [1, 2])
def test_of_two_conditions_a_class_that_lacks_one_is_incomplete(rare: int) -> None:
    y, light = [0, 0, 1, 1, *[2] * rare], [0, 1, 0, 1, *[0] * rare]
    images = LabelledImages(
        torch.zeros(len(y), 1, 8, 8), torch.tensor(y), ("a", "b", "c"), torch.tensor(light), LIGHTS
    )
    bins = bins_of(LIGHTS, torch.tensor(light))
    assert incomplete_classes(images, bins).tolist() == [False, False, True]


def test_one_class_that_was_photographed_better_than_all_does_not_decide_alone() -> None:
    light = [*range(4), 0, 1, 0, 1, 0]
    y = torch.tensor([0, 0, 0, 0, 1, 1, 2, 2, 3])
    images = LabelledImages(
        torch.zeros(9, 1, 8, 8), y, ("a", "b", "c", "d"), torch.tensor(light), LIGHTS
    )
    bins = bins_of(LIGHTS, torch.tensor(light))
    assert incomplete_classes(images, bins).tolist() == [False, False, False, True]


def test_of_every_hidden_combination_half_of_the_images_are_scored() -> None:
    images, bins = pictures()
    odd = images.subset(torch.arange(len(images))[torch.arange(len(images)) % EACH != 0])
    for number in range(FOLDS):
        fold = rehearsal_fold(odd, bins, seed=4, number=number)
        scored, given = (
            combinations_of(odd.subset(n), bins).counts for n in (fold.scored, fold.given)
        )
        assert set(scored[scored > 0].tolist()) == {3}  # of five
        assert set(given[given > 0].tolist()) == {2}
        assert torch.equal(scored > 0, given > 0)


def test_hidden_classes_are_left_like_the_incomplete_ones() -> None:
    images, bins = pictures()
    fold = rehearsal_fold(images, bins, seed=3, number=0)
    left = images.subset(fold.fit)
    hidden = torch.unique(images.y[fold.scored])
    assert len(hidden) == 2
    for label in hidden.tolist():
        assert left.counts[label] == 3
        assert left.condition is not None
        assert left.condition[left.y == label].tolist() == [0, 0, 0]


def test_scored_images_are_of_combinations_that_nothing_is_left_of() -> None:
    images, bins = pictures()
    fold = rehearsal_fold(images, bins, seed=3, number=1)
    table = combinations_of(images.subset(fold.fit), bins)
    for numbers in (fold.scored, fold.given):
        assert len(numbers) == 2 * 3 * EACH // 2
        assert set(table.coverage_of(images.subset(numbers)).tolist()) == {MISSING}
    parts = torch.cat([fold.fit, fold.scored, fold.given])
    assert len(torch.unique(parts)) == len(parts)


def test_of_two_complete_classes_a_third_fold_is_not_the_first_again() -> None:
    images, bins = pictures(complete=2)
    first, _, third = (rehearsal_fold(images, bins, seed=5, number=n) for n in range(FOLDS))
    assert not torch.equal(first.scored, third.scored)


def test_three_folds_hide_every_complete_class_once_and_the_next_three_others() -> None:
    images, bins = pictures()
    folds = [rehearsal_fold(images, bins, seed=5, number=number) for number in range(2 * FOLDS)]
    for start in (0, FOLDS):
        hidden = [torch.unique(images.y[fold.scored]) for fold in folds[start : start + FOLDS]]
        assert torch.cat(hidden).sort().values.tolist() == list(range(6))
    again = rehearsal_fold(images, bins, seed=5, number=0)
    assert torch.equal(again.fit, folds[0].fit)
    assert not torch.equal(folds[0].fit, folds[FOLDS].fit)


def test_a_class_without_the_pattern_s_conditions_takes_as_many_others() -> None:
    images, bins = pictures(complete=3)
    light = images.condition
    assert light is not None
    light[(images.y < 3) & (light == 0)] = 1  # only incomplete classes were seen by day
    fold = rehearsal_fold(images, bins, seed=1, number=0)
    left = images.subset(fold.fit)
    label = int(images.y[fold.scored[0]])
    assert left.condition is not None
    assert left.counts[label] == 3
    assert len(torch.unique(left.condition[left.y == label])) == 1


def test_of_one_class_nothing_can_be_hidden() -> None:
    light = torch.tensor([0, 1, 0, 1])
    y = torch.zeros(4, dtype=torch.int64)
    images = LabelledImages(torch.zeros(4, 1, 8, 8), y, ("a",), light, LIGHTS)
    bins = bins_of(LIGHTS, light)
    assert not incomplete_classes(images, bins).any()
    with pytest.raises(DataError, match="0 classes are incomplete"):
        rehearsal_fold(images, bins, 0, 0)


def test_nothing_incomplete_is_refused() -> None:
    images, bins = pictures(incomplete=0)
    with pytest.raises(DataError, match=r"0 classes are incomplete .* and 6 are not"):
        rehearsal_fold(images, bins, seed=0, number=0)
