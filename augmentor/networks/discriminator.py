"""The discriminator D(x), or D(x, c)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from augmentor.networks.blocks import BatchNorm2d, halvings, maybe_spectral_norm
from augmentor.networks.given import NO_CONDITION, ConditionInput, Given
from augmentor.networks.minibatch_discrimination import MinibatchDiscrimination

Conditioning = Literal["none", "channel", "projection"]
Norm = Literal["batch", "layer", "spectral"]


class Discriminator(nn.Module):
    """The DCGAN discriminator (Radford et al. 2016) with options of later work.

    Args:
        image_shape: (C, H, W), square; see ``blocks.halvings`` for the sizes.
        num_classes: Classes K.
        width: Channels after the first convolution; doubled at every halving, at most eight times.
        conditioning: ``none``: the class is not seen; ``channel``: a learned picture of the class
            is one more channel of the image (Mirza & Osindero 2014, for convolutions);
            ``projection``: the inner product of features and class embedding is added to the logit
                (Miyato & Koyama 2018).
        norm: ``batch`` norm as in DCGAN; ``layer`` norm, which keeps the images of a batch apart;
            or ``spectral`` norm on every layer and features summed over the pixels (Miyato et al.
            2018).
        minibatch_discrimination: The logit also sees how near the images of a batch are to one
            another.
        condition: Form of the condition beside the class. Its projection is added to the class's,
            so that the score of a combination never seen is composed of what is known of both.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        num_classes: int,
        width: int,
        conditioning: Conditioning,
        norm: Norm,
        minibatch_discrimination: bool = False,
        condition: ConditionInput = NO_CONDITION,
    ) -> None:
        super().__init__()
        self.given = Given(num_classes, condition)
        channels, size, _ = image_shape
        spectral, self.size = norm == "spectral", size
        channels += conditioning == "channel"
        layers: list[nn.Module] = []
        for level in range(halvings(size)):
            out = width * min(2**level, 8)
            layers.append(maybe_spectral_norm(nn.Conv2d(channels, out, 4, 2, 1), spectral))
            layers += _norm(norm, out) * (level > 0) + [nn.LeakyReLU(0.2)]
            channels = out
        layers += [
            maybe_spectral_norm(nn.Conv2d(channels, 2 * channels, 3, 1, 1), spectral),
            nn.LeakyReLU(0.2),
        ]
        base = size >> halvings(size)
        self.num_features = 2 * channels if spectral else 2 * channels * base**2
        self.convolutions = nn.Sequential(*layers)
        self.pool = spectral
        self.closeness = (
            MinibatchDiscrimination(self.num_features) if minibatch_discrimination else None
        )
        seen = self.num_features + (self.closeness.kernels if self.closeness else 0)
        self.linear = maybe_spectral_norm(nn.Linear(seen, 1), spectral)
        embedding = (
            nn.Linear(self.given.num_features, self.num_features, bias=False)
            if conditioning == "projection"
            else None
        )
        self.embedding = maybe_spectral_norm(embedding, spectral) if embedding is not None else None
        self.picture = (
            nn.Linear(self.given.num_features, size**2, bias=False)
            if conditioning == "channel"
            else None
        )
        if self.picture is not None:
            # As strong as the image beside it: a faint one is not learned from before the generator
            # collapses.
            nn.init.normal_(self.picture.weight)

    def forward(self, x: Tensor, given: Tensor) -> tuple[Tensor, Tensor]:
        """Judge images (N, C, H, W) of rows of class probabilities and condition (N, K + D).

        Returns:
            Logits float32 (N,), large for real; and features float32 (N, num_features), the input
            of the last fully connected layer (the paper's f_D), without the closeness of minibatch
            discrimination.
        """
        given = self.given(given)
        if self.picture is not None:
            x = torch.cat([x, self.picture(given).view(-1, 1, self.size, self.size)], dim=1)
        h = self.convolutions(x)
        features = h.sum(dim=(2, 3)) if self.pool else h.flatten(1)
        seen = (
            features
            if self.closeness is None
            else torch.cat([features, self.closeness(features)], dim=1)
        )
        logits: Tensor = self.linear(seen).squeeze(1)
        if self.embedding is not None:
            logits = logits + (features * self.embedding(given)).sum(dim=1)
        return logits.float(), features.float()


def _norm(norm: Norm, channels: int) -> list[nn.Module]:
    """The layer after a convolution; none where its own weight is normed."""
    if norm == "batch":
        return [BatchNorm2d(channels)]
    return [nn.GroupNorm(1, channels)] if norm == "layer" else []
