"""The one module that writes and checks result files, so that gain.json, semi.json and the rest
keep their forms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from augmentor.common.atomic_files import write_json
from augmentor.common.given_files import parse_json, read_text
from augmentor.common.types import DataError

Kind = Literal["gain", "gain_summary", "semi", "compare", "evaluate", "verify"]
SCHEMAS: dict[str, int] = {"gain": 2, "semi": 2, "compare": 2, "verify": 2}
"""Newest form of each kind of file; those not named have form 1."""

Probability = Annotated[float, Field(ge=0, le=1)]
Interval = Annotated[tuple[float, float], Field(strict=False)]


class _Part(BaseModel):
    """Strict about what is promised; later versions may add keys, so others are let through."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True, allow_inf_nan=False)


class MetricScores(_Part):
    """Scores of one arm by one metric; the interval is over replicates and scored images."""

    scores: list[float] = Field(min_length=1)
    mean: float
    ci95: Interval | None


class ArmResult(MetricScores):
    """Scores of one arm by the metric that decides, and by all others."""

    per_class_recall: dict[str, float | None]
    metrics: dict[str, MetricScores]


class Comparison(_Part):
    """One arm against one baseline, in the unit of the metric; of scores in [0, 1] a ``delta`` of
    0.01 is one point.
    """

    arm: str
    baseline: str
    delta: float
    ci95: Interval | None
    ci95_replicates: Interval | None
    p: Probability | None
    p_permutation: Probability | None
    p_holm: Probability | None
    outcome: Literal["better", "worse", "undecided"]
    needed: int | None


class Verdict(_Part):
    """Advice in one sentence, and the comparisons it rests on."""

    advice: str = Field(min_length=1)
    lines: list[str]


class _Result(_Part):
    schema_version: Literal[1, 2] = Field(alias="schema")
    command: str
    versions: dict[str, str]
    device: str
    seconds: dict[str, float]


class _Result1Or2(_Result):
    """A result whose schema 1 has no ``setup``, no outcomes, and one sentence as its verdict."""

    setup: dict[str, Any] = Field(default_factory=dict)
    verdict: Verdict | Annotated[str, Field(min_length=1)]

    @property
    def differences_told(self) -> Sequence[SemiDifference | VerifyDifference]:
        """The rows that have an outcome from schema 2 on."""
        return ()

    @model_validator(mode="after")
    def _of_its_schema(self) -> Self:
        if self.schema_version == 1:
            return self
        if isinstance(self.verdict, str) or not self.setup:
            raise ValueError("schema 2 needs a setup, and a verdict with advice and lines")
        if any(row.outcome is None for row in self.differences_told):
            raise ValueError("schema 2 needs the outcome of every difference")
        return self


class GainResult(_Result):
    """gain.json."""

    schema_version: Literal[2] = Field(alias="schema")
    dataset: str
    regime: str
    source_augment: Literal["none", "classical"]
    metric: str
    metrics: list[str] = Field(min_length=1)
    scored_on: Literal["test", "held-out training images"]
    replicates: int = Field(ge=1)
    overlap: Probability
    arms: dict[str, ArmResult]
    comparisons: list[Comparison]
    baselines: dict[str, str]
    setup: dict[str, Any]
    verdict: Verdict
    policy: dict[str, Any] | None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        for name, arm in self.arms.items():
            if len(arm.scores) != self.replicates:
                raise ValueError(
                    f"arm {name!r} has {len(arm.scores)} scores for {self.replicates} replicates"
                )
            if lost := set(self.metrics) - set(arm.metrics):
                raise ValueError(f"arm {name!r} has no scores by {sorted(lost)[0]!r}")
        for pair in self.comparisons:
            if missing := {pair.arm, pair.baseline} - set(self.arms):
                raise ValueError(
                    f"a comparison names arm {sorted(missing)[0]!r}, which was not run"
                )
        return self


class SummaryRow(_Part):
    """One comparison of a summary; ``lower95`` is the one-sided 95 % lower bound of ``delta``."""

    dataset: str
    regime: str
    metric: str
    arm: str
    yardstick: Literal["classical", "same_pool"]
    baseline: str
    delta: float
    ci95: Interval
    lower95: float | None = None
    replicates: int = Field(ge=1)
    command: str
    device: str
    seconds: Annotated[float, Field(ge=0)]


