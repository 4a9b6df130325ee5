"""How well a hole was filled, beside the image that was there."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

_WINDOW, _SIGMA = 11, 1.5
_C1, _C2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2  # pixels span 2


def psnr_inside(x: Tensor, reference: Tensor, mask: Tensor) -> Tensor:
    r"""Peak signal-to-noise ratio of the pixels in the hole: :math:`10 \log_{10}(2^2 /
    \mathrm{MSE})`.

    Args:
        x: Filled images, shape (N, C, H, W) in [-1, 1].
        reference: What was there, of the same shape.
        mask: True in the hole, bool (H, W), with at least one pixel.

    Returns:
        Decibels, shape (N,); infinite where the pixels are equal. Ten times the error takes 20 dB.

    Raises:
        ValueError: If shapes differ or the hole is empty.
    """
    _check(x, reference, mask)
    error = (x - reference).square()[:, :, mask].flatten(1).mean(dim=1)
    return 10 * torch.log10(4 / error)


def ssim_inside(x: Tensor, reference: Tensor, mask: Tensor) -> Tensor:
    r"""Structural similarity, averaged over the windows whose centre lies in the hole.

    .. math:: \frac{(2\mu_x\mu_r + c_1)(2\sigma_{xr} + c_2)}
        {(\mu_x^2 + \mu_r^2 + c_1)(\sigma_x^2 + \sigma_r^2 + c_2)}

    Windows are Gaussian, 11 pixels wide with a deviation of 1.5, and mirrored at the border of the
    image; near the edge of the hole they see pixels outside it too. Channels are averaged. Black
    is 0 in it: the first factor compares how bright two images are.

    Args:
        x: Filled images, shape (N, C, H, W) in [-1, 1], 6 pixels a side or more.
        reference: What was there, of the same shape.
        mask: True in the hole, bool (H, W), with at least one pixel.

    Returns:
        Similarity, shape (N,), in [-1, 1]; 1 where the images are equal. Symmetric in the two
        images.

    Raises:
        ValueError: If shapes differ or the hole is empty.

    Source:
        Wang et al. 2004, "Image quality assessment: from error visibility to structural
        similarity", equation 13.
    """
    _check(x, reference, mask)
    x, reference = x + 1, reference + 1
    mean_x, mean_r = _blurred(x), _blurred(reference)
    var_x, var_r = _blurred(x * x) - mean_x**2, _blurred(reference * reference) - mean_r**2
    covariance = _blurred(x * reference) - mean_x * mean_r
    light = (2 * mean_x * mean_r + _C1) / (mean_x**2 + mean_r**2 + _C1)
    structure = (2 * covariance + _C2) / (var_x + var_r + _C2)
    return (light * structure)[:, :, mask].flatten(1).mean(dim=1)


def _blurred(x: Tensor) -> Tensor:
    """Gaussian window mean of every pixel."""
    offsets = torch.arange(_WINDOW, dtype=x.dtype, device=x.device) - _WINDOW // 2
    line = torch.exp(-0.5 * (offsets / _SIGMA) ** 2)
    line = line / line.sum()
    half, channels = _WINDOW // 2, x.shape[1]
    wide = pad(x, (half,) * 4, mode="reflect")
    rows = conv2d(wide, line.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)
    return conv2d(rows, line.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)


def _check(x: Tensor, reference: Tensor, mask: Tensor) -> None:
    if x.ndim != 4 or x.shape != reference.shape or mask.shape != x.shape[-2:]:
        raise ValueError(
            f"need two batches of one shape and a mask of their sides, "
            f"got {tuple(x.shape)}, {tuple(reference.shape)}, {tuple(mask.shape)}"
        )
    if mask.dtype != torch.bool or not bool(mask.any()):
        raise ValueError("the mask must be boolean and have at least one pixel in the hole")
