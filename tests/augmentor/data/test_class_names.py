"""Classes are matched by name."""

from __future__ import annotations

import unicodedata

import pytest

from augmentor.common.types import DataError
from augmentor.data.class_names import listed, match_classes


def test_classes_are_matched_by_name_not_position():
    assert match_classes(["cat", "dog", "eel"], ["eel", "cat", "dog"]) == [2, 0, 1]


def test_spellings_of_one_name_match():
    assert match_classes([unicodedata.normalize("NFD", "Zoë"), "a"], ["a", "Zoë"]) == [1, 0]


def test_torchvision_digits_match():
    assert match_classes(["0 - zero", "1 - one"], ["1", "0"]) == [1, 0]


def test_classes_without_partner_are_named():
    with pytest.raises(
        DataError, match="only in the synthetic images: 'cow', 'eel'; only in the data: 'dog'"
    ):
        match_classes(["cat", "dog"], ["cat", "cow", "eel"])


def test_synthetic_images_may_be_of_some_classes():
    assert match_classes(["cat", "dog", "eel"], ["eel"]) == [2]
    assert match_classes(["0 - zero", "1 - one"], ["1"]) == [1]
    with pytest.raises(DataError, match="occur twice"):
        match_classes(["cat", "dog"], ["cat", "cat"])


def test_twins_in_one_spelling_are_refused():
    twins = [unicodedata.normalize(form, "Zoë") for form in ("NFC", "NFD")]
    with pytest.raises(DataError, match="occur twice"):
        match_classes(twins, twins)


def test_long_lists_are_cut():
    assert listed({"b", "a"}) == "'a', 'b'"
    assert listed([]) == "none"
    assert listed([str(i) for i in range(25)], most=2) == "'0', '1' and 23 more"
