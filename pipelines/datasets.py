"""From the name of a data set to tensors: the fixed training and test parts, then the labels a
regime leaves.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from augmentor.common.types import DataError, LabelledImages
from augmentor.data.fingerprint import fingerprints, from_uint8, overlap
from augmentor.data.resize import fit_square
from augmentor.data.splits import few_labels, long_tail, stratified_split
from pipelines.conditions.attach import FoundConditions, find_conditions
from pipelines.conditions.hide import hide, rare_words
from pipelines.conditions.looks import LOOKS, looks_of, with_looks
from pipelines.config import IMAGE_SIZES, NAMED_DATA, DataConfig, data_root
from pipelines.image_folder import (
    BadFile,
    Header,
    ImageFileError,
    ImageTree,
    hashed_split,
    list_images,
    list_tree,
    read_header,
    read_squares,
    shown,
)

SPLIT_SEED = 0  # digits has no official split; this one never changes
HELD_OUT = 1 / 6  # of the training images, instead of the test images; on MNIST as many as these


@dataclass(frozen=True)
class DataBundle:
    """What a replicate works on.

    Args:
        name: Name of the data set, or of its folder.
        regime: How many labels were left, in words.
        train: Labelled training images.
        test: All test images, or what stands in for them; read once, at the end.
        pool: Unlabelled images (N, C, H, W) float32 in [-1, 1] in random order, or None. Their
            labels are gone.
        note: Where the split and the form of the images come from, in words.
        test_paths: Files of the test images, in their order; None where the data set has none of
            its own.
        scored_on: What ``test`` holds, in the words of the result files.
        available: Training images of every class that the labelled part is drawn from.
        hidden: Training images that ``data.rare`` hides, for the control that gets them; None
            without this regime.
    """

    name: str
    regime: str
    train: LabelledImages
    test: LabelledImages
    pool: Tensor | None
    note: str
    test_paths: tuple[Path, ...] | None = None
    scored_on: str = "test"
    available: tuple[int, ...] = ()
    hidden: LabelledImages | None = None


@dataclass(frozen=True)
class FolderLayout:
    """Training and test files of a folder; one tree for both if the folder has one level."""

    train: ImageTree
    test: ImageTree
    train_index: list[int]
    test_index: list[int]
    note: str


def load_data(data: DataConfig, seed: int, *, tuning: bool = False) -> DataBundle:
    """Load a data set and draw the labelled part and the pool.

    Args:
        data: What to load.
        seed: Draws the training subset of a regime and the order of the pool; the test part never
            depends on it.
        tuning: Let a sixth of every class of the training images stand in for the test images,
            which are dropped.

    Raises:
        DataError: If the data are missing, damaged, too few, or if a test image is also a training
            image.
    """
    full = _load_named(data) if data.data in NAMED_DATA else _load_folder(data)
    full = _for_tuning(full) if tuning else full
    chosen = _labelled_indices(data, full.train, seed)
    train = full.train if chosen is None else full.train.subset(chosen)
    pool = _pool(data, full, chosen, seed)
    regime, hidden = _regime(data, train, pool), None
    if data.rare is not None:
        kept, rest = hide(data.rare, train, seed)
        hidden, train = train.subset(rest), train.subset(kept)
        regime = f"{regime}; {rare_words(data.rare, train)} ({len(hidden)} hidden)"
    scored_on = "held-out training images" if tuning else "test"
    return DataBundle(
        name=full.name,
        regime=regime,
        train=train,
        test=full.test,
        pool=pool,
        note=full.note,
        test_paths=full.test_paths,
        scored_on=scored_on,
        available=tuple(full.train.counts.values()),
        hidden=hidden,
    )


def layout_conditions(root: Path, layout: FolderLayout, names: tuple[str, ...]) -> FoundConditions:
    """The conditions of the images of a folder.

    Raises:
        ConditionsError: If they are not known of every image, or do not fit together.
    """
    train, test = (layout.train, layout.train_index), (layout.test, layout.test_index)
    return find_conditions(root, train, test, names)


def find_folder(data: DataConfig) -> Path:
    """The folder ``data.data`` means: itself, or the one of this name under the data root.

    Raises:
        DataError: If neither exists.
    """
    return _existing_folder(data, data.data)


def folder_layout(root: Path, test_fraction: float) -> FolderLayout:
    """Find the training and test files of a folder.

    Raises:
        DataError: If the folder is not an image tree, or the class lists of ``train`` and ``test``
            differ.
    """
    if not (root / "train").is_dir():
        return _one_level(root, test_fraction, "files sorted by SHA-256 of <class>/<file>")
    if not (root / "test").is_dir():
        return _one_level(
            root / "train", test_fraction, "train/ alone, files sorted by SHA-256 of <class>/<file>"
        )
    train, test = list_tree(root / "train"), list_tree(root / "test")
    if lost := sorted(set(train.classes) ^ set(test.classes)):
        side = "train" if lost[0] in train.classes else "test"
        raise DataError(
            f"{shown(root)}: class {lost[0]!r} is only in {side}/; train/ and test/ need the same "
            "classes"
        )
    return FolderLayout(
        train, test, list(range(len(train.paths))), list(range(len(test.paths))), "train/ and test/"
    )


def layout_problems(layout: FolderLayout) -> list[str]:
    """What keeps a layout from being used, in words; empty if nothing does. Bad files are listed
    apart.
    """
    problems = []
    if len(layout.train.classes) < 2:
        problems.append(
            f"only one class, {layout.train.classes[0]!r}; a classifier needs two at least"
        )
    one_level = layout.train is layout.test
    for tree in [layout.train] if one_level else [layout.train, layout.test]:
        needed = 2 if one_level else 1
        few = {name: n for name, n in tree.counts().items() if n < needed}
        problems += [
            f"class {name!r} in {shown(tree.root)} has {n} images, needs {needed}; add images or "
            "remove the folder"
            for name, n in few.items()
        ]
    return problems


def read_headers(paths: Sequence[Path]) -> tuple[dict[Path, Header], list[BadFile]]:
    """Headers of the readable files, and the others."""
    headers: dict[Path, Header] = {}
    bad: list[BadFile] = []
    for path in paths:
        try:
            headers[path] = read_header(path)
        except ImageFileError as problem:
            bad.append(BadFile(path, str(problem)))
    return headers, bad


def chosen_form(data: DataConfig, headers: Sequence[Header]) -> tuple[int, bool]:
    """Side and greyness: as asked for, else the largest size that the smallest image fills, grey if
    every file is.
    """
    smallest = min(min(header.width, header.height) for header in headers)
    most = min(smallest, data.max_size)
    size: int = data.size or max(
        (int(size) for size in IMAGE_SIZES if size <= most), default=IMAGE_SIZES[0]
    )
    grey = data.grey if data.grey is not None else all(header.grey for header in headers)
    return size, grey


def same_pictures(
    train: NDArray[np.int64],
    train_paths: Sequence[Path],
    test: NDArray[np.int64],
    test_paths: Sequence[Path],
) -> list[str]:
    """A sentence for every test image whose pixels are also a training image's: memory would count
    as success.

    Args:
        train: Fingerprints of the training images, as used (resized).
        train_paths: Their files.
        test: Fingerprints of the test images.
        test_paths: Their files.
    """
    known = dict(zip(train.tolist(), train_paths, strict=True))
    return [
        f"test image {shown(test_paths[i])} is the same picture as training image "
        f"{shown(known[int(test[i])])}; "
        "remove one of them"
        for i in overlap(test, train).tolist()
    ]


@dataclass(frozen=True)
class _Full:
    name: str
    train: LabelledImages
    test: LabelledImages
    note: str
    test_paths: tuple[Path, ...] | None = None


def _for_tuning(full: _Full) -> _Full:
    fit, held_out = stratified_split(full.train.y, 1 - HELD_OUT, SPLIT_SEED)
    note = (
        f"{full.note}; held out instead of the test images: a sixth of every class of the training "
        "images"
    )
    return replace(
        full,
        train=full.train.subset(fit),
        test=full.train.subset(held_out),
        note=note,
        test_paths=None,
    )


WITH_LOOKS = ("digits-conditions", "mnist-conditions")


def _load_named(data: DataConfig) -> _Full:
    if data.data in WITH_LOOKS:
        return _load_looks(data)
    if data.condition is not None:
        raise DataError(
            f"{data.data} has no conditions; leave --condition out, or name "
            f"{' or '.join(WITH_LOOKS)} or a folder"
        )
    if data.data == "digits":
        return _load_digits(data)
    train, test = _torchvision(data, train=True), _torchvision(data, train=False)
    return _Full(data.data, train, test, "official split")


def _load_looks(data: DataConfig) -> _Full:
    """MNIST or digits under eight looks, drawn by the rule of ``looks_of``; the condition ``look``
    is attached if it is asked for.
    """
    if data.condition not in (None, LOOKS.names):
        raise DataError(
            f"{data.data} has no column {', '.join(data.condition or ())!r}; its columns are "
            f"{', '.join(LOOKS.names)}"
        )
    looks = f"each image under one of {LOOKS.size} looks, drawn by its number"
    if data.data == "digits-conditions":
        strokes, y = _digits()
        # Twice the side: stripes and strokes of the looks are two pixels wide.
        pixels = torch.from_numpy(np.rint(strokes * (255 / 16)).astype(np.uint8))
        pixels = fit_square(pixels[:, None], 2 * pixels.shape[-1])[:, 0]
        images = _with_looks(data, "all", pixels, torch.from_numpy(y), [str(i) for i in range(10)])
        first, second = stratified_split(images.y, 0.5, SPLIT_SEED)
        note = f"stratified halves, seed {SPLIT_SEED}; {looks}"
        return _Full(data.data, images.subset(first), images.subset(second), note)
    parts = []
    for name in ("train", "test"):
        found, classes = _download(data, train=name == "train")
        parts.append(_with_looks(data, name, found.data, found.targets, classes))
    return _Full(data.data, parts[0], parts[1], f"official split; {looks}")


def _with_looks(
    data: DataConfig, part: str, pixels: Tensor, y: Tensor, classes: Sequence[str]
) -> LabelledImages:
    """Grey images (N, H, W) uint8 under their looks, with the condition if it is asked for."""
    look = looks_of(part, len(pixels))
    images = _named_images(data, with_looks(pixels, look), y, classes)
    if data.condition is None:
        return images
    return replace(images, condition=look, conditions=LOOKS)


def _load_digits(data: DataConfig) -> _Full:
    strokes, y = _digits()
    images = torch.from_numpy(np.rint(strokes * (255 / 16)).astype(np.uint8))
    everything = _named_images(data, images, torch.from_numpy(y), [str(i) for i in range(10)])
    train, test = stratified_split(everything.y, 0.5, SPLIT_SEED)
    note = f"stratified halves, seed {SPLIT_SEED}"
    return _Full("digits", everything.subset(train), everything.subset(test), note)


def _digits() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Images (N, 8, 8) with values 0 to 16 and their digits, as scikit-learn's ``load_digits``.

    They are read from the file that scikit-learn brings: importing ``sklearn.datasets`` takes as
    long as importing torch.
    """
    spec = find_spec("sklearn")
    for folder in spec.submodule_search_locations or () if spec else ():
        file = Path(folder) / "datasets" / "data" / "digits.csv.gz"
        if file.is_file():
            table = np.loadtxt(file, delimiter=",")
            return table[:, :-1].reshape(-1, 8, 8), table[:, -1].astype(np.int64)
    from sklearn.datasets import load_digits  # a version that keeps its file elsewhere

    digits = load_digits()
    return digits.images, digits.target


