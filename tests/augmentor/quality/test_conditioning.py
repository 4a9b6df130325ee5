"""Does a source follow its condition?"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from augmentor.common.conditions import NO_CONDITIONS, Conditions
from augmentor.common.types import LabelledImages
from augmentor.quality.conditioning import FOLLOWS, condition_agreement

LIGHT = Conditions(("light",), ("dim", "dusk", "bright"))
SIDE = Conditions(("azimuth",), centre=(0.0,), scale=(1.0,))


class Lamps:
    """Renders a grey by the condition, ``heard`` of it; the rest is what its latent says."""

    classes, image_shape, latent_dim = ("a", "b"), (1, 8, 8), 1

    def __init__(self, conditions: Conditions, heard: float) -> None:
        self.conditions, self.heard = conditions, heard

    def encode(self, x: Tensor, y: Tensor, condition: Tensor | None = None) -> Tensor:
        assert condition is not None
        return x.mean(dim=(1, 2, 3))[:, None] - self.heard * self._grey(condition)[:, None]

    def sample(self, y: Tensor, z: Tensor, condition: Tensor | None = None) -> Tensor:
        assert condition is not None
        grey = z[:, 0] + self.heard * self._grey(condition)
        return grey.view(-1, 1, 1, 1).expand(-1, 1, 8, 8)

    def _grey(self, condition: Tensor) -> Tensor:
        return 0.4 * condition.float().view(len(condition), -1)[:, 0] - 0.4


def lit(conditions: Conditions = LIGHT, count: int = 600) -> LabelledImages:
    place = torch.arange(count) % 3
    noise = 0.01 * torch.randn(count, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    x = (0.4 * place - 0.4).view(-1, 1, 1, 1) + noise
    known = place if conditions is LIGHT else place.float()[:, None]
    return LabelledImages(x, torch.arange(count) % 2, ("a", "b"), known, conditions)


@pytest.mark.parametrize("conditions", [LIGHT, SIDE])
def test_a_source_that_uses_its_condition_follows_it(conditions: Conditions) -> None:
    assert condition_agreement(Lamps(conditions, 1.0), lit(conditions)) == 1.0


def test_a_source_whose_latent_says_it_all_does_not() -> None:
    """Equal errors count as one half."""
    assert condition_agreement(Lamps(LIGHT, 0.0), lit()) == 0.5 < FOLLOWS


def test_a_source_that_learned_the_conditions_of_others_is_at_chance() -> None:
    images = lit()
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(1))
    assert images.condition is not None

    class Misinformed(Lamps):
        """Takes a condition for another one, each time."""

        def encode(self, x: Tensor, y: Tensor, condition: Tensor | None = None) -> Tensor:
            return torch.zeros(len(x), 1)

        def sample(self, y: Tensor, z: Tensor, condition: Tensor | None = None) -> Tensor:
            assert condition is not None
            wrong = torch.randint(3, condition.shape, generator=torch.Generator().manual_seed(7))
            return super().sample(y, z, (condition + wrong) % 3)

    found = condition_agreement(Misinformed(LIGHT, 1.0), images.subset(order))
    assert found == pytest.approx(0.5, abs=0.1)


def test_what_cannot_be_asked_is_refused() -> None:
    images = lit(count=6)
    with pytest.raises(ValueError, match="knows classes alone"):
        condition_agreement(Lamps(NO_CONDITIONS, 1.0), images)
    with pytest.raises(ValueError, match="conditions of the images are not known"):
        condition_agreement(Lamps(LIGHT, 1.0), images.without_conditions())
    with pytest.raises(ValueError, match="one condition"):
        condition_agreement(Lamps(LIGHT, 1.0), replace(images, condition=torch.ones(6).long()))


def test_a_seed_repeats_it() -> None:
    images, source = lit(), Lamps(LIGHT, 0.0005)
    assert condition_agreement(source, images, 3) == condition_agreement(source, images, 3)
