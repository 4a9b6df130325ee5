"""Odd image files: the right pixels, or listed with path and reason; no other image ever takes a
bad one's place."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from augmentor.data.fingerprint import to_uint8
from pipelines import cli
from pipelines.config import DataConfig
from pipelines.datasets import load_data
from pipelines.image_folder import read_pixels

Tally = Callable[[int, int, str], None]
Make = Callable[[Path], None]

COLOURS = np.random.default_rng(11).integers(0, 256, (8, 8, 3), dtype=np.uint8)
GREYS = np.random.default_rng(12).integers(0, 256, (8, 8), dtype=np.uint8)
GREY_AS_RGB = np.repeat(GREYS[:, :, None], 3, axis=2)
FEW = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [51, 102, 204]], dtype=np.uint8)[GREYS % 4]
BITS = (GREYS % 2 * 255).astype(np.uint8)
ALPHA = np.where(GREYS % 2 == 0, 0, 255).astype(np.uint8)
ON_WHITE = np.where(ALPHA[:, :, None] == 255, COLOURS, 255).astype(np.uint8)
# What an EXIF orientation says was done to the upright picture before it was stored.
STORED_AS = {
    1: COLOURS,
    2: COLOURS[:, ::-1],
    3: COLOURS[::-1, ::-1],
    4: COLOURS[::-1],
    5: COLOURS.transpose(1, 0, 2),
    6: np.rot90(COLOURS, 1),
    7: COLOURS[::-1, ::-1].transpose(1, 0, 2),
    8: np.rot90(COLOURS, -1),
}


def saved(array: np.ndarray, mode: str | None = None, **options: object) -> Make:
    """Writes the array, in another mode if one is given."""

    def make(path: Path) -> None:
        image = Image.fromarray(np.ascontiguousarray(array))
        (image if mode is None else image.convert(mode)).save(path, **options)

    return make


def rotated(orientation: int) -> Make:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved(STORED_AS[orientation], exif=exif)


def cmyk(path: Path) -> None:
    ink = np.concatenate([255 - COLOURS, np.zeros((8, 8, 1), dtype=np.uint8)], axis=2)
    Image.frombytes("CMYK", (8, 8), ink.tobytes()).save(path)


def lab(path: Path) -> None:
    Image.frombytes("LAB", (8, 8), COLOURS.tobytes()).save(path)


def transparent_palette(path: Path) -> None:
    image = Image.fromarray(FEW).quantize(4)
    image.save(path, transparency=image.getpixel((0, 0)))


def png(path: Path, depth: int, colour_type: int, rows: bytes) -> None:
    """A PNG of 8x8 by hand, for the kinds that Pillow does not write; ``rows`` with their filter
    bytes."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")
        )

    header = (8).to_bytes(4, "big") * 2 + bytes([depth, colour_type, 0, 0, 0])
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def sixteen_bit_colour(path: Path) -> None:
    wide = COLOURS.astype(">u2") * 257
    png(path, 16, 2, b"".join(b"\0" + row.tobytes() for row in wide))


def sixteen_bit_grey_with_alpha(path: Path) -> None:
    wide = np.stack([GREYS, np.full_like(GREYS, 255)], axis=2).astype(">u2") * 257
    png(path, 16, 4, b"".join(b"\0" + row.tobytes() for row in wide))


