"""Image files of another generator: a folder per class, or tar shards in WebDataset's layout."""

from __future__ import annotations

import io
import tarfile
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

import torch
from torch import Tensor

from augmentor.common.given_files import open_given, parse_json, read_text
from augmentor.common.tar_files import regular_members
from augmentor.common.types import DataError
from augmentor.data.class_names import listed
from augmentor.data.resize import fit_square, resize
from pipelines.image_folder import (
    SUFFIXES,
    BadFile,
    Header,
    ImageFileError,
    file_problem,
    list_tree,
    printable,
    read_header,
    read_pixels,
    shown,
)

CLASS_NAMES = "classnames.txt"
"""Beside tar shards whose labels are numbers: a class name per line, as WebDataset's users have
it."""
LARGEST_FILE, LARGEST_LABEL = 2**28, 2**16  # bytes of one image, and of one label
KEYS_OF_CLASS = ("class", "label", "class_name")
"""Keys of a sample's JSON that may name its class."""


@dataclass(frozen=True)
class Place:
    """Where one image lies.

    Args:
        path: The image file, or the tar shard.
        key: Of the sample in a shard; empty for a file of its own.
        offset: First byte in the shard.
        size: Bytes in the shard.
    """

    path: Path
    key: str = ""
    offset: int = 0
    size: int = 0

    def __str__(self) -> str:
        return f"{shown(self.path)}, {printable(self.key)}" if self.key else shown(self.path)

    def opened(self) -> Path | io.BytesIO:
        """What the image can be read from."""
        if not self.key:
            return self.path
        with open_given(self.path) as file:
            file.seek(self.offset)
            return io.BytesIO(file.read(self.size))


@dataclass(frozen=True)
class OutsideImages:
    """The images of a folder, class after class; their pixels stay on the disk.

    Args:
        root: The folder.
        classes: Names; position is index.
        places: Where the images lie.
        y: Class of every image.
    """

    root: Path
    classes: tuple[str, ...]
    places: tuple[Place, ...]
    y: tuple[int, ...]

    @cached_property
    def headers(self) -> list[Header]:
        """What the files say about themselves.

        Raises:
            DataError: If some are damaged; the first three are named.
        """
        found, bad = list[Header](), list[BadFile | str]()
        for place in self.places:
            try:
                found.append(read_header(place.opened()))
            except ImageFileError as problem:
                bad.append(f"{place}: {problem}")
        refuse_bad(self.root, bad)
        return found

    def counts(self) -> dict[str, int]:
        """Images per class."""
        numbers = torch.bincount(torch.tensor(self.y), minlength=len(self.classes)).tolist()
        return dict(zip(self.classes, numbers, strict=True))


def find_images(folder: Path) -> OutsideImages:
    """Find the images of every class, in class folders or in tar shards.

    A class folder without images stands for a class that gets none.

    Raises:
        DataError: If the folder is missing, holds no images, a file that cannot be used, or one
            class in two spellings.
    """
    if not folder.is_dir():
        raise DataError(f"{shown(folder)}: no such folder of synthetic images")
    shards = sorted(folder.glob("*.tar"))
    found = _in_shards(folder, shards) if shards else _in_folders(folder)
    refuse_twins(folder, found.classes)
    if not found.places:
        raise DataError(f"{shown(folder)}: holds no images; put those of each class in a folder")
    return found


def refuse_twins(folder: Path, classes: Sequence[str]) -> None:
    """Refuse two classes whose names differ only in case, spaces or Unicode form.

    Raises:
        DataError: Naming both.
    """
    known: dict[str, str] = {}
    for name in classes:
        twin = known.setdefault(folded(name), name)
        if twin != name:
            raise DataError(
                f"{shown(folder)}: the class {name!r} is spelled {twin!r} too; merge the two into "
                "one folder"
            )


def folded(name: str) -> str:
    """A class name without case, repeated spaces, underscores and hyphens, to find misspellings."""
    plain = unicodedata.normalize("NFKC", name).casefold()
    return " ".join(plain.replace("_", " ").replace("-", " ").split())


