"""A generator that is made constant, or deaf to its label, is flagged by one evaluation."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from augmentor.common.types import LabelledImages
from pipelines.config import ClassifierConfig, DataConfig
from pipelines.datasets import load_data
from pipelines.generators.quality import EvaluateSettings, evaluate_source
from pipelines.progress import Silent

QUICK = EvaluateSettings(
    samples=100,
    copies=100,
    judge=ClassifierConfig(steps=80, learning_rate=1e-2, strength=0.5),
    student=ClassifierConfig(steps=5, learning_rate=1e-2, strength=0.0),
    domain="digits",
)


@dataclass
class Generator:
    """Shows real images: of the class asked for unless ``deaf``, chosen by the latent unless
    ``constant``."""

    images: LabelledImages
    constant: bool
    deaf: bool
    faint: float = 0.0  # how much of the dead part comes back, in [0, 1]
    latent_dim: int = 4

    @property
    def classes(self):
        return self.images.classes

    @property
    def image_shape(self):
        return self.images.image_shape

    def sample(self, y: Tensor, z: Tensor) -> Tensor:
        alive = self._chosen(y, z, constant=False, deaf=False)
        return torch.lerp(
            self._chosen(y, z, constant=self.constant, deaf=self.deaf), alive, self.faint
        )

    def _chosen(self, y: Tensor, z: Tensor, *, constant: bool, deaf: bool) -> Tensor:
        place = torch.zeros(len(z)) if constant else torch.special.ndtr(z[:, 0]).clamp(max=0.9999)
        if deaf:
            return self.images.x[(place * len(self.images)).long()]
        rows = [
            torch.nonzero(self.images.y == index).flatten() for index in range(len(self.classes))
        ]
        pairs = zip(y.tolist(), place.tolist(), strict=True)
        return self.images.x[torch.stack([rows[c][int(p * len(rows[c]))] for c, p in pairs])]


def evaluated(**kind):
    bundle = load_data(DataConfig(data="digits"), 0)
    # Images the judge has not learnt from, so that a living generator is no copyist.
    return evaluate_source(Generator(bundle.test, **kind), bundle, QUICK, 0, Silent()).result


DEAD = {
    "constant": ({"constant": True, "deaf": True}, ("collapsed", "ignores the label")),
    "constant in every class": ({"constant": True, "deaf": False}, ("collapsed",)),
    "deaf to its label": ({"constant": False, "deaf": True}, ("ignores the label",)),
    "almost constant": (
        {"constant": True, "deaf": True, "faint": 0.05},
        ("collapsed", "ignores the label"),
    ),
}


@pytest.mark.faults
def test_a_living_generator_is_not_flagged(tally):
    warnings = evaluated(constant=False, deaf=False)["warnings"]
    dead = [words for words in warnings if words.startswith(("collapsed", "ignores the label"))]
    tally(1, int(not dead), "a generator that shows real images: not flagged as dead")
    assert not dead


@pytest.mark.faults
@pytest.mark.parametrize("kind", DEAD)
def test_a_dead_generator_is_flagged_by_one_evaluation(tally, kind):
    options, words = DEAD[kind]
    warnings = evaluated(**options)["warnings"]
    found = [any(line.startswith(word) for line in warnings) for word in words]
    tally(1, int(all(found)), f"a generator made {kind}: flagged by one evaluation")
    assert all(found), warnings
