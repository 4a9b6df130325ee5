"""A source in a folder, and on a stand-in of the hub, is the source that was trained."""

from __future__ import annotations

import doctest
import json
import pickle
import sys

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_file

import augmentor
from augmentor import DataError, LabelledImages, Source, sharing
from augmentor.common.conditions import Conditions
from augmentor.data.fingerprint import fingerprints
from augmentor.sharing import from_pretrained, push_to_hub, save_pretrained
from tests.augmentor.hub_stand_in import hub

LIGHT = Conditions(("light",), categories=("day", "night"))


def trained(family="cvae", classes=("cat", "dog|wolf"), **conditions):
    rng = torch.Generator().manual_seed(0)
    x = torch.rand(8, 1, 8, 8, generator=rng) * 2 - 1
    images = LabelledImages(x, torch.arange(8) % 2, classes, **conditions)
    small = {"width": 4, "latent_dim": 3}
    return augmentor.train(images, family=family, steps=2, batch_size=8, options=small)


@pytest.fixture(scope="module")
def source():
    return trained()


def drawn(source, **condition):
    return source.sample(label="cat", n=3, **condition)


def same(first, second):
    return torch.equal(drawn(first), drawn(second))


@pytest.mark.parametrize("family", ["cvae", "cvae_gan"])
def test_a_folder_gives_the_source_back(tmp_path, family):
    source = trained(family)
    again = from_pretrained(save_pretrained(source, tmp_path / "new" / "shared"))
    assert type(again) is type(source)
    assert same(again, source)
    assert again.record.steps == source.record.steps == 2
    assert again.record.counts == {"cat": 4, "dog|wolf": 4}
    assert (again.record.trained_on == source.record.trained_on).all()


def test_a_copy_that_lost_its_spectral_norms_is_not_saved(tmp_path):
    source = trained("cvae_gan")
    copied = pickle.loads(pickle.dumps(source))
    assert same(copied, source)
    with pytest.raises(ValueError, match=r"cannot be saved: save the one that augmentor\.train"):
        save_pretrained(copied, tmp_path / "new")
    assert not (tmp_path / "new" / "weights.safetensors").exists()
    again = pickle.loads(pickle.dumps(trained("cvae")))
    assert same(from_pretrained(save_pretrained(again, tmp_path / "whole")), again)


def test_what_it_saw_is_known_to_whoever_loads_it(tmp_path, source):
    again = from_pretrained(save_pretrained(source, tmp_path))
    rng = torch.Generator().manual_seed(0)
    x = torch.rand(8, 1, 8, 8, generator=rng) * 2 - 1
    assert set(fingerprints(x)) == set(again.record.trained_on.tolist())


def test_conditions_come_back(tmp_path):
    source = trained(condition=torch.arange(8) % 2, conditions=LIGHT)
    again = from_pretrained(save_pretrained(source, tmp_path))
    assert again.conditions == LIGHT
    night = drawn(source, condition="night")
    assert torch.equal(drawn(again, condition="night"), night)
    assert "condition='day'" in (tmp_path / "README.md").read_text()


def test_the_card_says_what_one_must_know(tmp_path, source):
    save_pretrained(
        source,
        tmp_path,
        data="Photos of pets.",
        license="cc-by-4.0",
        measures={"fid": 12.345678, "judge": "small network"},
        limits="- Indoor photos only.",
    )
    _, head, text = (tmp_path / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    assert yaml.safe_load(head) == {
        "library_name": "augmentor",
        "license": "cc-by-4.0",
        "tags": ["data-augmentation", "class-conditional", "cvae"],
    }
    for told in (
        "8 × 8 pixels, grey",
        "trained for 2 steps",
        "Photos of pets.",
        "8 images, as they are",
        "| cat | 4 |",
        "| dog\\|wolf | 4 |",
        "| latent_dim | 3 |",
        "| fid | 12.35 |",
        "| judge | small network |",
        "- Indoor photos only.",
        "Never score a classifier on images that this source saw",
    ):
        assert told in text, told


def test_the_card_without_measures_says_so(tmp_path, source):
    text = (save_pretrained(source, tmp_path) / "README.md").read_text()
    assert "None are given." in text
    assert "The author has not said what the images are." in text
    assert "license" not in text


def test_a_source_of_unknown_training_is_refused(tmp_path, source):
    with pytest.raises(ValueError, match="not known how this source was trained"):
        save_pretrained(Source(source.model), tmp_path)
    assert list(tmp_path.iterdir()) == []


def _no_weights(folder):
    (folder / "model.safetensors").unlink()


def _other_format(folder):
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"format": 2}))


def _other_weights(folder):
    save_file({"weight": torch.zeros(3)}, folder / "model.safetensors")


def _no_fingerprints(folder):
    save_file({"trained_on": torch.zeros(3)}, folder / "trained_on.safetensors")


def _no_json(folder):
    (folder / "config.json").write_text("[" * 100_000)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_no_weights, "not a source that save_pretrained wrote .*model.safetensors"),
        (_other_format, "format 2, this version reads 1"),
        (_other_weights, "its weights are not those of the network it describes"),
        (_no_fingerprints, "does not hold fingerprints"),
        (_no_json, "not a source that save_pretrained wrote"),
    ],
)
def test_what_is_not_a_source_is_refused(tmp_path, source, spoil, message):
    save_pretrained(source, tmp_path)
    spoil(tmp_path)
    with pytest.raises(DataError, match=message):
        from_pretrained(tmp_path)


def test_a_hub_gives_the_source_back(tmp_path, source, monkeypatch):
    reason = "huggingface_hub is not installed"
    constants = pytest.importorskip("huggingface_hub.constants", reason=reason)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)  # the stand-in is on this machine
    with hub() as server:
        place = {"endpoint": server.address, "token": "hf_of_a_test"}
        url = push_to_hub(source, "me/digits", private=True, data="Pets.", **place)
        assert url.startswith(server.address)
        assert server.made[0]["name"] == "digits"
        assert set(server.files) == set(sharing.FILES)
        assert b"Pets." in server.files["README.md"]
        again = from_pretrained("me/digits", **place)
    assert same(again, source)
    assert np.array_equal(again.record.trained_on, source.record.trained_on)


def test_a_name_that_is_neither(tmp_path, source, monkeypatch):
    with pytest.raises(DataError, match="nowhere: neither a folder nor the name of a repository"):
        from_pretrained("nowhere")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match=r"install augmentor-synth\[hub\]"):
        from_pretrained("me/digits")


def test_the_example_runs(tmp_path):
    found = doctest.testmod(sharing, extraglobs={"folder": tmp_path / "shared"})
    assert (found.failed, found.attempted) == (0, 6)
