from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from augmentor.common.types import LabelledImages
from downstream import trainer as training
from downstream.augmentations import image_augmentation
from downstream.train import TrainSettings
from downstream.trainer import ClassifierTrainer
from pipelines import pool
from pipelines.config import Config, PoolConfig, config_from
from pipelines.datasets import DataBundle, load_data
from pipelines.pool import CLEAREST, graph_labels, label_pool

TRAINER = ClassifierTrainer(settings=TrainSettings(steps=20), domain="digits")


@pytest.fixture(scope="module")
def digits() -> DataBundle:
    return load_data(config("graph").data, 0)


def config(method: str) -> Config:
    return config_from(
        {
            "data": {"data": "digits", "labels": 50},
            "pool": {"method": method, "rounds": 1},
        }
    )


def test_graph_labels_the_whole_pool_and_marks_the_clearest_of_every_class(
    digits: DataBundle,
) -> None:
    assert digits.pool is not None
    labels, clear = graph_labels(digits.train, digits.pool, TRAINER, 0, 0.3)
    assert labels.shape == clear.shape == (len(digits.pool),)
    for label in range(10):
        members = labels == label
        assert int(clear[members].sum()) == math.ceil(0.3 * int(members.sum()))


def test_images_that_no_label_reaches_have_none() -> None:
    """A burst of nearly the same photos has all its neighbours among itself."""
    rng = torch.Generator().manual_seed(0)

    def photos(place: int) -> Tensor:
        x = torch.full((30, 1, 8, 8), -1.0)
        x[:, :, place : place + 2, place : place + 2] = 1
        return x + 0.01 * torch.rand(x.shape, generator=rng)

    known = LabelledImages(
        torch.cat([photos(0)[:1], photos(3)[:1]]), torch.tensor([0, 1]), ("a", "b")
    )
    pool = torch.cat([photos(0), photos(3), photos(6)])
    still = ClassifierTrainer("auto", domain="digits", strength=0)
    labels, clear = graph_labels(known, pool, still, 0, CLEAREST)
    assert labels.tolist() == [0] * 30 + [1] * 30 + [-1] * 30
    assert not clear[60:].any()
    assert clear[:60].sum() == 42


def test_graph_keeps_what_a_pool_of_five_labels_a_class_tells(digits: DataBundle) -> None:
    kept = label_pool(digits.train, digits.pool, config("graph").pool, TRAINER, 0)
    assert kept.classes == digits.train.classes
    assert len(kept) >= int(CLEAREST * len(digits.pool))
    # Every kept image is one of the pool, none of the labelled ones.
    known = {x.numpy().tobytes() for x in digits.pool}
    assert all(x.numpy().tobytes() in known for x in kept.x)


def test_graph_is_right_about_most_images_and_clearer_means_more_right() -> None:
    everything = load_data(config_from({"data": {"data": "digits"}}).data, 0).train
    truth = {x.numpy().tobytes(): int(y) for x, y in zip(everything.x, everything.y, strict=True)}
    bundle = load_data(config("graph").data, 1)
    labels, clear = graph_labels(bundle.train, bundle.pool, TRAINER, 1, 0.5)
    right = labels == torch.tensor([truth[x.numpy().tobytes()] for x in bundle.pool])
    assert right.float().mean() > 0.85
    assert right[clear].float().mean() > right[~clear].float().mean()


def test_classifier_is_the_default_method(digits: DataBundle) -> None:
    assert Config().pool.method == "classifier"
    kept = label_pool(digits.train, digits.pool, config("classifier").pool, TRAINER, 0)
    assert max(kept.counts.values()) <= math.ceil(len(digits.pool) / 10)


def test_the_classifier_can_start_from_the_graph(
    digits: DataBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert digits.pool is not None
    learned: list[Tensor] = []
    sure = torch.arange(20).remainder(
        10
    )  # of the first twenty images of the pool; of the others nothing is known

    def teacher(known: LabelledImages, pool: Tensor, *arguments: Any) -> Tensor:
        learned.append(known.y)
        logits = torch.zeros(len(pool), 10)
        logits[torch.arange(20), sure] = 20
        return logits

    monkeypatch.setattr(pool, "teacher_logits", teacher)
    asked = config("graph_classifier").pool.model_copy(update={"rounds": 2})
    indices, labels = pool.pool_labels(digits.train, digits.pool, asked, TRAINER, 0)
    of_graph, clear = graph_labels(digits.train, digits.pool, TRAINER, 0, CLEAREST)
    # First the graph's labels, then its own: the graph's are gone.
    assert torch.equal(learned[0], torch.cat([digits.train.y, of_graph[clear]]))
    assert torch.equal(learned[1][: len(digits.train)], digits.train.y)
    assert sorted(learned[1][len(digits.train) :].tolist()) == sorted(sure.tolist())
    assert dict(zip(indices.tolist(), labels.tolist(), strict=True)) == dict(
        enumerate(sure.tolist())
    )


def test_the_labelling_classifier_has_the_augmentation_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found: list[Tensor] = []

    def spy(model: nn.Module, x: Tensor, y: Tensor, settings: Any, **options: Any) -> nn.Module:
        found.append(options["augment"](x[:4], torch.Generator().manual_seed(0)))
        return model

    monkeypatch.setattr(training, "train_classifier", spy)
    bundle = load_data(config("classifier").data, 0)
    for kind in ("classical", "trivialaugment"):
        asked = PoolConfig(rounds=1, augment=kind)
        label_pool(bundle.train, bundle.test.x[:50], asked, TRAINER, 0)
        augment = image_augmentation([kind], "digits")
        expected = augment(bundle.train.x[:4], torch.Generator().manual_seed(0))
        assert torch.equal(found[-1], expected)
    assert not torch.equal(found[0], found[1])


def test_the_labelling_classifier_can_learn_with_a_loss_for_the_tail(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[dict[str, Any]] = []

    def spy(model: nn.Module, x: Tensor, y: Tensor, settings: Any, **options: Any) -> nn.Module:
        calls.append(options)
        return model

    monkeypatch.setattr(training, "train_classifier", spy)
    bundle = load_data(
        config_from({"data": {"data": "digits", "per_class": 20, "imbalance": 10}}).data, 0
    )
    logits, y = torch.zeros(2, 10), torch.tensor([0, 9])
    for loss in ("cross_entropy", "logit_adjusted"):
        asked = PoolConfig(rounds=1, loss=loss)
        label_pool(bundle.train, bundle.test.x[:50], asked, TRAINER, 0)
    plain, adjusted = calls
    assert plain["draw_weights"] is not None
    assert adjusted["draw_weights"] is None
    common, rare = (float(adjusted["loss"](logits[:1], y[i : i + 1])) for i in (0, 1))
    assert rare > float(plain["loss"](logits, y)) > common
