"""WGAN (Arjovsky et al. 2017, arXiv:1701.07875) by clipping, or by gradient penalty (Gulrajani et
al. 2017).

A WGAN knows no class. It is made a source of classes as the CGAN is: generator and critic get the
label.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.optim import RMSprop

from augmentor.common.precision import autocast
from augmentor.common.randomness import normal, uniform
from augmentor.families.players import Players, Resumable, adam
from augmentor.families.renderer import Renderer
from augmentor.losses.adversarial import fake_loss, generator_loss, real_loss
from augmentor.losses.gradient_penalty import gradient_penalty
from augmentor.networks.blocks import as_class_probs
from augmentor.networks.discriminator import Discriminator, Norm
from augmentor.networks.generator import Generator, Upsampling


@dataclass(frozen=True)
class WganOptions:
    """Everything that can be set.

    Args:
        latent_dim: Length of the latent.
        width: Channels at full resolution in every network; doubled at every halving, at most eight
            times.
        lipschitz: What bounds the critic's slope: ``clip`` its weights (and learn by RMSProp, as
            its paper does), or ``gradient_penalty`` (and learn by Adam).
        clip: Largest absolute value of a weight of the critic.
        weight_penalty: The lambda of the gradient penalty.
        critic_steps: The critic's updates for one of the generator; the batch is dealt out among
            them.
        conditioning: How the critic sees the class; see ``networks.discriminator.Discriminator``.
        norm: The critic's, likewise; batch norm and the gradient penalty exclude each other.
        conditional_norm: Class-conditional batch norm in the generator.
        upsampling: How the generator doubles the side; see ``networks.generator.Generator``.
        learning_rate: Of both.
        beta1: Adam's first decay.
        beta2: Adam's second decay.
        ema_decay: Share kept of the averaged weights in a step.
        bfloat16: Run the networks in bfloat16 autocast where the device computes it natively, the
            gradient penalty excepted.

    Raises:
        ValueError: If the critic has batch norm and the gradient penalty.
    """

    latent_dim: int = 64
    width: int = 32
    lipschitz: Literal["clip", "gradient_penalty"] = "gradient_penalty"
    clip: float = 0.01
    weight_penalty: float = 10.0
    critic_steps: int = 5
    conditioning: Literal["channel", "projection"] = "channel"
    norm: Norm = "layer"
    conditional_norm: bool = True
    upsampling: Upsampling = "transposed"
    learning_rate: float = 1e-4
    beta1: float = 0.0
    beta2: float = 0.9
    ema_decay: float = 0.999
    bfloat16: bool = True

    def __post_init__(self) -> None:
        if self.lipschitz == "gradient_penalty" and self.norm == "batch":
            raise ValueError(
                "gradient_penalty takes images one by one, which norm: batch mixes; use layer"
            )


WGAN_PRESETS = {"default": WganOptions(lipschitz="clip", norm="batch", learning_rate=5e-5)}
WGAN_GP_PRESETS = {"default": WganOptions()}


class Wgan(Renderer):
    """Generator and critic (the submodule ``discriminator``); a ``SampleSource``.

    Args:
        classes: Class names; position is index.
        image_shape: (C, H, W), square, 8 to 128 pixels, any C.
        options: Everything that can be set.
    """

    def __init__(
        self, classes: tuple[str, ...], image_shape: tuple[int, int, int], options: WganOptions
    ) -> None:
        super().__init__(classes, image_shape, options)
        self.options = o = options
        k = len(classes)
        self.generator = Generator(
            image_shape, k, o.latent_dim, o.width, o.conditional_norm, o.upsampling
        )
        self.discriminator = Discriminator(image_shape, k, o.width, o.conditioning, o.norm)


class WganTrainer(Resumable):
    """The optimisers and the step of the paper.

    Args:
        model: The players, trained in place.
    """

    def __init__(self, model: Wgan) -> None:
        self.model, self.options = model, model.options
        self.device = next(model.parameters()).device
        self.players = Players(
            model, {name: self._optimiser(name) for name in ("generator", "discriminator")}
        )

    def step(self, x: Tensor, y: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        """The critic's updates and one of the generator (algorithm 1 of either paper).

        Every update of the critic sees real images of its own, 1 / critic_steps of the batch, and
        as many generated; the generator sees as many as the batch has.

        Args:
            x: Real images, float32 (N, C, H, W) in [-1, 1]; N is at least ``critic_steps``.
            y: Their classes, int64 (N,).
            rng: Where latents and mixtures come from.

        Returns:
            Named losses, scalars without gradient; ``distance`` is the critic's estimate in its
            last update.

        Raises:
            ValueError: If the batch is too small.
        """
        m, o = self.model.train(), self.options
        if len(x) < o.critic_steps:
            raise ValueError(
                f"a batch of {len(x)} cannot be dealt out to {o.critic_steps} updates of the critic"
            )
        x, class_probs = x.to(self.device), as_class_probs(y, len(m.classes)).to(self.device)
        z = normal(len(x), o.latent_dim, rng=rng).to(self.device)
        mix = uniform(len(x), rng=rng).to(self.device)

        # The generator rests while the critic learns: one pass renders for all its updates. A
        # generated image has the class of the real one beside it, so that what lies between the two
        # has a class.
        with autocast(self.device, self.options.bfloat16):
            x_fake = m.generator(z, class_probs)
        dealt = (
            part.tensor_split(o.critic_steps) for part in (x, x_fake.detach(), class_probs, mix)
        )
        for real, fake, seen, share in zip(*dealt, strict=True):
            # The critic ascends E D(x) - E D(G(z)) within its bound.
            with autocast(self.device, self.options.bfloat16):
                loss_d = real_loss(m.discriminator(real, seen)[0], "wasserstein").mean()
                loss_d = loss_d + fake_loss(m.discriminator(fake, seen)[0], "wasserstein").mean()
            distance = -loss_d.detach()
            if o.lipschitz == "gradient_penalty":
                loss_d = loss_d + o.weight_penalty * self._penalty(real, fake, seen, share)
            self.players.descend({("discriminator",): loss_d})
            if o.lipschitz == "clip":
                self._clip()

        # The generator descends -E D(G(z)).
        with autocast(self.device, self.options.bfloat16):
            loss_g = generator_loss(m.discriminator(x_fake, class_probs)[0], "wasserstein").mean()
        self.players.descend({("generator",): loss_g})
        return {
            "discriminator": loss_d.detach(),
            "generator": loss_g.detach(),
            "distance": distance,
        }

    def _penalty(self, real: Tensor, fake: Tensor, class_probs: Tensor, mix: Tensor) -> Tensor:
        """In float32: a gradient of a gradient loses too much in bfloat16."""
        return gradient_penalty(
            lambda x: self.model.discriminator(x, class_probs)[0], real, fake, mix
        ).mean()

    @torch.no_grad()
    def _clip(self) -> None:
        for weight in self.model.discriminator.parameters():
            weight.clamp_(-self.options.clip, self.options.clip)

    def _optimiser(self, name: str) -> torch.optim.Optimizer:
        network, o = self.model.get_submodule(name), self.options
        if o.lipschitz == "clip":
            return RMSprop(network.parameters(), lr=o.learning_rate)
        return adam(network, o.learning_rate, o.beta1, o.beta2)
