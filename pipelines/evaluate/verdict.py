"""What an evaluation comes to: may a classifier learn from these images, and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from downstream.metrics import POINTS
from pipelines.generators.compared import Section
from pipelines.generators.findings import spoiling, summary
from pipelines.report.cards import Light

FAR_BEHIND = 0.1
"""Behind real images by this much, of what is at most 1, a number is called far behind."""
LIGHTS: Mapping[Light, str] = {
    "green": "Close to real images",
    "amber": "Behind real images",
    "red": "Not fit to train with",
}


def verdict(result: Section) -> dict[str, Any]:
    """Whether the images may teach a classifier, in one sentence, and what that rests on.

    Args:
        result: ``metrics`` and ``warnings`` of evaluate.json.

    Returns:
        ``light``: red if a warning says that the images are not what they should be, amber if
        another warning stands or a number is far behind that of real images, or else green;
        ``advice``, one sentence; ``lines``, the evidence.
    """
    made, real = (summary(result["metrics"], row) for row in ("generated", "real"))
    told = _sentences(made, real)
    behind = [words for key, words in told.items() if made[key] < real[key] - FAR_BEHIND]
    spoilt, others = spoiling(result["warnings"]), result["warnings"]
    light: Light = "red" if spoilt else "amber" if behind or others else "green"
    if spoilt:
        advice = f"Do not train with these images: {spoilt[0]}."
    elif behind:
        advice = f"These images fall behind real ones: {behind[0]}."
    elif others:
        advice = f"Read this with care: {others[0]}."
    else:
        advice = f"These images come close to real ones: {told['top1']}."
    lines = [words for words in told.values() if words not in advice]
    lines.append("whether they help beside the real images, augmentor gain tells")
    return {"light": light, "advice": advice, "lines": lines}


def _sentences(made: Section, real: Section) -> dict[str, str]:
    """What the main numbers say, in words; those that too few images give are left out."""
    forms = {
        "top1": "a judge finds the class asked for in {} of them (real test images {})",
        "recall": "they cover {} of the real test images (real training images {})",
        "cas": "a classifier that learned from them alone knows {} of real test images (from "
        "real training images {})",
    }
    told = {}
    for key, form in forms.items():
        if made[key] is not None and real[key] is not None:
            told[key] = form.format(POINTS.shown(made[key]), POINTS.shown(real[key]))
    return told
