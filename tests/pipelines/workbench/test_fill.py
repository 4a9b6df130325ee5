"""Arms that render combinations of class and condition, and their controls, on a fake generator."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from augmentor.common.conditions import NO_CONDITIONS, Conditions
from augmentor.common.types import DataError, LabelledImages
from augmentor.data.combinations import Bins, bins_of, combinations_of
from downstream.arms.policy import MixPolicy, recipe_of
from downstream.arms.recipe import Recipe
from pipelines.config import config_from
from pipelines.experiment.parts import described
from pipelines.experiment.setting import setting_of
from pipelines.workbench import workbench as module
from pipelines.workbench.synthetic import conditions_to_fill
from pipelines.workbench.workbench import Workbench

CLASSES, LIGHTS = ("a", "b", "c"), Conditions(("light",), ("left", "front", "right", "never"))
SEEN = {0: (0, 1, 2), 1: (0, 1, 2), 2: (0,)}  # nobody was seen under the last light
EACH = 4


def images() -> LabelledImages:
    pairs = [(label, light) for label, lights in SEEN.items() for light in lights]
    y, light = torch.tensor(pairs).repeat_interleave(EACH, dim=0).unbind(dim=1)
    noise = torch.rand(len(y), 1, 8, 8, generator=torch.Generator().manual_seed(0))
    return LabelledImages(2 * noise - 1, y, CLASSES, light, LIGHTS)


class FakeSource:
    """Renders flat images: the brightness tells class and condition."""

    classes, image_shape, latent_dim = CLASSES, (1, 8, 8), 2

    def __init__(self, conditions: Conditions) -> None:
        self.conditions = conditions

    def sample(self, y: Tensor, z: Tensor, condition: Tensor | None = None) -> Tensor:
        if bool(self.conditions) != (condition is not None):
            raise ValueError("conditions are given where the source knows them, and only there")
        level = 0.2 * y if condition is None else 0.2 * y + 0.05 * condition
        return level.float().view(-1, 1, 1, 1).expand(-1, 1, 8, 8).clone()

    def encode(self, x: Tensor, y: Tensor) -> Tensor:
        return torch.zeros(len(x), 2)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[LabelledImages]:
    """Puts a fake in the place of the generator's training; the list holds what it was given."""
    given: list[LabelledImages] = []

    def train_generator(images: LabelledImages, *_: object, **options: object) -> FakeSource:
        given.append(images)
        return FakeSource(images.conditions)

    monkeypatch.setattr(module, "train_generator", train_generator)
    return given


def bench(train: LabelledImages | None = None, hidden: LabelledImages | None = None) -> Workbench:
    classifier = {"steps": 3, "batch_size": 60}
    asked = {"data": {"data": "digits"}, "device": "cpu", "classifier": classifier}
    train = images() if train is None else train
    bins = None if train.condition is None else bins_of(train.conditions, train.condition)
    return Workbench(train, None, setting_of(config_from(asked)), seed=3, hidden=hidden, bins=bins)


def counts(found: LabelledImages) -> Tensor:
    return combinations_of(found, Bins(LIGHTS.categories)).counts


def test_factored_renders_every_combination_that_occurs_equally_often(
    trained: list[LabelledImages],
) -> None:
    found = bench().synthetic(recipe_of("factored"))
    assert counts(found).tolist() == [[10, 10, 10, 0]] * 3
    assert found.condition is not None
    levels = 0.2 * found.y + 0.05 * found.condition
    torch.testing.assert_close(found.x.mean(dim=(1, 2, 3)), levels, atol=0.005, rtol=0)
    assert trained[0].conditions == LIGHTS


def test_factored_missing_renders_what_training_lacks_alone(
    trained: list[LabelledImages],
) -> None:
    made, recipe = bench(), recipe_of("factored_missing")
    assert counts(made.synthetic(recipe)).tolist() == [[0] * 4, [0] * 4, [0, 15, 15, 0]]
    base, weights = made.training_set(recipe)
    assert weights is not None
    masses = torch.bincount(base.y, weights)
    torch.testing.assert_close(masses, torch.full((3,), 1 / 3, dtype=torch.float64))
    synthetic = weights[len(images()) :].sum()
    assert float(synthetic) == pytest.approx(recipe.share / 3)
    assert len(trained) == 1


