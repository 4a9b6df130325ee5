"""The discriminator D(x), or D(x, c) with projection."""

from __future__ import annotations

from torch import Tensor, nn

from augmentor.networks.blocks import halvings, maybe_spectral_norm


class Discriminator(nn.Module):
    """The DCGAN discriminator (Radford et al. 2016) with two options of later work.

    Args:
        image_shape: (C, H, W), square; see ``blocks.halvings`` for the sizes.
        num_classes: Classes K.
        width: Channels after the first convolution; doubled at every halving, at most eight times.
        projection: Add the inner product of features and class embedding to the logit (Miyato & Koyama 2018);
            without it the class is not seen, as in the paper.
        spectral: Spectral norm on every layer in the place of batch norm (Miyato et al. 2018).
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        num_classes: int,
        width: int,
        projection: bool,
        spectral: bool,
    ) -> None:
        super().__init__()
        channels, size, _ = image_shape
        layers: list[nn.Module] = []
        for level in range(halvings(size)):
            out = width * min(2**level, 8)
            layers.append(maybe_spectral_norm(nn.Conv2d(channels, out, 4, 2, 1), spectral))
            layers += [nn.BatchNorm2d(out)] * (not spectral and level > 0) + [nn.LeakyReLU(0.2)]
            channels = out
        layers += [maybe_spectral_norm(nn.Conv2d(channels, 2 * channels, 3, 1, 1), spectral), nn.LeakyReLU(0.2)]
        base = size >> halvings(size)
        self.num_features = 2 * channels if spectral else 2 * channels * base**2
        self.convolutions = nn.Sequential(*layers)
        self.pool = spectral
        self.linear = maybe_spectral_norm(nn.Linear(self.num_features, 1), spectral)
        embedding = nn.Linear(num_classes, self.num_features, bias=False) if projection else None
        self.embedding = maybe_spectral_norm(embedding, spectral) if embedding is not None else None

    def forward(self, x: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Judge images (N, C, H, W) of classes weights (N, K).

        Returns:
            Logits float32 (N,), large for real; and features float32 (N, num_features), the input of the last
            fully connected layer (the paper's f_D).
        """
        h = self.convolutions(x)
        features = h.sum(dim=(2, 3)) if self.pool else h.flatten(1)
        logits: Tensor = self.linear(features).squeeze(1)
        if self.embedding is not None:
            logits = logits + (features * self.embedding(weights)).sum(dim=1)
        return logits.float(), features.float()
