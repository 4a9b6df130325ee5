"""The names of cells: a finished part of a run is found again by a hash of all that decides what is
in it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any

from torch import Tensor

from augmentor.common.types import LabelledImages
from augmentor.data.fingerprint import fingerprints
from pipelines.results import package_versions

DECIDING = ("augmentor", "torch", "timm")  # packages whose version may change a cell


def cell_key(parts: Sequence[Any], images: Iterable[bytes]) -> str:
    """Name a cell by all that may change it.

    Args:
        parts: Settings, plain values that JSON holds.
        images: Of the data, from ``bytes_of``; the order counts.

    Returns:
        The first sixteen hex digits of a SHA-256, over the versions of ``DECIDING`` too.
    """
    versions = {name: version for name, version in package_versions().items() if name in DECIDING}
    digest = hashlib.sha256(json.dumps([*parts, versions], sort_keys=True).encode())
    for content in images:
        digest.update(content)
    return digest.hexdigest()[:16]


def bytes_of(images: LabelledImages | Tensor | None) -> bytes:
    """What a key takes of images, float32 (N, C, H, W): their fingerprints, and their classes if
    they have some.

    Nothing where there are no images.
    """
    if images is None:
        return b""
    if isinstance(images, Tensor):
        return fingerprints(images).tobytes()
    return fingerprints(images.x).tobytes() + images.y.numpy().tobytes()
