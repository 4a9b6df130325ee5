"""An image through the encoder and back."""

from __future__ import annotations

from torch import Tensor

from augmentor.common.types import EncodingSource
from augmentor.data.candidates import encode, sample


def reconstruct(
    source: EncodingSource, x: Tensor, y: Tensor, condition: Tensor | None = None
) -> Tensor:
    r"""What a source makes of images: :math:`x' = G(\mu(x, y), y)`.

    Args:
        source: A source with an encoder.
        x: Images, float32 (N, C, H, W) in [-1, 1], on the source's device.
        y: Their classes, int64 (N,), or mixtures, float (N, K).
        condition: Their conditions, as ``Conditions.rows`` takes them; None for a source without.

    Returns:
        Images, float32 (N, C, H, W) in [-1, 1]. No noise is drawn: equal images give equal
        reconstructions.

    Raises:
        ValueError: If x or y is not a batch of the source's images or classes.

    Source:
        Bao et al. 2017, arXiv:1703.10155, section 4.
    """
    require_images(source, x)
    return sample(source, y, encode(source, x, y, condition), condition)


def require_images(source: EncodingSource, x: Tensor) -> None:
    """Refuse what is not a batch of images of the source's shape.

    Raises:
        ValueError: With both shapes.
    """
    if x.ndim != 4 or tuple(x.shape[1:]) != tuple(source.image_shape):
        raise ValueError(
            f"x must be (N, {', '.join(map(str, source.image_shape))}), got {tuple(x.shape)}"
        )
