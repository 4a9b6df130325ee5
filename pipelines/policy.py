"""The policy behind ``auto``: how much synthetic data to mix in, or none, chosen on tuning splits of the training part.

Every candidate is trained with the same budget on the fit part of each split, with one source a split, and scored on
the images held out of it. The test set plays no part. Tuning scores of small classes rest on one or two images, so the
choice leans to less synthetic data: see ``RULE``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from augmentor.data.splits import tuning_split
from augmentor.randomness import generator_for
from downstream.evaluate import balanced_accuracy
from pipelines.arms import GENERATOR_FREE, Bench, Policy, predictions
from pipelines.config import Config
from pipelines.datasets import DataBundle
from pipelines.interrupt import Watch

RULE = (
    "Rule: of the augmented candidates without synthetic data, the best one, if it is within one standard error of the "
    "best of all; else the same question for those without augmentation, then for every share, the smallest first."
)
WITHOUT_POOL = tuple(arm for arm in GENERATOR_FREE if arm != "pseudo_label")
MIXED = ("classical", "pseudo_label")  # SMOTE and repeated images do what synthetic ones do


def candidates(config: Config, *, pool: bool) -> list[Policy]:
    """What ``auto`` may choose: every generator-free arm, then ``MIXED`` with every share and filter of the config.

    That the plainest arms are among them is what keeps ``auto`` from doing harm: augmentation can do some too.
    """
    alone = [Policy(base) for base in (*WITHOUT_POOL, *(["pseudo_label"] if pool else []))]
    mixed = [
        Policy(policy.base, share, confidence)
        for share in sorted(set(config.gain.shares) - {0.0})
        for confidence in sorted(set(config.gain.confidences))
        for policy in alone
        if policy.base in MIXED
    ]
    return alone + mixed


def tune(
    bundle: DataBundle, config: Config, split: int, on_part: Callable[[str], None], watch: Watch | None
) -> dict[str, Any]:
    """Score every candidate on one tuning split.

    Args:
        bundle: The training part and pool of the first replicate; its test part is not touched.
        config: The run.
        split: Number of the split, from 0; decides what is held out and every seed.
        on_part: Called with a few words when a part is finished.
        watch: Looked at while the source is trained.

    Returns:
        ``y``, the classes of the images held out, and ``predictions`` {candidate: predicted classes}; ``seconds``.
    """
    seed = int(torch.randint(2**31, (1,), generator=generator_for("tuning split", config.seed, split)))
    fit, held_out = tuning_split(bundle.train.y, 1 - config.gain.tuning_fraction, seed)
    tuning = bundle.train.subset(held_out)
    bench = Bench(bundle.train.subset(fit), bundle.pool, config, seed, on_part, watch)
    guesses: dict[str, list[int]] = {}
    for policy in candidates(config, pool=bundle.pool is not None) if len(tuning) else []:
        guesses[policy.name] = predictions(bench.classifier(policy.recipe), tuning.x)
    return {"y": tuning.y.tolist(), "predictions": guesses, "seconds": bench.seconds, "notes": bench.notes}


def choose(splits: Sequence[Mapping[str, Any]], config: Config, num_classes: int, *, pool: bool) -> dict[str, Any]:
    """Choose by ``RULE`` and say why.

    Args:
        splits: What ``tune`` returned for every split.
        config: The run.
        num_classes: Number of classes K.
        pool: Whether there is an unlabelled pool.

    Returns:
        The contents of policy.json: ``base``, ``share``, ``confidence`` (null is no filter), ``best_classical`` (the
        best arm without generator and pool), ``words``, and the ``tuning`` scores of all candidates. ``share`` 0
        means no synthetic data.
    """
    policies = candidates(config, pool=pool)
    if not any(len(split["y"]) for split in splits):
        words = "No class has four images, so nothing could be tuned: classical augmentation, no synthetic images."
        return _document(Policy("classical"), "classical", words, [])
    scores = torch.tensor([[_score(split, policy, num_classes) for split in splits] for policy in policies])
    means = scores.mean(dim=1)
    best = int(means.argmax())
    errors = [standard_error(splits, policies[best], policy) for policy in policies]
    chosen = least_synthetic(policies, means.tolist(), errors)
    classical = max(range(len(WITHOUT_POOL)), key=lambda index: float(means[index]))
    rows = [
        {
            "name": policy.name,
            **asdict(policy),
            "scores": scores[index].tolist(),
            "mean": float(means[index]),
            "behind_best": float(means[best] - means[index]),
            "standard_error": errors[index],
            "chosen": index == chosen,
        }
        for index, policy in enumerate(policies)
    ]
    return _document(policies[chosen], policies[classical].name, _words(policies[chosen], splits), rows)


def policy_of(document: Mapping[str, Any]) -> Policy:
    """The policy in the contents of policy.json."""
    return Policy(document["base"], document["share"], document["confidence"] or 0.0)


def least_synthetic(policies: Sequence[Policy], means: Sequence[float], errors: Sequence[float]) -> int:
    """Index of the candidate that ``RULE`` chooses; among equals the first.

    Args:
        policies: The candidates.
        means: Their mean tuning scores.
        errors: Standard errors of their distances to the best candidate; 0 for the best itself.
    """
    best, groups = max(means), [(policy.share, not policy.recipe.augmented) for policy in policies]
    for group in sorted(set(groups)):
        leader = max((index for index, own in enumerate(groups) if own == group), key=lambda index: means[index])
        if best - means[leader] <= errors[leader]:
            return leader
    raise AssertionError("the best candidate is within its own standard error")


def standard_error(splits: Sequence[Mapping[str, Any]], first: Policy, second: Policy) -> float:
    r"""Standard error of the difference of two candidates' mean tuning scores if they were equally good.

    .. math:: \sqrt{\sum_i w_i^2 d_i^2}, \qquad d_i \in \{-1, 0, 1\}

    where d_i is by how much the first is right where the second is not and w_i the weight of image i in the mean of
    the balanced accuracies. It is the standard deviation under random signs, so it needs no two images of a class.

    Args:
        splits: What ``tune`` returned for every split.
        first: A candidate.
        second: Another.

    Returns:
        The standard error, in the unit of the scores; 0 if both are right on the same images.
    """
    scored = [split for split in splits if len(split["y"])]
    total = 0.0
    for split in scored:
        y = torch.tensor(split["y"])
        difference = _right(split, first, y) - _right(split, second, y)
        counts = torch.bincount(y).double()
        weight = 1 / (len(scored) * (counts > 0).sum() * counts[y])
        total += float((weight * difference).square().sum())
    return math.sqrt(total)


def _right(split: Mapping[str, Any], policy: Policy, y: Tensor) -> Tensor:
    return (torch.tensor(split["predictions"][policy.name]) == y).double()


def _score(split: Mapping[str, Any], policy: Policy, num_classes: int) -> float:
    return balanced_accuracy(torch.tensor(split["predictions"][policy.name]), torch.tensor(split["y"]), num_classes)


def _words(chosen: Policy, splits: Sequence[Mapping[str, Any]]) -> str:
    images = ", ".join(str(len(split["y"])) for split in splits)
    what = f"Chosen: {chosen.name}." if chosen.share else f"Chosen: {chosen.name}, no synthetic images."
    return f"{what} Decided once on {len(splits)} tuning splits ({images} training images held out), then frozen."


def _document(chosen: Policy, classical: str, words: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "schema": 1,
        "base": chosen.base,
        "share": chosen.share,
        "confidence": chosen.confidence or None,
        "name": chosen.name,
        "best_classical": classical,
        "words": words,
        "tuning": {"rule": RULE, "candidates": rows},
    }
