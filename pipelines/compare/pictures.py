"""What is shown of every row: its first samples, and real images that it encoded and rendered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from PIL import Image

from augmentor.api import Source
from augmentor.common.randomness import seed_for
from augmentor.common.types import EncodingSource, LabelledImages, device_of
from augmentor.editing.reconstruct import reconstruct
from augmentor.sampling.synthesize import synthesize
from pipelines.datasets import DataBundle
from pipelines.generators.compared import evenly_spaced, first_of_each
from pipelines.report.pictures import packed, sample_grid, unpacked

COLUMNS = 20
"""Pictures per row."""
LONGEST_SHORT_NAME = 4
"""Characters; longer names would run into each other above the columns."""

Shown = Mapping[str, Mapping[str, str]]
"""Row to kind (``samples``, ``reconstructions``) to images as ``packed`` returns them."""


def shown_counts(num_classes: int) -> dict[int, int]:
    """How many pictures of which classes a row shows: about twenty in all, whatever the number of
    classes.
    """
    chosen = evenly_spaced(num_classes, COLUMNS)
    return dict.fromkeys(chosen, max(1, COLUMNS // len(chosen)))


def shown_images(images: LabelledImages) -> LabelledImages:
    """The real images at the top of the pictures: the first of every class shown."""
    return images.subset(first_of_each(images.y, shown_counts(len(images.classes))))


def pictures_of(source: Source, bundle: DataBundle, batch_size: int, seed: int) -> dict[str, str]:
    """What a row shows: the first samples of every class shown, not picked, and the real images
    beside them encoded and rendered, if the source encodes.

    Args:
        source: What renders.
        bundle: The data; its test part gives the real images.
        batch_size: Images rendered together.
        seed: Of the comparison.
    """
    counts = shown_counts(len(bundle.train.classes))
    together = min(batch_size, max(counts.values()))
    samples = synthesize(source, counts, seed_for("samples", seed), batch_size=together)
    found = {"samples": packed(samples.x)}
    if isinstance(source, EncodingSource):
        real, device = shown_images(bundle.test), device_of(source)
        rendered = reconstruct(cast(EncodingSource, source), real.x.to(device), real.y.to(device))
        found["reconstructions"] = packed(rendered.cpu())
    return found


def strips_of(shown: Shown, kind: str) -> dict[str, str]:
    """The images of one kind by row; rows without any are left out."""
    return {row: kinds[kind] for row, kinds in shown.items() if kind in kinds}


def grids(shown: Shown, bundle: DataBundle) -> dict[str, Image.Image]:
    """``compare`` (one row of samples per family, real images on top) and ``reconstructions``, if a
    family encodes.

    Args:
        shown: Of all rows.
        bundle: The data; its test part gives the real images.
    """
    found = {}
    for name, kind in (("compare", "samples"), ("reconstructions", "reconstructions")):
        strips = strips_of(shown, kind)
        if strips:
            found[name] = _grid(strips, bundle)
    return found


def _grid(strips: Mapping[str, str], bundle: DataBundle) -> Image.Image:
    real = shown_images(bundle.test)
    names = [bundle.test.classes[index] for index in real.y.tolist()]
    above = names if max(map(len, names)) <= LONGEST_SHORT_NAME else []
    per_class = max(shown_counts(len(bundle.test.classes)).values())
    group = per_class if per_class > 1 else 0  # a gap between two classes
    rows = [real.x, *map(unpacked, strips.values())]
    return sample_grid(rows, ["real", *strips], column_names=above, group=group)
