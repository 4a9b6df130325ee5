"""A verification network: trained to tell people, it scores pairs of others by its features."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from torch import Tensor, nn

from augmentor.common.types import LabelledImages
from downstream.classifier import features
from downstream.heads import margin_of, with_cosine_head
from downstream.train import balanced_weights
from downstream.trainer import ClassifierTrainer
from downstream.verification import pair_scores
from pipelines.verify.pairs import VerificationPairs


def train_verifier(
    images: LabelledImages,
    draw_weights: Tensor | None,
    trainer: ClassifierTrainer,
    head: str,
    margin: float | None,
    scale: float,
    seed: int,
    check: Callable[[], None] | None = None,
) -> nn.Module:
    """Train a network to tell people, by the softmax or a margin, with classical augmentation.

    Args:
        images: Faces; people are classes.
        draw_weights: How often each is drawn, (N,); None draws every person equally often.
        trainer: Network, steps and device.
        head: ``softmax``, ``arcface`` or ``cosface``.
        margin: Of a margin head; None is its paper's.
        scale: Factor on the cosines of a margin head.
        seed: Decides first weights, order and augmentation.
        check: Called after every step; may raise to stop the training.

    Returns:
        The network in evaluation mode; ``classifier.features`` are its embeddings.

    Raises:
        ValueError: If the network or its weights cannot be used.
    """
    model = trainer.build(images, seed)
    loss_margin = None
    if head != "softmax":
        model, loss_margin = with_cosine_head(model, seed), margin_of(head, margin, scale)
        # Smoothing would pull the other people's cosines up, against the margin.
        settings = replace(trainer.settings, label_smoothing=0.0)
        trainer = replace(trainer, settings=settings)
    if draw_weights is None:
        draw_weights = balanced_weights(images.y, len(images.classes))
    return trainer.train(
        images,
        seed,
        draw_weights=draw_weights,
        augment=("classical",),
        model=model,
        margin=loss_margin,
        on_step=None if check is None else lambda step, loss: check(),
    )


def score_pairs(model: nn.Module, pairs: VerificationPairs) -> Tensor:
    """Cosine of the features of every pair's two images, float64 (N,).

    Raises:
        ValueError: If a feature is not finite.
    """
    return similarities_of(features(model, pairs.x), pairs)


def similarities_of(found: Tensor, pairs: VerificationPairs) -> Tensor:
    """As ``score_pairs``, from the features of all images of the pairs, (M, F)."""
    return pair_scores(found[pairs.first], found[pairs.second])
