from __future__ import annotations

from typing import Any

import pytest

from pipelines.semi.scores import errors_of, joined, paired_differences, scores, verdict
from pipelines.semi.tables import PUBLISHED, as_markdown, label_counts, semi_table
from tests.pipelines.semi.outputs import of_methods

OVERLAPS = {20: 0.01, 50: 0.02, 100: 0.05}


def differences(errors: dict[str, dict[int, list[float]]], reference: str) -> list[dict[str, Any]]:
    return paired_differences(of_methods(errors), reference, OVERLAPS)


def test_scores_of_a_hand_worked_example() -> None:
    found = scores([0.01, 0.04, 0.10])
    assert found["mean"] == pytest.approx(0.05)
    assert found["median"] == 0.04
    assert found["sd"] == pytest.approx((0.0042 / 2) ** 0.5)  # squares of -0.04, -0.01, 0.05
    assert scores([0.5])["sd"] is None


def test_errors_are_scored_by_method_and_ascending_number_of_labels() -> None:
    found = errors_of(of_methods({"a": {100: [0.1], 20: [0.3, 0.2]}}))
    assert list(found["a"]) == ["20", "100"]
    assert found["a"]["20"]["errors"] == pytest.approx([0.3, 0.2])
    assert found["a"]["100"]["sd"] is None


def test_a_difference_is_the_reference_minus_the_other_within_subsets() -> None:
    errors = {
        "a": {20: [0.30, 0.20]},
        "b": {20: [0.10, 0.06], 100: [0.05]},
        "c": {100: [0.04]},
    }
    first, second = differences(errors, "b")
    assert [first[key] for key in ("method", "baseline", "labels", "pairs")] == ["b", "a", 20, 2]
    assert first["delta"] == pytest.approx(-0.17)
    # Differences -0.20 and -0.14: standard error 0.03, t of one degree of freedom at 97.5 % is
    # 12.706.
    alone = [-0.17 - 12.706 * 0.03, -0.17 + 12.706 * 0.03]
    assert first["ci95_replicates"] == pytest.approx(alone, abs=1e-4)
    # Scored images and shared training images add variance, the images degrees of freedom too.
    assert first["ci95"] != first["ci95_replicates"]
    assert first["p"] == first["p_holm"]
    assert first["outcome"] == "undecided"
    assert (second["baseline"], second["delta"]) == ("c", pytest.approx(0.01))
    assert second["ci95"] is second["p"] is second["p_holm"] is None
    assert second["outcome"] == "undecided"


def test_fewer_subsets_pair_up_with_the_first_ones() -> None:
    (row,) = differences({"a": {20: [0.5, 0.5]}, "b": {20: [0.1, 0.2, 0.9]}}, "b")
    assert row["pairs"] == 2
    assert row["delta"] == pytest.approx(-0.35)


def test_swapping_two_methods_turns_the_sign() -> None:
    errors = {"a": {20: [0.5, 0.6, 0.4]}, "b": {20: [0.1, 0.3, 0.2]}}
    (one,), (other,) = differences(errors, "a"), differences(errors, "b")
    assert one["delta"] == pytest.approx(-other["delta"])
    assert one["ci95"] == pytest.approx([-end for end in reversed(other["ci95"])])
    assert one["p"] == pytest.approx(other["p"])


def test_a_method_alone_is_compared_with_nothing() -> None:
    assert differences({"a": {20: [0.5, 0.6]}}, "a") == []


def test_lower_errors_are_better_and_holm_allows_for_the_methods_of_a_number_of_labels() -> None:
    errors = {
        "good": {20: [0.1, 0.11, 0.12], 50: [0.1, 0.11, 0.12]},
        "bad": {20: [0.5, 0.52, 0.53], 50: [0.05, 0.3, 0.2]},
        "worst": {20: [0.9, 0.93, 0.95]},
    }
    rows = {(row["baseline"], row["labels"]): row for row in differences(errors, "good")}
    assert rows["bad", 20]["outcome"] == rows["worst", 20]["outcome"] == "better"
    smaller, larger = sorted((rows["bad", 20], rows["worst", 20]), key=lambda row: row["p"])
    assert smaller["p_holm"] == pytest.approx(min(1, 2 * smaller["p"]))
    assert larger["p_holm"] >= larger["p"]
    assert rows["bad", 50]["p_holm"] == rows["bad", 50]["p"]
    assert rows["bad", 50]["outcome"] == "undecided"
    turned = {row["baseline"]: row for row in differences(errors, "bad") if row["labels"] == 20}
    assert turned["good"]["outcome"] == "worse"


def result(**changes: Any) -> dict[str, Any]:
    found = of_methods({"ours": {20: [0.02, 0.03], 100: [0.01, 0.01]}, "a|b<": {100: [0.05, 0.04]}})
    whole: dict[str, Any] = {
        "dataset": "mnist",
        "metric": "error",
        "default_method": "ours",
        "methods": errors_of(found),
        "differences": paired_differences(found, "ours", OVERLAPS),
        "scored_on": "test",
        "images": {"training": 60000, "scored": 10000},
        "setup": {"classifier": "auto", "first weights": "random", "screening": False},
        "command": "augmentor semi",
        "device": "cpu",
        "versions": {"torch": "2"},
        "verdict": {"advice": "Use `ours`.", "lines": ["one <line>"]},
    }
    return whole | changes


def row(baseline: str, labels: int, outcome: str, pairs: int = 10, **more: Any) -> dict[str, Any]:
    return {
        "method": "ours",
        "baseline": baseline,
        "labels": labels,
        "pairs": pairs,
        "delta": {"better": -0.15, "worse": 0.15}.get(outcome, -0.01),
        "ci95": [-0.2, -0.1],
        "outcome": outcome,
        "needed": None,
    } | more


