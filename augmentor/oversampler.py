"""A sampler in imbalanced-learn's manner that adds synthetic images instead of interpolated
ones.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Self, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from torch import nn
from torch.nn.utils import parametrize

from augmentor.common.types import DataError, LabelledImages, SampleSource
from augmentor.data.class_counts import Strategy, resolve_counts
from augmentor.data.class_names import listed
from augmentor.data.fingerprint import fingerprints
from augmentor.families import FAMILIES
from augmentor.sampling.synthesize import Accept, synthesize
from augmentor.training.batches import Batches
from augmentor.training.ema import averaged
from augmentor.training.loop import fit


class GanOverSampler(BaseEstimator):  # type: ignore[misc]
    """Balance the classes of images with a source: ``fit_resample(X, y)``, also inside imblearn's
    ``Pipeline``.

    Give a ``family``, and every ``fit_resample`` trains a source of its own on the images it gets:
    in a cross-validation one per fold, which has not seen the images of the score. Or give a
    trained ``source``; it must be trained on the training part only. Give what it was
    ``trained_on`` too, and a source that saw images beyond the given ones is refused: in a
    cross-validation these are the images of the score.

    Args:
        source: A trained source, such as ``augmentor.load(run)``. Its classes are matched with
            ``str(label)``.
        sampling_strategy: As ``data.class_counts.resolve_counts`` takes it: ``"auto"``,
            ``"minority"``, ``"not majority"``, ``"not minority"``, ``"all"``, images per class, a
            ratio to the largest class, or ``{label: images in all}``.
        random_state: Seed, ``RandomState`` or ``None`` for a new draw each time.
        value_range: What black and white are in ``X``. By default 0 and 255 for uint8, 0 and 1 for
            floats in [0, 1], -1 and 1 for floats in [-1, 1]; anything else has to be said.
        accept: A filter, such as ``sampling.filters.confidence_filter``; the source's images that
            pass are added.
        family: Instead of a source: the family of ``augmentor.families.FAMILIES`` to train.
        steps: Steps of that training.
        batch_size: Images per step.
        options: Options of the family that differ from its defaults.
        image_shape: (C, H, W) of flattened images, for a family; a source knows its own.
        trained_on: Fingerprints of the images that ``source`` was trained on, int64 (M,), as
            ``augmentor.data.fingerprint.fingerprints`` gives them.

    Attributes:
        source_: The source in use: the given one, or the one trained last.
        sampling_strategy_: Images added per label, for labels that got some.
        classes_: Labels seen, sorted.

    Example:
        >>> sampler = GanOverSampler(source, random_state=0)  # doctest: +SKIP
        >>> balanced = make_pipeline(sampler, LogisticRegression())  # doctest: +SKIP
        >>> balanced.fit(X, y)  # doctest: +SKIP

        A source of its own for every training part, here far too short a training.

        >>> import numpy as np
        >>> from augmentor import GanOverSampler
        >>> X, y = np.zeros((6, 8, 8, 3), dtype=np.uint8), np.array([0, 0, 0, 0, 1, 1])
        >>> sampler = GanOverSampler(family="cvae", steps=1, batch_size=4, random_state=0)
        >>> X_more, y_more = sampler.fit_resample(X, y)
        >>> X_more.shape, y_more.tolist()
        ((8, 8, 8, 3), [0, 0, 0, 0, 1, 1, 1, 1])
    """

    def __init__(
        self,
        source: SampleSource | None = None,
        *,
        sampling_strategy: Strategy = "auto",
        random_state: int | np.random.RandomState | None = None,
        value_range: tuple[float, float] | None = None,
        accept: Accept | None = None,
        family: str | None = None,
        steps: int = 2000,
        batch_size: int = 64,
        options: Mapping[str, Any] | None = None,
        image_shape: tuple[int, int, int] | None = None,
        trained_on: NDArray[np.int64] | None = None,
    ) -> None:
        self.source = source
        self.family = family
        self.steps = steps
        self.batch_size = batch_size
        self.options = options
        self.image_shape = image_shape
        self.trained_on = trained_on
        self.sampling_strategy = sampling_strategy
        self.random_state = random_state
        self.value_range = value_range
        self.accept = accept

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:  # noqa: N803 (scikit-learn's name)
        """Check the data and settle how many images each class is to get; draws nothing.

        Args:
            X: As for ``fit_resample``.
            y: As for ``fit_resample``.

        Returns:
            The sampler itself, with ``sampling_strategy_`` and ``classes_`` set.

        Raises:
            DataError: As for ``fit_resample``.
            ValueError: As for ``fit_resample``.
        """
        images, labels = _checked(X, y)
        self._require_shape(images)
        self._settle(labels)
        return self

    def fit_resample(
        self,
        X: ArrayLike,  # noqa: N803 (scikit-learn's name)
        y: ArrayLike,
    ) -> tuple[Any, Any]:
        """Append synthetic images, class after class.

        Args:
            X: Images, shape (N, C*H*W) as the source's images flattened, (N, H, W), (N, C, H, W) or
                (N, H, W, C); a DataFrame of flattened images too.
            y: Labels, shape (N,): class names of the source, or numbers whose text is one.

        Returns:
            The given images followed by the synthetic ones, in the shape and type of ``X``, and
            their labels. DataFrames and Series stay what they are, with a new index from 0.

        Raises:
            DataError: If a label is not a class of the source, or the source was trained on images
                that are not among the given ones.
            ValueError: If the shapes do not fit the source, the range of ``X`` must be said, or the
                strategy is wrong.
        """
        images, labels = _checked(X, y)
        shape, seed = self._require_shape(images), self._seed()
        low, high = self.value_range or _usual_range(images)
        if self.source is None or self.trained_on is not None:
            x = _as_source_has_them(images, shape, low, high)
            if self.source is None:
                self._train(x, labels, seed)
            else:
                self._refuse_others_seen(x)
        added = self._settle(labels)
        made = synthesize(self.source_, added, seed, self.accept)
        pixels = low + (made.x.numpy() + 1.0) * ((high - low) / 2)
        if _channels_last(images, shape):
            pixels = pixels.transpose(0, 2, 3, 1)
        pixels = pixels.reshape(-1, *images.shape[1:])
        if not np.issubdtype(images.dtype, np.floating):
            pixels = pixels.round()
        label_of = dict(zip(self._source_classes(), self.classes_, strict=True))
        new_labels = np.array([label_of[index] for index in made.y.tolist()], dtype=labels.dtype)
        return (
            _like(X, np.concatenate([images, pixels.astype(images.dtype)])),
            _like(y, np.concatenate([labels, new_labels])),
        )

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        for name in ("source", "source_"):
            if isinstance(state.get(name), nn.Module):
                state = state | {name: _picklable(state[name])}
        return state

    def _require_shape(self, images: NDArray[Any]) -> tuple[int, int, int]:
        """(C, H, W) of the source's images, which those given must fit; sets ``source_``."""
        if (self.source is None) == (self.family is None):
            raise ValueError("give either a trained source or the family of one to train")
        if self.source is not None:
            self.source_: SampleSource = self.source
            shape = self.source.image_shape
        else:
            shape = self.image_shape or _shape_of(images)
        _check_shape(images, shape)
        return shape

    def _train(self, x: torch.Tensor, labels: NDArray[Any], seed: int) -> None:
        """Train ``source_`` on images in [-1, 1]."""
        if self.family not in FAMILIES:
            raise ValueError(f"unknown family {self.family!r}; known: {', '.join(FAMILIES)}")
        family = FAMILIES[self.family]
        options = family.options_for("default", self.options or {})
        known, y = np.unique(labels, return_inverse=True)
        images = LabelledImages(x, torch.from_numpy(y), tuple(map(_name, known.tolist())))
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            model = family.build(images.classes, images.image_shape, options)
        average = averaged(model, options.ema_decay)
        batches = Batches(images, self.batch_size, seed, power=0.5)
        for _ in fit(family.trainer(model), average, batches, steps=self.steps, seed=seed):
            pass
        self.source_ = cast(SampleSource, average.module.eval())

    def _refuse_others_seen(self, x: torch.Tensor) -> None:
        others = np.setdiff1d(cast(NDArray[np.int64], self.trained_on), fingerprints(x))
        if len(others):
            raise DataError(
                f"the source was trained on {len(others)} images that are not among the {len(x)} "
                "given ones; in a cross-validation these are the images of the score: give "
                'family="cvae_gan" to train a source per fold, or one trained on this part only'
            )

    def _settle(self, labels: NDArray[Any]) -> dict[int, int]:
        """Images to add per class of the source; sets the fitted attributes."""
        self.classes_, counts = np.unique(labels, return_counts=True)
        strategy = self.sampling_strategy
        if isinstance(strategy, Mapping):
            strategy = {_name(label): n for label, n in strategy.items()}
        seen = self.classes_.tolist()
        added = resolve_counts(
            strategy, dict(enumerate(counts.tolist())), [_name(label) for label in seen]
        )
        self.sampling_strategy_ = {seen[i]: n for i, n in added.items() if n}
        return {index: added[i] for i, index in enumerate(self._source_classes())}

    def _source_classes(self) -> list[int]:
        """The source's index of every label in ``classes_``."""
        names, known = [_name(label) for label in self.classes_.tolist()], self._classes()
        if unknown := {name for name in names if name not in known}:
            raise DataError(
                f"the source has no class for the labels {listed(unknown)}: it knows "
                f"{listed(known)}; "
                f"give labels by these names, or a source trained on these classes"
            )
        return [known.index(name) for name in names]

    def _classes(self) -> tuple[str, ...]:
        """Classes of the source; of one still to be trained, those of the labels."""
        if self.source is None:
            return tuple(map(_name, self.classes_.tolist()))
        return tuple(self.source.classes)

    def _seed(self) -> int:
        if isinstance(self.random_state, int | np.integer):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(2**31))


