"""A semi-supervised head for any network that maps images to features."""

from __future__ import annotations

from torch import Tensor, nn

from augmentor.networks.dense import GaussianNoise, WeightNormLinear
from augmentor.networks.discriminator import Discriminator


class SemiSupervisedHead(nn.Module):
    """K class logits on a backbone; the (K+1)-th, of generated images, is fixed at 0 (Salimans et
    al. 2016).

    Fixing one logit loses nothing: a softmax over K+1 classes has K degrees of freedom.

    Args:
        backbone: Maps images (N, C, H, W) to features (N, num_features): a network of timm built
            with ``num_classes=0``, ``discriminator_backbone(discriminator)``, or
            ``dense.DenseBackbone``. Not copied.
        num_features: Length of a feature.
        num_classes: Classes K.
        weight_norm: Weight norm on the last layer.
        noise: Standard deviation of the noise on the features in training mode; see
            ``dense.noise_from``.
    """

    def __init__(
        self,
        backbone: nn.Module,
        num_features: int,
        num_classes: int,
        *,
        weight_norm: bool = False,
        noise: float = 0.0,
    ) -> None:
        super().__init__()
        self.backbone, self.num_features, self.num_classes = backbone, num_features, num_classes
        self.noise = GaussianNoise(noise)
        self.linear = (
            WeightNormLinear(num_features, num_classes, train_scale=True)
            if weight_norm
            else nn.Linear(num_features, num_classes)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Class logits float32 (N, K) of images (N, C, H, W)."""
        return self.logits_and_features(x)[0]

    def features(self, x: Tensor) -> Tensor:
        """Features float32 (N, num_features) of images (N, C, H, W).

        Raises:
            ValueError: If the backbone gives another shape.
        """
        features: Tensor = self.backbone(x)
        if features.shape != (len(x), self.num_features):
            expected = (len(x), self.num_features)
            raise ValueError(
                f"the backbone must give features {expected}, it gave {tuple(features.shape)}"
            )
        return features.float()

    def logits_and_features(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Class logits float32 (N, K) and features float32 (N, num_features), in one pass."""
        features = self.features(x)
        class_logits: Tensor = self.linear(self.noise(features))
        return class_logits.float(), features


class SumPool(nn.Module):
    """Sums a feature map over its pixels, as the spectrally normed discriminator does."""

    def forward(self, h: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C)."""
        return h.sum(dim=(2, 3))


def discriminator_backbone(discriminator: Discriminator) -> nn.Module:
    """The convolutional part of a discriminator as a backbone.

    Args:
        discriminator: Trained or not; its weights are shared, not copied.

    Returns:
        Images (N, C, H, W) to features (N, discriminator.num_features), those the discriminator
        itself returns.

    Raises:
        ValueError: If its convolutions see a picture of the class too (``conditioning="channel"``),
            which a head has yet to find out.
    """
    if discriminator.picture is not None:
        raise ValueError(
            'a discriminator with conditioning="channel" sees a picture of the class beside the '
            'image: take one with conditioning "none" or "projection"'
        )
    return nn.Sequential(
        discriminator.convolutions, SumPool() if discriminator.pool else nn.Flatten()
    )
