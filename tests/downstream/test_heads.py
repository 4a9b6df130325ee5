from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Generator, Tensor
from torch.autograd import gradcheck
from torch.nn.functional import cross_entropy, normalize

from downstream.classifier import build_classifier, features
from downstream.evaluate import predict_logits
from downstream.heads import (
    MARGINS,
    CosineHead,
    arcface_logits,
    cosface_logits,
    margin_of,
    with_cosine_head,
)
from downstream.input_form import InputChoice
from downstream.train import TrainSettings, train_classifier

LOGITS = {"arcface": arcface_logits, "cosface": cosface_logits}


def cosines(rows: int = 6, classes: int = 4) -> Tensor:
    return (
        torch.rand(rows, classes, generator=Generator().manual_seed(0), dtype=torch.float64) * 1.6
        - 0.8
    )


def test_cosines_by_hand_and_free_of_length() -> None:
    head = CosineHead(2, 2, Generator().manual_seed(0))
    head.weight.data = torch.tensor([[2.0, 0.0], [3.0, 4.0]])
    f = torch.tensor([[4.0, 3.0], [0.0, -1.0]])
    expected = torch.tensor([[0.8, 0.96], [0.0, -0.8]])
    torch.testing.assert_close(head(f), expected)
    torch.testing.assert_close(head(5 * f), expected)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(head(f), expected)


def test_arcface_target_by_hand() -> None:
    # cos 60° with a margin of 30° is cos 90° = 0; the other class keeps its cosine.
    found = arcface_logits(
        torch.tensor([[0.5, 0.25]], dtype=torch.float64), torch.tensor([0]), math.pi / 6, 10.0
    )
    torch.testing.assert_close(found, torch.tensor([[0.0, 2.5]], dtype=torch.float64))


def test_arcface_beyond_the_half_turn() -> None:
    # 170° and a margin of 30° pass 180°: cos 170° - (π/6) sin 30°.
    cosine = math.cos(math.radians(170))
    found = arcface_logits(
        torch.tensor([[cosine]], dtype=torch.float64), torch.tensor([0]), math.pi / 6, 1.0
    )
    assert float(found) == pytest.approx(cosine - math.pi / 12)


def test_cosface_target_by_hand() -> None:
    found = cosface_logits(torch.tensor([[0.5, 0.25]]), torch.tensor([0]), 0.35, 20.0)
    torch.testing.assert_close(found, torch.tensor([[3.0, 5.0]]))


@pytest.mark.parametrize("head", LOGITS)
def test_no_margin_is_the_normalised_softmax(head: str) -> None:
    c, y = cosines(), torch.tensor([0, 1, 2, 3, 0, 1])
    torch.testing.assert_close(LOGITS[head](c, y, 0.0, 16.0), 16 * c)
    found = cross_entropy(margin_of(head, 0.0, 16.0)(c, y), y)
    torch.testing.assert_close(found, cross_entropy(16 * c, y))


@pytest.mark.parametrize("head", LOGITS)
def test_the_margin_is_the_targets_alone_and_grows(head: str) -> None:
    c, y = cosines(), torch.tensor([0, 1, 2, 3, 0, 1])
    small, large = (LOGITS[head](c, y, margin, 16.0) for margin in (0.1, 0.4))
    target = torch.nn.functional.one_hot(y, 4).bool()
    assert torch.equal(small[~target], 16 * c[~target])
    assert bool((large[target] < small[target]).all() & (small[target] < 16 * c[target]).all())


@pytest.mark.parametrize("head", LOGITS)
def test_the_target_falls_with_the_angle_all_the_way(head: str) -> None:
    angles = torch.linspace(0, math.pi, 181, dtype=torch.float64)
    found = LOGITS[head](angles.cos()[:, None], torch.zeros(181, dtype=torch.int64))
    assert bool((found.diff(dim=0) < 0).all())


@pytest.mark.parametrize("head", LOGITS)
def test_gradients(head: str) -> None:
    y = torch.tensor([0, 1, 2, 3, 0, 1])
    assert gradcheck(lambda c: margin_of(head)(c, y), cosines().requires_grad_())
    f = torch.randn(
        3, 5, generator=Generator().manual_seed(1), dtype=torch.float64, requires_grad=True
    )
    w = torch.randn(
        4, 5, generator=Generator().manual_seed(2), dtype=torch.float64, requires_grad=True
    )

    def loss(f: Tensor, w: Tensor) -> Tensor:
        return cross_entropy(
            margin_of(head, 0.2, 4.0)(normalize(f) @ normalize(w).t(), y[:3]), y[:3]
        )

    assert gradcheck(loss, (f, w))


