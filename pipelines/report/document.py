"""The page of a job: verdict, what to do now, cards, setup and words, in this order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines.report.cards import Report
from pipelines.report.glossary import anchors, words_of
from pipelines.report.page import duration, plain, render_page, scored_words

EVIDENCE = 3
"""Lines of a verdict that stand below it; the others are folded."""
KEY_FACTS = ("regime", "training images", "scored images", "classifier", "generator", "replicates")
"""What a reader asks first; the rest of the setup is folded."""


def render_report(result: Mapping[str, Any], report: Report) -> str:
    """A job's page as HTML, in one file that needs no network.

    Every text is escaped. Of a result that scored held-out images the page says so on top.
    """
    where, footer, warnings = result.get("scored_on"), report.footer, list(report.warnings)
    if where is not None:
        read = "were read once" if where == "test" else "were not read"
        footer += f" The test images {read}."
        if where != "test":
            warnings.insert(
                0,
                f"This is a screening, not a result: it scored {scored_words(where)}; the test "
                f"images {read}.",
            )
    verdict, words = result["verdict"], words_of(report.cards)
    light, lines = verdict.get("light", "amber"), list(verdict["lines"])
    return render_page(
        "page.html.j2",
        result=result,
        report=report,
        light=light,
        signal=report.lights[light],
        evidence=lines[:EVIDENCE],
        more=lines[EVIDENCE:],
        setup=_setup(result),
        footer=footer,
        warnings=warnings,
        words=words,
        terms=anchors(words),
    )


def _setup(result: Mapping[str, Any]) -> dict[str, list[tuple[str, str]]]:
    """What was trained on what, by which command, where, and how long it took: ``key`` facts and
    the ``rest``.
    """
    told = {name: plain(value) for name, value in result.get("setup", {}).items()}
    if "device" in result:
        told["device"] = result["device"]
        told["time"] = "; ".join(f"{name}: {duration(s)}" for name, s in result["seconds"].items())
        told["versions"] = ", ".join(f"{name} {one}" for name, one in result["versions"].items())
    new = [note for note in result.get("notes", ()) if note not in told.values()]
    rest = [(name, words) for name, words in told.items() if name not in KEY_FACTS]
    return {
        "key": [(name, told[name]) for name in KEY_FACTS if name in told],
        "rest": [*rest, *(("note", note) for note in new)],
    }
