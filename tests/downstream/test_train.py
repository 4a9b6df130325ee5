from __future__ import annotations

import math
from functools import partial
from itertools import islice

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Generator, Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from downstream.augment import classical, mixup
from downstream.classifier import build_classifier
from downstream.evaluate import predict_logits
from downstream.losses import class_balanced_cross_entropy
from downstream.train import (
    NonFiniteLossError,
    TrainSettings,
    balanced_weights,
    draw_batches,
    drawn_batches,
    learning_rate_at,
    seeded_dropout,
    train_classifier,
)

SHORT = TrainSettings(steps=3, batch_size=8)


def digits() -> tuple[Tensor, Tensor]:
    data = load_digits()
    return torch.tensor(data.images, dtype=torch.float32).unsqueeze(1) / 8 - 1, torch.tensor(
        data.target
    )


def small_set() -> tuple[Tensor, Tensor]:
    x, y = digits()
    return x[:40], y[:40]


def fresh(seed: int = 0) -> nn.Module:
    return build_classifier("auto", 10, (1, 8, 8), seed=seed)


def equal(first: nn.Module, second: nn.Module) -> bool:
    other = second.state_dict()
    return all(torch.equal(value, other[key]) for key, value in first.state_dict().items())


def test_learns_digits() -> None:
    x, y = digits()
    model = train_classifier(fresh(), x[::2], y[::2], TrainSettings(steps=200), seed=0)
    assert not model.training
    found = predict_logits(model, x[1::2]).argmax(dim=1)
    assert float((found == y[1::2]).float().mean()) > 0.96


def test_equal_seeds_give_equal_weights_and_the_global_state_stays() -> None:
    x, y = small_set()
    augment = classical("digits")
    first = train_classifier(fresh(), x, y, SHORT, seed=3, augment=augment)
    torch.manual_seed(99)
    before = torch.random.get_rng_state()
    second = train_classifier(fresh(), x, y, SHORT, seed=3, augment=augment)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert equal(first, second)
    assert not equal(first, train_classifier(fresh(), x, y, SHORT, seed=4, augment=augment))


def test_dropout_follows_the_seed() -> None:
    x, y = small_set()

    def trained() -> nn.Module:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(64, 10))
        torch.manual_seed(int(torch.empty(()).random_()))
        return train_classifier(model, x, y, SHORT, seed=1)

    assert equal(trained(), trained())


def test_dropout_of_an_apple_gpu_is_seeded_and_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    state = torch.tensor([7])
    monkeypatch.setattr(torch.mps, "get_rng_state", lambda device: state.clone())
    monkeypatch.setattr(torch.mps, "set_rng_state", lambda kept, device: state.copy_(kept))
    monkeypatch.setattr(torch.mps, "manual_seed", state.fill_)
    with seeded_dropout(3, torch.device("mps")):
        assert int(state) == 3
    assert int(state) == 7


def test_soft_targets_equal_to_labels_train_the_same_model() -> None:
    x, y = small_set()
    hard = train_classifier(fresh(), x, y, SHORT, seed=0)
    soft = train_classifier(fresh(), x, one_hot(y, 10).float(), SHORT, seed=0)
    for key, value in hard.state_dict().items():
        torch.testing.assert_close(soft.state_dict()[key], value, rtol=1e-4, atol=1e-4)


def test_augmentation_changes_the_images_that_are_learned_from() -> None:
    x, y = small_set()
    plain = train_classifier(fresh(), x, y, SHORT, seed=0)
    assert equal(
        plain,
        train_classifier(fresh(), x, y, SHORT, seed=0, augment=lambda batch, rng: batch),
    )
    assert not equal(
        plain, train_classifier(fresh(), x, y, SHORT, seed=0, augment=classical("digits"))
    )


def test_images_of_weight_zero_do_not_matter() -> None:
    x, y = small_set()
    weights = (torch.arange(len(x)) < 20).float()
    changed = torch.where(weights.bool().view(-1, 1, 1, 1), x, torch.full_like(x, float("nan")))
    first = train_classifier(fresh(), x, y, SHORT, seed=0, draw_weights=weights)
    assert equal(
        first, train_classifier(fresh(), changed, y, SHORT, seed=0, draw_weights=weights * 7)
    )


def test_mixing_trains_on_mixed_targets() -> None:
    x, y = small_set()
    seen: list[Tensor] = []

    def spy(images: Tensor, targets: Tensor, rng: Generator) -> tuple[Tensor, Tensor]:
        mixed = mixup(images, targets, rng, alpha=1.0)
        seen.append(mixed[1])
        return mixed

    model = train_classifier(fresh(), x, y, SHORT, seed=0, mix=spy)
    assert [target.shape for target in seen] == [(8, 10)] * 3
    assert math.isfinite(float(predict_logits(model, x).sum()))


