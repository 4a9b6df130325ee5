from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from augmentor.common.types import DataError, DivergedError, device_of
from augmentor.data.candidates import latents
from augmentor.sampling.synthesize import render, synthesize


class Echo:
    """Pixel 0 is the class, the others say the latent; notes the batches it was asked for."""

    classes = ("a", "b", "c")
    image_shape = (1, 2, 2)
    latent_dim = 3

    def __init__(self) -> None:
        self.batches: list[Tensor] = []

    def sample(self, y: Tensor, z: Tensor) -> Tensor:
        self.batches.append(z)
        return torch.cat([y[:, None] / 2 - 1, z.tanh()], 1).reshape(-1, 1, 2, 2)


def keep_third(x: Tensor, y: Tensor) -> Tensor:
    return x[:, 0, 0, 1] > 0.4


def keep_none(x: Tensor, y: Tensor) -> Tensor:
    return torch.zeros(len(x), dtype=torch.bool)


def test_latents_are_those_of_every_release() -> None:
    """Golden numbers: a set that a user began with one release is finished by the next."""
    golden = [-1.0981851816177368, 0.005527618806809187, 1.25603187084198, -0.06894861906766891]
    assert latents(5, 2, 17, 1, 4)[0].tolist() == golden


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 2**40),
    st.integers(0, 50),
    st.integers(0, 1000),
    st.integers(0, 9),
    st.integers(0, 9),
)
def test_latents_depend_on_seed_class_and_candidate_only(
    seed: int, class_index: int, start: int, n: int, m: int
) -> None:
    whole = latents(seed, class_index, start, n + m, 4)
    parts = [latents(seed, class_index, start, n, 4), latents(seed, class_index, start + n, m, 4)]
    assert torch.equal(whole, torch.cat(parts))
    assert whole.dtype == torch.float32
    assert not torch.equal(
        latents(seed, class_index, 0, 1, 4), latents(seed + 1, class_index, 0, 1, 4)
    )
    assert not torch.equal(
        latents(seed, class_index, 0, 1, 4), latents(seed, class_index + 1, 0, 1, 4)
    )


def test_seeds_equal_in_32_bits_differ() -> None:
    assert not torch.equal(latents(5, 0, 0, 1, 4), latents(5 + 2**32, 0, 0, 1, 4))


def test_latents_are_standard_normal_and_distinct() -> None:
    z = latents(0, 0, 0, 4000, 8)
    assert z.mean().abs() < 0.02
    assert abs(z.std() - 1) < 0.02
    assert torch.corrcoef(z.T).fill_diagonal_(0).abs().max() < 0.08
    assert len(torch.unique(z, dim=0)) == 4000


def test_render_gives_candidates_in_order() -> None:
    x, candidates = render(Echo(), 1, 5, seed=3, start=7, batch_size=4)
    assert candidates.tolist() == [7, 8, 9, 10, 11]
    assert (x[:, 0, 0, 0] == -0.5).all()
    assert torch.allclose(x.flatten(1)[:, 1:], latents(3, 1, 7, 5, 3).tanh())


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 30), st.integers(0, 20), st.booleans())
def test_render_in_two_parts_is_render_in_one(n: int, m: int, filtered: bool) -> None:
    accept = keep_third if filtered else None
    whole, candidates = render(Echo(), 2, n + m, 0, accept=accept, budget=1000, batch_size=8)
    first, kept = render(Echo(), 2, n, 0, accept=accept, budget=1000, batch_size=8)
    start = int(kept[-1]) + 1 if n else 0
    second, rest = render(Echo(), 2, m, 0, start=start, accept=accept, budget=1000, batch_size=8)
    assert torch.equal(whole, torch.cat([first, second]))
    assert torch.equal(candidates, torch.cat([kept, rest]))


def test_batches_are_whole_and_aligned_whatever_is_asked() -> None:
    source = Echo()
    render(source, 0, 4, seed=0, start=5, batch_size=4)
    for z, first in zip(source.batches, (4, 8), strict=True):
        assert torch.equal(z, latents(0, 0, first, 4, 3))


def test_filter_keeps_the_first_accepted() -> None:
    x, candidates = render(Echo(), 0, 6, seed=1, accept=keep_third, batch_size=5)
    everything, _ = render(Echo(), 0, 200, seed=1)
    expected = torch.nonzero(keep_third(everything, torch.zeros(200)))[:6, 0]
    assert torch.equal(candidates, expected)
    assert torch.equal(x, everything[expected])


def test_a_filter_too_strict_names_the_class_after_twenty_n() -> None:
    tried: list[int] = []

    def counting(x: Tensor, y: Tensor) -> Tensor:
        tried.append(len(x))
        return keep_none(x, y)

    with pytest.raises(
        DataError, match=r"class 'b': the filter accepted 0 of 60 candidates, 3 are wanted"
    ):
        render(Echo(), 1, 3, seed=0, accept=counting, batch_size=10)
    assert sum(tried) == 60


def test_a_candidate_beyond_the_budget_is_never_kept() -> None:
    def only_the_last(x: Tensor, y: Tensor) -> Tensor:
        return torch.arange(len(x)) == 7

    with pytest.raises(DataError, match="accepted 0 of 7"):
        render(Echo(), 0, 1, 0, accept=only_the_last, budget=7, batch_size=8)
    assert render(Echo(), 0, 1, 0, accept=only_the_last, budget=8, batch_size=8)[1].tolist() == [7]


def test_synthesize_goes_class_after_class() -> None:
    images = synthesize(Echo(), {2: 2, 0: 3, 1: 0}, seed=9)
    assert images.y.tolist() == [0, 0, 0, 2, 2]
    assert images.classes == ("a", "b", "c")
    assert torch.allclose(images.x[3:].flatten(1)[:, 1:], latents(9, 2, 0, 2, 3).tanh())


def test_more_images_begin_with_the_fewer() -> None:
    few, many = (
        synthesize(Echo(), {1: 3}, seed=0, accept=keep_third),
        synthesize(Echo(), {1: 9}, 0, keep_third),
    )
    assert torch.equal(few.x, many.x[:3])


def test_nothing_asked_nothing_given() -> None:
    assert len(synthesize(Echo(), {}, seed=0)) == 0
    assert synthesize(Echo(), {0: 0}, seed=0).x.shape == (0, 1, 2, 2)


@pytest.mark.parametrize(
    ("counts", "message"),
    [({3: 1}, "unknown class 3"), ({-1: 1}, "unknown class -1"), ({0: -1}, "negative")],
)
def test_wrong_counts(counts: dict[int, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        synthesize(Echo(), counts, seed=0)


def test_a_diverged_source_is_no_source() -> None:
    class Broken(Echo):
        def sample(self, y: Tensor, z: Tensor) -> Tensor:
            return super().sample(y, z) * float("nan")

    with pytest.raises(DivergedError, match="class 'a'"):
        synthesize(Broken(), {0: 1}, seed=0)


def test_global_random_state_is_left_alone() -> None:
    before, before_numpy = torch.get_rng_state(), np.random.get_state()[1].tolist()
    synthesize(Echo(), {0: 4}, seed=0)
    assert torch.equal(torch.get_rng_state(), before)
    assert np.random.get_state()[1].tolist() == before_numpy


def test_device_of() -> None:
    class Named(Echo):
        device = "meta"

    assert device_of(Echo()) == torch.device("cpu")
    assert device_of(nn.Linear(1, 1, device="meta")) == torch.device("meta")  # type: ignore[arg-type]
    assert device_of(nn.Identity()) == torch.device("cpu")  # type: ignore[arg-type]
    assert device_of(Named()) == torch.device("meta")