def _torchvision(data: DataConfig, *, train: bool) -> LabelledImages:
    found, names = _download(data, train=train)
    return _named_images(data, found.data, found.targets, names)


def _download(data: DataConfig, *, train: bool) -> tuple[Any, list[str]]:
    """A data set of torchvision, and the names of its classes."""
    from torchvision import datasets

    kind = datasets.FashionMNIST if data.data == "fashion-mnist" else datasets.MNIST
    root = data_root(data)
    try:
        with contextlib.redirect_stdout(
            sys.stderr
        ):  # torchvision prints, and standard output is for results
            found = kind(root, train=train, download=True)  # downloads only what is missing
    except Exception as error:  # urllib, checksum, permission and parse errors alike
        reason = str(error).strip().partition("\n")[0].rstrip(":")
        raise DataError(
            f"{data.data}: neither in {root} nor to be downloaded ({reason}); "
            f"put the files in {root / kind.__name__ / 'raw'} or set --data-root"
        ) from error
    names = [name.split(" - ")[0] for name in found.classes]  # "7 - seven" is class 7
    return found, names


def _named_images(
    data: DataConfig, images: Tensor, y: Tensor, names: Sequence[str]
) -> LabelledImages:
    """Grey images (N, H, W) uint8 in the form asked for; their own side unless a size is given."""
    size = data.size or max(size for size in IMAGE_SIZES if size <= images.shape[-1])
    squares = fit_square(images[:, None], size)
    return LabelledImages(
        from_uint8(squares if data.grey is not False else squares.repeat(1, 3, 1, 1)),
        y.long(),
        (*names,),
    )


