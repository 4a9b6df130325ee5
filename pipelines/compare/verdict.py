"""What a comparison of families comes to: which family leads by which number, and what speaks
against it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from downstream.metrics import POINTS
from pipelines.generators.findings import spoiling
from pipelines.report.page import in_a_row

Row = Mapping[str, Any]

ORDERS = {"top1": True, "inception_score": True, "fid": False, "recall": True, "cas": True}
"""The columns that order rows, and whether more is better."""
OF_THE_JUDGE = "weak judge"
"""How the warning begins that is about the judge and so about every row."""
PAPER = ("cvae", "cgan", "fm_cgan", "cvae_gan")
"""The order of Bao et al. 2017, arXiv:1703.10155, table 2, the worst first."""
LEADS = {
    "fid": "nearest to real images: {name}, FID {value} (real data {real})",
    "recall": "covers most of them: {name}, recall {value} (real data {real})",
    "cas": "teaches a classifier best: {name}, {value} on real test images (real data {real})",
}
NAMED_WARNINGS = 3
NORMAL = 1.96
"""Standard errors of a 95 % interval."""


def order_of(rows: Mapping[str, Row]) -> dict[str, list[str]]:
    """Rows at equal budget, the best first, by each of ``ORDERS``, whatever their warnings.

    Args:
        rows: ``families`` of compare.json. Rows at another budget, without numbers, or of fewer
            samples are left out.
    """
    found = {}
    for key, more_is_better in ORDERS.items():
        known = [name for name, row in rows.items() if _comparable(row) and row[key] is not None]
        found[key] = sorted(known, key=lambda name: float(rows[name][key]), reverse=more_is_better)
    return found


def leaders(result: Mapping[str, Any]) -> dict[str, str]:
    """The best row at equal budget by each of ``ORDERS`` among those that no warning rules out.

    Args:
        result: ``families`` and ``order`` of compare.json.
    """
    found = {}
    for key, names in result["order"].items():
        sound = [name for name in names if not spoiling(result["families"][name]["warnings"])]
        if sound:
            found[key] = sound[0]
    return found


def verdict(result: Mapping[str, Any]) -> dict[str, Any]:
    """Which family most often renders the class asked for, and what else a choice rests on.

    A row with a warning that it ignores the label, has collapsed or copies training images leads by
    nothing; where its number is the best, a line says why it is passed over.

    Args:
        result: ``real``, ``families`` and ``order`` of compare.json.

    Returns:
        ``light``: green if a family leads and has no warning, amber if it has one or shares the
        lead, red if none can be recommended; ``advice``, one sentence; ``lines``, the reasons and
        cautions.
    """
    first = leaders(result)
    lines = _lead_lines(result, first) + _passed_over(result, first)
    lines += _beside(result) + _cautions(result, first)
    return {"light": _light(result, first), "advice": _advice(result, first), "lines": lines}


def _light(result: Mapping[str, Any], first: Mapping[str, str]) -> str:
    if "top1" not in first:
        return "red"
    warned = bool(result["families"][first["top1"]]["warnings"])
    return "amber" if warned or _beside_leader(result, first["top1"]) else "green"


def paper_order(result: Mapping[str, Any]) -> str:
    """The paper's four families from the worst top-1 to the best; empty unless all four were
    compared.
    """
    found = [name for name in reversed(result["order"]["top1"]) if name in PAPER]
    if len(found) < len(PAPER):
        return ""
    rows = result["families"]
    shown = " < ".join(f"{name} ({POINTS.shown(rows[name]['top1'])})" for name in found)
    same = "as in the paper" if tuple(found) == PAPER else f"the paper: {' < '.join(PAPER)}"
    return f"By top-1 at equal budget: {shown}; {same}."


def _comparable(row: Row) -> bool:
    return bool(row["equal_budget"]) and "real_at_as_few" not in row


def _advice(result: Mapping[str, Any], first: Mapping[str, str]) -> str:
    if not result["order"]["top1"]:
        return "Nothing to compare: no row at equal budget has numbers."
    if "top1" not in first:
        return (
            "No family at equal budget can be recommended: each of them has a warning; give more "
            "steps, or other options."
        )
    name, real = first["top1"], POINTS.shown(result["real"]["top1"])
    equals = [name, *_beside_leader(result, name)]
    shown = [POINTS.shown(result["families"][one]["top1"]) for one in equals]
    if len(equals) > 1:
        return (
            f"At equal budget {in_a_row(equals)} render the class asked for about equally often: "
            f"top-1 {in_a_row(shown)} (real data {real}), closer than so many samples can tell."
        )
    return (
        f"At equal budget {name} most often renders the class asked for: top-1 {shown[0]} (real "
        f"data {real})."
    )


def _beside_leader(result: Mapping[str, Any], leader: str) -> list[str]:
    """Sound rows at equal budget whose top-1 the samples cannot tell from the leader's."""
    rows = result["families"]
    return [
        name
        for name in result["order"]["top1"]
        if name != leader
        and not spoiling(rows[name]["warnings"])
        and not _apart(rows[leader], rows[name])
    ]


