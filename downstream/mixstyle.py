"""MixStyle: in training, the first stages of a network mix the feature statistics of images, which
carry the style of a domain.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn

from augmentor.common.evaluation import evaluating
from augmentor.common.randomness import rng_for
from downstream.augment import beta_draws

STEMS = ("stem", "act", "bn", "norm", "conv")
"""How timm's networks call what comes before their stages."""
PROBABILITY, ALPHA, EPSILON = 0.5, 0.1, 1e-6
"""Of the paper: how often a batch is mixed, the shape of the beta distribution, and what keeps a
standard deviation above zero."""


def mixed_statistics(x: Tensor, partner: Tensor, share: Tensor) -> Tensor:
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

    Raises:
        ValueError: If the shapes do not fit.

    Source:
        Zhou et al. 2021, "Domain Generalization with MixStyle", arXiv:2104.02008, equations 4 to 6.

    Example:
        >>> x = torch.tensor([[0.0, 2.0], [5.0, 5.0]]).view(2, 1, 1, 2)
        >>> mixed = mixed_statistics(x, torch.tensor([1, 0]), torch.tensor([0.0, 1.0]))
        >>> mixed.mean(dim=3).flatten()
        tensor([5., 5.])
    """
    if x.ndim != 4 or partner.shape != (len(x),) or share.shape != (len(x),):
        shapes = [tuple(one.shape) for one in (x, partner, share)]
        raise ValueError(f"need features (N, C, H, W), partners (N,) and shares (N,), got {shapes}")
    values = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    axes, weight = (2, 3), share.to(values).view(-1, 1, 1, 1)
    mean = values.mean(axes, keepdim=True).detach()
    spread = (values.var(axes, correction=0, keepdim=True) + EPSILON).sqrt().detach()
    new_mean = torch.lerp(mean[partner], mean, weight)
    new_spread = torch.lerp(spread[partner], spread, weight)
    return (new_spread * ((values - mean) / spread) + new_mean).to(x.dtype)


@contextmanager
def mixing_styles(
    model: nn.Module, x: Tensor, seed: int, *, alpha: float = ALPHA
) -> Iterator[None]:
    """Mix the statistics behind the early stages of a network while the block runs.

    In evaluation mode nothing is mixed; afterwards the network is as it was, but for its weights.

    Args:
        model: A network with timm's ``feature_info``.
        x: One image or more that it takes, (N, C, H, W).
        seed: Decides which batches and images are mixed; the global random state stays untouched.
        alpha: Shape of the Beta distribution of the shares, above 0: the larger, the more even
            the mixes.

    Raises:
        ValueError: If the network has no stages of feature maps, as a transformer.

    Example:
        >>> from downstream.classifier import build_classifier
        >>> x, model = torch.rand(4, 1, 32, 32), build_classifier("auto", 2, (1, 32, 32), seed=0)
        >>> with mixing_styles(model, x, seed=0):
        ...     model.train()(x).shape
        torch.Size([4, 2])
    """
    rng = rng_for("mixstyle", seed)

    def mixed(stage: nn.Module, _: Any, features: Tensor) -> Tensor | None:
        if not stage.training or float(torch.rand(1, generator=rng)) >= PROBABILITY:
            return None
        share = beta_draws(len(features), alpha, rng)
        partner = torch.randperm(len(features), generator=rng).to(features.device)
        return mixed_statistics(features, partner, share)

    hooks = []
    for stage in first_stages(model, x):
        hooks.append(stage.register_forward_hook(mixed))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def first_stages(model: nn.Module, x: Tensor) -> list[nn.Module]:
    """The first two stages behind the stem, but never the last: its statistics carry the class.

    Args:
        model: A network with timm's ``feature_info``; left in the mode it was in.
        x: One image or more that it takes, (N, C, H, W).

    Raises:
        ValueError: If the network names no two stages of feature maps.
    """
    channels: dict[nn.Module, int] = {}
    for info in list(getattr(cast(Any, model), "feature_info", ()))[:-1]:
        # A network behind its input form is one module deeper.
        name = info["module"].removeprefix("network.").removeprefix("features.")
        if not name.startswith(STEMS):
            channels[model.get_submodule(info["module"])] = info["num_chs"]
    found: dict[nn.Module, Any] = {}
    hooks = []
    for stage in channels:
        hooks.append(stage.register_forward_hook(lambda one, _, out: found.update({one: out})))
    try:
        with evaluating(model):
            model(x[:1].to(next(model.parameters()).device))
    finally:
        for hook in hooks:
            hook.remove()
    # Some transformers have maps with the channels last, whose statistics would be other ones.
    maps = [one for one, size in channels.items() if _are_maps(found.get(one), size)]
    if not maps:
        raise ValueError(
            "the network has no two stages of feature maps (N, C, H, W), which mixstyle needs; "
            "choose another, such as auto or resnet18"
        )
    return maps[:2]


def _are_maps(features: Any, channels: int) -> bool:
    return isinstance(features, Tensor) and features.ndim == 4 and features.shape[1] == channels
