from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Generator, Tensor, nn

from augmentor.common.types import LabelledImages
from downstream import frozen_features
from downstream.arms.recipe import Recipe
from downstream.arms.training import Material, train_arm
from downstream.augment import classical
from downstream.classifier import build_classifier, features
from downstream.evaluate import predict_logits
from downstream.frozen_features import (
    PLAIN,
    FeatureStore,
    FrozenNetwork,
    HeadOnFeatures,
    Views,
    digest_of,
    feature_mix,
    random_view,
    store_in,
    trains_head,
)
from downstream.input_form import InputChoice
from downstream.train import TrainSettings
from downstream.trainer import ClassifierTrainer

SMALL = InputChoice(size=32, crop=1.0)
CLASSICAL = Views(classical("natural"), "classical natural 1", 3)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    save_file(build_classifier("test_resnet", 7, (3, 32, 32), seed=0).state_dict(), path)
    return path


@pytest.fixture(autouse=True)
def no_memory() -> None:
    """A store in memory would hand features from test to test."""
    store_in.cache_clear()


def trainer(weights: Path, **changes: Any) -> ClassifierTrainer:
    settings = TrainSettings(steps=40, batch_size=16, learning_rate=0.02)
    usual = ClassifierTrainer(
        "test_resnet", settings, weights=weights, choice=SMALL, part="head", views=3
    )
    return replace(usual, **changes)