def refuse_bad(root: Path, bad: Sequence[object]) -> None:
    """Refuse files that cannot be used, naming the first three.

    Raises:
        DataError: If there are any.
    """
    if bad:
        more = f" (and {len(bad) - 3} more)" if len(bad) > 3 else ""
        first = "; ".join(map(str, bad[:3]))
        raise DataError(f"{shown(root)}: {first}{more}; repair or remove them")


def _in_folders(folder: Path) -> OutsideImages:
    tree = list_tree(folder)
    refuse_bad(folder, tree.bad)
    places = tuple(Place(path) for path in tree.paths)
    return OutsideImages(folder, tree.classes, places, tree.y)


def _in_shards(folder: Path, shards: Sequence[Path]) -> OutsideImages:
    named = list[tuple[str, Place]]()
    for shard in shards:
        if problem := file_problem(shard, folder.resolve()):
            raise DataError(f"{shown(shard)}: {problem}")
        named += _samples(shard)
    names = _class_names(folder)
    known = _named({label for label, _ in named}, names, folder)
    classes = sorted({*known.values(), *names})
    index = {name: number for number, name in enumerate(classes)}
    rows = sorted(
        ((index[known[label]], place) for label, place in named),
        key=lambda row: (row[0], row[1].path.name, row[1].key),
    )
    places, y = tuple(place for _, place in rows), tuple(label for label, _ in rows)
    return OutsideImages(folder, tuple(classes), places, y)


def _samples(shard: Path) -> Iterator[tuple[str, Place]]:
    """The label and the image of every sample of a shard.

    Raises:
        DataError: If it is not a tar file, or a sample lacks its image or its label.
    """
    samples: dict[str, dict[str, tarfile.TarInfo]] = {}
    try:
        for member in regular_members(shard):
            key, extension = _split(member.name)
            samples.setdefault(key, {})[extension] = member
    except (OSError, tarfile.TarError) as error:
        raise DataError(f"{shown(shard)}: cannot be read as a tar file ({error})") from error
    for key, members in samples.items():
        place = _image_place(shard, key, members)
        yield _label(shard, key, members), place


def _split(name: str) -> tuple[str, str]:
    """Key and extension of a member: the extension begins at the first dot of the file name."""
    path = PurePosixPath(name)
    if not path.name:
        return name, ""
    stem, _, extension = path.name.partition(".")
    return str(path.with_name(stem or path.name)), extension.lower()


def _image_place(shard: Path, key: str, members: dict[str, tarfile.TarInfo]) -> Place:
    images = [member for extension, member in members.items() if f".{extension}" in SUFFIXES]
    if len(images) != 1:
        raise DataError(
            f"{shown(shard)}, {printable(key)}: {len(images)} images in one sample; WebDataset's "
            "layout has one, beside a cls or json that names its class"
        )
    image = images[0]
    beyond = image.offset_data + image.size > shard.stat().st_size
    if beyond or image.size > LARGEST_FILE:
        raise DataError(f"{shown(shard)}, {printable(key)}: the image is cut off or too large")
    return Place(shard, key, image.offset_data, image.size)


def _label(shard: Path, key: str, members: dict[str, tarfile.TarInfo]) -> str:
    """What a sample calls its class: the name in its JSON, else the text of ``cls``."""
    for extension in ("json", "cls"):
        if extension not in members or members[extension].size > LARGEST_LABEL:
            continue
        member = members[extension]
        text = Place(shard, key, member.offset_data, member.size).opened()
        assert isinstance(text, io.BytesIO)
        if label := _read_label(text.getvalue(), extension):
            return label
    raise DataError(
        f"{shown(shard)}, {printable(key)}: names no class; WebDataset's layout has a cls, or a "
        'json with the key "class"'
    )


def _read_label(data: bytes, extension: str) -> str:
    """The label in the bytes of a member; empty if there is none."""
    text = data.decode("utf-8", "replace").strip()
    if extension == "cls":
        return text
    try:
        known = parse_json(text)
    except ValueError:
        return ""
    for key in KEYS_OF_CLASS:
        if isinstance(known, dict) and isinstance(known.get(key), str | int):
            return str(known[key])
    return ""


