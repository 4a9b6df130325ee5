"""The result of a job as text: its table, the verdict, and where to read on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.report.terminal import fold


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
    said = fold(verdict["advice"], subsequent_indent="")
    for line in verdict["lines"]:
        said += fold(f"- {line}")
    return "\n\n".join([table, "\n".join(said), "  ".join(map(str, files))])
