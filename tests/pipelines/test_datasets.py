from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from augmentor.common.types import DataError
from augmentor.data.fingerprint import fingerprints, overlap, to_uint8
from pipelines.config import DataConfig
from pipelines.data import digits
from pipelines.data.folders import folder_layout
from pipelines.datasets import load_data
from pipelines.image_folder import read_pixels

MakeFolder = Callable[..., Path]


def folder(root: Path, **settings: object) -> DataConfig:
    return DataConfig(data=str(root), **settings)  # type: ignore[arg-type]


def test_digits_are_stratified_halves_in_the_right_range() -> None:
    bundle = load_data(DataConfig(), seed=0)
    assert (bundle.name, bundle.regime) == ("digits", f"all {len(bundle.train)} labels")
    assert len(bundle.train) + len(bundle.test) == 1797
    assert all(abs(bundle.train.counts[c] - bundle.test.counts[c]) <= 1 for c in range(10))
    assert bundle.train.image_shape == (1, 8, 8)
    assert (float(bundle.train.x.min()), float(bundle.train.x.max())) == (-1.0, 1.0)
    assert bundle.pool is None


def test_the_seed_draws_the_training_part_and_never_the_test_part() -> None:
    data = DataConfig(per_class=80, imbalance=20, unlabelled="rest")
    first, again, other = (load_data(data, seed) for seed in (0, 0, 1))
    assert list(first.train.counts.values())[::9] == [80, 4]
    assert first.pool is not None
    assert first.regime == f"80 to 4 per class, {len(first.pool)} unlabelled"
    assert torch.equal(first.train.x, again.train.x)
    assert torch.equal(first.pool, again.pool)  # type: ignore[arg-type]
    assert torch.equal(first.test.x, other.test.x)
    assert not torch.equal(first.train.x, other.train.x)


def test_the_pool_is_the_rest_of_the_training_half_in_an_order_that_tells_no_labels() -> None:
    whole = load_data(DataConfig(), seed=0).train
    bundle = load_data(DataConfig(labels=100), seed=3)
    assert bundle.pool is not None
    assert len(bundle.train) == 100
    assert set(bundle.train.counts.values()) == {10}
    pooled, labelled = fingerprints(bundle.pool), fingerprints(bundle.train.x)
    assert sorted([*pooled, *labelled]) == sorted(fingerprints(whole.x))
    assert len(overlap(pooled, fingerprints(bundle.test.x))) == 0
    kept = [f for f in fingerprints(whole.x) if f in set(pooled)]
    assert kept != list(pooled)


def test_the_pool_can_be_capped() -> None:
    whole = load_data(DataConfig(labels=100), seed=3).pool
    capped = load_data(DataConfig(labels=100, max_pool=50), seed=3).pool
    assert torch.equal(capped, whole[:50])  # type: ignore[arg-type, index]


@pytest.mark.parametrize(
    ("size", "grey", "shape"), [(16, None, (1, 16, 16)), (8, False, (3, 8, 8))]
)
def test_digits_in_another_form(size: int, grey: bool | None, shape: tuple[int, ...]) -> None:
    assert load_data(DataConfig(size=size, grey=grey), seed=0).test.image_shape == shape  # type: ignore[arg-type]


def test_too_many_labels_are_refused_with_the_class() -> None:
    with pytest.raises(DataError, match="class"):
        load_data(DataConfig(per_class=95), seed=0)


def test_a_folder_with_train_and_test_is_read_pixel_by_pixel(
    tmp_path: Path, make_folder: MakeFolder
) -> None:
    make_folder(tmp_path / "train", {"cat": 3, "dog": 2}, seed=0)
    make_folder(tmp_path / "test", {"cat": 1, "dog": 1}, seed=1)
    bundle = load_data(folder(tmp_path), seed=0)
    assert bundle.train.classes == bundle.test.classes == ("cat", "dog")
    assert bundle.train.y.tolist() == [0, 0, 0, 1, 1]
    assert (bundle.name, bundle.note) == (tmp_path.name, "train/ and test/; 8x8 RGB")
    stored = read_pixels(tmp_path / "train" / "dog" / "0.png", grey=False)
    assert torch.equal(to_uint8(bundle.train.x[3]), stored)


