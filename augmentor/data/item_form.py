"""What the items of a torchvision-style dataset look like before its transforms, read without
touching the dataset.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import ConcatDataset, Dataset, Subset

from augmentor.common.types import DataError
from augmentor.common.value_range import checked_range
from augmentor.data.synthetic_images import fit_shape

PIL_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV")
LABEL_KEYS = ("label", "labels", "target", "y", "class", "fine_label")
"""Where the dicts of a dataset that names no ClassLabel usually hold the class index."""
TRANSFORMS = ("transform", "target_transform", "transforms")
"""The attributes of a dataset that hold its transforms; one under any other name is not seen."""


class MixedItems(Dataset[Any]):
    """A dataset of the items of ``real`` and others of the same form, sent through the same
    transforms.

    Attributes:
        real: The dataset below; a mix itself, perhaps.
        form: What its raw items look like.
    """

    real: Dataset[Any]
    form: ItemForm


@dataclass(frozen=True)
class Columns:
    """Under which keys a dict-style dataset holds image and label.

    Args:
        image: Key of the image.
        label: Key of the class index.
        transform_takes_item: Whether the dataset's ``transform`` gets the whole dict, as MONAI's
            do, and not the image alone.
    """

    image: str
    label: str
    transform_takes_item: bool = False


@dataclass(frozen=True)
class ItemForm:
    """The form of a dataset's raw items.

    Args:
        image: A raw image, as an example: PIL image, uint8 or float tensor (C, H, W) or (H, W), or
            array (H, W[, C]).
        target: A raw target, as an example: a whole number, or a tensor or array that holds one.
        low: What black is in ``image``'s numbers; unused for PIL.
        high: What white is.
        columns: Keys of a dict-style dataset; None where items are (image, target).
    """

    image: Any
    target: Any
    low: float
    high: float
    columns: Columns | None = None

    def item(self, pixels: Tensor, label: int) -> tuple[Any, Any]:
        """A synthetic image, uint8 (C, H, W), and its label in this form."""
        return self._image(pixels[None]), _like_target(self.target, label)

    def _image(self, pixels: Tensor) -> Any:
        if isinstance(self.image, Image.Image):
            side = min(self.image.size)
            array = fit_shape(pixels, (pixels.shape[1], side, side))[0].permute(1, 2, 0).numpy()
            picture = Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array)
            # Not by Pillow's palette and dots, which would tell synthetic images from real ones.
            return picture.convert(
                self.image.mode, dither=Image.Dither.NONE, palette=Image.Palette.ADAPTIVE
            )
        channels_first = isinstance(self.image, Tensor)
        fitted = fit_shape(pixels, _shape(self.image))[0]
        scaled = self.low + fitted.double() * ((self.high - self.low) / 255)
        ordered = (scaled if channels_first else scaled.permute(1, 2, 0)).reshape(self.image.shape)
        return _cast(ordered, self.image)


def base_of(dataset: Dataset[Any]) -> tuple[Any, Tensor | None]:
    """The dataset below any ``Subset`` (such as ``random_split`` makes), and the indices of it that
    are seen.

    Raises:
        TypeError: If the dataset is a concatenation, whose parts may differ in their transforms.
    """
    indices: Tensor | None = None
    while isinstance(dataset, Subset):
        own = torch.as_tensor(list(dataset.indices), dtype=torch.int64)
        indices, dataset = own if indices is None else own[indices], dataset.dataset
    if isinstance(dataset, ConcatDataset):
        raise TypeError(
            "parts of a ConcatDataset may differ: mix each part, then concatenate the mixed sets"
        )
    return dataset, indices


def columns_of(dataset: Dataset[Any]) -> Columns | None:
    """The keys of image and label where a dataset's items are dicts; None where they are pairs.

    Hugging Face's features say which they are; elsewhere the image is the only value that is one,
    and the label is under one of the usual names.

    Raises:
        TypeError: If the keys cannot be told, or the items have more than image and label, which
            synthetic images could not be given.
    """
    base, indices = base_of(dataset)
    if isinstance(base, MixedItems):
        return base.form.columns
    if isinstance(base, Mapping):
        raise TypeError(f"choose one split, such as data[{next(iter(base), 'train')!r}]")
    seen: list[Any] = []
    try:
        first = 0 if indices is None else int(indices[0])
        item = _without_transforms(base, seen)[first]
    except (TypeError, ValueError, AttributeError, KeyError, IndexError):
        return None  # reading it as pairs fails too, with a message of its own
    if not isinstance(item, Mapping):
        return None
    images = [key for key, value in item.items() if _is_image(value)]
    labels = _class_label_keys(base) or [key for key in LABEL_KEYS if key in item]
    if len(images) != 1 or len(labels) != 1 or len(item) != 2:
        raise TypeError(
            f"items must be dicts of one image and one label (a ClassLabel, or a key among "
            f"{', '.join(LABEL_KEYS)}), got the keys {list(item)}: drop or rename the others, "
            "with Hugging Face by remove_columns and rename_column"
        )
    return Columns(images[0], labels[0], any(isinstance(value, Mapping) for value in seen))


def class_names_of(dataset: Dataset[Any]) -> Sequence[str] | None:
    """The class names that a dataset knows: its ``classes``, or those of its one ClassLabel."""
    base, _ = base_of(dataset)
    if keys := _class_label_keys(base):
        names: Sequence[str] = base.features[keys[0]].names
        return names
    return getattr(base, "classes", None)


def _is_hugging_face(base: Any) -> bool:
    """Whether it is a ``datasets.Dataset``, told without importing that library."""
    return type(base).__module__.startswith("datasets.") and hasattr(base, "with_format")


def _class_label_keys(base: Any) -> list[str]:
    if not _is_hugging_face(base):
        return []
    return [key for key, feature in base.features.items() if hasattr(feature, "names")]


def _is_image(value: Any) -> bool:
    return isinstance(value, Image.Image) or (
        isinstance(value, Tensor | np.ndarray) and value.ndim in (2, 3)
    )


def labels_of(dataset: Dataset[Any], given: Any = None) -> Tensor:
    """The class index of every item, int64 (N,): those given, else those the dataset keeps, else by
    reading all items.

    A dataset keeps them in ``targets``, ``labels`` or ``tensors``, or in ``_labels`` as many of
    torchvision do; those are not public, so that they count only if a few items agree.

    Args:
        dataset: Items are (image, target).
        given: Labels of the dataset's items, before any ``target_transform``.

    Raises:
        DataError: If a label is not one whole number from 0 on.
        ValueError: If there are not as many as items.
    """
    base, indices = base_of(dataset)
    if given is not None:
        labels = _whole_numbers(given)
        if len(labels) != (items := len(base) if indices is None else len(indices)):
            raise ValueError(f"give a label for every item: {len(labels)} labels, {items} items")
        return labels
    labels = _whole_numbers(_known_labels(base, dataset))
    if len(labels) != len(base):
        raise ValueError(
            f"the dataset keeps {len(labels)} labels and has {len(base)} items; give labels"
        )
    return labels if indices is None else labels[indices]


def _known_labels(base: Any, dataset: Dataset[Any]) -> Any:
    """The labels of a dataset without its ``Subset``, of whatever type."""
    for name in ("targets", "labels"):
        if (known := getattr(base, name, None)) is not None:
            return known
    if len(getattr(base, "tensors", ())) == 2:
        return base.tensors[1]
    plain, columns = _without_transforms(base), columns_of(dataset)
    if columns is not None and _is_hugging_face(base):
        return list(base.with_format(None)[columns.label])  # without reading the images
    if columns is not None:
        return [int(plain[i][columns.label]) for i in range(len(base))]
    private = getattr(base, "_labels", None)
    if isinstance(private, Sequence | np.ndarray | Tensor) and len(private) == len(base) > 0:
        few = sorted({0, len(base) // 2, len(base) - 1})
        if all(int(plain[i][1]) == private[i] for i in few):
            return private
    return [int(plain[i][1]) for i in range(len(base))]


def _whole_numbers(labels: Any) -> Tensor:
    numbers = np.asarray(labels)
    if numbers.dtype.kind not in "biuf":
        raise DataError(
            f"labels must be whole numbers from 0 on, got {numbers.dtype}; give the numbers of the "
            "classes as labels=, and their names as classes="
        )
    tensor = torch.as_tensor(numbers.astype(np.int64) if numbers.dtype.kind in "iu" else numbers)
    if tensor.ndim == 2 and tensor.shape[1] == 1:
        tensor = tensor[:, 0]
    if tensor.ndim != 1 or tensor.is_floating_point() or tensor.is_complex() or (tensor < 0).any():
        raise DataError("labels must be whole numbers from 0 on, one for every item")
    return tensor.long()


def form_of(dataset: Dataset[Any], value_range: tuple[float, float] | None) -> ItemForm:
    """The form of a dataset's raw items, found by reading a few of them.

    Args:
        dataset: Items are (image, target).
        value_range: What black and white are in the images' numbers; by default 0 and 255 for
            uint8, 0 and 1 for float.

    Returns:
        The form.

    Raises:
        TypeError: If the items are of a form that synthetic images cannot be given.
        ValueError: If the range has to be given, because the numbers do not lie in the default one,
            or the one given does not fit them.
    """
    base, indices = base_of(dataset)
    if isinstance(base, MixedItems):
        return base.form if value_range is None else form_of(base.real, value_range)
    plain, columns = _without_transforms(base), columns_of(dataset)
    seen = range(len(base)) if indices is None else indices.tolist()
    images = [_raw_item(plain, i, columns) for i in seen[:: max(1, len(seen) // 8)]]
    image, target = images[0]
    if isinstance(image, Image.Image):
        modes = [one.mode for one, _ in images]
        if odd := [mode for mode in modes if mode not in PIL_MODES]:
            raise TypeError(
                f"PIL images of mode {odd[0]!r} cannot be mixed with 8-bit images; convert "
                "them first"
            )
        # A few grey photos among colour ones do not make all synthetic images grey.
        image, target = images[modes.index(Counter(modes).most_common(1)[0][0])]
        return ItemForm(image, target, 0, 255, columns)
    _shape(image)
    low, high = _range_of([image for image, _ in images], value_range)
    return ItemForm(image, target, low, high, columns)


def apply_transforms(
    dataset: Dataset[Any], image: Any, target: Any, columns: Columns | None = None
) -> Any:
    """Send a raw item through the dataset's own transforms, as its ``__getitem__`` does.

    ``transform`` and ``target_transform`` are used where one is set, else the joint ``transforms``.
    A transform of albumentations gets and gives its ``image`` by keyword. Of a Hugging Face
    ``Dataset`` it is the function of ``set_transform``, which gets a batch of one. The transforms
    of a mix are those of the dataset below it.

    Returns:
        (image, target), or a dict of them where ``columns`` are given.
    """
    base, _ = base_of(dataset)
    if isinstance(base, MixedItems):
        return apply_transforms(base.real, image, target, columns)
    if columns is None:
        return _transformed_pair(base, image, target)
    item = {columns.image: image, columns.label: target}
    if _is_hugging_face(base):
        return _transformed_row(base, item)
    if columns.transform_takes_item:
        return item if base.transform is None else base.transform(item)
    image, target = _transformed_pair(base, image, target)
    return {columns.image: image, columns.label: target}


def _transformed_pair(base: Any, image: Any, target: Any) -> tuple[Any, Any]:
    transform, target_transform, joint = (getattr(base, name, None) for name in TRANSFORMS)
    if transform is None and target_transform is None and joint is not None:
        image, target = joint(image, target)
        return image, target
    if transform is not None and _is_of_albumentations(transform):
        image = transform(image=np.asarray(image))["image"]
    elif transform is not None:
        image = transform(image)
    return image, target if target_transform is None else target_transform(target)


def _is_of_albumentations(transform: Any) -> bool:
    """Whether a transform is one of albumentations, or of a class made from one."""
    modules = (kind.__module__.partition(".")[0] for kind in type(transform).__mro__)
    return "albumentations" in modules


def _transformed_row(base: Any, item: dict[str, Any]) -> dict[str, Any]:
    """An item of a Hugging Face ``Dataset`` after ``set_transform``, if there was one."""
    if base.format["type"] != "custom":
        return item
    batch = base.format["format_kwargs"]["transform"]({key: [item[key]] for key in item})
    return {key: values[0] for key, values in batch.items()}


def _without_transforms(base: Any, seen: list[Any] | None = None) -> Any:
    """A copy without transforms; ``seen`` gets what its ``transform`` would have been given."""
    if _is_hugging_face(base):
        return base.with_format(None) if base.format["type"] == "custom" else base
    plain = copy.copy(base)
    for name in TRANSFORMS:
        if getattr(plain, name, None) is not None:
            _replace_transform(plain, name, _keep)
    if seen is not None and getattr(plain, "transform", None) is not None:

        def watch(*values: Any, **named: Any) -> Any:
            seen.extend(values)
            return _keep(*values, **named)

        _replace_transform(plain, "transform", watch)
    return plain


def _replace_transform(plain: Any, name: str, by: Any) -> None:
    try:
        setattr(plain, name, by)
    except AttributeError as error:
        raise TypeError(
            f"{type(plain).__name__}.{name} cannot be set, so that images without it cannot be "
            "read: wrap the dataset without a transform, and apply yours to the mix"
        ) from error


def _keep(*values: Any, **named: Any) -> Any:
    """Stands in for a transform, however it is called."""
    return named or (values[0] if len(values) == 1 else values)


def _raw_item(plain: Any, index: int, columns: Columns | None) -> tuple[Any, Any]:
    try:
        item = plain[index]
        image, target = item if columns is None else (item[columns.image], item[columns.label])
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        raise TypeError(
            f"cannot read item {index} of {type(plain).__name__} as (image, label) without its "
            f"transform ({error}): "
            f"wrap the set without a transform and apply the transform to the mixed set's items"
        ) from error
    return image, target


def _shape(image: Any) -> tuple[int, int, int]:
    """(C, H, W) of a raw tensor or array."""
    if isinstance(image, Tensor) and image.ndim in (2, 3):
        channels, height, width = (1, *image.shape)[-3:]
    elif isinstance(image, np.ndarray) and image.ndim in (2, 3):
        height, width, channels = (*image.shape, 1)[:3]
    else:
        raise TypeError(
            f"images must be PIL, tensors (C, H, W) or arrays (H, W, C), got {type(image).__name__}"
        )
    return channels, height, width


def _usual_range(images: list[Any]) -> tuple[float, float]:
    if torch.as_tensor(images[0]).dtype == torch.uint8:
        return 0, 255
    low, high = (
        min(float(image.min()) for image in images),
        max(float(image.max()) for image in images),
    )
    if not torch.as_tensor(images[0]).is_floating_point() or low < 0 or high > 1:
        raise ValueError(
            f"images hold numbers from {low:g} to {high:g}: say what black and white are by "
            "value_range"
        )
    return 0, 1


def _range_of(images: list[Any], value_range: tuple[float, float] | None) -> tuple[float, float]:
    """The range that was given, once it fits these images, or the usual one."""
    if value_range is None:
        return _usual_range(images)
    smallest = min(float(image.min()) for image in images)
    return checked_range(value_range, smallest, max(float(image.max()) for image in images))


def _cast(image: Tensor, like: Any) -> Any:
    dtype = torch.as_tensor(like).dtype
    tensor = (image if dtype.is_floating_point else image.round()).to(dtype)
    return tensor if isinstance(like, Tensor) else tensor.numpy()


def _like_target(target: Any, label: int) -> Any:
    if isinstance(target, Tensor):
        return torch.full_like(target, label)
    if isinstance(target, np.ndarray):
        return np.full_like(target, label)
    return type(target)(label) if isinstance(target, np.integer) else label
