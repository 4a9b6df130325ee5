"""The mix behaves as the real dataset does, whatever that is."""

from __future__ import annotations

import copy
import doctest
import json
import pickle
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import ConcatDataset, DataLoader, Dataset, Subset, TensorDataset
from torchvision.datasets import ImageFolder, VisionDataset
from torchvision.transforms import v2

from augmentor.common.conditions import Conditions
from augmentor.common.types import DataError
from augmentor.data import synthetic_mix, synthetic_set
from augmentor.data.fingerprint import to_uint8
from augmentor.data.synthetic_images import draw_from
from augmentor.data.synthetic_mix import SyntheticMix
from augmentor.data.synthetic_store import (
    PixelImages,
    Recipe,
    SyntheticSet,
    read_set,
    trained_on_digest,
    write_set,
)
from augmentor.sampling.spread_latents import ScaledLatents

TO_TENSOR = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])


class Digits(VisionDataset):
    """Laid out as torchvision's MNIST: a tensor of bytes, tensor targets, grey PIL items, names
    with a dash."""

    classes = ("0 - zero", "1 - one")

    def __init__(self, counts=(6, 2), size=8, transform=None, target_transform=None):
        super().__init__("nowhere", transform=transform, target_transform=target_transform)
        self.targets = torch.repeat_interleave(torch.arange(2), torch.tensor(counts))
        self.data = torch.full((sum(counts), size, size), 200, dtype=torch.uint8)

    def __len__(self):
        return len(self.data)

    def __getitem__(self, index):
        image, target = Image.fromarray(self.data[index].numpy()), int(self.targets[index])
        if self.transform is not None:
            image = self.transform(image)
        return image, target if self.target_transform is None else self.target_transform(target)


class Arrays(Dataset):
    """A user's own set: arrays, no names, an albumentations-style transform called by keyword."""

    def __init__(self, transform=None):
        self.transform = transform

    def __len__(self):
        return 4

    def __getitem__(self, index):
        image = np.full((8, 8, 3), 9, dtype=np.uint8)
        if self.transform is not None:
            image = self.transform(image=image)["image"]
        return image, np.int64(index % 2)


@pytest.fixture
def folder(tmp_path):
    """An ImageFolder with four cats and one dog, in colour, 16 pixels wide and 12 high."""
    for name, count in (("cat", 4), ("dog", 1)):
        (tmp_path / name).mkdir()
        for i in range(count):
            Image.new("RGB", (16, 12), (i, 50, 60)).save(tmp_path / name / f"{i}.png")
    return tmp_path


def test_image_folder_keeps_its_ways(folder, images):
    real = ImageFolder(str(folder))
    before = copy.deepcopy(vars(real))
    mix = SyntheticMix(real, images({"dog": 3, "cat": 0}, (3, 8, 8)))
    image, target = mix[5]
    assert (image.mode, image.size, target) == ("RGB", (12, 12), 1)
    assert len(mix) == 8
    assert mix.classes == ["cat", "dog"]
    assert mix.class_to_idx == {"cat": 0, "dog": 1}
    assert mix.targets == [0, 0, 0, 0, 1, 1, 1, 1]
    assert mix.samples[:5] == real.samples
    assert [label for _, label in mix.samples] == mix.targets
    assert [mix.is_synthetic(i) for i in range(8)] == [False] * 5 + [True] * 3
    assert mix.is_synthetic(-1)
    assert vars(real) == before


def test_transforms_count_for_both_kinds(folder, images):
    real = ImageFolder(
        str(folder),
        transform=v2.Compose([v2.Resize((8, 8)), TO_TENSOR]),
        target_transform=lambda t: -t,
    )
    mix = SyntheticMix(real, images({"dog": 3, "cat": 0}))
    assert {mix[i][0].shape for i in range(len(mix))} == {(3, 8, 8)}
    assert [mix[i][1] for i in range(len(mix))] == [0, 0, 0, 0, -1, -1, -1, -1]
    real.transform = v2.Compose([v2.Resize((4, 4)), TO_TENSOR])
    assert {mix[i][0].shape for i in range(len(mix))} == {(3, 4, 4)}


def test_joint_transforms_count_too(folder, images):
    real = ImageFolder(str(folder))
    real.transforms = lambda image, target: ("seen", target + 10)
    assert SyntheticMix(real, images({"dog": 3, "cat": 0}))[7] == ("seen", 11)


def test_grey_digits_with_torchvisions_names(images):
    real = Digits(transform=TO_TENSOR)
    mix = SyntheticMix(real, images({"1": 4, "0": 0}))
    assert mix.targets.tolist() == [0] * 6 + [1] * 6
    assert mix[0][0].shape == mix[-1][0].shape == (1, 8, 8)
    assert mix.classes == list(real.classes)
    assert not hasattr(mix, "samples")
    assert (
        Image.new("L", (8, 8)).mode == SyntheticMix(Digits(), images({"0": 1, "1": 1}))[-1][0].mode
    )


