from __future__ import annotations

import copy
import re
from dataclasses import replace
from typing import Any

import torch

from augmentor.common.types import LabelledImages
from pipelines.gain import report
from tests.pipelines.html_page import Page, assert_self_contained

CLASSES = ("cat", "<script>alert(1)</script>", 'a" onload="x')


def arm(mean: float) -> dict[str, Any]:
    recalls = {name: mean - 0.01 * index for index, name in enumerate(CLASSES)}
    scores = {
        "scores": [mean - 0.01, mean + 0.01],
        "mean": mean,
        "ci95": [mean - 0.02, mean + 0.02],
    }
    other = {"scores": [1.5, 1.7], "mean": 1.6, "ci95": None}
    metrics = {"balanced_accuracy": scores, "negative_log_likelihood": other}
    return {**scores, "per_class_recall": recalls, "metrics": metrics}


def comparison(arm_name: str, baseline: str, delta: float) -> dict[str, Any]:
    interval = [delta - 0.01, delta + 0.01]
    return {
        "arm": arm_name,
        "baseline": baseline,
        "delta": delta,
        "ci95": interval,
        "ci95_replicates": interval,
        "p": 0.0004,
        "p_permutation": None,
        "p_holm": 0.01,
        "outcome": "better" if delta > 0 else "worse",
        "needed": None,
        "limited_by": None,
    }


RESULT: dict[str, Any] = {
    "schema": 2,
    "dataset": "digits",
    "regime": "long tail",
    "source_augment": "none",
    "metric": "balanced_accuracy",
    "metrics": ["balanced_accuracy", "negative_log_likelihood"],
    "scored_on": "test",
    "replicates": 2,
    "overlap": 0.3,
    "arms": {"real": arm(0.80), "classical": arm(0.90), "synthetic": arm(0.85)},
    "comparisons": [
        comparison("synthetic", "real", 0.05),
        comparison("synthetic", "classical", -0.05),
    ],
    "verdict": {"advice": "Synthetic images add 5.0 points <b>to</b> real.", "lines": ["one line"]},
    "policy": None,
    "mixtures": {"synthetic": "oversample + 50% synthetic"},
    "bases": {},
    "training_counts": dict.fromkeys(CLASSES, 7),
    "notes": ["a note"],
    "setup": {"classifier": "auto", "first weights": "random"},
    "command": "augmentor gain <x>",
    "versions": {"torch": "2"},
    "device": "cpu",
    "seconds": {"total": 200.0},
}


def gallery() -> report.Gallery:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(12, 1, 4, 4, generator=generator) * 2 - 1
    images = LabelledImages(x, torch.arange(12) % 3, CLASSES)
    return report.Gallery(
        images,
        images,
        images.subset(torch.arange(2)),
        x[:6].reshape(2, 3, 1, 4, 4),
        torch.ones(2, 3),
    )


def test_the_verdict_is_the_first_heading_and_comes_before_every_table() -> None:
    text = report.gain_report(RESULT)
    assert text.index("<h1>") < text.index("Synthetic images add 5.0 points") < text.index("<table")


def test_tags_close_in_order_and_nothing_is_loaded_from_outside() -> None:
    text = report.gain_report(RESULT, gallery())
    assert_self_contained(Page(text))
    assert "url(" not in text
    assert "@import" not in text


def test_class_names_and_sentences_are_escaped() -> None:
    text = report.gain_report(RESULT, gallery())
    assert "<script>" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "<b>to</b>" not in text
    assert CLASSES[1] in Page(text).texts


def test_the_table_shows_percent_and_points_with_signs() -> None:
    texts = Page(report.gain_report(RESULT)).texts
    for expected in (
        "80.0",
        "88.0 to 92.0",
        "+10.0",
        "+5.0",
        "−5.0",
        "+4.0 to +6.0",
        "< 0.001",
        "0.010",
        "1.600",
        "negative log likelihood ↓",
        "balanced accuracy ↑",
        "one line",
        "random",
    ):
        assert expected in texts


def test_arms_are_shown_beside_the_plainest_one_that_ran() -> None:
    def texts(*names: str) -> list[str]:
        arms = {name: arm(0.8 + 0.02 * place) for place, name in enumerate(names)}
        return Page(report.gain_report(RESULT | {"arms": arms, "comparisons": []})).texts

    assert {"against real", "+2.0", "+4.0"} <= set(texts("real", "classical", "synthetic"))
    assert {"against classical", "+2.0", "+4.0"} <= set(texts("classical", "mixup", "synthetic"))
    assert not any(text.startswith("against ") for text in texts("mixup", "synthetic"))


