from __future__ import annotations

from pipelines.report.terminal import fold, plain_table


def test_names_stand_to_the_left_and_numbers_to_the_right() -> None:
    rows = [("a", "9.0", "better"), ("longer", "10.0", "no")]
    assert plain_table(("arm", "points", "outcome"), rows, left={2}).split("\n") == [
        "arm     points  outcome",
        "a          9.0  better",
        "longer    10.0  no",
    ]


def test_columns_without_room_follow_below_with_the_names() -> None:
    head = ("arm", *(f"column {number:02d} of 20" for number in range(7)))
    text = plain_table(head, [("real", *map(str, range(7)))])
    first, second = text.split("\n\n")
    assert max(map(len, text.split("\n"))) <= 80
    assert first.split("\n")[1].split() == ["real", "0", "1", "2", "3"]
    assert second.split("\n")[1].split() == ["real", "4", "5", "6"]
    assert second.startswith("arm   column 04 of 20")


def test_a_long_name_is_broken_where_words_may_part() -> None:
    name = "a method with very many words in its name -\u00a0the other one"
    text = plain_table(("pair", "x" * 40), [(name, "1")])
    assert text.split("\n") == [
        f"{'pair':<38}  {'x' * 40}",
        "a method with very many words in its",
        f"{'  name - the other one':<38}  {'1':>40}",
    ]


def test_a_word_that_is_too_long_has_a_line_of_its_own() -> None:
    word = "synthetic:" + "a" * 90
    lines = plain_table(("arm", "accuracy"), [(word, "91.0")]).split("\n")
    assert lines[1:] == [word, f"{'':<70}  {'91.0':>8}"]
    assert fold(word) == [word]


def test_a_last_column_of_words_is_broken_too() -> None:
    remark = "not the strongest baseline, not decided after correction"
    rows = [("synthetic+classical", "+1.0", "−0.5 to +2.5", remark), ("auto", "0.0", "–", "")]
    text = plain_table(("arm", "difference", "95 % interval", "remark"), rows, left={3})
    assert text.split("\n")[1:] == [
        "synthetic+classical        +1.0   −0.5 to +2.5  not the strongest baseline, not",
        f"{'':<48}  decided after correction",
        "auto                        0.0              –",
    ]


def test_every_cell_is_there_whatever_the_widths() -> None:
    for count in range(1, 9):
        for width in (1, 7, 30, 60):
            cells = [f"{number}".rjust(width, "_") for number in range(count)]
            text = plain_table(("name", *cells), [("row", *cells)])
            assert all(text.count(cell) == 2 for cell in cells)
            assert max(map(len, text.split("\n"))) <= 80
