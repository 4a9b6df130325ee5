"""Every figure in the prose of the pages is the one that its result file holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.results.figures import Figure, FigureError, bare_figures, check, figures_of

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "docs" / "results"
DOCS = sorted([*(ROOT / "docs").glob("*.md"), *(ROOT / "docs").glob("[!r]*/*.md")])
MADE = {"near_copies.md", "training_copies.md"}  # by a benchmark, figures and all
PAGES = [ROOT / "README.md", RESULTS / "findings.md"]
PAGES += [page for page in DOCS if page.name not in MADE]
NOTES = sorted(RESULTS.rglob("note.md"))


def figure(text: str, run: str, what: str) -> Figure:
    return Figure(text, RESULTS / run / "page.md", what)


@pytest.mark.parametrize("page", PAGES + NOTES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_figures_are_those_of_the_result_files(page: Path) -> None:
    wrong = []
    for found in figures_of(page):
        try:
            check(found)
        except FigureError as error:
            wrong.append(str(error))
    assert wrong == []


@pytest.mark.parametrize("page", PAGES + NOTES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_no_figure_stands_without_its_run(page: Path) -> None:
    assert bare_figures(page.read_text(encoding="utf-8")) == []


def test_the_pages_have_figures() -> None:
    assert all(len(list(figures_of(page))) > 5 for page in PAGES[:2])
    assert sum(len(list(figures_of(page))) for page in PAGES[2:]) > 30


@pytest.mark.parametrize(
    ("text", "run", "what"),
    [
        ("+3.3 (+2.8 to +3.8)", "gain_digits_graph", "labelled - logit_adjusted"),
        ("+3.3", "gain_digits_graph", "labelled - logit_adjusted"),
        ("4.1", "gain_digits_few", "synthetic+classical - logit_adjusted"),
        ("+4.1 (+3.4 to +4.9)", "gain_digits_few", "logit_adjusted - synthetic+classical"),
        ("−0.03 (−0.2 to +0.1)", "gain_mnist_100", "labelled - pseudo_label"),
        ("98.2 %", "gain_mnist_100", "pseudo_label"),
        ("0.67 % ± 0.05", "semi_mnist", "graph_fixmatch, 100 labels"),
        ("−1.1 (−2.4 to +0.2)", "semi_mnist", "graph_fixmatch - pseudo_label, 100 labels"),
        ("−0.1 (−1.5 to +1.4)", "verify_lfw_32", "more_images - no extra data, accuracy"),
        ("99.1 %", "mnist", "metrics.answers.generated.top1"),
        ("0.87", "mnist", "metrics.fidelity.generated.recall"),
        ("1,904 s", "gain_lfw_32", "seconds.total"),
    ],
)
def test_a_right_figure_passes(text: str, run: str, what: str) -> None:
    check(figure(text, run, what))


@pytest.mark.parametrize(
    ("text", "run", "what", "words"),
    [
        ("+3.4", "gain_digits_graph", "labelled - logit_adjusted", r"\+3.4 is 3.3"),
        ("−3.3", "gain_digits_graph", "labelled - logit_adjusted", "−3.3 is 3.3"),
        ("+3.3 (+2.8 to +3.9)", "gain_digits_graph", "labelled - logit_adjusted", r"\+3.9 is 3.8"),
        ("4.1 (3.4 to 4.9)", "gain_digits_few", "synthetic+classical - logit_adjusted", "4.1 is"),
        ("+3.3", "gain_digits_graf", "labelled - logit_adjusted", "no result file"),
        ("+3.3", "gain_digits_graph", "labeled - logit_adjusted", "was not compared"),
        ("98.2 %", "gain_mnist_100", "pseudo_labels", "is not in"),
        ("98.3 %", "gain_mnist_100", "pseudo_label", "98.3 is 98.2"),
        ("0.67 %", "semi_mnist", "graph_fixmatch, 50 labels", "is not in"),
        ("0.69 %", "semi_mnist", "graph_fixmatch, 100 labels", "0.69 is 0.67"),
        ("−0.1", "verify_lfw_32", "more_images - no extra data, precision", "was not compared"),
        ("99.1 %", "mnist", "metrics.answers.generated", "is not a number"),
        ("99.1 %", "mnist", "metrics.answers.rendered.top1", "is not in"),
        ("1.0 2.0 3.0 4.0", "gain_mnist_100", "pseudo_label", "3 numbers are known"),
        ("none", "gain_mnist_100", "pseudo_label", "3 numbers are known"),
    ],
)
def test_a_wrong_number_run_or_arm_is_caught(text: str, run: str, what: str, words: str) -> None:
    with pytest.raises(FigureError, match=words):
        check(figure(text, run, what))


def test_a_figure_is_read_from_a_page_across_lines(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text('It is [+3.3 (+2.8\nto +3.8)](gain/page.md "a -\nb") ahead.', encoding="utf-8")
    [found] = figures_of(page)
    assert found == Figure("+3.3 (+2.8 to +3.8)", tmp_path / "gain" / "page.md", "a - b")


def test_a_figure_of_a_benchmark_is_read_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    file.write_text('{"peer": {"ratio": 1.58, "share": 0.031}}', encoding="utf-8")
    check(Figure("1.6 times", file, "peer.ratio"))
    check(Figure("3.1 %", file, "peer.share"))
    with pytest.raises(FigureError, match=r"1\.7 is 1\.58"):
        check(Figure("1.7 times", file, "peer.ratio"))
    page = tmp_path / "page.md"
    page.write_text('It is [1.6 times](bench.json "peer.ratio") as fast.', encoding="utf-8")
    assert list(figures_of(page)) == [Figure("1.6 times", file, "peer.ratio")]


def test_bare_figures_are_found_and_code_is_left_alone() -> None:
    assert bare_figures("It gains +3.3 points.") == ["+3.3"]
    assert bare_figures("right on 98.2 % of them, −0.2 to +0.1") == ["98.2 %", "−0.2", "+0.1"]
    assert bare_figures("an error of 4.81 ± 4.95") == ["± 4.95"]
    assert bare_figures("`+2.1 points` in 95 % of 10 runs, Python 3.11") == []
    assert bare_figures('[+3.3](a/page.md "b - c") and ```\n+4.4\n```') == []