@pytest.mark.parametrize(
    "names", [("Train", "Test"), ("training", "testing"), ("train", "val"), ("TRAIN", "valid")]
)
def test_the_parts_may_have_other_usual_names(
    names: tuple[str, str], tmp_path: Path, make_folder: MakeFolder
) -> None:
    first, second = names
    make_folder(tmp_path / first, {"cat": 3, "dog": 3})
    make_folder(tmp_path / second, {"cat": 2, "dog": 2}, seed=1)
    bundle = load_data(DataConfig(data=str(tmp_path)), seed=0)
    assert (len(bundle.train), len(bundle.test)) == (6, 4)
    assert bundle.note.startswith(f"{first}/ and {second}/")


def test_a_part_of_an_unknown_name_and_a_class_called_train_are_refused(
    tmp_path: Path, make_folder: MakeFolder
) -> None:
    make_folder(tmp_path / "train", {"cat": 4, "dog": 4})
    make_folder(tmp_path / "more" / "loose", {"birds": 2})
    assert len(load_data(DataConfig(data=str(tmp_path)), seed=0).train) == 6
    make_folder(tmp_path / "holdout", {"dog": 2, "cat": 2}, seed=1)
    with pytest.raises(DataError, match=r"holdout/ has the same folders as train/.*call the other"):
        load_data(DataConfig(data=str(tmp_path)), seed=0)


def test_a_test_part_without_a_training_part_is_refused(
    tmp_path: Path, make_folder: MakeFolder
) -> None:
    """Else its images would be a class, and some of them trained on."""
    make_folder(tmp_path / "a", {"cat": 4, "dog": 4})
    make_folder(tmp_path / "a" / "test", {"cat": 2, "dog": 2}, seed=1)
    with pytest.raises(DataError, match=r"has test/ and no train/; call the training part train/"):
        load_data(DataConfig(data=str(tmp_path / "a")), seed=0)
    make_folder(tmp_path / "b", {"cat": 4, "val": 4})
    assert load_data(DataConfig(data=str(tmp_path / "b")), seed=0).train.classes == ("cat", "val")


def test_two_folders_for_one_part_are_refused(tmp_path: Path, make_folder: MakeFolder) -> None:
    for name in ("train", "Train"):
        make_folder(tmp_path / name, {"cat": 2, "dog": 2})
    with pytest.raises(DataError, match="has both Train/ and train/; merge them"):
        load_data(DataConfig(data=str(tmp_path)), seed=0)


def test_a_folder_of_one_level_is_split_by_the_rule(
    tmp_path: Path, make_folder: MakeFolder
) -> None:
    make_folder(tmp_path, {"cat": 8, "dog": 4})
    bundle = load_data(folder(tmp_path, test_fraction=0.5), seed=0)
    assert (bundle.train.counts, bundle.test.counts) == ({0: 4, 1: 2}, {0: 4, 1: 2})
    assert "SHA-256" in bundle.note
    assert torch.equal(bundle.test.x, load_data(folder(tmp_path, test_fraction=0.5), seed=9).test.x)


def test_a_test_fraction_beside_a_test_part_is_refused(
    tmp_path: Path, make_folder: MakeFolder
) -> None:
    """It would be read by nobody, and the user would believe in another test set."""
    for name in ("train", "val"):
        make_folder(tmp_path / name, {"cat": 2, "dog": 2})
    words = "train/ and val/: has a test part, which test_fraction 0.5 would not change"
    with pytest.raises(DataError, match=words):
        load_data(folder(tmp_path, test_fraction=0.5), seed=0)
    with pytest.raises(DataError, match="digits: has a test part"):
        load_data(DataConfig(data="digits", test_fraction=0.5), seed=0)
    assert len(folder_layout(tmp_path, folder(tmp_path)).test_index) == 4


