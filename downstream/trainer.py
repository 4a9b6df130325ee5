"""One way to train a classifier: the network, its settings and its augmentation, for every job."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from augmentor.common.types import LabelledImages
from downstream.augment import Augment, Mix
from downstream.augmentations import AUGMENTATIONS, image_augmentation, pair_mix
from downstream.classifier import AS_TIMM_SAYS, build_classifier
from downstream.frozen_features import (
    PLAIN,
    FrozenNetwork,
    HeadOnFeatures,
    Views,
    feature_mix,
    random_view,
)
from downstream.heads import Margin
from downstream.input_form import InputChoice
from downstream.losses import (
    Loss,
    class_balanced_cross_entropy,
    effective_number_weights,
    logit_adjusted_cross_entropy,
)
from downstream.side_by_side import Single, train_side_by_side
from downstream.train import TrainSettings, train_classifier

OnStep = Callable[[int, float], None]
"""Called after every step with the steps done and the loss; may raise to stop the training."""

LOSSES = ("cross_entropy", "class_balanced", "logit_adjusted")


@dataclass(frozen=True)
class Lesson:
    """What a training loop gets.

    Args:
        model: What learns: a network of images, or a last layer of features.
        x: Images (N, C, H, W), or features of V views of each, (N, V, F, 1).
        augment: Of what is drawn.
        mix: Of what is drawn, in pairs.
    """

    model: nn.Module
    x: Tensor
    augment: Augment | None
    mix: Mix | None


@dataclass(frozen=True)
class Training:
    """What one of several classifiers is trained on; see ``ClassifierTrainer.train``.

    Args:
        images: Training images.
        seed: Decides first weights, order and augmentation.
        draw_weights: How often each image is drawn, (N,), any scale; None is equally often.
        augment: Names of ``AUGMENTATIONS``, in this order.
        factor: On ``strength``, for the augmentations that have one.
        loss: One of ``LOSSES``.
        tau: Strength of ``logit_adjusted``.
        on_step: As in ``OnStep``.
    """

    images: LabelledImages
    seed: int
    draw_weights: Tensor | None = None
    augment: Sequence[str] = ()
    factor: float = 1.0
    loss: str = "cross_entropy"
    tau: float = 1.0
    on_step: OnStep | None = None


@dataclass(frozen=True)
class ClassifierTrainer:
    """How every classifier of an experiment is built and trained.

    Args:
        network: ``auto`` (a small network for the image size) or a name of timm's.
        settings: Steps, batch size, rates.
        domain: Of the augmentation: ``digits`` never flips, ``natural`` does.
        strength: Of the classical augmentation, 0 or more.
        device: Where it trains, as torch names it.
        weights: File with weights to begin with; None begins with random ones.
        pretrained: Begin with timm's own trained weights.
        choice: What of the network's input form timm's data config does not decide.
        part: What learns: ``all`` of the network, or its last layer (``head``) on features that
            are computed once (``frozen_features``).
        views: Versions of every image that a last layer learns from, the plain one among them.
        cache: Folder where features are kept; None keeps them in memory.
        side_by_side: Classifiers that are trained at the same time, at most, where several are
            asked for at once.

    Example:
        >>> images = LabelledImages(torch.zeros(4, 1, 8, 8), torch.tensor([0, 1, 0, 1]), ("a", "b"))
        >>> trainer = ClassifierTrainer(settings=TrainSettings(steps=2, batch_size=2))
        >>> trainer.train(images, seed=0)(images.x).shape
        torch.Size([4, 2])
    """

    network: str = "auto"
    settings: TrainSettings = field(default_factory=TrainSettings)
    domain: str = "natural"
    strength: float = 1.0
    device: str = "cpu"
    weights: Path | None = None
    pretrained: bool = False
    choice: InputChoice = AS_TIMM_SAYS
    part: str = "all"
    views: int = 4
    cache: Path | None = None
    side_by_side: int = 1

    @property
    def begins_trained(self) -> bool:
        """Whether the network begins with trained weights."""
        return self.pretrained or self.weights is not None

    @property
    def has_form(self) -> bool:
        """Whether the network sees images in an ``input_form``, not as they are."""
        return self.begins_trained or self.choice != AS_TIMM_SAYS

    def build(self, images: LabelledImages, seed: int) -> nn.Module:
        """An untrained network for the classes and the shape of ``images``, on the device.

        Raises:
            OSError: If the file of weights cannot be opened.
            ValueError: If timm does not know the network, it cannot take such images, or the
                weights are not to be had or another's.
        """
        model = build_classifier(
            self.network,
            len(images.classes),
            images.image_shape,
            seed=seed,
            pretrained=self.pretrained,
            checkpoint_path=self.weights,
            choice=self.choice,
        )
        model = model.to(self.device)
        return self._frozen(model, images) if self.part == "head" else model

    def _frozen(self, model: nn.Module, images: LabelledImages) -> FrozenNetwork:
        if not self.begins_trained:
            raise ValueError(
                "train: head leaves all but the last layer as it begins, and it begins with random "
                "weights; give --pretrained or --weights, or train all"
            )
        frozen = FrozenNetwork(model, self.cache)
        frozen.require_plain_head(torch.zeros(1, *images.image_shape, device=self.device))
        return frozen

    def lesson(
        self,
        model: nn.Module,
        images: LabelledImages,
        augment: Sequence[str] = (),
        factor: float = 1.0,
        on_step: OnStep | None = None,
    ) -> Lesson:
        """What a training loop gets: the images and the network, or features and the last layer.

        Args:
            model: Of ``build``.
            images: Training images.
            augment: Names of ``AUGMENTATIONS``, in this order.
            factor: On ``strength``, for the augmentations that have one.
            on_step: Called with 0 steps while features are computed; may raise to stop.

        Raises:
            ValueError: If a name is unknown.
        """
        pictures = self.augmentation(augment, factor)
        if not isinstance(model, FrozenNetwork):
            return Lesson(model, images.x, pictures, pair_mix(augment))
        views, learner = PLAIN, HeadOnFeatures(model.get_classifier())
        if pictures is not None:
            singles = [name for name in augment if AUGMENTATIONS[name].of_images is not None]
            words = f"{'+'.join(singles)} {self.domain} {self.strength * factor:g}"
            views = Views(pictures, words, self.views)
        tell = None if on_step is None else partial(on_step, 0, 0.0)
        x = model.features(images.x, views, tell)[..., None]
        return Lesson(learner, x, random_view if views.count > 1 else None, feature_mix(augment))

    def augmentation(self, names: Sequence[str], factor: float = 1.0) -> Augment | None:
        """The augmentations of single images among ``names``; ``factor`` is on ``strength``."""
        return image_augmentation(names, self.domain, self.strength * factor)

    def with_steps(self, steps: int) -> ClassifierTrainer:
        """The same trainer with another number of steps."""
        return replace(self, settings=replace(self.settings, steps=steps))

    def train(
        self,
        images: LabelledImages,
        seed: int,
        *,
        draw_weights: Tensor | None = None,
        augment: Sequence[str] = (),
        factor: float = 1.0,
        loss: str = "cross_entropy",
        tau: float = 1.0,
        model: nn.Module | None = None,
        margin: Margin | None = None,
        on_step: OnStep | None = None,
    ) -> nn.Module:
        """Build a classifier, unless one is given, and train it.

        Args:
            images: Training images.
            seed: Decides first weights, order, augmentation and dropout.
            draw_weights: How often each image is drawn, (N,), any scale; None is equally often.
            augment: Names of ``AUGMENTATIONS``, in this order.
            factor: On ``strength``, for the augmentations that have one.
            loss: One of ``LOSSES``.
            tau: Strength of ``logit_adjusted``.
            model: The network to train further, in the place of a new one.
            margin: Turns outputs and classes into the logits of the loss.
            on_step: As in ``OnStep``; called with 0 steps while features are computed.

        Returns:
            The classifier in evaluation mode; it takes images, whatever of it learned.

        Raises:
            NonFiniteLossError: If the loss or a weight stops being finite.
            MemoryError: If the memory does not suffice; names a batch size to try.
            ValueError: If a name is unknown or the network cannot take such images.
        """
        with memory_for(self.settings.batch_size, "classifier.batch_size:"):
            model = self.build(images, seed) if model is None else model.to(self.device)
            lesson = self.lesson(model, images, augment, factor, on_step)
            train_classifier(
                lesson.model,
                lesson.x,
                images.y,
                self.settings,
                seed=seed,
                draw_weights=draw_weights,
                augment=lesson.augment,
                mix=lesson.mix,
                margin=margin,
                loss=loss_for(loss, images, draw_weights, tau),
                on_step=on_step,
            )
            return model.eval()

    def train_together(self, trainings: Sequence[Training]) -> list[nn.Module]:
        """Build and train several classifiers, ``side_by_side`` of them at a time.

        Args:
            trainings: What each is trained on: images of one shape and with the same classes.

        Returns:
            The classifiers in evaluation mode, in the order given. But for rounding, and for what
            dropout draws, each is what ``train`` makes.

        Raises:
            NonFiniteLossError: If a loss or a weight stops being finite; says which classifier's.
            MemoryError: If the memory does not suffice; names a batch size to try.
            ValueError: If a name is unknown or the network cannot take such images.
        """
        models, option = list[nn.Module](), "classifier.side_by_side, or classifier.batch_size:"
        for begin in range(0, len(trainings), self.side_by_side):
            lot = trainings[begin : begin + self.side_by_side]
            with memory_for(self.settings.batch_size, option):
                built = [self.build(one.images, one.seed) for one in lot]
                singles = [self._single(*pair) for pair in zip(lot, built, strict=True)]
                train_side_by_side(singles, self.settings)
            models += [model.eval() for model in built]
        return models

    def _single(self, training: Training, model: nn.Module) -> Single:
        images = training.images
        lesson = self.lesson(model, images, training.augment, training.factor, training.on_step)
        return Single(
            lesson.model,
            lesson.x,
            images.y,
            training.seed,
            training.draw_weights,
            lesson.augment,
            lesson.mix,
            loss_for(training.loss, images, training.draw_weights, training.tau),
            training.on_step,
        )


def loss_for(
    name: str, images: LabelledImages, draw_weights: Tensor | None = None, tau: float = 1.0
) -> Loss:
    """A loss for the class sizes of a training set.

    Args:
        name: One of ``LOSSES``.
        images: What is trained on.
        draw_weights: How often each image is drawn, (N,); None is equally often.
        tau: Strength of ``logit_adjusted``; the others have none.

    Raises:
        ValueError: If the name is unknown.
    """
    if name not in LOSSES:
        raise ValueError(f"unknown loss {name!r}; known: {', '.join(LOSSES)}")
    if name == "cross_entropy":
        return cross_entropy
    counts = torch.bincount(images.y, minlength=len(images.classes))
    if name == "class_balanced":
        return partial(class_balanced_cross_entropy, weights=effective_number_weights(counts))
    if draw_weights is not None:
        counts = torch.bincount(images.y, draw_weights, minlength=len(images.classes))
    return partial(logit_adjusted_cross_entropy, prior=counts, tau=tau)


@contextmanager
def memory_for(batch_size: int, option: str = "") -> Iterator[None]:
    """Name a batch size to try where the block runs out of memory; at two images, or where nothing
    sets it, smaller images.

    Args:
        batch_size: Images per step in the block.
        option: What sets it, as a user writes it, such as ``--batch-size``; empty if nothing does.

    Raises:
        MemoryError: If the device's memory does not suffice.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        # On the CPU torch has no class of its own for it.
        known = isinstance(error, torch.OutOfMemoryError | MemoryError)
        if not known and "t allocate memory" not in str(error):
            raise
        advice = "smaller images or a smaller network"
        if option and batch_size > 2:
            advice = f"{option} {max(2, batch_size // 2)}"
        raise MemoryError(
            f"not enough memory for {batch_size} images per step; try {advice}"
        ) from error
