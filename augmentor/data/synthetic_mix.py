"""A dataset of real and synthetic images that behaves like the real one."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from augmentor.common.given_files import parse_json, read_text
from augmentor.common.randomness import rng_for
from augmentor.common.types import (
    DataError,
    LabelledImages,
    SampleSource,
    conditions_of,
    record_of,
)
from augmentor.data.candidates import first_candidates
from augmentor.data.class_counts import Strategy, fill_up, resolve_counts
from augmentor.data.class_names import listed, match_classes
from augmentor.data.draw_weights import mixed_draw_weights
from augmentor.data.item_form import (
    MixedItems,
    apply_transforms,
    base_of,
    class_names_of,
    form_of,
    labels_of,
)
from augmentor.data.mix_stream import Draws, MixStream
from augmentor.data.stored_set import StoredSet
from augmentor.data.synthetic_images import Synthetic, opened
from augmentor.data.synthetic_store import PixelImages, SyntheticSet, read_set

Policy = str | Path | Mapping[str, Any]
"""A ``policy.json`` of ``augmentor gain``, or its contents."""

INSTEAD = {
    "schedule": "train on synthetic images alone first, then on the real ones alone, without a mix",
    "realism": "render images with augmentor.sampling.filters.realism_filter and mix them by share",
    "latents": "render images with augmentor.sampling.spread_latents.DonatedLatents and mix them "
    "by share",
}
"""What a policy may ask for that draws from a mix cannot do, and what to do instead."""
POLICY_BASES = (
    "classical", "cutmix", "decoupled", "domain_adversarial", "even_conditions", "fixmatch",
    "fourier", "graph_fixmatch", "group_dro", "joint_fixmatch", "joint_label", "lisa",
    "logit_adjusted", "logit_adjusted+trivialaugment", "mixstyle", "mixup", "oversample",
    "pair_fixmatch", "pair_label", "pseudo_label", "randaugment", "real", "retrieval", "reweight",
    "smote", "smote+classical", "trivialaugment",
)  # fmt: skip
"""The arms that a policy may begin with; a test compares them with those of ``downstream``."""
ANY = sys.maxsize
"""As many images of a class as are asked for."""
AS_USUAL = {"schedule": "mixed", "realism": 0, "latents": "prior"}


@dataclass(frozen=True)
class _Drawing:
    """The arguments that a mix gives ``mixed_draw_weights``."""

    share: float | None = None  # None: the part of the mix that is synthetic
    balanced: bool = True
    short_only: bool = False


class SyntheticMix(MixedItems):
    """A real dataset followed by synthetic images of its classes.

    Items 0 to ``len(real) - 1`` are the items of ``real``; the mix never changes that dataset. The
    others are synthetic. They have the form that real images have before any transform: PIL images
    of the same mode, or tensors or arrays of the same shape, type and range. PIL images are square
    and as high as the shorter side of the first real one. Then the real dataset's own
    ``transform`` and ``target_transform``, or ``transforms``, are applied to them, so that both
    kinds are augmented alike. The mix finds transforms under these three names only. You may set
    them later: they count for both kinds from then on.

    The mix takes or renders all its synthetic images when you make it, and keeps them as bytes.
    Item i is therefore the same for any number of workers. Classes are matched by name; synthetic
    images may be of some of the classes, such as the rare ones. With ``streaming`` the images of a
    stored set stay where they are: an item is read when you ask for it, and :meth:`stream` reads
    shard by shard, for sets that do not fit into memory or on a disk.

    Say by one of these how many synthetic images the mix gets:

    - ``share``: this part of the mix is synthetic. The smallest classes are filled up first.
    - ``counts``: a class balance as in ``class_counts.resolve_counts``, such as ``"auto"`` or 500,
      over the classes that have real or synthetic images.
    - ``policy``: what ``augmentor gain`` chose. Its ``share`` is a part of the *draws*, so train
      with ``WeightedRandomSampler(mix.draw_weights(), len(mix))``. The mix gets all images of a
      stored set or of ``LabelledImages``. From a live source it renders ``share`` of its items,
      equally many per class. With a share of 0 it gets none.
    - none of them: all images of a stored set or of ``LabelledImages``; ``counts="auto"`` for a
      live source.

    Args:
        real: A torchvision-style dataset of (image, class index): ``ImageFolder``, ``MNIST``,
            ``TensorDataset``, a ``Subset`` of one, or your own. Or one of dicts with an image and a
            label, such as a Hugging Face ``Dataset``; synthetic items are dicts then, and go
            through its ``set_transform``. Or another mix: its items all count as real here, and
            new images go through the transforms of the dataset below.
        synthetic: A stored set (its folder, a URL such as ``s3://bucket/set``, or as
            ``SyntheticSet``), ``LabelledImages``, or a live source.
        share: As above, in [0, 1).
        counts: As above.
        policy: As above. Its ``share``, ``balanced`` and ``short_only`` decide the draws. If it has
            a filter, ``confidence``, or a ``spread`` of the latents, a stored set must have been
            made with the same one, and a live source is refused; ``LabelledImages`` are taken to be
            made so. With ``fill``, images must be of a generator that knows their conditions.
            Refused are also ``schedule``, ``realism`` and ``latents`` other than the usual ones:
            draws cannot do what they ask for. All other keys concern your transforms, labels and
            loss, or name the set that was measured (``outside``).
        seed: Chooses among stored images; decides the latents for a live source.
        labels: Class index of every item of ``real`` before its ``target_transform``. Without it,
            the mix looks for ``targets``, ``labels``, ``tensors`` or ``_labels``, and reads all
            items of a dataset that has none of these, which takes long.
        classes: Class names of ``real``. Needed if it has no ``classes`` and the synthetic classes
            are not named 0, 1, 2, …
        value_range: What black and white are in ``real``'s tensors or arrays. By default (0, 255)
            for uint8 and (0, 1) for float.
        streaming: Leave the images of a stored set where they are, as above; ``synthetic`` is then
            a folder or a URL.

    Warns:
        UserWarning: If there are synthetic images and ``counts`` asks for none of them, as
            ``"auto"`` does where all classes are equally large.

    Raises:
        DataError: If ``real`` lacks a class of the synthetic images, stored images are too few, a
            live source never saw a class that it is to render, a stored set or policy cannot be
            read, or a policy asks for what draws from a mix cannot do.
        ValueError: If arguments contradict each other or are out of range, or labels are not one
            for every item.
        TypeError: If ``real``'s items are of a form that cannot be imitated, such as dicts with
            more than an image and a label.

    Example:
        Three real images of one class and one of the other; six synthetic ones to choose from.

        >>> import torch
        >>> from torch.utils.data import DataLoader, TensorDataset, WeightedRandomSampler
        >>> from augmentor import LabelledImages, SyntheticMix
        >>> real = TensorDataset(torch.rand(4, 1, 8, 8), torch.tensor([0, 0, 0, 1]))
        >>> labels = torch.tensor([0, 0, 0, 1, 1, 1])
        >>> synthetic = LabelledImages(torch.zeros(6, 1, 8, 8), labels, ("0", "1"))
        >>> mix = SyntheticMix(real, synthetic, share=0.5)
        >>> mix.synthetic_counts
        {'0': 1, '1': 3}

        A policy says how often images are drawn; the mix then has all of them.

        >>> mix = SyntheticMix(real, synthetic, policy={"share": 0.25, "balanced": True})
        >>> mix
        SyntheticMix(4 real, 6 synthetic, 2 classes)
        >>> sampler = WeightedRandomSampler(mix.draw_weights(), len(mix))
        >>> images, y = next(iter(DataLoader(mix, batch_size=5, sampler=sampler)))
        >>> images.shape
        torch.Size([5, 1, 8, 8])
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
        streaming: bool = False,
    ) -> None:
        if sum(given is not None for given in (share, counts, policy)) > 1:
            raise ValueError("give one of share, counts and policy")
        self.real = real
        self._real_labels = labels_of(real, labels)
        if not len(self._real_labels):
            raise DataError("the real dataset is empty: synthetic images cannot stand alone")
        self.form = form_of(real, value_range)
        self._names = _class_names(real, classes, self._real_labels)
        given = _read(synthetic, streaming)
        self._drawing = _Drawing(share)
        if policy is not None:
            self._drawing = _drawing_of(_read_policy(policy), given)
        images = given if isinstance(given, StoredSet) else opened(given)
        by_policy = policy is not None
        self._condition: Tensor | None = None
        self._stored: StoredSet | None = None
        self._pixels: Tensor | _Chosen
        self._seed = seed
        if isinstance(images, PixelImages | StoredSet):
            self._labels, which = self._choose(images, counts, seed, by_policy=by_policy)
            if isinstance(images, StoredSet):
                self._stored, self._pixels = images, _Chosen(images, which)
            else:
                self._pixels = images.pixels if which is None else images.pixels[which]
            if images.condition is not None:
                self._condition = images.condition if which is None else images.condition[which]
        else:
            self._pixels, self._labels = self._render(images, counts, seed, by_policy=by_policy)

    def __len__(self) -> int:
        return len(self._real_labels) + len(self._labels)

    def __getitem__(self, index: int) -> Any:
        position = self._position(index)
        if position < len(self._real_labels):
            return self.real_item(position)
        which = position - len(self._real_labels)
        return self.made_item(self._pixels[which], int(self._labels[which]))

    def real_item(self, index: int) -> Any:
        """Item ``index`` of the real dataset."""
        item = self.real[index]
        return item if isinstance(item, Mapping) else tuple(item)

    def made_item(self, pixels: Tensor, label: int) -> Any:
        """A synthetic image, uint8 (C, H, W), in the form of the real items, with their
        transforms.
        """
        image, target = self.form.item(pixels, label)
        return apply_transforms(self.real, image, target, self.form.columns)

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
    def synthetic_condition(self) -> Tensor | None:
        """Conditions of the synthetic items, in their order: int64 (n,) categories or float32
        (n, D) numbers; None if the set has none. The items themselves are image and label, as the
        real ones are.
        """
        return self._condition

    @property
    def synthetic_counts(self) -> dict[str, int]:
        """Synthetic images of every class."""
        return dict(
            zip(self._names, _counted(self._labels, len(self._names)).values(), strict=True)
        )

    def draw_weights(self, share: float | None = None) -> Tensor:
        """Weights for a ``WeightedRandomSampler``; by a policy, as ``augmentor gain`` drew.

        Every class is drawn equally often. If a class has both kinds of images, ``share`` of its
        draws are synthetic; with ``short_only`` it is at most ``share``. A policy with ``balanced``
        false draws all real images equally often instead, and ``share`` of all draws are synthetic.
        The rule is ``augmentor.data.draw_weights.mixed_draw_weights``.

        Args:
            share: In [0, 1]. By default that of the policy, or the one the mix was made with, or
                the part of the mix that is synthetic.

        Returns:
            One weight per item, float64 (len(self),), summing to one.

        Raises:
            ValueError: If ``share`` is not in [0, 1], or if synthetic images are asked for and
                there are none.
        """
        if share is None:
            share = self._drawing.share
        if share is None:
            share = len(self._labels) / len(self)
        if share and not len(self._labels):
            raise ValueError(f"{share:g} of the draws are to be synthetic, and no image is")
        return mixed_draw_weights(
            self._real_labels,
            self._labels,
            len(self._names),
            share,
            balanced=self._drawing.balanced,
            short_only=self._drawing.short_only,
        )

    def stream(
        self, share: float | None = None, *, length: int | None = None, seed: int | None = None
    ) -> MixStream:
        """The items in random order for a ``DataLoader`` without a sampler, drawn as often as with
        ``draw_weights(share)``; synthetic images are read shard by shard.

        Args:
            share: As in ``draw_weights``.
            length: Items of an epoch; ``len(self)`` unless given.
            seed: Decides the order; that of the mix unless given. Call ``set_epoch`` of what is
                returned before every epoch.

        Raises:
            ValueError: If the mix was not made with ``streaming``, or took a part of the set alone.

        Example:
            >>> mix = SyntheticMix(real, "s3://bucket/set", streaming=True)  # doctest: +SKIP
            >>> stream = mix.stream(share=0.5)  # doctest: +SKIP
            >>> for epoch in range(10):  # doctest: +SKIP
            ...     stream.set_epoch(epoch)
            ...     for images, labels in DataLoader(stream, batch_size=128, num_workers=4):
            ...         ...
        """
        if self._stored is None:
            raise ValueError("make the mix with streaming=True from a folder or a URL")
        if len(self._labels) != len(self._stored):
            raise ValueError(
                "a stream draws from all images of the set: make the mix without share and counts, "
                "and give stream() the share"
            )
        sums, own = torch.zeros(2, len(self._names), dtype=torch.float64), self._real_labels
        weights, here = self.draw_weights(share), len(own)
        sums[0].index_add_(0, own, weights[:here])
        sums[1].index_add_(0, self._labels, weights[here:])
        made = torch.tensor(match_classes(self._names, self._stored.classes))
        seed = self._seed if seed is None else seed
        return MixStream(self, self._stored, Draws(own, made, sums), length or len(self), seed)

    def _position(self, index: int) -> int:
        if not -len(self) <= index < len(self):
            raise IndexError(f"item {index} of {len(self)}")
        return index % len(self)

    def _choose(
        self,
        stored: PixelImages | StoredSet,
        counts: Strategy | None,
        seed: int,
        *,
        by_policy: bool,
    ) -> tuple[Tensor, Tensor | None]:
        """Own labels of stored images and their positions, None for all, or a seeded choice."""
        y = torch.tensor(match_classes(self._names, stored.classes))[stored.y]
        share, num_classes = self._drawing.share, len(self._names)
        if by_policy and share and not len(y):
            raise DataError(f"the policy asks for a share of {share:g}, the set has no images")
        all_of_them = share != 0 if by_policy else share is None and counts is None
        if all_of_them:
            return y, None  # a copy of all pixels would double the memory
        real = _counted(self._real_labels, num_classes)
        wanted = _wanted(real, share, counts, self._names, _counted(y, num_classes))
        if share is None and len(y) and not any(wanted.values()):
            _warn_of_none(counts, "leave counts out for all images of the set")
        chosen = _drawn(y, wanted, seed)
        return y[chosen], chosen

    def _render(
        self, source: SampleSource, counts: Strategy | None, seed: int, *, by_policy: bool
    ) -> tuple[Tensor, Tensor]:
        """Pixels and own labels of images rendered now, in the source's order of classes."""
        own_label, share = match_classes(self._names, source.classes), self._drawing.share
        real = _counted(self._real_labels, len(self._names))
        record = record_of(source)
        known = {} if record is None or record.counts is None else record.counts
        # A class that neither the data nor the source have images of is not asked for.
        unlimited = {
            own: ANY
            for name, own in zip(source.classes, own_label, strict=True)
            if real[own] or known.get(name) != 0
        }
        if by_policy and share is not None:
            wanted = fill_up(dict.fromkeys(real, 0), _budget(share, real), unlimited)
        else:
            wanted = _wanted(real, share, counts, self._names, unlimited)
            if share is None and not any(wanted.values()):
                _warn_of_none(counts, "give a share, such as 0.5, or a larger number as counts")
        for name, own in zip(source.classes, own_label, strict=True):
            if wanted[own] and known.get(name) == 0:
                raise DataError(f"class {name!r}: the source has seen no image of it in training")
        pixels = [first_candidates(source, c, wanted[own], seed) for c, own in enumerate(own_label)]
        labels = [own for own in own_label for _ in range(wanted[own])]
        return torch.cat(pixels), torch.tensor(labels, dtype=torch.int64)


