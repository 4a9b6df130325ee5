"""Candidates are the same wherever they are rendered."""

from __future__ import annotations

import torch

from augmentor.data.candidates import first_candidates, latents
from augmentor.data.fingerprint import to_uint8
from augmentor.sampling import synthesize


def test_latents_depend_on_the_candidate_alone():
    assert torch.equal(latents(3, 2, 0, 9, 4)[5:], latents(3, 2, 5, 4, 4))


def test_pixels_are_those_of_the_synthesis(painter):
    source = painter(("a", "b"), (1, 4, 4))
    made = synthesize.synthesize(source, {1: 150}, seed=3)
    assert torch.equal(first_candidates(source, 1, 150, seed=3), to_uint8(made.x))
    assert first_candidates(source, 1, 0, seed=3).shape == (0, 1, 4, 4)
