"""The jobs ``edit reconstruct``, ``morph``, ``transfer``, ``inpaint``, ``frontalize``: image files
edited by a trained source.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from PIL import Image
from torch import Tensor

from augmentor.common.atomic_files import write_bytes
from augmentor.common.types import (
    DataError,
    EncodingSource,
    IdentitySource,
    Predict,
    SampleSource,
    conditions_of,
    device_of,
)
from augmentor.data.class_names import class_index
from augmentor.data.fingerprint import from_uint8, to_uint8
from augmentor.data.synthetic_store import safe_folder_name
from augmentor.editing.frontalize import frontalize
from augmentor.editing.inpaint import box_mask, inpaint
from augmentor.editing.morph import morph
from augmentor.editing.reconstruct import reconstruct
from augmentor.editing.transfer import transfer
from augmentor.families import FAMILIES
from pipelines.config import ConfigError
from pipelines.device import use_threads
from pipelines.generators.load import load_source
from pipelines.image_folder import read_squares, shown
from pipelines.report.pictures import png_bytes, sample_grid

MOST_ROWS = 100
"""Rows of an overview; every image is written on its own as well."""
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class EditReport:
    """What an edit wrote.

    Args:
        out: Folder of the files.
        picture: The overview, an animation for a morph that asked for one.
        images: One PNG per edited image, of the source's size, in the order of files, then of steps
            or classes.
        labels: Class every file was taken for; empty where classes do not count.
    """

    out: Path
    picture: Path
    images: tuple[Path, ...]
    labels: tuple[str, ...]


def reconstruct_files(
    run: Path,
    files: Sequence[Path],
    out: Path,
    *,
    label: str | None = None,
    condition: str | None = None,
    predict: Predict | None = None,
    device: str | None = None,
) -> EditReport:
    """Encode images and render them again: how much of an image a source can hold.

    Args:
        run: Folder of the run.
        files: Images, cut and resized as training images are.
        out: Folder to write to; what an earlier edit left there is overwritten.
        label: Class of all files; else see ``predict``.
        condition: Of a source with conditions, that of all files: the name of a category, or
            numbers joined by commas.
        predict: A judge that decides the class of every image. Without it a file's folder has to
            bear its name.
        device: Where to compute, as ``Config.device``; where the run was trained unless given.

    Raises:
        ConfigError: If the source has no encoder, the class of an image is unknown, the device is
            not here, or ``out`` holds files of these names that no edit wrote.
        DataError: If the run is missing, or a file is not a usable image; the message names it.
    """
    o = _open(run, "reconstruct", files, label, predict, device, condition)
    x_rec = reconstruct(o.source, o.x, o.y, o.condition)
    picture = _overview(o, torch.stack([o.x, x_rec], dim=1), ["image", "reconstruction"])
    return _write(o, out, "reconstruct", picture, x_rec[:, None], [""])


def morph_files(
    run: Path,
    first: Path,
    last: Path,
    out: Path,
    *,
    label: str | None = None,
    condition: str | None = None,
    predict: Predict | None = None,
    condition_to: str | None = None,
    steps: int = 8,
    gif: bool = False,
    device: str | None = None,
) -> EditReport:
    """Walk from one image to another of the same class; see ``reconstruct_files`` for the rest.

    Args:
        run: Folder of the run.
        first: Where the walk begins.
        last: Where it ends.
        out: Folder to write to.
        label: Class of both files.
        condition: That of both files, and where the walk begins.
        predict: A judge that decides the class.
        condition_to: The condition where the walk ends; that of the files unless given. With one
            file twice the walk goes through the conditions alone.
        steps: Images on the way, both ends included.
        gif: Draw the overview as an animation, there and back, instead of a row.
        device: Where to compute.

    Raises:
        ConfigError: As there, if the two classes differ, or there are fewer than two steps.
        DataError: As there.
    """
    o = _open(run, "morph", [first, last], label, predict, device, condition)
    if steps < 2 or bool(o.y[0] != o.y[1]):
        raise ConfigError(
            f"morph needs 2 or more steps and two images of one class, got {steps} and images of "
            f"{' and '.join(map(repr, o.labels))}"
        )
    own = None if o.condition is None else o.condition[:1]
    to = own if condition_to is None else _condition(o.source, condition_to, 1, "--condition-to")
    walk = morph(o.source, o.x[:1], o.x[1:], o.y[:1], steps, own, condition_to=to)
    tags = [f"step-{step:03d}" for step in range(steps)]
    picture = gif_bytes(walk[0]) if gif else _overview(o, walk, [])
    return _write(o, out, "morph", picture, walk, tags)


def transfer_files(
    run: Path,
    files: Sequence[Path],
    out: Path,
    *,
    label: str | None = None,
    condition: str | None = None,
    predict: Predict | None = None,
    to: Sequence[str] | None = None,
    condition_to: Sequence[str] = (),
    device: str | None = None,
) -> EditReport:
    """Render the attributes of images under the labels of other classes, or the images themselves
    under other conditions; see ``reconstruct_files`` for the rest.

    Args:
        run: Folder of the run.
        files: Images whose attributes are taken.
        out: Folder to write to.
        label: Class of all files.
        condition: That of all files.
        predict: A judge that decides the class of every image.
        to: Names of the classes to render; unless given all of them, or with ``condition_to`` the
            images' own.
        condition_to: Conditions to render, each as ``condition``; that of the files unless given.
        device: Where to compute.

    Raises:
        ConfigError: As there, or if a class is unknown.
        DataError: As there.
    """
    o = _open(run, "transfer", files, label, predict, device, condition)
    columns = list[Tensor]()
    names, tags = list[str](), list[str]()
    for name, y_new in _classes_to(o, to, own=bool(condition_to)):
        for words, rows in _conditions_to(o, condition_to):
            columns.append(transfer(o.source, o.x, o.y, y_new, o.condition, rows))
            names.append(", ".join(filter(None, [name, words])))
            tags.append("as-" + safe_folder_name(names[-1], len(tags)))
    x_new = torch.stack(columns, dim=1)
    picture = _overview(o, torch.cat([o.x[:, None], x_new], dim=1), ["image", *names])
    return _write(o, out, "transfer", picture, x_new, tags)


def _classes_to(o: _Opened, to: Sequence[str] | None, *, own: bool) -> Iterator[tuple[str, Tensor]]:
    """Names and labels (N,) to render; the images' own have no name."""
    if own and not to:
        yield "", o.y
        return
    for name in to or o.source.classes:
        yield name, torch.full_like(o.y, _index(o.source, name, "--to"))