def test_gradients_stay_finite_at_the_ends() -> None:
    c = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], requires_grad=True)
    arcface_logits(c, torch.tensor([0, 0])).sum().backward()  # type: ignore[no-untyped-call]
    assert c.grad is not None
    assert bool(c.grad.isfinite().all())


@pytest.mark.parametrize("head", LOGITS)
def test_wrong_shapes_and_numbers_raise(head: str) -> None:
    with pytest.raises(ValueError, match=r"cosines \(N, K\)"):
        LOGITS[head](torch.zeros(3), torch.zeros(3, dtype=torch.int64))
    with pytest.raises(ValueError, match="int64"):
        LOGITS[head](torch.zeros(3, 2), torch.zeros(3, 2))
    for numbers in ((-0.1, 30.0), (2.5, 30.0), (0.1, 0.0), (0.1, math.inf)):
        with pytest.raises(ValueError, match=f"{head} needs a margin"):
            margin_of(head, *numbers)


def test_unknown_heads_are_named() -> None:
    with pytest.raises(
        ValueError, match="unknown head 'sphereface'; known heads with a margin: arcface, cosface"
    ):
        margin_of("sphereface")
    assert set(MARGINS) == set(LOGITS)


@pytest.mark.parametrize("name", ["auto", "test_resnet", "test_vit"])
def test_any_network_takes_the_head(name: str) -> None:
    x = torch.rand(3, 3, 32, 32, generator=Generator().manual_seed(0)) * 2 - 1
    model = build_classifier(name, 5, (3, 32, 32), seed=0)
    before = features(model, x)
    same = [
        with_cosine_head(build_classifier(name, 5, (3, 32, 32), seed=0), seed=1) for _ in range(2)
    ]
    torch.testing.assert_close(features(same[0], x), before)
    found = predict_logits(same[0], x)
    assert found.shape == (3, 5)
    assert float(found.abs().max()) <= 1 + 1e-6
    torch.testing.assert_close(predict_logits(same[1], x), found)


def test_a_network_without_a_last_layer_is_refused() -> None:
    model: Any = build_classifier("auto", 2, (1, 8, 8), seed=0)
    model.reset_classifier(0)
    with pytest.raises(ValueError, match="ends in Identity"):
        with_cosine_head(model, seed=0)


def test_weights_of_other_classes_are_loaded_without_the_last_layer(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    stored = build_classifier("test_resnet", 7, (3, 32, 32), seed=0)
    save_file(stored.state_dict(), tmp_path / "weights.safetensors")
    x = torch.rand(2, 3, 32, 32, generator=Generator().manual_seed(0))
    model = build_classifier(
        "test_resnet",
        4,
        (3, 32, 32),
        seed=1,
        checkpoint_path=tmp_path / "weights.safetensors",
        choice=InputChoice(size=32, crop=1.0, mean=(0.5,), std=(0.5,)),
    )
    torch.testing.assert_close(features(model, x), features(stored, x))
    assert predict_logits(model, x).shape == (2, 4)
    with pytest.raises(ValueError, match="do not fit"):
        build_classifier(
            "test_vit", 4, (3, 32, 32), seed=1, checkpoint_path=tmp_path / "weights.safetensors"
        )


@pytest.mark.parametrize("head", LOGITS)
def test_training_with_a_margin(head: str) -> None:
    y = torch.arange(32) % 2
    noise = torch.randn(32, 1, 8, 8, generator=Generator().manual_seed(0)) * 0.1
    x = (noise + torch.linspace(-0.5, 0.5, 8) * (2 * y - 1)[:, None, None, None]).clamp(-1, 1)
    settings = TrainSettings(steps=60, batch_size=16, label_smoothing=0.0)
    model = with_cosine_head(build_classifier("auto", 2, (1, 8, 8), seed=0), seed=0)
    train_classifier(model, x, y, settings, seed=0, margin=margin_of(head))
    assert torch.equal(predict_logits(model, x).argmax(dim=1), y)
    with pytest.raises(ValueError, match="int64"):
        train_classifier(
            model,
            x,
            y[:, None].eq(torch.arange(2)).float(),
            settings,
            seed=0,
            margin=margin_of(head),
        )


def test_a_margin_that_returns_its_input_changes_nothing() -> None:
    x = torch.rand(16, 1, 8, 8, generator=Generator().manual_seed(0)) * 2 - 1
    y, settings = torch.arange(16) % 2, TrainSettings(steps=3, batch_size=8)
    train = partial(train_classifier, x=x, y=y, settings=settings, seed=0)
    plain = train(build_classifier("auto", 2, (1, 8, 8), seed=0))
    other = train(build_classifier("auto", 2, (1, 8, 8), seed=0), margin=lambda outputs, y: outputs)
    assert all(
        torch.equal(a, b) for a, b in zip(plain.parameters(), other.parameters(), strict=True)
    )
