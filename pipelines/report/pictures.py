"""Grids of images as pictures: rows with names, small images enlarged without blur."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

_LEAST_TILE = 48
_GAP, _GROUP_GAP, _MARGIN = 3, 14, 10
_FONT_SIZE, _LONGEST_NAME = 14, 28
_PAPER, _INK = (255, 255, 255), (40, 40, 40)


def sample_grid(
    images: Sequence[Tensor] | Tensor,
    row_names: Sequence[str],
    *,
    column_names: Sequence[str] = (),
    group: int = 0,
) -> Image.Image:
    """Draw one row of images per name; small images are enlarged by a whole factor, pixel by pixel.

    Args:
        images: K rows, each (n, C, H, W) in [-1, 1] with C 1 or 3; a (K, n, C, H, W) tensor will
            do. Rows may differ in length; images must not differ in size.
        row_names: K names to write beside the rows; long ones are cut.
        column_names: Names to write above the columns, or none.
        group: Leave a wider gap after this many columns; 0 for even gaps.

    Returns:
        An RGB picture. The same input gives the same picture.

    Raises:
        ValueError: If rows are missing, a row is not (n, C, H, W), sizes differ, or the names are
            not as many as rows.
    """
    rows = list(images)
    _require_rows(rows, row_names)
    layout = _layout(rows, row_names, column_names, group)
    picture = Image.new("RGB", layout.size, _PAPER)
    draw = ImageDraw.Draw(picture)
    for column, name in enumerate(column_names):
        draw.text(
            (layout.x(column) + layout.width // 2, layout.top - 4),
            name,
            _INK,
            layout.font,
            anchor="ms",
        )
    for row, (tiles, name) in enumerate(zip(rows, row_names, strict=True)):
        middle = layout.y(row) + layout.height // 2
        draw.text((layout.left - 8, middle), _shortened(name), _INK, layout.font, anchor="rm")
        for column, tile in enumerate(tiles):
            picture.paste(_tile(tile, layout.factor), (layout.x(column), layout.y(row)))
    return picture


def class_rows(x: Tensor, y: Tensor, classes: Sequence[int], n: int) -> list[Tensor]:
    """The first ``n`` images of each class, as rows for ``sample_grid``.

    Args:
        x: Images, shape (N, C, H, W).
        y: Class indices, int64 (N,).
        classes: Which classes, in the order wanted.
        n: Images of a class; a class with fewer gives a shorter row.

    Returns:
        One tensor (up to n, C, H, W) per class.
    """
    return [x[y == index][:n] for index in classes]


def png_bytes(picture: Image.Image) -> bytes:
    """A picture as the bytes of a PNG file."""
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def packed(x: Tensor) -> str:
    """Images side by side as a PNG in base64, to stand in a JSON file; ``unpacked`` is the way
    back.

    Args:
        x: Square images, shape (N, C, H, H) in [-1, 1], C 1 or 3, N at least 1.
    """
    pixels = (
        ((x.detach().float().cpu() + 1) * 127.5).round().clamp(0, 255).nan_to_num().to(torch.uint8)
    )
    strip = torch.cat(list(pixels), dim=2).permute(1, 2, 0).numpy()
    return base64.b64encode(
        png_bytes(Image.fromarray(strip[..., 0] if strip.shape[2] == 1 else strip))
    ).decode("ascii")


def unpacked(text: str) -> Tensor:
    """Images (N, C, H, H) in [-1, 1] that ``packed`` made into text; equal to the originals up to 8
    bits.
    """
    with Image.open(io.BytesIO(base64.b64decode(text))) as picture:
        strip = torch.from_numpy(np.array(picture, dtype=np.float32)) / 127.5 - 1
    strip = strip[None] if strip.ndim == 2 else strip.permute(2, 0, 1)
    return torch.stack(torch.split(strip, strip.shape[1], dim=2))


@dataclass(frozen=True)
class _Layout:
    factor: int
    width: int
    height: int
    left: int
    top: int
    rows: int
    columns: int
    group: int
    font: ImageFont.FreeTypeFont

    def x(self, column: int) -> int:
        wide_gaps = column // self.group if self.group else 0
        return self.left + column * (self.width + _GAP) + wide_gaps * (_GROUP_GAP - _GAP)

    def y(self, row: int) -> int:
        return self.top + row * (self.height + _GAP)

    @property
    def size(self) -> tuple[int, int]:
        return self.x(max(self.columns - 1, 0)) + self.width + _MARGIN, self.y(
            self.rows - 1
        ) + self.height + _MARGIN


def _layout(
    rows: list[Tensor], row_names: Sequence[str], column_names: Sequence[str], group: int
) -> _Layout:
    height, width = rows[0].shape[-2:]
    factor = max(1, -(-_LEAST_TILE // height))
    font = ImageFont.truetype(_font_file(), _FONT_SIZE)
    longest = max(font.getlength(_shortened(name)) for name in row_names)
    return _Layout(
        factor=factor,
        width=width * factor,
        height=height * factor,
        left=_MARGIN + (int(longest) + 9 if longest else 0),
        top=_MARGIN + (_FONT_SIZE + 4 if column_names else 0),
        rows=len(rows),
        columns=max([len(column_names), *(len(row) for row in rows)]),
        group=group,
        font=font,
    )


def _font_file() -> Path:
    import matplotlib

    # It brings a font that knows more scripts than Pillow's own.
    return Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"


def _shortened(name: str) -> str:
    one_line = " ".join(name.split())
    return one_line if len(one_line) <= _LONGEST_NAME else one_line[: _LONGEST_NAME - 1] + "…"


def _tile(image: Tensor, factor: int) -> Image.Image:
    pixels = (
        ((image.detach().float().cpu() + 1) * 127.5)
        .round()
        .clamp(0, 255)
        .nan_to_num()
        .to(torch.uint8)
    )
    array = pixels.expand(3, -1, -1).permute(1, 2, 0).numpy()
    tile = Image.fromarray(array)
    return tile.resize((tile.width * factor, tile.height * factor), Image.Resampling.NEAREST)


def _require_rows(rows: list[Tensor], row_names: Sequence[str]) -> None:
    if not rows or len(rows) != len(row_names):
        raise ValueError(
            f"need as many names as rows and at least one row, got {len(rows)} rows, "
            f"{len(row_names)} names"
        )
    if any(row.ndim != 4 or row.shape[1] not in (1, 3) for row in rows):
        raise ValueError(
            f"every row must be (n, 1 or 3, H, W), got {[tuple(row.shape) for row in rows]}"
        )
    if len({row.shape[1:] for row in rows}) > 1:
        raise ValueError(f"images differ in size: {sorted({tuple(row.shape[1:]) for row in rows})}")
