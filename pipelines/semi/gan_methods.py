"""The semi-supervised methods with a GAN: Improved GAN as published, and a head on the samples of a
CVAE-GAN.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import torch

from augmentor.common.randomness import rng_for
from augmentor.common.types import LabelledImages, Predict
from augmentor.families.semi_gan import ImprovedGanTrainer, SemiGanOptions, SourceHeadTrainer
from augmentor.networks.dense import DenseBackbone, DenseGenerator, standardise
from augmentor.networks.heads import SemiSupervisedHead
from augmentor.training.batches import SemiBatches
from augmentor.training.ema import averaged, recompute_batch_norm
from augmentor.training.loop import fit
from downstream.classifier import build_classifier
from downstream.evaluate import predict_logits
from pipelines.augmentation import classical_of
from pipelines.device import device_of
from pipelines.interrupt import Watch
from pipelines.pool import label_pool
from pipelines.semi.methods import SemiTask
from pipelines.generators.train import train_source

BATCH_SIZE = 100  # images of each kind, as published
STANDARDISING = 500  # images, as published
HIDDEN_NOISE = 0.5  # as published
NORM_BATCHES = 20

PUBLISHED = SemiGanOptions()
ON_SOURCE = SemiGanOptions(
    weight_extra_labelled=1.0, learning_rate=1e-3, decay_from=0.5, epsilon=1e-8, ema_decay=0.999
)


def improved_gan(task: SemiTask) -> Predict:
    """Improved GAN with its published networks, losses, rate and batches (Salimans et al. 2016,
    arXiv:1606.03498).

    ``config.semi.gan_steps`` is its length; published are 300 epochs of 600 batches. One thing
    differs from the authors' code: the average, which here forgets its start.
    """
    device = device_of(task.config)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(task.seed)
        backbone = DenseBackbone(task.train.image_shape, hidden_noise=HIDDEN_NOISE)
        head = SemiSupervisedHead(
            backbone,
            backbone.num_features,
            len(task.train.classes),
            weight_norm=True,
            noise=HIDDEN_NOISE,
        )
        generator = DenseGenerator(task.train.image_shape)
    unlabelled = torch.cat([task.train.x, task.pool]).to(device)
    head.to(device)
    standardise(head, task.pool[:STANDARDISING].to(device), rng_for("standardise", task.seed))
    options = replace(PUBLISHED, steps=task.config.semi.gan_steps)
    trainer = ImprovedGanTrainer(head, generator.to(device), options)
    return _fit(
        task, trainer, SemiBatches(_labelled(task), unlabelled, BATCH_SIZE, BATCH_SIZE, task.seed)
    )


def head_cvae_gan(task: SemiTask) -> Predict:
    """A head on the downstream network, whose fakes are the samples of a CVAE-GAN.

    The CVAE-GAN learns from the labelled images and the pseudo-labelled pool, and is then left as
    it is. Real images are classically augmented (``classifier.strength: 0`` turns that off). It
    takes ``config.source.steps`` of the generator, then as many of the head as every classifier
    has.

    The samples are labelled examples too. On held-out training images of digits with 20 labels that
    helped wherever it was tried, and the game real against fake alone did harm: good fakes teach
    that the classes' own regions are fake.
    """
    config, c = task.config, task.config.classifier
    labelled_pool = label_pool(task.train, task.pool, config, task.seed)
    source = train_source(task.train, labelled_pool, config, task.seed, _Heard(task))
    backbone = cast(
        Any,
        build_classifier(c.name, len(task.train.classes), task.train.image_shape, seed=task.seed),
    )
    backbone.reset_classifier(0)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(task.seed)
        head = SemiSupervisedHead(backbone, backbone.num_features, len(task.train.classes))
    head.to(device_of(config)).to(memory_format=torch.channels_last)
    options = replace(ON_SOURCE, steps=c.steps)
    unlabelled = torch.cat([task.train.x, task.pool]).to(device_of(config))
    augment = classical_of(config)
    batches = SemiBatches(
        _labelled(task), unlabelled, c.batch_size, c.batch_size, task.seed, augment
    )
    return _fit(task, SourceHeadTrainer(head, source, options), batches)


class _Heard(Watch):
    """Lets the training of a source be stopped as the method itself is."""

    def __init__(self, task: SemiTask) -> None:
        super().__init__()
        self.task = task

    def check(self) -> None:
        """Called after every step of the source; its losses are not those of the method's
        curves.
        """
        self.task.on_step(0, self.task.config.classifier.steps, {})


def _labelled(task: SemiTask) -> LabelledImages:
    """The labelled images, where they are used."""
    device = device_of(task.config)
    return LabelledImages(task.train.x.to(device), task.train.y.to(device), task.train.classes)


def _fit(
    task: SemiTask, trainer: ImprovedGanTrainer | SourceHeadTrainer, batches: SemiBatches
) -> Predict:
    """Train, and give the averaged head."""
    steps = trainer.options.steps
    average = averaged(trainer.model, trainer.options.ema_decay)
    for report in fit(trainer, average, batches, steps=steps, seed=task.seed):
        task.on_step(report.step, steps, report.losses)
    model = average.module
    recompute_batch_norm(model, (batches(step)[2] for step in range(NORM_BATCHES)))
    return lambda x: predict_logits(model, x)
