r"""How many altered copies of test images are found, and how many real images are called copies?

    python benchmarks/near_copies.py digits mnist fonts_32 lfw62_64 yaleb19_64 orl_64 \
        flowers88_64 --out docs/near_copies.json

It writes the file, and beside it a page of the same name. Of every data set, test images are
altered in each way and looked for among the test images, as ``augmentor check`` looks for them in a
training part. The training images, which are real and not copies, are looked for likewise: what is
found there is a false alarm, or a near duplicate inside the data set.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from augmentor.common.atomic_files import write_json, write_text
from augmentor.common.types import LabelledImages
from augmentor.data.fingerprint import to_uint8
from augmentor.quality.near_copies import CopyFinder
from pipelines.config import DataConfig
from pipelines.datasets import load_data

PAGE = """# Copies of test images: how many are found

Made by `benchmarks/near_copies.py`; how it works:
[augmentor/quality/near_copies.py](../augmentor/quality/near_copies.py). `augmentor check`, `import`
and `gain` look for copies in this way.

{table}

- Test images were altered and looked for among the test images. The training images, which are
  other real images, were looked for likewise.
- A digit of 8 pixels that was resized is another picture: its neighbours are as near as itself.
- The sibling fonts of `fonts_32` and the photo series of `orl_64` hold pictures that hardly differ.
  There the stated rate is higher, and a single finding means little; `check` then remarks on it and
  does not call it a problem, unless there are more than this rate explains.
"""
ALTERED = 400
MOST = 2000
CONDITIONS = {"fonts_32": ("font",)}
"""So that letters which two fonts draw alike are left out of the test part."""


def jpeg(pixels: Tensor, quality: int = 75) -> Tensor:
    """Stored as JPEG and read again."""
    found = []
    for image in pixels.permute(0, 2, 3, 1).numpy():
        buffer = io.BytesIO()
        plain = image[:, :, 0] if image.shape[2] == 1 else image
        Image.fromarray(plain).save(buffer, "jpeg", quality=quality)
        with Image.open(buffer) as read:
            back = torch.frombuffer(bytearray(read.tobytes()), dtype=torch.uint8)
        found.append(back.view(image.shape).permute(2, 0, 1))
    return torch.stack(found)


def shifted(pixels: Tensor) -> Tensor:
    """One pixel to the right; the new column is black."""
    return functional.pad(pixels, (1, 0))[..., :-1]


def resized(pixels: Tensor, factor: float) -> Tensor:
    """Stored in another size and read in the first one again."""
    side = pixels.shape[-1]
    there = functional.interpolate(
        pixels, size=round(factor * side), mode="bicubic", antialias=True
    )
    return functional.interpolate(there, size=side, mode="bilinear", antialias=True)


def one_pixel(pixels: Tensor) -> Tensor:
    """The pixel in the middle inverted."""
    found, middle = pixels.clone(), pixels.shape[-1] // 2
    found[..., middle, middle] = 255 - found[..., middle, middle]
    return found


def noisy(pixels: Tensor) -> Tensor:
    """With noise of a standard deviation of five grey levels."""
    noise = 5 * torch.randn(pixels.shape, generator=torch.Generator().manual_seed(0))
    return (pixels + noise).round().clamp(0, 255).to(torch.uint8)


ALTERATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "exact": lambda pixels: pixels,
    "mirrored": lambda pixels: pixels.flip(-1),
    "shifted by 1 pixel": shifted,
    "1 pixel changed": one_pixel,
    "noise of 5 levels": noisy,
    "25 % brighter": lambda pixels: (1.25 * pixels).clamp(0, 255).to(torch.uint8),
    "JPEG, quality 75": jpeg,
    "JPEG, quality 50": lambda pixels: jpeg(pixels, 50),
    "resized to 150 %": lambda pixels: resized(pixels, 1.5),
    "resized to 75 %": lambda pixels: resized(pixels, 0.75),
    "mirrored, shifted, JPEG": lambda pixels: jpeg(shifted(pixels.flip(-1))),
}


def chosen(images: LabelledImages, most: int) -> Tensor:
    """At most so many, drawn at random; uint8."""
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    return to_uint8(images.x[order[:most]])


def measured(name: str) -> dict[str, Any]:
    """Hits by alteration, and false alarms, on one data set."""
    bundle = load_data(DataConfig(data=name, condition=CONDITIONS.get(name)), 0)
    train, test = chosen(bundle.train, MOST), chosen(bundle.test, MOST)
    start = time.perf_counter()
    finder = CopyFinder(test)
    hits = {}
    for words, alter in ALTERATIONS.items():
        found = finder.find(alter(test[:ALTERED]))
        right = int((found.known == found.image).sum())
        hits[words] = {"found": found.share, "named_rightly": right / len(test[:ALTERED])}
    real = finder.find(train)
    return {
        "form": list(test.shape[1:]),
        "known": len(test),
        "altered": min(ALTERED, len(test)),
        "ratio_that_counts": finder.threshold,
        "stated_false_alarm_rate": finder.false_alarm_rate,
        "hits": hits,
        "false_alarms": {"images": len(train), "found": real.share, "certain": real.certain},
        "seconds": time.perf_counter() - start,
    }


def as_page(result: Mapping[str, Any]) -> str:
    """The result as a page: one column per data set."""
    forms = []
    for found in result.values():
        channels, _, side = found["form"]
        forms.append(f"{side} px, {'grey' if channels == 1 else 'colour'}")
    rows = [["", *result], ["images", *forms]]
    for words in ALTERATIONS:
        found = [f"{100 * one['hits'][words]['found']:.1f}" for one in result.values()]
        rows.append([f"{words}, found %", *found])
    for key, name in (("found", "real images called copies, %"),):
        shares = [f"{100 * one['false_alarms'][key]:.2f}" for one in result.values()]
        rows.append([name, *shares])
    stated = [f"{100 * one['stated_false_alarm_rate']:.2f}" for one in result.values()]
    rows.append(["rate that was stated, %", *stated])
    rows.append(["known images", *(str(one["known"]) for one in result.values())])
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "|---|" + "---:|" * len(result))
    return PAGE.format(table="\n".join(lines))


def main() -> None:
    """Measure and write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    result = {name: measured(name) for name in asked.data}
    write_json(asked.out, result)
    write_text(asked.out.with_suffix(".md"), as_page(result))
    for name, found in result.items():
        alarms = found["false_alarms"]
        print(f"{name}: false alarms {100 * alarms['found']:.2f} %", end="; ")
        print(
            *(f"{words} {100 * one['found']:.1f} %" for words, one in found["hits"].items()),
            sep=", ",
        )


if __name__ == "__main__":
    main()
