"""WAE-GAN: Wasserstein auto-encoders, the adversarial one (Tolstikhin et al. 2018,
arXiv:1711.01558).

It knows no class. It is made a source of classes the standard way: encoder and decoder get the
label, and so does the discriminator of latents, so that the latents of every class, not those of
all together, come to follow the prior.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from augmentor.common.precision import autocast
from augmentor.common.randomness import normal
from augmentor.families.players import Resumable, adam_players
from augmentor.families.renderer import EncodingRenderer
from augmentor.losses.adversarial import Game, fake_loss, generator_loss, real_loss
from augmentor.losses.feature_matching import half_squared_distance
from augmentor.networks.blocks import as_class_probs
from augmentor.networks.encoder import Encoder
from augmentor.networks.generator import Generator, Upsampling
from augmentor.networks.latent_discriminator import LatentDiscriminator


@dataclass(frozen=True)
class WaeGanOptions:
    """Everything that can be set. Weight and rates are larger than the paper's 10 and 5e-4, for
    short training.

    Args:
        latent_dim: Length of the latent. The encoder is deterministic: images of few degrees of
            freedom cannot fill a long one (the paper has 8 for MNIST, 64 for faces).
        width: Channels at full resolution in every network; doubled at every halving, at most eight
            times.
        weight_adversarial: The paper's lambda, of the game in latent space beside the squared error
            of the pixels, which is summed over pixels.
        game: What the discriminator of latents and the encoder minimise; see
            ``losses.adversarial``.
        conditional_norm: Class-conditional batch norm in the generator.
        upsampling: How the generator doubles the side; see ``networks.generator.Generator``.
        learning_rate: Adam's, for encoder and generator.
        learning_rate_d: Adam's, for the discriminator.
        beta1: Adam's first decay.
        ema_decay: Share kept of the averaged weights in a step.
        bfloat16: Run the networks in bfloat16 autocast where the device computes it natively.
    """

    latent_dim: int = 8
    width: int = 32
    weight_adversarial: float = 30.0
    game: Game = "non_saturating"
    conditional_norm: bool = True
    upsampling: Upsampling = "transposed"
    learning_rate: float = 1e-3
    learning_rate_d: float = 1e-3
    beta1: float = 0.5
    ema_decay: float = 0.999
    bfloat16: bool = True


PRESETS = {"default": WaeGanOptions()}


class WaeGan(EncodingRenderer):
    """The three networks; an ``EncodingSource``.

    Args:
        classes: Class names; position is index.
        image_shape: (C, H, W), square, 8 to 128 pixels, any C.
        options: Everything that can be set.
    """

    def __init__(
        self, classes: tuple[str, ...], image_shape: tuple[int, int, int], options: WaeGanOptions
    ) -> None:
        super().__init__(classes, image_shape, options)
        self.options = o = options
        k = len(classes)
        self.encoder = Encoder(image_shape, k, o.latent_dim, o.width)
        self.generator = Generator(
            image_shape, k, o.latent_dim, o.width, o.conditional_norm, o.upsampling
        )
        self.discriminator = LatentDiscriminator(o.latent_dim, k, hidden=8 * o.width)


class WaeGanTrainer(Resumable):
    """The optimisers and the step of the paper.

    Args:
        model: The networks, trained in place.
    """

    def __init__(self, model: WaeGan) -> None:
        self.model, self.options = model, model.options
        self.device = next(model.parameters()).device
        o = model.options
        rates = {
            "encoder": o.learning_rate,
            "generator": o.learning_rate,
            "discriminator": o.learning_rate_d,
        }
        self.players = adam_players(model, rates, o.beta1)

    def step(self, x: Tensor, y: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        """One step on a real batch (algorithm 1).

        Args:
            x: Real images, float32 (N, C, H, W) in [-1, 1].
            y: Their classes, int64 (N,).
            rng: Where the prior's latents come from.

        Returns:
            Named losses, scalars without gradient.
        """
        m, o = self.model.train(), self.options
        x, class_probs = x.to(self.device), as_class_probs(y, len(m.classes)).to(self.device)
        z_prior = normal(len(x), o.latent_dim, rng=rng).to(self.device)

        # The discriminator tells the prior's latents from encoded ones.
        with autocast(self.device, self.options.bfloat16):
            z, _ = m.posterior(x, class_probs)
            prior_logits, z_logits = (
                m.discriminator(z_prior, class_probs),
                m.discriminator(z.detach(), class_probs),
            )
        loss_d = real_loss(prior_logits, o.game).mean() + fake_loss(z_logits, o.game).mean()
        self.players.descend({("discriminator",): loss_d})

        # Encoder and generator reconstruct; the encoder's latents are to be taken for the prior's.
        with autocast(self.device, self.options.bfloat16):
            x_rec, z_logits = m.generator(z, class_probs), m.discriminator(z, class_probs)
        loss_pixels = 2 * half_squared_distance(x, x_rec).mean()
        loss_adversarial = generator_loss(z_logits, o.game).mean()
        loss = loss_pixels + o.weight_adversarial * loss_adversarial
        self.players.descend({("encoder", "generator"): loss})
        losses = {
            "autoencoder": loss,
            "discriminator": loss_d,
            "pixels": loss_pixels,
            "adversarial": loss_adversarial,
        }
        return {name: value.detach() for name, value in losses.items()}
