"""Triple-GAN: a generator, a classifier and a discriminator of pairs (Li et al. 2017,
arXiv:1703.02291).

The generator makes images for labels, the classifier labels for images, the discriminator tells the
pairs of both from true ones. The paper's classifier learns from few labels and many unlabelled
images; where all images have labels, the images of the batch serve as unlabelled ones, their labels
put away.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

from augmentor.common.precision import autocast
from augmentor.common.randomness import normal, permutation
from augmentor.families.players import Resumable, adam_players
from augmentor.families.renderer import Renderer
from augmentor.losses.adversarial import Game, fake_loss, generator_loss, real_loss
from augmentor.losses.classifier_game import classifier_game
from augmentor.losses.semi_supervised import class_balance, conditional_entropy
from augmentor.networks.blocks import as_class_probs
from augmentor.networks.classifier import Classifier
from augmentor.networks.discriminator import Discriminator, Norm
from augmentor.networks.generator import Generator, Upsampling


@dataclass(frozen=True)
class TripleGanOptions:
    """Everything that can be set.

    Args:
        latent_dim: Length of the latent.
        width: Channels at full resolution in every network; doubled at every halving, at most eight
            times.
        share_classifier: The paper's alpha, share of the classifier's pairs among the false ones,
            in [0, 1].
        weight_generated: The paper's alpha P, of the generator's samples as labelled examples;
            classifier only.
        weight_entropy: Weight of the conditional entropy of unlabelled images; classifier only.
            The authors' code has 0.3 on MNIST.
        weight_balance: Weight of ``losses.semi_supervised.class_balance`` of unlabelled images;
            classifier only. The authors' code has 1e-3 on MNIST.
        guessed_as_true: Half of the unlabelled images, with the labels that the classifier guesses,
            are true pairs beside the labelled ones, the other half false ones, as in the authors'
            code: a few labelled images alone do not show what images look like.
        game: What discriminator and generator minimise; see ``losses.adversarial``.
        conditioning: How the discriminator sees the label; see
            ``networks.discriminator.Discriminator``.
        norm: The discriminator's, likewise.
        conditional_norm: Class-conditional batch norm in the generator.
        upsampling: How the generator doubles the side; see ``networks.generator.Generator``.
        learning_rate: Adam's, for generator and classifier.
        learning_rate_d: Adam's, for the discriminator.
        beta1: Adam's first decay.
        ema_decay: Share kept of the averaged weights in a step.
        bfloat16: Run the networks in bfloat16 autocast where the device computes it natively.
    """

    latent_dim: int = 64
    width: int = 32
    share_classifier: float = 0.5
    weight_generated: float = 0.1
    weight_entropy: float = 0.0
    weight_balance: float = 0.0
    guessed_as_true: bool = False
    game: Game = "non_saturating"
    conditioning: Literal["channel", "projection"] = "channel"
    norm: Norm = "batch"
    conditional_norm: bool = True
    upsampling: Upsampling = "transposed"
    learning_rate: float = 3e-4
    learning_rate_d: float = 3e-4
    beta1: float = 0.5
    ema_decay: float = 0.999
    bfloat16: bool = True


PRESETS = {"default": TripleGanOptions()}


class TripleGan(Renderer):
    """The three players; a ``SampleSource``.

    Args:
        classes: Class names; position is index.
        image_shape: (C, H, W), square, 8 to 128 pixels, any C.
        options: Everything that can be set.

    Raises:
        ValueError: If ``share_classifier`` is above one.
    """

    def __init__(
        self, classes: tuple[str, ...], image_shape: tuple[int, int, int], options: TripleGanOptions
    ) -> None:
        super().__init__(classes, image_shape, options)
        self.options = o = options
        if o.share_classifier > 1:
            raise ValueError(f"share_classifier must lie in [0, 1], found {o.share_classifier}")
        k = len(classes)
        self.generator = Generator(
            image_shape, k, o.latent_dim, o.width, o.conditional_norm, o.upsampling
        )
        self.classifier = Classifier(image_shape, k, o.width)
        self.discriminator = Discriminator(image_shape, k, o.width, o.conditioning, o.norm)


class TripleGanTrainer(Resumable):
    """The optimisers and the step of the paper.

    Args:
        model: The players, trained in place.
    """

    def __init__(self, model: TripleGan) -> None:
        self.model, self.options = model, model.options
        self.device = next(model.parameters()).device
        o = model.options
        rates = {
            "generator": o.learning_rate,
            "classifier": o.learning_rate,
            "discriminator": o.learning_rate_d,
        }
        self.players = adam_players(model, rates, o.beta1)

    def step(self, x: Tensor, y: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        """One step where every image has a label; see ``semi_supervised_step``."""
        return self.semi_supervised_step(x, y, x, rng)

    def semi_supervised_step(
        self, x: Tensor, y: Tensor, x_unlabelled: Tensor, rng: torch.Generator
    ) -> dict[str, Tensor]:
        """One step of all three players (algorithm 1).

        Args:
            x: Labelled images, float32 (N, C, H, W) in [-1, 1].
            y: Their classes, int64 (N,).
            x_unlabelled: Unlabelled images, float32 (M, C, H, W) in [-1, 1]; two or more where
                guesses are true pairs too.
            rng: Where latents and the classes of the generated images come from.

        Returns:
            Named losses, scalars without gradient.
        """
        m, o = self.model.train(), self.options
        k, share = len(m.classes), o.share_classifier
        x, class_probs = x.to(self.device), as_class_probs(y, k).to(self.device)
        x_unlabelled = x_unlabelled.to(self.device)
        z = normal(len(x), o.latent_dim, rng=rng).to(self.device)
        class_probs_fake = class_probs[permutation(len(x), rng).to(self.device)]

        # The discriminator: true pairs against the classifier's and the generator's.
        with autocast(self.device, self.options.bfloat16):
            x_fake = m.generator(z, class_probs_fake)
            all_logits, _ = m.classifier(x_unlabelled)
            half = len(x_unlabelled) // 2 if o.guessed_as_true else 0
            guessed = one_hot(all_logits.argmax(dim=1), k).float()
            x_true = torch.cat([x, x_unlabelled[:half]])
            real_logits, _ = m.discriminator(x_true, torch.cat([class_probs, guessed[:half]]))
            guess_logits, _ = m.discriminator(x_unlabelled[half:], guessed[half:])
            fake_logits, _ = m.discriminator(x_fake.detach(), class_probs_fake)
        loss_d = (
            real_loss(real_logits, o.game).mean() + share * fake_loss(guess_logits, o.game).mean()
        )
        loss_d = loss_d + (1 - share) * fake_loss(fake_logits, o.game).mean()
        self.players.descend({("discriminator",): loss_d})

        # The other two, against the discriminator just improved. The generator's samples are
        # examples too.
        with autocast(self.device, self.options.bfloat16):
            class_logits, _ = m.classifier(x)
            generated_logits, _ = m.classifier(x_fake.detach())
            guess_logits, _ = m.discriminator(x_unlabelled[half:], guessed[half:])
            fake_logits, _ = m.discriminator(x_fake, class_probs_fake)
        loss_labelled = cross_entropy(class_logits, class_probs)
        loss_generated = cross_entropy(generated_logits, class_probs_fake)
        loss_guess = classifier_game(all_logits[half:], guess_logits).mean()
        loss_c = loss_labelled + share * loss_guess + o.weight_generated * loss_generated
        if o.weight_entropy:
            loss_c = loss_c + o.weight_entropy * conditional_entropy(all_logits).mean()
        if o.weight_balance:
            loss_c = loss_c + o.weight_balance * class_balance(all_logits)
        loss_g = (1 - share) * generator_loss(fake_logits, o.game).mean()
        self.players.descend({("classifier",): loss_c, ("generator",): loss_g})
        losses = {
            "discriminator": loss_d,
            "classifier": loss_c,
            "generator": loss_g,
            "labelled": loss_labelled,
        }
        losses |= {"guessed": loss_guess, "generated": loss_generated}
        return {name: loss.detach() for name, loss in losses.items()}
