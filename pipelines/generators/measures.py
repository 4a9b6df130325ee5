"""The measures of a source: right, faithful, varied and new images."""

from __future__ import annotations

import math
from dataclasses import asdict

import torch
from torch import Tensor, nn

from augmentor.common.randomness import rng_for, seed_for
from augmentor.common.types import LabelledImages, device_of
from augmentor.data.candidates import latents
from augmentor.quality.fidelity import (
    class_spread,
    frechet_distance,
    inception_score,
    kernel_distance,
    precision_recall_density_coverage,
)
from augmentor.quality.membership import membership_attack
from augmentor.quality.memorisation import copied_share, memorisation_test
from downstream.evaluate import predict_logits
from downstream.metrics import METRICS, Outputs
from pipelines.generators.compared import KINDS, Compared, Section, evenly_spaced
from pipelines.generators.copied import copies_among

NUMBERS = ("fid", "kid", "precision", "recall", "density", "coverage")
"""What fidelity consists of."""
MOST_COPIES = 1000
"""Samples, and unseen images, among which copies are looked for one by one."""
MOST_LABELS = 32
"""Classes among which the effect of the label is measured."""


def answers(sets: Compared) -> Section:
    """What the judge says of all test images, and of generated ones in equal shares of the
    classes.
    """
    return {
        "real": _answers_on(sets.judge, sets.test.images),
        "generated": _answers_on(sets.judge, sets.equal.images),
    }


def _answers_on(judge: nn.Module, images: LabelledImages) -> Section:
    logits = predict_logits(judge, images.x)
    outputs = Outputs(y=images.y, class_probs=logits.softmax(dim=1))
    return {
        "images": len(images),
        "top1": METRICS["accuracy"].of(outputs),
        "balanced_top1": METRICS["balanced_accuracy"].of(outputs),
        "inception_score": inception_score(logits),
    }


def fidelity(sets: Compared, k: int) -> Section:
    """How far generated images lie from test images in features, beside how far training images
    do.

    Args:
        sets: What is compared.
        k: Neighbour that sets the radius of an image.
    """
    return {
        "real": _fidelity_of(sets.test_pair.features, sets.train_pair.features, k),
        "generated": _fidelity_of(sets.test_part.features, sets.alike.features, k),
    }


def _fidelity_of(real: Tensor, fake: Tensor, k: int) -> Section:
    result: Section = {"images": len(fake)}
    if len(real) <= k:  # as many fake ones; too few for any of these numbers
        return result | dict.fromkeys(NUMBERS)
    distances = {"fid": frechet_distance(real, fake), "kid": kernel_distance(real, fake)}
    return result | distances | precision_recall_density_coverage(real, fake, k)


def diversity(sets: Compared, seed: int) -> Section:
    """Mean distance of two images of the same class, generated over real; and how far the label
    moves an image.

    Args:
        sets: What is compared.
        seed: Draws the latents.
    """
    result: Section = {"images": len(sets.alike), "label_effect": _label_effect(sets, seed)}
    for kind in KINDS:
        made = class_spread(sets.alike.values(kind), sets.alike.images.y, len(sets.classes))
        real = class_spread(sets.test_part.values(kind), sets.test_part.images.y, len(sets.classes))
        result[f"{kind}_ratio"] = _number(made.nanmean() / real.nanmean())
        result[f"{kind}_ratio_of_class"] = [_number(ratio) for ratio in made / real]
    return result


def _label_effect(sets: Compared, seed: int, draws: int = 16) -> float:
    """Distance of images of the same latent under different labels, over that of real images of
    any labels.
    """
    device, chosen = device_of(sets.source), evenly_spaced(len(sets.classes), MOST_LABELS)
    z = latents(seed_for("labels", seed), 0, 0, draws, sets.source.latent_dim)
    z = z.repeat_interleave(len(chosen), dim=0).to(device)
    rendered = sets.source.sample(torch.tensor(chosen).repeat(draws).to(device), z).cpu()
    latent_of = torch.arange(draws).repeat_interleave(len(chosen))
    real = sets.test_part.images.x[:1000]
    usual = class_spread(real, torch.zeros(len(real), dtype=torch.int64), 1)
    return float(class_spread(rendered, latent_of, draws).mean() / usual)


def memorisation(sets: Compared, copies: int, seed: int) -> Section:
    """Whether samples lie nearer to what the source has seen than unseen real images do, in pixels
    and in features; which of them are near copies, one by one; and whether they betray what the
    source has seen.

    Args:
        sets: What is compared.
        copies: Most samples and most unseen images that are looked at one by one, and most training
            and unseen images whose membership is attacked.
        seed: Draws the samples.
    """
    rows = torch.randperm(len(sets.alike), generator=rng_for("copies", seed))[:copies]
    samples = sets.alike.subset(rows)
    unseen = sets.test_part.subset(torch.arange(min(copies, len(sets.test_part))))
    # Labels of the pool are unknown. If it is the rest of the training images, what the source has
    # seen has the classes of the test part anyhow; of other pools the share cannot be told.
    classes = None if sets.has_pool else (sets.train.images.y, sets.test.images.y, samples.images.y)
    sizes = {"seen": len(sets.seen["pixels"]), "unseen": len(unseen), "samples": len(samples)}
    result: Section = dict(sizes)
    result["copies"] = _copies(sets, samples.images.x, unseen.images.x)
    result["membership"] = _membership(sets, copies, seed)
    for kind in KINDS:
        seen, drawn = sets.seen[kind], samples.values(kind)
        test = memorisation_test(seen, unseen.values(kind), drawn)
        share, error = math.nan, math.nan
        if sets.pool_is_rest or not sets.has_pool:
            share, error = copied_share(seen, sets.test.values(kind), drawn, classes)
        shares = {"copied_share": _number(share), "copied_share_error": _number(error)}
        result[kind] = asdict(test) | shares
    return result


def _copies(sets: Compared, samples: Tensor, unseen: Tensor) -> Section:
    """Near copies among the samples, and among as many real images that the source has not seen."""
    seen = sets.seen["pixels"]
    found = copies_among(seen, samples[:MOST_COPIES])
    if found:
        found["unseen"] = copies_among(seen, unseen[:MOST_COPIES])
    return found


def _membership(sets: Compared, most: int, seed: int) -> Section | None:
    """What an attacker with the samples can say of the training images.

    None where no class has images on all sides; and where conditions are known, since those that
    training lacks would tell the test images apart.
    """
    real = (sets.train.images, sets.test.images)
    if any(images.condition is not None for images in real):
        return None
    rng, tried = rng_for("membership", seed), [sets.equal.images]
    for images in real:
        tried.append(images.subset(torch.randperm(len(images), generator=rng)[:most]))
    drawn, members, others = tried
    if not set.intersection(*(set(images.y.tolist()) for images in tried)):
        return None
    classes = (members.y, others.y, drawn.y)
    found = membership_attack(members.x, others.x, drawn.x, classes)
    return asdict(found) | {"at_least": found.at_least}


def _number(value: Tensor | float) -> float | None:
    """A number that JSON has a word for."""
    return float(value) if math.isfinite(float(value)) else None
