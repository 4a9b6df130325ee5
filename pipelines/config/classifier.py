"""The section ``classifier``: who is trained on real and synthetic images."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from pipelines.config.section import FilePath, Section

PerChannel = Annotated[tuple[float, ...], Field(strict=False, min_length=1)]
OF_EVERY_VERSION = (
    "name",
    "steps",
    "batch_size",
    "learning_rate",
    "weight_decay",
    "domain",
    "strength",
)
"""The keys that results and names of files always hold; of the others those that differ."""


class ClassifierConfig(Section):
    """The downstream classifier; the same for every arm."""

    name: str = Field(
        default="auto",
        description="auto: a small network that suits the image size; or any timm name.",
    )
    pretrained: bool = Field(
        default=False,
        description="Begin with timm's trained weights, fetched once; a tag behind the name "
        "(resnet50.a1_in1k) says which.",
    )
    weights: FilePath | None = Field(
        default=None,
        description="Begin with the weights in this file: safetensors or a state dict.",
    )
    size: int | None = Field(
        default=None,
        ge=8,
        le=1024,
        description="Side of what the classifier sees; default: the network's own where it begins "
        "with trained weights, else that of the data.",
    )
    interpolation: Literal["bilinear", "bicubic"] | None = Field(
        default=None,
        description="How images are brought to that size; default: as timm's data config says.",
    )
    crop: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="Part of the side that it sees, in the middle; default likewise.",
    )
    mean: PerChannel | None = Field(
        default=None,
        description="Mean of the channels, in [0, 1], that is subtracted; default likewise.",
    )
    std: PerChannel | None = Field(
        default=None,
        description="Deviation of the channels that is divided by; default likewise.",
    )
    train: Literal["all", "head"] = Field(
        default="all",
        description="all of the network; or head: the last layer on frozen features, which are "
        "computed once per image and augmented view and kept in the folder of the run, on a Ray "
        "cluster once per task.",
    )
    views: int = Field(
        default=4,
        ge=1,
        description="Versions of every training image that a head learns from, the plain one "
        "among them.",
    )
    steps: int = Field(default=600, ge=1, description="Training steps.")
    batch_size: int = Field(default=64, ge=2, description="Images per step.")
    learning_rate: float | None = Field(
        default=None,
        gt=0,
        description="Peak learning rate; default: 0.005, and 0.0003 where all of a trained network "
        "learns.",
    )
    weight_decay: float = Field(default=0.05, ge=0, description="Decoupled weight decay.")
    side_by_side: int = Field(
        default=1,
        ge=1,
        le=64,
        description="Classifiers of a replicate that are trained at the same time, in one process; "
        "for a GPU, where this is not yet measured.",
    )
    domain: Literal["digits", "signs", "natural", "auto"] = Field(
        default="auto",
        description="Which classical augmentation: digits and signs never flip; auto goes by the "
        "name of the data.",
    )
    strength: float = Field(
        default=1.0, ge=0, description="Strength of the classical augmentation; 0 is none."
    )

    @property
    def begins_trained(self) -> bool:
        """Whether it begins with trained weights."""
        return self.pretrained or self.weights is not None

    @property
    def rate(self) -> float:
        """The peak learning rate."""
        fine = self.begins_trained and self.train == "all"
        return self.learning_rate or (3e-4 if fine else 5e-3)

    def told(self) -> dict[str, Any]:
        """The keys as results and names of files hold them, as JSON: a later key at its default
        is left out.
        """
        found = self.model_dump(mode="json", include=set(OF_EVERY_VERSION))
        found |= self.model_dump(mode="json", exclude_defaults=True)
        return found | {"learning_rate": self.rate}

    @model_validator(mode="after")
    def _one_start(self) -> ClassifierConfig:
        if self.pretrained and self.weights is not None:
            raise ValueError("pretrained and weights are two sources of weights; give one of them")
        if self.train == "head" and not self.begins_trained:
            raise ValueError(
                "train: head leaves all but the last layer as it begins, with random weights; give "
                "pretrained or weights too"
            )
        return self
