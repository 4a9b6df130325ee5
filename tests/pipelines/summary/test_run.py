from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path
from statistics import mean
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from scipy import stats

from augmentor.common.types import DataError
from downstream.comparison import paired_t
from pipelines import cli
from pipelines.results import read_result
from pipelines.summary.markdown import as_markdown
from pipelines.summary.read import of_today
from pipelines.summary.report import by_count, forest, kind_of
from pipelines.summary.run import lower_bound, summary_run
from pipelines.summary.run import rows_of as rows_of_today
from pipelines.summary.tables import headline, remark, run_names, tables
from tests.pipelines.html_page import Page, assert_self_contained

EVIL = '</title><script>alert("1")</script>|[x](y)'
# Differences from classical: synthetic+classical 0.02 and 0.04, auto always 0, pseudo_label 0.03
# and 0.05.
SCORES = {
    "real": [0.70, 0.72],
    "classical": [0.80, 0.82],
    "pseudo_label": [0.83, 0.87],
    "synthetic+classical": [0.82, 0.86],
    "auto": [0.80, 0.82],
}
PAIRS = [
    ("synthetic+classical", "classical"),
    ("synthetic+classical", "real"),
    ("synthetic+classical", "pseudo_label"),
    ("auto", "classical"),
    ("classical", "synthetic+classical"),
]


def compared(arm: str, baseline: str, scores: dict[str, list[float]]) -> dict[str, Any]:
    differences = np.array(scores[arm]) - np.array(scores[baseline])
    interval, p = paired_t(differences)
    row = {
        "arm": arm,
        "baseline": baseline,
        "delta": float(differences.mean()),
        "ci95": list(interval),
        "p": p,
    }
    return row | {"ci95_bootstrap": None, "p_holm": p}


def result(
    scores: dict[str, list[float]] = SCORES, pairs: list[tuple[str, str]] = PAIRS, **changes: Any
) -> dict[str, Any]:
    arms = {
        name: {
            "scores": own,
            "mean": mean(own),
            "ci95": [min(own), max(own)],
            "per_class_recall": {"a": None},
        }
        for name, own in scores.items()
    }
    whole = {
        "schema": 1,
        "dataset": "digits",
        "regime": "100 labels, 900 unlabelled",
        "source_augment": "none",
        "metric": "balanced_accuracy",
        "replicates": len(scores["classical"]),
        "arms": arms,
        "comparisons": [compared(*pair, scores) for pair in pairs],
        "verdict": "Do without.",
        "policy": {
            "share": 0.0,
            "name": "classical",
            "best_classical": "classical",
            "best_with_pool": "pseudo_label",
        },
        "training_counts": {"a": 10, "b": 4, "c": 30},
        "command": "augmentor gain digits.yaml",
        "versions": {},
        "device": "cpu (2 cores)",
        "seconds": {"total": 1.0, "classifier a replicate": 20.0, "source a replicate": 40.0},
    }
    return whole | changes


def verification(**changes: Any) -> dict[str, Any]:
    figure = {"mean": 0.9, "scores": [0.9], "ci95": None, "ci95_people": [0.88, 0.92]}
    metrics = ("accuracy", "auc", "tar_at_far_1e-2", "tar_at_far_1e-3")
    arm = {"images": 9, "people": 3, "synthetic": 0} | dict.fromkeys(metrics, figure)
    row = {
        "arm": "more",
        "baseline": "no extra data",
        "delta": 0.01,
        "ci95": None,
        "ci95_people": [-0.01, 0.03],
    }
    whole = {
        "schema": 1,
        "dataset": "faces",
        "head": "arcface",
        "replicates": 1,
        "arms": {"no extra data": arm, "more": arm | {"synthetic": 6}},
        "comparisons": [row | {"metric": metric, "p": None, "p_holm": None} for metric in metrics],
        "verdict": "Not decided.",
        "command": "augmentor verify faces.yaml",
        "versions": {},
        "device": "cpu",
        "seconds": {"total": 9.0, "no extra data a training": 2.0, "more a training": 3.0},
    }
    return whole | changes


