"""The report of a gain run: one HTML file that needs nothing else, verdict first.

Everything shown is taken from the result (the contents of ``gain.json``) and the gallery; nothing
is computed anew except differences of means and coordinates. Class names and all other texts are
escaped by the template engine.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load, save
from torch import Tensor

from augmentor.common.atomic_files import write_bytes, write_text
from augmentor.common.types import LabelledImages
from downstream.gain import outcome
from pipelines.page import (
    Axis,
    duration,
    image_strip,
    p_value,
    render_page,
    scale_of,
    signed_points,
)

CLASSES_SHOWN = 40
ARM_NOTES = {
    "real": ("plain", "the labelled images as they are"),
    "oversample": ("plain", "every class drawn equally often"),
    "smote": ("plain", "SMOTE: mixes of neighbouring images balance the classes"),
    "classical": ("classical", "every class drawn equally often, random affine augmentation"),
    "smote+classical": ("classical", "SMOTE, then augmentation"),
    "trivialaugment": (
        "classical",
        "every class drawn equally often, one random operation an image",
    ),
    "randaugment": ("classical", "every class drawn equally often, two random operations an image"),
    "mixup": ("classical", "classical, then mixes of two images and their labels"),
    "cutmix": ("classical", "classical, then patches of one image in another"),
    "reweight": (
        "classical",
        "images as often as they are, a loss that weighs rare classes more, augmentation",
    ),
    "logit_adjusted": (
        "classical",
        "images as often as they are, a loss that allows for frequencies, augmentation",
    ),
    "decoupled": (
        "classical",
        "images as often as they are, then the last layer on balanced classes, augmentation",
    ),
    "pseudo_label": ("pool", "unlabelled images with predicted labels, augmentation; no generator"),
    "fixmatch": ("pool", "FixMatch: unlabelled images labelled anew at every step; no generator"),
    "graph_fixmatch": (
        "pool",
        "FixMatch that begins with the labels of a graph of similar images; no generator",
    ),
    "pair_fixmatch": (
        "pool",
        "FixMatch that begins with the labels of two graph_fixmatch together; no generator",
    ),
    "joint_fixmatch": (
        "synthetic",
        "FixMatch that begins with the labels of graph_fixmatch and a CVAE together",
    ),
    "retrieval": (
        "pool",
        "the unlabelled images nearest to labelled ones, augmentation; no generator",
    ),
    "pair_label": (
        "pool",
        "unlabelled images labelled by two classifiers together, augmentation; no generator",
    ),
    "joint_label": (
        "synthetic",
        "unlabelled images labelled by a classifier and a CVAE together, augmentation",
    ),
    "synthetic": ("synthetic", "generated images balance the classes, no augmentation"),
    "synthetic+classical": (
        "synthetic",
        "generated images balance the classes, augmentation on all",
    ),
    "auto": ("auto", "what the policy chose on the tuning splits, before the test set was read"),
}
KINDS = {
    "plain": "labelled images only",
    "classical": "classical augmentation",
    "pool": "unlabelled pool, no generator",
    "synthetic": "a generator",
    "auto": "chosen by the policy",
}


@dataclass(frozen=True)
class Gallery:
    """The pictures of a report, all from one replicate.

    Args:
        real: A few training images of every class.
        synthetic: A few generated images of every class, the first candidates, not picked.
        samples: Generated images whose neighbours are shown, M of them.
        neighbours: Nearest images among all that the generator was trained on, shape (M, k, C, H,
            W), nearest first.
        distances: Root mean square pixel differences to them on the scale [0, 1], shape (M, k).
    """

    real: LabelledImages
    synthetic: LabelledImages
    samples: LabelledImages
    neighbours: Tensor
    distances: Tensor


def save_gallery(path: Path, gallery: Gallery) -> None:
    """Write a gallery as one safetensors file (class names are not stored: ``load_gallery`` takes
    them).
    """
    tensors = {"neighbours": gallery.neighbours, "distances": gallery.distances}
    for name in ("real", "synthetic", "samples"):
        images: LabelledImages = getattr(gallery, name)
        tensors |= {f"{name}_x": images.x, f"{name}_y": images.y}
    write_bytes(path, save({key: value.contiguous().clone() for key, value in tensors.items()}))


def load_gallery(path: Path, classes: tuple[str, ...]) -> Gallery:
    """Read what ``save_gallery`` wrote."""
    tensors = load(path.read_bytes())
    real, synthetic, samples = (
        LabelledImages(tensors[f"{name}_x"], tensors[f"{name}_y"], classes)
        for name in ("real", "synthetic", "samples")
    )
    return Gallery(real, synthetic, samples, tensors["neighbours"], tensors["distances"])


def write_report(path: Path, result: Mapping[str, Any], gallery: Gallery | None = None) -> None:
    """Write the report of one gain run.

    Args:
        path: The HTML file to write.
        result: The contents of ``gain.json``; optional beside the schema: ``training_counts``
            {class: images}, ``notes`` (sentences about the data), and the policy's ``tuning``
            table.
        gallery: Pictures; without them those sections are left out.
    """
    write_text(path, render_report(result, gallery))


def render_report(result: Mapping[str, Any], gallery: Gallery | None = None) -> str:
    """The report as HTML text; see ``write_report``."""
    return render_page(
        "report.html.j2",
        result=result,
        verdict=result["verdict"].partition(": "),
        kinds=KINDS,
        arms=_arm_rows(result),
        arm_axis=_axis(_arm_scale(result)),
        reference=_reference(result),
        comparisons=_comparison_rows(result),
        permuted=any(row.get("p_permutation") is not None for row in result["comparisons"]),
        comparison_axis=_axis(_comparison_scale(result)),
        recall=_recall_table(result),
        policy=_policy_view(result),
        classes=_class_cards(gallery),
        hidden_classes=_hidden_classes(gallery),
        neighbours=_neighbour_cards(gallery),
        seconds={name: duration(value) for name, value in result["seconds"].items()},
    )


def _axis(scale: Axis) -> list[dict[str, Any]]:
    return [{"x": scale.at(tick), "label": f"{100 * tick:.4g}"} for tick in scale.ticks]


def _arm_scale(result: Mapping[str, Any]) -> Axis:
    arms = result["arms"].values()
    return scale_of(value for arm in arms for value in (*arm["scores"], arm["mean"], *arm["ci95"]))


def _arm_rows(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    scale = _arm_scale(result)
    reference = result["arms"].get(_reference(result))
    rows = []
    for name, arm in result["arms"].items():
        kind, note = ARM_NOTES.get(name) or _own_policy(name, result)
        delta = None if reference is None or arm is reference else arm["mean"] - reference["mean"]
        rows.append(
            {
                "name": name,
                "kind": kind,
                "note": note,
                "mean": _percent(arm["mean"]),
                "interval": _interval(arm["ci95"], _percent),
                "delta": "" if delta is None else signed_points(delta),
                "strip": _strip(scale, arm["mean"], arm["ci95"], arm["scores"]),
                "reference": None if reference is None else scale.at(reference["mean"]),
            }
        )
    return rows


def _reference(result: Mapping[str, Any]) -> str | None:
    """The arm that all are shown beside: the plainest there is; None without one."""
    return next((name for name in ("real", "classical") if name in result["arms"]), None)


def _own_policy(name: str, result: Mapping[str, Any]) -> tuple[str, str]:
    """Kind and words of an arm that the config named itself."""
    if mixture := result.get("mixtures", {}).get(name):
        return "synthetic", mixture
    return ARM_NOTES.get(result.get("bases", {}).get(name, ""), ("plain", ""))


def _comparison_scale(result: Mapping[str, Any]) -> Axis:
    rows = result["comparisons"]
    return scale_of([0.0, *(value for row in rows for value in (row["delta"], *row["ci95"]))])


def _comparison_rows(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    scale = _comparison_scale(result)
    return [
        {
            "arm": row["arm"],
            "baseline": row["baseline"],
            "outcome": outcome(row["ci95"], row["p_holm"]),
            "delta": signed_points(row["delta"]),
            "interval": _interval(row["ci95"], signed_points),
            "bootstrap": _interval(row["ci95_bootstrap"], signed_points),
            "p": p_value(row["p"]),
            "p_permutation": p_value(row.get("p_permutation")),
            "p_holm": p_value(row["p_holm"]),
            "strip": _strip(scale, row["delta"], row["ci95"], ()),
            "zero": scale.at(0.0),
        }
        for row in result["comparisons"]
    ]


def _strip(
    scale: Axis, centre: float, interval: Iterable[float], dots: Iterable[float]
) -> dict[str, Any]:
    low, high = (scale.at(end) for end in interval)
    return {
        "centre": scale.at(centre),
        "low": low,
        "high": high,
        "dots": [scale.at(dot) for dot in dots],
    }


def _recall_table(result: Mapping[str, Any]) -> dict[str, Any]:
    arms = result["arms"]
    counts = result.get("training_counts", {})
    classes = list(next(iter(arms.values()))["per_class_recall"]) if arms else []
    values = [
        value
        for arm in arms.values()
        for value in arm["per_class_recall"].values()
        if value is not None
    ]
    low = min(values, default=0.0)
    rows = []
    for name in classes:
        recalls = [arm["per_class_recall"][name] for arm in arms.values()]
        best = max((recall for recall in recalls if recall is not None), default=None)
        cells = [_heat_cell(recall, low, best) for recall in recalls]
        rows.append({"name": name, "count": counts.get(name, ""), "cells": cells})
    names = [
        name.replace("+", "+\u200b") for name in arms
    ]  # may break there: nine columns are wide
    return {"arms": names, "rows": rows, "counted": bool(counts)}


def _heat_cell(recall: float | None, low: float, best: float | None) -> dict[str, Any]:
    if recall is None:
        return {"text": "–", "heat": 0, "best": False}
    heat = (recall - low) / max(1 - low, 1e-9)
    return {"text": f"{100 * recall:.1f}", "heat": round(100 * heat), "best": recall == best}


def _policy_view(result: Mapping[str, Any]) -> dict[str, Any] | None:
    policy = result.get("policy")
    if not policy:
        return None
    table = policy.get("tuning", {}).get("candidates", [])
    return {
        "words": policy.get("words", ""),
        "rule": policy.get("tuning", {}).get("rule", ""),
        "rows": [
            {
                "name": row["name"],
                "mean": _percent(row["mean"]),
                "scores": ", ".join(_percent(score) for score in row["scores"]),
                "behind": signed_points(-row["behind_best"]),
                "error": f"{100 * row['standard_error']:.1f}",
                "chosen": row["chosen"],
            }
            for row in table
        ],
    }


def _class_cards(gallery: Gallery | None) -> list[dict[str, Any]]:
    if gallery is None:
        return []
    cards = []
    for index, name in enumerate(gallery.real.classes[:CLASSES_SHOWN]):
        real, synthetic = (
            images.x[images.y == index] for images in (gallery.real, gallery.synthetic)
        )
        cards.append({"name": name, "real": image_strip(real), "synthetic": image_strip(synthetic)})
    return cards


def _hidden_classes(gallery: Gallery | None) -> int:
    return 0 if gallery is None else max(0, len(gallery.real.classes) - CLASSES_SHOWN)


def _neighbour_cards(gallery: Gallery | None) -> list[dict[str, Any]]:
    if gallery is None:
        return []
    rows = zip(
        gallery.samples.x,
        gallery.samples.y.tolist(),
        gallery.neighbours,
        gallery.distances,
        strict=True,
    )
    return [
        {
            "name": gallery.samples.classes[label],
            "sample": image_strip(sample[None]),
            "near": [
                {"image": image_strip(image[None]), "distance": f"{distance:.3f}"}
                for image, distance in zip(images, distances.tolist(), strict=True)
            ],
        }
        for sample, label, images, distances in rows
    ]


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def _interval(ends: Iterable[float | None] | None, words: Any) -> str:
    return "–" if ends is None else " to ".join(words(end) for end in ends)
