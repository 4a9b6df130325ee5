"""Images that users hold in memory, written once as a folder that every job can read.

Written are PNG files, which lose nothing of 8-bit images; files that were given are copied.
"""

from __future__ import annotations

import csv
import hashlib
import io
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from augmentor.common.atomic_files import publish_folder, write_json, write_text
from augmentor.common.given_files import MOST_IMAGE, parse_json, read_bytes, read_text
from pipelines.conditions.metadata import FILE_COLUMN, FILES
from pipelines.config import ConfigError
from pipelines.image_folder import RECORD
from pipelines.python.items import Items, is_arrays, is_table, items_of, with_conditions
from pipelines.python.labels import class_folders, class_name
from pipelines.python.pictures import Range, picture_of, value_range_of
from pipelines.run_dir import RunDir

QUICK = 1
"""How hard PNG files are compressed."""


@dataclass(frozen=True)
class GivenData:
    """Training, test and synthetic images as a user gave them.

    Args:
        train: A name, a folder, or images in memory.
        test: Likewise, or None.
        synthetic: Sets of synthetic images by name: folders, or images in memory.
        class_names: By label, where labels are whole numbers.
        value_range: What black and white are in arrays; None to tell by a look.
        condition: Columns that are known beside the class.
        conditions: What is known of every training image, by column; instead of the columns of a
            table. A column of the test images has the same name.
        test_conditions: Likewise of every test image.
    """

    train: Any
    test: Any = None
    synthetic: Mapping[str, Any] | None = None
    class_names: Sequence[str] | None = None
    value_range: Range | None = None
    condition: Sequence[str] = ()
    conditions: Mapping[str, Sequence[Any]] | None = None
    test_conditions: Mapping[str, Sequence[Any]] | None = None

    def __post_init__(self) -> None:
        if (self.conditions or self.test_conditions) and self.on_disk is not None:
            raise ValueError(
                "conditions are for images in memory; those of a folder stand in its metadata.csv"
            )

    @property
    def on_disk(self) -> str | None:
        """The name or folder that holds training and test images already; None if none does."""
        if not isinstance(self.train, str | Path):
            return None
        if self.test is None:
            return str(self.train)
        if isinstance(self.test, str | Path):
            train, test = Path(self.train), Path(self.test)
            if train.parent == test.parent and (train.name, test.name) == ("train", "test"):
                return str(train.parent)
        return None

    @property
    def in_memory(self) -> bool:
        """Whether anything has to be written."""
        sets = (self.synthetic or {}).values()
        return self.on_disk is None or not all(isinstance(one, str | Path) for one in sets)


@dataclass(frozen=True)
class Written:
    """Images in a temporary folder.

    Args:
        folder: Where they lie.
        place: Where they belong, below the folder of the run.
        digest: Changes with any pixel, class, order or name.
    """

    folder: Path
    place: Path
    digest: str

    def publish(self, out: Path) -> Path:
        """Move them to their place in the folder of a run; equal images may be there already, and
        those of a call that made nothing of them give way.

        Raises:
            ConfigError: If the folder holds other images.
        """
        final = out / self.place
        if final.exists():
            known = _digest_in(final)
            if known == self.digest:
                return final
            if known is None or RunDir(out).has_work:
                raise ConfigError(
                    f"{final} holds other images than those given; give another out, or remove "
                    f"{out}"
                )
            shutil.rmtree(final)
        final.parent.mkdir(parents=True, exist_ok=True)
        publish_folder(self.folder, final)
        return final


def sets_by_name(given: Any) -> dict[str, Any]:
    """Synthetic sets by their names: those given, that of the folder, or ``synthetic``.

    Args:
        given: None, one set, a list of sets, or sets by name.

    Raises:
        ConfigError: If a folder is given by another name than its own, which its arms bear.
    """
    if given is None:
        return {}
    if isinstance(given, Mapping):
        for name, one in given.items():
            if isinstance(one, str | Path) and Path(one).resolve().name != name:
                raise ConfigError(
                    f"synthetic: a folder is called after itself, not {name!r}; give a list of "
                    "folders, or rename it"
                )
        return dict(given)
    several = isinstance(given, list | tuple) and not is_arrays(given) and not is_table(given)
    found = dict[str, Any]()
    for number, one in enumerate(given if several else [given], start=1):
        name = f"synthetic-{number}" if several else "synthetic"
        found[str(one) if isinstance(one, str | Path) else name] = one
    return found


@contextmanager
def written(given: GivenData, out: Path | None) -> Iterator[list[Written]]:
    """Write what is not on the disk into a temporary folder, which is removed at the end.

    Args:
        given: The images.
        out: Folder of the run, which is locked meanwhile; None where it has no name yet.

    Raises:
        ConfigError: From :meth:`Written.publish`.
        ValueError: If images or labels cannot be used; names the item and says what to do.
        RunLockedError: If another process works in ``out``.
    """
    base = out or Path("runs")
    if not given.in_memory:
        yield []
        return
    with RunDir(out).lock() if out else nullcontext():
        base.mkdir(parents=True, exist_ok=True)
        temporary = tempfile.TemporaryDirectory(prefix=".given-", suffix=".tmp", dir=base)
        with temporary as folder:
            yield _write_all(given, Path(folder))


