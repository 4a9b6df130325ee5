"""The advice of a gain run in one sentence: use synthetic images, and how many, or what to use in
their place.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from downstream.gain import FEWEST_FOR_A_CLAIM, outcome
from pipelines.gain.recipes import uses_generator

Row = Mapping[str, Any]
FIRST = ("synthetic+classical", "synthetic")
"""Which arm the advice is about where ``auto`` mixes nothing in: these, then the config's own
policies."""


def verdict(
    result: Mapping[str, Any], yardsticks: Sequence[str], picked: Collection[str] = ()
) -> str:
    """Advice up to the first colon, then the comparisons it rests on.

    It goes by one arm, the first of ``auto`` (if its policy uses a generator), ``FIRST`` and the
    config's own policies that was compared with a yardstick. Synthetic images, or labels from a
    generator, are advised if the whole 95 % interval lies above zero against every yardstick; else
    the yardstick that this arm did worst against is. "Gain" and "loss" mean that the whole interval
    lies on that side of zero, and that this outlasts the correction for the number of comparisons.

    Args:
        result: ``comparisons``, ``policy``, ``mixtures``, ``replicates`` and ``scored_on`` of
            gain.json.
        yardsticks: The strongest arms without a generator: the one without and the one with the
            pool.
        picked: Those of them that are the strongest by the scored images; being behind them is no
            "loss".
    """
    rows = {(row["arm"], row["baseline"]): row for row in result["comparisons"]}
    lead = _lead(result, rows, yardsticks)
    about = [rows[lead, base] for base in yardsticks if (lead, base) in rows]
    others = [
        ("synthetic", "real"),
        ("synthetic", "smote"),
        *(("auto", base) for base in yardsticks),
    ]
    told = [_told(row, picked) for row in about]
    told += [
        _told(rows[pair], picked) for pair in others if pair in rows and rows[pair] not in about
    ]
    policy = result["policy"]
    chosen = f"; auto is {policy['name']}" if policy is not None else ""
    missing = [base for base in yardsticks if (lead, base) not in rows]
    advice = _advice(result, about, missing, picked)
    return f"{advice}: {'; '.join(told) or _undeclared(yardsticks)}{chosen}; {_caution(result)}."


def _lead(
    result: Mapping[str, Any], rows: Mapping[tuple[str, str], Row], yardsticks: Sequence[str]
) -> str | None:
    policy = result["policy"]
    auto = ["auto"] if policy is not None and uses_generator(policy) else []
    wanted = [*auto, *FIRST, *result["mixtures"]]
    return next((arm for arm in wanted if any((arm, base) in rows for base in yardsticks)), None)


def _advice(
    result: Mapping[str, Any], about: Sequence[Row], missing: Sequence[str], picked: Collection[str]
) -> str:
    if not about:
        return "No advice on synthetic images"
    worst = min(about, key=lambda row: float(row["delta"]))
    what = "synthetic images" if _renders(result, worst["arm"]) else "labels from a generator"
    if all(_outcome(row, picked) == "better" for row in about):
        if missing:
            return f"Undecided, since {worst['arm']} was not compared with {' and '.join(missing)}"
        return f"Use {what} ({_mixture(result, worst['arm'])}) for {_points(worst)} over {worst['baseline']}"
    if _outcome(worst, picked) == "worse":
        return f"Do without {what} and use {worst['baseline']}, which is better"
    return f"Do without {what}, for which no gain is shown, and use {worst['baseline']}"


def _outcome(row: Row, picked: Collection[str]) -> str:
    found = outcome(row["ci95"], row.get("p_holm"))
    return "open" if found == "worse" and row["baseline"] in picked else found


def _mixture(result: Mapping[str, Any], arm: str) -> str:
    words: str = result["policy"]["name"] if arm == "auto" else result["mixtures"][arm]
    return words


def _renders(result: Mapping[str, Any], arm: str) -> bool:
    """Whether an arm with a generator mixes its images in; else it takes labels from it."""
    return (
        bool(result["policy"]["share"] > 0)
        if arm == "auto"
        else "synthetic" in _mixture(result, arm)
    )


def _told(row: Row, picked: Collection[str]) -> str:
    if row["delta"] == 0 and set(row["ci95"]) == {0}:  # auto chose that very arm
        return f"{row['arm']} is as good as {row['baseline']} in every replicate"
    word = {"better": "gain", "worse": "loss", "open": "not decided"}[_outcome(row, ())]
    if word == "loss" and row["baseline"] in picked:
        word = "behind the best seen"
    return f"{row['arm']} against {row['baseline']} {_points(row, word)}"


def _points(row: Row, word: str | None = None) -> str:
    low, high = row["ci95"]
    said = f", {word}" if word else ""
    return f"{100 * row['delta']:+.1f} points (95 % interval {100 * low:+.1f} to {100 * high:+.1f}{said})"


def _undeclared(yardsticks: Sequence[str]) -> str:
    return f"no arm with synthetic images was compared with {' or '.join(yardsticks)}"


def _caution(result: Mapping[str, Any]) -> str:
    few = ", preliminary" if result["replicates"] < FEWEST_FOR_A_CLAIM else ""
    where = "" if result["scored_on"] == "test" else f", on {result['scored_on']}"
    return f"{result['replicates']} replicates{few}{where}"
