from __future__ import annotations

from typing import Any

import pytest

from pipelines.semi.scores import joined, outcome_of_errors, paired_differences, scores, verdict
from pipelines.semi.tables import PUBLISHED, as_markdown, label_counts, semi_table


def test_scores_of_a_hand_worked_example() -> None:
    found = scores([0.01, 0.04, 0.10])
    assert found["mean"] == pytest.approx(0.05)
    assert found["median"] == 0.04
    assert found["sd"] == pytest.approx((0.0042 / 2) ** 0.5)  # squares of -0.04, -0.01, 0.05
    assert scores([0.5])["sd"] is None


def test_a_difference_is_the_default_minus_the_other_within_subsets() -> None:
    errors = {
        "a": {"20": [0.30, 0.20]},
        "b": {"20": [0.10, 0.06], "100": [0.05]},
        "c": {"100": [0.04]},
    }
    first, second = paired_differences(errors, "b")
    assert (first["method"], first["baseline"], first["labels"], first["pairs"]) == (
        "b",
        "a",
        20,
        2,
    )
    assert first["delta"] == pytest.approx(-0.17)
    # Differences -0.20 and -0.14: standard error 0.03, t of one degree of freedom at 97.5 % is
    # 12.706.
    assert first["ci95"] == pytest.approx([-0.17 - 12.706 * 0.03, -0.17 + 12.706 * 0.03], abs=1e-4)
    assert first["p"] == first["p_holm"] == pytest.approx(0.1110, abs=1e-3)
    assert (second["baseline"], second["delta"]) == ("c", pytest.approx(0.01))
    assert second["ci95"] is second["p"] is second["p_holm"] is None


def test_fewer_subsets_pair_up_with_the_first_ones() -> None:
    (row,) = paired_differences({"a": {"20": [0.5, 0.5]}, "b": {"20": [0.1, 0.2, 0.9]}}, "b")
    assert row["pairs"] == 2
    assert row["delta"] == pytest.approx(-0.35)


def test_swapping_two_methods_turns_the_sign_and_an_absent_default_compares_nothing() -> None:
    errors = {"a": {"20": [0.5, 0.6, 0.4]}, "b": {"20": [0.1, 0.3, 0.2]}}
    (one,), (other,) = paired_differences(errors, "a"), paired_differences(errors, "b")
    assert one["delta"] == -other["delta"]
    assert one["ci95"] == pytest.approx([-end for end in reversed(other["ci95"])])
    assert one["p"] == other["p"]
    assert paired_differences(errors, "c") == []


def test_holm_allows_for_all_rows() -> None:
    errors = {
        "a": {"20": [0.5, 0.6, 0.4], "50": [0.4, 0.5, 0.2]},
        "b": {"20": [0.1, 0.3, 0.2], "50": [0.1, 0.1, 0.1]},
    }
    rows = paired_differences(errors, "b")
    smaller, larger = sorted(rows, key=lambda row: row["p"])
    assert smaller["p_holm"] == pytest.approx(2 * smaller["p"])
    assert larger["p_holm"] >= larger["p"]


def test_outcome_is_of_the_default_and_lower_errors_are_better() -> None:
    assert outcome_of_errors({"ci95": [-0.02, -0.01]}) == "better"
    assert outcome_of_errors({"ci95": [0.01, 0.02]}) == "worse"
    assert outcome_of_errors({"ci95": [-0.01, 0.02]}) == "open"
    assert outcome_of_errors({"ci95": None}) == "open"


def result(**changes: Any) -> dict[str, Any]:
    errors = {"ours": {"20": [0.02, 0.03], "100": [0.01, 0.01]}, "a|b<": {"100": [0.05, 0.04]}}
    whole: dict[str, Any] = {
        "dataset": "mnist",
        "default_method": "ours",
        "methods": {
            name: {n: scores(one) for n, one in found.items()} for name, found in errors.items()
        },
        "differences": paired_differences(errors, "ours"),
        "scored_on": "test",
        "images": {"training": 60000, "scored": 10000},
        "command": "augmentor semi",
        "device": "cpu",
        "versions": {"torch": "2"},
        "verdict": "ours alone: 1 % error.",
    }
    return whole | changes


def row(baseline: str, labels: int, low: float, high: float, pairs: int = 2) -> dict[str, Any]:
    return {"baseline": baseline, "labels": labels, "pairs": pairs, "ci95": [low, high]}


def test_the_verdict_claims_only_what_holds_at_every_number_of_labels() -> None:
    differences = [
        row("a", 20, -0.2, -0.1),
        row("a", 100, -0.2, -0.1),
        row("b", 20, -0.2, -0.1),
        row("b", 100, -0.2, 0.1),
        row("c", 20, 0.1, 0.2),
    ]
    sentence = verdict(result(differences=differences))
    assert sentence == (
        "ours makes fewer errors than a, makes more errors than c, "
        "is shown neither better nor worse throughout than b: "
        "2.50 ± 0.71 % error with 20 labels; 1.00 ± 0.00 % error with 100 labels; 2 subsets, test "
        "images, preliminary."
    )


def test_the_verdict_is_preliminary_unless_every_comparison_has_ten_pairs() -> None:
    ten = row("a", 20, -0.2, -0.1, pairs=10)
    assert "preliminary" not in verdict(result(differences=[ten]))
    assert "preliminary" in verdict(result(differences=[ten, row("b", 20, -0.2, -0.1, pairs=9)]))


def test_the_verdict_without_comparison_says_so() -> None:
    assert verdict(result(differences=[])).startswith("ours alone: 2.50")
    assert verdict(result(default_method="other")) == (
        "Nothing was compared: other, the default method, was not run."
    )  # fmt: skip
    tuned = verdict(result(scored_on="held-out training images"))
    assert "2 subsets, held-out training images, preliminary" in tuned


def test_names_are_joined_as_one_says_them() -> None:
    assert [joined(names) for names in (["a"], ["a", "b"], ["a", "b", "c"])] == [
        "a",
        "a and b",
        "a, b and c",
    ]


def test_the_text_table_has_a_column_for_every_number_of_labels() -> None:
    lines = semi_table(result()).splitlines()
    assert lines[0].split() == ["method", "20", "labels", "100", "labels"]
    assert lines[1].split("  ")[-1].strip() == "1.00 ± 0.00 (1.00; 2)"
    assert lines[2].split() == ["a|b<", "–", "4.50", "±", "0.71", "(4.50;", "2)"]
    assert label_counts(result()) == ["20", "100"]


def test_markdown_sets_the_published_rows_beside_and_escapes_names() -> None:
    page = as_markdown(result())
    assert "| ours | 2.50 ± 0.71 (2.50; 2) | 1.00 ± 0.00 (1.00; 2) |" in page
    assert "| a\\|b&lt; | – |" in page
    assert "| Triple-GAN (Li et al. 2017) | 4.81 ± 4.95 | 0.91 ± 0.58 |" in page
    assert "| VAT (Miyato et al. 2017) | – | 1.36 |" in page
    assert "| ours - a\\|b&lt; | 100 | 2 | -3.50 |" in page
    assert "Published" not in as_markdown(result(dataset="digits"))
    assert "| theirs | – | 7 ± 1 |" in as_markdown(
        result(dataset="digits"), {"theirs": {"100": (7.0, 1.0)}}
    )


def test_the_published_numbers_are_the_literatures() -> None:
    mnist = PUBLISHED["mnist"]
    best = {
        n: min(found[n][0] for found in mnist.values() if n in found)
        for n in ("20", "50", "100", "200")
    }
    assert best == {"20": 4.81, "50": 1.56, "100": 0.795, "200": 0.81}