def _apart(first: Row, second: Row) -> bool:
    r"""Whether the 95 % interval of the difference of two top-1 over samples excludes zero.

    .. math:: \tilde p_1 - \tilde p_2 \pm 1.96 \sqrt{\textstyle\sum_j
        \tilde p_j (1 - \tilde p_j) / (n_j + 2)}, \qquad \tilde p = (n p + 1) / (n + 2)

    It is about the samples alone: that another training of a family would differ too, nothing here
    can tell.

    Source:
        Agresti & Caffo 2000, The American Statistician 54, 280-288.
    """
    shares, variance = [], 0.0
    for row in (first, second):
        count = int(row["samples"])
        share = (count * row["top1"] + 1) / (count + 2)
        shares.append(share)
        variance += share * (1 - share) / (count + 2)
    return bool(abs(shares[0] - shares[1]) > NORMAL * math.sqrt(variance))


def _lead_lines(result: Mapping[str, Any], first: Mapping[str, str]) -> list[str]:
    lines = []
    for key, form in LEADS.items():
        real = result["real"][key]
        if key in first and real is not None:
            value = result["families"][first[key]][key]
            shown = [POINTS.shown(one) if key == "cas" else f"{one:.3f}" for one in (value, real)]
            lines.append(form.format(name=first[key], value=shown[0], real=shown[1]))
    return lines


def _passed_over(result: Mapping[str, Any], first: Mapping[str, str]) -> list[str]:
    """Rows that would lead by top-1 but for a warning."""
    lines = []
    for name in result["order"]["top1"]:
        row = result["families"][name]
        if name == first.get("top1"):
            break
        reason = spoiling(row["warnings"])[0]
        lines.append(f"passed over: {name}, top-1 {POINTS.shown(row['top1'])}; {reason}")
    return lines[:NAMED_WARNINGS]


def _beside(result: Mapping[str, Any]) -> list[str]:
    lines = []
    for name, row in result["families"].items():
        if row["equal_budget"] or row["top1"] is None:
            continue
        line = f"beside them, not at equal budget: {name}, top-1 {POINTS.shown(row['top1'])}"
        lines.append("; ".join([line, *spoiling(row["warnings"])[:1]]))
    return lines


def _cautions(result: Mapping[str, Any], first: Mapping[str, str]) -> list[str]:
    """What makes the judge unsure, what speaks against the rows named above, and what one training
    per family cannot tell.
    """
    lines = []
    for name, row in result["families"].items():
        for words in row["warnings"]:
            if words.startswith(OF_THE_JUDGE):
                lines.append(words)
            elif name in first.values():
                lines.append(f"{name}: {words}")
    lines.append("one training per family: small differences may be luck")
    return list(dict.fromkeys(lines))
