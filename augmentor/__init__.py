"""Class-conditional generative models as a source of synthetic images for classifiers."""

from augmentor.api import Source, load
from augmentor.common.types import (
    DataError,
    DivergedError,
    EncodingSource,
    LabelledImages,
    SampleSource,
)
from augmentor.data.synthetic_mix import SyntheticMix
from augmentor.families.cvae_gan import CvaeGan, CvaeGanOptions, CvaeGanTrainer
from augmentor.sampling.mixed_classes import MixedClasses
from augmentor.sampling.synthesize import synthesize

__all__ = [
    "CvaeGan",
    "CvaeGanOptions",
    "CvaeGanTrainer",
    "DataError",
    "DivergedError",
    "EncodingSource",
    "LabelledImages",
    "MixedClasses",
    "SampleSource",
    "Source",
    "SyntheticMix",
    "load",
    "synthesize",
]
