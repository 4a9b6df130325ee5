"""Labels for a pool from a classifier and a class-conditional generator together, or from two
classifiers.

A classifier that learns from its own labels repeats its errors. A generator that learned from the
same labels errs elsewhere: it has to explain every pixel, and an image with a wrong label is
unlikely under that class. Their opinions are multiplied, and both learn from what comes out.
Another classifier in the generator's place is the control.
"""

from __future__ import annotations

from torch import Tensor

from augmentor.common.types import DataError, DensitySource, LabelledImages
from augmentor.quality.class_likelihood import class_bounds, tempered
from downstream.consistency import pseudo_labels
from pipelines.config import Config
from pipelines.interrupt import Watch
from pipelines.pool import label_pool, teacher_logits
from pipelines.source.train import train_source

OTHER = 10_000  # added to the seed of the second classifier


def joint_labels(
    train: LabelledImages,
    pool: Tensor,
    config: Config,
    seed: int,
    watch: Watch | None = None,
    *,
    generator: bool = True,
) -> LabelledImages:
    """The images of a pool that two models together are sure of, with their labels.

    The first labels are those of ``pool.label_pool`` in one round. In each of
    ``config.pool.joint_rounds`` rounds a classifier learns from the labels so far, a CVAE from that
    classifier's, and the CVAE is asked under which class it finds each image the likeliest; the
    probabilities of both are multiplied. The CVAE's are on average as sure as the classifier's.

    Args:
        train: Labelled images.
        pool: Unlabelled images, float32 (M, C, H, W) in [-1, 1], M >= 1.
        config: ``pool``, ``classifier``, ``source`` (batch size) and ``device`` are used.
        seed: Decides all weights, batches and draws.
        watch: Looked at after every step.
        generator: Whether the second model is a CVAE; else it is a classifier with other first
            weights and batches, which learns from the same labels.

    Returns:
        At most M images, if ``config.pool.balanced`` at most an equal share in each class.

    Raises:
        Interrupted: If ``watch`` was told to stop.
        DivergedError: If the training of the CVAE stops being finite.
    """
    one_round = config.model_copy(update={"pool": config.pool.model_copy(update={"rounds": 1})})
    known = label_pool(train, pool, one_round, seed, watch)
    for number in range(1, config.pool.joint_rounds + 1):
        logits = teacher_logits(train.joined(known), pool, config, seed + number, watch)
        known = _sure(pool, logits, config, train.classes)
        if generator:
            second = _bounds(train, known, pool, config, seed + number, watch)
        else:
            second = teacher_logits(train.joined(known), pool, config, seed + OTHER + number, watch)
        known = _sure(pool, product(logits, second), config, train.classes)
    return known


def second_opinion(
    train: LabelledImages,
    pool: Tensor,
    logits: Tensor,
    config: Config,
    seed: int,
    watch: Watch | None = None,
) -> Tensor:
    """What a classifier says of a pool times what a CVAE says that learned from its labels, as in
    ``joint_labels``.

    Args:
        train: Labelled images.
        pool: Unlabelled images, float32 (M, C, H, W) in [-1, 1], M >= 1.
        logits: The classifier's, (M, K).
        config: ``pool`` and ``source`` (batch size) and ``device`` are used.
        seed: Decides the CVAE.
        watch: Looked at after every step.

    Returns:
        Log-probabilities but for a constant, float64 (M, K).

    Raises:
        Interrupted: If ``watch`` was told to stop.
        DivergedError: If the training stops being finite.
    """
    known = _sure(pool, logits, config, train.classes)
    return product(logits, _bounds(train, known, pool, config, seed, watch))


def product(logits: Tensor, second: Tensor) -> Tensor:
    """Two opinions multiplied, of which the second is made as sure as the first is on average.

    Args:
        logits: Of a classifier, (N, K), N >= 1.
        second: Logits or log-likelihoods of another model, (N, K), at any temperature.

    Returns:
        Log-probabilities but for a constant a row, float64 (N, K).
    """
    opinion = logits.double().log_softmax(dim=1)
    return opinion + tempered(second, float(opinion.exp().amax(dim=1).mean()))


def _sure(pool: Tensor, logits: Tensor, config: Config, classes: tuple[str, ...]) -> LabelledImages:
    indices, labels = pseudo_labels(logits, config.pool.threshold, balanced=config.pool.balanced)
    return LabelledImages(pool[indices], labels, classes)


def _bounds(
    train: LabelledImages,
    known: LabelledImages,
    pool: Tensor,
    config: Config,
    seed: int,
    watch: Watch | None,
) -> Tensor:
    source = train_source(train, known, _of_cvae(config), seed, watch)
    if not isinstance(source, DensitySource):
        raise DataError("joint labels need a family with a likelihood")
    return class_bounds(source, pool, seed)


def _of_cvae(config: Config) -> Config:
    changes = {
        "family": "cvae",
        "preset": "default",
        "options": config.pool.joint_options,
        "steps": config.pool.joint_steps,
        "source_augment": "none",
    }
    return config.model_copy(update={"source": config.source.model_copy(update=changes)})
