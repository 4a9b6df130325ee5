"""The advice of a gain run: use synthetic images, and how many, or what to use in their place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from downstream.arms.policy import policy_of
from downstream.comparison import FEWEST_FOR_A_CLAIM, LEVEL
from downstream.metrics import POINTS, Metric, metric_of
from pipelines.gain.budget import CUT
from pipelines.gain.rehearsal import rehearsal_verdict
from pipelines.report.page import in_a_row, limit_words

Row = Mapping[str, Any]
FIRST = ("factored", "synthetic+classical", "synthetic")
"""Which arm the advice is about where ``auto`` mixes nothing in: these, then the run's own."""
FEWEST_FOR_ADVICE = 3
HIGHEST = "the highest mean without a generator"
WIDE = 0.1
"""An interval that reaches as far on either side of zero, in shares, tells nothing."""


def verdict(
    result: Mapping[str, Any], baselines: Sequence[str], picked: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """Advice in one sentence, and the comparisons it rests on, one per line.

    It goes by one arm, the first of ``auto`` (if its policy uses a generator), ``FIRST`` and the
    run's own policies that was compared with a baseline. Synthetic images, or labels from a
    generator, are advised if this arm is better than every baseline, and than the arms without a
    generator that have the highest mean on the scored images; else the baseline that it did worst
    against is. "Better" means that the whole 95 % interval, over replicates and test images, lies
    on that side of zero and that this outlasts the correction for the number of comparisons.

    Args:
        result: ``comparisons``, ``policy``, ``mixtures``, ``replicates``, ``scored_on``, ``metric``
            and ``highest_means`` of gain.json; files without the last one keep their verdict.
        baselines: The strongest arms without a generator: the one without and the one with the
            pool.
        picked: Of those that are the strongest by the scored images, of how many arms: being
            behind one decides if it outlasts a correction for their number too (Bonferroni).

    Returns:
        ``light``: green if a generator is advised, red if its arm is worse than a baseline, amber
        if neither was shown; ``advice`` and ``lines``. What a rehearsal showed comes first.
    """
    metric = metric_of(result["metric"])
    rows = {(row["arm"], row["baseline"]): row for row in result["comparisons"]}
    lead = _lead(_best_set_first(result, rows, baselines, metric), rows, baselines)
    about = [rows[lead, base] for base in baselines if (lead, base) in rows]
    lines = [_line(row, metric) for row in about]
    highest = [(lead, base) for base in _highest(result, baselines) if (lead, base) in rows]
    for pair in highest:
        lines.append(f"{_line(rows[pair], metric)}; {pair[1]} has {HIGHEST}")
    for pair in _others(baselines):
        if pair in rows and pair not in highest and rows[pair] not in about:
            lines.append(_line(rows[pair], metric))
    if result["policy"] is not None:
        lines.append(f"auto is: {result['policy']['name']}")
    lines.append(_caution(result))
    light, advice = _advice(result, about, rows, baselines, picked or {}, metric)
    rehearsal = (result["policy"] or {}).get("rehearsal")
    sets = {}
    for one in result.get("outside", ()):
        about = [rows[one["lead"], base] for base in baselines if (one["lead"], base) in rows]
        _, sets[one["name"]] = _advice(result, about, rows, baselines, picked or {}, metric)
    lines = [*(f"{name}: {words}" for name, words in sets.items() if len(sets) > 1), *lines]
    if rehearsal is None:
        found = {"light": light, "advice": advice, "lines": lines}
        return found | ({"sets": sets} if sets else {})
    # What hidden combinations showed is all that a user without photos of the missing ones has.
    told = rehearsal_verdict(rehearsal)
    if light == "red" and told["light"] == "green":
        told["light"] = "amber"  # hidden combinations say one thing, scored images another
    leading = [rows[lead, base] for base in baselines if (lead, base) in rows]
    return told | {"lines": [*told["lines"], _beside_rehearsal(light, advice, leading), *lines]}


def _beside_rehearsal(light: str, advice: str, about: Sequence[Row]) -> str:
    """What the scored images say, as evidence: beside the finding on hidden combinations a second
    recommendation would only confuse.
    """
    undecided = [row for row in about if row["outcome"] == "undecided"]
    if light != "amber" or not undecided:
        return advice
    return f"The images scored here leave it undecided.{_needed(undecided[0])}"


def _best_set_first(
    result: Mapping[str, Any],
    rows: Mapping[tuple[str, str], Row],
    baselines: Sequence[str],
    metric: Metric,
) -> dict[str, Any]:
    """The result with its sets of another generator's images in the order of what they add at
    least; that the best of several is taken is allowed for by Holm's correction.
    """
    sign = 1.0 if metric.higher_is_better else -1.0

    def least(one: Mapping[str, Any]) -> float:
        gains = [
            rows[one["lead"], base]["delta"] for base in baselines if (one["lead"], base) in rows
        ]
        return min((sign * float(gain) for gain in gains), default=float("-inf"))

    return {**result, "outside": sorted(result.get("outside", ()), key=least, reverse=True)}


def _others(baselines: Sequence[str]) -> list[tuple[str, str]]:
    pairs = [("synthetic", "real"), ("synthetic", "smote"), ("synthetic+classical", "replay")]
    for base in baselines:
        pairs.append(("auto", base))
    return pairs


def leading(
    policy: Mapping[str, Any] | None, sets: Sequence[str], mixtures: Iterable[str]
) -> list[str]:
    """The arms that the advice may be about, in their order; parts of gain.json, with the arm that
    leads each set.
    """
    uses = policy is not None and policy_of(policy).uses_synthetic
    return [*(["auto"] if uses else []), *sets, *FIRST, *mixtures]


def _lead(
    result: Mapping[str, Any], rows: Mapping[tuple[str, str], Row], baselines: Sequence[str]
) -> str:
    sets = [one["lead"] for one in result.get("outside", ())]
    for arm in leading(result["policy"], sets, result["mixtures"]):
        for base in baselines:
            if (arm, base) in rows:
                return str(arm)
    return ""


def _advice(
    result: Mapping[str, Any],
    about: Sequence[Row],
    rows: Mapping[tuple[str, str], Row],
    baselines: Sequence[str],
    picked: Mapping[str, int],
    metric: Metric,
) -> tuple[str, str]:
    """The light and at most two sentences."""
    if not about:
        names = in_a_row([f"`{base}`" for base in baselines], "or") or "a baseline"
        return "amber", (
            f"No recommendation: none of the arms that ran uses synthetic images and was compared "
            f"with {names} (add `synthetic+classical`)."
        )
    if result["replicates"] < FEWEST_FOR_ADVICE:
        few = f"{result['replicates']} replicates are too few; run 3 or more."
        return "amber", f"No recommendation: {few}"
    sign = 1.0 if metric.higher_is_better else -1.0

    ranked = sorted(about, key=lambda row: sign * float(row["delta"]))
    arm = about[0]["arm"]
    what = _what(result, arm)
    # A row that is clearly behind decides, then one that is open: a baseline that was beaten is
    # named only where all of them were.
    behind = [
        row
        for row in ranked
        if row["outcome"] == "worse" and row["p_holm"] * picked.get(row["baseline"], 1) < LEVEL
    ]
    if behind:
        return "red", f"Use `{behind[0]['baseline']}`: it is better than {what}."
    not_beaten = [row for row in ranked if row["outcome"] != "better"]
    if not_beaten:
        first = not_beaten[0]
        if _tells_nothing(first, metric):
            low, high = (metric.unit.signed(end) for end in first["ci95"])
            return "amber", (
                f"Undecided between `{first['baseline']}` and {what}: {low} to {high} "
                f"{metric.unit.name} are possible.{_needed(first)}"
            )
        advice = f"Use `{first['baseline']}`: no gain from {what} was found.{_needed(first)}"
        return "amber", advice
    highest = _highest(result, baselines)
    if missing := [base for base in [*baselines, *highest] if (arm, base) not in rows]:
        return "amber", f"Undecided: `{arm}` was not compared with {' and '.join(missing)}."
    # Screening may have named a weak rival, which few replicates do not show.
    best = sorted((rows[arm, base] for base in highest), key=lambda row: sign * float(row["delta"]))
    if not_beaten := [row for row in best if row["outcome"] != "better"]:
        first = not_beaten[0]
        return "amber", (
            f"Undecided: {what} did better than `{ranked[0]['baseline']}`, but not clearly better "
            f"than `{first['baseline']}`, {HIGHEST}.{_needed(first)}"
        )
    return (
        "green",
        f"Use {what} ({_mixture(result, arm)}): {_least_gain([*ranked, *best], metric)}.",
    )


def _highest(result: Mapping[str, Any], baselines: Sequence[str]) -> list[str]:
    """The arms with the highest means that are not among the baselines."""
    arms = result.get("highest_means", {}).values()
    return [arm for arm in arms if arm not in baselines]


def _least_gain(rows: Sequence[Row], metric: Metric) -> str:
    """The smallest gain, and over which rival."""
    least = min(rows, key=lambda row: abs(float(row["delta"])))
    return f"{metric.unit.signed(least['delta'])} {metric.unit.name} over `{least['baseline']}`"


def _tells_nothing(row: Row, metric: Metric) -> bool:
    """Whether an open interval is so wide that it speaks for neither side."""
    if metric.unit != POINTS or row["outcome"] != "undecided" or row["ci95"] is None:
        return False
    low, high = row["ci95"]
    return bool(low < -WIDE and high > WIDE)


def _needed(row: Row) -> str:
    if row["outcome"] != "undecided":
        return ""
    if row.get("needed"):
        return f" About {row['needed']} replicates would probably decide it."
    if row.get("limited_by"):
        return f" More replicates would not decide it: the limit is the {limit_words(row)}."
    return ""


def _what(result: Mapping[str, Any], arm: str) -> str:
    """What an arm with a generator uses: its images, labels from it, or images made elsewhere."""
    for one in result.get("outside", ()):
        if arm in one["arms"]:
            return f"the synthetic images of {one['name']}"
    if arm == "auto":
        policy = policy_of(result["policy"])
        if policy.outside:
            return f"the synthetic images of {policy.outside.rpartition(':')[0]}"
        renders = policy.recipe.renders
    else:
        renders = "synthetic" in _mixture(result, arm)
    return "synthetic images" if renders else "labels from a generator"


def _mixture(result: Mapping[str, Any], arm: str) -> str:
    words: str = result["policy"]["name"] if arm == "auto" else result["mixtures"][arm]
    return words


def _line(row: Row, metric: Metric) -> str:
    name = f"{row['arm']} against {row['baseline']}"
    interval, shown = row["ci95"], metric.unit.signed
    if row["delta"] == 0 and interval is not None and set(interval) == {0}:  # auto chose that arm
        return f"{name}: the same in every replicate"
    words = "without a 95 % interval"
    if interval is not None:
        words = f"95 % interval {shown(interval[0])} to {shown(interval[1])}"
    return f"{name}: {shown(row['delta'])} {metric.unit.name} ({words}), {row['outcome']}"


def _caution(result: Mapping[str, Any]) -> str:
    few = ", preliminary" if result["replicates"] < FEWEST_FOR_A_CLAIM else ""
    scored = result["scored_on"]
    where = "test images" if scored == "test" else f"{scored}, which is a screening"
    cut = result.get("setup", {}).get(CUT)
    short = f", trained with {cut} of the steps to fit the budget" if cut else ""
    return f"{result['replicates']} replicates{few}, {where}{short}"
