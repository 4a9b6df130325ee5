"""Images that stay where they are stored, as a tensor: floats are made of those being used alone.

A set of photos takes four times as much memory as floats than as pixels, and more than there is
where it is large. ``LazyImages`` looks like the float32 tensor of all of them, so whatever takes
images takes it too. Choosing images costs nothing; what is chosen in the size of a batch is an
ordinary tensor, equal to the last bit to the rows of the whole one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, cast

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from augmentor.common.types import DataError
from augmentor.data.fingerprint import from_uint8, to_uint8

AT_ONCE = 2**28
"""Bytes of chosen images that are turned into an ordinary tensor at once: more than any batch."""
MEMORY_LEFT = 4
"""All of them go to a GPU where its free memory is as many times as large as they are."""
UNCHANGED = "these images cannot be changed in place; choose some of them first"
aten = torch.ops.aten


class ImageRows(Protocol):
    """Where images are kept."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, C, H, W)."""

    def floats(self, rows: Tensor) -> Tensor:
        """Some of them, float32 (n, C, H, W) in [-1, 1]; ``rows`` are numbers, int64 (n,)."""

    def pixels(self, rows: Tensor) -> Tensor:
        """The same as 8-bit pixels, uint8."""


class RowsInMemory:
    """Images in memory.

    Args:
        images: (N, C, H, W), float32 in [-1, 1] or uint8.
    """

    def __init__(self, images: Tensor) -> None:
        self.images = images
        self.shape = cast(tuple[int, int, int, int], tuple(images.shape))

    def floats(self, rows: Tensor) -> Tensor:
        """As of ``ImageRows``."""
        chosen = self.images[rows]
        return from_uint8(chosen) if chosen.dtype == torch.uint8 else chosen

    def pixels(self, rows: Tensor) -> Tensor:
        """As of ``ImageRows``."""
        chosen = self.images[rows]
        return chosen if chosen.dtype == torch.uint8 else to_uint8(chosen)


class LazyImages(Tensor):
    """Images that are kept elsewhere, as a float32 tensor (N, C, H, W) in [-1, 1].

    Choosing, splitting and joining along the first axis leave them where they are; a choice of at
    most ``AT_ONCE`` bytes becomes an ordinary tensor. Any other operation turns all of them into
    one first. They cannot be changed in place.

    Attributes:
        parts: Where they are kept, all of one (C, H, W).
        rows: Numbers of the images, counted through all parts, int64 (N,); None for all.
        most: Bytes that an ordinary tensor of them may take, where it is more than ``AT_ONCE``.
        device: Where chosen images go.

    Example:
        >>> pixels = torch.arange(0, 240, 10, dtype=torch.uint8).view(6, 1, 2, 2)
        >>> x = LazyImages([RowsInMemory(pixels)])
        >>> x.shape, torch.equal(x[[4, 1]], from_uint8(pixels[[4, 1]]))
        (torch.Size([6, 1, 2, 2]), True)
    """

    parts: tuple[ImageRows, ...]
    rows: Tensor
    most: float

    @staticmethod
    def __new__(
        cls,
        parts: Sequence[ImageRows],
        rows: Tensor | None = None,
        most: float = math.inf,
        device: torch.device | str = "cpu",
    ) -> LazyImages:
        """Arguments as those of the class."""
        count = sum(part.shape[0] for part in parts)
        rows = torch.arange(count) if rows is None else rows
        shape = (len(rows), *parts[0].shape[1:])
        made = Tensor._make_wrapper_subclass(
            cls, shape, dtype=torch.float32, device=torch.device(device)
        )
        made.parts, made.rows, made.most = tuple(parts), rows, most
        return made

    def __init__(self, *_: Any, **__: Any) -> None:
        """All is done by ``__new__``."""

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Answer an operation of torch: of choosing by a choice, of others by ordinary tensors."""
        kwargs = kwargs or {}
        own = OWN.get(func)
        if own is not None and (found := own(*args, **kwargs)) is not NotImplemented:
            return found
        if func._schema.is_mutable and isinstance(args[0], LazyImages):
            raise TypeError(UNCHANGED)
        return func(*tree_map(_ordinary, args), **tree_map(_ordinary, kwargs))

    def __iter__(self) -> Iterator[Tensor]:
        """One image after the other, (C, H, W)."""
        return (self[number] for number in range(len(self)))

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        """Its form; the values stay where they are."""
        return f"LazyImages({tuple(self.shape)}, device={str(self.device)!r})"

    def __setitem__(self, *_: Any) -> None:
        """Refused: a changed copy would be lost without a word."""
        raise TypeError(UNCHANGED)

    def __deepcopy__(self, memo: Any) -> LazyImages:
        """Themselves, since they cannot be changed."""
        return self

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Images travel as they are kept; a part that is a file says how."""
        return LazyImages, (self.parts, self.rows, self.most, str(self.device))

    def numpy(self, *, force: bool = False) -> Any:
        """All of them as an ordinary array."""
        return self.ordinary().numpy(force=force)

    def chosen(self, rows: Tensor) -> LazyImages:
        """The images at these numbers, int64 (n,), where they are kept."""
        return LazyImages(self.parts, self.rows[rows.cpu()], self.most, self.device)

    def ordinary(self) -> Tensor:
        """All of them as an ordinary tensor.

        Raises:
            DataError: If that takes more memory than allowed.
        """
        size = self.numel() * self.element_size()
        if size > max(self.most, AT_ONCE):
            raise DataError(
                f"{len(self)} images of {self.shape[2]}x{self.shape[3]} are needed in memory at "
                f"once, {size / 1e9:.1f} GB of at most {self.most / 1e9:.1f} GB; ask for a smaller "
                "--size or fewer images, leave out the arm that needs them, or raise data.memory"
            )
        x = self._gathered(torch.float32, lambda part, rows: part.floats(rows))
        return x.to(self.device)

    def kept_pixels(self) -> Tensor:
        """All of them as 8-bit pixels, uint8; what ``to_uint8`` asks for."""
        return self._gathered(torch.uint8, lambda part, rows: part.pixels(rows)).to(self.device)

    def _gathered(self, dtype: torch.dtype, read: Callable[[ImageRows, Tensor], Tensor]) -> Tensor:
        """What is read of every part, in the order of the images."""
        found, first = torch.empty(self.shape, dtype=dtype), 0
        for part in self.parts:
            end = first + part.shape[0]
            here = ((self.rows >= first) & (self.rows < end)).nonzero()[:, 0]
            if len(here) == len(self):
                return read(part, self.rows - first)
            found[here] = read(part, self.rows[here] - first)
            first = end
        return found

    def in_batches(self) -> Tensor:
        """Themselves, or an ordinary tensor where they are at most some batches."""
        return self.ordinary() if self.numel() * self.element_size() <= AT_ONCE else self


