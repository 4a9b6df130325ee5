"""The semi-supervised methods with a GAN: Improved GAN as published, a head on the samples of a
CVAE-GAN, and Triple-GAN.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from augmentor.common.randomness import rng_for, seed_for
from augmentor.common.types import LabelledImages, Predict, SampleSource
from augmentor.families.semi_gan import ImprovedGanTrainer, SemiGanOptions, SourceHeadTrainer
from augmentor.families.triple_gan import TripleGan, TripleGanOptions, TripleGanTrainer
from augmentor.networks.dense import DenseBackbone, DenseGenerator, standardise
from augmentor.networks.heads import SemiSupervisedHead
from augmentor.training.batches import SemiBatches
from augmentor.training.ema import averaged, recompute_batch_norm
from augmentor.training.loop import fit
from downstream.arms.training import OnValues
from downstream.evaluate import predict_logits
from downstream.trainer import memory_for
from pipelines.experiment.setting import Setting
from pipelines.workbench.workbench import Workbench

BATCH_SIZE = 100  # images of each kind, as published
STANDARDISING = 500  # images, as published
HIDDEN_NOISE = 0.5  # as published
NORM_BATCHES = 20

PUBLISHED = SemiGanOptions()
ON_SOURCE = SemiGanOptions(
    weight_extra_labelled=1.0, learning_rate=1e-3, decay_from=0.5, epsilon=1e-8, ema_decay=0.999
)
ON_FEW_LABELS = TripleGanOptions(weight_entropy=0.3, weight_balance=1e-3, guessed_as_true=True)


@dataclass(frozen=True)
class GanMaterial:
    """What one training of a head gets.

    Args:
        train: Labelled images.
        pool: Unlabelled images, float32 (M, C, H, W) in [-1, 1], M > 0, in random order.
        setting: Classifier, generator, pool and device.
        seed: Of the subset; everything random has an address under it.
        gan_steps: Steps of ``improved_gan`` and ``triple_gan``.
        on_values: Called after every step; with no values while a generator trains. May raise.
    """

    train: LabelledImages
    pool: Tensor
    setting: Setting
    seed: int
    gan_steps: int
    on_values: OnValues


@dataclass(frozen=True)
class GanHead:
    """A method that trains a head of K classes together with a GAN.

    Args:
        words: What it does, for help and reports.
        train: Trains, and returns the function from images (N, C, H, W) to logits (N, K).
        on_generator: Whether it stands on the classifier and the generator of the arms; else it
            has networks of its own.
    """

    words: str
    train: Callable[[GanMaterial], Predict]
    on_generator: bool


def improved_gan(material: GanMaterial) -> Predict:
    """Improved GAN with its published networks, losses, rate and batches (Salimans et al. 2016,
    arXiv:1606.03498).

    ``gan_steps`` is its length; published are 300 epochs of 600 batches. One thing differs from the
    authors' code: the average, which here forgets its start.
    """
    device, seed = material.setting.device, seed_for("improved_gan", material.seed)
    head, generator = _published_networks(material.train, seed)
    head.to(device)
    first = material.pool[:STANDARDISING].to(device)
    standardise(head, first, rng_for("standardise", seed))
    options = replace(PUBLISHED, steps=material.gan_steps)
    trainer = ImprovedGanTrainer(head, generator.to(device), options)
    labelled, unlabelled = _on_device(material)
    batches = SemiBatches(labelled, unlabelled, BATCH_SIZE, BATCH_SIZE, seed)
    return _fit(material, trainer, batches, seed)


def head_cvae_gan(material: GanMaterial) -> Predict:
    """A head on the downstream network, whose fakes are the samples of a CVAE-GAN.

    The CVAE-GAN learns from the labelled images and the pseudo-labelled pool, and is then left as
    it is. Real images are classically augmented (``classifier.strength: 0`` turns that off). It
    takes the steps of the generator, then as many of the head as every classifier has.

    The samples are labelled examples too. On held-out training images of digits with 20 labels that
    helped wherever it was tried, and the game real against fake alone did harm: good fakes teach
    that the classes' own regions are fake.
    """
    classifier, seed = material.setting.trainer, seed_for("head_cvae_gan", material.seed)
    source = _generator(material)
    head = _head_on_classifier(material, seed)
    settings = classifier.settings
    trainer = SourceHeadTrainer(head, source, replace(ON_SOURCE, steps=settings.steps))
    labelled, unlabelled = _on_device(material)
    augment, size = classifier.augmentation(("classical",)), settings.batch_size
    batches = SemiBatches(labelled, unlabelled, size, size, seed, augment)
    with memory_for(size, "classifier.batch_size:"):
        return _fit(material, trainer, batches, seed)


def triple_gan(material: GanMaterial) -> Predict:
    """Triple-GAN's semi-supervised step, with the family's convolutional networks (Li et al. 2017,
    arXiv:1703.02291).

    ``gan_steps`` is its length. As in the authors' code for MNIST, the classifier is also to be
    sure of unlabelled images and to give every class as many, and half of its guesses are true
    pairs. Their schedules are left out: here every loss counts from the first step on.
    """
    seed = seed_for("triple_gan", material.seed)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model = TripleGan(material.train.classes, material.train.image_shape, ON_FEW_LABELS)
    trainer = TripleGanTrainer(model.to(material.setting.device))
    labelled, unlabelled = _on_device(material)
    batches = SemiBatches(labelled, unlabelled, BATCH_SIZE, BATCH_SIZE, seed)
    average = averaged(model, ON_FEW_LABELS.ema_decay)
    few_labels = _FewLabels(model, trainer.semi_supervised_step, trainer.state, trainer.restore)
    steps = material.gan_steps
    for report in fit(few_labels, average, batches, steps=steps, seed=seed):
        material.on_values(report.step, steps, report.losses)
    classifier = cast(TripleGan, average.module).classifier  # without batch norm
    return lambda x: predict_logits(_FirstOutput(classifier), x)


@dataclass(frozen=True)
class _FewLabels:
    """A trainer as the loop takes it, by its step for few labels."""

    model: nn.Module
    step: Callable[..., dict[str, Tensor]]
    state: Callable[[], dict[str, Any]]
    restore: Callable[[dict[str, Any]], None]


class _FirstOutput(nn.Module):
    """A network of several outputs as one of the first."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        first: Tensor = self.network(x)[0]
        return first