def test_pixels_arrive_exactly(images):
    synthetic = images({"0": 3, "1": 2})
    mix = SyntheticMix(Digits(transform=v2.PILToTensor()), synthetic)
    assert torch.equal(torch.stack([mix[i][0] for i in range(8, 13)]), to_uint8(synthetic.x))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64])
def test_tensor_dataset(images, dtype):
    white = 255 if dtype == torch.uint8 else 1
    real = TensorDataset(
        torch.full((3, 3, 6, 6), white, dtype=dtype), torch.tensor([0, 1, 1], dtype=torch.int32)
    )
    mix = SyntheticMix(real, images({"0": 2, "1": 1}))
    image, target = mix[3]
    assert (image.dtype, image.shape) == (dtype, (3, 6, 6))
    assert (target.dtype, target.shape, int(target)) == (torch.int32, (), 0)
    assert float(image.double().mean()) / white == pytest.approx(0.25, abs=0.02)
    assert mix.targets.tolist() == [0, 1, 1, 0, 0, 1]
    assert len(next(iter(DataLoader(mix, batch_size=6)))[0]) == 6


def test_the_range_of_float_images_is_asked_for(images):
    real = TensorDataset(torch.full((2, 1, 8, 8), -1.0), torch.tensor([0, 1]))
    with pytest.raises(
        ValueError, match="numbers from -1 to -1: say what black and white are by value_range"
    ):
        SyntheticMix(real, images({"0": 2, "1": 1}))
    synthetic = images({"0": 2, "1": 1})
    mix = SyntheticMix(real, synthetic, value_range=(-1, 1))
    assert torch.allclose(mix[2][0], synthetic.x[0], atol=1 / 255)


def test_array_items_with_an_albumentations_transform(images):
    class Invert:
        __module__ = "albumentations.fake"

        def __call__(self, image):
            return {"image": 255 - image}

    plain = SyntheticMix(Arrays(), images({"0": 2, "1": 1}))[4]
    assert (plain[0].shape, plain[0].dtype, type(plain[1])) == ((8, 8, 3), np.uint8, np.int64)
    inverted = SyntheticMix(Arrays(Invert()), images({"0": 2, "1": 1}))
    assert (inverted[0][0] == 246).all()
    assert (inverted[4][0] == 255 - plain[0]).all()


class Private(Dataset):
    """Laid out as torchvision's Food101: file names and labels under private names; notes which
    items are read."""

    def __init__(self, labels, true=None):
        self._labels, self.true, self.read = labels, true or labels, []

    def __len__(self):
        return len(self.true)

    def __getitem__(self, index):
        self.read.append(index)
        return Image.new("L", (8, 8)), self.true[index]


@pytest.mark.parametrize("part", [list(range(100)), [0, 99, 1]])
def test_private_labels_spare_the_reading_of_all_images(images, part):
    real = Private([0, 1] * 50)
    mix = SyntheticMix(Subset(real, part), images({"0": 2, "1": 1}))
    assert mix.targets.tolist() == [i % 2 for i in part] + [0, 0, 1]
    assert len(real.read) < 20


@pytest.mark.parametrize("private", [[0] * 10, [0, 1] * 4, None, {"cat": 0}])
def test_private_labels_of_another_meaning_are_not_taken(images, private):
    mix = SyntheticMix(Private(private, true=[0, 1] * 5), images({"0": 0, "1": 0}))
    assert mix.targets.tolist() == [0, 1] * 5


def test_given_labels_are_taken_without_reading_others(images):
    real = Private(None, true=[0, 1] * 50)
    mix = SyntheticMix(Subset(real, [1, 2, 3]), images({"0": 2, "1": 1}), labels=[1, 0, 1])
    assert mix.targets.tolist() == [1, 0, 1, 0, 0, 1]
    assert set(real.read) <= {1, 2, 3}
    with pytest.raises(ValueError, match="2 labels, 3 items"):
        SyntheticMix(Subset(real, [1, 2, 3]), images({"0": 2, "1": 1}), labels=[1, 0])
    with pytest.raises(DataError, match="whole numbers"):
        SyntheticMix(Subset(real, [1, 2, 3]), images({"0": 2, "1": 1}), labels=np.array([1, 0, -1]))


def test_subset_of_a_subset(folder, images):
    real = ImageFolder(str(folder))
    part = Subset(Subset(real, [4, 3, 2]), [0, 2])
    mix = SyntheticMix(part, images({"dog": 1, "cat": 2}))
    assert mix.targets == [1, 0, 1, 0, 0]
    assert mix.samples[:2] == [real.samples[4], real.samples[2]]
    assert mix.classes == ["cat", "dog"]


