"""The policy behind ``auto``: how much synthetic data to mix in, or none, chosen on tuning splits
of the training part.

Every candidate is trained with the same budget on the fit part of each split, with one source a
split, and scored on the images held out of it. The test set plays no part. A class with few images
has none to hold out, so common classes rehearse what befalls rare ones (``tuning_split``). Scores
on few images decide little, so the choice leans to what is known to do no harm, less synthetic data
and augmented real images: see ``RULE``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from augmentor.common.randomness import rng_for
from augmentor.data.splits import tuning_split
from downstream.evaluate import balanced_accuracy
from pipelines.config import Config
from pipelines.datasets import DataBundle
from pipelines.gain.arms import Bench, predictions
from pipelines.gain.recipes import ARMS, BASES, Policy, named_policies, usual_bases
from pipelines.interrupt import Watch

RULE = (
    "Rule: the best candidate without a generator, unless the best of all is ahead of it by more "
    "than one standard "
    "error; then the same for labels from a generator, and for every share of synthetic images, "
    "the smallest first. "
    "Augmentation is left out on the same terms only."
)
ROUNDING = 1e-9  # one image more or less is exactly one standard error
MIXED = ("classical", "pseudo_label")  # SMOTE and repeated images do what synthetic ones do


def candidates(config: Config, *, pool: bool) -> list[Policy]:
    """What ``auto`` may choose: generator-free arms, ``MIXED`` with every share and filter, and the
    config's policies.

    That the plainest arms are among them is what keeps ``auto`` from doing harm: augmentation can
    do some too. Every arm with classical augmentation is there in all strengths of the config.
    Where ``auto`` does not run, only these arms are there, for their strengths.

    Raises:
        ValueError: If ``gain.candidates`` names what is no such arm or policy, or needs a pool that
            is not there.
    """
    named = named_policies(config)
    wanted = config.gain.candidates or usual_bases(pool=pool)
    if unknown := [name for name in wanted if name not in BASES and name not in named]:
        raise ValueError(f"unknown candidate {unknown[0]!r}; known: {', '.join((*BASES, *named))}")
    alone = [policy for base in wanted if base in BASES for policy in _strengths_of(base, config)]
    mixed = [
        replace(policy, share=share, confidence=confidence)
        for share in sorted(set(config.gain.shares) - {0.0})
        for confidence in sorted(set(config.gain.confidences))
        for policy in alone
        if policy.base in MIXED
    ]
    runs = "auto" in (config.gain.arms or ARMS)
    own = [named[name] for name in wanted if name in named]
    found = list(dict.fromkeys([*alone, *mixed, *own] if runs else alone))
    if needy := [policy.name for policy in found if policy.recipe.needs_pool and not pool]:
        raise ValueError(
            f"the candidate {needy[0]!r} needs unlabelled images; give --unlabelled, or leave it "
            "out"
        )
    return found


def _strengths_of(base: str, config: Config) -> list[Policy]:
    """An arm in every strength, if it has classical augmentation."""
    tunable = BASES[base].augment == "classical"
    return [
        Policy(base, strength=strength)
        for strength in (config.gain.strengths if tunable else (1.0,))
    ]


def tune(
    bundle: DataBundle,
    config: Config,
    split: int,
    on_part: Callable[[str], None],
    watch: Watch | None,
) -> dict[str, Any]:
    """Score every candidate on one tuning split.

    Args:
        bundle: The training part and pool of the first replicate; its test part is not touched.
        config: The run.
        split: Number of the split, from 0; decides what is held out and every seed.
        on_part: Called with a few words when a part is finished.
        watch: Looked at while the source is trained.

    Returns:
        ``y``, the classes of the images held out, and ``predictions`` {candidate: predicted
        classes}; ``seconds``.
    """
    fit, held_out, seed = tuning_parts(bundle, config, split)
    tuning = bundle.train.subset(held_out)
    bench = Bench(bundle.train.subset(fit), bundle.pool, config, seed, on_part, watch)
    guesses: dict[str, list[int]] = {}
    for policy in candidates(config, pool=bundle.pool is not None) if len(tuning) else []:
        guesses[policy.name] = predictions(bench.classifier(policy.recipe), tuning.x)
    return {
        "y": tuning.y.tolist(),
        "predictions": guesses,
        "seconds": bench.seconds,
        "notes": bench.notes,
    }


def tuning_parts(bundle: DataBundle, config: Config, split: int) -> tuple[Tensor, Tensor, int]:
    """Numbers of the training images to fit on, those to tune on, and the seed of the split."""
    seed = int(torch.randint(2**31, (1,), generator=rng_for("tuning split", config.seed, split)))
    return *tuning_split(bundle.train.y, 1 - config.gain.tuning_fraction, seed, turn=split), seed


def choose(
    splits: Sequence[Mapping[str, Any]], config: Config, num_classes: int, *, pool: bool
) -> dict[str, Any]:
    """Choose by ``RULE`` and say why.

    Args:
        splits: What ``tune`` returned for every split.
        config: The run.
        num_classes: Number of classes K.
        pool: Whether there is an unlabelled pool.

    Returns:
        The contents of policy.json: ``base``, ``share``, ``confidence`` (null is no filter),
        ``best_classical`` (the best arm without generator and pool; null if unknown),
        ``best_with_pool`` (without generator; likewise), ``strengths`` (of classical augmentation,
        by arm), ``words``, and the ``tuning``: its budget and the scores of all candidates.
        ``share`` 0 means no synthetic data.
    """
    policies = candidates(config, pool=pool)
    if not any(len(split["y"]) for split in splits):
        words = "No class has four images, so nothing could be tuned: classical augmentation, no synthetic images."
        return _untuned(config, words, pool=pool)
    # In single precision one image more could count as more than its standard error.
    scores = torch.tensor(
        [[_score(s, policy, num_classes) for s in splits] for policy in policies],
        dtype=torch.float64,
    )
    means = scores.mean(dim=1)
    best = int(means.argmax())
    error = partial(standard_error, splits)
    chosen = most_prudent(policies, means.tolist(), error)
    rows = [
        {
            "name": policy.name,
            **policy.to_json(),
            "scores": scores[index].tolist(),
            "mean": float(means[index]),
            "behind_best": float(means[best] - means[index]),
            "standard_error": error(policies[best], policy),
            "chosen": index == chosen,
        }
        for index, policy in enumerate(policies)
    ]
    ranked, own = (
        _ranked(policies, means.tolist(), error),
        {one: name for name, one in named_policies(config).items()},
    )
    document = _document(policies[chosen], _words(policies[chosen], splits), ranked, own)
    return document | {
        "tuning": {
            "rule": RULE,
            "budget": _budget(splits, config, len(policies)),
            "candidates": rows,
        }
    }


def policy_of(document: Mapping[str, Any]) -> Policy:
    """The policy in the contents of policy.json."""
    known = {field.name: document[field.name] for field in fields(Policy) if field.name in document}
    return Policy(**(known | {"confidence": document["confidence"] or 0.0}))


Error = Callable[[Policy, Policy], float]


def most_prudent(policies: Sequence[Policy], means: Sequence[float], error: Error) -> int:
    """Index of the candidate that ``RULE`` chooses.

    Synthetic data carry the burden of proof, and so does the lack of augmentation: tuning images
    are few, so that the candidate with the highest score is often so by one image.

    Args:
        policies: The candidates.
        means: Their mean tuning scores.
        error: Gives the standard error of the difference of two of them.
    """
    rank = _rank(policies, means)
    best = min(range(len(policies)), key=rank)
    for reliance in sorted({_reliance(policy) for policy in policies}):
        group = [index for index, policy in enumerate(policies) if _reliance(policy) == reliance]
        first = min(group, key=rank)
        if means[best] - means[first] <= error(policies[best], policies[first]) + ROUNDING:
            augmented = min(
                (i for i in group if policies[i].recipe.augmented), key=rank, default=first
            )
            near = (
                means[first] - means[augmented]
                <= error(policies[first], policies[augmented]) + ROUNDING
            )
            return augmented if near else first
    raise AssertionError("the best candidate is within its own standard error")


def _reliance(policy: Policy) -> tuple[bool, float]:
    """How much a policy leaves to a generator."""
    return policy.uses_generator, policy.share


def _ranked(policies: Sequence[Policy], means: Sequence[float], error: Error) -> list[Policy]:
    """The candidates without a generator, each the choice of ``RULE`` among those after it."""
    left = [index for index, policy in enumerate(policies) if not policy.uses_generator]
    ranked = []
    while left:
        first = left[most_prudent([policies[i] for i in left], [means[i] for i in left], error)]
        ranked.append(policies[first])
        left.remove(first)
    return ranked


def _rank(
    policies: Sequence[Policy], means: Sequence[float]
) -> Callable[[int], tuple[float, bool, float, bool]]:
    """What puts candidates in order: the higher score, of equals less of a generator, then the
    augmented one.
    """
    return lambda index: (
        -means[index],
        *_reliance(policies[index]),
        not policies[index].recipe.augmented,
    )


def standard_error(splits: Sequence[Mapping[str, Any]], first: Policy, second: Policy) -> float:
    r"""Standard error of the difference of two candidates' mean tuning scores if they were equally
    good.

    .. math:: \sqrt{\sum_i w_i^2 d_i^2}, \qquad d_i \in \{-1, 0, 1\}

    where d_i is by how much the first is right where the second is not and w_i the weight of image
    i in the mean of the balanced accuracies. It is the standard deviation under random signs, so it
    needs no two images of a class.

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
    return balanced_accuracy(
        torch.tensor(split["predictions"][policy.name]), torch.tensor(split["y"]), num_classes
    )