def striped(count: int = 24, seed: int = 0) -> LabelledImages:
    """Two classes that differ by the direction of stripes."""
    rng = Generator().manual_seed(seed)
    noise = torch.rand(count, 3, 24, 24, generator=rng) * 0.6 - 0.3
    y = torch.arange(count) % 2
    stripes = ((torch.arange(24) // 3) % 2 * 1.2 - 0.6).expand(24, 24)
    both = torch.stack([stripes, stripes.T])[y][:, None]
    return LabelledImages((noise + both).clamp(-1, 1), y, ("down", "across"))


def frozen(weights: Path, folder: Path | None = None) -> FrozenNetwork:
    made = trainer(weights, cache=folder).build(striped(2), seed=0)
    assert isinstance(made, FrozenNetwork)
    return made


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the batches whose features were computed."""
    seen: list[int] = []
    computed = FrozenNetwork._computed

    def counted(self: FrozenNetwork, x: Tensor, on_batch: Any) -> Tensor:
        seen.append(len(x))
        return computed(self, x, on_batch)

    monkeypatch.setattr(FrozenNetwork, "_computed", counted)
    return seen


def test_features_are_those_of_the_network(weights: Path) -> None:
    network, x = frozen(weights), striped().x
    inner = network.network
    torch.testing.assert_close(network.features(x, PLAIN)[:, 0], features(inner, x))
    torch.testing.assert_close(predict_logits(network, x), predict_logits(inner, x))
    torch.testing.assert_close(features(network, x), features(inner, x))


def test_an_image_has_the_same_features_whatever_it_is_asked_for_with(weights: Path) -> None:
    x = striped().x
    together = frozen(weights).features(x, CLASSICAL)
    store_in.cache_clear()
    network = frozen(weights)
    one_by_one = torch.cat([network.features(one[None], CLASSICAL) for one in x.flip(0)])
    assert torch.equal(one_by_one.flip(0), together)
    assert together.shape == (24, 3, network.num_features)
    assert torch.equal(together[:, 0], network.features(x, PLAIN)[:, 0])
    assert not torch.equal(together[:, 1], together[:, 2])


def test_nothing_is_computed_twice_in_a_run_or_after_it(
    weights: Path, tmp_path: Path, passes: list[int]
) -> None:
    x = striped().x
    first = frozen(weights, tmp_path).features(x, CLASSICAL)
    assert sum(passes) == 24 * 3
    again = frozen(weights, tmp_path).features(torch.cat([x[3:9], x[3:9]]), CLASSICAL)
    assert sum(passes) == 24 * 3
    store_in.cache_clear()  # as in another process
    later = frozen(weights, tmp_path).features(x, CLASSICAL)
    assert sum(passes) == 24 * 3
    assert torch.equal(first, later)
    assert torch.equal(again[:6], first[3:9])
    frozen(weights, tmp_path).features(x, replace(CLASSICAL, words="stronger"))
    assert sum(passes) == 24 * 3 + 24 * 2  # the plain view is the same


def test_a_damaged_file_is_passed_over_and_made_anew(
    weights: Path, tmp_path: Path, passes: list[int]
) -> None:
    x = striped().x
    first = frozen(weights, tmp_path).features(x, PLAIN)
    (file,) = tmp_path.glob("*/*.safetensors")
    content = bytearray(file.read_bytes())
    for damaged in (content[:-1] + bytes([content[-1] ^ 1]), content[: len(content) // 2], b""):
        store_in.cache_clear()
        file.write_bytes(bytes(damaged))
        assert torch.equal(frozen(weights, tmp_path).features(x, PLAIN), first)
    assert sum(passes) == 4 * 24
    assert file.read_bytes() == bytes(content)
    assert not list(tmp_path.glob("**/.*.tmp"))


def test_another_process_is_heard(tmp_path: Path) -> None:
    mine, other = FeatureStore(tmp_path), FeatureStore(tmp_path)
    assert mine.missing(["ab" * 16, "cd" * 16]) == ["ab" * 16, "cd" * 16]
    other.add(["ab" * 16], torch.ones(1, 4))
    assert mine.missing(["ab" * 16, "cd" * 16]) == ["cd" * 16]
    assert mine.rows(["ab" * 16]).tolist() == [[1.0] * 4]


def test_a_long_computation_can_be_stopped_and_keeps_whole_files(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, passes: list[int]
) -> None:
    monkeypatch.setattr(frozen_features, "IN_A_FILE", 8)
    told = iter(range(100))

    def stop(step: int, loss: float) -> None:
        if next(told) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trainer(weights, cache=tmp_path).train(striped(), 0, on_step=stop)
    assert len(list(tmp_path.glob("*/*.safetensors"))) == 2
    passes.clear()
    trainer(weights, cache=tmp_path).train(striped(), 0)
    assert sum(passes) == 8


def test_the_digest_follows_weights_and_form_but_not_the_last_layer(weights: Path) -> None:
    usual = trainer(weights).build(striped(2), seed=0)
    other_head = trainer(weights).build(striped(2), seed=1)
    assert isinstance(usual, FrozenNetwork)
    assert isinstance(other_head, FrozenNetwork)
    assert digest_of(usual.network) == digest_of(other_head.network)
    other_form = trainer(weights, choice=replace(SMALL, mean=(0.4,))).build(striped(2), seed=0)
    assert isinstance(other_form, FrozenNetwork)
    assert digest_of(other_form.network) != digest_of(usual.network)
    with torch.no_grad():
        next(iter(usual.network.parameters())).add_(1)
    assert digest_of(usual.network) != digest_of(other_head.network)


def test_training_changes_the_last_layer_alone_and_learns(weights: Path) -> None:
    begun = trainer(weights).build(striped(2), seed=3)
    before = {name: one.clone() for name, one in begun.state_dict().items()}
    model = trainer(weights).train(striped(), 3, augment=("classical",))
    assert not model.training
    for name, one in model.state_dict().items():
        assert torch.equal(one, before[name]) != ("fc." in name or name.startswith("head."))
    new = striped(seed=1)
    assert (predict_logits(model, new.x).argmax(dim=1) == new.y).float().mean() > 0.9
    again = trainer(weights).train(striped(), 3, augment=("classical",))
    assert torch.equal(predict_logits(model, new.x), predict_logits(again, new.x))


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(),
        Recipe(augment=("classical",), loss="logit_adjusted", balanced=False),
        Recipe(augment=("classical", "mixup")),
        Recipe(augment=("trivialaugment", "cutmix")),
        Recipe(augment=("classical",), training="decoupled"),
        Recipe(augment=("classical",), training="pretrain", share=0.5),
        Recipe(augment=("classical",), training="group_dro"),
        Recipe(augment=("classical",), training="lisa"),
    ],
)
def test_arms_train_on_features(weights: Path, recipe: Recipe) -> None:
    images = striped()
    material = Material(
        images,
        torch.full((24,), 1 / 24, dtype=torch.float64),
        0,
        first_stage=striped(seed=2),
        combination=torch.arange(24) % 4,
        bins=2,
    )
    model = train_arm(recipe, material, trainer(weights))
    assert isinstance(model, FrozenNetwork)
    assert not model.training
    assert (predict_logits(model, images.x).argmax(dim=1) == images.y).float().mean() > 0.9


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(training="mixstyle"),
        Recipe(training="domain_adversarial"),
        Recipe(augment=("trivialaugment", "fourier")),
        Recipe(training="fixmatch"),
    ],
)
def test_arms_that_change_features_are_refused(weights: Path, recipe: Recipe) -> None:
    assert not trains_head(recipe.training, recipe.augment)
    with pytest.raises(ValueError, match="train: head leaves as they are"):
        train_arm(recipe, Material(striped(), None, 0), trainer(weights))


def test_random_weights_are_not_frozen() -> None:
    with pytest.raises(ValueError, match="give --pretrained or --weights"):
        ClassifierTrainer("test_resnet", part="head").build(striped(2), seed=0)


class Curved(nn.Module):
    """A network that squares what its last layer says."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner, self.num_features = inner, inner.num_features

    def __getattr__(self, name: str) -> Any:
        return super().__getattr__(name) if name == "inner" else getattr(self.inner, name)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) ** 2 + 1


def test_a_network_that_ends_in_more_than_a_layer_is_refused() -> None:
    inner = build_classifier("test_resnet", 2, (3, 32, 32), seed=0)
    with pytest.raises(ValueError, match="more between pooled features and answers"):
        FrozenNetwork(Curved(inner)).require_plain_head(torch.zeros(1, 3, 32, 32))
    inner.reset_classifier(0)  # type: ignore[operator]
    with pytest.raises(ValueError, match="ends in Identity"):
        FrozenNetwork(inner)


def test_all_views_are_drawn_and_one_counts() -> None:
    x = torch.arange(4.0).view(1, 4, 1, 1).expand(200, 4, 3, 1)
    drawn = random_view(x, Generator().manual_seed(0))
    counts = torch.bincount(drawn[:, 0, 0, 0].long(), minlength=4)
    assert drawn.shape == (200, 1, 3, 1)
    assert int(counts.min()) > 30
    head = nn.Linear(3, 2)
    torch.testing.assert_close(HeadOnFeatures(head)(x), head(x[:, 0, :, 0]))


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_mixes_of_images_become_mixes_of_features(name: str) -> None:
    mix = feature_mix(["classical", name])
    assert mix is not None
    x, y = torch.eye(4).view(4, 1, 4, 1), torch.eye(4)
    mixed, target = mix(x, y, Generator().manual_seed(0))
    torch.testing.assert_close(mixed[:, 0, :, 0], target)  # in the same shares
    assert feature_mix(["classical"]) is None