def test_a_concatenation_is_mixed_part_by_part(images):
    with pytest.raises(TypeError, match="mix each part"):
        SyntheticMix(ConcatDataset([Digits(), Digits()]), images({"0": 1, "1": 1}))


def test_classes_that_do_not_match_are_named(folder, images):
    with pytest.raises(
        DataError, match="only in the synthetic images: 'cow'; only in the data: 'cat'"
    ):
        SyntheticMix(ImageFolder(str(folder)), images({"cow": 1, "dog": 1}))
    real = TensorDataset(torch.zeros(2, 1, 8, 8), torch.tensor([0, 1]))
    with pytest.raises(DataError, match="only in the data: '0', '1'"):
        SyntheticMix(real, images({"cat": 1, "dog": 1}))
    assert SyntheticMix(real, images({"dog": 1, "cat": 0}), classes=("cat", "dog"))[2][1] == 1


def test_images_of_the_rare_class_alone(images, painter, class_of):
    real = Digits((6, 2), transform=v2.PILToTensor())
    stored = SyntheticMix(real, images({"1": 4}), counts="auto")
    assert stored.synthetic_counts == {"0 - zero": 0, "1 - one": 4}
    weights = stored.draw_weights(share=0.5)
    assert weights[:6].sum() == pytest.approx(0.5)  # classes are even, the other one real only
    assert weights[8:].sum() == pytest.approx(0.25)
    source = painter(("1",), (1, 8, 8))
    for asked in ({}, {"share": 1 / 3}, {"policy": {"share": 1 / 3, "balanced": True}}):
        mix = SyntheticMix(real, source, **asked)
        assert mix.synthetic_counts == {"0 - zero": 0, "1 - one": 4}
    with pytest.raises(DataError, match=r"class '0 - zero': 2 synthetic images .* there are 0"):
        SyntheticMix(real, source, counts=8)


@pytest.mark.parametrize(("asked", "added"), [("auto", 4), ("minority", 4), (6, 4), (1.0, 4)])
def test_a_class_that_nobody_has_images_of_is_not_asked_for(images, painter, asked, added):
    """Labels that begin at 1, and class names of which the images are a part."""
    labels = torch.tensor([1] * 6 + [2] * 2)
    real = TensorDataset(torch.rand(8, 1, 8, 8), labels)
    synthetic = images({"1": 9, "2": 9})
    live = painter(("0", "1", "2"), (1, 8, 8))
    live.record = SimpleNamespace(counts={"0": 0, "1": 6, "2": 2})
    for source in (synthetic, painter(("1", "2"), (1, 8, 8)), live):
        mix = SyntheticMix(real, source, counts=asked)
        assert mix.synthetic_counts == {"0": 0, "1": 0, "2": added}
    assert SyntheticMix(real, live, share=0.5).synthetic_counts == {"0": 0, "1": 2, "2": 6}
    with pytest.raises(DataError, match="class '0': 1 synthetic images are asked for"):
        SyntheticMix(real, live, counts={"0": 1})


def test_counts_and_share_of_stored_images(images):
    synthetic = images({"0": 5, "1": 20})
    balanced = SyntheticMix(Digits((6, 2)), synthetic, counts="auto")
    assert balanced.synthetic_counts == {"0 - zero": 0, "1 - one": 4}
    assert (
        SyntheticMix(Digits((6, 2)), synthetic, counts={"1 - one": 9}).targets.tolist()
        == [0] * 6 + [1] * 9
    )
    assert SyntheticMix(Digits((6, 2)), synthetic, share=0.5).synthetic_counts == {
        "0 - zero": 2,
        "1 - one": 6,
    }
    assert len(SyntheticMix(Digits((6, 2)), synthetic, share=0)) == 8
    assert len(SyntheticMix(Digits((6, 2)), synthetic)) == 33


def test_stored_images_are_drawn_by_seed_without_repeats(images):
    synthetic = images({"0": 0, "1": 200})

    def drawn(seed):
        mix = SyntheticMix(
            Digits((40, 2), transform=v2.PILToTensor()), synthetic, counts="auto", seed=seed
        )
        return torch.stack([mix[i][0] for i in range(42, len(mix))])

    assert torch.equal(drawn(0), drawn(0))
    assert not torch.equal(drawn(0), drawn(1))


def test_too_few_stored_images(images):
    with pytest.raises(
        DataError, match="class '1 - one': 4 synthetic images are asked for, and there are 3"
    ):
        SyntheticMix(Digits((6, 2)), images({"0": 5, "1": 3}), counts="auto")
    with pytest.raises(DataError, match=r"a share of 0.5 needs 8 synthetic images, the set has 7"):
        SyntheticMix(Digits((6, 2)), images({"0": 5, "1": 2}), share=0.5)


@pytest.mark.parametrize(
    "options", [{"share": 1.0}, {"share": -0.1}, {"share": 0.5, "counts": "auto"}]
)
def test_wrong_arguments(images, options):
    with pytest.raises(ValueError, match="share"):
        SyntheticMix(Digits(), images({"0": 5, "1": 2}), **options)


