"""Does a source follow the condition it is given?"""

from __future__ import annotations

import torch
from torch import Tensor

from augmentor.common.randomness import seed_for
from augmentor.common.types import EncodingSource, LabelledImages, conditional, device_of
from augmentor.data.candidates import encode, sample

FOLLOWS = 0.75
"""Of ``condition_agreement``, at least, where a source is to be believed: half of the way from
chance to certainty."""
TOGETHER = 256
"""Images that are rendered at a time."""


def condition_agreement(source: EncodingSource, images: LabelledImages, seed: int = 0) -> float:
    r"""How often an image comes back better under its own condition than under another one.

    Every image is encoded and rendered twice from its latent: under its own condition
    :math:`c_i` and under that of another image, :math:`c_j \ne c_i`:

    .. math:: \frac 1 N \sum_i \big[\, \|G(z_i, y_i, c_i) - x_i\|^2
        < \|G(z_i, y_i, c_j) - x_i\|^2 \,\big]

    Args:
        source: A source that knows conditions and has an encoder.
        images: Real images of its classes with known conditions, two different ones among them;
            as large as the source's.
        seed: Chooses the other conditions.

    Returns:
        A share in [0, 1], where equal errors count as one half: about 0.5 of a source that does
        not use its condition, or has learned it wrongly; near 1 of one that does.

    Raises:
        ValueError: If the source or the images know no condition, or all have the same.

    Example:
        >>> from augmentor.common.conditions import Conditions
        >>> class Lamp:
        ...     classes, image_shape, latent_dim = ("a",), (1, 8, 8), 1
        ...     conditions = Conditions(("light",), ("off", "on"))
        ...     def encode(self, x, y, condition=None):
        ...         return torch.zeros(len(x), 1)
        ...     def sample(self, y, z, condition=None):
        ...         return (2.0 * condition - 1).view(-1, 1, 1, 1).expand(-1, 1, 8, 8)
        >>> place = torch.tensor([0, 1, 1])
        >>> x = (2.0 * place - 1).view(-1, 1, 1, 1).expand(-1, 1, 8, 8)
        >>> y = torch.zeros(3, dtype=torch.int64)
        >>> condition_agreement(Lamp(), LabelledImages(x, y, ("a",), place, Lamp.conditions))
        1.0
    """
    own = images.condition
    if not conditional(source).conditions or own is None:
        raise ValueError("the conditions of the images are not known")
    other, device, found = own[_partners(own, seed)], device_of(source), []
    for rows in torch.split(torch.arange(len(images)), TOGETHER):
        x, y = images.x[rows].to(device), images.y[rows].to(device)
        z = encode(source, x, y, own[rows].to(device))
        errors = []
        for condition in (own, other):
            rendered = sample(source, y, z, condition[rows].to(device))
            errors.append((rendered - x).square().flatten(1).mean(dim=1))
        better = (errors[0] < errors[1]).double() + 0.5 * (errors[0] == errors[1])
        found.append(better.cpu())
    return float(torch.cat(found).mean())


def _partners(condition: Tensor, seed: int) -> Tensor:
    """For every image the number of one with another condition, int64 (N,); each is as likely.

    Raises:
        ValueError: If all have the same.
    """
    place = torch.unique(condition, dim=0, return_inverse=True)[1]
    if not len(place) or int(place.max()) == 0:
        raise ValueError("all images have one condition; what it changes cannot be seen")
    rng = torch.Generator().manual_seed(seed_for("condition partners", seed))
    chosen = torch.empty(len(place), dtype=torch.int64)
    for number in range(int(place.max()) + 1):
        mine, others = (place == number).nonzero().flatten(), (place != number).nonzero().flatten()
        drawn = torch.randint(len(others), (len(mine),), generator=rng)
        chosen[mine] = others[drawn]
    return chosen
