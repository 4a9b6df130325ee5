"""The index of published runs as Markdown: a front page of one screen, and one row per run."""

from __future__ import annotations

from collections.abc import Sequence

from downstream.metrics import POINTS
from pipelines.report.markdown import escaped
from pipelines.summary.markdown import markdown_table
from pipelines.summary.read import Document, direction, unit_of
from pipelines.summary.run import rows_of
from pipelines.summary.run_page import SCREENING, Run, made_by, preliminary, title_of
from pipelines.summary.tables import Row, Table, difference, furthest_ahead

FRONT = """# Results

What runs measured, one folder each: `config.yaml`, `result.json` as the job wrote it, and
`page.md`. What they say together: [findings](findings.md). Each run with its figures:
[runs](runs.md). Every difference in one table, with a forest plot:
[summary/gain.md](summary/gain.md).

Did synthetic images help, against the best arm without them?
{signs}.
In italics: under ten replicates, preliminary."""
SIGNS = {"better": "▲", "worse": "▼", "undecided": "○", "": "·"}
SIGN_WORDS = {"better": "they helped", "worse": "they cost", "undecided": "undecided"}
COLUMNS = "| data | combinations that training lacks | every class in every condition | other |"
GENERATED = """Made by `augmentor summary docs/results --pages`; do not edit this page or the
pages of the runs. What a person adds to a run stands in its `note.md`."""
OPENING = f"""# All runs

The front page is [README.md](README.md). {GENERATED}"""
MISSING = "missing_combinations"
"""The metric of runs on combinations that training lacks."""
GAIN = """The best arm without a generator (of those with the labelled images alone and those with
the same unlabelled images, the one with the better mean), and of the arms with a generator that
were compared with it the one that did best: the difference in points, with its 95 % interval.
Outcome: *better* and *worse* outlast Holm's correction over all comparisons of the run. Under ten
replicates a run is preliminary."""
OTHERS = "Quality of generators, few labels, verification of faces, editing."


def front_of(runs: Sequence[Run]) -> str:
    """The front page: one row per data set, with a link to every run that scored test images.

    Args:
        runs: All of them, in the order to show them.
    """
    cells: dict[str, list[list[str]]] = {}
    for run in runs:
        if not run.screening:
            row = cells.setdefault(run.document["dataset"], [[], [], []])
            row[_column(run.document)].append(_signed_link(run))
    rows = [COLUMNS, "|---|---|---|---|"]
    for name, columns in cells.items():
        rows.append(f"| {escaped(name)} | {' | '.join(map(' '.join, columns))} |")
    signs = ", ".join(f"{SIGNS[key]} {words}" for key, words in SIGN_WORDS.items())
    signs += f", {SIGNS['']} none was compared"
    return "\n\n".join([FRONT.format(signs=signs), "\n".join(rows), GENERATED]) + "\n"


def _column(document: Document) -> int:
    if document["kind"] != "gain":
        return 2
    return 0 if document["metric"] == MISSING else 1


def _signed_link(run: Run) -> str:
    """A link to a run; of ``gain`` with the sign of what it found."""
    if run.document["kind"] != "gain":
        return _link(run)
    _, row = headline_of(run.document)
    sign = SIGNS[str(row["outcome"]) if row is not None else ""]
    link = f"_{_link(run)}_" if preliminary(run.document) else _link(run)
    return f"{sign}\u00a0{link}"


def index_of(runs: Sequence[Run], pages: Sequence[str]) -> str:
    """The list of all runs, each with its figures.

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
            f"top-1 {POINTS.shown(found['generated']['top1'])} of {document['samples']:,} samples "
            f"(real {POINTS.shown(found['real']['top1'])})"
        )
    if document["kind"] == "editing":
        transfer = document["transfer"]
        return (
            f"transfer keeps the class in {POINTS.shown(transfer['top1'])} of {transfer['images']}"
        )
    share = document["shares"]["rendered"]["identity_only"]["share"]
    return f"{POINTS.shown(share)} of renders show the person asked for alone"


def _link(run: Run) -> str:
    return f"[{run.name}]({run.path}/page.md)"
