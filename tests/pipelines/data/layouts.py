"""Data sets in the layouts that torchvision reads, tiny and made by hand. Every writer returns what
the loader has to find."""

from __future__ import annotations

import bz2
import hashlib
import json
import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat
from torchvision import datasets

Pixels = np.ndarray


@dataclass(frozen=True)
class Written:
    """Pixels uint8 (N, C, H, W) and labels of both parts; pixels are None where files are lossy."""

    classes: tuple[str, ...]
    train: Pixels | None
    train_y: list[int]
    test: Pixels | None
    test_y: list[int]


def noise(*shape: int, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def idx(path: Path, values: np.ndarray) -> None:
    header = bytes([0, 0, 8, values.ndim]) + b"".join(n.to_bytes(4, "big") for n in values.shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(header + values.tobytes())


def kmnist(root: Path, patch: pytest.MonkeyPatch) -> Written:
    train, test = noise(20, 28, 28), noise(10, 28, 28, seed=1)
    for part, images in (("train", train), ("t10k", test)):
        y = np.arange(len(images), dtype=np.uint8) % 10
        idx(root / "KMNIST" / "raw" / f"{part}-images-idx3-ubyte", images)
        idx(root / "KMNIST" / "raw" / f"{part}-labels-idx1-ubyte", y)
    y = [i % 10 for i in range(20)]
    names = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
    return Written(names, train[:, None], y, test[:, None], y[:10])


def emnist_letters(root: Path, patch: pytest.MonkeyPatch) -> Written:
    """Labels from 1, and images whose rows and columns are swapped."""
    train, test = noise(52, 28, 28), noise(26, 28, 28, seed=1)
    for part, images in (("train", train), ("test", test)):
        y = np.arange(len(images), dtype=np.uint8) % 26 + 1
        prefix = root / "EMNIST" / "raw" / f"emnist-letters-{part}"
        idx(Path(f"{prefix}-images-idx3-ubyte"), images.transpose(0, 2, 1))
        idx(Path(f"{prefix}-labels-idx1-ubyte"), y)
    y = [i % 26 for i in range(52)]
    return Written(tuple(map(chr, range(97, 123))), train[:, None], y, test[:, None], y[:26])


def usps(root: Path, patch: pytest.MonkeyPatch) -> Written:
    """Text, in which a value of -1 is black and 1 is white."""
    parts = []
    for name, count in (("usps.bz2", 20), ("usps.t.bz2", 10)):
        images = noise(count, 1, 16, 16) // 255 * 255
        lines = []
        for i, image in enumerate(images):
            values = [f"{k + 1}:{1 if v else -1}" for k, v in enumerate(image.ravel())]
            lines.append(f"{i % 10 + 1} {' '.join(values)}")
        (root / "usps").mkdir(exist_ok=True)
        (root / "usps" / name).write_bytes(bz2.compress("\n".join(lines).encode()))
        parts.append(images)
    y = [i % 10 for i in range(20)]
    return Written(tuple("0123456789"), parts[0], y, parts[1], y[:10])


def cifar10(root: Path, patch: pytest.MonkeyPatch) -> Written:
    names = [f"kind {i}" for i in range(10)]
    return _cifar(root, patch, datasets.CIFAR10, names, "labels", "label_names", "data_batch_1")


def cifar100(root: Path, patch: pytest.MonkeyPatch) -> Written:
    names = [f"kind {i}" for i in range(100)]
    return _cifar(root, patch, datasets.CIFAR100, names, "fine_labels", "fine_label_names", "train")


def _cifar(root, patch, kind, names, labels, key, train_file) -> Written:
    folder = root / kind.base_folder
    folder.mkdir()
    test_file = kind.test_list[0][0]
    count = 2 * len(names)
    train, test = noise(count, 3, 32, 32), noise(len(names), 3, 32, 32, seed=1)
    y = [i % len(names) for i in range(count)]
    for name, images in ((train_file, train), (test_file, test)):
        stored = {"data": images.reshape(len(images), -1), labels: y[: len(images)]}
        (folder / name).write_bytes(pickle.dumps(stored))
    (folder / kind.meta["filename"]).write_bytes(pickle.dumps({key: names}))
    patch.setattr(kind, "train_list", [[train_file, md5(folder / train_file)]])
    patch.setattr(kind, "test_list", [[test_file, md5(folder / test_file)]])
    meta = {"filename": kind.meta["filename"], "key": key}
    patch.setattr(kind, "meta", meta | {"md5": md5(folder / kind.meta["filename"])})
    return Written(tuple(names), train, y, test, y[: len(names)])


def svhn(root: Path, patch: pytest.MonkeyPatch) -> Written:
    """In the files the digit 0 has the label 10."""
    (root / "svhn").mkdir()
    parts, splits = [], {}
    for name, count in (("train", 20), ("test", 10)):
        images = noise(count, 3, 32, 32, seed=count)
        y = np.arange(count) % 10
        path = root / "svhn" / f"{name}_32x32.mat"
        savemat(path, {"X": images.transpose(2, 3, 1, 0), "y": np.where(y == 0, 10, y)[:, None]})
        splits[name] = ["", path.name, md5(path)]
        parts.append((images, y.tolist()))
    patch.setattr(datasets.SVHN, "split_list", splits)
    (train, train_y), (test, test_y) = parts
    return Written(tuple("0123456789"), train, train_y, test, test_y)


def stl10(root: Path, patch: pytest.MonkeyPatch) -> Written:
    folder = root / "stl10_binary"
    folder.mkdir()
    names = [f"kind {i}" for i in range(10)]
    (folder / "class_names.txt").write_text("\n".join(names) + "\n")
    for name, count in (("train", 20), ("test", 10)):
        noise(count, 3, 96, 96).tofile(folder / f"{name}_X.bin")
        (np.arange(count, dtype=np.uint8) % 10 + 1).tofile(folder / f"{name}_y.bin")
    for listed, part in (("train_list", "train"), ("test_list", "test")):
        files = [f"{part}_X.bin", f"{part}_y.bin"]
        patch.setattr(datasets.STL10, listed, [[file, md5(folder / file)] for file in files])
    y = [i % 10 for i in range(20)]
    return Written(tuple(names), None, y, None, y[:10])


def save(path: Path, pixels: Pixels) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.transpose(1, 2, 0)).save(path)


def gtsrb(root: Path, patch: pytest.MonkeyPatch) -> Written:
    home = root / "gtsrb"
    train, test = noise(43, 3, 32, 32), noise(43, 3, 32, 32, seed=1)
    rows = ["Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId"]
    for label in range(43):
        save(home / "GTSRB" / "Training" / f"{label:05d}" / "00000_00000.ppm", train[label])
        save(home / "GTSRB" / "Final_Test" / "Images" / f"{label:05d}.ppm", test[label])
        rows.append(f"{label:05d}.ppm;32;32;0;0;32;32;{label}")
    (home / "GT-final_test.csv").write_text("\n".join(rows) + "\n")
    from pipelines.data.table import SIGNS

    y = list(range(43))
    return Written(SIGNS, train, y, test, y)


def eurosat(root: Path, patch: pytest.MonkeyPatch) -> Written:
    """No split of its own: a quarter of each of two classes of eight images is for testing."""
    for label, name in enumerate(("Forest", "River")):
        for i, image in enumerate(noise(8, 3, 64, 64, seed=label)):
            save(root / "eurosat" / "2750" / name / f"{name}_{i}.png", image)
    return Written(("Forest", "River"), None, [0] * 6 + [1] * 6, None, [0, 0, 1, 1])


def food101(root: Path, patch: pytest.MonkeyPatch) -> Written:
    home = root / "food-101"
    (home / "meta").mkdir(parents=True)
    for part in ("train", "test"):
        listed: dict[str, list[str]] = {}
        for label, name in enumerate(("apple_pie", "waffles")):
            for i in range(2):
                key = f"{name}/{part}{i}"
                save(home / "images" / f"{key}.jpg", noise(3, 150, 200, seed=10 * label + i))
                listed.setdefault(name, []).append(key)
        (home / "meta" / f"{part}.json").write_text(json.dumps(listed))
    return Written(("apple_pie", "waffles"), None, [0, 0, 1, 1], None, [0, 0, 1, 1])


def flowers102(root: Path, patch: pytest.MonkeyPatch) -> Written:
    """Training images are those of the splits train and val."""
    home = root / "flowers-102"
    for i in range(1, 7):
        save(home / "jpg" / f"image_{i:05d}.jpg", noise(3, 140, 160, seed=i))
    savemat(home / "imagelabels.mat", {"labels": [[1, 2, 1, 2, 1, 2]]})
    savemat(home / "setid.mat", {"trnid": [[1, 2]], "valid": [[3, 4]], "tstid": [[5, 6]]})
    files = {"image": ("", "")}
    for key, name in (("label", "imagelabels.mat"), ("setid", "setid.mat")):
        files[key] = (name, md5(home / name))
    patch.setattr(datasets.Flowers102, "_file_dict", files)
    classes = tuple(datasets.Flowers102.classes)
    return Written(classes, None, [0, 1, 0, 1], None, [0, 1])


def oxford_pets(root: Path, patch: pytest.MonkeyPatch) -> Written:
    home = root / "oxford-iiit-pet"
    (home / "annotations").mkdir(parents=True)
    for part, numbers in (("trainval", (1, 2)), ("test", (3, 4))):
        rows = []
        for label, name in enumerate(("Abyssinian", "great_pyrenees")):
            for i in numbers:
                save(home / "images" / f"{name}_{i}.jpg", noise(3, 130, 170, seed=10 * label + i))
                rows.append(f"{name}_{i} {label + 1} {label + 1} 1")
        (home / "annotations" / f"{part}.txt").write_text("\n".join(rows) + "\n")
    return Written(("Abyssinian", "Great Pyrenees"), None, [0, 0, 1, 1], None, [0, 0, 1, 1])


def imagenette(root: Path, patch: pytest.MonkeyPatch) -> Written:
    for part in ("train", "val"):
        for wnid in ("n01440764", "n02102040"):
            for i in range(2):
                path = root / "imagenette2-160" / part / wnid / f"{i}.JPEG"
                save(path, noise(3, 160, 180, seed=i))
    classes = ("tench", "English springer")
    return Written(classes, None, [0, 0, 1, 1], None, [0, 0, 1, 1])


def dtd(root: Path, patch: pytest.MonkeyPatch) -> Written:
    home = root / "dtd" / "dtd"
    (home / "labels").mkdir(parents=True)
    for part in ("train", "val", "test"):
        listed = [f"{name}/{name}_{part}.jpg" for name in ("banded", "woven")]
        for path in listed:
            save(home / "images" / path, noise(3, 140, 150))
        (home / "labels" / f"{part}1.txt").write_text("\n".join(listed) + "\n")
    return Written(("banded", "woven"), None, [0, 1, 0, 1], None, [0, 1])


LAYOUTS = {
    "kmnist": (kmnist, (1, 28, 28)),
    "emnist-letters": (emnist_letters, (1, 28, 28)),
    "usps": (usps, (1, 16, 16)),
    "cifar10": (cifar10, (3, 32, 32)),
    "cifar100": (cifar100, (3, 32, 32)),
    "svhn": (svhn, (3, 32, 32)),
    "stl10": (stl10, (3, 64, 64)),
    "gtsrb": (gtsrb, (3, 32, 32)),
    "eurosat": (eurosat, (3, 64, 64)),
    "food101": (food101, (3, 128, 128)),
    "flowers102": (flowers102, (3, 128, 128)),
    "oxford-pets": (oxford_pets, (3, 128, 128)),
    "imagenette": (imagenette, (3, 128, 128)),
    "dtd": (dtd, (3, 128, 128)),
}
"""Writer and the form that the images have unless another is asked for."""
