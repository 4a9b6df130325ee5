"""Random streams addressed by name, so that what is drawn depends on nothing that ran before."""

from __future__ import annotations

import hashlib

import torch


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
