from __future__ import annotations

import pytest
import torch
from torch import Generator, Tensor, nn

from downstream import decoupled
from downstream.classifier import build_classifier
from downstream.decoupled import train_decoupled
from downstream.train import TrainSettings, train_classifier

SHORT = TrainSettings(steps=10, batch_size=8)


def long_tail() -> tuple[Tensor, Tensor]:
    y = torch.tensor([0] * 20 + [1] * 4)
    noise = 0.3 * torch.randn(24, 1, 8, 8, generator=Generator().manual_seed(0))
    return ((y - 0.5).view(-1, 1, 1, 1) * 0.5 + noise).clamp(-1, 1), y


def fresh() -> nn.Module:
    return build_classifier("auto", 2, (1, 8, 8), seed=0)


def is_head(key: str) -> bool:
    return key.startswith("head.fc")


def test_the_second_stage_moves_the_last_layer_only() -> None:
    x, y = long_tail()
    first = train_classifier(fresh(), x, y, TrainSettings(steps=8, batch_size=8), seed=3)
    both = train_decoupled(fresh(), x, y, SHORT, seed=3, num_classes=2)
    other, start = both.state_dict(), fresh().state_dict()
    for key, value in first.state_dict().items():
        assert torch.equal(value, other[key]) == (not is_head(key)), key
        if is_head(key):  # it began anew: two steps away from the start
            assert (other[key] - start[key]).abs().max() < 2.1 * SHORT.learning_rate + 1e-3
    assert not both.training
    assert all(weight.requires_grad for weight in both.parameters())


def test_the_stages_draw_images_and_classes_equally_often_and_share_the_steps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[tuple[int, Tensor | None]] = []

    def spy(
        model: nn.Module, x: Tensor, y: Tensor, settings: TrainSettings, **options: object
    ) -> nn.Module:
        weights = options.get("draw_weights")
        assert weights is None or isinstance(weights, Tensor)
        calls.append((settings.steps, weights))
        return model

    monkeypatch.setattr(decoupled, "train_classifier", spy)
    x, y = long_tail()
    train_decoupled(fresh(), x, y, SHORT, seed=0, num_classes=2)
    (features, unweighted), (head, weights) = calls
    assert (features, head) == (8, 2)
    assert unweighted is None
    assert weights is not None
    assert [float(weights[y == label].sum()) for label in range(2)] == pytest.approx([0.5, 0.5])


def test_equal_seeds_give_equal_weights() -> None:
    x, y = long_tail()
    first, second = (
        train_decoupled(fresh(), x, y, SHORT, seed=1, num_classes=2).state_dict() for _ in range(2)
    )
    assert all(torch.equal(value, second[key]) for key, value in first.items())


def test_one_step_cannot_be_shared() -> None:
    x, y = long_tail()
    with pytest.raises(ValueError, match="steps"):
        train_decoupled(fresh(), x, y, TrainSettings(steps=1, batch_size=8), seed=0, num_classes=2)
