r"""Images of a generator that is not ours, in folders that ``augmentor gain --synthetic`` takes.

scikit-learn makes them: the images of every class are brought to a few principal components, a
kernel density is laid over these, and samples of it are brought back. The generator learns from
half of the training images of digits; the classifier has ten labelled images of every class from
the other half, so that there is something to gain. Beside them stand three folders that must not be
advised: copies of the labelled images, the same samples under shuffled labels, and the test images.

    python examples/images_of_another_generator.py runs/outside
    augmentor gain --data runs/outside/digits --domain digits \
        --synthetic runs/outside/kernel_density
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KernelDensity

PER_CLASS = 10
COMPONENTS, BANDWIDTH = 16, 3.0


def samples(images: np.ndarray, count: int, seed: int) -> np.ndarray:
    """New images of one class, (count, 8, 8) in [0, 16], from real ones (N, 8, 8)."""
    flat = images.reshape(len(images), -1)
    components = PCA(COMPONENTS, random_state=seed).fit(flat)
    density = KernelDensity(bandwidth=BANDWIDTH).fit(components.transform(flat))
    found = components.inverse_transform(density.sample(count, random_state=seed))
    return found.reshape(-1, 8, 8).clip(0, 16)


def write(folder: Path, images: np.ndarray, y: np.ndarray) -> None:
    """PNG files, a folder per class."""
    for number, (image, label) in enumerate(zip(images, y, strict=True)):
        path = folder / str(label) / f"{number:05d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.rint(image * 255 / 16).astype(np.uint8)).save(path)


def main(root: Path, count: int = 200, seed: int = 0) -> list[Path]:
    """Write the data and the four folders of synthetic images below ``root``."""
    digits = load_digits()
    train, test, y_train, y_test = train_test_split(
        digits.images, digits.target, test_size=0.5, stratify=digits.target, random_state=seed
    )
    seen, rest, y_seen, y_rest = train_test_split(
        train, y_train, test_size=0.5, stratify=y_train, random_state=seed
    )
    labelled = np.concatenate([np.flatnonzero(y_rest == c)[:PER_CLASS] for c in range(10)])
    write(root / "digits" / "train", rest[labelled], y_rest[labelled])
    write(root / "digits" / "test", test, y_test)
    y = np.repeat(np.arange(10), count)
    made = np.concatenate([samples(seen[y_seen == c], count, seed) for c in range(10)])
    write(root / "kernel_density", made, y)
    write(root / "copies_of_training", rest[labelled], y_rest[labelled])
    write(root / "shuffled_labels", made, np.random.default_rng(seed).permutation(y))
    write(root / "copies_of_test", test, y_test)
    return sorted(path for path in root.iterdir() if path.is_dir())


if __name__ == "__main__":
    for folder in main(Path(sys.argv[1])):
        print(folder)