def _write_all(given: GivenData, temporary: Path) -> list[Written]:
    data = {} if given.on_disk else _train_and_test(given)
    sets = dict[str, Items]()
    for name, one in (given.synthetic or {}).items():
        if not isinstance(one, str | Path):
            sets[name] = items_of(one, f"synthetic {name!r}")
    every = [*data.values(), *sets.values()]
    black_white = value_range_of(every, given.value_range)
    names = _names_of(every, given.class_names)
    found = []
    if data:
        folder = temporary / "data"
        digest = _write_parts(data, folder, names, black_white, given.condition)
        found.append(Written(folder, Path("data"), digest))
    for name, items in sets.items():
        folder, place = temporary / place_of(name), place_of(name)
        digest = _write_parts({"": items}, folder, names, black_white)
        found.append(Written(folder, place, digest))
    return found


def place_of(name: str) -> Path:
    """Where a synthetic set belongs, below the folder of the run."""
    return Path("synthetic") / next(iter(class_folders([name]).values()))


def _train_and_test(given: GivenData) -> dict[str, Items]:
    train = items_of(given.train, "train_set")
    found = {"train": with_conditions(train, given.conditions, "conditions")}
    if given.test is not None:
        test = items_of(given.test, "test_set")
        found["test"] = with_conditions(test, given.test_conditions, "test_conditions")
    return found


def _names_of(
    sets: Sequence[Items], given: Sequence[str] | None
) -> dict[str, Sequence[str] | None]:
    """The class names of every set, by its words: a number means the same name nowhere else.

    A set that knows its names keeps them, called as ``given`` calls those of the first set that
    knows any; one that does not takes the given names, or those of that first set.
    """
    first = next((items.names for items in sets if items.names is not None), None)
    if given is not None and first is not None and len(given) != len(first):
        raise ValueError(f"class_names has {len(given)} names for the {len(first)} classes")
    called = dict(zip(first, given or first, strict=True)) if first is not None else {}
    found: dict[str, Sequence[str] | None] = {}
    for items in sets:
        if items.names is None:
            found[items.words] = given or first
        else:
            found[items.words] = [called.get(name, name) for name in items.names]
    return found


def _write_parts(
    sets: Mapping[str, Items],
    folder: Path,
    names: Mapping[str, Sequence[str] | None],
    black_white: Range,
    condition: Sequence[str] = (),
) -> str:
    """Write every part into a folder of its name, and the record; returns a digest of all."""
    images, classes, total = dict[str, int](), dict[str, str](), hashlib.sha256()
    for name, items in sets.items():
        own, digest = _write_items(items, folder / name, names[items.words], black_white)
        if name and len(own) < 2:
            raise ValueError(
                f"{items.words} has {items.count} images of {len(own)} classes; give images of two "
                "classes at least"
            )
        classes |= own
        images[name or "all"] = items.count
        total.update(f"{name} {digest}\n".encode())
        if condition:
            known = _write_metadata(items, folder / name, condition)
            total.update(known.encode())
    digest = total.hexdigest()[:16]
    write_json(folder / RECORD, {"digest": digest, "images": images, "classes": classes})
    return digest


def _write_items(
    items: Items, folder: Path, names: Sequence[str] | None, black_white: Range
) -> tuple[dict[str, str], str]:
    """Write the images of one part; returns the folder of every class and a digest."""
    found, total = dict[str, Path](), hashlib.sha256()
    folder.mkdir(parents=True)
    for i in range(items.count):
        where = f"{items.words}: item {i}"
        image, label = items.item(i)
        name = class_name(label, names, where)
        if name not in found:
            found[name] = folder / f".{len(found)}"
            found[name].mkdir(parents=True)
        total.update(f"{i} {name!r} ".encode())
        total.update(_write_image(picture_of(image, black_white, where), found[name], i))
    folders = class_folders(list(found))
    for name, path in found.items():
        path.rename(folder / folders[name])
    return folders, total.hexdigest()


def _write_metadata(items: Items, folder: Path, condition: Sequence[str]) -> str:
    """Write the columns of every image into ``metadata.csv``; returns its text.

    Raises:
        ValueError: If the items have no such columns.
    """
    known = items.columns(0) if items.columns else {}
    if items.columns is None or (lost := [name for name in condition if name not in known]):
        raise ValueError(
            f"{items.words} has no column {lost[0] if known else condition[0]!r}; give it by "
            f"conditions, or a table of path, label and {', '.join(condition)}, or a Hugging Face "
            "data set with it"
        )
    files = {int(path.stem): path for path in folder.glob("*/*")}
    rows = [(FILE_COLUMN, *condition)]
    for i in range(items.count):
        own = items.columns(i)
        if lost := [name for name in condition if own[name] is None or own[name] != own[name]]:
            raise ValueError(
                f"{items.words}: item {i} has no {lost[0]} ({own[lost[0]]!r}); give it one, or "
                "leave the image out"
            )
        values = [str(own[name]) for name in condition]
        rows.append((files[i].relative_to(folder).as_posix(), *values))
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    write_text(folder / FILES[0], text.getvalue())
    return text.getvalue()


def _write_image(image: Image.Image | Path, folder: Path, number: int) -> bytes:
    """Write or copy an image; returns a digest of its pixels, or of its file."""
    if isinstance(image, Path):
        data = read_bytes(image, MOST_IMAGE)
        (folder / f"{number:07}{image.suffix.lower()}").write_bytes(data)
        return hashlib.sha256(data).digest()
    image.save(folder / f"{number:07}.png", compress_level=QUICK)
    shape = f"{image.mode} {image.size}".encode()
    return hashlib.sha256(shape + image.tobytes()).digest()


def _digest_in(folder: Path) -> str | None:
    try:
        found = parse_json(read_text(folder / RECORD))
        return str(found["digest"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
