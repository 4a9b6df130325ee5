"""IP-GAN: towards open-set identity preserving face synthesis (Bao et al. 2018, arXiv:1803.11182).

An image is rendered from the identity of one image and the attributes of another, people never seen
included. That makes no source of classes yet: to be one, the model keeps a code for every class,
the mean identity of its images.

The paper's identity encoder and its classifier learn by one and the same loss, so they are one
network here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from augmentor.common.precision import autocast
from augmentor.common.randomness import normal, permutation
from augmentor.families.players import Resumable, adam_players
from augmentor.families.renderer import EncodingRenderer
from augmentor.losses.adversarial import Game, fake_loss, real_loss
from augmentor.losses.feature_matching import class_means, half_squared_distance
from augmentor.losses.vae import kl_divergence, reparameterise
from augmentor.networks.blocks import as_class_probs
from augmentor.networks.classifier import Classifier
from augmentor.networks.discriminator import Discriminator, Norm
from augmentor.networks.encoder import Encoder
from augmentor.networks.generator import Generator, Upsampling
from augmentor.networks.moving_mean import MovingMean


@dataclass(frozen=True)
class IpGanOptions:
    """Everything that can be set. The defaults are the preset ``default``; ``paper`` weighs all
    terms but one alike.

    KL and squared errors are summed over latent dimensions, pixels and features and averaged over
    the batch.

    Args:
        latent_dim: Length of the latent, the attributes.
        width: Channels at full resolution in every network; doubled at every halving, at most eight
            times.
        weight_kl: Weight of the KL term beside the pixels' error; attribute encoder only.
        weight_other: The paper's lambda, weight of the pixels' error where identity and attributes
            come from two images; it is 1 where they come from one.
        weight_features_c: Weight of the classifier's features, rendered against identity image;
            generator only.
        weight_features_d: Weight of the discriminator's features, rendered against attribute image;
            generator only.
        game: What the discriminator minimises; the generator does not play it. See
            ``losses.adversarial``.
        norm: The discriminator's; see ``networks.discriminator.Discriminator``.
        code_decay: Share kept of the classes' mean identities in a step, in [0, 1).
        upsampling: How the generator doubles the side; see ``networks.generator.Generator``.
        learning_rate: Adam's, for all networks but the discriminator.
        learning_rate_d: Adam's, for the discriminator.
        beta1: Adam's first decay.
        ema_decay: Share kept of the averaged weights in a step.
        bfloat16: Run the networks in bfloat16 autocast where the device computes it natively.
    """

    latent_dim: int = 64
    width: int = 32
    weight_kl: float = 0.3
    weight_other: float = 0.1
    weight_features_c: float = 0.05
    weight_features_d: float = 0.01
    game: Game = "non_saturating"
    norm: Norm = "batch"
    code_decay: float = 0.99
    upsampling: Upsampling = "transposed"
    learning_rate: float = 4e-4
    learning_rate_d: float = 2e-4
    beta1: float = 0.5
    ema_decay: float = 0.999
    bfloat16: bool = True


PRESETS = {
    # At weight one both drown the pixels on faces of 32 pixels: every photo of a person becomes one
    # picture.
    "default": IpGanOptions(),
    "paper": IpGanOptions(weight_kl=1.0, weight_features_c=1.0),
}


class IdentityEncoder(nn.Module):
    """A classifier's features as identities, and the mean identity of every class.

    Args:
        image_shape: (C, H, W), square; see ``blocks.halvings`` for the sizes.
        num_classes: Classes K.
        width: Channels after the first convolution; doubled at every halving, at most eight times.
        code_decay: Share kept of the mean identities in an update, in [0, 1).
    """

    def __init__(
        self, image_shape: tuple[int, int, int], num_classes: int, width: int, code_decay: float
    ) -> None:
        super().__init__()
        self.classifier = Classifier(image_shape, num_classes, width)
        self.num_features = self.classifier.num_features
        self.codes = MovingMean(num_classes, self.num_features, code_decay)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N, K) and features (N, F) of images (N, C, H, W); ``identity`` is of the
        features.
        """
        class_logits, features = self.classifier(x)
        return class_logits, features

    def of_classes(self, class_probs: Tensor) -> Tensor:
        """Identities (N, F) of classes or mixtures of classes, ``class_probs`` (N, K)."""
        return identity(class_probs @ cast(Tensor, self.codes.mean))


def identity(features: Tensor) -> Tensor:
    """Features (N, F) scaled to mean square one: their length grows as the classifier learns, and
    tells no person.
    """
    return normalize(features, dim=1) * math.sqrt(features.shape[1])