def test_a_folder_is_found_under_the_data_root(tmp_path: Path, make_folder: MakeFolder) -> None:
    make_folder(tmp_path / "pets", {"cat": 2, "dog": 2})
    assert load_data(DataConfig(data="pets", data_root=tmp_path), seed=0).name == "pets"
    with pytest.raises(DataError, match=r"no folder petz and no .*petz; name a folder"):
        load_data(DataConfig(data="petz", data_root=tmp_path), seed=0)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("pets.zip", "is an archive; unpack it"),
        ("pets.tar.gz", "is an archive; unpack it"),
        ("pets.csv", "is a table; .* give a table of paths and labels to the functions of Python"),
        ("pets", "is a file; name a folder"),
    ],
)
def test_a_file_instead_of_a_folder_says_what_to_do(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(DataError, match=rf"{name}: {words}"):
        load_data(DataConfig(data=str(tmp_path / name)), seed=0)


def test_conditions_of_a_hub_name_say_where_they_are_read() -> None:
    with pytest.raises(DataError, match=r"hf:a/b: conditions .* pipelines\.gain\(data, condition="):
        load_data(DataConfig(data="hf:a/b", condition=("light",)), seed=0)


@pytest.mark.parametrize(
    ("sizes", "side"),
    [([(30, 40), (100, 33)], 28), ([(7, 5), (9, 9)], 8), ([(200, 300), (129, 128)], 128)],
)
def test_the_default_size_is_the_largest_that_the_smallest_image_fills(
    tmp_path: Path, make_folder: MakeFolder, sizes: list[tuple[int, int]], side: int
) -> None:
    for name, size in zip(["a", "b"], sizes, strict=True):
        make_folder(tmp_path, {name: 2}, size=size)
    assert load_data(folder(tmp_path), seed=0).train.image_shape == (3, side, side)


def test_grey_only_if_every_file_is(tmp_path: Path, make_folder: MakeFolder) -> None:
    make_folder(tmp_path, {"a": 2}, mode="L")
    make_folder(tmp_path, {"b": 2}, mode="L", seed=1)
    assert load_data(folder(tmp_path), seed=0).train.image_shape[0] == 1
    Image.new("RGB", (8, 8), (9, 9, 9)).save(tmp_path / "a" / "colour.png")
    assert load_data(folder(tmp_path), seed=0).train.image_shape[0] == 3
    assert load_data(folder(tmp_path, grey=True), seed=0).train.image_shape[0] == 1


def spoil(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:60])


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda root: spoil(root / "train" / "cat" / "1.png"), ["cat/1.png", "augmentor check"]),
        (lambda root: shutil.rmtree(root / "train" / "dog"), ["class 'dog' is only in test/"]),
        (lambda root: shutil.rmtree(root / "test" / "dog"), ["class 'dog' is only in train/"]),
        (
            lambda root: (root / "test" / "dog" / "0.png").unlink(),
            ["class 'dog'", "has 0 images", "add images"],
        ),
        (
            lambda root: [shutil.rmtree(root / part / "dog") for part in ("train", "test")],
            ["only one class, 'cat'"],
        ),
        (
            lambda root: shutil.copy(
                root / "train" / "cat" / "2.png", root / "test" / "dog" / "copy.png"
            ),
            ["test/dog/copy.png is the same picture as training image", "cat/2.png", "remove one"],
        ),
        (
            lambda root: (root / "train" / "cat" / "l.png").symlink_to("/etc/hostname"),
            ["leads outside"],
        ),
    ],
)
def test_bad_folders_are_refused_with_what_to_do(
    tmp_path: Path, make_folder: MakeFolder, harm: Callable[[Path], object], words: list[str]
) -> None:
    make_folder(tmp_path / "train", {"cat": 3, "dog": 2}, seed=0)
    make_folder(tmp_path / "test", {"cat": 1, "dog": 1}, seed=1)
    harm(tmp_path)
    with pytest.raises(DataError) as caught:
        load_data(folder(tmp_path), seed=0)
    for word in words:
        assert word in str(caught.value)


def test_a_class_of_one_image_cannot_be_split(tmp_path: Path, make_folder: MakeFolder) -> None:
    make_folder(tmp_path, {"cat": 4, "dog": 1})
    with pytest.raises(DataError, match=r"class 'dog' in .* has 1 images, needs 2"):
        load_data(folder(tmp_path), seed=0)


def test_unlabelled_images_of_a_folder_take_the_form_of_the_others(
    tmp_path: Path, make_folder: MakeFolder
) -> None:
    root = make_folder(tmp_path / "data", {"a": 4, "b": 4}, mode="L")
    more = make_folder(tmp_path / "more", {"x": 3, "y": 2}, size=(20, 30), seed=5)
    bundle = load_data(folder(root, unlabelled=str(more)), seed=0)
    assert bundle.pool is not None
    assert bundle.pool.shape == (5, 1, 8, 8)
    both = load_data(folder(root, unlabelled=str(more), labels=4), seed=0)
    assert both.pool is not None
    assert len(both.pool) == 5 + 2


def test_a_test_image_in_the_pool_is_refused(tmp_path: Path, make_folder: MakeFolder) -> None:
    make_folder(tmp_path / "d" / "train", {"a": 2, "b": 2}, seed=0)
    make_folder(tmp_path / "d" / "test", {"a": 1, "b": 1}, seed=1)
    (tmp_path / "pool").mkdir()
    shutil.copy(tmp_path / "d" / "test" / "b" / "0.png", tmp_path / "pool" / "leak.png")
    with pytest.raises(DataError, match=r"leak\.png is also a test image"):
        load_data(folder(tmp_path / "d", unlabelled=str(tmp_path / "pool")), seed=0)


