"""Random streams addressed by name, so that what is drawn depends on nothing that ran before."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor


def seed_for(*key: int | str) -> int:
    """A seed in [0, 2^63) that is a function of ``key`` alone.

    Args:
        key: The address, such as ("pool", seed, round): what the seed is for comes first, so that
            no two parts of a run share one.

    Example:
        >>> seed_for("pool", 0, 1) == seed_for("pool", 0, 1)
        True
        >>> seed_for("pool", 0, 1) == seed_for("pool", 1, 0)
        False
    """
    digest = hashlib.sha256("/".join(map(str, key)).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def rng_for(*key: int | str) -> torch.Generator:
    """A CPU generator whose stream is a function of ``key`` alone, e.g. ("batch", seed, step)."""
    return torch.Generator().manual_seed(seed_for(*key))


def home_of(rng: torch.Generator) -> torch.device:
    """Where a generator's numbers are drawn."""
    return rng.device


def normal(*shape: int, rng: torch.Generator) -> Tensor:
    """Standard normal numbers of a shape, drawn where the generator lives."""
    return torch.randn(shape, generator=rng, device=home_of(rng))


def uniform(*shape: int, rng: torch.Generator) -> Tensor:
    """Numbers in [0, 1) of a shape, drawn where the generator lives."""
    return torch.rand(shape, generator=rng, device=home_of(rng))


def permutation(count: int, rng: torch.Generator) -> Tensor:
    """The numbers 0 to ``count`` - 1 in random order, drawn where the generator lives, int64.

    Example:
        >>> sorted(permutation(3, rng_for("order")).tolist())
        [0, 1, 2]
    """
    if home_of(rng).type == "cpu":
        return torch.randperm(count, generator=rng)
    # torch's own way to shuffle may read from the card, which a recorded step must not.
    return uniform(count, rng=rng).argsort()
