"""The result of a job as text: its table, the verdict, and where to read on."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def gain_text(result: Mapping[str, Any], out: Path) -> str:
    """The table of arms, the verdict, and where to read on."""
    from pipelines.gain.tables import gain_table

    table = gain_table(result)
    if (result.get("policy") or {}).get("rehearsal"):
        table += "\n\nIn the rehearsal, on training images hidden on purpose:"
    return _with_verdict(table, result, out / "report.html", out / "gain.json")


def compare_text(result: Mapping[str, Any], out: Path) -> str:
    """The table of families, the verdict, and where to read on."""
    from pipelines.compare.tables import compare_table

    return _with_verdict(compare_table(result), result, out / "report.html", out / "compare.json")


def evaluate_text(result: Mapping[str, Any], out: Path) -> str:
    """The table of measures, the verdict, and where to read on."""
    from pipelines.evaluate.tables import evaluate_table

    return _with_verdict(evaluate_table(result), result, out / "report.html", out / "evaluate.json")


def semi_text(result: Mapping[str, Any], out: Path) -> str:
    """The table of errors, the verdict, and where to read on."""
    from pipelines.semi.tables import semi_table

    return _with_verdict(semi_table(result), result, out / "report.html", out / "semi.json")


def verify_text(result: Mapping[str, Any], out: Path) -> str:
    """The table of arms, the verdict, and where to read on."""
    from pipelines.verify.tables import verify_table

    return _with_verdict(verify_table(result), result, out / "report.html", out / "verify.json")


def _with_verdict(table: str, result: Mapping[str, Any], *files: Path) -> str:
    """Table, advice, its lines, and where to read on."""
    verdict = result["verdict"]
    lines = [_folded(f"- {line}", "  ") for line in verdict["lines"]]
    said = "\n".join([_folded(verdict["advice"]), *lines])
    return "\n\n".join([table, said, "  ".join(map(str, files))])


def _folded(words: str, indent: str = "") -> str:
    """Words in lines of at most 80 columns; a path or a name is never cut."""
    folder = textwrap.TextWrapper(80, subsequent_indent=indent, break_long_words=False)
    folder.break_on_hyphens = False
    return folder.fill(words)
