"""Plugs into albumentations: a transform that swaps in synthetic images, and a dataset that seeds
every item.

Import this module by its full name; nothing else in the library imports albumentations, which takes
seconds to load.
"""

from __future__ import annotations

import os
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from augmentor.data.class_names import listed
from augmentor.data.numbered_draws import repeat_of
from augmentor.data.shared_epoch import SharedEpoch
from augmentor.data.synthetic_images import Synthetic, draw_from, fit_shape

os.environ.setdefault(
    "NO_ALBUMENTATIONS_UPDATE", "1"
)  # it would ask the package registry for its newest version
import albumentations

METADATA_KEY = "synthetic_metadata"


class SyntheticReplace(albumentations.ImageOnlyTransform):  # type: ignore[misc]
    """Replace the image, with probability ``p``, by a synthetic one of the same class.

    The class of the image comes with the call, as ``FDA`` gets its reference images:
    ``transform(image=image, synthetic_metadata="7")``, by name or label. The synthetic image gets
    the image's size, channels and type (uint8, or float32 in [0, 1]), so place this before
    ``Normalize``. An image of a class of which a stored set has none stays.

    ``albumentations.save`` writes the folder of the synthetic images, not the images: the set has
    to be there when ``albumentations.load`` reads the file. Import this module before you load.

    Args:
        synthetic: Folder or shards on disk, ``SyntheticSet``, ``LabelledImages`` or a live source,
            on the CPU if the loader has workers. Only a folder can be saved.
        classes: Class names of the data; position is label.
        metadata_key: The word under which the class is given.
        p: Probability per image, in [0, 1].

    Raises:
        DataError: If the data lack a class of the synthetic images, or a stored set cannot be
            read.
        ValueError: If ``p`` is not in [0, 1].

    Example:
        >>> import albumentations as A  # doctest: +SKIP
        >>> swap = SyntheticReplace("runs/mine/synthetic", dataset.classes)  # doctest: +SKIP
        >>> A.save(A.Compose([swap, A.HorizontalFlip()]), "train.json")  # doctest: +SKIP
        >>> compose = A.load("train.json")  # doctest: +SKIP
    """

    def __init__(
        self,
        synthetic: Synthetic,
        classes: Sequence[str],
        metadata_key: str = METADATA_KEY,
        p: float = 0.5,
    ) -> None:
        super().__init__(p=p)
        self.classes, self.metadata_key = tuple(classes), metadata_key
        self.draw = draw_from(synthetic, self.classes)
        # Absolute, so that a saved pipeline finds the set from any working directory.
        self.folder = str(Path(synthetic).resolve()) if isinstance(synthetic, str | Path) else None

    @property
    def targets_as_params(self) -> list[str]:
        """What a call must hold beside the image."""
        return [self.metadata_key]

    def get_params_dependent_on_data(
        self, params: dict[str, Any], data: dict[str, Any]
    ) -> dict[str, Any]:
        """Draw the image to put in; ``None`` if there is none of its class."""
        y = torch.tensor([self._label(data[self.metadata_key])])
        if not bool(self.draw.has(y)):
            return {"pixels": None}
        seed = int(self.random_generator.integers(2**63))
        return {"pixels": self.draw(y, torch.Generator().manual_seed(seed))}

    def apply(self, img: NDArray[Any], pixels: Tensor | None = None, **params: Any) -> NDArray[Any]:
        """The drawn image in the form of ``img`` (H, W) or (H, W, C), or ``img`` itself if there is
        none.

        Raises:
            ValueError: If ``img`` is neither uint8 nor float32 in [0, 1].
        """
        _require_form(img)
        if pixels is None:
            return img
        height, width, channels = (*img.shape, 1)[:3]
        array = (
            fit_shape(pixels, (channels, height, width))[0]
            .permute(1, 2, 0)
            .reshape(img.shape)
            .numpy()
        )
        return array if img.dtype == np.uint8 else array / np.float32(255)

    def get_transform_init_args(self) -> dict[str, Any]:
        """What ``repr`` shows, and ``albumentations.save`` writes: plain lists and strings."""
        return {
            "synthetic": self.folder,
            "classes": list(self.classes),
            "metadata_key": self.metadata_key,
        }

    def to_dict_private(self) -> dict[str, Any]:
        """The transform as albumentations writes it to a file.

        Raises:
            NotImplementedError: If the synthetic images came from memory; albumentations' ``save``
                looks for this type.
        """
        if self.folder is None:
            raise NotImplementedError(
                "SyntheticReplace cannot be saved, its images came from memory: write them to a "
                "folder (augmentor synth) and give that folder as `synthetic`"
            )
        state: dict[str, Any] = super().to_dict_private()
        return state

    def _label(self, given: Any) -> int:
        if isinstance(given, str) and given in self.classes:
            return self.classes.index(given)
        if not isinstance(given, str) and 0 <= int(given) < len(self.classes):
            return int(given)
        raise ValueError(
            f"{self.metadata_key} names the unknown class {given!r}: known are "
            f"{listed(self.classes)}"
        )