def test_live_source_fills_up_and_renders_each_class(painter, class_of):
    source = painter(("1", "0"), (1, 8, 8))
    real = Digits((6, 2), transform=v2.PILToTensor())
    mix = SyntheticMix(real, source)
    assert mix.synthetic_counts == {"0 - zero": 0, "1 - one": 4}
    painted = SyntheticMix(real, source, share=0.6)
    for i in range(8, len(painted)):
        image, target = painted[i]
        assert class_of(image / 127.5 - 1, 2) == source.classes.index(str(target))


def test_live_images_are_a_function_of_seed_class_and_number(painter):
    real = Digits((200, 2), transform=v2.PILToTensor())
    few, many = (
        SyntheticMix(real, painter(("0", "1"), (1, 8, 8)), counts={1: n}, seed=7) for n in (10, 180)
    )
    assert all(torch.equal(few[202 + i][0], many[202 + i][0]) for i in range(8))
    other = SyntheticMix(real, painter(("0", "1"), (1, 8, 8)), counts={1: 180}, seed=8)
    assert any(not torch.equal(many[i][0], other[i][0]) for i in range(202, len(many)))


def test_draw_weights_by_hand(images):
    mix = SyntheticMix(
        Digits((6, 2)), images({"0": 0, "1": 4}), policy={"share": 1 / 3, "balanced": True}
    )
    assert torch.allclose(
        mix.draw_weights(), torch.tensor([1 / 12] * 6 + [1 / 6] * 2 + [1 / 24] * 4).double()
    )
    assert torch.allclose(
        mix.draw_weights(0.5)[6:], torch.tensor([1 / 8] * 2 + [1 / 16] * 4).double()
    )
    assert float(
        SyntheticMix(Digits((6, 2)), images({"0": 4, "1": 4})).draw_weights()[8:].sum()
    ) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="share"):
        mix.draw_weights(1.5)


def test_draw_weights_of_a_class_with_synthetic_images_only(images):
    real = TensorDataset(torch.zeros(2, 1, 8, 8), torch.tensor([0, 0]))
    weights = SyntheticMix(real, images({"0": 2, "1": 2}), classes=("0", "1")).draw_weights(0.5)
    assert torch.allclose(weights, torch.tensor([0.125] * 4 + [0.25] * 2).double())


def stored(folder, images, confidence=None, form="folder", spread=1.0):
    """Write images as a synthetic set."""
    trained_on = np.array([1, 2], dtype=np.int64)
    recipe = Recipe(
        family="painter",
        source_sha256="0" * 64,
        classes=images.classes,
        image_shape=images.image_shape,
        counts={name: images.counts[c] for c, name in enumerate(images.classes)},
        seed=0,
        source_augment="none",
        trained_on=trained_on_digest(trained_on),
        filter=None if confidence is None else {"confidence": confidence},
        format=form,
        spread=spread,
    )
    write_set(
        folder,
        recipe,
        trained_on,
        lambda c, n, start: (images.x[images.y == c][:n], torch.arange(n) + start),
    )
    return SyntheticSet(PixelImages.of(images), recipe, trained_on)


@pytest.mark.parametrize("form", ["folder", "shards"])
def test_a_set_on_disk_gives_the_images_in_memory(tmp_path, images, form):
    synthetic = images({"0": 3, "1": 4})
    stored(tmp_path / "set", synthetic, form=form)
    real = Digits(transform=v2.PILToTensor())
    disk, memory = SyntheticMix(real, tmp_path / "set"), SyntheticMix(real, synthetic)
    assert disk.targets.tolist() == memory.targets.tolist()
    assert all(torch.equal(disk[i][0], memory[i][0]) for i in range(len(disk)))


@pytest.mark.parametrize("form", ["folder", "shards"])
def test_a_set_on_disk_stays_bytes(tmp_path, images, form, monkeypatch):
    synthetic = images({"0": 3, "1": 4})
    stored(tmp_path / "set", synthetic, form=form)

    def floats(pixels):
        raise AssertionError("floats take four times the memory")

    monkeypatch.setattr(synthetic_set, "from_uint8", floats)
    mix = SyntheticMix(Digits(transform=v2.PILToTensor()), tmp_path / "set")
    assert torch.equal(torch.stack([mix[i][0] for i in range(8, 15)]), to_uint8(synthetic.x))
    chosen = SyntheticMix(Digits(), tmp_path / "set", share=0.2)._pixels
    assert (chosen.dtype, len(chosen)) == (torch.uint8, 2)
    drawn = draw_from(tmp_path / "set", ("1", "0"))(
        torch.tensor([1] * 50), torch.Generator().manual_seed(0)
    )
    assert {bytes(image.flatten().tolist()) for image in drawn} == {
        bytes(image.flatten().tolist()) for image in to_uint8(synthetic.x[:3])
    }


