"""VAE/GAN: autoencoding beyond pixels using a learned similarity metric (Larsen et al. 2016,
arXiv:1512.09300).

It knows no class. It is made a source of classes as the CVAE and the CGAN are: encoder, generator
and discriminator get the label.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from augmentor.common.precision import autocast
from augmentor.common.randomness import normal, permutation
from augmentor.families.players import Resumable, adam_players
from augmentor.families.renderer import EncodingRenderer
from augmentor.losses.adversarial import Game, fake_loss, generator_loss, real_loss
from augmentor.losses.feature_matching import half_squared_distance
from augmentor.losses.vae import kl_divergence, reparameterise
from augmentor.networks.blocks import as_class_probs
from augmentor.networks.discriminator import Discriminator, Norm
from augmentor.networks.encoder import Encoder
from augmentor.networks.generator import Generator, Upsampling


@dataclass(frozen=True)
class VaeGanOptions:
    """Everything that can be set.

    KL and squared errors are summed over latent dimensions and features and averaged over the
    batch.

    Args:
        latent_dim: Length of the latent.
        width: Channels at full resolution in every network; doubled at every halving, at most eight
            times.
        weight_kl: Weight of the KL term beside the features' error; encoder only.
        gamma: The paper's gamma, weight of the features' error beside the game; generator only.
        game: What discriminator and generator minimise; see ``losses.adversarial``.
        conditioning: How the discriminator sees the class; see
            ``networks.discriminator.Discriminator``.
        norm: The discriminator's, likewise.
        conditional_norm: Class-conditional batch norm in the generator.
        upsampling: How the generator doubles the side; see ``networks.generator.Generator``.
        learning_rate: Adam's, for encoder and generator.
        learning_rate_d: Adam's, for the discriminator.
        beta1: Adam's first decay.
        ema_decay: Share kept of the averaged weights in a step.
        bfloat16: Run the networks in bfloat16 autocast where the device computes it natively.
    """

    latent_dim: int = 64
    width: int = 32
    weight_kl: float = 1.0
    gamma: float = 0.01
    game: Game = "non_saturating"
    conditioning: Literal["channel", "projection"] = "channel"
    norm: Norm = "batch"
    conditional_norm: bool = True
    upsampling: Upsampling = "transposed"
    learning_rate: float = 4e-4
    learning_rate_d: float = 2e-4
    beta1: float = 0.5
    ema_decay: float = 0.999
    bfloat16: bool = True


PRESETS = {"default": VaeGanOptions()}


class VaeGan(EncodingRenderer):
    """The three networks; an ``EncodingSource``.

    Args:
        classes: Class names; position is index.
        image_shape: (C, H, W), square, 8 to 128 pixels, any C.
        options: Everything that can be set.
    """

    def __init__(
        self, classes: tuple[str, ...], image_shape: tuple[int, int, int], options: VaeGanOptions
    ) -> None:
        super().__init__(classes, image_shape, options)
        self.options = o = options
        k = len(classes)
        self.encoder = Encoder(image_shape, k, o.latent_dim, o.width)
        self.generator = Generator(
            image_shape, k, o.latent_dim, o.width, o.conditional_norm, o.upsampling
        )
        self.discriminator = Discriminator(image_shape, k, o.width, o.conditioning, o.norm)


class VaeGanTrainer(Resumable):
    """The optimisers and the step of the paper.

    Args:
        model: The networks, trained in place.
    """

    def __init__(self, model: VaeGan) -> None:
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
        """One step of all three networks on a real batch (algorithm 1).

        Args:
            x: Real images, float32 (N, C, H, W) in [-1, 1].
            y: Their classes, int64 (N,).
            rng: Where latents and the classes of the prior samples come from.

        Returns:
            Named losses, scalars without gradient.
        """
        m, o = self.model.train(), self.options
        x, class_probs = x.to(self.device), as_class_probs(y, len(m.classes)).to(self.device)
        noise = normal(2, len(x), o.latent_dim, rng=rng).to(self.device)
        class_probs_prior = class_probs[permutation(len(x), rng).to(self.device)]

        with autocast(self.device, o.bfloat16):
            mu, logvar = m.posterior(x, class_probs)
            x_rec = m.generator(reparameterise(mu, logvar, noise[0]), class_probs)
            x_fake = m.generator(noise[1], class_probs_prior)
            # Passes of their own: batch norm must not mix real, reconstructed and sampled images.
            real_logits, features_real = m.discriminator(x, class_probs)
            rec_logits, features_rec = m.discriminator(x_rec, class_probs)
            fake_logits, _ = m.discriminator(x_fake, class_probs_prior)

        # The error of the reconstruction in the discriminator's features, equations 7 and 8.
        loss_features = half_squared_distance(features_real.detach(), features_rec).mean()
        loss_kl = kl_divergence(mu, logvar).mean()

        # The game, equation 5 and section 2.3: samples of the posterior play beside those of the
        # prior.
        loss_d = real_loss(real_logits, o.game).mean()
        loss_d = (
            loss_d + fake_loss(rec_logits, o.game).mean() + fake_loss(fake_logits, o.game).mean()
        )
        loss_adversarial = generator_loss(torch.cat([rec_logits, fake_logits]), o.game).mean()

        # Each network has its own sum; the game does not reach the encoder, the features' error not
        # D.
        loss_e = o.weight_kl * loss_kl + loss_features
        loss_g = o.gamma * loss_features + loss_adversarial
        self.players.descend(
            {("encoder",): loss_e, ("generator",): loss_g, ("discriminator",): loss_d}
        )
        losses = {"encoder": loss_e, "generator": loss_g, "discriminator": loss_d, "kl": loss_kl}
        losses |= {"features": loss_features, "adversarial": loss_adversarial}
        return {name: loss.detach() for name, loss in losses.items()}