class GainSummary(_Part):
    """gain_summary.json; every row says itself where it comes from."""

    schema_version: Literal[1] = Field(alias="schema")
    results: list[SummaryRow] = Field(min_length=1)


class SemiScores(_Part):
    """Errors of one method with one number of labels, as fractions; no ``sd`` of a single one."""

    errors: list[Probability] = Field(min_length=1)
    mean: Probability
    median: Probability
    sd: Annotated[float, Field(ge=0)] | None


class SemiDifference(_Part):
    """The default method minus another; below zero the default makes fewer errors. No interval of a
    single pair. Schema 1 has no ``outcome``, and its ``ci95`` lets subsets alone vary.
    """

    method: str
    baseline: str
    labels: int = Field(ge=1)
    delta: float
    ci95: Interval | None
    ci95_replicates: Interval | None = None
    p: Probability | None
    outcome: Literal["better", "worse", "undecided"] | None = None
    needed: int | None = None


class SemiResult(_Result1Or2):
    """semi.json; the inner keys of ``methods`` are numbers of labels. Schema 1 has no ``setup``,
    and its verdict is one sentence.
    """

    dataset: str
    default_method: str
    methods: dict[str, dict[Annotated[str, Field(pattern=r"^[1-9][0-9]*$")], SemiScores]] = Field(
        min_length=1
    )
    differences: list[SemiDifference]
    scored_on: Literal["test", "held-out training images"]
    metric: Literal["error"] = "error"

    @model_validator(mode="after")
    def _known(self) -> Self:
        for row in self.differences:
            for name in (row.method, row.baseline):
                if str(row.labels) not in self.methods.get(name, {}):
                    raise ValueError(
                        f"a difference names {name!r} with {row.labels} labels, which was not run"
                    )
        return self

    @property
    def differences_told(self) -> Sequence[SemiDifference | VerifyDifference]:
        """The rows that have an outcome from schema 2 on."""
        return self.differences


class CompareRow(_Part):
    """What was measured of one row; no number where there were too few images, or a training came
    to nothing.
    """

    top1: Probability | None
    inception_score: Annotated[float, Field(ge=0)] | None
    fid: float | None
    kid: float | None
    precision: Probability | None
    recall: Probability | None
    diversity: Annotated[float, Field(ge=0)] | None
    cas: Probability | None
    memorisation_p: Probability | None


class CompareFamily(CompareRow):
    """One family, or an extra row at a budget of its own; speeds are in seconds and images."""

    train_seconds_per_1000: Annotated[float, Field(gt=0)] | None
    images_per_second: Annotated[float, Field(gt=0)] | None
    equal_budget: bool
    samples: int = Field(ge=0)
    step: int = Field(ge=0)
    parameters: dict[str, int]


class CompareBudget(_Part):
    """What every row that names no other got."""

    steps: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    images: int = Field(ge=1)


class CompareResult(_Result1Or2):
    """compare.json. Schema 1 has no ``setup``, and its verdict is one sentence."""

    dataset: str
    budget: CompareBudget
    real: CompareRow
    families: dict[str, CompareFamily] = Field(min_length=1)

    @model_validator(mode="after")
    def _equal(self) -> Self:
        if self.budget.images != self.budget.steps * self.budget.batch_size:
            raise ValueError("budget.images is not steps times batch_size")
        for name, row in self.families.items():
            if row.equal_budget and row.step != self.budget.steps:
                raise ValueError(
                    f"family {name!r} has {row.step} steps, the budget is {self.budget.steps}"
                )
        return self


class EvaluateResult(_Result):
    """evaluate.json; its measures are those of the ``evaluate`` job. Version 0.1 gave no
    verdict.
    """

    samples: int = Field(ge=1)
    verdict: Verdict | None = None


class VerifyFigure(_Part):
    """One metric of one arm; ``ci95`` is over replicates and people, in schema 1 over replicates;
    ``ci95_people`` over folds of people.
    """

    mean: Probability
    scores: list[Probability] = Field(min_length=1)
    ci95: Interval | None
    ci95_people: Interval


