"""What needs no download: scikit-learn's digits, plain and under eight looks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from augmentor.common.types import DataError, LabelledImages
from augmentor.data.resize import fit_square
from augmentor.data.splits import stratified_split
from pipelines.conditions.looks import LOOKS, looks_of, with_looks
from pipelines.config import DataConfig
from pipelines.data.full import SPLIT_SEED, FullData, images_of_pixels
from pipelines.data.table import DIGITS
from pipelines.data.torchvision_sets import open_set

WITH_LOOKS = ("digits-conditions", "mnist-conditions")
HALVES_NOTE = f"stratified halves, seed {SPLIT_SEED}"


def load_digits(data: DataConfig) -> FullData:
    """Scikit-learn's digits in two stratified halves."""
    strokes, y = digits()
    everything = images_of_pixels(data, _as_pixels(strokes)[:, None], torch.from_numpy(y), DIGITS)
    train, test = stratified_split(everything.y, 0.5, SPLIT_SEED)
    return FullData("digits", everything.subset(train), everything.subset(test), HALVES_NOTE)


def load_looks(data: DataConfig) -> FullData:
    """MNIST or digits under eight looks, drawn by the rule of ``looks_of``; the condition ``look``
    is attached if it is asked for.

    Raises:
        DataError: If another condition is asked for, or MNIST is not to be had.
    """
    if data.condition not in (None, LOOKS.names):
        raise DataError(
            f"{data.data} has no column {', '.join(data.condition or ())!r}; its columns are "
            f"{', '.join(LOOKS.names)}"
        )
    looks = f"each image under one of {LOOKS.size} looks, drawn by its number"
    if data.data == "digits-conditions":
        images = _digits_with_looks(data)
        first, second = stratified_split(images.y, 0.5, SPLIT_SEED)
        note = f"{HALVES_NOTE}; {looks}"
        return FullData(data.data, images.subset(first), images.subset(second), note)
    parts = []
    for name, keywords in (("train", {"train": True}), ("test", {"train": False})):
        found = open_set(data, keywords)
        parts.append(_with_looks(data, name, found.data, found.targets, DIGITS))
    return FullData(data.data, parts[0], parts[1], f"official split; {looks}")


def digits() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
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

    found = load_digits()
    return found.images, found.target


def _as_pixels(strokes: NDArray[np.float64]) -> Tensor:
    """uint8 (N, 8, 8)."""
    return torch.from_numpy(np.rint(strokes * (255 / 16)).astype(np.uint8))


def _digits_with_looks(data: DataConfig) -> LabelledImages:
    strokes, y = digits()
    pixels = _as_pixels(strokes)
    # Twice the side: stripes and strokes of the looks are two pixels wide.
    pixels = fit_square(pixels[:, None], 2 * pixels.shape[-1])[:, 0]
    return _with_looks(data, "all", pixels, torch.from_numpy(y), DIGITS)


def _with_looks(
    data: DataConfig, part: str, pixels: Tensor, y: Tensor, classes: Sequence[str]
) -> LabelledImages:
    """Grey images (N, H, W) uint8 under their looks, with the condition if it is asked for."""
    look = looks_of(part, len(pixels))
    images = images_of_pixels(data, with_looks(pixels, look)[:, None], y, classes)
    if data.condition is None:
        return images
    return replace(images, condition=look, conditions=LOOKS)
