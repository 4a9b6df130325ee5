"""A pipeline of the package ``diffusers`` as a source: it renders prompts, or class numbers, into a
synthetic set.

Nothing of ``diffusers`` is imported: a pipeline is whatever can be called as its pipelines are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from augmentor.common.randomness import rng_for
from augmentor.common.types import DataError
from augmentor.data.fingerprint import from_uint8
from augmentor.data.resize import fit_square
from augmentor.data.synthetic_images import fit_shape
from augmentor.data.synthetic_store import (
    UNKNOWN,
    Format,
    Recipe,
    trained_on_digest,
    write_set,
)

FAMILY = "diffusers"
NOTHING_KNOWN = np.empty(0, dtype=np.int64)


class Pipeline(Protocol):
    """What is needed of a pipeline: ``StableDiffusionPipeline`` takes ``prompt``, ``DiTPipeline``
    takes ``class_labels``.
    """

    components: Mapping[str, Any]

    def __call__(self, **asked: Any) -> Any:
        """Images as ``.images``, float (N, H, W, C) in [0, 1], for ``output_type="np"``."""


def write_diffusers_set(
    pipeline: Pipeline,
    out: str | Path,
    prompts: Mapping[str, str | int],
    per_class: int,
    *,
    size: int | None = None,
    grey: bool = False,
    seed: int = 0,
    batch_size: int = 8,
    format: Format = "folder",
    on_shard: Callable[[int, int], None] | None = None,
    **options: Any,
) -> Recipe:
    """Render images of every class with a pipeline, or finish the set an interrupted call left.

    Every image has random numbers of its own, drawn from (seed, class, number), so that a set does
    not depend on how often it was interrupted.

    Args:
        pipeline: Loaded, on its device, with its progress bar as you like it.
        out: Folder of the set; new, empty, or with a set of the same recipe.
        prompts: For every class name what the pipeline is asked for: a prompt, or the number of
            the class in the pipeline.
        per_class: Images of every class.
        size: Side of squares that are cut from the middle; None keeps the pipeline's.
        grey: One channel in the place of three.
        seed: Of the random numbers.
        batch_size: Images rendered together.
        format: A folder of PNG files per class, or tar shards in WebDataset's layout.
        on_shard: Called with images done and images in all, after every shard; may raise to stop.
        options: Passed to the pipeline, such as ``num_inference_steps``; JSON values.

    Returns:
        The recipe of the set. What the pipeline was trained on is not known, so nobody can tell
        whether it has seen test images; ``augmentor gain --synthetic`` looks for copies of them.

    Raises:
        ValueError: If classes are missing, or prompts and numbers are mixed.
        DataError: If ``out`` holds other files or a set of another recipe.

    Example:
        >>> write_diffusers_set(  # doctest: +SKIP
        ...     pipeline, "set", {"cat": "a photo of a cat"}, 100, size=64, num_inference_steps=30
        ... )
    """
    if not prompts or len({isinstance(one, int) for one in prompts.values()}) > 1:
        raise ValueError("prompts names a prompt for every class, or a number for every class")
    render = _Renderer(pipeline, prompts, size, grey, seed, batch_size, options)
    recipe = Recipe(
        family=f"{FAMILY} {type(pipeline).__name__}",
        source_sha256=_digest(pipeline, options),
        classes=tuple(prompts),
        image_shape=render.image_shape(),
        counts=dict.fromkeys(prompts, per_class),
        seed=seed,
        source_augment=UNKNOWN,
        trained_on=trained_on_digest(NOTHING_KNOWN),
        format=format,
        prompts=dict(prompts),
        batch_size=batch_size,
    )
    write_set(Path(out), recipe, NOTHING_KNOWN, render, on_shard)
    return recipe


class _Renderer:
    """Renders the images of a shard; parameters as ``write_diffusers_set``."""

    def __init__(
        self,
        pipeline: Pipeline,
        prompts: Mapping[str, str | int],
        size: int | None,
        grey: bool,
        seed: int,
        batch_size: int,
        options: Mapping[str, Any],
    ) -> None:
        self.pipeline, self.prompts, self.options = pipeline, list(prompts.values()), options
        self.size, self.grey, self.seed, self.batch_size = size, grey, seed, batch_size

    def __call__(self, class_index: int, n: int, start: int) -> tuple[Tensor, Tensor]:
        numbers = range(start, start + n)
        return from_uint8(torch.cat(list(self._batches(class_index, numbers)))), torch.tensor(
            numbers
        )

    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the images, found by rendering one."""
        _, channels, height, width = next(self._batches(0, range(1))).shape
        return channels, height, width

    def _batches(self, class_index: int, numbers: range) -> Iterator[Tensor]:
        for first in range(0, len(numbers), self.batch_size):
            yield self._pixels(class_index, numbers[first : first + self.batch_size])

    def _pixels(self, class_index: int, numbers: range) -> Tensor:
        """Images of a class, uint8 (N, C, H, W)."""
        asked = [self.prompts[class_index]] * len(numbers)
        key = "class_labels" if isinstance(asked[0], int) else "prompt"
        # On the CPU, so that a set does not depend on the device it was made on but by rounding.
        rngs = [rng_for("diffusers", self.seed, class_index, number) for number in numbers]
        with torch.no_grad():
            found = self.pipeline(**{key: asked}, generator=rngs, output_type="np", **self.options)
        if any(getattr(found, "nsfw_content_detected", None) or ()):
            raise DataError(
                f"the pipeline's safety checker blackened images of {asked[0]!r}: ask for "
                "something else, or make the pipeline with safety_checker=None if you may"
            )
        images = torch.from_numpy(np.asarray(found.images)).permute(0, 3, 1, 2)
        pixels = (images.float() * 255).round().clamp(0, 255).to(torch.uint8)
        if self.size is not None:
            pixels = fit_square(pixels, self.size)
        return fit_shape(pixels, (1 if self.grey else 3, pixels.shape[2], pixels.shape[3]))


def _digest(pipeline: Pipeline, options: Mapping[str, Any]) -> str:
    """SHA-256 of the weights of all networks of a pipeline, and of its options."""
    found = hashlib.sha256(json.dumps(options, sort_keys=True).encode())
    for name, part in sorted(pipeline.components.items()):
        if not isinstance(part, nn.Module):
            continue
        for key, value in sorted(part.state_dict().items()):
            found.update(f"{name}.{key} {value.dtype} {tuple(value.shape)}".encode())
            found.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return found.hexdigest()
