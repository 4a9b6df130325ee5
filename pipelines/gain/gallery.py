"""The pictures of a gain report, read from what the first replicate kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from augmentor.common.types import LabelledImages
from augmentor.data.combinations import Bins, combinations_of
from augmentor.data.fingerprint import from_uint8
from pipelines.experiment.parts import PartError
from pipelines.experiment.plan import Group
from pipelines.gain.plan import GainPlan
from pipelines.generators.contact_sheet import matrix_of
from pipelines.report.explorer import Shown, few_of
from pipelines.workbench.training_parts import TrainingTask, bins_of_bundle

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class Gallery:
    """The pictures of a report, all from one replicate.

    Args:
        classes: Names of the classes.
        shown: Images by origin.
        conditions: Names of the conditions.
        matrix: Photos and rendered images by class and condition; None without conditions.
        copies: What ``copies_among`` found; empty in runs of earlier versions.
    """

    classes: Sequence[str]
    shown: Sequence[Shown]
    conditions: Sequence[str] = ()
    matrix: Image.Image | None = None
    copies: Mapping[str, Any] = field(default_factory=dict)


def read_gallery(plan: GainPlan, group: Group[TrainingTask]) -> Gallery | None:
    """The pictures that the first replicate kept, and those of other generators' sets; None
    without any.
    """
    tensors, copies = _kept(plan, group)
    outside = _outside(plan)
    if not tensors and not outside:
        return None
    train, bins = plan.bundle.train, bins_of_bundle(plan.bundle)
    shown = _shown(tensors, bins) if tensors else [_first("real", train)]
    names = () if bins is None else bins.names
    matrix = None if bins is None else _matrix(train, tensors, bins)
    return Gallery(train.classes, [*shown, *outside], names, matrix, copies)


def _kept(plan: GainPlan, group: Group[TrainingTask]) -> tuple[Tensors, Mapping[str, Any]]:
    part = group.task.gallery
    if part is None or not plan.store.has(part):
        return {}, {}
    try:
        found = plan.store.read(part)
    except PartError:  # a page without pictures is better than none at all
        return {}, {}
    return found.tensors, found.content.get("copies", {})


def _outside(plan: GainPlan) -> list[Shown]:
    """The first images of every class of every set that another generator made."""
    return [_first(one.name, one.images.images()) for one in plan.outside]


def _first(origin: str, images: LabelledImages) -> Shown:
    some = images.subset(few_of(images.y, images.x[0].numel()))
    return Shown(origin, some.x, some.y)


def _shown(tensors: Tensors, bins: Bins | None) -> list[Shown]:
    """Training images, rendered ones, and the neighbours of these."""
    if "real_images" not in tensors:
        return _shown_before(tensors, bins)
    made = _of("rendered", "made", tensors)
    near = _of("training", "near", tensors, listed=False)
    judged = {name: tensors.get(name) for name in ("confidence", "agrees", "near", "distances")}
    return [_of("real", "real", tensors), Shown(**{**vars(made), **judged}), near]


def _of(origin: str, name: str, tensors: Tensors, *, listed: bool = True) -> Shown:
    x, condition = from_uint8(tensors[f"{name}_images"]), tensors.get(f"{name}_condition")
    return Shown(origin, x, tensors[f"{name}_y"], condition, listed=listed)


def _shown_before(tensors: Tensors, bins: Bins | None) -> list[Shown]:
    """What version 0.1 kept: eight images of every class, and one of every combination."""
    found = []
    for origin, name, single in (("real", "real", "photo"), ("rendered", "synthetic", "made")):
        x, y, place = tensors[f"{name}_x"], tensors[f"{name}_y"], None
        if bins is not None and f"{single}_x" in tensors:
            number = tensors[f"{single}_number"]
            x, y, place = tensors[f"{single}_x"], number // len(bins), number % len(bins)
        found.append(Shown(origin, x, y, place))
    near = tensors["neighbours"]
    numbers = torch.arange(near[:, :, 0, 0, 0].numel()).reshape(near.shape[:2])
    samples = Shown(
        "rendered, with neighbours",
        tensors["samples_x"],
        tensors["samples_y"],
        near=numbers,
        distances=tensors["distances"],
    )
    nobody = torch.full((numbers.numel(),), -1)
    return [*found, samples, Shown("training", near.flatten(0, 1), nobody, listed=False)]


def _matrix(train: LabelledImages, tensors: Tensors, bins: Bins) -> Image.Image | None:
    """Photos and rendered images of the first replicate, where the part has some."""
    if "photo_x" not in tensors:
        return None
    by_number = []
    for name in ("photo", "made"):
        numbers: list[int] = tensors[f"{name}_number"].tolist()
        by_number.append(dict(zip(numbers, tensors[f"{name}_x"], strict=True)))
    return matrix_of(combinations_of(train, bins), by_number[0], by_number[1])