def test_mixing_costs_one_pass_of_the_network_and_not_one_a_step() -> None:
    model, passes = fresh(), []
    model.register_forward_hook(lambda network, inputs, outputs: passes.append(network.training))
    train_classifier(model, *small_set(), SHORT, seed=0, mix=mixup)
    assert passes == [False] + [True] * SHORT.steps


def test_bfloat16_trains_too() -> None:
    x, y = small_set()
    model = train_classifier(
        fresh(), x, y, TrainSettings(steps=3, batch_size=8, bfloat16=True), seed=0
    )
    assert predict_logits(model, x).dtype == torch.float32


def test_loss_that_is_not_finite_stops_the_training() -> None:
    x, y = small_set()
    with pytest.raises(NonFiniteLossError, match="nan at step 1 of 3"):
        train_classifier(fresh(), x * float("nan"), y, SHORT, seed=0)


def test_balanced_weights_give_classes_equal_mass() -> None:
    y = torch.tensor([0, 0, 0, 2])
    weights = balanced_weights(y, 4)
    assert weights.tolist() == pytest.approx([1 / 6, 1 / 6, 1 / 6, 1 / 2])


def test_equal_weights_show_every_image_once_a_round() -> None:
    weights = torch.full((10,), 0.1, dtype=torch.float64)
    stream = torch.cat(list(islice(draw_batches(weights, 4, Generator().manual_seed(0)), 5)))
    assert sorted(stream[:10].tolist()) == sorted(stream[10:].tolist()) == list(range(10))
    assert stream[:10].tolist() != stream[10:].tolist()


def test_uneven_weights_come_up_as_often_as_they_should() -> None:
    weights = torch.tensor([0.5, 0.26, 0.14, 0.1, 0.0], dtype=torch.float64)
    for batch in islice(draw_batches(weights, 5, Generator().manual_seed(0)), 40):
        counts = torch.bincount(batch, minlength=5)
        assert ((counts >= (5 * weights).floor()) & (counts <= (5 * weights).ceil())).all()
    stream = torch.cat(list(islice(draw_batches(weights, 5, Generator().manual_seed(0)), 400)))
    assert (torch.bincount(stream, minlength=5) / len(stream)).tolist() == pytest.approx(
        weights.tolist(), abs=0.02
    )


def test_learning_rate_rises_then_falls() -> None:
    settings = TrainSettings(steps=10, learning_rate=1.0, warmup=0.2)
    rates = [learning_rate_at(step, settings) for step in range(10)]
    assert rates[:3] == [0.5, 1.0, 1.0]
    assert rates[6] == pytest.approx(0.5)
    assert rates[2:] == sorted(rates[2:], reverse=True)
    assert 0 < rates[-1] < 0.1


@pytest.mark.parametrize(
    "options",
    [
        {"steps": 0},
        {"batch_size": 1},
        {"learning_rate": 0.0},
        {"weight_decay": -1.0},
        {"warmup": 1.0},
        {"label_smoothing": 1.0},
    ],
)
def test_settings_out_of_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="need"):
        TrainSettings(**options)  # type: ignore[arg-type]


def test_data_that_do_not_fit_are_refused() -> None:
    x, y = small_set()
    with pytest.raises(ValueError, match="targets"):
        train_classifier(fresh(), x, y[:3], SHORT, seed=0)
    with pytest.raises(ValueError, match="int64"):
        train_classifier(fresh(), x, y.float(), SHORT, seed=0)
    with pytest.raises(ValueError, match="weights"):
        train_classifier(fresh(), x, y, SHORT, seed=0, draw_weights=torch.zeros(len(x)))


def test_another_loss_is_used_and_gets_the_smoothing() -> None:
    x, y = small_set()
    told: list[float] = []

    def spy(logits: Tensor, target: Tensor, *, label_smoothing: float) -> Tensor:
        told.append(label_smoothing)
        return cross_entropy(logits, target, label_smoothing=label_smoothing)

    plain = train_classifier(fresh(), x, y, SHORT, seed=0)
    assert equal(plain, train_classifier(fresh(), x, y, SHORT, seed=0, loss=spy))
    assert told == [SHORT.label_smoothing] * 3
    uneven = partial(class_balanced_cross_entropy, weights=torch.arange(10.0))
    assert not equal(plain, train_classifier(fresh(), x, y, SHORT, seed=0, loss=uneven))


def test_counting_the_classes_for_a_mix_leaves_a_frozen_part_frozen() -> None:
    model = build_classifier("auto", 10, (1, 8, 8), seed=0)
    model.get_submodule("stem").eval()
    _, target = next(drawn_batches(model, *small_set(), SHORT, seed=0, mix=mixup))
    assert target.shape == (8, 10)
    assert model.training
    assert not any(part.training for part in model.get_submodule("stem").modules())
