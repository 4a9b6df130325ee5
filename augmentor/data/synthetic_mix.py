"""A dataset of real and synthetic images that behaves like the real one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from augmentor.common.randomness import rng_for
from augmentor.common.types import DataError, LabelledImages, SampleSource
from augmentor.data.candidates import first_candidates
from augmentor.data.class_counts import Strategy, fill_up, resolve_counts
from augmentor.data.class_names import match_classes
from augmentor.data.item_form import apply_transforms, base_of, form_of, labels_of
from augmentor.data.synthetic_images import Synthetic, opened
from augmentor.data.synthetic_store import PixelImages, SyntheticSet, read_set

Policy = str | Path | Mapping[str, Any]
"""A ``policy.json``, or its contents: ``share``, ``confidence`` or null, and ``base``."""

AS_THEY_ARE = ("real", "logit_adjusted", "reweight", "decoupled")
"""Bases of a policy that draw real images in their own proportions; all others draw every class
equally often."""
INSTEAD = {
    "schedule": "train on synthetic images alone first, then on the real ones alone, without a mix",
    "short_only": "draw with weights of your own, up to the share for classes with few images",
    "realism": "render images with augmentor.sampling.filters.realism_filter and mix them by share",
    "latents": "render images with augmentor.sampling.spread_latents.DonatedLatents and mix them "
    "by share",
    "spread": "render images with augmentor.sampling.spread_latents and mix them by share",
}
"""What of a policy no draws from a mix can do, and what to do in its place."""
AS_USUAL = {"schedule": "mixed", "short_only": False, "realism": 0, "latents": "prior", "spread": 1}


class SyntheticMix(Dataset[tuple[Any, Any]]):
    """A real dataset followed by synthetic images of its classes.

    Items 0 to ``len(real) - 1`` are the real ones, untouched. The synthetic ones come in the form
    the real ones have *before* their transforms (a PIL image of the same mode, a tensor or array of
    the same shape, type and range) and then go through the real dataset's own ``transform`` and
    ``target_transform`` (or joint ``transforms``), so both kinds are augmented and normalised
    alike. These three attributes are where transforms are looked for: one that the dataset keeps
    under any other name is not seen, and what it gives is taken for the raw form. PIL images are
    made square with the short side of the first real one. The real dataset is never changed; a
    transform set on it later counts for both kinds.

    All synthetic pixels are chosen, or rendered by a live source, when the mix is made, and are
    kept as one uint8 tensor: item i is the same for any number of workers. Classes are matched by
    name.

    How many synthetic images, by one of:

    - ``share``: the part of the mix that is synthetic; the smallest classes are filled up first.
    - ``counts``: a class balance as ``class_counts.resolve_counts`` takes it, such as ``"auto"`` or
      500.
    - ``policy``: what ``augmentor gain`` chose; so many that its ``share`` of the mix is synthetic,
      equally many of every class. There it is a share of the draws, so train with
      ``WeightedRandomSampler(mix.draw_weights(), len(mix))``.
    - none of them: all images of a stored set; ``counts="auto"`` for a live source.

    Args:
        real: A torchvision-style dataset of (image, class index): ``ImageFolder``, ``MNIST``,
            ``TensorDataset``, a ``Subset`` of one, or your own.
        synthetic: Folder or shards on disk, ``SyntheticSet``, ``LabelledImages`` or a live source.
        share: As above, in [0, 1).
        counts: As above.
        policy: As above. Its ``confidence`` is a filter and belongs to the making of the images: a
            stored set must have been made with it, a live source is refused; ``LabelledImages`` are
            taken to be filtered already. Of its ``base`` only how real images are drawn is used;
            the rest of it, ``augment`` and ``strength`` are your transforms, labels and loss.
            Refused is what draws cannot do: ``schedule``, ``short_only``, ``realism``, ``latents``
            and ``spread`` other than the usual ones.
        seed: Chooses among stored images and draws the latents of a live source.
        labels: Class index of every item of ``real`` before its ``target_transform``; needed only
            where ``real`` does not keep them in ``targets``, ``labels``, ``tensors`` or
            ``_labels``, and reading all its items takes long.
        classes: Class names of ``real``; needed where it has no ``classes`` and its names are not
            0, 1, 2, …
        value_range: What black and white are in ``real``'s tensors or arrays; (0, 255) for uint8,
            (0, 1) for float.

    Raises:
        DataError: If class names differ, stored images are too few, a stored set or policy cannot
            be read, or a policy asks for what draws from a mix cannot do.
        ValueError: If arguments contradict each other or are out of range, or labels are not one
            for every item.
        TypeError: If ``real``'s items are of a form that cannot be imitated.

    Example:
        >>> real = ImageFolder("data/train", transform)  # doctest: +SKIP
        >>> mix = SyntheticMix(real, "runs/mine/synthetic")  # doctest: +SKIP
        >>> loader = DataLoader(mix, batch_size=64, shuffle=True, num_workers=2)  # doctest: +SKIP
    """

    def __init__(
        self,
        real: Dataset[Any],
        synthetic: Synthetic,
        *,
        share: float | None = None,
        counts: Strategy | None = None,
        policy: Policy | None = None,
        seed: int = 0,
        labels: Sequence[int] | Tensor | NDArray[Any] | None = None,
        classes: Sequence[str] | None = None,
        value_range: tuple[float, float] | None = None,
    ) -> None:
        if sum(given is not None for given in (share, counts, policy)) > 1:
            raise ValueError("give one of share, counts and policy")
        self.real = real
        self._real_labels = labels_of(real, labels)
        if not len(self._real_labels):
            raise DataError("the real dataset is empty: synthetic images cannot stand alone")
        self._form = form_of(real, value_range)
        self._names = _class_names(real, classes, self._real_labels)
        if isinstance(synthetic, str | Path):
            synthetic = read_set(Path(synthetic))
        self._as_they_are = False
        if policy is not None:
            document = _read_policy(policy)
            share, self._as_they_are = (
                _share_of(document, synthetic),
                document.get("base") in AS_THEY_ARE,
            )
        self._share = share
        self._pixels, self._labels = self._choose(
            opened(synthetic), share, counts, seed, evenly=policy is not None
        )

    def __len__(self) -> int:
        return len(self._real_labels) + len(self._labels)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        position = self._position(index)
        if position < len(self._real_labels):
            image, target = self.real[position]
            return image, target
        which = position - len(self._real_labels)
        image, target = self._form.item(self._pixels[which], int(self._labels[which]))
        return apply_transforms(self.real, image, target)

    def __repr__(self) -> str:
        real, synthetic = len(self._real_labels), len(self._labels)
        return f"SyntheticMix({real} real, {synthetic} synthetic, {len(self._names)} classes)"

    def is_synthetic(self, index: int) -> bool:
        """Whether item ``index`` is synthetic."""
        return self._position(index) >= len(self._real_labels)

    @property
    def classes(self) -> list[str]:
        """Class names of the real dataset; position is label."""
        return list(self._names)

    @property
    def class_to_idx(self) -> dict[str, int]:
        """Label of every class name."""
        return {name: label for label, name in enumerate(self._names)}

    @property
    def targets(self) -> Any:
        """Labels of all items before any ``target_transform``: a list where the real dataset has
        one, else a tensor.
        """
        labels = torch.cat([self._real_labels, self._labels])
        own = getattr(base_of(self.real)[0], "targets", labels)
        if isinstance(own, np.ndarray):
            return labels.numpy()
        return labels if isinstance(own, Tensor) else labels.tolist()

    @property
    def samples(self) -> list[tuple[str, int]]:
        """(path, label) of all items, where the real dataset has ``samples``; synthetic ones have
        no file.

        Raises:
            AttributeError: If the real dataset has no ``samples``.
        """
        base, indices = base_of(self.real)
        own = base.samples if indices is None else [base.samples[i] for i in indices.tolist()]
        return [
            *own,
            *((f"<synthetic {i}>", label) for i, label in enumerate(self._labels.tolist())),
        ]

    @property
    def synthetic_counts(self) -> dict[str, int]:
        """Synthetic images of every class."""
        return dict(
            zip(self._names, _counted(self._labels, len(self._names)).values(), strict=True)
        )

    def draw_weights(self, share: float | None = None) -> Tensor:
        """Weights for a ``WeightedRandomSampler``; with a policy it draws real and synthetic images
        as its arm did.

        Every class is drawn equally often. Of the draws of a class with both kinds of images,
        ``share`` are synthetic. By a policy whose base takes the real images in their own
        proportions (``real``, ``logit_adjusted``), ``share`` of all draws are synthetic, every
        class that has some equally often, and real images are drawn equally often.

        Args:
            share: In [0, 1]; by default the one the mix or its policy was made with, else the part
                of the mix that is synthetic.

        Returns:
            One weight per item, float64 (len(self),), in any scale.

        Raises:
            ValueError: If ``share`` is not in [0, 1].
        """
        share = (
            (self._share if self._share is not None else len(self._labels) / len(self))
            if share is None
            else share
        )
        if not 0 <= share <= 1:
            raise ValueError(f"share must lie in [0, 1], got {share}")
        kinds = (self._real_labels, self._labels)
        real, synthetic = (torch.bincount(y, minlength=len(self._names)) for y in kinds)
        if self._as_they_are:
            of_real = torch.full(
                (len(self._real_labels),), (1 - share) / len(self._real_labels), dtype=torch.float64
            )
            return torch.cat(
                [of_real, share / (synthetic.double()[kinds[1]] * (synthetic > 0).sum())]
            )
        part = torch.where(real == 0, 1.0, torch.where(synthetic == 0, 0.0, share)).double()
        return torch.cat(
            [(1 - part)[kinds[0]] / real[kinds[0]], part[kinds[1]] / synthetic[kinds[1]]]
        )

    def _position(self, index: int) -> int:
        if not -len(self) <= index < len(self):
            raise IndexError(f"item {index} of {len(self)}")
        return index % len(self)

    def _choose(
        self,
        synthetic: PixelImages | SampleSource,
        share: float | None,
        counts: Strategy | None,
        seed: int,
        *,
        evenly: bool,
    ) -> tuple[Tensor, Tensor]:
        """Pixels and labels of the synthetic items, class after class."""
        own_label = match_classes(self._names, synthetic.classes)
        real = _counted(self._real_labels, len(self._names))
        if not isinstance(synthetic, PixelImages):
            return _rendered(
                synthetic, own_label, _wanted(real, share, counts, self._names, evenly=evenly), seed
            )
        y = torch.tensor(own_label)[synthetic.y]
        if share is None and counts is None:
            return synthetic.pixels, y
        stored = _counted(y, len(self._names))
        chosen = _drawn(y, _wanted(real, share, counts, self._names, stored, evenly=evenly), seed)
        return synthetic.pixels[chosen], y[chosen]


def _class_names(
    real: Dataset[Any], given: Sequence[str] | None, labels: Tensor
) -> tuple[str, ...]:
    number = int(labels.max()) + 1
    known = given if given is not None else getattr(base_of(real)[0], "classes", None)
    names = tuple(known) if known is not None else tuple(str(label) for label in range(number))
    if len(names) < number:
        raise DataError(f"label {number - 1} has no name, there are only {len(names)} class names")
    return names


def _share_of(policy: Mapping[str, Any], synthetic: Synthetic) -> float:
    share, confidence = policy.get("share"), policy.get("confidence")
    if isinstance(share, bool) or not isinstance(share, int | float):
        raise DataError(f"the policy has no share: it must be a number in [0, 1), got {share!r}")
    if share:
        _refuse_unusual(policy)
    if share and confidence and isinstance(synthetic, SyntheticSet):
        made_with = (synthetic.recipe.filter or {}).get("confidence")
        if made_with != confidence:
            raise DataError(
                f"the policy asks for the filter confidence={confidence}, the set was made with "
                f"{made_with}: "
                f"make one with augmentor synth --filter confidence={confidence}"
            )
    elif share and confidence and not isinstance(synthetic, LabelledImages):
        raise ValueError(
            f"the policy asks for the filter confidence={confidence}: give images from "
            f"synthesize(source, counts, seed, accept=confidence_filter(judge, {confidence}))"
        )
    return float(share)


def _refuse_unusual(policy: Mapping[str, Any]) -> None:
    """Refuse what would be left out in silence; a key that is missing or null is as usual."""
    for key, instead in INSTEAD.items():
        if policy.get(key) not in (None, AS_USUAL[key]):
            raise DataError(
                f"the policy asks for {key}={policy[key]!r}, which draws from a mix cannot do: "
                f"{instead}"
            )


def _read_policy(policy: Policy) -> Mapping[str, Any]:
    if isinstance(policy, Mapping):
        return policy
    try:
        document = json.loads(Path(policy).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{policy}: cannot be read as a policy ({error}); augmentor gain writes one"
        ) from error
    if not isinstance(document, dict):
        raise DataError(f"{policy}: a policy is a JSON object; augmentor gain writes one")
    return document


def _wanted(
    real: dict[int, int],
    share: float | None,
    counts: Strategy | None,
    names: Sequence[str],
    stored: dict[int, int] | None = None,
    *,
    evenly: bool = False,
) -> dict[int, int]:
    """Synthetic images of every class; ``stored`` are those there are, none given means no limit.

    A share fills up the smallest classes first, or goes to all classes ``evenly``.
    """
    if share is None:
        wanted = resolve_counts("auto" if counts is None else counts, real, names)
    else:
        wanted = fill_up(dict.fromkeys(real, 0) if evenly else real, _budget(share, real), stored)
        if (found := sum(wanted.values())) < (budget := _budget(share, real)):
            raise DataError(
                f"a share of {share:g} needs {budget} synthetic images, the set has {found}: "
                f"ask for a smaller share or synthesize more"
            )
    for c, n in wanted.items():
        if stored is not None and n > stored[c]:
            raise DataError(
                f"class {names[c]!r}: {n} synthetic images are asked for, the set has {stored[c]}: "
                f"ask for fewer or synthesize more"
            )
    return wanted


def _budget(share: float, real: dict[int, int]) -> int:
    if not 0 <= share < 1:
        raise ValueError(f"share must lie in [0, 1), got {share}")
    return round(share / (1 - share) * sum(real.values()))


def _rendered(
    source: SampleSource, own_label: list[int], counts: dict[int, int], seed: int
) -> tuple[Tensor, Tensor]:
    """Pixels and own labels of so many candidates of every class, in the source's order of
    classes.
    """
    pixels = [first_candidates(source, c, counts[own], seed) for c, own in enumerate(own_label)]
    labels = [own for own in own_label for _ in range(counts[own])]
    return torch.cat(pixels), torch.tensor(labels, dtype=torch.int64)


def _drawn(y: Tensor, counts: dict[int, int], seed: int) -> Tensor:
    """Indices of so many stored images of every class, a seeded choice."""
    chosen = []
    for c, n in counts.items():
        members = (y == c).nonzero().flatten()
        chosen.append(members[torch.randperm(len(members), generator=rng_for("mix", seed, c))[:n]])
    return torch.cat(chosen)


def _counted(y: Tensor, num_classes: int) -> dict[int, int]:
    return dict(enumerate(torch.bincount(y, minlength=num_classes).tolist()))
