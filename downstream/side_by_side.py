"""Several classifiers of one shape, trained at the same time: their weights are stacked, and every
kernel works on all of them.

On a GPU a step of one small network leaves most of the card idle: launching its kernels takes
longer than their work. Stacked networks take as many launches as one. On a CPU nothing is gained:
there, processes train side by side.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state
from torch.nn.functional import cross_entropy

from augmentor.common.precision import faster_in_bfloat16
from downstream.augment import Augment, Mix
from downstream.losses import Loss
from downstream.train import (
    NonFiniteLossError,
    TrainSettings,
    drawn_batches,
    learning_rate_at,
    seeded_dropout,
    set_learning_rate,
)


@dataclass(frozen=True)
class Single:
    """One of the classifiers, and what it alone learns from; see ``train_classifier``.

    Args:
        model: Network from images to logits (N, K).
        x: Images, shape (N, C, H, W), float32 in [-1, 1].
        y: Classes, int64 (N,), or soft targets, float (N, K).
        seed: Decides order and augmentation.
        draw_weights: How often each image is drawn, shape (N,); None draws all equally often.
        augment: Applied to every drawn image.
        mix: Blends images and targets of a batch after ``augment``.
        loss: Of logits and targets.
        on_step: Called after every step with the number of steps done and its own loss.
    """

    model: nn.Module
    x: Tensor
    y: Tensor
    seed: int
    draw_weights: Tensor | None = None
    augment: Augment | None = None
    mix: Mix | None = None
    loss: Loss = cross_entropy
    on_step: Callable[[int, float], None] | None = None


def train_side_by_side(singles: Sequence[Single], settings: TrainSettings) -> list[nn.Module]:
    """Train classifiers in place, all of them in every step.

    Each sees the batches that ``train_classifier`` would show it, so that its weights are those of
    a training alone but for rounding, and for what dropout draws.

    Args:
        singles: The classifiers, one or more; networks of one shape on one device.
        settings: Steps, rates and so on, the same for all.

    Returns:
        The models in evaluation mode, in the order given.

    Raises:
        NonFiniteLossError: If a loss or a weight stops being finite; says which classifier's.
        ValueError: If two networks differ in shape, or the data of one do not fit.

    Example:
        >>> models = [nn.Sequential(nn.Flatten(), nn.Linear(4, 2)) for _ in range(3)]
        >>> x, y = torch.zeros(6, 1, 2, 2), torch.tensor([0, 1] * 3)
        >>> singles = [Single(model, x, y, seed) for seed, model in enumerate(models)]
        >>> trained = train_side_by_side(singles, TrainSettings(steps=2, batch_size=2))
        >>> trained == models
        True

    Source:
        Stacking by ``torch.func``: the tutorial "Model ensembling" of PyTorch.
    """
    models = [single.model.train() for single in singles]
    _require_alike(models)
    device = next(models[0].parameters()).device
    weights, buffers = stack_module_state(models)
    optimizer = torch.optim.AdamW(
        _groups(weights, settings.weight_decay), lr=settings.learning_rate, fused=True
    )
    forward = _forward_of(models[0])
    # Arms of one replicate share their images; the card holds them once.
    there = {id(single.x): single.x for single in singles}
    there = {key: x.to(device) for key, x in there.items()}
    batches = [_batches(single, there[id(single.x)], settings) for single in singles]
    with seeded_dropout(singles[0].seed, device):
        for step, drawn in enumerate(zip(*batches, strict=True)):
            set_learning_rate(optimizer, learning_rate_at(step, settings))
            x = torch.stack([batch for batch, _ in drawn])
            enabled = faster_in_bfloat16(x[0]) if settings.bfloat16 is None else settings.bfloat16
            with torch.autocast(device.type, torch.bfloat16, enabled=enabled):
                outputs = forward(weights, buffers, x)
            losses = []
            for single, logits, (_, target) in zip(singles, outputs.float(), drawn, strict=True):
                losses.append(single.loss(logits, target, label_smoothing=settings.label_smoothing))
            values = torch.stack(losses).tolist()
            _require_finite(values, f"at step {step + 1} of {settings.steps}")
            optimizer.zero_grad()
            torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            for single, value in zip(singles, values, strict=True):
                if single.on_step is not None:
                    single.on_step(step + 1, value)
    _put_back(models, {**weights, **buffers})
    # A bad gradient shows in the next loss; of the last step there is none.
    sizes = [one.detach().reshape(len(models), -1).abs().amax(dim=1) for one in weights.values()]
    _require_finite(
        torch.stack(sizes).sum(dim=0).tolist(), f"in its weights after step {settings.steps}"
    )
    return [model.eval() for model in models]


def _require_alike(models: Sequence[nn.Module]) -> None:
    shapes = []
    for model in models:
        shapes.append({name: tensor.shape for name, tensor in model.state_dict().items()})
    for number, found in enumerate(shapes):
        if found != shapes[0]:
            raise ValueError(f"classifier {number} has another shape than the first")


def _forward_of(model: nn.Module) -> Callable[..., Tensor]:
    """A function of stacked weights (M, …), buffers (M, …) and images (M, B, C, H, W) to logits
    (M, B, K).
    """
    bare = copy.deepcopy(model).to("meta")

    def single(weights: Mapping[str, Tensor], buffers: Mapping[str, Tensor], x: Tensor) -> Tensor:
        logits: Tensor = functional_call(bare, (dict(weights), dict(buffers)), (x,))
        return logits

    return torch.vmap(single, randomness="different")


def _batches(single: Single, x: Tensor, settings: TrainSettings) -> Iterator[tuple[Tensor, Tensor]]:
    return drawn_batches(
        single.model,
        x,
        single.y.to(x.device),
        settings,
        seed=single.seed,
        draw_weights=single.draw_weights,
        augment=single.augment,
        mix=single.mix,
    )


def _groups(weights: Mapping[str, Tensor], weight_decay: float) -> list[dict[str, object]]:
    """As ``train.parameter_groups``, of weights with one more axis."""
    trainable = [weight for weight in weights.values() if weight.requires_grad]
    return [
        {"params": [one for one in trainable if one.ndim > 2], "weight_decay": weight_decay},
        {"params": [one for one in trainable if one.ndim <= 2], "weight_decay": 0.0},
    ]


def _require_finite(values: Sequence[float], where: str) -> None:
    for number, value in enumerate(values):
        if not math.isfinite(value):
            raise NonFiniteLossError(f"classifier {number} of {len(values)}: {value} {where}")


@torch.no_grad()
def _put_back(models: Sequence[nn.Module], stacked: Mapping[str, Tensor]) -> None:
    for number, model in enumerate(models):
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            tensor.copy_(stacked[name][number])
