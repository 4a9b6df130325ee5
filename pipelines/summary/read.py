"""Result files of version 0.1 and of today in one form: the one reader of the summary and of the
pages.

A file of schema 1 is brought into the form of schema 2; no measured number changes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from augmentor.common.given_files import parse_json, read_text
from augmentor.common.types import DataError
from downstream.arms.policy import MixPolicy
from downstream.arms.table import ARMS
from downstream.comparison import outcome
from downstream.metrics import METRICS, POINTS, Unit
from pipelines.gain.baselines import baseline_kind, best_baselines
from pipelines.results import Kind, read_result

Document = Mapping[str, Any]

RESULT = "result.json"
FILES = (RESULT, "gain.json", "verify.json")
"""What a summary looks for in a folder, in this order."""
SIGNS = {
    "families": "compare",
    "methods": "semi",
    "head": "verify",
    "inpaint": "editing",
    "shares": "identity",
    "samples": "evaluate",
    "comparisons": "gain",
}
"""A key that only files of one kind have, and that kind; the first that is there counts."""
NEEDED = ("arms", "comparisons", "dataset", "regime", "metric", "replicates", "verdict")
MEAN_OF = re.compile(r".*, mean of (\d+)")
PARTS = (" a replicate", " a training")
"""How the seconds of finished parts are named: now, and in version 0.1."""
SCHEMAS = 1, 2
CHECKED: Mapping[str, Kind] = {
    "gain": "gain",
    "verify": "verify",
    "semi": "semi",
    "compare": "compare",
    "evaluate": "evaluate",
}
"""The kinds whose promises are checked on reading."""


def read(path: Path) -> dict[str, Any]:
    """Read a result file of any kind and bring it into today's form.

    Args:
        path: The file.

    Returns:
        Its contents with ``kind``: ``gain``, ``verify``, ``semi``, ``compare``, ``evaluate``,
        ``editing`` or ``identity``. Every ``verdict`` is ``{"advice", "lines"}``.

    Raises:
        DataError: If the file cannot be read or is not a result of augmentor.
    """
    document = _load(path)
    kind = kind_of(document)
    if kind is None:
        raise DataError(f"{path}: is not a result of augmentor")
    if document.get("schema") not in SCHEMAS:
        raise DataError(f"{path}: has schema {document.get('schema')!r}, known are 1 and 2")
    old_gain = kind == "gain" and document["schema"] == 1
    if kind in CHECKED and not old_gain:
        read_result(path, CHECKED[kind])
    try:
        return of_today(document, str(path))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path}: a value is missing or of another form ({type(error).__name__}: {error}); run "
            "the command that made it again"
        ) from error


def of_today(document: Document, where: str = "result") -> dict[str, Any]:
    """Contents of a result file in today's form, as ``read`` gives them.

    Args:
        document: What the file holds.
        where: What errors call it.

    Raises:
        DataError: If a gain.json of schema 1 lacks a key, or scores of a replicate.
    """
    kind = kind_of(document)
    new = dict(document)
    if kind == "gain" and document["schema"] == 1:
        new = _gain_of_today(where, document)
    if kind == "verify":
        rows = document["comparisons"]
        new["comparisons"] = [_decided(row, document["replicates"]) for row in rows]
    if kind == "semi":
        new["differences"] = [_decided(row, row.get("pairs", 1)) for row in document["differences"]]
    if "regime" in document:
        new["regime"] = document["regime"].replace(" a class", " per class")
    return new | {"kind": kind, "verdict": verdict_of(document)}


def kind_of(document: Document) -> str | None:
    """Which job wrote a result; None if none did."""
    for key, kind in SIGNS.items():
        if key in document:
            return kind
    return None


def verdict_of(document: Document) -> dict[str, Any]:
    """``advice`` and ``lines`` of a verdict; schema 1 has both in one sentence, some files none.

    Example:
        >>> verdict_of({"verdict": "Use it: +2.1 points; 10 replicates."})
        {'advice': 'Use it', 'lines': ['+2.1 points', '10 replicates.']}
    """
    said = document.get("verdict", "")
    if isinstance(said, Mapping):
        return dict(said)
    advice, _, rest = said.partition(": ")
    return {"advice": advice, "lines": rest.split("; ") if rest else []}


def seconds_of_work(document: Document) -> float:
    """What all finished parts of a run of ``gain`` or ``verify`` took, whenever they were made.

    A total that is named so leaves out parts that an earlier call made; it is taken where nothing
    else is known. Parts of screening count where the file tells them.

    Example:
        >>> seconds_of_work({"seconds": {"classifier, mean of 3": 2.0, "total": 1.0}})
        6.0
    """
    work = 0.0
    for name, value in document["seconds"].items():
        mean_of = MEAN_OF.fullmatch(name)
        if mean_of:
            work += int(mean_of[1]) * value
        elif name.endswith(PARTS) and "replicates" in document:
            work += document["replicates"] * value
    return round(float(work or document["seconds"].get("total", 0.0)), 1)


def unit_of(metric: str) -> Unit:
    """How values of a metric are shown; points for one that is not known here."""
    return METRICS[metric].unit if metric in METRICS else POINTS


def direction(metric: str) -> int:
    """1 if higher values of a metric are better, else -1."""
    return -1 if metric in METRICS and not METRICS[metric].higher_is_better else 1


def kind_of_baseline(document: Document, arm: str) -> str | None:
    """``classical`` or ``same_pool``: what an arm without a generator learns from.

    Args:
        document: A result of ``gain`` from ``read``.
        arm: One of its arms.

    Returns:
        None for an arm with a generator, a control, ``auto``, and one that is not known.
    """
    name = document["bases"].get(arm, arm)
    if arm in document["mixtures"] or name not in ARMS:
        return None
    return baseline_kind(ARMS[name].recipe)


def uses_generator(document: Document, arm: str) -> bool:
    """Whether synthetic images, or labels by a generator, have a part in an arm of ``gain``."""
    if arm == "auto":
        policy = document["policy"]
        if not policy:
            return False
        return bool(policy["share"]) or _labels_by_generator(policy.get("base", ""))
    return arm in document["mixtures"] or _labels_by_generator(arm)


def _labels_by_generator(arm: str) -> bool:
    recipe = ARMS[arm].recipe if arm in ARMS else None
    return recipe is not None and recipe.uses_generator


def _load(path: Path) -> dict[str, Any]:
    try:
        document = parse_json(read_text(path))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as a result: {error}") from error
    if not isinstance(document, dict):
        raise DataError(f"{path}: is not a result of augmentor")
    return document


def _gain_of_today(where: str, old: Document) -> dict[str, Any]:
    """A gain.json of schema 1 in the form of schema 2."""
    for key in NEEDED:
        if key not in old:
            raise DataError(f"{where}: {key} is missing; run the command that made it again")
    new = {"mixtures": {}, "bases": {}, "notes": [], "strengths": {}, "scored_on": "test", **old}
    metric = old["metric"]
    new |= {"metrics": [metric], "overlap": None, "setup": {}}
    new["arms"], new["comparisons"] = {}, []
    for name, arm in old["arms"].items():
        new["arms"][name] = _arm(where, name, arm, old)
    for row in old["comparisons"]:
        new["comparisons"].append(_comparison(row, old))
    new["baselines"] = old.get("yardsticks") or _baselines(new)
    return new


def _arm(where: str, name: str, arm: Document, old: Document) -> dict[str, Any]:
    if len(arm["scores"]) != old["replicates"]:
        raise DataError(
            f"{where}: arm {name!r} has {len(arm['scores'])} scores for "
            f"{old['replicates']} replicates"
        )
    scores = {key: arm[key] for key in ("scores", "mean", "ci95")}
    return {**arm, "metrics": {old["metric"]: scores}}


def _comparison(row: Document, old: Document) -> dict[str, Any]:
    """A comparison of schema 1; its interval lets replicates vary and keeps the test images."""
    found = outcome(
        row["ci95"],
        row["p_holm"],
        higher_is_better=direction(old["metric"]) > 0,
        replicates=old["replicates"],
    )
    told = {"metric": old["metric"], "ci95_replicates": row["ci95"], "outcome": found}
    return {**row, **told, "needed": None, "limited_by": None}


def _decided(row: Document, replicates: int) -> dict[str, Any]:
    """A comparison of ``verify`` or ``semi`` with its outcome; a single replicate decides nothing.

    A difference of ``semi`` names no metric: it is one of errors, of which fewer are better.
    """
    if row.get("outcome"):
        return dict(row)
    found = "undecided"
    if row["ci95"] and row.get("p_holm") is not None:
        better = "metric" in row and direction(row["metric"]) > 0
        found = outcome(row["ci95"], row["p_holm"], higher_is_better=better, replicates=replicates)
    return {**row, "outcome": found}


def _baselines(document: Document) -> dict[str, str]:
    """The strongest arms without a generator, of a run that does not name them."""
    own: dict[str, MixPolicy] = {}
    scores = {}
    for arm in document["arms"]:
        scores[arm] = document["arms"][arm]["scores"]
        if arm in document["mixtures"] or arm not in ARMS:
            base = document["bases"].get(arm)
            own[arm] = MixPolicy(base) if base else MixPolicy("classical", share=0.5)
    return best_baselines(scores, own, document["policy"], METRICS[document["metric"]])