def test_images_in_memory_become_bytes_piece_by_piece(images, monkeypatch):
    synthetic = images({"0": 3, "1": 4})
    monkeypatch.setattr(synthetic_set, "PIECE", 3)
    assert torch.equal(PixelImages.of(synthetic).pixels, to_uint8(synthetic.x))


HALF = {"base": "classical", "share": 0.5, "confidence": None, "balanced": True}


def test_a_policy_from_a_file(tmp_path, images):
    path = tmp_path / "policy.json"
    path.write_text(json.dumps(HALF | {"confidence": 0.8, "more": "is ignored"}))
    made = stored(tmp_path / "set", images({"0": 30, "1": 30}), confidence=0.8)
    for synthetic, policy in ((made, path), (tmp_path / "set", str(path))):
        mix = SyntheticMix(Digits(), synthetic, policy=policy)
        assert float(mix.draw_weights()[8:].sum()) == pytest.approx(0.5)
    for broken in ("[]", "{", "{}", '{"share": true}', '{"share": 1}', '{"share": -0.1}'):
        path.write_text(broken)
        with pytest.raises(DataError, match="policy"):
            SyntheticMix(Digits(), made, policy=path)


def test_the_filter_of_a_policy(tmp_path, images, painter):
    synthetic, live = images({"0": 3, "1": 3}), painter(("0", "1"), (1, 8, 8))
    filtered = HALF | {"confidence": 0.5}
    made = stored(tmp_path / "set", synthetic, confidence=0.8)
    with pytest.raises(
        DataError, match=r"asks for the filter confidence=0.5, the set was made with 0.8"
    ):
        SyntheticMix(Digits(), made, policy=filtered)
    with pytest.raises(ValueError, match="confidence_filter"):
        SyntheticMix(Digits(), live, policy=filtered)
    assert len(SyntheticMix(Digits(), synthetic, policy=filtered)) == 14
    assert len(SyntheticMix(Digits(), live, policy=filtered | {"share": 0.0})) == 8


class Odd(Digits):
    """Keeps the labels of more items than it has."""

    def __len__(self):
        return 4


def test_labels_that_are_not_one_for_every_item_are_refused(images):
    with pytest.raises(ValueError, match="keeps 8 labels and has 4 items; give labels"):
        SyntheticMix(Odd(), images({"0 - zero": 2, "1 - one": 2}))


class Columns(Dataset):
    """In the style of MedMNIST: a target is an array of one number."""

    def __init__(self):
        self.labels = np.array([[0], [1], [1]])

    def __len__(self):
        return 3

    def __getitem__(self, index):
        return Image.new("L", (8, 8), 90), self.labels[index]


def test_targets_that_are_arrays_are_imitated(images):
    mix = SyntheticMix(Columns(), images({"0": 2, "1": 2}))
    assert mix.targets.tolist() == [0, 1, 1, 0, 0, 1, 1]
    assert all(mix[i][1].shape == (1,) and int(mix[i][1][0]) == mix.targets[i] for i in range(7))


class FewGrey(Digits):
    """Colour photos but for the first."""

    def __getitem__(self, index):
        image, target = super().__getitem__(index)
        return (image if index == 0 else image.convert("RGB")), target


def test_the_usual_mode_of_the_photos_is_that_of_synthetic_images(images):
    assert SyntheticMix(FewGrey(), images({"0": 2, "1": 2}))[8][0].mode == "RGB"


class Glyphs(Digits):
    """Black and white."""

    def __getitem__(self, index):
        image, target = super().__getitem__(index)
        return image.convert("1", dither=Image.Dither.NONE), target


def test_black_and_white_images_are_not_dotted(images):
    given = images({"0": 2, "1": 2})
    given = replace(given, x=torch.full_like(given.x, -0.2))  # an even dark grey
    picture = SyntheticMix(Glyphs(), given)[8][0]
    assert (picture.mode, np.asarray(picture).any()) == ("1", False)


def test_a_class_that_a_source_never_saw_is_not_rendered(painter):
    live = painter(("0", "1"), (1, 8, 8))
    live.record = SimpleNamespace(counts={"0": 5, "1": 0})
    for source in (live, ScaledLatents(live, 1.5)):
        with pytest.raises(DataError, match="class '1': the source has seen no image of it"):
            SyntheticMix(Digits(), source)


def test_draws_without_any_synthetic_image_are_refused(images):
    mix = SyntheticMix(Digits((4, 4)), images({"0": 2, "1": 2}), share=0)
    assert len(mix) == 8
    assert len(mix.draw_weights(0)) == len(mix.draw_weights()) == 8
    with pytest.raises(ValueError, match=r"0\.5 of the draws are to be synthetic, and no image is"):
        mix.draw_weights(0.5)


