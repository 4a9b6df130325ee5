"""Trainings of arms as parts: what decides one, and the worker that makes those of a replicate."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from augmentor.common.randomness import seed_for
from augmentor.common.types import DivergedError, LabelledImages
from augmentor.data.combinations import Bins, bins_of, combinations_of
from augmentor.data.fingerprint import fingerprints
from augmentor.data.rehearsal import rehearsal_fold
from augmentor.data.splits import copies_together, tuning_split
from downstream.arms.recipe import CONSISTENCY, WARM_STARTED, Recipe
from downstream.arms.training import stands_beside_others
from downstream.augmentations import AUGMENTATIONS
from downstream.evaluate import predict_logits
from downstream.metrics import Outputs
from downstream.train import NonFiniteLossError
from pipelines.datasets import DataBundle
from pipelines.experiment.engine import PART_MADE, Needs
from pipelines.experiment.parts import FinishedPart, Part, PartStore, described, needs_of
from pipelines.experiment.plan import Group
from pipelines.experiment.setting import Setting
from pipelines.generators.in_memory import options_of
from pipelines.interrupt import Watch
from pipelines.pool import GRAPH_CODE, pool_description
from pipelines.workbench.gallery import gallery_part, keep_gallery
from pipelines.workbench.outside_images import OutsideImages
from pipelines.workbench.workbench import Workbench

CODE = 1
"""Of the training of arms; raise it when the same settings give other outputs."""
GENERATOR_CODE = 2
"""Of the training of generators, likewise."""
POINTS = 50  # most points of a training curve


@dataclass(frozen=True)
class Screen:
    """A split of the training images of a replicate that arms are screened on.

    Args:
        number: Of the split; decides what is held out.
        fraction: Part of a class that is held out.
        rehearse: Hold out combinations of class and condition instead, like those that are missing;
            ``number`` is then that of the fold.
        copies: Images of the training set and the pool that are a copy of a training image, which
            share its side. Part of the name: earlier versions left them where they fell.
    """

    number: int
    fraction: float
    rehearse: bool = False
    copies: int = 0


@dataclass(frozen=True)
class TrainingTask:
    """The trainings of one replicate, or of one screening split of it.

    Args:
        setting: What all parts share.
        seed: Of the replicate.
        recipes: How each part is trained; parallel to ``parts``.
        parts: What is left in the store.
        folder: Of the store.
        judge: As in ``Workbench``.
        screen: Scores held-out training images of this split; None scores the test images.
        gallery: Pictures for the report; None makes none.
        outside: Folders of the sets of another generator's images, by digest.
    """

    setting: Setting
    seed: int
    recipes: tuple[Recipe, ...]
    parts: tuple[Part, ...]
    folder: Path
    judge: Recipe
    screen: Screen | None = None
    gallery: Part | None = None
    outside: Mapping[str, Path] = field(default_factory=dict)

    def needs(self) -> Needs:
        """What it reads and leaves on another machine."""
        pictures = [] if self.gallery is None else [self.gallery]
        beside = [*self.setting.files, *self.outside.values()]
        return needs_of(self.parts, self.folder, reads=pictures, beside=beside)


@dataclass
class Curve:
    """At most fifty points of a training, evenly spread, the last step among them.

    Args:
        values: One mapping per point: ``step``, and the named values of that step.
    """

    values: list[dict[str, float | None]] = field(default_factory=list)
    _slot: int = 0

    def add(self, step: int, steps: int, values: Mapping[str, float]) -> bool:
        """Take the values of a step if a point is due; returns whether it was."""
        slot = step * POINTS // steps
        if slot <= self._slot:
            return False
        self._slot = slot
        self.values.append({"step": step} | {name: _short(one) for name, one in values.items()})
        return True

    def hear(self, step: int, steps: int, values: Mapping[str, float]) -> None:
        """As ``add``, where nobody asks whether a point was due."""
        self.add(step, steps, values)


def training_part(
    setting: Setting,
    label: str,
    seed: int,
    recipe: Recipe,
    judge: Recipe,
    *,
    has_pool: bool,
    screen: Screen | None = None,
) -> Part:
    """One training of one arm as a part.

    Args:
        setting: What all parts share.
        label: For people, such as ``replicate 3, mixup``.
        seed: Of the replicate.
        recipe: How the arm is trained.
        judge: As in ``Workbench``; in the name only where the recipe asks for it.
        has_pool: Whether the data have unlabelled images: a generator learns from them too.
        screen: As in ``TrainingTask``.
    """
    found: dict[str, Any] = {"code": CODE, "seed": seed, "device": setting.device_type}
    found |= setting.data_description()
    found["classifier"] = setting.classifier_description()
    found["recipe"] = described(recipe)
    if recipe.needs_judge:
        found["judge"] = described(judge)
    if recipe.uses_generator:
        found["generator_code"] = GENERATOR_CODE
        found["generator"] = described(setting.source)
        found["generator_options"] = options_of(setting.source)
    if recipe.needs_pool or (recipe.uses_generator and has_pool):
        found |= pool_description(setting.pool)
    if recipe.training in WARM_STARTED:
        found["graph_code"] = GRAPH_CODE
    if recipe.training in CONSISTENCY and setting.fixmatch_steps is not None:
        found["fixmatch_steps"] = setting.fixmatch_steps
    if screen is not None:
        found["screen"] = described(screen)
    return Part("training", label, found, _steps_of(setting, recipe))


def training_group(
    setting: Setting,
    name: str,
    seed: int,
    recipes: Mapping[str, Recipe],
    store: PartStore,
    judge: Recipe,
    *,
    has_pool: bool,
    screen: Screen | None = None,
    gallery: bool = False,
    outside: Mapping[str, Path] | None = None,
) -> Group[TrainingTask]:
    """The trainings of one replicate as a group; arms with the same recipe share one part.

    Args:
        setting: What all parts share.
        name: For people, such as ``replicate 3``.
        seed: Of the replicate.
        recipes: By arm.
        store: Where the parts go.
        judge: As in ``Workbench``.
        has_pool: As in ``training_part``.
        screen: As in ``TrainingTask``.
        gallery: Whether to keep pictures for the report, where a recipe renders some.
        outside: As in ``TrainingTask``.
    """
    by_recipe: dict[Recipe, str] = {}
    for arm, recipe in recipes.items():
        by_recipe.setdefault(recipe, arm)
    parts = []
    for recipe, arm in by_recipe.items():
        label = f"{name}, {arm}"
        part = training_part(setting, label, seed, recipe, judge, has_pool=has_pool, screen=screen)
        parts.append(part)
    pictured = gallery and any(_pictured(recipe, setting) for recipe in by_recipe)
    pictures = gallery_part(setting, name, seed, has_pool) if pictured else None
    task = TrainingTask(
        setting=setting,
        seed=seed,
        recipes=tuple(by_recipe),
        parts=tuple(parts),
        folder=store.folder,
        judge=judge,
        screen=screen,
        gallery=pictures,
        outside=outside or {},
    )
    steps = _shared_steps(setting, tuple(by_recipe), has_pool)
    return Group(task, tuple(parts), steps, beside=() if pictures is None else (pictures,))


def make_trainings(task: TrainingTask, on_part: Callable[[str], None], watch: Watch | None) -> None:
    """Train what is missing of a task; runs in a worker. Finished parts stay when it is stopped.

    The images that are scored are read here and nowhere else.

    Raises:
        DivergedError: If a loss or a classifier's probabilities are not finite; names the part.
    """
    store = PartStore(task.folder)
    bench, scored = bench_of(task, on_part, watch)
    spent: dict[str, float] = {}
    for lot in _lots(task, store):
        curves = [Curve() for _ in lot]
        try:
            models = bench.classifiers(list(lot), [curve.hear for curve in curves])
        except (NonFiniteLossError, DivergedError) as error:
            labels = ", ".join(part.label for part in lot.values())
            raise DivergedError(f"{labels}: {error}") from error
        facts, tensors = {}, {}
        for (recipe, part), curve, model in zip(lot.items(), curves, models, strict=True):
            tensors[recipe] = _outputs(part, model, bench, scored, keeps_y=task.screen is not None)
            facts[recipe] = {"curve": curve.values} | _of_generator(recipe, bench)
        seconds = _since(spent, bench.seconds, len(lot))
        spent = dict(bench.seconds)
        for recipe, part in lot.items():
            store.write(
                part,
                facts[recipe],
                tensors[recipe],
                seconds=seconds,
                device=task.setting.device,
                notes=sorted(set(bench.notes)),
            )
            on_part(PART_MADE + part.label)
    if task.gallery is not None and not store.has(task.gallery):
        keep_gallery(task.gallery, bench, store, task.recipes)


def _lots(task: TrainingTask, store: PartStore) -> Iterator[dict[Recipe, Part]]:
    """What is missing, in the order of the task; what stands beside others in lots as large as the
    trainer has side by side.
    """
    size, lot = task.setting.trainer.side_by_side, dict[Recipe, Part]()
    for recipe, part in zip(task.recipes, task.parts, strict=True):
        if store.has(part):
            continue
        if not stands_beside_others(recipe):
            yield {recipe: part}
            continue
        lot[recipe] = part
        if len(lot) == size:
            yield lot
            lot = {}
    if lot:
        yield lot


def _outputs(
    part: Part, model: nn.Module, bench: Workbench, scored: LabelledImages, *, keeps_y: bool
) -> dict[str, Tensor]:
    """What metrics need of a trained classifier."""
    class_probs = predict_logits(model, scored.x).softmax(dim=1)
    if not bool(class_probs.isfinite().all()):
        raise DivergedError(f"{part.label}: class probabilities are not finite")
    tensors = {"class_probs": class_probs.to(torch.float16)}
    if keeps_y:
        tensors["y"] = scored.y
    if bench.bins is not None and scored.condition is not None:
        table = combinations_of(bench.train, bench.bins)
        tensors["combination"] = table.of(scored)
        tensors["coverage"] = table.coverage_of(scored)
    return tensors


def _of_generator(recipe: Recipe, bench: Workbench) -> dict[str, Any]:
    """What a reader should know of the generator behind a training."""
    if not (recipe.fill and recipe.renders):
        return {}
    return {"condition_agreement": bench.condition_agreement}


def bench_of(
    task: TrainingTask, on_part: Callable[[str], None], watch: Watch | None
) -> tuple[Workbench, LabelledImages]:
    """The workbench of a task, and the images it is scored on."""
    setting = task.setting
    bundle = setting.bundle(task.seed)
    train, scored, hidden, seed = bundle.train, bundle.test, bundle.hidden, task.seed
    pool = bundle.pool
    bins = bins_of_bundle(bundle)
    if task.screen is not None and task.screen.rehearse and bins is not None:
        seed = seed_for("rehearsal fold", task.seed, task.screen.number)
        fold = rehearsal_fold(train, bins, task.seed, task.screen.number)
        train, scored = train.subset(fold.fit), bundle.train.subset(fold.scored)
        hidden = bundle.train.subset(fold.given)
    elif task.screen is not None:
        fit, held_out, seed = screen_parts(train, task.seed, task.screen)
        train, scored, hidden = train.subset(fit), bundle.train.subset(held_out), None
    if task.screen is not None:
        pool = _without_copies(pool, [scored] if hidden is None else [scored, hidden])
    check = None if watch is None else watch.check
    bench = Workbench(
        train, pool, setting, seed, on_part, check, task.judge, hidden=hidden, bins=bins
    )
    if task.outside:
        withheld = scored.x if task.screen is not None else None
        folders = dict(task.outside)
        bench.outside = OutsideImages(folders, train, withheld, check, bench.notes)
    return bench, scored


def _without_copies(pool: Tensor | None, held_out: Sequence[LabelledImages]) -> Tensor | None:
    """The pool without images that a screening holds out: a folder of all photos has them too."""
    if pool is None:
        return None
    known = np.concatenate([fingerprints(images.x) for images in held_out])
    kept = ~np.isin(fingerprints(pool), known)
    if kept.all():
        return pool
    return pool[torch.from_numpy(np.flatnonzero(kept))] if kept.any() else None


def copies_in(bundle: DataBundle) -> int:
    """Images of the training set and the pool that are a copy of a training image."""
    own = fingerprints(bundle.train.x)
    pooled = 0 if bundle.pool is None else int(np.isin(fingerprints(bundle.pool), own).sum())
    return len(own) - len(np.unique(own)) + pooled


def bins_of_bundle(bundle: DataBundle) -> Bins | None:
    """Bins of the conditions, the same for all replicates: of the training images with those that
    a regime hid. None without conditions.
    """
    images = bundle.train
    if images.condition is None:
        return None
    condition = images.condition
    if bundle.hidden is not None and bundle.hidden.condition is not None:
        condition = torch.cat([condition, bundle.hidden.condition])
    return bins_of(images.conditions, condition)


def screen_parts(train: LabelledImages, seed: int, screen: Screen) -> tuple[Tensor, Tensor, int]:
    """Numbers of the images to fit on, those to score, and the seed of a screening split. Copies
    of an image share its side.
    """
    split_seed = seed_for("screening split", seed, screen.number)
    fraction, turn = 1 - screen.fraction, screen.number
    split = partial(tuning_split, fraction=fraction, seed=split_seed, turn=turn)
    fit, held_out = copies_together(split, train.y, fingerprints(train.x))
    return fit, held_out, split_seed


def scored_in(bundle: DataBundle, seed: int, screen: Screen) -> Tensor:
    """Numbers of the training images that a screening split, or fold of a rehearsal, scores."""
    if not screen.rehearse:
        return screen_parts(bundle.train, seed, screen)[1]
    bins = bins_of_bundle(bundle)
    assert bins is not None
    return rehearsal_fold(bundle.train, bins, seed, screen.number).scored


def outputs_of(part: FinishedPart, y: Tensor | None = None) -> Outputs:
    """What a metric gets of a finished training.

    Args:
        part: The training.
        y: Classes of the images it scored; those of a screening are in the part.
    """
    return Outputs(
        y=part.tensors.get("y", y),
        class_probs=part.tensors["class_probs"],
        combination=part.tensors.get("combination"),
        coverage=part.tensors.get("coverage"),
    )


def _pictured(recipe: Recipe, setting: Setting) -> bool:
    """Whether it trains the generator that pictures are kept of: with conditions, the one that
    knows them.
    """
    return recipe.renders and (recipe.fill or setting.data.condition is None)


def _steps_of(setting: Setting, recipe: Recipe) -> dict[str, int]:
    """Steps of one training; FixMatch's hold nearly twice as many images as a plain step."""
    steps = setting.trainer.settings.steps
    if recipe.training in CONSISTENCY:
        steps *= 1 + _pool_rounds(setting)
        if setting.fixmatch_steps is not None:
            steps = 2 * setting.fixmatch_steps
        # The one other FixMatch that asks for its labels, before it begins.
        steps *= 2 if recipe.training == "pair_fixmatch" else 1
    return {"classifier": steps}