def _conditions_to(o: _Opened, to: Sequence[str]) -> Iterator[tuple[str, Tensor | None]]:
    """Conditions to render in words and for every image; those of the files have no words."""
    if not to:
        yield "", o.condition
    for words in to:
        rows = _condition(o.source, words, len(o.x), "--condition-to")
        yield words, rows


def inpaint_files(
    run: Path,
    files: Sequence[Path],
    out: Path,
    *,
    label: str | None = None,
    condition: str | None = None,
    predict: Predict | None = None,
    mask: Path | None = None,
    box: Box | None = None,
    rounds: int = 10,
    device: str | None = None,
) -> EditReport:
    """Fill a hole in images, round after round; see ``reconstruct_files`` for the rest.

    Args:
        run: Folder of the run.
        files: Images with a hole, or to be given one.
        out: Folder to write to. The overview shows every round, the single images the last.
        label: Class of all files.
        condition: That of all files.
        predict: A judge that decides the class of every image; it sees the hole too.
        mask: An image that is white in the hole and black elsewhere; cut and resized as the images
            are.
        box: The hole as (left, top, width, height) in pixels of the source's images, instead of
            ``mask``.
        rounds: How often it is filled.
        device: Where to compute.

    Raises:
        ConfigError: As there, if not one of ``mask`` and ``box`` is given, or the hole is empty or
            everything.
        DataError: As there.
    """
    o = _open(run, "inpaint", files, label, predict, device, condition)
    hole = _hole(mask, box, o.x.shape[-1])
    filled = inpaint(o.source, o.x, o.y, hole.to(o.x.device), rounds, o.condition)
    steps = torch.cat([o.x[None], filled]).transpose(0, 1)
    picture = _overview(o, steps, ["image", "hole", *map(str, range(1, rounds + 1))])
    return _write(o, out, "inpaint", picture, filled[-1][:, None], [""])


