"""The pictures that the first replicate keeps for the report, as one part beside its trainings."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from augmentor.common.types import LabelledImages, SampleSource, conditions_of
from augmentor.data.combinations import Combinations, combinations_of
from augmentor.data.fingerprint import to_uint8
from augmentor.sampling.synthesize import synthesize
from downstream.arms.recipe import Recipe
from downstream.arms.table import FILL_SHARE, FILL_SPREAD
from pipelines.experiment.parts import Part, PartStore, described
from pipelines.experiment.setting import Setting
from pipelines.generators.contact_sheet import firsts, shown_of
from pipelines.generators.copied import copies_among
from pipelines.generators.in_memory import at_side, for_generator, options_of
from pipelines.report.explorer import few_of
from pipelines.workbench.workbench import Workbench

CODE = 1
"""Of the pictures; raise it when readers of a part no longer understand older ones."""
LOOKED_THROUGH = 240
"""Rendered images among which copies of training images are looked for."""
NEIGHBOURS = 4
ROWS = 256
"""Rendered images whose distances to all training images are computed at a time."""
FILLED = Recipe(share=FILL_SHARE, spread=FILL_SPREAD, fill=True)


def gallery_part(setting: Setting, name: str, seed: int, has_pool: bool) -> Part:
    """The name and description of the pictures of a replicate."""
    found: dict[str, Any] = {"code": CODE, "seed": seed, "device": setting.device_type}
    found |= setting.data_description()
    found["generator"] = described(setting.source)
    found["generator_options"] = options_of(setting.source)
    if has_pool:
        found["pool"] = described(setting.pool)
        found["classifier"] = setting.classifier_description()
    return Part("gallery", name, found)


def keep_gallery(part: Part, bench: Workbench, store: PartStore) -> None:
    """Keep training images, rendered ones, and the nearest training images of each of these.

    Tensors, images as uint8 (N, C, H, W): ``real_images``, ``made_images`` and ``near_images``,
    each with ``_y`` and, where known, ``_condition``; ``near`` and ``distances`` (N, k) of the
    rendered ones, numbers into the last; ``confidence`` and ``agrees`` (N,) where an arm has
    trained the judge; of a source that knows conditions ``photo_x`` and ``made_x``, the first of
    every combination.
    """
    settings = bench.setting.source
    train, rendered = for_generator(bench.train, settings), _rendered(bench)
    known = train.x
    if bench.pool is not None:
        known = torch.cat([known, at_side(bench.pool, train.image_shape[1])])
    made = _few(rendered, bench)
    tensors = _described("real", _few(train, bench), bench)
    tensors |= _described("made", made, bench) | _judged(made, bench)
    tensors |= _nearest(made.x, known, train, bench)
    if conditions_of(bench.source) and bench.bins is not None:
        table = combinations_of(train, bench.bins)
        tensors |= _of_every_combination("photo", train, table)
        tensors |= _of_every_combination("made", rendered, table)
    some = torch.linspace(0, len(rendered) - 1, min(LOOKED_THROUGH, len(rendered))).long()
    copies = copies_among(known, rendered.x[some], bench.check)
    store.write(part, {"copies": copies}, tensors, seconds={}, device=bench.setting.device)


def _rendered(bench: Workbench) -> LabelledImages:
    """What the arms were trained on; where they were not yet, images rendered for the purpose."""
    settings, source = bench.setting.source, bench.source
    if conditions_of(source):
        return for_generator(bench.synthetic(FILLED), settings)
    sets = [one for one in bench.rendered if not one.conditions]
    if sets:
        return for_generator(max(sets, key=len), settings)
    return _some(source, bench.seed)


def _some(source: SampleSource, seed: int) -> LabelledImages:
    """Rendered images, equally many of every class."""
    per_class = max(1, LOOKED_THROUGH // len(source.classes))
    return synthesize(source, dict.fromkeys(range(len(source.classes)), per_class), seed)


def _few(images: LabelledImages, bench: Workbench) -> LabelledImages:
    """As many as a page shows, equally many of every class or combination."""
    groups = images.y
    if bench.bins is not None and images.condition is not None:
        groups = combinations_of(bench.train, bench.bins).of(images)
    return images.subset(few_of(groups, images.x[0].numel()))


def _described(name: str, images: LabelledImages, bench: Workbench) -> dict[str, Tensor]:
    found = {f"{name}_images": to_uint8(images.x), f"{name}_y": images.y}
    if bench.bins is not None and images.condition is not None:
        found[f"{name}_condition"] = bench.bins.of(images.condition)
    return found


def _judged(images: LabelledImages, bench: Workbench) -> dict[str, Tensor]:
    class_probs = bench.opinion(at_side(images.x.cpu(), bench.train.image_shape[1]))
    if class_probs is None:
        return {}
    asked = class_probs.gather(1, images.y[:, None])[:, 0]
    return {"confidence": asked.float(), "agrees": class_probs.argmax(dim=1) == images.y}


def _nearest(
    x: Tensor, known: Tensor, train: LabelledImages, bench: Workbench
) -> dict[str, Tensor]:
    """The nearest of all images that the generator saw, by root mean square pixel difference on
    the scale [0, 1]; those of the pool have no class, -1.
    """
    flat, scale, found = known.flatten(1), 2 * x[0].numel() ** 0.5, []
    for rows in torch.split(x.flatten(1), ROWS):
        if bench.check is not None:
            bench.check()
        found.append(torch.cdist(rows, flat).topk(min(NEIGHBOURS, len(known)), largest=False))
    numbers = torch.cat([one.indices for one in found])
    distances = torch.cat([one.values for one in found]) / scale
    kept, near = torch.unique(numbers, return_inverse=True)
    labelled = kept < len(train)
    own = kept.clamp(max=len(train) - 1)
    tensors = {"near": near, "distances": distances, "near_images": to_uint8(known[kept])}
    tensors["near_y"] = torch.where(labelled, train.y[own], -1)
    if bench.bins is not None and train.condition is not None:
        place = bench.bins.of(train.condition)[own]
        tensors["near_condition"] = torch.where(labelled, place, -1)
    return tensors


def _of_every_combination(
    name: str, images: LabelledImages, table: Combinations
) -> dict[str, Tensor]:
    """The first image of every combination that a matrix shows, and its number, as tensors."""
    rows, columns = shown_of(table)
    shown = {row * len(table.bins) + column for row in rows for column in columns}
    found = firsts(table, images)
    numbers = sorted(shown & set(found))
    x = torch.stack([found[number] for number in numbers])
    return {f"{name}_x": x, f"{name}_number": torch.tensor(numbers, dtype=torch.int64)}