RIGHT: dict[str, tuple[Make, np.ndarray]] = {
    "rgb.png": (saved(COLOURS), COLOURS),
    "rgb.bmp": (saved(COLOURS), COLOURS),
    "rgb.ppm": (saved(COLOURS), COLOURS),
    "rgb.tiff": (saved(COLOURS), COLOURS),
    "rgb-lzw.tiff": (saved(COLOURS, compression="tiff_lzw"), COLOURS),
    "rgb.webp": (saved(COLOURS, lossless=True), COLOURS),
    "upper case.PNG": (saved(COLOURS), COLOURS),
    "named as another kind.jpg": (saved(COLOURS, format="PNG"), COLOURS),
    "cmyk.tiff": (cmyk, COLOURS),
    "grey.png": (saved(GREYS), GREY_AS_RGB),
    "grey.pgm": (saved(GREYS), GREY_AS_RGB),
    "sixteen bits.png": (saved(GREYS.astype(np.uint16) * 257), GREY_AS_RGB),
    "sixteen bits.tiff": (saved(GREYS.astype(np.uint16) * 257), GREY_AS_RGB),
    "sixteen bits big end first.tiff": (saved(GREYS.astype(">u2") * np.uint16(257)), GREY_AS_RGB),
    "sixteen bits of colour.png": (sixteen_bit_colour, COLOURS),
    "sixteen bits of grey and alpha.png": (sixteen_bit_grey_with_alpha, GREY_AS_RGB),
    "palette.png": (saved(FEW, "P"), FEW),
    "palette.gif": (saved(FEW, "P"), FEW),
    "palette.bmp": (saved(FEW, "P"), FEW),
    "one bit.png": (saved(BITS, "1"), np.repeat(BITS[:, :, None], 3, axis=2)),
    "one bit.tiff": (saved(BITS, "1"), np.repeat(BITS[:, :, None], 3, axis=2)),
    "one bit.pbm": (saved(BITS, "1"), np.repeat(BITS[:, :, None], 3, axis=2)),
    "rgba.png": (saved(np.dstack([COLOURS, ALPHA])), ON_WHITE),
    "rgba.webp": (saved(np.dstack([COLOURS, ALPHA]), lossless=True, exact=True), ON_WHITE),
    "grey and alpha.png": (
        saved(np.dstack([GREYS, ALPHA])),
        np.where(ALPHA[:, :, None] == 255, GREY_AS_RGB, 255).astype(np.uint8),
    ),
    "transparent palette.png": (
        transparent_palette,
        np.where((FEW - FEW[0, 0]).any(axis=2, keepdims=True), FEW, 255).astype(np.uint8),
    ),
    **{f"turned {n}.png": (rotated(n), COLOURS) for n in STORED_AS},
    **{f"turned {n}.tiff": (rotated(n), COLOURS) for n in (3, 6, 8)},
}


def animated(path: Path) -> None:
    first, *others = (Image.fromarray(np.roll(COLOURS, shift, axis=0)) for shift in range(3))
    first.save(path, save_all=True, append_images=others, duration=40)