@dataclass(frozen=True)
class _Chosen:
    """Some images of a stored set, or all where ``which`` is None."""

    images: StoredSet
    which: Tensor | None

    def __getitem__(self, index: int) -> Tensor:
        return self.images[index if self.which is None else int(self.which[index])]


def _read(synthetic: Synthetic, streaming: bool) -> Synthetic | StoredSet:
    """A stored set, in memory or where it is; anything else stays as it is."""
    if isinstance(synthetic, str | Path):
        return StoredSet(synthetic) if streaming else read_set(synthetic)
    if streaming:
        raise ValueError("streaming needs the folder or the URL of a set")
    return synthetic


def _class_names(
    real: Dataset[Any], given: Sequence[str] | None, labels: Tensor
) -> tuple[str, ...]:
    number = int(labels.max()) + 1
    known = given if given is not None else class_names_of(real)
    names = tuple(known) if known is not None else tuple(str(label) for label in range(number))
    if len(names) < number:
        raise DataError(f"label {number - 1} has no name, there are only {len(names)} class names")
    return names


def _drawing_of(policy: Mapping[str, Any], synthetic: Synthetic | StoredSet) -> _Drawing:
    """How a policy draws, once it is clear that a mix of these images can do what it asks for."""
    _require_base(policy.get("base", "real"))
    share, balanced = _share_of(policy), _flag(policy, "balanced")
    if not share:
        return _Drawing(share, balanced is not False)
    _refuse_unusual(policy)
    _check_filter(policy.get("confidence"), synthetic)
    _check_spread(policy.get("spread"), synthetic)
    if _flag(policy, "fill"):
        _check_combinations(synthetic)
    if balanced is None:
        raise DataError(
            'the policy lacks "balanced", as those that version 0.1 wrote do: add "balanced": true '
            'if it draws every class equally often, "balanced": false if it draws every real image '
            "equally often, or run augmentor gain again"
        )
    short_only = bool(_flag(policy, "short_only"))
    if short_only and not balanced:
        raise DataError(
            'the policy asks for short_only, which needs "balanced": true: it draws every class '
            "equally often"
        )
    return _Drawing(share, balanced, short_only)


