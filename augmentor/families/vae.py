"""VAE: auto-encoding variational Bayes (Kingma & Welling 2014, arXiv:1312.6114), and the CVAE (Sohn
et al. 2015).

A VAE knows no class. It is made a source of classes the standard way, p(x | z, c) p(z): the label
goes to the decoder beside z. What is left between the two is the encoder, q(z | x) in the VAE and
q(z | x, c) in the CVAE.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from augmentor.common.conditions import NO_CONDITIONS, Conditions
from augmentor.common.precision import autocast
from augmentor.common.randomness import normal
from augmentor.families.players import Resumable, adam_players
from augmentor.families.renderer import EncodingRenderer
from augmentor.losses.vae import bernoulli_nll, gaussian_nll, kl_divergence, reparameterise
from augmentor.networks.encoder import Encoder
from augmentor.networks.generator import ConditionOn, Generator, Upsampling


@dataclass(frozen=True)
class VaeOptions:
    """Everything that can be set.

    Both terms of the loss are in nats, summed over pixels or latent dimensions and averaged over
    the batch.

    Args:
        latent_dim: Length of the latent.
        width: Channels at full resolution in every network; doubled at every halving, at most eight
            times.
        encoder_sees_class: The encoder gets the label too: CVAE; without, VAE.
        likelihood: ``gaussian`` pixels of width ``sigma``, or ``bernoulli`` for images that are
            nearly black and white.
        sigma: Standard deviation of a Gaussian pixel in [-1, 1]; 1 is half the squared error.
            Smaller weighs the reconstruction more, and the latent then tells the class, so that the
            generator ignores its label.
        weight_kl: Weight of the KL term, beta; 1 is the bound of the paper.
        conditional_norm: Class-conditional batch norm in the generator.
        condition_at_start: The condition enters the generator beside the latent too, not in its
            normalisations alone; faces under light that was never seen of them come out worse.
        condition_on: What a condition acts on in the generator: the ``features`` together with the
            class, or the ``whole_image``, in the same way for all classes. ``auto`` takes the
            features for numbers, such as angles of light, and the image for categories.
        upsampling: How the generator doubles the side; see ``networks.generator.Generator``.
        learning_rate: Adam's.
        beta1: Adam's first decay.
        ema_decay: Share kept of the averaged weights in a step.
        bfloat16: Run the networks in bfloat16 autocast where the device computes it natively.
    """

    latent_dim: int = 64
    width: int = 32
    encoder_sees_class: bool = True
    likelihood: Literal["bernoulli", "gaussian"] = "gaussian"
    sigma: float = 1.0
    weight_kl: float = 1.0
    conditional_norm: bool = True
    condition_at_start: bool = False
    condition_on: ConditionOn = "auto"
    upsampling: Upsampling = "transposed"
    learning_rate: float = 1e-3
    beta1: float = 0.9
    ema_decay: float = 0.999
    bfloat16: bool = True


VAE_PRESETS = {
    "default": VaeOptions(encoder_sees_class=False),
    "bernoulli": VaeOptions(encoder_sees_class=False, likelihood="bernoulli"),
}
CVAE_PRESETS = {"default": VaeOptions(), "bernoulli": VaeOptions(likelihood="bernoulli")}


class Vae(EncodingRenderer):
    """Encoder and generator (the papers' decoder); an ``EncodingSource`` and a ``DensitySource``.

    It renders the mean of its likelihood.

    Args:
        classes: Class names; position is index.
        image_shape: (C, H, W), square, 8 to 128 pixels, any C.
        options: Everything that can be set.
        conditions: What both networks know beside the class.
    """

    def __init__(
        self,
        classes: tuple[str, ...],
        image_shape: tuple[int, int, int],
        options: VaeOptions,
        conditions: Conditions = NO_CONDITIONS,
    ) -> None:
        super().__init__(classes, image_shape, options, conditions)
        self.options = o = options
        k, condition = len(classes), self.condition_input
        self.encoder = (
            Encoder(image_shape, k, o.latent_dim, o.width, condition)
            if o.encoder_sees_class
            else Encoder(image_shape, 0, o.latent_dim, o.width)
        )
        self.generator = Generator(
            image_shape,
            k,
            o.latent_dim,
            o.width,
            o.conditional_norm,
            o.upsampling,
            condition,
            o.condition_at_start,
            o.condition_on,
        )

    def posterior(self, x: Tensor, given: Tensor) -> tuple[Tensor, Tensor]:
        """q(z | x, given) of the CVAE or q(z | x) of the VAE: mu and logvar, each (N, L)."""
        return super().posterior(x, given if self.options.encoder_sees_class else given[:, :0])

    def nll(self, x: Tensor, z: Tensor, given: Tensor) -> Tensor:
        """-log p(x | z, given) in nats, (N,)."""
        activations = self.generator.activations(z, given)
        if self.options.likelihood == "bernoulli":
            # The image rendered, tanh(a), is the mean: 2 sigmoid(2 a) - 1.
            return bernoulli_nll(x, 2 * activations)
        return gaussian_nll(x, torch.tanh(activations), self.options.sigma)

    @torch.no_grad()
    def log_density(
        self, x: Tensor, y: Tensor, noise: Tensor, condition: Tensor | None = None
    ) -> Tensor:
        """See ``types.DensitySource.log_density``."""
        self.eval()
        given = self.given(y, condition).to(x.device)
        mu, logvar = self.posterior(x, given)
        return -self.nll(x, reparameterise(mu, logvar, noise), given) - kl_divergence(mu, logvar)


class VaeTrainer(Resumable):
    """The optimisers and the step of the paper.

    Args:
        model: The networks, trained in place.
    """

    def __init__(self, model: Vae) -> None:
        self.model, self.options = model, model.options
        self.device = next(model.parameters()).device
        o = model.options
        self.players = adam_players(
            model, dict.fromkeys(("encoder", "generator"), o.learning_rate), o.beta1
        )

    def step(
        self,
        x: Tensor,
        y: Tensor,
        condition: Tensor | None = None,
        *,
        rng: torch.Generator,
    ) -> dict[str, Tensor]:
        """One step on a real batch (algorithm 1, with one draw of z an image).

        Args:
            x: Real images, float32 (N, C, H, W) in [-1, 1].
            y: Their classes, int64 (N,).
            condition: Their conditions, as ``Conditions.rows`` takes them; None without.
            rng: Where latents come from.

        Returns:
            Named losses, scalars without gradient: the negative bound (nats) and its two terms.
        """
        m, o = self.model.train(), self.options
        x, given = x.to(self.device), m.given(y, condition).to(self.device)
        noise = normal(len(x), o.latent_dim, rng=rng).to(self.device)

        with autocast(self.device, o.bfloat16):
            mu, logvar = m.posterior(x, given)
            z = reparameterise(mu, logvar, noise)
            loss_nll = m.nll(x, z, given).mean()
        loss_kl = kl_divergence(mu, logvar).mean()

        # Equation 7, its sign changed.
        loss = loss_nll + o.weight_kl * loss_kl
        self.players.descend({("encoder", "generator"): loss})
        return {"bound": loss.detach(), "nll": loss_nll.detach(), "kl": loss_kl.detach()}
