"""Where a job computes, and which classical augmentation suits its data."""

from __future__ import annotations

from typing import Literal

import torch

from pipelines.config import Config


def device_of(config: Config) -> torch.device:
    """The device the config names; ``auto`` is CUDA, then Apple's, then the CPU."""
    if config.device != "auto":
        return torch.device(config.device)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def use_threads(config: Config) -> None:
    """Let torch use as many CPU threads as the config says, if it does."""
    if config.threads is not None:
        torch.set_num_threads(config.threads)


def domain_of(config: Config) -> Literal["digits", "natural"]:
    """The domain of the classical augmentation; ``auto`` goes by the name of the data."""
    if config.classifier.domain != "auto":
        return config.classifier.domain
    return "digits" if config.data.data in ("digits", "mnist") else "natural"
