"""Thumbnails of images to look through: one sheet of pixels per origin, and what each tile is."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

COLUMNS = 32
"""Thumbnails side by side in a sheet."""
LOSSLESS = 1_000_000
"""Pixels of the largest sheet that is stored without loss; photos take ten times their room so."""
MOST_VALUES, MOST_IMAGES = 8_000_000, 1_200
"""Of one origin, so that a page stays small enough to send."""


@dataclass(frozen=True)
class Shown:
    """Images of one origin.

    Args:
        origin: What readers call it, such as ``real`` or ``rendered``.
        x: Images (N, C, H, W) in [-1, 1], C 1 or 3.
        y: Classes, int64 (N,).
        condition: Numbers of conditions, int64 (N,), -1 where unknown; None without conditions.
        confidence: What a classifier of real images gives the class, (N,) in [0, 1]; None where
            none was asked.
        agrees: Whether that classifier names the class, bool (N,); None likewise.
        near: Numbers of the nearest images of the origin ``training``, int64 (N, k), nearest
            first; None where they are not known.
        distances: To them, (N, k).
        listed: Whether readers look through them; others are only shown as neighbours.
    """

    origin: str
    x: Tensor
    y: Tensor
    condition: Tensor | None = None
    confidence: Tensor | None = None
    agrees: Tensor | None = None
    near: Tensor | None = None
    distances: Tensor | None = None
    listed: bool = True


@dataclass(frozen=True)
class Explorer:
    """A card to look through images by origin, class and condition."""

    macro: ClassVar = "explorer"
    title: str
    lead: str
    sheets: Sequence[dict[str, Any]]
    data: dict[str, Any]


def explorer(
    title: str,
    lead: str,
    shown: Sequence[Shown],
    classes: Sequence[str],
    conditions: Sequence[str] = (),
    photos: Sequence[Sequence[int]] = (),
) -> Explorer:
    """The card of images of several origins.

    Args:
        title: Of the card.
        lead: What a reader should know of them.
        shown: The origins; those without images are left out.
        classes: Names of classes.
        conditions: Names of conditions.
        photos: Training images by class and condition, to mark combinations without any.
    """
    full = [one for one in shown if len(one.x)]
    data = {
        "classes": list(classes),
        "conditions": list(conditions),
        "photos": [list(row) for row in photos],
        "size": list(full[0].x.shape[:1:-1]) if full else [1, 1],
        "origins": [_described(one) for one in full],
    }
    sheets = []
    for one in full:
        sheet = sheet_of(one.x)
        sheets.append(sheet | {"alt": f"{len(one.x)} images: {one.origin}", "listed": one.listed})
    return Explorer(title, lead, sheets, data)


def few_of(groups: Tensor, values: int) -> Tensor:
    """Numbers of images to show, int64 (M,): equally many of every group, the first ones.

    Args:
        groups: Of every image, int64 (N,).
        values: Of one image.
    """
    most = max(1, min(MOST_IMAGES, MOST_VALUES // values))
    _, place, counts = torch.unique(groups, return_inverse=True, return_counts=True)
    order = torch.argsort(place, stable=True)
    begun = torch.cumsum(counts, 0) - counts
    rank = torch.empty_like(place)
    rank[order] = torch.arange(len(groups)) - begun.repeat_interleave(counts)
    return torch.argsort(rank, stable=True)[:most].sort().values


def sheet_of(x: Tensor) -> dict[str, Any]:
    """Images in rows of ``COLUMNS`` without gaps, as ``uri``, ``width`` and ``height``.

    Args:
        x: Images (N, C, H, W) in [-1, 1], N at least 1.
    """
    count, channels, height, width = x.shape
    columns = min(COLUMNS, count)
    rows = -(-count // columns)
    pixels = ((x.float().cpu().clamp(-1, 1) + 1) * 127.5).round().nan_to_num().to(torch.uint8)
    sheet = np.zeros((rows * height, columns * width, channels), dtype=np.uint8)
    for number, tile in enumerate(pixels.permute(0, 2, 3, 1).numpy()):
        row, column = divmod(number, columns)
        sheet[row * height : (row + 1) * height, column * width : (column + 1) * width] = tile
    picture = Image.fromarray(sheet[..., 0] if channels == 1 else sheet)
    return {"uri": _uri(picture), "width": picture.width, "height": picture.height}


def _uri(picture: Image.Image) -> str:
    buffer, lossless = io.BytesIO(), picture.width * picture.height <= LOSSLESS
    if lossless:
        picture.save(buffer, format="PNG", optimize=True)
    else:
        picture.save(buffer, format="WEBP", quality=90)
    kind = "png" if lossless else "webp"
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def _described(one: Shown) -> dict[str, Any]:
    """What the script of the page knows of every tile of an origin."""
    found: dict[str, Any] = {
        "name": one.origin,
        "listed": one.listed,
        "columns": min(COLUMNS, len(one.x)),
        "y": one.y.tolist(),
    }
    if one.condition is not None:
        found["condition"] = one.condition.tolist()
    if one.confidence is not None and one.agrees is not None:
        found["percent"] = (100 * one.confidence).round().int().tolist()
        found["agrees"] = one.agrees.int().tolist()
    if one.near is not None and one.distances is not None:
        found["near"] = one.near.tolist()
        found["distances"] = [[round(d, 3) for d in row] for row in one.distances.tolist()]
    return found
