from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from augmentor.common.randomness import seed_for
from augmentor.common.types import DataError, LabelledImages
from augmentor.networks.discriminator import Discriminator
from downstream.arms.policy import MixPolicy, recipe_of
from downstream.arms.recipe import Recipe
from downstream.arms.table import BASES, usual_bases
from downstream.arms.training import Material
from downstream.consistency import FixMatchSettings
from downstream.evaluate import predict_logits
from pipelines.config import config_from
from pipelines.experiment.setting import setting_of
from pipelines.interrupt import Interrupted, Watch
from pipelines.workbench import synthetic as synthetic_module
from pipelines.workbench import workbench as module
from pipelines.workbench.smote import oversample_by_smote
from pipelines.workbench.synthetic import well_covered
from pipelines.workbench.workbench import Workbench, fixmatch_steps

CLASSES = ("dark", "grey", "light")
COUNTS = (12, 6, 2)


def images(counts: tuple[int, ...] = COUNTS, seed: int = 0) -> LabelledImages:
    """Classes that differ in brightness."""
    y = torch.arange(3).repeat_interleave(torch.tensor(counts))
    noise = 0.05 * torch.randn(len(y), 1, 8, 8, generator=torch.Generator().manual_seed(seed))
    x = (y - 1).view(-1, 1, 1, 1) * 0.6 + noise
    return LabelledImages(x.clamp(-1, 1).float(), y, CLASSES)


class FakeSource:
    """Renders the brightness of the class, shifted by the first latent."""

    classes = CLASSES
    image_shape = (1, 8, 8)
    latent_dim = 2

    def sample(self, y: Tensor, z: Tensor) -> Tensor:
        return (
            ((y - 1) * 0.6 + 0.08 * z[:, 0])
            .view(-1, 1, 1, 1)
            .expand(-1, 1, 8, 8)
            .clamp(-1, 1)
            .float()
        )

    def encode(self, x: Tensor, y: Tensor) -> Tensor:
        return torch.zeros(len(x), 2)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[LabelledImages]:
    """Puts a fake in the place of the generator's training; the list holds what it was given."""
    given: list[LabelledImages] = []

    def train_generator(images: LabelledImages, *_: object, **options: object) -> FakeSource:
        given.append(images)
        return FakeSource()

    def label_pool(train: LabelledImages, pool: Tensor, *_: object) -> LabelledImages:
        return LabelledImages(pool[:3], torch.arange(3), CLASSES)

    monkeypatch.setattr(module, "train_generator", train_generator)
    monkeypatch.setattr(module, "label_pool", label_pool)
    return given


def bench(pool: bool = True, steps: int = 12, **changes: Any) -> Workbench:
    pool_x = images(seed=1).x[[0, 12, 18, 19]] if pool else None
    classifier = {"steps": steps, "batch_size": 8}
    asked = {"data": {"data": "digits"}, "device": "cpu", "classifier": classifier, **changes}
    return Workbench(images(), pool_x, setting_of(config_from(asked)), seed=3)


def synthetic(made: Workbench, **options: Any) -> LabelledImages:
    return made.synthetic(Recipe(**options))


def equal(first: nn.Module, second: nn.Module) -> bool:
    other = second.state_dict()
    return all(torch.equal(value, other[key]) for key, value in first.state_dict().items())


def masses(y: Tensor, weights: Tensor) -> list[float]:
    return [float(weights[y == index].sum() / weights.sum()) for index in range(3)]


def test_smote_tops_up_every_class_and_keeps_the_given_images_in_front() -> None:
    train = images()
    balanced = oversample_by_smote(train, seed=0)
    assert balanced.counts == {0: 12, 1: 12, 2: 12}
    torch.testing.assert_close(balanced.x[: len(train)], train.x)
    assert torch.equal(balanced.y[: len(train)], train.y)


def test_smote_images_lie_between_two_images_of_their_class() -> None:
    train = images()
    new = oversample_by_smote(train, seed=0)
    first, second = train.x[train.y == 2].flatten(1)
    for image in new.x[len(train) :][new.y[len(train) :] == 2].flatten(1):
        share = float((image - first) @ (second - first) / (second - first).square().sum())
        assert -1e-4 <= share <= 1 + 1e-4
        torch.testing.assert_close(image, first + share * (second - first), atol=1e-4, rtol=0)


@pytest.mark.parametrize("counts", [(5, 1, 1), (5, 2, 1), (4, 4, 4), (1, 1, 1), (6, 3, 0)])
def test_smote_with_tiny_equal_or_empty_classes(counts: tuple[int, int, int]) -> None:
    balanced = oversample_by_smote(images(counts), seed=0)
    assert [balanced.counts[index] for index in range(3)] == [
        max(counts) if count else 0 for count in counts
    ]