def test_a_class_balance_that_adds_nothing_is_told(images, painter):
    synthetic, live = images({"0": 2, "1": 2}), painter(("0", "1"), (1, 8, 8))
    with pytest.warns(
        UserWarning, match="'auto' adds no synthetic image.* leave counts out"
    ) as told:
        assert len(SyntheticMix(Digits((4, 4)), synthetic, counts="auto")) == 8
    assert told[0].filename == __file__, "the line that makes the mix"
    with pytest.warns(UserWarning, match="counts='auto' adds no synthetic image.* give a share"):
        assert len(SyntheticMix(Digits((4, 4)), live)) == 8
    for asked in ({"share": 0}, {"policy": {"share": 0}}, {}):
        SyntheticMix(Digits((4, 4)), synthetic, **asked)  # no warning, which would be an error


def test_a_policy_of_combinations_refuses_images_of_classes_alone(tmp_path, images, painter):
    synthetic, live = images({"0": 3, "1": 3}), painter(("0", "1"), (1, 8, 8))
    stored(tmp_path / "set", synthetic)
    for given in (synthetic, tmp_path / "set", live):
        with pytest.raises(DataError, match="these are of classes alone: make a set with"):
            SyntheticMix(Digits(), given, policy=HALF | {"fill": True})
        SyntheticMix(Digits(), given, policy=HALF | {"fill": False})
    light = {
        "condition": torch.tensor([0, 1] * 3),
        "conditions": Conditions(("light",), ("a", "b")),
    }
    known = replace(synthetic, **light)
    assert len(SyntheticMix(Digits(), known, policy=HALF | {"fill": True})) == 14


def test_the_spread_of_a_policy(tmp_path, images, painter):
    synthetic, live = images({"0": 3, "1": 3}), painter(("0", "1"), (1, 8, 8))
    closer = HALF | {"spread": 0.8}
    usual = stored(tmp_path / "usual", synthetic)
    with pytest.raises(DataError, match=r"spread=0.8, the set was made with 1: .*synth --spread"):
        SyntheticMix(Digits(), usual, policy=closer)
    with pytest.raises(ValueError, match="ScaledLatents"):
        SyntheticMix(Digits(), live, policy=closer)
    with pytest.raises(DataError, match="spread of the policy must be a number, got 'no'"):
        SyntheticMix(Digits(), synthetic, policy=HALF | {"spread": "no"})
    made = stored(tmp_path / "set", synthetic, spread=0.8)
    assert read_set(tmp_path / "set").recipe.spread == 0.8
    for given in (synthetic, made, tmp_path / "set"):
        assert len(SyntheticMix(Digits(), given, policy=closer)) == 14
    assert len(SyntheticMix(Digits(), live, policy=HALF | {"spread": 1.0})) == 16
    assert len(SyntheticMix(Digits(), usual, policy=closer | {"share": 0})) == 8


def test_a_policy_takes_all_images_that_there_are(tmp_path, images):
    synthetic = images({"0": 5, "1": 30})
    for given in (synthetic, stored(tmp_path / "set", synthetic), tmp_path / "set"):
        mix = SyntheticMix(Digits((6, 2)), given, policy=HALF)
        assert mix.synthetic_counts == {"0 - zero": 5, "1 - one": 30}
        per_class = torch.bincount(torch.as_tensor(mix.targets), mix.draw_weights())
        assert torch.allclose(per_class, torch.tensor([0.5, 0.5]).double())
    with pytest.raises(DataError, match=r"a share of 0.5, the set has no images"):
        SyntheticMix(Digits((6, 2)), images({"0": 0, "1": 0}), policy=HALF)


def test_a_policy_renders_a_share_of_the_items_equally_many_per_class(painter):
    mix = SyntheticMix(Digits((6, 2)), painter(("0", "1"), (1, 8, 8)), policy=HALF)
    assert mix.synthetic_counts == {"0 - zero": 4, "1 - one": 4}


@pytest.mark.parametrize("balanced", [True, False])
def test_a_policy_without_synthetic_images(images, painter, balanced):
    policy = {"share": 0, "balanced": balanced}
    for synthetic in (images({"0": 3, "1": 3}), painter(("0", "1"), (1, 8, 8))):
        mix = SyntheticMix(Digits((6, 2)), synthetic, policy=policy)
        expected = [1 / 12] * 6 + [1 / 4] * 2 if balanced else [1 / 8] * 8
        assert torch.allclose(mix.draw_weights(), torch.tensor(expected).double())


def test_a_policy_that_draws_real_images_in_their_proportions(images):
    policy = HALF | {"balanced": False}
    mix = SyntheticMix(Digits((6, 2)), images({"0": 2, "1": 5}), policy=policy)
    expected = torch.tensor([1 / 16] * 8 + [1 / 8] * 2 + [1 / 20] * 5).double()
    assert torch.allclose(mix.draw_weights(), expected)


