"""The page of one published run as Markdown, made from its result file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from downstream.comparison import FEWEST_FOR_A_CLAIM
from downstream.metrics import METRICS, POINTS
from pipelines.report.page import duration, p_value
from pipelines.summary.read import Document, direction, unit_of
from pipelines.summary.run import PARTS
from pipelines.summary.tables import Table, escaped, markdown_table

SCREENING = "**Screening, not a result**: scored on held-out training images."
ARMS_PAGE = "../../guide.md#2-the-question-first"
PAIR_METRICS = {
    "accuracy": "accuracy",
    "auc": "ROC AUC",
    "tar_at_far_1e-2": "TAR at FAR 1 %",
    "tar_at_far_1e-3": "TAR at FAR 0.1 %",
}
MEASURES = {
    "top1": ("top-1 %", 100, 2),
    "inception_score": ("inception score", 1, 2),
    "fid": ("FID", 1, 3),
    "precision": ("precision", 1, 3),
    "recall": ("recall", 1, 3),
    "diversity": ("diversity", 1, 3),
    "cas": ("trained on it, real test %", 100, 2),
    "train_seconds_per_1000": ("s per 1,000 steps", 1, 0),
}
"""Columns of a comparison of families: title, factor, digits."""


@dataclass(frozen=True)
class Run:
    """A published run.

    Args:
        name: Of its folder.
        path: Its folder as seen from the index, such as ``screening/screen_digits``.
        document: What ``read`` gives of its result file.
        has_config: Whether ``config.yaml`` lies beside it.
        note: What a person adds, as Markdown; empty for nothing.
    """

    name: str
    path: str
    document: Document
    has_config: bool = False
    note: str = ""

    @property
    def screening(self) -> bool:
        """Whether test images were left alone, so that this is no result."""
        return bool(self.document.get("scored_on", "test") != "test")


def page_of(run: Run) -> str | None:
    """The page of a run; None for a kind that has its own page, which is kept."""
    if run.document["kind"] not in TABLES:
        return None
    parts = [f"# {escaped(title_of(run.document))}", f"`{run.name}`"]
    if run.screening:
        parts.append(SCREENING)
    parts += [_verdict(run.document), "\n".join(_facts(run))]
    for table in TABLES[run.document["kind"]](run.document):
        parts += [f"## {table.title}", table.lead, markdown_table(table)]
    if run.note:
        parts += ["## What to know", run.note]
    if run.document["kind"] == "gain":
        parts.append(f"What the arms do: [the guide]({'../' * run.path.count('/')}{ARMS_PAGE}).")
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def title_of(document: Document) -> str:
    """Data set and regime, or data set and job."""
    words = {
        "gain": document.get("regime", ""),
        "verify": f"pairs of people, {document.get('head', '')} head",
        "semi": "errors with few labels",
        "compare": "families of generators",
        "evaluate": "quality of generated images",
        "identity": "renders of people outside training",
        "editing": "editing of images",
    }
    return f"{document['dataset']}, {words.get(document['kind'], document['kind'])}"


def made_by(document: Document) -> str:
    """Which version made a result.

    Example:
        >>> made_by({"versions": {"augmentor": "0.1.0"}})
        'version 0.1'
    """
    whole = document["versions"].get("augmentor", "unknown")
    return f"version {'.'.join(whole.split('.')[:2])}"


def _verdict(document: Document) -> str:
    verdict = document["verdict"]
    lines = [f"**{escaped(verdict['advice'].rstrip('.'))}.**"]
    for line in verdict["lines"]:
        lines.append(f"- {escaped(line)}")
    return "\n".join([lines[0], "", *lines[1:]]) if verdict["lines"] else lines[0]


def _facts(run: Run) -> list[str]:
    """What was run, where, when and by which version, a line each."""
    document = run.document
    told = [f"- Made by {made_by(document)}"]
    command = f"- Command: `{document['command']}`"
    told.append(command + (", with what is now [config.yaml](config.yaml)" * run.has_config))
    told += [f"- {name}: {escaped(words)}" for name, words in _setup(document) if words]
    told.append(f"- Hardware: {escaped(document['device'])}{_time(document)}")
    versions = ", ".join(f"{name} {number}" for name, number in document["versions"].items())
    return [*told, f"- Versions: {versions}"]


def _time(document: Document) -> str:
    """What one repetition took with all its parts; a total leaves out what was finished before."""
    parts = 0.0
    for name, value in document["seconds"].items():
        parts += value if name.endswith(PARTS) else 0.0
    return f"; {duration(parts)} for one training of everything" if parts else ""


def _setup(document: Document) -> list[tuple[str, str]]:
    if document["kind"] == "gain":
        return _gain_setup(document)
    if document["kind"] == "semi":
        images = document["images"]
        words = f"{images['training']} training images, {images['scored']} scored images"
        setup = _named(document.get("setup", {})) or words
        return [("Setup", setup), ("Scored on", document["scored_on"])]
    if document["kind"] == "verify":
        return [("Setup", _pairs(document))]
    budget = document["budget"]
    per_row = f"{budget['steps']:,} steps of {budget['batch_size']} images"
    return [("Setup", _named(document.get("setup", {}))), ("Budget per row", per_row)]


def _gain_setup(document: Document) -> list[tuple[str, str]]:
    counts = document.get("training_counts") or {}
    policy = document["policy"] or {}
    strengths = {name: value for name, value in document["strengths"].items() if value != 1}
    setup = _named(document["setup"]) or f"{sum(counts.values())} labelled images"
    return [
        ("Setup", setup),
        ("Scored on", "test images" if document["scored_on"] == "test" else document["scored_on"]),
        ("Replicates", f"{document['replicates']}{preliminary(document)}"),
        ("The generator learned from augmented images", _if_augmented(document)),
        ("Strength of the classical augmentation", _named(strengths)),
        ("`auto` chose", policy.get("name", "")),
        ("Notes", "; ".join(document["notes"])),
    ]


def _if_augmented(document: Document) -> str:
    return "yes" if document.get("source_augment") == "classical" else ""


def preliminary(document: Document) -> str:
    """What is said of a run with few replicates."""
    few = document["replicates"] < FEWEST_FOR_A_CLAIM
    return f" (preliminary: a claim needs {FEWEST_FOR_A_CLAIM})" if few else ""


def _named(values: Mapping[str, Any]) -> str:
    return "; ".join(f"{name} {value}" for name, value in values.items())


def _pairs(document: Document) -> str:
    pairs = document["pairs"]
    return (
        f"{pairs['same']} pairs of one person and {pairs['different']} of two, {pairs['people']} "
        f"people in {len(pairs['folds'])} folds; network {document['network']}, "
        f"{document['head']} head, {document['steps']} steps; {document['replicates']} replicates"
        f"{preliminary(document)}"
    )


def _gain_tables(document: Document) -> list[Table]:
    return [_arms(document), _comparisons(document)]


def _arms(document: Document) -> Table:
    others = [name for name in document["metrics"] if name != document["metric"]]
    unit = unit_of(document["metric"])
    rows = []
    for name, arm in arms_best_first(document):
        cells = [name, _what(document, name), unit.plain(arm["mean"])]
        cells.append(_span(unit, arm["ci95"], signed=False))
        for other in others:
            cells.append(unit_of(other).plain(arm["metrics"][other]["mean"]))
        rows.append(tuple(cells))
    heads = [f"{words_of(name)}, {unit_of(name).sign}" for name in (document["metric"], *others)]
    columns = ("arm", "what it is", heads[0], "95 % interval", *heads[1:])
    lead = "" if direction(document["metric"]) > 0 else "Lower is better."
    return Table("Arms", lead, columns, tuple(rows), words=2)


def arms_best_first(document: Document) -> list[tuple[str, Mapping[str, Any]]]:
    """The arms of a gain run by their mean."""
    sign = direction(document["metric"])
    return sorted(document["arms"].items(), key=lambda one: -sign * float(one[1]["mean"]))


def words_of(metric: str) -> str:
    """A metric's name in sentences."""
    return METRICS[metric].words if metric in METRICS else metric


