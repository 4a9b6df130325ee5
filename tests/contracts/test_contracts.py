from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from augmentor.api import describe, source_of
from augmentor.common.conditions import Conditions
from augmentor.common.types import EncodingSource, LabelledImages
from augmentor.families import FAMILIES
from augmentor.sampling.mixed_classes import MixedClasses
from augmentor.sampling.occurring_conditions import OccurringConditions
from augmentor.sampling.spread_latents import DonatedLatents, ScaledLatents
from augmentor.training.checkpoint import Checkpoint
from tests.augmentor.families.steps import small
from tests.contracts.source_contract import check_source, inputs


class LinearSource(nn.Module):
    """The smallest honest source: tanh of a linear map of label and latent."""

    def __init__(self, classes: tuple[str, ...] = ("a", "b", "c"), channels: int = 3) -> None:
        super().__init__()
        self.classes, self.image_shape, self.latent_dim = classes, (channels, 8, 8), 5
        rng = torch.Generator().manual_seed(0)
        self.weight = nn.Parameter(torch.randn(5 + len(classes), channels * 64, generator=rng) / 3)
        self.norm = nn.BatchNorm1d(channels * 64)

    @torch.no_grad()
    def sample(self, y: Tensor, z: Tensor) -> Tensor:
        self.eval()
        return (
            self.norm(torch.cat([z, self.class_probs(y)], 1) @ self.weight)
            .tanh()
            .reshape(-1, *self.image_shape)
        )

    @torch.no_grad()
    def encode(self, x: Tensor, y: Tensor) -> Tensor:
        return x.flatten(1) @ self.weight[:5].T - self.class_probs(y).sum(1, keepdim=True)

    def class_probs(self, y: Tensor) -> Tensor:
        return y if y.is_floating_point() else nn.functional.one_hot(y, len(self.classes)).float()


class WithGradient(LinearSource):
    def sample(self, y: Tensor, z: Tensor) -> Tensor:
        return (
            (torch.cat([z, self.class_probs(y)], 1) @ self.weight)
            .tanh()
            .reshape(-1, *self.image_shape)
        )


class BatchStatistics(LinearSource):
    @torch.no_grad()
    def sample(self, y: Tensor, z: Tensor) -> Tensor:
        x = (torch.cat([z, self.class_probs(y)], 1) @ self.weight).tanh()
        return ((x - x.mean(0)) / 2).reshape(-1, *self.image_shape)


class TrainingMode(LinearSource):
    @torch.no_grad()
    def sample(self, y: Tensor, z: Tensor) -> Tensor:
        self.norm.train()
        flat = torch.cat([z, self.class_probs(y)], 1) @ self.weight
        self.norm(flat)
        return flat.tanh().reshape(-1, *self.image_shape)


class Noisy(LinearSource):
    def sample(self, y: Tensor, z: Tensor) -> Tensor:
        return super().sample(y, z + torch.randn_like(z))


class TooBright(LinearSource):
    def sample(self, y: Tensor, z: Tensor) -> Tensor:
        return super().sample(y, z) * 1.5


class IgnoresLatent(LinearSource):
    def sample(self, y: Tensor, z: Tensor) -> Tensor:
        return super().sample(y, torch.zeros_like(z))


class NoMixtures(LinearSource):
    def sample(self, y: Tensor, z: Tensor) -> Tensor:
        return super().sample(y.argmax(1) * 0 if y.is_floating_point() else y, z)


class EncodesTheBatch(LinearSource):
    @torch.no_grad()
    def encode(self, x: Tensor, y: Tensor) -> Tensor:
        return super().encode(x - x.mean(0), y)


WORDS = Conditions(("font",), ("bold", "light", "thin"))
NUMBERS = Conditions(("azimuth", "elevation"), centre=(0.0, 20.0), scale=(130.0, 70.0))


class Conditional(LinearSource):
    """A linear source that adds a picture of the condition."""

    def __init__(self, conditions: Conditions = WORDS) -> None:
        super().__init__()
        self.conditions = conditions
        rng = torch.Generator().manual_seed(1)
        self.pictures = nn.Parameter(torch.randn(conditions.size, 192, generator=rng) / 3)

    @torch.no_grad()
    def sample(self, y: Tensor, z: Tensor, condition: Tensor | None = None) -> Tensor:
        if condition is None:
            raise ValueError("the source needs a condition")
        plain = super().sample(y, z)
        return (plain + self.picture(condition)).clamp(-1, 1)

    def picture(self, condition: Tensor) -> Tensor:
        return (self.conditions.rows(condition) @ self.pictures).view(-1, *self.image_shape)

    @torch.no_grad()
    def encode(self, x: Tensor, y: Tensor, condition: Tensor | None = None) -> Tensor:
        return super().encode(x if condition is None else x - self.picture(condition), y)


class DeafToTheCondition(Conditional):
    def picture(self, condition: Tensor) -> Tensor:
        return 0 * super().picture(condition)


class HearsTheBatchsConditions(Conditional):
    def picture(self, condition: Tensor) -> Tensor:
        return (
            super().picture(condition).mean(dim=0, keepdim=True).expand(len(condition), -1, -1, -1)
        )


