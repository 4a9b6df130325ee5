"""Training of one classifier on one set of images, fast on one CPU thread and repeatable for a
seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from augmentor.common.evaluation import evaluating
from augmentor.common.precision import faster_in_bfloat16
from augmentor.common.randomness import rng_for
from downstream.augment import Augment, Mix
from downstream.heads import Margin
from downstream.losses import Loss

Drawn = Callable[[Tensor, int], Tensor]
"""Numbers of the images drawn, int64 (B,), and the steps done, to the numbers of the images of the
batch: the same, or with others behind them that ``mix`` blends in. So a loss or a mix learns whom
it sees."""


class NonFiniteLossError(FloatingPointError):
    """The loss of a classifier became infinite or not a number."""


@dataclass(frozen=True)
class TrainSettings:
    """How a classifier is trained; the defaults suit some tens to some thousands of small images.

    Args:
        steps: Optimiser steps, 1 or more; the same for every arm of a comparison.
        batch_size: Images per step, 2 or more.
        learning_rate: Peak rate of AdamW; warmed up linearly, then lowered along a cosine to zero.
        weight_decay: Decoupled decay of weights with two or more axes.
        warmup: Share of the steps spent warming up, in [0, 1).
        label_smoothing: Probability taken from the label and spread over all classes, in [0, 1).
        bfloat16: Autocast to bfloat16; None does so where the device computes it natively and that
            was measured to be faster.
    """

    steps: int = 600
    batch_size: int = 64
    learning_rate: float = 5e-3
    weight_decay: float = 0.05
    warmup: float = 0.1
    label_smoothing: float = 0.05
    bfloat16: bool | None = None

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch_size < 2:
            raise ValueError(
                f"need steps >= 1 and batch_size >= 2, got {self.steps} and {self.batch_size}"
            )
        if not (self.learning_rate > 0 and self.weight_decay >= 0):
            raise ValueError(
                f"need learning_rate > 0, weight_decay >= 0: {self.learning_rate}, "
                f"{self.weight_decay}"
            )
        if not (0 <= self.warmup < 1 and 0 <= self.label_smoothing < 1):
            raise ValueError(
                f"need warmup, label_smoothing in [0, 1): {self.warmup}, {self.label_smoothing}"
            )


def train_classifier(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    settings: TrainSettings,
    *,
    seed: int,
    draw_weights: Tensor | None = None,
    augment: Augment | None = None,
    mix: Mix | None = None,
    margin: Margin | None = None,
    loss: Loss = cross_entropy,
    drawn: Drawn | None = None,
    on_step: Callable[[int, float], None] | None = None,
) -> nn.Module:
    """Train a classifier in place, by cross entropy unless ``loss`` is another.

    Args:
        model: Network from images to logits (N, K); trained on the device of its weights, where all
            images go too.
        x: Images, shape (N, C, H, W), float32 in [-1, 1].
        y: Classes, int64 (N,), or soft targets, float (N, K) with rows summing to one.
        settings: Steps, rates and so on.
        seed: Decides order, augmentation and dropout; the global random state stays untouched.
        draw_weights: How often each image is drawn, shape (N,), not negative, any scale; None
            draws all equally often.
        augment: Applied to every drawn image.
        mix: Blends images and targets of a batch after ``augment`` (``mixup``, ``cutmix``).
        margin: Turns outputs and classes into the logits of the loss (``heads.margin_of``); not
            with ``mix``.
        loss: Of logits and targets; the others are in ``losses``, their own numbers bound.
        drawn: As in ``Drawn``; called once a step, before the images are augmented.
        on_step: Called after every step with the number of steps done and the batch's loss.

    Returns:
        The same model in evaluation mode. Equal arguments give equal weights on one CPU and thread
        count.

    Raises:
        NonFiniteLossError: If the loss or a weight stops being finite.
        ValueError: If shapes do not fit or the weights are unusable.
    """
    device = next(model.parameters()).device
    # Once: sets of small images fit, and a copy per step would keep a GPU waiting.
    x, y = x.to(device), y.to(device)
    batches = drawn_batches(
        model,
        x,
        y,
        settings,
        seed=seed,
        draw_weights=draw_weights,
        augment=augment,
        mix=mix,
        drawn=drawn,
    )
    optimizer = torch.optim.AdamW(
        parameter_groups(model, settings.weight_decay), lr=settings.learning_rate, fused=True
    )
    model.train().to(memory_format=torch.channels_last)
    with seeded_dropout(seed, device):
        for step, (batch, target) in enumerate(batches):
            set_learning_rate(optimizer, learning_rate_at(step, settings))
            value = _train_step(model, optimizer, batch, target, settings, step, margin, loss)
            if on_step is not None:
                on_step(step + 1, value)
    # A bad gradient shows in the next loss; of the last step there is none.
    if not all(bool(weight.isfinite().all()) for weight in model.parameters()):
        raise NonFiniteLossError(
            f"a weight of the classifier is not finite after step {settings.steps}"
        )
    return model.eval()


def drawn_batches(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    settings: TrainSettings,
    *,
    seed: int,
    draw_weights: Tensor | None = None,
    augment: Augment | None = None,
    mix: Mix | None = None,
    drawn: Drawn | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches of all steps of a training: images drawn, augmented and mixed.

    Args:
        model: Asked for its number of classes where the mix needs it; its mode is left.
        x: As in ``train_classifier``, on the device of the model.
        y: Likewise.
        settings: Steps and batch size.
        seed: Decides order and augmentation.
        draw_weights: As in ``train_classifier``.
        augment: Likewise.
        mix: Likewise.
        drawn: Likewise.

    Returns:
        ``settings.steps`` pairs: images (B, C, H, W), and classes (B,) or probabilities (B, K).

    Raises:
        ValueError: If shapes do not fit or the weights are unusable; at once, not at the first
            batch.
    """
    _check_data(x, y, draw_weights)
    order, noise = stream(seed, 0), stream(seed, 1)
    num_classes = 0 if mix is None or y.is_floating_point() else _num_classes(model, x)
    numbers = draw_batches(_draw_weights(len(x), draw_weights), settings.batch_size, order)

    def of_step(step: int, chosen: Tensor) -> tuple[Tensor, Tensor]:
        if drawn is not None:
            chosen = drawn(chosen, step)
        batch, target = x[chosen], y[chosen]
        if augment is not None:
            batch = augment(batch, noise)
        if mix is not None:
            target = one_hot(target, num_classes).float() if num_classes else target
            batch, target = mix(batch, target, noise)
        return batch, target

    return map(of_step, range(settings.steps), numbers)


