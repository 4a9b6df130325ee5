"""Tar shards in WebDataset's layout: key.png, key.cls and key.json of every sample."""

from __future__ import annotations

import io
import json
import re
import tarfile
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from augmentor.common.given_files import open_given, parse_json
from augmentor.common.tar_files import regular_members
from augmentor.common.types import DataError
from augmentor.data.set_layout import AGAIN

BLOCK, OCTAL = tarfile.BLOCKSIZE, re.compile(rb"[0-7]{11}")
PLAIN = tarfile.TarInfo().tobuf(tarfile.USTAR_FORMAT)
"""Header of an empty file without a name."""
PLAIN_SUM = sum(PLAIN) - sum(PLAIN[148:156]) + 8 * ord(" ") - sum(PLAIN[124:135])
"""Sum of its bytes, without its size and with spaces in the place of the sum."""


@dataclass(frozen=True)
class Sample:
    """One sample of a tar shard.

    Args:
        key: Its key, such as ``00003-00000012``.
        pixels: 8-bit pixels, uint8 (C, H, W).
        class_index: Index of its class.
        info: Class name, candidate, seed and hash of the recipe; of a source with conditions the
            condition too, by column.
    """

    key: str
    pixels: Tensor
    class_index: int
    info: dict[str, Any]


class ShardReader:
    """Random access to the samples of one tar shard; only offsets are kept, so that worker
    processes share it cheaply.

    Args:
        path: The tar file; nothing of it is ever extracted to disk.
        image_shape: (C, H, W) every image must have.

    Raises:
        DataError: If the file is missing or no whole tar file of WebDataset's layout.
    """

    def __init__(self, path: Path, image_shape: tuple[int, int, int]) -> None:
        self.path, self.image_shape = path, image_shape
        members: dict[str, dict[str, tuple[int, int]]] = {}
        try:
            for member in regular_members(path):
                key, _, extension = member.name.partition(".")
                members.setdefault(key, {})[extension] = (member.offset_data, member.size)
        except (OSError, tarfile.TarError) as error:
            raise DataError(f"{path}: cannot be read as a tar shard ({error}); {AGAIN}") from error
        if any(not parts.keys() >= {"png", "cls", "json"} for parts in members.values()):
            raise DataError(f"{path}: a sample lacks its png, cls or json; {AGAIN}")
        self._keys = list(members)
        self._spans = np.array(
            [[members[k][e] for e in ("png", "cls", "json")] for k in members], dtype=np.int64
        )
        if (
            self._spans.sum(-1) > path.stat().st_size
        ).any():  # a sparse member says more than there is
            raise DataError(f"{path}: a sample is longer than the file; {AGAIN}")

    def __len__(self) -> int:
        return len(self._keys)

    def __getitem__(self, index: int) -> Sample:
        key = self._keys[index]
        with open_given(self.path) as file:
            png, label, info = (self._read(file, *span) for span in self._spans[index].tolist())
        pixels = decode_png(png, self.image_shape, f"{self.path}, {key}")
        try:
            return Sample(key, pixels, int(label), parse_json(info))
        except ValueError as error:
            raise DataError(
                f"{self.path}, {key}: its cls or json cannot be read ({error}); {AGAIN}"
            ) from error

    @staticmethod
    def _read(file: BinaryIO, offset: int, size: int) -> bytes:
        file.seek(offset)
        return file.read(size)


def packed_samples(samples: Iterable[tuple[str, int, dict[str, Any], bytes]]) -> bytes:
    """The bytes of a tar shard; equal samples give equal bytes.

    Args:
        samples: Key, class index, what its json says, and PNG of every sample.
    """
    parts = list[bytes]()
    for key, class_index, info, png in samples:
        parts += _member(f"{key}.cls", str(class_index).encode())
        parts += _member(f"{key}.json", json.dumps(info, sort_keys=True).encode())
        parts += _member(f"{key}.png", png)
    data = b"".join(parts) + bytes(2 * BLOCK)
    return data + bytes(-len(data) % tarfile.RECORDSIZE)


def png_spans(data: bytes, where: str) -> NDArray[np.int64]:
    """Where the images of a tar shard lie, of a shard that ``packed_samples`` made.

    It reads the headers alone, thirty times as fast as ``tarfile``, and knows no other headers than
    those of regular files with short names.

    Args:
        data: The bytes of the shard.
        where: Its name, for errors.

    Returns:
        Offset and length of every PNG, int64 (N, 2), in the order of the samples.

    Raises:
        DataError: If it is not such a shard.
    """
    spans, position = [], 0
    while header := data[position : position + BLOCK].rstrip(b"\0"):
        name, octal = header[:100].rstrip(b"\0"), header[124:135]
        if header[156:157] not in (b"0", b"") or not OCTAL.fullmatch(octal):
            raise DataError(f"{where}: cannot be read as a tar shard; {AGAIN}")
        start, size = position + BLOCK, int(octal, 8)
        if start + size > len(data):
            raise DataError(f"{where}: a sample is longer than the file; {AGAIN}")
        if name.endswith(b".png"):
            spans.append((start, size))
        position = start + -(-size // BLOCK) * BLOCK
    if position + BLOCK > len(data):  # a whole one ends with empty blocks
        raise DataError(f"{where}: ends in the middle; {AGAIN}")
    return np.array(spans, dtype=np.int64).reshape(-1, 2)


def _member(name: str, data: bytes) -> tuple[bytes, bytes, bytes]:
    """Header, content and padding of a file: the bytes of ``tarfile``, at a tenth of its time.

    Time, user and group are zero: equal samples give equal bytes.
    """
    # A header is a row of fields; of those only name, size and the sum of all bytes differ.
    path, size = name.encode(), b"%011o" % len(data)
    if len(path) > 100:
        raise ValueError(f"{name}: longer than the 100 bytes of a name in a tar file")
    total = PLAIN_SUM + sum(path) + sum(size)
    header = b"".join(
        (path.ljust(100, b"\0"), PLAIN[100:124], size, PLAIN[135:148], b"%06o" % total, PLAIN[154:])
    )
    return header, data, bytes(-len(data) % BLOCK)


def encode_png(pixels: Tensor) -> bytes:
    """PNG of uint8 pixels (C, H, W)."""
    buffer = io.BytesIO()
    array = pixels.permute(1, 2, 0).contiguous().numpy()
    Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array).save(
        buffer, "png", compress_level=6
    )
    return buffer.getvalue()


def decode_png(data: bytes, image_shape: tuple[int, int, int], where: str) -> Tensor:
    """Pixels uint8 (C, H, W) of a PNG that must have this shape; the header is checked before
    pixels are unpacked.
    """
    channels, height, width = image_shape
    try:
        with _quiet(), Image.open(io.BytesIO(data), formats=("png",)) as image:
            if image.size != (width, height) or image.mode != {1: "L", 3: "RGB"}[channels]:
                raise DataError(
                    f"{where}: is {image.mode} {image.size}, the recipe says {image_shape}; {AGAIN}"
                )
            array = np.array(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{where}: no whole PNG image ({error}); {AGAIN}") from error
    return torch.from_numpy(array).reshape(height, width, channels).permute(2, 0, 1)


@contextmanager
def _quiet() -> Iterator[None]:
    """Pillow only warns of an image of 90 million pixels; here the recipe says what is too
    large.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield
