"""Folders of images: finds the files of each class and reads them as square tensors, never
following a link outside.
"""

from __future__ import annotations

import hashlib
import os
import unicodedata
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from augmentor.common.given_files import (
    MOST_IMAGE,
    leads_outside,
    open_given,
    parse_json,
    read_text,
)
from augmentor.common.types import DataError
from augmentor.data.resize import fit_square

SUFFIXES = frozenset(
    {
        *(".png", ".jpg", ".jpeg", ".jfif", ".bmp", ".gif", ".tif", ".tiff"),
        *(".webp", ".ppm", ".pgm", ".pbm"),
    }
)
# A phone's MPO photo opens as JPEG. Pillow's other formats call outside programs (EPS) or are no
# photos.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
RECORD = "given.json"
"""Lies beside images that came from memory, and knows what their folders could not be called."""
MOST_PIXELS = 64_000_000
DARK = 64
"""Images whose brightest value of 0 to 255 is below this one use little of the range: 12 or 14 bits
stored as 16, or 0 to 16 stored as 8.
"""
ORIENTATION, ON_THEIR_SIDE = 0x0112, (5, 6, 7, 8)  # of EXIF, and its values with sides exchanged
GREY_MODES = frozenset({"1", "L", "LA", "La", "I;16", "I;16B", "I;16L", "I;16N"})
COLOUR_MODES = frozenset({"P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV"})


class ImageFileError(Exception):
    """Why a file cannot be used."""


@dataclass(frozen=True)
class BadFile:
    """A file or folder that cannot be used, and why."""

    path: Path
    reason: str

    def __str__(self) -> str:
        return f"{shown(self.path)}: {self.reason}"


@dataclass(frozen=True)
class Header:
    """What an image file says about itself: its mode, and width and height as stored."""

    mode: str
    width: int
    height: int

    @property
    def grey(self) -> bool:
        """Whether the file stores one channel of brightness. Palettes count as colour."""
        return self.mode in GREY_MODES


@dataclass(frozen=True)
class ImageTree:
    """One folder per class.

    Args:
        root: The folder that holds the class folders.
        classes: Names in the order of their folders; position is index. A name is that of the
            folder in NFC spelling, or what the record of images from memory says.
        paths: Image files, class after class, sorted inside a class.
        y: Class index of every path.
        bad: What cannot be used.
        ignored: Files that are not images by their name, and hidden ones.
    """

    root: Path
    classes: tuple[str, ...]
    paths: tuple[Path, ...]
    y: tuple[int, ...]
    bad: tuple[BadFile, ...]
    ignored: int

    def counts(self) -> dict[str, int]:
        """Images per class."""
        counts = dict.fromkeys(self.classes, 0)
        for label in self.y:
            counts[self.classes[label]] += 1
        return counts


def list_tree(root: Path) -> ImageTree:
    """Find the image files of every class folder below ``root``; deeper folders belong to their
    class.

    Hidden folders and files are left out. Links to folders are not followed, and links to files
    only inside ``root``.

    Raises:
        DataError: If ``root`` is missing or unreadable, holds no class folder, or two spellings of
            one name.
    """
    folders, linked = _class_folders(root)
    names = sorted(folders)
    paths: list[Path] = []
    y: list[int] = []
    bad, ignored = linked, 0
    for index, name in enumerate(names):
        found, problems, other = list_images(folders[name], inside=root)
        paths += found
        y += [index] * len(found)
        bad += problems
        ignored += other
    called = _recorded_names(root)
    classes = tuple(called.get(name, name) for name in names)
    return ImageTree(root, classes, tuple(paths), tuple(y), tuple(bad), ignored)


def list_images(folder: Path, inside: Path | None = None) -> tuple[list[Path], list[BadFile], int]:
    """Image files below ``folder`` at any depth, sorted; links must stay below ``inside`` (default:
    ``folder``).

    Returns:
        Files, what cannot be used, and the number of other or hidden files.
    """
    home = (inside or folder).resolve()
    paths: list[Path] = []
    bad: list[BadFile] = []
    ignored = 0
    for path in _walk(folder, bad):
        if path.name.startswith(".") or path.suffix.lower() not in SUFFIXES:
            ignored += 1
        elif problem := file_problem(path, home):
            bad.append(BadFile(path, problem))
        else:
            paths.append(path)
    return sorted(paths), bad, ignored


def file_problem(path: Path, home: Path) -> str | None:
    """Why a file may not be opened, or None: it must be a regular one, and a link must stay below
    ``home``, which is resolved.
    """
    linked = path.is_symlink()
    if linked and leads_outside(path, home):
        return "a link that leads outside the folder"
    if not path.is_file():
        return "a broken link" if linked else "not a regular file"
    return None


