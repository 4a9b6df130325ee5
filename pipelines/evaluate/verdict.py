"""What an evaluation comes to: may a classifier learn from these images, and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
    light = _light(result, made, real)
    told = (
        f"a judge finds the class asked for in {made['top1']:.1%} of them (real test images "
        f"{real['top1']:.1%})"
    )
    advice = {
        "green": f"These images come close to real ones: {told}.",
        "amber": f"These images fall behind real ones: {told}.",
        "red": f"Do not train with these images: {(spoiling(result['warnings']) or [''])[0]}.",
    }
    return {"light": light, "advice": advice[light], "lines": _lines(made, real)}


def _light(result: Section, made: Section, real: Section) -> Light:
    if spoiling(result["warnings"]):
        return "red"
    behind = any(_far_behind(made[key], real[key]) for key in ("top1", "recall", "cas"))
    return "amber" if behind or result["warnings"] else "green"


def _far_behind(made: float | None, real: float | None) -> bool:
    return made is not None and real is not None and made < real - FAR_BEHIND


def _lines(made: Section, real: Section) -> list[str]:
    lines = [
        f"a classifier that learned from them alone knows {made['cas']:.1%} of real test images "
        f"(from real training images {real['cas']:.1%})"
    ]
    if made["recall"] is not None and real["recall"] is not None:
        lines.append(
            f"variety: they cover {made['recall']:.0%} of the real test images (real training "
            f"images {real['recall']:.0%})"
        )
    lines.append("whether they help beside the real images, augmentor gain tells")
    return lines
