"""The report of a gain run: one HTML file that needs nothing else, verdict first.

Everything shown is taken from the result (the contents of ``gain.json``) and the gallery; nothing
is computed anew except differences of means and coordinates. Class names and all other texts are
escaped by the template engine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from augmentor.common.atomic_files import write_text
from augmentor.common.types import LabelledImages
from downstream.arms.table import ARMS, KINDS
from downstream.metrics import METRICS, Metric
from pipelines.experiment.parts import PartError
from pipelines.experiment.plan import Group
from pipelines.gain.plan import GainPlan
from pipelines.report.page import Axis, duration, image_strip, p_value, render_page, scale_of
from pipelines.workbench.training_parts import TrainingTask

CLASSES_SHOWN = 40


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


def read_gallery(plan: GainPlan, group: Group[TrainingTask]) -> Gallery | None:
    """The pictures that the first replicate kept; None if it has none."""
    part = group.task.gallery
    if part is None or not plan.store.has(part):
        return None
    try:
        tensors = plan.store.read(part).tensors
    except PartError:  # pictures are no result: a page without them is better than none
        return None
    classes = plan.bundle.train.classes
    images = {}
    for name in ("real", "synthetic", "samples"):
        images[name] = LabelledImages(tensors[f"{name}_x"], tensors[f"{name}_y"], classes)
    neighbours, distances = tensors["neighbours"], tensors["distances"]
    return Gallery(images["real"], images["synthetic"], images["samples"], neighbours, distances)


def write_report(path: Path, result: Mapping[str, Any], gallery: Gallery | None = None) -> None:
    """Write the report of one gain run.

    Args:
        path: The HTML file to write.
        result: The contents of ``gain.json``.
        gallery: Pictures; without them those sections are left out.
    """
    write_text(path, render_report(result, gallery))


def render_report(result: Mapping[str, Any], gallery: Gallery | None = None) -> str:
    """The report as HTML text; see ``write_report``."""
    metric = METRICS[result["metric"]]
    return render_page(
        "report.html.j2",
        result=result,
        metric=metric,
        verdict=result["verdict"],
        scored="real test images" if result["scored_on"] == "test" else result["scored_on"],
        kinds=KINDS,
        arms=_arm_rows(result, metric),
        arm_axis=_axis(_arm_scale(result), metric),
        reference=_reference(result),
        comparisons=_comparison_rows(result, metric),
        permuted=any(row["p_permutation"] is not None for row in result["comparisons"]),
        comparison_axis=_axis(_comparison_scale(result), metric),
        metrics=_metrics_table(result),
        recall=_recall_table(result),
        policy=_policy_view(result, metric),
        classes=_class_cards(gallery),
        hidden_classes=_hidden_classes(gallery),
        neighbours=_neighbour_cards(gallery),
        seconds={name: duration(value) for name, value in result["seconds"].items()},
    )


def _axis(scale: Axis, metric: Metric) -> list[dict[str, Any]]:
    ticks = []
    for tick in scale.ticks:
        ticks.append({"x": scale.at(tick), "label": f"{metric.unit.factor * tick:.4g}"})
    return ticks


def _arm_scale(result: Mapping[str, Any]) -> Axis:
    values: list[float] = []
    for arm in result["arms"].values():
        values += [*arm["scores"], arm["mean"], *(arm["ci95"] or ())]
    return scale_of(values)


def _arm_rows(result: Mapping[str, Any], metric: Metric) -> list[dict[str, Any]]:
    scale = _arm_scale(result)
    reference = result["arms"].get(_reference(result))
    rows = []
    for name, arm in result["arms"].items():
        kind, words = _kind_and_words(name, result)
        other = reference is not None and arm is not reference
        delta = metric.unit.signed(arm["mean"] - reference["mean"]) if other else ""
        interval = arm["ci95"] or (arm["mean"], arm["mean"])
        rows.append(
            {
                "name": name,
                "kind": kind,
                "note": words,
                "mean": metric.unit.plain(arm["mean"]),
                "interval": _interval(arm["ci95"], metric.unit.plain),
                "delta": delta,
                "strip": _strip(scale, arm["mean"], interval, arm["scores"]),
                "reference": None if reference is None else scale.at(reference["mean"]),
            }
        )
    return rows


def _reference(result: Mapping[str, Any]) -> str | None:
    """The arm that all are shown beside: the plainest there is; None without one."""
    return next((name for name in ("real", "classical") if name in result["arms"]), None)


def _kind_and_words(name: str, result: Mapping[str, Any]) -> tuple[str, str]:
    """Of an arm of the table, or of one that the configuration named itself."""
    if name in ARMS:
        return ARMS[name].kind, ARMS[name].words
    if mixture := result["mixtures"].get(name):
        return "synthetic", mixture
    base = ARMS[result["bases"][name]]
    return base.kind, f"a variant of {base.name}: {base.words}"


def _comparison_scale(result: Mapping[str, Any]) -> Axis:
    values = [0.0]
    for row in result["comparisons"]:
        values += [row["delta"], *(row["ci95"] or ())]
    return scale_of(values)


def _comparison_rows(result: Mapping[str, Any], metric: Metric) -> list[dict[str, Any]]:
    scale = _comparison_scale(result)
    shown = metric.unit.signed
    rows = []
    for row in result["comparisons"]:
        interval = row["ci95"] or (row["delta"], row["delta"])
        rows.append(
            {
                "arm": row["arm"],
                "baseline": row["baseline"],
                "outcome": row["outcome"],
                "delta": shown(row["delta"]),
                "interval": _interval(row["ci95"], shown),
                "replicates": _interval(row["ci95_replicates"], shown),
                "p": p_value(row["p"]),
                "p_permutation": p_value(row["p_permutation"]),
                "p_holm": p_value(row["p_holm"]),
                "needed": _needed(row),
                "strip": _strip(scale, row["delta"], interval, ()),
                "zero": scale.at(0.0),
            }
        )
    return rows


def _needed(row: Mapping[str, Any]) -> str:
    if row["outcome"] != "undecided":
        return ""
    if row["needed"] is not None:
        return f"about {row['needed']} replicates would decide"
    return f"limited by {row['limited_by']}" if row["limited_by"] else ""


def _metrics_table(result: Mapping[str, Any]) -> dict[str, Any]:
    """Every arm by every metric, the best of a metric marked."""
    names = result["metrics"]
    best = {}
    for name in names:
        pick = max if METRICS[name].higher_is_better else min
        best[name] = pick(arm["metrics"][name]["mean"] for arm in result["arms"].values())
    rows = []
    for arm, found in result["arms"].items():
        cells = []
        for name in names:
            one = found["metrics"][name]
            unit = METRICS[name].unit
            interval = _interval(one["ci95"], unit.plain)
            marked = one["mean"] == best[name]
            cells.append({"mean": unit.plain(one["mean"]), "interval": interval, "best": marked})
        rows.append({"arm": arm, "cells": cells})
    titles = []
    for name in names:
        arrow = "↑" if METRICS[name].higher_is_better else "↓"
        titles.append(f"{METRICS[name].words} {arrow}")
    return {"titles": titles, "rows": rows}


def _strip(
    scale: Axis, centre: float, interval: Iterable[float], dots: Sequence[float]
) -> dict[str, Any]:
    low, high = interval
    places = [scale.at(dot) for dot in dots]
    return {
        "centre": scale.at(centre),
        "low": scale.at(low),
        "high": scale.at(high),
        "dots": places,
    }


def _recall_table(result: Mapping[str, Any]) -> dict[str, Any]:
    arms, counts = result["arms"], result["training_counts"]
    known: list[float] = []
    for arm in arms.values():
        known += [value for value in arm["per_class_recall"].values() if value is not None]
    low = min(known, default=0.0)
    rows = []
    for name in counts:
        recalls = [arm["per_class_recall"][name] for arm in arms.values()]
        best = max((recall for recall in recalls if recall is not None), default=None)
        cells = [_heat_cell(recall, low, best) for recall in recalls]
        rows.append({"name": name, "count": counts[name], "cells": cells})
    names = [name.replace("+", "+\u200b") for name in arms]  # may break there: columns are many
    return {"arms": names, "rows": rows}


def _heat_cell(recall: float | None, low: float, best: float | None) -> dict[str, Any]:
    if recall is None:
        return {"text": "–", "heat": 0, "best": False}
    heat = (recall - low) / max(1 - low, 1e-9)
    return {"text": f"{100 * recall:.1f}", "heat": round(100 * heat), "best": recall == best}


def _policy_view(result: Mapping[str, Any], metric: Metric) -> dict[str, Any] | None:
    policy = result["policy"]
    if not policy:
        return None
    rows = []
    for row in policy["screening"]["candidates"]:
        scores = [metric.unit.plain(score) for score in row["scores"]]
        rows.append(
            {
                "name": row["name"],
                "mean": metric.unit.plain(row["mean"]),
                "rounds": row["rounds"],
                "scores": ", ".join(scores),
                "behind": metric.unit.signed(-row["behind_leader"]),
                "error": metric.unit.plain(row["standard_error"]),
                "chosen": row["chosen"],
                "dropped": row["dropped"],
            }
        )
    return {"words": policy["words"], "rule": policy["screening"]["rule"], "rows": rows}


def _class_cards(gallery: Gallery | None) -> list[dict[str, Any]]:
    if gallery is None:
        return []
    cards = []
    for index, name in enumerate(gallery.real.classes[:CLASSES_SHOWN]):
        real = image_strip(gallery.real.x[gallery.real.y == index])
        synthetic = image_strip(gallery.synthetic.x[gallery.synthetic.y == index])
        cards.append({"name": name, "real": real, "synthetic": synthetic})
    return cards


def _hidden_classes(gallery: Gallery | None) -> int:
    return 0 if gallery is None else max(0, len(gallery.real.classes) - CLASSES_SHOWN)


def _neighbour_cards(gallery: Gallery | None) -> list[dict[str, Any]]:
    if gallery is None:
        return []
    shown = gallery.samples
    cards = []
    for index, label in enumerate(shown.y.tolist()):
        near = []
        pairs = zip(gallery.neighbours[index], gallery.distances[index].tolist(), strict=True)
        for image, distance in pairs:
            near.append({"image": image_strip(image[None]), "distance": f"{distance:.3f}"})
        sample = image_strip(shown.x[index][None])
        cards.append({"name": shown.classes[label], "sample": sample, "near": near})
    return cards


def _interval(ends: Sequence[float] | None, shown: Callable[[float], str]) -> str:
    return "–" if ends is None else f"{shown(ends[0])} to {shown(ends[1])}"
