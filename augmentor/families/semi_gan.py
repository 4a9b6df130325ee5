"""Semi-supervised GANs: a head of K logits learns from few labels, many unlabelled images, and
fakes.

Two short steps share the head's losses: the fakes come from a generator trained along (Improved
GAN, Salimans et al. 2016, arXiv:1606.03498) or from a finished ``SampleSource`` such as a trained
CVAE-GAN. Neither is a source of samples itself, so neither is in ``FAMILIES``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam

from augmentor.common.precision import autocast
from augmentor.common.types import SampleSource, device_of
from augmentor.losses.semi_supervised import (
    conditional_entropy,
    fake_loss,
    feature_matching,
    labelled_loss,
    pull_away,
    unlabelled_loss,
)
from augmentor.networks.dense import DenseGenerator, noise_from
from augmentor.networks.heads import SemiSupervisedHead


@dataclass(frozen=True)
class SemiGanOptions:
    """Everything that can be set; the defaults are the published settings for MNIST.

    Args:
        weight_unlabelled: Weight of the game real against fake beside the labelled loss; 0 leaves
            it out.
        weight_entropy: Weight of the conditional entropy of unlabelled images; Dai et al. 2017 use
            0.1 on SVHN.
        weight_pull_away: Weight of the pull-away term in the generator's loss; Dai et al. 2017 use
            0.8 on SVHN.
        weight_extra_labelled: Weight of a source's samples as labelled examples.
        steps: Length of the schedule of the learning rate.
        decay_from: Share of the steps after which the rate falls linearly to zero, in [0, 1]; 1
            keeps it constant.
        learning_rate: Adam's, for all networks.
        beta1: Adam's first decay.
        epsilon: Adam's, added to the root. The authors add 1e-8 inside it, which is like 1e-4 here;
            it keeps a generator whose gradient has become small from being thrown about.
        ema_decay: Share kept of the averaged weights in a step.
        bfloat16: Run the networks in bfloat16 autocast where the device computes it natively;
            losses stay in float32.
    """

    weight_unlabelled: float = 1.0
    weight_entropy: float = 0.0
    weight_pull_away: float = 0.0
    weight_extra_labelled: float = 0.0
    steps: int = 180_000
    decay_from: float = 1.0
    learning_rate: float = 3e-3
    beta1: float = 0.5
    epsilon: float = 1e-4
    ema_decay: float = 0.9999
    bfloat16: bool = False


class ImprovedGanTrainer:
    """A head and a generator trained along, in the order of the authors' code: the head, then the
    generator.

    Args:
        model: The head, trained in place; the network to average and to use.
        generator: Renders the fakes, trained in place.
        options: Everything that can be set.
    """

    def __init__(
        self, model: SemiSupervisedHead, generator: DenseGenerator, options: SemiGanOptions
    ) -> None:
        self.model, self.generator, self.options = model, generator, options
        self.device = next(model.parameters()).device
        self.optimisers = {"head": _adam(model, options), "generator": _adam(generator, options)}
        self.steps_done = 0

    def step(
        self, x: Tensor, y: Tensor, x_unlabelled: Tensor, rng: torch.Generator
    ) -> dict[str, Tensor]:
        """One step of the head and one of the generator.

        Args:
            x: Labelled images, float32 (N, C, H, W) in [-1, 1].
            y: Their classes, int64 (N,).
            x_unlabelled: Unlabelled images, float32 (M, C, H, W) in [-1, 1]; there are M fakes too.
            rng: Where latents and noise come from; on the CPU.

        Returns:
            Named losses, scalars without gradient.
        """
        o, x, y, x_unlabelled = (
            self.options,
            x.to(self.device),
            y.to(self.device),
            x_unlabelled.to(self.device),
        )
        z = torch.randn(2, len(x_unlabelled), self.generator.latent_dim, generator=rng).to(
            self.device
        )
        self.model.train()
        self.generator.train()
        _set_rates(self.optimisers, o, self.steps_done)
        with noise_from(self.model, rng):
            # The head: labelled images, unlabelled images, fakes.
            with autocast(self.device, o.bfloat16):
                x_fake = self.generator(z[0]).detach()
                class_logits, fake_logits = (
                    self.model(torch.cat([x, x_unlabelled])),
                    self.model(x_fake),
                )
            losses = _head_losses(class_logits, y, fake_logits)
            loss = (
                losses["labelled"]
                + o.weight_unlabelled * losses["game"]
                + o.weight_entropy * losses["entropy"]
            )
            _descend(self.optimisers["head"], loss)

            # The generator: mean features of fresh fakes, under the head as it is now.
            with autocast(self.device, o.bfloat16):
                with torch.no_grad():
                    features_real = self.model.features(x_unlabelled)
                features_fake = self.model.features(self.generator(z[1]))
            losses["matching"] = feature_matching(features_real, features_fake)
            loss = losses["matching"]
            if o.weight_pull_away:
                losses["pull_away"] = pull_away(features_fake)
                loss = loss + o.weight_pull_away * losses["pull_away"]
            _descend(self.optimisers["generator"], loss)
        self.steps_done += 1
        return {name: value.detach() for name, value in losses.items()}

    def state(self) -> dict[str, Any]:
        """Everything beside the head that the next step depends on."""
        return _state(self.optimisers, self.steps_done) | {"generator": self.generator.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        """Take up what ``state`` returned."""
        self.generator.load_state_dict(state["generator"])
        self.steps_done = _restore(self.optimisers, state)


class SourceHeadTrainer:
    """A head whose fakes are the samples of a finished source, which is not trained.

    A sample is a fake in the game real against fake (``weight_unlabelled``) and, in a batch of its
    own, an example of the class it was rendered for (``weight_extra_labelled``); either weight may
    be 0.

    Args:
        model: The head, trained in place; the network to average and to use.
        source: Renders where it lives; its samples are moved to the head.
        options: Everything that can be set; ``weight_pull_away`` has nothing to act on.

    Raises:
        ValueError: If the source has another number of classes than the head.
    """

    def __init__(
        self, model: SemiSupervisedHead, source: SampleSource, options: SemiGanOptions
    ) -> None:
        if len(source.classes) != model.num_classes:
            raise ValueError(
                f"the source has {len(source.classes)} classes, the head {model.num_classes}"
            )
        self.model, self.source, self.options = model, source, options
        self.device = next(model.parameters()).device
        self.optimisers = {"head": _adam(model, options)}
        self.steps_done = 0

    def step(
        self, x: Tensor, y: Tensor, x_unlabelled: Tensor, rng: torch.Generator
    ) -> dict[str, Tensor]:
        """One step of the head.

        Args:
            x: Labelled images, float32 (N, C, H, W) in [-1, 1].
            y: Their classes, int64 (N,).
            x_unlabelled: Unlabelled images, float32 (M, C, H, W) in [-1, 1]; there are M fakes and
                N examples too.
            rng: Where latents, classes and noise come from; on the CPU.

        Returns:
            Named losses, scalars without gradient.
        """
        o, x, y, x_unlabelled = (
            self.options,
            x.to(self.device),
            y.to(self.device),
            x_unlabelled.to(self.device),
        )
        x_fake, _ = self._samples(len(x_unlabelled) if o.weight_unlabelled else 0, rng)
        x_extra, y_extra = self._samples(len(x) if o.weight_extra_labelled else 0, rng)
        self.model.train()
        _set_rates(self.optimisers, o, self.steps_done)
        with (
            noise_from(self.model, rng),
            autocast(self.device, o.bfloat16),
        ):
            # Real and rendered images pass apart: batch norm would tell the one from the other by
            # their shares.
            class_logits = self.model(torch.cat([x, x_unlabelled]))
            rendered_logits = (
                self.model(torch.cat([x_fake, x_extra]))
                if len(x_fake) + len(x_extra)
                else class_logits
            )
        fake_logits, extra_logits = (
            rendered_logits[: len(x_fake)],
            rendered_logits[len(x_fake) :][: len(x_extra)],
        )
        losses = _head_losses(class_logits, y, fake_logits)
        losses["extra_labelled"] = labelled_loss(extra_logits, y_extra).sum() / max(1, len(y_extra))
        loss = losses["labelled"] + o.weight_extra_labelled * losses["extra_labelled"]
        loss = loss + o.weight_unlabelled * losses["game"] + o.weight_entropy * losses["entropy"]
        _descend(self.optimisers["head"], loss)
        self.steps_done += 1
        return {name: value.detach() for name, value in losses.items()}

    def _samples(self, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """``n`` samples of random classes, and the classes, where the head is."""
        y = torch.randint(len(self.source.classes), (n,), generator=rng)
        z = torch.randn(n, self.source.latent_dim, generator=rng)
        if n == 0:
            return torch.empty(0, *self.source.image_shape, device=self.device), y.to(self.device)
        there = device_of(self.source)
        return self.source.sample(y.to(there), z.to(there)).to(self.device), y.to(self.device)

    def state(self) -> dict[str, Any]:
        """Everything beside the head that the next step depends on."""
        return _state(self.optimisers, self.steps_done)

    def restore(self, state: dict[str, Any]) -> None:
        """Take up what ``state`` returned."""
        self.steps_done = _restore(self.optimisers, state)


def rate_at(step: int, options: SemiGanOptions) -> float:
    """Learning rate of step 0 ... steps-1: constant until ``decay_from`` of the steps, then linear
    towards zero.
    """
    falling = options.steps * (1 - options.decay_from)
    left = max(options.steps - step, 0)
    return options.learning_rate * (1.0 if left >= falling else left / falling)


def _head_losses(class_logits: Tensor, y: Tensor, fake_logits: Tensor) -> dict[str, Tensor]:
    """The head's losses; ``class_logits`` are of the labelled images, then of the unlabelled
    ones.
    """
    labelled, unlabelled = class_logits[: len(y)], class_logits[len(y) :]
    real, fake = (
        unlabelled_loss(unlabelled).mean(),
        fake_loss(fake_logits).sum() / max(1, len(fake_logits)),
    )
    return {
        "labelled": labelled_loss(labelled, y).mean(),
        "game": 0.5 * (real + fake),
        "entropy": conditional_entropy(unlabelled).mean(),
    }


def _adam(network: nn.Module, options: SemiGanOptions) -> Adam:
    trained = [p for p in network.parameters() if p.requires_grad]
    o = options
    return Adam(trained, lr=o.learning_rate, betas=(o.beta1, 0.999), eps=o.epsilon, fused=True)


def _set_rates(optimisers: dict[str, Adam], options: SemiGanOptions, step: int) -> None:
    for optimiser in optimisers.values():
        for group in optimiser.param_groups:
            group["lr"] = rate_at(step, options)


def _descend(optimiser: Adam, loss: Tensor) -> None:
    """Give the loss's gradient to this player's weights and to no other's, then move them."""
    inputs = [p for group in optimiser.param_groups for p in group["params"]]
    loss.backward(inputs=inputs)  # type: ignore[no-untyped-call]
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)


def _state(optimisers: dict[str, Adam], steps_done: int) -> dict[str, Any]:
    return {
        "optimisers": {name: optimiser.state_dict() for name, optimiser in optimisers.items()},
        "steps_done": steps_done,
    }


def _restore(optimisers: dict[str, Adam], state: dict[str, Any]) -> int:
    for name, optimiser in optimisers.items():
        optimiser.load_state_dict(state["optimisers"][name])
    return int(state["steps_done"])
