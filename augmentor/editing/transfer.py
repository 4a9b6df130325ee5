"""The attributes of one image under the label of another class, or under another condition."""

from __future__ import annotations

from torch import Tensor

from augmentor.common.types import EncodingSource
from augmentor.data.candidates import encode, sample
from augmentor.editing.reconstruct import require_images


def transfer(
    source: EncodingSource,
    x: Tensor,
    y: Tensor,
    y_new: Tensor,
    condition: Tensor | None = None,
    condition_new: Tensor | None = None,
) -> Tensor:
    r"""Render what the latent of an image holds (stroke, pose, light) as another class:
    :math:`G(\mu(x, y), y')`. Of a source with conditions :math:`G(\mu(x, y, a), y', a')`: with
    ``y_new = y`` the same photo under another condition.

    Args:
        source: A source with an encoder.
        x: Images, float32 (N, C, H, W) in [-1, 1], on the source's device.
        y: Their classes, int64 (N,), or mixtures, float (N, K).
        y_new: Classes to render, one an image, in either form.
        condition: Conditions of the images, as ``Conditions.rows`` takes them; None for a source
            without.
        condition_new: Conditions to render; those of the images unless given.

    Returns:
        Images, float32 (N, C, H, W) in [-1, 1]. With ``y_new = y`` the reconstruction.

    Raises:
        ValueError: If the numbers of images and labels differ, or x or a label does not fit the
            source.

    Example:
        >>> light = source.conditions.repeated([65.0, 20.0], len(x))  # doctest: +SKIP
        >>> relit = transfer(source, x, y, y, condition, light)  # doctest: +SKIP

    Source:
        Bao et al. 2017, arXiv:1703.10155, section 4.
    """
    require_images(source, x)
    if not len(x) == len(y) == len(y_new):
        raise ValueError(
            f"need a class and a new class per image, got {len(y)} and {len(y_new)} for {len(x)} "
            "images"
        )
    z = encode(source, x, y, condition)
    return sample(source, y_new, z, condition if condition_new is None else condition_new)
