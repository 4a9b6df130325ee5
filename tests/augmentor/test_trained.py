"""Training in memory: from images or arrays to a source that knows what it saw."""

from __future__ import annotations

import doctest
import pickle

import numpy as np
import pytest
import torch

import augmentor
from augmentor import LabelledImages, trained
from augmentor.common import ranks
from augmentor.common.conditions import Conditions
from augmentor.data.fingerprint import fingerprints

SMALL = {"family": "cvae", "steps": 2, "batch_size": 4, "options": {"width": 4, "latent_dim": 3}}


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (9, 8, 8, 3), dtype=np.uint8), np.array([5] * 5 + [3] * 4)


def weights_of(model):
    """Of layers with a spectral norm too, which compute theirs."""
    return [layer.weight for layer in model.modules() if hasattr(layer, "bias")]


def drawn(source, label="5"):
    return source.sample(label=label, n=2)


def test_arrays_and_labelled_images_give_the_same_source(arrays):
    x, y = arrays
    source = augmentor.train(arrays, **SMALL)
    pixels = torch.from_numpy(x).permute(0, 3, 1, 2) / 127.5 - 1
    images = LabelledImages(pixels.float(), torch.from_numpy((y == 5).astype(int)), ("3", "5"))
    assert source.classes == ("3", "5")
    assert source.image_shape == (3, 8, 8)
    # Two ways to scale the same bytes round differently in the last bit.
    assert torch.allclose(drawn(augmentor.train(images, **SMALL)), drawn(source), atol=1e-4)
    in_range = augmentor.train((x / 255 * 40, y), value_range=(0, 40), **SMALL)
    assert torch.allclose(drawn(in_range), drawn(source), atol=1e-4)


def test_the_seed_decides(arrays):
    first = drawn(augmentor.train(arrays, **SMALL))
    assert torch.equal(drawn(augmentor.train(arrays, **SMALL)), first)
    assert not torch.equal(drawn(augmentor.train(arrays, **SMALL, seed=1)), first)


def test_the_record_says_what_it_saw(arrays):
    record = augmentor.train(arrays, **SMALL).record
    x = torch.from_numpy(arrays[0]).permute(0, 3, 1, 2)
    assert record.steps == 2
    assert record.counts == {"3": 4, "5": 5}
    assert set(record.trained_on) == set(fingerprints(x))
    assert record.description["family"] == "cvae"
    assert record.description["options"]["latent_dim"] == 3


def test_conditions_are_learned_too(arrays):
    light = Conditions(("light",), categories=("day", "night"))
    x = torch.rand(9, 1, 8, 8) * 2 - 1
    labels, condition = torch.arange(9) % 3, torch.arange(9) % 2
    images = LabelledImages(x, labels, ("a", "b", "c"), condition, light)
    source = augmentor.train(images, **SMALL)
    assert source.conditions == light
    assert source.sample(label="b", n=2, condition="night").shape == (2, 1, 8, 8)


def test_conditions_that_would_be_left_out_are_refused():
    light = Conditions(("light",), categories=("day", "night"))
    x, y = torch.rand(4, 1, 8, 8) * 2 - 1, torch.tensor([0, 0, 1, 1])
    images = LabelledImages(x, y, ("a", "b"), y, light)
    words = r"'cgan' knows classes alone: .*cvae_gan.* give images\.without_conditions\(\)"
    with pytest.raises(ValueError, match=words):
        augmentor.train(images, family="cgan", steps=1)
    assert (
        augmentor.train(images.without_conditions(), family="cgan", steps=1).classes
        == images.classes
    )


def test_flattened_arrays_are_those_of_the_shape_that_is_said(arrays):
    x, y = arrays
    flat = x.transpose(0, 3, 1, 2).reshape(9, -1)
    source = augmentor.train((flat, y), **SMALL, image_shape=(3, 8, 8))
    assert torch.equal(drawn(source), drawn(augmentor.train(arrays, **SMALL)))
    with pytest.raises(ValueError, match=r"shape \(192,\) do not fit"):
        augmentor.train((flat, y), **SMALL, image_shape=(1, 8, 8))


def test_black_and_white_arrays_are_taken(arrays):
    x, y = arrays
    source = augmentor.train((x > 127, y), **SMALL)
    assert torch.equal(
        drawn(source), drawn(augmentor.train((255 * (x > 127).astype(np.uint8), y), **SMALL))
    )


def test_every_step_is_told(arrays):
    told = []
    augmentor.train(arrays, **SMALL, tell=lambda report: told.append(report.step))
    assert told == [1, 2]


@pytest.mark.parametrize("family", ["cvae_gan", "triple_gan"])
def test_a_source_pickles(arrays, family):
    small = SMALL | {"family": family, "options": {"width": 4}}
    source = augmentor.train(arrays, **small)
    pickle.dumps(source)
    again = pickle.loads(pickle.dumps(source))  # the first has left the original as it was
    assert type(again) is type(source)
    discriminator = source.model.discriminator
    assert all(torch.isfinite(weight).all() for weight in weights_of(discriminator))
    assert torch.equal(drawn(again), drawn(source))
    assert again.record.counts == source.record.counts


def test_wrong_arguments(arrays):
    with pytest.raises(ValueError, match="unknown family 'gann'; known: cvae_gan"):
        augmentor.train(arrays, family="gann")
    with pytest.raises(ValueError, match="unknown options"):
        augmentor.train(arrays, options={"widht": 4})
    with pytest.raises(ValueError, match="does not tell channels"):
        augmentor.train((arrays[0].reshape(9, -1), arrays[1]))


def test_the_example_runs():
    found = doctest.testmod(trained)
    assert (found.failed, found.attempted) == (0, 4)


def test_a_preset_is_taken(arrays):
    paper = trained.train(arrays, family="cvae_gan", preset="paper", steps=1, batch_size=4)
    assert paper.latent_dim == 256
    with pytest.raises(ValueError, match="unknown preset 'best'"):
        trained.train(arrays, preset="best", steps=1)


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"batch_size": 0}])
def test_nothing_to_train_is_refused(arrays, wrong):
    with pytest.raises(ValueError, match="1 or more"):
        trained.train(arrays, family="cvae", **({"steps": 1} | wrong))


def test_images_in_another_range_are_refused(arrays):
    x = torch.zeros(4, 1, 8, 8)
    x[0] = 255
    y = torch.tensor([0, 0, 1, 1])
    with pytest.raises(ValueError, match=r"give x / 127.5 - 1"):
        trained.train(LabelledImages(x, y, ("a", "b")), family="cvae", steps=1)
    with pytest.warns(UserWarning, match=r"give 2 \* x - 1"):
        trained.train(LabelledImages(x / 255, y, ("a", "b")), family="cvae", steps=1)


def test_somebody_elses_process_group_changes_nothing(arrays, monkeypatch):
    alone = drawn(trained.train(arrays, **SMALL))
    monkeypatch.setattr(ranks, "group", lambda: (1, 2))
    assert torch.equal(alone, drawn(trained.train(arrays, **SMALL)))
