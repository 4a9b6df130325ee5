"""Labels for unlabelled images, from a classifier that learned on the labelled ones or from a graph
over all.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from augmentor.common.types import LabelledImages
from downstream.classifier import build_classifier
from downstream.consistency import Advice, FixMatchSettings, pseudo_labels
from downstream.evaluate import predict_logits
from downstream.label_graph import invariant_graph, margins, spread_labels
from downstream.losses import logit_adjusted_cross_entropy
from downstream.train import balanced_weights, train_classifier
from pipelines.augmentation import augmentation_of, classical_of
from pipelines.config import Config
from pipelines.device import device_of, memory_for
from pipelines.interrupt import Watch, on_step
from pipelines.train_settings import train_settings

CLEAREST = 0.7  # share of every class of the graph's labels that is kept
ALONE, FADED = (
    1 / 7,
    2 / 3,
)  # shares of FixMatch's steps: on the graph's labels alone; until their weight is zero
# with a good start the unsure images are the informative ones; at 0.9 they are never learned
THRESHOLD = 0.7
WEIGHT_UNLABELLED = 6.0  # there are six times as many unlabelled images in a batch


def label_pool(
    train: LabelledImages, pool: Tensor, config: Config, seed: int, watch: Watch | None = None
) -> LabelledImages:
    """The images of a pool that a classifier is sure of, or a graph the clearest about, with their
    labels.

    The classifier learns from the labelled images with the augmentation of ``config.pool.augment``,
    and with class-balanced sampling or a loss for the long tail (``config.pool.loss``); from the
    second round on from the pseudo-labels of the round before too, and in the first from the
    clearest ones of a graph, if that is asked for (``config.pool.method``). Whoever compares with
    these labels must know that this augmentation is in them; so is the classical one in those of a
    graph, whose distance is that of the nearest augmented version.

    Args:
        train: Labelled images.
        pool: Unlabelled images, float32 (M, C, H, W) in [-1, 1].
        config: ``pool`` and ``classifier`` are used.
        seed: Decides the classifiers' weights and batches.
        watch: Looked at after every step of a classifier.

    Returns:
        At most M images; of a balanced classifier (``config.pool.balanced``) at most an equal share
        in each class.

    Raises:
        Interrupted: If ``watch`` was told to stop.
    """
    indices, labels = pool_labels(train, pool, config, seed, watch)
    return LabelledImages(pool[indices], labels, train.classes)


def pool_labels(
    train: LabelledImages, pool: Tensor, config: Config, seed: int, watch: Watch | None = None
) -> tuple[Tensor, Tensor]:
    """As ``label_pool``: the positions in the pool, int64 (n,), and the labels, int64 (n,)."""
    indices, labels = torch.empty(0, dtype=torch.int64), torch.empty(0, dtype=torch.int64)
    if config.pool.method != "classifier":
        of_graph, clear = graph_labels(train, pool, config, seed, CLEAREST)
        indices, labels = clear.nonzero().flatten(), of_graph[clear]
    for round_index in range(0 if config.pool.method == "graph" else config.pool.rounds):
        known = train.joined(LabelledImages(pool[indices], labels, train.classes))
        logits = teacher_logits(known, pool, config, seed + round_index, watch)
        indices, labels = pseudo_labels(
            logits, config.pool.threshold, balanced=config.pool.balanced
        )
    return indices, labels


def teacher_logits(
    known: LabelledImages, pool: Tensor, config: Config, seed: int, watch: Watch | None = None
) -> Tensor:
    """Logits (M, K) of a pool's images, by a classifier trained on the images known so far.

    Args:
        known: Labelled and pseudo-labelled images.
        pool: Unlabelled images, float32 (M, C, H, W) in [-1, 1].
        config: ``pool.loss``, ``pool.augment`` and ``classifier`` are used.
        seed: Decides the classifier's weights and batches.
        watch: Looked at after every step.

    Raises:
        Interrupted: If ``watch`` was told to stop.
    """
    c = config.classifier
    model = build_classifier(c.name, len(known.classes), known.image_shape, seed=seed).to(
        device_of(config)
    )
    settings = train_settings(c)
    adjusted, counts = (
        config.pool.loss == "logit_adjusted",
        torch.bincount(known.y, minlength=len(known.classes)),
    )
    with memory_for(c.batch_size, "classifier.batch_size:"):
        train_classifier(
            model,
            known.x,
            known.y,
            settings,
            seed=seed,
            weights=None if adjusted else balanced_weights(known.y, len(known.classes)),
            augment=augmentation_of(config, config.pool.augment),
            loss=partial(logit_adjusted_cross_entropy, prior=counts) if adjusted else cross_entropy,
            on_step=on_step(watch),
        )
    return predict_logits(model, pool)


def graph_labels(
    train: LabelledImages, pool: Tensor, config: Config, seed: int, share: float
) -> tuple[Tensor, Tensor]:
    """Labels that a graph over labelled and unlabelled images gives to the whole pool; no network
    is trained.

    Args:
        train: Labelled images.
        pool: Unlabelled images, float32 (M, C, H, W) in [-1, 1].
        config: ``classifier.domain`` and ``strength`` say which augmentation joins neighbours.
        seed: Draws the augmentations.
        share: Part of every class that counts as clear, in (0, 1].

    Returns:
        A label for every image of the pool, int64 (M,); and which are the clearest ones of their
        class, bool (M,).
    """
    graph = invariant_graph(torch.cat([train.x, pool]), classical_of(config), seed=seed)
    scores = spread_labels(graph, torch.arange(len(train)), train.y, len(train.classes))[
        len(train) :
    ]
    labels, lead = scores.argmax(dim=1), margins(scores)
    clear = torch.zeros(len(pool), dtype=torch.bool)
    for label in range(len(train.classes)):
        numbers = (labels == label).nonzero().flatten()
        order = lead[numbers].argsort(descending=True, stable=True)
        clear[numbers[order[: math.ceil(share * len(numbers))]]] = True
    return labels, clear


def begun_with(
    labels: Tensor, clear: Tensor, settings: FixMatchSettings
) -> tuple[FixMatchSettings, Advice]:
    """What FixMatch needs to begin with labels from elsewhere, such as those of ``graph_labels``.

    With a few labels a class, FixMatch's first labels are a network's guesses, and their errors
    stay; those of a graph of augmentation-invariant neighbours are better than any network's at
    that time. They are learned alone first, the clearest of them; then an image counts where they
    and the teacher agree or one of them is sure, and in the last third the teacher decides alone.

    Args:
        labels: A class for every unlabelled image, int64 (M,).
        clear: Which of them are the clearest, bool (M,).
        settings: Of FixMatch; ``steps`` and ``balanced`` stay.

    Returns:
        The settings with a threshold and a weight that suit the better start, and the labels.
    """
    advice = Advice(labels, clear, round(ALONE * settings.steps), round(FADED * settings.steps))
    return replace(settings, threshold=THRESHOLD, weight_unlabelled=WEIGHT_UNLABELLED), advice
