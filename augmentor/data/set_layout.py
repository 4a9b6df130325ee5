"""What the files and folders of a synthetic set are called."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

RECIPE, MANIFEST, TRAINED_ON, PARTIAL = (
    "recipe.json",
    "manifest.jsonl",
    "trained_on.safetensors",
    ".partial",
)
METADATA, SHARDS = "metadata.csv", "shards"
CONTACT_SHEET, LOCK = "contact_sheet.png", "lock"
"""What the jobs may lay beside the files of a set."""
AGAIN = "run the same synth command again to restore it"
"""What to do about a set that is damaged or not finished."""


def shard_name(class_index: int, number: int) -> str:
    """File of a tar shard.

    Example:
        >>> shard_name(3, 12)
        'shard-00003-00012.tar'
    """
    return f"shard-{class_index:05d}-{number:05d}.tar"


def safe_folder_name(name: str, index: int) -> str:
    """A class's folder name: the class's own if it is harmless on every system, else
    ``class_<index>``.

    Args:
        name: Any string.
        index: Index of the class.

    Returns:
        One path component that neither leads elsewhere nor is special; different for different
        indices unless two names are equal but for case or Unicode form (:func:`folder_names` sees
        to those).
    """
    own_file = name.casefold() in (RECIPE, MANIFEST, TRAINED_ON, METADATA, CONTACT_SHEET, LOCK)
    reserved = re.fullmatch(
        r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?|class_\d+", name, re.IGNORECASE | re.DOTALL
    )
    odd = (
        not name.isprintable()
        or re.search(r'[<>:"/\\|?*]', name)
        or re.search(r"^[. ]|[. ]$|^$", name)
    )
    if own_file or reserved or odd or len(name.encode("utf-8", "replace")) > 200:
        return f"class_{index:04d}"
    return name


def folder_names(classes: Sequence[str], *, numbered: bool = False) -> list[str]:
    """Folder names of all classes: safe, and different even where case and Unicode form do not
    count.

    Args:
        classes: Names of the classes, in order.
        numbered: Begin each with the number of its class: readers that sort folders then give the
            classes the order of ``classes``.

    Example:
        >>> folder_names(["b/c", "a"]), folder_names(["b/c", "a"], numbered=True)
        (['class_0000', 'a'], ['class_0000', 'class_0001_a'])
    """
    taken: set[str] = set()
    names = []
    for index, name in enumerate(classes):
        folder = safe_folder_name(name, index)
        if _folded(folder) in taken:
            folder = f"class_{index:04d}"
        taken.add(_folded(folder))
        names.append(folder)
    if not numbered:
        return names
    digits = max(4, len(str(len(names) - 1)))
    for index, name in enumerate(names):
        rest = "" if name == f"class_{index:04d}" else f"_{name}"
        names[index] = f"class_{index:0{digits}d}{rest}"
    return names


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
