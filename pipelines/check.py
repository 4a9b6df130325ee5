"""``augmentor check``: reads every image of a data set and says what a training run would meet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from augmentor.common.types import LabelledImages
from augmentor.data.fingerprint import fingerprints, to_uint8
from pipelines.conditions.attach import ConditionsError, FoundConditions
from pipelines.conditions.table import CombinationTable, combination_table, without_pixels
from pipelines.config import DataConfig
from pipelines.data.folders import (
    FolderLayout,
    ImageReader,
    chosen_form,
    find_folder,
    folder_layout,
    layout_conditions,
    layout_problems,
    read_headers,
    reader_for,
    same_pictures,
)
from pipelines.data.table import is_named
from pipelines.datasets import load_data
from pipelines.image_folder import (
    BadFile,
    Header,
    ImageTree,
    dark_words,
    printable,
    read_squares,
    shown,
)
from pipelines.outside.copies import Copies, KnownImages
from pipelines.outside.files import folded
from pipelines.progress import Progress, Silent
from pipelines.report.terminal import plain_table

READ_AT_ONCE = 256
FEW_TRAIN, FEW_TEST = 5, 10
"""Images of a class below which a run says little of it."""


@dataclass(frozen=True)
class CheckReport:
    """What was found.

    Args:
        data: The data set's name or folder.
        split: Where the training and test parts come from, in words.
        train: Images per class in the training part.
        test: Images per class in the test part.
        form: What images become, such as "32x32 RGB"; None if none could be read.
        sizes: Number of files of each stored size, "width x height", the most frequent first.
        modes: Number of files of each stored colour mode.
        bad: Files and folders that cannot be used.
        problems: What else keeps the data from being used.
        ignored: Files that are not images by their name.
        combinations: The table class × condition, if conditions were asked for and can be used.
        remarks: What is worth knowing and keeps nobody from using the data.
    """

    data: str
    split: str
    train: dict[str, int]
    test: dict[str, int]
    form: str | None
    sizes: dict[str, int]
    modes: dict[str, int]
    bad: tuple[BadFile, ...] = ()
    problems: tuple[str, ...] = ()
    ignored: int = 0
    combinations: CombinationTable | None = None
    remarks: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the data can be trained on as they are."""
        return not self.bad and not self.problems

    @property
    def few(self) -> list[str]:
        """What too few images of a class mean, in words."""
        said = []
        rare = [name for name, count in self.train.items() if count < FEW_TRAIN]
        if rare:
            said.append(
                f"few training images: {_some(rare)} with less than {FEW_TRAIN}; a generator "
                "renders little else than what it saw"
            )
        counts = {name: self.test.get(name, 0) for name in self.train}
        if few := [name for name, count in counts.items() if 0 < count < FEW_TEST]:
            least = min(counts[name] for name in few)
            said.append(
                f"few test images: {_some(few)} with less than {FEW_TEST}; one of {least} is "
                f"{100 / least:.0f} points of its class, which no number of replicates repairs"
            )
        return said

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        bad = []
        for one in self.bad:
            bad.append({"path": shown(one.path), "reason": one.reason})
        found = {
            "data": self.data,
            "ok": self.ok,
            "split": self.split,
            "classes": list(self.train),
            "train": self.train,
            "test": self.test,
            "form": self.form,
            "sizes": self.sizes,
            "modes": self.modes,
            "bad": bad,
            "problems": list(self.problems),
            "ignored": self.ignored,
        }
        if self.remarks or self.few:
            found["remarks"] = [*self.remarks, *self.few]
        if self.combinations is not None:
            found["combinations"] = self.combinations.to_json()
        return found

    def text(self) -> str:
        """The report for a terminal."""
        train, test = sum(self.train.values()), sum(self.test.values())
        lines = [f"{self.data}: {len(self.train)} classes, {train} training and {test} test images"]
        lines += [f"split: {self.split}", f"used as: {self.form or 'nothing readable'}"]
        if self.sizes:
            lines.append(f"stored sizes: {_most(self.sizes)}")
        if self.modes:
            lines.append(f"stored modes: {_most(self.modes)}")
        if self.ignored:
            lines.append(f"not images by their name: {self.ignored}")
        lines += ["", self._class_table()]
        if self.combinations is not None:
            lines += ["", *self.combinations.lines()]
        if self.remarks or self.few:
            lines += ["", *self.remarks, *self.few]
        if self.bad:
            lines += ["", f"bad files: {len(self.bad)}"]
        for one in self.bad:
            lines.append(f"  {one}")
        for problem in self.problems:
            lines.append(f"problem: {problem}")
        return "\n".join([*lines, "", "ok" if self.ok else "not usable as it is"])

    def _class_table(self) -> str:
        """The images per class."""
        rows = []
        for name, count in self.train.items():
            rows.append((printable(name), str(count), str(self.test.get(name, 0))))
        return plain_table(("class", "train", "test"), rows)


