"""The classifier C(x) inside the family; the judges that measure gains live in ``downstream``."""

from __future__ import annotations

from torch import Tensor, nn

from augmentor.networks.blocks import halvings


class Classifier(nn.Module):
    """Strided convolutions and one hidden fully connected layer, without batch norm (as AlexNet).

    Batch norm would let generated images change what real ones are worth, or judge the two by
    different statistics.

    Args:
        image_shape: (C, H, W), square; see ``blocks.halvings`` for the sizes.
        num_classes: Classes K.
        width: Channels after the first convolution; doubled at every halving, at most eight times.
    """

    def __init__(self, image_shape: tuple[int, int, int], num_classes: int, width: int) -> None:
        super().__init__()
        channels, size, _ = image_shape
        layers: list[nn.Module] = []
        for level in range(halvings(size)):
            out = width * min(2**level, 8)
            layers += [nn.Conv2d(channels, out, 4, 2, 1), nn.ReLU()]
            channels = out
        base = size >> halvings(size)
        self.num_features = 4 * width
        self.body = nn.Sequential(
            *layers, nn.Flatten(), nn.Linear(channels * base**2, self.num_features), nn.ReLU()
        )
        self.linear = nn.Linear(self.num_features, num_classes)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Classify images (N, C, H, W).

        Returns:
            Logits float32 (N, K); and features float32 (N, num_features), the input of the last
            fully connected layer (the paper's f_C).
        """
        features = self.body(x)
        return self.linear(features).float(), features.float()