def frontalize_files(
    run: Path, files: Sequence[Path], frontal: Path, out: Path, *, device: str | None = None
) -> EditReport:
    """Show the people of images as another photo shows its own; they may be people the source has
    never seen.

    Args:
        run: Folder of the run, of an IP-GAN.
        files: Images of the people; their classes do not count.
        frontal: The photo whose pose, light and background all are to have, such as a face seen
            from the front.
        out: Folder to write to; what an earlier edit left there is overwritten.
        device: Where to compute, as ``Config.device``; where the run was trained unless given.

    Raises:
        ConfigError: If the source takes no identity from an image, or the device is not here.
        DataError: If the run is missing, or a file is not a usable image; the message names it.
    """
    source = identity_source(run, "frontalize", device)
    x = read_files([frontal, *files], source.image_shape).to(device_of(source))
    x_frontal, x = x[:1], x[1:]
    x_new = frontalize(source, x, x_frontal)
    o = _Opened(source, files, x, torch.empty(0, dtype=torch.int64))
    picture = _overview(
        o,
        torch.stack([x, x_frontal.expand_as(x), x_new], dim=1),
        ["image", "attributes", "rendered"],
    )
    return _write(o, out, "frontalize", picture, x_new[:, None], [""])


def encoding_source(run: Path, operation: str, device: str | None = None) -> EncodingSource:
    """The source of a run that can encode.

    Raises:
        ConfigError: If its family has no encoder; the message names those that have one.
        DataError: If no run is intact.
    """
    source, refusal = _loaded(run, device, "encode", f"has no encoder, which {operation} needs")
    if not isinstance(source, EncodingSource):
        raise refusal
    return source


def identity_source(run: Path, operation: str, device: str | None = None) -> IdentitySource:
    """The source of a run that takes identities from images.

    Raises:
        ConfigError: If its family does not; the message names those that do.
        DataError: If no run is intact.
    """
    source, refusal = _loaded(
        run, device, "render", f"takes no identity from an image, as {operation} must"
    )
    if not isinstance(source, IdentitySource):
        raise refusal
    return source


def _loaded(
    run: Path, device: str | None, method: str, lack: str
) -> tuple[SampleSource, ConfigError]:
    """The source of a run, and what to raise if it lacks a method."""
    loaded = load_source(run, device)
    use_threads(loaded.config.threads)
    able = [name for name, family in FAMILIES.items() if hasattr(family.model, method)]
    words = f"{lack}; train one of the families {', '.join(able)}"
    return loaded.source, ConfigError(f"{run}: a {loaded.config.source.family} {words}")


def read_files(files: Sequence[Path], image_shape: tuple[int, int, int]) -> Tensor:
    """Images from files, prepared as training images are.

    Args:
        files: Paths, in any format a data set may have.
        image_shape: (C, H, W) to cut and resize to.

    Returns:
        float32 (N, C, H, W) in [-1, 1], on the CPU.

    Raises:
        DataError: If a file is not a usable image; the message names all of them.
    """
    channels, side, _ = image_shape
    pixels, bad = read_squares(files, size=side, grey=channels == 1)
    if bad:
        raise DataError(
            f"{len(bad)} of {len(files)} files cannot be used: {'; '.join(map(str, bad))}"
        )
    return from_uint8(pixels)


def gif_bytes(frames: Tensor, milliseconds: int = 120) -> bytes:
    """Images (n, C, H, W) in [-1, 1] as an endless animation, there and back."""
    there = [sample_grid([frame[None]], [""]) for frame in frames]
    pictures, buffer = [*there, *there[-2:0:-1]], io.BytesIO()
    pictures[0].save(
        buffer,
        format="GIF",
        save_all=True,
        append_images=pictures[1:],
        duration=milliseconds,
        loop=0,
        optimize=False,
    )
    return buffer.getvalue()


@dataclass(frozen=True)
class _Opened:
    """A source, images on its device, their classes (N,) int64, none where they do not count, and
    their conditions where the source knows any.
    """

    source: EncodingSource
    files: Sequence[Path]
    x: Tensor
    y: Tensor
    condition: Tensor | None = None

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(self.source.classes[index] for index in self.y.tolist())


def _open(
    run: Path,
    operation: str,
    files: Sequence[Path],
    label: str | None,
    predict: Predict | None,
    device: str | None,
    condition: str | None,
) -> _Opened:
    source = encoding_source(run, operation, device)
    known = _condition(source, condition, len(files), "--condition")
    x = read_files(files, source.image_shape).to(device_of(source))
    if label is not None:
        y = [_index(source, label, "--label")] * len(files)
    elif predict is not None:
        y = predict(x).argmax(dim=1).tolist()
    else:
        y = [_index_by_folder(source, path) for path in files]
    labels = torch.tensor(y, dtype=torch.int64, device=x.device)
    return _Opened(source, files, x, labels, known)


