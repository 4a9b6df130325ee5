"""Class-conditional generative models as a source of synthetic images for classifiers.

The public names are imported when they are first used: ``import augmentor`` itself loads nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from augmentor.api import Source, load
    from augmentor.common.types import (
        DataError,
        DivergedError,
        EncodingSource,
        LabelledImages,
        SampleSource,
    )
    from augmentor.data.synthetic_mix import SyntheticMix
    from augmentor.exporting import export_onnx, export_sample
    from augmentor.families.cvae_gan import CvaeGan, CvaeGanOptions, CvaeGanTrainer
    from augmentor.oversampler import GanOverSampler
    from augmentor.sampling.mixed_classes import MixedClasses
    from augmentor.sampling.synthesize import synthesize
    from augmentor.sharing import from_pretrained, push_to_hub, save_pretrained
    from augmentor.trained import train

__version__ = "0.2.0"

__all__ = [
    "CvaeGan",
    "CvaeGanOptions",
    "CvaeGanTrainer",
    "DataError",
    "DivergedError",
    "EncodingSource",
    "GanOverSampler",
    "LabelledImages",
    "MixedClasses",
    "SampleSource",
    "Source",
    "SyntheticMix",
    "__version__",
    "export_onnx",
    "export_sample",
    "from_pretrained",
    "load",
    "push_to_hub",
    "save_pretrained",
    "synthesize",
    "train",
]

_NAMES_OF = {
    "api": ("Source", "load"),
    "common.types": (
        "DataError",
        "DivergedError",
        "EncodingSource",
        "LabelledImages",
        "SampleSource",
    ),
    "data.synthetic_mix": ("SyntheticMix",),
    "exporting": ("export_onnx", "export_sample"),
    "families.cvae_gan": ("CvaeGan", "CvaeGanOptions", "CvaeGanTrainer"),
    "oversampler": ("GanOverSampler",),
    "sampling.mixed_classes": ("MixedClasses",),
    "sampling.synthesize": ("synthesize",),
    "sharing": ("from_pretrained", "push_to_hub", "save_pretrained"),
    "trained": ("train",),
}
_MODULE_OF = {name: module for module, names in _NAMES_OF.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'augmentor' has no attribute {name!r}")
    value = getattr(import_module(f"augmentor.{_MODULE_OF[name]}"), name)
    globals()[name] = value  # found without this function from now on
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
