"""Labels that a classifier gives to unlabelled images, once for all (pseudo-labels) or at every
step (FixMatch).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.modules.batchnorm import _BatchNorm

from augmentor.common.precision import faster_in_bfloat16
from downstream.augment import Augment
from downstream.train import (
    NonFiniteLossError,
    draw_batches,
    parameter_groups,
    seeded_dropout,
    set_learning_rate,
    stream,
)

# strength of the teacher's augmentation in that of the student's, where a caller has no other
WEAK = 0.5
NORM_BATCHES, NORM_BATCH_SIZE = 20, 256


def pseudo_labels(
    logits: Tensor, threshold: float, per_class: int | None = None, balanced: bool = True
) -> tuple[Tensor, Tensor]:
    """Choose the images whose most likely class is likely enough, and label them with it.

    A classifier trained on a long tail gives too many images to the large classes, so a class keeps
    only its most confident ones, up to a limit. That limit fits a pool with about equal classes;
    turn it off for another pool.

    Args:
        logits: Logits of the unlabelled images, shape (N, K).
        threshold: Least probability of the most likely class, in [0, 1].
        per_class: At most so many images of a class; None is the equal share, N / K rounded up, if
            ``balanced``.
        balanced: Whether a class is limited to its equal share where ``per_class`` names no limit.

    Returns:
        Image numbers, int64 (M,), ascending, and their labels, int64 (M,), in [0, K). M may be 0.

    Raises:
        ValueError: If the shape is not (N, K) or a number is out of range.

    Source:
        Lee 2013, "Pseudo-Label", ICML workshop on challenges in representation learning.
    """
    if logits.ndim != 2 or logits.shape[1] == 0:
        raise ValueError(f"logits must be (N, K), got {tuple(logits.shape)}")
    if not 0 <= threshold <= 1 or (per_class is not None and per_class < 0):
        raise ValueError(
            f"need threshold in [0, 1] and per_class >= 0, got {threshold} and {per_class}"
        )
    if per_class is None:
        per_class = math.ceil(len(logits) / logits.shape[1]) if balanced else len(logits)
    confidence, labels = logits.softmax(dim=1).max(dim=1)
    kept = [
        _most_confident(confidence, labels == label, threshold, per_class)
        for label in range(logits.shape[1])
    ]
    indices = torch.cat(kept).sort().values
    return indices, labels[indices]


def _most_confident(confidence: Tensor, members: Tensor, threshold: float, limit: int) -> Tensor:
    """Numbers of the members from the threshold on, the most confident first, at most ``limit``;
    ties go by number.
    """
    sure = (members & (confidence >= threshold)).nonzero().flatten()
    return sure[confidence[sure].argsort(descending=True, stable=True)[:limit]]


@dataclass(frozen=True)
class FixMatchSettings:
    """How ``train_fixmatch`` trains; the defaults were found on MNIST with 100 labels.

    Args:
        steps: Optimiser steps, 1 or more.
        labelled_batch: Labelled images per step, 1 or more.
        unlabelled_batch: Unlabelled images per step, 1 or more.
        learning_rate: Peak rate of AdamW; a short warm-up, then a quarter cosine towards zero.
        weight_decay: Decoupled decay of weights with two or more axes.
        threshold: Least probability at which the teacher's label counts, in [0, 1].
        weight_unlabelled: Weight of the unlabelled images' loss beside the labelled images'.
        label_smoothing: Probability taken from the label and spread over all classes, in [0, 1).
        average_decay: Share of the teacher's weights kept in a step, in [0, 1).
        balanced: Assume that the unlabelled images have about equally many of each class: the
            teacher's probabilities are divided by their own running mean (distribution alignment).
    """

    steps: int = 1500
    labelled_batch: int = 16
    unlabelled_batch: int = 96
    learning_rate: float = 3e-3
    weight_decay: float = 0.05
    threshold: float = 0.95
    weight_unlabelled: float = 1.0
    label_smoothing: float = 0.05
    average_decay: float = 0.995
    balanced: bool = True

    def __post_init__(self) -> None:
        if min(self.steps, self.labelled_batch, self.unlabelled_batch) < 1:
            raise ValueError(f"steps and batches must be 1 or more: {self}")
        if not (
            0 <= self.threshold <= 1
            and 0 <= self.label_smoothing < 1
            and 0 <= self.average_decay < 1
        ):
            raise ValueError(
                f"threshold, label_smoothing and average_decay must lie in [0, 1]: {self}"
            )


@dataclass(frozen=True)
class GivenLabels:
    """Labels of the unlabelled images from elsewhere: followed at first, then weighed less and
    less.

    Args:
        labels: A class for every unlabelled image, int64 (M,); -1 for one that has none, whose
            label is the teacher's alone.
        clear: Which of them are followed without the teacher in the first steps, bool (M,); none:
            it is asked.
        alone: Number of these first steps, 0 or more.
        until: Step from which on the given labels do not count; their weight falls to zero on a
            line.
        weight: Part of the given labels in the probabilities at step ``alone``; the teacher's is
            the rest.
        trust: Probability that the given labels give to their class; the others share the rest.
    """

    labels: Tensor
    clear: Tensor
    alone: int
    until: int
    weight: float = 0.5
    trust: float = 0.9

    def weight_at(self, step: int) -> float:
        """Part of the given labels in the probabilities at a step; it falls from ``alone`` on."""
        return self.weight * max(
            0.0, min(1.0, 1 - (step - self.alone) / max(1, self.until - self.alone))
        )

    def blended(self, probabilities: Tensor, numbers: Tensor, step: int) -> Tensor:
        """The teacher's probabilities (N, K) of the images ``numbers`` (N,), with the labels of
        this step.
        """
        others = (1 - self.trust) / (probabilities.shape[1] - 1)
        given, labels = torch.full_like(probabilities, others), self.labels[numbers]
        labels = labels.to(given.device)[:, None]
        given.scatter_(1, labels.clamp(min=0), self.trust)
        blended = torch.lerp(probabilities, given, self.weight_at(step))
        return torch.where(labels < 0, probabilities, blended)


def train_fixmatch(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    unlabelled: Tensor,
    settings: FixMatchSettings,
    *,
    seed: int,
    weak: Augment,
    strong: Augment,
    given: GivenLabels | None = None,
    draw_weights: Tensor | None = None,
    on_step: Callable[[int, dict[str, float]], None] | None = None,
) -> nn.Module:
    r"""Train on labelled and unlabelled images by consistency: FixMatch with an averaged teacher.

    The teacher (the moving average of the weights) labels a weakly augmented image; where it is
    sure enough, the student has to give the same label to a strongly augmented one:

    .. math::

        \ell = H(y, p(s(x))) + \lambda\,\mathbb 1[\max q(w(u)) \ge \tau]\,
        H(\arg\max q(w(u)), p(s(u)))

    Beside the paper: the teacher is averaged and has its own batch-norm statistics, measured on the
    weakly augmented images it sees (with the student's, from strongly augmented ones, the error on
    MNIST was half as large again); labelled images are strongly augmented too; the teacher's
    probabilities are aligned if ``settings.balanced``. What is strong is up to the caller; the
    paper's are RandAugment and CTAugment, with Cutout.

    Args:
        model: Network from images to logits (N, K); trained in place on the device of its weights
            (the student).
        x: Labelled images, shape (N, C, H, W), float32 in [-1, 1], N > 0.
        y: Classes, int64 (N,).
        unlabelled: Unlabelled images, shape (M, C, H, W), M > 0.
        settings: Steps, rates and so on.
        seed: Decides order, augmentation and dropout; the global random state stays untouched.
        weak: Augmentation for the teacher.
        strong: Augmentation for the student.
        given: Labels to begin with; without them the teacher decides alone from the first step on.
            Images on which the two disagree are not learned while the given labels have weight.
        draw_weights: How often each labelled image is drawn, float64 (N,), summing to one; None is
            equally often.
        on_step: Called after every step with the steps done, the loss and the accepted share of the
            unlabelled.

    Returns:
        The teacher in evaluation mode, its batch-norm statistics measured on unaugmented unlabelled
        images.

    Raises:
        NonFiniteLossError: If the loss stops being finite.
        ValueError: If images of a kind are missing.

    Source:
        Sohn et al. 2020, "FixMatch", arXiv:2001.07685; alignment: Berthelot et al. 2020,
        arXiv:1911.09785; the averaged teacher: Tarvainen & Valpola 2017, arXiv:1703.01780.
    """
    if not (len(x) and len(y) == len(x) and len(unlabelled)):
        raise ValueError(
            f"need labelled and unlabelled images: {len(x)} images, {len(y)} labels, "
            f"{len(unlabelled)}"
        )
    device, s = next(model.parameters()).device, settings
    x, y, unlabelled = x.to(device), y.to(device), unlabelled.to(device)
    noise = stream(seed, 1)
    teacher = Teacher(model, s.average_decay, balanced=s.balanced)
    optimizer = torch.optim.AdamW(
        parameter_groups(model, s.weight_decay), lr=s.learning_rate, fused=True
    )
    model.train().to(memory_format=torch.channels_last)
    labelled_order = draw_batches(
        _alike(len(x)) if draw_weights is None else draw_weights, s.labelled_batch, stream(seed, 0)
    )
    pseudo_labelled = _pseudo_labelled(teacher, unlabelled, s, weak, noise, given, stream(seed, 2))
    with seeded_dropout(seed, device):
        for step, chosen, (images, labels, sure) in zip(
            range(s.steps), labelled_order, pseudo_labelled, strict=False
        ):
            set_learning_rate(optimizer, _rate_at(step, s))
            batch = strong(torch.cat([x[chosen], images]), noise)
            loss = _fixmatch_loss(_logits(model, batch), y[chosen], labels, sure, s)
            _descend(optimizer, loss, step)
            teacher.follow(model)
            if on_step is not None:
                on_step(
                    step + 1, {"loss": float(loss.detach()), "accepted": float(sure.float().mean())}
                )
    return teacher.finished(unlabelled, stream(seed, 3))


class Teacher:
    """The moving average of a student's weights, which labels what it is sure of.

    Args:
        student: The network to follow; copied.
        decay: Share kept in a step; less in the first ones, so that the start is forgotten.
        balanced: Divide probabilities by their own running mean.
    """

    def __init__(self, student: nn.Module, decay: float, *, balanced: bool) -> None:
        self.network = (
            copy.deepcopy(student).to(memory_format=torch.channels_last).requires_grad_(False)
        )
        self.decay, self.balanced = decay, balanced
        self.updates, self.mean = 0, torch.empty(0)
        self.network.eval()
        for norm in _norms(self.network):
            # its own statistics: those of strongly augmented batches would not fit what it sees
            norm.train()

    @torch.no_grad()
    def follow(self, student: nn.Module) -> None:
        """Move a little towards the student's weights."""
        kept = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        for mine, new in zip(self.network.parameters(), student.parameters(), strict=True):
            mine.lerp_(new, 1 - kept)

    @torch.no_grad()
    def probabilities(self, x: Tensor) -> Tensor:
        """Class probabilities (N, K) of weakly augmented images (N, C, H, W)."""
        probabilities = _logits(self.network, x).softmax(dim=1)
        return self._aligned(probabilities) if self.balanced else probabilities

    def finished(self, unlabelled: Tensor, rng: torch.Generator) -> nn.Module:
        """The network in evaluation mode, with batch-norm statistics of images as they are."""
        for norm in _norms(self.network):
            norm.reset_running_stats()
            norm.momentum = None  # the plain mean over the batches
        order = draw_batches(_alike(len(unlabelled)), min(NORM_BATCH_SIZE, len(unlabelled)), rng)
        with torch.no_grad():
            for _, chosen in zip(range(NORM_BATCHES), order, strict=False):
                _logits(self.network, unlabelled[chosen])
        return self.network.eval().requires_grad_(True)

    def _aligned(self, probabilities: Tensor) -> Tensor:
        """Probabilities whose mean over time is about equal for all classes."""
        mean = probabilities.mean(dim=0)
        uniform = torch.full_like(mean, 1 / len(mean))
        self.mean = torch.lerp(self.mean if len(self.mean) else uniform, mean, 0.02)
        scaled = probabilities / self.mean.clamp(min=1e-6)
        aligned: Tensor = scaled / scaled.sum(dim=1, keepdim=True)
        return aligned