def test_a_policy_for_classes_that_lack_images(images):
    # Class 1 has 3 of the largest class's 6, so half of its draws are synthetic, not 0.8 of them.
    policy = HALF | {"share": 0.8, "short_only": True}
    mix = SyntheticMix(Digits((6, 3)), images({"0": 2, "1": 5}), policy=policy)
    expected = torch.tensor([1 / 12] * 6 + [1 / 12] * 3 + [0.0] * 2 + [1 / 20] * 5).double()
    assert torch.allclose(mix.draw_weights(), expected)
    with pytest.raises(DataError, match='short_only, which needs "balanced": true'):
        SyntheticMix(Digits(), images({"0": 2, "1": 5}), policy=policy | {"balanced": False})


@pytest.mark.parametrize("base", ["real", "classical"])
def test_a_policy_of_the_first_version_is_refused(images, base):
    synthetic = images({"0": 3, "1": 3})
    policy = {"base": base, "share": 0.5, "confidence": None}
    with pytest.raises(DataError, match=r'add "balanced": true .* or run augmentor gain again'):
        SyntheticMix(Digits(), synthetic, policy=policy)
    assert len(SyntheticMix(Digits(), synthetic, policy=policy | {"share": 0})) == 8


@pytest.mark.parametrize("key", ["balanced", "short_only"])
def test_a_policy_says_true_or_false(images, key):
    with pytest.raises(DataError, match=f"{key} of the policy must be true or false, got 'no'"):
        SyntheticMix(Digits(), images({"0": 3, "1": 3}), policy=HALF | {key: "no"})


@pytest.mark.parametrize(
    ("unusual", "instead"),
    [
        ({"schedule": "pretrain"}, "first, then on the real ones"),
        ({"realism": 0.3}, "realism_filter"),
        ({"latents": "encoded"}, "DonatedLatents"),
    ],
)
def test_a_policy_of_more_than_draws_is_refused(images, unusual, instead):
    synthetic = images({"0": 30, "1": 30})
    with pytest.raises(
        DataError, match=rf"the policy asks for {next(iter(unusual))}=.* cannot do: .*{instead}"
    ):
        SyntheticMix(Digits(), synthetic, policy=HALF | unusual)
    without = SyntheticMix(Digits(), synthetic, policy=HALF | unusual | {"share": 0})
    assert len(without) == 8  # nothing synthetic, so nothing to do to it


def test_the_usual_values_of_a_policy_are_no_obstacle(images):
    usual = {
        "schedule": "mixed",
        "short_only": False,
        "realism": 0,
        "latents": "prior",
        "spread": None,
        "strength": 2.0,
        "augment": "trivialaugment",
    }
    assert len(SyntheticMix(Digits(), images({"0": 3, "1": 3}), policy=HALF | usual)) == 14


def test_the_example_runs():
    result = doctest.testmod(synthetic_mix)
    assert result.attempted
    assert not result.failed


class Flip:
    """A transform without chance that pickles, so that items may be compared."""

    def __call__(self, image):
        return TO_TENSOR(image).flip(2)


@pytest.mark.filterwarnings(
    "ignore:This DataLoader will create"
)  # four workers on a machine of two cores
def test_same_items_for_any_number_of_workers(images):
    mix = SyntheticMix(Digits(transform=Flip()), images({"0": 5, "1": 9}))
    batches = {
        workers: list(
            DataLoader(mix, batch_size=5, num_workers=workers, multiprocessing_context=context)
        )
        for workers, context in ((0, None), (2, "fork"), (4, "fork"))
    }
    for workers in (2, 4):
        for (x, y), (x_expected, y_expected) in zip(batches[workers], batches[0], strict=True):
            assert torch.equal(x, x_expected)
            assert torch.equal(y, y_expected)


def test_pickles_to_the_same_items(images):
    mix = SyntheticMix(Digits(transform=Flip()), images({"0": 5, "1": 9}))
    again = pickle.loads(pickle.dumps(mix))
    assert all(torch.equal(mix[i][0], again[i][0]) for i in range(len(mix)))
    assert repr(again) == "SyntheticMix(8 real, 14 synthetic, 2 classes)"


def test_ends_as_a_sequence_does(images):
    mix = SyntheticMix(Digits(), images({"0": 5, "1": 9}))
    assert len(list(mix)) == len(mix) == 22
    with pytest.raises(IndexError):
        mix[22]
    with pytest.raises(IndexError):
        mix.is_synthetic(-23)


