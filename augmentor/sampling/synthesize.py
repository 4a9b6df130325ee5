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

from augmentor.common.types import DataError, DivergedError, LabelledImages, SampleSource, device_of
from augmentor.data.candidates import BATCH_SIZE, latents
from augmentor.data.synthetic_store import Recipe, write_set

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
        ValueError: If there is no such class.
        DataError: If fewer than ``n`` of ``budget`` candidates were accepted.
        DivergedError: If the source renders NaN or infinite pixels.
    """
    if not 0 <= class_index < len(source.classes):
        raise ValueError(
            f"there is no class {class_index}; the source has 0 to {len(source.classes) - 1}"
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
        ValueError: If a class is unknown or a count negative.
        DataError: If the filter accepts too few of a class.
    """
    if any(n < 0 for n in counts.values()):
        raise ValueError(f"counts must not be negative, got {dict(counts)}")
    wanted = sorted(counts.items())
    images = [
        render(source, index, n, seed, accept=accept, batch_size=batch_size)[0]
        for index, n in wanted
    ]
    x = torch.cat([torch.empty(0, *source.image_shape), *images])
    y = torch.tensor([index for index, n in wanted for _ in range(n)], dtype=torch.int64)
    return LabelledImages(x, y, source.classes)


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
    """

    def render_shard(class_index: int, n: int, start: int) -> tuple[Tensor, Tensor]:
        left = TRIES * recipe.counts[recipe.classes[class_index]] - start
        return render(source, class_index, n, recipe.seed, start, accept, left, recipe.batch_size)

    write_set(folder, recipe, trained_on, render_shard, on_shard)


def _render_batch(
    source: SampleSource, class_index: int, first: int, count: int, seed: int, accept: Accept | None
) -> tuple[Tensor, Tensor]:
    """Images (count, C, H, W) and whether they passed (count,), both on the CPU."""
    z = latents(seed, class_index, first, count, source.latent_dim).to(device_of(source))
    y = torch.full((count,), class_index, dtype=torch.int64, device=z.device)
    x = source.sample(y, z)
    if not bool(torch.isfinite(x).all()):
        raise DivergedError(
            f"class {source.classes[class_index]!r}: the source renders NaN or infinite pixels"
        )
    passed = torch.ones(count, dtype=torch.bool) if accept is None else accept(x, y)
    return x.cpu(), passed.cpu()
