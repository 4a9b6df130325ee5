from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from pipelines.gain import report
from pipelines.gain.gallery import Gallery
from pipelines.report.explorer import Shown
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
    "baselines": {"classical": "classical"},
    "training_counts": dict.fromkeys(CLASSES, 7),
    "notes": ["a note"],
    "setup": {"classifier": "auto", "first weights": "random"},
    "command": "augmentor gain <x>",
    "versions": {"torch": "2"},
    "device": "cpu",
    "seconds": {"total": 200.0},
}


def gallery(**changes: Any) -> Gallery:
    rng = torch.Generator().manual_seed(0)
    x, y = torch.rand(12, 1, 4, 4, generator=rng) * 2 - 1, torch.arange(12) % 3
    near = torch.arange(6).reshape(2, 3)
    made = Shown("rendered", x[:2], y[:2], near=near, distances=torch.ones(2, 3))
    known = Shown("training", x[:6], y[:6], listed=False)
    own = {"classes": CLASSES, "shown": [Shown("real", x, y), made, known]}
    return Gallery(**{**own, **changes})


def shown_data(page: Page) -> dict[str, Any]:
    """What the script of a page knows of its images."""
    found: dict[str, Any] = json.loads(page.scripts[0])
    return found


def test_the_verdict_is_the_first_heading_and_comes_before_every_table() -> None:
    text = report.gain_report(RESULT)
    assert text.index("<h1>") < text.index("Synthetic images add 5.0 points") < text.index("<table")


def test_tags_close_in_order_and_nothing_is_loaded_from_outside() -> None:
    text = report.gain_report(RESULT, gallery())
    assert_self_contained(Page(text))
    assert "url(http" not in text
    assert "@import" not in text


def test_class_names_and_sentences_are_escaped() -> None:
    text = report.gain_report(RESULT, gallery())
    assert "<script>alert" not in text
    assert shown_data(Page(text))["classes"] == list(CLASSES)
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
    # Cells of the row, an interval per arm, and real against itself.
    assert texts.count("–") == 3 + 3 + 1
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


def test_images_know_their_origin_class_and_neighbours() -> None:
    data = shown_data(Page(report.gain_report(RESULT, gallery())))
    real, made, known = data["origins"]
    assert (real["name"], len(real["y"]), made["y"], known["listed"]) == ("real", 12, [0, 1], False)
    assert (made["near"], made["distances"][0]) == ([[0, 1, 2], [3, 4, 5]], [1.0, 1.0, 1.0])
    assert data["size"] == [4, 4]


def test_combinations_without_photos_are_known_to_the_images() -> None:
    counts = {"classes": list(CLASSES), "conditions": ["day", "night"], "train": [[1, 0]] * 3}
    place = torch.zeros(12, dtype=torch.int64)
    x, y = torch.zeros(12, 1, 4, 4), torch.arange(12) % 3
    shown = gallery(shown=[Shown("real", x, y, place)], conditions=("day", "night"))
    data = shown_data(Page(report.gain_report(RESULT | {"combinations": counts}, shown)))
    assert (data["conditions"], data["photos"]) == (["day", "night"], [[1, 0]] * 3)
    assert data["origins"][0]["condition"] == [0] * 12


@pytest.mark.parametrize(
    ("light", "words"),
    [
        ("green", "Synthetic images help here"),
        ("amber", "No gain shown"),
        ("red", "Another method is better here"),
    ],
)
def test_the_light_says_what_it_means(light: str, words: str) -> None:
    verdict = {"light": light, "advice": "Use it.", "lines": []}
    result = RESULT | {"verdict": verdict, "baselines": {"classical": "classical"}}
    text = report.gain_report(result, folder=Path("runs/x y"))
    assert words in text[: text.index("<h1>")]
    assert f'<header class="{light}">' in text
    commands = [one for one in Page(text).texts if one.startswith("augmentor ")]
    assert any("runs/x y" in one for one in commands)


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
    shown = gallery(copies=copies)
    text = report.gain_report({**RESULT, "generator_copies": copies}, shown)
    words = "memorised: 12 of 240 rendered images (5.0 %) are near copies of training images"
    assert text.count(words) == 2, "among the warnings, and beside the images"
    assert "rendered image 3, which is training image 7, mirrored" in text
    calm = {**copies, "found": 1, "certain": False}
    shown = gallery(copies=calm)
    text = report.gain_report({**RESULT, "generator_copies": calm}, shown)
    assert "memorised" not in text
    assert text.count("1 of 240 rendered images (0.4 %)") == 1
