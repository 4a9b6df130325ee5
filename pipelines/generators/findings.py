"""What the numbers of an evaluation mean: warnings, a row of a table, and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from PIL import Image

from augmentor.quality.conditioning import FOLLOWS
from augmentor.quality.memorisation import nearest
from downstream.metrics import POINTS
from pipelines.generators.compared import KINDS, Compared, Section, evenly_spaced, first_of_each
from pipelines.generators.copied import copies_words
from pipelines.generators.measures import NUMBERS
from pipelines.report.pictures import class_rows, sample_grid

WEAK_JUDGE = 0.9
SUSPICIOUS = 0.1
"""A ratio below, or a share above, that should stop a reader."""
MEMBERSHIP_ALARM = 0.6
"""Area under the curve of a membership inference attack; surely more should stop a reader."""
SPOILING = (
    "ignores the label",
    "ignores the condition",
    "deaf to the label",  # in results of version 0.1
    "collapsed",
    "memorised",
    "training diverged",
)
"""How the warnings begin that take all praise from images; the others are told beside it."""


def spoiling(warnings: Sequence[str]) -> list[str]:
    """The warnings that take all praise from images."""
    return [words for words in warnings if words.startswith(SPOILING)]


def summary(metrics: Section, row: Literal["real", "generated"]) -> Section:
    """One row of a table: what ``evaluate_source`` measured, flat.

    Args:
        metrics: ``metrics`` of its result.
        row: The real data, or what the source made of them. Real data are as varied as they are.
    """
    found, fidelity = metrics["answers"][row], metrics["fidelity"][row]
    flat = {"top1": found["top1"], "inception_score": found["inception_score"]}
    for name in NUMBERS:
        flat[name] = fidelity[name]
    flat["diversity"] = metrics["diversity"]["pixels_ratio"] if row == "generated" else 1.0
    flat["cas"] = metrics["usefulness"][row]["accuracy"]
    return flat


def find_warnings(metrics: Section, classes: Sequence[str]) -> list[str]:
    """What in the numbers should stop a reader, in words; empty if nothing does.

    Args:
        metrics: The sections ``answers``, ``diversity`` and ``memorisation`` as ``evaluate_source``
            makes them.
        classes: Class names by index.
    """
    return [
        *_about_the_judge(metrics["answers"]["real"]["top1"]),
        *_about_collapse(metrics["diversity"]["pixels_ratio_of_class"], classes),
        *_about_labels(metrics, len(classes)),
        *_about_copies(metrics["memorisation"]["pixels"]),
        *_about_single_copies(metrics["memorisation"].get("copies")),
        *_about_members(metrics["memorisation"].get("membership")),
    ]


def _about_the_judge(top1: float) -> list[str]:
    if top1 >= WEAK_JUDGE:
        return []
    return [
        f"weak judge: it recognises {POINTS.shown(top1)} of the real test images; the other "
        "numbers are as unsure"
    ]


def _about_collapse(ratios: Sequence[float | None], classes: Sequence[str]) -> list[str]:
    flat = []
    for name, ratio in zip(classes, ratios, strict=True):
        if ratio is not None and ratio < SUSPICIOUS:
            flat.append(name)
    if not flat:
        return []
    return [f"collapsed: images of {_some(flat)} are almost the same whatever the latent"]


def _about_labels(metrics: Section, num_classes: int) -> list[str]:
    words = []
    if metrics["diversity"]["label_effect"] < SUSPICIOUS:
        words.append("ignores the label: a latent gives almost the same image for every class")
    top1, chance = metrics["answers"]["generated"]["top1"], 1 / num_classes
    if top1 < chance + SUSPICIOUS * (1 - chance):
        words.append(
            f"ignores the label: the judge finds the asked class in {POINTS.shown(top1)}, hardly "
            "more than by chance"
        )
    return words


def about_condition(agreement: float) -> list[str]:
    """A warning where a source does not follow its condition.

    Args:
        agreement: ``condition_agreement`` of it.
    """
    if agreement >= FOLLOWS:
        return []
    return [
        "ignores the condition: a real image comes back better under its own condition than under "
        f"another one in {100 * agreement:.0f} % of cases, and 50 % is chance"
    ]


def _about_copies(pixels: Section) -> list[str]:
    words = []
    copied, error = pixels["copied_share"], pixels["copied_share_error"]
    if copied is not None and copied > SUSPICIOUS + 3 * error:
        words.append(
            f"memorised: about {100 * copied:.0f} % of the samples look like copies of training "
            "images"
        )
    if pixels["near_copies"] > SUSPICIOUS:
        words.append(
            f"near copies: {POINTS.shown(pixels['near_copies'])} of the samples are as near to an "
            "image the source has seen as only 1 % of unseen images are; blurred samples can do "
            "that too"
        )
    return words


def _about_single_copies(copies: Section | None) -> list[str]:
    return [copies_words(copies)] if copies and copies["certain"] else []


def _about_members(found: Section | None) -> list[str]:
    if not found or found["at_least"] <= MEMBERSHIP_ALARM:
        return []
    return [f"reveals its training images: {membership_words(found)}"]


def membership_words(found: Section) -> str:
    """What an attacker who has the samples alone can say of training images."""
    return (
        f"whoever has {found['samples']} samples tells a training image from an unseen one of its "
        f"class in {POINTS.shown(found['auroc'])} ± {POINTS.plain(1.96 * found['error'])} of pairs "
        "(50 % is a guess)"
    )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more classes" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more


def samples_picture(sets: Compared, columns: int = 12) -> Image.Image:
    """One row of samples per class."""
    images = sets.equal.images
    rows = class_rows(images.x, images.y, range(len(sets.classes)), columns)
    return sample_grid(rows, sets.classes)


def neighbours_picture(sets: Compared, samples: int = 4, most_classes: int = 10) -> Image.Image:
    """Rows of (sample, nearest seen image in pixels, nearest in features)."""
    chosen = evenly_spaced(len(sets.classes), most_classes)
    shown = sets.equal.subset(first_of_each(sets.equal.images.y, dict.fromkeys(chosen, samples)))
    columns = [shown.images.x]
    for kind in KINDS:
        _, rows = nearest(shown.values(kind), sets.seen[kind])
        columns.append(sets.seen["pixels"][rows])
    triples = torch.stack(columns, dim=1)
    per_class = [triples[shown.images.y == label].flatten(0, 1) for label in chosen]
    names = ["sample", *KINDS] * samples
    return sample_grid(
        per_class, [sets.classes[label] for label in chosen], column_names=names, group=3
    )