def _checked(images: ArrayLike, labels: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    x, y = np.asarray(images), np.asarray(labels)
    if hasattr(labels, "columns") and y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]  # a DataFrame of one column
    if x.ndim not in (2, 3, 4) or y.shape != x.shape[:1] or not len(y):
        raise ValueError(
            f"X must be (N, C*H*W), (N, H, W) or (N, C, H, W) and y (N,), got {x.shape} and "
            f"{y.shape}"
        )
    if not np.issubdtype(x.dtype, np.number) or not np.isfinite(x).all():
        raise ValueError("X must hold finite numbers")
    return x, y


def _shape_of(images: NDArray[Any]) -> tuple[int, int, int]:
    """(C, H, W) of images for a source that is still to be trained."""
    if images.ndim == 3:
        return (1, images.shape[1], images.shape[2])
    if images.ndim == 4 and images.shape[1] in (1, 3):
        return (images.shape[1], images.shape[2], images.shape[3])
    if images.ndim == 4 and images.shape[3] in (1, 3):
        return (images.shape[3], images.shape[1], images.shape[2])
    raise ValueError(
        f"X of shape {images.shape} does not tell channels, height and width: say image_shape"
    )


def _check_shape(images: NDArray[Any], image_shape: tuple[int, int, int]) -> None:
    channels, height, width = image_shape
    fitting: dict[int, tuple[Any, ...]] = {
        2: ((channels * height * width,),),
        3: ((height, width),) if channels == 1 else (),
        4: (tuple(image_shape), (height, width, channels)),
    }
    if images.shape[1:] not in fitting[images.ndim]:
        raise ValueError(
            f"images of shape {images.shape[1:]} do not fit the source, which renders {image_shape}"
        )


