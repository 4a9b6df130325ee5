"""The page of one published run as Markdown, made from its result file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from downstream.comparison import FEWEST_FOR_A_CLAIM
from pipelines.report.markdown import escaped
from pipelines.report.page import duration
from pipelines.summary.markdown import markdown_table
from pipelines.summary.read import Document, seconds_of_work
from pipelines.summary.run_tables import TABLES

SCREENING = "**Screening, not a result**: scored on held-out training images."
ARMS_PAGE = "../../concepts/arms.md"


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
        """Whether test images were left alone, so that this is not a result."""
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
        page = "../" * run.path.count("/") + ARMS_PAGE
        parts.append(f"What the arms do: [the arms]({page}).")
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
    for name, words in _setup(document):
        if words:
            told.append(f"- {name}: {escaped(words)}")
    told.append(f"- Hardware: {escaped(document['device'])}{_time(document)}")
    return [*told, f"- Versions: {_named(document['versions'], ', ')}"]


def _time(document: Document) -> str:
    """What all parts of a run took, or where the file does not tell, the call that wrote it."""
    work, total = seconds_of_work(document), document["seconds"].get("total")
    if work and work != total:
        return f"; {duration(work)} of work in all parts"
    return f"; {duration(total)} in the call that wrote the file" if total else ""


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


def _named(values: Mapping[str, Any], between: str = "; ") -> str:
    return between.join(f"{name} {value}" for name, value in values.items())


def _pairs(document: Document) -> str:
    pairs = document["pairs"]
    return (
        f"{pairs['same']} pairs of one person and {pairs['different']} of two, {pairs['people']} "
        f"people in {len(pairs['folds'])} folds; network {document['network']}, "
        f"{document['head']} head, {document['steps']} steps; replicates: "
        f"{document['replicates']}{preliminary(document)}"
    )
