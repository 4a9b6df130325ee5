"""A sampler in imbalanced-learn's manner that adds synthetic images instead of interpolated
ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state

from augmentor.common.types import DataError, SampleSource
from augmentor.data.class_counts import Strategy, resolve_counts
from augmentor.data.class_names import listed
from augmentor.sampling.synthesize import Accept, synthesize


class GanOverSampler(BaseEstimator):  # type: ignore[misc]
    """Balance the classes of images with a trained source: ``fit_resample(X, y)``, also inside
    imblearn's ``Pipeline``.

    The source must be trained on the training part only; in a cross-validation that means one
    source per fold, or the score is of images the source has seen.

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

    Attributes:
        sampling_strategy_: Images added per label, for labels that got some.
        classes_: Labels seen, sorted.

    Example:
        >>> sampler = GanOverSampler(source, random_state=0)  # doctest: +SKIP
        >>> balanced = make_pipeline(sampler, LogisticRegression())  # doctest: +SKIP
        >>> balanced.fit(X, y)  # doctest: +SKIP
    """

    def __init__(
        self,
        source: SampleSource,
        *,
        sampling_strategy: Strategy = "auto",
        random_state: int | np.random.RandomState | None = None,
        value_range: tuple[float, float] | None = None,
        accept: Accept | None = None,
    ) -> None:
        self.source = source
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
        self._settle(images, labels)
        return self

    def fit_resample(
        self,
        X: ArrayLike,  # noqa: N803 (scikit-learn's name)
        y: ArrayLike,
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Append synthetic images, class after class.

        Args:
            X: Images, shape (N, C*H*W) as the source's images flattened, (N, H, W) or (N, C, H, W).
            y: Labels, shape (N,): class names of the source, or numbers whose text is one.

        Returns:
            The given images followed by the synthetic ones, in the shape and type of ``X``, and
            their labels.

        Raises:
            DataError: If a label is not a class of the source.
            ValueError: If the shapes do not fit the source, the range of ``X`` must be said, or the
                strategy is wrong.
        """
        images, labels = _checked(X, y)
        added = self._settle(images, labels)
        made = synthesize(self.source, added, self._seed(), self.accept)
        low, high = self.value_range or _usual_range(images)
        pixels = (low + (made.x.numpy() + 1.0) * ((high - low) / 2)).reshape(-1, *images.shape[1:])
        if not np.issubdtype(images.dtype, np.floating):
            pixels = pixels.round()
        label_of = dict(zip(self._source_classes(), self.classes_, strict=True))
        new_labels = np.array([label_of[index] for index in made.y.tolist()], dtype=labels.dtype)
        return np.concatenate([images, pixels.astype(images.dtype)]), np.concatenate(
            [labels, new_labels]
        )

    def _settle(self, images: NDArray[Any], labels: NDArray[Any]) -> dict[int, int]:
        """Images to add per class of the source; sets the fitted attributes."""
        _check_shape(images, self.source.image_shape)
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
        names, known = [_name(label) for label in self.classes_.tolist()], self.source.classes
        if unknown := {name for name in names if name not in known}:
            raise DataError(
                f"the source has no class for the labels {listed(unknown)}: it knows "
                f"{listed(known)}; "
                f"give labels by these names, or a source trained on these classes"
            )
        return [known.index(name) for name in names]

    def _seed(self) -> int:
        if isinstance(self.random_state, int | np.integer):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(2**31))


def _checked(images: ArrayLike, labels: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    x, y = np.asarray(images), np.asarray(labels)
    if x.ndim not in (2, 3, 4) or y.shape != x.shape[:1] or not len(y):
        raise ValueError(
            f"X must be (N, C*H*W), (N, H, W) or (N, C, H, W) and y (N,), got {x.shape} and "
            f"{y.shape}"
        )
    if not np.issubdtype(x.dtype, np.number) or not np.isfinite(x).all():
        raise ValueError("X must hold finite numbers")
    return x, y


def _check_shape(images: NDArray[Any], image_shape: tuple[int, int, int]) -> None:
    channels, height, width = image_shape
    fitting = {
        2: (channels * height * width,),
        3: (height, width) if channels == 1 else None,
        4: image_shape,
    }
    if images.shape[1:] != fitting[images.ndim]:
        raise ValueError(
            f"images of shape {images.shape[1:]} do not fit the source, which renders {image_shape}"
        )


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
