from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch

from augmentor.common.types import LabelledImages, Predict
from pipelines.config import config_from
from pipelines.experiment.setting import setting_of
from pipelines.interrupt import Interrupted
from pipelines.semi.gan_methods import GanMaterial, head_cvae_gan, improved_gan, triple_gan

CLASSES = ("a", "b", "c")
METHODS = pytest.mark.parametrize("method", [improved_gan, head_cvae_gan, triple_gan])
Method = Callable[[GanMaterial], Predict]


def rows(n: int, seed: int) -> LabelledImages:
    """Noise with a bright row that tells the class."""
    y = torch.arange(n) % 3
    x = torch.rand(n, 1, 8, 8, generator=torch.Generator().manual_seed(seed)) * 0.2 - 1
    x[torch.arange(n), 0, 2 * y] = 1.0
    return LabelledImages(x, y, CLASSES)


def material(
    on_values: Callable[..., None] = lambda *_: None, seed: int = 0, steps: int = 2
) -> GanMaterial:
    options = {"width": 4, "latent_dim": 4, "bfloat16": False}
    asked: dict[str, Any] = {
        "source": {"steps": 3, "batch_size": 6, "options": options},
        "classifier": {"steps": steps, "batch_size": 6},
        "device": "cpu",
    }
    setting = setting_of(config_from(asked))
    return GanMaterial(rows(6, 0), rows(30, 1).x, setting, seed, steps, on_values)


@METHODS
def test_the_classes_are_learnt_and_every_step_is_reported(method: Method) -> None:
    seen: list[tuple[int, int, dict[str, float]]] = []

    def on_values(step: int, steps: int, values: Mapping[str, float]) -> None:
        seen.append((step, steps, dict(values)))

    steps = 90 if method is triple_gan else 30  # its networks learn at a tenth of the rate
    predict = method(material(on_values, steps=steps))
    test = rows(12, 2)
    logits = predict(test.x)
    assert logits.shape == (12, 3)
    assert logits.argmax(dim=1).tolist() == test.y.tolist()
    own = [(step, steps) for step, steps, values in seen if values]
    assert own == [(step, steps) for step in range(1, steps + 1)]
    assert {"labelled", "guessed" if method is triple_gan else "game"} <= set(seen[-1][2])


@METHODS
def test_equal_seeds_give_equal_logits_and_the_global_state_stays(method: Method) -> None:
    state = torch.random.get_rng_state()
    first, second = (method(material())(rows(6, 3).x) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(state, torch.random.get_rng_state())
    assert not torch.equal(first, method(material(seed=1))(rows(6, 3).x))


@METHODS
def test_a_signal_ends_the_training(method: Method) -> None:
    def stop(*_: object) -> None:
        raise Interrupted(15)

    with pytest.raises(Interrupted):
        method(material(stop))


def test_a_signal_ends_the_training_of_the_generator_too() -> None:
    def stop(step: int, steps: int, values: Mapping[str, float]) -> None:
        assert not values  # a step of the head would have some
        raise Interrupted(15)

    with pytest.raises(Interrupted):
        head_cvae_gan(material(stop))
