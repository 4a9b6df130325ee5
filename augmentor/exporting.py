"""The sampling of a source as a graph without Python: ``torch.export`` and ONNX."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from augmentor.api import Source
from augmentor.common.picklable import picklable

IMAGES = 5
"""Images of the batch that is traced; the graph takes any number."""
NEEDED = ("onnx", "onnxscript")


class _Sampling(nn.Module):
    """``sample`` as a forward pass.

    Args:
        model: A source that is a module.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model: Any = model

    def forward(self, y: Tensor, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """Images of classes, latents and conditions."""
        if condition is None:
            return self.model.sample(y, z)  # type: ignore[no-any-return]
        return self.model.sample(y, z, condition)  # type: ignore[no-any-return]


def export_sample(source: Source) -> torch.export.ExportedProgram:
    """``source.sample`` as an exported program: a graph and its weights, on the CPU.

    Args:
        source: A trained source.

    Returns:
        A program whose ``module()(y, z)``, or ``(y, z, condition)`` for a source with conditions,
        gives what ``source.sample`` gives: y int64 (N,), z float32 (N, latent_dim), condition
        int64 (N,) categories or float32 (N, D) numbers, for any N from 2.

    Raises:
        ValueError: If the sampling of this family is not one pass of a network.

    Example:
        >>> import numpy as np
        >>> from augmentor import train
        >>> arrays = np.zeros((4, 8, 8), dtype=np.uint8), np.array([0, 0, 1, 1])
        >>> source = train(arrays, family="cvae", steps=1, batch_size=4, options={"width": 4})
        >>> sample = export_sample(source).module()
        >>> sample(torch.tensor([0, 1, 1]), torch.zeros(3, source.latent_dim)).shape
        torch.Size([3, 1, 8, 8])
    """
    sampling, inputs, sizes = _traced(source)
    try:
        return torch.export.export(sampling, inputs, dynamic_shapes=sizes, strict=False)
    except Exception as error:  # torch raises many kinds
        raise ValueError(f"{_family(source)}: the sampling cannot be exported ({error})") from error


def export_onnx(source: Source, file: str | Path) -> Path:
    """Write ``source.sample`` as an ONNX file, with its weights inside.

    Its inputs are ``y``, ``z`` and, for a source with conditions, ``condition``; its output is
    ``images``. Shapes and types are those of ``export_sample``.

    Args:
        source: A trained source.
        file: To write; its folder is made if absent.

    Returns:
        The file.

    Raises:
        ImportError: If the extra ``onnx`` is not installed.
        ValueError: As ``export_sample``.
    """
    _require_onnx()
    program, file = export_sample(source), Path(file)
    names = ["y", "z", "condition"] if source.conditions else ["y", "z"]
    made = torch.onnx.export(
        program,
        input_names=names,
        output_names=["images"],
        dynamo=True,
        verbose=False,
        optimize=True,
    )
    if made is None:  # for type checkers: of a program it is never None
        raise ValueError(f"{_family(source)}: the sampling cannot be exported")
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=file.parent) as folder:
        made.save(str(Path(folder) / file.name), external_data=False)
        (Path(folder) / file.name).replace(file)  # whole or not at all
    return file


def _traced(source: Source) -> tuple[nn.Module, tuple[Tensor, ...], tuple[Any, ...]]:
    """The module, inputs of ``IMAGES`` images, and which sizes may differ."""
    sampling = _Sampling(picklable(source.model).cpu().eval())  # type: ignore[arg-type]
    inputs = [torch.zeros(IMAGES, dtype=torch.int64), torch.zeros(IMAGES, source.latent_dim)]
    if source.conditions:
        inputs.append(_condition(source))
    batch = torch.export.Dim("images", min=2)
    return sampling, tuple(inputs), tuple({0: batch} for _ in inputs)


def _condition(source: Source) -> Tensor:
    if source.conditions.are_numbers:
        return torch.zeros(IMAGES, source.conditions.size)
    return torch.zeros(IMAGES, dtype=torch.int64)


def _family(source: Source) -> str:
    return type(source.model).__name__


def _require_onnx() -> None:
    from importlib.util import find_spec

    if lost := [name for name in NEEDED if find_spec(name) is None]:
        raise ImportError(f"ONNX needs {' and '.join(lost)}; install augmentor-synth[onnx]")
