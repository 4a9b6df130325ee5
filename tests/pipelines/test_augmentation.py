from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from pipelines.augmentation import augmentation_of, classical_of, domain_of
from pipelines.config import Config, config_from


def config(data: str = "digits", **classifier: Any) -> Config:
    return config_from({"data": {"data": data}, "classifier": classifier})


def augmented(config: Config, kind: str, factor: float = 1.0) -> Tensor:
    x = torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1
    augment = augmentation_of(config, kind, factor)
    assert augment is not None
    return augment(x, torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("data", "domain"), [("digits", "digits"), ("mnist", "digits"), ("fashion-mnist", "natural")]
)
def test_the_domain_goes_by_the_data_unless_the_config_names_one(data: str, domain: str) -> None:
    assert domain_of(config(data)) == domain
    assert domain_of(config(data, domain="natural")) == "natural"


def test_the_factor_is_one_on_the_strength_of_the_config() -> None:
    halved = config(strength=0.5)
    assert torch.equal(augmented(config(), "classical", 0.5), augmented(halved, "classical"))
    assert not torch.equal(augmented(config(), "classical"), augmented(halved, "classical"))
    x = torch.zeros(2, 1, 8, 8).uniform_(-1, 1, generator=torch.Generator().manual_seed(2))
    assert torch.equal(classical_of(config(strength=0))(x, torch.Generator()), x)


def test_every_kind_is_another_augmentation_and_one_is_none() -> None:
    found = [augmented(config(), kind) for kind in ("classical", "trivialaugment", "randaugment")]
    assert not any(torch.equal(found[i], found[j]) for i in range(3) for j in range(i))
    assert augmentation_of(config(), "none") is None
    with pytest.raises(ValueError, match="unknown augmentation 'magic'"):
        augmentation_of(config(), "magic")
