"""What a run is: one YAML file, read strictly into frozen models. The field descriptions document
the keys.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from downstream.arms.table import arms_help
from pipelines.strict_yaml import YamlError, parse_yaml, read_yaml, validated

ImageSize = Literal[8, 16, 28, 32, 64, 128]
IMAGE_SIZES: tuple[ImageSize, ...] = (8, 16, 28, 32, 64, 128)
NAMED_DATA = {"digits": "digits", "mnist": "digits", "fashion-mnist": "natural"}
"""Data sets by name, and the domain of the augmentation that suits each."""

FilePath = Annotated[Path, Field(strict=False)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Augmentation = Literal["none", "classical", "trivialaugment", "randaugment"]
RowName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_+-]*$")]  # also that of a folder


class ConfigError(ValueError):
    """A config or an option cannot be used; the message names the file and the key."""


class Section(BaseModel):
    """Frozen, strict, and without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class DataConfig(Section):
    """Which images, in which form, and how many of them keep their labels."""

    data: str = Field(
        default="digits",
        min_length=1,
        description=f"{', '.join(NAMED_DATA)}, or a folder: train/ and test/ with one folder "
        "per class, or one "
        "folder per class that is split here. A path that does not exist is looked for under "
        "data_root.",
    )
    data_root: FilePath | None = Field(
        default=None,
        description="Where data sets live; else $AUGMENTOR_DATA, else ~/.cache/augmentor.",
    )
    size: ImageSize | None = Field(
        default=None,
        description="Side of the square images; default: the largest of 8, 16, 28, 32, 64, 128 "
        "the data fill.",
    )
    grey: bool | None = Field(
        default=None,
        description="One channel or three; default: one if every image is stored grey.",
    )
    per_class: int | None = Field(
        default=None,
        ge=1,
        description="Labelled training images of the largest class; default: all there are.",
    )
    imbalance: float = Field(
        default=1.0,
        ge=1,
        description="Largest class over smallest class of the exponential long tail; needs "
        "per_class.",
    )
    labels: int | None = Field(
        default=None,
        ge=1,
        description="Labelled training images in all, equally many per class; the rest is the "
        "pool.",
    )
    unlabelled: str | None = Field(
        default=None,
        description="rest: the training images left over, without labels; or a folder of images.",
    )
    max_pool: int | None = Field(
        default=None, ge=1, description="Most unlabelled images to keep, drawn by the seed."
    )
    test_fraction: float = Field(
        default=0.25,
        gt=0,
        lt=1,
        description="Test part of every class, for a folder without train/ and test/.",
    )

    @model_validator(mode="after")
    def _one_regime(self) -> DataConfig:
        if self.labels is not None and self.per_class is not None:
            raise ValueError("labels and per_class are two regimes; give one of them")
        if self.imbalance > 1 and self.per_class is None:
            raise ValueError("imbalance needs per_class, the size of the largest class")
        if self.unlabelled == "rest" and self.labels is None and self.per_class is None:
            raise ValueError(
                "unlabelled: rest needs per_class or labels, otherwise nothing is left over"
            )
        return self


class SourceConfig(Section):
    """The generator and its training."""

    family: str = Field(default="cvae_gan", description="Which generative model.")
    preset: str = Field(
        default="default", description="Named set of its options: default, or paper."
    )
    steps: int = Field(default=3000, ge=1, description="Training steps.")
    batch_size: int = Field(default=64, ge=2, description="Images per step.")
    class_power: Fraction = Field(
        default=0.5,
        description="A class of n images is drawn with a share like n ** class_power; 0 draws all "
        "alike.",
    )
    source_augment: Literal["none", "classical"] = Field(
        default="none",
        description="classical: real images are augmented before the generator sees them; "
        "declared in tables.",
    )
    options: dict[str, bool | int | float | str] = Field(
        default_factory=dict, description="Options of the family that differ from the preset."
    )
    checkpoint_every: int = Field(default=500, ge=1, description="Steps between checkpoints.")
    sample_every: int = Field(default=500, ge=1, description="Steps between sample grids.")


