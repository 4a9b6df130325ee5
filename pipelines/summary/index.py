"""The index of published runs as Markdown: one row per run."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.summary.markdown import markdown_table
from pipelines.summary.read import Document, direction, unit_of
from pipelines.summary.run import rows_of
from pipelines.summary.run_page import SCREENING, Run, made_by, preliminary, title_of
from pipelines.summary.tables import Row, Table, difference, furthest_ahead

OPENING = """# Results

What runs measured, one folder each: `config.yaml`, `result.json` as the job wrote it, and
`page.md`. What they say together: [findings](findings.md). Every difference in one table, with a
forest plot: [summary/gain.md](summary/gain.md).

Made by `augmentor summary docs/results --pages`; do not edit this page or the pages of the runs.
What a person adds to a run stands in its `note.md`."""
GAIN = """The best arm without a generator (of those with the labelled images alone and those with
the same unlabelled images, the one with the better mean), and of the arms with a generator that
were compared with it the one that did best: the difference in points, with its 95 % interval.
Outcome: *better* and *worse* outlast Holm's correction over all comparisons of the run. Under ten
replicates a run is preliminary."""
OTHERS = "Quality of generators, few labels, verification of faces, editing."


def index_of(runs: Sequence[Run], pages: Sequence[str]) -> str:
    """The index.

    Args:
        runs: All of them, in the order to show them.
        pages: Folders that hold a page and no result file.
    """
    results, screenings, others = _sorted_out(runs)
    parts = [OPENING, "## Does a generator help a classifier?", GAIN]
    parts.append(markdown_table(_gain_table(results), links=True))
    parts += ["## Other questions", OTHERS, markdown_table(_other_table(others), links=True)]
    parts += ["## Screening", f"{SCREENING} It chose what to declare; expect less of it."]
    parts.append(markdown_table(_gain_table(screenings), links=True))
    if pages:
        parts += ["## Pages without a result file", "\n".join(map(_linked_line, pages))]
    return "\n\n".join(parts) + "\n"


def _sorted_out(runs: Sequence[Run]) -> tuple[list[Run], list[Run], list[Run]]:
    """Runs of gain, screenings of gain, and all others."""
    results: list[Run] = []
    screenings: list[Run] = []
    others: list[Run] = []
    for run in runs:
        if run.document["kind"] != "gain":
            others.append(run)
        else:
            (screenings if run.screening else results).append(run)
    return results, screenings, others


def _linked_line(folder: str) -> str:
    return f"- [{folder}]({folder}/page.md)"


def _gain_table(runs: Sequence[Run]) -> Table:
    columns = ("run", "data", "regime", "best without a generator", "best with one", "outcome")
    numbers = ("difference", "replicates", "made by")
    return Table("", "", (*columns, *numbers), tuple(map(_gain_cells, runs)), words=6)


def _gain_cells(run: Run) -> tuple[str, ...]:
    document = run.document
    best, row = headline_of(document)
    mean = unit_of(document["metric"]).shown(document["arms"][best]["mean"]) if best else ""
    told = ("none was compared", "–", "–")
    if row is not None:
        few = ", preliminary" if preliminary(document) else ""
        told = (str(row["arm"]), f"{row['outcome']}{few}", difference(row))
    where = (_link(run), document["dataset"], document["regime"], f"{best} {mean}".strip())
    return (*where, *told, str(document["replicates"]), made_by(document))


def headline_of(document: Document) -> tuple[str, Row | None]:
    """The strongest arm without a generator, and the row of the arm with one that did best."""
    sign = direction(document["metric"])
    means: dict[str, float] = {}
    for arm in document["baselines"].values():
        means[arm] = sign * document["arms"][arm]["mean"]
    for best in sorted(means, key=lambda arm: -means[arm]):
        rows = [row for row in rows_of(document) if row["synthetic"] and row["baseline"] == best]
        if rows:
            return best, furthest_ahead(rows)
    return max(means, key=lambda arm: means[arm], default=""), None


def _other_table(runs: Sequence[Run]) -> Table:
    rows = []
    for run in runs:
        rows.append((_link(run), title_of(run.document), in_short(run.document)))
    return Table("", "", ("run", "data and question", "in short"), tuple(rows))


def in_short(document: Document) -> str:
    """What a run that is not of ``gain`` found, in one line."""
    said = document["verdict"]
    if said["advice"]:
        first = said["lines"][:1] if document["schema"] == 1 else []
        return ": ".join([said["advice"], *first])
    if document["kind"] == "evaluate":
        found = document["metrics"]["answers"]
        return (
            f"top-1 {100 * found['generated']['top1']:.1f} % of {document['samples']:,} samples "
            f"(real {100 * found['real']['top1']:.1f} %)"
        )
    if document["kind"] == "editing":
        transfer = document["transfer"]
        return f"transfer keeps the class in {100 * transfer['top1']:.1f} % of {transfer['images']}"
    share = document["shares"]["rendered"]["identity_only"]["share"]
    return f"{100 * share:.1f} % of renders show the person asked for alone"


def _link(run: Run) -> str:
    return f"[{run.name}]({run.path}/page.md)"
