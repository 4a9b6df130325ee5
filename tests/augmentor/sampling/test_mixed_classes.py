from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from augmentor.common.types import Record, record_of
from augmentor.sampling.mixed_classes import MixedClasses


class Painter:
    """Paints the mixture's mean class number on every pixel."""

    classes = ("a", "b", "c")
    image_shape = (1, 2, 2)
    latent_dim = 1

    def sample(self, y: Tensor, z: Tensor) -> Tensor:
        class_probs = y if y.is_floating_point() else torch.nn.functional.one_hot(y, 3).float()
        return (
            (class_probs @ torch.tensor([-1.0, 0, 1]))[:, None, None, None]
            .expand(-1, 1, 2, 2)
            .clone()
        )


MIXTURES = torch.tensor([[0.5, 0.5, 0], [0, 0.25, 0.75]])


def test_renders_the_mixture_of_each_label() -> None:
    source = MixedClasses(Painter(), MIXTURES, ("ab", "bc"))
    x = source.sample(torch.tensor([1, 0, 1]), torch.zeros(3, 1))
    assert x[:, 0, 0, 0].tolist() == [0.75, -0.5, 0.75]
    assert source.classes == ("ab", "bc")


def test_a_mixture_of_mixtures() -> None:
    source = MixedClasses(Painter(), MIXTURES, ("ab", "bc"))
    assert source.sample(torch.tensor([[0.5, 0.5]]), torch.zeros(1, 1))[
        0, 0, 0, 0
    ] == pytest.approx(0.125)


def test_the_counts_of_the_old_classes_are_not_those_of_mixed_ones_by_the_same_name() -> None:
    painter = Painter()
    painter.record = Record({"family": "vae"}, 3, np.array([5]), {"a": 0, "b": 2, "c": 2})
    record = record_of(MixedClasses(painter, MIXTURES, ("a", "bc")))
    assert record == Record({"family": "vae"}, 3, painter.record.trained_on, counts=None)
    assert record_of(MixedClasses(Painter(), MIXTURES, ("a", "bc"))) is None


@pytest.mark.parametrize("y", [-1, 2])
def test_unknown_class(y: int) -> None:
    with pytest.raises(ValueError, match=r"\[0, 2\)"):
        MixedClasses(Painter(), MIXTURES, ("ab", "bc")).sample(torch.tensor([y]), torch.zeros(1, 1))


@pytest.mark.parametrize(
    ("mixtures", "names", "message"),
    [
        (MIXTURES, ("one",), "for these names"),
        (torch.ones(2, 2) / 2, ("ab", "bc"), "for these names"),
        (MIXTURES * 2.1, ("ab", "bc"), "sum above 0 and up to 2"),
        (MIXTURES * 0, ("ab", "bc"), "sum above 0 and up to 2"),
        (torch.tensor([[1.5, -0.5, 0]]), ("x",), "non-negative"),
        (MIXTURES, ("x", "x"), "must differ"),
    ],
)
def test_what_is_no_mixture_is_refused(
    mixtures: Tensor, names: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        MixedClasses(Painter(), mixtures, names)