def _some(names: Sequence[str], most: int = 3) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(printable, names[:most])) + more


def check_data(data: DataConfig, progress: Progress | None = None) -> CheckReport:
    """Read every image.

    Raises:
        DataError: If the data set is unknown or has no class folders; every other finding is
            in the report.
    """
    if is_named(data.data):
        return _check_named(data)
    layout = folder_layout(find_folder(data), data)
    return _check_layout(data, layout, progress or Silent())


def _check_named(data: DataConfig) -> CheckReport:
    whole = data.model_copy(
        update={"per_class": None, "imbalance": 1.0, "labels": None, "unlabelled": None}
        | {"rare": None}
    )
    bundle = load_data(whole, seed=0)
    channels, size, _ = bundle.train.image_shape
    return CheckReport(
        data=bundle.name,
        split=bundle.note,
        train=bundle.train.counts_by_name,
        test=bundle.test.counts_by_name,
        form=_form(size, channels == 1),
        sizes={},
        modes={},
        combinations=_named_combinations(bundle.train, bundle.test),
    )


def _named_combinations(train: LabelledImages, test: LabelledImages) -> CombinationTable | None:
    if train.condition is None or test.condition is None:
        return None
    found = FoundConditions(train.conditions, train.condition, test.condition)
    return combination_table(train, test, found)


def _check_layout(data: DataConfig, layout: FolderLayout, progress: Progress) -> CheckReport:
    trees = [layout.train] if layout.train is layout.test else [layout.train, layout.test]
    paths, bad, ignored = list[Path](), list[BadFile](), 0
    for tree in trees:
        paths += tree.paths
        bad += tree.bad
        ignored += tree.ignored
    headers, damaged = read_headers(paths)
    bad += damaged
    table, wrong, remarks = _combinations(data, layout)
    remarks += _spelled_alike(layout.train.classes)
    form, twins, copies = None, list[str](), list[str]()
    if headers:
        size, grey = chosen_form(data, list(headers.values()))
        form = _form(size, grey)
        reader = reader_for(data, len(headers), size, grey=grey)
        remarks += [reader.note.removeprefix("; ")] if reader.note else []
        (train, test), damaged = _read_all(layout, headers, reader, progress)
        bad += damaged
        twins = _twins(train, test)
        remarks += _in_two_classes(layout, (train, test))
        remarks += _dark(headers, (train, test))
        copies = _near_copies(train, test, remarks)
    if data.condition and layout.train is layout.test:
        remarks += _of_own_split(twins, copies, table)
        twins, copies = [], []
    elif headers and layout.train is layout.test:
        # Each file that is removed moves the border between the parts: all groups count.
        groups = _same_pictures((train, test))
        remarks += [] if twins else _several_times(groups)
        twins = [f"the same picture: {', '.join(one)}; keep one of them" for one in groups if twins]
    return CheckReport(
        data=data.data,
        split=layout.note,
        train=_counts(layout.train, layout.train_index),
        test=_counts(layout.test, layout.test_index),
        form=form,
        sizes=_frequent(map(_stored_size, headers.values())),
        modes=_frequent(map(attrgetter("mode"), headers.values())),
        bad=tuple(bad),
        problems=(*layout_problems(layout), *wrong, *twins, *copies),
        ignored=ignored,
        combinations=table,
        remarks=tuple(remarks),
    )