class PoolConfig(Section):
    """How unlabelled images get labels."""

    method: Literal["classifier", "graph", "graph_classifier"] = Field(
        default="classifier",
        description="classifier: its confident predictions, in rounds; graph: labels spread over "
        "similar images, the "
        "clearest of every class (threshold, rounds, balanced and loss do not count then); "
        "graph_classifier: the "
        "classifier's, which learns from those of the graph in its first round.",
    )
    threshold: Fraction = Field(
        default=0.7, description="Least probability at which a pseudo-label is kept."
    )
    rounds: int = Field(
        default=2,
        ge=1,
        description="Times the pool is labelled; later rounds learn from the earlier.",
    )
    balanced: bool = Field(
        default=True, description="Keep equally many pseudo-labels per class at most."
    )
    loss: Literal["cross_entropy", "logit_adjusted"] = Field(
        default="logit_adjusted",
        description="Of the classifier that labels: logit_adjusted (made for a long tail) on all "
        "images equally "
        "often, or cross_entropy on equally many draws of every class.",
    )
    augment: Augmentation = Field(
        default="classical",
        description="Of the images that those classifiers learn from; a graph always has the "
        "classical one.",
    )
    joint_rounds: int = Field(
        default=2,
        ge=1,
        description="Times that the arm joint_label asks classifier and CVAE together.",
    )
    joint_steps: int = Field(
        default=2000, ge=1, description="Training steps of that CVAE in a round."
    )
    joint_options: dict[str, bool | int | float | str] = Field(
        default_factory=lambda: dict[str, bool | int | float | str](sigma=0.3),
        description="Its options that differ from the preset; likelihood: bernoulli suits images "
        "that are nearly black "
        "and white.",
    )


class ClassifierConfig(Section):
    """The downstream classifier; the same for every arm."""

    name: str = Field(
        default="auto",
        description="auto: a small network that suits the image size; or any timm name.",
    )
    steps: int = Field(default=600, ge=1, description="Training steps.")
    batch_size: int = Field(default=64, ge=2, description="Images per step.")
    learning_rate: float = Field(default=5e-3, gt=0, description="Peak learning rate.")
    weight_decay: float = Field(default=0.05, ge=0, description="Decoupled weight decay.")
    domain: Literal["digits", "natural", "auto"] = Field(
        default="auto",
        description="Which classical augmentation: digits never flips; auto goes by the name of "
        "the data.",
    )
    strength: float = Field(
        default=1.0, ge=0, description="Strength of the classical augmentation; 0 is none."
    )


class PolicyConfig(Section):
    """A way to mix synthetic images in, with a name of its own: an arm, and if asked for a
    candidate of auto.
    """

    base: str = Field(
        default="classical",
        description="Arm to start from; with a share not reweight, decoupled, fixmatch or "
        "graph_fixmatch.",
    )
    share: Fraction = Field(default=0.5, description="Synthetic part of the draws.")
    confidence: Fraction = Field(
        default=0.0, description="Least probability of its class; 0 is no filter."
    )
    strength: float = Field(default=1.0, ge=0, description="Factor on classifier.strength.")
    augment: Augmentation | None = Field(
        default=None,
        description="Of all images drawn, in the place of the base's; with fixmatch the strong "
        "one.",
    )
    schedule: Literal["mixed", "pretrain"] = Field(
        default="mixed",
        description="mixed: in every batch; pretrain: synthetic images alone in the first share "
        "of the steps, then "
        "real ones alone.",
    )
    latents: Literal["prior", "encoded", "transfer", "pool"] = Field(
        default="prior",
        description="Where latents come from: prior; encoded: those of the class's own images; "
        "transfer: those of "
        "images of well-covered classes (at least half the largest), for every class; pool: those "
        "of the labelled "
        "pool, for every class. All but prior need a family with an encoder.",
    )
    spread: float | None = Field(
        default=None,
        ge=0,
        description="Standard deviation of prior latents (default 1; more is wider), or of the "
        "noise on encoded ones "
        "(default 0.3).",
    )
    realism: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Part of every class's synthetic images to drop, those that the family's "
        "discriminator finds the "
        "least real; together with confidence both must pass.",
    )
    short_only: bool = Field(
        default=False,
        description="A class gets synthetic images only for what it lacks to the largest one, at "
        "most share; with "
        "base pseudo_label they balance the pseudo-labels.",
    )


