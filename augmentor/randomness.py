"""Random streams addressed by name, so that what is drawn depends on nothing that ran before."""

from __future__ import annotations

import hashlib

import torch


def generator_for(*key: int | str) -> torch.Generator:
    """A CPU generator whose stream is a function of ``key`` alone, e.g. ("batch", seed, step)."""
    digest = hashlib.sha256("/".join(map(str, key)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
