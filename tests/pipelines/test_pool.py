from __future__ import annotations

import math

import pytest
import torch

from pipelines.config import Config, config_from
from pipelines.datasets import DataBundle, load_data
from pipelines.pool import CLEAREST, graph_labels, label_pool


@pytest.fixture(scope="module")
def digits() -> DataBundle:
    return load_data(config("graph").data, 0)


def config(method: str) -> Config:
    return config_from(
        {
            "data": {"data": "digits", "labels": 50},
            "pool": {"method": method, "rounds": 1},
            "classifier": {"steps": 20},
            "device": "cpu",
        }
    )


def test_graph_labels_the_whole_pool_and_marks_the_clearest_of_every_class(digits: DataBundle) -> None:
    assert digits.pool is not None
    labels, clear = graph_labels(digits.train, digits.pool, config("graph"), 0, 0.3)
    assert labels.shape == clear.shape == (len(digits.pool),)
    for label in range(10):
        members = labels == label
        assert int(clear[members].sum()) == math.ceil(0.3 * int(members.sum()))


def test_graph_keeps_what_a_pool_of_five_labels_a_class_tells(digits: DataBundle) -> None:
    kept = label_pool(digits.train, digits.pool, config("graph"), 0)
    assert kept.classes == digits.train.classes
    assert len(kept) >= int(CLEAREST * len(digits.pool))
    # Every kept image is one of the pool, none of the labelled ones.
    known = {x.numpy().tobytes() for x in digits.pool}
    assert all(x.numpy().tobytes() in known for x in kept.x)


def test_graph_is_right_about_most_images_and_clearer_means_more_right() -> None:
    everything = load_data(config_from({"data": {"data": "digits"}}).data, 0).train
    truth = {x.numpy().tobytes(): int(y) for x, y in zip(everything.x, everything.y, strict=True)}
    bundle = load_data(config("graph").data, 1)
    labels, clear = graph_labels(bundle.train, bundle.pool, config("graph"), 1, 0.5)
    right = labels == torch.tensor([truth[x.numpy().tobytes()] for x in bundle.pool])
    assert right.float().mean() > 0.85
    assert right[clear].float().mean() > right[~clear].float().mean()


def test_classifier_is_the_default_method(digits: DataBundle) -> None:
    assert Config().pool.method == "classifier"
    kept = label_pool(digits.train, digits.pool, config("classifier"), 0)
    assert max(kept.counts.values()) <= math.ceil(len(digits.pool) / 10)