class GainConfig(Section):
    """The comparison of the arms."""

    arms: tuple[str, ...] | None = Field(
        default=None,
        strict=False,
        min_length=1,
        description=arms_help(),
    )
    candidates: tuple[str, ...] | None = Field(
        default=None,
        strict=False,
        min_length=1,
        description="Generator-free arms and policies that auto may choose; default: those arms "
        "that run by default. "
        "Synthetic images are offered with classical and pseudo_label.",
    )
    strengths: tuple[Annotated[float, Field(ge=0)], ...] = Field(
        default=(1.0,),
        strict=False,
        min_length=1,
        description="Factors on classifier.strength: with more than one, every arm with classical "
        "augmentation has "
        "the one that was best in screening (an arm that is not a candidate: the one of "
        "classical).",
    )
    policies: dict[RowName, PolicyConfig] = Field(
        default_factory=dict,
        description="{name: {base: …, share: …, latents: …}}: policies to run as arms.",
    )
    replicates: int = Field(
        default=5, ge=2, description="Paired repetitions, each with its own seeds."
    )
    processes: int = Field(default=1, ge=1, description="Replicates that run at the same time.")
    synthetic_share: Fraction = Field(
        default=0.5, description="Synthetic part of a batch in the synthetic arms."
    )
    shares: tuple[Fraction, ...] = Field(
        default=(0.25, 0.5, 0.75),
        strict=False,
        min_length=1,
        description="Shares that auto may choose, beside none at all.",
    )
    confidences: tuple[Fraction, ...] = Field(
        default=(0.0, 0.5),
        strict=False,
        min_length=1,
        description="Filter thresholds that auto may choose; 0 is no filter.",
    )
    screening_rounds: int = Field(
        default=8,
        ge=2,
        description="Most splits of the training part on which auto races its candidates; those "
        "clearly behind drop out, and it stops when no other can be a point better. In a long "
        "tail every other common class stands in for a rare one, by turns.",
    )
    screening_fraction: float = Field(
        default=0.25,
        gt=0,
        lt=1,
        description="Part of a class that a screening split holds out; in a long tail rare classes "
        "stay whole.",
    )
    metric: str = Field(
        default="balanced_accuracy",
        description="What the comparisons and auto go by; downstream/metrics.py lists them.",
    )
    metrics: tuple[str, ...] = Field(
        default=(
            "balanced_accuracy",
            "accuracy",
            "worst_class_recall",
            "negative_log_likelihood",
            "calibration_error",
        ),
        strict=False,
        description="Metrics that are shown beside it.",
    )
    comparisons: tuple[Annotated[tuple[str, str], Field(strict=False)], ...] | None = Field(
        default=None,
        strict=False,
        description="Pairs [arm, baseline] to test; default: those the verdict needs.",
    )
    screening: bool = Field(
        default=False,
        description="Screen arms before they are declared: seeds of their own, scores on a sixth "
        "of the training images held out for it; test images are not read.",
    )


class SemiConfig(Section):
    """The comparison of semi-supervised methods: error against the number of labels."""

    labels: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        default=(20, 100),
        strict=False,
        min_length=1,
        description="Numbers of labelled images, balanced by class.",
    )
    subsets: int = Field(
        default=5, ge=1, description="Labelled subsets of every size, drawn by seeds."
    )
    methods: tuple[str, ...] | None = Field(
        default=None,
        strict=False,
        min_length=1,
        description="Methods to run; default: those of the table of semi. Any arm that renders no "
        "images can be named too.",
    )
    default_method: str = Field(
        default="graph_fixmatch", description="The method that is compared with every other one."
    )
    baseline_labels: tuple[Annotated[int, Field(ge=1)], ...] | None = Field(
        default=None,
        strict=False,
        min_length=1,
        description="Those of labels at which the other methods run; all.",
    )
    baseline_subsets: int | None = Field(
        default=None, ge=1, description="How many of the subsets the other methods run on; all."
    )
    consistency_steps: int = Field(
        default=1500, ge=1, description="Steps of fixmatch and graph_fixmatch."
    )
    gan_steps: int = Field(
        default=6000, ge=1, description="Steps of improved_gan; published with 180,000."
    )
    processes: int = Field(default=1, ge=1, description="Trainings that run at the same time.")
    screening: bool = Field(
        default=False,
        description="Subset seeds of its own, and errors on a sixth of the training images held "
        "out for it; "
        "test images are not read.",
    )

    @model_validator(mode="after")
    def _grid(self) -> SemiConfig:
        if len(set(self.labels)) != len(self.labels):
            raise ValueError("labels names a number twice")
        return self


class VariantConfig(Section):
    """One row of a comparison of families."""

    family: str | None = Field(
        default=None, description="Which generative model; default: the row's name is one."
    )
    preset: str = Field(default="default", description="Named set of its options.")
    options: dict[str, bool | int | float | str] = Field(
        default_factory=dict, description="Options of the family that differ from the preset."
    )


class CompareConfig(Section):
    """The comparison of families: one budget (source.steps, source.batch_size), one judge."""

    families: dict[RowName, VariantConfig] | None = Field(
        default=None,
        min_length=1,
        description="Families to train, or {name: {family: …, preset: …, options: {…}}}; default: "
        "all there are.",
    )
    extra: dict[RowName, str] = Field(
        default_factory=dict,
        description="{name: folder of a finished run}: measured too, at its own budget.",
    )
    samples: int = Field(
        default=5000,
        ge=2,
        description="Generated images a row rests on; a PixelCNN makes at most 500.",
    )
    judge_steps: int = Field(
        default=1500, ge=1, description="Training steps of the judge, who is the same for all."
    )
    student_steps: int = Field(
        default=1500,
        ge=1,
        description="Training steps of the classifiers that learn from generated images alone.",
    )
    processes: int = Field(
        default=1, ge=1, description="Families that are trained at the same time."
    )

    @field_validator("families", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        """A list of names, or of mappings of one name each, as one mapping."""
        if not isinstance(value, list | tuple):
            return value
        entries = [entry if isinstance(entry, dict) else {str(entry): {}} for entry in value]
        names = [name for entry in entries for name in entry]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"{sorted(twice)[0]!r} is named twice")
        return {name: variant for entry in entries for name, variant in entry.items()}

    @model_validator(mode="after")
    def _distinct(self) -> CompareConfig:
        names = {*(self.families or ()), *self.extra}
        if both := set(self.families or ()) & set(self.extra):
            raise ValueError(f"{sorted(both)[0]!r} names a family and an extra row")
        if taken := names & {"parts", "lock"}:
            raise ValueError(
                f"{sorted(taken)[0]!r} cannot name a row: the run keeps its own files there"
            )
        return self


