from __future__ import annotations

import os
import unicodedata
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from augmentor.common.types import DataError
from pipelines.image_folder import (
    ImageFileError,
    ImageTree,
    hashed_split,
    list_images,
    list_tree,
    printable,
    read_header,
    read_pixels,
    read_squares,
    shown,
)

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def corners(mode: str = "RGB") -> Image.Image:
    """Two by two: red green / blue white."""
    image = Image.new("RGB", (2, 2))
    for spot, colour in zip(
        [(0, 0), (1, 0), (0, 1), (1, 1)], [RED, GREEN, BLUE, WHITE], strict=True
    ):
        image.putpixel(spot, colour)
    return image.convert(mode)


def pixels(path: Path) -> list[list[tuple[int, ...]]]:
    """Rows of colours."""
    return [
        [tuple(spot) for spot in row]
        for row in read_pixels(path, grey=False).permute(1, 2, 0).tolist()
    ]


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 270 degrees to see it upright
    corners().save(tmp_path / "a.png", exif=exif)
    assert pixels(tmp_path / "a.png") == [[BLUE, RED], [WHITE, GREEN]]


def test_palettes_keep_their_colours(tmp_path: Path) -> None:
    corners("RGB").quantize(4).save(tmp_path / "a.png")
    assert read_header(tmp_path / "a.png").mode == "P"
    assert pixels(tmp_path / "a.png") == [[RED, GREEN], [BLUE, WHITE]]


def test_transparent_pixels_lie_on_white(tmp_path: Path) -> None:
    image = Image.new("RGBA", (2, 1), (0, 0, 0, 0))
    image.putpixel((1, 0), (0, 0, 255, 128))
    image.save(tmp_path / "a.png")
    Image.new("LA", (1, 1), (0, 0)).save(tmp_path / "b.png")
    Image.new("P", (1, 1), 0).save(tmp_path / "c.png", transparency=0)
    assert pixels(tmp_path / "a.png") == [[WHITE, (127, 127, 255)]]
    assert pixels(tmp_path / "b.png") == pixels(tmp_path / "c.png") == [[WHITE]]


def test_sixteen_bits_become_eight_by_rounding(tmp_path: Path) -> None:
    values = np.array([[0, 128, 129, 257, 32768, 65535]], dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    assert read_header(tmp_path / "a.png").grey
    expected = [round(v / 257) for v in values[0].tolist()]
    assert (
        read_pixels(tmp_path / "a.png", grey=True)[0, 0].tolist()
        == expected
        == [0, 0, 1, 1, 128, 255]
    )


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=100)
    assert read_header(tmp_path / "a.jpg").mode == "CMYK"
    red, green, blue = read_pixels(tmp_path / "a.jpg", grey=False).float().mean((1, 2)).tolist()
    assert (red > 250, green < 5, blue < 5) == (True, True, True)


def test_one_bit_images_become_black_and_white(tmp_path: Path) -> None:
    image = Image.new("1", (2, 1))
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "a.png")
    assert read_header(tmp_path / "a.png").grey
    assert read_pixels(tmp_path / "a.png", grey=True).tolist() == [[[0, 255]]]


@pytest.mark.parametrize("suffix", ["png", "tiff", "webp", "bmp", "ppm", "gif", "jpg", "jfif"])
def test_every_format_is_read(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.new("RGB", (9, 7), RED).save(path)
    assert list_images(tmp_path)[0] == [path]
    assert (read_header(path).width, read_header(path).height) == (9, 7)
    red, green, blue = read_pixels(path, grey=False).float().mean((1, 2)).tolist()
    assert (red > 240, green < 15, blue < 15) == (True, True, True)


def test_the_photo_of_a_phone_with_a_depth_map_counts_as_one_image(tmp_path: Path) -> None:
    photo, depth = Image.new("RGB", (8, 8), RED), Image.new("RGB", (8, 8), BLUE)
    photo.save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[depth])
    assert read_pixels(tmp_path / "a.jpg", grey=False)[0].float().mean() > 240