def _shared_steps(setting: Setting, recipes: Sequence[Recipe], has_pool: bool) -> dict[str, int]:
    """Steps of what a replicate makes on the way, once for all its arms. What takes no steps, such
    as a graph of similar images, is not foreseen.
    """
    pool, steps = setting.pool, setting.trainer.settings.steps
    images, trainings = {one.images for one in recipes}, {one.training for one in recipes}
    kinds = {recipe.fill for recipe in recipes if recipe.renders}
    found: dict[str, int] = {}
    if kinds:
        found["generator"] = setting.source.steps * (len(kinds) if setting.data.condition else 1)
    labelling = _pool_rounds(setting) if "pseudo_label" in images or (kinds and has_pool) else 0
    for name, classifiers in (("joint_label", 1), ("pair_label", 2)):
        if name in images:
            labelling += min(1, _pool_rounds(setting)) + classifiers * pool.joint_rounds
    if labelling:
        found["pool labels"] = steps * labelling
    joint = pool.joint_rounds * ("joint_label" in images) + ("joint_fixmatch" in trainings)
    if joint:
        found["joint labels"] = pool.joint_steps * joint
    return found


def _pool_rounds(setting: Setting) -> int:
    """Trainings of classifiers that label the pool; a graph alone needs none."""
    return 0 if setting.pool.method == "graph" else setting.pool.rounds