def advice(*rows: dict[str, Any]) -> str:
    text: str = verdict(result(differences=list(rows)))["advice"]
    return text


def test_the_advice_claims_only_what_holds_at_every_number_of_labels() -> None:
    both = row("a", 20, "better"), row("a", 100, "better")
    assert advice(*both) == "Use `ours`: it makes fewer errors than `a`."
    mixed = row("b", 20, "better"), row("b", 100, "undecided")
    assert advice(*both, *mixed) == (
        "`ours` makes fewer errors than `a`; undecided: `ours` against `b`."
    )
    undecided = row("c", 20, "undecided", needed=30)
    assert advice(*both, undecided) == (
        "`ours` makes fewer errors than `a`; undecided: `ours` against `c`. About 30 subsets would "
        "probably decide."
    )
    assert advice(undecided).startswith("Undecided: `ours` against `c`.")
    assert advice(*both, row("d", 20, "worse")) == "Use `d`: it makes fewer errors than `ours`."


def test_of_several_methods_ahead_of_the_reference_none_is_called_the_best() -> None:
    beaten, first = row("a", 20, "better"), row("d", 20, "worse")
    for rows, words in (
        (
            [row("e", 20, "worse", delta=0.3)],
            "`d` and `e` make fewer errors than `ours`; `d` and `e` were not compared with each "
            "other.",
        ),
        (
            [row("c", 20, "undecided")],
            "`d` makes fewer errors than `ours`; `d` and `c` were not compared with each other.",
        ),
    ):
        found = verdict(result(differences=[beaten, first, *rows]))
        assert (found["light"], found["advice"]) == ("amber", words)
    assert verdict(result(differences=[beaten, first]))["light"] == "green"


def test_two_subsets_give_no_advice_and_one_method_nothing_to_compare() -> None:
    assert advice(row("a", 20, "undecided", pairs=2)) == (
        "No recommendation: 2 subsets are too few; run 3 or more."
    )
    assert advice(row("a", 20, "undecided", pairs=1)).startswith("No recommendation: 1 subset is")
    assert advice() == "Nothing to compare: `ours` ran alone."


def test_every_comparison_has_a_line() -> None:
    lines = verdict(result(differences=[row("a", 20, "better"), row("b", 20, "undecided")]))[
        "lines"
    ]
    assert lines == [
        "ours against a, 20 labels: −15.00 points of error (95 % interval −20.00 to −10.00), "
        "better",
        "ours against b, 20 labels: −1.00 points of error (95 % interval −20.00 to −10.00), "
        "undecided",
        "ours, 20 labels: 2.50 ± 0.71 % error",
        "ours, 100 labels: 1.00 ± 0.00 % error",
        "2 subsets, test images",
    ]


def test_a_verdict_is_preliminary_unless_every_comparison_has_ten_pairs() -> None:
    ten, nine = row("a", 20, "better"), row("b", 20, "better", pairs=9)
    assert verdict(result(differences=[ten]))["lines"][-1] == "2 subsets, test images"
    assert "preliminary" in verdict(result(differences=[ten, nine]))["lines"][-1]


def test_a_verdict_on_held_out_images_is_a_screening() -> None:
    last = verdict(result(scored_on="held-out training images"))["lines"][-1]
    assert last == "2 subsets, preliminary, held-out training images, which is a screening"


def test_names_are_joined_as_one_says_them() -> None:
    assert [joined(names) for names in (["a"], ["a", "b"], ["a", "b", "c"])] == [
        "`a`",
        "`a` and `b`",
        "`a`, `b` and `c`",
    ]


def test_the_text_table_has_a_column_for_every_number_of_labels() -> None:
    lines = semi_table(result()).splitlines()
    assert lines[0].split() == ["method", "20", "labels", "100", "labels"]
    assert lines[1].split("  ")[-1].strip() == "1.00 ± 0.00 (1.00; 2)"
    assert lines[2].split() == ["a|b<", "–", "4.50", "±", "0.71", "(4.50;", "2)"]
    assert label_counts(result()) == ["20", "100"]


def test_markdown_sets_the_published_rows_beside_and_escapes_names() -> None:
    page = as_markdown(result())
    assert "Use `ours`.\n\n- one &lt;line>\n" in page
    assert "| ours | 2.50 ± 0.71 (2.50; 2) | 1.00 ± 0.00 (1.00; 2) |" in page
    assert "| a\\|b&lt; | – |" in page
    assert "| Triple-GAN (Li et al. 2017) | 4.81 ± 4.95 | 0.91 ± 0.58 |" in page
    assert "| VAT (Miyato et al. 2017) | – | 1.36 |" in page
    assert "| ours - a\\|b&lt; | 100 | 2 | −3.50 |" in page
    assert "- first weights: random\n- screening: no\n" in page
    assert "Published" not in as_markdown(result(dataset="digits"))
    assert "| theirs | – | 7 ± 1 |" in as_markdown(
        result(dataset="digits"), {"theirs": {"100": (7.0, 1.0)}}
    )


def test_markdown_of_a_screening_claims_no_test_images() -> None:
    page = as_markdown(result(scored_on="held-out training images"))
    assert "10000 held-out training images" in page
    assert "test images" not in page
    assert "Published" not in page  # those are errors on test images


def test_the_published_numbers_are_the_literatures() -> None:
    mnist = PUBLISHED["mnist"]
    best = {
        n: min(found[n][0] for found in mnist.values() if n in found)
        for n in ("20", "50", "100", "200")
    }
    assert best == {"20": 4.81, "50": 1.56, "100": 0.795, "200": 0.81}
