"""A synthetic set of combinations as a picture: a matrix of classes and conditions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from augmentor.common.atomic_files import write_bytes
from augmentor.common.types import LabelledImages
from augmentor.data.combinations import Combinations, combinations_of
from augmentor.data.fingerprint import to_uint8
from augmentor.data.remote_folder import RemoteFolder
from augmentor.data.synthetic_store import CONTACT_SHEET, read_set
from pipelines.report.pictures import png_bytes

MOST_ROWS, MOST_COLUMNS, LONGEST_NAME = 24, 24, 48
LEAST_TILE, FRAME, GAP, MARGIN, FONT_SIZE = 40, 4, 4, 10, 13
PAPER, INK, EMPTY, RENDERED = (255, 255, 255), (40, 40, 40), (225, 225, 225), (214, 96, 0)

LEGEND = "bare: a photo; corner: a photo, and rendered ones added; frame: rendered, no photo."


@dataclass(frozen=True)
class Cell:
    """One combination.

    Args:
        image: What is shown, (C, H, W) in [-1, 1]; None for an even tile.
        real: Whether there are photos of it.
        rendered: Whether the set has images of it.
    """

    image: Tensor | None
    real: bool
    rendered: bool


def write_matrix(
    folder: Path | str, seen: LabelledImages, pictures: LabelledImages | None
) -> Path | str:
    """Draw one image of every combination: a photo where there is one, else a rendered image in a
    frame. A photo whose combination was filled up has a coloured corner.

    Many classes or conditions are shortened to some at even distances.

    Args:
        folder: Folder of a finished set of combinations, or its URL.
        seen: Classes and conditions of the training images.
        pictures: The training images themselves; where they are not at hand a combination with
            photos is an even tile.

    Returns:
        Path or URL of the picture, beside that folder. Equal sets give equal bytes.
    """
    combinations = combinations_of(seen)
    rendered = read_set(folder, verify=False, per_class=len(combinations.bins)).images
    picture = matrix_of(
        combinations, firsts(combinations, pictures), firsts(combinations, rendered)
    )
    return lay_beside(folder, picture)


def sheet_path(folder: Path | str) -> Path | str:
    """Where the contact sheet of a set lies: beside its folder, ``SET.contact_sheet.png``.

    Inside it, timm would take the picture for an image of one more class, and Hugging Face's
    ``load_dataset("imagefolder")`` would give up all labels.
    """
    if isinstance(folder, str):
        return f"{folder}.{CONTACT_SHEET}"
    named = folder if folder.name not in ("", "..") else folder.resolve()
    return named.with_name(f"{named.name}.{CONTACT_SHEET}")


def lay_beside(folder: Path | str, picture: Image.Image) -> Path | str:
    """Write the contact sheet of a set beside its folder, and drop one that an earlier version left
    inside.

    Returns:
        Path or URL of the picture.
    """
    path = sheet_path(folder)
    if isinstance(folder, str) or isinstance(path, str):
        parent, _, name = str(path).rpartition("/")
        RemoteFolder(parent).write(name, png_bytes(picture))
        return path
    write_bytes(path, png_bytes(picture))
    (folder / CONTACT_SHEET).unlink(missing_ok=True)
    return path


def matrix_of(
    combinations: Combinations, photos: dict[int, Tensor], made: dict[int, Tensor]
) -> Image.Image:
    """The matrix of photos and rendered images, by the numbers of their combinations."""
    rows, columns = shown_of(combinations)
    cells = []
    for row in rows:
        cells.append([_cell(combinations, photos, made, row, column) for column in columns])
    names = [combinations.classes[row] for row in rows]
    occurring = int(combinations.occurring.sum())
    of = (
        f"{len(rows)} of {len(combinations.classes)} classes, "
        f"{len(columns)} of {occurring} conditions"
    )
    return draw_matrix(cells, names, [combinations.bins.names[i] for i in columns], of)


def shown_of(combinations: Combinations) -> tuple[list[int], list[int]]:
    """The classes and the occurring conditions that a matrix shows."""
    bins = combinations.occurring.nonzero().flatten().tolist()
    return some_of(len(combinations.classes), MOST_ROWS), [
        bins[i] for i in some_of(len(bins), MOST_COLUMNS)
    ]


def draw_matrix(
    cells: list[list[Cell]], row_names: list[str], column_names: list[str], note: str
) -> Image.Image:
    """The picture, RGB: a row per class, a column per condition, a legend below."""
    sides = (len(c.image[0]) for row in cells for c in row if c.image is not None)
    side = next(sides, LEAST_TILE)  # the photos may not be at hand, and nothing be rendered
    factor = max(1, -(-LEAST_TILE // side))
    pitch, font = side * factor + GAP, _font()
    row_names, column_names = _drawable(row_names), _drawable(column_names)
    left = MARGIN + 8 + int(max(font.getlength(name) for name in row_names))
    top = MARGIN + 8 + int(max(font.getlength(name) for name in column_names))
    legend = f"{LEGEND} {note}"
    width = max(left + pitch * len(column_names), MARGIN + int(font.getlength(legend)))
    bottom = top + pitch * len(row_names)
    picture = Image.new("RGB", (width + MARGIN, bottom + FONT_SIZE + 2 * MARGIN), PAPER)
    draw = ImageDraw.Draw(picture)
    for column, name in enumerate(column_names):
        _write_upwards(picture, name, left + column * pitch + pitch // 2, top - 6, font)
    for row, name in enumerate(row_names):
        y = top + row * pitch
        draw.text((left - 6, y + pitch // 2), name, INK, font, anchor="rm")
        for column, cell in enumerate(cells[row]):
            picture.paste(_tile(cell, side * factor), (left + column * pitch, y))
    draw.text((MARGIN, bottom + MARGIN), legend, INK, font)
    return picture


def some_of(count: int, most: int) -> list[int]:
    """Up to ``most`` of the numbers below ``count``, at even distances."""
    kept: list[int] = torch.linspace(0, count - 1, min(count, most)).round().long().tolist()
    return kept


def firsts(combinations: Combinations, images: LabelledImages | None) -> dict[int, Tensor]:
    """The first image of every combination that has one."""
    if images is None or images.condition is None:
        return {}
    first: dict[int, int] = {}
    for index, number in enumerate(combinations.of(images).tolist()):
        first.setdefault(number, index)
    return {number: images.x[index] for number, index in first.items()}


def _cell(
    combinations: Combinations,
    photos: dict[int, Tensor],
    made: dict[int, Tensor],
    row: int,
    column: int,
) -> Cell:
    number = row * len(combinations.bins) + column
    real = bool(combinations.counts[row, column] > 0)
    image = photos.get(number) if real else made.get(number)
    return Cell(image, real, number in made)


def _tile(cell: Cell, side: int) -> Image.Image:
    tile = Image.new("RGB", (side, side), EMPTY)
    if cell.image is not None:
        pixels = to_uint8(cell.image[None])[0].expand(3, -1, -1).permute(1, 2, 0).contiguous()
        picture = Image.fromarray(pixels.numpy())
        tile = picture.resize((side, side), Image.Resampling.NEAREST)
    draw = ImageDraw.Draw(tile)
    if cell.rendered and not cell.real:
        draw.rectangle((0, 0, side - 1, side - 1), outline=RENDERED, width=FRAME)
    elif cell.rendered:
        draw.polygon([(side, 0), (side - side // 4, 0), (side, side // 4)], RENDERED)
    return tile


def _write_upwards(
    picture: Image.Image, text: str, x: int, bottom: int, font: ImageFont.FreeTypeFont
) -> None:
    strip = Image.new("RGB", (int(font.getlength(text)) + 2, FONT_SIZE + 6), PAPER)
    ImageDraw.Draw(strip).text((0, FONT_SIZE), text, INK, font, anchor="ls")
    upright = strip.rotate(90, expand=True)
    picture.paste(upright, (x - upright.width // 2, bottom - upright.height))


def _drawable(names: list[str]) -> list[str]:
    """Names on one line, cut; half surrogates, which no font can draw, replaced."""
    short = []
    for name in names:
        line = " ".join(name.encode("utf-8", "replace").decode().split())
        short.append(line if len(line) <= LONGEST_NAME else line[: LONGEST_NAME - 1] + "…")
    return short


def _font() -> ImageFont.FreeTypeFont:
    import matplotlib

    # It brings a font that knows more scripts than Pillow's own.
    file = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    return ImageFont.truetype(file, FONT_SIZE)
