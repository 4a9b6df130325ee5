"""The job ``semi``: every method on the same few labels, and what each makes of the unlabelled rest."""

from __future__ import annotations

from pipelines.semi_methods import Method, classical_augmentation, pseudo_label, supervised

METHODS: dict[str, Method] = {
    "supervised": supervised,
    "classical": classical_augmentation,
    "pseudo_label": pseudo_label,
}