class DeafToTheClass(Conditional):
    def class_probs(self, y: Tensor) -> Tensor:
        return torch.full((len(y), len(self.classes)), 1 / len(self.classes))


class GuessesTheCondition(Conditional):
    @torch.no_grad()
    def sample(self, y: Tensor, z: Tensor, condition: Tensor | None = None) -> Tensor:
        return super().sample(y, z, torch.zeros_like(y) if condition is None else condition)


class HardMixtures(Conditional):
    def picture(self, condition: Tensor) -> Tensor:
        return super().picture(condition) / (2 if condition.is_floating_point() else 1)


def mixed(source: LinearSource) -> MixedClasses:
    return MixedClasses(source, torch.tensor([[0.5, 0.5, 0], [0.2, 0.3, 0.5]]), ("ab", "abc"))


@pytest.mark.parametrize("channels", [1, 3])
def test_linear_source(channels: int) -> None:
    check_source(LinearSource(channels=channels))


@pytest.mark.parametrize("conditions", [WORDS, NUMBERS], ids=["words", "numbers"])
def test_sources_made_of_conditional_ones(conditions: Conditions) -> None:
    source = Conditional(conditions)
    check_source(mixed(source))
    check_source(ScaledLatents(source, 0.8))
    donors = [torch.randn(4, 5, generator=torch.Generator().manual_seed(c)) for c in range(3)]
    check_source(DonatedLatents(source, donors, 0.1))


def test_one_class() -> None:
    check_source(LinearSource(classes=("only",)))


def test_mixed_classes() -> None:
    check_source(mixed(LinearSource()))
    check_source(MixedClasses(mixed(LinearSource()), torch.tensor([[0.5, 0.5]]), ("mixed twice",)))


@pytest.mark.parametrize("conditions", [WORDS, NUMBERS], ids=["words", "numbers"])
def test_conditional_sources(conditions: Conditions) -> None:
    source = Conditional(conditions)
    check_source(source)
    condition = torch.tensor([0, 1, 1])
    if conditions.are_numbers:
        condition = torch.randn(3, conditions.size, generator=torch.Generator().manual_seed(0))
    seen = LabelledImages(
        torch.zeros(3, 3, 8, 8), torch.arange(3), source.classes, condition, conditions
    )
    check_source(OccurringConditions(source, seen))


@pytest.mark.parametrize(
    ("source", "law"),
    [
        (DeafToTheCondition, "the condition changes the image"),
        (HearsTheBatchsConditions, "an image alone"),
        (DeafToTheClass, "the class changes the image"),
        (GuessesTheCondition, "absence of a condition"),
        (HardMixtures, "mixture of one condition"),
        (WithGradient, "no gradient"),
        (BatchStatistics, "an image alone"),
        (TrainingMode, "running mean"),
        (Noisy, "equal labels and latents"),
        (TooBright, r"\[-1, 1\]"),
        (IgnoresLatent, "latents change"),
        (NoMixtures, "mixture of one class"),
        (EncodesTheBatch, "an image alone has the latent"),
    ],
)
def test_the_checks_find(source: type[LinearSource], law: str) -> None:
    with pytest.raises(AssertionError, match=law):
        check_source(source())


@pytest.mark.parametrize(
    ("family", "preset"),
    [(name, preset) for name, family in FAMILIES.items() for preset in family.presets],
)
def test_every_family(family: str, preset: str) -> None:
    torch.manual_seed(0)
    options = FAMILIES[family].options_for(preset, small(family))
    model = FAMILIES[family].model(("a", "b", "c"), (3, 8, 8), options)
    trainer = FAMILIES[family].trainer(model)
    losses = trainer.step(
        torch.rand(6, 3, 8, 8) * 2 - 1,
        torch.arange(6) % 3,
        rng=torch.Generator().manual_seed(0),
    )
    assert all(
        loss.ndim == 0 and loss.isfinite() and not loss.requires_grad for loss in losses.values()
    )
    check_source(model)
    source = source_of(
        Checkpoint(1, describe(family, model), {"average": model.state_dict()}, "0" * 64)
    )
    check_source(source)
    assert isinstance(source, EncodingSource) == isinstance(model, EncodingSource)


@pytest.mark.parametrize("conditions", [WORDS, NUMBERS], ids=["words", "numbers"])
@pytest.mark.parametrize(
    ("family", "preset"),
    [
        (name, preset)
        for name, family in FAMILIES.items()
        if family.takes_conditions
        for preset in family.presets
    ],
)
def test_every_family_that_takes_conditions(
    family: str, preset: str, conditions: Conditions
) -> None:
    torch.manual_seed(0)
    options = FAMILIES[family].options_for(preset, small(family))
    model = FAMILIES[family].build(("a", "b", "c"), (3, 8, 8), options, conditions)
    # A new one is deaf to the condition, whose part of a normalisation starts at zero.
    condition = inputs(model)[2][0]
    FAMILIES[family].trainer(model).step(
        torch.rand(6, 3, 8, 8) * 2 - 1,
        torch.arange(6) % 3,
        condition,
        rng=torch.Generator().manual_seed(0),
    )
    check_source(model)
    source = source_of(
        Checkpoint(1, describe(family, model), {"average": model.state_dict()}, "0" * 64)
    )
    assert source.conditions == conditions
    check_source(source)