def _require_base(base: object) -> None:
    if base not in POLICY_BASES:
        raise DataError(f"the policy has an unknown base {base!r}; known: {listed(POLICY_BASES)}")


def _share_of(policy: Mapping[str, Any]) -> float:
    share = policy.get("share")
    if not _is_number(share) or not 0 <= share < 1:
        raise DataError(f"share of the policy must be a number in [0, 1), got {share!r}")
    return float(share)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _flag(policy: Mapping[str, Any], key: str) -> bool | None:
    value = policy.get(key)
    if value is not None and not isinstance(value, bool):
        raise DataError(f"{key} of the policy must be true or false, got {value!r}")
    return value


def _check_combinations(synthetic: Synthetic | StoredSet) -> None:
    """Refuse images of a generator that knows classes alone, where those of combinations of class
    and condition were measured.
    """
    if isinstance(synthetic, SyntheticSet | StoredSet):
        knows = synthetic.recipe.fill is not None
    elif isinstance(synthetic, LabelledImages):
        knows = bool(synthetic.conditions)
    else:
        knows = bool(conditions_of(cast(SampleSource, synthetic)))
    if not knows:
        raise DataError(
            "the policy asks for images of every combination of class and condition, and these "
            "are of classes alone: make a set with augmentor synth, from a generator that was "
            "trained with --condition"
        )