def huge(path: Path) -> None:
    """A header of 10,000 x 10,000 pixels in a file of a few bytes."""
    header = b"IHDR" + (10_000).to_bytes(4, "big") * 2 + bytes([8, 0, 0, 0, 0])
    crc = zlib.crc32(header).to_bytes(4, "big")
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + (13).to_bytes(4, "big") + header + crc + b"\0\0\0\0IEND\xaeB`\x82"
    )


def monstrous(path: Path) -> None:
    huge(path)
    data = bytearray(path.read_bytes())
    data[16:24] = (100_000).to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(bytes(data[12:29])).to_bytes(4, "big")
    path.write_bytes(data)


def cut_off(path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:3000])


def animated(path: Path) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in (RED, GREEN, BLUE)]
    frames[0].save(path, format="PNG", save_all=True, append_images=frames[1:])


def postscript(path: Path) -> None:
    path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n")


def floating(path: Path) -> None:
    Image.new("F", (4, 4), 0.5).save(path, format="TIFF")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (huge, "10000x10000 is more than 64 million pixels"),
        (monstrous, "more than 64 million pixels"),
        (animated, "3 frames"),
        (postscript, "not an image"),
        (floating, "mode F"),
        (lambda path: path.write_bytes(b""), "not an image"),
        (lambda path: path.write_bytes(b"GIF89a" + bytes(3)), "not an image"),
    ],
)
def test_what_cannot_be_read_says_why_before_decoding(
    tmp_path: Path, make: Callable[[Path], object], reason: str
) -> None:
    make(tmp_path / "a.png")
    with pytest.raises(ImageFileError, match=reason):
        read_header(tmp_path / "a.png")


def test_a_file_that_is_cut_off_is_found_when_decoding(tmp_path: Path) -> None:
    cut_off(tmp_path / "a.png")
    Image.new("RGB", (8, 8), RED).save(tmp_path / "b.png")
    images, bad = read_squares([tmp_path / "a.png", tmp_path / "b.png"], size=8, grey=False)
    assert [one.path.name for one in bad] == ["a.png"]
    assert "damaged" in bad[0].reason
    assert images[0].sum() == 0
    assert images[1, 0].min() == 255


def test_no_damage_to_a_file_ever_raises_anything_else(tmp_path: Path) -> None:
    """Flipped bytes anywhere in the file give an image or an ``ImageFileError``."""
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8))
    for suffix in ("png", "jpg", "gif", "tiff", "bmp", "webp"):
        path = tmp_path / f"a.{suffix}"
        noise.save(path)
        whole = np.frombuffer(path.read_bytes(), dtype=np.uint8)
        for _ in range(40):
            damaged = whole.copy()
            damaged[rng.integers(0, min(200, len(whole)), 3)] = rng.integers(0, 256, 3)
            path.write_bytes(damaged.tobytes())
            read_squares([path], size=8, grey=False)


def test_the_tree_is_sorted_and_leaves_out_what_is_no_class(
    tmp_path: Path, make_folder: Callable[..., Path]
) -> None:
    make_folder(tmp_path, {"b": 2, "a": 1, ".ipynb_checkpoints": 1, "__MACOSX": 1})
    make_folder(tmp_path / "a", {"deeper": 2, ".hidden": 1})
    (tmp_path / "a" / "notes.txt").write_text("")
    (tmp_path / "a" / ".DS_Store").write_text("")
    tree = list_tree(tmp_path)
    assert tree.classes == ("a", "b")
    assert [str(path.relative_to(tmp_path)) for path in tree.paths] == [
        "a/0.png",
        "a/deeper/0.png",
        "a/deeper/1.png",
        "b/0.png",
        "b/1.png",
    ]
    assert tree.y == (0, 0, 0, 1, 1)
    assert tree.counts() == {"a": 3, "b": 2}
    assert (tree.bad, tree.ignored) == ((), 2)