def read_header(path: Path | BinaryIO) -> Header:
    """Read mode and size of a file, or of an open one, without decoding the pixels. The size is
    that of the picture as it is meant to be seen.

    Raises:
        ImageFileError: If the file is damaged, huge, animated, or of a mode without a known
            meaning.
    """
    with _opened(path) as image:
        width, height = image.size
        # PNG and others would decode the pixels to look for what they hardly ever say.
        if "exif" in image.info and image.getexif().get(ORIENTATION) in ON_THEIR_SIDE:
            width, height = height, width
        return Header(image.mode, width, height)


def read_pixels(path: Path | BinaryIO, *, grey: bool) -> Tensor:
    """Decode the image of a file, or of an open one, as it is meant to be seen.

    EXIF orientation is applied, transparency is laid on white, palettes and CMYK become RGB, and 16
    bits become 8.

    Returns:
        uint8, shape (1, H, W) if ``grey`` else (3, H, W).

    Raises:
        ImageFileError: As ``read_header``, and if the pixels are cut off.
    """
    with _opened(path) as image:
        return pixels_of(image, grey=grey)


def pixels_of(image: Image.Image, *, grey: bool) -> Tensor:
    """The pixels of an image of Pillow, as ``read_pixels`` gives those of a file.

    Returns:
        uint8, shape (1, H, W) if ``grey`` else (3, H, W).
    """
    upright = ImageOps.exif_transpose(image)
    pixels = np.array(_opaque(_eight_bits(upright)).convert("L" if grey else "RGB"))
    return torch.from_numpy(pixels).reshape(*pixels.shape[:2], -1).permute(2, 0, 1).contiguous()


def read_squares(paths: Sequence[Path], *, size: int, grey: bool) -> tuple[Tensor, list[BadFile]]:
    """Read files as squares.

    Returns:
        uint8 (N, C, size, size) in the order of ``paths``, and what could not be read (left black).
    """
    images = torch.zeros(len(paths), 1 if grey else 3, size, size, dtype=torch.uint8)
    bad: list[BadFile] = []
    for index, path in enumerate(paths):
        try:
            images[index] = fit_square(read_pixels(path, grey=grey)[None], size)[0]
        except ImageFileError as problem:
            bad.append(BadFile(path, str(problem)))
    return images, bad


def hashed_split(tree: ImageTree, fraction: float) -> tuple[list[int], list[int]]:
    """Split every class by a rule that needs no seed: files sorted by the SHA-256 of
    ``<class>/<path in the class>``.

    Args:
        tree: What to split; every class has two images at least.
        fraction: Part of a class, rounded, that comes first; one image at least, and one at least
            is left.

    Returns:
        Indices of the training part and of the test part (the first ``fraction``), each ascending.
    """
    keys = [_split_key(tree, index) for index in range(len(tree.paths))]
    members_of: dict[int, list[int]] = {label: [] for label in range(len(tree.classes))}
    for index, label in enumerate(tree.y):
        members_of[label].append(index)
    train: list[int] = []
    test: list[int] = []
    for unsorted in members_of.values():
        members = sorted(unsorted, key=keys.__getitem__)
        cut = max(1, min(len(members) - 1, round(len(members) * fraction)))
        test += members[:cut]
        train += members[cut:]
    return sorted(train), sorted(test)


def shown(path: Path) -> str:
    """The path as text that any terminal and JSON file can hold, even where its bytes are
    not UTF-8.
    """
    return printable(os.fsencode(path).decode("utf-8", "backslashreplace"))


def printable(text: str) -> str:
    """The text with control characters escaped, so that a name cannot steer the terminal or break a
    line.
    """
    return "".join(repr(c)[1:-1] if unicodedata.category(c) == "Cc" else c for c in text)


def dark_words(example: str, brightest: int) -> str:
    """What is odd about images that use little of the range of their files; empty if nothing is.

    Args:
        example: One of them, for the message.
        brightest: Largest value of all of them, 0 to 255.
    """
    if brightest >= DARK:
        return ""
    return (
        f"images such as {example} are nearly black: the brightest value of all is {brightest} of "
        "255; if 12 bits were stored as 16, or few grey levels as 8, scale them to the full range"
    )


