"""Whether synthetic images betray which real images their source was trained on."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from augmentor.quality.memorisation import nearest


@dataclass(frozen=True)
class Membership:
    """How well an attacker who holds the synthetic images alone tells training images from others.

    Args:
        auroc: Probability that of a training image and an unseen one of the same class the attacker
            names the right one, in [0, 1]; 0.5 is a guess.
        error: Its standard error.
        members: Training images that were tried.
        non_members: Unseen images that were tried.
        samples: Synthetic images that the attacker has.
    """

    auroc: float
    error: float
    members: int
    non_members: int
    samples: int

    @property
    def at_least(self) -> float:
        """Lower end of the 95 % interval of ``auroc``."""
        return self.auroc - 1.96 * self.error


def membership_attack(
    members: Tensor, non_members: Tensor, samples: Tensor, classes: tuple[Tensor, Tensor, Tensor]
) -> Membership:
    r"""The membership inference attack: what lies near a synthetic image of its class was
    trained on.

    The attacker has the synthetic images, which were handed on, and asks of a real image whether
    its owner's training set holds it. With d the Euclidean distance to the nearest synthetic image
    of the same class, the image with the smaller d is called the training image. Of class c with
    n training and m unseen images the share of right answers is

    .. math:: A_c = \frac{1}{nm} \sum_{i, j} [d_i < d_j] + \tfrac{1}{2} [d_i = d_j],

    and the result is the mean of :math:`A_c`, weighted by nm, with the standard error of Hanley and
    McNeil, or that of a guess where it is larger: few images give 0 or 1 by chance. An attacker
    who also has the source, or knows what it was trained on but for one image, can do better, and a
    mean near one half does not say that nobody is recognised.

    Args:
        members: Images that the source was trained on, shape (N, ...).
        non_members: Real images that it has not seen, of the same kinds, shape (M, ...).
        samples: Its images, shape (S, ...).
        classes: Class indices of the three, int64; a class that one of them lacks is left out.

    Raises:
        ValueError: If sizes differ, or no class is in all three.

    Source:
        Chen, Yu, Zhang, Fritz 2020, arXiv:1909.03935, the full black-box attack; Hanley and McNeil
        1982, Radiology 143, for the error.

    Example:
        >>> one = torch.zeros(3, dtype=torch.int64)
        >>> seen, unseen = torch.rand(3, 1, 8, 8), torch.rand(3, 1, 8, 8)
        >>> membership_attack(seen, unseen, seen, (one, one, one)).auroc
        1.0
    """
    right, pairs, variance, tried = 0.0, 0, 0.0, [0, 0, 0]
    for label in sorted(set(classes[2].tolist())):
        seen, unseen, drawn = (
            x[y == label] for x, y in zip((members, non_members, samples), classes, strict=True)
        )
        if not len(seen) or not len(unseen):
            continue
        share = _share_nearer(nearest(seen, drawn)[0], nearest(unseen, drawn)[0])
        both = len(seen) * len(unseen)
        right, pairs = right + share * both, pairs + both
        variance += both**2 * _variance(share, len(seen), len(unseen))
        found = (seen, unseen, drawn)
        tried = [count + len(x) for count, x in zip(tried, found, strict=True)]
    if not pairs:
        raise ValueError("no class has training images, unseen images and samples")
    return Membership(right / pairs, math.sqrt(variance) / pairs, *tried)


def _share_nearer(of_members: Tensor, of_non_members: Tensor) -> float:
    """Share of pairs in which the first is the smaller one; equal ones count half."""
    ranked = of_non_members.sort().values
    farther = len(ranked) - torch.searchsorted(ranked, of_members, right=True)
    level = torch.searchsorted(ranked, of_members, right=True)
    level = level - torch.searchsorted(ranked, of_members)
    return float((farther + level / 2).double().mean() / len(ranked))


def _variance(share: float, members: int, non_members: int) -> float:
    first, second = share / (2 - share), 2 * share**2 / (1 + share)
    spread = (members - 1) * (first - share**2) + (non_members - 1) * (second - share**2)
    pairs = members * non_members
    of_a_guess = (members + non_members + 1) / (12 * pairs)
    return max((share * (1 - share) + spread) / pairs, of_a_guess)