def test_a_small_class_does_not_take_neighbours_from_the_others_of_smote() -> None:
    train = images((40, 20, 2))
    new = oversample_by_smote(train, seed=0)
    alone = train.subset((train.y < 2).nonzero().flatten())
    of_one = new.x[len(train) :][new.y[len(train) :] == 1]
    without = oversample_by_smote(LabelledImages(alone.x, alone.y, train.classes), seed=0)
    assert torch.equal(of_one, without.x[len(alone) :][without.y[len(alone) :] == 1])


def test_smote_depends_on_the_seed_only() -> None:
    assert torch.equal(oversample_by_smote(images(), 1).x, oversample_by_smote(images(), 1).x)
    assert not torch.equal(oversample_by_smote(images(), 1).x, oversample_by_smote(images(), 2).x)


def test_every_class_is_drawn_equally_often_where_the_recipe_says_so(trained: list[Any]) -> None:
    for arm in ("oversample", "classical", "pseudo_label", "synthetic", "synthetic+classical"):
        base, weights = bench().training_set(recipe_of(arm))
        assert weights is not None
        assert masses(base.y, weights) == pytest.approx([1 / 3] * 3)


@pytest.mark.parametrize("arm", ["real", "smote", "smote+classical"])
def test_natural_sampling_elsewhere(arm: str) -> None:
    assert bench().training_set(BASES[arm])[1] is None


@pytest.mark.parametrize("share", [0.25, 0.75, 1.0])
def test_the_share_is_the_mass_of_the_synthetic_draws(trained: list[Any], share: float) -> None:
    made = bench()
    base, weights = made.training_set(Recipe(share=share))
    assert weights is not None
    assert float(weights[len(made.train) :].sum() / weights.sum()) == pytest.approx(share)
    assert torch.equal(base.x[: len(made.train)], made.train.x)


def test_real_images_keep_their_tail_beside_synthetic_ones_where_the_loss_wants_it(
    trained: list[Any],
) -> None:
    made = bench()
    base, weights = made.training_set(MixPolicy("logit_adjusted", 0.4).recipe)
    assert weights is not None
    real = torch.tensor(COUNTS) / sum(COUNTS)
    assert masses(base.y, weights) == pytest.approx((0.6 * real + 0.4 / 3).tolist())


def test_the_tail_of_real_stays_too(trained: list[Any]) -> None:
    made = bench()
    base, weights = made.training_set(MixPolicy("real", 0.5).recipe)
    assert weights is not None
    assert masses(base.y, weights)[2] < 1 / 3


def test_pseudo_labels_join_the_labelled_images(trained: list[Any]) -> None:
    base, _ = bench().training_set(BASES["pseudo_label"])
    assert len(base) == sum(COUNTS) + 3


def test_one_source_and_one_labelling_serve_all_arms(trained: list[Any]) -> None:
    made = bench()
    for arm in ("pseudo_label", "synthetic", "synthetic+classical"):
        made.training_set(recipe_of(arm))
    assert [len(given) for given in trained] == [sum(COUNTS) + 3]


def test_without_a_pool_the_source_gets_none(trained: list[Any]) -> None:
    made = bench(pool=False)
    made.training_set(recipe_of("synthetic"))
    assert trained == [made.train]


def test_arms_without_a_generator_train_none(trained: list[Any]) -> None:
    made = bench()
    for name in usual_bases(pool=True):
        made.classifier(BASES[name])
    assert len(made._classifiers) == len(usual_bases(pool=True))
    assert trained == []
    assert "generator" not in made.seconds


def test_equal_recipes_share_a_classifier_and_others_differ(trained: list[Any]) -> None:
    made = bench()
    policy = MixPolicy("classical")
    auto = made.classifier(recipe_of("auto", chosen=policy))
    assert auto is made.classifier(BASES["classical"])
    assert auto is not made.classifier(BASES["oversample"])


def predictions(model: nn.Module, x: Tensor) -> list[int]:
    found: list[int] = predict_logits(model, x).argmax(dim=1).tolist()
    return found


def test_a_bench_is_repeatable_and_learns(trained: list[Any]) -> None:
    recipe = recipe_of("synthetic+classical")
    test = images(seed=9)
    first, second = (predictions(bench(steps=60).classifier(recipe), test.x) for _ in range(2))
    assert first == second
    assert sum(a == b for a, b in zip(first, test.y.tolist(), strict=True)) > 15