def truncated(path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


LISTED: dict[str, tuple[Make, str]] = {
    "empty.png": (lambda path: path.write_bytes(b""), "not an image"),
    "text.png": (lambda path: path.write_text("no picture"), "not an image"),
    "a page.jpg": (lambda path: path.write_text("<html><img src=x></html>"), "not an image"),
    "start only.png": (lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n"), "not an image"),
    "zeros.bmp": (lambda path: path.write_bytes(bytes(5000)), "not an image"),
    "truncated.png": (truncated, "damaged"),
    "truncated.jpg": (truncated, "damaged"),
    "truncated.tiff": (truncated, "damaged"),
    "truncated.bmp": (truncated, "damaged"),
    "truncated.ppm": (truncated, "damaged"),
    "truncated.gif": (truncated, "damaged"),
    "truncated.webp": (truncated, "damaged"),
    "animated.gif": (animated, "3 frames"),
    "animated.png": (animated, "3 frames"),
    "animated.webp": (animated, "3 frames"),
    "pages.tiff": (animated, "3 frames"),
    "thirty-two bits.tiff": (saved(GREYS.astype(np.int32) * 70_000), "mode I has no known white"),
    "floats.tiff": (saved(GREYS.astype(np.float32) / 255), "mode F has no known white"),
    "lab.tiff": (lab, "mode LAB"),
}


def with_odd_images(root: Path, odd: dict[str, Make]) -> dict[Path, np.ndarray]:
    """A data set of ordinary images, and the odd ones in the class ``odd`` of its training part;
    what is ordinary."""
    rng, ordinary = np.random.default_rng(1), {}
    for part in ("train", "test"):
        for name in ("even", "odd"):
            (root / part / name).mkdir(parents=True)
            for number in range(3):
                path = root / part / name / f"{number}.png"
                ordinary[path] = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(ordinary[path]).save(path)
    for name, make in odd.items():
        make(root / "train" / "odd" / name)
    return ordinary


def test_odd_images_have_the_right_pixels_in_their_own_place(tmp_path: Path, tally: Tally) -> None:
    wrong = []
    for number, (name, (make, expected)) in enumerate(RIGHT.items()):
        root = tmp_path / str(
            number
        )  # each in a data set of its own, as many show the same picture
        ordinary = with_odd_images(root, {name: make})
        data = load_data(DataConfig(data=str(root), size=8, grey=False), seed=0)
        paths = sorted((root / "train" / "even").iterdir()) + sorted(
            (root / "train" / "odd").iterdir()
        )
        right = torch.from_numpy(
            np.stack([ordinary.get(path, expected) for path in paths])
        ).permute(0, 3, 1, 2)
        if not torch.equal(to_uint8(data.train.x), right):
            wrong.append((name, int((to_uint8(data.train.x).int() - right.int()).abs().max())))
    tally(len(RIGHT), len(RIGHT) - len(wrong), "odd image: right pixels, all others as they were")
    assert not wrong


def test_lossy_kinds_are_close(tmp_path: Path) -> None:
    even = np.full((8, 8, 3), (200, 40, 90), dtype=np.uint8)
    ink = np.concatenate([255 - even, np.zeros((8, 8, 1), dtype=np.uint8)], axis=2)
    Image.fromarray(even).save(tmp_path / "a.jpg", quality=95)
    Image.fromarray(even).save(tmp_path / "b.webp", quality=95)
    Image.frombytes("CMYK", (8, 8), ink.tobytes()).save(tmp_path / "c.jpg", quality=95)
    for path in sorted(tmp_path.iterdir()):
        found = read_pixels(path, grey=False).permute(1, 2, 0).numpy().astype(int)
        assert np.abs(found - even).max() <= 4, path.name


def test_what_cannot_be_used_is_listed_and_never_replaced(
    tmp_path: Path, tally: Tally, capsys: pytest.CaptureFixture[str]
) -> None:
    with_odd_images(tmp_path, {name: make for name, (make, _) in LISTED.items()})
    assert cli.main(["check", str(tmp_path), "--json"]) == 3
    bad = {Path(one["path"]): one["reason"] for one in json.loads(capsys.readouterr().out)["bad"]}
    folder = tmp_path / "train" / "odd"
    listed = [name for name, (_, reason) in LISTED.items() if reason in bad.get(folder / name, "")]
    tally(
        len(LISTED), len(listed), "image that cannot be used: listed with path and reason, exit 3"
    )
    assert len(bad) == len(LISTED)
    assert set(LISTED) == set(listed), bad


def test_no_job_starts_with_an_image_that_cannot_be_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], tally: Tally
) -> None:
    jobs = [["train"], ["train", "--dry-run"], ["gain"], ["semi", "--labels", "2"]]
    cases = [(name, job) for name in ("truncated.png", "text.png", "animated.gif") for job in jobs]
    failed = []
    for number, (name, job) in enumerate(cases):
        root, out = tmp_path / str(number), tmp_path / "run"
        with_odd_images(root, {name: LISTED[name][0]})
        code = cli.main([*job, "--data", str(root), "--out", str(out)])
        err = capsys.readouterr().err
        if (
            code != 3
            or f"train/odd/{name}" not in err
            or {path.name for path in out.rglob("*")} - {"lock", "config.yaml"}
        ):
            failed.append((name, job, code, err))
    tally(
        len(cases),
        len(cases) - len(failed),
        "job on data with a bad image: exit 3 with the path, nothing made",
    )
    assert not failed
