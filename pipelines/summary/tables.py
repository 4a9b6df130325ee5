"""The summary over many runs in words: one sentence, the tables, and a page of Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from downstream.comparison import FEWEST_FOR_A_CLAIM, FEWEST_TO_DECIDE
from pipelines.report.page import duration
from pipelines.report.terminal import fold, plain_table
from pipelines.summary.read import direction, unit_of

Row = Mapping[str, Any]
Run = tuple[str, str, str]

HARMLESS = -0.01
"""The lower bound that ``auto`` must not fall below to count as harmless: one point."""
TITLES = {
    "classical": "Against arms with the labelled images alone",
    "same_pool": "Against arms with the same unlabelled images, without a generator",
}
DIFFERENCE = ("difference", "95 % interval", "replicates", "remark")


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
    classical, pool = of_kind(arms, "classical"), of_kind(arms, "same_pool")
    finding = (
        f"An arm with a generator gains over the best classical arm in {_share(classical, _gains)}"
    )
    if pool:
        finding += (
            f" and over the best arm with the same pool and no generator in {_share(pool, _gains)}"
        )
    told = f"auto {_told_of_auto(rows)}"
    few = f"{_share(rows, _preliminary)} have fewer than {FEWEST_FOR_A_CLAIM} replicates"
    return f"{finding}: {told}; {few} and are preliminary."


def gaining(rows: Sequence[Row], kind: str) -> tuple[int, int]:
    """In how many runs an arm with a generator beats the strongest baseline of a kind, and in how
    many it was compared with one.
    """
    found = of_kind([row for row in rows if row["synthetic"]], kind)
    gained = {run_of(row) for row in found if _gains(row)}
    return len(gained), len({run_of(row) for row in found})


def of_kind(rows: Sequence[Row], kind: str) -> list[Row]:
    """The rows whose baseline is of one kind, ``classical`` or ``same_pool``."""
    return [row for row in rows if row["yardstick"] == kind]


def _told_of_auto(rows: Sequence[Row]) -> str:
    auto = [row for row in rows if "lower95" in row]
    if not auto:
        return "was not compared"
    classical, pool = of_kind(auto, "classical"), of_kind(auto, "same_pool")
    told = (
        "is shown to lose at most one point against the best classical arm in "
        f"{_share(classical, _harmless)}"
    )
    alike = {run_of(row) for row in classical if _same_as_best(row)}
    if alike:
        told += f" (in {len(alike)} of them it is that arm)"
    if pool:
        told += f", against the best with the same pool in {_share(pool, _harmless)}"
    return told


def _same_as_best(row: Row) -> bool:
    """Whether ``auto`` was that baseline itself, in every replicate."""
    return _of_best(row) and row["delta"] == 0 and set(row["ci95"]) == {0}


def _share(rows: Sequence[Row], holds: Callable[[Row], bool]) -> str:
    """In how many runs something holds of a row; a run that did not compare what it takes counts as
    one where not.
    """
    runs = {run_of(row) for row in rows}
    return f"{len({run_of(row) for row in rows if holds(row)})} of {len(runs)} runs"


def _gains(row: Row) -> bool:
    return _of_best(row) and bool(row["outcome"] == "better")


def _harmless(row: Row) -> bool:
    return _of_best(row) and bool(direction(row["metric"]) * row["lower95"] >= HARMLESS)


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
    found = []
    for table in (
        *(_compared(rows, kind) for kind in TITLES),
        _best(rows),
        _no_harm(rows),
        _costs(rows),
        _runs(rows),
    ):
        if table.rows:
            found.append(table)
    return found


def _compared(rows: Sequence[Row], kind: str) -> Table:
    names = run_names(rows)
    lead = (
        "Differences within replicates, in points (one point is 0.01) or in the unit of the "
        "metric, with 95 % intervals. An interval does not allow for the number of rows: a remark "
        "says where Holm's correction for those of its run leaves nothing decided. The strongest "
        "baseline of a run is the arm without a generator that was best in screening, or one that "
        "is better than that by its whole interval on the scored images."
    )
    cells = []
    for row in of_kind(rows, kind):
        cells.append((*names[run_of(row)], pair_words(row), *_difference(row)))
    columns = ("data set", "regime", "arm − baseline", *DIFFERENCE)
    return Table(TITLES[kind], lead, columns, tuple(cells))


def _best(rows: Sequence[Row]) -> Table:
    cells = []
    for kind in TITLES:
        for run, name in run_names(rows).items():
            compared = [row for row in of_kind(rows, kind) if run_of(row) == run]
            if compared:
                cells.append((*name, compared[0]["best_baseline"], *_best_cells(compared)))
    lead = (
        "Of the arms with a generator, the one that is furthest ahead of the strongest baseline. "
        "The best of several on the images they are scored on is flattered by the choice."
    )
    columns = ("data set", "regime", "strongest baseline", "best arm", "of", *DIFFERENCE)
    return Table("Best arm of every regime", lead, columns, tuple(cells), words=4)


def _best_cells(compared: Sequence[Row]) -> tuple[str, ...]:
    found = [row for row in compared if row["synthetic"] and _of_best(row)]
    if not found:
        return ("none was compared with it", "0", "–", "–", str(compared[0]["replicates"]), "")
    best = furthest_ahead(found)
    return (arm_words(best), str(len(found)), *_difference(best))


def furthest_ahead(rows: Sequence[Row]) -> Row:
    """The row whose arm is the furthest ahead of its baseline, or the least behind it."""
    return max(rows, key=lambda row: direction(row["metric"]) * float(row["delta"]))


def _no_harm(rows: Sequence[Row]) -> Table:
    names, cells = run_names(rows), []
    for kind in TITLES:
        for row in of_kind(rows, kind):
            if "lower95" in row:
                told = (row["policy"], *_bound(row), str(row["replicates"]), _no_harm_words(row))
                cells.append((*names[run_of(row)], pair_words(row), *told))
    lead = (
        "auto minus arms without a generator, first those with the labelled images alone, then "
        "those with the same unlabelled ones. Harmless: against the strongest baseline the "
        "one-sided 95 % lower bound, over all that the interval is over, is at most one point "
        "below zero."
    )
    numbers = ("difference", "lower bound", "replicates", "harmless")
    columns = ("data set", "regime", "arm − baseline", "auto chose", *numbers)
    return Table("Does auto do harm?", lead, columns, tuple(cells), words=4)


def _bound(row: Row) -> tuple[str, str]:
    return _signed(row, row["delta"], 1), _signed(row, row["lower95"], 1)


def _no_harm_words(row: Row) -> str:
    if not _of_best(row):
        return f"not asked: the strongest is {row['best_baseline']}"
    told = "yes" if _harmless(row) else "not shown"
    return told + (", preliminary" if _preliminary(row) else "")


def _costs(rows: Sequence[Row]) -> Table:
    names, cells = run_names(rows), []
    for row in rows:
        if row["synthetic"] or row["arm"] == "auto":
            cost = (duration(row["seconds"]), _signed(row, row["delta"]), _price(row))
            cells.append((*names[run_of(row)], pair_words(row), *cost))
    lead = (
        "Time of the replicates with all their arms, source, labelling and synthesis included, "
        "screening not; divided by the gain in points where there is one."
    )
    cost_columns = ("time of the run", "difference", "time per point")
    columns = ("data set", "regime", "arm − baseline", *cost_columns)
    return Table("Time spent per point gained", lead, columns, tuple(cells))


def _price(row: Row) -> str:
    unit = unit_of(row["metric"])
    gained = unit.factor * row["delta"] * direction(row["metric"])
    if unit.name != "points" or gained <= 0:
        return "–"
    return duration(row["seconds"] / gained)


def _runs(rows: Sequence[Row]) -> Table:
    first: dict[Run, Row] = {}
    for row in rows:
        first.setdefault(run_of(row), row)
    cells = []
    for run, name in run_names(rows).items():
        cells.append((*name, first[run]["command"], first[run]["device"]))
    columns = ("data set", "regime", "command", "device")
    return Table("Commands", "What made the results.", columns, tuple(cells), words=4)


def pair_words(row: Row) -> str:
    """The two arms of a row."""
    return f"{row['arm']} − {row['baseline']}"


def arm_words(row: Row) -> str:
    """The arm of a row, ``auto`` with what it chose."""
    return f"{row['arm']} ({row['policy']})" if "policy" in row else str(row["arm"])


def _difference(row: Row) -> tuple[str, ...]:
    unit = unit_of(row["metric"])
    delta = _signed(row, row["delta"]) + ("" if unit.name == "points" else f" {unit.name}")
    return delta, interval(row), str(row["replicates"]), remark(row)


def _signed(row: Row, value: float, more_digits: int = 0) -> str:
    unit = unit_of(row["metric"])
    return replace(unit, digits=unit.digits + more_digits).signed(value)


def remark(row: Row) -> str:
    """What limits a row, in words; empty if nothing does."""
    found = [
        "preliminary" if _preliminary(row) else "",
        "" if _of_best(row) else "not the strongest baseline",
        "not decided after correction" if _decided_by_one_alone(row) else "",
        f"interval over {row['ci95_over']}" if "ci95_over" in row else "",
    ]
    return ", ".join(filter(None, found))


def _decided_by_one_alone(row: Row) -> bool:
    """Whether an interval is on one side of zero, which does not outlast the number of comparisons
    of its run.
    """
    many = row["replicates"] >= FEWEST_TO_DECIDE
    return many and one_sided(row) and bool(row["outcome"] == "undecided")


def one_sided(row: Row) -> bool:
    """Whether the interval lies on one side of zero."""
    low, high = row["ci95"]
    return bool(low > 0 or high < 0)


def _preliminary(row: Row) -> bool:
    return bool(row["replicates"] < FEWEST_FOR_A_CLAIM)


def interval(row: Row) -> str:
    """The 95 % interval of a row in the unit of its metric."""
    low, high = row["ci95"]
    return f"{_signed(row, low)} to {_signed(row, high)}"


def difference(row: Row) -> str:
    """The difference of a row with its interval."""
    return f"{_signed(row, row['delta'])} ({interval(row)})"


def as_text(summary: Mapping[str, Any]) -> str:
    """The differences as plain text, for a terminal."""
    shown = []
    for table in tables(summary["results"]):
        if table.title in TITLES.values():
            shown.append(f"{table.title}\n{_plain(table)}")
    return "\n\n".join(shown)


def _plain(table: Table) -> str:
    """The rows of every run below its data set, regime and number of replicates."""
    place = table.columns.index("replicates")
    runs: dict[str, list[tuple[str, ...]]] = {}
    for cells in table.rows:
        run = f"{cells[0]}, {cells[1]}, {cells[place]} replicates:"
        runs.setdefault(run, []).append((*cells[2:place], *cells[place + 1 :]))
    head = (*table.columns[2:place], *table.columns[place + 1 :])
    texts = []
    for run, rows in runs.items():
        texts.append("\n".join([*fold(run), plain_table(head, rows, left={len(head) - 1})]))
    return "\n\n".join(texts)
