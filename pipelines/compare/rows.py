"""The worker of a comparison: it trains the judge, or trains one row and measures it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import nn

from augmentor.api import Source
from augmentor.common.types import DataError, DivergedError, LabelledImages
from downstream.classifier import build_classifier
from pipelines.compare.parts import CompareTask, JudgeTask, PlannedRow, RowTask
from pipelines.compare.pictures import pictures_of
from pipelines.compare.timing import Stopwatch, new_session, seconds_per_1000_steps
from pipelines.datasets import DataBundle
from pipelines.experiment.engine import PART_MADE
from pipelines.experiment.parts import FinishedPart, PartStore
from pipelines.generators.compared import Section
from pipelines.generators.findings import summary
from pipelines.generators.load import LoadedRun, load_source
from pipelines.generators.quality import (
    EvaluateSettings,
    Reference,
    evaluate_source,
    make_reference,
)
from pipelines.generators.train import train_run
from pipelines.interrupt import Watch

POINTS = {"train": 40, "evaluate": 9}
"""How often the progress of a training and of an evaluation is reported."""
MEASURED = (
    "top1",
    "inception_score",
    "fid",
    "kid",
    "precision",
    "recall",
    "density",
    "coverage",
    "diversity",
    "cas",
    "memorisation_p",
    "memorisation_p_features",
    "copied_share",
    "images_per_second",
    "train_seconds_per_1000",
)
"""Numbers of a row, None where a training diverged."""
LIKELIHOOD_BATCH = 256


def make_compared(task: CompareTask, on_part: Callable[[str], None], watch: Watch | None) -> None:
    """Make the judge, or a row, and leave its part; runs in a worker.

    A row whose training diverges is a result too: it has a warning in the place of numbers.

    Raises:
        DataError: If the run of a row cannot be used.
        Interrupted: After a signal; the training so far stays.
    """
    store = PartStore(task.folder)
    if store.has(task.part):
        return
    if isinstance(task, JudgeTask):
        on_part("training the judge")
        _make_judge(task, store)
    else:
        _make_row(task, store, _RowProgress(task.row.name, on_part, watch))
    on_part(PART_MADE + task.part.label)


def reference_of(
    part: FinishedPart, bundle: DataBundle, settings: EvaluateSettings, device: torch.device
) -> Reference:
    """The judge of a finished part, ready to measure."""
    shape, num_classes = bundle.train.image_shape, len(bundle.train.classes)
    judge = build_classifier(settings.judge.name, num_classes, shape, seed=0)
    judge.load_state_dict(dict(part.tensors))
    judge = judge.to(device).to(memory_format=torch.channels_last).eval()
    return Reference(judge, dict(part.content["usefulness"]))


def _make_judge(task: JudgeTask, store: PartStore) -> None:
    setting, start = task.setting, time.perf_counter()
    bundle = setting.bundle(setting.seed)
    made = make_reference(bundle, task.settings, setting.seed, setting.device)
    store.write(
        task.part,
        {"usefulness": made.usefulness},
        made.judge.state_dict(),
        seconds={"judge": time.perf_counter() - start},
        device=setting.device,
    )


def _make_row(task: RowTask, store: PartStore, progress: _RowProgress) -> None:
    seconds: dict[str, float] = {}
    try:
        content = _measured(task, store, progress, seconds)
    except DivergedError as error:
        content = _unmeasured(task, f"training diverged: {error}")
    store.write(task.part, content, seconds=seconds, device=task.setting.device)


@dataclass
class _RowProgress:
    """Passes the progress of a training and of an evaluation on, a few times in all."""

    row: str
    on_part: Callable[[str], None]
    watch: Watch | None
    _points: dict[str, int] = field(default_factory=dict)

    def step(self, task: str, done: int, total: int, note: str = "") -> None:
        if self.watch is not None:
            self.watch.check()
        points = done * POINTS[task] // total
        if points > self._points.get(task, 0):
            self.on_part(f"{self.row}: {task} {done} of {total}")
            self._points[task] = points

    def say(self, line: str) -> None:
        """A worker has nobody to say it to."""


def _measured(
    task: RowTask, store: PartStore, progress: _RowProgress, seconds: dict[str, float]
) -> Section:
    """Train a row and measure it; the time it takes goes into ``seconds``."""
    setting, row, start = task.setting, task.row, time.perf_counter()
    if row.training is not None:
        train_run(row.training, row.run, resume=True, progress=progress)
        seconds["training"] = time.perf_counter() - start
    loaded, start = _loaded(task), time.perf_counter()
    bundle = setting.bundle(setting.seed)
    judge, device = store.read(task.judge), loaded.source.device
    reference = reference_of(judge, bundle, task.settings, device)
    timed = Stopwatch(loaded.source)
    evaluation = evaluate_source(timed, bundle, task.settings, setting.seed, progress, reference)
    content = {
        **_described(row, loaded),
        **_numbers(evaluation.result, task.settings),
        "images_per_second": timed.images_per_second,
        "train_seconds_per_1000": seconds_per_1000_steps(bundle.train, setting),
        **_likelihood(loaded.source, bundle.test),
        "pictures": pictures_of(loaded.source, bundle, task.settings.batch_size, setting.seed),
    }
    seconds["measuring"] = time.perf_counter() - start
    return content


def _loaded(task: RowTask) -> LoadedRun:
    """The trained run of a row; a finished one must still be the one that was planned."""
    row = task.row
    loaded = load_source(row.run, task.setting.device)
    if row.checkpoint_sha256 not in ("", loaded.checkpoint_sha256):
        raise DataError(
            f"compare.extra.{row.name}: {row.run} was trained further meanwhile; run again when "
            "it is finished"
        )
    return loaded


def _numbers(result: Section, settings: EvaluateSettings) -> Section:
    """What the evaluation says of a row and of real data, flat."""
    metrics = result["metrics"]
    pixels, in_features = metrics["memorisation"]["pixels"], metrics["memorisation"]["features"]
    return {
        **summary(metrics, "generated"),
        "memorisation_p": pixels["p"],
        "memorisation_p_features": in_features["p"],
        "copied_share": pixels["copied_share"],
        "samples": settings.samples,
        "warnings": result["warnings"],
        "real": summary(metrics, "real"),
        "measured_by": {name: result[name] for name in ("judge", "student", "images", "k")},
    }


def _unmeasured(task: RowTask, warning: str) -> Section:
    """The content of a row whose training diverged."""
    setting, source = task.setting, task.row.source
    session = new_session(setting.bundle(setting.seed).train, source, setting)
    return {
        **_settings_of(task.row),
        "step": source.steps,
        "parameters": _parameters(session.trainer.model),
        **dict.fromkeys(MEASURED),
        "samples": 0,
        "warnings": [warning],
        "real": None,
        "measured_by": None,
        "pictures": {},
    }


def _described(row: PlannedRow, loaded: LoadedRun) -> Section:
    model: Any = loaded.source.model
    return {
        **_settings_of(row),
        "all_options": asdict(model.options),
        "step": loaded.step,
        "parameters": _parameters(model),
        "checkpoint_sha256": loaded.checkpoint_sha256,
    }


def _settings_of(row: PlannedRow) -> Section:
    return {
        "family": row.source.family,
        "preset": row.source.preset,
        "options": row.source.options,
        "batch_size": row.source.batch_size,
        "equal_budget": row.equal_budget,
    }


def _parameters(model: nn.Module) -> dict[str, int]:
    """Weights of every network of a model, and of all of them."""
    counts = {}
    for name, part in model.named_children():
        count = sum(weight.numel() for weight in part.parameters())
        if count:
            counts[name] = count
    return counts | {"all": sum(counts.values())}


def _likelihood(source: Source, test: LabelledImages) -> Section:
    """``bits_per_dimension`` of all test images, of a family that knows it."""
    model: Any = source.model
    if not hasattr(model, "bits_per_dimension"):
        return {}
    bits = []
    for start in range(0, len(test), LIKELIHOOD_BATCH):
        x = test.x[start : start + LIKELIHOOD_BATCH].to(source.device)
        y = test.y[start : start + LIKELIHOOD_BATCH].to(source.device)
        bits.append(model.bits_per_dimension(x, y).cpu())
    return {"bits_per_dimension": float(torch.cat(bits).double().mean())}
