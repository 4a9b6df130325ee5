"""Training and sampling of a VAE-GAN, here and in pythae, with the same networks and batches.

    python -m benchmarks.speed.against_pythae [--json FILE] [--device cuda]

It needs an environment with pythae; ``make bench`` makes one. Both sides train our encoder, our
generator and our discriminator of one class, on the same images, in one process, in turns: pythae
by its own trainer with its own data loader, ours by ``augmentor.training.loop.fit``.
"""

from __future__ import annotations

import argparse
import json
import logging
import platform
import tempfile
from pathlib import Path
from typing import Any

import torch
from pythae.data.datasets import BaseDataset
from pythae.models import VAEGAN, VAEGANConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseDiscriminator, BaseEncoder
from pythae.samplers import NormalSampler
from pythae.trainers import (
    CoupledOptimizerAdversarialTrainer,
    CoupledOptimizerAdversarialTrainerConfig,
)
from torch import Tensor, nn

from augmentor.common.types import LabelledImages
from augmentor.families import FAMILIES
from augmentor.families.vae_gan import VaeGan
from augmentor.trained import new_session
from augmentor.training.loop import fit
from benchmarks.speed.rounds import medians

SIDE, BATCH, STEPS, SAMPLES, ROUNDS = 28, 64, 10, 512, 7


def ones(x: Tensor) -> Tensor:
    """The one class of every row of ``x``, (N, 1)."""
    return torch.ones(len(x), 1, device=x.device)


class TheirEncoder(BaseEncoder):
    """Our encoder as pythae takes one."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> ModelOutput:
        """Posterior of images."""
        mu, logvar = self.network(x, ones(x))
        return ModelOutput(embedding=mu, log_covariance=logvar)


class TheirDecoder(BaseDecoder):
    """Our generator as pythae takes one."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, z: Tensor) -> ModelOutput:
        """Images of latents."""
        return ModelOutput(reconstruction=self.network(z, ones(z)))


class TheirDiscriminator(BaseDiscriminator):
    """Our discriminator as pythae takes one: features as layer 1, a probability as layer 2."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.depth = network, 2

    def forward(self, x: Tensor, output_layer_levels: list[int] | None = None) -> ModelOutput:
        """What is asked for of images."""
        logits, features = self.network(x, ones(x))
        if output_layer_levels:
            return ModelOutput(embedding_layer_1=features)
        return ModelOutput(embedding=logits.sigmoid()[:, None])


class Theirs:
    """pythae's VAEGAN of our networks and its own trainer.

    Args:
        images: Shape (BATCH * STEPS, 1, SIDE, SIDE).
        device: Where to train.
        folder: For what its trainer writes.
    """

    def __init__(self, images: Tensor, device: str, folder: str) -> None:
        networks = network(float32=True)
        config = VAEGANConfig(
            input_dim=tuple(images.shape[1:]),
            latent_dim=networks.latent_dim,
            reconstruction_layer=1,
            adversarial_loss_scale=0.8,
        )
        self.model = VAEGAN(
            config,
            TheirEncoder(networks.encoder),
            TheirDecoder(networks.generator),
            TheirDiscriminator(networks.discriminator),
        ).to(device)
        data = BaseDataset(images, torch.zeros(len(images)))
        settings = CoupledOptimizerAdversarialTrainerConfig(
            output_dir=folder,
            num_epochs=1,
            per_device_train_batch_size=BATCH,
            no_cuda=device == "cpu",
            encoder_learning_rate=4e-4,
            decoder_learning_rate=4e-4,
            discriminator_learning_rate=2e-4,
        )
        self.trainer = CoupledOptimizerAdversarialTrainer(
            model=self.model, train_dataset=data, training_config=settings
        )
        self.trainer.prepare_training()
        self.sampler = NormalSampler(self.model)

    def train(self) -> None:
        """One epoch: STEPS batches."""
        self.trainer.train_step(epoch=1)

    def sample(self) -> None:
        """SAMPLES images."""
        self.model.eval()
        self.sampler.sample(num_samples=SAMPLES, batch_size=BATCH)


class Ours:
    """Our VAE-GAN.

    Args:
        images: Shape (N, 1, SIDE, SIDE) in [-1, 1].
        device: Where to train.
        float32: Whether to stay in float32; else bfloat16 where the device computes it.
    """

    def __init__(self, images: Tensor, device: str, *, float32: bool) -> None:
        data = LabelledImages(images, torch.zeros(len(images), dtype=torch.long), ("one",))
        options = FAMILIES["vae_gan"].options_for("default", {"bfloat16": not float32} | PLAIN)
        self.session = new_session(
            data, FAMILIES["vae_gan"], options, 0, batch_size=BATCH, device=device
        )
        s = self.session
        self.reports = fit(s.trainer, s.average, s.batches, steps=10**9, seed=0)
        self.device = device

    def train(self) -> None:
        """STEPS batches."""
        for _ in range(STEPS):
            next(self.reports)
        if self.device != "cpu":
            torch.cuda.synchronize()

    def sample(self) -> None:
        """SAMPLES images."""
        source: Any = self.session.average.module
        y = torch.zeros(BATCH, dtype=torch.long, device=self.device)
        for _ in range(SAMPLES // BATCH):
            source.sample(y, torch.randn(BATCH, source.latent_dim, device=self.device)).cpu()


PLAIN = {"conditional_norm": False, "conditioning": "projection"}


def network(*, float32: bool) -> VaeGan:
    """Our three networks of one class."""
    options = FAMILIES["vae_gan"].options_for("default", {"bfloat16": not float32} | PLAIN)
    return VaeGan(("one",), (1, SIDE, SIDE), options)


def measure(device: str) -> dict[str, Any]:
    """Images per second of both, and our rates over theirs."""
    torch.manual_seed(0)
    images = torch.rand(BATCH * STEPS, 1, SIDE, SIDE) * 2 - 1
    with tempfile.TemporaryDirectory() as folder:
        sides = {
            "pythae": Theirs(images, device, folder),
            "augmentor": Ours(images, device, float32=False),
            "augmentor, float32": Ours(images, device, float32=True),
        }
        training = medians({name: side.train for name, side in sides.items()}, ROUNDS)
        sampling = medians({name: side.sample for name, side in sides.items()}, ROUNDS)
    rates = {
        name: {
            "train_images_per_second": round(BATCH * STEPS / training[name], 1),
            "sample_images_per_second": round(SAMPLES / sampling[name], 1),
        }
        for name in sides
    }
    return {
        "pixels": SIDE,
        "batch": BATCH,
        "rounds": ROUNDS,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "processor": platform.processor() or platform.machine(),
        "rates": rates,
        "train_ratio": round(training["pythae"] / training["augmentor"], 2),
        "sample_ratio": round(sampling["pythae"] / sampling["augmentor"], 2),
        "train_ratio_float32": round(training["pythae"] / training["augmentor, float32"], 2),
        "sample_ratio_float32": round(sampling["pythae"] / sampling["augmentor, float32"], 2),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    found = json.dumps(measure(asked.device), indent=2)
    print(found)
    if asked.json:
        asked.json.write_text(found + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