def _words(chosen: Policy, splits: Sequence[Mapping[str, Any]]) -> str:
    images = ", ".join(str(len(split["y"])) for split in splits)
    what = (
        f"Chosen: {chosen.name}."
        if chosen.share
        else f"Chosen: {chosen.name}, no synthetic images."
    )
    return f"{what} Decided once on {len(splits)} tuning splits ({images} training images held out), then frozen."


def _untuned(config: Config, words: str, *, pool: bool) -> dict[str, Any]:
    strength = 1.0 if 1.0 in config.gain.strengths else config.gain.strengths[0]
    chosen = Policy("classical", strength=strength)
    document = _document(
        chosen, words, [chosen, *([Policy("pseudo_label", strength=strength)] if pool else [])], {}
    )
    nothing_known = {"best_classical": None, "best_with_pool": None}
    return document | nothing_known | {"tuning": {"rule": RULE, "candidates": []}}


def _document(
    chosen: Policy, words: str, ranked: Sequence[Policy], own: Mapping[Policy, str]
) -> dict[str, Any]:
    """The contents of policy.json but for the tuning.

    Args:
        chosen: What ``auto`` does.
        words: Why.
        ranked: The candidates without a generator, best first.
        own: Names of the config's own policies.
    """
    classical = [own.get(policy, policy.base) for policy in ranked if not policy.recipe.needs_pool]
    with_pool = [own.get(policy, policy.base) for policy in ranked if policy.recipe.needs_pool]
    tunable = [
        policy
        for policy in reversed(ranked)
        if policy.recipe.augment == "classical" and policy not in own
    ]
    return {
        "schema": 1,
        **chosen.to_json(),
        "confidence": chosen.confidence or None,
        "name": chosen.name,
        "best_classical": classical[0] if classical else None,
        "best_with_pool": with_pool[0] if with_pool else None,
        "strengths": {
            policy.base: policy.strength for policy in tunable
        },  # the last one entered is the best
        "words": words,
    }


def _budget(splits: Sequence[Mapping[str, Any]], config: Config, count: int) -> dict[str, Any]:
    """What the choice has cost, the same for every candidate."""
    return {
        "candidates": count,
        "splits": len(splits),
        "steps_a_candidate": config.classifier.steps,
        "images_held_out": [len(split["y"]) for split in splits],
    }