def test_data_that_cannot_be_mixed(images):
    synthetic = images({"0": 5, "1": 9})
    with pytest.raises(DataError, match="empty"):
        SyntheticMix(Subset(Digits(), []), synthetic)
    with pytest.raises(TypeError, match="must be PIL, tensors"):
        SyntheticMix(TensorDataset(torch.zeros(2, 64), torch.tensor([0, 1])), synthetic)
    with pytest.raises(DataError, match="whole numbers"):
        SyntheticMix(TensorDataset(torch.zeros(2, 1, 8, 8), torch.zeros(2, 2)), synthetic)
    with pytest.raises(TypeError, match="cannot read item 0 of TensorDataset"):
        SyntheticMix(
            TensorDataset(torch.zeros(2, 1, 8, 8), torch.tensor([0, 1]), torch.zeros(2)), synthetic
        )
    with pytest.raises(TypeError, match="mode 'F'"):
        SyntheticMix([(Image.new("F", (8, 8)), 0), (Image.new("F", (8, 8)), 1)], synthetic)
    with pytest.raises(TypeError, match="synthetic must be a path"):
        SyntheticMix(Digits(), [1, 2])


def test_a_mix_of_a_mix_sends_all_images_through_the_transform(folder, images):
    real = ImageFolder(str(folder), transform=v2.Compose([v2.Resize((8, 8)), TO_TENSOR]))
    inner = SyntheticMix(real, images({"dog": 3, "cat": 0}))
    outer = SyntheticMix(Subset(inner, range(2, 8)), images({"dog": 1, "cat": 2}))
    real.transform = lambda image: ("seen", image.mode, image.size)
    assert len(outer) == 9
    assert {outer[i][0] for i in (3, 6, 7, 8)} == {("seen", "RGB", (12, 12))}
    assert outer.targets == [0, 0, 1, 1, 1, 1, 1, 0, 0]


class Dicts(Dataset):
    """A user's own set of dicts, whose transform gets the image or, as MONAI's, the dict."""

    classes = ("a", "b")

    def __init__(self, whole, more=False):
        self.whole, self.more, self.transform = whole, more, None

    def __len__(self):
        return 4

    def __getitem__(self, index):
        item = {"image": torch.full((1, 8, 8), 0.5), "label": index % 2}
        if self.more:
            item["weight"] = 1.0
        if self.transform is None:
            return item
        if self.whole:
            return self.transform(item)
        return {**item, "image": self.transform(item["image"])}


def blacken(given):
    return {**given, "image": given["image"] * 0} if isinstance(given, dict) else given * 0


@pytest.mark.parametrize("whole", [True, False])
def test_dicts(images, whole):
    real = Dicts(whole)
    real.transform = blacken
    mix = SyntheticMix(real, images({"a": 2, "b": 1}))
    batch = next(iter(DataLoader(mix, batch_size=7)))
    assert batch["label"].tolist() == [0, 1, 0, 1, 0, 0, 1]
    assert batch["image"].shape == (7, 1, 8, 8)
    assert bool((batch["image"] == 0).all())


def test_dicts_with_more_than_image_and_label_are_refused(images):
    with pytest.raises(TypeError, match=r"got the keys \['image', 'label', 'weight'\]: drop"):
        SyntheticMix(Dicts(False, more=True), images({"a": 2, "b": 1}))


@pytest.fixture
def hugging_face():
    datasets = pytest.importorskip("datasets", reason="Hugging Face datasets is not installed")
    features = datasets.Features(
        {"picture": datasets.Image(), "kind": datasets.ClassLabel(names=["cat", "dog"])}
    )
    pictures = [Image.new("RGB", (16, 12), (i, 50, 60)) for i in range(5)]
    return datasets.Dataset.from_dict({"picture": pictures, "kind": [0, 0, 0, 0, 1]}, features)


def test_hugging_face(hugging_face, images):
    mix = SyntheticMix(hugging_face, images({"dog": 3, "cat": 0}))
    assert mix.classes == ["cat", "dog"]
    assert mix.targets.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert (mix[7]["picture"].mode, mix[7]["picture"].size, mix[7]["kind"]) == ("RGB", (12, 12), 1)
    assert set(mix[0]) == set(mix[7]) == {"picture", "kind"}


def test_hugging_face_transform(hugging_face, images):
    prepare = v2.Compose([v2.Resize((8, 8)), TO_TENSOR])

    def transform(batch):
        return {"x": [prepare(one) for one in batch["picture"]], "y": batch["kind"]}

    mix = SyntheticMix(hugging_face.with_transform(transform), images({"dog": 3, "cat": 0}))
    batch = next(iter(DataLoader(mix, batch_size=8)))
    assert batch["x"].shape == (8, 3, 8, 8)
    assert batch["y"].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]


def test_hugging_face_tensors(hugging_face, images):
    mix = SyntheticMix(hugging_face.with_format("torch"), images({"dog": 3, "cat": 0}))
    assert mix[0]["picture"].shape == mix[7]["picture"].shape
    assert mix[0]["kind"].dtype == mix[7]["kind"].dtype
    with pytest.raises(TypeError, match=r"choose one split, such as data\['train'\]"):
        SyntheticMix({"train": hugging_face}, images({"dog": 3, "cat": 0}))