def _check_filter(confidence: float | None, synthetic: Synthetic | StoredSet) -> None:
    """Refuse images that were not filtered as the policy asks for."""
    if not confidence or isinstance(synthetic, LabelledImages):
        return
    if not isinstance(synthetic, SyntheticSet | StoredSet):
        raise ValueError(
            f"the policy asks for the filter confidence={confidence}: give images from "
            f"synthesize(source, counts, seed, accept=confidence_filter(judge, {confidence}))"
        )
    made_with = (synthetic.recipe.filter or {}).get("confidence")
    if made_with != confidence:
        raise DataError(
            f"the policy asks for the filter confidence={confidence}, the set was made with "
            f"{made_with}: make one with augmentor synth --filter confidence={confidence}"
        )


def _check_spread(spread: object, synthetic: Synthetic | StoredSet) -> None:
    """Refuse images of latents that were drawn closer or wider than the policy asks for."""
    if spread is None:
        return
    if not _is_number(spread):
        raise DataError(f"spread of the policy must be a number, got {spread!r}")
    if isinstance(synthetic, LabelledImages):
        return
    if not isinstance(synthetic, SyntheticSet | StoredSet):
        if spread == 1:
            return
        raise ValueError(
            f"the policy asks for latents of spread={spread}: give the source as "
            f"augmentor.sampling.spread_latents.ScaledLatents(source, {spread}), and the policy "
            "without its spread"
        )
    if synthetic.recipe.spread != spread:
        raise DataError(
            f"the policy asks for latents of spread={spread}, the set was made with "
            f"{synthetic.recipe.spread:g}: make one with augmentor synth --spread {spread}"
        )


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
        document = parse_json(read_text(Path(policy)))
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
    available: dict[int, int],
) -> dict[int, int]:
    """Synthetic images of every class; ``available`` are those there can be of it."""
    if share is not None:
        return _filled_up(real, share, available)
    wanted = _resolved("auto" if counts is None else counts, real, names, available)
    for c, n in wanted.items():
        if n > (most := available.get(c, 0)):
            raise DataError(
                f"class {names[c]!r}: {n} synthetic images are asked for, and there are {most}: "
                "name the classes that are to get some in counts, ask for fewer or synthesize more"
            )
    return wanted


