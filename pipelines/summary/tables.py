"""The summary over many runs in words: one sentence, the tables, and a page of Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from downstream.gain import FEWEST_FOR_A_CLAIM, outcome
from pipelines.page import duration, signed_points

Row = Mapping[str, Any]
Run = tuple[str, str, str]

HARMLESS = -0.01
"""The lower bound that ``auto`` must not fall below to count as harmless: one point."""
TITLES = {
    "classical": "Against arms with the labelled images alone",
    "same_pool": "Against arms with the same unlabelled images, without a generator",
}
DIFFERENCE = ("points", "95 % interval", "replicates", "remark")


@dataclass(frozen=True)
class Table:
    """A table of texts.

    Args:
        title: Its heading.
        lead: What it says, in sentences.
        columns: Titles of the columns.
        rows: Cells, as many as there are columns.
        words: How many columns at the left hold words; the others hold numbers.
    """

    title: str
    lead: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: int = 3


def headline(rows: Sequence[Row]) -> str:
    """One sentence, the finding up to the first colon: where a generator gains, where ``auto`` is
    harmless.
    """
    arms = [row for row in rows if row["synthetic"]]
    classical, pool = (
        [row for row in arms if row["yardstick"] == yardstick] for yardstick in TITLES
    )
    finding = (
        f"An arm with a generator gains over the best classical arm in {_share(classical, _gains)}"
    )
    if pool:
        finding += (
            f" and over the best arm with the same pool and no generator in {_share(pool, _gains)}"
        )
    told = f"auto {_told_of_auto(rows)}"
    few = f"{_share(rows, _preliminary)} have fewer than {FEWEST_FOR_A_CLAIM} replicates and are preliminary"
    return f"{finding}: {told}; {few}."


def _told_of_auto(rows: Sequence[Row]) -> str:
    auto = [row for row in rows if "lower95" in row]
    classical, pool = (
        [row for row in auto if row["yardstick"] == yardstick] for yardstick in TITLES
    )
    if not auto:
        return "was not compared"
    told = f"is shown to lose at most one point against the best classical arm in {_share(classical, _harmless)}"
    if alike := {
        run_of(row)
        for row in classical
        if _of_best(row) and row["delta"] == 0 and set(row["ci95"]) == {0}
    }:
        told += f" (in {len(alike)} of them it is that arm)"
    return (
        f"{told}, against the best with the same pool in {_share(pool, _harmless)}"
        if pool
        else told
    )


def _share(rows: Sequence[Row], holds: Callable[[Row], bool]) -> str:
    """In how many runs something holds of a row; a run that did not compare what it takes counts as
    one where not.
    """
    runs = {run_of(row) for row in rows}
    return f"{len({run_of(row) for row in rows if holds(row)})} of {len(runs)} runs"


def _gains(row: Row) -> bool:
    return _of_best(row) and outcome(row["ci95"], row.get("p_holm")) == "better"


def _harmless(row: Row) -> bool:
    return _of_best(row) and bool(row["lower95"] >= HARMLESS)


def _of_best(row: Row) -> bool:
    return bool(row["baseline"] == row["best_baseline"])


def run_of(row: Row) -> Run:
    """What tells a run from others."""
    return row["dataset"], row["regime"], row["command"]


def run_names(rows: Sequence[Row]) -> dict[Run, tuple[str, str]]:
    """Data set and regime of every run, in the order of the rows; runs that have both in common are
    numbered.
    """
    names: dict[Run, tuple[str, str]] = {}
    seen: Counter[tuple[str, str]] = Counter()
    for run, row in {run_of(row): row for row in rows}.items():
        regime = row["regime"] + (
            ", augmented source" if row.get("source_augment") == "classical" else ""
        )
        seen[row["dataset"], regime] += 1
        number = seen[row["dataset"], regime]
        names[run] = (row["dataset"], f"{regime} (run {number})" if number > 1 else regime)
    return names


def tables(rows: Sequence[Row]) -> list[Table]:
    """All tables that have rows."""
    found = [_compared(rows, yardstick) for yardstick in TITLES]
    found += [_best(rows), _no_harm(rows), _costs(rows), _runs(rows)]
    return [table for table in found if table.rows]


def _compared(rows: Sequence[Row], yardstick: str) -> Table:
    names = run_names(rows)
    lead = (
        "Differences within replicates, in points (one point is 0.01), with the interval of a "
        "paired t test; it does "
        "not allow for the number of rows, and a remark says where Holm's correction for those of "
        "its run leaves "
        "nothing decided. The yardstick of a run is the arm without a generator that was best on "
        "its tuning splits, or "
        "one that is better than that by its whole interval on the scored images."
    )
    cells = [
        (*names[run_of(row)], pair_words(row), *_difference(row))
        for row in rows
        if row["yardstick"] == yardstick
    ]
    return Table(
        TITLES[yardstick], lead, ("data set", "regime", "arm − baseline", *DIFFERENCE), tuple(cells)
    )


def _best(rows: Sequence[Row]) -> Table:
    names, cells = run_names(rows), []
    for yardstick in TITLES:
        for run, name in names.items():
            compared = [row for row in rows if run_of(row) == run and row["yardstick"] == yardstick]
            if compared:
                cells.append((*name, compared[0]["best_baseline"], *_best_cells(compared)))
    lead = (
        "Of the arms with a generator, the one that is furthest ahead of the yardstick. "
        "The best of several on the images they are scored on is flattered by the choice."
    )
    columns = ("data set", "regime", "yardstick", "best arm", "of", *DIFFERENCE)
    return Table("Best policy of every regime", lead, columns, tuple(cells), words=4)


def _best_cells(compared: Sequence[Row]) -> tuple[str, ...]:
    found = [row for row in compared if row["synthetic"] and _of_best(row)]
    if not found:
        return ("none was compared with it", "0", "–", "–", str(compared[0]["replicates"]), "")
    best = max(found, key=lambda row: float(row["delta"]))
    return (arm_words(best), str(len(found)), *_difference(best))


def _no_harm(rows: Sequence[Row]) -> Table:
    names = run_names(rows)
    cells = [
        (
            *names[run_of(row)],
            pair_words(row),
            row["policy"],
            *_bound(row),
            str(row["replicates"]),
            _no_harm_words(row),
        )
        for yardstick in TITLES
        for row in rows
        if row["yardstick"] == yardstick and "lower95" in row
    ]
    lead = (
        "auto minus arms without a generator, first those with the labelled images alone, then "
        "those with the same "
        "unlabelled ones. Harmless: against the yardstick the one-sided 95 % lower bound (paired "
        "t over replicates) is "
        "at most one point below zero."
    )
    columns = (
        "data set",
        "regime",
        "arm − baseline",
        "auto chose",
        "points",
        "lower bound",
        "replicates",
        "harmless",
    )
    return Table("Does auto do harm?", lead, columns, tuple(cells), words=4)


def _bound(row: Row) -> tuple[str, str]:
    return signed_points(row["delta"], 2), signed_points(row["lower95"], 2)


def _no_harm_words(row: Row) -> str:
    if not _of_best(row):
        return f"not asked: the yardstick is {row['best_baseline']}"
    return ("yes" if _harmless(row) else "not shown") + (
        ", preliminary" if _preliminary(row) else ""
    )


def _costs(rows: Sequence[Row]) -> Table:
    names = run_names(rows)
    cells = [
        (
            *names[run_of(row)],
            pair_words(row),
            duration(row["seconds"]),
            signed_points(row["delta"]),
            _price(row),
        )
        for row in rows
        if row["synthetic"] or row["arm"] == "auto"
    ]
    lead = (
        "Time of the replicates with all their arms, source, labelling and synthesis included, "
        "tuning not; divided by "
        "the gain in points where there is one."
    )
    columns = ("data set", "regime", "arm − baseline", "time of the run", "points", "time a point")
    return Table("Time spent per point gained", lead, columns, tuple(cells))


def _price(row: Row) -> str:
    return duration(row["seconds"] / (100 * row["delta"])) if row["delta"] > 0 else "–"


def _runs(rows: Sequence[Row]) -> Table:
    first = {run_of(row): row for row in reversed(rows)}
    cells = [
        (*name, first[run]["command"], first[run]["device"])
        for run, name in run_names(rows).items()
    ]
    return Table(
        "Commands",
        "What made the results.",
        ("data set", "regime", "command", "device"),
        tuple(cells),
        words=4,
    )


def pair_words(row: Row) -> str:
    """The two arms of a row."""
    return f"{row['arm']} − {row['baseline']}"


def arm_words(row: Row) -> str:
    """The arm of a row, ``auto`` with what it chose."""
    return f"{row['arm']} ({row['policy']})" if "policy" in row else str(row["arm"])


def _difference(row: Row) -> tuple[str, ...]:
    return signed_points(row["delta"]), interval(row), str(row["replicates"]), remark(row)


def remark(row: Row) -> str:
    """What limits a row, in words; empty if nothing does."""
    found = [
        "preliminary" if _preliminary(row) else "",
        "" if _of_best(row) else "not the yardstick",
        "not decided after correction" if _decided_by_one_alone(row) else "",
        f"interval over {row['ci95_over']}" if "ci95_over" in row else "",
    ]
    return ", ".join(filter(None, found))


def _decided_by_one_alone(row: Row) -> bool:
    """Whether an interval is on one side of zero, which does not outlast the number of comparisons
    of its run.
    """
    return outcome(row["ci95"]) != "open" and outcome(row["ci95"], row.get("p_holm")) == "open"


def _preliminary(row: Row) -> bool:
    return bool(row["replicates"] < FEWEST_FOR_A_CLAIM)


def interval(row: Row) -> str:
    """The 95 % interval of a row in points."""
    return " to ".join(signed_points(end) for end in row["ci95"])


def as_text(summary: Mapping[str, Any]) -> str:
    """The differences as plain text, for a terminal."""
    shown = [table for table in tables(summary["results"]) if table.title in TITLES.values()]
    return "\n\n".join(f"{table.title}\n{_aligned(table)}" for table in shown)


def _aligned(table: Table) -> str:
    lines = [table.columns, *table.rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(table.columns))]
    sides = [str.ljust] * table.words + [str.rjust] * (len(widths) - table.words - 1) + [str.ljust]
    padded = [
        [side(cell, width) for side, cell, width in zip(sides, line, widths, strict=True)]
        for line in lines
    ]
    return "\n".join("  ".join(line).rstrip() for line in padded)


def as_markdown(summary: Mapping[str, Any], pictures: Mapping[str, str]) -> str:
    """The summary as a Markdown page.

    Args:
        summary: The contents of gain_summary.json.
        pictures: What each picture shows, by the name of its file beside the page.
    """
    on = (
        ""
        if summary["scored_on"] == "test"
        else f"Scored on {summary['scored_on']}, not on test images."
    )
    parts = ["# Gain over training without a generator", escaped(summary["verdict"]), on]
    parts += [f"![{Path(name).stem}]({name})\n\n{words}" for name, words in pictures.items()]
    for table in tables(summary["results"]):
        parts += [f"## {table.title}", table.lead, _markdown_table(table)]
    parts.append(f"Made by: `{_one_line(summary['command'])}`")
    return "\n\n".join(part for part in parts if part) + "\n"


def _markdown_table(table: Table) -> str:
    rule = "---|" * table.words + "---:|" * (len(table.columns) - table.words)
    return "\n".join([_line(table.columns), f"|{rule}", *map(_line, table.rows)])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(escaped, cells))} |"


def escaped(text: str) -> str:
    """Names come from folders: none may end a table cell or start a tag or a link."""
    for sign in "\\|[`*":
        text = text.replace(sign, f"\\{sign}")
    return _one_line(text).replace("&", "&amp;").replace("<", "&lt;")


def _one_line(text: str) -> str:
    return " ".join(text.split())
