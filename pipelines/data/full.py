"""Training and test part of a data set before a regime, and what all readers share: the form of
the images, and whether they fit in memory.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from augmentor.common.types import DataError, LabelledImages
from augmentor.data.fingerprint import fingerprints, from_uint8, overlap
from augmentor.data.resize import fit_square, with_channels
from pipelines.config import IMAGE_SIZES, DataConfig

SPLIT_SEED = 0  # of sets without an official split; this one never changes
BYTES_PER_VALUE = 5  # one of 8 bits while it is read, and the float32 it becomes
TOGETHER = 4096
USUAL_SHARE = 4
"""Images may take one part in so many of the memory there is: several processes hold them."""
LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""Where Linux says how much memory a container may take."""


@dataclass(frozen=True)
class FullData:
    """A whole data set.

    Args:
        name: Its name, or that of its folder.
        train: All training images.
        test: All test images.
        note: Where the split and the form of the images come from, in words.
        test_paths: Files of the test images, in their order; None where they have none of their
            own.
    """

    name: str
    train: LabelledImages
    test: LabelledImages
    note: str
    test_paths: tuple[Path, ...] | None = None


def side_for(data: DataConfig, side: int | None) -> int:
    """Side of the images: as asked for, else the largest one offered that the stored side fills.

    Args:
        data: What was asked for.
        side: Pixels of the stored images; None for photos, which fill ``data.max_size``.
    """
    most = data.max_size if side is None else side
    return data.size or max((int(s) for s in IMAGE_SIZES if s <= most), default=IMAGE_SIZES[0])


def refuse_fraction(data: DataConfig, where: str) -> None:
    """Refuse a ``test_fraction`` that nothing would heed, as the data have a test part already.

    Args:
        data: What was asked for.
        where: The data, for the error.

    Raises:
        DataError: If it is not the default one.
    """
    if data.test_fraction != DataConfig.model_fields["test_fraction"].default:
        raise DataError(
            f"{where}: has a test part, which test_fraction {data.test_fraction:g} would not "
            "change; leave it out"
        )


def images_of_pixels(
    data: DataConfig, pixels: Tensor, y: Tensor, names: Sequence[str]
) -> LabelledImages:
    """Stored squares in the form asked for; their own side and channels unless others are given.

    Args:
        data: What was asked for.
        pixels: uint8 (N, C, H, W) with one or three channels.
        y: Class indices, int64 (N,).
        names: Names of the classes.
    """
    size = side_for(data, pixels.shape[-1])
    grey = pixels.shape[1] == 1 if data.grey is None else data.grey
    channels = 1 if grey else 3
    squares = torch.empty(len(pixels), channels, size, size, dtype=torch.uint8)
    for start in range(0, len(pixels), TOGETHER):
        part = fit_square(pixels[start : start + TOGETHER], size)
        squares[start : start + TOGETHER] = with_channels(part, channels)
    return LabelledImages(from_uint8(squares), y.long(), (*names,))


def without_twins(full: FullData) -> FullData:
    """Leave out test images that are also training images, where the split is not the user's own
    and no file can be removed.

    One picture under two conditions, such as a letter that two fonts draw alike, is not a fault of
    the data, and a split that is made here may part the two.
    """
    twins = overlap(fingerprints(full.test.x), fingerprints(full.train.x)).tolist()
    if not twins:
        return full
    kept = sorted(set(range(len(full.test))) - set(twins))
    note = f"{full.note}; {len(twins)} test images are pictures of the training part too: left out"
    paths = full.test_paths and tuple(full.test_paths[i] for i in kept)
    test = full.test.subset(torch.tensor(kept, dtype=torch.int64))
    return replace(full, test=test, note=note, test_paths=paths)


def require_memory(name: str, count: int, size: int, *, grey: bool) -> None:
    """Refuse images that do not fit in memory, before the first one is read.

    Raises:
        DataError: If ``count`` images of this form take more than there is.
    """
    needed = image_bytes(count, size, grey=grey)
    if needed > (there := memory_bytes()):
        form = f"{size}x{size} {'grey' if grey else 'RGB'}"
        raise DataError(
            f"{name}: {count} images of {form} take {in_bytes(needed)} of memory, of which there "
            f"are {in_bytes(there)}; ask for a smaller --size, or save them as a folder of images, "
            "which is read from disk"
        )


def image_bytes(count: int, size: int, *, grey: bool) -> int:
    """Memory that images take while they are read."""
    return count * (1 if grey else 3) * size * size * BYTES_PER_VALUE


def most_in_memory(data: DataConfig) -> int:
    """Bytes that the images of a folder may take: what is asked for, else a part of what there
    is.
    """
    return memory_bytes() // USUAL_SHARE if data.memory is None else round(data.memory * 1e9)


def memory_bytes() -> int:
    """Memory that this process may take at most: the machine's, or its container's."""
    found = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for path in map(Path, LIMITS):
        if path.is_file() and (text := path.read_text().strip()).isdigit():
            found.append(int(text))
    return min(found)


def in_bytes(count: int) -> str:
    """``2.0 MB`` or ``24.8 GB``."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