def _resolved(
    counts: Strategy, real: dict[int, int], names: Sequence[str], available: dict[int, int]
) -> dict[int, int]:
    """``resolve_counts`` over the classes that somebody has images of: a word or a number asks
    for nothing of others, as of class 0 where labels begin at 1.
    """
    if isinstance(counts, Mapping):
        return resolve_counts(counts, real, names)
    found = [c for c, n in real.items() if n or available.get(c)]
    own = {place: real[c] for place, c in enumerate(found)}
    wanted = resolve_counts(counts, own, [names[c] for c in found])
    return dict.fromkeys(real, 0) | {found[place]: n for place, n in wanted.items()}


def _filled_up(real: dict[int, int], share: float, available: dict[int, int]) -> dict[int, int]:
    """Synthetic images that make up a share, the smallest classes first."""
    budget = _budget(share, real)
    wanted = fill_up(real, budget, available)
    if (found := sum(wanted.values())) < budget:
        raise DataError(
            f"a share of {share:g} needs {budget} synthetic images, the set has {found}: "
            f"ask for a smaller share or synthesize more"
        )
    return wanted


def _budget(share: float, real: dict[int, int]) -> int:
    if not 0 <= share < 1:
        raise ValueError(f"share must lie in [0, 1), got {share}")
    return round(share / (1 - share) * sum(real.values()))


def _warn_of_none(counts: Strategy | None, step: str) -> None:
    """Say that a class balance adds no image, which a user may take for a mix that has some."""
    counts = "auto" if counts is None else counts
    warnings.warn(
        f"counts={counts!r} adds no synthetic image, as every class "
        f"has as many real ones already; {step}",
        UserWarning,
        stacklevel=4,  # the line that makes the mix
    )


def _drawn(y: Tensor, counts: dict[int, int], seed: int) -> Tensor:
    """Indices of so many stored images of every class, a seeded choice."""
    chosen = []
    for c, n in counts.items():
        members = (y == c).nonzero().flatten()
        chosen.append(members[torch.randperm(len(members), generator=rng_for("mix", seed, c))[:n]])
    return torch.cat(chosen)


def _counted(y: Tensor, num_classes: int) -> dict[int, int]:
    return dict(enumerate(torch.bincount(y, minlength=num_classes).tolist()))
