"""The job ``summary``: many finished runs on one page, each difference with its interval and its
baseline.

Nothing is trained or scored. A baseline is an arm without a generator: ``classical`` is any that
uses the labelled images alone, ``same_pool`` any that uses the unlabelled ones too. Differences
from other arms are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from scipy import stats

from augmentor.common.types import DataError
from pipelines.experiment.provenance import this_command
from pipelines.results import write_result
from pipelines.summary.read import (
    FILES,
    direction,
    kind_of_baseline,
    read,
    seconds_of_work,
    uses_generator,
)
from pipelines.summary.report import write_pages
from pipelines.summary.tables import headline

Document = Mapping[str, Any]
Row = dict[str, Any]

SAID = ("arm", "baseline", "metric", "delta", "p_holm", "outcome")


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
        DataError: If a file is not such a result, two are of one run, results of test images and of
            screening are mixed, or no arm was compared with a generator-free one.
    """
    documents = read_results(results)
    rows = []
    for document in documents:
        rows += rows_of(document)
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
        DataError: If a file is not such a result, or two of them must not stand in one table.
    """
    found: dict[tuple[str, str, str], tuple[Path, Document]] = {}
    for path in map(file_of, paths):
        document = _read(path)
        run = (document["dataset"], regime_of(document), document["command"])
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

    Beside the promised keys a row holds ``best_baseline`` (the strongest arm of its kind),
    ``outcome``, ``synthetic`` (whether the arm uses a generator), and where they are known
    ``source_augment``, ``images_per_class`` (median number of real training images), ``policy`` and
    ``lower95`` (both of ``auto``; where lower values are better it is the upper bound).
    """
    return _verify_rows(document) if document["kind"] == "verify" else _gain_rows(document)


def lower_bound(delta: float, low: float) -> float:
    r"""One-sided 95 % lower bound of a mean difference, from its two-sided 95 % interval.

    .. math:: \bar d - \frac{z_{0.95}}{z_{0.975}} (\bar d - l)

    The degrees of freedom of the interval are not kept. The ratio of t quantiles rises with them,
    so that of the normal distribution gives a bound that is never too near the mean.

    Args:
        delta: The mean difference.
        low: Lower end of its interval.

    Returns:
        The bound, between ``low`` and ``delta``. What varies in it is what varies in the interval.
    """
    one_sided, two_sided = stats.norm.ppf([0.95, 0.975])
    return float(delta - (delta - low) * one_sided / two_sided)


def _gain_rows(document: Document) -> list[Row]:
    common = _origin(document) | {"source_augment": document["source_augment"]}
    if counts := document.get("training_counts"):
        common["images_per_class"] = float(median(counts.values()))
    rows = []
    for pair in document["comparisons"]:
        kind = kind_of_baseline(document, pair["baseline"])
        interval = _interval(pair)
        if kind and interval and pair["metric"] == document["metric"]:
            said = {key: pair[key] for key in SAID} | interval
            told = {"yardstick": kind, "best_baseline": document["baselines"][kind]}
            rows.append(common | said | told | _of_arm(pair, document))
    return rows


def _interval(pair: Document) -> Row:
    """The interval of a comparison and what varies in it; empty without any."""
    if pair["ci95"]:
        return {"ci95": pair["ci95"]}
    for key, words in (("ci95_replicates", "replicates alone"), ("ci95_people", "people")):
        if pair.get(key):
            return {"ci95": pair[key], "ci95_over": words}
    return {}


def _of_arm(pair: Document, document: Document) -> Row:
    """What is said of the arm alone: whether it uses a generator, and more of ``auto``."""
    arm, policy = pair["arm"], document["policy"]
    told: Row = {"synthetic": uses_generator(document, arm)}
    if arm == "auto" and policy:
        ends = _interval(pair)["ci95"]
        worst = ends[0] if direction(pair["metric"]) > 0 else ends[1]
        bound = lower_bound(pair["delta"], worst)
        told |= {"policy": policy["name"], "lower95": bound}
    return told


def _verify_rows(document: Document) -> list[Row]:
    """Accuracy alone: the other metrics of a verification are in its own table."""
    rows = []
    for pair in document["comparisons"]:
        if pair["metric"] == _accuracy(document):
            said = {key: pair[key] for key in SAID if key in pair} | _interval(pair)
            told = {"yardstick": "classical", "best_baseline": pair["baseline"]}
            told["synthetic"] = document["arms"][pair["arm"]]["synthetic"] > 0
            rows.append(_origin(document) | said | told)
    return rows


def _accuracy(document: Document) -> str:
    """The metric that decides in a verification."""
    return str(document.get("metric", "accuracy"))


def _origin(document: Document) -> Row:
    keys = ("dataset", "replicates", "command", "device")
    told: Row = {key: document[key] for key in keys}
    return told | {"regime": regime_of(document), "seconds": seconds_of_work(document)}


def regime_of(document: Document) -> str:
    """Which images with which labels, in words."""
    if document["kind"] == "verify":
        return f"pairs, {document['head']} head"
    return str(document["regime"])


def _scored_on(document: Document) -> str:
    return str(document.get("scored_on", "test"))


def file_of(path: Path) -> Path:
    """The result file of a run's folder, or the file itself."""
    if not path.is_dir():
        return path
    for name in FILES:
        if (path / name).is_file():
            return path / name
    below = any(any(path.glob(f"*/{name}")) for name in FILES)
    hint = f"; the runs lie below: give {path}/*/" if below else ""
    raise DataError(f"{path}: holds none of {', '.join(FILES)}{hint}")


def _read(path: Path) -> Document:
    document = read(path)
    if document["kind"] not in ("gain", "verify"):
        raise DataError(f"{path}: is not a result of augmentor gain or verify")
    return document
