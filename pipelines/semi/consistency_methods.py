"""Semi-supervised methods without a generator that learn from their own labels: FixMatch, and its
start by a graph.
"""

from __future__ import annotations

from augmentor.common.types import Predict
from downstream.classifier import build_classifier
from downstream.consistency import WEAK, Advice, FixMatchSettings, train_fixmatch
from downstream.evaluate import predict_logits
from pipelines.augmentation import classical_of
from pipelines.device import device_of
from pipelines.pool import CLEAREST, begun_with, graph_labels
from pipelines.semi.methods import SemiTask


def fixmatch(task: SemiTask) -> Predict:
    """FixMatch with the paper's threshold, 0.95, and weight, 1; its strong augmentation is the
    classical one here.
    """
    return _train(task, FixMatchSettings(steps=task.config.semi.consistency_steps), None)


def graph_fixmatch(task: SemiTask) -> Predict:
    """FixMatch that begins with the labels of a graph of similar images; see
    ``pool.begun_with``.
    """
    labels, clear = graph_labels(task.train, task.pool, task.config, task.seed, CLEAREST)
    settings = FixMatchSettings(steps=task.config.semi.consistency_steps)
    return _train(task, *begun_with(labels, clear, settings))


def _train(task: SemiTask, settings: FixMatchSettings, advice: Advice | None) -> Predict:
    c = task.config.classifier
    model = build_classifier(
        c.name, len(task.train.classes), task.train.image_shape, seed=task.seed
    )
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