class IpGan(EncodingRenderer):
    """The four networks; an ``EncodingSource`` that also renders the identity of any image.

    ``encode`` gives the attributes of an image; its label is not looked at.

    Args:
        classes: Class names; position is index.
        image_shape: (C, H, W), square, 8 to 128 pixels, any C.
        options: Everything that can be set.
    """

    def __init__(
        self, classes: tuple[str, ...], image_shape: tuple[int, int, int], options: IpGanOptions
    ) -> None:
        super().__init__(classes, image_shape, options)
        self.options = o = options
        self.identity = IdentityEncoder(image_shape, len(classes), o.width, o.code_decay)
        self.encoder = Encoder(image_shape, 0, o.latent_dim, o.width)
        # The identity stands where other families have the class.
        self.generator = Generator(
            image_shape, self.identity.num_features, o.latent_dim, o.width, False, o.upsampling
        )
        self.discriminator = Discriminator(image_shape, 0, o.width, "none", o.norm)

    def posterior(self, x: Tensor, class_probs: Tensor) -> tuple[Tensor, Tensor]:
        """q(z | x): mu and logvar, each (N, latent_dim)."""
        return super().posterior(x, class_probs[:, :0])

    def decode(self, z: Tensor, given: Tensor) -> Tensor:
        """Images of latents and classes; the identity is the class's stored one."""
        image: Tensor = self.generator(z, self.identity.of_classes(given))
        return image

    @torch.no_grad()
    def render(self, identity_image: Tensor, attribute_image: Tensor) -> Tensor:
        """The person of one image as the other image shows its own, for people never seen too.

        Args:
            identity_image: Who, float32 (N, C, H, W) in [-1, 1].
            attribute_image: Pose, light, background; the shape of ``identity_image``.

        Returns:
            Images, float32 (N, C, H, W) in [-1, 1]. Row i depends on row i of both only.

        Raises:
            ValueError: If a shape is not (N, *image_shape) or the two differ.
        """
        if (
            identity_image.shape != attribute_image.shape
            or identity_image.shape[1:] != self.image_shape
        ):
            found = f"{tuple(identity_image.shape)} and {tuple(attribute_image.shape)}"
            raise ValueError(
                f"both images must be (N, {', '.join(map(str, self.image_shape))}), got {found}"
            )
        self.eval()
        _, features = self.identity(identity_image)
        z, _ = self.encoder(attribute_image, attribute_image.new_zeros(len(attribute_image), 0))
        image: Tensor = self.generator(z, identity(features))
        return image


class IpGanTrainer(Resumable):
    """The optimisers and the step of the paper.

    Args:
        model: The networks, trained in place.
    """

    def __init__(self, model: IpGan) -> None:
        self.model, self.options = model, model.options
        self.device = next(model.parameters()).device
        o = model.options
        rates = dict.fromkeys(("identity", "encoder", "generator"), o.learning_rate)
        rates["discriminator"] = o.learning_rate_d
        self.players = adam_players(model, rates, o.beta1)

    def step(self, x: Tensor, y: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        """One step of all four networks on a real batch (algorithm 1).

        The paper takes identity and attributes from one image in every other step; here they come
        from one image in the first half of the batch, from two in the second.

        Args:
            x: Real images, float32 (N, C, H, W) in [-1, 1]: those of the attributes.
            y: Their classes, int64 (N,).
            rng: Where latents and the pairs of images come from.

        Returns:
            Named losses, scalars without gradient.
        """
        m, o = self.model.train(), self.options
        x, class_probs = x.to(self.device), as_class_probs(y, len(m.classes)).to(self.device)
        noise = normal(len(x), o.latent_dim, rng=rng).to(self.device)
        half = (len(x) + 1) // 2
        others = half + permutation(len(x) - half, rng).to(self.device)
        partner = torch.cat(
            [torch.arange(half, device=self.device), others]
        )  # row i has the identity of image partner[i]

        with autocast(self.device, o.bfloat16):
            class_logits, features_c = m.identity(x)
            mu, logvar = m.posterior(x, class_probs)
            x_rec = m.generator(
                reparameterise(mu, logvar, noise), identity(features_c.detach()[partner])
            )
            _, features_c_rec = m.identity(x_rec)
            # Passes of their own: batch norm must not mix real and rendered images.
            real_logits, features_d = m.discriminator(x, class_probs)
            fake_logits, features_d_rec = m.discriminator(x_rec, class_probs)
        m.identity.codes(*class_means(identity(features_c.detach()), class_probs))

        # Identity encoder and classifier, one network, learn to tell the people of real images.
        loss_c = cross_entropy(class_logits, class_probs)
        loss_kl = kl_divergence(mu, logvar).mean()
        loss_d = real_loss(real_logits, o.game).mean() + fake_loss(fake_logits, o.game).mean()

        # Where the two images are one, the pixels are to be met; where not, only roughly.
        share = torch.where(
            partner == torch.arange(len(x), device=self.device), 1.0, o.weight_other
        )
        loss_pixels = (share * half_squared_distance(x, x_rec)).mean()

        # Asymmetric: the generator gets no cross entropy, but the features of the pair: who, and
        # how shown.
        loss_features_c = half_squared_distance(features_c.detach()[partner], features_c_rec).mean()
        loss_features_d = half_squared_distance(features_d.detach(), features_d_rec).mean()

        loss_e = loss_pixels + o.weight_kl * loss_kl
        loss_g = (
            loss_pixels
            + o.weight_features_c * loss_features_c
            + o.weight_features_d * loss_features_d
        )
        losses = {
            "identity": loss_c,
            "discriminator": loss_d,
            "encoder": loss_e,
            "generator": loss_g,
        }
        self.players.descend({(name,): loss for name, loss in losses.items()})
        losses |= {"kl": loss_kl, "pixels": loss_pixels}
        losses |= {"features_c": loss_features_c, "features_d": loss_features_d}
        return {name: loss.detach() for name, loss in losses.items()}
