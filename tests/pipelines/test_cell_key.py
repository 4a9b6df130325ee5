from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from augmentor.common.types import LabelledImages
from augmentor.families import FAMILIES
from augmentor.families.family import Family
from pipelines.cell_key import bytes_of, cell_key
from pipelines.config import Config, config_from
from pipelines.source.train import options_of


def images(y: tuple[int, ...] = (0, 1)) -> LabelledImages:
    x = torch.linspace(-1, 1, 2 * 64).reshape(2, 1, 8, 8)
    return LabelledImages(x, torch.tensor(y), ("a", "b"))


def test_a_key_changes_with_settings_images_and_labels() -> None:
    keys = {
        cell_key([1], [bytes_of(images())]),
        cell_key([2], [bytes_of(images())]),
        cell_key([1], [bytes_of(images((1, 0)))]),
        cell_key([1], [bytes_of(images().subset(torch.tensor([1, 0])))]),
        cell_key([1], [bytes_of(images().x)]),
        cell_key([1], [bytes_of(None)]),
    }
    assert len(keys) == 6
    assert cell_key([1], [bytes_of(images())]) in keys


def test_a_key_changes_with_a_version(monkeypatch: pytest.MonkeyPatch) -> None:
    before = cell_key([1], [])
    monkeypatch.setattr(
        "pipelines.cell_key.package_versions", lambda: {"augmentor": "99", "numpy": "0"}
    )
    assert cell_key([1], []) != before


def test_options_hold_what_no_config_names(monkeypatch: pytest.MonkeyPatch) -> None:
    before = options_of(Config())
    assert before == options_of(
        config_from({"source": {"options": {"weight_kl": before["weight_kl"]}}})
    )
    family = FAMILIES["cvae_gan"]
    changed = replace(family.presets["default"], weight_kl=before["weight_kl"] + 1)
    monkeypatch.setitem(
        FAMILIES, "cvae_gan", Family(family.model, family.trainer, {"default": changed})
    )
    assert options_of(Config()) != before