def _load_folder(data: DataConfig) -> _Full:
    root = find_folder(data)
    layout = folder_layout(root, data.test_fraction)
    bad = [*layout.train.bad, *(layout.test.bad if layout.test is not layout.train else ())]
    _refuse(root, layout_problems(layout), bad)
    train_paths = [layout.train.paths[i] for i in layout.train_index]
    test_paths = [layout.test.paths[i] for i in layout.test_index]
    found = layout_conditions(root, layout, data.condition) if data.condition else None
    headers, bad = read_headers([*train_paths, *test_paths])
    _refuse(root, [], bad)
    size, grey = chosen_form(data, list(headers.values()))
    train = _read(root, layout.train, layout.train_index, size, grey)
    test = _read(root, layout.test, layout.test_index, size, grey)
    note = f"{layout.note}; {size}x{size} {'grey' if grey else 'RGB'}"
    full = _Full(root.resolve().name, train, test, note, tuple(test_paths))
    if found is not None:
        full = _with_conditions(full, found)
        if layout.train is layout.test:
            full = _without_twins(full)
    _refuse_leak(full.train.x, train_paths, full.test.x, full.test_paths or ())
    return full


def _with_conditions(full: _Full, found: FoundConditions) -> _Full:
    return replace(
        full,
        train=replace(full.train, condition=found.train, conditions=found.conditions),
        test=replace(full.test, condition=found.test, conditions=found.conditions),
        note=f"{full.note}; {found.note()}",
    )