def _train_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    x: Tensor,
    y: Tensor,
    settings: TrainSettings,
    step: int,
    margin: Margin | None,
    criterion: Loss,
) -> float:
    enabled = faster_in_bfloat16(x) if settings.bfloat16 is None else settings.bfloat16
    with torch.autocast(x.device.type, torch.bfloat16, enabled=enabled):
        outputs = model(x.contiguous(memory_format=torch.channels_last))
    logits = outputs.float() if margin is None else margin(outputs.float(), y)
    loss = criterion(logits, y, label_smoothing=settings.label_smoothing)
    value = float(loss.detach())
    if not math.isfinite(value):
        raise NonFiniteLossError(
            f"the classifier's loss is {value} at step {step + 1} of {settings.steps}"
        )
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return value


def balanced_weights(y: Tensor, num_classes: int) -> Tensor:
    """Drawing weights that give every class that has images the same mass.

    Args:
        y: Classes, int64 (N,), in [0, num_classes).
        num_classes: Number of classes K.

    Returns:
        Weights, float64 (N,), summing to one; equal within a class.
    """
    counts = torch.bincount(y, minlength=num_classes).double()
    return 1 / (counts[y] * (counts > 0).sum())


def draw_batches(weights: Tensor, batch_size: int, rng: Generator) -> Iterator[Tensor]:
    """Endless batches of image numbers, in proportion to the weights and as evenly as possible.

    Numbers come in rounds of N draws by systematic resampling: in one round image i comes up either
    the floor or the ceiling of N times its share. Equal weights therefore show every image exactly
    once a round.

    Args:
        weights: Float64 (N,), summing to one.
        batch_size: Numbers per batch; a batch may span rounds.
        rng: CPU generator.

    Yields:
        Image numbers, int64 (batch_size,).
    """
    count, waiting = len(weights), torch.empty(0, dtype=torch.int64)
    while True:
        while len(waiting) < batch_size:
            shuffled = torch.randperm(count, generator=rng)
            start = torch.rand(1, generator=rng, dtype=torch.float64)
            points = (torch.arange(count, dtype=torch.float64) + start) / count
            hit = torch.searchsorted(weights[shuffled].cumsum(0), points).clamp(max=count - 1)
            waiting = torch.cat([waiting, shuffled[hit][torch.randperm(count, generator=rng)]])
        yield waiting[:batch_size]
        waiting = waiting[batch_size:]


