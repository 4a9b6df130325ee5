r"""How many altered copies of test images are found, and how many real images are called copies?

    python benchmarks/near_copies.py digits mnist fonts_32 lfw62_64 yaleb19_64 orl_64 \
        flowers88_64 --out docs/near_copies.json

It writes the file, and beside it a page of the same name. Of every data set, test images are
altered in each way and looked for among the test images, as ``augmentor check`` looks for them in a
training part. The training images, which are real and not copies, are looked for likewise: what is
found there is a false alarm, or a near duplicate inside the data set.

With ``--training`` it measures the test for memorised training images instead, as ``evaluate`` and
``gain`` ask it about rendered ones: how many of 5 % altered copies are found among test images, and
how many of these test images, which no training has seen, are called copies.

    python benchmarks/near_copies.py --training digits mnist fashion-mnist lfw62_128 flowers88_64 \
        --out docs/training_copies.json
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
from augmentor.quality.near_copies import CopyFinder, NearCopies
from augmentor.quality.training_copies import copies_of_training
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
TRAINING_PAGE = """# Copies of training images: how many are found

Made by `benchmarks/near_copies.py --training`; how it works:
[augmentor/quality/training_copies.py](../augmentor/quality/training_copies.py). `augmentor
evaluate` and `gain` look for memorised training images among rendered ones in this way.

{table}

- In place of rendered images stand test images, which no training has seen, with altered training
  images among them: 5 % of the whole. "Found" is the part of these copies that is found and named
  after the right training image.
- "Warned at 5 %" counts the alterations at which the finding was called certain, which is when
  both commands warn.
- The test images alone were looked at too: what is found among them is a false alarm.
- The exact 95 % interval of Clopper and Pearson stands beside the share of false alarms.
"""
ALTERED = 400
MOST = 2000
COPIED = 0.05  # of what stands for rendered images, in the measurement of training images
RENDERED = 1000
UNSEEN = 10_000  # test images looked at alone, at most
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


COPIES: dict[str, Callable[[Tensor], Tensor]] = {
    name: ALTERATIONS[name]
    for name in ("exact", "shifted by 1 pixel", "mirrored", "25 % brighter", "noise of 5 levels")
}
"""What a memorising generator is stood for by."""


def measured_training(name: str) -> dict[str, Any]:
    """Hits at 5 % of altered training images, and false alarms, on one data set."""
    bundle = load_data(DataConfig(data=name), 0)
    seen, unseen = chosen(bundle.train, len(bundle.train)), chosen(bundle.test, UNSEEN)
    start = time.perf_counter()
    count = round(COPIED * min(RENDERED, len(unseen)))
    real = unseen[: min(RENDERED, len(unseen)) - count]
    hits = {}
    for words, alter in COPIES.items():
        found = copies_of_training(seen, torch.cat([real, alter(seen[:count])]))
        hits[words] = {"named_rightly": _right(found, len(real)) / count, "certain": found.certain}
    alone = copies_of_training(seen, unseen)
    return {
        "form": list(seen.shape[1:]),
        "seen": len(seen),
        "rendered": len(real) + count,
        "copies": count,
        "hits": hits,
        "stated_false_alarm_rate": alone.false_alarm_rate,
        "false_alarms": {
            "images": len(unseen),
            "found": alone.share,
            "interval": _interval(len(alone), len(unseen)),
            "certain": alone.certain,
        },
        "seconds": time.perf_counter() - start,
    }


def _right(found: NearCopies, first: int) -> int:
    """Copies that were found by the number of their training image; they begin at ``first``."""
    return int((found.known == found.image - first).sum())


def _interval(alarms: int, images: int) -> list[float]:
    from scipy import stats

    low, high = stats.binomtest(alarms, images).proportion_ci(method="exact")
    return [float(low), float(high)]


def as_training_page(result: Mapping[str, Any]) -> str:
    """The result of ``--training`` as a page: one column per data set."""
    rows = _heads(result)
    rows.append(["training images", *(str(one["seen"]) for one in result.values())])
    for words in COPIES:
        shares = [f"{100 * one['hits'][words]['named_rightly']:.1f}" for one in result.values()]
        rows.append([f"{words}, found %", *shares])
    warned = [sum(hit["certain"] for hit in one["hits"].values()) for one in result.values()]
    rows.append(["warned at 5 %", *(f"{count} of {len(COPIES)}" for count in warned)])
    alarms = [one["false_alarms"] for one in result.values()]
    rows.append(["test images, looked at alone", *(str(one["images"]) for one in alarms)])
    found = []
    for one in alarms:
        low, high = (100 * end for end in one["interval"])
        found.append(f"{100 * one['found']:.2f} ({low:.2f} to {high:.2f})")
    rows.append(["test images called copies, %", *found])
    stated = [f"{100 * one['stated_false_alarm_rate']:.2f}" for one in result.values()]
    rows.append(["rate that was stated, %", *stated])
    return TRAINING_PAGE.format(table=_table(rows))


def _heads(result: Mapping[str, Any]) -> list[list[str]]:
    """The first two rows: names, and the form of the images."""
    forms = []
    for found in result.values():
        channels, _, side = found["form"]
        forms.append(f"{side} px, {'grey' if channels == 1 else 'colour'}")
    return [["", *result], ["images", *forms]]


def _table(rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "|---|" + "---:|" * (len(rows[0]) - 1))
    return "\n".join(lines)


def as_page(result: Mapping[str, Any]) -> str:
    """The result as a page: one column per data set."""
    rows = _heads(result)
    for words in ALTERATIONS:
        found = [f"{100 * one['hits'][words]['found']:.1f}" for one in result.values()]
        rows.append([f"{words}, found %", *found])
    for key, name in (("found", "real images called copies, %"),):
        shares = [f"{100 * one['false_alarms'][key]:.2f}" for one in result.values()]
        rows.append([name, *shares])
    stated = [f"{100 * one['stated_false_alarm_rate']:.2f}" for one in result.values()]
    rows.append(["rate that was stated, %", *stated])
    rows.append(["known images", *(str(one["known"]) for one in result.values())])
    return PAGE.format(table=_table(rows))


def told(name: str, found: Mapping[str, Any]) -> str:
    """One line for the terminal."""
    alarms, hits = found["false_alarms"], []
    for words, one in found["hits"].items():
        hits.append(f"{words} {100 * one['named_rightly']:.1f} %")
    return f"{name}: false alarms {100 * alarms['found']:.2f} %; {', '.join(hits)}"


def main() -> None:
    """Measure and write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--training", action="store_true")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    measure, page = (measured_training, as_training_page) if asked.training else (measured, as_page)
    result = {}
    for name in asked.data:
        result[name] = measure(name)
        print(told(name, result[name]), flush=True)
        write_json(asked.out, result)
        write_text(asked.out.with_suffix(".md"), page(dict(sorted(result.items()))))


if __name__ == "__main__":
    main()
