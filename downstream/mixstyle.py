"""MixStyle: in training, the first stages of a network mix the feature statistics of images, which
carry the style of a domain.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn

from augmentor.common.randomness import rng_for
from downstream.augment import beta_shares

PROBABILITY, ALPHA, EPSILON = 0.5, 0.1, 1e-6
"""Of the paper: how often a batch is mixed, the shape of the beta distribution, and what keeps a
standard deviation above zero."""


def mix_statistics(x: Tensor, partner: Tensor, share: Tensor) -> Tensor:
    r"""Give every channel of an image a mean and a spread between its own and those of another.

    .. math:: \tilde x = (\lambda \sigma + (1 - \lambda) \sigma') \frac{x - \mu}{\sigma}
        + \lambda \mu + (1 - \lambda) \mu'

    with the means μ and standard deviations σ over the pixels of a channel. No gradient goes
    through them, as in the authors' code.

    Args:
        x: Features, float (N, C, H, W).
        partner: Number of the other image, int64 (N,).
        share: λ, in [0, 1], (N,).

    Returns:
        Features, (N, C, H, W), of the type of ``x``.

    Source:
        Zhou et al. 2021, "Domain Generalization with MixStyle", arXiv:2104.02008, equations 4 to 6.

    Example:
        >>> x = torch.tensor([[0.0, 2.0], [5.0, 5.0]]).view(2, 1, 1, 2)
        >>> mix_statistics(x, torch.tensor([1, 0]), torch.tensor([0.0, 1.0])).mean(dim=3).flatten()
        tensor([5., 5.])
    """
    values = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    axes, weight = (2, 3), share.to(values).view(-1, 1, 1, 1)
    mean = values.mean(axes, keepdim=True).detach()
    spread = (values.var(axes, correction=0, keepdim=True) + EPSILON).sqrt().detach()
    new_mean = torch.lerp(mean[partner], mean, weight)
    new_spread = torch.lerp(spread[partner], spread, weight)
    return (new_spread * ((values - mean) / spread) + new_mean).to(x.dtype)


@contextmanager
def mixed_styles(model: nn.Module, seed: int) -> Iterator[list[str]]:
    """Mix the statistics behind the early stages of a network while the block runs.

    In evaluation mode nothing is mixed; afterwards the network is as it was, but for its weights.

    Args:
        model: A network with timm's ``feature_info``, whose early stages give (N, C, H, W).
        seed: Decides which batches and images are mixed; the global random state stays untouched.

    Yields:
        The names of the modules behind which it mixes.

    Raises:
        ValueError: If the network names no stages, or they give no feature maps (a transformer).

    Example:
        >>> from downstream.classifier import build_classifier
        >>> model = build_classifier("auto", 2, (1, 32, 32), seed=0)
        >>> with mixed_styles(model, seed=0) as names:
        ...     names
        ['stages.0', 'stages.1']
    """
    names, rng = early_stages(model), rng_for("mixstyle", seed)

    def mixed(module: nn.Module, _: Any, found: Tensor) -> Tensor | None:
        if not module.training:
            return None
        if not isinstance(found, Tensor) or found.ndim != 4:
            raise ValueError("mixstyle needs a network whose stages give feature maps (N, C, H, W)")
        if float(torch.rand(1, generator=rng)) >= PROBABILITY:
            return None
        share = beta_shares(len(found), ALPHA, rng)
        partner = torch.randperm(len(found), generator=rng).to(found.device)
        return mix_statistics(found, partner, share)

    hooks = []
    for name in names:
        hooks.append(model.get_submodule(name).register_forward_hook(mixed))
    try:
        yield names
    finally:
        for hook in hooks:
            hook.remove()


def early_stages(model: nn.Module) -> list[str]:
    """The first two stages behind the stem, but never the last: its statistics carry the class.

    Raises:
        ValueError: If the network names no stages.
    """
    infos = getattr(cast(Any, model), "feature_info", None) or []
    names: list[str] = []
    for info in infos:
        if info["module"].startswith(("stages", "layer", "blocks", "features")):
            names.append(info["module"])
    if not names:
        raise ValueError("mixstyle needs a network with stages, such as auto or resnet18")
    behind = len(infos) and infos[-1]["module"] != names[-1]
    return names[:2] if behind else names[:-1][:2]