def _ordinary(value: Any) -> Any:
    return value.ordinary() if isinstance(value, LazyImages) else value


def _index(x: LazyImages, indices: Sequence[Tensor | None]) -> Any:
    if len(indices) != 1 or indices[0] is None or indices[0].ndim != 1:
        return NotImplemented
    return x.chosen(indices[0]).in_batches()


def _index_select(x: LazyImages, dim: int, index: Tensor) -> Any:
    return NotImplemented if dim else x.chosen(index).in_batches()


def _slice(
    x: LazyImages, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Any:
    if dim:
        return NotImplemented
    return x.chosen(torch.arange(*slice(start, end, step).indices(len(x)))).in_batches()


def _select(x: LazyImages, dim: int, index: int) -> Any:
    if dim:
        return NotImplemented
    if not -len(x) <= index < len(x):
        raise IndexError(f"image {index} of {len(x)}")
    return x.chosen(torch.tensor([index % len(x)])).ordinary()[0]


def _split(x: LazyImages, size: int | list[int], dim: int = 0) -> Any:
    """Pieces that stay where they are: a caller who splits goes through them one by one."""
    if dim:
        return NotImplemented
    return [x.chosen(some) for some in torch.split(torch.arange(len(x)), size)]


def _cat(tensors: Sequence[Tensor], dim: int = 0) -> Any:
    if dim or any(one.device.type != "cpu" or one.dtype != torch.float32 for one in tensors):
        return NotImplemented
    parts: list[ImageRows] = []
    rows, first, most = [], 0, math.inf
    for one in filter(len, tensors):
        stored = isinstance(one, LazyImages)
        own = cast(LazyImages, one).parts if stored else (RowsInMemory(one),)
        rows.append(first + (cast(LazyImages, one).rows if stored else torch.arange(len(one))))
        most = min(most, cast(LazyImages, one).most) if stored else most
        parts += own
        first += sum(part.shape[0] for part in own)
    if not parts or len({part.shape[1:] for part in parts}) > 1:
        return NotImplemented
    return LazyImages(parts, torch.cat(rows), most)


def _copied(x: LazyImages, **kwargs: Any) -> Any:
    """To another device: all of them where it has room, else what is chosen, when it is."""
    device = kwargs.get("device")
    if kwargs.get("dtype") not in (None, torch.float32) or device is None:
        return NotImplemented
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        if x.numel() * x.element_size() * MEMORY_LEFT < free and _fits(x):
            return NotImplemented
    return LazyImages(x.parts, x.rows, x.most, device)


def _fits(x: LazyImages) -> bool:
    return x.numel() * x.element_size() <= max(x.most, AT_ONCE)


OWN: dict[Any, Callable[..., Any]] = {
    aten.index.Tensor: _index,
    aten.index_select.default: _index_select,
    aten.slice.Tensor: _slice,
    aten.select.int: _select,
    aten.split.Tensor: _split,
    aten.split_with_sizes.default: _split,
    aten.cat.default: _cat,
    aten.detach.default: lambda x: LazyImages(x.parts, x.rows, x.most, x.device),
    aten._to_copy.default: _copied,
}
"""Operations that leave images where they are."""