def _without_twins(full: _Full) -> _Full:
    """Leave out test images that are also training images, which is no leak of the user's own.

    One picture under two conditions, such as a letter that two fonts draw alike, is no fault of
    the data, and a split that is made here may part the two.
    """
    twins = overlap(fingerprints(full.test.x), fingerprints(full.train.x)).tolist()
    if not twins:
        return full
    kept = sorted(set(range(len(full.test))) - set(twins))
    note = f"{full.note}; {len(twins)} test images are pictures of the training part too: left out"
    paths = full.test_paths or ()
    return replace(
        full,
        test=full.test.subset(torch.tensor(kept, dtype=torch.int64)),
        note=note,
        test_paths=tuple(paths[i] for i in kept),
    )


def _one_level(root: Path, test_fraction: float, rule: str) -> FolderLayout:
    tree = list_tree(root)
    train, test = hashed_split(tree, test_fraction)
    return FolderLayout(
        tree, tree, train, test, f"{rule}, first {test_fraction:g} of a class is test"
    )


def _read(root: Path, tree: ImageTree, index: list[int], size: int, grey: bool) -> LabelledImages:
    images, bad = read_squares([tree.paths[i] for i in index], size=size, grey=grey)
    _refuse(root, [], bad)
    return LabelledImages(
        from_uint8(images),
        torch.tensor([tree.y[i] for i in index], dtype=torch.int64),
        tree.classes,
    )


