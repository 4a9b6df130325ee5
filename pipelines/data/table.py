"""The one table of the data sets that have a name: where they come from, and what suits them.

Nothing heavy is imported here: the help of the command line shows these names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

HUB = "hf:"
"""What a name begins with that the package ``datasets`` is asked for."""
USUAL_DOMAIN = "natural"
DIGITS = tuple("0123456789")
BALANCED = tuple("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghnqrt")
LETTERS = tuple("abcdefghijklmnopqrstuvwxyz")
SIGNS = (
    *("speed limit 20", "speed limit 30", "speed limit 50", "speed limit 60", "speed limit 70"),
    *("speed limit 80", "end of speed limit 80", "speed limit 100", "speed limit 120"),
    *("no passing", "no passing for trucks", "right of way at the next crossing"),
    *("priority road", "yield", "stop", "no vehicles", "no trucks", "no entry", "danger"),
    *("curve left", "curve right", "double curve", "bumpy road", "slippery road"),
    *("road narrows on the right", "road works", "traffic lights", "pedestrians", "children"),
    *("bicycles", "ice or snow", "wild animals", "end of all limits", "turn right", "turn left"),
    *("ahead only", "ahead or right", "ahead or left", "keep right", "keep left"),
    *("roundabout", "end of no passing", "end of no passing for trucks"),
)
Keywords = Mapping[str, Any]
TRAIN_FLAG: tuple[tuple[Keywords, ...], tuple[Keywords, ...]] = (
    ({"train": True},),
    ({"train": False},),
)


def _splits(*names: str) -> tuple[Keywords, ...]:
    return tuple({"split": name} for name in names)


@dataclass(frozen=True)
class NamedSet:
    """A data set by name.

    Args:
        title: What it shows, in words.
        domain: Of the augmentation: ``natural`` is mirrored, ``digits`` and ``signs`` never.
        side: Pixels of the stored squares, or the usual side of files of other sizes; None for
            photos, which fill any size that is offered.
        grey: Whether the images are stored with one channel.
        split: Where training and test part come from, in words.
        torchvision: Name of the class in ``torchvision.datasets``; empty for what comes without it.
        keywords: For that class: of the sets that make the training part, and of those that make
            the test part. An empty test part means that the set has no split of its own.
        files: Where its files lie below the data root, in words.
        folder: The folder below the data root that torchvision is given; empty for the root.
        classes: Names of the classes where torchvision has none that can be used.
        first_label: The label of the first class in the files.
        transposed: Whether rows and columns are stored swapped.
        downloads: Whether torchvision can fetch it.
    """

    title: str
    domain: str = USUAL_DOMAIN
    side: int | None = None
    grey: bool = False
    split: str = "official split"
    torchvision: str = ""
    keywords: tuple[tuple[Keywords, ...], tuple[Keywords, ...]] = field(
        default_factory=lambda: (_splits("train"), _splits("test"))
    )
    files: str = ""
    folder: str = ""
    classes: tuple[str, ...] = ()
    first_label: int = 0
    transposed: bool = False
    downloads: bool = True

    @property
    def mirrored(self) -> bool:
        """Whether mirroring leaves an image in its class."""
        return self.domain == USUAL_DOMAIN

    @property
    def form(self) -> str:
        """Size and channels of the stored images, in words."""
        color = "grey" if self.grey else "RGB"
        if self.side is None:
            return f"photos of many sizes, {color}"
        return f"{self.side}x{self.side} {color}"


def _of_mnist_form(title: str, kind: str, domain: str = "digits") -> NamedSet:
    files = f"{kind}/raw"
    return NamedSet(title, domain, 28, True, "official split", kind, TRAIN_FLAG, files)


def _emnist(title: str, split: str, classes: tuple[str, ...], first_label: int = 0) -> NamedSet:
    """A part of EMNIST, whose images are stored with rows and columns swapped."""
    train, test = {"split": split, "train": True}, {"split": split, "train": False}
    return NamedSet(
        title,
        "digits",
        28,
        True,
        torchvision="EMNIST",
        keywords=((train,), (test,)),
        files="EMNIST/raw",
        classes=classes,
        first_label=first_label,
        transposed=True,
    )


def _photos(title: str, kind: str, files: str, *train: str, **more: Any) -> NamedSet:
    """Photos with a training part of one or two splits, and a test part."""
    keywords = (_splits(*train), _splits("test"))
    words = "official split"
    if len(train) > 1:
        words = f"{words}, {' and '.join(train)} for training"
    return NamedSet(title, split=words, torchvision=kind, files=files, keywords=keywords, **more)


HALVES = "stratified halves"
LOOKS = "under one of eight looks, the condition `look`"
NAMED_DATA: dict[str, NamedSet] = {
    "digits": NamedSet("scikit-learn's digits, part of the package", "digits", 8, True, HALVES),
    "mnist": _of_mnist_form("handwritten digits", "MNIST"),
    "fashion-mnist": _of_mnist_form("clothes", "FashionMNIST", "natural"),
    "digits-conditions": NamedSet(f"`digits` {LOOKS}", "digits", 16, True, HALVES),
    "mnist-conditions": _of_mnist_form(f"`mnist` {LOOKS}", "MNIST"),
    "kmnist": _of_mnist_form("Japanese characters in old hands", "KMNIST"),
    "emnist-digits": _emnist("more handwritten digits", "digits", DIGITS),
    "emnist-letters": _emnist("handwritten letters of both cases", "letters", LETTERS, 1),
    "emnist-balanced": _emnist("handwritten digits and letters", "balanced", BALANCED),
    "usps": NamedSet(
        *("digits from envelopes", "digits", 16, True, "official split", "USPS", TRAIN_FLAG),
        files="usps",
        folder="usps",
        classes=DIGITS,
    ),
    "svhn": NamedSet(
        *("house numbers, one digit in the middle", "signs", 32),
        torchvision="SVHN",
        files="svhn",
        folder="svhn",
        classes=DIGITS,
    ),
    "gtsrb": NamedSet(
        *("German traffic signs", "signs", 32),
        torchvision="GTSRB",
        files="gtsrb/GTSRB",
        classes=SIGNS,
    ),
    "cifar10": NamedSet(
        *("animals and vehicles", "natural", 32, False, "official split", "CIFAR10", TRAIN_FLAG),
        files="cifar-10-batches-py",
    ),
    "cifar100": NamedSet(
        *("things, plants and animals", "natural", 32, False, "official split", "CIFAR100"),
        TRAIN_FLAG,
        files="cifar-100-python",
    ),
    "stl10": _photos("animals and vehicles", "STL10", "stl10_binary", "train", side=96),
    "eurosat": NamedSet(
        *("land seen by a satellite", "natural", 64, False, "stratified, a quarter is test"),
        torchvision="EuroSAT",
        keywords=(({},), ()),
        files="eurosat/2750",
    ),
    "imagenette": NamedSet(
        *("ten classes of ImageNet", "natural", None, False, "official split", "Imagenette"),
        keywords=(({"split": "train", "size": "160px"},), ({"split": "val", "size": "160px"},)),
        files="imagenette2-160",
    ),
    "flowers102": _photos("flowers", "Flowers102", "flowers-102", "train", "val"),
    "oxford-pets": _photos(
        "cats and dogs by breed", "OxfordIIITPet", "oxford-iiit-pet", "trainval"
    ),
    "food101": _photos("dishes", "Food101", "food-101", "train"),
    "dtd": _photos("textures, first partition", "DTD", "dtd/dtd", "train", "val"),
    "fgvc-aircraft": _photos(
        "aircraft by variant", "FGVCAircraft", "fgvc-aircraft-2013b", "trainval"
    ),
    "stanford-cars": _photos(
        *("cars by model; put the files there yourself", "StanfordCars", "stanford_cars", "train"),
        downloads=False,
    ),
}
"""Data sets by name."""


def is_named(name: str) -> bool:
    """Whether the name means a data set of the table or of the hub, and not a folder."""
    return name in NAMED_DATA or name.startswith(HUB)


def domain_of_data(name: str) -> str:
    """The domain of the augmentation that suits a data set; a set of the hub is known by the table
    if it has a name there, and photos are what is assumed of all others.

    Example:
        >>> domain_of_data("svhn"), domain_of_data("hf:ylecun/mnist"), domain_of_data("my/photos")
        ('signs', 'digits', 'natural')
    """
    known = short_name(name).replace("_", "-") if name.startswith(HUB) else name
    return NAMED_DATA[known].domain if known in NAMED_DATA else USUAL_DOMAIN


def short_name(name: str) -> str:
    """The name without owner, columns and what only says where it is from.

    Example:
        >>> short_name("hf:uoft-cs/cifar100#fine_label"), short_name("mnist")
        ('cifar100', 'mnist')
    """
    if not name.startswith(HUB):
        return name
    parts = name.removeprefix(HUB).partition("#")[0].rstrip("/").split("/")
    return parts[1] if len(parts) == 3 and parts[0] else parts[-1]


def near_names(name: str) -> str:
    """``; did you mean cifar10?`` for a name that is nearly one of the table, else nothing."""
    near = get_close_matches(name.lower(), NAMED_DATA, n=3, cutoff=0.75)
    return f"; did you mean {' or '.join(near)}?" if near else ""


def markdown_table() -> str:
    """The table as the guide shows it."""
    rows = [("name", "what", "images", "split", "mirrored")]
    rows.append(("---",) * 5)
    for name, one in NAMED_DATA.items():
        mirrored = "yes" if one.mirrored else "never"
        rows.append((f"`{name}`", one.title, one.form, one.split, mirrored))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