class VerifyConfig(Section):
    """Verification of faces: a network learns people, then says of pairs of others whether they
    show one person.
    """

    pairs: str | None = Field(
        default=None,
        min_length=1,
        description="Folder with pairs.csv (fold,same,first,second) and the images, a folder per "
        "person; looked for "
        "under data_root too.",
    )
    train_folds: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        default=(),
        strict=False,
        description="Folds whose real photos, with names, form the control arm real_people; only "
        "the other folds are "
        "scored, for every arm.",
    )
    synthetic: tuple[FilePath, ...] = Field(
        default=(),
        strict=False,
        description="Synthetic sets, each an arm: more images of people of the data (by name), or "
        "new people.",
    )
    synthetic_share: Fraction = Field(
        default=0.25,
        description="Part of a batch that is synthetic, or of real_people, in these arms.",
    )
    head: Literal["softmax", "arcface", "cosface"] = Field(
        default="softmax",
        description="What the people are learned with; the features are compared by their cosine.",
    )
    margin: float | None = Field(
        default=None, ge=0, description="Of arcface or cosface; default: their papers'."
    )
    scale: float = Field(
        default=30.0, gt=0, description="Factor on the cosines of arcface and cosface."
    )
    weights: FilePath | None = Field(
        default=None,
        description="File with weights of the timm network (classifier.name) to start from.",
    )
    replicates: int = Field(
        default=3, ge=1, description="Paired repetitions, each with its own seeds."
    )
    processes: int = Field(default=1, ge=1, description="Replicates that run at the same time.")


class Config(Section):
    """One run."""

    data: DataConfig = DataConfig()
    source: SourceConfig = SourceConfig()
    pool: PoolConfig = PoolConfig()
    classifier: ClassifierConfig = ClassifierConfig()
    gain: GainConfig = GainConfig()
    semi: SemiConfig = SemiConfig()
    compare: CompareConfig = CompareConfig()
    verify: VerifyConfig = VerifyConfig()
    seed: int = Field(default=0, ge=0, lt=2**31, description="Seed of everything random.")
    device: str = Field(
        default="auto",
        pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$",
        description="auto, cpu, cuda, cuda:N, mps.",
    )
    threads: int | None = Field(
        default=None, ge=1, description="CPU threads; default: torch's own choice."
    )
    out: FilePath | None = Field(
        default=None, description="Folder of the run; default: runs/<name of config or data>."
    )


def load_config(path: str | Path) -> Config:
    """Read a config file.

    Raises:
        ConfigError: If the file is not readable by ``read_yaml``, or has unknown keys or values out
            of range.
    """
    with _as_config_errors():
        mapping = read_yaml(Path(path))
    return config_from(mapping, where=str(path))


def parse_config(text: str, where: str) -> Config:
    """Read a config from the text of a file; ``where`` names it in messages.

    Raises:
        ConfigError: As ``load_config``.
    """
    with _as_config_errors():
        mapping = parse_yaml(text, where)
    return config_from(mapping, where)


def config_from(mapping: Mapping[str, Any], where: str = "config") -> Config:
    """Check a nested mapping and turn it into a ``Config``.

    Raises:
        ConfigError: Naming ``where``, the key, and the known keys or the allowed range.
    """
    with _as_config_errors():
        return validated(Config, mapping, where)


def dump_config(config: Config) -> str:
    """The config as YAML that ``parse_config`` reads back: equal if no text has controls."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def data_root(data: DataConfig) -> Path:
    """Where data sets live: the config's ``data_root``, else ``$AUGMENTOR_DATA``, else
    ``~/.cache/augmentor``.
    """
    return (
        data.data_root or Path(os.environ.get("AUGMENTOR_DATA") or "~/.cache/augmentor")
    ).expanduser()


@contextmanager
def _as_config_errors() -> Iterator[None]:
    try:
        yield
    except YamlError as error:
        raise ConfigError(str(error)) from error
