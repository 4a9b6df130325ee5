"""The card of a shared source: what it renders, what it saw, how good it is, what it cannot do."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from augmentor.common.types import Record

MOST_ROWS = 200
"""Classes that the table of counts lists."""
LIMITS = (
    "- It renders combinations of what its training images show, and nothing beyond them.",
    "- It hands on their errors, gaps and biases. Few images of a class give few ways to look.",
    "- Never score a classifier on images that this source saw. `source.record.trained_on` and "
    "`augmentor.data.fingerprint.fingerprints` tell which these are.",
    "- Whether its images help your classifier is a question to measure: `augmentor gain`.",
)


def model_card(
    record: Record,
    *,
    data: str,
    license: str | None,
    measures: Mapping[str, float | str],
    limits: str,
) -> str:
    """The card in Markdown, with the head that the hub reads.

    Args:
        record: What is known of the training.
        data: What the images are and where they come from.
        license: Of the weights.
        measures: Names and values.
        limits: What users must know beside the usual.
    """
    told = record.description
    channels, height, width = told["image_shape"]
    classes = told["classes"]
    parts = [
        _head(str(told["family"]), license),
        f"# A {told['family']} that renders {len(classes)} classes",
        f"Images of {width} × {height} pixels, {_colours(channels)}. It was trained for "
        f"{record.steps} steps with augmentor (`pip install augmentor-synth[hub]`).",
        _use(classes[0], told.get("conditions")),
        "## What it saw",
        data or "The author has not said what the images are.",
        _seen(record),
        _counts(record.counts),
        "## Options",
        _table(("option", "value"), told["options"].items()),
        "## Measures",
        _table(("measure", "value"), measures.items()) if measures else "None are given.",
        "## Limits",
        "\n".join((*LIMITS, *([limits] if limits else []))),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(family: str, license: str | None) -> str:
    """YAML; a JSON text is YAML too."""
    lines = ["---", "library_name: augmentor"]
    if license is not None:
        lines.append(f"license: {json.dumps(license)}")
    lines += ["tags:", "- data-augmentation", "- class-conditional", f"- {json.dumps(family)}"]
    return "\n".join([*lines, "---"])


def _colours(channels: int) -> str:
    return {1: "grey", 3: "colour"}.get(channels, f"{channels} channels")


def _use(label: str, conditions: Mapping[str, Any] | None) -> str:
    """A block of Python that renders images of the first class."""
    more = ""
    if conditions:
        one = conditions["categories"][0] if conditions["categories"] else [*conditions["centre"]]
        more = f", condition={one!r}"
    lines = [
        "```python",
        "import augmentor",
        "",
        'source = augmentor.from_pretrained("OWNER/NAME")  # or the folder of this card',
        f"images = source.sample(label={label!r}, n=16{more})  # float32 (N, C, H, W) in [-1, 1]",
        "```",
    ]
    return "\n".join(lines)


def _seen(record: Record) -> str:
    augment = record.description.get("source_augment", "none")
    seen = "as they are" if augment == "none" else f"augmented ({augment})"
    return (
        f"{len(record.trained_on)} images, {seen}. `trained_on.safetensors` holds a fingerprint of "
        "each: the first eight bytes of the SHA-256 of its pixels."
    )


def _counts(counts: Mapping[str, int] | None) -> str:
    if counts is None:
        return "How many images there were per class was not kept."
    shown = list(counts.items())[:MOST_ROWS]
    table = _table(("class", "images"), shown)
    more = len(counts) - len(shown)
    return f"{table}\n\nand {more} more classes" if more else table


def _table(head: tuple[str, str], rows: Iterable[tuple[str, Any]]) -> str:
    lines = [f"| {head[0]} | {head[1]} |", "|---|---:|"]
    lines += [f"| {_cell(name)} | {_cell(value)} |" for name, value in rows]
    return "\n".join(lines)


def _cell(value: Any) -> str:
    """Text of one cell: names of classes may hold anything."""
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    plain = "".join(c if c.isprintable() else " " for c in text)
    return plain.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