def test_one_strip_a_row_with_one_dot_a_replicate() -> None:
    text = report.gain_report(RESULT)
    assert text.count('<svg class="strip') == 3 + 2
    assert text.count('class="run"') == 3 * 2


def test_what_was_not_computed_is_a_dash_and_what_is_open_says_what_would_decide() -> None:
    result = copy.deepcopy(RESULT)
    open_row = {"ci95_replicates": None, "p": None, "p_holm": None, "outcome": "undecided"}
    result["comparisons"] = [result["comparisons"][0] | open_row | {"needed": 12}]
    texts = Page(report.gain_report(result)).texts
    assert texts.count("–") == 3 + 3  # three cells of the row, and an interval per arm
    assert "about 12 replicates would decide" in texts
    result["comparisons"] = [
        result["comparisons"][0] | {"needed": None, "limited_by": "test images"}
    ]
    assert "limited by scored images" in Page(report.gain_report(result)).texts


def test_a_generator_that_saw_augmented_images_is_a_warning() -> None:
    assert "Warnings" not in Page(report.gain_report(RESULT)).texts
    text = report.gain_report(RESULT | {"source_augment": "classical"})
    assert "compare with classical, not with real" in text[: text.index("<table")]


def test_a_screening_never_claims_the_test_images() -> None:
    text = report.gain_report(RESULT | {"scored_on": "held-out training images"})
    assert "This is a screening, not a result" in text
    assert "The test images were not read." in text
    assert text.count("test images") == 2, "the warning and the footer, which deny it"
    assert "The test images were read once." in report.gain_report(RESULT)


def test_the_sign_flip_test_has_a_column_where_it_was_made() -> None:
    result = copy.deepcopy(RESULT)
    assert "sign flips" not in Page(report.gain_report(result)).texts
    result["comparisons"][0]["p_permutation"] = 0.0078
    texts = Page(report.gain_report(result)).texts
    assert "sign flips" in texts
    assert "0.008" in texts


def test_a_class_without_images_says_none() -> None:
    pictures = gallery()
    real = pictures.real.subset((pictures.real.y != 0).nonzero()[:, 0])
    text = report.gain_report(RESULT, report.Gallery(real, pictures.synthetic, *_rest(pictures)))
    assert text.count('<span class="none">none</span>') == 1


def _rest(pictures: report.Gallery) -> tuple[LabelledImages, torch.Tensor, torch.Tensor]:
    return pictures.samples, pictures.neighbours, pictures.distances


def test_many_classes_are_cut_and_counted() -> None:
    classes = tuple(f"person {k}" for k in range(report.CLASSES_SHOWN + 5))
    images = LabelledImages(torch.zeros(45, 1, 2, 2), torch.arange(45), classes)
    none = images.subset(torch.arange(0))
    pictures = report.Gallery(images, images, none, torch.zeros(0, 3, 1, 2, 2), torch.zeros(0, 3))
    text = report.gain_report(RESULT, pictures)
    assert "5 more classes are not shown" in text
    assert len(re.findall('class="card"', text)) == report.CLASSES_SHOWN


def test_the_policy_and_its_scores_are_shown() -> None:
    candidate = {
        "name": "classical",
        "mean": 0.9,
        "rounds": 2,
        "scores": [0.89, 0.91],
        "behind_leader": 0.012,
        "standard_error": 0.02,
        "dropped": False,
        "chosen": True,
    }
    policy = {
        "words": "No synthetic images.",
        "screening": {"rule": "One standard error.", "candidates": [candidate]},
    }
    texts = Page(report.gain_report({**RESULT, "policy": policy}, gallery())).texts
    assert "classical (chosen)" in texts
    assert "−1.2" in texts


def test_a_generator_that_returns_training_images_is_told_first() -> None:
    example = {"rendered": 3, "training": 7, "change": "mirrored"}
    copies = {
        "looked_at": 240,
        "found": 12,
        "false_alarm_rate": 0.005,
        "certain": True,
        "examples": [example],
    }
    shown = replace(gallery(), copies=copies)
    text = report.gain_report({**RESULT, "generator_copies": copies}, shown)
    words = "memorised: 12 of 240 rendered images (5.0 %) are near copies of training images"
    assert text.count(words) == 2
    assert "rendered image 3, which is training image 7, mirrored" in text
    calm = {**copies, "found": 1, "certain": False}
    shown = replace(gallery(), copies=calm)
    text = report.gain_report({**RESULT, "generator_copies": calm}, shown)
    assert "memorised" not in text
    assert text.count("1 of 240 rendered images (0.4 %)") == 1