def rows_of(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of the contents of a result file."""
    return rows_of_today(of_today(document))


def best_baselines(document: dict[str, Any]) -> dict[str, str]:
    """The strongest arms without a generator, of the contents of a result file."""
    found: dict[str, str] = of_today(document)["baselines"]
    return found


def write(path: Path, document: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return path


def test_rows_hold_the_hand_worked_numbers() -> None:
    rows = rows_of(result())
    assert [(row["arm"], row["baseline"], row["yardstick"]) for row in rows] == [
        ("synthetic+classical", "classical", "classical"),
        ("synthetic+classical", "real", "classical"),
        ("synthetic+classical", "pseudo_label", "same_pool"),
        ("auto", "classical", "classical"),
    ]
    first = rows[0]
    assert first["delta"] == pytest.approx(0.03)
    # Of 0.02 and 0.04: standard error 0.01, t = 12.706 with one degree of freedom.
    assert first["ci95"] == pytest.approx([0.03 - 0.12706, 0.03 + 0.12706], abs=1e-5)
    assert first["seconds"] == 2 * (20 + 40)
    assert first["images_per_class"] == 10
    assert (first["synthetic"], rows[3]["synthetic"], rows[3]["policy"]) == (
        True,
        False,
        "classical",
    )
    assert rows[3]["lower95"] == 0
    assert all("lower95" not in row for row in rows[:3])


def test_auto_is_synthetic_only_if_its_policy_mixes_images_in_and_own_policies_are_if_they_do() -> (
    None
):
    policy = result()["policy"] | {"share": 0.5, "name": "classical + 50% synthetic"}
    assert rows_of(result(policy=policy))[3]["synthetic"]
    scores = SCORES | {"own": [0.9, 0.91], "half_strength": [0.8, 0.8]}
    pairs = [("own", "classical"), ("half_strength", "classical")]
    rows = rows_of(result(scores, pairs, mixtures={"own": "classical + 20% synthetic"}))
    assert [row["synthetic"] for row in rows] == [True, False]


@pytest.mark.parametrize(("replicates", "most"), [(5, 0.004), (2000, 1e-5)])
def test_the_lower_bound_is_never_above_the_one_sided_t_bound(replicates: int, most: float) -> None:
    differences = np.random.default_rng(0).normal(0.01, 0.02, replicates)
    (low, _), _ = paired_t(differences)
    exact = stats.ttest_1samp(differences, 0, alternative="greater").confidence_interval(0.95).low
    found = lower_bound(float(differences.mean()), low)
    assert low < found <= exact < found + most


def test_the_strongest_baseline_is_the_tuned_one_unless_another_is_clearly_better() -> None:
    assert best_baselines(result()) == {"classical": "classical", "same_pool": "pseudo_label"}
    near = SCORES | {"smote": [0.81, 0.80]}
    assert best_baselines(result(near))["classical"] == "classical"
    tuned = result()["policy"] | {"best_classical": "smote"}
    assert (
        best_baselines(result(near, policy=tuned))["classical"] == "smote"
    )  # a little behind is no mistake
    clear = SCORES | {"smote": [0.70, 0.7201]}
    assert best_baselines(result(clear, policy=tuned))["classical"] == "classical"
    own = result(SCORES | {"own": [0.98, 0.9999]}, bases={"own": "classical"})
    assert best_baselines(own)["classical"] == "own"
    assert best_baselines(result(policy=None)) == {
        "classical": "classical",
        "same_pool": "pseudo_label",
    }
    assert best_baselines(result({"classical": [0.5, 0.6]}, []))["classical"] == "classical"


def test_a_verification_maps_its_accuracy(tmp_path: Path) -> None:
    [row] = rows_of(verification())
    assert (row["yardstick"], row["baseline"], row["metric"]) == (
        "classical",
        "no extra data",
        "accuracy",
    )
    assert (row["ci95"], row["ci95_over"], row["seconds"]) == ([-0.01, 0.03], "people", 5.0)
    summary = summary_run(
        [write(tmp_path / "verify.json", verification()).parent], tmp_path / "out"
    )
    assert "preliminary, interval over people" in as_markdown(summary, {})


def test_real_photos_as_a_control_are_no_synthetic_gain() -> None:
    assert [row["synthetic"] for row in rows_of(verification())] == [True]
    arms = verification()["arms"]
    control = verification(arms=arms | {"more": arms["more"] | {"synthetic": 0}})
    assert [row["synthetic"] for row in rows_of(control)] == [False]


def test_a_summary_writes_what_it_promises(tmp_path: Path) -> None:
    run = write(tmp_path / "run" / "gain.json", result()).parent
    out = tmp_path / "deep" / "out"
    summary = summary_run([run], out, command="augmentor summary run")
    assert read_result(out / "gain_summary.json", "gain_summary") == {"schema": 1, **summary}
    assert {path.name for path in out.iterdir()} == {
        "gain_summary.json",
        "gain.md",
        "gain_forest.svg",
        "summary.html",
    }
    promised = {
        "dataset",
        "regime",
        "metric",
        "arm",
        "yardstick",
        "baseline",
        "delta",
        "ci95",
        "replicates",
    }
    assert all(
        promised | {"command", "device", "seconds"} <= set(row) for row in summary["results"]
    )


def test_the_markdown_tables_say_what_the_rows_hold(tmp_path: Path) -> None:
    # A gain of one point at least in every replicate, of 0.01, 0.02, 0.03 and so on: clear with ten
    # of them.
    own = {
        "classical": [0.8] * 10,
        "auto": [0.8] * 10,
        "synthetic+classical": [0.8 + 0.01 * k for k in range(1, 11)],
    }
    pairs = [("synthetic+classical", "classical"), ("auto", "classical")]
    text = as_markdown(
        summary_run([write(tmp_path / "a.json", result(own, pairs))], tmp_path / "out"), {}
    )
    lines = text.splitlines()
    # Mean 5.5 points, deviation 3.03, t = 2.262: half the interval is 2.17.
    where = "digits | 100 labels, 900 unlabelled"
    row = f"| {where} | synthetic+classical − classical | +5.5 | +3.3 to +7.7 | 10 |  |"
    assert row in lines
    assert (
        f"| {where} | classical | synthetic+classical | 1 | +5.5 | +3.3 to +7.7 | 10 |  |" in lines
    )
    assert f"| {where} | auto − classical | classical | 0.00 | 0.00 | 10 | yes |" in lines
    # Ten replicates of sixty seconds over 5.5 points.
    assert f"| {where} | synthetic+classical − classical | 10 min 00 s | +5.5 | 109.1 s |" in lines
    assert f"| {where} | auto − classical | 10 min 00 s | 0.0 | – |" in lines
    assert (
        "auto is shown to lose at most one point against the best classical arm in 1 of 1 runs "
        "(in 1 of them it is "
        "that arm); 0 of 1" in text
    )


def test_few_replicates_are_preliminary_and_weak_baselines_are_named() -> None:
    rows = rows_of(result())
    text = as_markdown(
        {"results": rows, "verdict": headline(rows), "scored_on": "test", "command": "x"}, {}
    )
    assert "| synthetic+classical − classical | +3.0 | −9.7 to +15.7 | 2 | preliminary |" in text
    assert "| 2 | preliminary, not the strongest baseline |" in text
    assert (
        "An arm with a generator gains over the best classical arm in 0 of 1 runs and over" in text
    )


def test_a_gain_that_does_not_outlast_the_correction_is_none() -> None:
    scores = {name: [*own, own[0]] for name, own in SCORES.items()}
    scores["synthetic+classical"] = [score + 0.02 for score in scores["classical"]]
    scores["synthetic+classical"][0] += 0.001
    clear = result(scores)
    row = next(pair for pair in clear["comparisons"] if pair["arm"] == "synthetic+classical")
    assert (row["baseline"], row["ci95"][0] > 0) == ("classical", True)
    for p_holm, gains, words in (
        (0.01, "1 of 1", ""),
        (0.2, "0 of 1", "not decided after correction"),
    ):
        row["p_holm"] = p_holm
        rows = rows_of(clear)
        assert f"over the best classical arm in {gains} runs" in headline(rows)
        assert remark(rows[0]).endswith(words or "preliminary")


def test_two_replicates_decide_nothing() -> None:
    scores = {**SCORES, "synthetic+classical": [score + 0.02 for score in SCORES["classical"]]}
    scores["synthetic+classical"][0] += 0.0001
    rows = rows_of(result(scores))
    assert (rows[0]["outcome"], rows[0]["ci95"][0] > 0) == ("undecided", True)
    assert "over the best classical arm in 0 of 1 runs" in headline(rows)


def test_auto_beside_a_weak_rival_is_not_shown_to_be_harmless() -> None:
    weak = result()["policy"] | {"best_classical": "real"}
    clear = {"real": [0.70, 0.7199], "auto": [0.70, 0.7199]}
    rows = rows_of(result(SCORES | clear, [("auto", "real")], policy=weak))
    assert "at most one point against the best classical arm in 0 of 1 runs" in headline(rows)
    [table] = [one for one in tables(rows) if one.title == "Does auto do harm?"]
    assert table.rows[0][-1] == "not asked: the strongest is classical"


def test_the_same_result_twice_counts_once_and_another_of_the_same_run_is_refused(
    tmp_path: Path,
) -> None:
    first = write(tmp_path / "run" / "gain.json", result())
    copy = write(tmp_path / "copy.json", result())
    assert len(summary_run([first, first.parent, copy], tmp_path / "out")["results"]) == 4
    other = write(tmp_path / "other.json", result(seconds={"total": 5.0}))
    with pytest.raises(DataError, match=r"other\.json: .* are those of .*gain\.json"):
        summary_run([first, other], tmp_path / "out")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "cannot be read as a result"),
        ("[1]", "is not a result of augmentor"),
        ('{"schema": 1}', "is not a result of augmentor"),
        (json.dumps(result(replicates=3)), "2 scores for 3 replicates"),
        (json.dumps(result(schema=3)), "has schema 3, known are 1 and 2"),
        (json.dumps(result() | {"arms": None}).replace('"arms": null, ', ""), "arms is missing"),
        (json.dumps(result(pairs=[("classical", "auto")])), "nothing to summarise"),
    ],
)
def test_what_is_no_gain_result_is_refused_with_its_name(
    tmp_path: Path, content: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "odd.json"
    path.write_text(content)
    assert cli.main(["summary", str(path), "--out", str(tmp_path / "out")]) == 3
    said = capsys.readouterr().err
    assert words in said
    assert "odd.json" in said or "nothing" in said
    assert not (tmp_path / "out").exists()


def test_tuning_runs_are_summarised_apart_and_say_so(tmp_path: Path) -> None:
    tuned = write(
        tmp_path / "tuned.json", result(scored_on="held-out training images", command="other")
    )
    plain = write(tmp_path / "plain.json", result())
    with pytest.raises(DataError, match=r"tuned\.json: scored on held-out training images"):
        summary_run([plain, tuned], tmp_path / "out")
    summary_run([tuned], tmp_path / "out")
    assert "not on test images" in (tmp_path / "out" / "gain.md").read_text()
    page = (tmp_path / "out" / "summary.html").read_text()
    assert "the test images were not read" in page[: page.index("<svg xmlns")]


def test_a_folder_without_a_result_is_refused(tmp_path: Path) -> None:
    words = r"holds none of result\.json, gain\.json, verify\.json"
    with pytest.raises(DataError, match=words + "$"):
        summary_run([tmp_path], tmp_path / "out")
    (tmp_path / "photos-gain").mkdir()
    write(tmp_path / "photos-gain" / "gain.json", result())
    with pytest.raises(DataError, match=words + rf"; the runs lie below: give {tmp_path}/\*/"):
        summary_run([tmp_path], tmp_path / "out")


def test_names_are_escaped_everywhere(tmp_path: Path) -> None:
    own = SCORES | {EVIL: [0.9, 0.9]}
    changes = {"dataset": EVIL, "regime": EVIL, "command": EVIL, "device": EVIL}
    odd = result(own, [*PAIRS, (EVIL, "classical")], mixtures={EVIL: EVIL}, **changes)
    summary_run([write(tmp_path / "gain.json", odd)], tmp_path / "out", command=EVIL)
    page = (tmp_path / "out" / "summary.html").read_text()
    assert page.count("<script") == 1, "the page's own"
    found = Page(page)
    assert_self_contained(found)
    assert EVIL in found.texts
    ElementTree.parse(tmp_path / "out" / "gain_forest.svg")  # well formed
    table = (tmp_path / "out" / "gain.md").read_text().split("Made by")[0]
    assert "<script" not in table
    assert not re.search(r"(?<!\\)\[x\]", table)
    rows = [line for line in table.splitlines() if line.startswith("| ")]
    assert {len(re.split(r"(?<!\\)\|", line)) for line in rows} <= {
        6 + 2,
        7 + 2,
        9 + 2,
        8 + 2,
        4 + 2,
    }


def test_the_page_has_the_headline_first_and_needs_nothing_else(tmp_path: Path) -> None:
    summary_run([write(tmp_path / "gain.json", result())], tmp_path / "out")
    page = (tmp_path / "out" / "summary.html").read_text()
    places = ("<h1>A generator beats", "<svg xmlns", "<table")
    assert sorted(map(page.index, places)) == list(map(page.index, places))
    assert_self_contained(Page(page))
    assert "real images</h2>" not in page


def test_the_forest_has_a_panel_per_kind_of_baseline_and_no_two_labels_in_one_place() -> None:
    rows = [
        row
        for k in range(20)
        for row in rows_of(result(command=str(k), regime=f"{k + 2} per class, " + "x" * 90))
    ]
    root = ElementTree.fromstring(forest(rows))
    texts = root.findall(".//{*}text")
    labels = [text for text in texts if text.get("x") == "20"]
    assert len(labels) == 80
    heights = [float(str(text.get("y"))) for text in labels]
    assert min(abs(a - b) for a, b in pairwise(heights)) >= 20
    assert len([text for text in texts if text.get("font-size") == "14"]) == 2
    assert max(len("".join(text.itertext())) for text in labels) <= 46


def test_one_huge_interval_does_not_flatten_the_others() -> None:
    row = rows_of(result())[0] | {"delta": 0.01, "ci95": [0.0, 0.02]}
    huge = row | {"ci95": [-0.5, 0.52]}
    root = ElementTree.fromstring(forest([row, row, huge]))
    groups = root.findall("{*}g")
    assert [len(group.findall("{*}line")) for group in groups] == [
        3,
        3,
        1,
    ]  # no caps where it is cut
    whiskers = [group.find("{*}line") for group in groups]
    lengths = [
        float(line.get("x2", "")) - float(line.get("x1", ""))
        for line in whiskers
        if line is not None
    ]
    assert lengths[0] == lengths[1] > lengths[2] / 12  # drawn whole it would be fifty times as long


def test_runs_that_share_data_and_regime_are_numbered() -> None:
    rows = [row for command in "ab" for row in rows_of(result(command=command))]
    rows += rows_of(result(command="c", source_augment="classical"))
    regime = "100 labels, 900 unlabelled"
    assert [name[1] for name in run_names(rows).values()] == [
        regime,
        f"{regime} (run 2)",
        f"{regime}, augmented source",
    ]


def counted(labels: int, **changes: Any) -> list[dict[str, Any]]:
    regime = f"{labels} labels, {1000 - labels} unlabelled"
    counts = {"a": labels // 2, "b": labels // 2}
    return rows_of(result(regime=regime, training_counts=counts, command=str(labels), **changes))


def test_gain_by_count_needs_two_numbers_of_one_kind(tmp_path: Path) -> None:
    assert by_count(counted(20)) == ""
    assert by_count([*counted(20), *counted(100, dataset="mnist")]) == ""
    assert by_count([*counted(20), *rows_of(result(regime="100 per class"))]) == ""
    root = ElementTree.fromstring(by_count([*counted(20), *counted(100)]))
    assert len(root.findall(".//{*}polyline")) == 2
    assert {"10", "50"} <= {text.text for text in root.findall(".//{*}text")}
    files = [
        write(
            tmp_path / f"{n}.json",
            result(regime=f"{n} labels", training_counts={"a": n}, command=str(n)),
        )
        for n in (5, 9)
    ]
    summary_run(files, tmp_path / "out")
    assert (tmp_path / "out" / "gain_by_count.svg").exists()
    assert "gain_by_count.svg" in (tmp_path / "out" / "gain.md").read_text()
    assert "number of real images" in (tmp_path / "out" / "summary.html").read_text()
    summary_run(files[:1], tmp_path / "out")
    assert not (tmp_path / "out" / "gain_by_count.svg").exists()


def test_the_kind_of_a_regime_leaves_numbers_out_but_not_the_ratio_of_a_tail() -> None:
    tails = [
        kind_of({"regime": f"{most} to {least} per class"})
        for most, least in ((80, 4), (200, 10), (80, 2))
    ]
    assert tails[0] == tails[1] == "n to n per class, about 20 : 1"
    assert tails[2] != tails[0]
    assert (
        kind_of({"regime": "5 per class"})
        == kind_of({"regime": "50 per class"})
        != kind_of({"regime": "all 50 labels"})
    )


def test_the_command_prints_the_tables_or_one_document(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "gain.json", result())
    command = ["summary", str(path), "--out", str(tmp_path / "out")]
    assert cli.main(command) == 0
    text = capsys.readouterr().out
    assert "synthetic+classical − pseudo_label" in " ".join(text.split())
    assert max(map(len, text.splitlines()[:-1])) <= 80
    assert "summary.html" in text
    assert cli.main([*command, "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["results"]) == 4
    assert cli.main(["summary", "--out", str(tmp_path)]) == 2


def test_auto_is_also_asked_against_the_best_arm_with_the_same_pool() -> None:
    steady = {
        "classical": [0.80, 0.81],
        "pseudo_label": [0.90, 0.92],
        "auto": [0.80, 0.81],
        "real": [0.7, 0.71],
    }
    rows = rows_of(result(steady, [("auto", "classical"), ("auto", "pseudo_label")]))
    assert (
        "against the best classical arm in 1 of 1 runs (in 1 of them it is that arm), against the "
        "best with the same "
        "pool in 0 of 1 runs" in headline(rows)
    )
    [table] = [one for one in tables(rows) if one.title == "Does auto do harm?"]
    assert [row[-1] for row in table.rows] == ["yes, preliminary", "not shown, preliminary"]