GAN_HEADS = {
    "improved_gan": GanHead(
        "K + 1 classes, fakes of a generator that trains along by feature matching",
        improved_gan,
        on_generator=False,
    ),
    "head_cvae_gan": GanHead(
        "K + 1 classes, fakes of a trained CVAE-GAN", head_cvae_gan, on_generator=True
    ),
    "triple_gan": GanHead(
        "Triple-GAN: its classifier, which plays with a generator against a judge of pairs",
        triple_gan,
        on_generator=False,
    ),
}


def _published_networks(
    images: LabelledImages, seed: int
) -> tuple[SemiSupervisedHead, DenseGenerator]:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        backbone = DenseBackbone(images.image_shape, hidden_noise=HIDDEN_NOISE)
        head = SemiSupervisedHead(
            backbone,
            backbone.num_features,
            len(images.classes),
            weight_norm=True,
            noise=HIDDEN_NOISE,
        )
        return head, DenseGenerator(images.image_shape)


def _head_on_classifier(material: GanMaterial, seed: int) -> SemiSupervisedHead:
    """A head on the network that the arms of the same subset begin with."""
    first = seed_for("classifier", material.seed)
    backbone = cast(Any, material.setting.trainer.build(material.train, first))
    backbone.reset_classifier(0)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        head = SemiSupervisedHead(backbone, backbone.num_features, len(material.train.classes))
    return head.to(material.setting.device).to(memory_format=torch.channels_last)


def _generator(material: GanMaterial) -> SampleSource:
    """The generator of the arms of this subset; its losses are not those of the method's curves."""
    steps = material.setting.trainer.settings.steps
    bench = Workbench(
        material.train,
        material.pool,
        material.setting,
        material.seed,
        check=lambda: material.on_values(0, steps, {}),
    )
    return bench.source


def _on_device(material: GanMaterial) -> tuple[LabelledImages, Tensor]:
    """The labelled images, and all of them together, where they are used."""
    train, device = material.train, material.setting.device
    labelled = LabelledImages(train.x.to(device), train.y.to(device), train.classes)
    return labelled, torch.cat([labelled.x, material.pool.to(device)])


def _fit(
    material: GanMaterial,
    trainer: ImprovedGanTrainer | SourceHeadTrainer,
    batches: SemiBatches,
    seed: int,
) -> Predict:
    """Train, and return what the averaged head says."""
    steps = trainer.options.steps
    average = averaged(trainer.model, trainer.options.ema_decay)
    for report in fit(trainer, average, batches, steps=steps, seed=seed):
        material.on_values(report.step, steps, report.losses)
    model = average.module
    recompute_batch_norm(model, (batches(step)[2] for step in range(NORM_BATCHES)))
    return lambda x: predict_logits(model, x)
