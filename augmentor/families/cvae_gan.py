"""CVAE-GAN: fine-grained image generation through asymmetric training (Bao et al. 2017,
arXiv:1703.10155).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from augmentor.common import ranks
from augmentor.common.conditions import NO_CONDITIONS, Conditions
from augmentor.common.precision import autocast
from augmentor.common.randomness import normal, permutation
from augmentor.families.players import Resumable, adam_players
from augmentor.families.renderer import EncodingRenderer
from augmentor.losses.adversarial import Game, fake_loss, generator_loss, real_loss
from augmentor.losses.feature_matching import (
    class_feature_matching,
    class_means,
    half_squared_distance,
    mean_feature_matching,
)
from augmentor.losses.vae import kl_divergence, reparameterise
from augmentor.networks.blocks import as_class_probs
from augmentor.networks.classifier import Classifier
from augmentor.networks.diff_augment import diff_augment, policies_of
from augmentor.networks.discriminator import Conditioning, Discriminator, Norm
from augmentor.networks.encoder import Encoder
from augmentor.networks.generator import ConditionOn, Generator, Upsampling
from augmentor.networks.moving_mean import MovingMean

USUAL_SQUARE, USUAL_CLASSES = 2000.0, 10
"""Half the mean square of the classifier's features that digits stay below, and their classes; the
weights of the default preset were found on them."""


@dataclass(frozen=True)
class CvaeGanOptions:
    """Everything that can be set. The defaults are the preset ``default``; ``paper`` is in
    ``PRESETS``.

    Squared errors are summed over features and averaged over the batch; so are those over pixels,
    unless ``pixel_reduction`` is ``mean``. That is what the weights mean.

    Args:
        latent_dim: Length of the latent.
        width: Channels at full resolution in every network; doubled at every halving, at most eight
            times.
        weight_kl: The paper's lambda 1, of the KL term; for the encoder only.
        weight_pixels: The paper's lambda 2 for ||x - x_rec||^2 / 2; encoder and generator.
        pixel_reduction: ``sum`` over pixels and channels, as in the paper, or their ``mean``, so
            that one weight serves all image sizes.
        weight_features_d: The paper's lambda 2 for the discriminator's features of the same pair.
        weight_features_c: The paper's lambda 2 for the classifier's features of the same pair.
        weight_mean: The paper's lambda 3, mean matching in the discriminator's features; generator
            only.
        weight_class_mean: The paper's lambda 4, per-class mean matching in the classifier's
            features; generator only.
        limit_features: Both losses in the classifier's features weigh no more than on ten classes
            of many images. On few images of many classes the features grow, and the sum over
            classes has more terms: without a limit both drown the other losses.
        weight_adversarial: Weight of the game's own generator loss; the paper's generator has none
            (0).
        weight_class: Weight of the classifier's cross entropy of rendered images; the symmetric
            way, which the paper's generator does without (0).
        game: What the discriminator minimises, and the generator if ``weight_adversarial`` > 0.
        centre_decay: Share kept of the moving means of features, in [0, 1).
        conditional_norm: Class-conditional batch norm in the generator.
        condition_at_start: The condition enters the generator beside the latent too, not in its
            normalisations alone; faces under light that was never seen of them come out worse.
        condition_on: What a condition acts on in the generator: the ``features`` together with the
            class, or the ``whole_image``, in the same way for all classes. ``auto`` takes the
            features for numbers, such as angles of light, and the image for categories.
        upsampling: How the generator doubles the side; see ``networks.generator.Generator``.
        recombine: Samples from the prior pair the class of one image with the condition of
            another, so that the game covers combinations that were never seen; without, they keep
            the pairs of the batch.
        projection: Projection discriminator.
        spectral_norm: Spectral norm and pooled features in the discriminator.
        diff_augment: Policies of ``networks.diff_augment``, joined by commas; empty for none.
        learning_rate: Adam's, for generator, encoder and classifier.
        learning_rate_d: Adam's, for the discriminator.
        beta1: Adam's first decay.
        ema_decay: Share kept of the averaged weights in a step.
        bfloat16: Run the networks in bfloat16 autocast where the device computes it natively.
    """

    latent_dim: int = 64
    width: int = 32
    weight_kl: float = 0.2
    weight_pixels: float = 80.0
    pixel_reduction: Literal["sum", "mean"] = "mean"
    weight_features_d: float = 0.02
    weight_features_c: float = 0.01
    weight_mean: float = 0.0
    weight_class_mean: float = 0.01
    limit_features: bool = True
    weight_adversarial: float = 1.0
    weight_class: float = 0.0
    game: Game = "hinge"
    centre_decay: float = 0.9
    conditional_norm: bool = True
    condition_at_start: bool = False
    condition_on: ConditionOn = "auto"
    upsampling: Upsampling = "transposed"
    recombine: bool = True
    projection: bool = True
    spectral_norm: bool = True
    diff_augment: str = "translation"
    learning_rate: float = 4e-4
    learning_rate_d: float = 4e-4
    beta1: float = 0.5
    ema_decay: float = 0.999
    bfloat16: bool = True

    def __post_init__(self) -> None:
        policies_of(self.diff_augment)


PRESETS = {
    "default": CvaeGanOptions(),
    "paper": CvaeGanOptions(
        latent_dim=256,
        width=64,
        weight_kl=3.0,
        weight_pixels=1.0,
        pixel_reduction="sum",
        weight_features_d=1.0,
        weight_features_c=1.0,
        weight_mean=1e-3,
        weight_class_mean=1e-3,
        limit_features=False,
        weight_adversarial=0.0,
        game="minimax",
        centre_decay=0.9,
        conditional_norm=False,
        upsampling="nearest",
        projection=False,
        spectral_norm=False,
        diff_augment="",
        learning_rate=2e-4,
        learning_rate_d=2e-4,
    ),
}


class CvaeGan(EncodingRenderer):
    """The four networks; an ``EncodingSource``.

    Args:
        classes: Class names; position is index.
        image_shape: (C, H, W), square, 8 to 128 pixels, any C.
        options: Everything that can be set.
        conditions: What encoder, generator and discriminator know beside the class.
    """

    def __init__(
        self,
        classes: tuple[str, ...],
        image_shape: tuple[int, int, int],
        options: CvaeGanOptions,
        conditions: Conditions = NO_CONDITIONS,
    ) -> None:
        super().__init__(classes, image_shape, options, conditions)
        self.options = o = options
        k, condition = len(classes), self.condition_input
        conditioning: Conditioning = "projection" if o.projection else "none"
        norm: Norm = "spectral" if o.spectral_norm else "batch"
        self.encoder = Encoder(image_shape, k, o.latent_dim, o.width, condition)
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
        self.discriminator = Discriminator(
            image_shape, k, o.width, conditioning, norm, condition=condition
        )
        self.classifier = Classifier(image_shape, k, o.width)


class CvaeGanTrainer(Resumable):
    """The optimisers, the moving centres and the step of the paper.

    Args:
        model: The networks, trained in place.
    """

    def __init__(self, model: CvaeGan) -> None:
        self.model, self.options = model, model.options
        self.device = next(model.parameters()).device
        o = model.options
        rates = {"encoder": o.learning_rate, "generator": o.learning_rate}
        rates |= {"discriminator": o.learning_rate_d, "classifier": o.learning_rate}
        self.players = adam_players(model, rates, o.beta1)
        features_d, features_c = model.discriminator.num_features, model.classifier.num_features
        k = len(model.classes)
        self.centres = nn.ModuleDict(
            {
                "real": MovingMean(1, features_d, o.centre_decay),
                "fake": MovingMean(1, features_d, o.centre_decay),
                "class_real": MovingMean(k, features_c, o.centre_decay),
                "class_fake": MovingMean(k, features_c, o.centre_decay),
            }
        ).to(self.device)

    def step(
        self,
        x: Tensor,
        y: Tensor,
        condition: Tensor | None = None,
        *,
        rng: torch.Generator,
    ) -> dict[str, Tensor]:
        """One step of all four networks on a real batch.

        Args:
            x: Real images, float32 (N, C, H, W) in [-1, 1].
            y: Their classes, int64 (N,).
            condition: Their conditions, as ``Conditions.rows`` takes them; None without.
            rng: Where latents, classes of the prior samples and augmentations come from.

        Returns:
            Named losses, scalars without gradient.
        """
        m, o = self.model.train(), self.options
        k = len(m.classes)
        x, class_probs = x.to(self.device), as_class_probs(y, k).to(self.device)
        given = m.given(y, condition).to(self.device)
        noise, class_probs_prior = self._draws(class_probs, rng)
        given_prior = torch.cat([class_probs_prior, given[:, k:]], dim=1)
        policies = policies_of(o.diff_augment)

        with autocast(self.device, o.bfloat16):
            # Steps 2 and 3. Posterior, reconstruction, samples from the prior.
            mu, logvar = m.encoder(x, given)
            z = reparameterise(mu, logvar, noise[0])
            # Two passes: in a joint one, batch norm would carry the losses of the samples over to
            # the encoder.
            x_rec, x_fake = m.generator(z, given), m.generator(noise[1], given_prior)

            # C and D see real, reconstructed and sampled images once; that serves all losses of the
            # step.
            images = torch.cat([x, x_rec, x_fake])
            class_logits, features_c = m.classifier(images)
            seen = diff_augment(images, policies, rng, copies=3)
            logits, features_d = self._discriminate(seen, torch.cat([given, given, given_prior]))
        features_c_real, features_c_rec, features_c_fake = features_c.chunk(3)
        features_d_real, features_d_rec, features_d_fake = features_d.chunk(3)
        features_c_real, features_d_real = features_c_real.detach(), features_d_real.detach()
        real_logits, rec_logits, fake_logits = logits.chunk(3)

        # Steps 1 and 4. The classifier learns from real images only, the discriminator from all
        # three.
        loss_c = cross_entropy(class_logits[: len(x)], class_probs)
        loss_d = real_loss(real_logits, o.game).mean()
        loss_d = (
            loss_d + fake_loss(rec_logits, o.game).mean() + fake_loss(fake_logits, o.game).mean()
        )

        # Step 5. Mean matching in D's features; step 6, per class in C's.
        loss_mean = self._mean_matching(features_d_real, features_d_fake)
        loss_class_mean = self._class_matching(
            features_c_real, class_probs, features_c_fake, class_probs_prior
        )

        # Step 7. Pairwise matching of pixels and of both feature spaces.
        pixels = x[0].numel() if o.pixel_reduction == "mean" else 1
        loss_pixels = half_squared_distance(x, x_rec).mean() / pixels
        loss_features_d = half_squared_distance(features_d_real, features_d_rec).mean()
        loss_features_c = half_squared_distance(features_c_real, features_c_rec).mean()
        loss_pairs = o.weight_pixels * loss_pixels + o.weight_features_d * loss_features_d
        share_c = self._share_of(features_c_real)
        loss_pairs = loss_pairs + share_c * o.weight_features_c * loss_features_c
        loss_kl = kl_divergence(mu, logvar).mean()
        loss_adversarial = generator_loss(torch.cat([rec_logits, fake_logits]), o.game).mean()

        # Step 8. Gradients of all four at the same weights. KL does not depend on G, the means not
        # on E.
        weight_class_mean = share_c * self._share_of_classes(k) * o.weight_class_mean
        loss_g = loss_pairs + o.weight_mean * loss_mean + weight_class_mean * loss_class_mean
        loss_g = loss_g + o.weight_adversarial * loss_adversarial + o.weight_kl * loss_kl
        if o.weight_class > 0:
            labels = torch.cat([class_probs, class_probs_prior])
            loss_g = loss_g + o.weight_class * cross_entropy(class_logits[len(x) :], labels)
        self.players.descend(
            {("classifier",): loss_c, ("discriminator",): loss_d, ("generator", "encoder"): loss_g}
        )
        losses = {
            "classifier": loss_c,
            "discriminator": loss_d,
            "kl": loss_kl,
            "pixels": loss_pixels,
        }
        losses |= {"features_d": loss_features_d, "features_c": loss_features_c, "mean": loss_mean}
        losses |= {"class_mean": loss_class_mean, "adversarial": loss_adversarial}
        return {name: loss.detach() for name, loss in losses.items()}

    def _draws(self, class_probs: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Noise of the posterior and of the prior, (2, N, latent_dim), and the classes of the prior
        samples, (N, K).

        These are the batch's own in another order: equal shares, no absent class. Conditions stay,
        so that both meet in new combinations.
        """
        o, rows = self.options, len(class_probs) * ranks.size()  # of all processes
        noise = normal(2, rows, o.latent_dim, rng=rng)
        order = permutation(rows, rng).to(self.device)
        prior = ranks.own_rows(ranks.all_rows(class_probs)[order]) if o.recombine else class_probs
        return ranks.own_rows(noise, dim=1).to(self.device), prior

    def _discriminate(self, images: Tensor, given: Tensor) -> tuple[Tensor, Tensor]:
        """D's logits and features of three stacked groups; a D with batch norm must not mix their
        statistics.
        """
        groups = 1 if self.options.spectral_norm else 3
        parts = zip(images.chunk(groups), given.chunk(groups), strict=True)
        logits, features = zip(*(self.model.discriminator(*part) for part in parts), strict=True)
        return torch.cat(logits), torch.cat(features)

    def _mean_matching(self, features_real: Tensor, features_fake: Tensor) -> Tensor:
        """The loss of equation 5 on the moving means of both sides."""
        present = torch.ones(1, dtype=torch.bool, device=self.device)
        real, _ = self.centres["real"](ranks.mean(features_real.mean(dim=0, keepdim=True)), present)
        fake, _ = self.centres["fake"](ranks.mean(features_fake.mean(dim=0, keepdim=True)), present)
        return mean_feature_matching(real[0], fake[0])

    def _class_matching(
        self,
        features_real: Tensor,
        class_probs: Tensor,
        features_fake: Tensor,
        class_probs_prior: Tensor,
    ) -> Tensor:
        """The loss of equation 6 on the moving class centres of both sides."""
        real, seen_real = self.centres["class_real"](*class_means(features_real, class_probs))
        fake, seen_fake = self.centres["class_fake"](*class_means(features_fake, class_probs_prior))
        return class_feature_matching(real, fake, seen_real & seen_fake)

    def _share_of(self, features_real: Tensor) -> Tensor | float:
        """The part in (0, 1] of the classifier's losses that counts, by the length of its features
        (N, F); see ``limit_features``.
        """
        if not self.options.limit_features:
            return 1.0
        half_square = 0.5 * ranks.mean(features_real.float().square().sum(dim=1).mean())
        return (USUAL_SQUARE / half_square.clamp(min=USUAL_SQUARE)).detach()

    def _share_of_classes(self, classes: int) -> float:
        """The part in (0, 1] of the sum over classes that counts."""
        return min(1.0, USUAL_CLASSES / classes) if self.options.limit_features else 1.0

    def state(self) -> dict[str, Any]:
        """Everything beside the model that the next step depends on, as nested dicts of tensors and
        numbers.
        """
        return super().state() | {"centres": self.centres.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        """Take up what ``state`` returned."""
        super().restore(state)
        self.centres.load_state_dict(state["centres"])
