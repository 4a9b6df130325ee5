from __future__ import annotations

from pathlib import Path

import pytest

from augmentor.common.types import DataError
from downstream.augment import DOMAINS
from pipelines.config import ClassifierConfig, DataConfig
from pipelines.data.table import NAMED_DATA, SIGNS, markdown_table, near_names, short_name
from pipelines.datasets import load_data
from pipelines.experiment.setting import domain_of

ROOT = Path(__file__).parents[3]
NEVER_MIRRORED = {
    *("digits", "digits-conditions", "mnist", "mnist-conditions", "kmnist", "usps", "svhn"),
    *("emnist-digits", "emnist-letters", "emnist-balanced", "gtsrb"),
}


def test_what_would_mean_something_else_is_never_mirrored() -> None:
    assert {name for name, known in NAMED_DATA.items() if not known.mirrored} == NEVER_MIRRORED
    assert {known.domain for known in NAMED_DATA.values()} == set(DOMAINS)


@pytest.mark.parametrize(
    ("data", "domain"),
    [
        ("svhn", "signs"),
        ("cifar10", "natural"),
        ("hf:ylecun/mnist", "digits"),
        ("hf:ufldl-stanford/svhn/cropped_digits", "signs"),
        ("hf:zalando-datasets/fashion_mnist", "natural"),
        ("hf:someone/photos#label", "natural"),
        ("some/folder/mnist", "natural"),
    ],
)
def test_the_domain_goes_by_the_name(data: str, domain: str) -> None:
    assert domain_of(ClassifierConfig(), DataConfig(data=data)) == domain
    assert domain_of(ClassifierConfig(domain="digits"), DataConfig(data=data)) == "digits"


def test_the_page_of_names_shows_the_table() -> None:
    page = (ROOT / "docs" / "how-to" / "data-by-name.md").read_text("utf-8")
    assert markdown_table() in page, markdown_table()


def test_the_help_names_every_set() -> None:
    description = DataConfig.model_fields["data"].description or ""
    assert all(name in description for name in NAMED_DATA)


@pytest.mark.parametrize(
    ("name", "near"), [("cifar-10", "cifar10"), ("fashionmnist", "fashion-mnist"), ("SVHN", "svhn")]
)
def test_a_name_that_is_nearly_right_is_answered_with_the_right_one(
    name: str, near: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=rf"no folder {name} .*; did you mean .*{near}"):
        load_data(DataConfig(data=name, data_root=tmp_path), seed=0)
    assert near_names("holiday-photos") == ""


def test_signs_are_43_different_ones() -> None:
    assert len(SIGNS) == len(set(SIGNS)) == 43


def test_runs_are_named_without_owner() -> None:
    assert short_name("hf:ufldl-stanford/svhn/cropped_digits") == "svhn"
    assert short_name("hf:/data/saved/#label") == "saved"