def test_nothing_to_fill_is_said() -> None:
    train = images().subset((images().y < 2).nonzero()[:, 0])
    full = LabelledImages(train.x, train.y, CLASSES[:2], train.condition, LIGHTS)
    bins = Bins(LIGHTS.categories)
    assert len(conditions_to_fill(full, bins, missing_only=False)[1]) == 3
    # The last light occurs nowhere: it is no bin that could be filled.
    with pytest.raises(DataError, match="no combination is missing or thin"):
        conditions_to_fill(full, bins, missing_only=True)
    with pytest.raises(DataError, match="give --condition"):
        conditions_to_fill(full.without_conditions(), bins, missing_only=False)


def test_label_only_has_a_generator_of_its_own_that_never_sees_a_condition(
    trained: list[LabelledImages],
) -> None:
    made = bench()
    found = made.synthetic(recipe_of("label_only"))
    assert found.condition is None
    assert [one.conditions for one in trained] == [NO_CONDITIONS]
    made.synthetic(recipe_of("factored"))
    assert [bool(one.conditions) for one in trained] == [False, True]


def test_label_only_draws_from_well_covered_classes_with_the_share_and_base_of_factored() -> None:
    control, arm = recipe_of("label_only"), recipe_of("factored")
    assert (control.share, control.augment) == (arm.share, arm.augment)
    assert control.latents == "transfer"


def test_the_oracle_trains_on_the_hidden_images_too() -> None:
    hidden = images().subset(torch.tensor([0, 1]))
    base, weights = bench(hidden=hidden).training_set(recipe_of("oracle"))
    assert len(base) == len(images()) + 2
    assert weights is not None
    assert float(weights.sum()) == pytest.approx(1.0)
    with pytest.raises(ValueError, match="no real images were hidden"):
        bench().training_set(recipe_of("oracle"))


def test_even_conditions_draws_what_occurs_equally_often_within_a_class() -> None:
    base, weights = bench().training_set(recipe_of("even_conditions"))
    assert weights is not None
    combination = combinations_of(base, Bins(LIGHTS.categories)).of(base)
    masses = torch.bincount(combination, weights)
    torch.testing.assert_close(masses[:3], torch.full((3,), 1 / 9, dtype=torch.float64))
    assert float(masses[8]) == pytest.approx(1 / 3)


def test_draws_even_over_combinations_take_no_synthetic_images() -> None:
    with pytest.raises(ValueError, match="'even_conditions' cannot be combined with synthetic"):
        MixPolicy("even_conditions", share=0.5)


@pytest.mark.parametrize("arm", ["factored", "factored_missing", "even_conditions", "oracle"])
def test_arms_of_combinations_need_conditions(arm: str, trained: list[LabelledImages]) -> None:
    recipe = recipe_of(arm)
    assert recipe.needs_conditions
    if arm != "oracle":
        with pytest.raises((ValueError, DataError), match="give --condition"):
            bench(images().without_conditions()).training_set(recipe)


@pytest.mark.parametrize("arm", ["factored", "factored_missing", "label_only", "even_conditions"])
def test_each_trains(arm: str, trained: list[LabelledImages]) -> None:
    model = bench().classifier(recipe_of(arm))
    assert model(images().x).shape == (len(images()), 3)


def test_recipes_without_combinations_are_described_as_before() -> None:
    assert described(Recipe(share=0.5)) == {"share": 0.5}
    assert "missing_only" not in described(recipe_of("factored"))
    assert described(recipe_of("factored_missing"))["missing_only"] is True


def test_one_condition_alone_tells_nothing_of_how_it_is_followed(
    trained: list[LabelledImages],
) -> None:
    """Such a training must not fail for the question."""
    everything = images()
    assert everything.condition is not None
    one = everything.subset((everything.condition == 0).nonzero().flatten())
    assert bench(one).condition_agreement is None
