"""Candidate i of class c of a source: a function of (source, seed, c, i) and of nothing else."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import Tensor

from augmentor.common.types import SampleSource, device_of
from augmentor.data.fingerprint import to_uint8

BATCH_SIZE = 128
"""Candidates are rendered in whole batches of this size, so that rounding does not depend on how
many are wanted."""


def latents(seed: int, class_index: int, start: int, count: int, latent_dim: int) -> Tensor:
    """The latents of candidates ``start`` to ``start + count`` of a class, the same on every
    machine.

    Every candidate has a generator of its own, with a key of 128 bits. (A ``torch.Generator`` on a
    CPU uses 32 bits of its seed: among 100,000 candidates two would be expected to be equal.)

    Args:
        seed: Any integer.
        class_index: Class the candidates belong to.
        start: First candidate, from 0.
        count: How many candidates.
        latent_dim: Length of one latent.

    Returns:
        Draws from N(0, I), float32 (count, latent_dim), on the CPU; row i depends on (seed,
        class_index, start + i).
    """
    z = np.empty((count, latent_dim), dtype=np.float32)
    for row, candidate in enumerate(range(start, start + count)):
        digest = hashlib.sha256(f"{seed}/{class_index}/{candidate}".encode()).digest()
        key = int.from_bytes(digest[:16], "little")
        np.random.Generator(np.random.Philox(key=key)).standard_normal(out=z[row], dtype=np.float32)
    return torch.from_numpy(z)


def first_candidates(source: SampleSource, class_index: int, n: int, seed: int) -> Tensor:
    """Render the first ``n`` candidates of a class, unfiltered.

    Args:
        source: What renders; an ``nn.Module`` renders on the device of its weights.
        class_index: Index into ``source.classes``.
        n: Images wanted.
        seed: Seed of the latents.

    Returns:
        8-bit pixels as a synthetic set on disk holds them, uint8 (n, C, H, W), on the CPU.
    """
    batches = [torch.empty(0, *source.image_shape, dtype=torch.uint8)]
    for start in range(0, n, BATCH_SIZE):
        z = latents(seed, class_index, start, BATCH_SIZE, source.latent_dim).to(device_of(source))
        batches.append(
            to_uint8(
                source.sample(torch.full((BATCH_SIZE,), class_index, device=z.device), z)
            ).cpu()
        )
    return torch.cat(batches)[:n]