def learning_rate_at(step: int, settings: TrainSettings) -> float:
    """Rate of step 0 ... steps-1: linear warm-up to the peak, then half a cosine towards zero."""
    warm = round(settings.warmup * settings.steps)
    if step < warm:
        return settings.learning_rate * (step + 1) / warm
    return (
        settings.learning_rate
        * 0.5
        * (1 + math.cos(math.pi * (step - warm) / (settings.steps - warm)))
    )


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give all groups of an optimiser one rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """The trainable weights for an optimiser: those with two or more axes are decayed, the others
    are not.
    """
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    # Decaying biases and batch-norm scales only shrinks the features and helps nothing.
    return [
        {"params": [p for p in trainable if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trainable if p.ndim <= 1], "weight_decay": 0.0},
    ]


def stream(seed: int, number: int) -> Generator:
    """A CPU generator for one use of a seed: augmenting does not change the order of the images,
    and no stream of one seed is a stream of another.
    """
    return rng_for("classifier", seed, number)


@contextmanager
def seeded_dropout(seed: int, device: torch.device) -> Iterator[None]:
    """Dropout knows only the global generators: seed the CPU's and the device's, and put them back
    afterwards.
    """
    devices = [device] if device.type in ("cuda", "mps") else []
    with torch.random.fork_rng(devices, device_type=device.type):
        torch.default_generator.manual_seed(seed)
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        elif device.type == "mps":
            torch.mps.manual_seed(seed)
        yield


@torch.no_grad()
def _num_classes(model: nn.Module, x: Tensor) -> int:
    """Classes a network answers with, which the labels alone do not tell."""
    with evaluating(model):
        logits: Tensor = model(x[:1])
    return logits.shape[1]


def _draw_weights(count: int, weights: Tensor | None) -> Tensor:
    if weights is None:
        return torch.full((count,), 1 / count, dtype=torch.float64)
    weights = weights.cpu().double()  # in this order: MPS has no float64
    return weights / weights.sum()


def _check_data(x: Tensor, y: Tensor, weights: Tensor | None) -> None:
    if x.ndim != 4 or len(x) == 0 or len(y) != len(x):
        raise ValueError(
            f"need images (N, C, H, W), N > 0, with N targets: {tuple(x.shape)}, {tuple(y.shape)}"
        )
    if y.ndim != (2 if y.is_floating_point() else 1):
        raise ValueError(
            f"targets are classes, int64 (N,), or probabilities, float (N, K): {y.dtype} "
            f"{tuple(y.shape)}"
        )
    if weights is not None and (
        weights.shape != (len(x),) or not bool(weights.min() >= 0 < weights.sum())
    ):
        raise ValueError(f"weights must be ({len(x)},), not negative, with a positive sum")