def _require_form(img: NDArray[Any]) -> None:
    if img.dtype == np.uint8:
        return
    low, high = float(img.min()), float(img.max())
    if img.dtype != np.float32 or low < 0 or high > 1:
        raise ValueError(
            f"SyntheticReplace takes uint8, or float32 in [0, 1], got {img.dtype} from {low:g} to "
            f"{high:g}: place it before Normalize"
        )


class SeededItems(SharedEpoch, Dataset[tuple[Any, Any]]):
    """Apply albumentations to a dataset so that every item of every epoch has chance of its own, by
    seed.

    By itself albumentations repeats its draws between workers, and between epochs unless workers
    persist. Here item i of epoch e is a function of (seed, e, i), whatever the number of workers.
    (``Compose.set_random_seed`` would not do: it gives all transforms one seed, so a horizontal
    flip would always come with the vertical one.)

    Call ``set_epoch`` before each epoch; workers see it at once, persistent ones too. Put
    ``NumberedDraws`` around a sampler that draws with replacement, such as a
    ``WeightedRandomSampler``: an item that comes again would be augmented in the same way.

    Args:
        dataset: Items are (image, label), with PIL images or arrays (H, W[, C]); not dicts.
        compose: An albumentations ``Compose`` or transform; gets ``image=`` and gives ``"image"``.
        seed: Not negative.
        label_key: Pass the label to ``compose`` under this word too, such as ``SyntheticReplace``'s
            metadata key.

    Raises:
        ValueError: If the seed is negative.

    Example:
        >>> compose = A.Compose([A.HorizontalFlip(), A.ToTensorV2()])  # doctest: +SKIP
        >>> train = SeededItems(mix, compose, seed=0)  # doctest: +SKIP
        >>> for epoch in range(10):  # doctest: +SKIP
        ...     train.set_epoch(epoch)
    """

    def __init__(
        self, dataset: Dataset[Any], compose: Any, seed: int, label_key: str | None = None
    ) -> None:
        if seed < 0:
            raise ValueError(f"seed must not be negative, got {seed}")
        super().__init__()
        self.dataset, self.compose, self.seed, self.label_key = dataset, compose, seed, label_key

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"item {index} of {len(self)}")
        position = index % len(self)
        item = self.dataset[position]
        if isinstance(item, Mapping):
            raise TypeError(
                f"items are dicts of {', '.join(map(str, item))}, and SeededItems takes (image, "
                "label): apply albumentations in the dataset's own transform, with Hugging Face by "
                "set_transform"
            )
        image, label = item
        words: Mapping[str, Any] = {} if self.label_key is None else {self.label_key: label}
        self._seed_transforms(position, repeat_of(index))
        return self.compose(image=np.array(image), **words)["image"], label

    def _seed_transforms(self, index: int, repeat: int) -> None:
        more = (repeat,) if repeat else ()
        words = np.random.SeedSequence((self.seed, self.epoch, index, *more))
        numpy_seed, python_seed = words.spawn(2)
        self.compose.set_random_state(
            np.random.default_rng(numpy_seed),
            random.Random(int(python_seed.generate_state(1, np.uint64)[0])),
        )
