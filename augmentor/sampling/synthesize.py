"""From counts per class to images. Candidate i of class c is a function of (source, seed, c, i) and
of nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from augmentor.common.types import (
    DataError,
    DivergedError,
    LabelledImages,
    SampleSource,
    conditions_of,
    device_of,
)
from augmentor.data.candidates import BATCH_SIZE, combination_latents, latents, sample
from augmentor.data.fill import Fill
from augmentor.data.synthetic_store import Recipe, RenderShard, require_feasible, write_set
from augmentor.sampling.spread_latents import ScaledLatents

Accept = Callable[[Tensor, Tensor], Tensor]
"""A filter: images (N, C, H, W) and their classes (N,) int64 to bool (N,), true for those to
keep."""

TRIES = 20
"""A class of n images may try this times n candidates before its filter counts as too strict."""


def render(
    source: SampleSource,
    class_index: int,
    n: int,
    seed: int,
    start: int = 0,
    accept: Accept | None = None,
    budget: int | None = None,
    batch_size: int = BATCH_SIZE,
) -> tuple[Tensor, Tensor]:
    """The first ``n`` accepted candidates of a class from candidate ``start`` on.

    Batches are always whole and begin at multiples of ``batch_size``, so that a candidate's pixels
    do not depend on ``n``, ``start`` or what was rendered before, not even by rounding.

    Args:
        source: What renders; an ``nn.Module`` renders on the device of its weights.
        class_index: Index into ``source.classes``.
        n: Images wanted.
        seed: Seed of the latents.
        start: First candidate to try.
        accept: The filter; ``None`` keeps everything.
        budget: Candidates that may be tried; ``TRIES * n`` unless given.
        batch_size: Candidates rendered together.

    Returns:
        Images, float32 (n, C, H, W) in [-1, 1] on the CPU, and the indices of their candidates,
        int64 (n,), ascending.

    Raises:
        ValueError: If the class does not exist.
        DataError: If fewer than ``n`` of ``budget`` candidates were accepted.
        DivergedError: If the source renders NaN or infinite pixels.
    """
    if not 0 <= class_index < len(source.classes):
        raise ValueError(
            f"unknown class {class_index}; the source has 0 to {len(source.classes) - 1}"
        )
    end = start + (TRIES * n if budget is None else budget)
    images, kept, position = (
        [torch.empty(0, *source.image_shape)],
        [torch.empty(0, dtype=torch.int64)],
        start,
    )
    missing = n
    while missing > 0 and position < end:
        first = position - position % batch_size
        x, passed = _render_batch(source, class_index, first, batch_size, seed, accept)
        rows = torch.arange(batch_size)
        chosen = rows[passed & (first + rows >= position) & (first + rows < end)][:missing]
        images.append(x[chosen])
        kept.append(first + chosen)
        missing, position = missing - len(chosen), first + batch_size
    if missing > 0:
        raise DataError(
            f"class {source.classes[class_index]!r}: the filter accepted {n - missing} of "
            f"{end - start} candidates, "
            f"{n} are wanted; lower the filter's threshold, ask for fewer images, or train the "
            "source longer"
        )
    return torch.cat(images), torch.cat(kept)


def synthesize(
    source: SampleSource,
    counts: Mapping[int, int],
    seed: int,
    accept: Accept | None = None,
    batch_size: int = BATCH_SIZE,
) -> LabelledImages:
    """Render so many images of every class, in memory.

    Args:
        source: What renders.
        counts: Images wanted per class index; classes left out get none.
        seed: Seed of the latents.
        accept: The filter; the first accepted candidates are kept.
        batch_size: Candidates rendered together.

    Returns:
        The images, class after class in ascending order, within a class in the order of candidates.
        More images of a class begin with those one gets when asking for fewer.

    Raises:
        ValueError: If a class is unknown, a count is negative, or the counts are more than one set
            may have.
        DataError: If the filter accepts too few of a class.
    """
    if any(n < 0 for n in counts.values()):
        raise ValueError(f"counts must not be negative, got {dict(counts)}")
    require_feasible(sum(counts.values()))
    wanted = sorted(counts.items())
    images = [
        render(source, index, n, seed, accept=accept, batch_size=batch_size)[0]
        for index, n in wanted
    ]
    x = torch.cat([torch.empty(0, *source.image_shape), *images])
    y = torch.tensor([index for index, n in wanted for _ in range(n)], dtype=torch.int64)
    return LabelledImages(x, y, source.classes)


def render_combinations(
    source: SampleSource,
    class_index: int,
    fill: Fill,
    seed: int,
    start: int = 0,
    n: int | None = None,
    batch_size: int = BATCH_SIZE,
) -> tuple[Tensor, Tensor]:
    """Images of a class under the conditions of a plan.

    The latent of an image depends on seed, class, condition and its number among the candidates of
    that combination. Batches begin at multiples of ``batch_size`` of the plan, so that an image
    does not depend on ``start`` and ``n``, not even by rounding.

    Args:
        source: What renders; it was trained with the plan's conditions.
        class_index: Index into ``source.classes``.
        fill: How many images of which combination.
        seed: Seed of the latents.
        start: First image of the class to render.
        n: How many; all from ``start`` on unless given.
        batch_size: Images rendered together.

    Returns:
        Images, float32 (n, C, H, W) in [-1, 1] on the CPU, and their positions in the plan,
        int64 (n,).

    Raises:
        ValueError: If the source has other conditions.
        DivergedError: If the source renders NaN or infinite pixels.
    """
    if conditions_of(source) != fill.conditions:
        raise ValueError(f"the plan is for {fill.conditions}, the source has other conditions")
    slots = fill.slots(source.classes[class_index])
    end = len(slots) if n is None else min(start + n, len(slots))
    images = [torch.empty(0, *source.image_shape)]
    first = start - start % batch_size
    for position in range(first, end, batch_size):
        some = slots[position : position + batch_size]
        z = combination_latents(seed, class_index, some, source.latent_dim)
        images.append(_rendered(source, class_index, z, fill.condition_of(some))[0].cpu())
    return torch.cat(images)[start - first : end - first], torch.arange(start, end)


def synthesize_combinations(source: SampleSource, fill: Fill, seed: int) -> LabelledImages:
    """Render a plan of combinations of class and condition, in memory.

    Args:
        source: What renders; it was trained with the plan's conditions.
        fill: How many images of which combination; see ``data.fill.fill_up_to``.
        seed: Seed of the latents.

    Returns:
        The images with their conditions, class after class in ascending order.

    Raises:
        ValueError: If the source has other conditions or lacks a class.

    Example:
        >>> fill = fill_up_to(training_images)  # doctest: +SKIP
        >>> synthetic = synthesize_combinations(source, fill, seed=0)  # doctest: +SKIP
        >>> both = training_images.joined(synthetic)  # doctest: +SKIP
    """
    if unknown := sorted(set(fill.totals) - set(source.classes)):
        raise ValueError(f"unknown classes {unknown}; known are {list(source.classes)}")
    x, y = [torch.empty(0, *source.image_shape)], [torch.empty(0, dtype=torch.int64)]
    condition = [fill.condition_of([])]
    for index, name in enumerate(source.classes):
        x.append(render_combinations(source, index, fill, seed)[0])
        y.append(torch.full((len(x[-1]),), index))
        condition.append(fill.condition(name))
    return LabelledImages(
        torch.cat(x), torch.cat(y), source.classes, torch.cat(condition), fill.conditions
    )


def synthesize_set(
    source: SampleSource,
    recipe: Recipe,
    folder: Path,
    trained_on: NDArray[np.int64],
    accept: Accept | None = None,
    on_shard: Callable[[int, int], None] | None = None,
) -> None:
    """Render a recipe's images into a folder, or finish what an interrupted run left there.

    Args:
        source: What renders; the source the recipe names.
        recipe: Counts, seed, format and what else decides about the pixels.
        folder: Where the set goes; see ``data.synthetic_store.write_set``.
        trained_on: Fingerprints of the images the source was trained on.
        accept: The filter the recipe names.
        on_shard: Called with images done and images in all, after every shard; may raise to stop
            between two shards.

    Raises:
        DataError: If the folder holds something else, or the filter accepts too few of a class.
        ValueError: If combinations are to be filtered, or the source has other conditions.
    """
    write_set(folder, recipe, trained_on, shard_renderer(source, recipe, accept), on_shard)


def shard_renderer(
    source: SampleSource, recipe: Recipe, accept: Accept | None = None
) -> RenderShard:
    """What renders the shards of a recipe.

    Args:
        source: What renders; the source the recipe names.
        recipe: Counts, seed and what else decides about the pixels.
        accept: The filter the recipe names.

    Raises:
        ValueError: If combinations are to be filtered.
    """
    if recipe.fill is not None and accept is not None:
        raise ValueError("a set of combinations is not filtered")
    if recipe.spread != 1:
        source = ScaledLatents(source, recipe.spread)

    def render_shard(class_index: int, n: int, start: int) -> tuple[Tensor, Tensor]:
        if recipe.fill is not None:
            return render_combinations(
                source, class_index, recipe.fill, recipe.seed, start, n, recipe.batch_size
            )
        left = TRIES * recipe.counts[recipe.classes[class_index]] - start
        return render(source, class_index, n, recipe.seed, start, accept, left, recipe.batch_size)

    return render_shard


def _render_batch(
    source: SampleSource, class_index: int, first: int, count: int, seed: int, accept: Accept | None
) -> tuple[Tensor, Tensor]:
    """Images (count, C, H, W) and whether they passed (count,), both on the CPU."""
    z = latents(seed, class_index, first, count, source.latent_dim)
    x, y = _rendered(source, class_index, z)
    passed = torch.ones(count, dtype=torch.bool) if accept is None else accept(x, y)
    return x.cpu(), passed.cpu()


def _rendered(
    source: SampleSource, class_index: int, z: Tensor, condition: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Images of latents and their classes, on the source's device."""
    z = z.to(device_of(source))
    y = torch.full((len(z),), class_index, dtype=torch.int64, device=z.device)
    x = sample(source, y, z, None if condition is None else condition.to(z.device))
    if not bool(torch.isfinite(x).all()):
        raise DivergedError(
            f"class {source.classes[class_index]!r}: the source renders NaN or infinite pixels"
        )
    return x, y
