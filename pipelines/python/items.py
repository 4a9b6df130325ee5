"""What users hold in memory as items: images with labels, read one by one."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch.utils.data import Subset

from augmentor.data.item_form import LABEL_KEYS, class_names_of, columns_of
from pipelines.data.folders import refuse_files
from pipelines.image_folder import list_tree

PATH_KEYS = ("path", "file", "file_name", "filename", "filepath", "image", "image_path")
"""The columns of a table that usually hold the file of an image."""
ACCEPTED = (
    "give a folder, a torchvision or Hugging Face data set, (images, labels) as arrays, or a table "
    "of paths and labels"
)


@dataclass(frozen=True)
class Items:
    """Images with labels, as they were given.

    Args:
        words: The argument they came by, for messages.
        count: How many.
        item: Reads item i: a PIL image, an array, a tensor or the path of a file, and its label.
        names: The class names that the data set knows, by label.
        columns: Reads what else is known of item i, by column; None where nothing is.
    """

    words: str
    count: int
    item: Callable[[int], tuple[Any, Any]]
    names: Sequence[str] | None = None
    columns: Callable[[int], Mapping[str, Any]] | None = None


def items_of(given: Any, words: str) -> Items:
    """Read what a user gave as items.

    Args:
        given: A folder with a folder per class, a data set of (image, label) or of dicts, a pair of
            arrays (images, labels), or a table of paths and labels.
        words: The argument, for messages.

    Raises:
        DataError: If a folder is not there or holds no class folders.
        ValueError: If images and labels, or their columns, cannot be told; says what to give.

    Example:
        >>> import numpy as np
        >>> items_of((np.zeros((3, 8, 8)), ["a", "b", "b"]), "train_set").count
        3
    """
    if isinstance(given, str | Path):
        return _folder(Path(given), words)
    if is_arrays(given):
        return _arrays(given[0], given[1], words)
    if hasattr(given, "itertuples"):
        return _table(given, words)
    if isinstance(given, Mapping):
        split = next(iter(given), "train")
        raise ValueError(f"{words} holds several splits; choose one, such as data[{split!r}]")
    if hasattr(given, "ndim") or not hasattr(given, "__getitem__") or not hasattr(given, "__len__"):
        raise ValueError(f"{words}: {type(given).__name__} has no images with labels; {ACCEPTED}")
    if isinstance(given, list | tuple):
        return Items(words, len(given), _reader(given, words))
    return _data_set(given, words)


def with_conditions(
    items: Items, conditions: Mapping[str, Sequence[Any]] | None, words: str
) -> Items:
    """The same items, of which more is known.

    Args:
        items: Images with labels.
        conditions: A value per item, by the name of the column.
        words: The argument, for messages.

    Raises:
        ValueError: If it is not a mapping, or a column has not one value per item.

    Example:
        >>> import numpy as np
        >>> items = items_of((np.zeros((2, 8, 8)), ["a", "b"]), "train_set")
        >>> with_conditions(items, {"light": ["day", "night"]}, "conditions").columns(1)
        {'light': 'night'}
    """
    if conditions is None:
        return items
    if not hasattr(conditions, "items"):
        raise ValueError(f"{words} must be a dict of columns, such as {{'light': [...]}}")
    columns = {str(name): _plain(values) for name, values in conditions.items()}
    for name, values in columns.items():
        if len(values) != items.count:
            raise ValueError(
                f"{words}: {name!r} has {len(values)} values, {items.words} has {items.count} "
                "images; give one for every image"
            )
    known = items.columns

    def read(i: int) -> dict[str, Any]:
        own = {name: values[i] for name, values in columns.items()}
        return {**(known(i) if known else {}), **own}

    return replace(items, columns=read)


def _plain(values: Any) -> list[Any]:
    found: list[Any] = values.tolist() if hasattr(values, "tolist") else list(values)
    return found


def is_arrays(given: Any) -> bool:
    """Whether it is a pair of images, an array or tensor, and their labels."""
    return isinstance(given, tuple | list) and len(given) == 2 and _ndim(given[0]) >= 3


def is_table(given: Any) -> bool:
    """Whether it is a list of (path, label)."""
    first = given[0] if isinstance(given, tuple | list) and given else None
    return isinstance(first, tuple | list) and len(first) == 2 and isinstance(first[0], str | Path)


def _ndim(value: Any) -> int:
    return int(getattr(value, "ndim", 0))


def _folder(folder: Path, words: str) -> Items:
    tree = list_tree(folder.expanduser())
    refuse_files(folder, [], tree.bad)
    return Items(words, len(tree.paths), lambda i: (tree.paths[i], tree.classes[tree.y[i]]))


def _arrays(images: Any, labels: Any, words: str) -> Items:
    labels = _plain(labels)
    if len(images) != len(labels):
        raise ValueError(
            f"{words} has {len(images)} images and {len(labels)} labels; give a label for every "
            "image"
        )
    return Items(words, len(images), lambda i: (images[i], labels[i]))


def _table(table: Any, words: str) -> Items:
    """Rows of a data frame: the columns of path and label by their usual names, or the only two."""
    names = [str(name) for name in table.columns]
    path = [name for name in names if name.lower() in PATH_KEYS]
    label = [name for name in names if name.lower() in LABEL_KEYS]
    if len(names) == 2 and not (path and label):
        path, label = names[:1], names[1:]
    if len(path) != 1 or len(label) != 1:
        raise ValueError(
            f"{words}: the columns {names} do not say which holds the path and which the label; "
            "rename them to path and label"
        )
    values = {name: list(table[name]) for name in names}
    paths, labels = values.pop(path[0]), values.pop(label[0])

    def columns(i: int) -> dict[str, Any]:
        return {name: column[i] for name, column in values.items()}

    return Items(words, len(paths), lambda i: (paths[i], labels[i]), columns=columns)


def _data_set(given: Any, words: str) -> Items:
    """A data set in the form of torch, whose own transform of images is left out."""
    base, places = given, list(range(len(given)))
    while isinstance(base, Subset):
        inner = list(base.indices)
        base, places = base.dataset, [inner[i] for i in places]
    if len(getattr(base, "tensors", ())) == 2:
        images, labels = base.tensors
        return Items(words, len(places), lambda i: (images[places[i]], labels[places[i]].item()))
    if hasattr(base, "features") and hasattr(base, "with_format"):
        return _hugging_face(base, places, words)
    found = columns_of(base) if len(base) else None
    keys = (found.image, found.label) if found else None
    read = _reader(_without_transform(base), words, keys)
    return Items(words, len(places), lambda i: read(places[i]), class_names_of(base))


def _hugging_face(base: Any, places: Sequence[int], words: str) -> Items:
    """Reads a ``datasets.Dataset`` without its format or transform."""
    features = base.features
    images = [key for key, one in features.items() if type(one).__name__ == "Image"]
    labels = [key for key, one in features.items() if hasattr(one, "names")]
    labels = labels or [key for key in LABEL_KEYS if key in features]
    if len(images) != 1 or len(labels) != 1:
        raise ValueError(
            f"{words}: the columns {list(features)} do not say which is the image and which the "
            "label; choose two by select_columns"
        )
    names = getattr(features[labels[0]], "names", None)
    plain = base.with_format(None)
    read, known = _reader(plain, words, (images[0], labels[0])), plain.remove_columns(images)
    return Items(
        words, len(places), lambda i: read(places[i]), names, lambda i: known[int(places[i])]
    )


def _reader(
    plain: Any, words: str, keys: tuple[str, str] | None = None
) -> Callable[[int], tuple[Any, Any]]:
    first, second = keys or (0, 1)

    def read(i: int) -> tuple[Any, Any]:
        item = plain[i]
        try:
            return item[first], item[second]
        except (TypeError, IndexError, KeyError) as error:
            raise ValueError(
                f"{words}: item {i} is not an image and a label; {ACCEPTED}"
            ) from error

    return read


def _without_transform(base: Any) -> Any:
    """A copy that leaves images as they are stored and still transforms labels."""
    plain = copy.copy(base)
    if getattr(plain, "transform", None) is not None:
        plain.transform = _keep
    joint = getattr(plain, "transforms", None)
    if hasattr(joint, "transform") and hasattr(joint, "target_transform"):
        plain.transforms = copy.copy(joint)
        plain.transforms.transform = None
    return plain


def _keep(image: Any) -> Any:
    return image