def _what(document: Document, arm: str) -> str:
    """What a run's own arm is; the arms that every run may have are told in the docs."""
    if arm == "auto" and document["policy"]:
        return str(document["policy"]["name"])
    variant = document["bases"].get(arm)
    words = document["mixtures"].get(arm) or (f"a variant of {variant}" if variant else "")
    return "" if words == arm else str(words)


def _span(unit: Any, interval: Sequence[float] | None, *, signed: bool) -> str:
    if not interval:
        return "–"
    shown = [unit.signed(end) if signed else unit.plain(end) for end in interval]
    return " to ".join(shown)


def _comparisons(document: Document) -> Table:
    rows = []
    for row in document["comparisons"]:
        if row["metric"] == document["metric"]:
            rows.append(_comparison_cells(row))
    lead = (
        "Differences within replicates, in points (one point is 0.01) or in the unit of the "
        "metric; Holm p is corrected over all comparisons of the run."
    )
    columns = ("arm − baseline", "outcome", "difference", "95 % interval", "Holm p")
    return Table("Comparisons", lead, columns, tuple(rows), words=2)


def _comparison_cells(row: Document) -> tuple[str, ...]:
    unit = unit_of(row["metric"])
    outcome = row["outcome"]
    if row.get("needed"):
        outcome += f", about {row['needed']} replicates would decide"
    delta, span = unit.signed(row["delta"]), _span(unit, row["ci95"], signed=True)
    return (f"{row['arm']} − {row['baseline']}", outcome, delta, span, p_value(row["p_holm"]))


