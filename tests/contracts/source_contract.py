"""What every ``SampleSource`` must do: ``check_source(source)``; it runs ``check_encoding`` on
those that encode, and ``check_conditions`` on those that know a condition beside the class."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from augmentor.common.types import (
    ConditionalSource,
    EncodingSource,
    SampleSource,
    conditions_of,
)

TOLERANCE = 1e-4
"""Pixels of equal latents may differ by rounding where the batch is composed differently."""
HEARD = 1e-3
"""Least mean change of a pixel where another class or condition is asked for, as a part of that by
another latent. (A part: networks that have hardly learned render nearly even images.)"""


def check_source(source: SampleSource) -> None:
    """Run all checks; a source that is an ``EncodingSource`` is checked as such too."""
    check_description(source)
    check_images(source)
    check_nothing_else_changes(source)
    check_rows_are_independent(source)
    check_mixtures(source)
    if isinstance(source, ConditionalSource):
        check_conditions(source)
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


def check_images(source: Any) -> None:
    y, z, given = inputs(source)
    x = source.sample(y, z, *given)
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
    require(not torch.equal(x, source.sample(y, z.flip(0), *given)), "latents change the image")


def check_nothing_else_changes(source: Any) -> None:
    y, z, given = inputs(source)
    before, y_before, z_before, global_state = (
        state(source),
        y.clone(),
        z.clone(),
        torch.get_rng_state(),
    )
    first = source.sample(y, z, *given)
    second = source.sample(y, z, *given)
    require(torch.equal(first, second), "equal labels and latents give equal images")
    require(
        torch.equal(torch.get_rng_state(), global_state), "the global random state is left alone"
    )
    require(
        torch.equal(y, y_before) and torch.equal(z, z_before), "labels and latents are left alone"
    )
    require(
        all(torch.equal(part, again) for part, again in zip(given, inputs(source)[2], strict=True)),
        "conditions are left alone",
    )
    after = state(source)
    require(
        all(torch.equal(before[name], after[name]) for name in before),
        "no weight or running mean changes",
    )


def check_rows_are_independent(source: Any) -> None:
    y, z, given = inputs(source)
    x = source.sample(y, z, *given)
    require(
        close(source.sample(y.flip(0), z.flip(0), *(part.flip(0) for part in given)), x.flip(0)),
        "rows in another order give the same images",
    )
    require(
        close(source.sample(y[:1], z[:1], *(part[:1] for part in given)), x[:1]),
        "an image alone is the image among others",
    )
    other = torch.cat([z[:1], 3 * z[1:] + 1])
    require(close(source.sample(y, other, *given)[:1], x[:1]), "other rows' latents change nothing")


def check_mixtures(source: Any) -> None:
    y, z, given = inputs(source)
    k = len(source.classes)
    class_probs = torch.nn.functional.one_hot(y, k).float()
    require(
        close(source.sample(class_probs, z, *given), source.sample(y, z, *given)),
        "a mixture of one class is that class",
    )
    even = source.sample(torch.full((len(y), k), 1 / k), z, *given)
    require(even.shape == (len(y), *source.image_shape), "mixtures render too")
    require(
        bool(torch.isfinite(even).all()) and float(even.abs().max()) <= 1,
        "mixtures' pixels lie in [-1, 1]",
    )


def check_encoding(source: Any) -> None:
    y, z, given = inputs(source)
    x = source.sample(y, z, *given)
    before, global_state = state(source), torch.get_rng_state()
    mu = source.encode(x, y, *given)
    require(
        mu.shape == (len(y), source.latent_dim) and mu.dtype == torch.float32,
        "latents are float32 (N, latent_dim)",
    )
    require(
        bool(torch.isfinite(mu).all()) and not mu.requires_grad,
        "latents are finite and carry no gradient",
    )
    require(torch.equal(mu, source.encode(x, y, *given)), "equal images give equal latents")
    require(
        torch.equal(torch.get_rng_state(), global_state),
        "encoding leaves the global random state alone",
    )
    after = state(source)
    require(
        all(torch.equal(before[name], after[name]) for name in before), "encoding changes no weight"
    )
    require(
        close(source.encode(x.flip(0), y.flip(0), *(part.flip(0) for part in given)), mu.flip(0)),
        "images in another order give the same latents",
    )
    require(
        close(source.encode(x[:1], y[:1], *(part[:1] for part in given)), mu[:1]),
        "an image alone has the latent it has among others",
    )
    class_probs = torch.nn.functional.one_hot(y, len(source.classes)).float()
    require(
        close(source.encode(x, class_probs, *given), mu),
        "a mixture of one class encodes as that class",
    )


def check_conditions(source: ConditionalSource) -> None:
    """Laws of the condition; a source that was trained without one refuses it."""
    y, z, given = inputs(source)
    if not given:
        refuses(lambda: source.sample(y, z, torch.zeros(len(y), dtype=torch.int64)), "a condition")
        return
    (condition,) = given
    refuses(lambda: source.sample(y, z), "the absence of a condition")
    refuses(lambda: source.sample(y, z, condition[:, None, None]), "a condition of another shape")
    one_z = z[:1].expand_as(z)
    same = source.sample(y[:1].expand_as(y), one_z, condition[:1].expand_as(condition))
    require(close(same, same[:1].expand_as(same)), "equal conditions give equal images")
    least = HEARD * change(source.sample(y, z, condition), source.sample(y, z.flip(0), condition))
    others = source.sample(y[:1].expand_as(y), one_z, condition)
    require(change(others, same) > least, "the condition changes the image")
    if len(source.classes) > 1:
        others = source.sample(y, one_z, condition[:1].expand_as(condition))
        require(change(others, same) > least, "the class changes the image beside a condition")
    if not source.conditions.are_numbers:
        weights = torch.nn.functional.one_hot(condition, source.conditions.size).float()
        require(
            close(source.sample(y, z, weights), source.sample(y, z, condition)),
            "a mixture of one condition is that condition",
        )


def change(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().mean())


def refuses(call: Any, what: str) -> None:
    try:
        call()
    except (ValueError, TypeError):
        return
    require(False, f"{what} is refused where it does not fit")


def inputs(source: SampleSource, n: int = 6) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
    """Classes, latents, and where the source knows conditions, these too."""
    rng = torch.Generator().manual_seed(7)
    z = torch.randn(n, source.latent_dim, generator=rng)
    y, conditions = torch.arange(n) % len(source.classes), conditions_of(source)
    if not conditions:
        return y, z, ()
    if not conditions.are_numbers:
        return y, z, (torch.arange(n) // 2 % conditions.size,)
    spread = 2 * torch.rand(n, conditions.size, generator=rng) - 1
    scale, centre = torch.tensor(conditions.scale), torch.tensor(conditions.centre)
    return y, z, (centre + scale * spread,)


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