def _condition(source: EncodingSource, words: str | None, n: int, option: str) -> Tensor | None:
    """A condition as a user writes it, for n images; None for a source without.

    Raises:
        ConfigError: If it is missing or cannot be read, or the source knows classes alone.
    """
    conditions = conditions_of(source)
    if not conditions:
        if words is not None:
            raise ConfigError(
                f"{option}: the source knows classes alone; train one with --condition, of a "
                "family that takes them"
            )
        return None
    names = ",".join(conditions.names)
    if words is None:
        raise ConfigError(f"give the condition of the files by --condition, a value of {names}")
    try:
        one = tuple(map(float, words.split(","))) if conditions.are_numbers else words
        rows = conditions.repeated(one, n)
        conditions.rows(rows)  # refuses what is no finite number
    except ValueError as error:
        raise ConfigError(f"{option}: {words!r} is not a value of {names}: {error}") from error
    return rows.to(device_of(source))


def _index(source: EncodingSource, name: str, option: str) -> int:
    index = class_index(name, source.classes)
    if index is None:
        raise ConfigError(
            f"{option}: unknown class {name!r}; known are {', '.join(source.classes)}"
        )
    return index


def _index_by_folder(source: EncodingSource, path: Path) -> int:
    folder = path.absolute().parent.name
    index = class_index(folder, source.classes)
    if index is None:
        raise ConfigError(
            f"{shown(path)}: the class of this image is needed and its folder is not named after "
            f"one; give --label with one of {', '.join(source.classes)}"
        )
    return index


def _hole(mask: Path | None, box: Box | None, size: int) -> Tensor:
    """True in the hole, bool (size, size)."""
    if (mask is None) == (box is None):
        raise ConfigError(
            "say where the hole is, by one of --mask FILE and --box LEFT,TOP,WIDTH,HEIGHT"
        )
    try:
        hole = _mask_file(mask, size) if mask is not None else box_mask(size, *cast(Box, box))
    except ValueError as error:
        raise ConfigError(f"--box: {error}") from error
    if not bool(hole.any()) or bool(hole.all()):
        raise ConfigError(
            "the hole is empty or covers the whole image; the mask is white in the hole, black "
            "elsewhere"
        )
    return hole


def _mask_file(path: Path, size: int) -> Tensor:
    pixels, bad = read_squares([path], size=size, grey=True)
    if bad:
        raise DataError(str(bad[0]))
    return pixels[0, 0] >= 128


def _overview(o: _Opened, rows: Tensor, columns: Sequence[str]) -> bytes:
    """Rows (N, n, C, H, W) as a picture with the names of the files, those of a morph in one
    row.
    """
    names = [path.stem.encode("utf-8", "replace").decode() for path in o.files]
    return png_bytes(
        sample_grid(list(rows[:MOST_ROWS]), names[: len(rows)][:MOST_ROWS], column_names=columns)
    )


def _write(
    o: _Opened, out: Path, operation: str, picture: bytes, images: Tensor, tags: Sequence[str]
) -> EditReport:
    """The overview, and every image (N, n, C, H, W) on its own, named after its file and the tag of
    its column.
    """
    _require_own_place(out, operation)
    folder = out / operation
    folder.mkdir(parents=True, exist_ok=True)
    overview = out / f"{operation}{'.gif' if picture.startswith(b'GIF') else '.png'}"
    write_bytes(overview, picture)
    written = []
    # Not strict: a morph has two files and one row.
    for index, (path, row) in enumerate(zip(o.files, images, strict=False)):
        for image, tag in zip(row, tags, strict=True):
            name = "-".join(filter(None, [f"{index:03d}", safe_folder_name(path.stem, index), tag]))
            written.append(folder / f"{name}.png")
            write_bytes(written[-1], _png(image))
    return EditReport(out, overview, tuple(written), o.labels)


def _require_own_place(out: Path, operation: str) -> None:
    """Refuse to replace what no edit wrote: an overview and its folder come together.

    Raises:
        ConfigError: If one is there without the other.
    """
    folder = out / operation
    overviews = [out / f"{operation}{suffix}" for suffix in (".png", ".gif")]
    found = [path for path in overviews if path.exists()]
    filled = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    if bool(found) != filled:
        raise ConfigError(
            f"{shown(found[0] if found else folder)} is there already and no edit wrote it; give "
            "another --out, or rename it"
        )


def _png(image: Tensor) -> bytes:
    pixels = to_uint8(image).cpu().permute(1, 2, 0).numpy()
    return png_bytes(Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels))
