"""Labels of any kind as names of classes, and class names as names of folders."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np

from augmentor.data.synthetic_store import safe_folder_name

NUMBERED = re.compile(r"class_\d+", re.IGNORECASE)
"""Names that a synthetic set keeps for itself, and folders of images need not."""
UNSAFE = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]')


def class_name(label: Any, names: Sequence[str] | None, where: str) -> str:
    """The name of a label's class.

    Args:
        label: A name, or a whole number from 0 on: a position in ``names``, where there are some.
        names: Of all classes.
        where: The item, for messages.

    Raises:
        ValueError: If the label is missing, not a whole number, or without a name.

    Example:
        >>> class_name(1, ["cat", "dog"], "item 0"), class_name(7, None, "item 0")
        ('dog', '7')
    """
    label = label.item() if hasattr(label, "item") and getattr(label, "size", 1) != 0 else label
    if isinstance(label, str) and label:
        return label
    if label is None or label == "" or label != label or label == -1:
        raise ValueError(f"{where} has no label ({label!r}); give it one, or leave it out")
    if not isinstance(label, int | float | np.number) or label != int(label) or label < 0:
        raise ValueError(
            f"{where} has the label {label!r}; labels must be words, or whole numbers from 0 on"
        )
    if names is not None and label >= len(names):
        raise ValueError(
            f"{where} has the label {int(label)}, but there are {len(names)} class names; give one "
            "for every label by class_names"
        )
    return str(int(label)) if names is None else str(names[int(label)])


def class_folders(classes: Sequence[str]) -> dict[str, str]:
    """The folder of every class: its name, with _ for what a file system may not take.

    Raises:
        ValueError: If two classes would share a folder.

    Example:
        >>> class_folders(["cat", "and/or"])
        {'cat': 'cat', 'and/or': 'and_or'}
    """
    folders, taken = {}, dict[str, str]()
    for name in classes:
        kept = UNSAFE.sub("_", unicodedata.normalize("NFC", name))
        kept = re.sub(r"^[. ]|[. ]$", "_", kept)
        if not NUMBERED.fullmatch(kept) and safe_folder_name(kept, 0) != kept:
            # By the name alone: the other parts of the data have the class at another place.
            kept = f"class-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
        other = taken.setdefault(kept.casefold(), name)
        if other != name:
            raise ValueError(f"the classes {other!r} and {name!r} are spelled alike; rename one")
        folders[name] = kept
    return folders
