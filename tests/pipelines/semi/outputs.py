"""Outputs of made-up methods with the errors asked for."""

from __future__ import annotations

import torch

from downstream.metrics import Outputs

IMAGES = 200


def outputs(error: float, shift: int = 0) -> Outputs:
    """Of two classes; so large a part of the images, from number ``shift`` on, is wrong."""
    y = torch.arange(IMAGES) % 2
    wrong = (torch.arange(IMAGES) + shift) % IMAGES < round(error * IMAGES)
    return Outputs.of_predictions(torch.where(wrong, 1 - y, y), y, 2)


def of_methods(
    errors: dict[str, dict[int, list[float]]],
) -> dict[str, dict[int, list[Outputs]]]:
    """One per error asked for."""
    return {
        name: {n: [outputs(error) for error in own] for n, own in found.items()}
        for name, found in errors.items()
    }
