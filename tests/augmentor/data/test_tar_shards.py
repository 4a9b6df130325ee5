from __future__ import annotations

import io
import json
import tarfile
from typing import Any

import pytest
import torch

from augmentor.common.types import DataError
from augmentor.data.tar_shards import decode_png, encode_png, packed_samples, png_spans

Samples = list[tuple[str, int, dict[str, Any], bytes]]


def samples(count: int) -> Samples:
    made = []
    for number in range(count):
        pixels = torch.full((1, 4, 6), number, dtype=torch.uint8)
        info = {"class": "ä" * number, "candidate": number}
        made.append((f"00003-{number:08d}", 3, info, encode_png(pixels) + bytes(37 * number)))
    return made


@pytest.mark.parametrize("count", [0, 1, 40])
def test_the_bytes_are_those_of_tarfile(count: int) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for key, label, info, png in samples(count):
            words = json.dumps(info, sort_keys=True).encode()
            for end, data in (("cls", str(label).encode()), ("json", words), ("png", png)):
                member = tarfile.TarInfo(f"{key}.{end}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    assert packed_samples(samples(count)) == buffer.getvalue()


def test_the_images_are_where_the_spans_say() -> None:
    data = packed_samples(samples(5))
    spans = png_spans(data, "a shard").tolist()
    assert len(spans) == 5
    for number, (start, size) in enumerate(spans):
        image = decode_png(data[start : start + size], (1, 4, 6), "an image")
        assert (image == number).all()


@pytest.mark.parametrize("change", ["cut", "link", "size"])
def test_what_is_no_shard_of_ours_is_refused(change: str) -> None:
    data = bytearray(packed_samples(samples(2)))
    if change == "cut":
        del data[600:]
    elif change == "link":
        data[156] = ord("2")
    else:
        data[124:135] = b"99999999999"
    with pytest.raises(DataError, match=r"^a shard: "):
        png_spans(bytes(data), "a shard")


def test_a_name_that_a_tar_file_cannot_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="longer than the 100 bytes"):
        packed_samples([("a" * 99, 0, {}, b"")])