def _is_utf8(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _class_folders(root: Path) -> tuple[dict[str, Path], list[BadFile]]:
    """Class folders by NFC name, and the links in their place: they are not followed."""
    if not root.is_dir():
        raise DataError(f"{shown(root)}: no such folder")
    folders: dict[str, Path] = {}
    linked: list[BadFile] = []
    for path in sorted(entries(root)):
        if path.name.startswith(".") or path.name == "__MACOSX":
            continue
        if path.is_symlink() and (path.is_dir() or not path.exists()):
            what = "a link to a folder is not followed" if path.is_dir() else "a broken link"
            linked.append(BadFile(path, what))
            continue
        if not path.is_dir():
            continue
        name = unicodedata.normalize("NFC", path.name)
        if name in folders:
            raise DataError(
                f"{shown(root)}: two folders spell the class {name!r} in different bytes "
                f"({folders[name].name!a} and {path.name!a}); merge them into one"
            )
        if not _is_utf8(name):
            raise DataError(
                f"{shown(path)}: the name of this class is not UTF-8; rename the folder"
            )
        folders[name] = path
    if not folders:
        written = sorted(path.name for path in entries(root) if path.name.startswith("metadata."))
        unread = f" (a column of labels in {written[0]} is not read)" if written else ""
        raise DataError(
            f"{shown(root)}: holds no class folders; put the images of each class in a folder of "
            f"its own{unread}"
        )
    return folders, linked


def _recorded_names(root: Path) -> dict[str, str]:
    """Class names by folder, as the record of images from memory has them, such as ``and/or`` by
    ``and_or``; none without a record.
    """
    for file in (root / RECORD, root.parent / RECORD):
        if not file.is_file():
            continue
        try:
            folders = parse_json(read_text(file))["classes"]
            return {str(folder): str(name) for name, folder in folders.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}  # a file of the user's that happens to have this name
    return {}


def entries(folder: Path) -> list[Path]:
    """What lies in a folder, in no order.

    Raises:
        DataError: If it cannot be read.
    """
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise DataError(f"{shown(folder)}: cannot be read: {error.strerror}") from error


def _walk(folder: Path, bad: list[BadFile]) -> Iterator[Path]:
    """All files below ``folder``; folders that cannot be entered are added to ``bad``."""

    def failed(error: OSError) -> None:
        bad.append(BadFile(Path(os.fsdecode(error.filename)), f"cannot be read: {error.strerror}"))

    for where, folders, files in os.walk(folder, onerror=failed):
        here = Path(where)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        linked = [here / name for name in folders if (here / name).is_symlink()]
        bad += [BadFile(path, "a link to a folder is not followed") for path in linked]
        yield from (here / name for name in sorted(files))


@contextmanager
def _opened(path: Path | BinaryIO) -> Iterator[Image.Image]:
    """A checked image; whatever goes wrong in the block becomes an ``ImageFileError``."""
    try:
        with warnings.catch_warnings():
            # Damaged metadata only warns; the pixels are what counts here.
            warnings.simplefilter("ignore")
            with _file_of(path) as file, Image.open(file, formats=FORMATS) as image:
                _check(image)
                yield image
    except ImageFileError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageFileError(f"more than {MOST_PIXELS // 10**6} million pixels") from error
    except UnidentifiedImageError as error:
        raise ImageFileError("not an image, or damaged at the start") from error
    except Exception as error:  # Pillow's decoders raise a dozen types on damaged files.
        raise ImageFileError(f"damaged: {error or type(error).__name__}") from error


def _file_of(path: Path | BinaryIO) -> AbstractContextManager[BinaryIO]:
    """The file of a path, which is closed afterwards, or one that is open, which stays so."""
    return open_given(path, MOST_IMAGE) if isinstance(path, Path) else nullcontext(path)


def _check(image: Image.Image) -> None:
    if image.width * image.height > MOST_PIXELS:
        raise ImageFileError(
            f"{image.width}x{image.height} is more than {MOST_PIXELS // 10**6} million pixels"
        )
    frames = getattr(image, "n_frames", 1)
    if (
        frames > 1 and image.format != "MPO"
    ):  # a phone's MPO photo has its depth map as a second frame
        raise ImageFileError(f"{frames} frames; save the one that is meant as a still image")
    if image.mode not in GREY_MODES | COLOUR_MODES:
        raise ImageFileError(
            f"mode {image.mode} has no known white; save it with 8 or 16 bits per channel"
        )


def _eight_bits(image: Image.Image) -> Image.Image:
    if not image.mode.startswith("I;16"):
        return image
    wide = np.asarray(image).astype(np.uint32)
    return Image.fromarray(((wide + 128) // 257).astype(np.uint8))


def _opaque(image: Image.Image) -> Image.Image:
    """Lay transparent images on white."""
    if image.mode not in {"LA", "La", "PA", "RGBA", "RGBa"} and "transparency" not in image.info:
        return image
    over = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", over.size, "white"), over)


def _split_key(tree: ImageTree, index: int) -> str:
    name = tree.classes[tree.y[index]]
    relative = tree.paths[index].relative_to(tree.root)
    inside = unicodedata.normalize("NFC", "/".join(relative.parts[1:]))
    return hashlib.sha256(os.fsencode(f"{name}/{inside}")).hexdigest()
