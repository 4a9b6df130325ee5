"""Labels for unlabelled images, from a classifier that learned on the labelled ones or from a graph
over all.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from augmentor.common.randomness import seed_for
from augmentor.common.types import LabelledImages
from downstream.consistency import pseudo_labels
from downstream.evaluate import predict_logits
from downstream.label_graph import invariant_graph, margins, spread_labels
from downstream.train import balanced_weights
from downstream.trainer import ClassifierTrainer
from pipelines.config import PoolConfig
from pipelines.experiment.parts import described

GRAPH_CODE = 2
"""Of the labels of a graph; raise it when the same settings give others."""
CLEAREST = 0.7  # share of every class of the graph's labels that is kept
Check = Callable[[], None]
"""Called after every step; raises to stop."""


def label_pool(
    train: LabelledImages,
    pool: Tensor,
    settings: PoolConfig,
    trainer: ClassifierTrainer,
    seed: int,
    check: Check | None = None,
) -> LabelledImages:
    """The images of a pool that a classifier is sure of, or a graph the clearest about, with their
    labels.

    The classifier learns from the labelled images with the augmentation ``settings.augment``, and
    with class-balanced draws or a loss for the long tail (``settings.loss``); from the second round
    on from the pseudo-labels of the round before too, and in the first from the clearest ones of a
    graph, if that is asked for (``settings.method``). The augmentation is therefore in these
    labels; the classical one is in those of a graph, whose distance is that of the nearest
    augmented version.

    Args:
        train: Labelled images.
        pool: Unlabelled images, float32 (M, C, H, W) in [-1, 1].
        settings: How the pool gets its labels.
        trainer: Of the classifiers; its domain and strength decide the graph's augmentation.
        seed: Decides the classifiers' weights and batches.
        check: Called after every step of a classifier; may raise to stop.

    Returns:
        At most M images; of a balanced classifier (``settings.balanced``) at most an equal share
        in each class.
    """
    indices, labels = pool_labels(train, pool, settings, trainer, seed, check)
    return LabelledImages(pool[indices], labels, train.classes)


def pool_labels(
    train: LabelledImages,
    pool: Tensor,
    settings: PoolConfig,
    trainer: ClassifierTrainer,
    seed: int,
    check: Check | None = None,
) -> tuple[Tensor, Tensor]:
    """As ``label_pool``: the positions in the pool, int64 (n,), and the labels, int64 (n,)."""
    indices, labels = torch.empty(0, dtype=torch.int64), torch.empty(0, dtype=torch.int64)
    if settings.method != "classifier":
        of_graph, clear = graph_labels(train, pool, trainer, seed, CLEAREST)
        indices, labels = clear.nonzero().flatten(), of_graph[clear]
    for number in range(0 if settings.method == "graph" else settings.rounds):
        known = train.joined(LabelledImages(pool[indices], labels, train.classes))
        round_seed = seed_for("pool", seed, number)
        logits = teacher_logits(known, pool, settings, trainer, round_seed, check)
        indices, labels = pseudo_labels(logits, settings.threshold, balanced=settings.balanced)
    return indices, labels


def teacher_logits(
    known: LabelledImages,
    pool: Tensor,
    settings: PoolConfig,
    trainer: ClassifierTrainer,
    seed: int,
    check: Check | None = None,
) -> Tensor:
    """Logits (M, K) of a pool's images, by a classifier trained on the images known so far.

    Args:
        known: Labelled and pseudo-labelled images.
        pool: Unlabelled images, float32 (M, C, H, W) in [-1, 1].
        settings: ``loss`` and ``augment`` are used.
        trainer: Of the classifier.
        seed: Decides its weights and batches.
        check: Called after every step; may raise to stop.
    """
    adjusted = settings.loss == "logit_adjusted"
    model = trainer.train(
        known,
        seed,
        draw_weights=None if adjusted else balanced_weights(known.y, len(known.classes)),
        augment=() if settings.augment == "none" else (settings.augment,),
        loss=settings.loss,
        on_step=None if check is None else lambda step, loss: check(),
    )
    return predict_logits(model, pool)


def pool_description(settings: PoolConfig) -> dict[str, Any]:
    """What decides over the labels of a pool, for the names of parts."""
    graph = {"graph_code": GRAPH_CODE} if settings.method != "classifier" else {}
    return {"pool": described(settings), **graph}


def graph_labels(
    train: LabelledImages, pool: Tensor, trainer: ClassifierTrainer, seed: int, share: float
) -> tuple[Tensor, Tensor]:
    """Labels that a graph over labelled and unlabelled images gives to the whole pool; no network
    is trained.

    Args:
        train: Labelled images.
        pool: Unlabelled images, float32 (M, C, H, W) in [-1, 1].
        trainer: Its classical augmentation joins neighbours.
        seed: Draws the augmentations.
        share: Part of every class that counts as clear, in (0, 1].

    Returns:
        A label for every image of the pool, int64 (M,), -1 where the graph links it with no
        labelled image or two classes tie; and which are the clearest of their class, bool (M,).
    """
    augment = trainer.augmentation(("classical",))
    assert augment is not None
    everything = torch.cat([train.x, pool])
    graph = invariant_graph(everything, augment, seed=seed_for("graph", seed))
    scores = spread_labels(graph, torch.arange(len(train)), train.y, len(train.classes))
    scores = scores[len(train) :]
    lead = margins(scores)
    labels = torch.where(lead > 0, scores.argmax(dim=1), -1)
    clear = torch.zeros(len(pool), dtype=torch.bool)
    for label in range(len(train.classes)):
        numbers = (labels == label).nonzero().flatten()
        order = lead[numbers].argsort(descending=True, stable=True)
        clear[numbers[order[: math.ceil(share * len(numbers))]]] = True
    return labels, clear