def test_a_screening_may_have_all_photos_as_its_pool(
    tmp_path: Path, make_folder: MakeFolder
) -> None:
    make_folder(tmp_path / "d" / "train", {"a": 12, "b": 12}, seed=0)
    make_folder(tmp_path / "d" / "test", {"a": 1, "b": 1}, seed=1)
    whole = folder(tmp_path / "d", unlabelled=str(tmp_path / "d" / "train"))
    screened = load_data(whole, seed=0, tuning=True)
    assert screened.pool is not None
    assert len(screened.pool) == 24 - len(screened.test) < 24
    assert not len(overlap(fingerprints(screened.pool), fingerprints(screened.test.x)))


def test_copies_of_a_training_image_are_not_held_out_from_it(
    tmp_path: Path, make_folder: MakeFolder
) -> None:
    make_folder(tmp_path / "d" / "train", {"a": 12, "b": 12}, seed=0)
    make_folder(tmp_path / "d" / "test", {"a": 1, "b": 1}, seed=1)
    for file in (tmp_path / "d" / "train").rglob("*.png"):
        file.with_name("copy_of_" + file.name).write_bytes(file.read_bytes())
    screened = load_data(folder(tmp_path / "d"), seed=0, tuning=True)
    assert len(screened.train) + len(screened.test) == 48
    assert not len(overlap(fingerprints(screened.train.x), fingerprints(screened.test.x)))


def test_an_empty_pool_folder_is_refused(tmp_path: Path, make_folder: MakeFolder) -> None:
    make_folder(tmp_path / "d", {"a": 2, "b": 2})
    (tmp_path / "pool").mkdir()
    with pytest.raises(DataError, match="holds no images"):
        load_data(folder(tmp_path / "d", unlabelled=str(tmp_path / "pool")), seed=0)


def idx(path: Path, values: np.ndarray) -> None:
    """A file in MNIST's format."""
    header = bytes([0, 0, 8, values.ndim]) + b"".join(n.to_bytes(4, "big") for n in values.shape)
    path.write_bytes(header + values.tobytes())


def test_mnist_files_in_the_data_root_are_read_without_a_download(tmp_path: Path) -> None:
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for part, count in (("train", 40), ("t10k", 20)):
        idx(
            raw / f"{part}-images-idx3-ubyte", rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        )
        idx(raw / f"{part}-labels-idx1-ubyte", np.arange(count, dtype=np.uint8) % 10)
    bundle = load_data(DataConfig(data="mnist", data_root=tmp_path, per_class=2), seed=0)
    assert bundle.train.classes == tuple("0123456789")
    assert (len(bundle.train), len(bundle.test), bundle.train.image_shape) == (20, 20, (1, 28, 28))
    assert (bundle.note, bundle.regime) == ("official split", "2 per class")


def test_mnist_that_is_neither_there_nor_to_be_had_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(
        DataError, match=r"fashion-mnist: neither in .* put the files in .*FashionMNIST/raw or set"
    ):
        load_data(DataConfig(data="fashion-mnist", data_root=tmp_path), seed=0)
    assert capsys.readouterr().out == ""


def test_the_real_mnist(real_data: Path) -> None:
    bundle = load_data(
        DataConfig(data="mnist", data_root=real_data, per_class=10, unlabelled="rest"), seed=0
    )
    assert len(bundle.test) == 10_000
    assert bundle.pool is not None
    assert len(bundle.pool) == 60_000 - 100


def test_real_photos_of_another_size(real_data: Path) -> None:
    bundle = load_data(DataConfig(data="orl_64", data_root=real_data, size=32), seed=0)
    assert bundle.train.image_shape == (1, 32, 32)
    assert (len(bundle.train), len(bundle.test), len(bundle.train.classes)) == (320, 80, 40)


def test_digits_are_those_of_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read from its file, and asked from it where that file is not found."""
    found = load_digits()
    images, y = digits.digits()
    assert np.array_equal(images, found.images)
    assert np.array_equal(y, found.target)
    monkeypatch.setattr(digits, "find_spec", lambda name: None)
    images, y = digits.digits()
    assert np.array_equal(images, found.images)
    assert np.array_equal(y, found.target)
