"""Near copies: images that are another image mirrored, shifted by a pixel, stored again or resized.

Two pictures are compared by their normalised correlation on a small grey thumbnail, which
brightness, contrast and the size they are stored in hardly change. How near is too near depends on
the picture: two handwritten digits are alike, two photos of faces are not. So the distance from an
image to a known one is divided by the distance from that known image to its second nearest
neighbour among the other known ones, which are not copies of each other. The ratio that counts as a
copy is set by the known images too: one half of them is looked for in the other half, and at most
0.5 % of these may be called copies (more where the known images hold near duplicates themselves,
which the stated rate of false alarms then says).

``benchmarks/near_copies.py`` measures hits and false alarms.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from augmentor.data.fingerprint import to_uint8

THUMBNAIL = 16  # longest side that is compared, in pixels
SMALLEST_SHIFTED = 6  # below this side a shift by a pixel leaves too little to compare
LARGEST_RATIO, SMALLEST_RATIO = 0.4, 0.1  # near duplicates must not make it blind
ALLOWED = 0.005  # most of the known images that may be called copies of each other
CERTAIN = 1 / 8  # of the ratio that counts: different pictures are never so near, by extrapolation
UNLIKELY = 1e-3  # p from which a number of copies is more than false alarms
NEIGHBOUR = 2  # the nearest one may be a duplicate inside the known images
MOST = 2000  # known images that the others' distances are measured to
FEWEST = 20  # known images from which their own distances are a guide
CLOSEST = 5  # candidates for a copy that are looked at pixel by pixel
LEFT_OUT = 0.03  # part of the pixels that may differ as much as they like
SMALLEST_SCALE = 0.02
PREPARED_TOGETHER, COMPARED_TOGETHER = 2**22, 2**24  # pixels, and products, held at a time
FAR = 9.0  # more than any distance between two normalised pictures
CHANGES = (
    "the same picture",
    "mirrored",
    "shifted by a pixel",
    "mirrored and shifted by a pixel",
)
Check = Callable[[], None]


@dataclass(frozen=True)
class NearCopies:
    """The images that are copies, or near copies, of known ones.

    Args:
        image: Numbers of the images that are copies, int64 (K,), ascending.
        known: Number of the known image that each is a copy of, int64 (K,).
        ratio: How near, as a part of the distance between different known images, float32 (K,); 0
            is a copy to the pixel.
        change: One of ``CHANGES`` for each; small changes of pixels may come on top.
        looked_at: How many images were compared.
        threshold: Ratio below which an image counts as a copy.
        certain_below: Ratio below which one image alone is certain; 0 where the known images hold
            duplicates themselves.
        false_alarm_rate: Share of images that are not copies but would be called so, estimated from
            the known images.
    """

    image: Tensor
    known: Tensor
    ratio: Tensor
    change: tuple[str, ...]
    looked_at: int
    threshold: float
    certain_below: float
    false_alarm_rate: float

    def __len__(self) -> int:
        return len(self.image)

    @property
    def share(self) -> float:
        """Part of the images that are near copies, in [0, 1]."""
        return len(self) / max(1, self.looked_at)

    @property
    def certain(self) -> bool:
        """Whether false alarms cannot explain them: one is a copy almost to the pixel, or there are
        more than one in a thousand sets without copies would show.
        """
        if not len(self):
            return False
        if float(self.ratio.min()) < self.certain_below:
            return True
        from scipy import stats

        chance = stats.binom.sf(len(self) - 1, self.looked_at, self.false_alarm_rate)
        return bool(chance < UNLIKELY)


class CopyFinder:
    """Looks for copies of known images, which are prepared once.

    Memory is about 20 kB per known image; a comparison of 1,000 images with 1,000 known ones takes
    about half a second on one core.

    Args:
        known: Images (N, C, H, W), float32 in [-1, 1] or uint8; two at least.
        check: Called between pieces of work; may raise to stop.
        real: How near real images that are not copies come to known ones, as ``ratios_to`` gives
            it, float32 (K,), which decides what is too near; None to look for one half of the known
            images in the other.

    Raises:
        ValueError: If there are fewer than two images.

    Example:
        >>> known = torch.rand(50, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
        >>> found = CopyFinder(known).find(known[:3].flip(-1))
        >>> found.known.tolist(), found.change[0], found.certain
        ([0, 1, 2], 'mirrored', True)
    """

    def __init__(
        self, known: Tensor, check: Check | None = None, real: Tensor | None = None
    ) -> None:
        if known.ndim != 4 or len(known) < 2:
            raise ValueError(f"need two known images (N, C, H, W) at least, got {known.shape}")
        self._reference = _Reference(known, check)
        found = _calibrated(known, check) if real is None else _limits(real)
        self.threshold, self.certain_below, self.false_alarm_rate = found

    def find(self, images: Tensor) -> NearCopies:
        """The near copies of known images among others.

        Args:
            images: Shape (M, C, H, W) with the (C, H, W) of the known ones, float32 in [-1, 1] or
                uint8.

        Raises:
            ValueError: If the shapes differ.
        """
        ratio, known, change = self._reference.ratios(images)
        found = (ratio < self.threshold).nonzero()[:, 0]
        return NearCopies(
            image=found,
            known=known[found],
            ratio=ratio[found],
            change=tuple(CHANGES[number] for number in change[found].tolist()),
            looked_at=len(images),
            threshold=self.threshold,
            certain_below=self.certain_below,
            false_alarm_rate=self.false_alarm_rate,
        )


def ratios_to(known: Tensor, images: Tensor, check: Check | None = None) -> Tensor:
    """How near each image comes to a known one: ``NearCopies.ratio`` of all of them.

    Args:
        known: As for ``CopyFinder``.
        images: As for ``CopyFinder.find``.
        check: Called between pieces of work; may raise to stop.

    Returns:
        Ratios, float32 (M,).
    """
    return _Reference(known, check).ratios(images)[0]


def _calibrated(known: Tensor, check: Check | None) -> tuple[float, float, float]:
    """The ratio that counts as a copy, the one that is certain, and the rate of false alarms."""
    if len(known) < 2 * FEWEST:
        certain = CERTAIN * LARGEST_RATIO
        return certain, certain, 1 / (len(known) + 2)
    others = known[1::2]
    others = others[_evenly(len(others), MOST)]
    own, _, _ = _Reference(known[0::2], check).ratios(others)
    return _limits(own)


def _limits(own: Tensor) -> tuple[float, float, float]:
    """As ``_calibrated``, from the ratios of images that are not copies."""
    threshold = float(own.sort().values[int(ALLOWED * len(own))])
    threshold = min(LARGEST_RATIO, max(SMALLEST_RATIO, threshold))
    certain = CERTAIN * threshold
    alarms = int((own < threshold).sum())
    duplicates = bool((own < certain).any())
    return threshold, 0.0 if duplicates else certain, (alarms + 1) / (len(own) + 2)


class _Reference:
    """Known images with the distances between them."""

    def __init__(self, known: Tensor, check: Check | None) -> None:
        self.image_shape = tuple(known.shape[1:])
        self.views = _views(known, check)
        self.scales = [_scale(view) for view in self.views]

    def ratios(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """How near each image is to a known one, float32 (M,), the number of that one, and an index
        into ``CHANGES``, int64 (M,).
        """
        if tuple(images.shape[1:]) != self.image_shape:
            raise ValueError(
                f"give images of the known ones' shape {self.image_shape}, got "
                f"{tuple(images.shape[1:])}"
            )
        none = torch.zeros(0, dtype=torch.int64)
        parts = [(torch.zeros(0), none, none)]
        parts += [
            self._nearest(some) for some in torch.split(images, _together(images)) if len(some)
        ]
        ratio, known, change = (torch.cat(column) for column in zip(*parts, strict=True))
        return ratio, known, change

    def _nearest(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As ``ratios``: the nearest by any view."""
        grey, found = _grey(images), []
        for view, (plain, trimmed) in zip(self.views, self.scales, strict=True):
            near = view.nearest(view.of(grey))
            ratios = torch.minimum(
                near.plain / plain[near.known], near.trimmed / trimmed[near.known]
            )
            ratio, place = ratios.min(dim=1, keepdim=True)
            change = view.change[near.variant.gather(1, place)]
            found.append(torch.cat([ratio, near.known.gather(1, place), change], dim=1))
        best = torch.stack(found)  # views, images, columns
        first = best[:, :, 0].argmin(dim=0)
        chosen = best[first, torch.arange(len(images))]
        return chosen[:, 0], chosen[:, 1].long(), chosen[:, 2].long()


def _scale(view: _View) -> tuple[Tensor, Tensor]:
    """The plain and the trimmed distance from every known image to its second nearest other one
    among at most ``MOST``.
    """
    some = _evenly(len(view.pictures), MOST)
    place_of = torch.full((len(view.pictures),), -1)
    place_of[some] = torch.arange(len(some))
    near = replace(view, pictures=view.pictures[some]).nearest(view.pictures[:, 0], place_of)
    place = min(NEIGHBOUR, near.plain.shape[1]) - 1
    plain = near.plain.sort(dim=1).values[:, place]
    trimmed = near.trimmed.sort(dim=1).values[:, place]
    return plain.clamp_min(SMALLEST_SCALE), trimmed.clamp_min(SMALLEST_SCALE)


@dataclass(frozen=True)
class _Near:
    """The known images nearest to each of M images: plain and trimmed distances, numbers, and which
    variant of the known one it was, all (M, k).
    """

    plain: Tensor
    trimmed: Tensor
    known: Tensor
    variant: Tensor


@dataclass(frozen=True)
class _View:
    """One way to look at pictures: whole, or without their border, where shifts are looked for.

    Args:
        of: Brightness, as of ``_grey``, to normalised thumbnails (M, D).
        pictures: The known images in V variants, the unchanged one first, (N, V, D).
        change: Index into ``CHANGES`` of every variant, int64 (V,).
        check: As in ``CopyFinder``.
    """

    of: Callable[[Tensor], Tensor]
    pictures: Tensor
    change: Tensor
    check: Check | None

    def nearest(self, images: Tensor, itself: Tensor | None = None) -> _Near:
        """The nearest known images of thumbnails (M, D).

        Args:
            images: From ``of``.
            itself: Number of the known image that each image is, which does not count, or -1, int64
                (M,); None where none is.
        """
        known, variants, _ = self.pictures.shape
        rows = max(1, COMPARED_TOGETHER // (known * variants))
        parts = []
        for start in range(0, len(images), rows):
            if self.check is not None:
                self.check()
            some = images[start : start + rows]
            own = None if itself is None else itself[start : start + rows]
            parts.append(self._nearest(some, own))
        columns = zip(*parts, strict=True)
        return _Near(*(torch.cat(column) for column in columns))

    def _nearest(self, images: Tensor, own: Tensor | None) -> tuple[Tensor, ...]:
        known, variants, size = self.pictures.shape
        alike = (images @ self.pictures.reshape(-1, size).T).view(-1, known, variants)
        alike, variant = alike.max(dim=2)
        if own is not None:
            known_rows = (own >= 0).nonzero()[:, 0]
            alike[known_rows, own[known_rows]] = -FAR
        count = min(CLOSEST, known if own is None else known - 1)
        alike, number = alike.topk(count, dim=1)
        variant = variant.gather(1, number)
        plain = (2 - 2 * alike).clamp_min(0).sqrt()
        flat = ~images.any(dim=1)  # a picture of one brightness is like no other
        plain[flat] = FAR
        trimmed = _trimmed(images[:, None], self.pictures[number, variant])
        trimmed[flat] = FAR
        return plain, trimmed, number, variant


def _trimmed(a: Tensor, b: Tensor) -> Tensor:
    """Euclidean distances (M, k) that leave out the pixels that differ most: one changed pixel must
    not hide a copy.
    """
    squares = (a - b).square()
    kept = squares.shape[-1] - max(1, round(LEFT_OUT * squares.shape[-1]))
    return squares.sort(dim=-1).values[..., :kept].sum(dim=-1).sqrt()


def _evenly(count: int, most: int) -> Tensor:
    """At most so many numbers below ``count``, evenly spaced."""
    return torch.linspace(0, count - 1, min(count, most)).round().long()


def _views(known: Tensor, check: Check | None) -> list[_View]:
    """The whole pictures and their mirror images; and without the border, shifted."""
    whole = [_thumbnails, _mirrored(_thumbnails)]
    views = [_View(_thumbnails, _prepared(whole, known), torch.tensor([0, 1]), check)]
    if min(known.shape[2:]) >= SMALLEST_SHIFTED:
        shifted, change = [_inner(1, 1)], [0]
        for dy, dx in ((y, x) for y in range(3) for x in range(3)):
            if (dy, dx) != (1, 1):
                shifted += [_inner(dy, dx), _mirrored(_inner(dy, dx))]
                change += [2, 3]
        views.append(_View(_inner(1, 1), _prepared(shifted, known), torch.tensor(change), check))
    return views


def _prepared(ways: list[Callable[[Tensor], Tensor]], known: Tensor) -> Tensor:
    """Thumbnails of known images in several ways, (N, V, D)."""
    parts = []
    for some in torch.split(known, _together(known)):
        grey = _grey(some)
        parts.append(torch.stack([way(grey) for way in ways], dim=1))
    return torch.cat(parts)


def _together(images: Tensor) -> int:
    """How many images are prepared at a time."""
    return max(1, PREPARED_TOGETHER // max(1, images[0].numel())) if len(images) else 1


def _inner(top: int, left: int) -> Callable[[Tensor], Tensor]:
    """The pictures without one pixel of every side, cut out ``top`` and ``left`` pixels from the
    edge; (1, 1) is the middle.
    """

    def cut(grey: Tensor) -> Tensor:
        height, width = grey.shape[-2] - 2, grey.shape[-1] - 2
        return _thumbnails(grey[..., top : top + height, left : left + width])

    return cut


def _mirrored(way: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda grey: way(grey.flip(-1))


def _grey(images: Tensor) -> Tensor:
    """Brightness (N, 1, H, W) float32 in [0, 255]."""
    pixels = (images if images.dtype == torch.uint8 else to_uint8(images)).float()
    if pixels.shape[1] != 3:
        return pixels.mean(dim=1, keepdim=True)
    weights = torch.tensor([0.2989, 0.587, 0.114]).view(1, 3, 1, 1)
    return (pixels * weights).sum(dim=1, keepdim=True)


def _thumbnails(grey: Tensor) -> Tensor:
    """Small pictures as rows of mean 0 and length 1, (N, D); of one brightness all 0."""
    height, width = (min(THUMBNAIL, side) for side in grey.shape[-2:])
    rows = functional.adaptive_avg_pool2d(grey, (height, width)).flatten(1)
    rows = rows - rows.mean(dim=1, keepdim=True)
    length = rows.norm(dim=1, keepdim=True)
    return torch.where(length > 1, rows / length.clamp_min(1), torch.zeros_like(rows))