def _channels_last(images: NDArray[Any], image_shape: tuple[int, int, int]) -> bool:
    return images.ndim == 4 and images.shape[1:] != tuple(image_shape)


def _as_source_has_them(
    images: NDArray[Any], shape: tuple[int, int, int], low: float, high: float
) -> torch.Tensor:
    """Float32 (N, C, H, W) in [-1, 1]."""
    if _channels_last(images, shape):
        images = images.transpose(0, 3, 1, 2)
    scaled = (images.reshape(-1, *shape).astype(np.float64) - low) * (2 / (high - low)) - 1
    return torch.from_numpy(scaled.astype(np.float32))


def _picklable(source: nn.Module) -> nn.Module:
    """A copy that renders the same: torch pickles no module with a spectral norm, as a
    discriminator has, so that its weights are kept as they are now.
    """
    plain = copy.deepcopy(source)
    for module in list(plain.modules()):
        if parametrize.is_parametrized(module):
            for name in list(cast(nn.ModuleDict, module.parametrizations)):
                parametrize.remove_parametrizations(module, name, leave_parametrized=True)
    return plain


def _like(given: Any, values: NDArray[Any]) -> Any:
    """Values as a DataFrame or Series where the given ones were; told without importing pandas."""
    if hasattr(given, "columns"):
        table = type(given)(values.reshape(len(values), -1), columns=given.columns)
        return table.astype(dict(given.dtypes))
    if hasattr(given, "to_frame"):
        return type(given)(values, name=given.name, dtype=given.dtype)
    return values


def _usual_range(images: NDArray[Any]) -> tuple[float, float]:
    if images.dtype == np.uint8:
        return 0, 255
    low, high = float(images.min()), float(images.max())
    if not np.issubdtype(images.dtype, np.floating) or low < -1 or high > 1:
        raise ValueError(
            f"X holds numbers from {low:g} to {high:g}: say what black and white are by value_range"
        )
    return (0, 1) if low >= 0 else (-1, 1)


def _name(label: Any) -> str:
    """A label as a class name; whole floats as y often holds them lose their point."""
    return str(int(label)) if isinstance(label, float) and label.is_integer() else str(label)