def test_the_filter_drops_what_the_judge_doubts(
    trained: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = bench()

    # The judge believes an image only if its first latent was positive, which makes it a little
    # lighter.
    def sure(model: object, x: Tensor) -> Tensor:
        nearest = (x.mean(dim=(1, 2, 3)) / 0.6).round() + 1
        logits = torch.zeros(len(x), 3)
        lighter = x.mean(dim=(1, 2, 3)) > (nearest - 1) * 0.6
        logits[torch.arange(len(x)), nearest.long()] = torch.where(lighter, 9.0, -9.0)
        return logits

    monkeypatch.setattr(module, "predict_logits", sure)
    everything, kept = synthetic(made), synthetic(made, confidence=0.5)
    assert kept.counts == everything.counts
    assert bool((kept.x.mean(dim=(1, 2, 3)) > (kept.y - 1) * 0.6 - 0.005).all())
    assert not bool((everything.x.mean(dim=(1, 2, 3)) > (everything.y - 1) * 0.6).all())


def test_the_judge_of_a_smaller_generator_sees_the_size_it_learned(
    trained: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, sides = bench(), []
    monkeypatch.setattr(FakeSource, "image_shape", (1, 4, 4))
    small = FakeSource.sample
    monkeypatch.setattr(FakeSource, "sample", lambda self, y, z: small(self, y, z)[..., :4, :4])

    def sure(model: object, x: Tensor) -> Tensor:
        sides.append(x.shape[-1])
        return 9 * torch.ones(len(x), 3)

    monkeypatch.setattr(module, "predict_logits", sure)
    assert synthetic(made, confidence=0.1).image_shape == (1, 8, 8)
    assert set(sides) == {8}


def test_a_class_no_candidate_of_which_passes_goes_unfiltered_and_is_noted(
    trained: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = bench()
    monkeypatch.setattr(
        module,
        "predict_logits",
        lambda model, x: torch.tensor([[9.0, 9.0, -9.0]]).expand(len(x), 3),
    )
    kept = synthetic(made, confidence=0.4)
    assert kept.counts == synthetic(made).counts
    assert len(made.notes) == 1
    assert "'light'" in made.notes[0]


def test_a_signal_is_heard_between_two_classes_rendered(trained: list[Any]) -> None:
    stopped = bench()
    stopped.check = Watch(signum=15).check
    with pytest.raises(Interrupted):
        synthetic(stopped)


def test_parts_are_told_and_timed(trained: list[Any]) -> None:
    told: list[str] = []
    made = bench()
    made.on_part = told.append
    made.classifier(recipe_of("synthetic"))
    assert told == ["pool labels", "generator", "synthesis", "classifier"]
    assert set(made.seconds) == set(told)


def test_the_retrieved_images_are_the_nearest_of_the_pool_and_join_the_labelled_ones(
    trained: list[Any],
) -> None:
    made = replace(bench(steps=40), pool=images(seed=1).x)
    base, weights = made.training_set(BASES["retrieval"])
    assert weights is not None
    assert masses(base.y, weights) == pytest.approx([1 / 3] * 3)
    assert max(made.retrieved.counts.values()) <= 4  # half of an equal share of twenty images
    brightness = made.retrieved.x.mean(dim=(1, 2, 3))
    assert float(((brightness / 0.6).round() + 1 == made.retrieved.y).float().mean()) > 0.8


def test_a_policy_for_short_classes_leaves_the_largest_alone(trained: list[Any]) -> None:
    made = bench(pool=False)
    policy = MixPolicy("classical", 0.6, short_only=True)
    base, weights = made.training_set(policy.recipe)
    assert weights is not None
    assert masses(base.y, weights) == pytest.approx([1 / 3] * 3)
    synthetic = torch.arange(len(base)) >= len(made.train)
    found = [
        float(weights[synthetic & (base.y == c)].sum() / weights[base.y == c].sum())
        for c in range(3)
    ]
    assert found == pytest.approx(
        [0.0, 0.5, 0.6]
    )  # of 12, 6 and 2 images: 1 - 6/12, and the most allowed


def test_pretraining_draws_real_images_alone_in_its_second_stage(
    trained: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, stages = bench(pool=False), []

    def spy(recipes: list[Recipe], materials: list[Material], *rest: Any) -> list[nn.Module]:
        (material,) = materials
        stages.extend([material.first_stage, material.images])
        return [nn.Identity()]

    monkeypatch.setattr(module, "train_arms", spy)
    made.classifier(MixPolicy("classical", 0.5, schedule="pretrain").recipe)
    assert stages[0] is synthetic(made)
    assert stages[1] is made.train


def test_latents_of_images_of_the_class_of_well_covered_ones_and_of_the_pool(
    trained: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The fake shows 0.08 of the first latent; here the latent of an image says which class
    # it is of.
    monkeypatch.setattr(FakeSource, "encode", lambda self, x, y: (y + 1.0)[:, None].expand(-1, 2))
    made = bench()

    def first_latents(latents: str) -> list[list[float]]:
        rendered = synthetic(made, latents=latents, spread=0.0)
        level = 12.5 * (rendered.x.mean(dim=(1, 2, 3)) - (rendered.y - 1) * 0.6)
        return [sorted(set(level[rendered.y == index].round().tolist())) for index in range(3)]

    assert first_latents("encoded") == [[1.0], [2.0], [3.0]]
    assert (
        first_latents("transfer") == [[1.0, 2.0]] * 3
    )  # 12 and 6 of at most 12 images; two are too few
    assert first_latents("pool") == [[1.0, 2.0, 3.0]] * 3
    assert well_covered(made.train).tolist() == [True, True, False]


def test_wider_latents_spread_wider(trained: list[Any]) -> None:
    made = bench()
    plain, wide = synthetic(made), synthetic(made, spread=3.0)
    deviations = []
    for part in (plain, wide):
        middle = part.x[part.y == 1, 0, 0, 0]  # no level of it is cut off at black or white
        deviations.append(float(middle.std()))
    assert deviations[1] == pytest.approx(3 * deviations[0], rel=0.05)
    assert synthetic(made) is plain


def test_what_the_discriminator_finds_least_real_is_dropped(
    trained: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Lighter(Discriminator):
        """Finds lighter images more real."""

        def forward(self, x: Tensor, class_probs: Tensor) -> tuple[Tensor, Tensor]:
            return x.mean(dim=(1, 2, 3)), class_probs

    made = bench()
    with pytest.raises(DataError, match="discriminator"):
        synthetic(made, realism=0.5)
    monkeypatch.setattr(
        FakeSource, "discriminator", Lighter((1, 8, 8), 3, 4, "none", "batch"), raising=False
    )
    everything, kept = synthetic(made), synthetic(made, realism=0.5)
    assert kept.counts == everything.counts
    for label in range(3):
        middle = everything.x[everything.y == label].mean(dim=(1, 2, 3)).median()
        assert (
            float(kept.x[kept.y == label].mean(dim=(1, 2, 3)).min()) > float(middle) - 0.05
        )  # of a spread of 0.08
    assert len(synthetic(made, confidence=0.1, realism=0.5)) == len(kept)


def test_latents_of_images_need_an_encoder(
    trained: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(FakeSource, "encode")
    with pytest.raises(DataError, match="encoder"):
        synthetic(bench(), latents="encoded", spread=0.3)


def test_without_pseudo_labels_the_labelled_images_are_the_donors(trained: list[Any]) -> None:
    made = bench(pool=False)
    synthetic(made, latents="pool", spread=0.3)
    assert len(made.notes) == 1
    assert "donors" in made.notes[0]


def test_a_set_too_small_for_its_draws_is_told(
    trained: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    plenty = bench()
    assert len(synthetic(plenty)) == 48  # 12 steps of 8 draws, a half of them synthetic
    assert plenty.notes == []
    monkeypatch.setattr(synthetic_module, "LARGEST_SET", 30 * 4 * 64)
    short = bench()
    assert len(synthetic(short)) == 30
    assert short.notes == ["memory: 30 synthetic images for 48 draws at a share of one half"]


def test_replayed_images_fill_the_share_with_real_ones() -> None:
    made = bench(pool=False)
    base, weights = made.training_set(recipe_of("replay", share=0.4))
    assert weights is not None
    assert len(base) == 2 * len(made.train)
    assert torch.equal(base.x[len(made.train) :], made.train.x)
    assert float(weights[len(made.train) :].sum()) == pytest.approx(0.4)
    assert masses(base.y, weights) == pytest.approx([1 / 3] * 3)


def test_synthetic_images_have_the_levels_of_a_stored_set(trained: list[Any]) -> None:
    levels = (synthetic(bench()).x + 1) * 127.5
    torch.testing.assert_close(levels, levels.round(), atol=1e-3, rtol=0)


def test_all_arms_of_a_replicate_share_first_weights_and_no_two_replicates_do() -> None:
    first, second = bench(), replace(bench(), seed=4)
    seeds = {first.material(BASES[name]).seed for name in ("real", "classical", "smote")}
    assert seeds == {seed_for("classifier", 3)}
    assert second.material(BASES["real"]).seed not in seeds


def test_fixmatch_learns_from_as_many_images_as_pseudo_labelling() -> None:
    def steps(**pool: Any) -> int:
        asked = {"classifier": {"steps": 700}, "pool": pool}
        return fixmatch_steps(setting_of(config_from(asked)), FixMatchSettings())

    assert steps() == 1200  # two rounds and the last training: 3 * 700 * 64 images, 112 per step
    assert (steps(method="graph"), steps(method="graph_classifier")) == (400, 1200)
    asked = setting_of(config_from({}))
    assert fixmatch_steps(replace(asked, fixmatch_steps=9), FixMatchSettings()) == 9


def test_a_recipe_of_the_pool_without_a_pool_is_refused() -> None:
    for arm in ("retrieval", "pair_label", "graph_fixmatch"):
        with pytest.raises(ValueError, match="unlabelled images are missing"):
            bench(pool=False).classifier(BASES[arm])
