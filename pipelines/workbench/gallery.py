"""The pictures that the first replicate keeps for the report, as one part beside its trainings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from augmentor.common.types import LabelledImages, conditions_of
from augmentor.data.combinations import Combinations, combinations_of
from augmentor.data.fingerprint import to_uint8
from downstream.arms.recipe import Recipe
from downstream.arms.table import FILL_SHARE, FILL_SPREAD
from pipelines.experiment.parts import Part, PartStore, described
from pipelines.experiment.setting import Setting
from pipelines.generators.contact_sheet import firsts, shown_of
from pipelines.generators.copied import copies_among
from pipelines.generators.in_memory import at_side, for_generator, options_of
from pipelines.pool import pool_description
from pipelines.report.explorer import few_of
from pipelines.workbench.workbench import Workbench

CODE = 1
"""Of the pictures; raise it when readers of a part no longer understand older ones."""
LOOKED_THROUGH = 240
"""Rendered images among which copies of training images are looked for."""
NEIGHBOURS = 4
ROWS = 256
"""Rendered images whose distances to training images are computed at a time."""
READ_TOGETHER = 2**28
"""Bytes of training images that are compared at a time: they may lie on disk."""
FILLED = Recipe(share=FILL_SHARE, spread=FILL_SPREAD, fill=True)


def gallery_part(setting: Setting, name: str, seed: int, has_pool: bool) -> Part:
    """The name and description of the pictures of a replicate."""
    found: dict[str, Any] = {"code": CODE, "seed": seed, "device": setting.device_type}
    found |= setting.data_description()
    found["generator"] = described(setting.source)
    found["generator_options"] = options_of(setting.source)
    if has_pool:
        found |= pool_description(setting.pool)
        found["classifier"] = setting.classifier_description()
    return Part("gallery", name, found)


def keep_gallery(part: Part, bench: Workbench, store: PartStore, recipes: Sequence[Recipe]) -> None:
    """Keep training images, rendered ones, and the nearest training images of each of these.

    Tensors, images as uint8 (N, C, H, W): ``real_images``, ``made_images`` and ``near_images``,
    each with ``_y`` and, where known, ``_condition``; ``near`` and ``distances`` (N, k) of the
    rendered ones, numbers into the last; ``confidence`` and ``agrees`` (N,) where an arm has
    trained the judge; of a source that knows conditions ``photo_x`` and ``made_x``, the first of
    every combination.

    Equal recipes give equal pictures, also where a run that was stopped made its trainings before:
    what the bench lacks then is made again.

    Args:
        part: The pictures.
        bench: Of the replicate.
        store: Where they go.
        recipes: Of its arms.
    """
    settings = bench.setting.source
    train, rendered = for_generator(bench.train, settings), _rendered(bench, recipes)
    if any(one == bench.judge or one.needs_judge for one in recipes):
        bench.classifier(bench.judge)
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


def _rendered(bench: Workbench, recipes: Sequence[Recipe]) -> LabelledImages:
    """The largest set that an arm was trained on; with conditions, images of all combinations."""
    wanted = [FILLED] if conditions_of(bench.source) else [one for one in recipes if one.renders]
    sets = [bench.synthetic(recipe) for recipe in wanted]
    return for_generator(max(sets, key=len), bench.setting.source)


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
    numbers, distances = nearest_images(x, known, bench.check)
    kept, near = torch.unique(numbers, return_inverse=True)
    labelled = kept < len(train)
    own = kept.clamp(max=len(train) - 1)
    tensors = {"near": near, "distances": distances, "near_images": to_uint8(known[kept])}
    tensors["near_y"] = torch.where(labelled, train.y[own], -1)
    if bench.bins is not None and train.condition is not None:
        place = bench.bins.of(train.condition)[own]
        tensors["near_condition"] = torch.where(labelled, place, -1)
    return tensors


def nearest_images(
    x: Tensor, known: Tensor, check: Callable[[], None] | None = None
) -> tuple[Tensor, Tensor]:
    """The images nearest to others by root mean square pixel difference on the scale [0, 1].

    Args:
        x: Images, (N, C, H, W).
        known: Those to look among, (M, C, H, W); read once, some at a time.
        check: Called between pieces of work; may raise to stop.

    Returns:
        Numbers into ``known``, int64, and distances, float32, both (N, k), the nearest first; k is
        ``NEIGHBOURS``, or M if there are fewer.
    """
    flat, first = x.flatten(1), 0
    numbers, distances = [], []
    for some in torch.split(known, max(1, READ_TOGETHER // (4 * flat.shape[1]))):
        near = _nearest_rows(flat, some.flatten(1), check)
        numbers.append(near[0] + first)
        distances.append(near[1])
        first += len(some)
    least, order = torch.cat(distances, dim=1).sort(dim=1, stable=True)
    chosen = torch.cat(numbers, dim=1).gather(1, order[:, :NEIGHBOURS])
    return chosen, least[:, :NEIGHBOURS] / (2 * flat.shape[1] ** 0.5)


def _nearest_rows(
    x: Tensor, known: Tensor, check: Callable[[], None] | None
) -> tuple[Tensor, Tensor]:
    """Numbers and distances of the rows (M, D) nearest to others (N, D), as (N, k)."""
    found = []
    for rows in torch.split(x, ROWS):
        if check is not None:
            check()
        found.append(torch.cdist(rows, known).topk(min(NEIGHBOURS, len(known)), largest=False))
    return torch.cat([one.indices for one in found]), torch.cat([one.values for one in found])


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
