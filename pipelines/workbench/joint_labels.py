"""Labels for a pool from a classifier and a class-conditional generator together, or from two
classifiers.

A classifier that learns from its own labels repeats its errors. A generator that learned from the
same labels errs elsewhere: it has to explain every pixel, and an image with a wrong label is
unlikely under that class. Their class probabilities are multiplied, and both learn from what comes
out. Another classifier in the generator's place is the control.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from augmentor.common.randomness import seed_for
from augmentor.common.types import DataError, DensitySource, LabelledImages
from augmentor.quality.class_likelihood import class_bounds, tempered
from downstream.consistency import pseudo_labels
from downstream.trainer import ClassifierTrainer
from pipelines.config import PoolConfig, SourceConfig
from pipelines.generators.in_memory import at_side, train_generator
from pipelines.pool import label_pool, teacher_logits


@dataclass(frozen=True)
class CoLabeller:
    """Labels a pool by two models together.

    Args:
        train: Labelled images.
        pool: Unlabelled images, float32 (M, C, H, W) in [-1, 1], M >= 1.
        settings: ``joint_rounds``, ``joint_steps``, ``joint_options``, threshold and balance.
        source: Batch size of the CVAE.
        trainer: Of the classifiers.
        seed: Decides all weights, batches and draws.
        check: Called after every step; may raise to stop.
    """

    train: LabelledImages
    pool: Tensor
    settings: PoolConfig
    source: SourceConfig
    trainer: ClassifierTrainer
    seed: int
    check: Callable[[], None] | None = None

    def labelled(self, *, generator: bool) -> LabelledImages:
        """The images of the pool that both models together are sure of, with their labels.

        The first labels are those of ``pool.label_pool`` in one round. In each of
        ``joint_rounds`` rounds a classifier learns from the labels so far, the second model from
        that classifier's, and their class probabilities are multiplied; the second's are on
        average as sure as the classifier's.

        Args:
            generator: Whether the second model is a CVAE, asked under which class it finds an
                image the likeliest; else it is a classifier with other first weights and batches.

        Returns:
            At most M images, if ``settings.balanced`` at most an equal share in each class.

        Raises:
            DivergedError: If the training of the CVAE stops being finite.
        """
        once = self.settings.model_copy(update={"rounds": 1})
        known = label_pool(self.train, self.pool, once, self.trainer, self.seed, self.check)
        for number in range(1, self.settings.joint_rounds + 1):
            logits = self._classifier(known, seed_for("first model", self.seed, number))
            known = self._sure(logits)
            second_seed = seed_for("second model", self.seed, number)
            if generator:
                second = self._bounds(known, second_seed)
            else:
                second = self._classifier(known, second_seed)
            known = self._sure(product(logits, second))
        return known

    def with_generator(self, logits: Tensor) -> Tensor:
        """A classifier's opinion of the pool times that of a CVAE that learned from its labels.

        Args:
            logits: The classifier's, (M, K).

        Returns:
            Log-probabilities but for a constant, float64 (M, K).
        """
        bounds = self._bounds(self._sure(logits), seed_for("second model", self.seed))
        return product(logits, bounds)

    def _classifier(self, known: LabelledImages, seed: int) -> Tensor:
        images = self.train.joined(known)
        return teacher_logits(images, self.pool, self.settings, self.trainer, seed, self.check)

    def _sure(self, logits: Tensor) -> LabelledImages:
        s = self.settings
        indices, labels = pseudo_labels(logits, s.threshold, balanced=s.balanced)
        return LabelledImages(self.pool[indices], labels, self.train.classes)

    def _bounds(self, known: LabelledImages, seed: int) -> Tensor:
        source = train_generator(
            self.train.joined(known),
            cvae_settings(self.source, self.settings),
            seed,
            device=self.trainer.device,
            check=self.check,
        )
        if not isinstance(source, DensitySource):
            raise DataError("joint labels need a family with a likelihood")
        return class_bounds(source, at_side(self.pool, source.image_shape[1]), seed)


def product(logits: Tensor, second: Tensor) -> Tensor:
    """Two opinions multiplied, of which the second is made as sure as the first is on average.

    Args:
        logits: Of a classifier, (N, K), N >= 1.
        second: Logits or log-likelihoods of another model, (N, K), at any temperature.

    Returns:
        Log-probabilities but for a constant per row, float64 (N, K).
    """
    opinion = logits.double().log_softmax(dim=1)
    return opinion + tempered(second, float(opinion.exp().amax(dim=1).mean()))


def cvae_settings(source: SourceConfig, pool: PoolConfig) -> SourceConfig:
    """How the CVAE that labels is trained: its own steps and options, the generator's batches."""
    changes = {
        "family": "cvae",
        "preset": "default",
        "options": pool.joint_options,
        "steps": pool.joint_steps,
        "source_augment": "none",
    }
    return source.model_copy(update=changes)
