"""A sampler in imbalanced-learn's manner that adds synthetic images instead of interpolated
ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, OneToOneFeatureMixin
from sklearn.utils import check_random_state
from torch import nn

from augmentor.common.picklable import picklable
from augmentor.common.types import DataError, LabelledImages, SampleSource, record_of
from augmentor.data.array_form import (
    as_given,
    as_tensor,
    checked,
    class_name,
    images_like,
    labelled,
    labels_like,
    range_of,
    require_shape,
    shape_of,
)
from augmentor.data.class_counts import Strategy, resolve_counts
from augmentor.data.class_names import listed
from augmentor.data.fingerprint import fingerprints
from augmentor.sampling.synthesize import Accept, synthesize
from augmentor.trained import trained_model


class GanOverSampler(OneToOneFeatureMixin, BaseEstimator):  # type: ignore[misc]
    """Balance the classes of images with a source: ``fit_resample(X, y)``, also inside imblearn's
    ``Pipeline``.

    Give a ``family``, and every ``fit_resample`` trains a source of its own on the images it gets:
    in a cross-validation one per fold, which has not seen the images of the score. Or give a
    trained ``source``; it must be trained on the training part only. A source that saw some of the
    given images and others too is refused: in a cross-validation the others are the images of the
    score. What it saw stands in its record, where ``augmentor.train`` or ``augmentor.load`` made
    it; of other sources say it by ``trained_on``. Only equal pixels are recognised: a source that
    learned the images in another size or form, and so saw none of the given ones, passes.

    Args:
        source: A trained source, such as ``augmentor.load(run)``. Its classes are matched with
            ``str(label)``; it may lack classes that get no images.
        sampling_strategy: As ``data.class_counts.resolve_counts`` takes it: ``"auto"``,
            ``"minority"``, ``"not majority"``, ``"not minority"``, ``"all"``, images per class, a
            ratio to the largest class, or ``{label: images in all}``. Or, as in imbalanced-learn,
            a function that makes such a dict from ``y``.
        random_state: Seed, ``RandomState`` or ``None`` for a new draw each time.
        value_range: What black and white are in ``X``. By default 0 and 255 for uint8, 0 and 1 for
            floats in [0, 1], -1 and 1 for floats in [-1, 1]; anything else has to be said.
        accept: A filter, such as ``sampling.filters.confidence_filter``; the source's images that
            pass are added.
        family: Instead of a source: the family of ``augmentor.families.FAMILIES`` to train.
        steps: Steps of that training.
        batch_size: Images per step.
        device: Where it is trained and renders, such as ``cuda``.
        options: Options of the family that differ from its defaults.
        image_shape: (C, H, W) of flattened images, for a family; a source knows its own.
        trained_on: Fingerprints of the images that ``source`` was trained on, int64 (M,), as
            ``augmentor.data.fingerprint.fingerprints`` gives them; then it is refused too where it
            saw others alone. None takes those of its record, if it has one. An empty array says
            that what it saw is scored nowhere.

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

    feature_names_in_: NDArray[Any]

    def __init__(
        self,
        source: SampleSource | None = None,
        *,
        sampling_strategy: Strategy | Callable[[NDArray[Any]], Strategy] = "auto",
        random_state: int | np.random.RandomState | None = None,
        value_range: tuple[float, float] | None = None,
        accept: Accept | None = None,
        family: str | None = None,
        steps: int = 2000,
        batch_size: int = 64,
        device: str = "cpu",
        options: Mapping[str, Any] | None = None,
        image_shape: tuple[int, int, int] | None = None,
        trained_on: NDArray[np.int64] | None = None,
    ) -> None:
        self.source = source
        self.family = family
        self.steps = steps
        self.batch_size = batch_size
        self.device = device
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
        images, labels = checked(X, y)
        self._remember_features(X, images)
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
                (N, H, W, C); a list, or a DataFrame of flattened images, too.
            y: Labels, shape (N,): class names of the source, or numbers whose text is one. Or a
                column of zeros and ones per class.

        Returns:
            The given images followed by the synthetic ones, in the shape and type of ``X``, and
            their labels. Lists, DataFrames and Series stay what they are, with a new index from 0.

        Raises:
            DataError: If a label that is to get images is not a class of the source, or the source
                was trained on images that are not among the given ones, as the class says.
            ValueError: If the shapes do not fit the source, the range of ``X`` must be said or is
                another one, there is one class only, or the strategy is wrong.
        """
        images, labels = checked(X, y)
        self._remember_features(X, images)
        shape, seed = self._require_shape(images), self._seed()
        black_white = range_of(images, self.value_range)
        added = self._settle(labels)
        if self.source is None:
            self._train(labelled(images, labels, shape, black_white), seed)
        elif (seen := self._seen()) is not None:
            self._refuse_others_seen(as_tensor(images, shape, black_white), seen)
        made = synthesize(self.source_, added, seed, self.accept)
        pixels = as_given(made.x, images, black_white)
        label_of = {known: label for label, known in self._source_classes().items()}
        new_labels = np.array([label_of[index] for index in made.y.tolist()], dtype=labels.dtype)
        return (
            images_like(X, np.concatenate([images, pixels])),
            labels_like(y, np.concatenate([labels, new_labels])),
        )

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        for name in ("source", "source_"):
            if isinstance(state.get(name), nn.Module):
                state = state | {name: picklable(state[name])}
        return state

    def __sklearn_tags__(self) -> Any:
        from imblearn.utils._tags import InputTags, SamplerTags, Tags
        from sklearn.utils import TargetTags

        return Tags(
            estimator_type="sampler",
            target_tags=TargetTags(required=True),
            input_tags=InputTags(two_d_array=True, three_d_array=True, dataframe=True),
            sampler_tags=SamplerTags(),
        )

    def _remember_features(self, given: Any, images: NDArray[Any]) -> None:
        """Set what ``get_feature_names_out`` reads: numbers per image, and the columns' names."""
        self.n_features_in_ = int(np.prod(images.shape[1:]))
        if hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        columns = list(getattr(given, "columns", ()))
        if columns and all(isinstance(name, str) for name in columns):
            self.feature_names_in_ = np.array(columns, dtype=object)

    def _require_shape(self, images: NDArray[Any]) -> tuple[int, int, int]:
        """(C, H, W) of the source's images, which those given must fit; sets ``source_``."""
        if (self.source is None) == (self.family is None):
            raise ValueError("give either a trained source or the family of one to train")
        if self.source is not None:
            self.source_: SampleSource = self.source
            shape = self.source.image_shape
        else:
            shape = self.image_shape or shape_of(images)
        require_shape(images, shape)
        return shape

    def _train(self, images: LabelledImages, seed: int) -> None:
        """Train ``source_`` on images in [-1, 1]."""
        found = trained_model(
            images,
            cast(str, self.family),
            "default",
            self.options or {},
            seed,
            steps=self.steps,
            batch_size=self.batch_size,
            device=self.device,
        )
        self.source_ = cast(SampleSource, found)

    def _seen(self) -> NDArray[np.int64] | None:
        """Fingerprints of what the given source was trained on; None where that is not known."""
        if self.trained_on is not None:
            return self.trained_on
        record = record_of(cast(SampleSource, self.source))
        return None if record is None else record.trained_on

    def _refuse_others_seen(self, x: torch.Tensor, seen: NDArray[np.int64]) -> None:
        others = np.setdiff1d(seen, fingerprints(x))
        by_itself = self.trained_on is None  # a record may be that of images in another form
        if not len(others) or (by_itself and len(others) == len(np.unique(seen))):
            return
        raise DataError(
            f"the source was trained on {len(others)} images that are not among the {len(x)} "
            "given ones; in a cross-validation these are the images of the score: give "
            'family="cvae_gan" to train a source per fold, or one trained on this part only. '
            "If they are scored nowhere, give an empty array as trained_on"
        )

    def _settle(self, labels: NDArray[Any]) -> dict[int, int]:
        """Images to add per class of the source that gets some; sets the fitted attributes."""
        self.classes_, counts = np.unique(labels, return_counts=True)
        if len(self.classes_) < 2:
            raise ValueError("y holds a single class; give labels of two classes at least")
        strategy = self.sampling_strategy
        if callable(strategy):
            strategy = strategy(labels)
        if isinstance(strategy, Mapping):
            strategy = {class_name(label): n for label, n in strategy.items()}
        seen = self.classes_.tolist()
        added = resolve_counts(
            strategy, dict(enumerate(counts.tolist())), [class_name(label) for label in seen]
        )
        self.sampling_strategy_ = {seen[i]: n for i, n in added.items() if n}
        known = self._source_classes()
        return {known[label]: n for label, n in self.sampling_strategy_.items()}

    def _source_classes(self) -> dict[Any, int]:
        """The source's index of every label that gets images."""
        names = {label: class_name(label) for label in self.sampling_strategy_}
        known = self._classes()
        if unknown := {name for name in names.values() if name not in known}:
            raise DataError(
                f"the source has no class for the labels {listed(unknown)}: it knows "
                f"{listed(known)}; "
                f"give labels by these names, or a source trained on these classes"
            )
        return {label: known.index(name) for label, name in names.items()}

    def _classes(self) -> tuple[str, ...]:
        """Classes of the source; of one still to be trained, those of the labels."""
        if self.source is None:
            return tuple(map(class_name, self.classes_.tolist()))
        return tuple(self.source.classes)

    def _seed(self) -> int:
        if isinstance(self.random_state, int | np.integer):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(2**31))
