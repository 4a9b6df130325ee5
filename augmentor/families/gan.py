"""GAN: generative adversarial nets (Goodfellow et al. 2014, arXiv:1406.2661), with the networks of
DCGAN.

A GAN knows no class. It is made a source of classes the standard way, which is the CGAN (Mirza &
Osindero 2014, arXiv:1411.1784): both players get the label. ``gan`` and ``cgan`` therefore differ
in the game alone: ``gan`` plays the value function of the paper (equation 1) to the letter,
``cgan`` the non-saturating game that is played in its place. ``lsgan`` plays least squares (Mao et
al. 2017), and the generator of ``fm_cgan`` matches mean features (Salimans et al. 2016,
arXiv:1606.03498, section 3.1).

In a few hundred steps on small digits ``cgan`` learnt the classes, but one picture of each; the
preset ``minibatch`` (minibatch discrimination, section 3.2 there) and ``fm_cgan`` kept most of the
real variation within a class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from augmentor.common.precision import autocast
from augmentor.common.randomness import normal, permutation
from augmentor.families.players import Resumable, adam_players
from augmentor.families.renderer import Renderer
from augmentor.losses.adversarial import Game, fake_loss, generator_loss, real_loss
from augmentor.losses.feature_matching import mean_feature_matching
from augmentor.networks.blocks import as_class_probs
from augmentor.networks.discriminator import Discriminator, Norm
from augmentor.networks.generator import Generator, Upsampling


@dataclass(frozen=True)
class GanOptions:
    """Everything that can be set.

    Args:
        latent_dim: Length of the latent.
        width: Channels at full resolution in every network; doubled at every halving, at most eight
            times.
        game: What the two players minimise; see ``losses.adversarial``.
        weight_adversarial: Weight of the game's own generator loss.
        weight_mean: Weight of mean feature matching, half the squared distance summed over
            features; generator only.
        conditioning: How the discriminator sees the class; see
            ``networks.discriminator.Discriminator``.
        norm: The discriminator's, likewise.
        minibatch_discrimination: The discriminator sees how near the images of a batch are to one
            another.
        conditional_norm: Class-conditional batch norm in the generator.
        upsampling: How the generator doubles the side; see ``networks.generator.Generator``.
        learning_rate: Adam's, for the generator.
        learning_rate_d: Adam's, for the discriminator.
        beta1: Adam's first decay.
        ema_decay: Share kept of the averaged weights in a step.
        bfloat16: Run the networks in bfloat16 autocast where the device computes it natively.
    """

    latent_dim: int = 64
    width: int = 32
    game: Game = "non_saturating"
    weight_adversarial: float = 1.0
    weight_mean: float = 0.0
    conditioning: Literal["channel", "projection"] = "channel"
    norm: Norm = "batch"
    minibatch_discrimination: bool = False
    conditional_norm: bool = True
    upsampling: Upsampling = "transposed"
    learning_rate: float = 2e-4
    learning_rate_d: float = 2e-4
    beta1: float = 0.5
    ema_decay: float = 0.999
    bfloat16: bool = True


GAN_PRESETS = {"default": GanOptions(game="minimax")}
CGAN_PRESETS = {"default": GanOptions(), "minibatch": GanOptions(minibatch_discrimination=True)}
LSGAN_PRESETS = {"default": GanOptions(game="least_squares")}
FM_CGAN_PRESETS = {"default": GanOptions(weight_adversarial=0.0, weight_mean=1.0)}


class Gan(Renderer):
    """The two players; a ``SampleSource``.

    Args:
        classes: Class names; position is index.
        image_shape: (C, H, W), square, 8 to 128 pixels, any C.
        options: Everything that can be set.
    """

    def __init__(
        self, classes: tuple[str, ...], image_shape: tuple[int, int, int], options: GanOptions
    ) -> None:
        super().__init__(classes, image_shape, options)
        self.options = o = options
        k = len(classes)
        self.generator = Generator(
            image_shape, k, o.latent_dim, o.width, o.conditional_norm, o.upsampling
        )
        self.discriminator = Discriminator(
            image_shape, k, o.width, o.conditioning, o.norm, o.minibatch_discrimination
        )


class GanTrainer(Resumable):
    """The optimisers and the step of the paper.

    Args:
        model: The players, trained in place.
    """

    def __init__(self, model: Gan) -> None:
        self.model, self.options = model, model.options
        self.device = next(model.parameters()).device
        o = model.options
        rates = {"generator": o.learning_rate, "discriminator": o.learning_rate_d}
        self.players = adam_players(model, rates, o.beta1)

    def step(self, x: Tensor, y: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        """One step on a real batch (algorithm 1 with k = 1; both players see the same generated
        images).

        Args:
            x: Real images, float32 (N, C, H, W) in [-1, 1].
            y: Their classes, int64 (N,).
            rng: Where latents and the classes of the generated images come from.

        Returns:
            Named losses, scalars without gradient.
        """
        m, o = self.model.train(), self.options
        x, class_probs = x.to(self.device), as_class_probs(y, len(m.classes)).to(self.device)
        z = normal(len(x), o.latent_dim, rng=rng).to(self.device)
        # The generated classes are the batch's own in another order: equal shares, no absent class.
        class_probs_fake = class_probs[permutation(len(x), rng).to(self.device)]

        # The discriminator ascends the value function. Two passes: its batch norm must not mix real
        # and generated.
        with autocast(self.device, self.options.bfloat16):
            x_fake = m.generator(z, class_probs_fake)
            real_logits, _ = m.discriminator(x, class_probs)
            fake_logits, _ = m.discriminator(x_fake.detach(), class_probs_fake)
        loss_d = real_loss(real_logits, o.game).mean() + fake_loss(fake_logits, o.game).mean()
        self.players.descend({("discriminator",): loss_d})

        # The generator descends its own loss against the discriminator just improved.
        with autocast(self.device, self.options.bfloat16):
            fake_logits, features_fake = m.discriminator(x_fake, class_probs_fake)
            loss_mean = self._mean_matching(x, class_probs, features_fake)
        loss_adversarial = generator_loss(fake_logits, o.game).mean()
        loss_g = o.weight_adversarial * loss_adversarial + o.weight_mean * loss_mean
        self.players.descend({("generator",): loss_g})
        losses = {
            "discriminator": loss_d,
            "generator": loss_g,
            "adversarial": loss_adversarial,
            "mean": loss_mean,
        }
        return {name: loss.detach() for name, loss in losses.items()}

    def _mean_matching(self, x: Tensor, class_probs: Tensor, features_fake: Tensor) -> Tensor:
        """Mean matching in the discriminator's features; not looked at, and zero, where its weight
        is.
        """
        if not self.options.weight_mean:
            return torch.zeros((), device=self.device)
        with torch.no_grad():
            _, features_real = self.model.discriminator(x, class_probs)
        return mean_feature_matching(features_real.mean(dim=0), features_fake.mean(dim=0))