def _verify_tables(document: Document) -> list[Table]:
    arms = []
    for name, arm in document["arms"].items():
        cells = [name, str(arm["images"]), str(arm["people"])]
        for metric in PAIR_METRICS:
            span = _span(POINTS, arm[metric]["ci95_people"], signed=False)
            cells.append(f"{POINTS.plain(arm[metric]['mean'])} ({span})")
        arms.append(tuple(cells))
    columns = ("trained on", "images", "people", *PAIR_METRICS.values())
    lead = "Means in percent, with 95 % intervals over people."
    return [Table("Arms", lead, columns, tuple(arms), words=1), _verify_comparisons(document)]


def _verify_comparisons(document: Document) -> Table:
    rows = []
    for row in document["comparisons"]:
        spans = (_span(POINTS, row[key], signed=True) for key in ("ci95", "ci95_people"))
        pair = (f"{row['arm']} − {row['baseline']}", PAIR_METRICS[row["metric"]])
        told = (*pair, row["outcome"], POINTS.signed(row["delta"]), *spans)
        rows.append((*told, p_value(row["p_holm"])))
    columns = ("arm − baseline", "metric", "outcome", "points")
    intervals = ("over replicates", "over people", "Holm p")
    lead = "The interval over replicates decides."
    return Table("Comparisons", lead, (*columns, *intervals), tuple(rows))


def _semi_tables(document: Document) -> list[Table]:
    labels: list[str] = []
    for found in document["methods"].values():
        labels += [count for count in found if count not in labels]
    labels.sort(key=int)
    rows = []
    for method, found in document["methods"].items():
        rows.append((method, *(_errors(found.get(count)) for count in labels)))
    columns = ("method", *(f"{count} labels" for count in labels))
    lead = "Error in percent: mean ± standard deviation over labelled subsets (their number)."
    return [Table("Errors", lead, columns, tuple(rows), words=1), _differences(document)]


def _errors(found: Document | None) -> str:
    if found is None:
        return "–"
    spread = "" if found["sd"] is None else f" ± {100 * found['sd']:.2f}"
    return f"{100 * found['mean']:.2f}{spread} ({len(found['errors'])})"


def _differences(document: Document) -> Table:
    rows = []
    for row in document["differences"]:
        pair = (f"{row['method']} − {row['baseline']}", row["outcome"], str(row["labels"]))
        told = (POINTS.signed(row["delta"]), _span(POINTS, row["ci95"], signed=True))
        rows.append((*pair, str(row.get("pairs", "")), *told, p_value(row.get("p_holm"))))
    columns = ("method − baseline", "outcome", "labels", "subsets")
    numbers = ("points", "95 % interval", "Holm p")
    lead = "Below zero the first makes fewer errors."
    return Table("Differences", lead, (*columns, *numbers), tuple(rows), words=2)


def _compare_tables(document: Document) -> list[Table]:
    rows = [("real data", "", *_measures(document["real"]))]
    for name in document["rows"]:
        family = document["families"][name]
        budget = "" if family["equal_budget"] else f"{family['step']:,} steps"
        rows.append((name, budget, *_measures(family)))
    columns = ("row", "other budget", *(title for title, *_ in MEASURES.values()))
    judge = document["judge"]
    lead = (
        f"One judge for all rows ({judge['steps']:,} steps), {document['samples']:,} images per "
        "row; numbers in its features cannot be compared with those of another judge."
    )
    return [Table("Families", lead, columns, tuple(rows), words=2)]


def _measures(row: Document) -> list[str]:
    cells = []
    for key, (_, factor, digits) in MEASURES.items():
        value = row.get(key)
        cells.append("–" if value is None else f"{factor * value:.{digits}f}")
    return cells


TABLES = {
    "gain": _gain_tables,
    "verify": _verify_tables,
    "semi": _semi_tables,
    "compare": _compare_tables,
}
"""The kinds whose pages are made here; the others keep the page that their job wrote."""
