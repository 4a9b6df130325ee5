"""Semi-supervised methods without a generator that learn from their own labels: FixMatch, and its start by a graph."""

from __future__ import annotations

from augmentor.types import Predict
from downstream.classifier import build_classifier
from downstream.consistency import WEAK, Advice, FixMatchSettings, train_fixmatch
from downstream.evaluate import predict_logits
from pipelines.augmentation import classical_of
from pipelines.device import device_of
from pipelines.pool import CLEAREST, graph_labels
from pipelines.semi.methods import SemiTask

ALONE, FADED = 1 / 7, 2 / 3  # shares of the steps: on the graph's labels alone; until its weight is zero
THRESHOLD = 0.7  # with a good start the unsure images are the informative ones; at 0.9 they are never learned
WEIGHT_UNLABELLED = 6.0  # there are six times as many unlabelled images in a batch


def fixmatch(task: SemiTask) -> Predict:
    """FixMatch with the settings of the paper where they carry over: threshold 0.95, equal weights."""
    return _train(task, FixMatchSettings(steps=task.config.semi.consistency_steps), None)


def graph_fixmatch(task: SemiTask) -> Predict:
    """FixMatch that begins with the labels of a graph of augmentation-invariant neighbours.

    With a few labels a class, FixMatch's first labels are a network's guesses, and their errors stay; a graph's are
    better than any network's at that time. They are learned alone first, the clearest of them; then an image counts
    where graph and teacher agree or one of them is sure, and in the last third the teacher decides alone.
    """
    steps = task.config.semi.consistency_steps
    settings = FixMatchSettings(steps=steps, threshold=THRESHOLD, weight_unlabelled=WEIGHT_UNLABELLED)
    labels, clear = graph_labels(task.train, task.pool, task.config, task.seed, CLEAREST)
    return _train(task, settings, Advice(labels, clear, round(ALONE * steps), round(FADED * steps)))


def _train(task: SemiTask, settings: FixMatchSettings, advice: Advice | None) -> Predict:
    c = task.config.classifier
    model = build_classifier(c.name, len(task.train.classes), task.train.image_shape, seed=task.seed)
    teacher = train_fixmatch(
        model.to(device_of(task.config)),
        task.train.x,
        task.train.y,
        task.pool,
        settings,
        seed=task.seed,
        weak=classical_of(task.config, WEAK),
        strong=classical_of(task.config),
        advice=advice,
        on_step=lambda step, values: task.on_step(step, settings.steps, values),
    )
    return lambda x: predict_logits(teacher, x)
