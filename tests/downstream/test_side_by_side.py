from __future__ import annotations

import copy
from functools import partial

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from augmentor.common.types import LabelledImages
from downstream.augment import classical, mixup
from downstream.classifier import build_classifier
from downstream.losses import logit_adjusted_cross_entropy
from downstream.side_by_side import Single, train_side_by_side
from downstream.train import NonFiniteLossError, TrainSettings, train_classifier
from downstream.trainer import ClassifierTrainer, Training

STEPS = TrainSettings(steps=12, batch_size=16, bfloat16=False)


def network(seed: int = 0, classes: int = 10) -> nn.Module:
    return build_classifier("auto", classes, (1, 8, 8), seed=seed)


def images() -> LabelledImages:
    data = load_digits()
    x = torch.from_numpy(data.images[:120]).float().unsqueeze(1) / 8 - 1
    return LabelledImages(x, torch.from_numpy(data.target[:120]), tuple("0123456789"))


def singles() -> list[Single]:
    """Four that differ in everything that may differ."""
    x, y = images().x, images().y
    rare = torch.where(y < 5, 1.0, 3.0)
    prior = torch.bincount(y, minlength=10)
    adjusted = partial(logit_adjusted_cross_entropy, prior=prior)
    return [
        Single(network(), x, y, seed=1),
        Single(network(), x, y, seed=2, augment=classical("digits"), draw_weights=rare),
        Single(network(3), x[:70], y[:70], seed=3, mix=mixup),
        Single(network(), x, y, seed=1, loss=adjusted),
    ]


def alone(single: Single, settings: TrainSettings = STEPS) -> nn.Module:
    return train_classifier(
        single.model,
        single.x,
        single.y,
        settings,
        seed=single.seed,
        draw_weights=single.draw_weights,
        augment=single.augment,
        mix=single.mix,
        loss=single.loss,
    )


def differences(first: nn.Module, second: nn.Module) -> list[float]:
    found = []
    for one, other in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
        found.append(float((one.double() - other.double()).abs().max()))
    return found


def test_each_is_what_it_would_be_alone() -> None:
    begun = [copy.deepcopy(single.model) for single in singles()]
    together = train_side_by_side(singles(), STEPS)
    for single, model, first in zip(singles(), together, begun, strict=True):
        assert not model.training
        expected = alone(single)
        assert max(differences(model, expected)) < 1e-3
        # The bound means something: training moved the weights much further.
        assert max(differences(first, expected)) > 0.05
    # Nor are they each other's.
    assert max(differences(together[0], together[3])) > 0.05


def test_what_is_heard_of_a_step_is_the_own_loss() -> None:
    heard: dict[int, list[tuple[int, float]]] = {0: [], 1: []}
    expected: dict[int, list[float]] = {0: [], 1: []}
    short = TrainSettings(steps=3, batch_size=16, bfloat16=False)
    x, y = images().x, images().y

    def hear(number: int, step: int, loss: float) -> None:
        heard[number].append((step, loss))

    both = [Single(network(n), x, y, seed=n, on_step=partial(hear, n)) for n in (0, 1)]
    train_side_by_side(both, short)
    for number in (0, 1):

        def note(step: int, loss: float, *, number: int = number) -> None:
            expected[number].append(loss)

        train_classifier(network(number), x, y, short, seed=number, on_step=note)
        assert [step for step, _ in heard[number]] == [1, 2, 3]
        assert [loss for _, loss in heard[number]] == pytest.approx(expected[number], abs=1e-4)


def test_networks_of_two_shapes_are_refused() -> None:
    x, y = images().x, images().y
    two = [Single(network(), x, y, 0), Single(network(classes=11), x, y, 0)]
    with pytest.raises(ValueError, match="classifier 1 has another shape than the first"):
        train_side_by_side(two, STEPS)


def test_the_one_that_diverges_is_named() -> None:
    x, y = images().x, images().y

    def broken(logits: Tensor, target: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
        return logits.sum() * float("nan")

    two = [Single(network(), x, y, 0), Single(network(), x, y, 0, loss=broken)]
    with pytest.raises(NonFiniteLossError, match="classifier 1 of 2: nan at step 1 of 12"):
        train_side_by_side(two, STEPS)


def test_a_weight_that_is_lost_in_the_last_step_is_named() -> None:
    x, y = images().x, images().y

    def steep(logits: Tensor, target: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
        root: Tensor = (logits - logits.detach()).abs().sqrt().sum()  # infinite slope at zero
        return root

    last = TrainSettings(steps=1, batch_size=16, bfloat16=False)
    two = [Single(network(), x, y, 0), Single(network(), x, y, 0, loss=steep)]
    with pytest.raises(NonFiniteLossError, match=r"classifier 1 of 2: (nan|inf) in its weights"):
        train_side_by_side(two, last)


def test_a_trainer_takes_so_many_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []

    def counted(lot: list[Single], settings: TrainSettings) -> list[nn.Module]:
        sizes.append(len(lot))
        return train_side_by_side(lot, settings)

    monkeypatch.setattr("downstream.trainer.train_side_by_side", counted)
    trainer = ClassifierTrainer(settings=STEPS, domain="digits", side_by_side=2)
    asked = [
        Training(images(), 1),
        Training(images(), 2, augment=("classical", "mixup"), factor=0.5),
        Training(images(), 3, loss="class_balanced"),
    ]
    made = trainer.train_together(asked)
    assert sizes == [2, 1]
    for training, model in zip(asked, made, strict=True):
        expected = trainer.train(
            training.images,
            training.seed,
            augment=training.augment,
            factor=training.factor,
            loss=training.loss,
        )
        assert max(differences(model, expected)) < 1e-3


def test_the_random_state_of_others_stays_untouched() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train_side_by_side(singles()[:2], TrainSettings(steps=2, batch_size=8))
    assert torch.equal(torch.rand(3), expected)
