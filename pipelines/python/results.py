"""What the functions return: the document of a job, read in the words of its users."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.python.words import compare_text, gain_text, semi_text, verify_text
from pipelines.report.cards import Cell, Row, Table
from pipelines.report.page import render_page

LEFT_OUT = ("parts", "features", "data", "synthetic", "outside", "lock")
"""What ``save`` does not copy: work in progress, and the images."""
MOST_COLUMNS = 9
OF_FAMILIES = ("top1", "fid", "kid", "precision", "recall", "diversity", "cas", "memorisation_p")
"""What the table of families begins with."""


@dataclass(frozen=True, repr=False)
class JobResult:
    """The result of a job.

    Args:
        document: All of it: the contents of the job's JSON file.
        folder: The run, with its report.
    """

    document: dict[str, Any] = field(hash=False)
    folder: Path

    @property
    def verdict(self) -> str:
        """The advice in one sentence."""
        return str(self.document["verdict"]["advice"])

    @property
    def report(self) -> Path:
        """The page to read."""
        return self.folder / "report.html"

    def rows(self) -> list[dict[str, Any]]:
        """The main table: a dict per row, ``name`` first."""
        raise NotImplementedError

    def to_frame(self) -> Any:
        """The main table as a pandas ``DataFrame``, by ``name``.

        Raises:
            ImportError: If pandas is not installed.
        """
        try:
            from pandas import DataFrame  # type: ignore[import-untyped,unused-ignore]
        except ImportError as error:
            raise ImportError(
                "to_frame needs pandas; install it, or read rows() and document"
            ) from error
        return DataFrame(self.rows()).set_index("name")

    def save(self, folder: str | Path) -> Path:
        """Copy results, report and configuration into a folder, without trainings and images.

        Returns:
            The folder.

        Raises:
            FileExistsError: If the folder is there already.
        """
        shutil.copytree(self.folder, folder, ignore=self._left_out)
        return Path(folder)

    def _left_out(self, folder: str, names: list[str]) -> list[str]:
        return [name for name in names if name in LEFT_OUT and Path(folder) == self.folder]

    def _card(self) -> Table:
        """The main table for a notebook."""
        rows = self.rows()
        columns = list(rows[0])[:MOST_COLUMNS]
        found = []
        for row in rows:
            cells = [Cell(_shown(row[name])) for name in columns[1:]]
            found.append(Row(str(row["name"]), cells))
        return Table("", columns, found)

    def _repr_html_(self) -> str:
        """Verdict and main table for a notebook, without scripts."""
        report = str(self.report)
        card = self._card()
        return render_page("notebook.html.j2", result=self.document, card=card, report=report)


@dataclass(frozen=True, repr=False)
class GainResult(JobResult):
    """What each arm is worth on real test images."""

    def __repr__(self) -> str:
        return gain_text(self.document, self.folder)

    @property
    def arms(self) -> dict[str, dict[str, Any]]:
        """By arm the ``mean`` of its scores and ``ci95``, their 95 % interval or None."""
        found = {}
        for name, arm in self.document["arms"].items():
            found[name] = {"mean": arm["mean"], "ci95": arm["ci95"]}
        return found

    @property
    def comparisons(self) -> list[dict[str, Any]]:
        """Every tested pair: ``arm``, ``baseline``, ``delta``, ``ci95``, ``outcome`` and more."""
        return list(self.document["comparisons"])

    def rows(self) -> list[dict[str, Any]]:
        """One row per arm: mean, ends of the interval, and the mean by every other metric."""
        found = []
        for name, arm in self.document["arms"].items():
            row = {"name": name, "mean": arm["mean"], **_ends(arm["ci95"])}
            for metric, scored in arm["metrics"].items():
                row[metric] = scored["mean"]
            found.append(row)
        return found

    def _card(self) -> Table:
        from pipelines.gain.report import arms_table

        return arms_table(self.document)


@dataclass(frozen=True, repr=False)
class SemiResult(JobResult):
    """The error of semi-supervised methods by the number of labels."""

    def __repr__(self) -> str:
        return semi_text(self.document, self.folder)

    @property
    def comparisons(self) -> list[dict[str, Any]]:
        """The default method against every other one, by the number of labels."""
        return list(self.document["differences"])

    def rows(self) -> list[dict[str, Any]]:
        """One row per method and number of labels."""
        found = []
        for name, by_labels in self.document["methods"].items():
            for labels, scores in by_labels.items():
                row = {"name": name, "labels": int(labels)}
                found.append(row | {key: scores[key] for key in ("mean", "median", "sd")})
        return found


@dataclass(frozen=True, repr=False)
class CompareResult(JobResult):
    """Families of generators with one budget, measured by one judge."""

    def __repr__(self) -> str:
        return compare_text(self.document, self.folder)

    @property
    def families(self) -> dict[str, dict[str, Any]]:
        """What was measured of every family."""
        return dict(self.document["families"])

    def rows(self) -> list[dict[str, Any]]:
        """One row per family, without the sizes of its networks."""
        found = []
        for name, measured in self.document["families"].items():
            row: dict[str, Any] = {"name": name} | {key: measured[key] for key in OF_FAMILIES}
            for key, value in measured.items():
                if value is None or isinstance(value, int | float):
                    row[key] = value
            found.append(row)
        return found


@dataclass(frozen=True, repr=False)
class VerifyResult(JobResult):
    """How well strangers are told apart, by what the network learned from."""

    def __repr__(self) -> str:
        return verify_text(self.document, self.folder)

    @property
    def arms(self) -> dict[str, dict[str, Any]]:
        """By arm the ``mean`` of its verification accuracy and ``ci95``."""
        found = {}
        for name, arm in self.document["arms"].items():
            found[name] = {key: arm["accuracy"][key] for key in ("mean", "ci95")}
        return found

    @property
    def comparisons(self) -> list[dict[str, Any]]:
        """Every arm against no extra data, by every metric."""
        return list(self.document["comparisons"])

    def rows(self) -> list[dict[str, Any]]:
        """One row per arm: images, people, and the mean by every metric."""
        found = []
        for name, arm in self.document["arms"].items():
            row = {"name": name}
            for key, value in arm.items():
                row[key] = value["mean"] if isinstance(value, Mapping) else value
            found.append(row)
        return found


def _ends(interval: Any) -> dict[str, float | None]:
    low, high = interval or (None, None)
    return {"ci95_low": low, "ci95_high": high}


def _shown(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