def _class_names(folder: Path) -> list[str]:
    """The names of numbered classes; empty if nobody wrote them down."""
    path = folder / CLASS_NAMES
    try:
        lines = read_text(path, inside=folder, errors="replace").splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise DataError(f"{shown(path)}: cannot be read: {error.strerror}") from error
    return [unicodedata.normalize("NFC", line.strip()) for line in lines if line.strip()]


def _named(labels: Iterable[str], names: Sequence[str], folder: Path) -> dict[str, str]:
    """The class that each label means. All are numbers of ``names`` if they can be, so that classes
    called 1, 2 and 3 are not taken for their own numbers; else they are names or numbers.
    """
    labels, known = list(labels), set(names)
    numbers = bool(names) and all(one.isdecimal() and int(one) < len(names) for one in labels)
    found = dict[str, str]()
    for label in labels:
        plain = unicodedata.normalize("NFC", label)
        if not numbers and (not names or plain in known):
            found[label] = plain
        elif label.isdecimal() and int(label) < len(names):
            found[label] = names[int(label)]
        else:
            raise DataError(
                f"{shown(folder)}: the label {label!r} is not one of the {len(names)} classes of "
                f"{CLASS_NAMES}: {listed(names)}"
            )
    return found


@dataclass(frozen=True)
class Form:
    """What the images become.

    Args:
        shape: (C, H, W).
        square: Whether to cut the central square first.
    """

    shape: tuple[int, int, int]
    square: bool

    def read(self, place: Place) -> Tensor:
        """One image in this form, uint8 (C, H, W).

        Raises:
            DataError: If it is damaged.
        """
        channels, height, width = self.shape
        try:
            pixels = read_pixels(place.opened(), grey=channels == 1)[None]
        except ImageFileError as problem:
            raise DataError(f"{place}: {problem}; repair or remove it") from problem
        if self.square:
            return fit_square(pixels, height)[0]
        return resize(pixels, (height, width))[0]


def form_of(images: OutsideImages, size: int | None = None, grey: bool | None = None) -> Form:
    """The form of a set of these images: as asked for, else that of the smallest of them.

    Args:
        images: With their headers.
        size: Side of squares that are cut from the middle; None keeps the sides.
        grey: One channel or three; None goes by the files.

    Raises:
        DataError: If the images differ in aspect or mode and nothing was asked for; names one.
    """
    channels = 1 if _is_grey(images, grey) else 3
    if size is not None:
        return Form((channels, size, size), square=True)
    first = images.headers[0]
    for place, header in zip(images.places, images.headers, strict=True):
        if not same_aspect((first.width, first.height), (header.width, header.height)):
            raise DataError(
                f"{place}: is {header.width}x{header.height}, other images are "
                f"{first.width}x{first.height}; crop them alike, or import them with --size N, "
                "which cuts the central square"
            )
    smallest = min(images.headers, key=lambda header: header.width * header.height)
    return Form((channels, smallest.height, smallest.width), square=False)


def same_aspect(a: tuple[int, int], b: tuple[int, int]) -> bool:
    """Whether two sizes (width, height) have one aspect, up to the rounding to whole pixels."""
    return abs(b[1] - b[0] * a[1] / a[0]) <= 0.5 or abs(a[1] - a[0] * b[1] / b[0]) <= 0.5


def _is_grey(images: OutsideImages, grey: bool | None) -> bool:
    if grey is not None:
        return grey
    stored = [header.grey for header in images.headers]
    if all(stored) or not any(stored):
        return stored[0]
    rare = sum(stored) * 2 < len(stored)
    place, count = images.places[stored.index(rare)], stored.count(rare)
    raise DataError(
        f"{place}: is stored in {'grey' if rare else 'colour'}, as {count} of {len(stored)} images "
        "are; import them with --grey or --colour"
    )
