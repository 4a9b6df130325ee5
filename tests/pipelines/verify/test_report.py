from __future__ import annotations

from typing import Any

import pytest

from pipelines.verify.report import verify_report
from pipelines.verify.scores import BASELINE
from pipelines.verify.tables import as_markdown, verify_table
from tests.pipelines.html_page import Page, assert_self_contained
from tests.pipelines.verify.test_scores import result

EVIL = "<script>alert(1)</script>|x"


def whole(replicates: int = 3, **noises: float) -> dict[str, Any]:
    found = result({BASELINE: 1.0, EVIL: 0.3, "alike": 1.0} | noises, replicates)
    for arm in found["arms"].values():
        arm |= {"images": 1200, "people": 62, "synthetic": 60}
    pairs = {"name": "strangers", "same": 1000, "different": 1000, "people": 40}
    return found | {
        "dataset": 'a" onload="x',
        "pairs": found["pairs"] | pairs,
        "network": "auto",
        "head": "softmax",
        "steps": 1500,
        "setup": {"first weights": "<u>random</u>"},
        "command": "augmentor verify <x>",
        "device": "cpu",
        "versions": {"torch": "2"},
        "seconds": {"total": 200.0},
    }


def test_the_verdict_comes_first_and_nothing_is_loaded_from_outside() -> None:
    found = whole(6)
    page = Page(verify_report(found))
    assert_self_contained(page)
    texts = [text for text in page.texts if text.startswith(("Train with", "Arms", "Accuracy,"))]
    cards = ["Arms", "Accuracy, against no extra data"]
    assert texts == [found["verdict"]["advice"], *cards, *cards], "links to the cards, then these"
    assert {"<u>random</u>", "augmentor verify <x>", EVIL} <= set(page.texts)
    assert "total: 3 min 20 s" in page.texts


@pytest.mark.parametrize("replicates", [1, 3])
def test_every_arm_and_metric_is_there(replicates: int) -> None:
    found = whole(replicates)
    page = Page(verify_report(found))
    for title in ("Accuracy", "ROC AUC", "TAR, FAR 1 %", "TAR, FAR 0.1 %"):
        assert f"{title}, against no extra data" in page.texts
    assert page.texts.count("alike") == 5
    assert ("–" in page.texts) == (replicates == 1)


def test_without_other_arms_there_are_no_comparisons() -> None:
    found = whole()
    found |= {"comparisons": [], "arms": {BASELINE: found["arms"][BASELINE]}}
    assert "against no extra data" not in " ".join(Page(verify_report(found)).texts)
    assert "Differences" not in as_markdown(found)


def test_names_of_folders_do_not_break_the_markdown() -> None:
    found = whole()
    page = as_markdown(found)
    assert "<script" not in page
    tables = [line for line in page.split("\n") if line.startswith("| ")]
    assert {line.replace("\\|", "").count("|") for line in tables} == {8, 9}
    assert "|---" not in verify_table(found)


def test_intervals_of_shares_end_at_none_and_all_of_the_pairs() -> None:
    found = whole()
    for arm in found["arms"].values():
        arm["accuracy"]["ci95_people"] = [0.9, 1.1]
        arm["auc"]["ci95_people"] = [-0.2, 0.3]
    table = verify_table(found)
    assert "(90.0 to 100.0)" in table
    assert "(0.0 to 30.0)" in table
    assert "-20.0" not in "".join(Page(verify_report(found)).texts)