def _of_own_split(
    twins: Sequence[str], copies: Sequence[str], table: CombinationTable | None
) -> list[str]:
    """What is a remark and no problem where the test part was taken from the training part here."""
    remarks = []
    if twins:
        remarks.append(
            f"test images that are the same picture as a training image: {len(twins)}; a run "
            "leaves them out of the test part"
        )
    if copies:
        remarks.append(
            f"training images that are nearly a test image: {len(copies)}, such as: {copies[0]}"
        )
    if table is not None and (taken := len(table.missing_in_test)):
        remarks.append(
            f"combinations missing in training only because the test part took all of their "
            f"images: {taken}; put test images of your own into test/"
        )
    return remarks


def _combinations(
    data: DataConfig, layout: FolderLayout
) -> tuple[CombinationTable | None, tuple[str, ...], list[str]]:
    """The table class × condition, what is wrong with the conditions, and remarks."""
    if data.condition is None:
        return None, (), []
    try:
        found = layout_conditions(find_folder(data), layout, data)
    except ConditionsError as error:
        return None, error.problems, []
    parts = []
    for tree, index, condition in (
        (layout.train, layout.train_index, found.train),
        (layout.test, layout.test_index, found.test),
    ):
        y = torch.tensor([tree.y[i] for i in index], dtype=torch.int64)
        parts.append(without_pixels(y, tree.classes, condition, found.conditions))
    return combination_table(parts[0], parts[1], found), (), [*found.remarks]


@dataclass(frozen=True)
class Side:
    """The intact pictures of one side of the split, (N, C, H, W), and their files.

    Pixels are uint8, or floats where they are read from disk as they are used.
    """

    pixels: Tensor
    paths: list[Path]

    @cached_property
    def prints(self) -> NDArray[np.int64]:
        """Fingerprints, int64 (N,)."""
        return fingerprints(self.pixels)

    def brightest(self) -> list[int]:
        """The largest value of every picture, 0 to 255."""
        found = list[int]()
        for part in torch.split(self.pixels, READ_AT_ONCE):
            pixels = part if part.dtype == torch.uint8 else to_uint8(part)
            found += pixels.flatten(1).amax(dim=1).tolist()
        return found


def _read_all(
    layout: FolderLayout, headers: dict[Path, Header], reader: ImageReader, progress: Progress
) -> tuple[list[Side], list[BadFile]]:
    """Decode everything that has a header: the pictures on both sides of the split, and damaged
    files.
    """
    bad, sides = list[BadFile](), list[Side]()
    for words, tree, index in (
        ("training images", layout.train, layout.train_index),
        ("test images", layout.test, layout.test_index),
    ):
        paths = [tree.paths[i] for i in index if tree.paths[i] in headers]
        step = partial(progress.step, f"reading {words}")
        lazy = reader.most is not None
        pixels, damaged = reader.read(paths, step) if lazy else _pixels_of(paths, reader, step)
        sides.append(_intact(pixels, paths, damaged))
        bad += damaged
    return sides, bad


def _twins(train: Side, test: Side) -> list[str]:
    """A sentence for every test image that is a training image too, to the pixel."""
    return same_pictures(train.prints, train.paths, test.prints, test.paths)


def _same_pictures(sides: Iterable[Side]) -> list[list[str]]:
    """The files of every picture, to the pixel, that there is more than once."""
    groups = dict[int, list[str]]()
    for side in sides:
        for one, path in zip(side.prints.tolist(), side.paths, strict=True):
            groups.setdefault(one, []).append(shown(path))
    return [files for files in groups.values() if len(files) > 1]


def _several_times(groups: Sequence[Sequence[str]]) -> list[str]:
    """A remark on pictures that are there more than once, in one part of the data."""
    if not groups:
        return []
    first = " and ".join(groups[0])
    return [
        f"pictures that are there more than once: {len(groups)}, such as {first}; "
        "keep one of each: with other files in the folder they may lie in both parts"
    ]


def _spelled_alike(classes: Sequence[str]) -> list[str]:
    """A remark on classes whose names differ only in case, spaces, hyphens or underscores."""
    known, remarks = dict[str, str](), []
    for name in classes:
        other = known.setdefault(folded(name), name)
        if other != name:
            remarks.append(
                f"the classes {printable(other)} and {printable(name)} are spelled alike; put them "
                "into one folder if they are one class"
            )
    return remarks


