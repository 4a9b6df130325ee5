"""Candidate i of class c of a source: a function of (source, seed, c, i) and of nothing else. Of a
source with conditions, candidate i of class c under condition l: of (source, seed, c, l, i).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from augmentor.common.types import EncodingSource, SampleSource, conditional, device_of
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
    candidates = range(start, start + count)
    return _drawn([f"{seed}/{class_index}/{number}" for number in candidates], latent_dim)


def combination_latents(
    seed: int, class_index: int, slots: Sequence[tuple[int, int]], latent_dim: int
) -> Tensor:
    """The latents of candidates of combinations of a class and a condition.

    Args:
        seed: Any integer.
        class_index: Class the candidates belong to.
        slots: (condition, candidate) of every row: the number of the category or bin, and of the
            candidate among those of the combination; see ``fill.Fill.slots``.
        latent_dim: Length of one latent.

    Returns:
        As ``latents``; row i depends on (seed, class_index, slots[i]).

    Example:
        >>> z = combination_latents(0, 3, [(1, 0), (1, 1), (2, 0)], 8)
        >>> torch.equal(z[2:], combination_latents(0, 3, [(2, 0)], 8))
        True
    """
    keys = [f"{seed}/{class_index}/{place}/{number}" for place, number in slots]
    return _drawn(keys, latent_dim)


def _drawn(addresses: Sequence[str], latent_dim: int) -> Tensor:
    """One latent per address, float32 (n, latent_dim)."""
    z = np.empty((len(addresses), latent_dim), dtype=np.float32)
    for row, address in enumerate(addresses):
        digest = hashlib.sha256(address.encode()).digest()
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


def sample(source: SampleSource, y: Tensor, z: Tensor, condition: Tensor | None) -> Tensor:
    """``source.sample``, with the condition where there is one.

    Raises:
        ValueError: If there is one and the source knows classes alone.
    """
    if condition is None:
        return source.sample(y, z)
    return conditional(source).sample(y, z, condition)


def encode(source: EncodingSource, x: Tensor, y: Tensor, condition: Tensor | None) -> Tensor:
    """``source.encode``, with the condition where there is one.

    Raises:
        ValueError: If there is one and the source knows classes alone.
    """
    if condition is None:
        return source.encode(x, y)
    conditional(source)
    return source.encode(x, y, condition)  # type: ignore[call-arg]
