"""Small jobs to be disturbed, and what must be the same after all."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch

from augmentor.training.checkpoint import load_checkpoint
from pipelines.config import Config, config_from
from pipelines.run_dir import RunDir


def small(steps: int, every: int = 2, family: str = "cgan", **sections: dict[str, Any]) -> Config:
    """A real training run on digits, some fifty steps a second."""
    source = {
        "family": family,
        "steps": steps,
        "batch_size": 8,
        "checkpoint_every": every,
        "sample_every": 10**6,
    }
    whole: dict[str, Any] = {
        "data": {"data": "digits"},
        "source": {**source, "options": {"width": 4, "latent_dim": 5}},
        "classifier": {"steps": 3, "batch_size": 16},
        "device": "cpu",
        "threads": 1,
    }
    for name, section in sections.items():
        whole[name] = {**whole.get(name, {}), **section}
    return config_from(whole)


def weights(run: Path) -> dict[str, torch.Tensor]:
    """All tensors of a run's newest checkpoint, by where they are."""
    return flat(load_checkpoint(RunDir(run).checkpoints).state)


def flat(value: Any, name: str = "") -> dict[str, torch.Tensor]:
    """Tensors of nested dicts and lists by name; numbers as tensors."""
    if isinstance(value, dict):
        return {k: v for key, item in value.items() for k, v in flat(item, f"{name}/{key}").items()}
    if isinstance(value, list | tuple):
        return {k: v for i, item in enumerate(value) for k, v in flat(item, f"{name}/{i}").items()}
    return {} if value is None or isinstance(value, str) else {name: torch.as_tensor(value)}


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    """Whether both hold the same names with the same bits."""
    return first.keys() == second.keys() and all(
        torch.equal(first[name], second[name]) for name in first
    )


def tree(folder: Path, *but: str) -> dict[str, str]:
    """SHA-256 of every file below a folder, hidden ones too, by relative path; ``but`` are names to
    leave out."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name not in but)
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def leftovers(folder: Path) -> list[str]:
    """Temporary files and folders that nobody will ever finish."""
    return sorted(
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.name.endswith((".tmp", ".partial"))
    )
