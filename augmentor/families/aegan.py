"""AEGAN: an autoencoder, a GAN in the space of its codes, and a discriminator of images that hears
of both.

The autoencoder is a plain one, without KL. The discriminator of images takes reconstructions for
real, not the images themselves: the generator of codes is then asked for nothing that the decoder
cannot render. It knows no class. It is made a source of classes the standard way: all five networks
get the label.
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
from augmentor.losses.feature_matching import half_squared_distance
from augmentor.networks.blocks import as_class_probs
from augmentor.networks.discriminator import Discriminator, Norm
from augmentor.networks.encoder import Encoder
from augmentor.networks.generator import Generator, Upsampling
from augmentor.networks.latent_discriminator import LatentDiscriminator
from augmentor.networks.latent_generator import LatentGenerator


@dataclass(frozen=True)
class AeganOptions:
    """Everything that can be set.

    Args:
        latent_dim: Length of the latent.
        code_dim: Length of the autoencoder's code.
        width: Channels at full resolution in every network; doubled at every halving, at most eight
            times.
        weight_adversarial: The paper's lambda, of the game of images beside that of codes;
            generator of codes only.
        game: What all players of the two games minimise; see ``losses.adversarial``.
        conditioning: How the discriminator sees the class; see
            ``networks.discriminator.Discriminator``.
        norm: The discriminator's, likewise.
        conditional_norm: Class-conditional batch norm in the decoder.
        upsampling: How the decoder doubles the side; see ``networks.generator.Generator``.
        search_steps: Steps of the search for an image's latent.
        search_rate: Adam's, in that search.
        learning_rate: Adam's, for autoencoder and generator of codes.
        learning_rate_d: Adam's, for the discriminators.
        beta1: Adam's first decay.
        ema_decay: Share kept of the averaged weights in a step.
        bfloat16: Run the networks in bfloat16 autocast where the device computes it natively.
    """

    latent_dim: int = 64
    code_dim: int = 64
    width: int = 32
    weight_adversarial: float = 1.0
    game: Game = "non_saturating"
    conditioning: Literal["channel", "projection"] = "channel"
    norm: Norm = "batch"
    conditional_norm: bool = True
    upsampling: Upsampling = "transposed"
    search_steps: int = 100
    search_rate: float = 0.1
    learning_rate: float = 1e-3
    learning_rate_d: float = 4e-4
    beta1: float = 0.5
    ema_decay: float = 0.999
    bfloat16: bool = True


PRESETS = {"default": AeganOptions()}


class Aegan(Renderer):
    """The five networks; ``generator`` is the decoder. An ``EncodingSource`` by a search for the
    latent.

    Args:
        classes: Class names; position is index.
        image_shape: (C, H, W), square, 8 to 128 pixels, any C.
        options: Everything that can be set.
    """

    def __init__(
        self, classes: tuple[str, ...], image_shape: tuple[int, int, int], options: AeganOptions
    ) -> None:
        super().__init__(classes, image_shape, options)
        self.options = o = options
        k, hidden = len(classes), 8 * o.width
        self.encoder = Encoder(image_shape, k, o.code_dim, o.width)
        self.generator = Generator(
            image_shape, k, o.code_dim, o.width, o.conditional_norm, o.upsampling
        )
        self.latent_generator = LatentGenerator(o.latent_dim, k, o.code_dim, hidden)
        self.latent_discriminator = LatentDiscriminator(o.code_dim, k, hidden)
        self.discriminator = Discriminator(image_shape, k, o.width, o.conditioning, o.norm)

    def decode(self, z: Tensor, class_probs: Tensor) -> Tensor:
        """Dec(G1(z)) of latents (N, latent_dim) of class probabilities (N, K): float32 (N, C, H, W)
        in [-1, 1].
        """
        image: Tensor = self.generator(self.latent_generator(z, class_probs), class_probs)
        return image

    def encode(self, x: Tensor, y: Tensor, condition: Tensor | None = None) -> Tensor:
        r"""See ``types.EncodingSource.encode``; the latent is searched for, from zero on, by
        ``search_steps`` of Adam.

        .. math:: z = \arg\min_z \lVert x - Dec(G_1(z)) \rVert^2

        Two images are interpolated by interpolating what was found for them.
        """
        self.eval()
        class_probs = self.given(y, condition).to(x.device)
        z = torch.zeros(len(x), self.latent_dim, device=x.device, requires_grad=True)
        search = torch.optim.Adam([z], lr=self.options.search_rate)
        with torch.enable_grad():
            for _ in range(self.options.search_steps):
                # Summed over the batch, so that the search for an image does not hear of the
                # others.
                loss = half_squared_distance(x, self.decode(z, class_probs)).sum()
                (z.grad,) = torch.autograd.grad(loss, z)
                search.step()
        return z.detach()


class AeganTrainer(Resumable):
    """The optimisers and the step.

    Args:
        model: The networks, trained in place.
    """

    def __init__(self, model: Aegan) -> None:
        self.model, self.options = model, model.options
        self.device = next(model.parameters()).device
        o = model.options
        rates = dict.fromkeys(("encoder", "generator", "latent_generator"), o.learning_rate)
        rates |= dict.fromkeys(("latent_discriminator", "discriminator"), o.learning_rate_d)
        self.players = adam_players(model, rates, o.beta1)

    def step(self, x: Tensor, y: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        """One step of all five networks on a real batch.

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
        class_probs_fake = class_probs[permutation(len(x), rng).to(self.device)]

        # The autoencoder: squared error, the mean over pixels.
        with autocast(self.device, self.options.bfloat16):
            codes, _ = m.encoder(x, class_probs)
            x_rec = m.generator(codes, class_probs)
        loss_ae = 2 * half_squared_distance(x, x_rec).mean() / x[0].numel()
        self.players.descend({("encoder", "generator"): loss_ae})
        codes, x_rec = codes.detach(), x_rec.detach()

        # D1 tells codes of images from generated ones, D2 reconstructions from decoded generated
        # codes.
        with autocast(self.device, self.options.bfloat16):
            codes_fake = m.latent_generator(z, class_probs_fake)
            x_fake = m.generator(codes_fake, class_probs_fake)
            code_logits = m.latent_discriminator(codes, class_probs)
            code_fake_logits = m.latent_discriminator(codes_fake.detach(), class_probs_fake)
            rec_logits, _ = m.discriminator(x_rec, class_probs)
            fake_logits, _ = m.discriminator(x_fake.detach(), class_probs_fake)
        loss_d1 = real_loss(code_logits, o.game).mean() + fake_loss(code_fake_logits, o.game).mean()
        loss_d2 = real_loss(rec_logits, o.game).mean() + fake_loss(fake_logits, o.game).mean()
        self.players.descend({("latent_discriminator",): loss_d1, ("discriminator",): loss_d2})

        # G1 plays against both just improved; the decoder only passes the gradient on.
        with autocast(self.device, self.options.bfloat16):
            code_fake_logits = m.latent_discriminator(codes_fake, class_probs_fake)
            fake_logits, _ = m.discriminator(x_fake, class_probs_fake)
        loss_code, loss_image = (
            generator_loss(code_fake_logits, o.game).mean(),
            generator_loss(fake_logits, o.game).mean(),
        )
        loss_g1 = loss_code + o.weight_adversarial * loss_image
        self.players.descend({("latent_generator",): loss_g1})
        losses = {
            "autoencoder": loss_ae,
            "latent_generator": loss_g1,
            "latent_discriminator": loss_d1,
        }
        losses |= {
            "discriminator": loss_d2,
            "adversarial_codes": loss_code,
            "adversarial": loss_image,
        }
        return {name: loss.detach() for name, loss in losses.items()}
