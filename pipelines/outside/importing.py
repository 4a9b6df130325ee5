"""The job ``import``: a folder of another generator's images becomes a synthetic set."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from augmentor.common.types import DataError
from augmentor.data.fingerprint import fingerprints, from_uint8
from augmentor.data.synthetic_images import fit_shape
from augmentor.data.synthetic_store import RECIPE, Format, write_set
from pipelines.config import DataConfig
from pipelines.datasets import DataBundle, load_data
from pipelines.generators.synthesize import write_contact_sheet
from pipelines.image_folder import dark_words, shown
from pipelines.interrupt import watch_signals
from pipelines.outside.copies import KnownImages, names_of_test
from pipelines.outside.files import Form, OutsideImages, find_images, form_of
from pipelines.outside.sets import classes_in_data, import_recipe, require_form
from pipelines.progress import Progress, Silent
from pipelines.run_dir import RunDir

READ_TOGETHER = 256


@dataclass(frozen=True)
class ImportReport:
    """What was imported.

    Args:
        out: Folder of the set.
        counts: Images per class name.
        form: Width, height and mode, such as ``64x64 RGB``.
        origin: ``origin unknown``.
        recipe: Hash of the recipe.
        copies: What was found of copies of test images, or that nobody looked for them, in words.
        contact_sheet: Picture with the first images of every class.
        seconds: Of this call.
    """

    out: Path
    counts: dict[str, int]
    form: str
    origin: str
    recipe: str
    copies: str
    contact_sheet: Path
    seconds: float


def import_run(
    folder: Path,
    out: Path,
    *,
    data: DataConfig | None = None,
    size: int | None = None,
    grey: bool | None = None,
    format: Format = "folder",
    progress: Progress | None = None,
) -> ImportReport:
    """Turn a folder of images by class, or tar shards in WebDataset's layout, into a synthetic set.

    Args:
        folder: The images.
        out: Folder of the set; new, empty, or with the same set, which is then finished.
        data: Real images they are meant for: classes must be theirs, and copies of their test
            images are refused.
        size: Side of squares that are cut from the middle; None keeps the images as they are.
        grey: One channel or three; None goes by the files.
        format: A folder of PNG files per class, or tar shards in WebDataset's layout.
        progress: Progress reporter.

    Returns:
        What was imported.

    Raises:
        DataError: If the images cannot be used, differ in aspect or mode, or are copies of test
            images; names files.
        Interrupted: After a signal; finished shards stay.
        RunLockedError: If another process writes to ``out``.
    """
    began, progress = time.monotonic(), progress or Silent()
    if (folder / RECIPE).is_file():
        raise DataError(f"{shown(folder)}: is a synthetic set already; use it as it is")
    images = find_images(folder)
    form = form_of(images, size, grey)
    with RunDir(out).lock(), watch_signals() as watch:
        step = partial(progress.step, "reading")
        prints, copies, brightest = _looked_through(images, form, data, step, watch.check)
        if words := dark_words(str(images.places[0]), brightest):
            progress.say(words)
        recipe = import_recipe(images.classes, images.counts(), form.shape, prints, format)

        def on_shard(done: int, total: int) -> None:
            progress.step("import", done, total)
            watch.check()

        write_set(out, recipe, prints, _renderer(images, form), on_shard)
        sheet = write_contact_sheet(out)
    seconds = time.monotonic() - began
    words, counts, origin = _form_in_words(form), recipe.counts, recipe.family
    return ImportReport(out, counts, words, origin, recipe.hash, copies, sheet, seconds)


def _looked_through(
    images: OutsideImages,
    form: Form,
    data: DataConfig | None,
    step: Callable[[int, int], None],
    check: Callable[[], None],
) -> tuple[NDArray[np.int64], str, int]:
    """Fingerprints of all images, what there is to say of copies of test images, which it refuses
    where they are certain, and the brightest value of all, 0 to 255.
    """
    bundle = None if data is None else _whole(data)
    if bundle is not None and data is not None:
        classes_in_data(images.root, images.classes, bundle.train.classes)
        require_form(images.root, form.shape, bundle.train.image_shape, data.data)
    prints, fitted = [np.empty(0, dtype=np.int64)], list[Tensor]()
    brightest = 0
    for start in range(0, len(images.places), READ_TOGETHER):
        check()
        some = images.places[start : start + READ_TOGETHER]
        pixels = torch.stack([form.read(place) for place in some])
        prints.append(fingerprints(pixels))
        brightest = max(brightest, int(pixels.max()))
        if bundle is not None:
            fitted.append(fit_shape(pixels, bundle.train.image_shape))
        step(start + len(some), len(images.places))
    if bundle is None:
        return np.concatenate(prints), "not looked for (give --data)", brightest
    test = KnownImages(bundle.test.x, names_of_test(bundle.test_paths, len(bundle.test)), check)
    found = test.look(torch.cat(fitted), [str(place) for place in images.places])
    found.refuse(shown(images.root), "remove them, or render others")
    words = found.remark(shown(images.root)) or f"none found among {len(bundle.test)} test images"
    return np.concatenate(prints), words, brightest


def _whole(data: DataConfig) -> DataBundle:
    """All images of a data set, whatever labels a regime leaves."""
    regime = {"per_class": None, "imbalance": 1.0, "labels": None, "unlabelled": None, "rare": None}
    return load_data(data.model_copy(update=regime), 0)


def _renderer(
    images: OutsideImages, form: Form
) -> Callable[[int, int, int], tuple[Tensor, Tensor]]:
    """Reads the images of a shard; candidate i of a class is its i-th file."""
    y = torch.tensor(images.y)
    first = torch.searchsorted(y, torch.arange(len(images.classes))).tolist()

    def render(class_index: int, n: int, start: int) -> tuple[Tensor, Tensor]:
        begin = first[class_index] + start
        pixels = torch.stack([form.read(place) for place in images.places[begin : begin + n]])
        return from_uint8(pixels), torch.arange(start, start + n)

    return render


def _form_in_words(form: Form) -> str:
    channels, height, width = form.shape
    return f"{width}x{height} {'grey' if channels == 1 else 'RGB'}"