class VerifyArm(_Part):
    """What a network learned from, and how well it tells pairs."""

    images: int = Field(ge=1)
    people: int = Field(ge=1)
    synthetic: int = Field(ge=0)
    accuracy: VerifyFigure
    auc: VerifyFigure
    tar_at_1_percent: VerifyFigure = Field(alias="tar_at_far_1e-2")
    tar_at_1_per_mille: VerifyFigure = Field(alias="tar_at_far_1e-3")


class VerifyDifference(_Part):
    """One arm against no extra data; ``delta`` 0.01 is one point. Schema 1 has no ``outcome``, and
    its ``ci95`` lets replicates alone vary.
    """

    arm: str
    baseline: str
    metric: Literal["accuracy", "auc", "tar_at_far_1e-2", "tar_at_far_1e-3"]
    delta: float
    ci95: Interval | None
    ci95_replicates: Interval | None = None
    ci95_people: Interval
    p: Probability | None
    p_holm: Probability | None
    outcome: Literal["better", "worse", "undecided"] | None = None
    needed: int | None = None


class VerifyResult(_Result1Or2):
    """verify.json. Schema 1 has no ``setup``, and its verdict is one sentence."""

    dataset: str
    head: Literal["softmax", "arcface", "cosface"]
    replicates: int = Field(ge=1)
    arms: dict[str, VerifyArm] = Field(min_length=1)
    comparisons: list[VerifyDifference]

    @model_validator(mode="after")
    def _complete(self) -> Self:
        for name, arm in self.arms.items():
            if len(arm.accuracy.scores) != self.replicates:
                raise ValueError(
                    f"arm {name!r} has {len(arm.accuracy.scores)} scores, not {self.replicates}"
                )
        for row in self.comparisons:
            if missing := {row.arm, row.baseline} - set(self.arms):
                raise ValueError(
                    f"a comparison names arm {sorted(missing)[0]!r}, which was not run"
                )
        return self

    @property
    def differences_told(self) -> Sequence[SemiDifference | VerifyDifference]:
        """The rows that have an outcome from schema 2 on."""
        return self.comparisons


_MODELS: dict[str, type[_Part]] = {
    "gain": GainResult,
    "gain_summary": GainSummary,
    "semi": SemiResult,
    "compare": CompareResult,
    "evaluate": EvaluateResult,
    "verify": VerifyResult,
}


def write_result(path: Path, result: Mapping[str, Any], kind: Kind) -> None:
    """Check a result and write it as JSON, whole or not at all.

    The keys of a job's result keep their order, which is that of the rows of its page: the page
    made from the file is the one that the job wrote. A summary holds rows, and its keys are sorted.

    Args:
        path: The file; its folder is made.
        result: What to write; ``schema`` is added.
        kind: Which promise it has to keep.

    Raises:
        ValueError: If a promised key is missing or out of range; nothing is written then.
    """
    whole = {"schema": SCHEMAS.get(kind, 1), **result}
    try:
        _MODELS[kind].model_validate(whole)
    except ValidationError as error:
        raise ValueError(f"{path}: {_first(error)}") from error
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, whole, sort_keys=kind == "gain_summary")


def read_result(path: Path, kind: Kind) -> dict[str, Any]:
    """Read a result file and check that it keeps its promise.

    Raises:
        DataError: If it is missing, no JSON, or of another form; the message names the file and the
            key.
    """
    try:
        result: dict[str, Any] = parse_json(read_text(path))
        _MODELS[kind].model_validate(result)
    except ValidationError as error:
        raise DataError(f"{path}: {_first(error)}; run the command that made it again") from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as a result: {error}") from error
    return result


def read_newest(path: Path, kind: Kind) -> dict[str, Any]:
    """As ``read_result``, for a page that shows what only the newest form holds.

    Raises:
        DataError: As ``read_result``; and if an earlier version wrote the file.
    """
    result = read_result(path, kind)
    if result["schema"] < SCHEMAS.get(kind, 1):
        raise DataError(
            f"{path}: an earlier version wrote it, without what this page shows; run the command "
            "that made it again"
        )
    return result


def _first(error: ValidationError) -> str:
    one = error.errors()[0]
    key = ".".join(map(str, one["loc"]))
    return f"{key}: {one['msg']}" if key else one["msg"].removeprefix("Value error, ")
