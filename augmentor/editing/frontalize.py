"""People as a photo of someone else shows its own: its pose, light and background."""

from __future__ import annotations

from torch import Tensor

from augmentor.common.types import IdentitySource
from augmentor.editing.reconstruct import require_images


def frontalize(source: IdentitySource, x: Tensor, x_frontal: Tensor) -> Tensor:
    r"""Render the identity of every image with the attributes of one: :math:`G(f_I(x),
    f_A(x^{frontal}))`.

    With a photo that looks into the camera as the one, faces turn to the front; any other photo
    lends its own pose.

    Args:
        source: A source that knows identities, of people never seen too.
        x: Images, float32 (N, C, H, W) in [-1, 1], on the source's device.
        x_frontal: The photo that lends its attributes, (1, C, H, W).

    Returns:
        Images, float32 (N, C, H, W) in [-1, 1]. Row i depends on row i of x, and on ``x_frontal``,
        only.

    Raises:
        ValueError: If x or ``x_frontal`` does not fit the source, or ``x_frontal`` is not one
            image.

    Source:
        Bao et al. 2018, arXiv:1803.11182, section 4.
    """
    require_images(source, x)
    require_images(source, x_frontal)
    if len(x_frontal) != 1:
        raise ValueError(f"need one image to take the attributes of, got {len(x_frontal)}")
    return source.render(x, x_frontal.expand_as(x))
