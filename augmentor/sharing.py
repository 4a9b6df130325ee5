"""Trained sources in the form that the Hugging Face hub shares: a folder with weights, a
description, fingerprints of what was seen, and a card.

Nothing is pickled: the files are safetensors, JSON and Markdown.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from augmentor.api import Source, described_weights, source_of
from augmentor.common.atomic_files import sha256_of, write_bytes, write_json, write_text
from augmentor.common.given_files import parse_json, read_text
from augmentor.common.tensor_files import read_tensors
from augmentor.common.types import DataError, Record
from augmentor.model_card import model_card
from augmentor.training.checkpoint import Checkpoint

FORMAT = 1
CONFIG, WEIGHTS, SEEN, CARD = (
    "config.json",
    "model.safetensors",
    "trained_on.safetensors",
    "README.md",
)
FILES = (CONFIG, WEIGHTS, SEEN, CARD)


def save_pretrained(
    source: Source,
    folder: str | Path,
    *,
    data: str = "",
    license: str | None = None,
    measures: Mapping[str, float | str] | None = None,
    limits: str = "",
) -> Path:
    """Write a source into a folder that ``from_pretrained`` reads.

    The card says what the source renders, what it saw, its options, its measures and its limits.

    Args:
        source: From ``augmentor.train`` or ``augmentor.load``.
        folder: Made if absent; files of these names are replaced.
        data: What the images are and where they come from, for the card.
        license: Of the weights, as the hub names it, such as ``apache-2.0``.
        measures: Names and values, such as those of ``evaluate.json``, for the card.
        limits: What users must know, for the card.

    Returns:
        The folder, with ``config.json``, ``model.safetensors``, ``trained_on.safetensors`` and
        ``README.md``.

    Raises:
        ValueError: If it is not known how the source was trained.
        OSError: If the folder cannot be written.

    Example:
        >>> import numpy as np
        >>> from augmentor import from_pretrained, train
        >>> arrays = np.zeros((4, 8, 8), dtype=np.uint8), np.array([0, 0, 1, 1])
        >>> source = train(arrays, family="cvae", steps=1, batch_size=4, options={"width": 4})
        >>> kept = save_pretrained(source, folder, data="black squares")
        >>> from_pretrained(kept).classes
        ('0', '1')
    """
    record, folder = _record_of(source), Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    meta = {**record.description, "counts": record.counts}
    write_json(folder / CONFIG, {"format": FORMAT, "steps": record.steps, "source": meta})
    write_bytes(folder / WEIGHTS, save(_weights(source)))
    write_bytes(folder / SEEN, save({"trained_on": torch.from_numpy(record.trained_on)}))
    card = model_card(record, data=data, license=license, measures=measures or {}, limits=limits)
    write_text(folder / CARD, card)
    return folder


def from_pretrained(
    name: str | Path,
    *,
    revision: str | None = None,
    token: str | None = None,
    endpoint: str | None = None,
    device: str | torch.device = "cpu",
) -> Source:
    """Load a source that ``save_pretrained`` or ``push_to_hub`` wrote.

    Args:
        name: A folder, or the name of a repository of the hub, ``owner/name``.
        revision: Branch, tag or commit of the repository; ``main`` unless given.
        token: Of the hub; the one you are logged in with unless given.
        endpoint: Address of another hub.
        device: Where it is to render.

    Returns:
        The source; ``record`` says what it saw.

    Raises:
        DataError: If the files cannot be used; names the folder.
        ImportError: If ``name`` is not a folder and the extra ``hub`` is missing.
    """
    folder = Path(name)
    if not folder.is_dir():
        folder = _downloaded(str(name), revision, token, endpoint)
    return source_of(_read(folder), device)


def push_to_hub(
    source: Source,
    repo_id: str,
    *,
    private: bool | None = None,
    token: str | None = None,
    endpoint: str | None = None,
    message: str = "Upload a source of synthetic images",
    **card: Any,
) -> str:
    """Upload a source to the Hugging Face hub; the repository is made if absent.

    Args:
        source: As for ``save_pretrained``.
        repo_id: ``owner/name``.
        private: Whether a new repository is private; as the owner's settings say unless given.
        token: Of the hub; the one you are logged in with unless given.
        endpoint: Address of another hub.
        message: Of the commit.
        **card: ``data``, ``license``, ``measures`` and ``limits``, as for ``save_pretrained``.

    Returns:
        The address of the commit.

    Raises:
        ImportError: If the extra ``hub`` is not installed.
        ValueError: If it is not known how the source was trained.
    """
    hub = _hub().HfApi(endpoint=endpoint, token=token)
    with tempfile.TemporaryDirectory() as folder:
        save_pretrained(source, folder, **card)
        hub.create_repo(repo_id, private=private, exist_ok=True)
        commit = hub.upload_folder(repo_id=repo_id, folder_path=folder, commit_message=message)
    return str(commit.commit_url)


def _record_of(source: Source) -> Record:
    if source.record is None:
        raise ValueError(
            "it is not known how this source was trained; share one that augmentor.train or "
            "augmentor.load gave"
        )
    return source.record


def _weights(source: Source) -> dict[str, Tensor]:
    """The weights as the network that is built anew takes them.

    Raises:
        ValueError: If the source is a copy, which has lost how some of them are computed.
    """
    model: Any = source.model
    found = {name: weight.cpu().contiguous() for name, weight in model.state_dict().items()}
    if set(found) != described_weights(dict(_record_of(source).description)).keys():
        raise ValueError(
            "a source that was copied or pickled renders, but cannot be saved: save the one that "
            "augmentor.train or augmentor.load gave"
        )
    return found


def _read(folder: Path) -> Checkpoint:
    """The files of a folder in the form of a checkpoint.

    Raises:
        DataError: If one is missing or not what ``save_pretrained`` writes.
    """
    try:
        config = parse_json(read_text(folder / CONFIG))
        if config["format"] != FORMAT:
            raise ValueError(f"format {config['format']}, this version reads {FORMAT}")
        meta, steps = dict(config["source"]), int(config["steps"])
        weights = read_tensors(folder / WEIGHTS)
        seen = read_tensors(folder / SEEN)["trained_on"]
        if seen.ndim != 1 or seen.dtype != torch.int64:
            raise ValueError(f"{SEEN} does not hold fingerprints")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{folder}: not a source that save_pretrained wrote ({type(error).__name__}: {error})"
        ) from error
    state = {"average": weights, "facts": {"trained_on": seen}}
    return Checkpoint(steps, meta, state, sha256_of(folder / WEIGHTS))


def _downloaded(name: str, revision: str | None, token: str | None, endpoint: str | None) -> Path:
    """The folder of a repository in the hub's cache."""
    if name.count("/") != 1 or not all(name.split("/")):
        raise DataError(f"{name}: neither a folder nor the name of a repository, owner/name")
    found = _hub().snapshot_download(
        name, revision=revision, token=token, endpoint=endpoint, allow_patterns=list(FILES)
    )
    return Path(found)


def _hub() -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise ImportError(
            "sharing by the hub needs huggingface_hub; install augmentor-synth[hub]"
        ) from error
    return huggingface_hub