def _pseudo_labelled(
    teacher: Teacher,
    unlabelled: Tensor,
    settings: FixMatchSettings,
    weak: Augment,
    noise: torch.Generator,
    given: GivenLabels | None,
    rng: torch.Generator,
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Endless batches of unlabelled images, labels (at first the given ones, then the teacher's),
    and which count.
    """
    size, alone = settings.unlabelled_batch, 0
    if given is not None and bool(given.clear.any()):
        clear, alone = given.clear.nonzero().flatten(), given.alone
        for _, chosen in zip(
            range(alone), draw_batches(_alike(len(clear)), size, rng), strict=False
        ):
            labels = given.labels[clear[chosen]].to(unlabelled.device)
            yield unlabelled[clear[chosen]], labels, torch.ones_like(labels, dtype=torch.bool)
    for step, chosen in enumerate(draw_batches(_alike(len(unlabelled)), size, rng), start=alone):
        images = unlabelled[chosen]
        probabilities = teacher.probabilities(weak(images, noise))
        if given is not None:
            probabilities = given.blended(probabilities, chosen, step)
        confidence, guesses = probabilities.max(dim=1)
        yield images, guesses, confidence >= settings.threshold


def _fixmatch_loss(
    logits: Tensor, y: Tensor, labels: Tensor, sure: Tensor, settings: FixMatchSettings
) -> Tensor:
    """Labelled rows first, then the unlabelled ones, whose mean is taken over the unsure ones
    too.
    """
    own, guessed = torch.split(logits, [len(y), len(labels)])
    loss_labelled = cross_entropy(own, y, label_smoothing=settings.label_smoothing)
    losses = cross_entropy(
        guessed, labels, reduction="none", label_smoothing=settings.label_smoothing
    )
    return loss_labelled + settings.weight_unlabelled * (losses * sure).mean()


def _descend(optimizer: torch.optim.Optimizer, loss: Tensor, step: int) -> None:
    if not math.isfinite(float(loss.detach())):
        raise NonFiniteLossError(
            f"the loss of FixMatch is {float(loss.detach())} at step {step + 1}"
        )
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()


def _logits(network: nn.Module, x: Tensor) -> Tensor:
    with torch.autocast(x.device.type, torch.bfloat16, enabled=faster_in_bfloat16(x)):
        logits: Tensor = network(x.contiguous(memory_format=torch.channels_last))
    return logits.float()


def _rate_at(step: int, settings: FixMatchSettings) -> float:
    """Linear warm-up over a sixteenth of the steps, then a quarter cosine."""
    warm = min(1.0, (step + 1) / max(1, settings.steps // 16))
    return settings.learning_rate * warm * math.cos(math.pi / 2 * step / settings.steps)


def _alike(count: int) -> Tensor:
    return torch.full((count,), 1 / count, dtype=torch.float64)


def _norms(network: nn.Module) -> list[_BatchNorm]:
    return [module for module in network.modules() if isinstance(module, _BatchNorm)]
