"""What every ``SampleSource`` must do: ``check_source(source)``; it runs ``check_encoding`` on
those that encode."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from augmentor.common.types import EncodingSource, SampleSource

TOLERANCE = 1e-4
"""Pixels of equal latents may differ by rounding where the batch is composed differently."""


def check_source(source: SampleSource) -> None:
    """Run all checks; a source that is an ``EncodingSource`` is checked as such too."""
    check_description(source)
    check_images(source)
    check_nothing_else_changes(source)
    check_rows_are_independent(source)
    check_mixtures(source)
    if isinstance(source, EncodingSource):
        check_encoding(source)


def check_description(source: SampleSource) -> None:
    require(isinstance(source, SampleSource), "is a SampleSource")
    names = source.classes
    require(
        isinstance(names, tuple) and all(isinstance(n, str) for n in names),
        "classes is a tuple of names",
    )
    require(len(names) == len(set(names)) > 0, "classes has at least one name and none twice")
    require(
        len(source.image_shape) == 3 and min(source.image_shape) > 0, "image_shape is (C, H, W)"
    )
    require(source.latent_dim > 0, "latent_dim is positive")


def check_images(source: SampleSource) -> None:
    y, z = inputs(source)
    x = source.sample(y, z)
    require(
        x.shape == (len(y), *source.image_shape), f"images are (N, C, H, W), got {tuple(x.shape)}"
    )
    require(
        x.dtype == torch.float32 and x.device == z.device, "images are float32 on the device of z"
    )
    require(not x.requires_grad, "images carry no gradient")
    require(
        bool(torch.isfinite(x).all()) and -1 <= float(x.min()) <= float(x.max()) <= 1,
        "pixels lie in [-1, 1]",
    )
    require(not torch.equal(x, source.sample(y, z.flip(0))), "latents change the image")


def check_nothing_else_changes(source: SampleSource) -> None:
    y, z = inputs(source)
    before, y_before, z_before, global_state = (
        state(source),
        y.clone(),
        z.clone(),
        torch.get_rng_state(),
    )
    first, second = source.sample(y, z), source.sample(y, z)
    require(torch.equal(first, second), "equal labels and latents give equal images")
    require(
        torch.equal(torch.get_rng_state(), global_state), "the global random state is left alone"
    )
    require(
        torch.equal(y, y_before) and torch.equal(z, z_before), "labels and latents are left alone"
    )
    after = state(source)
    require(
        all(torch.equal(before[name], after[name]) for name in before),
        "no weight or running mean changes",
    )


def check_rows_are_independent(source: SampleSource) -> None:
    y, z = inputs(source)
    x = source.sample(y, z)
    require(
        close(source.sample(y.flip(0), z.flip(0)), x.flip(0)),
        "rows in another order give the same images",
    )
    require(close(source.sample(y[:1], z[:1]), x[:1]), "an image alone is the image among others")
    other = torch.cat([z[:1], 3 * z[1:] + 1])
    require(close(source.sample(y, other)[:1], x[:1]), "other rows' latents change nothing")


def check_mixtures(source: SampleSource) -> None:
    y, z = inputs(source)
    k = len(source.classes)
    weights = torch.nn.functional.one_hot(y, k).float()
    require(
        close(source.sample(weights, z), source.sample(y, z)),
        "a mixture of one class is that class",
    )
    even = source.sample(torch.full((len(y), k), 1 / k), z)
    require(even.shape == (len(y), *source.image_shape), "mixtures render too")
    require(
        bool(torch.isfinite(even).all()) and float(even.abs().max()) <= 1,
        "mixtures' pixels lie in [-1, 1]",
    )


def check_encoding(source: EncodingSource) -> None:
    y, z = inputs(source)
    x = source.sample(y, z)
    before, global_state = state(source), torch.get_rng_state()
    mu = source.encode(x, y)
    require(
        mu.shape == (len(y), source.latent_dim) and mu.dtype == torch.float32,
        "latents are float32 (N, latent_dim)",
    )
    require(
        bool(torch.isfinite(mu).all()) and not mu.requires_grad,
        "latents are finite and carry no gradient",
    )
    require(torch.equal(mu, source.encode(x, y)), "equal images give equal latents")
    require(
        torch.equal(torch.get_rng_state(), global_state),
        "encoding leaves the global random state alone",
    )
    after = state(source)
    require(
        all(torch.equal(before[name], after[name]) for name in before), "encoding changes no weight"
    )
    require(
        close(source.encode(x.flip(0), y.flip(0)), mu.flip(0)),
        "images in another order give the same latents",
    )
    require(
        close(source.encode(x[:1], y[:1]), mu[:1]),
        "an image alone has the latent it has among others",
    )
    weights = torch.nn.functional.one_hot(y, len(source.classes)).float()
    require(close(source.encode(x, weights), mu), "a mixture of one class encodes as that class")


def inputs(source: SampleSource, n: int = 6) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(7)
    z = torch.randn(n, source.latent_dim, generator=generator)
    return torch.arange(n) % len(source.classes), z


def state(source: SampleSource) -> dict[str, Tensor]:
    if not isinstance(source, nn.Module):
        return {}
    return {name: value.clone() for name, value in source.state_dict().items()}


def close(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.allclose(a, b, atol=TOLERANCE, rtol=TOLERANCE)


def require(holds: bool, law: str) -> None:
    # Not a bare assert: pytest explains those in test files only.
    if not holds:
        raise AssertionError(f"a SampleSource must keep this law: {law}")
