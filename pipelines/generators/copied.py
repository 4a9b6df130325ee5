"""How many rendered images are training images, as results hold it and as readers are told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from augmentor.quality.near_copies import CHANGES, Check
from augmentor.quality.training_copies import copies_of_training
from downstream.metrics import POINTS

FEWEST = 2  # training images between which there is a distance
EXAMPLES = 5


def copies_among(seen: Tensor, samples: Tensor, check: Check | None = None) -> dict[str, Any]:
    """Near copies of training images among rendered ones, as JSON values.

    Args:
        seen: All images that the generator learned from, (N, C, H, W).
        samples: Rendered images of their shape, (M, C, H, W).
        check: Called between pieces of work; may raise to stop.

    Returns:
        ``looked_at``, ``found`` and ``false_alarm_rate``; whether they are ``certain``; the first
        ``examples`` with the number of the rendered and of the training image. Empty with fewer
        than two training images.
    """
    if len(seen) < FEWEST or not len(samples):
        return {}
    near = copies_of_training(seen, samples, check)
    rows = zip(near.image.tolist(), near.known.tolist(), near.change, strict=True)
    examples = [
        {"rendered": image, "training": known, "change": change} for image, known, change in rows
    ]
    return {
        "looked_at": near.looked_at,
        "found": len(near),
        "false_alarm_rate": near.false_alarm_rate,
        "certain": near.certain,
        "examples": examples[:EXAMPLES],
    }


def copies_words(copies: Mapping[str, Any]) -> str:
    """One sentence on what ``copies_among`` found, without a full stop."""
    found, looked_at = copies["found"], copies["looked_at"]
    share, chance = POINTS.shown(found / looked_at), POINTS.shown(copies["false_alarm_rate"])
    words = (
        f"{found} of {looked_at} rendered images ({share}) are near copies of training images: the "
        f"same, mirrored, shifted by a pixel, brighter or noisy; about {chance} of images that are "
        "not would count too"
    )
    if not copies["certain"]:
        return words
    first = copies["examples"][0]
    change = "" if first["change"] == CHANGES[0] else f", {first['change']}"
    return (
        f"memorised: {words}. The first is rendered image {first['rendered']}, which is training "
        f"image {first['training']}{change}"
    )