def views_computed(
    setting: Setting, recipes: Iterable[Recipe], training: int, scored: int
) -> dict[str, int]:
    """How many views of images a frozen network sees in a replicate, as steps for an estimate; none
    where all of it learns. Images that replicates share are counted in each.

    Args:
        setting: What all parts share.
        recipes: Of the arms.
        training: Training images.
        scored: Images to be scored that no other replicate has scored.
    """
    trainer = setting.trainer
    if trainer.part != "head":
        return {}
    real: set[tuple[object, ...]] = {()}
    rendered: set[tuple[object, ...]] = set()
    for recipe in recipes:
        names = tuple(name for name in recipe.augment if AUGMENTATIONS[name].of_images)
        view = (*names, recipe.strength) if names else ()
        real.add(view)
        if recipe.renders:
            rendered |= {(), view}
    synthetic = trainer.settings.steps * trainer.settings.batch_size / 2 / trainer.views
    count = scored + training * _views_of(real, trainer.views)
    return {"features": round(count + synthetic * _views_of(rendered, trainer.views))}


def _views_of(augmentations: Collection[tuple[object, ...]], views: int) -> int:
    """The plain view once, and the others of every augmentation."""
    return len(augmentations) and 1 + (len(augmentations) - 1) * (views - 1)


def _since(before: Mapping[str, float], now: Mapping[str, float], parts: int) -> dict[str, float]:
    """What one of so many parts took since; what took no time in between is left out."""
    found = {}
    for name, seconds in now.items():
        spent = seconds - before.get(name, 0.0)
        if spent > 0:
            found[name] = spent / parts
    return found


def _short(value: float) -> float | None:
    """Five digits are enough for a picture; JSON knows no infinity."""
    return float(f"{value:.5g}") if math.isfinite(value) else None
