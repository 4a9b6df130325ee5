from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from augmentor.common.types import DataError, LabelledImages
from augmentor.data import lazy_images
from augmentor.data.fingerprint import fingerprints, from_uint8, to_uint8
from augmentor.data.lazy_images import LazyImages, RowsInMemory

PIXELS = torch.randint(
    0, 256, (40, 3, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
)
FULL = from_uint8(PIXELS)
SOME = torch.tensor([3, 1, 39, 3])
USES: dict[str, Callable[[Tensor], Tensor]] = {
    "numbers": lambda x: x[SOME],
    "a list": lambda x: x[[3, 1]],
    "a mask": lambda x: x[torch.arange(40) % 3 == 0],
    "none": lambda x: x[torch.arange(0)],
    "a slice": lambda x: x[3:20],
    "a slice with steps": lambda x: x[1:30:7],
    "one": lambda x: x[-2],
    "index_select": lambda x: x.index_select(0, SOME),
    "channels": lambda x: x[:, 1:],
    "pieces": lambda x: torch.cat(torch.split(x, 7)),
    "pieces of sizes": lambda x: torch.cat(x.split([10, 30])),
    "one by one": lambda x: torch.stack(list(x)),
    "joined": lambda x: torch.cat([x, FULL[:5], x[2:4]]),
    "chosen of joined": lambda x: torch.cat([FULL[:5], x])[torch.tensor([44, 0, 5, 4])],
    "joined along channels": lambda x: torch.cat([x, x], dim=1),
    "elsewhere": lambda x: x.detach().to("cpu").cpu(),
    "doubles": lambda x: x.double(),
    "sums": lambda x: x + 1,
    "rows": lambda x: x.flatten(1),
    "a mean": lambda x: x.mean(),
    "channels last": lambda x: x.contiguous(memory_format=torch.channels_last),
    "a convolution": lambda x: functional.conv2d(x, torch.ones(2, 3, 3, 3)),
    "pixels": to_uint8,
    "pixels of joined": lambda x: to_uint8(torch.cat([x, FULL[:5]])),
    "into another": lambda x: torch.zeros_like(FULL).copy_(x),
}


@pytest.fixture(params=["small", "large"])
def x(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Tensor:
    """Images of which a choice becomes an ordinary tensor at once, or stays where it is."""
    if request.param == "large":
        monkeypatch.setattr(lazy_images, "AT_ONCE", 1)
    return LazyImages([RowsInMemory(PIXELS)])


@pytest.mark.parametrize("use", USES)
def test_whatever_is_done_gives_what_an_ordinary_tensor_gives(x: Tensor, use: str) -> None:
    found, wanted = USES[use](x), USES[use](FULL)
    assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
    assert torch.equal(found.clone(), wanted)


def test_a_batch_is_an_ordinary_tensor_and_a_large_choice_is_not() -> None:
    x = LazyImages([RowsInMemory(PIXELS)])
    assert type(x[SOME]) is type(x[:3]) is Tensor
    assert type(torch.split(x, 7)[0]) is type(torch.cat([x, FULL])) is LazyImages
    x[SOME].add_(1)
    assert torch.equal(x[SOME], FULL[SOME])


def test_a_large_choice_stays_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lazy_images, "AT_ONCE", 1)
    x = LazyImages([RowsInMemory(PIXELS)])
    assert type(x[SOME]) is type(x[:3]) is type(x[SOME][:2]) is LazyImages


def test_images_are_read_when_they_are_used_and_not_before() -> None:
    read: list[int] = []

    class Counted(RowsInMemory):
        def floats(self, rows: Tensor) -> Tensor:
            read.extend(rows.tolist())
            return super().floats(rows)

    images = LabelledImages(LazyImages([Counted(PIXELS)]), torch.arange(40) % 2, ("a", "b")).subset(
        torch.arange(10, 40)
    )
    read.clear()
    joined = images.joined(LabelledImages(FULL, torch.arange(40) % 2, ("a", "b")))
    assert (len(joined), joined.image_shape, joined.counts) == (70, (3, 8, 8), {0: 35, 1: 35})
    assert read == []
    assert torch.equal(joined.x[torch.tensor([0, 69])], FULL[[10, 39]])


def test_fingerprints_are_those_of_the_pixels(x: Tensor) -> None:
    assert fingerprints(x).tolist() == fingerprints(PIXELS).tolist()


def test_they_cannot_be_changed(x: Tensor) -> None:
    for change in (lambda: x.add_(1), lambda: x.__setitem__(0, 1.0), lambda: x.clamp_(0, 1)):
        with pytest.raises(TypeError, match="cannot be changed in place"):
            change()
    assert torch.equal(x.clone(), FULL)


def test_all_at_once_only_where_memory_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lazy_images, "AT_ONCE", 1)
    x = LazyImages([RowsInMemory(PIXELS)], most=20 * 3 * 64 * 4)
    assert torch.equal(x[:20].flatten(1), FULL[:20].flatten(1))
    with pytest.raises(DataError, match="40 images of 8x8 are needed in memory at once"):
        x.flatten(1)


def test_a_training_step_learns_from_them(x: Tensor) -> None:
    layer = torch.nn.Conv2d(3, 2, 3)
    layer(x).square().mean().backward()
    own = layer.weight.grad
    layer.weight.grad = None
    layer(FULL).square().mean().backward()
    assert own is not None
    assert torch.equal(own, layer.weight.grad)


def test_copies_and_pickles_are_the_same_images(x: Tensor) -> None:
    for other in (copy.deepcopy(x), pickle.loads(pickle.dumps(x[3:30]))):
        assert torch.equal(other.clone(), FULL if len(other) == 40 else FULL[3:30])