def test_links_never_lead_outside(tmp_path: Path, make_folder: Callable[..., Path]) -> None:
    outside = make_folder(tmp_path / "outside", {"x": 1})
    root = make_folder(tmp_path / "data", {"a": 1, "b": 1})
    (root / "a" / "out.png").symlink_to(outside / "x" / "0.png")
    (root / "a" / "in.png").symlink_to(root / "b" / "0.png")
    (root / "a" / "broken.png").symlink_to(root / "nowhere.png")
    (root / "a" / "loop").symlink_to(root)
    (root / "c").symlink_to(outside / "x")
    os.mkfifo(root / "b" / "pipe.png")
    tree = list_tree(root)
    assert tree.counts() == {"a": 2, "b": 1}
    assert {one.path.name: one.reason for one in tree.bad} == {
        "out.png": "a link that leads outside the folder",
        "broken.png": "a broken link",
        "loop": "a link to a folder is not followed",
        "c": "a link to a folder is not followed",
        "pipe.png": "not a regular file",
    }


def test_two_spellings_of_one_name_are_refused(
    tmp_path: Path, make_folder: Callable[..., Path]
) -> None:
    composed, decomposed = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    make_folder(tmp_path, {composed: 1, "tea": 1})
    assert list_tree(tmp_path).classes == (composed, "tea")
    make_folder(tmp_path, {decomposed: 1})
    with pytest.raises(DataError, match=r"caf\\xe9.*cafe\\u0301|cafe\\u0301.*caf\\xe9"):
        list_tree(tmp_path)


def test_a_class_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9")).mkdir()
    with pytest.raises(DataError, match=r"caf\\xe9: the name of this class is not UTF-8"):
        list_tree(tmp_path)


def test_missing_empty_and_flat_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere: no such folder"):
        list_tree(tmp_path / "nowhere")
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match="holds no class folders"):
        list_tree(tmp_path)


def test_flat_and_deep_files_are_listed(tmp_path: Path, make_folder: Callable[..., Path]) -> None:
    make_folder(tmp_path, {"x": 1, "y": 1})
    Image.new("RGB", (8, 8)).save(tmp_path / "z.png")
    paths, bad, ignored = list_images(tmp_path)
    assert [str(path.relative_to(tmp_path)) for path in paths] == ["x/0.png", "y/0.png", "z.png"]
    assert (bad, ignored) == ([], 0)


def tree_of(root: Path, counts: dict[str, int]) -> ImageTree:
    paths = [root / name / f"{i}.png" for name, n in counts.items() for i in range(n)]
    y = [label for label, n in enumerate(counts.values()) for _ in range(n)]
    return ImageTree(root, tuple(counts), tuple(paths), tuple(y), (), 0)


def test_the_hashed_split_takes_the_fraction_of_every_class_and_ignores_where_the_folder_lies() -> (
    None
):
    counts = {"a": 2, "b": 3, "c": 40}
    train, test = hashed_split(tree_of(Path("/here"), counts), 0.25)
    tree = tree_of(Path("/there"), counts)
    assert (train, test) == hashed_split(tree, 0.25)
    assert sorted(train + test) == list(range(45))
    assert [sum(tree.y[i] == label for i in test) for label in range(3)] == [1, 1, 10]


def test_a_new_file_moves_no_more_than_one_other_across_the_split() -> None:
    before = hashed_split(tree_of(Path("/d"), {"a": 40, "b": 2}), 0.25)[1]
    after = hashed_split(tree_of(Path("/d"), {"a": 41, "b": 2}), 0.25)[1]
    assert len({i for i in before if i < 40} - set(after)) <= 1


def test_names_cannot_steer_a_terminal(tmp_path: Path) -> None:
    assert printable("a\x1b[2Jb\nc é 猫") == "a\\x1b[2Jb\\nc é 猫"
    assert shown(Path(os.fsdecode(b"caf\xe9"))) == "caf\\xe9"


def test_the_size_of_a_turned_photo_is_that_of_what_one_sees(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (6, 4)).save(tmp_path / "a.jpg", exif=exif)
    header = read_header(tmp_path / "a.jpg")
    assert (header.width, header.height) == (4, 6)
    assert read_pixels(tmp_path / "a.jpg", grey=False).shape == (3, 6, 4)