def _refuse(root: Path, problems: Sequence[str], bad: Sequence[BadFile]) -> None:
    lines = [*problems, *map(str, bad)]
    if not lines:
        return
    more = f" (and {len(lines) - 3} more)" if len(lines) > 3 else ""
    raise DataError(
        f"{shown(root)}: {'; '.join(lines[:3])}{more}; repair or remove them, `augmentor check` "
        "lists everything"
    )


def _refuse_leak(
    train: Tensor, train_paths: Sequence[Path], test: Tensor, test_paths: Sequence[Path]
) -> None:
    if twins := same_pictures(fingerprints(train), train_paths, fingerprints(test), test_paths):
        more = f" (and {len(twins) - 1} more)" if len(twins) > 1 else ""
        raise DataError(f"{twins[0]}{more}")


def _labelled_indices(data: DataConfig, train: LabelledImages, seed: int) -> Tensor | None:
    """Training images that keep their labels; None for all of them."""
    if data.labels is not None:
        return few_labels(train.y, data.labels, seed, train.classes)
    if data.per_class is not None:
        return long_tail(train.y, data.per_class, data.imbalance, seed, train.classes)
    return None


def _pool(data: DataConfig, full: _Full, chosen: Tensor | None, seed: int) -> Tensor | None:
    parts = []
    if chosen is not None and (data.labels is not None or data.unlabelled == "rest"):
        left = torch.ones(len(full.train), dtype=torch.bool)
        left[chosen] = False
        parts.append(full.train.x[left])
    if data.unlabelled not in (None, "rest"):
        parts.append(_read_pool(data, full))
    if not parts or not sum(map(len, parts)):
        return None
    pool = torch.cat(parts)
    # A random order, because the files of a folder are sorted by class and order would tell the
    # labels.
    order = torch.randperm(len(pool), generator=torch.Generator().manual_seed(seed))
    return pool[order[: data.max_pool]]


def _read_pool(data: DataConfig, full: _Full) -> Tensor:
    """Unlabelled images of a folder, in the form of the training images."""
    assert data.unlabelled is not None
    root = _existing_folder(data, data.unlabelled)
    paths, bad, _ = list_images(root)
    _refuse(root, [] if paths else ["holds no images"], bad)
    channels, size, _ = full.train.image_shape
    images, bad = read_squares(paths, size=size, grey=channels == 1)
    _refuse(root, [], bad)
    pool = from_uint8(images)
    if len(twins := overlap(fingerprints(pool), fingerprints(full.test.x))):
        raise DataError(
            f"{shown(paths[twins[0]])} is also a test image; remove it (one of {len(twins)}) from "
            f"{shown(root)}"
        )
    return pool


def _existing_folder(data: DataConfig, name: str) -> Path:
    here, there = Path(name).expanduser(), data_root(data) / name
    for folder in (here, there):
        if folder.is_dir():
            return folder
    raise DataError(
        f"no folder {shown(here)} and no {shown(there)}; name a folder, or set --data-root or "
        "$AUGMENTOR_DATA"
    )


def _regime(data: DataConfig, train: LabelledImages, pool: Tensor | None) -> str:
    if data.labels is not None:
        words = f"{len(train)} labels"
    elif data.per_class is not None:
        smallest = min(train.counts.values())
        words = (
            f"{data.per_class} a class"
            if data.imbalance == 1
            else f"{data.per_class} to {smallest} a class"
        )
    else:
        words = f"all {len(train)} labels"
    return words if pool is None else f"{words}, {len(pool)} unlabelled"
