"""The job ``summary``: many finished runs on one page, each difference beside its interval and its
yardstick.

Nothing is trained or scored. A yardstick is an arm without a generator: ``classical`` is any that
uses the labelled images alone, ``same_pool`` any that uses the unlabelled ones too. Differences
from other arms are left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from scipy import stats

from augmentor.common.types import DataError
from pipelines.gain.recipes import SYNTHETIC, uses_generator
from pipelines.gain.yardsticks import best_baselines, yardstick_of
from pipelines.results import read_result, this_command, write_result
from pipelines.summary.report import write_pages
from pipelines.summary.tables import headline

Document = Mapping[str, Any]
Row = dict[str, Any]


def summary_run(
    results: Sequence[Path], out: Path, *, command: str | None = None
) -> dict[str, Any]:
    """Summarise runs of ``gain`` and ``verify``.

    Args:
        results: Their result files or folders, in the order to show them; the same content twice
            counts once.
        out: Folder for ``gain_summary.json``, ``gain.md``, ``gain_forest.svg``, ``summary.html``
            and, where runs differ in nothing but the number of real images, ``gain_by_count.svg``.
        command: How the page says it was made; this process's command line unless given.

    Returns:
        The contents of gain_summary.json.

    Raises:
        DataError: If a file is no such result, two are of one run, test results and tuning results
            are mixed, or no arm was compared with a generator-free one.
    """
    documents = read_results(results)
    rows = [row for document in documents for row in rows_of(document)]
    if not rows:
        raise DataError("nothing to summarise: no arm was compared with an arm without a generator")
    summary = {"verdict": headline(rows), "scored_on": _scored_on(documents[0]), "results": rows}
    summary["command"] = command or this_command()
    write_result(out / "gain_summary.json", summary, "gain_summary")
    write_pages(out, summary)
    return summary


def read_results(paths: Sequence[Path]) -> list[Document]:
    """Read result files, or those in folders of runs; the same content twice is one result.

    Raises:
        DataError: If a file is no such result, or two of them must not stand in one table.
    """
    found: dict[tuple[str, str, str], tuple[Path, Document]] = {}
    for path in map(_file_of, paths):
        document = _read(path)
        run = (document["dataset"], _regime(document), document["command"])
        first, known = found.setdefault(run, (path, document))
        if known != document:
            raise DataError(
                f"{path}: data set, regime and command are those of {first}; give one of the two"
            )
        if _scored_on(document) != _scored_on(next(iter(found.values()))[1]):
            raise DataError(
                f"{path}: scored on {_scored_on(document)}, unlike the others; summarise them apart"
            )
    return [document for _, document in found.values()]


def rows_of(document: Document) -> list[Row]:
    """The comparisons of one result with generator-free arms, as rows of gain_summary.json.

    Beside the promised keys a row holds ``best_baseline`` (the strongest arm of its yardstick),
    ``synthetic`` (whether the arm uses a generator), and where they are known ``source_augment``,
    ``images_per_class`` (median number of real training images), ``policy`` and ``lower95`` (both
    of ``auto``).
    """
    return _verify_rows(document) if _is_verification(document) else _gain_rows(document)


def lower_bound(delta: float, low: float, replicates: int) -> float:
    r"""One-sided 95 % lower bound of a mean difference, from its two-sided 95 % interval (paired
    t).

    .. math:: \bar d - \frac{t_{0.95, R-1}}{t_{0.975, R-1}} (\bar d - l)

    Args:
        delta: The mean difference.
        low: Lower end of its interval.
        replicates: R, at least two.

    Returns:
        The bound, between ``low`` and ``delta``. Replicates vary, test images are fixed, as in the
        interval.
    """
    one_sided, two_sided = stats.t.ppf([0.95, 0.975], replicates - 1)
    return float(delta - (delta - low) * one_sided / two_sided)


def _gain_rows(document: Document) -> list[Row]:
    best, counts = best_baselines(document), document.get("training_counts")
    common = _origin(document) | {
        "metric": document["metric"],
        "source_augment": document["source_augment"],
    }
    if counts:
        common["images_per_class"] = float(median(counts.values()))
    rows = []
    for pair in document["comparisons"]:
        if yardstick := yardstick_of(pair["baseline"], document.get("bases")):
            told = {"yardstick": yardstick, "best_baseline": best[yardstick]} | _of_arm(
                pair, document
            )
            said = {key: pair[key] for key in ("arm", "baseline", "delta", "ci95", "p_holm")}
            rows.append(common | said | told)
    return rows


def _of_arm(pair: Document, document: Document) -> Row:
    """What is said of the arm alone: whether it uses a generator, and more of ``auto``."""
    arm, policy = pair["arm"], document["policy"]
    if arm != "auto" or not isinstance(policy, Mapping):
        return {"synthetic": arm in SYNTHETIC or arm in document.get("mixtures", {})}
    bound = lower_bound(pair["delta"], pair["ci95"][0], document["replicates"])
    return {"synthetic": uses_generator(policy), "policy": policy["name"], "lower95": bound}


def _verify_rows(document: Document) -> list[Row]:
    """Accuracy alone: the other metrics of a verification are in its own table."""
    rows = []
    for pair in document["comparisons"]:
        if pair["metric"] == "accuracy":
            # A single replicate has no interval but that over people.
            over = (
                {"ci95": pair["ci95"]}
                if pair["ci95"]
                else {"ci95": pair["ci95_people"], "ci95_over": "people"}
            )
            told = {key: pair[key] for key in ("metric", "arm", "baseline", "delta")} | over
            told |= {"yardstick": "classical", "best_baseline": pair["baseline"]}
            told |= {"synthetic": document["arms"][pair["arm"]]["synthetic"] > 0}
            rows.append(_origin(document) | told)
    return rows


def _origin(document: Document) -> Row:
    keys = ("dataset", "replicates", "command", "device")
    return {key: document[key] for key in keys} | {
        "regime": _regime(document),
        "seconds": _seconds(document),
    }


def _regime(document: Document) -> str:
    return (
        f"pairs, {document['head']} head" if _is_verification(document) else str(document["regime"])
    )


def _seconds(document: Document) -> float:
    """What the replicates of all arms took; not the total, which leaves out cells that an earlier
    call made.
    """
    parts = [
        value
        for name, value in document["seconds"].items()
        if name.endswith((" a replicate", " a training"))
    ]
    return (
        round(document["replicates"] * sum(parts), 1)
        if parts
        else float(document["seconds"].get("total", 0.0))
    )


def _scored_on(document: Document) -> str:
    return str(document.get("scored_on", "test"))


def _is_verification(document: Document) -> bool:
    return "head" in document


def _file_of(path: Path) -> Path:
    """The result file of a run's folder, or the file itself."""
    if not path.is_dir():
        return path
    for name in ("gain.json", "verify.json"):
        if (path / name).is_file():
            return path / name
    raise DataError(f"{path}: holds neither gain.json nor verify.json")


def _read(path: Path) -> Document:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as a result: {error}") from error
    if not isinstance(document, dict) or not {"arms", "comparisons"} <= set(document):
        raise DataError(f"{path}: no result of augmentor gain or verify")
    return read_result(path, "verify" if _is_verification(document) else "gain")