def _in_two_classes(layout: FolderLayout, sides: Iterable[Side]) -> list[str]:
    """A remark where one picture lies in the folders of two classes."""
    names = dict[Path, str]()
    for tree in (layout.train, layout.test):
        names |= {path: tree.classes[label] for path, label in zip(tree.paths, tree.y, strict=True)}
    first, pairs = dict[int, Path](), list[tuple[Path, Path]]()
    for side in sides:
        for one, path in zip(side.prints.tolist(), side.paths, strict=True):
            other = first.setdefault(one, path)
            if names[other] != names[path]:
                pairs.append((other, path))
    if not pairs:
        return []
    return [
        f"pictures that lie in two classes: {len(pairs)}, such as {shown(pairs[0][0])} and "
        f"{shown(pairs[0][1])}; remove the one whose class is wrong"
    ]


def _dark(headers: Mapping[Path, Header], sides: Iterable[Side]) -> list[str]:
    """A remark on files of one depth that use little of it, such as 12 bits stored as 16."""
    brightest, example = dict[bool, int](), dict[bool, str]()
    for side in sides:
        for path, most in zip(side.paths, side.brightest(), strict=True):
            wide = headers[path].mode.startswith("I;16")
            brightest[wide] = max(brightest.get(wide, 0), most)
            example.setdefault(wide, shown(path))
    return [words for wide, most in brightest.items() if (words := dark_words(example[wide], most))]


def _near_copies(train: Side, test: Side, remarks: list[str]) -> list[str]:
    """A problem for every training image that is nearly a test image; where false alarms may
    explain them, one more remark in the place of problems.
    """
    if len(train.paths) == 0 or len(test.paths) < 2:
        return []
    names = [shown(path) for path in test.paths]
    near = KnownImages(test.pixels, names).look(train.pixels, [shown(p) for p in train.paths])
    copies = Copies((), near.near, near.found)  # those to the pixel have been told
    if not copies.certain:
        remarks += [remark] if (remark := copies.remark("training images")) else []
        return []
    problems = []
    for path, known, change in copies.near:
        problems.append(
            f"training image {path} is nearly test image {known} ({change}); remove one of them "
            f"({copies.rate})"
        )
    return problems


def _intact(pixels: Tensor, paths: list[Path], damaged: Iterable[BadFile]) -> Side:
    """Pictures and files without the damaged ones."""
    lost = {one.path for one in damaged}
    rows, kept = [], []
    for row, path in enumerate(paths):
        if path not in lost:
            rows.append(row)
            kept.append(path)
    return Side(pixels[torch.tensor(rows, dtype=torch.int64)], kept)


def _pixels_of(
    paths: Sequence[Path], reader: ImageReader, step: Callable[[int, int], None]
) -> tuple[Tensor, list[BadFile]]:
    """All pictures, uint8 (N, C, size, size), and the files that are damaged."""
    size, grey = reader.size, reader.grey
    parts, bad = [torch.empty(0, 1 if grey else 3, size, size, dtype=torch.uint8)], []
    for start in range(0, len(paths), READ_AT_ONCE):
        images, damaged = read_squares(paths[start : start + READ_AT_ONCE], size=size, grey=grey)
        parts.append(images)
        bad += damaged
        step(min(start + READ_AT_ONCE, len(paths)), len(paths))
    return torch.cat(parts), bad


def _counts(tree: ImageTree, index: Iterable[int]) -> dict[str, int]:
    counts = dict.fromkeys(tree.classes, 0)
    for i in index:
        counts[tree.classes[tree.y[i]]] += 1
    return counts


def _stored_size(header: Header) -> str:
    return f"{header.width}x{header.height}"


def _frequent(values: Iterable[str]) -> dict[str, int]:
    return dict(Counter(values).most_common())


def _form(size: int, grey: bool) -> str:
    return f"{size}x{size} {'grey' if grey else 'RGB'}"


def _most(found: dict[str, int]) -> str:
    """The five most frequent, for one line."""
    words = [f"{name} ({count})" for name, count in list(found.items())[:5]]
    more = f" and {len(found) - 5} others" if len(found) > 5 else ""
    return ", ".join(words) + more
